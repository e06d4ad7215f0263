"""Measure contenders in interleaved rounds, each in a process of its own.

Absolute times mean little on shared machines, so only ratios of medians are of interest, and the
contenders take turns so that a slow minute hits them all.
"""

import json
import subprocess
import sys
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from statistics import median

from attrs import frozen

from benchmarks.server import Server


@frozen
class Spread:
    """A figure over several rounds."""

    values: tuple[float, ...]

    @property
    def median(self) -> float:
        """The median."""
        return median(self.values)

    def over(self, other: "Spread") -> "Spread":
        """Return this figure in units of another one, round by round."""
        pairs = zip(self.values, other.values, strict=True)
        return Spread(tuple(mine / theirs for mine, theirs in pairs))

    def __str__(self) -> str:
        return f"{self.median:.2f} ({min(self.values):.2f} to {max(self.values):.2f})"


class Contender:
    """A process that does the same piece of work whenever it is told to."""

    def __init__(self, arguments: Sequence[str]) -> None:
        self._process = subprocess.Popen(
            [sys.executable, "-m", "benchmarks.contenders", *arguments],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )

    def work(self) -> Mapping[str, float]:
        """Have it work once and return what it measured of itself."""
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._process.stdin.write("work\n")
        self._process.stdin.flush()
        line = self._process.stdout.readline()
        if not line:
            raise RuntimeError("a contender ended early; its error is above")
        measured: dict[str, float] = json.loads(line)
        return measured

    def close(self) -> None:
        """End the process."""
        self._process.communicate(timeout=30)


@contextmanager
def contenders(arguments: Mapping[str, Sequence[str]]) -> Iterator[dict[str, Contender]]:
    """Start the processes and end them again."""
    started: dict[str, Contender] = {}
    try:
        for name, words in arguments.items():
            started[name] = Contender(words)
        yield started
    finally:
        for contender in started.values():
            contender.close()


@frozen
class Turns:
    """What one contender took in each round.

    Attributes:
        cpu: Its processor time, in seconds.
        wall: The time on the clock, in seconds.
        server_load: The server's processor time in units of the time on the clock.
    """

    cpu: Spread
    wall: Spread
    server_load: Spread


def race(arguments: Mapping[str, Sequence[str]], server: Server, rounds: int) -> dict[str, Turns]:
    """Let the contenders take turns and return what each took.

    Args:
        arguments: The words of each contender's command line, by its name.
        server: The server that they all ask.
        rounds: How often each has its turn, after one turn to warm up.
    """
    values: dict[str, list[tuple[float, float, float]]] = {name: [] for name in arguments}
    with contenders(arguments) as started:
        for contender in started.values():
            contender.work()
        for _ in range(rounds):
            for name, contender in started.items():
                before = server.processor_time()
                measured = contender.work()
                load = (server.processor_time() - before) / measured["wall"]
                values[name].append((measured["cpu"], measured["wall"], load))
    return {
        name: Turns(*(Spread(column) for column in zip(*rows, strict=True)))
        for name, rows in values.items()
    }
