"""What arrived at the sandbox, kept for assertions."""

import json
import re
from collections.abc import Mapping

from attrs import define

_SECRET_HEADERS = frozenset({"x-auth-token", "x-subject-token", "authorization", "cookie"})
_SECRET_SEGMENT = re.compile(r"(?<=/v1/token/)[^/]+")
_HIDDEN = "***"


@define(eq=False, repr=False)
class RequestRecord:
    """Tell of one request. Its repr hides tokens and bodies.

    Attributes:
        method: The HTTP method.
        raw_path: The path as it arrived, still encoded, without the query.
        query: The query parameters, decoded; the last of several by one name.
        raw_query: The query as it arrived.
        headers: The headers; names in any case.
        body: The body.
        operation_id: The operation of the contract that it means, None if it means none.
        status: The status of the answer; None while there is none, or if none was sent.
        cancelled: Whether the client went away before it was answered.
    """

    method: str
    raw_path: str
    query: Mapping[str, str]
    raw_query: str
    headers: Mapping[str, str]
    body: bytes
    operation_id: str | None = None
    status: int | None = None
    cancelled: bool = False

    def json(self) -> object:
        """Read the body as JSON."""
        return json.loads(self.body)

    def __repr__(self) -> str:
        headers = {
            name: _HIDDEN if name.lower() in _SECRET_HEADERS else value
            for name, value in self.headers.items()
        }
        path = _SECRET_SEGMENT.sub(_HIDDEN, self.raw_path)
        target = f"{path}?{self.raw_query}" if self.raw_query else path
        return (
            f"<RequestRecord {self.method} {target} status={self.status}"
            f" headers={headers} body of {len(self.body)} bytes>"
        )
