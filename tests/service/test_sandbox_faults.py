"""Faults on demand: what the client gets, and what was carried out."""

import asyncio
import http.client
import json
from collections.abc import Iterator
from typing import Any

import aiohttp
import pytest

from registry_async.sandbox import Sandbox
from tests.support.sandbox import Api, path_of


@pytest.fixture
def sandbox() -> Iterator[Sandbox]:
    with Sandbox(seed=False) as running:
        yield running


@pytest.fixture
def api(sandbox: Sandbox) -> Api:
    return Api(sandbox)


def create(api: Api, name: str) -> int:
    content = json.dumps({"name": name}).encode()
    return api.send("POST", "/api/v1/registries", content=content).status


def names(sandbox: Sandbox) -> list[str]:
    return [registry.name for registry in sandbox.state.registries()]


def test_a_status_strikes_as_often_as_told(api: Api, sandbox: Sandbox) -> None:
    fault = sandbox.faults.add(status=503, headers={"Retry-After": "7"}, times=2)
    for _ in range(2):
        reply = api.send("GET", "/api/v2/registries")
        assert (reply.status, reply.headers["Retry-After"]) == (503, "7")
        assert reply.body == {"error": "Injected fault 503."}
        assert reply.headers["Content-Type"] == "application/json"
    assert api.send("GET", "/api/v2/registries").status == 200
    assert fault.hits == 2
    assert [record.status for record in sandbox.requests] == [503, 503, 200]


def test_an_operation_is_carried_out_after_which_a_fault_strikes(
    api: Api, sandbox: Sandbox
) -> None:
    sandbox.faults.add(status=500)
    assert create(api, "lost") == 500
    assert names(sandbox) == []
    sandbox.faults.add(status=502, when="after")
    assert create(api, "made") == 502
    assert names(sandbox) == ["made"]
    assert [record.operation_id for record in sandbox.requests] == ["createRegistry"] * 2


@pytest.mark.parametrize("drop", ["close", "reset"])
@pytest.mark.parametrize(("when", "made"), [("before", []), ("after", ["dropped"])])
def test_a_connection_is_dropped(
    api: Api, sandbox: Sandbox, drop: Any, when: Any, made: list[str]
) -> None:
    sandbox.faults.add(drop=drop, when=when)
    expected = http.client.RemoteDisconnected if drop == "close" else ConnectionResetError
    with pytest.raises(expected):
        create(api, "dropped")
    assert names(sandbox) == made
    assert sandbox.requests[0].status is None
    assert create(api, "next") == 201


@pytest.mark.parametrize("size", [0, 1, 20])
def test_a_body_is_cut_short(api: Api, sandbox: Sandbox, size: int) -> None:
    sandbox.faults.add(truncate=size)
    with pytest.raises(http.client.IncompleteRead) as caught:
        api.send("GET", "/api/v2/registries")
    whole = api.send("GET", "/api/v2/registries").content
    assert caught.value.partial == whole[:size]
    assert caught.value.expected == len(whole) - size


def test_a_fault_waits_for_its_request(api: Api, sandbox: Sandbox) -> None:
    registry = sandbox.state.add_registry("a")
    by_method = sandbox.faults.add(method="delete", status=500)
    by_part = sandbox.faults.add(path="/garbage-collection/size", status=501, times=None)
    by_predicate = sandbox.faults.add(path=lambda path: path.endswith("%2Fb"), status=502, skip=1)
    assert api.send("GET", f"/api{path_of(registry)}").status == 200
    assert api.send("GET", f"/api{path_of(registry, 'a/b')}").status == 404
    assert api.send("GET", f"/api{path_of(registry, 'a/b')}").status == 502
    assert api.send("GET", f"/api{path_of(registry)}/garbage-collection/size").status == 501
    assert api.send("DELETE", f"/api{path_of(registry)}").status == 500
    assert api.send("DELETE", f"/api{path_of(registry)}").status == 204
    assert (by_method.hits, by_part.hits, by_predicate.hits) == (1, 1, 1)
    sandbox.faults.remove(by_part)
    sandbox.faults.remove(by_part)
    assert api.send("GET", f"/api{path_of(registry)}/garbage-collection/size").status == 200


def test_faults_strike_the_login_too(api: Api, sandbox: Sandbox) -> None:
    sandbox.faults.add(path="/identity/", status=503)
    assert api.send("POST", "/identity/v3/auth/tokens").status == 503


@pytest.mark.parametrize(
    ("body", "sent"),
    [
        (b"\xff\x00", b"\xff\x00"),
        ("<h1>Bad</h1>", b"<h1>Bad</h1>"),
        ({"message": 1}, b'{"message": 1}'),
    ],
)
def test_any_body_can_be_sent(api: Api, sandbox: Sandbox, body: object, sent: bytes) -> None:
    sandbox.faults.add(status=200, body=body, headers={"content-type": "text/html"})
    reply = api.send("GET", "/api/v2/registries")
    assert (reply.status, reply.content) == (200, sent)
    assert reply.headers["Content-Type"] == "text/html"


def test_a_body_stays_empty_where_it_is_no_error(api: Api, sandbox: Sandbox) -> None:
    sandbox.faults.add(status=302, headers={"Location": "http://127.0.0.1:1/"})
    reply = api.send("GET", "/api/v2/registries")
    assert (reply.status, reply.headers["Location"], reply.content) == (
        302,
        "http://127.0.0.1:1/",
        b"",
    )


def test_faults_can_be_taken_back(api: Api, sandbox: Sandbox) -> None:
    sandbox.faults.add(status=500, times=None)
    sandbox.faults.max_limit = 1
    sandbox.faults.clear()
    sandbox.state.add_registry("a")
    sandbox.state.add_registry("b")
    assert len(api.get("/v2/registries")["registries"]) == 2


def test_latency_waits_with_the_sleep_that_was_given() -> None:
    waited: list[float] = []

    async def sleep(seconds: float) -> None:
        waited.append(seconds)

    with Sandbox(seed=False, sleep=sleep) as sandbox:
        sandbox.faults.add(latency=30)
        sandbox.faults.add(latency=5, status=429, headers={"Retry-After": "1"})
        assert Api(sandbox).send("GET", "/api/v2/registries").status == 200
        reply = Api(sandbox).send("GET", "/api/v2/registries")
    assert waited == [30, 5]
    assert (reply.status, reply.body) == (429, {"error": "Too many requests."})


@pytest.mark.anyio
@pytest.mark.parametrize(("when", "made"), [("before", []), ("after", ["held"])])
async def test_a_held_request_ends_with_its_client(when: Any, made: list[str]) -> None:
    arrived, released = asyncio.Event(), asyncio.Event()

    async def sleep(seconds: float) -> None:
        arrived.set()
        try:
            await asyncio.Event().wait()
        finally:
            released.set()

    async with Sandbox(seed=False, sleep=sleep) as sandbox, aiohttp.ClientSession() as session:
        sandbox.faults.add(method="POST", latency=1, when=when)
        url, headers = f"{sandbox.base_url}/v1/registries", {"X-Auth-Token": sandbox.token}
        call = asyncio.create_task(session.post(url, headers=headers, json={"name": "held"}))
        await asyncio.wait_for(arrived.wait(), 10)
        call.cancel()
        await asyncio.wait_for(released.wait(), 10)
        assert sandbox.requests[0].cancelled
        assert names(sandbox) == made
        with pytest.raises(asyncio.CancelledError):
            await call


@pytest.mark.anyio
async def test_a_sandbox_ends_while_requests_are_held() -> None:
    async with aiohttp.ClientSession() as session:
        async with Sandbox(seed=False) as sandbox:
            arrived: asyncio.Queue[str] = asyncio.Queue()

            def held(raw_path: str) -> bool:
                arrived.put_nowait(raw_path)
                return True

            sandbox.faults.add(path=held, latency=float("inf"), times=None)
            headers = {"X-Auth-Token": sandbox.token}
            calls = [
                asyncio.create_task(
                    session.get(f"{sandbox.base_url}/v2/registries", headers=headers)
                )
                for _ in range(3)
            ]
            for _ in calls:
                await asyncio.wait_for(arrived.get(), 10)
        for call in calls:
            # aiohttp may try a GET once more, and then finds nobody there.
            with pytest.raises(aiohttp.ClientConnectionError):
                await call
        assert all(record.cancelled for record in sandbox.requests)


@pytest.mark.parametrize(
    "fault",
    [
        {},
        {"latency": -1},
        {"latency": float("nan")},
        {"status": 500, "latency": float("nan")},
        {"status": 99},
        {"status": 600},
        {"status": 500, "drop": "reset"},
        {"status": 500, "truncate": 1},
        {"drop": "close", "truncate": 1},
        {"drop": "gently"},
        {"truncate": -1},
        {"status": 500, "times": 0},
        {"status": 500, "skip": -1},
        {"status": 500, "when": "during"},
        {"latency": 1, "body": "lost"},
        {"drop": "close", "headers": {"Retry-After": "1"}},
    ],
)
def test_a_fault_that_makes_no_sense_is_an_error(sandbox: Sandbox, fault: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match=r"fault|must|exclude|belong"):
        sandbox.faults.add(**fault)


def test_a_cap_below_one_is_an_error() -> None:
    with pytest.raises(ValueError, match="max_limit"):
        Sandbox(seed=False, max_limit=0)
