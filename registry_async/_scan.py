"""Read every image of many registries at once: fast, bounded, and with failures as data."""

import asyncio
import re
from collections import deque
from collections.abc import AsyncIterator, Awaitable, Callable, Hashable, Iterable, Iterator
from contextlib import ExitStack, suppress
from fnmatch import translate
from functools import partial
from math import isfinite
from types import TracebackType
from typing import TYPE_CHECKING, Final, Generic, Literal, Self, TypeVar, cast

import anyio
from attrs import define, evolve, field, frozen

from registry_async._clock import Clock, SystemClock
from registry_async._display import progress_bar
from registry_async._pagination import (
    AsyncPaginator,
    PageSource,
    RawPage,
    Walk,
    check_count,
    page_source,
)
from registry_async._report import (
    RegistryCounter,
    ReportBuilder,
    RepositoryCounter,
    ScanReport,
)
from registry_async._resources import AsyncImages, AsyncRegistries, AsyncRepositories
from registry_async.errors import (
    AuthenticationError,
    ClientClosedError,
    ConfigurationError,
    ConnectionFailedError,
    ContainerRegistryError,
    NotFoundError,
    PermissionDeniedError,
    RateLimitedError,
    RequestTimeoutError,
    UnexpectedResponseError,
)
from registry_async.models import Image, Registry, Repository

if TYPE_CHECKING:
    from registry_async._transport import Transport

__all__ = [
    "AsyncScan",
    "ScanError",
    "ScanProgress",
    "ScannedImage",
    "ScannedRepository",
]

T = TypeVar("T")

Pattern = str | re.Pattern[str]
Patterns = Pattern | Iterable[Pattern]

DEFAULT_CONCURRENCY: Final = 32

# So many pages, times the concurrency, may be under way or waiting for the consumer. Half of that
# is what is in flight; the other half keeps the workers busy while the consumer looks away.
_PAGES_PER_WORKER: Final = 2
# So many repositories, times the concurrency, are known ahead of their turn: enough to keep all
# workers busy, few enough to forget about.
_REPOSITORIES_PER_WORKER: Final = 2
# After so many refusals in a row a whole project is taken to be closed to the token. There may be
# that many registries of others in it before one that is open.
_REFUSALS: Final = 20
# After so many failures in a row that each cost a time limit, a registry is given up.
_SLOW_FAILURES: Final = 8
# A limit on requests is waited out so often without anything of the project getting through, and
# for so many pages in a row, before the project is given up. The client's own repeats come first.
_PATIENCE: Final = 3
_LIMITS: Final = 3
# Seconds to wait where the service does not say, and at most.
_LIMITED_DELAY: Final = 1.0
_LONGEST_DELAY: Final = 30.0
# A registry that hangs must not hold all workers while others have work.
_LARGEST_SHARE: Final = 0.75


@frozen(weakref_slot=False)
class ScannedImage:
    """An image that a scan found.

    Attributes:
        client_label: The label of the client that found it.
        registry: The registry that it is in.
        repository: The repository that it is in.
        image: The image.
    """

    client_label: str | None
    registry: Registry
    repository: Repository
    image: Image


@frozen(weakref_slot=False)
class ScannedRepository:
    """A repository that a scan with ``images=False`` found.

    Attributes:
        client_label: The label of the client that found it.
        registry: The registry that it is in.
        repository: The repository.
        image: Always None.
    """

    client_label: str | None
    registry: Registry
    repository: Repository
    image: None = field(default=None, init=False, repr=False)


@frozen
class ScanError:
    """Something that a scan could not read. What was read of it before is in the results.

    Attributes:
        client_label: The label of the client that asked.
        registry: The registry; None when the project's list of registries could not be read, or
            the whole project was given up.
        repository: The repository; None when the list of repositories could not be read, or the
            whole registry was given up.
        error: What went wrong.
    """

    client_label: str | None
    registry: Registry | None
    repository: Repository | None
    error: Exception


@frozen
class ScanProgress:
    """How far a scan has come.

    Attributes:
        registries_found: The registries to be read, as far as known.
        registries_read: Those of them that are done with.
        repositories_found: The repositories to be read, as far as known.
        repositories_read: Those of them that are done with.
        images: The images found.
        requests: The pages asked for.
        errors: The errors recorded.
    """

    registries_found: int
    registries_read: int
    repositories_found: int
    repositories_read: int
    images: int
    requests: int
    errors: int


@frozen
class ScanTarget:
    """A project to scan: how to reach it, and what to call it."""

    label: str | None
    transport: "Transport"


@frozen(kw_only=True)
class ScanOptions:
    """The options of a scan, checked."""

    concurrency: int
    registries: frozenset[str] | None
    matches_repository: Callable[[str], bool] | None
    matches_tags: Callable[[tuple[str, ...]], bool] | None
    images: bool
    page_size: int
    max_rate: float | None
    raises: bool
    on_progress: Callable[[ScanProgress], object] | None
    progress: bool


def scan_options(
    *,
    concurrency: int,
    registries: str | Iterable[str] | None,
    repository: Patterns | None,
    images: bool,
    tags: Patterns | bool | None,
    page_size: int,
    max_rate: float | None,
    on_error: Literal["record", "raise"],
    on_progress: Callable[[ScanProgress], object] | None,
    progress: bool,
) -> ScanOptions:
    """Check the options of a scan.

    Raises:
        ValueError: An option makes no sense.
    """
    if on_error not in ("record", "raise"):
        raise ValueError("on_error must be 'record' or 'raise'")
    if max_rate is not None:
        number = isinstance(max_rate, int | float) and not isinstance(max_rate, bool)  # pyright: ignore[reportUnnecessaryIsInstance]
        if not number or not isfinite(max_rate) or max_rate <= 0:
            raise ValueError("max_rate must be requests per second, more than 0")
    if tags is not None and not images:
        raise ValueError("tags are looked at in images: they make no sense with images=False")
    if registries is not None:
        names = {registries} if isinstance(registries, str) else set(registries)
        if not names or not all(isinstance(name, str) and name for name in names):  # pyright: ignore[reportUnnecessaryIsInstance]
            raise ValueError("registries must be names or ids, at least one")
        registries = frozenset(names)
    return ScanOptions(
        concurrency=check_count(concurrency, "concurrency", minimum=1),
        registries=registries,
        matches_repository=None if repository is None else _matcher(repository, "repository"),
        matches_tags=_tags_matcher(tags),
        images=images,
        page_size=check_count(page_size, "page_size", minimum=1),
        max_rate=max_rate,
        raises=on_error == "raise",
        on_progress=on_progress,
        progress=progress,
    )


def _matcher(patterns: Patterns, argument: str) -> Callable[[str], bool]:
    several = [patterns] if isinstance(patterns, str | re.Pattern) else list(patterns)
    searches: list[Callable[[str], object]] = []
    for pattern in several:
        if isinstance(pattern, re.Pattern):
            if not isinstance(pattern.pattern, str):  # pyright: ignore[reportUnnecessaryIsInstance]
                raise ValueError(f"{argument} must be a pattern for text, not for bytes")
            searches.append(pattern.search)
        elif isinstance(pattern, str) and pattern:  # pyright: ignore[reportUnnecessaryIsInstance]
            searches.append(re.compile(translate(pattern)).match)
        else:
            raise ValueError(f"{argument} must be text with wildcards, or a compiled pattern")
    if not searches:
        raise ValueError(f"{argument} must be at least one pattern")
    return lambda name: any(search(name) is not None for search in searches)


def _tags_matcher(tags: Patterns | bool | None) -> Callable[[tuple[str, ...]], bool] | None:
    if tags is None:
        return None
    if isinstance(tags, bool):
        return bool if tags else (lambda found: not found)
    matches = _matcher(tags, "tags")
    return lambda found: any(matches(tag) for tag in found)


class _Room:
    """Count the pages of results that are under way or wait for one before them."""

    def __init__(self) -> None:
        self.used = 0


class _Reading(Generic[T]):
    """One list that is read: which page to ask for next, and in which order to take them.

    Once a page has told the total and how many items a page really has, the further pages are
    asked for at once. They are taken in order, since repeats are found by comparing neighbours.

    Args:
        source: How the list is read.
        page_size: The items to ask for at once.
        room: Where its pages are counted while they are under way.
    """

    def __init__(self, source: PageSource[T], page_size: int, room: _Room) -> None:
        self.source = source
        self.limit = page_size
        # Pages asked for in one go belong to one plan. When one comes out otherwise than
        # planned, those after it are of no use, and a new plan begins.
        self.plan = 0
        self.done = False
        self.queued = False
        # Whether it is done because it was read to its end.
        self.whole = False
        self._walk = Walk(source, 0)
        self._next = 0
        self._step = page_size
        self._end = 0
        self._waiting: dict[int, RawPage[T]] = {}
        self._in_flight = 0
        self._room = room

    @property
    def ahead(self) -> int:
        """How many pages were asked for and not taken yet."""
        return self._in_flight + len(self._waiting)

    def wants(self) -> bool:
        """Say whether there is a page to ask for now."""
        return not self.done and (self._next == self._walk.offset or self._next < self._end)

    def ask(self) -> int:
        """Return the offset of the page to ask for now."""
        offset = self._next
        self._next += self._step
        self._in_flight += 1
        self._room.used += 1
        return offset

    def take(self, offset: int, plan: int, raw: RawPage[T]) -> Iterator[tuple[T, ...]]:
        """Take a page that came, and give what is new in all pages whose turn it is now.

        Raises:
            UnexpectedResponseError: The service ignores the offset, or stops before its total.
        """
        if plan != self.plan:
            self._room.used -= 1
            return
        self._in_flight -= 1
        self._waiting[offset] = raw
        while not self.done and (raw_page := self._waiting.pop(self._walk.offset, None)):
            self._room.used -= 1
            planned = self._walk.offset + self._step
            page = self._walk.feed(raw_page)
            if self._walk.done:
                self.whole = True
                self.stop()
            else:
                self._end = page.total or 0
                if self._walk.offset != planned:
                    self._replan()
                    self._step = len(raw_page.items)
                    self._next = self._walk.offset
            if page.items:
                yield page.items

    def lose(self, plan: int) -> bool:
        """Note that a page did not come; say whether it was still of use.

        Those after it cannot be taken either.
        """
        self._room.used -= 1
        if plan != self.plan:
            return False
        self.stop()
        return True

    def stop(self) -> None:
        """Forget what is still to come."""
        self.done = True
        self._replan()

    def _replan(self) -> None:
        self.plan += 1
        self._in_flight = 0
        self._room.used -= len(self._waiting)
        self._waiting.clear()


class _Project:
    """What is known of one project."""

    def __init__(self, target: ScanTarget, page_size: int) -> None:
        self.label = target.label
        self.clock = target.transport.clock
        self.registries = AsyncRegistries(target.transport)
        self.repositories = AsyncRepositories(target.transport)
        self.images = AsyncImages(target.transport)
        source = page_source(self.registries.list(page_size=page_size))
        self.reading = _Reading(source, page_size, _Room())
        self.open: set[_RegistryWork] = set()
        # Whether all its registries are known.
        self.listed = False
        # For a report: the counts of the registries that are read, by id.
        self.counters: dict[str, RegistryCounter] = {}
        self.successes = 0
        # How often in a row something was refused, and for how long nothing is to be asked.
        self.refusals = 0
        self.limits = 0
        self.resume_at = 0.0
        self.ended = False
        self.inquiry: anyio.Event | None = None


class _RegistryWork:
    """What is known of one registry, and what is left to read in it."""

    def __init__(
        self, project: _Project, registry: Registry, reading: _Reading[Repository]
    ) -> None:
        self.project = project
        self.registry = registry
        self.reading = reading
        self.pending: deque[Repository] = deque()
        # Image lists that may have pages to ask for, and all that are begun.
        self.ready: deque[tuple[Repository, _Reading[Image]]] = deque()
        self.begun: set[_Reading[Image]] = set()
        self.in_flight = 0
        self.failures = 0
        self.queued = False
        self.ended = False
        self.inquiry: anyio.Event | None = None
        # For a report: the counts of this registry, and of its repositories that are read.
        self.counter: RegistryCounter | None = None
        self.counters: dict[str, RepositoryCounter] = {}


@define(eq=False)
class _Task:
    """A page to ask for. Without a repository it is one of repositories, or of registries."""

    project: _Project
    work: _RegistryWork | None
    repository: Repository | None
    reading: _Reading[Registry] | _Reading[Repository] | _Reading[Image]
    offset: int
    plan: int


class _Frontier:
    """What is known and not read yet. It decides what is read next, and sends nothing.

    Images come before repositories, and these before registries, so that little is known ahead
    of its turn however much there is; but repositories never run out while there are more, so
    that all workers are busy. Registries take turns.
    """

    def __init__(self, projects: list[_Project], options: ScanOptions) -> None:
        self.room = _Room()
        self.registries_found = 0
        self.registries_open = 0
        self.repositories_found = 0
        self.repositories_open = 0
        self._projects = projects
        self._options = options
        self._enough = options.concurrency * _REPOSITORIES_PER_WORKER
        self._share = max(1, int(options.concurrency * _LARGEST_SHARE))
        self._pending = 0
        self._unlisted = deque(projects)
        self._listing: deque[_RegistryWork] = deque()
        self._ready: deque[_RegistryWork] = deque()

    @property
    def exhausted(self) -> bool:
        """Whether everything was read or given up."""
        return all(project.reading.done and not project.open for project in self._projects)

    @property
    def listed(self) -> bool:
        """Whether all registries are known. Otherwise none can be said to be missing."""
        return all(project.listed for project in self._projects)

    def next(self, waiting: int) -> _Task | None:
        """Return the page to ask for now, if there is any.

        Args:
            waiting: How many pages of results wait for the consumer.
        """
        room = self.free(waiting)
        few = self._pending < self._enough
        task = self._next_repositories(room) if few else None
        if task is None and room > 0:
            task = self._next_images(room)
        if task is None and (few or room > 0):
            task = self._next_repositories(room) or self._next_registries()
        if task is not None and task.work is not None:
            task.work.in_flight += 1
        return task

    def free(self, waiting: int) -> int:
        """Return how many more pages of results may be under way."""
        return self._options.concurrency * _PAGES_PER_WORKER - self.room.used - waiting

    def _next_registries(self) -> _Task | None:
        while self._unlisted:
            project = self._unlisted[0]
            reading = project.reading
            if reading.wants():
                return _Task(project, None, None, reading, reading.ask(), reading.plan)
            self._unlisted.popleft()
        return None

    def _next_repositories(self, room: int) -> _Task | None:
        furthest = self._options.concurrency if self._options.images else _furthest(room)
        for _ in range(len(self._listing)):
            work = self._listing[0]
            reading = work.reading
            if not reading.wants():
                self._listing.popleft()
                reading.queued = False
                continue
            self._listing.rotate(-1)
            if reading.ahead < furthest:
                return _Task(work.project, work, None, reading, reading.ask(), reading.plan)
        return None

    def _next_images(self, room: int) -> _Task | None:
        for _ in range(len(self._ready)):
            work = self._ready.popleft()
            work.queued = False
            # Without a task now, it comes back when one of its pages does.
            if work.in_flight < self._share or self.registries_open == 1:
                task = self._next_images_of(work, room)
                if task is not None:
                    self._enqueue(work)
                    return task
        return None

    def _next_images_of(self, work: _RegistryWork, room: int) -> _Task | None:
        for _ in range(len(work.ready)):
            repository, reading = work.ready[0]
            if not reading.wants():
                work.ready.popleft()
                reading.queued = False
                continue
            work.ready.rotate(-1)
            if reading.ahead < _furthest(room):
                break
        else:
            if not work.pending:
                return None
            repository = work.pending.popleft()
            self._pending -= 1
            reading = self._open_images(work, repository)
        return _Task(work.project, work, repository, reading, reading.ask(), reading.plan)

    def _open_images(self, work: _RegistryWork, repository: Repository) -> _Reading[Image]:
        images, size = work.project.images, self._options.page_size
        source = _source(lambda: images.list(work.registry.id, repository.name, page_size=size))
        reading = _Reading(source, size, self.room)
        work.begun.add(reading)
        return reading

    def came(self, task: _Task) -> None:
        """Note that a page came or failed to, and what can be asked for now."""
        work, reading = task.work, task.reading
        if work is None:
            if reading.wants() and task.project not in self._unlisted:
                self._unlisted.append(task.project)
            return
        work.in_flight -= 1
        if task.repository is None:
            self._enlist(work)
        else:
            images = cast("_Reading[Image]", reading)
            if images.done and images in work.begun:
                work.begun.remove(images)
                self.repositories_open -= 1
            elif images.wants() and not images.queued:
                images.queued = True
                work.ready.append((task.repository, images))
        self._enqueue(work)
        self._close(work)

    def add_registry(self, project: _Project, registry: Registry) -> _RegistryWork:
        """Add a registry that was found."""
        size = self._options.page_size
        source = _source(lambda: project.repositories.list(registry.id, page_size=size))
        room = _Room() if self._options.images else self.room
        work = _RegistryWork(project, registry, _Reading(source, size, room))
        project.open.add(work)
        self.registries_found += 1
        self.registries_open += 1
        self._enlist(work)
        return work

    def add_repositories(self, work: _RegistryWork, repositories: list[Repository]) -> None:
        """Add repositories that were found."""
        self.repositories_found += len(repositories)
        if self._options.images:
            work.pending.extend(repositories)
            self._pending += len(repositories)
            self.repositories_open += len(repositories)

    def give_up(self, work: _RegistryWork) -> None:
        """Read no more of a registry."""
        work.ended = True
        self.repositories_open -= len(work.pending) + len(work.begun)
        self._pending -= len(work.pending)
        work.pending.clear()
        work.ready.clear()
        work.reading.stop()
        for reading in work.begun:
            reading.stop()
        work.begun.clear()
        self._close(work)

    def give_up_project(self, project: _Project) -> None:
        """Read no more of a project."""
        project.ended = True
        project.reading.stop()
        for work in tuple(project.open):
            self.give_up(work)

    def _enlist(self, work: _RegistryWork) -> None:
        if work.reading.wants() and not work.reading.queued:
            work.reading.queued = True
            self._listing.append(work)

    def _enqueue(self, work: _RegistryWork) -> None:
        if not work.queued and (work.ready or work.pending):
            work.queued = True
            self._ready.append(work)

    def _close(self, work: _RegistryWork) -> None:
        finished = work.reading.done and not work.pending and not work.begun
        if finished and work in work.project.open:
            work.project.open.remove(work)
            self.registries_open -= 1


def _furthest(room: int) -> int:
    """Return how far one list may run ahead when there is so much room left.

    That it depends on what is left keeps a few lists with a slow page from taking all the room.
    """
    return 2 * room


def _source(make: Callable[[], AsyncPaginator[T]]) -> PageSource[T]:
    """Return the source of a list, one that only fails if its name cannot be asked for."""
    try:
        return page_source(make())
    except ValueError as error:
        problem = error

    async def refuse(offset: int, limit: int) -> RawPage[T]:
        raise problem

    def key(item: T) -> Hashable:
        raise problem

    return PageSource(refuse, key, counts=False)


class _Pace:
    """Keep requests a fixed time apart."""

    def __init__(self, rate: float, clock: Clock) -> None:
        self._interval = 1 / rate
        self._clock = clock
        self._next = clock.monotonic()

    async def wait(self) -> None:
        """Wait for the turn of the next request."""
        now = self._clock.monotonic()
        turn = max(now, self._next)
        self._next = turn + self._interval
        if turn > now:
            await self._clock.sleep(turn - now)


class _PacedClock:
    """A clock whose sleeps end at the right pace: what sleeps is a request to be repeated."""

    def __init__(self, clock: Clock, pace: _Pace) -> None:
        self.monotonic = clock.monotonic
        self.time = clock.time
        self.random = clock.random
        self._sleep = clock.sleep
        self._pace = pace

    async def sleep(self, seconds: float) -> None:
        """Return after that many seconds, when it is the request's turn."""
        await self._sleep(seconds)
        await self._pace.wait()


class AsyncScan(Generic[T]):
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
        self._clock = targets[0].transport.clock if targets else SystemClock()
        self._options = options
        self._pace: _Pace | None = None
        if options.max_rate is not None:
            pace = self._pace = _Pace(options.max_rate, self._clock)
            targets = [_paced(target, pace) for target in targets]
        self._frontier = _Frontier(
            [_Project(target, options.page_size) for target in targets], options
        )
        self._unmatched = set(options.registries or ())
        self._errors: list[ScanError] = []
        self._batches: deque[list[T]] = deque()
        self._items: deque[T] = deque()
        self._builder: ReportBuilder | None = None
        self._images = 0
        self._requests = 0
        # Workers without anything to do, and a consumer that waits for results.
        self._parked: deque[anyio.Event] = deque()
        self._busy = 0
        self._arrival = anyio.Event()
        self._task: asyncio.Task[None] | None = None
        self._entered = False
        self._left = False
        self._finished = False
        self._complete = False
        self._drained = False
        self._failure: Exception | None = None
        self._exits = ExitStack()
        self._listeners: list[Callable[[ScanProgress], object]] = []

    def __repr__(self) -> str:
        return f"<{type(self).__name__} of {self._images} images and {len(self._errors)} errors>"

    @property
    def errors(self) -> tuple[ScanError, ...]:
        """What could not be read so far."""
        return tuple(self._errors)

    @property
    def complete(self) -> bool:
        """Whether everything was read without an error, and the iteration came to its end."""
        return self._complete and self._drained

    @property
    def progress(self) -> ScanProgress:
        """How far the scan has come."""
        frontier = self._frontier
        return ScanProgress(
            registries_found=frontier.registries_found,
            registries_read=frontier.registries_found - frontier.registries_open,
            repositories_found=frontier.repositories_found,
            repositories_read=frontier.repositories_found - frontier.repositories_open,
            images=self._images,
            requests=self._requests,
            errors=len(self._errors),
        )

    async def __aenter__(self) -> Self:
        if self._entered:
            raise RuntimeError("a scan can be done once: make another")
        for connections in self._connections:
            connections.check_open()
        self._entered = True
        if self._options.on_progress is not None:
            self._listeners.append(self._options.on_progress)
        if self._options.progress:
            bar = self._exits.enter_context(progress_bar("Scanning repositories"))
            self._listeners.append(
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
        self._left = True
        try:
            if self._task is not None and not self._task.done():
                self._task.cancel()
                with anyio.CancelScope(shield=True):
                    await asyncio.wait([self._task])
        finally:
            self._batches.clear()
            self._items.clear()
            self._exits.close()

    def __aiter__(self) -> AsyncIterator[T]:
        return self

    async def __anext__(self) -> T:
        while not self._items:
            batch = await self._next_batch()
            if batch is None:
                raise StopAsyncIteration
            # Added, for another consumer may have put a page there meanwhile.
            self._items.extend(batch)
        return self._items.popleft()

    def batches(self) -> "AsyncIterator[list[T]]":
        """Return an iterator over what is found, as many items at once as came in one page."""
        return _Batches(self._next_batch)

    async def report(self) -> ScanReport:
        """Read everything into a report of totals.

        Returns:
            The report. Failures are in its ``errors``, unless ``on_error`` is ``"raise"``.

        Raises:
            RuntimeError: The scan was iterated already, or it is one of repositories only.
            ContainerRegistryError: Something failed, and ``on_error`` is ``"raise"``.
        """
        if self._task is not None or not self._options.images:
            raise RuntimeError("a report needs a scan of images that was not iterated")
        builder = self._builder = ReportBuilder()
        # Nothing is given out, since the builder counts it as it comes: this waits for the end.
        await self._next_batch()
        for failure in self._errors:
            builder.add_error(
                failure.client_label, failure.registry, failure.repository, failure.error
            )
        return builder.build(complete=self._complete, now=self._clock.time())

    async def _next_batch(self) -> list[T] | None:
        if not self._entered or self._left:
            raise RuntimeError("a scan works inside its 'async with' block only")
        if self._task is None:
            self._task = asyncio.get_running_loop().create_task(self._run())
        while self._failure is None:
            if self._batches:
                batch = self._batches.popleft()
                self._wake()
                return batch
            if self._finished:
                self._drained = True
                return None
            await self._arrival.wait()
            # Of several consumers that wait for the same event, one makes the next for all.
            if self._arrival.is_set() and not self._finished:
                self._arrival = anyio.Event()
        raise self._failure

    async def _run(self) -> None:
        """Run the workers, in a task of their own: no cancel scope spans the user's block."""
        try:
            async with anyio.create_task_group() as group:
                for _ in range(self._options.concurrency):
                    group.start_soon(self._work, group.cancel_scope)
            if self._failure is None and self._frontier.exhausted:
                if self._frontier.listed:
                    self._note_unmatched()
                self._complete = not self._errors
        finally:
            self._finished = True
            self._arrival.set()

    async def _work(self, scope: anyio.CancelScope) -> None:
        try:
            while (task := await self._take()) is not None:
                self._busy += 1
                try:
                    await self._perform(task)
                finally:
                    self._busy -= 1
        except Exception as error:  # noqa: BLE001 - raised to the consumer, not in a group
            self._failure = self._failure or error
            scope.cancel()

    async def _take(self) -> _Task | None:
        """Return the next page to ask for, as soon as there is one; None at the end."""
        while True:
            task = self._frontier.next(len(self._batches))
            if task is not None:
                # There may be more: each worker that is woken wakes the next.
                self._wake()
                return task
            if self._busy == 0 and self._frontier.free(len(self._batches)) > 0:
                self._wake()
                return None
            parked = anyio.Event()
            self._parked.append(parked)
            await parked.wait()

    def _wake(self) -> None:
        if self._parked:
            self._parked.popleft().set()

    async def _perform(self, task: _Task) -> None:
        """Ask for a page, and take in what it holds."""
        reading = cast("_Reading[object]", task.reading)
        failure: Exception | None = None
        try:
            raw = await self._read(task)
        except Exception as error:  # noqa: BLE001 - it is recorded, whatever it is
            if reading.lose(task.plan):
                failure = error.with_traceback(None)
        else:
            try:
                for items in reading.take(task.offset, task.plan, raw):
                    self._found(task, items)
            except UnexpectedResponseError as error:
                failure = error.with_traceback(None)
                reading.stop()
        if failure is not None:
            await self._judge(task, failure)
        elif task.work is None and reading.whole and not task.project.listed:
            task.project.listed = True
            if self._builder is not None:
                await self._read_quota(task.project)
        self._frontier.came(task)
        if self._listeners:
            now = self.progress
            for listener in self._listeners:
                listener(now)

    async def _read(self, task: _Task) -> RawPage[object]:
        """Read a page, with as much patience as a limit on requests takes."""
        project, reading = task.project, cast("_Reading[object]", task.reading)
        impatience = 0
        while True:
            await self._pause(project)
            if task.plan != reading.plan:
                # What was given up while this one waited is not asked for.
                return RawPage([], None)
            self._requests += 1
            before = project.successes
            try:
                raw = await reading.source.read(task.offset, reading.limit)
            except RateLimitedError as limited:
                # As long as others get through, this one will.
                impatience = impatience + 1 if project.successes == before else 0
                if impatience >= _PATIENCE:
                    raise
                delay = min(limited.retry_after or _LIMITED_DELAY, _LONGEST_DELAY)
                project.resume_at = max(project.resume_at, project.clock.monotonic() + delay)
                continue
            if task.work is not None:
                project.successes += 1
                project.refusals = project.limits = task.work.failures = 0
            return raw

    async def _pause(self, project: _Project) -> None:
        """Wait until the project, and the pace, allow a request."""
        while (wait := project.resume_at - project.clock.monotonic()) > 0:
            await project.clock.sleep(wait)
        if self._pace is not None:
            await self._pace.wait()

    def _found(self, task: _Task, items: tuple[object, ...]) -> None:
        if task.work is None:
            self._found_registries(task.project, cast("tuple[Registry, ...]", items))
        elif task.repository is None:
            self._found_repositories(task.work, cast("tuple[Repository, ...]", items))
        else:
            self._found_images(task.work, task.repository, cast("tuple[Image, ...]", items))

    def _found_registries(self, project: _Project, registries: tuple[Registry, ...]) -> None:
        wanted = self._options.registries
        for registry in registries:
            if wanted is None or not wanted.isdisjoint((registry.name, registry.id)):
                self._unmatched.difference_update((registry.name, registry.id))
                work = self._frontier.add_registry(project, registry)
                if self._builder is not None:
                    work.counter = self._builder.add_registry(project.label, registry)
                    project.counters[registry.id] = work.counter

    def _found_repositories(
        self, work: _RegistryWork, repositories: tuple[Repository, ...]
    ) -> None:
        matches, label = self._options.matches_repository, work.project.label
        wanted = [
            repository for repository in repositories if matches is None or matches(repository.name)
        ]
        self._frontier.add_repositories(work, wanted)
        if work.counter is not None:
            for repository in wanted:
                work.counters[repository.name] = work.counter.add_repository(repository)
        elif not self._options.images:
            found = [ScannedRepository(label, work.registry, each) for each in wanted]
            self._give(cast("list[T]", found))

    def _found_images(
        self, work: _RegistryWork, repository: Repository, images: tuple[Image, ...]
    ) -> None:
        matches, label, registry = self._options.matches_tags, work.project.label, work.registry
        if matches is not None:
            images = tuple(image for image in images if matches(image.tags))
        self._images += len(images)
        if work.counter is not None:
            work.counters[repository.name].add(images)
        else:
            found = [ScannedImage(label, registry, repository, image) for image in images]
            self._give(cast("list[T]", found))

    def _give(self, batch: list[T]) -> None:
        if batch:
            self._batches.append(batch)
            self._arrival.set()

    async def _judge(self, task: _Task, failure: Exception) -> None:
        """Record a failure, once for all that it puts out of reach."""
        project, work = task.project, task.work
        if isinstance(failure, PermissionDeniedError) and work is not None:
            failure = await self._judge_refusal(project, failure)
        elif isinstance(failure, NotFoundError) and work is not None:
            absence: Exception | None = failure
            if task.repository is not None:
                get = partial(project.registries.get, work.registry.id)
                absence = await self._inquire(work, get)
            if isinstance(absence, NotFoundError) and not work.ended:
                self._frontier.give_up(work)
                self._record(project, work, None, absence)
        # Whoever gave something up has recorded why, once.
        if project.ended or (work is not None and work.ended):
            return
        if isinstance(failure, RateLimitedError):
            project.limits += 1
        if (
            _closes_project(failure)
            or (work is None and isinstance(failure, PermissionDeniedError))
            or project.limits >= _LIMITS
        ):
            self._frontier.give_up_project(project)
            self._record(project, None, None, failure)
            return
        repository = task.repository
        if work is not None and isinstance(failure, RequestTimeoutError | ConnectionFailedError):
            work.failures += 1
            if work.failures >= _SLOW_FAILURES:
                self._frontier.give_up(work)
                repository = None
        self._record(project, work, repository, failure)

    async def _judge_refusal(self, project: _Project, refusal: Exception) -> Exception:
        """Find out whether the token opens nothing any more, or just not this."""
        project.refusals += 1
        if project.refusals >= _REFUSALS:
            wider: Exception | None = refusal
        else:
            wider = await self._inquire(project, project.registries.list().first)
        if not isinstance(wider, AuthenticationError | PermissionDeniedError):
            return refusal
        if not project.ended:
            self._frontier.give_up_project(project)
            self._record(project, None, None, wider)
        return wider

    async def _inquire(
        self, place: _Project | _RegistryWork, ask: Callable[[], Awaitable[object]]
    ) -> Exception | None:
        """Ask for something that tells how far a failure goes, once for all that wonder.

        Returns:
            The error, for the one that asks. The others look at what has been given up.
        """
        if place.inquiry is not None:
            await place.inquiry.wait()
            return None
        answered = place.inquiry = anyio.Event()
        await self._pause(place if isinstance(place, _Project) else place.project)
        self._requests += 1
        try:
            await ask()
        except Exception as error:  # noqa: BLE001 - the caller looks at what it is
            return error.with_traceback(None)
        finally:
            place.inquiry = None
            answered.set()
        return None

    async def _read_quota(self, project: _Project) -> None:
        """Read what only API v1 tells of registries. A report does without if need be."""
        missing = dict(project.counters)
        size = max(self._options.page_size, len(missing))
        source = page_source(project.registries.list(api_version=1, page_size=size))
        walk = Walk(source, 0)
        with suppress(ContainerRegistryError):
            while missing and not walk.done:
                await self._pause(project)
                self._requests += 1
                page = walk.feed(await source.read(walk.offset, size))
                for registry in page.items:
                    counter = missing.pop(registry.id, None)
                    if counter is not None:
                        counter.quota = registry

    def _note_unmatched(self) -> None:
        for name in sorted(self._unmatched):
            missing = NotFoundError(404, f"no registry has the name or id {name!r}")
            self._errors.append(ScanError(None, None, None, missing))
            if self._options.raises:
                self._failure = self._failure or missing

    def _record(
        self,
        project: _Project,
        work: _RegistryWork | None,
        repository: Repository | None,
        failure: Exception,
    ) -> None:
        registry = None if work is None else work.registry
        self._errors.append(ScanError(project.label, registry, repository, failure))
        if self._options.raises:
            raise failure


class _Batches(AsyncIterator[list[T]], Generic[T]):
    def __init__(self, read: Callable[[], Awaitable[list[T] | None]]) -> None:
        self._read = read

    async def __anext__(self) -> list[T]:
        batch = await self._read()
        if batch is None:
            raise StopAsyncIteration
        return batch


def _closes_project(failure: Exception) -> bool:
    """Say whether a failure is one of all that is asked with these credentials."""
    known = isinstance(failure, ContainerRegistryError | ValueError)
    # Whatever else is raised comes from credentials that the caller wrote.
    return not known or isinstance(
        failure, AuthenticationError | ClientClosedError | ConfigurationError
    )


def _paced(target: ScanTarget, pace: _Pace) -> ScanTarget:
    clock = _PacedClock(target.transport.clock, pace)
    return ScanTarget(target.label, evolve(target.transport, clock=clock))
