"""The life of a client: loops, views, closing, requests by hand, and arguments that are refused."""

from __future__ import annotations

import asyncio
import gc
import os
import subprocess
import sys
import textwrap
import warnings
from collections.abc import Awaitable, Callable
from datetime import datetime
from typing import Any, Final

import aiohttp
import pytest

from registry_async import (
    AsyncRegistryClient,
    ClientClosedError,
    ConfigurationError,
    ContainerRegistryError,
    NotFoundError,
    RetryPolicy,
    ServerError,
    TokenScope,
    UnexpectedResponseError,
)
from tests.support.clock import FakeClock
from tests.support.faults import FaultServer, Hang, Reply
from tests.support.wire import in_thread

EMPTY: Final = Reply.json({"registries": [], "totalCount": 0})
SCOPE: Final = TokenScope(all_registries=True, read_write=False)


def client_of(server: FaultServer, **options: Any) -> AsyncRegistryClient:
    return AsyncRegistryClient(token="t", base_url=server.base_url, **options)


async def get(client: AsyncRegistryClient) -> object:
    return await client.registries.list().collect()


def forget(clients: list[AsyncRegistryClient]) -> None:
    """Drop the last references."""
    clients.clear()
    gc.collect()


def run_program(text: str) -> subprocess.CompletedProcess[str]:
    """Run a program in a process of its own, with every warning an error."""
    return subprocess.run(
        [sys.executable, "-X", "dev", "-W", "error", "-c", textwrap.dedent(text)],
        env=dict(os.environ),
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )


def complaints(done: subprocess.CompletedProcess[str]) -> list[str]:
    # In development mode the loop also tells of what it took long for.
    return [line for line in done.stderr.splitlines() if "Executing" not in line]


# -- event loops


def test_a_client_made_outside_any_loop_works_in_one_after_the_other() -> None:
    # As tests and scripts do it: made when the module is imported, used in asyncio.run() twice.
    done = run_program(
        """
        import asyncio, gc
        from registry_async import AsyncRegistryClient
        from tests.support.faults import FaultServer, Reply
        from tests.support.wire import in_thread

        empty = Reply.json({"registries": [], "totalCount": 0})
        with in_thread(FaultServer(default=empty)) as (server, _):
            client = AsyncRegistryClient(token="t", base_url=server.base_url)

            async def use():
                return await client.registries.list().collect()

            for _ in range(3):
                assert asyncio.run(use()) == []
                gc.collect()
            async def finish():
                assert await use() == []
                await client.aclose()
            asyncio.run(finish())
            print(server.count("GET"))
        del client
        gc.collect()
        """
    )
    assert (done.returncode, done.stdout, complaints(done)) == (0, "4\n", [])


def test_a_client_can_be_closed_in_another_loop_than_it_was_used_in() -> None:
    done = run_program(
        """
        import asyncio, gc
        from registry_async import AsyncRegistryClient
        from tests.support.faults import FaultServer, Reply
        from tests.support.wire import in_thread

        empty = Reply.json({"registries": [], "totalCount": 0})
        with in_thread(FaultServer(default=empty)) as (server, portal):
            client = AsyncRegistryClient(token="t", base_url=server.base_url)

            async def use():
                return await client.registries.list().collect()

            assert asyncio.run(use()) == []
            asyncio.run(client.aclose())
            portal.call(server.wait_for_connections, 0)

            # And closed from one loop while the other still runs.
            client = AsyncRegistryClient(token="t", base_url=server.base_url)
            with asyncio.Runner() as runner:
                assert runner.run(use()) == []
                asyncio.run(client.aclose())
                runner.run(asyncio.to_thread(portal.call, server.wait_for_connections, 0))
        del client
        gc.collect()
        """
    )
    assert (done.returncode, complaints(done)) == (0, [])


@pytest.mark.anyio
async def test_many_clients_come_and_go() -> None:
    async with FaultServer(default=EMPTY) as server:
        for _ in range(50):
            async with client_of(server) as client:
                await get(client)
        await server.wait_for_connections(0)


# -- closing


@pytest.mark.anyio
async def test_a_closed_client_says_so() -> None:
    async with FaultServer(default=EMPTY) as server:
        client = client_of(server)
        await get(client)
        await client.aclose()
        await client.aclose()
        for use in (get(client), client.request("GET", "/x"), client.repositories.get("r", "p")):
            with pytest.raises(ClientClosedError):
                await use
        with pytest.raises(RuntimeError, match="closed"):
            await get(client)
        with pytest.raises(ContainerRegistryError):
            async with client:
                pass
        assert server.count("GET") == 1
        await server.wait_for_connections(0)


@pytest.mark.anyio
async def test_a_client_that_was_never_used_closes_as_well() -> None:
    client = AsyncRegistryClient(token="t")
    await client.aclose()
    await client.aclose()
    with pytest.raises(ClientClosedError):
        await get(client)


@pytest.mark.anyio
async def test_closing_ends_what_runs_and_what_waits() -> None:
    clock = FakeClock()
    async with FaultServer(default=Hang()) as server:
        client = client_of(server, max_connections=2, clock=clock)
        running = [asyncio.create_task(get(client)) for _ in range(6)]
        await server.wait_for_requests(2)
        await client.aclose()
        async with asyncio.timeout(10):
            results = await asyncio.gather(*running, return_exceptions=True)
        assert {type(result) for result in results} == {ClientClosedError}
        assert server.count("GET") == 2


@pytest.mark.anyio
@pytest.mark.parametrize("status", [200, 503])
async def test_closing_ends_the_reading_of_a_body(status: int) -> None:
    began = asyncio.Event()

    async def begin(*_: object) -> None:
        began.set()

    trace = aiohttp.TraceConfig()
    trace.on_request_end.append(begin)
    start = b"HTTP/1.1 %d Status\r\nContent-Length: 9\r\n\r\n{" % status
    async with FaultServer(default=Hang(start)) as server:
        client = client_of(server, trace_configs=[trace], clock=FakeClock())
        reading = asyncio.create_task(get(client))
        await began.wait()
        await client.aclose()
        async with asyncio.timeout(10):
            (result,) = await asyncio.gather(reading, return_exceptions=True)
        assert type(result) is ClientClosedError
        assert server.count("GET") == 1


@pytest.mark.anyio
async def test_closing_ends_a_back_off() -> None:
    async with FaultServer(default=Reply(503)) as server:
        clock = FakeClock()
        client = client_of(server, clock=clock)
        sleep = clock.sleep

        async def close(seconds: float) -> None:
            await client.aclose()
            await sleep(seconds)

        clock.sleep = close  # type: ignore[method-assign]
        with pytest.raises(ClientClosedError):
            await get(client)
        assert server.count("GET") == 1


@pytest.mark.anyio
async def test_leaving_the_block_by_an_error_closes_the_client() -> None:
    async with FaultServer(default=EMPTY) as server:

        async def fail() -> None:
            async with client_of(server) as client:
                await get(client)
                raise KeyError

        with pytest.raises(KeyError):
            await fail()
        await server.wait_for_connections(0)


@pytest.mark.anyio
async def test_an_unclosed_client_warns_with_its_name_and_closes() -> None:
    async with FaultServer(default=EMPTY) as server:
        clients = [client_of(server)]
        await get(clients[0])
        with pytest.warns(ResourceWarning, match="AsyncRegistryClient") as caught:
            forget(clients)
        assert len(caught) == 1
        await server.wait_for_connections(0)


@pytest.mark.anyio
async def test_it_closes_even_where_the_warning_is_an_error(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    unraisable: list[object] = []
    monkeypatch.setattr(sys, "unraisablehook", unraisable.append)
    async with FaultServer(default=EMPTY) as server:
        client = client_of(server)
        await get(client)
        with warnings.catch_warnings():
            warnings.simplefilter("error")
            del client
            gc.collect()
        await server.wait_for_connections(0)
    assert len(unraisable) == 1


@pytest.mark.anyio
async def test_silence_otherwise() -> None:
    async with FaultServer(default=EMPTY) as server, aiohttp.ClientSession() as session:
        with warnings.catch_warnings(record=True) as caught:
            warnings.simplefilter("always")
            unused = client_of(server)
            closed = client_of(server)
            await get(closed)
            await closed.aclose()
            with_session = client_of(server, session=session)
            await get(with_session)
            view = with_session.with_options(timeout=5)
            await get(view)
            with pytest.raises(ValueError, match="timeout"):
                client_of(server, timeout="soon")
            del unused, closed, with_session, view
            gc.collect()
        assert caught == []


# -- views


@pytest.mark.anyio
async def test_a_view_has_options_of_its_own_on_the_same_connections() -> None:
    async with FaultServer(EMPTY, Reply(503), EMPTY, Reply(503), EMPTY) as server:
        clock = FakeClock()
        async with client_of(server, clock=clock, label="prod") as client:
            await get(client)
            view = client.with_options(retry=RetryPolicy(attempts=1))
            with pytest.raises(ServerError):
                await get(view)
            await get(view)
            # The client itself is as it was.
            await get(client)
            assert view.label == "prod"
            assert server.connection_count == 1
            async with view:
                pass
            await view.aclose()
            assert not client._transport.connections.closed


@pytest.mark.anyio
async def test_a_view_has_a_time_limit_of_its_own() -> None:
    async with FaultServer(default=Hang()) as server, client_of(server) as client:
        view = client.with_options(timeout=0.1, retry=RetryPolicy(attempts=1))
        with pytest.raises(ContainerRegistryError, match="in time"):
            await get(view)


@pytest.mark.anyio
async def test_closing_the_client_closes_its_views() -> None:
    async with FaultServer(default=EMPTY) as server:
        client = client_of(server)
        view = client.with_options(timeout=3)
        await get(view)
        await client.aclose()
        with pytest.raises(ClientClosedError):
            await get(view)
        await server.wait_for_connections(0)


@pytest.mark.anyio
async def test_a_view_outlives_the_name_of_its_client() -> None:
    async with FaultServer(default=EMPTY) as server:
        views = [client_of(server).with_options(timeout=3).with_options(retry=RetryPolicy())]
        gc.collect()
        await get(views[0])
        gc.collect()
        await get(views[0])
        with pytest.warns(ResourceWarning, match="AsyncRegistryClient"):
            forget(views)
        await server.wait_for_connections(0)


# -- requests by hand


@pytest.mark.anyio
async def test_a_request_by_hand() -> None:
    script = [Reply.json({"a": [1, None]}), Reply(204), Reply.json("x", 201), Reply.json(False)]
    async with FaultServer(*script) as server, client_of(server) as client:
        assert await client.request("GET", "/v9/things/a%2Fb") == {"a": [1, None]}
        assert await client.request("delete", "/v9/things/ä b") is None
        assert await client.request("POST", "/v9/things", json={"name": "ü"}) == "x"
        assert await client.request("PATCH", "/v9/things", json=[]) is False
        assert [(request.method, request.target) for request in server.requests] == [
            ("GET", "/api/v9/things/a%2Fb"),
            ("DELETE", "/api/v9/things/%C3%A4%20b"),
            ("POST", "/api/v9/things"),
            ("PATCH", "/api/v9/things"),
        ]
        assert [request.body for request in server.requests] == [
            b"",
            b"",
            '{"name":"ü"}'.encode(),
            b"[]",
        ]


@pytest.mark.anyio
async def test_a_request_by_hand_has_the_same_errors_and_repetitions() -> None:
    clock = FakeClock()
    async with FaultServer(Reply(503), Reply(404), Reply(200, b"<html>")) as server:
        async with client_of(server, clock=clock) as client:
            with pytest.raises(NotFoundError):
                await client.request("GET", "/v2/x")
            with pytest.raises(UnexpectedResponseError, match="JSON"):
                await client.request("GET", "/v2/x")
        assert server.count("GET") == 3


# -- arguments that are refused before anything is sent

Call = Callable[[AsyncRegistryClient], Awaitable[object]]

BAD_NAMES: Final[dict[str, Any]] = {
    "empty": "",
    "dot": ".",
    "dots": "..",
    "encoded dots": "%2e%2e",
    "encoded dots in capitals": "%2E%2E",
    "half encoded dots": ".%2e",
    "twice encoded dot": "%252e",
    "thrice encoded dots": "%25252e%25252e",
    "dots inside": "a/../b",
    "dot at the end": "a/.",
    "encoded dots inside": "a%2f..%2fb",
    "backslashes": "a\\..\\b",
    "slash": "/",
    "leading slash": "/a",
    "trailing slash": "a/",
    "two slashes": "a//b",
    "line break": "a\nb",
    "carriage return": "a\r\nHost: x",
    "NUL": "a\x00b",
    "DEL": "a\x7f",
    "lone surrogate": "a\ud800",
    "None": None,
    "number": 5,
    "bytes": b"a",
    "list": ["a"],
    "bool": True,
}

BY_NAME: Final[dict[str, Callable[[AsyncRegistryClient, Any], Awaitable[object]]]] = {
    "registry_id of get": lambda c, x: c.registries.get(x),
    "registry_id of delete": lambda c, x: c.registries.delete(x),
    "registry_id of list_clusters": lambda c, x: c.registries.list_clusters(x),
    "registry_id of collection": lambda c, x: c.registries.start_garbage_collection(x),
    "registry_id of get_garbage_size": lambda c, x: c.registries.get_garbage_size(x),
    "registry_id of wait_until_active": lambda c, x: c.registries.wait_until_active(x),
    "registry_id of wait_until_deleted": lambda c, x: c.registries.wait_until_deleted(x),
    "registry_id of repositories": lambda c, x: c.repositories.list(x).collect(),
    "registry_id of names": lambda c, x: c.repositories.list_names(x).collect(),
    "repository of get": lambda c, x: c.repositories.get("r", x),
    "repository of delete": lambda c, x: c.repositories.delete("r", x),
    "repository of cleanup": lambda c, x: c.repositories.cleanup("r", x, tags=["t"]),
    "repository of list_tags": lambda c, x: c.repositories.list_tags("r", x),
    "repository of images": lambda c, x: c.images.list("r", x).collect(),
    "reference of get": lambda c, x: c.images.get("r", "p", x),
    "reference of list_layers": lambda c, x: c.images.list_layers("r", "p", x),
    "digest of delete": lambda c, x: c.images.delete("r", "p", x),
    "token_id of get": lambda c, x: c.tokens.get(x),
    "token_id of update": lambda c, x: c.tokens.update(x, name="n"),
    "token_id of refresh": lambda c, x: c.tokens.refresh(x, expires_at=None),
    "token_id of regenerate": lambda c, x: c.tokens.regenerate(x, expires_at=None),
    "token_id of revoke": lambda c, x: c.tokens.revoke(x),
    "token_id of delete": lambda c, x: c.tokens.delete(x),
    "token of get v1": lambda c, x: c.tokens_v1.get(x),
    "token of refresh v1": lambda c, x: c.tokens_v1.refresh(x),
    "token of revoke v1": lambda c, x: c.tokens_v1.revoke(x),
}


async def start(call: Callable[[], Awaitable[object]]) -> object:
    return await call()


@pytest.mark.anyio
@pytest.mark.parametrize("where", BY_NAME)
async def test_names_that_cannot_travel_are_refused_before_sending(where: str) -> None:
    argument = where.partition(" ")[0]
    async with FaultServer() as server, client_of(server) as client:
        for case, value in BAD_NAMES.items():
            with pytest.raises(ValueError, match=argument):
                await start(lambda value=value: BY_NAME[where](client, value))  # type: ignore[misc]
            assert server.connection_count == 0, case


def each(
    name: str,
    argument: str,
    call: Callable[[AsyncRegistryClient, Any], Awaitable[object]],
    *values: object,
) -> dict[str, tuple[str, Call]]:
    """Give a case for each bad value of an argument."""

    def bind(value: object) -> Call:
        return lambda client: call(client, value)

    return {f"{name} {value!r}": (argument, bind(value)) for value in values}


NAIVE: Final = datetime(2030, 1, 1)
ARGUMENTS: Final[dict[str, tuple[str, Call]]] = {
    **each(
        "page_size",
        "page_size",
        lambda c, v: c.registries.list(page_size=v).collect(),
        0,
        -1,
        True,
        False,
        "10",
        1.5,
        None,
    ),
    **each(
        "offset",
        "offset",
        lambda c, v: c.registries.list(offset=v).first(),
        -1,
        True,
        "0",
        None,
        0.0,
    ),
    **each(
        "max_items",
        "max_items",
        lambda c, v: c.registries.list().collect(max_items=v),
        -1,
        True,
        "3",
        2.0,
    ),
    **each(
        "sort_field",
        "sort_field",
        lambda c, v: c.registries.list(sort_field=v).collect(),
        "updatedAt",
        "",
        "NAME",
        5,
        "name,size",
    ),
    "sort_type": ("sort_type", lambda c: c.registries.list(sort_type="up").collect()),  # type: ignore[arg-type]
    "api_version 3": ("api_version", lambda c: c.registries.list(api_version=3).collect()),  # type: ignore[arg-type]
    "api_version True": ("api_version", lambda c: c.registries.list(api_version=True).collect()),  # type: ignore[arg-type]
    "api_version text": ("api_version", lambda c: c.registries.list(api_version="2").collect()),  # type: ignore[arg-type]
    "search": ("search", lambda c: c.registries.list(search="a\nb").collect()),
    "search number": ("search", lambda c: c.registries.list(search=5).collect()),  # type: ignore[arg-type]
    "search surrogate": ("search", lambda c: c.images.list("r", "p", search="\ud800").first()),
    "search in v1": (
        "search",
        lambda c: c.images.list("r", "p", search="x", api_version=1).first(),
    ),
    "sort of repositories": (
        "sort_field",
        lambda c: c.repositories.list("r", sort_field="createdAt").first(),  # type: ignore[arg-type]
    ),
    "sort of names": (
        "sort_field",
        lambda c: c.repositories.list_names("r", sort_field="size").first(),  # type: ignore[arg-type]
    ),
    "sort of tokens": ("sort_field", lambda c: c.tokens.list(sort_field="size").first()),  # type: ignore[arg-type]
    "scope_mode": ("scope_mode", lambda c: c.tokens.list(scope_mode="w").first()),  # type: ignore[arg-type]
    **each(
        "registry name",
        "name",
        lambda c, v: c.registries.create(v),
        "",
        "A",
        "1a",
        "-a",
        "a-",
        "a_b",
        "a.b",
        "a\n",
        "ä",
        "a b",
        None,
        5,
    ),
    "empty name sought": ("name", lambda c: c.registries.get_by_name("")),
    "name sought with a line break": ("name", lambda c: c.registries.get_by_name("a\nb")),
    "digest that is a tag": ("digest", lambda c: c.images.delete("r", "p", "latest")),
    "digest of a cleanup that is a tag": (
        r"digests\[1\]",
        lambda c: c.repositories.cleanup("r", "p", digests=["sha256:a", "latest"]),
    ),
    "digest without a value": ("digest", lambda c: c.images.delete("r", "p", "sha256:")),
    "reserved reference": ("reference", lambda c: c.images.get("r", "p", "images")),
    "cleanup of nothing": ("digests or tags", lambda c: c.repositories.cleanup("r", "p")),
    "cleanup of empty lists": (
        "digests or tags",
        lambda c: c.repositories.cleanup("r", "p", digests=[], tags=()),
    ),
    "digests as text": ("digests", lambda c: c.repositories.cleanup("r", "p", digests="sha256:a")),
    "tags as text": ("tags", lambda c: c.repositories.cleanup("r", "p", tags="latest")),
    "an empty tag": ("tags", lambda c: c.repositories.cleanup("r", "p", tags=["a", ""])),
    "a tag that is none": ("tags", lambda c: c.repositories.cleanup("r", "p", tags=[None])),  # type: ignore[list-item]
    "tags as None": ("tags", lambda c: c.repositories.cleanup("r", "p", tags=None)),  # type: ignore[arg-type]
    "tags as a number": ("tags", lambda c: c.repositories.cleanup("r", "p", tags=5)),  # type: ignore[arg-type]
    "tags as bytes": ("tags", lambda c: c.repositories.cleanup("r", "p", tags=b"latest")),  # type: ignore[arg-type]
    "naive end": ("expires_at", lambda c: c.tokens.create(scope=SCOPE, expires_at=NAIVE)),
    "naive end of update": ("expires_at", lambda c: c.tokens.update("t", expires_at=NAIVE)),
    "naive end of refresh": ("expires_at", lambda c: c.tokens.refresh("t", expires_at=NAIVE)),
    "naive end of regenerate": ("expires_at", lambda c: c.tokens.regenerate("t", expires_at=NAIVE)),
    "end as text": (
        "expires_at",
        lambda c: c.tokens.create(scope=SCOPE, expires_at="2030-01-01T00:00:00Z"),  # type: ignore[arg-type]
    ),
    "scope as text": ("scope", lambda c: c.tokens.create(scope="rw", expires_at=None)),  # type: ignore[arg-type]
    "scope as None": ("scope", lambda c: c.tokens.update("t", scope=None)),  # type: ignore[arg-type]
    "scope of nothing": (
        "registry_ids",
        lambda c: c.tokens.create(scope=TokenScope(False, True), expires_at=None),
    ),
    "scope of an empty id": (
        "registry_ids",
        lambda c: c.tokens.create(scope=TokenScope(False, True, ("",)), expires_at=None),
    ),
    "name as None": (
        "name must be",
        lambda c: c.tokens.update("t", name=None, expires_at=None),  # type: ignore[arg-type]
    ),
    "text as delete_untagged": (
        "delete_untagged",
        lambda c: c.registries.start_garbage_collection("r", delete_untagged="false"),  # type: ignore[arg-type]
    ),
    "text as disable_gc": (
        "disable_gc",
        lambda c: c.repositories.cleanup("r", "p", tags=["t"], disable_gc="false"),  # type: ignore[arg-type]
    ),
    "text as read_write": (
        "scope.read_write",
        lambda c: c.tokens.update("t", scope=TokenScope(True, "no")),  # type: ignore[arg-type]
    ),
    "text as all_registries": (
        "scope.all_registries",
        lambda c: c.tokens.update("t", scope=TokenScope("no", True)),  # type: ignore[arg-type]
    ),
    "params that are a list": (
        "params",
        lambda c: c.request("GET", "/v2/registries", params=[("a", "b")]),  # type: ignore[arg-type]
    ),
    "update of nothing": ("name, scope or expires_at", lambda c: c.tokens.update("t")),
    "token name": (
        "name",
        lambda c: c.tokens.create(scope=SCOPE, expires_at=None, name="a\nb"),
    ),
    "token name as number": (
        "name",
        lambda c: c.tokens.create(scope=SCOPE, expires_at=None, name=5),  # type: ignore[arg-type]
    ),
    "ttl": ("ttl", lambda c: c.tokens_v1.create(ttl="1d")),  # type: ignore[arg-type]
    "ttl None": ("ttl", lambda c: c.tokens_v1.create(ttl=None)),  # type: ignore[arg-type]
    **each(
        "conflict_timeout",
        "conflict_timeout",
        lambda c, v: c.registries.delete("r", conflict_timeout=v),
        -1,
        float("nan"),
        float("inf"),
        "5",
        True,
        None,
    ),
    **each(
        "timeout",
        "timeout",
        lambda c, v: c.registries.wait_until_active("r", timeout=v),
        -1,
        float("nan"),
        "5",
        True,
        None,
    ),
    **each(
        "poll_interval",
        "poll_interval",
        lambda c, v: c.registries.wait_until_deleted("r", poll_interval=v),
        0,
        -1,
        float("inf"),
        "1",
    ),
    "method": ("method", lambda c: c.request("GE T", "/x")),
    "method None": ("method", lambda c: c.request(None, "/x")),  # type: ignore[arg-type]
    "method empty": ("method", lambda c: c.request("", "/x")),
    **each(
        "path",
        "path",
        lambda c, v: c.request("GET", v),
        "",
        "/",
        "/../v1",
        "/a/%2e%2e/b",
        "/a?b=c",
        "/a#b",
        "//x/y",
        "a\n",
        None,
        5,
    ),
    "params": ("params", lambda c: c.request("GET", "/x", params={"a": [1]})),  # type: ignore[dict-item]
    "params float": ("params", lambda c: c.request("GET", "/x", params={"a": 1.5})),  # type: ignore[dict-item]
    "params surrogate": ("params", lambda c: c.request("GET", "/x", params={"a": "\ud800"})),
    "params name": ("params", lambda c: c.request("GET", "/x", params={5: "a"})),  # type: ignore[dict-item]
    "json set": ("json", lambda c: c.request("POST", "/x", json={1, 2})),  # type: ignore[arg-type]
    "json nan": ("json", lambda c: c.request("POST", "/x", json=[float("nan")])),
    "json surrogate": ("json", lambda c: c.request("POST", "/x", json="\ud800")),
}


@pytest.mark.anyio
@pytest.mark.parametrize("case", ARGUMENTS)
async def test_arguments_that_make_no_sense_are_refused_before_sending(case: str) -> None:
    argument, call = ARGUMENTS[case]
    async with FaultServer() as server, client_of(server) as client:
        with pytest.raises(ValueError, match=argument):
            await start(lambda: call(client))
        assert server.connection_count == 0


def test_a_list_refuses_its_arguments_at_once() -> None:
    client = AsyncRegistryClient(token="t")
    for make in (
        lambda: client.registries.list(page_size=0),
        lambda: client.repositories.list(""),
        lambda: client.images.list("r", ".."),
        lambda: client.tokens.list(sort_field="x"),  # type: ignore[arg-type]
    ):
        with pytest.raises(ValueError, match="must"):
            make()


@pytest.mark.parametrize(
    ("options", "named"),
    [
        *[
            ({"timeout": value}, "timeout")
            for value in (0, -1, True, "5", float("nan"), float("inf"))
        ],
        *[({"max_connections": value}, "max_connections") for value in (0, -1, True, "5", None)],
        *[({"max_response_size": value}, "max_response_size") for value in (0, -1, 1.5)],
        *[({"retry": value}, "retry") for value in (3, "x", {"attempts": 3})],
        *[({"user_agent": value}, "user_agent") for value in ("a\nb", "é", 5)],
        *[({"label": value}, "label") for value in (5, "a\n")],
        ({"session": 5}, "session"),
        *[
            ({"base_url": value}, "base_url")
            for value in (
                "",
                "cr.example",
                "ftp://x",
                "https://",
                "https://u:p@x",
                "https://x?a=b",
                "https://x#a",
                "https://x:port",
                "https://x:99999",
                "https://[::1",
                "https://a b/",
                "https://x/a\nb",
                "https://x/api/..",
                "https://x/%2e%2e/api",
                None,
                5,
            )
        ],
    ],
)
def test_options_that_make_no_sense_are_refused(options: dict[str, Any], named: str) -> None:
    with pytest.raises(ValueError, match=named):
        AsyncRegistryClient(token="t", **options)


def test_a_client_needs_to_know_who_asks() -> None:
    with pytest.raises(ConfigurationError, match=r"credentials=.*token=.*from_env"):
        AsyncRegistryClient()


@pytest.mark.parametrize(
    ("url", "warned"),
    [
        ("http://registry.invalid/api", True),
        ("http://127.0.0.1.evil.invalid", True),
        ("http://10.0.0.1", True),
        ("https://registry.invalid", False),
        ("http://127.0.0.1:1", False),
        ("http://127.1.2.3", False),
        ("http://localhost:80/", False),
        ("http://[::1]:80", False),
    ],
)
def test_a_token_in_the_clear_is_warned_of(url: str, warned: bool) -> None:
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        AsyncRegistryClient(token="t", base_url=url)
    assert ["in the clear" in str(warning.message) for warning in caught] == [True] * warned
    # The warning points at the line that made the client, so it shows once for it.
    assert [warning.filename for warning in caught] == [__file__] * warned


def test_reprs_are_short() -> None:
    client = AsyncRegistryClient(token="t", label="prod")
    assert repr(client) == "<AsyncRegistryClient 'prod' of https://cr.selcloud.ru/api>"
    assert repr(client.images) == "<AsyncImages of https://cr.selcloud.ru/api>"
    assert repr(client.images.list("r", "p")) == "AsyncPaginator[Image](page_size=100, offset=0)"


def test_the_sessions_of_a_loop_in_a_thread_are_its_own() -> None:
    async def use(client: AsyncRegistryClient) -> object:
        return await get(client)

    with in_thread(FaultServer(default=EMPTY)) as (server, portal):

        async def both() -> None:
            async with client_of(server) as client:
                assert await get(client) == []
                # The same client on the server's own loop, in another thread.
                assert await asyncio.to_thread(portal.call, use, client) == []
                assert await get(client) == []

        asyncio.run(both())
        portal.call(server.wait_for_connections, 0)
