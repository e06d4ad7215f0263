"""Be interrupted by a timer again and again, wherever the calling thread is at that moment."""

import asyncio
import random
import signal
import sys
import threading
from types import FrameType

from registry_async._portal import Lease

INTERRUPTS = 300


class Client:
    """What the lease belongs to."""


class Interrupt(BaseException):
    """What the timer's signal raises."""


async def nothing() -> None: ...


class Work:
    """Coroutines that are counted."""

    def __init__(self) -> None:
        self.begun = 0
        self.ended = 0

    async def do(self) -> int:
        self.begun += 1
        try:
            for _ in range(3):
                await asyncio.sleep(0)
            return 42
        finally:
            try:
                await asyncio.sleep(0)
            finally:
                self.ended += 1


def main() -> None:
    armed = False

    def interrupt(number: int, frame: FrameType | None) -> None:
        # Only where the lease has to deal with it.
        while armed and frame is not None:
            if frame.f_globals["__name__"] == Lease.__module__:
                raise Interrupt
            frame = frame.f_back

    work = Work()
    lease = Lease(Client(), nothing)
    lease.run(nothing)
    signal.signal(signal.SIGALRM, interrupt)
    chance = random.Random(7)
    caught = 0
    while caught < INTERRUPTS:
        # A second and a third one may strike while the first is dealt with.
        armed = True
        signal.setitimer(signal.ITIMER_REAL, chance.uniform(1e-5, 2e-4), 5e-5)
        try:
            while True:
                assert lease.run(work.do) == 42
        except Interrupt:
            caught += 1
        armed = False
        signal.setitimer(signal.ITIMER_REAL, 0)
        assert lease.run(work.do) == 42

    async def settle() -> None:
        # A third interrupt ends the wait, not the coroutine's own end.
        others = asyncio.all_tasks() - {asyncio.current_task()}
        await asyncio.gather(*others, return_exceptions=True)

    lease.run(settle)
    assert work.begun == work.ended, (work.begun, work.ended)
    lease.close()
    assert threading.active_count() == 1
    sys.stdout.write("unharmed\n")


main()
