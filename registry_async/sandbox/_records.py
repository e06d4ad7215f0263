"""What arrived at the sandbox, kept for assertions."""

import json
import re
from collections import deque
from collections.abc import Mapping

from attrs import define

_SECRET_HEADERS = frozenset({"x-auth-token", "x-subject-token", "authorization", "cookie"})
_SECRET_SEGMENT = re.compile(r"(?<=/v1/token/)[^/]+")
_HIDDEN = "***"
# How many bytes of bodies are kept: in all, and of those who have shown no good token.
_MOST = 16 * 1024**2
_MOST_OF_STRANGERS = 1024**2


@define(eq=False, repr=False)
class RequestRecord:
    """Tell of one request. Its repr hides tokens and bodies.

    Attributes:
        method: The HTTP method.
        raw_path: The path as it arrived, still encoded, without the query.
        query: The query parameters, decoded; the last of several by one name.
        raw_query: The query as it arrived.
        headers: The headers; names in any case.
        body: The body; empty for what is pushed to or pulled from the registry, and once too many
            others have come after it.
        body_size: Bytes of the body as it arrived, kept or not.
        operation_id: The operation of the contract that it means, None if it means none.
        status: The status of the answer; None while there is none, or if none was sent.
        cancelled: Whether the client went away before it was answered.
    """

    method: str
    raw_path: str
    query: Mapping[str, str]
    raw_query: str
    headers: Mapping[str, str]
    body: bytes = b""
    body_size: int = 0
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
            f" headers={headers} body of {self.body_size} bytes>"
        )


class Records:
    """Hold the last requests, and of their bodies no more than so many bytes.

    Args:
        keep: How many requests.
    """

    def __init__(self, keep: int) -> None:
        self._keep = keep
        self._records: deque[RequestRecord] = deque()
        self._known = _Bodies(_MOST)
        self._strangers = _Bodies(_MOST_OF_STRANGERS)

    def all(self) -> tuple[RequestRecord, ...]:
        """Give the records, the oldest first."""
        return tuple(self._records)

    def clear(self) -> None:
        """Forget everything."""
        self._records.clear()
        self._known = _Bodies(_MOST)
        self._strangers = _Bodies(_MOST_OF_STRANGERS)

    def add(self, record: RequestRecord, *, known: bool) -> None:
        """Keep a record, and its body for as long as there is room.

        Args:
            record: The record, with the whole body.
            known: Whether whoever sent it has shown a good token.
        """
        record.body_size = len(record.body)
        self._records.append(record)
        (self._known if known else self._strangers).add(record)
        while len(self._records) > self._keep:
            # Its bytes are counted until others push them out, which errs on the safe side.
            self._records.popleft().body = b""


class _Bodies:
    """Hold bodies up to a number of bytes; the oldest go first."""

    def __init__(self, most: int) -> None:
        self._most = most
        self._holders: deque[RequestRecord] = deque()
        self._size = 0

    def add(self, record: RequestRecord) -> None:
        if record.body_size > self._most:
            record.body = b""
        if not record.body:
            return
        self._holders.append(record)
        self._size += record.body_size
        while self._size > self._most:
            oldest = self._holders.popleft()
            oldest.body = b""
            self._size -= oldest.body_size
