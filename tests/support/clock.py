"""A clock for the client that moves only when it is told to, or when something sleeps on it."""

from __future__ import annotations

import asyncio


class FakeClock:
    """Time and chance under a test's control; it is a `registry_async.Clock`.

    Sleeping on it takes no time: it notes the seconds in `sleeps`, moves on by them and lets other
    tasks run once.

    Args:
        chance: What `random()` gives, from 0 to 1; with 1 every wait is as long as it can be.
        unix: The Unix time at the start.
    """

    def __init__(self, *, chance: float = 1.0, unix: float = 1_800_000_000.0) -> None:
        self.chance = chance
        self.sleeps: list[float] = []
        self._now = 1_000.0
        self._unix = unix

    def advance(self, seconds: float) -> None:
        """Let so many seconds pass."""
        self._now += seconds
        self._unix += seconds

    def skew(self, seconds: float) -> None:
        """Set the wall clock forward (or back) without time passing."""
        self._unix += seconds

    @property
    def slept(self) -> float:
        """The seconds slept so far."""
        return sum(self.sleeps)

    def monotonic(self) -> float:
        return self._now

    def time(self) -> float:
        return self._unix

    def random(self) -> float:
        return self.chance

    async def sleep(self, seconds: float) -> None:
        self.sleeps.append(seconds)
        self.advance(seconds)
        await asyncio.sleep(0)
