"""The scan as users see it: entered, iterated once or asked for a report, and left."""

from collections.abc import AsyncIterator, Awaitable, Callable, Iterable, Iterator
from contextlib import ExitStack
from itertools import chain
from types import TracebackType
from typing import TYPE_CHECKING, Any, Generic, Self, TypeVar

import anyio

from registry_async._clock import Clock, SystemClock
from registry_async._display import progress_bar
from registry_async._pagination import OnlyAsync
from registry_async._report import ReportBuilder, ScanReport
from registry_async._scan.feed import Feed, FoundPage, PageFeed, ReportFeed
from registry_async._scan.options import ScanOptions
from registry_async._scan.results import ScanError, ScanProgress
from registry_async._scan.rows import frame_of_images, frame_of_repositories
from registry_async._scan.run import ScanRun, ScanTarget
from registry_async._tasks import Workers

if TYPE_CHECKING:
    from pandas import DataFrame

__all__ = ["AsyncScan"]

T = TypeVar("T")


class AsyncScan(OnlyAsync, Generic[T]):
    """A scan of everything that some clients can see, for use with ``async with``.

    Iterate it for what it finds, or ask for a `report`; it can be done once. Nothing is sent
    before that. Everything is found, in no particular order. Leaving the block early ends the
    scan; nothing goes on behind it.

        async with client.scan() as scan:
            async for found in scan:
                print(found.registry.name, found.repository.name, found.image.digest)
        if not scan.complete:
            print(scan.errors)
    """

    def __init__(self, targets: Iterable[ScanTarget], options: ScanOptions) -> None:
        targets = list(targets)
        self._connections = [target.transport.connections for target in targets]
        self._clock: Clock = targets[0].transport.clock if targets else SystemClock()
        self._options = options
        self._run = ScanRun(targets, options)
        self._pages: PageFeed[T] = PageFeed(self._note_arrival, images=options.images)
        # The items of the page that is being given out.
        self._items: Iterator[T] = iter(())
        self._arrival = anyio.Event()
        # The task that runs the scan: one of its own, so that no cancel scope spans the user's
        # block.
        self._task = Workers()
        # What stands before 'with' and 'for' in messages; the sync scan takes it away.
        self._word = "async "
        self._entered = False
        self._begun = False
        self._left = False
        self._finished = False
        self._drained = False
        self._exits = ExitStack()

    def __repr__(self) -> str:
        images, errors = self._run.images, len(self._run.errors)
        return f"<{type(self).__name__} of {images} images and {errors} errors>"

    def _instead_of_await(self) -> str:
        return "use 'async with client.scan() as scan', and in it 'async for' or await its report()"

    @property
    def errors(self) -> tuple[ScanError, ...]:
        """What could not be read so far."""
        return tuple(self._run.errors)

    @property
    def complete(self) -> bool:
        """Whether everything was read without an error, and the iteration came to its end."""
        return self._run.complete and self._drained

    @property
    def progress(self) -> ScanProgress:
        """How far the scan has come."""
        return self._run.progress

    async def __aenter__(self) -> Self:
        if self._entered:
            raise RuntimeError("a scan can be done once: make another")
        for connections in self._connections:
            connections.check_open()
        self._entered = True
        if self._options.on_progress is not None:
            self._run.listeners.append(self._options.on_progress)
        if self._options.progress:
            bar = self._exits.enter_context(progress_bar("Scanning repositories"))
            self._run.listeners.append(
                lambda now: bar.update(
                    completed=now.repositories_read, total=now.repositories_found
                )
            )
        return self

    async def __aexit__(
        self,
        exc_type: type[BaseException] | None,
        exc_value: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self._stop()
        try:
            await self._task.end()
        finally:
            self._pages.clear()
            self._items = iter(())
            self._exits.close()
        failure, self._task.failure = self._task.failure, None
        if exc_type is None and failure is not None and not isinstance(failure, Exception):
            # A KeyboardInterrupt or SystemExit of a callback that came when nobody looked.
            raise failure

    def _stop(self) -> None:
        """End the scan. It does not wait, and may be called at any time, once the loop runs."""
        self._left = True
        self._task.stop()

    def __aiter__(self) -> AsyncIterator[T]:
        return self

    async def __anext__(self) -> T:
        while True:
            for item in self._items:
                return item
            page = await self._next_page()
            if page is None:
                raise StopAsyncIteration
            # Another consumer may have put a page there meanwhile.
            self._items = chain(self._items, page.items())

    def batches(self) -> "AsyncIterator[list[T]]":
        """Return an iterator over what is found, as many items at once as came in one page."""
        return _Batches(self._next_page)

    async def report(self) -> ScanReport:
        """Read everything into a report of totals.

        Returns:
            The report. Failures are in its ``errors``, unless ``on_error`` is ``"raise"``.

        Raises:
            RuntimeError: The scan was iterated already, or it is one of repositories only.
            ContainerRegistryError: Something failed, and ``on_error`` is ``"raise"``.
        """
        if self._begun or not self._options.images:
            raise RuntimeError("a report needs a scan of images that was not iterated")
        builder = ReportBuilder()
        self._begin(ReportFeed(builder, self._run.access))
        # Nothing is given out: this waits for the end.
        await self._next_page()
        for failure in self._run.errors:
            builder.add_error(
                failure.client_label, failure.registry, failure.repository, failure.error
            )
        return builder.build(complete=self._run.complete, now=self._clock.time())

    async def to_dataframe(self) -> "DataFrame":
        """Read everything into a data frame (extra ``pandas``). It has to fit into memory.

        Returns:
            A row an image, or a row a repository with ``images=False``: bytes as Int64, times as
            datetime64[ns, UTC], the tags of an image as a list, its layers as a count.

        Raises:
            ConfigurationError: The extra is not installed.
            ContainerRegistryError: Something failed, and ``on_error`` is ``"raise"``.
        """
        found: list[Any] = []
        async for batch in self.batches():
            found += batch
        return frame_of_images(found) if self._options.images else frame_of_repositories(found)

    def _begin(self, feed: Feed) -> None:
        self._check_inside()
        if not self._begun:
            self._begun = True
            self._task.start(lambda: self._execute(feed))

    def _check_inside(self) -> None:
        if not self._entered or self._left:
            word = self._word
            raise RuntimeError(
                f"a scan works inside its '{word}with' block only: "
                f"'{word}with client.scan() as scan', then '{word}for found in scan'"
            )

    async def _execute(self, feed: Feed) -> None:
        try:
            await self._run.run(feed)
        finally:
            self._finished = True
            self._note_arrival()

    def _note_arrival(self) -> None:
        self._arrival.set()

    async def _next_page(self) -> FoundPage[T] | None:
        self._begin(self._pages)
        while (failure := self._task.failure) is None:
            if self._pages.waiting:
                page = self._pages.take()
                self._run.wake()
                return page
            if self._finished:
                # Another task may have left the block meanwhile: that is no end of the list.
                self._check_inside()
                self._drained = True
                return None
            await self._arrival.wait()
            # Of several consumers that wait for the same event, one makes the next for all.
            if self._arrival.is_set() and not self._finished:
                self._arrival = anyio.Event()
        raise failure


class _Batches(AsyncIterator[list[T]], Generic[T]):
    def __init__(self, read: Callable[[], Awaitable[FoundPage[T] | None]]) -> None:
        self._read = read

    async def __anext__(self) -> list[T]:
        page = await self._read()
        if page is None:
            raise StopAsyncIteration
        return list(page.items())
