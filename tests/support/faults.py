"""A server of raw sockets that misbehaves as told.

A server of a web framework cannot send half a body or reset a connection in the right moment; this
one can. Give it a script, one behaviour per request in the order in which requests arrive, or a
function from request to behaviour:

    async with FaultServer(Reset(), Reply.json({"totalCount": 0})) as server:
        ...  # act on server.base_url
    assert server.count("GET") == 2

    async with FaultServer(handler=lambda request: Drop() if request.index % 20 else Reply()): ...

What happens on the wire for one request is a `Behaviour`; what it did so far is on the server:
`requests` (all that were read whole, in order), `count(method)`, `connection_count`,
`open_connections`, `client_left`.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import socket
import struct
import zlib
from collections import Counter
from collections.abc import AsyncIterator, Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime
from http import HTTPStatus
from types import TracebackType
from typing import Final, Protocol, Self

from tests.support.wire import LOOPBACK, SeenRequest

FIVE_MEGABYTES: Final = b"x" * 5_000_000
_HEAD_LIMIT: Final = 1 << 20


class Connection:
    """The server's end of one connection, for behaviours to act on."""

    def __init__(
        self,
        number: int,
        reader: asyncio.StreamReader,
        writer: asyncio.StreamWriter,
        closing: asyncio.Event,
        client_left: asyncio.Event,
    ) -> None:
        self.number = number
        self._reader = reader
        self._writer = writer
        self._closing = closing
        self._client_left = client_left

    async def send(self, data: bytes) -> None:
        self._writer.write(data)
        await self._writer.drain()

    async def pause(self, seconds: float) -> None:
        """Let time pass, but end at once when the server closes."""
        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(self._closing.wait(), seconds)

    async def until_client_leaves(self) -> None:
        """Wait for the client to close or to reset the connection."""
        with contextlib.suppress(ConnectionError):
            while await self._reader.read(1 << 16):
                pass
        self._client_left.set()

    def close(self) -> None:
        """Close in order (FIN), after what was written."""
        self._writer.close()

    def reset(self) -> None:
        """Close with a reset (RST): zero linger throws away what was not sent."""
        sock: socket.socket = self._writer.get_extra_info("socket")
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self._writer.transport.abort()


class Behaviour(Protocol):
    """What the server does with one request."""

    async def perform(self, connection: Connection, request: SeenRequest) -> bool:
        """Act, and tell whether the connection may carry another request."""
        ...


def _head(status: int, headers: Iterable[tuple[str, str]]) -> bytes:
    try:
        phrase = HTTPStatus(status).phrase
    except ValueError:
        phrase = "Unknown"
    lines = [f"HTTP/1.1 {status} {phrase}", *(f"{name}: {value}" for name, value in headers)]
    return "\r\n".join([*lines, "", ""]).encode("latin-1")


def _with_length(headers: Mapping[str, str], status: int, length: int) -> list[tuple[str, str]]:
    pairs = list(headers.items())
    if status not in {204, 304}:
        pairs.append(("Content-Length", str(length)))
    return pairs


@dataclass(frozen=True, slots=True)
class Reply:
    """Answer in order.

    Args:
        status: The status code.
        body: The body, sent whole.
        headers: Header fields beside Content-Length.
        then_close: Close the connection after the answer without having announced it, as a server
            does whose keep-alive has run out.
    """

    status: int = 200
    body: bytes = b""
    headers: Mapping[str, str] = field(default_factory=dict)
    then_close: bool = False

    @classmethod
    def json(
        cls,
        value: object,
        status: int = 200,
        *,
        headers: Mapping[str, str] | None = None,
        then_close: bool = False,
    ) -> Self:
        """Answer with a JSON body."""
        fields = {"Content-Type": "application/json", **(headers or {})}
        return cls(status, json.dumps(value).encode(), fields, then_close)

    @classmethod
    def redirect(cls, location: str, status: int = 307) -> Self:
        """Answer with a redirect."""
        return cls(status, headers={"Location": location})

    async def perform(self, connection: Connection, request: SeenRequest) -> bool:
        await connection.send(
            _head(self.status, _with_length(self.headers, self.status, len(self.body))) + self.body
        )
        if self.then_close:
            connection.close()
        return not self.then_close


@dataclass(frozen=True, slots=True)
class Hang:
    """Send the start of an answer, or nothing, and then nothing more until the client leaves.

    Args:
        start: The bytes to send before falling silent.
    """

    start: bytes = b""

    @classmethod
    def in_body(cls, body: bytes, *, missing: int = 1) -> Self:
        """Send a head and a body, but announce `missing` bytes more."""
        fields = {"Content-Type": "application/json"}
        return cls(_head(200, _with_length(fields, 200, len(body) + missing)) + body)

    async def perform(self, connection: Connection, request: SeenRequest) -> bool:
        if self.start:
            await connection.send(self.start)
        await connection.until_client_leaves()
        return False


@dataclass(frozen=True, slots=True)
class Drop:
    """Carry the request out and close without an answer: the answer is lost.

    Args:
        start: Bytes of an answer to send before closing.
    """

    start: bytes = b""

    async def perform(self, connection: Connection, request: SeenRequest) -> bool:
        if self.start:
            await connection.send(self.start)
        connection.close()
        return False


@dataclass(frozen=True, slots=True)
class Reset:
    """Reset the connection (RST) instead of answering.

    Args:
        after_head: Send the head of a 200 and one byte of its body first. The client has that only
            if it reads before the reset arrives: a reset throws away what waits.
    """

    after_head: bool = False

    async def perform(self, connection: Connection, request: SeenRequest) -> bool:
        if self.after_head:
            await connection.send(_head(200, _with_length({}, 200, 1000)) + b"{")
        connection.reset()
        return False


@dataclass(frozen=True, slots=True)
class Truncate:
    """Announce a whole body, send a part of it, and close.

    Args:
        body: The body as it should have been.
        sent: How many bytes of it are sent; half of them by default.
        chunked: Send it in chunks whose last one never comes, instead of with a Content-Length.
    """

    body: bytes
    sent: int | None = None
    status: int = 200
    chunked: bool = False

    async def perform(self, connection: Connection, request: SeenRequest) -> bool:
        part = self.body[: len(self.body) // 2 if self.sent is None else self.sent]
        fields = {"Content-Type": "application/json"}
        if self.chunked:
            head = _head(self.status, [*fields.items(), ("Transfer-Encoding", "chunked")])
            await connection.send(head + f"{len(part):x}\r\n".encode() + part + b"\r\n")
        else:
            head = _head(self.status, _with_length(fields, self.status, len(self.body)))
            await connection.send(head + part)
        connection.close()
        return False


@dataclass(frozen=True, slots=True)
class Garbage:
    """Answer with bytes that are no HTTP, and close."""

    data: bytes = b"\x16\x03\x01\x00\xff this is no HTTP\r\n\r\n"

    async def perform(self, connection: Connection, request: SeenRequest) -> bool:
        await connection.send(self.data)
        connection.close()
        return False


@dataclass(frozen=True, slots=True)
class Drip:
    """Send a body in pieces with a pause after each, so that every single read succeeds.

    Args:
        body: The whole body.
        piece: Bytes per piece.
        interval: Seconds between two pieces.
    """

    body: bytes
    interval: float
    piece: int = 1
    status: int = 200

    async def perform(self, connection: Connection, request: SeenRequest) -> bool:
        fields = {"Content-Type": "application/json"}
        await connection.send(_head(self.status, _with_length(fields, self.status, len(self.body))))
        for start in range(0, len(self.body), self.piece):
            await connection.send(self.body[start : start + self.piece])
            await connection.pause(self.interval)
        return True


@dataclass(frozen=True, slots=True)
class GzipBomb:
    """Send a small gzip body that unfolds into many bytes.

    Args:
        size: Bytes after decompression.
        status: The status code.
    """

    size: int = 1 << 30
    status: int = 200

    async def perform(self, connection: Connection, request: SeenRequest) -> bool:
        fields = [
            ("Content-Type", "application/json"),
            ("Content-Encoding", "gzip"),
            ("Transfer-Encoding", "chunked"),
        ]
        await connection.send(_head(self.status, fields))
        for piece in _gzip_of_spaces(self.size):
            await connection.send(f"{len(piece):x}\r\n".encode() + piece + b"\r\n")
        await connection.send(b"0\r\n\r\n")
        return True


def _gzip_of_spaces(size: int) -> Iterator[bytes]:
    # Spaces are the start of valid JSON for as long as one cares to read.
    compressor = zlib.compressobj(9, zlib.DEFLATED, 16 + zlib.MAX_WBITS)
    block = b" " * (1 << 20)
    left = size
    while left > 0:
        if piece := compressor.compress(block[: min(left, len(block))]):
            yield piece
        left -= len(block)
    yield compressor.flush()


Handler = Callable[[SeenRequest], Behaviour]


class ScriptExhaustedError(AssertionError):
    """More requests came than the script has behaviours."""


class FaultServer:
    """An HTTP/1.1 server on loopback whose every answer is scripted.

    Args:
        *script: One behaviour per request, in the order in which requests arrive.
        handler: Chooses the behaviour of each request, instead of a script.
        default: The behaviour once the script has run out. Without one, a request too many is
            answered 418 and makes the end of the `async with` block raise.
    """

    def __init__(
        self,
        *script: Behaviour,
        handler: Handler | None = None,
        default: Behaviour | None = None,
    ) -> None:
        self.requests: list[SeenRequest] = []
        self.connection_count = 0
        # Set once a client has closed a connection, or reset it, of its own accord.
        self.client_left = asyncio.Event()
        self._handler = handler
        self._script = iter(script)
        self._default = default
        self._surplus: list[SeenRequest] = []
        self._failures: list[BaseException] = []
        self._connections: dict[asyncio.Task[None], Connection] = {}
        self._closing = asyncio.Event()
        self._changed = asyncio.Condition()
        self._server: asyncio.Server | None = None
        self._port = 0

    async def __aenter__(self) -> Self:
        await self.start_listening()
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        await self.aclose()
        problems: list[BaseException] = [*self._failures]
        if self._surplus:
            extra = [f"{request.method} {request.target}" for request in self._surplus]
            problems.append(ScriptExhaustedError(f"requests beyond the script: {extra}"))
        if error is None:
            for problem in problems:
                raise problem
        else:
            for problem in problems:
                error.add_note(f"and on the fault server: {problem!r}")

    async def aclose(self) -> None:
        """Stop listening and cut every connection. May be called twice."""
        self._closing.set()
        await self.stop_listening()
        tasks = list(self._connections)
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    @property
    def url(self) -> str:
        """The server's origin, such as http://127.0.0.1:8080."""
        return f"http://{LOOPBACK}:{self._port}"

    @property
    def base_url(self) -> str:
        """The base URL of the service under the server's origin."""
        return f"{self.url}/api"

    @property
    def port(self) -> int:
        return self._port

    @property
    def open_connections(self) -> int:
        """How many connections are open on the server's side now."""
        return len(self._connections)

    def count(self, method: str | None = None, path: str | None = None) -> int:
        """Count the requests that came through whole, by method and raw path where given."""
        return sum(
            (method is None or request.method == method)
            and (path is None or request.raw_path == path)
            for request in self.requests
        )

    def counts(self) -> Counter[str]:
        """Count the requests that came through whole, by method."""
        return Counter(request.method for request in self.requests)

    async def wait_for_requests(self, number: int, *, within: float = 10.0) -> None:
        """Wait until so many requests have come through whole.

        Raises:
            TimeoutError: They have not within so many seconds.
        """
        await self._wait_until(lambda: len(self.requests) >= number, within)

    async def wait_for_connections(self, number: int, *, within: float = 10.0) -> None:
        """Wait until exactly so many connections are open.

        Raises:
            TimeoutError: There are not within so many seconds.
        """
        await self._wait_until(lambda: len(self._connections) == number, within)

    async def close_connections(self, *, reset: bool = False) -> None:
        """Close every open connection from the server's side, idle ones included.

        A client in the same event loop has seen it when this returns.
        """
        tasks = list(self._connections)
        for connection in self._connections.values():
            if reset:
                connection.reset()
            else:
                connection.close()
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        # One turn of the loop closes the sockets, the next one's poll shows that to the client.
        for _ in range(4):
            await asyncio.sleep(0)

    async def start_listening(self) -> None:
        """Accept connections: at first on a free port, after `stop_listening` on the same one."""
        self._server = await asyncio.start_server(
            self._connected, LOOPBACK, self._port, limit=_HEAD_LIMIT
        )
        self._port = self._server.sockets[0].getsockname()[1]

    async def stop_listening(self) -> None:
        """Refuse new connections from now on; open ones stay."""
        if self._server is not None:
            self._server.close()
            self._server = None

    async def _wait_until(self, condition: Callable[[], bool], within: float) -> None:
        async with asyncio.timeout(within), self._changed:
            await self._changed.wait_for(condition)

    async def _notify(self) -> None:
        async with self._changed:
            self._changed.notify_all()

    def _connected(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        if self._closing.is_set():
            writer.transport.abort()
            return
        connection = Connection(
            self.connection_count, reader, writer, self._closing, self.client_left
        )
        self.connection_count += 1
        task = asyncio.create_task(self._serve(connection, reader, writer))
        self._connections[task] = connection

    async def _serve(
        self, connection: Connection, reader: asyncio.StreamReader, writer: asyncio.StreamWriter
    ) -> None:
        try:
            await self._notify()
            while request := await self._read_request(connection.number, reader):
                self.requests.append(request)
                await self._notify()
                if not await self._behaviour(request).perform(connection, request):
                    break
            else:
                self.client_left.set()
            writer.close()
            await writer.wait_closed()
        except ConnectionError:
            self.client_left.set()
        except Exception as error:  # noqa: BLE001 - kept, and raised at the end of the block
            self._failures.append(error)
        finally:
            # Nothing is left of what was closed in order; what a client did not read is given up.
            writer.transport.abort()
            current = asyncio.current_task()
            assert current is not None
            del self._connections[current]
            if not self._closing.is_set():
                await self._notify()

    def _behaviour(self, request: SeenRequest) -> Behaviour:
        if self._handler is not None:
            return self._handler(request)
        behaviour = next(self._script, self._default)
        if behaviour is not None:
            return behaviour
        self._surplus.append(request)
        return Reply(418, b"the script has no behaviour left")

    async def _read_request(
        self, connection: int, reader: asyncio.StreamReader
    ) -> SeenRequest | None:
        try:
            head = await reader.readuntil(b"\r\n\r\n")
        except asyncio.IncompleteReadError:
            return None
        first, *lines = head.decode("latin-1").rstrip("\r\n").split("\r\n")
        method, target, _ = first.split(" ")
        pairs = [line.partition(":") for line in lines]
        headers = tuple((name.strip().lower(), value.strip()) for name, _, value in pairs)
        named = dict(headers)
        try:
            if named.get("transfer-encoding", "").lower() == "chunked":
                body = b"".join([chunk async for chunk in _chunks(reader)])
            else:
                body = await reader.readexactly(int(named.get("content-length", "0")))
        except asyncio.IncompleteReadError:
            return None
        return SeenRequest(method, target, headers, body, len(self.requests), connection)


async def _chunks(reader: asyncio.StreamReader) -> AsyncIterator[bytes]:
    while size := int((await reader.readuntil(b"\r\n")).partition(b";")[0], 16):
        yield await reader.readexactly(size)
        await reader.readexactly(2)
    await reader.readuntil(b"\r\n")


@contextlib.contextmanager
def refused_port() -> Iterator[int]:
    """Hold a loopback port on which every connection is refused.

    It is bound but not listened on, so no other program can take it in the meantime.
    """
    with socket.socket() as sock:
        sock.bind((LOOPBACK, 0))
        port: int = sock.getsockname()[1]
        yield port


def retry_after_forms(now: datetime) -> dict[str, str]:
    """Give every form of a Retry-After header that a server or a gateway has been seen to send.

    Args:
        now: The time that the dates are relative to, aware.
    """

    def date(seconds: float) -> str:
        return format_datetime((now + timedelta(seconds=seconds)).astimezone(UTC), usegmt=True)

    return {
        "seconds": "2",
        "zero": "0",
        "padded": "  3  ",
        "fraction": "1.5",
        "negative": "-5",
        "nan": "nan",
        "inf": "inf",
        "exponent": "1e400",
        "huge": "99999999999999999999",
        "date": date(2),
        "past date": date(-3600),
        "far date": date(86400 * 365),
        "date out of range": "Fri, 31 Dec 99999 23:59:59 GMT",
        "text": "soon",
        "empty": "",
        "non-ASCII digits": "\u00b2",
    }
