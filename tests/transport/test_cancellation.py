"""Cancellation at any point leaves nothing behind, and the client works on."""

from __future__ import annotations

import asyncio
import os
import random
import subprocess
import sys
import textwrap
from collections.abc import Callable, Coroutine
from typing import Any, Final

import aiohttp
import pytest

from registry_async import AsyncRegistryClient, KeystonePassword, RetryPolicy
from tests.support.clock import FakeClock
from tests.support.faults import Behaviour, Drip, FaultServer, Hang, Reply
from tests.support.wire import SeenRequest

pytestmark = pytest.mark.anyio

EMPTY: Final = Reply.json({"registries": [], "totalCount": 0})
LOGIN: Final = Reply.json(
    {"token": {"expires_at": "2100-01-02T00:00:00Z", "issued_at": "2100-01-01T00:00:00Z"}},
    201,
    headers={"X-Subject-Token": "iam"},
)


def client_of(server: FaultServer, **options: Any) -> AsyncRegistryClient:
    settings: dict[str, Any] = {"token": "t", "base_url": server.base_url, **options}
    if "credentials" in settings:
        del settings["token"]
    return AsyncRegistryClient(**settings)


def password(server: FaultServer) -> KeystonePassword:
    return KeystonePassword(
        username="u", password="secret", account="1", project_id="p", auth_url=server.url
    )


async def get(client: AsyncRegistryClient) -> object:
    return await client.registries.list().collect()


class Sleeper(FakeClock):
    """A clock on which a sleep lasts until it is cancelled."""

    def __init__(self) -> None:
        super().__init__()
        self.asleep = asyncio.Event()

    async def sleep(self, seconds: float) -> None:
        self.sleeps.append(seconds)
        self.asleep.set()
        await asyncio.Event().wait()


async def assert_cancelled(task: asyncio.Future[Any]) -> None:
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task


_SERVERS: Final = {"FaultServer._serve", "BaseSelectorEventLoop._accept_connection2", "Event.wait"}


def tasks_left(before: set[asyncio.Task[Any]]) -> set[asyncio.Task[Any]]:
    """Give the tasks that are new, less those of the server, which shares the loop."""
    return {
        task
        for task in asyncio.all_tasks() - before
        if getattr(task.get_coro(), "__qualname__", "") not in _SERVERS
    }


@pytest.mark.parametrize("own", [True, False])
@pytest.mark.parametrize(
    "where",
    [Hang(), Hang(b"HTTP/1.1 200"), Hang.in_body(b"{"), Drip(b" " * 500, interval=0.05)],
    ids=["answer", "head", "body", "drip"],
)
async def test_a_cancelled_request_gives_its_connection_back(where: Behaviour, own: bool) -> None:
    connector = aiohttp.TCPConnector(limit=1)
    async with (
        FaultServer(where, default=EMPTY) as server,
        aiohttp.ClientSession(connector=connector) as session,
        client_of(server, max_connections=1, **({} if own else {"session": session})) as client,
    ):
        before = asyncio.all_tasks()
        running = asyncio.create_task(get(client))
        await server.wait_for_requests(1)
        await assert_cancelled(running)
        assert tasks_left(before) == set()
        # The only connection is free again, and not the broken one.
        assert await get(client) == []
        assert server.count("GET") == 2
        assert server.requests[1].connection == 1


async def test_a_cancelled_wait_for_a_place_is_given_up() -> None:
    async with (
        FaultServer(Hang(), default=EMPTY) as server,
        client_of(server, max_connections=1) as client,
    ):
        first = asyncio.create_task(get(client))
        await server.wait_for_requests(1)
        waiting = [asyncio.create_task(get(client)) for _ in range(5)]
        for _ in range(5):
            await asyncio.sleep(0)
        for task in waiting[1:]:
            await assert_cancelled(task)
        await assert_cancelled(first)
        assert await waiting[0] == []
        assert server.count("GET") == 2


async def test_a_cancelled_back_off_ends_at_once() -> None:
    clock = Sleeper()
    async with (
        FaultServer(Reply(503), default=EMPTY) as server,
        client_of(server, clock=clock, max_connections=1) as client,
    ):
        running = asyncio.create_task(get(client))
        await clock.asleep.wait()
        # Who waits for the next attempt keeps nobody from a connection.
        assert await get(client) == []
        await assert_cancelled(running)
        assert server.count("GET") == 2


async def test_cancelling_a_concurrent_read_stops_all_of_it() -> None:
    def behave(request: SeenRequest) -> Behaviour:
        if request.index == 0 or request.index > 8:
            page = [
                {"digest": f"sha256:{number}", "tags": [], "layers": []} for number in range(10)
            ]
            return Reply.json({"images": page, "totalCount": 1000})
        return Hang()

    async with FaultServer(handler=behave) as server, client_of(server) as client:
        before = asyncio.all_tasks()
        running = asyncio.create_task(client.images.list("r", "p", page_size=10).collect())
        await server.wait_for_requests(9)
        await assert_cancelled(running)
        assert tasks_left(before) == set()
        await server.wait_for_connections(0)


async def test_a_cancelled_login_passes_the_turn_on() -> None:
    async with (
        FaultServer(Hang(), LOGIN, default=EMPTY) as server,
        client_of(server, credentials=password(server)) as client,
    ):
        holder = asyncio.create_task(get(client))
        await server.wait_for_requests(1)
        waiting = [asyncio.create_task(get(client)) for _ in range(3)]
        for _ in range(5):
            await asyncio.sleep(0)
        await assert_cancelled(holder)
        assert await asyncio.gather(*waiting) == [[], [], []]
        assert server.count("POST") == 2


async def test_a_cancelled_wait_for_a_login_disturbs_nobody() -> None:
    release = asyncio.Event()

    class LateLogin:
        async def perform(self, connection: Any, request: SeenRequest) -> bool:
            await release.wait()
            return await LOGIN.perform(connection, request)

    async with (
        FaultServer(LateLogin(), default=EMPTY) as server,
        client_of(server, credentials=password(server)) as client,
    ):
        holder = asyncio.create_task(get(client))
        await server.wait_for_requests(1)
        waiting = [asyncio.create_task(get(client)) for _ in range(3)]
        for _ in range(5):
            await asyncio.sleep(0)
        for task in waiting[:2]:
            await assert_cancelled(task)
        release.set()
        assert [await holder, await waiting[2]] == [[], []]
        assert server.count("POST") == 1


async def test_cancelling_at_any_turn_of_the_loop_leaves_nothing_stuck() -> None:
    # Whichever step a request is at: the login, its place, the connection, the head, the body.
    for turns in range(40):
        async with (
            FaultServer(
                handler=lambda request: LOGIN if request.method == "POST" else EMPTY
            ) as server,
            client_of(server, credentials=password(server), max_connections=1) as client,
        ):
            before = asyncio.all_tasks()
            running = asyncio.create_task(get(client))
            for _ in range(turns):
                await asyncio.sleep(0)
            running.cancel()
            await asyncio.gather(running, return_exceptions=True)
            assert tasks_left(before) == set()
            # With a stuck lock, place or connection this would hang.
            async with asyncio.timeout(10):
                assert await get(client) == []


async def test_a_storm_of_cancellations_leaves_every_place_free() -> None:
    chance = random.Random(7)
    async with (
        FaultServer(default=EMPTY) as server,
        client_of(server, max_connections=5, retry=RetryPolicy(attempts=1)) as client,
    ):
        running = [asyncio.create_task(get(client)) for _ in range(300)]
        while any(not task.done() for task in running):
            chance.choice(running).cancel()
            await asyncio.sleep(0)
        await asyncio.gather(*running, return_exceptions=True)
        async with asyncio.timeout(10):
            assert await asyncio.gather(*(get(client) for _ in range(50))) == [[]] * 50
        assert server.open_connections <= 5


@pytest.mark.parametrize("step", ["create", "wait"])
async def test_waits_are_cancelled_at_once(step: str) -> None:
    clock = Sleeper()
    creating = Reply.json(
        {
            "id": "r",
            "name": "r",
            "status": "CREATING",
            "size": 0,
            "createdAt": "2025-01-01T00:00:00Z",
        }
    )
    calls: dict[str, Callable[[AsyncRegistryClient], Coroutine[Any, Any, Any]]] = {
        "create": lambda client: client.registries.create("r", wait=True),
        "wait": lambda client: client.registries.wait_until_active("r"),
    }
    async with FaultServer(default=creating) as server, client_of(server, clock=clock) as client:
        running = asyncio.create_task(calls[step](client))
        await clock.asleep.wait()
        await assert_cancelled(running)
        assert server.count("POST") == (step == "create")


def test_ctrl_c_ends_the_request_and_the_program() -> None:
    program = """
        import asyncio, os, signal, sys
        from registry_async import AsyncRegistryClient
        from tests.support.faults import FaultServer, Hang

        async def main():
            async with FaultServer(default=Hang()) as server:
                async def interrupt():
                    await server.wait_for_requests(1)
                    os.kill(os.getpid(), signal.SIGINT)

                task = asyncio.create_task(interrupt())
                try:
                    async with AsyncRegistryClient(token="t", base_url=server.base_url) as client:
                        await client.registries.list().collect()
                finally:
                    await server.wait_for_connections(0)
                    print("the server saw it leave", server.client_left.is_set())

        try:
            asyncio.run(main())
        except KeyboardInterrupt:
            sys.exit(130)
    """
    done = subprocess.run(
        [sys.executable, "-X", "dev", "-W", "error", "-c", textwrap.dedent(program)],
        env=dict(os.environ),
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert (done.returncode, done.stdout) == (130, "the server saw it leave True\n")
    # In development mode the loop also tells of what it took long for.
    assert [line for line in done.stderr.splitlines() if "Executing" not in line] == []
