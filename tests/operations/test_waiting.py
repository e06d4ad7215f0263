"""Waits for statuses and for garbage collections to end, on a clock of the test's."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from itertools import pairwise
from typing import Any, Final

import pytest

from registry_async import (
    AsyncRegistryClient,
    ConflictError,
    NotFoundError,
    RegistryStatus,
    RetryPolicy,
    ServerError,
    WaitFailedError,
    WaitTimeoutError,
)
from tests.support.clock import FakeClock
from tests.support.faults import Behaviour, Drop, FaultServer, Reply
from tests.support.strict_server import StrictServer, make_image
from tests.support.wire import SeenRequest

pytestmark = pytest.mark.anyio

ONCE: Final = RetryPolicy(attempts=1)
COLLECTING: Final = "GARBAGE_COLLECTION"


def registry(status: str) -> Reply:
    return Reply.json(
        {"id": "r", "name": "r", "status": status, "size": 0, "createdAt": "2025-01-01T00:00:00Z"}
    )


class Service:
    """A registry whose status goes by the clock, and refusals as told.

    Args:
        clock: The clock of the client.
        statuses: (seconds from the start, status from then on); the status None is 404.
        answers: What requests other than looks at the registry get, in order; the last one stays.
    """

    def __init__(
        self,
        clock: FakeClock,
        *statuses: tuple[float, str | None],
        answers: tuple[Behaviour, ...] = (Reply(204),),
    ) -> None:
        self.clock = clock
        self.start = clock.monotonic()
        self.statuses = statuses
        self.answers = list(answers)
        self.looks: list[float] = []
        self.garbage: dict[str, int] = {"sizeNonReferenced": 0, "sizeUntagged": 0, "sizeSummary": 0}

    def __call__(self, request: SeenRequest) -> Behaviour:
        now = self.clock.monotonic() - self.start
        if request.raw_path.endswith("/garbage-collection/size"):
            return Reply.json(self.garbage)
        if request.method == "GET" and request.raw_path.endswith("/registries/r"):
            self.looks.append(now)
            status = [status for since, status in self.statuses if since <= now][-1]
            return Reply(404) if status is None else registry(status)
        return self.answers.pop(0) if len(self.answers) > 1 else self.answers[0]


def client_of(server: FaultServer, clock: FakeClock, **options: Any) -> AsyncRegistryClient:
    settings: dict[str, Any] = {"token": "t", "retry": ONCE, "clock": clock, **options}
    return AsyncRegistryClient(base_url=server.base_url, **settings)


def gaps(looks: list[float]) -> list[float]:
    return [later - earlier for earlier, later in pairwise(looks)]


# -- statuses


async def test_waiting_until_active_looks_at_growing_intervals() -> None:
    clock = FakeClock()
    service = Service(clock, (0, "CREATING"), (100, "ACTIVE"))
    async with FaultServer(handler=service) as server, client_of(server, clock) as client:
        found = await client.registries.wait_until_active("r")
    assert found.status is RegistryStatus.ACTIVE
    pauses = gaps(service.looks)
    assert service.looks[0] == 0
    assert pauses[0] == 1
    assert pauses == sorted(pauses)
    assert max(pauses) == 10
    assert 100 <= service.looks[-1] < 110


async def test_what_is_active_already_is_looked_at_once() -> None:
    clock = FakeClock()
    service = Service(clock, (0, "ACTIVE"))
    async with FaultServer(handler=service) as server, client_of(server, clock) as client:
        await client.registries.wait_until_active("r", timeout=0)
    assert service.looks == [0]
    assert clock.sleeps == []


@pytest.mark.parametrize("timeout", [0, 0.5, 7, 600])
async def test_a_wait_ends_at_its_time(timeout: float) -> None:
    clock = FakeClock()
    service = Service(clock, (0, "CREATING"))
    async with FaultServer(handler=service) as server, client_of(server, clock) as client:
        with pytest.raises(WaitTimeoutError, match="CREATING"):
            await client.registries.wait_until_active("r", timeout=timeout)
    assert clock.slept == pytest.approx(timeout)
    # One last look is taken when the time is up, since it may just have become true.
    assert service.looks[-1] == pytest.approx(timeout)


@pytest.mark.parametrize("wait", ["wait_until_active", "wait_until_deleted"])
async def test_looks_that_fail_do_not_outlast_a_wait(wait: str) -> None:
    clock = FakeClock()
    busy = Reply(503, headers={"Retry-After": "4"})
    async with (
        FaultServer(default=busy) as server,
        client_of(server, clock, retry=RetryPolicy(attempts=100)) as client,
    ):
        with pytest.raises(ServerError):
            await getattr(client.registries, wait)("r", timeout=60)
        assert server.count("GET") == 15
    assert clock.slept < 60


async def test_a_last_look_that_fails_is_a_wait_that_timed_out() -> None:
    clock = FakeClock()

    def behave(request: SeenRequest) -> Behaviour:
        return registry("CREATING") if clock.slept < 10 else Reply(503)

    async with FaultServer(handler=behave) as server, client_of(server, clock) as client:
        with pytest.raises(WaitTimeoutError, match="nothing was seen of registry r"):
            await client.registries.wait_until_active("r", timeout=10)
    assert clock.slept == pytest.approx(10)


async def test_the_default_wait_is_ten_minutes() -> None:
    clock = FakeClock()
    service = Service(clock, (0, "DELETING"))
    async with FaultServer(handler=service) as server, client_of(server, clock) as client:
        with pytest.raises(WaitTimeoutError):
            await client.registries.wait_until_deleted("r")
    assert clock.slept == pytest.approx(600)


@pytest.mark.parametrize("interval", [0.1, 5, 60])
async def test_the_interval_can_be_chosen(interval: float) -> None:
    clock = FakeClock()
    service = Service(clock, (0, "CREATING"), (300, "ACTIVE"))
    async with FaultServer(handler=service) as server, client_of(server, clock) as client:
        await client.registries.wait_until_active("r", poll_interval=interval)
    assert clock.sleeps[0] == interval
    assert max(clock.sleeps) == max(10, interval)


@pytest.mark.parametrize("status", ["ERROR", "DELETING"])
async def test_a_status_that_leads_nowhere_ends_the_wait_at_once(status: str) -> None:
    clock = FakeClock()
    service = Service(clock, (0, "CREATING"), (2, status))
    async with FaultServer(handler=service) as server, client_of(server, clock) as client:
        with pytest.raises(WaitFailedError, match=status) as caught:
            await client.registries.wait_until_active("r")
    assert caught.value.status == status
    assert clock.slept < 5


@pytest.mark.parametrize("status", ["GARBAGE_COLLECTION", "MIGRATING"])
async def test_a_status_that_may_pass_is_waited_out(status: str) -> None:
    clock = FakeClock()
    service = Service(clock, (0, status), (30, "ACTIVE"))
    async with FaultServer(handler=service) as server, client_of(server, clock) as client:
        await client.registries.wait_until_active("r")
    assert clock.slept >= 30


async def test_waiting_until_deleted() -> None:
    clock = FakeClock()
    service = Service(clock, (0, "DELETING"), (20, None))
    async with FaultServer(handler=service) as server, client_of(server, clock) as client:
        await client.registries.wait_until_deleted("r")
        assert 20 <= clock.slept <= 30
        with pytest.raises(NotFoundError):
            await client.registries.wait_until_active("r")


async def test_a_failed_deletion_ends_the_wait() -> None:
    clock = FakeClock()
    service = Service(clock, (0, "DELETING"), (5, "ERROR"))
    async with FaultServer(handler=service) as server, client_of(server, clock) as client:
        with pytest.raises(WaitFailedError) as caught:
            await client.registries.delete("r", wait=True)
        assert caught.value.status == "ERROR"
        assert server.count("DELETE") == 1


async def test_creating_and_deleting_wait_if_asked() -> None:
    clock = FakeClock()
    async with StrictServer(looks=3) as server:
        async with AsyncRegistryClient(
            token=server.token, base_url=server.base_url, clock=clock
        ) as client:
            created = await client.registries.create("first")
            assert created.status is RegistryStatus.CREATING
            assert clock.sleeps == []
            made = await client.registries.create("second", wait=True)
            assert made.status is RegistryStatus.ACTIVE
            assert len(clock.sleeps) == 3
            await client.registries.delete(made.id, wait=True)
            assert made.id not in server.registries
        assert server.violations == []


# -- a collection that is waited for


async def test_a_collection_is_waited_for_to_its_end() -> None:
    clock = FakeClock()
    service = Service(clock, (0, COLLECTING), (50, "ACTIVE"), answers=(Reply(201),))
    async with FaultServer(handler=service) as server, client_of(server, clock) as client:
        await client.registries.start_garbage_collection("r", wait=True)
        assert server.count("POST") == 1
    assert 50 <= clock.slept <= 60


async def test_an_active_from_before_the_collection_is_not_trusted() -> None:
    clock = FakeClock()
    service = Service(clock, (0, "ACTIVE"), (3, COLLECTING), (40, "ACTIVE"), answers=(Reply(201),))
    service.garbage = {"sizeNonReferenced": 5, "sizeUntagged": 0, "sizeSummary": 5}
    async with FaultServer(handler=service) as server, client_of(server, clock) as client:
        await client.registries.start_garbage_collection("r", wait=True)
    assert 40 <= clock.slept <= 50


async def test_a_collection_that_came_and_went_unseen_is_over() -> None:
    clock = FakeClock()
    service = Service(clock, (0, "ACTIVE"), answers=(Reply(201),))
    async with FaultServer(handler=service) as server, client_of(server, clock) as client:
        await client.registries.start_garbage_collection("r", wait=True)
    assert clock.slept < 60


async def test_a_collection_that_never_comes_is_not_taken_for_one_that_is_over() -> None:
    clock = FakeClock()
    service = Service(clock, (0, "ACTIVE"), answers=(Reply(201),))
    service.garbage = {"sizeNonReferenced": 5, "sizeUntagged": 0, "sizeSummary": 5}
    async with FaultServer(handler=service) as server, client_of(server, clock) as client:
        with pytest.raises(WaitTimeoutError, match="not seen"):
            await client.registries.start_garbage_collection("r", wait=True)
    assert clock.slept == pytest.approx(600)


async def test_a_collection_can_be_waited_for_with_a_limit_of_its_own() -> None:
    clock = FakeClock()
    service = Service(clock, (0, "ACTIVE"), (3, COLLECTING), (40, "ACTIVE"))
    async with FaultServer(handler=service) as server, client_of(server, clock) as client:
        await client.registries.wait_for_garbage_collection("r", timeout=60, poll_interval=2)
        assert server.counts()["POST"] == 0
    assert 40 <= clock.slept <= 50
    assert clock.sleeps[0] == 2


async def test_a_wait_for_a_collection_ends_at_its_time() -> None:
    clock = FakeClock()
    service = Service(clock, (0, COLLECTING))
    async with FaultServer(handler=service) as server, client_of(server, clock) as client:
        with pytest.raises(WaitTimeoutError, match="still collecting garbage within 7 s"):
            await client.registries.wait_for_garbage_collection("r", timeout=7)
    assert clock.slept == pytest.approx(7)


# -- conflicts

Call = Callable[[AsyncRegistryClient, float], Awaitable[object]]


async def delete_registry(client: AsyncRegistryClient, seconds: float) -> None:
    await client.registries.delete("r", conflict_timeout=seconds)


async def delete_repository(client: AsyncRegistryClient, seconds: float) -> None:
    await client.repositories.delete("r", "p", conflict_timeout=seconds)


async def delete_image(client: AsyncRegistryClient, seconds: float) -> None:
    await client.images.delete("r", "p", "sha256:0", conflict_timeout=seconds)


async def cleanup(client: AsyncRegistryClient, seconds: float) -> object:
    digests = ["sha256:0"]
    return await client.repositories.cleanup("r", "p", digests=digests, conflict_timeout=seconds)


async def cleanup_tags(client: AsyncRegistryClient, seconds: float) -> object:
    return await client.repositories.cleanup("r", "p", tags=["t"], conflict_timeout=seconds)


async def collect_garbage(client: AsyncRegistryClient, seconds: float) -> None:
    await client.registries.start_garbage_collection("r", conflict_timeout=seconds)


CALLS: Final[dict[str, Call]] = {
    "registry": delete_registry,
    "repository": delete_repository,
    "image": delete_image,
    "cleanup": cleanup,
    "cleanup of tags": cleanup_tags,
    "collection": collect_garbage,
}
CONFLICT: Final = Reply.json({"error": "Registry is busy."}, 409)
GARBAGE: Final = Reply.json({"error": "Garbage collection is running."}, 409)
CLEANED: Final = Reply.json({"deleted": None, "failed": None})


@pytest.mark.parametrize("call", CALLS)
async def test_a_conflict_with_a_collection_is_waited_out(call: str) -> None:
    clock = FakeClock()
    service = Service(clock, (0, COLLECTING), (60, "ACTIVE"), answers=(*[CONFLICT] * 5, CLEANED))
    async with FaultServer(handler=service) as server, client_of(server, clock) as client:
        await CALLS[call](client, 900)
        assert server.counts()["DELETE"] + server.counts()["POST"] == 6
    assert clock.slept < 100


@pytest.mark.parametrize("call", CALLS)
async def test_without_being_asked_nobody_waits(call: str) -> None:
    clock = FakeClock()
    service = Service(clock, (0, COLLECTING), answers=(GARBAGE,))
    async with FaultServer(handler=service) as server, client_of(server, clock) as client:
        with pytest.raises(ConflictError):
            await CALLS[call](client, 0)
        assert len(server.requests) == 1
    assert clock.sleeps == []


@pytest.mark.parametrize("call", CALLS)
async def test_another_conflict_is_final_at_once(call: str) -> None:
    clock = FakeClock()
    refused = Reply.json({"error": "Image is referenced by another manifest."}, 409)
    service = Service(clock, (0, "ACTIVE"), answers=(refused,))
    async with FaultServer(handler=service) as server, client_of(server, clock) as client:
        with pytest.raises(ConflictError, match="referenced"):
            await CALLS[call](client, 900)
    assert clock.sleeps == []


@pytest.mark.parametrize("call", CALLS)
@pytest.mark.parametrize("timeout", [1, 10, 300])
async def test_no_conflict_is_waited_for_longer_than_asked(call: str, timeout: float) -> None:
    clock = FakeClock()
    service = Service(clock, (0, COLLECTING), answers=(GARBAGE,))
    async with FaultServer(handler=service) as server, client_of(server, clock) as client:
        with pytest.raises(ConflictError):
            await CALLS[call](client, timeout)
    assert clock.slept == pytest.approx(timeout)


@pytest.mark.parametrize("call", ["registry", "repository", "image", "cleanup"])
@pytest.mark.parametrize("status", [500, 503])
async def test_failures_during_a_collection_are_waited_out(call: str, status: int) -> None:
    clock = FakeClock()
    service = Service(
        clock, (0, COLLECTING), (20, "ACTIVE"), answers=(*[Reply(status)] * 3, CLEANED)
    )
    async with FaultServer(handler=service) as server, client_of(server, clock) as client:
        await CALLS[call](client, 900)
        assert server.counts()["DELETE"] + server.counts()["POST"] == 4


@pytest.mark.parametrize("status", [500, 503])
async def test_a_tag_that_may_have_moved_is_not_removed_again(status: int) -> None:
    clock = FakeClock()
    service = Service(clock, (0, COLLECTING), answers=(Reply(status), CLEANED))
    async with FaultServer(handler=service) as server, client_of(server, clock) as client:
        with pytest.raises(ServerError):
            await cleanup_tags(client, 900)
        assert server.counts()["POST"] == 1


@pytest.mark.parametrize("status", [500, 503])
async def test_a_collection_is_not_started_again_after_a_failure(status: int) -> None:
    clock = FakeClock()
    service = Service(clock, (0, COLLECTING), answers=(Reply(status),))
    async with FaultServer(handler=service) as server, client_of(server, clock) as client:
        with pytest.raises(ServerError):
            await collect_garbage(client, 900)
        assert server.count("POST") == 1


@pytest.mark.parametrize("call", ["registry", "repository", "image", "cleanup"])
@pytest.mark.parametrize("status", [500, 502, 503])
async def test_failures_without_a_collection_are_final(call: str, status: int) -> None:
    clock = FakeClock()
    service = Service(clock, (0, "ACTIVE"), answers=(Reply(status),))
    async with FaultServer(handler=service) as server, client_of(server, clock) as client:
        with pytest.raises(ServerError):
            await CALLS[call](client, 900)
    assert clock.sleeps == []


async def test_a_collection_that_ends_between_refusal_and_look_is_still_its_cause() -> None:
    clock = FakeClock()
    service = Service(clock, (0, "ACTIVE"), answers=(GARBAGE, CLEANED))
    async with FaultServer(handler=service) as server, client_of(server, clock) as client:
        await delete_image(client, 900)
        assert server.count("DELETE") == 2


async def test_a_registry_that_is_gone_has_no_collection() -> None:
    clock = FakeClock()
    service = Service(clock, (0, None), answers=(CONFLICT,))
    async with FaultServer(handler=service) as server, client_of(server, clock) as client:
        with pytest.raises(ConflictError):
            await delete_image(client, 900)


async def test_a_look_that_fails_leaves_the_refusal_to_be_seen() -> None:
    # The service is sick during a collection: its own words are of more use than the look's.
    clock = FakeClock()

    def behave(request: SeenRequest) -> Behaviour:
        return Reply(500) if request.method == "GET" else GARBAGE

    async with FaultServer(handler=behave) as server, client_of(server, clock) as client:
        with pytest.raises(ConflictError, match="Garbage"):
            await delete_image(client, 20)
    assert clock.slept == pytest.approx(20)


@pytest.mark.parametrize(
    ("look", "slept"),
    [
        (Reply(403), 0),
        (Reply(429, headers={"Retry-After": "30"}), 20),
        (Reply(503, headers={"Retry-After": "30"}), 20),
    ],
    ids=["403", "429", "503"],
)
async def test_looks_neither_hide_the_refusal_nor_outlast_the_wait(
    look: Reply, slept: float
) -> None:
    clock = FakeClock()

    def behave(request: SeenRequest) -> Behaviour:
        return look if request.method == "GET" else GARBAGE

    async with (
        FaultServer(handler=behave) as server,
        client_of(server, clock, retry=RetryPolicy()) as client,
    ):
        with pytest.raises(ConflictError, match="Garbage"):
            await delete_image(client, 20)
    assert clock.slept == pytest.approx(slept)


@pytest.mark.parametrize("call", ["registry", "repository", "image"])
@pytest.mark.parametrize("lost", [Reply(504), Drop()], ids=["504", "dropped"])
@pytest.mark.parametrize("refusal", [GARBAGE, Reply(500)], ids=["409", "500"])
async def test_a_delete_that_was_carried_out_before_a_conflict_has_succeeded(
    call: str, lost: Behaviour, refusal: Reply
) -> None:
    clock = FakeClock()
    service = Service(
        clock, (0, COLLECTING), (20, "ACTIVE"), answers=(lost, refusal, refusal, Reply(404))
    )
    async with (
        FaultServer(handler=service) as server,
        client_of(server, clock, retry=RetryPolicy()) as client,
    ):
        await CALLS[call](client, 900)
        assert server.count("DELETE") == 4


@pytest.mark.parametrize("call", ["registry", "repository", "image"])
async def test_what_others_deleted_during_a_conflict_is_not_found(call: str) -> None:
    clock = FakeClock()
    service = Service(clock, (0, COLLECTING), answers=(GARBAGE, Reply(404)))
    async with FaultServer(handler=service) as server, client_of(server, clock) as client:
        with pytest.raises(NotFoundError):
            await CALLS[call](client, 900)


async def test_the_production_pattern() -> None:
    # Clean every repository without a collection, then collect once, and wait.
    clock = FakeClock()
    async with StrictServer(looks=2) as server:
        one = server.add_registry("one")
        for name in ("team/a", "team/b"):
            one.add_repository(name, [make_image(1), make_image(2, tags=())])
        async with AsyncRegistryClient(
            token=server.token, base_url=server.base_url, clock=clock
        ) as client:
            for name in await client.repositories.list_names(one.id).collect():
                result = await client.repositories.cleanup(
                    one.id, name, tags=["v1"], disable_gc=True
                )
                assert len(result.deleted) == 1
            await client.registries.start_garbage_collection(one.id, delete_untagged=True)
            # A delete that comes in its way waits for it.
            await client.repositories.delete(one.id, "team/b", conflict_timeout=60)
            size = await client.registries.get_garbage_size(one.id)
            assert size.non_referenced == 0
        assert one.repositories["team/a"].images == []
        assert server.count("POST", "startGarbageCollection") == 1
        assert server.violations == []
