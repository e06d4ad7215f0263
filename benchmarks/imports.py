"""The time that an import takes, in fresh processes that take turns."""

import subprocess
import sys
from typing import Final

from benchmarks.measure import Spread

STATEMENTS: Final = {
    "its four dependencies": "import aiohttp, anyio, attrs, cattrs",
    "aiohttp": "import aiohttp",
    "registry_async": "import registry_async",
    "registry_async, and a client": (
        "import registry_async; registry_async.AsyncRegistryClient(token='token')"
    ),
}
_SCRIPT: Final = "import time; t = time.perf_counter(); {}; print(time.perf_counter() - t)"


def measure(rounds: int) -> dict[str, Spread]:
    """Return the milliseconds of each import."""
    times: dict[str, list[float]] = {name: [] for name in STATEMENTS}
    # The first round fills the caches of the disk and of compiled code, and is not counted.
    for number in range(rounds + 1):
        for name, statement in STATEMENTS.items():
            finished = subprocess.run(
                [sys.executable, "-c", _SCRIPT.format(statement)],
                check=True,
                stdout=subprocess.PIPE,
                text=True,
            )
            if number:
                times[name].append(float(finished.stdout) * 1000)
    return {name: Spread(tuple(values)) for name, values in times.items()}
