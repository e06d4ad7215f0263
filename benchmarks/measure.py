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


def race(arguments: Mapping[str, Sequence[str]], figure: str, rounds: int) -> dict[str, Spread]:
    """Let the contenders take turns and return one figure of each.

    Args:
        arguments: The words of each contender's command line, by its name.
        figure: Which of the figures that it measures: ``cpu`` or ``wall``, in seconds.
        rounds: How often each has its turn, after one turn to warm up.
    """
    values: dict[str, list[float]] = {name: [] for name in arguments}
    with contenders(arguments) as started:
        for contender in started.values():
            contender.work()
        for _ in range(rounds):
            for name, contender in started.items():
                values[name].append(contender.work()[figure])
    return {name: Spread(tuple(measured)) for name, measured in values.items()}
