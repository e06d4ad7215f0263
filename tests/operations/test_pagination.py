"""Every item exactly once, whatever the service does with limits, counts and offsets."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Any, Final

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from registry_async import (
    AsyncPaginator,
    AsyncRegistryClient,
    Image,
    RetryPolicy,
    ServerError,
    TokenScope,
    UnexpectedResponseError,
)
from tests.support.faults import Behaviour, FaultServer, Reply
from tests.support.strict_server import Paging, RegistryState, StrictServer, make_image
from tests.support.wire import SeenRequest

CAPS: Final = (0, 1, 7, 10)
PAGE_SIZES: Final = (1, 3, 10, 100)


@asynccontextmanager
async def serving(
    images: int, paging: Paging | None = None
) -> AsyncIterator[tuple[StrictServer, RegistryState, AsyncRegistryClient]]:
    """Serve one registry whose repository "p" holds so many images."""
    async with StrictServer(paging=paging) as server:
        registry = server.add_registry("one")
        registry.add_repository("p", [make_image(number) for number in range(images)])
        async with AsyncRegistryClient(
            token=server.token, base_url=server.base_url, retry=RetryPolicy(attempts=1)
        ) as client:
            yield server, registry, client
        # Whatever happened, only what is documented was asked.
        assert server.violations == []


def digests(count: int, start: int = 0) -> list[str]:
    return [f"sha256:{number:064x}" for number in range(start, count)]


async def by_item(paginator: AsyncPaginator[Image]) -> list[str]:
    return [image.digest async for image in paginator]


async def by_page(paginator: AsyncPaginator[Image]) -> list[str]:
    return [image.digest async for page in paginator.pages() for image in page.items]


async def by_collect(paginator: AsyncPaginator[Image]) -> list[str]:
    return [image.digest for image in await paginator.collect()]


READERS: Final = {"items": by_item, "pages": by_page, "collect": by_collect}


# -- a stable list


@given(
    total=st.one_of(st.sampled_from([0, 1, 2, 9, 10, 11, 99, 100, 101, 250]), st.integers(0, 130)),
    cap=st.sampled_from(CAPS),
    page_size=st.one_of(st.sampled_from(PAGE_SIZES), st.integers(1, 120)),
    offset=st.one_of(st.just(0), st.integers(0, 140)),
    null=st.booleans(),
    counted=st.booleans(),
)
@example(total=250, cap=50, page_size=100, offset=0, null=False, counted=True)
@example(total=250, cap=50, page_size=100, offset=0, null=False, counted=False)
@settings(max_examples=30, deadline=None)
def test_every_item_comes_exactly_once_and_in_order(
    total: int, cap: int, page_size: int, offset: int, null: bool, counted: bool
) -> None:
    paging = Paging(cap=cap, null_for_empty=null)
    if not counted:
        paging.total = lambda truth: None

    async def read() -> None:
        async with serving(total, paging) as (server, registry, client):
            images = client.images.list(registry.id, "p", page_size=page_size, offset=offset)
            assert server.requests == []
            for reader in READERS.values():
                assert await reader(images) == digests(total, offset)
            first = await images.first()
            assert (first and first.digest) == next(iter(digests(total, offset)), None)
            # What a list holds does not depend on where somebody begins to read it.
            assert await images.count() == total

    asyncio.run(read())


@pytest.mark.anyio
@pytest.mark.parametrize("cap", CAPS)
@pytest.mark.parametrize("page_size", PAGE_SIZES)
@pytest.mark.parametrize("total", [0, 1, 10, 23])
async def test_all_kinds_of_lists(total: int, page_size: int, cap: int) -> None:
    async with serving(0, Paging(cap=cap)) as (server, registry, client):
        for number in range(total - 1):
            server.add_registry(f"r{number:03d}")
        for number in range(total - 1):
            registry.add_repository(f"q/{number:03d}")
        scope = TokenScope(all_registries=True, read_write=False)
        for number in range(total):
            await client.tokens.create(scope=scope, name=f"t{number}", expires_at=None)
        for version in (2, 1):
            options: dict[str, Any] = {"page_size": page_size, "api_version": version}
            registries = await client.registries.list(**options).collect()
            assert [r.name for r in registries] == ["one", *(f"r{n:03d}" for n in range(total - 1))]
            expected = ["p", *(f"q/{number:03d}" for number in range(total - 1))]
            names = client.repositories.list_names(registry.id, **options)
            assert [name async for name in names] == expected
            repositories = client.repositories.list(registry.id, **options)
            assert [repository.name async for repository in repositories] == expected
            assert await repositories.count() == len(expected)
            assert await client.registries.list(**options).count() == len(registries)
        tokens = client.tokens.list(page_size=page_size)
        assert [token.name async for token in tokens] == [f"t{number}" for number in range(total)]
        assert await tokens.count() == total


@pytest.mark.anyio
async def test_nothing_is_sent_before_it_is_asked_for() -> None:
    async with serving(30) as (server, registry, client):
        images = client.images.list(registry.id, "p", page_size=10)
        pages = images.pages()
        items = aiter(images)
        assert server.requests == []
        await anext(items)
        assert len(server.requests) == 1
        await anext(pages)
        assert len(server.requests) == 2


@pytest.mark.anyio
async def test_the_first_item_takes_one_small_request() -> None:
    async with serving(30) as (server, registry, client):
        images = client.images.list(registry.id, "p")
        assert (await images.first()) is not None
        assert [request.query for request in server.requests] == ["limit=1&offset=0"]


@pytest.mark.anyio
async def test_counting_takes_one_smallest_request() -> None:
    async with serving(30) as (server, registry, client):
        assert await client.images.list(registry.id, "p", offset=20).count() == 30
        assert await client.images.list(registry.id, "p", search="v1").count() == 11
        assert [request.query for request in server.requests] == [
            "limit=1&offset=0",
            "search=v1&limit=1&offset=0",
        ]


@pytest.mark.anyio
@pytest.mark.parametrize("filtered_count", [True, False])
async def test_a_search_ends_where_its_matches_end(filtered_count: bool) -> None:
    paging = Paging(cap=4, filtered_count=filtered_count)
    async with serving(40, paging) as (_, registry, client):
        found = client.images.list(registry.id, "p", search="v1", page_size=10)
        expected = [f"sha256:{n:064x}" for n in range(40) if "v1" in f"v{n}"]
        for reader in READERS.values():
            assert await reader(found) == expected
        assert await found.count() == len(expected) == 11
        page = await anext(found.pages())
        # totalCount counts the whole repository, which says nothing of the matches.
        assert page.total == (11 if filtered_count else None)
        for search in ("none of them", "v39"):
            count = await client.images.list(registry.id, "p", search=search).count()
            assert count == (search == "v39")


@pytest.mark.anyio
async def test_lists_without_a_count_of_matches_are_walked() -> None:
    async with serving(0) as (server, _, client):
        for number in range(25):
            server.add_registry(f"prod-{number:02d}")
        registries = client.registries.list(search="prod", page_size=10)
        assert len(await registries.collect()) == 25
        assert await registries.count() == 25
        scope = TokenScope(all_registries=True, read_write=False)
        for number in range(12):
            await client.tokens.create(scope=scope, name=f"ci-{number}", expires_at=None)
        assert await client.tokens.list(scope_mode="ro", page_size=5).count() == 12
        assert await client.tokens.list(scope_mode="rw", page_size=5).count() == 0


@pytest.mark.anyio
@pytest.mark.parametrize("most", [0, 1, 5, 10, 11, 29, 30, 31, 1000])
@pytest.mark.parametrize("cap", CAPS)
async def test_no_more_is_read_than_wanted(most: int, cap: int) -> None:
    async with serving(30, Paging(cap=cap)) as (server, registry, client):
        images = client.images.list(registry.id, "p", page_size=10)
        assert [i.digest for i in await images.collect(max_items=most)] == digests(min(most, 30))
        size = min(cap or 10, 10, max(most, 1))
        assert len(server.requests) == -(-min(most, 30) // size)


@pytest.mark.anyio
async def test_pages_say_where_they_are() -> None:
    async with serving(25, Paging(cap=10)) as (_, registry, client):
        images = client.images.list(registry.id, "p", offset=3)
        pages = [page async for page in images.pages()]
        assert [(page.offset, len(page.items), page.total) for page in pages] == [
            (3, 10, 25),
            (13, 10, 25),
            (23, 2, 25),
        ]
        # One that is empty is a page, too, when there is no other.
        beyond = [page async for page in client.images.list(registry.id, "p", offset=99).pages()]
        assert [(page.offset, page.items) for page in beyond] == [(99, ())]


@pytest.mark.anyio
async def test_a_paginator_starts_anew_each_time() -> None:
    async with serving(5) as (server, registry, client):
        images = client.images.list(registry.id, "p")
        assert await by_item(images) == await by_item(images)
        registry.repositories["p"].images.append(make_image(5))
        assert len(await by_item(images)) == 6
        assert len(server.requests) == 3


@pytest.mark.anyio
async def test_a_list_left_early_leaves_nothing_open() -> None:
    async with serving(30) as (server, registry, client):
        async for image in client.images.list(registry.id, "p", page_size=10):
            assert image.digest == digests(1)[0]
            break
        assert len(server.requests) == 1


@pytest.mark.anyio
async def test_the_v1_image_list_is_one_answer() -> None:
    async with serving(30) as (server, registry, client):
        images = client.images.list(registry.id, "p", api_version=1, offset=4, page_size=3)
        for reader in READERS.values():
            assert await reader(images) == digests(30, 4)
        first = await images.first()
        assert first is not None
        assert first.digest == digests(5)[4]
        assert await images.count() == 30
        assert len(await images.collect(max_items=2)) == 2
        assert {request.query for request in server.requests} == {""}
        page = await anext(images.pages())
        assert page.total is None


# -- lists that change, and services that err


@pytest.mark.anyio
@pytest.mark.parametrize("reader", READERS)
@pytest.mark.parametrize("overlap", [1, 3])
async def test_items_that_come_again_are_dropped(overlap: int, reader: str) -> None:
    async with serving(40, Paging(overlap=overlap, cap=10)) as (_, registry, client):
        images = client.images.list(registry.id, "p")
        assert await READERS[reader](images) == digests(40)


@pytest.mark.anyio
@pytest.mark.parametrize("page_size", [1, 3, 10])
@pytest.mark.parametrize("reader", ["items", "pages"])
async def test_items_inserted_while_reading_cause_no_repeats(page_size: int, reader: str) -> None:
    async with serving(30) as (server, registry, client):
        images = registry.repositories["p"].images
        inserted = iter(range(100, 103))

        def insert(operation_id: str) -> None:
            number = next(inserted, None)
            if number is not None and len(server.requests) % 2:
                images.insert(0, make_image(number))

        server.on_listed = insert
        assert await READERS[reader](
            client.images.list(registry.id, "p", page_size=page_size)
        ) == digests(30)


@pytest.mark.anyio
@pytest.mark.parametrize("reader", READERS)
@pytest.mark.parametrize("left", [0, 1, 15])
async def test_a_list_that_shrinks_ends(left: int, reader: str) -> None:
    async with serving(30) as (server, registry, client):
        images = registry.repositories["p"].images

        def shrink(operation_id: str) -> None:
            del images[left:]

        server.on_listed = shrink
        found = await READERS[reader](client.images.list(registry.id, "p", page_size=10))
        assert found == digests(30)[: max(10, left)]
        assert len(server.requests) <= 4


@pytest.mark.anyio
async def test_a_list_that_grows_is_read_to_its_end() -> None:
    async with serving(10) as (server, registry, client):
        images = registry.repositories["p"].images

        def grow(operation_id: str) -> None:
            if len(images) < 35:
                images.extend(make_image(number) for number in range(len(images), len(images) + 5))

        server.on_listed = grow
        assert await by_item(client.images.list(registry.id, "p", page_size=5)) == digests(35)


@pytest.mark.anyio
@pytest.mark.parametrize("counted", [True, False])
@pytest.mark.parametrize("total", [2, 3, 30])
@pytest.mark.parametrize("page_size", [1, 2, 10])
@pytest.mark.parametrize("reader", READERS)
async def test_a_service_that_ignores_the_offset_is_an_error(
    reader: str, page_size: int, total: int, counted: bool
) -> None:
    paging = Paging(ignore_offset=True)
    if not counted:
        paging.total = lambda truth: None
    async with serving(total, paging) as (server, registry, client):
        images = client.images.list(registry.id, "p", page_size=page_size)
        if counted and page_size >= total:
            assert await READERS[reader](images) == digests(total)
            return
        with pytest.raises(UnexpectedResponseError, match="ignores paging"):
            await READERS[reader](images)
        assert len(server.requests) <= 10


@pytest.mark.anyio
@pytest.mark.parametrize("reader", READERS)
async def test_a_list_that_ends_before_its_total_is_an_error(reader: str) -> None:
    async with serving(20, Paging(total=lambda truth: truth + 5)) as (_, registry, client):
        with pytest.raises(UnexpectedResponseError, match="total of 25"):
            await READERS[reader](client.images.list(registry.id, "p", page_size=10))


@pytest.mark.anyio
@pytest.mark.parametrize("reader", READERS)
@pytest.mark.parametrize("total", [0, 3])
async def test_a_total_that_its_page_goes_beyond_is_none(total: int, reader: str) -> None:
    # A service that forgets to count sends 0, which is Go's zero value.
    async with serving(25, Paging(total=lambda truth: total)) as (_, registry, client):
        images = client.images.list(registry.id, "p", page_size=10)
        assert await READERS[reader](images) == digests(25)


@pytest.mark.anyio
async def test_a_service_that_gives_its_last_page_for_ever_is_an_error() -> None:
    # It moves an offset beyond the end back to the last page, and does not count.
    def behave(request: SeenRequest) -> Behaviour:
        start = min(int(request.query.rpartition("=")[2]), 20)
        return Reply.json([{"name": f"p{number}"} for number in range(start, min(start + 10, 25))])

    async with (
        FaultServer(handler=behave) as server,
        AsyncRegistryClient(token="t", base_url=server.base_url) as client,
    ):
        names = client.repositories.list("r", api_version=1, page_size=10)
        with pytest.raises(UnexpectedResponseError, match="paging"):
            await names.collect()
        assert server.count("GET") <= 5


@pytest.mark.anyio
@pytest.mark.parametrize(
    "answer",
    [
        Reply(204),
        Reply.json({"registries": None, "totalCount": 0}),
        Reply.json({"registries": [], "totalCount": 0}),
        Reply.json({"registries": None}),
    ],
    ids=["204", "null", "empty", "no count"],
)
async def test_every_form_of_nothing_is_nothing(answer: Reply) -> None:
    async with FaultServer(default=answer) as server:
        async with AsyncRegistryClient(token="t", base_url=server.base_url) as client:
            registries = client.registries.list()
            assert await registries.collect() == []
            assert [registry async for registry in registries] == []
            assert await registries.first() is None
            assert await registries.count() == 0
        assert server.count("GET") == 4


@pytest.mark.anyio
@pytest.mark.parametrize("answer", [Reply(204), Reply.json([]), Reply.json(None)])
async def test_every_form_of_nothing_is_nothing_in_v1(answer: Reply) -> None:
    async with (
        FaultServer(default=answer) as server,
        AsyncRegistryClient(token="t", base_url=server.base_url) as client,
    ):
        assert await client.registries.list(api_version=1).collect() == []
        assert await client.repositories.list("r", api_version=1).collect() == []
        assert await client.images.list("r", "p", api_version=1).collect() == []
        assert await client.images.list("r", "p", api_version=1).count() == 0
        assert await client.repositories.list_tags("r", "p") == ()
        assert await client.images.list_layers("r", "p", "latest") == ()


@pytest.mark.anyio
@pytest.mark.parametrize(
    "answer", [Reply(204), Reply.json({"clusters": None, "totalCount": 0}), Reply.json({})]
)
async def test_every_form_of_no_clusters_is_none(answer: Reply) -> None:
    async with (
        FaultServer(default=answer) as server,
        AsyncRegistryClient(token="t", base_url=server.base_url) as client,
    ):
        assert await client.registries.list_clusters("r") == ()


@pytest.mark.anyio
async def test_a_short_page_of_v1_is_not_the_end() -> None:
    async with serving(0, Paging(cap=7)) as (server, registry, client):
        for number in range(20):
            registry.add_repository(f"q{number:02d}")
        repositories = client.repositories.list(registry.id, api_version=1, page_size=10)
        assert len(await repositories.collect()) == 21
        assert [request.query for request in server.requests] == [
            "limit=10&offset=0",
            "limit=10&offset=7",
            "limit=10&offset=14",
            "limit=10&offset=21",
        ]


@pytest.mark.anyio
async def test_deleting_what_was_collected_deletes_all() -> None:
    async with serving(25) as (_, registry, client):
        for image in await client.images.list(registry.id, "p", page_size=10).collect():
            await client.images.delete(registry.id, "p", image.digest)
        assert registry.repositories["p"].images == []


# -- reading several pages at once


@pytest.mark.anyio
async def test_pages_are_read_at_once_and_given_in_order() -> None:
    async with serving(100, Paging(cap=10)) as (server, registry, client):
        gate = asyncio.Event()
        last: list[SeenRequest] = []

        async def hold(request: SeenRequest) -> None:
            if "offset=0" in request.query:
                return
            last.append(request)
            # The pages come back in the opposite order of that in which they were asked for.
            if len(last) == 8:
                gate.set()
            await gate.wait()
            for _ in range(100 - request.index * 10):
                await asyncio.sleep(0)

        server.on_request = hold
        async with asyncio.timeout(30):
            assert await by_collect(client.images.list(registry.id, "p")) == digests(100)
        assert server.most_in_flight == 8


@pytest.mark.anyio
async def test_a_page_that_fails_fails_the_whole() -> None:
    def behave(request: SeenRequest) -> Behaviour:
        if "offset=30" in request.query:
            return Reply.json({"error": "no such page"}, 500)
        page = [
            {"digest": f"sha256:{request.query}-{number}", "tags": None, "layers": None}
            for number in range(10)
        ]
        return Reply.json({"images": page, "totalCount": 100})

    async with (
        FaultServer(handler=behave) as server,
        AsyncRegistryClient(
            token="t", base_url=server.base_url, retry=RetryPolicy(attempts=1)
        ) as client,
    ):
        images = client.images.list("r", "p", page_size=10)
        # The error itself, with no group around it.
        with pytest.raises(ServerError, match="no such page"):
            await images.collect()
        seen: list[str] = []

        async def read() -> None:
            async for image in images:
                seen.append(image.digest)

        with pytest.raises(ServerError, match="no such page"):
            await read()
        assert len(seen) == 30


@pytest.mark.anyio
async def test_iteration_goes_on_after_a_failure_that_passed() -> None:
    failures = iter([Reply(500)])

    def behave(request: SeenRequest) -> Behaviour:
        offset = int(request.query.rpartition("=")[2])
        if offset == 10 and (failure := next(failures, None)):
            return failure
        page = [{"digest": f"sha256:{n}", "tags": []} for n in range(offset, min(offset + 10, 25))]
        return Reply.json({"images": page, "totalCount": 25})

    async with (
        FaultServer(handler=behave) as server,
        AsyncRegistryClient(token="t", base_url=server.base_url) as client,
    ):
        items = aiter(client.images.list("r", "p", page_size=10))
        seen: list[str] = []

        async def read() -> None:
            async for image in items:
                seen.append(image.digest)

        with pytest.raises(ServerError):
            await read()
        await read()
        assert seen == [f"sha256:{number}" for number in range(25)]


Reader = Callable[[AsyncPaginator[Image]], Any]


@pytest.mark.anyio
@pytest.mark.parametrize("problem", [{"images": {}}, {"images": [1]}, {"images": [{}]}, [], "x", 5])
async def test_a_page_of_the_wrong_form_is_an_error(problem: object) -> None:
    async with (
        FaultServer(default=Reply.json(problem)) as server,
        AsyncRegistryClient(token="t", base_url=server.base_url) as client,
    ):
        for reader in READERS.values():
            with pytest.raises(UnexpectedResponseError):
                await reader(client.images.list("r", "p"))


# -- what the caller's own code raises, and what is no way to read a list


class EndingCredentials:
    """Credentials that run out of what they iterate, after giving so many tokens."""

    def __init__(self, error: BaseException, tokens: int = 0) -> None:
        self._error = error
        self._left = tokens

    async def get_token(self, session: object) -> str:
        if self._left == 0:
            raise self._error
        self._left -= 1
        return "t"

    def invalidate(self, token: str) -> None:
        """Keep it."""


WAYS: Final[dict[str, Callable[[AsyncRegistryClient], Any]]] = {
    "items": lambda client: by_item(client.images.list("r", "p", page_size=10)),
    "pages": lambda client: by_page(client.images.list("r", "p", page_size=10)),
    "collect": lambda client: by_collect(client.images.list("r", "p", page_size=10)),
    "first": lambda client: client.images.list("r", "p").first(),
    "count": lambda client: client.images.list("r", "p").count(),
    "get_by_name": lambda client: client.registries.get_by_name("one"),
}


@pytest.mark.anyio
@pytest.mark.parametrize("way", WAYS)
async def test_credentials_that_run_out_of_tokens_do_not_end_a_list(way: str) -> None:
    for tokens in (0, 3) if way in READERS else (0,):
        async with (
            FaultServer(handler=distinct_pages) as server,
            AsyncRegistryClient(
                EndingCredentials(StopAsyncIteration(), tokens), base_url=server.base_url
            ) as client,
        ):
            with pytest.raises(RuntimeError, match="StopAsyncIteration") as caught:
                await WAYS[way](client)
            assert isinstance(caught.value.__cause__, StopAsyncIteration)


def distinct_pages(request: SeenRequest) -> Behaviour:
    start = int(request.query.rpartition("=")[2])
    images = [{"digest": f"sha256:{n}"} for n in range(start, start + 10)]
    return Reply.json({"images": images, "totalCount": 1000})


class StopEverything(BaseException):
    """Not an Exception."""


@pytest.mark.anyio
@pytest.mark.parametrize("error", [KeyboardInterrupt, SystemExit, StopEverything])
async def test_whatever_is_raised_while_pages_are_read_ahead_reaches_the_caller(
    error: type[BaseException],
) -> None:
    async with FaultServer(handler=distinct_pages) as server:
        credentials = EndingCredentials(error(), tokens=4)
        async with AsyncRegistryClient(credentials, base_url=server.base_url) as client:
            with pytest.raises(error):
                await client.images.list("r", "p", page_size=10).collect()
            tasks = {str(task.get_coro()) for task in asyncio.all_tasks()}
            assert not any("Workers" in task for task in tasks)


@pytest.mark.anyio
async def test_a_list_says_how_it_is_read() -> None:
    async with AsyncRegistryClient(token="t") as client:
        registries: Any = client.registries.list()
        with pytest.raises(TypeError, match="'async for'"):
            list(registries)
        with pytest.raises(TypeError, match=r"cannot be awaited.*collect\(\)"):
            await registries


@pytest.mark.anyio
async def test_reading_ahead_does_not_wait_for_the_slowest_of_eight_pages() -> None:
    async with serving(300, Paging(cap=10)) as (server, registry, client):
        late = asyncio.Event()

        async def hold(request: SeenRequest) -> None:
            if request.query.endswith("offset=10"):
                await late.wait()
            elif server.count("GET") >= 29:
                late.set()

        server.on_request = hold
        async with asyncio.timeout(30):
            assert await by_collect(client.images.list(registry.id, "p")) == digests(300)
        assert server.count("GET") == 30


@pytest.mark.anyio
async def test_cancelling_a_collection_ends_its_requests() -> None:
    async with serving(300, Paging(cap=10)) as (server, registry, client):
        held = asyncio.Event()

        async def hold(request: SeenRequest) -> None:
            if "offset=0" not in request.query:
                if server.in_flight == 8:
                    held.set()
                await asyncio.Event().wait()

        server.on_request = hold
        before = asyncio.all_tasks()
        reading = asyncio.create_task(client.images.list(registry.id, "p").collect())
        async with asyncio.timeout(30):
            await held.wait()
            reading.cancel()
            with pytest.raises(asyncio.CancelledError):
                await reading
        begun = {str(task.get_coro()) for task in asyncio.all_tasks() - before}
        assert [coroutine for coroutine in begun if "RequestHandler" not in coroutine] == []
        server.on_request = None
