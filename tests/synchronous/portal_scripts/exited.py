"""Exit without closing; the argument says in which situation."""

import asyncio
import gc
import sys
import threading
import warnings

from registry_async import _portal
from registry_async._portal import Lease


class Client:
    """What the lease belongs to."""


async def say_cleaned() -> None:
    await asyncio.sleep(0)
    sys.stdout.write("cleaned\n")


async def nothing() -> None: ...


async def answer() -> int:
    return 42


async def endless() -> None:
    await asyncio.Event().wait()


async def stubborn() -> None:
    while True:
        try:
            await endless()
        except asyncio.CancelledError:
            continue


leases: list[Lease] = []


def unused() -> None:
    leases.append(Lease(Client(), say_cleaned))


def used() -> None:
    leases.append(Lease(Client(), say_cleaned))
    leases[0].run(answer)


def several() -> None:
    used()
    leases.append(Lease(Client(), say_cleaned))
    leases[1].run(answer)


def in_cycle() -> None:
    gc.disable()
    client = Client()
    lease = Lease(client, say_cleaned)
    lease.run(answer)
    client.__dict__.update(lease=lease, client=client)


def collected() -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ResourceWarning)
        Lease(Client(), say_cleaned).run(answer)


def executor_used() -> None:
    used()

    async def elsewhere() -> int:
        return await asyncio.get_running_loop().run_in_executor(None, threading.get_ident)

    leases[0].run(elsewhere)


def call_in_daemon_thread() -> None:
    used()
    started = threading.Event()

    async def blocked() -> None:
        started.set()
        await endless()

    threading.Thread(target=leases[0].run, args=(blocked,), daemon=True).start()
    started.wait()


def calls_in_daemon_threads() -> None:
    used()
    started = threading.Semaphore(0)

    def call() -> None:
        while True:
            leases[0].run(answer)
            started.release()

    def lease_and_call() -> None:
        while True:
            lease = Lease(Client(), nothing)
            lease.run(answer)
            lease.close()
            started.release()

    for work in (call, call, lease_and_call, lease_and_call):
        threading.Thread(target=work, daemon=True).start()
    for _ in range(100):
        started.acquire()


def thread_outlives_main() -> None:
    used()
    main = threading.main_thread()

    def call() -> None:
        main.join()
        sys.stdout.write(f"{leases[0].run(answer)}\n")

    threading.Thread(target=call).start()


def cleanup_without_end() -> None:
    vars(_portal)["_PATIENCE"] = 0.1
    leases.append(Lease(Client(), endless))
    leases[0].run(answer)


def cleanup_that_refuses() -> None:
    vars(_portal)["_PATIENCE"] = 0.1
    leases.append(Lease(Client(), stubborn))
    leases[0].run(answer)


def loop_blocked() -> None:
    vars(_portal)["_PATIENCE"] = 0.1
    used()
    started = threading.Event()

    async def block() -> None:
        started.set()
        threading.Event().wait()

    threading.Thread(target=leases[0].run, args=(block,), daemon=True).start()
    started.wait()


globals()[sys.argv[1]]()
