"""Cost that grows as the work does: ``python -m benchmarks.growth``.

Each row is a scan in a process of its own: how much processor time and how much memory a unit of
what grows takes. Both should stay what they are from one row of a block to the next.
"""

import argparse
import json
import subprocess
import sys
from collections.abc import Iterator, Mapping
from typing import Final

from attrs import evolve, frozen

from benchmarks.pages import Shape
from benchmarks.server import running

_SCRIPT: Final = """
import asyncio, json, re, sys, time
from pathlib import Path
from registry_async import AsyncRegistryClient

async def main(base_url, concurrency, total):
    async with AsyncRegistryClient(token="token", base_url=base_url) as client:
        await client.registries.list().first()
        cpu, wall = time.process_time(), time.perf_counter()
        count = 0
        async with client.scan(concurrency=concurrency) as scan:
            async for _ in scan:
                count += 1
        assert scan.complete and count == total, (count, total, scan.errors[:1])
        # Not getrusage(): what it gives begins with the peak of the process that started this one.
        status = Path("/proc/self/status").read_text()
        print(json.dumps({
            "cpu": time.process_time() - cpu,
            "wall": time.perf_counter() - wall,
            "memory": int(re.search(r"VmHWM:\\s+(\\d+) kB", status)[1]) * 1024,
        }))

asyncio.run(main(sys.argv[1], int(sys.argv[2]), int(sys.argv[3])))
"""
_IMAGES: Final = Shape(repositories=10, images=100)
# Most repositories are empty, as they are.
_REPOSITORIES: Final = Shape(repositories=10, images=10, filled=10)
_REGISTRIES: Final = Shape(repositories=20, images=10, filled=10)


@frozen
class Row:
    """One scan.

    Attributes:
        block: What grows.
        units: How many of it there were.
        concurrency: How many requests were in flight.
        cpu: The seconds of processor time, in all.
        wall: The seconds on the clock, in all.
        memory: The peak of the process, in bytes.
    """

    block: str
    units: int
    concurrency: int
    cpu: float
    wall: float
    memory: int


def _plan(largest: int) -> Iterator[tuple[str, int, Shape, int]]:
    """Give what grows, how many units of it there are, what is scanned, and the concurrency."""
    for images in _tens(1_000, min(1_000_000, largest)):
        yield "images", images, evolve(_IMAGES, images=images // 10), 32
    for repositories in _tens(10, min(100_000, largest // 10)):
        yield "repositories", repositories, evolve(_REPOSITORIES, repositories=repositories), 32
    for registries in _tens(1, min(1_000, largest // 1_000)):
        yield "registries", registries, evolve(_REGISTRIES, registries=registries), 32
    for concurrency in (1, 4, 16, 64, 256):
        yield "images", 10_000, Shape(repositories=100, images=100), concurrency


def _tens(first: int, last: int) -> Iterator[int]:
    while first <= last:
        yield first
        first *= 10


def measure(largest: int) -> Iterator[Row]:
    """Give one row after the other.

    Args:
        largest: The most images in a scan.
    """
    for block, units, shape, concurrency in _plan(largest):
        with running(shape) as server:
            words = [server.base_url, str(concurrency), str(shape.total)]
            finished = subprocess.run(
                [sys.executable, "-c", _SCRIPT, *words],
                check=True,
                stdout=subprocess.PIPE,
                text=True,
            )
        measured: Mapping[str, float] = json.loads(finished.stdout)
        yield Row(
            block,
            units,
            concurrency,
            measured["cpu"],
            measured["wall"],
            int(measured["memory"]),
        )


def main() -> None:
    """Print what a unit costs while there are more and more of it."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.growth", description=main.__doc__)
    parser.add_argument("--largest", type=int, default=1_000_000, help="the most images in a scan")
    options = parser.parse_args()
    print(f"{'':<26}{'at once':>8}{'CPU, us each':>14}{'wall, us each':>15}{'peak, MiB':>11}")
    for row in measure(options.largest):
        cpu, wall = (f"{1e6 * value / row.units:.1f}" for value in (row.cpu, row.wall))
        print(
            f"{row.units:>12,} {row.block:<13}{row.concurrency:>8}{cpu:>14}{wall:>15}"
            f"{row.memory / 2**20:>11.0f}",
            flush=True,
        )


if __name__ == "__main__":
    main()
