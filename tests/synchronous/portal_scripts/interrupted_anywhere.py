"""Be interrupted by a timer again and again, wherever the calling thread is at that moment."""

import asyncio
import random
import signal
import sys
import threading
from types import FrameType

from registry_async._portal import Lease

INTERRUPTS = 300
# Seconds: so soon that an interrupt may strike while the one before is dealt with.
AGAIN = 3e-5


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

    async def do(self, *, endless: bool = False) -> int:
        self.begun += 1
        try:
            for _ in range(3):
                await asyncio.sleep(0)
            if endless:
                await asyncio.Event().wait()
            return 42
        finally:
            try:
                await asyncio.sleep(0)
            finally:
                self.ended += 1


def main() -> None:
    # How many more times to interrupt.
    armed = 0

    def interrupt(number: int, frame: FrameType | None) -> None:
        nonlocal armed
        if not armed:
            return
        # Only where the lease has to deal with it.
        while frame is not None and frame.f_globals["__name__"] != Lease.__module__:
            frame = frame.f_back
        # The timer is set anew only here, lest a slow machine do nothing but call this.
        signal.setitimer(signal.ITIMER_REAL, AGAIN)
        if frame is not None:
            armed -= 1
            raise Interrupt

    work = Work()
    lease = Lease(Client(), nothing)
    lease.run(nothing)
    signal.signal(signal.SIGALRM, interrupt)
    chance = random.Random(7)
    caught = 0
    while caught < INTERRUPTS:
        armed = 4
        signal.setitimer(signal.ITIMER_REAL, chance.uniform(1e-5, 2e-4))
        try:
            while True:
                assert lease.run(work.do) == 42
        except Interrupt:
            caught += 1
        armed = 0
        signal.setitimer(signal.ITIMER_REAL, 0)
        assert lease.run(work.do) == 42

    async def running() -> int:
        return len(asyncio.all_tasks()) - 1

    for _ in range(INTERRUPTS):
        # No more than two, so none of them may leave the coroutine to itself.
        armed = 2
        signal.setitimer(signal.ITIMER_REAL, chance.uniform(1e-5, 2e-4))
        try:
            lease.run(work.do, endless=True)
        except Interrupt:
            armed = 0
        signal.setitimer(signal.ITIMER_REAL, 0)
        assert lease.run(running) == 0

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
