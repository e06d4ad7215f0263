"""What the tests' servers have in common: requests as they were on the wire, and how to run."""

from __future__ import annotations

import contextlib
import json
from collections.abc import Iterator
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass, field
from typing import Any, Final, TypeVar

from anyio.from_thread import BlockingPortal, start_blocking_portal

LOOPBACK: Final = "127.0.0.1"

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class SeenRequest:
    """One request as it was on the wire, read to its last byte.

    Args:
        method: The HTTP method.
        target: The request target: the raw path and the raw query.
        headers: Name (lower case) and value, in the order of the wire.
        body: The whole body.
        index: The number of the request on the server, from 0.
        connection: The number of the connection that brought it, from 0, where the server knows.
    """

    method: str
    target: str
    headers: tuple[tuple[str, str], ...] = field(repr=False)
    body: bytes
    index: int
    connection: int = -1

    @property
    def raw_path(self) -> str:
        return self.target.partition("?")[0]

    @property
    def query(self) -> str:
        return self.target.partition("?")[2]

    def header(self, name: str) -> str | None:
        return next((value for key, value in self.headers if key == name.lower()), None)

    def json(self) -> Any:
        return json.loads(self.body)


@contextlib.contextmanager
def in_thread(server: AbstractAsyncContextManager[T]) -> Iterator[tuple[T, BlockingPortal]]:
    """Run a server on an event loop in a thread of its own, for tests of synchronous code.

    Yields:
        The running server, and the portal through which its coroutines can be called.
    """
    with start_blocking_portal() as portal, portal.wrap_async_context_manager(server) as running:
        yield running, portal
