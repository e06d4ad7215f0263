"""Have a lease collected that was not closed, where warnings are errors."""

import sys
import threading

from registry_async._portal import Lease


class Client:
    """What the lease belongs to."""


async def nothing() -> None: ...


def main() -> None:
    cleaned = threading.Event()
    threads = set(threading.enumerate())

    async def clean() -> None:
        cleaned.set()

    lease = Lease(Client(), clean)
    lease.run(nothing)
    (loop_thread,) = set(threading.enumerate()) - threads
    del lease
    cleaned.wait()
    loop_thread.join()
    sys.stdout.write("cleaned\n")


main()
