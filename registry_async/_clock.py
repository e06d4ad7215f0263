"""Where the client takes time and chance from."""

from random import Random
from time import monotonic, time
from typing import Protocol

__all__ = ["Clock", "SystemClock"]


class Clock(Protocol):
    """Where the client takes time and chance from; tests give it one of their own."""

    def monotonic(self) -> float:
        """Return seconds that never go back."""
        ...

    def time(self) -> float:
        """Return the Unix time in seconds."""
        ...

    def random(self) -> float:
        """Return a number from 0 to 1."""
        ...

    async def sleep(self, seconds: float) -> None:
        """Return after that many seconds."""
        ...


class SystemClock:
    """The time of this machine, and chance of its own."""

    def __init__(self) -> None:
        self._random = Random()

    def monotonic(self) -> float:
        """Return seconds that never go back."""
        return monotonic()

    def time(self) -> float:
        """Return the Unix time in seconds."""
        return time()

    def random(self) -> float:
        """Return a number from 0 to 1."""
        return self._random.random()

    async def sleep(self, seconds: float) -> None:
        """Return after that many seconds."""
        import anyio

        await anyio.sleep(seconds)
