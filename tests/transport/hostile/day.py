"""A client's worst day, in one process: every kind of use at once against a hostile service.

Runs as a program, so that memory, descriptors, tasks and threads are its own. It prints its figures
as JSON and ends with 1 when anything was wrong.
"""

from __future__ import annotations

import argparse
import asyncio
import gc
import io
import json
import logging
import os
import random
import subprocess
import sys
import threading
import traceback
import warnings
from collections import Counter
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

from registry_async import (
    AsyncRegistryClient,
    AuthenticationError,
    ConnectionFailedError,
    RateLimitedError,
    RegistryClient,
    RequestTimeoutError,
    RetryPolicy,
    ServerError,
    TokenScope,
    UnexpectedResponseError,
)
from tests.transport.hostile.service import IMAGES, REGISTRIES, REPOSITORIES

AT_ONCE: Final = 48
TENTHS: Final = 10
SCOPE: Final = TokenScope(all_registries=True, read_write=False)
# Long enough for a busy machine, short enough for hangs.
LIMIT: Final = 3.0
RETRY: Final = RetryPolicy(attempts=8, base_delay=0.001, max_delay=0.01)
CANARY: Final = "canary-" + "0123456789abcdef" * 12
# What a caller may see of such a day, once repetition has done what it can.
EXPECTED: Final = (
    AuthenticationError,
    ConnectionFailedError,
    RateLimitedError,
    RequestTimeoutError,
    ServerError,
    UnexpectedResponseError,
)


class Rotating:
    """Credentials whose token changes with every refusal; every token holds the canary."""

    def __init__(self) -> None:
        self.generation = 0

    async def get_token(self, session: Any) -> str:
        """Return the token of this generation."""
        return f"{CANARY}-{self.generation}"

    def invalidate(self, token: str) -> None:
        """Have the next request ask for another."""
        self.generation += 1


@dataclass
class Day:
    """What happened.

    Attributes:
        outcomes: How often each kind of use ended in each way.
        wrong: What must not have happened, in words.
        samples: Memory (KiB), descriptors, tasks and threads after each tenth.
        text: All that was logged.
    """

    base_url: str
    requests: int
    chance: random.Random
    outcomes: Counter[str] = field(default_factory=Counter)
    wrong: list[str] = field(default_factory=list)
    samples: list[dict[str, int]] = field(default_factory=list)
    names: list[str] = field(default_factory=list)
    deleted: list[str] = field(default_factory=list)
    refused_deletes: list[str] = field(default_factory=list)

    def expect(self, fine: bool, what: str) -> None:
        """Note what is wrong unless it is fine."""
        if not fine:
            self.wrong.append(what)

    def hunt(self, error: BaseException) -> None:
        """Look for the secret in all that is ever shown of an error."""
        shown = "".join(
            traceback.TracebackException.from_exception(error, capture_locals=True).format()
        )
        self.expect("canary" not in f"{error} {error!r} {vars(error)}", f"secret in {error!r}")
        # This program's own frames hold the secret by right; the library's must not show it.
        library = shown.partition("registry_async/")[2]
        self.expect("0123456789abcdef" not in library, f"secret in the traceback of {error!r}")

    def sample(self) -> None:
        """Take the measures of this process."""
        gc.collect()
        pages = int(Path("/proc/self/statm").read_text(encoding="ascii").split()[1])
        self.samples.append(
            {
                "memory": pages * os.sysconf("SC_PAGE_SIZE") // 1024,
                "descriptors": len(list(Path("/proc/self/fd").iterdir())),
                "tasks": len(asyncio.all_tasks()),
                "threads": threading.active_count(),
            }
        )


class Watched(logging.Handler):
    """Formats every record and finds the secret in any of them."""

    def __init__(self, day: Day) -> None:
        super().__init__()
        self._day = day

    def emit(self, record: logging.LogRecord) -> None:
        """Look at a record."""
        self._day.expect("0123456789abcdef" not in record.getMessage(), "secret in the log")


async def get(day: Day, client: AsyncRegistryClient, name: str) -> None:
    found = await client.repositories.get("r", name)
    day.expect((found.name, found.size) == (name, len(name)), f"foreign answer for {name}")


async def delete(day: Day, client: AsyncRegistryClient, name: str) -> None:
    await client.images.delete("r", "p", f"sha256:{name}")
    day.deleted.append(f"sha256%3A{name}")


async def create(day: Day, client: AsyncRegistryClient, name: str) -> None:
    day.names.append(name)
    token = await client.tokens.create(scope=SCOPE, expires_at=None, name=name)
    day.expect((token.id, token.secret) == (f"id-{name}", f"secret-{name}"), f"foreign {name}")


async def collect(day: Day, client: AsyncRegistryClient, name: str) -> None:
    images = await client.images.list("r", "p", page_size=10).collect()
    digests = {image.digest for image in images}
    day.expect(len(images) == len(digests) == IMAGES, f"{len(images)} images")


async def scan(day: Day, client: AsyncRegistryClient, name: str) -> None:
    async with client.scan(concurrency=4, page_size=10) as running:
        found = [item async for item in running]
    for failure in running.errors:
        day.expect(isinstance(failure.error, EXPECTED), f"{failure.error!r} of a scan")
        day.hunt(failure.error)
    whole = REGISTRIES * REPOSITORIES * IMAGES
    if running.complete:
        day.expect(len(found) == whole, f"{len(found)} images of a complete scan")
    day.expect(bool(running.errors) != running.complete, "a scan without an error or an end")


async def cancelled(day: Day, client: AsyncRegistryClient, name: str) -> None:
    kind = day.chance.choice((get, delete, create, collect, scan))
    task = asyncio.create_task(kind(day, client, name))
    for _ in range(day.chance.randrange(40)):
        await asyncio.sleep(0)
    await asyncio.wait([task], timeout=day.chance.random() * 0.02)
    task.cancel()
    await asyncio.wait([task], timeout=LIMIT)
    day.expect(task.done(), "a cancellation that does not end")
    if not task.cancelled():
        await task


KINDS: Final[dict[Callable[[Day, AsyncRegistryClient, str], Awaitable[None]], int]] = {
    get: 45,
    delete: 20,
    create: 15,
    collect: 9,
    scan: 1,
    cancelled: 10,
}


async def one(day: Day, client: AsyncRegistryClient, number: int) -> None:
    kind = day.chance.choices(list(KINDS), list(KINDS.values()))[0]
    try:
        await kind(day, client, f"n{number}")
    except EXPECTED as error:
        day.outcomes[f"{kind.__name__} {type(error).__name__}"] += 1
        day.hunt(error)
    else:
        day.outcomes[kind.__name__] += 1


async def strays(day: Day, credentials: Rotating, ended: asyncio.Event) -> None:
    """Have an answer that nobody asked for wait on the only connection of a client."""
    number = 0
    async with (
        AsyncRegistryClient(
            credentials,
            base_url=day.base_url,
            retry=RETRY,
            timeout=LIMIT,
            max_connections=1,
        ) as client,
        AsyncRegistryClient(credentials, base_url=day.base_url, timeout=60) as control,
    ):
        while not ended.is_set():
            number += 1
            await get(day, client, f"stray-{number}")
            await control.request("GET", f"/stray-written/stray-{number}")
            try:
                await delete(day, client, f"calm-{number}")
            except EXPECTED as error:
                day.wrong.append(f"a stray answer was not dropped: {error!r}")
            day.outcomes["stray"] += 1


def call_in_thread(day: Day, ended: threading.Event, seed: int) -> None:
    """Use sync clients in a thread until the day ends."""
    chance = random.Random(seed)
    number = 0
    while not ended.is_set():
        with RegistryClient(
            Rotating(), base_url=day.base_url, retry=RETRY, timeout=LIMIT
        ) as client:
            for _ in range(chance.randrange(1, 60)):
                if ended.is_set():
                    break
                number += 1
                name = f"sync-{seed}-{number}"
                try:
                    if number % 3:
                        found = client.repositories.get("r", name)
                        day.expect(found.name == name, f"foreign answer for {name}")
                    else:
                        client.images.delete("r", "p", f"sha256:{name}")
                        day.deleted.append(f"sha256%3A{name}")
                except EXPECTED as error:
                    day.outcomes[f"sync {type(error).__name__}"] += 1
                    day.hunt(error)
                else:
                    day.outcomes["sync"] += 1


def fork_once(day: Day, parent: RegistryClient, number: int) -> None:
    """Fork while everything runs; the child uses a client of its own."""
    with warnings.catch_warnings():
        # Python 3.12 warns of what is tried here on purpose.
        warnings.simplefilter("ignore", DeprecationWarning)
        child = os.fork()
    if child == 0:
        code = 1
        try:
            with RegistryClient(token="t", base_url=day.base_url, timeout=30) as client:
                code = client.repositories.get("r", f"calm-{number}").name != f"calm-{number}"
        finally:
            os._exit(code)
    _, status = os.waitpid(child, 0)
    day.expect(os.waitstatus_to_exitcode(status) == 0, f"child {number} failed")
    day.outcomes["fork"] += 1
    found = parent.repositories.get("r", f"calm-{number}")
    day.expect(found.name == f"calm-{number}", "foreign answer after a fork")


@contextmanager
def hostile_service(seed: int) -> Iterator[str]:
    program = [sys.executable, "-m", "tests.transport.hostile.service", "--seed", str(seed)]
    process = subprocess.Popen(
        program, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )
    assert process.stdout is not None
    try:
        port = int(process.stdout.readline())
        yield f"http://127.0.0.1:{port}/api"
    finally:
        # Its input ends, and so does it.
        process.communicate(timeout=30)


async def live(day: Day) -> dict[str, Any]:
    """Spend the day; give the service's truth about it."""
    logger = logging.getLogger("registry_async")
    logger.setLevel(logging.DEBUG)
    logger.propagate = False
    logger.addHandler(Watched(day))
    credentials = Rotating()
    ended, threads_ended = asyncio.Event(), threading.Event()
    tasks_before = asyncio.all_tasks()
    async with AsyncRegistryClient(
        credentials, base_url=day.base_url, retry=RETRY, timeout=LIMIT, max_connections=AT_ONCE
    ) as client:
        threads = [
            threading.Thread(target=call_in_thread, args=(day, threads_ended, seed))
            for seed in range(2)
        ]
        for thread in threads:
            thread.start()
        stray_task = asyncio.create_task(strays(day, credentials, ended))
        numbers = iter(range(day.requests))
        tenth = max(day.requests // TENTHS, 1)
        with RegistryClient(token="t", base_url=day.base_url, timeout=30) as parent:

            async def work() -> None:
                for number in numbers:
                    await one(day, client, number)
                    if number % tenth == tenth - 1:
                        day.sample()
                        for child in range(day.requests // 2000 // TENTHS + 1):
                            await asyncio.to_thread(fork_once, day, parent, number * 10 + child)

            await asyncio.gather(*(work() for _ in range(AT_ONCE)))
        ended.set()
        await stray_task
        threads_ended.set()
        for thread in threads:
            await asyncio.to_thread(thread.join)
        calm = client.with_options(timeout=60)
        # The client is as good as new.
        names = [f"calm-after-{number}" for number in range(200)]
        await asyncio.gather(*(get(day, calm, name) for name in names))
        truth: dict[str, Any] = json.loads(
            json.dumps(await calm.request("GET", "/truth"), default=str)
        )
    for _ in range(5):
        await asyncio.sleep(0)
    day.expect(asyncio.all_tasks() <= tasks_before, "tasks are left")
    return truth


def judge(day: Day, truth: dict[str, Any]) -> None:
    """Hold what clients were told against what happened."""
    created, deleted = truth["created"], truth["deleted"]
    twice = [name for name, times in created.items() if times > 1]
    day.expect(not twice, f"carried out twice: {twice[:5]}")
    day.expect(max(deleted.values()) == 1, "deleted twice")
    lost = [name for name in day.deleted if not deleted.get(name)]
    day.expect(not lost, f"told to be deleted, and were not: {lost[:5]}")
    day.expect(set(created) <= set(day.names), "tokens that nobody asked for")


def main() -> int:
    """Spend a day and tell of it."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--requests", type=int, default=2_000)
    parser.add_argument("--seed", type=int, default=1)
    arguments = parser.parse_args()
    stderr, sys.stderr = sys.stderr, io.StringIO()

    try:
        with hostile_service(arguments.seed) as base_url:
            day = Day(base_url, arguments.requests, random.Random(arguments.seed))
            truth = asyncio.run(live(day))
    except BaseException:
        stderr.write(traceback.format_exc())
        raise
    finally:
        said, sys.stderr = sys.stderr.getvalue(), stderr
    judge(day, truth)
    day.expect("0123456789abcdef" not in said, "secret on standard error")
    day.expect(not said, f"said on standard error: {said[-2000:]}")
    figures = {
        "outcomes": dict(sorted(day.outcomes.items())),
        "faults": truth["faults"],
        "samples": day.samples,
        "wrong": Counter(day.wrong).most_common(20),
    }
    sys.stdout.write(json.dumps(figures, indent=1) + "\n")
    return 1 if day.wrong else 0


if __name__ == "__main__":
    sys.exit(main())
