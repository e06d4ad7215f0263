"""When a scan may send its next request, as plain turns on a clock that a test moves."""

from __future__ import annotations

import asyncio
from itertools import pairwise

import anyio
import pytest

from registry_async._scan.pace import Pace
from tests.support.clock import FakeClock
from tests.support.scans import LIMIT, client_of
from tests.support.strict_server import StrictServer

pytestmark = pytest.mark.anyio

# Turns a second.
RATE = 10
INTERVAL = 0.1


class HeldClock(FakeClock):
    """A clock on which whoever sleeps does so until the test lets it go on."""

    def __init__(self) -> None:
        super().__init__()
        self.asleep = anyio.Event()
        self.go_on = anyio.Event()

    async def sleep(self, seconds: float) -> None:
        self.sleeps.append(seconds)
        self.asleep.set()
        await self.go_on.wait()
        self.advance(seconds)


def always() -> bool:
    return True


def take_all(pace: Pace, clock: FakeClock) -> int:
    """Return how many turns can be taken at this moment."""
    taken = 0
    while pace.take(clock.monotonic()) <= 0:
        taken += 1
    return taken


def test_turns_come_one_interval_after_the_other() -> None:
    clock = FakeClock()
    pace = Pace(RATE, clock)
    moments: list[float] = []
    for _ in range(20):
        while (wait := pace.take(clock.monotonic())) > 0:
            clock.advance(wait)
        moments.append(clock.monotonic())
    gaps = [later - earlier for earlier, later in pairwise(moments)]
    # The turn that is due when the pace begins is the first; all others are spaced.
    assert gaps == pytest.approx([INTERVAL] * 19)


@pytest.mark.parametrize("blocked", [0.1, 0.25, 1, 30, 3600])
def test_turns_are_not_saved_up_beyond_one_interval(blocked: float) -> None:
    clock = FakeClock()
    pace = Pace(RATE, clock)
    assert take_all(pace, clock) == 1
    clock.advance(blocked)
    # The turn that is due, and at most one more for the time that was lost.
    assert take_all(pace, clock) <= 2
    wait = pace.take(clock.monotonic())
    assert 0 < wait <= INTERVAL * 1.0001
    clock.advance(wait)
    assert take_all(pace, clock) == 1


def test_a_turn_that_is_asked_for_too_early_is_not_spent() -> None:
    clock = FakeClock()
    pace = Pace(RATE, clock)
    assert pace.take(clock.monotonic()) == 0
    for _ in range(5):
        # Who asks is told how long to wait. It waits elsewhere, and holds nothing meanwhile.
        assert pace.take(clock.monotonic()) == pytest.approx(INTERVAL)
    assert clock.sleeps == []
    clock.advance(INTERVAL * 1.0001)
    assert pace.take(clock.monotonic()) == 0


async def test_a_pause_is_seen_by_those_who_are_queued_already() -> None:
    clock = HeldClock()
    pace = Pace(RATE, clock)
    assert take_all(pace, clock) == 1
    paused = False
    turns: list[bool] = []

    async def wait_for_turn() -> None:
        turns.append(await pace.turn(lambda: not paused))

    with anyio.fail_after(LIMIT):
        async with anyio.create_task_group() as tasks:
            for _ in range(5):
                tasks.start_soon(wait_for_turn)
            await anyio.wait_all_tasks_blocked()
            # The first of the queue sleeps until its turn, the others wait behind it.
            assert len(clock.sleeps) == 1
            paused = True
            clock.go_on.set()
    # None is sent into the pause, and none slept a turn for nothing after it began.
    assert turns == [False] * 5
    assert len(clock.sleeps) == 1
    # No turn was spent: the next request after the pause has it at once.
    assert await pace.turn(always)
    assert pace.take(clock.monotonic()) == 0


async def test_one_at_a_time_has_a_turn_until_it_is_spent() -> None:
    clock = FakeClock()
    pace = Pace(RATE, clock)
    spend = [asyncio.Event() for _ in range(3)]
    has_turn: list[int] = []

    async def ask(number: int) -> None:
        assert await pace.turn(always)
        has_turn.append(number)
        await spend[number].wait()
        assert pace.take(clock.monotonic()) == 0

    with anyio.fail_after(LIMIT):
        async with anyio.create_task_group() as tasks:
            for number in range(3):
                tasks.start_soon(ask, number)
                await anyio.wait_all_tasks_blocked()
            for number in range(3):
                assert has_turn == list(range(number + 1))
                spend[number].set()
                await anyio.wait_all_tasks_blocked()


async def test_who_sleeps_until_its_turn_holds_no_slot() -> None:
    clock = HeldClock()
    async with (
        StrictServer() as server,
        client_of(server, clock=clock, max_connections=1) as client,
    ):
        server.populate(registries=1, repositories=3, images=1)

        async def scan_all() -> None:
            async with client.scan(concurrency=3, max_rate=RATE) as found:
                assert len([each async for each in found]) == 3

        with anyio.fail_after(LIMIT):
            async with anyio.create_task_group() as tasks:
                tasks.start_soon(scan_all)
                await clock.asleep.wait()
                # The client's only slot is free for its other requests meanwhile.
                assert await client.registries.list().count() == 1
                clock.go_on.set()


async def test_a_turn_that_is_given_back_passes_to_the_next() -> None:
    clock = FakeClock()
    pace = Pace(RATE, clock)

    async def give_back() -> None:
        assert await pace.turn(always)
        pace.release()

    with anyio.fail_after(LIMIT):
        async with anyio.create_task_group() as tasks:
            for _ in range(3):
                tasks.start_soon(give_back)
        assert await pace.turn(always)
    # None of them has spent it.
    assert clock.sleeps == []
    assert pace.take(clock.monotonic()) == 0
