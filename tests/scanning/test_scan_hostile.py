"""Scans on a bad day: callers' code that raises anything, refusals, limits, and a blocked loop."""

from __future__ import annotations

import asyncio
import sys
import threading
from collections import Counter
from typing import Any, Final

import anyio
import pytest

from registry_async import (
    AsyncRegistryClient,
    AsyncScan,
    NotFoundError,
    RegistryClient,
    RegistryNotFoundError,
    RetryPolicy,
    ScanError,
    ScannedImage,
    ScanProgress,
    ServerError,
    scan,
)
from registry_async.sandbox import Sandbox
from tests.support.clock import FakeClock
from tests.support.scans import (
    LIMIT,
    client_of,
    failing,
    key,
    lists_images,
    serving,
    truth,
)
from tests.support.strict_server import Reply, StrictServer, make_image
from tests.support.wire import SeenRequest

pytestmark = pytest.mark.anyio


class CustomStopError(BaseException):
    """Not an Exception."""


BASE_EXCEPTIONS: Final = [
    KeyboardInterrupt,
    SystemExit,
    asyncio.CancelledError,
    GeneratorExit,
    CustomStopError,
]
ENDINGS: Final = [StopAsyncIteration, StopIteration]
# What would end a task or a generator of ours without a word becomes an error of the request.
RECORDED: Final = (asyncio.CancelledError, GeneratorExit)


class FailingCredentials:
    """Credentials that give some tokens, and then raise."""

    def __init__(self, token: str, error: BaseException, good: int) -> None:
        self._token = token
        self._error = error
        self._good = good

    async def get_token(self, session: object) -> str:
        self._good -= 1
        if self._good < 0:
            raise self._error
        return self._token

    def invalidate(self, token: str) -> None:
        """Keep it."""


def scan_tasks() -> list[str]:
    return [str(task) for task in asyncio.all_tasks() if "Workers" in str(task.get_coro())]


async def consumed(found: AsyncScan[ScannedImage]) -> None:
    async with found:
        async for _ in found:
            pass


async def counted(found: AsyncScan[ScannedImage]) -> None:
    async with found:
        await found.report()


# -- what callers' code raises


@pytest.mark.parametrize("report", [False, True])
@pytest.mark.parametrize("good", [0, 1, 5])
@pytest.mark.parametrize("error", BASE_EXCEPTIONS)
async def test_base_exceptions_of_credentials_reach_the_caller(
    error: type[BaseException], good: int, report: bool
) -> None:
    async with StrictServer() as server:
        server.populate(registries=2, repositories=5, images=1)
        credentials = FailingCredentials(server.token, error("the vault"), good)
        client = AsyncRegistryClient(credentials, base_url=server.base_url)
        async with client:
            found = client.scan(concurrency=3)
            reading = counted(found) if report else consumed(found)
            if issubclass(error, RECORDED):
                await reading
                assert found.errors
                for failure in found.errors:
                    assert isinstance(failure.error, RuntimeError)
                    assert error.__name__ in str(failure.error)
            else:
                with pytest.raises(error):
                    await reading
            assert not found.complete
            assert scan_tasks() == []


@pytest.mark.parametrize("error", BASE_EXCEPTIONS)
async def test_base_exceptions_of_callbacks_reach_the_caller(error: type[BaseException]) -> None:
    async with serving() as (server, client):
        server.populate(registries=2, repositories=5, images=1)

        def fail(now: ScanProgress) -> None:
            if now.images:
                raise error("the callback's own")

        found = client.scan(concurrency=3, on_progress=fail)
        with pytest.raises(error):
            await consumed(found)
        assert not found.complete
        assert scan_tasks() == []
        # The client goes on.
        assert await client.registries.list().count() == 2


@pytest.mark.parametrize("error", [KeyboardInterrupt, SystemExit])
async def test_an_exit_that_comes_while_nobody_iterates_is_raised_at_the_end(
    error: type[BaseException],
) -> None:
    async with serving() as (server, client):
        server.populate(registries=1, repositories=9, images=1)
        raised = asyncio.Event()

        def fail(now: ScanProgress) -> None:
            if now.repositories_read == 3:
                raised.set()
                raise error

        async def leave_early() -> None:
            async with client.scan(concurrency=1, on_progress=fail) as found:
                await anext(found)
                await raised.wait()
                await anyio.wait_all_tasks_blocked()

        with pytest.raises(error):
            await leave_early()


@pytest.mark.parametrize("error", ENDINGS)
async def test_what_ends_iterations_does_not_end_a_scan_without_a_word(
    error: type[Exception],
) -> None:
    def fail(now: ScanProgress) -> None:
        if now.images:
            raise error

    async with serving() as (server, client):
        server.populate(registries=1, repositories=5, images=1)
        async with client.scan(on_progress=fail) as found:
            with pytest.raises(RuntimeError, match=error.__name__):
                async for _ in found:
                    pass
    async with StrictServer() as server:
        credentials = FailingCredentials(server.token, StopAsyncIteration(), 0)
        async with (
            AsyncRegistryClient(credentials, base_url=server.base_url) as client,
            client.scan() as found,
        ):
            assert [each async for each in found] == []
            (recorded,) = found.errors
            assert isinstance(recorded.error, RuntimeError)
            assert not found.complete


@pytest.mark.parametrize("error", [KeyboardInterrupt, SystemExit, CustomStopError, GeneratorExit])
@pytest.mark.parametrize("where", ["callback", "credentials"])
def test_an_exit_in_a_scan_never_ends_the_loop_of_the_sync_clients(
    error: type[BaseException], where: str
) -> None:
    def fail(_: ScanProgress) -> None:
        raise error

    with Sandbox() as sandbox, sandbox.sync_client() as other:
        assert other.registries.list().count() == 5
        (loop,) = (each for each in threading.enumerate() if each.name == "registry_async")
        if where == "callback":
            client = RegistryClient(token=sandbox.token, base_url=sandbox.base_url)
            options: dict[str, Any] = {"on_progress": fail}
        else:
            credentials = FailingCredentials(sandbox.token, error(), 2)
            client = RegistryClient(credentials, base_url=sandbox.base_url)
            options = {}
        with client:
            if where == "credentials" and issubclass(error, RECORDED):
                with client.scan() as found:
                    for _ in found:
                        pass
                assert found.errors
                assert client.scan_report().errors
            else:
                with pytest.raises(error), client.scan(**options) as found:
                    for _ in found:
                        pass
                with pytest.raises(error):
                    client.scan_report(**options)
        assert loop.is_alive()
        assert other.registries.list().count() == 5


# -- refusals


@pytest.mark.parametrize("concurrency", [1, 4, 32])
async def test_refused_repositories_that_come_first_do_not_close_a_project(
    concurrency: int,
) -> None:
    async with serving() as (server, client):
        server.populate(registries=1, repositories=100, images=1)
        forbidden = [f"app-{number:04d}" for number in range(25)]
        server.on_request = failing(
            lambda request: any(name in request.target for name in forbidden), 403
        )
        async with client.scan(concurrency=concurrency) as found:
            assert len([each async for each in found]) == 75
        assert len(found.errors) == 25
        assert all(error.repository is not None for error in found.errors)


async def test_many_refused_registries_do_not_close_a_project_that_has_given_something() -> None:
    async with serving() as (server, client):
        server.populate(registries=60, repositories=1, images=1)
        _, *others = server.registries
        forbidden = set(others[:40])
        server.on_request = failing(
            lambda request: any(each in request.target for each in forbidden), 403
        )
        async with client.scan(concurrency=1) as found:
            assert len([each async for each in found]) == 20
        assert len(found.errors) == 40


# -- repositories that were never pushed to


async def test_a_repository_that_was_never_pushed_to_is_empty() -> None:
    async with serving(check_answers=False) as (server, client):
        server.populate(registries=2, repositories=4, images=1)

        def unpushed(request: SeenRequest) -> bool:
            return "app-0002" in request.target and request.raw_path.endswith(("/images", "/tags"))

        server.on_request = failing(unpushed, 404)
        async with client.scan() as found:
            assert len([each async for each in found]) == 6
            assert found.errors == ()
            assert found.complete


async def test_a_repository_whose_tags_are_there_is_not_empty() -> None:
    async with serving() as (server, client):
        server.populate(registries=1, repositories=4, images=1)
        server.on_request = failing(
            lambda request: lists_images(request) and "app-0002" in request.target, 404
        )
        async with client.scan() as found:
            assert len([each async for each in found]) == 3
        (error,) = found.errors
        assert isinstance(error.error, NotFoundError)
        assert error.repository is not None


# -- limits on requests


async def test_a_pause_holds_for_all_requests_of_the_client() -> None:
    clock = FakeClock()
    async with StrictServer(check_answers=False) as server:
        server.populate(registries=1, repositories=60, images=1)
        moments: list[float] = []
        limited_at: list[float] = []

        async def limit(request: SeenRequest) -> Reply | None:
            now = clock.monotonic()
            if server.count(operation_id="listImages") >= 10 and not limited_at:
                limited_at.append(now)
                return Reply(429, {"error": "Slow down."}, {"Retry-After": "20"})
            moments.append(now)
            return None

        server.on_request = limit
        async with client_of(server, clock=clock) as client:
            with anyio.fail_after(LIMIT):
                async with client.scan(concurrency=8, max_rate=10) as found:
                    assert len([each async for each in found]) == 60
                    assert found.complete
        # Those that were under way aside, nothing was sent for as long as the service asked.
        within = [now for now in moments if limited_at[0] < now < limited_at[0] + 20]
        # Up to eight may be under way when the answer comes; sixty images take sixty requests.
        assert len(within) < 8


async def test_a_pause_of_one_client_does_not_hold_up_another() -> None:
    async with (
        StrictServer(check_answers=False) as limited,
        StrictServer(check_answers=False) as well,
        client_of(limited, label="limited", clock=StoppedClock()) as one,
        client_of(well, label="well") as two,
    ):
        for server in (limited, well):
            server.populate(registries=2, repositories=30, images=1)
        refused = asyncio.Event()

        async def limit(request: SeenRequest) -> Reply | None:
            if lists_images(request):
                refused.set()
                return Reply(429, {"error": "Slow down."}, {"Retry-After": "25"})
            return None

        async def follow(request: SeenRequest) -> None:
            if lists_images(request):
                await refused.wait()

        limited.on_request = limit
        well.on_request = follow
        with anyio.fail_after(LIMIT):
            async with scan([one, two], concurrency=16) as found:
                count = 0
                async for each in found:
                    assert each.client_label == "well"
                    count += 1
                    if count == 60:
                        break


class StoppedClock(FakeClock):
    """A clock on which every pause lasts for ever."""

    async def sleep(self, seconds: float) -> None:
        await anyio.sleep_forever()


async def test_turns_are_not_saved_up_while_the_loop_is_blocked() -> None:
    clock = FakeClock()
    async with StrictServer(check_answers=False) as server:
        server.populate(registries=1, repositories=60, images=1)
        moments: list[float] = []

        async def note(_: SeenRequest) -> None:
            moments.append(clock.monotonic())

        server.on_request = note
        async with client_of(server, clock=clock) as client:
            count = 0
            async with client.scan(concurrency=32, max_rate=10) as found:
                async for _ in found:
                    count += 1
                    if count == 20:
                        # As if the consumer had blocked the loop: time passes, and nothing runs.
                        clock.advance(30)
                        unblocked = clock.monotonic()
            assert count == 60
        assert sum(unblocked <= each <= unblocked + 0.5 for each in moments) <= 5 + 1 + 4


async def test_each_turn_is_a_request() -> None:
    clock = FakeClock()
    async with StrictServer(check_answers=False) as server:
        server.populate(registries=4, repositories=20, images=1)
        refusals = iter(range(5))

        async def limit(request: SeenRequest) -> Reply | None:
            if lists_images(request) and next(refusals, None) is not None:
                return Reply(429, {"error": "Slow down."}, {"Retry-After": "3"})
            return None

        server.on_request = limit
        async with client_of(server, clock=clock) as client:
            began = clock.monotonic()
            async with client.scan(concurrency=16, max_rate=10) as found:
                images = Counter([key(each) async for each in found])
                assert found.complete
            taken = clock.monotonic() - began
        assert images == truth(server)
        # No turn is lost but in the pauses that the service asked for.
        assert taken <= len(server.requests) / 10 + 5 * 3 * 2


# -- words


async def test_tags_of_the_wrong_type_are_refused_by_name() -> None:
    async with AsyncRegistryClient(token="t") as client:
        wrong: Any = {"tags": 5}
        with pytest.raises(ValueError, match=r"tags must be text.*not 5"):
            client.scan(**wrong)
        for name in ("registries", "repository"):
            wrong = {name: 5}
            with pytest.raises(ValueError, match=name):
                client.scan(**wrong)


async def test_a_scan_says_how_it_is_used() -> None:
    async with AsyncRegistryClient(token="t") as client:
        found: Any = client.scan()
        with pytest.raises(TypeError, match="'async for'"):
            list(found)
        with pytest.raises(TypeError, match="async with"):
            await found
        with pytest.raises(RuntimeError, match=r"async with client\.scan"):
            await anext(found)


def test_a_sync_scan_outside_its_block_says_how_it_is_used() -> None:
    with RegistryClient(token="t") as client:
        with pytest.raises(RuntimeError, match=r"with client\.scan\(\) as scan") as caught:
            list(client.scan())
        assert "async" not in str(caught.value)
        with pytest.raises(RuntimeError, match=r"with client\.scan\(\) as scan") as caught:
            client.scan().report()
        assert "async" not in str(caught.value)


async def test_a_name_that_no_registry_has_is_said_with_the_name() -> None:
    async with serving() as (server, client):
        server.populate(registries=1, repositories=1, images=1)
        async with client.scan(registries="registry-9") as found:
            assert [each async for each in found] == []
        (error,) = found.errors
        assert isinstance(error.error, RegistryNotFoundError)
        assert error.error.name == "registry-9"


# -- frames


async def test_a_frame_has_a_row_for_each_image() -> None:
    async with serving() as (server, client):
        registry = server.add_registry("one")
        registry.add_repository(
            "app", [make_image(1, tags=["v1", "latest"]), make_image(2, tags=[])]
        )
        async with client.scan() as found:
            frame = await found.to_dataframe()
            assert found.complete
        assert list(frame.columns) == [
            "client_label",
            "registry_id",
            "registry",
            "repository",
            "digest",
            "tags",
            "size",
            "created_at",
            "architecture",
            "os",
            "media_type",
            "layer_count",
        ]
        frame = frame.sort_values("digest")
        assert frame["tags"].tolist() == [["v1", "latest"], []]
        assert frame["registry"].tolist() == ["one", "one"]
        assert str(frame["size"].dtype) == "Int64"
        assert str(frame["created_at"].dtype) == "datetime64[ns, UTC]"
        assert frame["layer_count"].tolist() == [2, 2]


async def test_frames_of_nothing_and_of_repositories_have_their_columns() -> None:
    async with serving() as (server, client):
        async with client.scan() as found:
            empty = await found.to_dataframe()
        assert len(empty) == 0
        assert "tags" in empty.columns
        server.populate(registries=1, repositories=3, images=1)
        async with client.scan(images=False) as names:
            frame = await names.to_dataframe()
        assert len(frame) == 3
        assert "digest" not in frame.columns


def test_the_sync_scan_has_frames() -> None:
    with Sandbox() as sandbox, sandbox.sync_client() as client:
        with client.scan() as found:
            frame = found.to_dataframe()
        with client.scan() as found:
            assert len(frame) == sum(1 for _ in found)


# -- memory


async def test_a_recorded_error_is_small() -> None:
    """Errors hold what they say, and none of the frames, headers and pages behind it."""
    page = {"error": {"message": "Sick."}, "more": "x" * 20_000}

    async with StrictServer(check_answers=False) as server:
        server.populate(registries=1, repositories=400, images=1)

        async def refuse(request: SeenRequest) -> Reply | None:
            return Reply(500, page) if lists_images(request) else None

        server.on_request = refuse
        retry = RetryPolicy(attempts=1)
        async with client_of(server, retry=retry) as client:
            async with client.scan(concurrency=4) as found:
                async for _ in found:
                    pass
            errors: Any = found.errors
            assert len(errors) == 400
            assert all(isinstance(each.error, ServerError) for each in errors)
            sizes = [size_of(each) for each in errors]
            assert max(sizes) < 2_500


def size_of(error: ScanError) -> int:
    """Return the bytes of an error and of all that only it holds."""
    failure = error.error
    assert failure.__traceback__ is None
    assert failure.__context__ is None
    parts: list[Any] = [error, failure, failure.__dict__, *failure.__dict__.values()]
    return sum(sys.getsizeof(part) for part in {id(part): part for part in parts}.values())
