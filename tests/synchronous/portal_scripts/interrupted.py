"""Be interrupted during a call; the argument says by what, and how often before it may end."""

import asyncio
import signal
import sys
import traceback
from types import FrameType

from registry_async._portal import Lease


class Client:
    """What the lease belongs to."""


class Stop(BaseException):
    """What a handler of a signal may raise."""


async def nothing() -> None: ...


async def answer() -> int:
    return 42


def say(text: str) -> None:
    sys.stdout.write(text + "\n")
    sys.stdout.flush()


def main(kind: str, patience: int) -> None:
    raised = {"KeyboardInterrupt": KeyboardInterrupt, "Stop": Stop}[kind]
    enough = asyncio.Event()
    loops: list[asyncio.AbstractEventLoop] = []
    interrupts = 0

    def interrupt(number: int, frame: FrameType | None) -> None:
        nonlocal interrupts
        # Where this handler runs already, it would be another test. A timer comes back later;
        # the test itself would do so before this handler has returned, and again and again.
        if frame is None or frame.f_code.co_name != "wait":
            signal.setitimer(signal.ITIMER_REAL, 1e-3)
            return
        interrupts += 1
        say(f"interrupt {interrupts}")
        if interrupts == patience:
            loops[0].call_soon_threadsafe(enough.set)
        raise raised

    signal.signal(signal.SIGINT, interrupt)
    signal.signal(signal.SIGALRM, interrupt)

    async def endless() -> None:
        loops.append(asyncio.get_running_loop())
        say("running")
        try:
            await asyncio.Event().wait()
        except asyncio.CancelledError:
            say("cancelled")
            # A clean-up that takes as long as it takes.
            await enough.wait()
            say("cleaned up")
            raise

    async def running() -> int:
        return len(asyncio.all_tasks())

    lease = Lease(Client(), nothing)
    try:
        lease.run(endless)
    except raised:
        say(f"raised {kind}")
        frames = traceback.extract_tb(sys.exc_info()[2])
        say(" ".join(frame.name for frame in frames if frame.name != interrupt.__name__))
    if patience > interrupts:
        loops[0].call_soon_threadsafe(enough.set)
    while lease.run(running) > 1:
        continue
    say(f"answer {lease.run(answer)}")
    lease.close()


main(sys.argv[1], int(sys.argv[2]))
