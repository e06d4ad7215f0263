"""Memory: bytes for an image that is held, and the peak of a scan that holds none."""

import json
import subprocess
import sys
from typing import Final

from benchmarks.pages import Shape
from benchmarks.server import running

_HELD: Final = """
import asyncio, gc, json, sys, tracemalloc
from registry_async import AsyncRegistryClient

async def main():
    async with AsyncRegistryClient(token="token", base_url=sys.argv[1]) as client:
        images = client.images.list("registry-0", "team-0/api-0")
        await images.collect(max_items=200)
        gc.collect()
        tracemalloc.start()
        held = await images.collect()
        gc.collect()
        print(json.dumps(tracemalloc.get_traced_memory()[0] / len(held)))

asyncio.run(main())
"""

_SCANNED: Final = """
import asyncio, json, re, sys
from pathlib import Path
from registry_async import AsyncRegistryClient

async def main():
    async with AsyncRegistryClient(token="token", base_url=sys.argv[1]) as client:
        count = 0
        async with client.scan(concurrency=32) as scan:
            async for _ in scan:
                count += 1
        assert scan.complete
        assert count == int(sys.argv[2]), count
        # Not getrusage(): what it gives begins with the peak of the process that started this one.
        status = Path("/proc/self/status").read_text()
        print(json.dumps(int(re.search(r"VmHWM:\\s+(\\d+) kB", status)[1]) * 1024))

asyncio.run(main())
"""


def _measure(script: str, *arguments: str) -> float:
    finished = subprocess.run(
        [sys.executable, "-c", script, *arguments], check=True, stdout=subprocess.PIPE, text=True
    )
    figure: float = json.loads(finished.stdout)
    return figure


def bytes_per_image(images: int) -> float:
    """Return the bytes that one of so many images takes, with eight layers each."""
    with running(Shape(images=images)) as server:
        return _measure(_HELD, server.base_url)


def scan_peaks(few: int, many: int) -> tuple[float, float]:
    """Return the peak memory, in bytes, of scans of about few and many images."""
    peaks: list[float] = []
    for count in (few, many):
        repositories = max(1, count // 10_000)
        shape = Shape(2, repositories, count // (2 * repositories))
        with running(shape) as server:
            peaks.append(_measure(_SCANNED, server.base_url, str(shape.total)))
    return peaks[0], peaks[1]
