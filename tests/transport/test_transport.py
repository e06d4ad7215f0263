"""What reaches the server, how often, and what the caller gets of it."""

from __future__ import annotations

import asyncio
import contextlib
import gc
import gzip
import json
import logging
import socket
import ssl
import struct
import threading
import tracemalloc
import warnings
from collections.abc import Awaitable, Callable, Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any, Final

import aiohttp
import pytest
import trustme
from aiohttp import web

from registry_async import (
    AsyncRegistryClient,
    ClientClosedError,
    ConfigurationError,
    ConnectionFailedError,
    ContainerRegistryError,
    NotFoundError,
    RateLimitedError,
    RequestTimeoutError,
    RetryPolicy,
    ServerError,
    TokenScope,
    UnexpectedResponseError,
)
from tests.support.clock import FakeClock
from tests.support.faults import (
    FIVE_MEGABYTES,
    Behaviour,
    Connection,
    Drip,
    Drop,
    FaultServer,
    Garbage,
    GzipBomb,
    Hang,
    Reply,
    Reset,
    Truncate,
    refused_port,
)
from tests.support.wire import LOOPBACK, SeenRequest, in_thread

pytestmark = pytest.mark.anyio

EMPTY: Final = Reply.json({"registries": [], "totalCount": 0})
DONE: Final = Reply(204)
REGISTRY: Final = {
    "id": "r",
    "name": "r",
    "status": "ACTIVE",
    "size": 1,
    "createdAt": "2025-01-01T00:00:00Z",
}
TOKEN_V2: Final = {
    "id": "t",
    "status": "active",
    "scope": {"allRegistries": True, "modeRW": False},
    "expiration": {"isSet": False},
    "token": "secret-of-t",
}
SCOPE: Final = TokenScope(all_registries=True, read_write=False)


def client_of(server: FaultServer, **options: Any) -> AsyncRegistryClient:
    settings: dict[str, Any] = {
        "token": "t",
        "base_url": server.base_url,
        "clock": FakeClock(),
        **options,
    }
    return AsyncRegistryClient(**settings)


async def get(client: AsyncRegistryClient) -> object:
    return await client.registries.list().collect()


async def delete(client: AsyncRegistryClient) -> object:
    await client.repositories.delete("r", "team/app")
    return None


async def post(client: AsyncRegistryClient) -> object:
    return await client.tokens.create(scope=SCOPE, expires_at=None)


async def patch(client: AsyncRegistryClient) -> object:
    return await client.tokens.update("t", name="new")


Call = Callable[[AsyncRegistryClient], Awaitable[object]]
CALLS: Final[dict[str, Call]] = {"GET": get, "DELETE": delete, "POST": post, "PATCH": patch}
ANSWERS: Final[dict[str, Reply]] = {
    "GET": EMPTY,
    "DELETE": DONE,
    "POST": Reply.json(TOKEN_V2, 201),
    "PATCH": Reply.json(TOKEN_V2),
}

LOST: Final[dict[str, Behaviour]] = {
    "dropped": Drop(),
    "reset": Reset(),
    "reset in the body": Reset(after_head=True),
    "truncated": Truncate(b'{"registries": []}'),
    "truncated chunks": Truncate(b'{"registries": []}', chunked=True),
    "head cut": Drop(b"HTTP/1.1 200 OK\r\nContent-Le"),
    "502": Reply(502),
    "504": Reply(504),
}


# -- the URL on the wire


@pytest.mark.parametrize(
    "path", ["", "/", "/api", "/api/", "//api//", "/a/b", "/a/b/", "/v1", "/v2/"]
)
async def test_every_slash_at_the_joint_of_the_base_url_works(path: str) -> None:
    expected = {"": "", "/": "", "/v1": "", "/v2/": "", "/a/b": "/a/b", "/a/b/": "/a/b"}
    async with (
        FaultServer(EMPTY) as server,
        client_of(server, base_url=server.url + path) as client,
    ):
        await get(client)
        assert server.requests[0].raw_path == expected.get(path, "/api") + "/v2/registries"


@pytest.mark.parametrize("path", ["v2/registries", "/v2/registries"])
@pytest.mark.parametrize("base", ["/api", "/api/"])
async def test_every_slash_at_the_joint_of_a_request_by_hand_works(base: str, path: str) -> None:
    async with (
        FaultServer(EMPTY) as server,
        client_of(server, base_url=server.url + base) as client,
    ):
        await client.request(
            "get", path, params={"short": True, "none": None, "q": "a b&c", "n": 1}
        )
        assert server.requests[0].target == "/api/v2/registries?short=true&q=a%20b%26c&n=1"
        assert server.count("GET") == 1


async def test_a_slash_in_a_name_stays_in_its_segment() -> None:
    async with FaultServer(default=DONE) as server, client_of(server) as client:
        await client.repositories.delete("r", "a/b")
        await client.images.delete("r", "a/b", "sha256:0")
        assert [request.raw_path for request in server.requests] == [
            "/api/v1/registries/r/repositories/a%2Fb",
            "/api/v1/registries/r/repositories/a%2Fb/sha256%3A0",
        ]


async def test_the_headers_of_a_request() -> None:
    async with (
        FaultServer(EMPTY, ANSWERS["POST"]) as server,
        client_of(server, token="the-token", user_agent="app/1.0") as client,
    ):
        await get(client)
        await post(client)
        for request in server.requests:
            assert request.header("X-Auth-Token") == "the-token"
            assert request.header("Accept") == "application/json"
            assert str(request.header("User-Agent")).startswith("app/1.0 registry-async/")
        assert server.requests[0].header("Content-Type") is None
        assert server.requests[1].header("Content-Type") == "application/json"


async def test_a_session_that_leaves_answers_compressed_is_refused() -> None:
    async with aiohttp.ClientSession(auto_decompress=False) as session:
        with pytest.raises(ValueError, match="auto_decompress"):
            AsyncRegistryClient(token="t", session=session)


@pytest.mark.parametrize("foreign", [False, True], ids=["own session", "caller's session"])
async def test_a_post_without_a_body_names_no_type_for_it(foreign: bool) -> None:
    async with FaultServer(default=Reply(201)) as server, contextlib.AsyncExitStack() as stack:
        session = await stack.enter_async_context(aiohttp.ClientSession()) if foreign else None
        client = await stack.enter_async_context(client_of(server, session=session))
        await client.registries.start_garbage_collection("r")
        await client.request("POST", "/v2/tokens/t/revoke")
        for request in server.requests:
            assert (request.method, request.body) == ("POST", b"")
            assert request.header("Content-Type") is None
            assert request.header("Content-Length") == "0"


# -- redirects


@pytest.mark.parametrize("status", [300, 301, 302, 303, 304, 307, 308])
@pytest.mark.parametrize("method", CALLS)
async def test_redirects_are_errors_and_the_token_stays(method: str, status: int) -> None:
    async with FaultServer() as thief:
        location = thief.base_url + "/v2/registries"
        async with (
            FaultServer(Reply.redirect(location, status)) as server,
            client_of(server) as client,
        ):
            with pytest.raises(UnexpectedResponseError, match="redirect") as caught:
                await CALLS[method](client)
            assert caught.value.status == status
            assert server.counts() == {method: 1}
            assert thief.connection_count == 0


# -- repetition


@pytest.mark.parametrize("how", LOST)
@pytest.mark.parametrize("method", ["GET", "DELETE"])
async def test_get_and_delete_are_repeated_after_a_lost_answer(method: str, how: str) -> None:
    async with (
        FaultServer(LOST[how], LOST[how], ANSWERS[method]) as server,
        client_of(server) as client,
    ):
        await CALLS[method](client)
        assert server.counts() == {method: 3}


@pytest.mark.parametrize("how", LOST)
@pytest.mark.parametrize("method", CALLS)
@pytest.mark.parametrize("attempts", [1, 2, 4])
async def test_a_request_arrives_as_often_as_counted(method: str, how: str, attempts: int) -> None:
    retry = RetryPolicy(attempts=attempts)
    async with FaultServer(default=LOST[how]) as server, client_of(server, retry=retry) as client:
        with pytest.raises((ConnectionFailedError, ServerError)):
            await CALLS[method](client)
        # A POST or PATCH that may have been carried out is never sent again.
        assert server.counts() == {method: attempts if method in ("GET", "DELETE") else 1}


@pytest.mark.parametrize("attempts", [1, 3])
@pytest.mark.parametrize("how", [Drop(), Reset()], ids=["drop", "reset"])
@pytest.mark.parametrize("method", CALLS)
async def test_a_dropped_kept_alive_connection_causes_no_hidden_repetition(
    method: str, how: Behaviour, attempts: int
) -> None:
    retry = RetryPolicy(attempts=attempts)
    async with FaultServer(EMPTY, default=how) as server, client_of(server, retry=retry) as client:
        await get(client)
        with pytest.raises(ConnectionFailedError):
            await CALLS[method](client)
        repeated = attempts if method in ("GET", "DELETE") else 1
        assert len(server.requests) == 1 + repeated
        # The first attempt did go over the connection that was kept.
        assert server.requests[1].connection == server.requests[0].connection


@pytest.mark.parametrize("own", [True, False])
async def test_hidden_repetition_is_off_in_a_callers_session_too(own: bool) -> None:
    async with FaultServer(EMPTY, default=Drop()) as server, aiohttp.ClientSession() as session:
        options: dict[str, Any] = {} if own else {"session": session}
        async with client_of(server, retry=RetryPolicy(attempts=1), **options) as client:
            await get(client)
            with pytest.raises(ConnectionFailedError):
                await delete(client)
            assert server.count("DELETE") == 1


@pytest.mark.parametrize("method", CALLS)
@pytest.mark.parametrize("status", [429, 502, 503, 504])
async def test_statuses_are_repeated_by_method(method: str, status: int) -> None:
    async with (
        FaultServer(Reply(status), default=ANSWERS[method]) as server,
        client_of(server) as client,
    ):
        if method in ("GET", "DELETE") or status == 429:
            await CALLS[method](client)
            assert server.counts() == {method: 2}
        else:
            with pytest.raises(ServerError) as caught:
                await CALLS[method](client)
            assert caught.value.status == status
            assert server.counts() == {method: 1}


@pytest.mark.parametrize("method", CALLS)
@pytest.mark.parametrize("status", [400, 401, 403, 404, 405, 409, 418, 500, 501, 507])
async def test_other_statuses_are_final(method: str, status: int) -> None:
    async with FaultServer(Reply(status)) as server, client_of(server) as client:
        with pytest.raises(ContainerRegistryError):
            await CALLS[method](client)
        assert server.counts() == {method: 1}


@pytest.mark.parametrize("method", CALLS)
async def test_a_refused_connection_is_tried_again_by_any_method(method: str) -> None:
    clock = FakeClock()
    with refused_port() as port:
        async with AsyncRegistryClient(
            token="t", base_url=f"http://{LOOPBACK}:{port}", clock=clock
        ) as client:
            with pytest.raises(ConnectionFailedError, match="cannot connect"):
                await CALLS[method](client)
    assert len(clock.sleeps) == 3


async def test_a_post_succeeds_once_the_server_listens() -> None:
    async with FaultServer(ANSWERS["POST"]) as server:
        await server.stop_listening()
        clock = FakeClock()
        sleep = clock.sleep

        async def start(seconds: float) -> None:
            await sleep(seconds)
            await server.start_listening()

        clock.sleep = start  # type: ignore[method-assign]
        async with client_of(server, clock=clock) as client:
            await post(client)
        assert server.counts() == {"POST": 1}
        assert len(clock.sleeps) == 1


# -- DELETE and 404


@pytest.mark.parametrize("how", [*LOST, "hang"])
async def test_a_delete_that_finds_404_after_a_lost_answer_has_succeeded(how: str) -> None:
    lost = LOST.get(how, Hang())
    async with (
        FaultServer(lost, Reply(404)) as server,
        client_of(server, timeout=0.3 if how == "hang" else 30) as client,
    ):
        await delete(client)
        assert server.counts() == {"DELETE": 2}


@pytest.mark.parametrize(
    "script",
    [
        [Reply(404)],
        [Reply(503), Reply(404)],
        [Reply(429), Reply(404)],
        [Reply(429), Reply(503), Reply(404)],
        [Truncate(b'{"error": "not found"}', status=404)],
    ],
    ids=["first", "after 503", "after 429", "after both", "cut"],
)
async def test_a_delete_that_finds_404_otherwise_has_failed(script: list[Behaviour]) -> None:
    async with FaultServer(*script) as server, client_of(server) as client:
        with pytest.raises(NotFoundError):
            await delete(client)
        assert server.counts() == {"DELETE": len(script)}


async def test_a_lost_answer_is_remembered_over_further_failures() -> None:
    async with FaultServer(Drop(), Reply(503), Reply(404)) as server, client_of(server) as client:
        await delete(client)
        assert server.counts() == {"DELETE": 3}


async def test_a_get_that_finds_404_on_a_repeat_has_failed() -> None:
    async with FaultServer(Drop(), Reply(404)) as server, client_of(server) as client:
        with pytest.raises(NotFoundError):
            await get(client)


# -- bodies


@pytest.mark.parametrize("own", [True, False])
async def test_large_failed_answers_do_not_block_a_pool_of_one(own: bool) -> None:
    connector = aiohttp.TCPConnector(limit=1)
    async with aiohttp.ClientSession(connector=connector) as session:
        options: dict[str, Any] = {} if own else {"session": session}
        script = [Reply(503, FIVE_MEGABYTES)] * 3
        async with FaultServer(*script, EMPTY, Reply(503, FIVE_MEGABYTES), default=EMPTY) as server:
            async with client_of(server, max_connections=1, **options) as client:
                await get(client)
                await get(client)
                assert server.count("GET") == 6
            await server.wait_for_connections(0 if own else 1)


async def test_the_start_of_a_large_error_is_kept() -> None:
    page = b"<html>" + b"long" * 100_000
    async with (
        FaultServer(Reply(500, page), Reply(500, page)) as server,
        client_of(server) as client,
    ):
        with pytest.raises(ServerError) as caught:
            await get(client)
        assert caught.value.body.startswith("<html>long")
        assert len(caught.value.body) == 4096


async def test_an_error_counts_even_when_its_body_is_cut() -> None:
    cut = Truncate(b'{"error": "none of that"}', status=400, sent=12)
    async with FaultServer(cut) as server, client_of(server) as client:
        with pytest.raises(ContainerRegistryError) as caught:
            await post(client)
    assert getattr(caught.value, "status", None) == 400


async def test_an_answer_that_is_too_large_is_refused() -> None:
    registries = [REGISTRY | {"id": f"r{number}"} for number in range(100)]
    body = json.dumps({"registries": registries, "totalCount": 100}).encode()
    for reply in (
        Reply(200, body),
        Reply(200, gzip.compress(body), {"Content-Encoding": "gzip"}),
        Drip(body, 0, piece=1000),
    ):
        async with (
            FaultServer(reply, default=EMPTY) as server,
            client_of(server, max_response_size=len(body) - 1, max_connections=1) as client,
        ):
            with pytest.raises(UnexpectedResponseError, match="larger than"):
                await get(client)
            # Too large once is too large for ever: it is not asked for again.
            assert server.count("GET") == 1
            await get(client)
        async with (
            FaultServer(reply) as server,
            client_of(server, max_response_size=len(body)) as client,
        ):
            assert len(await client.registries.list().collect()) == 100


@pytest.mark.parametrize("status", [200, 503])
async def test_a_gzip_bomb_is_bounded(status: int) -> None:
    async with (
        FaultServer(default=GzipBomb(1 << 30, status)) as server,
        client_of(server, retry=RetryPolicy(attempts=1), max_response_size=1 << 20) as client,
    ):
        tracemalloc.start()
        with pytest.raises(ContainerRegistryError):
            await get(client)
        peak = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
        assert server.count("GET") == 1
    assert peak < 100 << 20


@pytest.mark.parametrize(
    "garbage", [b"\x00\x01\x02\r\n\r\n", b"SSH-2.0-OpenSSH_9.6\r\n", b"HTTP/1.1 99999 No\r\n\r\n"]
)
async def test_garbage_is_not_an_answer(garbage: bytes) -> None:
    async with FaultServer(default=Garbage(garbage)) as server, client_of(server) as client:
        with pytest.raises((UnexpectedResponseError, ConnectionFailedError)):
            await post(client)
        assert server.counts() == {"POST": 1}


@pytest.mark.parametrize("body", [b"", b"  ", b"null", b"<html>", b"{", b"[1", b"\xff", b"NaN"])
async def test_a_body_that_is_no_json_is_unexpected(body: bytes) -> None:
    async with FaultServer(Reply(200, body)) as server, client_of(server) as client:
        with pytest.raises(UnexpectedResponseError) as caught:
            await client.registries.get("r")
        assert caught.value.method == "GET"
        assert caught.value.url.endswith("/api/v1/registries/r")


# -- time


@pytest.mark.parametrize(
    "hang", [Hang(), Hang(b"HTTP/1.1 200 OK\r\n"), Hang.in_body(b"{")], ids=["all", "head", "body"]
)
@pytest.mark.parametrize("method", CALLS)
async def test_a_server_that_hangs_is_given_up(method: str, hang: Behaviour) -> None:
    async with (
        FaultServer(default=hang) as server,
        client_of(server, timeout=0.15, retry=RetryPolicy(attempts=2)) as client,
    ):
        with pytest.raises(RequestTimeoutError):
            await CALLS[method](client)
        assert server.counts() == {method: 2 if method in ("GET", "DELETE") else 1}
        await server.wait_for_connections(0)


@pytest.mark.parametrize("own", [True, False])
async def test_the_time_limit_is_for_the_whole_answer(own: bool) -> None:
    # Each byte comes soon after the one before, and the whole would take a minute.
    drip = Drip(b" " * 600, interval=0.1)
    async with FaultServer(drip) as server, aiohttp.ClientSession() as session:
        options: dict[str, Any] = {} if own else {"session": session}
        async with client_of(
            server, timeout=0.5, retry=RetryPolicy(attempts=1), **options
        ) as client:
            with pytest.raises(RequestTimeoutError):
                await get(client)


class SlowHead:
    """Send the head of an answer byte by byte, and never the whole of it before a minute."""

    async def perform(self, connection: Connection, request: SeenRequest) -> bool:
        for byte in b"HTTP/1.1 200 OK\r\nX-Slow: ".ljust(600, b"o"):
            await connection.send(bytes([byte]))
            await connection.pause(0.1)
        return False


@pytest.mark.parametrize("own", [True, False])
async def test_the_time_limit_is_for_the_head_too(own: bool) -> None:
    async with FaultServer(SlowHead()) as server, aiohttp.ClientSession() as session:
        options: dict[str, Any] = {} if own else {"session": session}
        async with client_of(
            server, timeout=0.5, retry=RetryPolicy(attempts=1), **options
        ) as client:
            with pytest.raises(RequestTimeoutError):
                await get(client)


@pytest.mark.parametrize("own", [True, False])
async def test_a_status_counts_even_if_the_rest_never_comes(own: bool) -> None:
    # Taken for a lost answer, the second 404 would make the first one a success.
    hang = Hang(b"HTTP/1.1 404 Not Found\r\nContent-Length: 100\r\n\r\n")
    async with FaultServer(default=hang) as server, aiohttp.ClientSession() as session:
        options: dict[str, Any] = {} if own else {"session": session}
        async with client_of(server, timeout=0.2, **options) as client:
            with pytest.raises(NotFoundError):
                await delete(client)
        assert server.counts() == {"DELETE": 1}


@pytest.mark.parametrize("own", [True, False])
async def test_waiting_for_a_connection_is_not_counted(own: bool) -> None:
    # Fifty rounds of 40 ms on ten connections take two seconds, each request a fraction.
    most = now = 0

    async def answer(request: web.BaseRequest) -> web.Response:
        nonlocal most, now
        now += 1
        most = max(most, now)
        await asyncio.sleep(0.04)
        now -= 1
        return web.json_response({"registries": [], "totalCount": 0})

    runner = web.ServerRunner(web.Server(answer))
    await runner.setup()
    await web.TCPSite(runner, LOOPBACK, 0).start()
    connector = aiohttp.TCPConnector(limit=10)
    async with aiohttp.ClientSession(connector=connector) as session:
        options: dict[str, Any] = {"max_connections": 10} if own else {"session": session}
        async with AsyncRegistryClient(
            token="t",
            base_url=f"http://{LOOPBACK}:{runner.addresses[0][1]}",
            timeout=1.0,
            retry=RetryPolicy(attempts=1),
            **options,
        ) as client:
            results = await asyncio.gather(*(get(client) for _ in range(500)))
    await runner.cleanup()
    assert results == [[]] * 500
    assert most == 10


async def test_others_in_a_callers_pool_do_not_use_up_the_time_limit() -> None:
    connector = aiohttp.TCPConnector(limit=1)
    async with (
        FaultServer(Hang(), EMPTY) as server,
        aiohttp.ClientSession(connector=connector) as session,
        client_of(server, session=session, timeout=0.2, retry=RetryPolicy(attempts=1)) as client,
    ):
        other = asyncio.ensure_future(session.get(server.url))
        await server.wait_for_requests(1)
        ours = asyncio.ensure_future(get(client))
        # Longer than the limit: the other one keeps the only connection.
        done, _ = await asyncio.wait([ours], timeout=0.5)
        assert not done
        other.cancel()
        assert await ours == []


async def test_total_timeout_ends_attempts_and_waits() -> None:
    clock = FakeClock()
    retry = RetryPolicy(attempts=100, base_delay=1, total_timeout=10)
    async with (
        FaultServer(default=Reply(503)) as server,
        client_of(server, retry=retry, clock=clock) as client,
    ):
        with pytest.raises(ServerError):
            await get(client)
        assert clock.slept <= 10
        assert clock.sleeps == [1, 2, 4]


async def test_total_timeout_cuts_an_attempt_short() -> None:
    retry = RetryPolicy(total_timeout=0.2)
    async with FaultServer(default=Hang()) as server, client_of(server, retry=retry) as client:
        with pytest.raises(RequestTimeoutError):
            await get(client)


async def test_a_client_timeout_of_aiohttp_is_taken() -> None:
    limit = aiohttp.ClientTimeout(total=None, sock_read=0.2)
    async with (
        FaultServer(default=Hang()) as server,
        client_of(server, timeout=limit, retry=RetryPolicy(attempts=2)) as client,
    ):
        with pytest.raises(RequestTimeoutError):
            await get(client)
        assert server.count("GET") == 2


# -- Retry-After


async def test_retry_after_is_waited_for() -> None:
    clock = FakeClock()
    headers = [{"Retry-After": "7"}, {"Retry-After": "100000"}, {"Retry-After": "nan"}]
    script = [Reply(429, headers=header) for header in headers]
    async with FaultServer(*script, EMPTY) as server, client_of(server, clock=clock) as client:
        await get(client)
    assert clock.sleeps == [7, 30, 2]


@pytest.mark.parametrize("value", ["1.²", "²", "\u0661", "1e5", "-0", "+1", "0x10", "9" * 5000])
async def test_odd_retry_after_headers_do_no_harm(value: str) -> None:
    clock = FakeClock()
    head = f"HTTP/1.1 503 No\r\nRetry-After: {value}\r\nContent-Length: 0\r\n\r\n"
    async with (
        FaultServer(Garbage(head.encode()), EMPTY) as server,
        client_of(server, clock=clock) as client,
    ):
        await get(client)
    assert len(clock.sleeps) == 1
    assert clock.sleeps[0] <= 30


async def test_a_rate_limit_says_when_to_come_back() -> None:
    reply = Reply(429, headers={"Retry-After": "12"})
    async with (
        FaultServer(reply) as server,
        client_of(server, retry=RetryPolicy(attempts=1)) as client,
    ):
        with pytest.raises(RateLimitedError) as caught:
            await post(client)
        assert caught.value.retry_after == 12


# -- the retry budget


async def test_the_retry_budget_stops_a_storm() -> None:
    async with (
        FaultServer(default=Reply(503)) as server,
        client_of(server, retry=RetryPolicy(base_delay=0)) as client,
    ):
        results = await asyncio.gather(*(get(client) for _ in range(1000)), return_exceptions=True)
        assert all(isinstance(result, ServerError) for result in results)
        # Without a budget there would be 4,000.
        assert 1100 <= server.count("GET") <= 1000 + 0.2 * 1000 + 1


async def test_the_first_hundred_retries_are_never_refused() -> None:
    failed: set[str] = set()

    def fail_once(request: SeenRequest) -> Behaviour:
        first = request.target not in failed
        failed.add(request.target)
        return Reply(503) if first else Reply.json(REGISTRY)

    clock = FakeClock()
    async with (
        FaultServer(handler=fail_once) as server,
        client_of(server, clock=clock, retry=RetryPolicy(base_delay=0)) as client,
    ):
        await asyncio.gather(*(client.registries.get(f"r{n}") for n in range(100)))
        assert server.count("GET") == 200


async def test_views_share_the_budget_and_the_connections() -> None:
    async with FaultServer(default=Reply(503)) as server, client_of(server) as client:
        views = [
            client.with_options(retry=RetryPolicy(attempts=2, base_delay=0)) for _ in range(400)
        ]
        await asyncio.gather(*(get(view) for view in views), return_exceptions=True)
        assert server.count("GET") <= 400 + 101


# -- idle connections


@pytest.mark.parametrize("method", CALLS)
@pytest.mark.parametrize("reset", [False, True])
async def test_a_connection_that_died_while_idle_costs_nothing(method: str, reset: bool) -> None:
    clock = FakeClock()
    async with (
        FaultServer(EMPTY, ANSWERS[method]) as server,
        client_of(server, clock=clock, retry=RetryPolicy(attempts=1)) as client,
    ):
        await get(client)
        await server.close_connections(reset=reset)
        await CALLS[method](client)
        assert clock.sleeps == []
        assert server.connection_count == 2


@pytest.mark.parametrize("method", CALLS)
async def test_it_costs_nothing_even_when_the_loop_was_blocked_meanwhile(method: str) -> None:
    ready, closed, finish = threading.Event(), threading.Event(), threading.Event()
    port: list[int] = []

    def serve() -> None:
        # A server that closes after its first answer, in a thread that no event loop delays.
        with socket.create_server((LOOPBACK, 0)) as listener:
            port.append(listener.getsockname()[1])
            ready.set()
            body = b'{"registries": [], "totalCount": 0}'
            for number in range(2):
                connection, _ = listener.accept()
                with connection:
                    data = b""
                    while b"\r\n\r\n" not in data:
                        data += connection.recv(65536)
                    seen.append(data.partition(b" ")[0].decode())
                    answer = body if number == 0 else ANSWERS[method].body
                    status = b"200 OK" if answer else b"204 No Content"
                    length = f"Content-Length: {len(answer)}\r\n" if answer else ""
                    connection.sendall(
                        b"HTTP/1.1 " + status + b"\r\n" + length.encode() + b"\r\n" + answer
                    )
                    if number == 0:
                        first_read.wait(10)
                closed.set()
            finish.wait(10)

    seen: list[str] = []
    first_read = threading.Event()
    thread = threading.Thread(target=serve)
    thread.start()
    ready.wait(10)
    try:
        async with AsyncRegistryClient(
            token="t",
            base_url=f"http://{LOOPBACK}:{port[0]}",
            retry=RetryPolicy(attempts=1),
        ) as client:
            await get(client)
            first_read.set()
            # The loop sees nothing of the closing before the next request begins.
            closed.wait(10)
            await CALLS[method](client)
    finally:
        finish.set()
        thread.join()
    assert seen == ["GET", method]


@pytest.mark.parametrize("farewell", ["an answer nobody asked for", "a reset under TLS"])
async def test_it_costs_nothing_whatever_the_server_did_last(farewell: str) -> None:
    tls = "TLS" in farewell
    authority = trustme.CA()
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    authority.issue_cert(LOOPBACK).configure_cert(context)
    first_read, closed = threading.Event(), threading.Event()
    seen: list[str] = []

    def serve(listener: socket.socket) -> None:
        for number in range(2):
            connection, _ = listener.accept()
            if tls:
                connection = context.wrap_socket(connection, server_side=True)
            with connection:
                data = b""
                while b"\r\n\r\n{}" not in data:
                    data += connection.recv(65536)
                seen.append(data.partition(b" ")[0].decode())
                connection.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n{}")
                if number == 0:
                    first_read.wait(10)
                    if tls:
                        no_linger = struct.pack("ii", 1, 0)
                        connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, no_linger)
                    else:
                        connection.sendall(b"HTTP/1.1 408 Idle\r\nContent-Length: 0\r\n\r\n")
            closed.set()

    with socket.create_server((LOOPBACK, 0)) as listener:
        listener.settimeout(10)
        thread = threading.Thread(target=serve, args=(listener,))
        thread.start()
        trusting = ssl.create_default_context()
        authority.configure_trust(trusting)
        try:
            async with AsyncRegistryClient(
                token="t",
                base_url=f"http{'s' if tls else ''}://{LOOPBACK}:{listener.getsockname()[1]}",
                ssl=trusting,
                retry=RetryPolicy(attempts=1),
            ) as client:
                await client.request("POST", "/x", json={})
                first_read.set()
                # The loop is kept busy, and sees nothing of the closing before the next request.
                closed.wait(10)
                threading.Event().wait(0.01)
                await client.request("POST", "/x", json={})
        finally:
            first_read.set()
            thread.join()
    assert seen == ["POST", "POST"]


async def test_connections_are_kept_and_reused() -> None:
    async with FaultServer(default=EMPTY) as server, client_of(server) as client:
        for _ in range(20):
            await get(client)
        assert server.connection_count == 1


# -- what cannot be reached


@pytest.mark.parametrize("host", ["a" * 70 + ".localhost", "a..localhost"])
async def test_a_host_that_no_resolver_takes_is_an_error_of_ours(host: str) -> None:
    clock = FakeClock()
    async with AsyncRegistryClient(
        token="t", base_url=f"https://{host}/api", clock=clock
    ) as client:
        with pytest.raises(ConnectionFailedError, match="name"):
            await get(client)
    # It will not be a better one the next time.
    assert clock.sleeps == []


@pytest.mark.parametrize("own", [True, False])
async def test_a_post_that_got_no_connection_in_time_is_repeated(own: bool) -> None:
    clock = FakeClock()
    with contextlib.ExitStack() as stack:
        # A listener with a full queue: what comes next hears nothing at all.
        listener = stack.enter_context(socket.socket())
        listener.bind((LOOPBACK, 0))
        listener.listen(0)
        for _ in range(4):
            queued = stack.enter_context(socket.socket())
            queued.setblocking(False)
            queued.connect_ex(listener.getsockname())
        session = None if own else aiohttp.ClientSession()
        async with AsyncRegistryClient(
            token="t",
            base_url=f"http://{LOOPBACK}:{listener.getsockname()[1]}",
            timeout=0.2,
            session=session,
            clock=clock,
        ) as client:
            with pytest.raises(RequestTimeoutError, match="no connection"):
                await post(client)
        if session is not None:
            await session.close()
    assert len(clock.sleeps) == 3


async def test_no_attempt_begins_after_the_total_timeout() -> None:
    class Oversleeping(FakeClock):
        async def sleep(self, seconds: float) -> None:
            await super().sleep(seconds + 60)

    async with (
        FaultServer(Reply(503), EMPTY) as server,
        client_of(server, clock=Oversleeping(), retry=RetryPolicy(total_timeout=30)) as client,
    ):
        with pytest.raises(RequestTimeoutError, match="no time left"):
            await get(client)
        assert server.count() == 1


# -- proxies


class Proxy:
    """A plain HTTP proxy on loopback that notes what it is asked for."""

    def __init__(self) -> None:
        self.seen: list[tuple[str, str, str | None]] = []

    async def __aenter__(self) -> Proxy:
        self.server = await asyncio.start_server(self._serve, LOOPBACK, 0)
        self.port: int = self.server.sockets[0].getsockname()[1]
        return self

    async def __aexit__(self, *_: object) -> None:
        self.server.close()

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        head = (await reader.readuntil(b"\r\n\r\n")).decode()
        method, target, _ = head.split("\r\n")[0].split(" ")
        fields = {
            name.lower(): value.strip()
            for name, _, value in (line.partition(":") for line in head.split("\r\n")[1:])
        }
        self.seen.append((method, target, fields.get("proxy-authorization")))
        body = b'{"registries": [], "totalCount": 0}'
        writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n" % len(body) + body)
        await writer.drain()
        writer.close()
        await writer.wait_closed()


@pytest.fixture(autouse=True)
def _no_proxy_of_the_machine(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("http_proxy", "https_proxy", "no_proxy", "all_proxy"):
        monkeypatch.delenv(name, raising=False)
        monkeypatch.delenv(name.upper(), raising=False)


async def test_proxies_of_the_environment_are_used(monkeypatch: pytest.MonkeyPatch) -> None:
    async with Proxy() as proxy:
        monkeypatch.setenv("HTTP_PROXY", f"http://user:pa%40ss@{LOOPBACK}:{proxy.port}")
        with warnings.catch_warnings(record=True) as caught:
            warnings.simplefilter("always")
            client = AsyncRegistryClient(token="t", base_url="http://registry.invalid/api")
        assert ["clear" in str(warning.message) for warning in caught] == [True]
        async with client:
            await get(client)
        method, target, login = proxy.seen[0]
        assert (method, target.partition("?")[0]) == (
            "GET",
            "http://registry.invalid/api/v2/registries",
        )
        assert login == "Basic dXNlcjpwYUBzcw=="


@pytest.mark.parametrize("excepted", [LOOPBACK, "*", "other.test,127.0.0.1"])
async def test_no_proxy_is_honoured(excepted: str, monkeypatch: pytest.MonkeyPatch) -> None:
    with refused_port() as port:
        monkeypatch.setenv("http_proxy", f"http://{LOOPBACK}:{port}")
        monkeypatch.setenv("no_proxy", excepted)
        async with FaultServer(EMPTY) as server, client_of(server) as client:
            await get(client)
            assert server.count("GET") == 1


@pytest.mark.parametrize(
    "proxy",
    [
        "socks5://127.0.0.1:1",
        "ftp://x",
        "http://",
        "http://:80",
        "http://127.0.0.1:99999",
        "http://127.0.0.1:port",
        "http://user:canary@[::1",
    ],
)
async def test_a_proxy_that_cannot_be_used_is_not_passed_by(
    proxy: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("http_proxy", proxy)
    async with FaultServer() as server, client_of(server) as client:
        with pytest.raises(ConfigurationError, match="proxy") as caught:
            await get(client)
        assert "canary" not in str(caught.value)
        assert server.connection_count == 0


async def test_a_proxy_without_a_scheme_is_taken_as_http(monkeypatch: pytest.MonkeyPatch) -> None:
    async with Proxy() as proxy, FaultServer() as server, client_of(server) as client:
        monkeypatch.setenv("http_proxy", f"{LOOPBACK}:{proxy.port}")
        await get(client)
        assert len(proxy.seen) == 1
        assert server.connection_count == 0


async def test_a_proxy_that_refuses_the_way_is_a_failed_connection(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    async with FaultServer(default=Reply(407)) as proxy:
        monkeypatch.setenv("https_proxy", proxy.url)
        async with AsyncRegistryClient(
            token="t", base_url="https://registry.invalid", retry=RetryPolicy(attempts=1)
        ) as client:
            with pytest.raises(ConnectionFailedError, match="proxy"):
                await get(client)
        assert proxy.requests[0].method == "CONNECT"
        assert proxy.requests[0].header("X-Auth-Token") is None


async def test_netrc_is_not_read(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    netrc = tmp_path / "netrc"
    netrc.write_text(f"machine {LOOPBACK} login thief password stolen\n")
    netrc.chmod(0o600)
    monkeypatch.setenv("NETRC", str(netrc))
    async with FaultServer(EMPTY) as server, client_of(server) as client:
        await get(client)
        assert server.requests[0].header("Authorization") is None


# -- TLS


class TlsServer:
    """An HTTPS server on loopback with a certificate of an authority of its own."""

    def __init__(self, authority: trustme.CA) -> None:
        self.seen: list[str] = []
        self._context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        authority.issue_cert(LOOPBACK).configure_cert(self._context)

    async def __aenter__(self) -> TlsServer:
        self._runner = web.ServerRunner(web.Server(self._answer))
        await self._runner.setup()
        await web.TCPSite(self._runner, LOOPBACK, 0, ssl_context=self._context).start()
        self.base_url = f"https://{LOOPBACK}:{self._runner.addresses[0][1]}/api"
        return self

    async def __aexit__(self, *_: object) -> None:
        await self._runner.cleanup()

    async def _answer(self, request: web.BaseRequest) -> web.Response:
        self.seen.append(request.method)
        return web.json_response({"registries": [], "totalCount": 0})


@pytest.mark.parametrize("form", ["path", "text", "context"])
async def test_a_custom_authority_is_trusted(form: str, tmp_path: Path) -> None:
    authority = trustme.CA()
    path = tmp_path / "ca.pem"
    authority.cert_pem.write_to_path(str(path))
    context = ssl.create_default_context()
    authority.configure_trust(context)
    settings: dict[str, Any] = {"path": path, "text": str(path), "context": context}
    async with (
        TlsServer(authority) as server,
        AsyncRegistryClient(token="t", base_url=server.base_url, ssl=settings[form]) as client,
    ):
        await get(client)
        assert server.seen == ["GET"]


async def test_an_unknown_authority_is_refused_and_not_asked_again() -> None:
    clock = FakeClock()
    # On a loop of its own: in debug mode, a loop tells of the server's side of such a handshake.
    with in_thread(TlsServer(trustme.CA())) as (server, _):
        async with AsyncRegistryClient(token="t", base_url=server.base_url, clock=clock) as client:
            with pytest.raises(ConnectionFailedError, match="certificate"):
                await get(client)
        assert server.seen == []
        assert clock.sleeps == []


async def test_an_authority_of_the_callers_session_counts() -> None:
    authority = trustme.CA()
    context = ssl.create_default_context()
    authority.configure_trust(context)
    connector = aiohttp.TCPConnector(ssl=context)
    async with (
        TlsServer(authority) as server,
        aiohttp.ClientSession(connector=connector) as session,
        AsyncRegistryClient(token="t", base_url=server.base_url, session=session) as client,
    ):
        await get(client)
        assert server.seen == ["GET"]


@pytest.mark.parametrize("setting", [False, True, 1, object(), "no such file", b"bytes"])
async def test_tls_settings_that_make_no_sense_are_refused(setting: Any) -> None:
    with pytest.raises(ValueError, match="ssl"):
        AsyncRegistryClient(token="t", ssl=setting)


# -- a session of the caller's


async def test_a_callers_session_is_used_with_all_it_has_and_not_closed() -> None:
    traced: list[str] = []

    async def on_start(
        session: aiohttp.ClientSession,
        context: SimpleNamespace,
        params: aiohttp.TraceRequestStartParams,
    ) -> None:
        traced.append(params.method)

    async def middleware(
        request: aiohttp.ClientRequest, handler: aiohttp.ClientHandlerType
    ) -> aiohttp.ClientResponse:
        request.headers["X-Middleware"] = "yes"
        return await handler(request)

    trace = aiohttp.TraceConfig()
    trace.on_request_start.append(on_start)
    session = aiohttp.ClientSession(
        cookies={"crumb": "1"},
        cookie_jar=aiohttp.CookieJar(unsafe=True),
        headers={"X-Team": "blue"},
        trace_configs=[trace],
        middlewares=(middleware,),
        raise_for_status=True,
    )
    async with session, FaultServer(EMPTY, Reply(404), EMPTY, EMPTY) as server:
        async with client_of(server, session=session) as client:
            await get(client)
            # raise_for_status would have made this an error of aiohttp's.
            with pytest.raises(NotFoundError):
                await get(client)
        request = server.requests[0]
        assert request.header("X-Middleware") == "yes"
        assert request.header("X-Team") == "blue"
        assert request.header("Cookie") == "crumb=1"
        assert traced == ["GET", "GET"]
        assert not session.closed
        async with session.get(server.url) as response:
            assert response.status == 200
        other = client_of(server, session=session)
        await get(other)
        # Nothing of ours is left open, so nothing warns.
        del other
        gc.collect()


async def test_our_own_session_keeps_no_cookies() -> None:
    cookie = Reply.json({"registries": []}, headers={"Set-Cookie": "a=b; Path=/"})
    async with FaultServer(cookie, EMPTY) as server, client_of(server) as client:
        await get(client)
        await get(client)
        assert server.requests[1].header("Cookie") is None


async def test_a_callers_session_with_a_base_url_is_used_for_our_urls() -> None:
    async with (
        FaultServer(EMPTY) as server,
        aiohttp.ClientSession("http://127.0.0.1:9/other/") as session,
        client_of(server, session=session) as client,
    ):
        await get(client)
        assert server.requests[0].raw_path == "/api/v2/registries"


async def test_a_callers_session_that_is_closed_says_so() -> None:
    async with FaultServer() as server, aiohttp.ClientSession() as session:
        client = client_of(server, session=session)
        await session.close()
        with pytest.raises(ClientClosedError, match="session given to the client"):
            await get(client)


def test_a_callers_session_of_another_loop_is_refused() -> None:
    async def make() -> aiohttp.ClientSession:
        return aiohttp.ClientSession()

    async def use() -> None:
        async with AsyncRegistryClient(
            token="t", base_url="http://127.0.0.1:9", session=session
        ) as client:
            await get(client)

    with asyncio.Runner() as runner:
        session = runner.run(make())
        with pytest.raises(ConfigurationError, match="another event loop"):
            asyncio.run(use())
        runner.run(session.close())


# -- concurrency limits and logging


async def test_no_more_requests_run_than_allowed() -> None:
    most = now = 0

    async def answer(request: web.BaseRequest) -> web.Response:
        nonlocal most, now
        now += 1
        most = max(most, now)
        for _ in range(3):
            await asyncio.sleep(0)
        now -= 1
        return web.json_response({"registries": [], "totalCount": 0})

    runner = web.ServerRunner(web.Server(answer))
    await runner.setup()
    await web.TCPSite(runner, LOOPBACK, 0).start()
    async with AsyncRegistryClient(
        token="t", base_url=f"http://{LOOPBACK}:{runner.addresses[0][1]}", max_connections=3
    ) as client:
        await asyncio.gather(*(get(client) for _ in range(60)))
    await runner.cleanup()
    assert most == 3


async def test_each_attempt_is_logged_at_debug(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.DEBUG, "registry_async")
    async with FaultServer(Reply(503), Drop(), EMPTY) as server, client_of(server) as client:
        await get(client)
    messages = [record.getMessage() for record in caplog.records if record.name == "registry_async"]
    assert len(messages) == 3
    assert "GET http://127.0.0.1" in messages[0]
    assert ": 503 in " in messages[0]
    assert "attempt 1" in messages[0]
    assert "ConnectionFailedError" in messages[1]
    assert "attempt 3" in messages[2]


async def test_trace_configs_see_the_requests_of_the_clients_own_session() -> None:
    traced: list[str] = []

    async def on_start(
        session: aiohttp.ClientSession,
        context: SimpleNamespace,
        params: aiohttp.TraceRequestStartParams,
    ) -> None:
        traced.append(params.method)

    trace = aiohttp.TraceConfig()
    trace.on_request_start.append(on_start)
    async with (
        FaultServer(EMPTY, default=EMPTY) as server,
        client_of(server, trace_configs=[trace]) as client,
    ):
        await get(client)
        await get(client.with_options(timeout=3))
    assert traced == ["GET", "GET"]


async def test_trace_configs_that_nobody_would_call_are_refused() -> None:
    trace = aiohttp.TraceConfig()
    async with aiohttp.ClientSession() as session:
        with pytest.raises(ValueError, match="to the session"):
            AsyncRegistryClient(token="t", session=session, trace_configs=[trace])
    wrong: Any = ["a text"]
    with pytest.raises(ValueError, match=r"aiohttp\.TraceConfig"):
        AsyncRegistryClient(token="t", trace_configs=wrong)


async def test_waits_are_taken_from_the_clock_given() -> None:
    clock = FakeClock()
    waits = [Reply(503, headers={"Retry-After": "30"})] * 3
    async with FaultServer(*waits, EMPTY) as server, client_of(server, clock=clock) as client:
        await get(client)
    assert clock.sleeps == [30, 30, 30]


@pytest.fixture(autouse=True)
def _nothing_is_left_open() -> Iterator[None]:
    yield
    gc.collect()
