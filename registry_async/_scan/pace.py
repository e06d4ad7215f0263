"""When a scan may send its next request: ``max_rate``, one turn after the other."""

import asyncio
from collections.abc import Callable

import anyio

from registry_async._clock import Clock

__all__ = ["Pace"]


class Pace:
    """Give out turns at a fixed rate.

    Pages queue for their turn in `turn`, one at a time. The turn is spent by `take`, when the
    request is really sent: so a request that has to wait for something else spends none. A turn
    that comes late, because the event loop was blocked, is followed by at most one extra turn.

    Args:
        rate: The turns in a second.
        clock: Where time comes from.
    """

    def __init__(self, rate: float, clock: Clock) -> None:
        self._interval = 1 / rate
        self._clock = clock
        self._next = clock.monotonic()
        self._queue = anyio.Lock()
        # The task at the head of the queue, until it has sent its request.
        self._head: asyncio.Task[object] | None = None
        self._passed = anyio.Event()

    async def turn(self, wanted: Callable[[], bool]) -> bool:
        """Wait for a turn. Whoever has it calls `take` or `release`.

        Args:
            wanted: Says whether the request is still to be sent.

        Returns:
            Whether it is.
        """
        async with self._queue:
            while self._head is not None:
                await self._passed.wait()
            while wanted() and (wait := self._next - self._clock.monotonic()) > 0:
                await self._clock.sleep(wait)
            if wanted():
                self._head = asyncio.current_task()
                self._passed = anyio.Event()
            return wanted()

    def take(self, now: float) -> float:
        """Spend a turn and return 0, or return the seconds until the next one."""
        wait = self._next - now
        if wait > 0:
            return wait
        self._next = max(self._next + self._interval, now)
        self.release()
        return 0.0

    def release(self) -> None:
        """Let the next one queue, if the running task is at the head."""
        if self._head is not None and self._head is asyncio.current_task():
            self._head = None
            self._passed.set()
