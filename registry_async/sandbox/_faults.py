"""Faults on demand: what a network and a gateway do to a client at the worst moment."""

import json
import threading
from collections.abc import Callable, Mapping
from typing import Concatenate, Literal, ParamSpec

from attrs import define, field

_Options = ParamSpec("_Options")


def _upper(method: str | None) -> str | None:
    return None if method is None else method.upper()


def _encode(body: object) -> bytes | None:
    if body is None or isinstance(body, bytes):
        return body
    return (body if isinstance(body, str) else json.dumps(body)).encode()


def _copy(headers: Mapping[str, str] | None) -> Mapping[str, str]:
    return dict(headers or {})


@define(kw_only=True, eq=False)
class Fault:
    """Describe one fault, and count how often it has struck.

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

    Attributes:
        hits: How many requests it has struck.

    Raises:
        ValueError: If nothing or more than one thing is to happen, or a number is out of range.
    """

    method: str | None = field(default=None, converter=_upper)
    path: str | Callable[[str], bool] | None = None
    times: int | None = 1
    skip: int = 0
    when: Literal["before", "after"] = "before"
    status: int | None = None
    headers: Mapping[str, str] = field(default=None, converter=_copy)
    body: bytes | None = field(default=None, converter=_encode)
    latency: float = 0.0
    drop: Literal["close", "reset"] | None = None
    truncate: int | None = None
    hits: int = field(default=0, init=False)

    def __attrs_post_init__(self) -> None:
        kinds = [kind for kind in (self.status, self.drop, self.truncate) if kind is not None]
        if len(kinds) > 1:
            raise ValueError("status, drop and truncate exclude each other")
        if not kinds and not self.latency > 0:
            raise ValueError("a fault needs a status, latency, drop or truncate")
        if self.status is not None and not 200 <= self.status <= 599:
            raise ValueError("status must be between 200 and 599")
        if (self.times is not None and self.times < 1) or min(self.skip, self.truncate or 0) < 0:
            raise ValueError("times must be at least 1; skip and truncate at least 0")
        if not self.latency >= 0:
            raise ValueError("latency must be at least 0 seconds")
        if self.drop not in (None, "close", "reset") or self.when not in ("before", "after"):
            raise ValueError("drop must be close or reset; when must be before or after")
        if self.status is None and (self.body is not None or self.headers):
            raise ValueError("body and headers belong to a status")

    @property
    def strikes_instead(self) -> bool:
        """Whether the operation is not carried out at all."""
        return self.when == "before" and (self.status is not None or self.drop is not None)

    def matches(self, method: str, raw_path: str) -> bool:
        """Tell whether this fault is meant for a request, whatever is left of its count."""
        if self.method is not None and self.method != method:
            return False
        if callable(self.path):
            return self.path(raw_path)
        return self.path is None or self.path in raw_path


def _adding(
    make: Callable[_Options, Fault],
) -> Callable[Concatenate["Faults", _Options], Fault]:
    """Make a method that takes what a fault is made of, so that it is spelled once."""

    def add(faults: "Faults", /, *args: _Options.args, **options: _Options.kwargs) -> Fault:
        """Add a fault for requests to come; `Fault` explains the options.

        Returns:
            The fault, whose `hits` counts the requests that it struck.

        Raises:
            ValueError: If nothing or more than one thing is to happen, or a number is out of range.
        """
        fault = make(*args, **options)
        faults.put(fault)
        return fault

    return add


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

    add = _adding(Fault)

    def put(self, fault: Fault) -> None:
        """Add a fault that is made already."""
        with self._lock:
            self._waiting.append(fault)

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
