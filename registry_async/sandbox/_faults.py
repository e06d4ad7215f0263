"""Faults on demand: what a network and a gateway do to a client at the worst moment."""

import json
import threading
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Literal


@dataclass(slots=True, eq=False)
class Fault:
    """Describe one fault, and count how often it has struck. `Faults.add` explains the fields."""

    method: str | None
    path: str | Callable[[str], bool] | None
    times: int | None
    skip: int
    when: Literal["before", "after"]
    status: int | None
    headers: Mapping[str, str]
    body: bytes | None
    latency: float
    drop: Literal["close", "reset"] | None
    truncate: int | None
    hits: int = field(default=0, init=False)

    def matches(self, method: str, raw_path: str) -> bool:
        """Tell whether this fault is meant for a request, whatever is left of its count."""
        if self.method is not None and self.method != method:
            return False
        if callable(self.path):
            return self.path(raw_path)
        return self.path is None or self.path in raw_path


class Faults:
    """Hold the faults that wait for a request. The first that matches strikes.

    Attributes:
        max_limit: The largest page that lists give, whatever `limit` asks for; None for no cap.
    """

    def __init__(self, max_limit: int | None = None) -> None:
        if max_limit is not None and max_limit < 1:
            raise ValueError("max_limit must be at least 1")
        self.max_limit = max_limit
        self._lock = threading.Lock()
        self._waiting: list[Fault] = []

    def add(
        self,
        *,
        method: str | None = None,
        path: str | Callable[[str], bool] | None = None,
        times: int | None = 1,
        skip: int = 0,
        when: Literal["before", "after"] = "before",
        status: int | None = None,
        headers: Mapping[str, str] | None = None,
        body: object = None,
        latency: float = 0.0,
        drop: Literal["close", "reset"] | None = None,
        truncate: int | None = None,
    ) -> Fault:
        """Add a fault for requests to come.

        Args:
            method: The HTTP method that it is meant for; any by default.
            path: A part of the raw path, or a predicate on it; any by default.
            times: How many requests it strikes; None for all.
            skip: How many matching requests are spared first.
            when: `before` strikes instead of the operation, `after` once it is carried out.
            status: Answer with this status.
            headers: Headers of that answer, such as `{"Retry-After": "1"}`.
            body: Body of that answer: bytes or text as they are, anything else as JSON; an
                error in the service's form by default.
            latency: Seconds to wait first; with `when="after"` the operation is carried out, and
                its answer waits. `inf` holds the request until the client or the
                sandbox goes away.
            drop: Answer nothing: `close` the connection properly or `reset` it.
            truncate: Send only so many bytes of the true answer's body, then close the connection.

        Returns:
            The fault, whose `hits` counts the requests that it struck.

        Raises:
            ValueError: If nothing or more than one thing is to happen, or a number is out of range.
        """
        kinds = [kind for kind in (status, drop, truncate) if kind is not None]
        if len(kinds) > 1:
            raise ValueError("status, drop and truncate exclude each other")
        if not kinds and not latency > 0:
            raise ValueError("a fault needs a status, latency, drop or truncate")
        if status is not None and not 200 <= status <= 599:
            raise ValueError("status must be between 200 and 599")
        if (times is not None and times < 1) or skip < 0 or (truncate or 0) < 0:
            raise ValueError("times must be at least 1; skip and truncate at least 0")
        if not latency >= 0:
            raise ValueError("latency must be at least 0 seconds")
        if drop not in (None, "close", "reset") or when not in ("before", "after"):
            raise ValueError("drop must be close or reset; when must be before or after")
        if status is None and (body is not None or headers):
            raise ValueError("body and headers belong to a status")
        fault = Fault(
            method=None if method is None else method.upper(),
            path=path,
            times=times,
            skip=skip,
            when=when,
            status=status,
            headers=dict(headers or {}),
            body=_encode(body),
            latency=latency,
            drop=drop,
            truncate=truncate,
        )
        with self._lock:
            self._waiting.append(fault)
        return fault

    def remove(self, fault: Fault) -> None:
        """Take back a fault; one that is spent or taken back already is no error."""
        with self._lock:
            if fault in self._waiting:
                self._waiting.remove(fault)

    def clear(self) -> None:
        """Take back all faults and the cap on pages."""
        with self._lock:
            self._waiting.clear()
            self.max_limit = None

    def take(self, method: str, raw_path: str) -> Fault | None:
        """Find the fault that strikes a request, and count it."""
        with self._lock:
            for fault in self._waiting:
                if not fault.matches(method, raw_path):
                    continue
                if fault.skip:
                    fault.skip -= 1
                    continue
                fault.hits += 1
                if fault.times is not None and fault.hits >= fault.times:
                    self._waiting.remove(fault)
                return fault
        return None


def _encode(body: object) -> bytes | None:
    if body is None or isinstance(body, bytes):
        return body
    return (body if isinstance(body, str) else json.dumps(body)).encode()
