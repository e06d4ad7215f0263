"""Workarounds of aiohttp, each with its reason beside it.

`tests/transport/test_aiohttp_quirks.py` fails loudly when aiohttp changes what one of them relies
on.
"""

import asyncio
import select
from collections.abc import AsyncGenerator, Callable, Sequence
from contextlib import suppress
from types import TracebackType
from typing import Final
from weakref import WeakSet

import aiohttp
import anyio
from aiohttp.client_proto import ResponseHandler
from aiohttp.connector import Connection

__all__ = [
    "PRECISE",
    "BrokenError",
    "FreshConnections",
    "StaleConnectionError",
    "begin_closing_with_loop",
    "describe",
    "loop_of",
    "send_once",
    "session_middlewares",
    "timed_from_sending",
    "without_aiohttp",
]

# aiohttp rounds time limits of 5 s and more up to a whole second of the loop's clock, so that
# many of them end together: 6.3 s would be up to 7.3 s.
PRECISE: Final = float("inf")

_THEIRS: Final = frozenset({"aiohttp", "yarl", "multidict", "frozenlist", "propcache"})

# New connections on which the server speaks before it is asked, before the request fails. Used
# ones are dropped however many there are: each is dropped once.
_MOST_UNASKED: Final = 3


class BrokenError(Exception):
    """Carries what broke a request past aiohttp's own silent repetition."""

    def __init__(self, reason: str) -> None:
        super().__init__(reason)
        self.reason = reason


class StaleConnectionError(Exception):
    """A connection was not used, because something on it waits to be read. Nothing was sent."""


async def send_once(
    request: aiohttp.ClientRequest, handler: aiohttp.ClientHandlerType
) -> aiohttp.ClientResponse:
    """Keep aiohttp from sending a request again by itself: a middleware.

    It repeats idempotent requests once after a dropped connection, unseen: a DELETE that was
    carried out would then answer 404 to what looks like the first attempt.
    """
    reason: str
    try:
        return await handler(request)
    except aiohttp.ClientConnectorError:
        raise
    except (aiohttp.ClientOSError, aiohttp.ServerDisconnectedError) as error:
        reason = describe(error)
    raise BrokenError(reason)


class FreshConnections:
    """Drop pooled connections on which something waits to be read: a middleware.

    What waits there was not asked for, and aiohttp would take it for the answer to the request
    that is sent next: a stray 204 would confirm a DELETE that nobody carried out. It may also be
    the end of a connection that the server closed while it was idle.
    """

    def __init__(self) -> None:
        self._used: WeakSet[ResponseHandler] = WeakSet()

    async def __call__(
        self, request: aiohttp.ClientRequest, handler: aiohttp.ClientHandlerType
    ) -> aiohttp.ClientResponse:
        """Send a request on the first connection that is fit for it."""
        unasked = 0
        while True:
            used = False

            def check(connection: Connection) -> None:
                nonlocal used
                protocol = connection.protocol
                if protocol is None:
                    return
                used = protocol in self._used
                if _waits_to_be_read(protocol, used):
                    raise StaleConnectionError
                self._used.add(protocol)

            undo = _before_sending(request, check)
            try:
                return await handler(request)
            except StaleConnectionError:
                # aiohttp has closed the connection.
                unasked += not used
                if unasked >= _MOST_UNASKED:
                    raise
            finally:
                undo()


def _waits_to_be_read(protocol: ResponseHandler, used: bool) -> bool:
    # What the event loop has read already shows here, and so does a partly read answer.
    if protocol.should_close:
        return True
    if not used:
        # A new TLS connection has session tickets to read, which are not an answer.
        return False
    transport = protocol.transport
    handle = None if transport is None else transport.get_extra_info("socket")
    return handle is not None and _is_readable(handle.fileno())


def _is_readable(descriptor: int) -> bool:
    """Say whether a socket has something to read, its end included, without reading it."""
    if descriptor < 0:
        return True
    if hasattr(select, "poll"):
        poll = select.poll()
        poll.register(descriptor, select.POLLIN)
        return bool(poll.poll(0))
    return bool(select.select([descriptor], [], [], 0)[0])


def _before_sending(
    request: aiohttp.ClientRequest, check: Callable[[Connection], None]
) -> Callable[[], None]:
    """Have a function called when a request has a connection, right before it is sent.

    aiohttp has no hook for that moment: middlewares see the request before it waits for a
    connection, and traces see it after it was sent.
    """
    send = request.send

    async def checked_send(connection: Connection) -> aiohttp.ClientResponse:
        check(connection)
        return await send(connection)

    attributes = vars(request)
    before = attributes.get("send")
    attributes["send"] = checked_send

    def undo() -> None:
        # Without this the request would hold a reference to itself.
        if before is None:
            attributes.pop("send", None)
        else:
            attributes["send"] = before

    return undo


def timed_from_sending(scope: anyio.CancelScope, seconds: float) -> aiohttp.ClientMiddlewareType:
    """Return a middleware that starts a time limit when a connection has been got.

    aiohttp's own limit for a whole request counts the wait for a place in the pool, too.
    """

    def start(_: Connection) -> None:
        scope.deadline = anyio.current_time() + seconds

    async def middleware(
        request: aiohttp.ClientRequest, handler: aiohttp.ClientHandlerType
    ) -> aiohttp.ClientResponse:
        undo = _before_sending(request, start)
        try:
            return await handler(request)
        finally:
            undo()

    return middleware


def session_middlewares(session: aiohttp.ClientSession) -> Sequence[aiohttp.ClientMiddlewareType]:
    """Return a session's own middlewares, which those given with a request would replace.

    aiohttp keeps them to itself. Without them a caller's signatures or proxies would be left out
    in silence, so an aiohttp that has them elsewhere is an error here: no default.
    """
    return session._middlewares  # pyright: ignore[reportPrivateUsage]


def loop_of(connector: aiohttp.BaseConnector) -> asyncio.AbstractEventLoop:
    """Return the event loop that a connector belongs to, which aiohttp keeps to itself."""
    return connector._loop  # pyright: ignore[reportPrivateUsage]


async def _close_with_loop(
    sessions: list[aiohttp.ClientSession], reading: set[aiohttp.ClientResponse]
) -> AsyncGenerator[None]:
    try:
        yield
    finally:
        # The session's end alone would leave a body's reader waiting until its time is up.
        for response in reading:
            response.close()
        for session in reversed(sessions):
            await session.close()


def begin_closing_with_loop(
    sessions: list[aiohttp.ClientSession], reading: set[aiohttp.ClientResponse]
) -> AsyncGenerator[None]:
    """Return a generator that closes the sessions when it, or its event loop, ends.

    A client may outlive its loop without being closed: one that is used in one `asyncio.run()`
    after the other. aiohttp has no hook for that, but a loop that ends closes the asynchronous
    generators begun in it, and this one has begun.
    """
    closing = _close_with_loop(sessions, reading)
    with suppress(StopIteration):
        closing.__anext__().__await__().__next__()
    return closing


def describe(error: BaseException) -> str:
    """Say what broke without aiohttp's own texts, which can hold the request's headers."""
    if isinstance(error, aiohttp.ClientConnectorCertificateError):
        return f"the server's certificate is not trusted: {error.certificate_error}"
    if isinstance(error, aiohttp.ClientConnectorError):
        reason = error.os_error.strerror or type(error.os_error).__name__
        return f"cannot connect to {error.host}:{error.port}: {reason}"
    if isinstance(error, aiohttp.ServerDisconnectedError):
        return "the server closed the connection without an answer"
    if isinstance(error, aiohttp.ClientPayloadError):
        return "the answer ended early or could not be decompressed"
    if isinstance(error, OSError) and error.strerror:
        return f"the connection broke: {error.strerror}"
    return f"the connection broke ({type(error).__name__})"


def without_aiohttp(error: BaseException) -> BaseException:
    """Return the error without aiohttp's frames in its traceback, and in those it came from.

    Their local variables hold the URL, and with it the tokens of API v1. Frames of our own and
    of the caller's middlewares and hooks stay.
    """
    seen: set[int] = set()
    pending: list[BaseException | None] = [error]
    while pending:
        each = pending.pop()
        if each is None or id(each) in seen:
            continue
        seen.add(id(each))
        each.__traceback__ = _kept(each.__traceback__)
        pending += (each.__cause__, each.__context__)
    # The frame that raises it again adds itself.
    if error.__traceback__ is not None:
        error.__traceback__ = error.__traceback__.tb_next
    return error


def _kept(traceback: TracebackType | None) -> TracebackType | None:
    kept: list[TracebackType] = []
    while traceback is not None:
        module = str(traceback.tb_frame.f_globals.get("__name__", ""))
        if module.partition(".")[0] not in _THEIRS:
            kept.append(traceback)
        traceback = traceback.tb_next
    chain: TracebackType | None = None
    for each in reversed(kept):
        chain = TracebackType(chain, each.tb_frame, each.tb_lasti, each.tb_lineno)
    return chain
