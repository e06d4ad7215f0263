"""How a scan asks one project: at its pace, and with the pauses that the service asks for."""

from collections.abc import Awaitable, Callable
from typing import TYPE_CHECKING, TypeVar

import anyio
from attrs import evolve

from registry_async._pagination import page_source
from registry_async._resources import AsyncImages, AsyncRegistries, AsyncRepositories
from registry_async._scan.frontier import Lists
from registry_async._scan.pace import Pace
from registry_async.errors import RateLimitedError
from registry_async.models import Image, Registry, Repository
from registry_async.retry import RateLimitPatience

if TYPE_CHECKING:
    from registry_async._pagination import PageSource
    from registry_async._transport.exchange import Transport

__all__ = ["Access"]

T = TypeVar("T")


class Access:
    """Requests to one project. It is the `SendingGate` of its transport.

    Args:
        transport: What sends the requests of the project's client.
        page_size: The items to ask for in one page.
        pace: What spaces the requests of the scan; None where nothing does.
        hold: Called with True when the service asks for a pause, and with False after it.

    Attributes:
        requests: How many requests were asked for.
    """

    def __init__(
        self,
        transport: "Transport",
        page_size: int,
        pace: Pace | None,
        hold: Callable[[bool], None],
    ) -> None:
        self.requests = 0
        self._clock = transport.clock
        self._pace = pace
        self._hold = hold
        self._resume_at = 0.0
        self._resumed: anyio.Event | None = None
        view = evolve(transport, gate=self)
        self.registries = AsyncRegistries(view)
        self.repositories = AsyncRepositories(view)
        self.images = AsyncImages(view)
        self._page_size = page_size

    def lists(self) -> Lists:
        """Return how the lists of the project are read."""
        size = self._page_size

        def repositories(registry: Registry) -> "PageSource[Repository]":
            return page_source(self.repositories.list(registry.id, page_size=size))

        def images(registry: Registry, repository: Repository) -> "PageSource[Image]":
            return page_source(self.images.list(registry.id, repository.name, page_size=size))

        return Lists(page_source(self.registries.list(page_size=size)), repositories, images)

    # The gate

    def take(self, now: float) -> float:
        """Return 0 if a request may be sent now, or the seconds after which to ask again."""
        if now < self._resume_at:
            self.release()
            return self._resume_at - now
        return 0.0 if self._pace is None else self._pace.take(now)

    def pause(self, now: float, seconds: float) -> None:
        """Hold all requests of the project for some seconds."""
        self._resume_at = max(self._resume_at, now + seconds)
        if self._resumed is None:
            self._resumed = anyio.Event()
            self._hold(True)

    async def resume(self) -> None:
        """Wait until the pause is over, and end it."""
        while (wait := self._resume_at - self._clock.monotonic()) > 0:
            await self._clock.sleep(wait)
        if self._resumed is not None:
            self._resumed.set()
            self._resumed = None
            self._hold(False)

    # Those who ask

    async def turn(self, wanted: Callable[[], bool]) -> bool:
        """Wait for the turn of a request. Whoever gets the turn calls `release` after the request.

        Returns:
            Whether the request is to be sent: it is wanted, and nothing is held.
        """
        if self._pace is None:
            return wanted() and self._resumed is None
        return await self._pace.turn(lambda: wanted() and self._resumed is None)

    def release(self) -> None:
        """Let others have their turn, where a request was not sent after all."""
        if self._pace is not None:
            self._pace.release()

    async def ask(self, request: Callable[[], Awaitable[T]]) -> T:
        """Send a request when its turn comes, again while it is refused as one too many."""
        patience = RateLimitPatience()
        while True:
            while not await self.turn(lambda: True):
                if self._resumed is not None:
                    await self._resumed.wait()
            self.requests += 1
            try:
                return await request()
            except RateLimitedError as limited:
                if not self.wait_out(limited, patience, others_succeeded=False):
                    raise
            finally:
                self.release()

    def wait_out(
        self, limited: RateLimitedError, patience: RateLimitPatience, *, others_succeeded: bool
    ) -> bool:
        """Pause after a request was refused to the end, if it is worth another try.

        Args:
            limited: The refusal.
            patience: The patience with this request.
            others_succeeded: Whether others got through since the request was first sent.
        """
        pause = patience.pause(limited.retry_after, others_succeeded=others_succeeded)
        if pause is None:
            return False
        self.pause(self._clock.monotonic(), pause)
        return True
