"""The tests' own servers and validators: a tool that lies makes every test that uses it lie."""

from __future__ import annotations

import asyncio
import json
import urllib.request
from datetime import UTC, datetime

import aiohttp
import pytest

from tests.support.contract import Contract, ContractViolationError
from tests.support.faults import (
    FIVE_MEGABYTES,
    Drip,
    Drop,
    FaultServer,
    Garbage,
    GzipBomb,
    Hang,
    Reply,
    Reset,
    ScriptExhaustedError,
    Truncate,
    refused_port,
    retry_after_forms,
)
from tests.support.strict_server import Paging, StrictServer
from tests.support.strict_server import Reply as StrictReply
from tests.support.wire import SeenRequest, in_thread

pytestmark = pytest.mark.anyio

TOKEN = {"X-Auth-Token": "t"}
JSON = {**TOKEN, "Content-Type": "application/json"}
CREATE = "/api/v1/registries"
TOKENS = "/api/v2/tokens"
NEVER = {"expiration": {"isSet": False}, "scope": {"allRegistries": True, "modeRW": False}}


@pytest.fixture(scope="module")
def contract() -> Contract:
    return Contract.load()


@pytest.mark.parametrize(
    ("method", "path", "operation_id", "values"),
    [
        ("GET", "/api/v1/registries", "listRegistriesV1", {}),
        ("GET", "/api/v2/registries/r/repositories", "listRepositories", {"registry_id": "r"}),
        (
            "DELETE",
            "/api/v1/registries/r/repositories/team%2Fapp",
            "deleteRepository",
            {"registry_id": "r", "repository": "team/app"},
        ),
        (
            "DELETE",
            "/api/v1/registries/r/repositories/team/app",
            "deleteManifest",
            {"registry_id": "r", "repository": "team", "reference": "app"},
        ),
        (
            "GET",
            "/api/v1/registries/r/repositories/a/images",
            "listImagesV1",
            {"registry_id": "r", "repository": "a"},
        ),
        ("GET", "/api/v1/token/a%20b%C3%A9", "getTokenV1", {"token": "a bé"}),
    ],
)
def test_contract_matches_raw_paths(
    contract: Contract, method: str, path: str, operation_id: str, values: dict[str, str]
) -> None:
    checked = contract.check_request(method, path, headers=TOKEN)
    assert checked.operation.operation_id == operation_id
    assert checked.path == values


@pytest.mark.parametrize(
    ("method", "path"),
    [
        ("GET", "/v1/registries"),
        ("GET", "/api/v1/registries/"),
        ("GET", "/api//v1/registries"),
        ("GET", "/api/v3/registries"),
        ("PUT", "/api/v1/registries"),
        ("DELETE", "/api/v1/registries/r/repositories/a/images"),
        ("GET", "/api/v1/registries/r%2"),
        ("GET", "/api/v1/registries/a b"),
        ("GET", "/api/v1/registries/é"),
        ("GET", "/api/v1/registries/.."),
        ("GET", "/api/v1/registries/%2e%2E"),
        ("GET", "/api/v1/registries/%ff"),
    ],
)
def test_contract_refuses_unknown_paths(contract: Contract, method: str, path: str) -> None:
    with pytest.raises(ContractViolationError):
        contract.check_request(method, path, headers=TOKEN)


def test_contract_reads_query_values(contract: Contract) -> None:
    checked = contract.check_request(
        "GET",
        "/api/v2/registries/r/repositories",
        "limit=100&offset=0&search=a%2Fb+c&sort_type=desc&short=true",
        TOKEN,
    )
    assert checked.query == {
        "limit": 100,
        "offset": 0,
        "search": "a/b c",
        "sort_type": "desc",
        "short": True,
    }


@pytest.mark.parametrize(
    "query",
    [
        "page=1",
        "limit=0",
        "limit=ten",
        "limit=1.0",
        "limit=+1",
        "limit=",
        "offset=-1",
        "limit=1&limit=1",
        "sort_field=color",
        "sort_type=up",
        "short=True",
        "short=1",
        "search=%zz",
        "search",
        "search=a&&limit=1",
    ],
)
def test_contract_refuses_undocumented_queries(contract: Contract, query: str) -> None:
    with pytest.raises(ContractViolationError):
        contract.check_request("GET", "/api/v2/registries/r/repositories", query, TOKEN)


@pytest.mark.parametrize(
    "headers",
    [[], [("X-Auth-Token", "")], [("X-Auth-Token", "a"), ("x-auth-token", "a")]],
)
def test_contract_demands_one_token(contract: Contract, headers: list[tuple[str, str]]) -> None:
    with pytest.raises(ContractViolationError, match="X-Auth-Token"):
        contract.check_request("GET", CREATE, "", headers)


def test_contract_accepts_documented_bodies(contract: Contract) -> None:
    assert contract.check_request("POST", CREATE, "", JSON, b'{"name": "a-1"}').body == {
        "name": "a-1"
    }
    contract.check_request("POST", TOKENS, "docker-config=true", JSON, json.dumps(NEVER).encode())
    contract.check_request("PATCH", f"{TOKENS}/t", "", JSON, b'{"name": "n"}')


@pytest.mark.parametrize(
    ("method", "path", "headers", "body"),
    [
        ("POST", CREATE, JSON, b""),
        ("POST", f"{TOKENS}/t/revoke", JSON, b""),
        ("POST", CREATE, JSON, b"{}"),
        ("POST", CREATE, JSON, b"{"),
        ("POST", CREATE, JSON, b'{"name": NaN}'),
        ("POST", CREATE, JSON, b'{"name": "a", "name": "b"}'),
        ("POST", CREATE, JSON, b'{"name": "a", "size": 1}'),
        ("POST", CREATE, JSON, b'{"name": "Upper"}'),
        ("POST", CREATE, TOKEN, b'{"name": "a"}'),
        ("POST", TOKENS, JSON, json.dumps({**NEVER, "expiration": {"isSet": True}}).encode()),
        ("POST", TOKENS, JSON, json.dumps({**NEVER, "expiresAt": "x"}).encode()),
        ("POST", f"{TOKENS}/t/refresh", JSON, b'{"isSet": false}'),
        (
            "POST",
            f"{TOKENS}/t/refresh",
            JSON,
            b'{"expiration": {"isSet": true, "expiresAt": "2030-01-01 00:00"}}',
        ),
        ("POST", f"{TOKENS}/t/revoke", JSON, b"{}"),
        ("GET", CREATE, JSON, b"{}"),
    ],
)
def test_contract_refuses_other_bodies(
    contract: Contract, method: str, path: str, headers: dict[str, str], body: bytes
) -> None:
    with pytest.raises(ContractViolationError):
        contract.check_request(method, path, "", headers, body)


def test_contract_judges_answers(contract: Contract) -> None:
    token = {"id": "i", "status": "active", **NEVER}
    contract.check_answer("getToken", 200, json.dumps(token).encode())
    contract.check_answer("createToken", 201, json.dumps({**token, "token": "s"}).encode())
    contract.check_answer("listRegistriesV1", 204, content_type=None)
    contract.check_answer("listRegistries", 200, b'{"registries": null, "totalCount": 0}')
    contract.check_answer("getRegistry", 429, b'{"error": {"id": "x", "message": "slow down"}}')


@pytest.mark.parametrize(
    ("operation_id", "status", "body", "content_type"),
    [
        ("getToken", 200, json.dumps({"id": "i", "status": "a", **NEVER, "token": "s"}), "json"),
        ("createToken", 201, json.dumps({"id": "i", "status": "a", **NEVER}), "json"),
        ("createToken", 201, json.dumps({"id": "i", "token": "s", **NEVER, "x": 1}), "json"),
        ("getRegistry", 200, "", "json"),
        ("getRegistry", 200, "[]", "json"),
        ("getRegistry", 404, '{"error": "no"}', "html"),
        ("getRegistry", 404, '{"detail": "no"}', "json"),
        ("getRegistry", 204, "", "json"),
        ("getRegistry", 302, "", "json"),
        ("deleteRegistry", 204, "{}", "json"),
    ],
)
def test_contract_refuses_other_answers(
    contract: Contract, operation_id: str, status: int, body: str, content_type: str
) -> None:
    with pytest.raises(ContractViolationError):
        contract.check_answer(
            operation_id, status, body.encode(), content_type=f"application/{content_type}"
        )


async def test_fault_server_plays_its_script_and_counts() -> None:
    script = (Reply.json({"n": 1}), Reply(503, FIVE_MEGABYTES), Reply.redirect("/elsewhere"))
    async with FaultServer(*script) as server, aiohttp.ClientSession() as session:
        async with session.get(f"{server.base_url}/a%2Fb?x=1", headers=TOKEN) as response:
            assert await response.json() == {"n": 1}
        async with session.post(f"{server.base_url}/b", json={"k": "v"}) as response:
            assert (response.status, await response.read()) == (503, FIVE_MEGABYTES)
        async with session.delete(f"{server.base_url}/c", allow_redirects=False) as response:
            assert (response.status, response.headers["Location"]) == (307, "/elsewhere")
    assert server.counts() == {"GET": 1, "POST": 1, "DELETE": 1}
    assert [request.target for request in server.requests] == ["/api/a%2Fb?x=1", "/api/b", "/api/c"]
    assert server.requests[0].header("x-auth-token") == "t"
    assert server.requests[1].json() == {"k": "v"}
    assert server.connection_count == 1
    assert server.count("GET", "/api/a%2Fb") == 1
    assert server.count(path="/api/other") == 0


async def test_fault_server_reports_a_request_beyond_the_script() -> None:
    async with aiohttp.ClientSession() as session:
        with pytest.raises(ScriptExhaustedError, match="GET /api"):
            async with FaultServer() as server, session.get(server.base_url) as response:
                assert response.status == 418


@pytest.mark.parametrize(
    ("fault", "error"),
    [
        (Drop(), aiohttp.ServerDisconnectedError),
        (Reset(), aiohttp.ClientOSError),
        (Garbage(), aiohttp.ClientResponseError),
        (Truncate(b'{"totalCount": 0}'), aiohttp.ClientPayloadError),
        (Truncate(b'{"totalCount": 0}', chunked=True), aiohttp.ClientPayloadError),
    ],
)
async def test_fault_server_breaks_answers(fault: Drop, error: type[Exception]) -> None:
    async with FaultServer(fault) as server, aiohttp.ClientSession() as session:
        with pytest.raises(error):
            async with session.post(server.base_url) as response:
                await response.read()
        await server.wait_for_connections(0)
    assert server.count("POST") == 1


@pytest.mark.parametrize("fault", [Hang(), Hang.in_body(b"{}"), Drip(b"x" * 1000, interval=60)])
async def test_fault_server_hangs_until_the_client_leaves(fault: Hang) -> None:
    async with FaultServer(fault) as server, aiohttp.ClientSession() as session:

        async def ask() -> None:
            async with session.get(server.base_url) as response:
                await response.read()

        task = asyncio.create_task(ask())
        await server.wait_for_requests(1)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        if isinstance(fault, Hang):
            await asyncio.wait_for(server.client_left.wait(), 10)


async def test_fault_server_closes_idle_connections() -> None:
    async with FaultServer(default=Reply()) as server, aiohttp.ClientSession() as session:
        for _ in range(2):
            async with session.post(server.base_url) as response:
                await response.read()
            await server.close_connections()
            assert server.open_connections == 0
        async with session.get(server.base_url) as response:
            await response.read()
    assert server.connection_count == 3


async def test_fault_server_refuses_and_accepts_again() -> None:
    async with FaultServer(default=Reply()) as server, aiohttp.ClientSession() as session:
        await server.stop_listening()
        with pytest.raises(aiohttp.ClientConnectorError):
            await session.get(server.base_url)
        await server.start_listening()
        async with session.get(server.base_url) as response:
            assert response.status == 200
        with refused_port() as port, pytest.raises(aiohttp.ClientConnectorError):
            await session.get(f"http://127.0.0.1:{port}/")


async def test_fault_server_sends_a_gzip_bomb() -> None:
    async with (
        FaultServer(GzipBomb(size=3 << 20)) as server,
        aiohttp.ClientSession(auto_decompress=False) as session,
        session.get(server.base_url) as response,
    ):
        packed = await response.read()
    assert response.headers["Content-Encoding"] == "gzip"
    assert len(packed) < 10_000


def test_retry_after_dates_are_relative_to_the_given_time() -> None:
    forms = retry_after_forms(datetime(2030, 1, 1, tzinfo=UTC))
    assert forms["date"] == "Tue, 01 Jan 2030 00:00:02 GMT"
    assert forms["past date"] == "Mon, 31 Dec 2029 23:00:00 GMT"


async def test_strict_server_refuses_what_the_contract_does_not_know() -> None:
    async with StrictServer() as server, aiohttp.ClientSession() as session:
        headers = {"X-Auth-Token": server.token}
        url = f"{server.base_url}/v1/registries"
        async with session.post(url, headers=headers, json={"name": "a", "size": 1}) as response:
            assert response.status == 400
        async with session.get(f"{url}?page=1", headers=headers) as response:
            assert response.status == 400
        async with session.get(url, headers={"X-Auth-Token": "other"}) as response:
            assert response.status == 401
        async with session.get(url, headers=headers) as response:
            assert (response.status, await response.read()) == (204, b"")
    assert ["size" in violation for violation in server.violations] == [True, False]
    assert server.performed == ["listRegistriesV1", "listRegistriesV1"]
    assert server.count("GET") == 3


async def test_strict_server_pages_as_told() -> None:
    paging = Paging(cap=2, overlap=1, total=lambda truth: truth - 1, filtered_count=False)
    async with StrictServer(paging=paging) as server, aiohttp.ClientSession() as session:
        server.populate(registries=1, repositories=4, images=0)
        (registry_id,) = server.registries
        listed: list[str] = []
        server.on_listed = listed.append
        url = f"{server.base_url}/v2/registries/{registry_id}/repositories?short=true&limit=10"
        headers = {"X-Auth-Token": server.token}
        async with session.get(f"{url}&offset=2", headers=headers) as response:
            page = await response.json()
        paging.ignore_offset, paging.short_form = True, "object"
        paging.total = lambda truth: None
        async with session.get(f"{url}&offset=2", headers=headers) as response:
            first = await response.json()
    assert page == {"repositories": ["team-0/app-0003", "team-1/app-0001"], "totalCount": 3}
    assert first == {"repositories": [{"name": "team-0/app-0000"}, {"name": "team-0/app-0003"}]}
    assert listed == ["listRepositories", "listRepositories"]
    assert server.violations == []


async def test_strict_server_lets_a_test_interfere() -> None:
    async with StrictServer() as server, aiohttp.ClientSession() as session:

        async def refuse(request: SeenRequest) -> StrictReply | None:
            return StrictReply(503, {"message": "later"}) if request.index == 0 else None

        server.on_request = refuse
        headers = {"X-Auth-Token": server.token}
        statuses = []
        for _ in range(2):
            async with session.get(f"{server.base_url}/v2/tokens", headers=headers) as response:
                statuses.append(response.status)
    assert statuses == [503, 200]
    assert (server.most_in_flight, server.in_flight) == (1, 0)


def test_servers_run_beside_synchronous_code() -> None:
    with in_thread(FaultServer(default=Reply.json([1]))) as (server, portal):
        with urllib.request.urlopen(f"{server.base_url}/a") as response:
            assert response.read() == b"[1]"
        portal.call(server.wait_for_requests, 1)
    assert server.count("GET", "/api/a") == 1
