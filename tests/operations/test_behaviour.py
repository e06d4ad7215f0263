"""One behaviour, two clients: every test here runs over the async client and over the sync one.

The server is strict and shares nothing with the package. It lives in the test's event loop, so the
sync client is used in a thread, as it would be beside any other event loop.
"""

from __future__ import annotations

import inspect
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import UTC, datetime
from functools import partial
from typing import Any, Final

import pytest
from anyio import to_thread

import registry_async
from registry_async import (
    AsyncRegistryClient,
    AuthenticationError,
    BadRequestError,
    ClientClosedError,
    ConflictError,
    ConnectionFailedError,
    Image,
    NotFoundError,
    PermissionDeniedError,
    RateLimitedError,
    RegistryClient,
    RegistryStatus,
    RequestTimeoutError,
    RetryPolicy,
    ServerError,
    TokenScope,
    TokenStatus,
    TokenTtl,
    UnexpectedResponseError,
    WaitTimeoutError,
)
from tests.support.clock import FakeClock
from tests.support.contract import Contract
from tests.support.faults import Drop, FaultServer, Hang, Reply, Truncate
from tests.support.strict_server import Paging, RegistryState, StrictServer, make_image

pytestmark = pytest.mark.anyio

SCOPE: Final = TokenScope(all_registries=True, read_write=False)
LATER: Final = datetime(2030, 1, 2, 3, 4, 5, tzinfo=UTC)
ONCE: Final = RetryPolicy(attempts=1)


class AsyncFace:
    """The async client, used as itself."""

    client_type: Any = AsyncRegistryClient

    async def do(self, function: Any, /, *args: Any, **kwargs: Any) -> Any:
        """Call a method and give its result."""
        result = function(*args, **kwargs)
        return await result if inspect.isawaitable(result) else result

    async def read(self, iterable: Any, most: int | None = None) -> list[Any]:
        """Iterate, up to so many items."""
        items: list[Any] = []
        async for item in iterable:
            items.append(item)
            if len(items) == most:
                break
        return items

    @asynccontextmanager
    async def within(self, manager: Any) -> AsyncIterator[Any]:
        """Enter a context manager."""
        async with manager as entered:
            yield entered

    async def close(self, client: Any) -> None:
        await client.aclose()

    def scan(self, clients: Any, **options: Any) -> Any:
        return registry_async.scan(clients, **options)


class SyncFace:
    """The sync client, used in a thread."""

    client_type: Any = RegistryClient

    async def do(self, function: Any, /, *args: Any, **kwargs: Any) -> Any:
        result = await to_thread.run_sync(partial(function, *args, **kwargs))
        assert not inspect.isawaitable(result)
        return result

    async def read(self, iterable: Any, most: int | None = None) -> list[Any]:
        def items() -> list[Any]:
            found: list[Any] = []
            for item in iterable:
                found.append(item)
                if len(found) == most:
                    break
            return found

        return await to_thread.run_sync(items)

    @asynccontextmanager
    async def within(self, manager: Any) -> AsyncIterator[Any]:
        entered = await to_thread.run_sync(manager.__enter__)
        try:
            yield entered
        except BaseException as error:
            if not await to_thread.run_sync(
                manager.__exit__, type(error), error, error.__traceback__
            ):
                raise
        else:
            await to_thread.run_sync(manager.__exit__, None, None, None)

    async def close(self, client: Any) -> None:
        await to_thread.run_sync(client.close)

    def scan(self, clients: Any, **options: Any) -> Any:
        return registry_async.sync.scan(clients, **options)


Face = AsyncFace | SyncFace


@pytest.fixture(params=[AsyncFace, SyncFace], ids=["async", "sync"])
def face(request: pytest.FixtureRequest) -> Face:
    made: Face = request.param()
    return made


@pytest.fixture
async def server() -> AsyncIterator[StrictServer]:
    async with StrictServer() as running:
        yield running
    assert running.violations == []


@pytest.fixture
async def client(face: Face, server: StrictServer) -> AsyncIterator[Any]:
    made = face.client_type(token=server.token, base_url=server.base_url, clock=FakeClock())
    async with face.within(made):
        yield made


def fill(server: StrictServer, images: int = 5, repositories: int = 2) -> RegistryState:
    registry = server.add_registry("production")
    for number in range(repositories):
        start = 1 + number * images
        registry.add_repository(
            f"team/app-{number}", [make_image(each) for each in range(start, start + images)]
        )
    return registry


# Operations


async def test_the_life_of_a_registry(face: Face, client: Any, server: StrictServer) -> None:
    created = await face.do(client.registries.create, "made-here", wait=True)
    assert created.status == RegistryStatus.ACTIVE
    assert await face.do(client.registries.get_by_name, "made-here") == await face.do(
        client.registries.list().first
    )
    got = await face.do(client.registries.get, created.id)
    assert (got.id, got.name) == (created.id, "made-here")
    assert await face.do(client.registries.list_clusters, created.id) == ()
    size = await face.do(client.registries.get_garbage_size, created.id)
    assert size.total == 0
    await face.do(client.registries.start_garbage_collection, created.id, wait=True)
    await face.do(client.registries.delete, created.id, wait=True)
    assert server.registries == {}
    with pytest.raises(NotFoundError):
        await face.do(client.registries.get, created.id)


async def test_repositories_and_images(face: Face, client: Any, server: StrictServer) -> None:
    registry = fill(server)
    name = "team/app-0"
    assert (await face.do(client.repositories.get, registry.id, name)).name == name
    assert await face.read(client.repositories.list_names(registry.id)) == [
        "team/app-0",
        "team/app-1",
    ]
    assert len(await face.do(client.repositories.list_tags, registry.id, name)) == 5
    images = await face.read(client.images.list(registry.id, name))
    assert len(images) == 5
    assert all(isinstance(image, Image) for image in images)
    first = images[0]
    assert await face.do(client.images.get, registry.id, name, first.digest) == first
    layers = await face.do(client.images.list_layers, registry.id, name, first.tags[0])
    assert layers == first.layers
    await face.do(client.images.delete, registry.id, name, first.digest)
    result = await face.do(
        client.repositories.cleanup,
        registry.id,
        name,
        digests=[images[1].digest],
        tags=images[2].tags,
        disable_gc=True,
    )
    assert {each.digest for each in result.deleted} == {images[1].digest, images[2].digest}
    left = await face.read(client.images.list(registry.id, name, api_version=1))
    assert {image.digest for image in left} == {image.digest for image in images[3:]}
    await face.do(client.repositories.delete, registry.id, name)
    assert set(registry.repositories) == {"team/app-1"}
    assert "team%2Fapp-0" in server.requests[-1].raw_path


async def test_the_first_version_of_the_lists(
    face: Face, client: Any, server: StrictServer
) -> None:
    registry = fill(server, images=3)
    (found,) = await face.read(client.registries.list(api_version=1))
    assert found.size_limit == registry.size_limit
    assert len(await face.read(client.repositories.list(registry.id, api_version=1))) == 2
    names = client.repositories.list_names(registry.id, api_version=1)
    assert await face.do(names.count) == 2
    images = client.images.list(registry.id, "team/app-0", api_version=1)
    assert len(await face.do(images.collect)) == 3


async def test_tokens(face: Face, client: Any, server: StrictServer) -> None:
    issued = await face.do(client.tokens.create, scope=SCOPE, name="ci", expires_at=LATER)
    assert issued.secret == server.secrets[issued.id]
    assert issued.secret not in repr(issued)
    config = await face.do(client.tokens.create_docker_config, scope=SCOPE, expires_at=None)
    assert list(config.auths) == [server.docker_host]
    assert len(await face.read(client.tokens.list())) == 2
    assert (await face.do(client.tokens.get, issued.id)).expires_at == LATER
    assert (await face.do(client.tokens.update, issued.id, name="cd")).name == "cd"
    assert (await face.do(client.tokens.refresh, issued.id, expires_at=None)).expires_at is None
    anew = await face.do(client.tokens.regenerate, issued.id, expires_at=LATER)
    assert anew.secret == server.secrets[issued.id] != issued.secret
    await face.do(client.tokens.revoke, issued.id)
    assert (await face.do(client.tokens.get, issued.id)).status == TokenStatus.REVOKED
    await face.do(client.tokens.delete, issued.id)
    assert issued.id not in server.tokens


async def test_tokens_v1(face: Face, client: Any, server: StrictServer) -> None:
    made = await face.do(client.tokens_v1.create, ttl=TokenTtl.ONE_YEAR)
    assert set(server.tokens_v1) == {made.secret}
    assert (await face.do(client.tokens_v1.get, made.secret)).secret == made.secret
    assert (await face.do(client.tokens_v1.refresh, made.secret)).secret == made.secret
    await face.do(client.tokens_v1.revoke, made.secret)
    assert server.tokens_v1 == {}
    config = await face.do(client.tokens_v1.create_docker_config)
    assert list(config.auths) == [server.docker_host]


async def test_every_operation_of_the_contract_is_within_reach(
    face: Face, client: Any, server: StrictServer
) -> None:
    for scenario in (
        test_the_life_of_a_registry,
        test_repositories_and_images,
        test_the_first_version_of_the_lists,
        test_tokens,
        test_tokens_v1,
    ):
        server.registries.clear()
        server.tokens.clear()
        await scenario(face, client, server)
    operations = {operation for operation, _, _ in Contract.load().operations()}
    assert len(operations) == 30
    assert set(server.performed) == operations


async def test_a_request_by_hand(face: Face, client: Any, server: StrictServer) -> None:
    fill(server)
    answer = await face.do(client.request, "GET", "/v2/registries", params={"limit": 1})
    assert answer["totalCount"] == 1
    with pytest.raises(ValueError, match="method"):
        await face.do(client.request, "GET /", "/v2/registries")


# Paging


@pytest.mark.parametrize("cap", [0, 1, 7])
@pytest.mark.parametrize("page_size", [1, 3, 100])
async def test_every_page_is_read(
    face: Face, client: Any, server: StrictServer, page_size: int, cap: int
) -> None:
    registry = fill(server, images=20, repositories=1)
    server.paging = Paging(cap=cap)
    paginator = client.images.list(registry.id, "team/app-0", page_size=page_size)
    assert server.requests == []
    items = await face.read(paginator)
    wanted = [image["digest"] for image in registry.repositories["team/app-0"].images]
    assert [image.digest for image in items] == wanted
    pages = await face.read(paginator.pages())
    assert [image.digest for page in pages for image in page.items] == wanted
    assert {page.total for page in pages} == {20}
    assert [page.offset for page in pages][:1] == [0]
    assert await face.do(paginator.collect) == items
    assert await face.do(paginator.collect, max_items=4) == items[:4]
    assert await face.do(paginator.count) == 20
    assert await face.do(paginator.first) == items[0]


async def test_iteration_asks_for_a_page_when_it_gets_there(
    face: Face, client: Any, server: StrictServer
) -> None:
    registry = fill(server, images=10, repositories=1)
    paginator = client.images.list(registry.id, "team/app-0", page_size=5)
    assert len(await face.read(paginator, most=5)) == 5
    assert len(server.requests) == 1
    assert len(await face.read(paginator, most=6)) == 6
    assert len(server.requests) == 3
    pages = paginator.pages()
    assert len(await face.read(pages, most=1)) == 1
    assert len(server.requests) == 4
    assert [page.offset for page in await face.read(pages)] == [5]


async def test_an_empty_list(face: Face, client: Any, server: StrictServer) -> None:
    paginator = client.registries.list()
    assert await face.read(paginator) == []
    assert await face.do(paginator.first) is None
    assert await face.do(paginator.count) == 0
    assert await face.do(paginator.collect) == []
    assert [page.items for page in await face.read(paginator.pages())] == [()]


async def test_a_search_gives_the_matches(face: Face, client: Any, server: StrictServer) -> None:
    registry = fill(server, repositories=12)
    paginator = client.repositories.list(registry.id, search="app-1", page_size=2)
    names = [repository.name for repository in await face.read(paginator)]
    assert names == ["team/app-1", "team/app-10", "team/app-11"]
    assert await face.do(paginator.count) == 3


async def test_a_service_that_ignores_paging_is_an_error(
    face: Face, client: Any, server: StrictServer
) -> None:
    registry = fill(server, images=9, repositories=1)
    server.paging = Paging(ignore_offset=True, cap=3)
    with pytest.raises(UnexpectedResponseError, match="ignores paging"):
        await face.read(client.images.list(registry.id, "team/app-0"))


@pytest.mark.parametrize(
    ("options", "named"),
    [
        ({"page_size": 0}, "page_size"),
        ({"offset": -1}, "offset"),
        ({"api_version": 3}, "api_version"),
        ({"sort_field": "colour"}, "sort_field"),
    ],
)
async def test_arguments_are_refused_before_anything_is_sent(
    client: Any, server: StrictServer, options: dict[str, Any], named: str
) -> None:
    with pytest.raises(ValueError, match=named):
        client.registries.list(**options)
    assert server.requests == []


async def test_names_that_cannot_travel_are_refused(
    face: Face, client: Any, server: StrictServer
) -> None:
    for name in ("", ".", "..", "%2e%2e"):
        with pytest.raises(ValueError, match="repository"):
            await face.do(client.repositories.get, "id", name)
    assert server.requests == []


# Errors and repetitions


ERRORS: Final = {
    400: BadRequestError,
    401: AuthenticationError,
    403: PermissionDeniedError,
    404: NotFoundError,
    409: ConflictError,
    429: RateLimitedError,
    500: ServerError,
    503: ServerError,
}


@asynccontextmanager
async def faulty(face: Face, *script: Any, **options: Any) -> AsyncIterator[tuple[Any, Any]]:
    async with FaultServer(*script) as server:
        options = {"clock": FakeClock(), "retry": ONCE, **options}
        made = face.client_type(token="t", base_url=server.base_url, **options)
        async with face.within(made):
            yield made, server


@pytest.mark.parametrize("status", ERRORS)
async def test_every_status_has_its_error(face: Face, status: int) -> None:
    answer = Reply.json({"error": "it is so"}, status)
    async with faulty(face, answer) as (client, _):
        with pytest.raises(ERRORS[status], match="it is so") as caught:
            await face.do(client.registries.get, "some-id")
    assert (caught.value.status, caught.value.method) == (status, "GET")
    assert caught.value.url.endswith("/v1/registries/some-id")


async def test_a_lost_connection(face: Face) -> None:
    async with faulty(face, Drop()) as (client, _):
        with pytest.raises(ConnectionFailedError):
            await face.do(client.registries.get, "some-id")


async def test_a_body_that_ends_early(face: Face) -> None:
    body = b'{"registries": [], "totalCount": 0}'
    async with faulty(face, Truncate(body)) as (client, _):
        with pytest.raises(ConnectionFailedError):
            await face.do(client.registries.list().first)


async def test_an_answer_that_never_comes(face: Face) -> None:
    async with faulty(face, Hang(), timeout=0.05) as (client, server):
        with pytest.raises(RequestTimeoutError):
            await face.do(client.registries.get, "some-id")
        await server.client_left.wait()


async def test_a_wrong_type_is_named(face: Face) -> None:
    answer = Reply.json({"registries": [{"id": 1}], "totalCount": 1})
    async with faulty(face, answer) as (client, _):
        with pytest.raises(UnexpectedResponseError, match=r"registries\[0\]"):
            await face.read(client.registries.list())


async def test_a_failed_request_is_sent_again(face: Face) -> None:
    clock = FakeClock()
    script = (Reply(503), Drop(), Reply.json({"registries": [], "totalCount": 0}))
    async with faulty(face, *script, clock=clock, retry=RetryPolicy()) as (client, server):
        assert await face.read(client.registries.list()) == []
        assert server.count("GET") == 3
    assert len(clock.sleeps) == 2


async def test_a_view_has_options_of_its_own(face: Face) -> None:
    script = (Reply(503), Reply(503), Reply.json({"registries": [], "totalCount": 0}))
    async with faulty(face, *script) as (client, server):
        view = client.with_options(retry=RetryPolicy(attempts=2))
        assert type(view) is type(client)
        with pytest.raises(ServerError):
            await face.read(client.registries.list())
        assert await face.read(view.registries.list()) == []
        await face.close(view)
        assert server.count() == 3
        assert client.registries.list() is not None


# Waiting


async def test_waits_end_at_their_limit(face: Face, client: Any, server: StrictServer) -> None:
    server.looks = 1_000_000
    created = await face.do(client.registries.create, "slow")
    with pytest.raises(WaitTimeoutError, match="CREATING"):
        await face.do(client.registries.wait_until_active, created.id, timeout=30)
    server.looks = 2
    server.registries[created.id].looks_left = 2
    ready = await face.do(client.registries.wait_until_active, created.id, poll_interval=2)
    assert ready.status == RegistryStatus.ACTIVE


async def test_a_conflict_is_waited_out_if_asked_for(
    face: Face, client: Any, server: StrictServer
) -> None:
    registry = fill(server)
    server.looks = 3
    await face.do(client.registries.start_garbage_collection, registry.id)
    with pytest.raises(ConflictError):
        await face.do(client.repositories.delete, registry.id, "team/app-0")
    await face.do(client.repositories.delete, registry.id, "team/app-0", conflict_timeout=600)
    assert set(registry.repositories) == {"team/app-1"}


# Scans


async def test_a_scan_finds_everything(face: Face, client: Any, server: StrictServer) -> None:
    fill(server, images=5, repositories=3)
    async with face.within(client.scan(concurrency=4, page_size=2)) as scan:
        found = await face.read(scan)
        assert scan.complete
    assert len({(each.repository.name, each.image.digest) for each in found}) == 15
    assert scan.errors == ()
    assert scan.progress.images == 15
    async with face.within(client.scan(images=False)) as scan:
        assert {each.repository.name for each in await face.read(scan)} == {
            f"team/app-{number}" for number in range(3)
        }


async def test_batches_and_items_may_take_turns(
    face: Face, client: Any, server: StrictServer
) -> None:
    fill(server, images=6, repositories=1)
    async with face.within(client.scan(concurrency=1, page_size=2)) as scan:
        batches = await face.read(scan.batches(), most=1)
        assert [len(batch) for batch in batches] == [2]
        assert len(await face.read(scan, most=1)) == 1
        assert not scan.complete
        assert len(await face.read(scan)) == 3
        assert scan.complete


async def test_a_scan_of_several_projects(face: Face, client: Any, server: StrictServer) -> None:
    fill(server, images=2, repositories=2)
    other = face.client_type(token=server.token, base_url=server.base_url, label="other")
    async with face.within(other), face.within(face.scan([client, other])) as scan:
        found = await face.read(scan)
    assert sorted(each.client_label or "" for each in found) == [""] * 4 + ["other"] * 4
    with pytest.raises(ValueError, match="twice"):
        face.scan([client, client])
    async with face.within(face.scan([])) as scan:
        assert await face.read(scan) == []
        assert scan.complete


async def test_a_scan_records_what_it_cannot_read(face: Face) -> None:
    async with faulty(face, Reply(403)) as (client, _):
        async with face.within(client.scan()) as scan:
            assert await face.read(scan) == []
        assert not scan.complete
        assert [type(error.error) for error in scan.errors] == [PermissionDeniedError]
    async with faulty(face, Reply(403)) as (client, _):
        with pytest.raises(PermissionDeniedError):
            async with face.within(client.scan(on_error="raise")) as scan:
                await face.read(scan)


async def test_a_scan_reports_progress_and_is_done_once(
    face: Face, client: Any, server: StrictServer
) -> None:
    fill(server, images=2, repositories=2)
    seen: list[int] = []
    scan = client.scan(on_progress=lambda now: seen.append(now.images))
    with pytest.raises(RuntimeError, match="block"):
        await face.read(scan)
    async with face.within(scan):
        await face.read(scan)
    assert seen[-1] == 4
    with pytest.raises(RuntimeError, match="once"):
        async with face.within(scan):
            pass


async def test_a_report(face: Face, client: Any, server: StrictServer) -> None:
    fill(server, images=3, repositories=2)
    report = await face.do(client.scan_report, concurrency=2)
    assert (report.registry_count, report.repository_count, report.image_count) == (1, 2, 6)
    assert report.complete
    async with face.within(client.scan()) as scan:
        assert (await face.do(scan.report)).image_count == 6


# Closing


async def test_a_closed_client_says_so(face: Face, server: StrictServer) -> None:
    client = face.client_type(token=server.token, base_url=server.base_url)
    paginator = client.registries.list()
    assert await face.read(paginator) == []
    view = client.with_options(timeout=5)
    await face.close(client)
    await face.close(client)
    for attempt in (
        partial(face.do, client.registries.get, "id"),
        partial(face.do, view.registries.get, "id"),
        partial(face.read, paginator),
        partial(face.read, client.registries.list().pages()),
        partial(face.do, client.scan_report, on_error="raise"),
        face.within(client).__aenter__,
        face.within(client.scan()).__aenter__,
    ):
        with pytest.raises(ClientClosedError) as caught:
            await attempt()
        assert isinstance(caught.value, RuntimeError)
    assert len(server.requests) == 1


async def test_an_unused_client_closes_as_well(face: Face) -> None:
    client = face.client_type(token="t", base_url="http://127.0.0.1:1/api")
    await face.close(client)
    await face.close(client)
    with pytest.raises(ClientClosedError):
        await face.do(client.registries.get, "id")
    with pytest.raises(ClientClosedError):
        async with face.within(client):
            pass


async def test_a_block_that_fails_closes_the_client(face: Face, server: StrictServer) -> None:
    client = face.client_type(token=server.token, base_url=server.base_url)

    async def fail() -> None:
        async with face.within(client):
            await face.read(client.registries.list())
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        await fail()
    with pytest.raises(ClientClosedError):
        await face.read(client.registries.list())


async def test_credentials_come_from_the_environment(
    face: Face, server: StrictServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("REGISTRY_TOKEN", server.token)
    monkeypatch.setenv("REGISTRY_BASE_URL", server.base_url)
    made: Any = face.client_type
    client: Any = made.from_env(label="mine")
    assert type(client) is face.client_type
    assert client.label == "mine"
    async with face.within(client):
        assert await face.read(client.registries.list()) == []
    assert server.requests[0].header("x-auth-token") == server.token
