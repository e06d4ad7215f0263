"""Fork again and again while other threads start and end the loop's thread all the time."""

import os
import sys
import threading
import warnings

from registry_async._portal import Lease

FORKS = 30


class Client:
    """What the lease belongs to."""


async def nothing() -> None: ...


def work(ended: threading.Event) -> None:
    while not ended.is_set():
        lease = Lease(Client(), nothing)
        lease.run(nothing)
        lease.close()


def main() -> None:
    # Never used before a fork: children may use it.
    unused = Lease(Client(), nothing)
    ended = threading.Event()
    threads = [threading.Thread(target=work, args=(ended,)) for _ in range(3)]
    for thread in threads:
        thread.start()
    codes: set[int] = set()
    for _ in range(FORKS):
        with warnings.catch_warnings():
            # Forking with threads is deprecated, and what some do.
            warnings.simplefilter("ignore", DeprecationWarning)
            child = os.fork()
        if child == 0:
            unused.run(nothing)
            unused.close()
            os._exit(7)
        codes.add(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]))
    ended.set()
    for thread in threads:
        thread.join()
    sys.stdout.write(f"{codes}\n")


main()
