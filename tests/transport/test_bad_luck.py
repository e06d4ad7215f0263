"""What bad luck and bad servers do to a connection, a credential and a secret."""

from __future__ import annotations

import asyncio
import gzip
import io
import json
import ssl
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Any, Final, Self

import aiohttp
import pytest
import trustme
from rich.console import Console
from rich.traceback import Traceback

from registry_async import (
    ApiError,
    AsyncRegistryClient,
    ConnectionFailedError,
    RetryPolicy,
)
from registry_async._secrets import Secret, scrub
from tests.support.clock import FakeClock
from tests.support.faults import FaultServer, Reply

pytestmark = pytest.mark.anyio

EMPTY: Final = b'{"registries": [], "totalCount": 0}'
ID: Final = "7d3c2b52-9a1f-4b57-8a39-1f5f2e6f3a10"


class StrayServer:
    """Answers a GET, then says something nobody asked for, and drops every DELETE unanswered."""

    STRAY: Final = b"HTTP/1.1 204 No Content\r\n\r\n"

    def __init__(self, tls: ssl.SSLContext | None) -> None:
        self._tls = tls
        self.answered = asyncio.Event()
        self.stray = asyncio.Event()
        self.methods: list[str] = []
        self.base_url = ""

    async def __aenter__(self) -> Self:
        self._server = await asyncio.start_server(self._serve, "127.0.0.1", 0, ssl=self._tls)
        port = self._server.sockets[0].getsockname()[1]
        self.base_url = f"http{'s' if self._tls else ''}://127.0.0.1:{port}"
        return self

    async def __aexit__(self, *_: object) -> None:
        self._server.close()

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            while head := await reader.readuntil(b"\r\n\r\n"):
                method = head.split(b" ", 1)[0].decode()
                self.methods.append(method)
                if method == "DELETE":
                    break
                writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n" % len(EMPTY) + EMPTY)
                await writer.drain()
                await self.answered.wait()
                writer.write(self.STRAY)
                await writer.drain()
                self.stray.set()
        except (asyncio.IncompleteReadError, ConnectionError):
            pass
        finally:
            writer.close()


@asynccontextmanager
async def stray_server(tls: bool) -> AsyncIterator[tuple[StrayServer, ssl.SSLContext | None]]:
    if not tls:
        async with StrayServer(None) as server:
            yield server, None
        return
    authority = trustme.CA()
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    authority.issue_cert("127.0.0.1").configure_cert(context)
    trusting = ssl.create_default_context()
    authority.configure_trust(trusting)
    async with StrayServer(context) as server:
        yield server, trusting


@pytest.mark.parametrize("own", [True, False], ids=["own session", "session of the caller"])
@pytest.mark.parametrize("tls", [False, True], ids=["plain", "TLS"])
async def test_a_stray_answer_on_an_idle_connection_is_not_taken_for_the_next(
    tls: bool, own: bool
) -> None:
    async with (
        stray_server(tls) as (server, trusting),
        aiohttp.ClientSession() as session,
        AsyncRegistryClient(
            token="t",
            base_url=server.base_url,
            session=None if own else session,
            ssl=trusting,
            retry=RetryPolicy(attempts=1),
        ) as client,
    ):
        await client.registries.list().collect()
        server.answered.set()
        await server.stray.wait()
        with pytest.raises(ConnectionFailedError):
            await client.registries.delete(ID)
    assert server.methods == ["GET", "DELETE"]


@pytest.mark.parametrize("own", [True, False], ids=["own session", "session of the caller"])
async def test_connections_with_stray_answers_are_all_dropped_and_a_new_one_is_used(
    own: bool,
) -> None:
    async with (
        stray_server(False) as (server, _),
        aiohttp.ClientSession() as session,
        AsyncRegistryClient(
            token="t", base_url=server.base_url, session=None if own else session
        ) as client,
    ):
        for _ in range(5):
            server.answered.clear()
            server.stray.clear()
            await client.registries.list().collect()
            server.answered.set()
            await server.stray.wait()
    assert server.methods == ["GET"] * 5


# -- bodies


@pytest.mark.parametrize("cut", [0.3, 0.6, 0.99])
async def test_a_gzip_body_that_stops_half_way_is_a_broken_connection_and_repeated(
    cut: float,
) -> None:
    packed = gzip.compress(EMPTY)
    broken = Reply(200, packed[: int(len(packed) * cut)], {"Content-Encoding": "gzip"})
    whole = Reply(200, packed, {"Content-Encoding": "gzip"})
    async with FaultServer(broken, whole) as server:
        async with AsyncRegistryClient(
            token="t", base_url=server.base_url, clock=FakeClock()
        ) as client:
            assert await client.registries.list().collect() == []
        assert server.count("GET") == 2


async def test_a_gzip_body_that_never_is_whole_is_said_to_be_cut() -> None:
    broken = Reply(200, gzip.compress(EMPTY)[:-4], {"Content-Encoding": "gzip"})
    async with (
        FaultServer(default=broken) as server,
        AsyncRegistryClient(token="t", base_url=server.base_url, clock=FakeClock()) as client,
    ):
        with pytest.raises(ConnectionFailedError, match="ended early"):
            await client.registries.list().collect()


@pytest.mark.parametrize("encoding", ["gzip", "x-gzip", "GZIP"])
async def test_a_body_in_several_gzip_members_is_read_whole(encoding: str) -> None:
    body = gzip.compress(EMPTY[:10]) + gzip.compress(EMPTY[10:]) + b"\0" * 8
    async with (
        FaultServer(Reply(200, body, {"Content-Encoding": encoding})) as server,
        AsyncRegistryClient(token="t", base_url=server.base_url) as client,
    ):
        assert await client.registries.list().collect() == []


# -- credentials


class Strange(BaseException):
    """An exception of the caller's own."""


class Raising:
    def __init__(self, error: BaseException) -> None:
        self.error = error

    async def get_token(self, session: object) -> str:
        raise self.error

    def invalidate(self, token: str) -> None:
        raise AssertionError


@pytest.mark.parametrize(
    "kind", [StopAsyncIteration, StopIteration, GeneratorExit, asyncio.CancelledError]
)
@pytest.mark.parametrize(
    "call",
    [
        lambda client: client.registries.list().collect(),
        lambda client: client.registries.get_by_name("prod"),
        lambda client: anext(aiter(client.registries.list())),
        lambda client: client.registries.get(ID),
    ],
    ids=["collect", "get_by_name", "async for", "get"],
)
async def test_what_credentials_raise_is_not_the_end_of_a_list(
    kind: type[BaseException], call: Callable[[AsyncRegistryClient], Any]
) -> None:
    async with AsyncRegistryClient(Raising(kind()), base_url="http://127.0.0.1:1") as client:
        with pytest.raises(RuntimeError, match=kind.__name__):
            await call(client)


async def test_an_own_exception_of_credentials_reaches_the_caller() -> None:
    error = Strange()
    async with AsyncRegistryClient(Raising(error), base_url="http://127.0.0.1:1") as client:
        with pytest.raises(Strange):
            await client.registries.get(ID)


async def test_a_call_that_waits_for_credentials_can_still_be_cancelled() -> None:
    asked = asyncio.Event()

    class Slow:
        async def get_token(self, session: object) -> str:
            asked.set()
            await asyncio.Event().wait()
            return ""

        def invalidate(self, token: str) -> None:
            raise AssertionError

    async with AsyncRegistryClient(Slow(), base_url="http://127.0.0.1:1") as client:
        call = asyncio.ensure_future(client.registries.get(ID))
        await asked.wait()
        call.cancel()
        with pytest.raises(asyncio.CancelledError):
            await call


async def test_credentials_of_others_get_a_session_that_decompresses() -> None:
    packed = Reply(200, gzip.compress(b'"iam"'), {"Content-Encoding": "gzip"})

    class Fetching:
        async def get_token(self, session: aiohttp.ClientSession) -> str:
            async with session.get(server.url + "/token") as answer:
                return str(json.loads(await answer.read()))

        def invalidate(self, token: str) -> None:
            raise AssertionError

    async with FaultServer(packed, Reply(200, EMPTY)) as server:
        async with AsyncRegistryClient(Fetching(), base_url=server.base_url) as client:
            await client.registries.list().collect()
        assert server.requests[1].header("X-Auth-Token") == "iam"


# -- secrets

LONG: Final = "".join(chr(ord("a") + number % 26) + str(number) for number in range(70))[:205]


@pytest.mark.parametrize(
    "make",
    [
        lambda secret: secret[:80],
        lambda secret: secret[5],
        lambda secret: secret.split("7")[1],
        lambda secret: secret.partition("7"),
        lambda secret: secret.upper(),
        lambda secret: secret + "x",
        lambda secret: "x" + secret,
        lambda secret: secret * 2,
        lambda secret: secret.encode(),
        lambda secret: secret.encode()[:80],
        lambda secret: list(secret.splitlines()),
        lambda secret: secret.replace("a", "b"),
        lambda secret: secret.join(["x", "y"]),
        lambda secret: secret % (),
    ],
)
def test_what_is_made_of_a_secret_is_one(make: Callable[[Secret], object]) -> None:
    shown = repr(make(Secret(LONG)))
    assert "***" in shown
    assert not any(LONG[at : at + 3] in shown for at in range(len(LONG) - 2))


def test_a_long_token_does_not_show_in_a_traceback_of_rich() -> None:
    def call(token: Secret) -> None:
        body = token.encode()
        raise LookupError(len(body))

    console = Console(file=io.StringIO(), width=200)
    try:
        call(Secret(LONG))
    except LookupError:
        console.print(Traceback(show_locals=True, locals_max_string=80))
    output = console.file
    assert isinstance(output, io.StringIO)
    assert "token = " in output.getvalue()
    assert LONG[:8] not in output.getvalue()


@pytest.mark.parametrize("left", [4, 40, 204])
@pytest.mark.parametrize("form", ["plain", "JSON"])
async def test_a_token_that_is_cut_inside_an_errors_body_does_not_show(
    left: int, form: str
) -> None:
    text = f"no such token: {LONG[:left]}"
    body = text if form == "plain" else '{"error": "' + text
    async with (
        FaultServer(Reply(400, body.encode(), {"Content-Type": "text/plain"})) as server,
        AsyncRegistryClient(token=LONG, base_url=server.base_url) as client,
    ):
        with pytest.raises(ApiError) as caught:
            await client.registries.get(ID)
    for shown in (str(caught.value), caught.value.body, caught.value.message):
        assert LONG[:4] not in shown
        assert shown.endswith("***")


def test_the_end_of_a_secret_at_the_start_of_a_text_goes_as_well() -> None:
    assert scrub(LONG[100:] + " is no token", [LONG]) == "*** is no token"
    assert scrub("nothing of it", [LONG]) == "nothing of it"


# -- our own mistakes


async def test_what_a_callers_middleware_raises_keeps_its_traceback_without_aiohttps_frames() -> (
    None
):
    async def failing(
        request: aiohttp.ClientRequest, handler: aiohttp.ClientHandlerType
    ) -> aiohttp.ClientResponse:
        raise LookupError("vault sealed")

    async with aiohttp.ClientSession(middlewares=[failing]) as session:
        client = AsyncRegistryClient(token="t", session=session, base_url="http://127.0.0.1:1")
        with pytest.raises(LookupError) as caught:
            await client.registries.get(ID)
    paths = [str(entry.path) for entry in caught.traceback]
    assert caught.traceback[-1].name == "failing"
    assert any("exchange.py" in path for path in paths)
    assert not any("aiohttp/" in path for path in paths)
