"""The sandbox's life, its lists, its seed and what it refuses before an operation is reached."""

import asyncio
import json
import socket
import subprocess
import sys
import textwrap
import threading
from collections.abc import Iterator
from datetime import UTC, datetime
from typing import Any

import aiohttp
import pytest

from registry_async import KeystonePassword
from registry_async.sandbox import Sandbox, StoredRegistry
from registry_async.sandbox import __all__ as public_names
from tests.support.sandbox import Api, path_of, populate


@pytest.fixture(scope="module")
def seeded() -> Iterator[Sandbox]:
    """A sandbox with its seed, for tests that only read."""
    with Sandbox() as sandbox:
        yield sandbox


@pytest.fixture
def empty() -> Iterator[Sandbox]:
    with Sandbox(seed=False) as sandbox:
        yield sandbox


def registry_named(sandbox: Sandbox, name: str) -> StoredRegistry:
    return next(item for item in sandbox.state.registries() if item.name == name)


def run_strictly(program: str) -> None:
    """Run a program whose every warning is an error, unraisable ones included."""
    command = [sys.executable, "-X", "dev", "-W", "error", "-c", textwrap.dedent(program)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
    assert (done.returncode, done.stderr) == (0, "")


# Life


def test_public_names_are_sorted_and_exist() -> None:
    import registry_async.sandbox as package

    assert public_names == sorted(public_names)
    assert all(hasattr(package, name) for name in public_names)


@pytest.mark.anyio
async def test_serves_from_the_running_loop_and_closes_its_port() -> None:
    async with Sandbox() as sandbox, aiohttp.ClientSession() as session:
        url, headers = f"{sandbox.base_url}/v2/registries", {"X-Auth-Token": sandbox.token}
        async with session.get(url, headers=headers) as response:
            page = await response.json()
        port = response.url.port
    assert response.status == 200
    assert page["totalCount"] == len(page["registries"]) == 5
    with pytest.raises(ConnectionRefusedError):
        socket.create_connection(("127.0.0.1", port or 0))


def test_serves_from_a_thread_that_ends_with_it() -> None:
    before = set(threading.enumerate())
    with Sandbox() as sandbox:
        assert Api(sandbox).get("/v2/registries")["totalCount"] == 5
        assert set(threading.enumerate()) > before
    assert set(threading.enumerate()) == before


def test_tells_where_it_is_only_while_it_runs() -> None:
    sandbox = Sandbox(seed=False)
    with pytest.raises(RuntimeError, match="not running"):
        sandbox.base_url  # noqa: B018 - the property is what raises
    with sandbox:
        assert sandbox.base_url == f"{sandbox.origin}/api"
        assert sandbox.auth_url == f"{sandbox.origin}/identity/v3"
        with pytest.raises(RuntimeError, match="running already"):
            sandbox.__enter__()
    with pytest.raises(RuntimeError, match="not running"):
        sandbox.auth_url  # noqa: B018 - the property is what raises


def test_keeps_its_state_when_it_is_entered_again() -> None:
    sandbox = Sandbox(seed=False)
    with sandbox:
        Api(sandbox).post("/v1/registries", {"name": "kept"})
    with sandbox:
        assert Api(sandbox).get("/v2/registries")["registries"][0]["name"] == "kept"


@pytest.mark.anyio
async def test_refuses_to_be_entered_twice() -> None:
    async with Sandbox(seed=False) as sandbox:
        with pytest.raises(RuntimeError, match="running already"):
            await sandbox.__aenter__()
        with pytest.raises(RuntimeError, match="running already"):
            sandbox.__enter__()
        with pytest.raises(RuntimeError, match="not entered with `with`"):
            sandbox.__exit__(None, None, None)


def test_a_port_in_use_is_an_error_and_leaves_no_thread() -> None:
    before = set(threading.enumerate())
    with Sandbox(seed=False) as first:
        port = int(first.origin.rpartition(":")[2])
        second = Sandbox(seed=False, port=port)
        with pytest.raises(OSError, match="in use"):
            second.__enter__()
        with pytest.raises(RuntimeError, match="not running"):
            second.base_url  # noqa: B018 - the property is what raises
    assert set(threading.enumerate()) == before


@pytest.mark.parametrize("host", ["0.0.0.0", "::", "192.168.1.1", "example.com", ""])
def test_refuses_to_be_seen_from_elsewhere(host: str) -> None:
    with pytest.raises(ValueError, match="loopback"):
        Sandbox(host=host)


@pytest.mark.parametrize("host", ["localhost", "127.0.0.2", "::1"])
def test_listens_on_any_loopback_address(host: str) -> None:
    if host == "::1" and not _has_ipv6():
        pytest.skip("this machine has no IPv6 loopback")
    with Sandbox(seed=False, host=host) as sandbox:
        assert Api(sandbox).get("/v2/registries") == {"registries": None, "totalCount": 0}


def _has_ipv6() -> bool:
    try:
        with socket.socket(socket.AF_INET6) as probe:
            probe.bind(("::1", 0))
    except OSError:
        return False
    return True


@pytest.mark.parametrize("way", ["with", "async with"])
def test_is_silent_under_dev_mode_even_with_connections_open(way: str) -> None:
    prelude = """
        import asyncio, http.client, socket
        from urllib.parse import urlsplit
        from registry_async.sandbox import Sandbox

        def use(sandbox):
            address = urlsplit(sandbox.origin)
            kept_alive = http.client.HTTPConnection(address.netloc)
            kept_alive.request("GET", "/openapi.json")
            kept_alive.getresponse().read()
            return kept_alive, socket.create_connection((address.hostname, address.port))
    """
    sync = """
        with Sandbox() as sandbox:
            held = use(sandbox)
        for connection in held:
            connection.close()
    """
    awaited = """
        async def main():
            async with Sandbox() as sandbox:
                held = await asyncio.to_thread(use, sandbox)
            for connection in held:
                connection.close()
        asyncio.run(main())
    """
    program = sync if way == "with" else awaited
    run_strictly(textwrap.dedent(prelude) + textwrap.dedent(program))


def test_does_not_hold_the_interpreter_when_it_is_never_left() -> None:
    run_strictly(
        """
        from registry_async.sandbox import Sandbox
        sandbox = Sandbox().__enter__()
        assert sandbox.base_url
        """
    )


def test_loads_nothing_of_the_client() -> None:
    run_strictly(
        """
        import ast, pathlib, registry_async.sandbox
        for path in pathlib.Path(registry_async.sandbox.__file__).parent.glob("*.py"):
            for node in ast.parse(path.read_text()).body:
                if isinstance(node, ast.ImportFrom):
                    ours = node.module.startswith("registry_async.sandbox")
                    assert not node.level, path
                    assert ours or not node.module.startswith("registry_async"), path
        """
    )


@pytest.mark.anyio
async def test_gives_an_async_client_that_is_set_up() -> None:
    async with Sandbox() as sandbox:
        async with sandbox.client(max_connections=2) as client:
            names = [registry.name async for registry in client.registries.list()]
            assert names == ["helm-charts", "ml-models", "playground", "production", "staging"]
        login = KeystonePassword(
            username=sandbox.login.username,
            password=sandbox.login.password,
            account=sandbox.login.account,
            project_name=sandbox.login.project_name,
            auth_url=sandbox.auth_url,
        )
        async with sandbox.client(credentials=login) as client:
            assert await client.registries.list().count() == 5
        assert "/identity/v3/auth/tokens" in {record.raw_path for record in sandbox.requests}


# Authentication


@pytest.mark.parametrize("path", ["/v2/registries", "/v1/token/abc", "/v1/nothing", "/v2/tokens"])
@pytest.mark.parametrize("token", [None, "wrong", "gAAAAA"])
def test_refuses_what_comes_without_a_good_token(
    seeded: Sandbox, path: str, token: str | None
) -> None:
    reply = Api(seeded).send("GET", f"/api{path}", token=token)
    assert reply.status == 401
    assert reply.body["error"]["message"]
    assert reply.headers["X-Request-Id"]


def test_takes_a_token_of_the_users_choice() -> None:
    with Sandbox(seed=False, token="chosen") as sandbox:
        assert sandbox.token == "chosen"
        Api(sandbox).get("/v2/registries", token="chosen")


# Paths


@pytest.mark.parametrize(
    ("method", "target", "status"),
    [
        ("GET", "/", 404),
        ("GET", "/v2/registries", 404),
        ("GET", "/api", 404),
        ("GET", "/api/v3/registries", 404),
        ("GET", "/api/v2/registries/", 404),
        ("GET", "/api//v2/registries", 404),
        ("GET", "/%61pi/v2/registries", 404),
        ("GET", "/apiary/v2/registries", 404),
        ("GET", "/api/v1/registries//repositories", 404),
        ("GET", "/api/v2/registries/%zz/repositories", 400),
        ("GET", "/api/v2/registries/%ff/repositories", 400),
        ("GET", "/api/v2/registries?search=%ff", 400),
        ("PUT", "/api/v1/registries", 405),
        ("HEAD", "/api/v2/registries", 405),
        ("POST", "/api/v2/registries", 405),
        ("DELETE", "/api/v1/registries/x/repositories/y/images", 405),
        ("GET", "/api/v1/registries/x/repositories/y/cleanup", 405),
        ("DELETE", "/openapi.json", 405),
    ],
)
def test_a_wrong_path_or_method_is_refused_in_the_services_form(
    seeded: Sandbox, method: str, target: str, status: int
) -> None:
    reply = Api(seeded).send(method, target)
    assert reply.status == status
    assert reply.headers["Content-Type"] == "application/json"
    if method != "HEAD":
        assert set(reply.body) <= {"error", "message"}
    if status == 405:
        assert method not in reply.headers["Allow"].split(", ")


@pytest.mark.parametrize(
    "garbage",
    [b"HELLO\r\n\r\n", b"GET / HTTP/9.9.9\r\n\r\n", b"GET /" + b"x" * 10_000 + b"\r\n\r\n"],
)
def test_what_is_no_http_is_refused_in_the_services_form(seeded: Sandbox, garbage: bytes) -> None:
    port = int(seeded.origin.rpartition(":")[2])
    with socket.create_connection(("127.0.0.1", port), timeout=10) as connection:
        connection.sendall(garbage)
        answer = b"".join(iter(lambda: connection.recv(65_536), b""))
    head, _, body = answer.partition(b"\r\n\r\n")
    assert head.startswith((b"HTTP/1.1 400 ", b"HTTP/1.0 400 "))
    assert b"\r\nX-Request-Id: " in head
    assert set(json.loads(body)) == {"message"}


def test_takes_the_absolute_form_of_a_target(seeded: Sandbox) -> None:
    reply = Api(seeded).send("GET", f"{seeded.base_url}/v2/registries")
    assert reply.body["totalCount"] == 5


def test_a_body_that_is_too_large_is_refused(empty: Sandbox) -> None:
    reply = Api(empty).send("POST", "/api/v1/registries", content=b" " * (2 * 1024**2))
    assert (reply.status, set(reply.body)) == (413, {"message"})


def test_says_continue_to_a_client_that_waits_for_it(empty: Sandbox) -> None:
    body = b'{"name": "waited"}'
    head = (
        "POST /api/v1/registries HTTP/1.1\r\nHost: sandbox\r\nConnection: close\r\n"
        f"X-Auth-Token: {empty.token}\r\nContent-Length: {len(body)}\r\n"
        "Content-Type: application/json\r\nExpect: 100-continue\r\n\r\n"
    )
    port = int(empty.origin.rpartition(":")[2])
    with socket.create_connection(("127.0.0.1", port), timeout=10) as connection:
        connection.sendall(head.encode())
        assert connection.recv(1_000) == b"HTTP/1.1 100 Continue\r\n\r\n"
        connection.sendall(body)
        assert connection.recv(1_000).startswith(b"HTTP/1.1 201 Created\r\n")


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"{",
        b"[]",
        b"null",
        b'"name"',
        b"\xff",
        b'{"name": NaN}',
        b"[" * 100_000,
        b'{"name": null}',
        b'{"name": 1}',
        b'{"name": true}',
        b'{"name": ["a"]}',
        b'{"Name": "a"}',
    ],
)
def test_a_malformed_body_is_refused(empty: Sandbox, content: bytes) -> None:
    reply = Api(empty).send("POST", "/api/v1/registries", content=content)
    assert (reply.status, set(reply.body)) == (400, {"error"})
    assert empty.state.registries() == []


# Lists


@pytest.mark.parametrize(
    "query",
    [
        "limit=0",
        "limit=-1",
        "limit=ten",
        "limit=",
        "limit=1.5",
        "limit=1_0",
        "limit=+1",
        "limit=%D9%A1",
        "offset=-1",
        "offset=x",
        "sort_field=colour",
        "sort_field=updated_at",
        "sort_type=up",
        "limit=1&limit=2",
    ],
)
@pytest.mark.parametrize("path", ["/v1/registries", "/v2/registries", "repositories", "/v2/tokens"])
def test_a_bad_query_is_refused(seeded: Sandbox, path: str, query: str) -> None:
    if path == "repositories":
        path = f"/v2/registries/{registry_named(seeded, 'production').id}/repositories"
    assert Api(seeded).get(f"{path}?{query}", 400)["error"]


@pytest.mark.parametrize("query", ["limit=10000000000000000000000", "offset=99999999999999999999"])
def test_numbers_may_be_as_large_as_the_contract_lets_them(seeded: Sandbox, query: str) -> None:
    page = Api(seeded).get(f"/v2/registries?{query}")
    assert page["totalCount"] == 5


def test_a_page_has_ten_items_unless_asked_otherwise(empty: Sandbox) -> None:
    registry = populate(empty.state, registries=1, repositories=12, images=13)[0]
    repository = "bulk/repository-00000"
    api = Api(empty)
    page = api.get(path_of(registry, version=2) + "/repositories")
    assert (len(page["repositories"]), page["totalCount"], page["filteredCount"]) == (10, 12, 12)
    assert len(api.get(path_of(registry) + "/repositories")) == 10
    images = path_of(registry, repository, version=2) + "/images"
    assert len(api.get(images)["images"]) == 10
    assert len(api.get(images + "?limit=100")["images"]) == 13
    assert api.get(images + "?offset=13") == {
        "filteredCount": 13,
        "images": None,
        "totalCount": 13,
    }
    # The v1 list of images has no paging at all.
    assert len(api.get(path_of(registry, repository) + "/images?limit=2")) == 13


@pytest.mark.parametrize("size", [1, 3, 10, 100])
def test_pages_put_together_are_the_whole(seeded: Sandbox, size: int) -> None:
    registry = registry_named(seeded, "production")
    path = path_of(registry, "team/app", version=2) + "/images"
    held = list(registry.repositories["team/app"].images)
    seen: list[str] = []
    while images := Api(seeded).get(f"{path}?limit={size}&offset={len(seen)}")["images"]:
        seen += [image["digest"] for image in images]
    assert seen == held


def test_a_capped_limit_gives_short_pages() -> None:
    with Sandbox(seed=False, max_limit=7) as sandbox:
        registry = populate(sandbox.state, registries=1, repositories=9, images=0)[0]
        path = path_of(registry, version=2) + "/repositories?limit=100"
        page = Api(sandbox).get(path)
        assert (len(page["repositories"]), page["totalCount"]) == (7, 9)
        sandbox.faults.max_limit = None
        assert len(Api(sandbox).get(path)["repositories"]) == 9


@pytest.mark.parametrize("field", ["name", "createdAt", "size"])
def test_registries_are_sorted_as_asked(seeded: Sandbox, field: str) -> None:
    api = Api(seeded)
    rising = api.get(f"/v2/registries?sort_field={field}")["registries"]
    falling = api.get(f"/v2/registries?sort_field={field}&sort_type=desc")["registries"]
    keys = [item[field] for item in rising]
    assert keys == sorted(keys)
    assert falling == rising[::-1]
    assert (
        api.get("/v2/registries")["registries"]
        == api.get("/v2/registries?sort_field=name&sort_type=asc")["registries"]
    )


def test_a_search_shrinks_the_filtered_count_and_no_total(seeded: Sandbox) -> None:
    api = Api(seeded)
    registry = registry_named(seeded, "production")
    found = api.get("/v2/registries?search=pro")
    assert [item["name"] for item in found["registries"]] == ["production"]
    assert found["totalCount"] == 5
    repositories = api.get(path_of(registry, version=2) + "/repositories?search=billing%2F")
    assert [item["name"] for item in repositories["repositories"]] == [
        "billing/invoices",
        "billing/ledger",
        "billing/payments",
    ]
    assert repositories["filteredCount"] == 3
    assert repositories["totalCount"] == len(registry.repositories)
    images = path_of(registry, "billing/ledger", version=2) + "/images"
    by_tag = api.get(images + "?search=latest")
    assert (by_tag["filteredCount"], by_tag["images"][0]["tags"][-1]) == (1, "latest")
    digest = by_tag["images"][0]["digest"]
    by_digest = api.get(f"{images}?search={digest[7:40]}")
    assert (by_digest["filteredCount"], by_digest["images"][0]["digest"]) == (1, digest)
    assert by_digest["totalCount"] == len(registry.repositories["billing/ledger"].images)


def test_quota_is_shown_by_v1_alone(seeded: Sandbox) -> None:
    api = Api(seeded)
    for item in api.get("/v1/registries"):
        assert item["used"] == pytest.approx(100 * item["size"] / item["sizeLimit"], abs=0.01)
    for item in api.get("/v2/registries")["registries"]:
        assert not item.keys() & {"used", "sizeLimit"}


def test_v1_answers_204_where_there_is_nothing(seeded: Sandbox) -> None:
    api = Api(seeded)
    nothing = registry_named(seeded, "playground")
    assert api.get("/v1/registries?search=nowhere", 204) is None
    assert api.get("/v1/registries?offset=5", 204) is None
    assert api.get(path_of(nothing) + "/repositories", 204) is None
    repository = seeded.state.add_repository(nothing, "hollow")
    assert api.get(path_of(nothing, "hollow") + "/images", 204) is None
    assert api.get(path_of(nothing, "hollow") + "/tags") == []
    del nothing.repositories[repository.name]


def test_short_lists_hold_names_sorted_by_name(seeded: Sandbox) -> None:
    api = Api(seeded)
    registry = registry_named(seeded, "staging")
    names = sorted(registry.repositories)
    page = api.get(path_of(registry, version=2) + "/repositories?short=true&sort_field=size")
    assert page["repositories"] == names
    assert api.get(path_of(registry) + "/repositories?short=true&sort_type=desc") == names[::-1]
    assert isinstance(api.get(path_of(registry) + "/repositories?short=false")[0], dict)
    assert api.get(path_of(registry) + "/repositories?short=yes", 400)["error"]


def test_short_lists_can_hold_objects() -> None:
    with Sandbox(short_form="object") as sandbox:
        registry = registry_named(sandbox, "staging")
        page = Api(sandbox).get(path_of(registry, version=2) + "/repositories?short=true&limit=1")
        assert page["repositories"] == [{"name": "api-gateway"}]


@pytest.mark.parametrize("tail", ["repositories", "repositories/a", "repositories/a/images"])
def test_lists_of_what_is_not_there_are_refused(seeded: Sandbox, tail: str) -> None:
    assert Api(seeded).get(f"/v1/registries/nowhere/{tail}", 404) == {
        "error": "Registry not found."
    }


# Seed


def test_the_seed_is_believable(seeded: Sandbox) -> None:
    registries = seeded.state.registries()
    repositories = [item for registry in registries for item in registry.repositories.values()]
    images = [image for repository in repositories for image in repository.images.values()]
    assert len(registries) == 5
    assert 30 <= len(repositories) <= 50
    assert 500 <= len(images) <= 800
    assert not registry_named(seeded, "playground").repositories
    assert {"team/app", "platform/ingress/controller"} <= {item.name for item in repositories}
    assert any(repository.type == "helm_chart" for repository in repositories)
    assert any(len(image.tags) > 2 for image in images)
    assert any(not image.tags for image in images)
    assert any(image.references for image in images)
    assert all(
        set(image.references) <= set(repository.images)
        for repository in repositories
        for image in repository.images.values()
    )
    unique = len({layer for image in images for layer in image.layers})
    assert unique < sum(len(image.layers) for image in images) / 1.5
    # Nanoseconds, as Go writes them.
    shown = Api(seeded).get(
        path_of(registry_named(seeded, "production"), "team/app", version=2) + "/images?limit=5"
    )["images"]
    assert max(len(image["createdAt"]) for image in shown) == len("2022-05-17T22:37:17.011072851Z")
    for registry in registries:
        assert registry.size == sum(registry.blobs.values()) < registry.size_limit


def snapshot(seed: bool | int) -> Any:
    return [
        (registry.id, registry.name, list(registry.blobs), list(registry.repositories))
        for registry in Sandbox(seed=seed).state.registries()
    ]


def test_equal_seeds_give_equal_data() -> None:
    assert snapshot(seed=7) == snapshot(seed=7)
    assert snapshot(seed=True) == snapshot(seed=True)
    assert snapshot(seed=7) != snapshot(seed=8)
    assert len(snapshot(seed=0)) == 5
    assert snapshot(seed=False) == []


def test_users_arrange_data_of_their_own(empty: Sandbox) -> None:
    made = datetime(2024, 2, 29, 12, 0, 0, 5, tzinfo=UTC)
    registry = empty.state.add_registry("mine", created_at=made, size_limit=1_000)
    repository = empty.state.add_repository(registry, "team/app", type="something new")
    image = empty.state.add_image(
        repository,
        tags=["v1", "latest"],
        layers=[("sha256:base", 100), ("sha256:app", 20)],
        digest="sha256:one",
        created_at=made,
    )
    empty.state.add_image(repository, tags=["latest"], layers=[("sha256:base", 100)])
    empty.state.add_cluster(registry, "main", "ru-9")
    empty.state.add_blob(registry, 5)
    empty.state.set_status(registry, "FROZEN")
    api = Api(empty)
    shown = api.get(path_of(registry))
    assert shown == {
        "createdAt": "2024-02-29T12:00:00.000005Z",
        "id": registry.id,
        "name": "mine",
        "size": 125,
        "sizeLimit": 1_000,
        "status": "FROZEN",
        "used": 12.5,
    }
    assert api.get(path_of(registry, "team/app", "v1"))["tags"] == ["v1"]
    assert api.get(path_of(registry, "team/app", image.digest))["size"] == 120
    assert api.get(path_of(registry, "team/app"))["size"] == 120
    clusters = api.get(path_of(registry) + "/clusters")
    assert clusters["clusters"][0]["pool"] == "ru-9"
    assert clusters["totalCount"] == 1


# What tests look at


def test_requests_are_kept_as_they_arrived(empty: Sandbox) -> None:
    api = Api(empty)
    registry = empty.state.add_registry("mine")
    target = path_of(registry, "team/app", "v1 ä") + "?x=1%202&y="
    api.get(target, 404)
    api.post("/v1/registries", {"name": "Bad Name"}, 400)
    read, created = empty.requests
    assert read.raw_path == f"/api/v1/registries/{registry.id}/repositories/team%2Fapp/v1%20%C3%A4"
    assert (read.method, read.operation_id, read.status) == ("GET", "listLayers", 404)
    assert (read.raw_query, dict(read.query)) == ("x=1%202&y=", {"x": "1 2", "y": ""})
    assert read.headers["x-auth-token"] == empty.token
    assert created.json() == {"name": "Bad Name"}
    assert created.status == 400
    empty.clear_requests()
    assert empty.requests == ()


def test_records_hide_secrets_in_their_repr(empty: Sandbox) -> None:
    api = Api(empty)
    secret = api.post("/v1/token")["token"]
    api.get(f"/v1/token/{secret}")
    api.send("POST", "/identity/v3/auth/tokens", content=b'{"auth": "hidden"}')
    for record in empty.requests:
        assert empty.token not in repr(record)
        assert secret not in repr(record)
        assert "hidden" not in repr(record)
    assert "GET /api/v1/token/*** status=200" in repr(empty.requests[1])


def test_the_record_is_bounded() -> None:
    with Sandbox(seed=False, keep_requests=3) as sandbox:
        for number in range(5):
            Api(sandbox).get(f"/v2/registries?offset={number}")
        assert [record.raw_query for record in sandbox.requests] == [
            "offset=2",
            "offset=3",
            "offset=4",
        ]


def test_many_threads_may_call_and_arrange_at_once(empty: Sandbox) -> None:
    def work(number: int) -> None:
        Api(empty).post("/v1/registries", {"name": f"thread-{number}"})
        empty.state.add_registry(f"direct-{number}")
        assert empty.requests

    threads = [threading.Thread(target=work, args=(number,)) for number in range(16)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(empty.state.registries()) == 32
    assert len(empty.requests) == 16


@pytest.mark.anyio
async def test_many_requests_at_once_are_all_answered() -> None:
    async with Sandbox() as sandbox, aiohttp.ClientSession() as session:

        async def ask() -> int:
            headers = {"X-Auth-Token": sandbox.token}
            async with session.get(f"{sandbox.base_url}/v2/registries", headers=headers) as answer:
                await answer.read()
                return answer.status

        assert set(await asyncio.gather(*(ask() for _ in range(200)))) == {200}
