"""Run a scan: workers that ask for what the frontier names, and act on what the verdicts say."""

from collections import deque
from collections.abc import Awaitable, Callable, Iterator
from functools import partial
from typing import TYPE_CHECKING, Final, TypeVar

import anyio
from attrs import frozen

from registry_async._pagination import Reading, read_page
from registry_async._resources import AsyncRegistries
from registry_async._scan import verdicts
from registry_async._scan.access import Access
from registry_async._scan.feed import Feed
from registry_async._scan.frontier import (
    Errand,
    Frontier,
    ImagesPage,
    ListPage,
    Project,
    RegistriesPage,
    RegistryWork,
    RepositoriesPage,
    RepositoryWork,
    Task,
)
from registry_async._scan.options import ScanOptions
from registry_async._scan.pace import Pace
from registry_async._scan.results import ScanError, ScanProgress
from registry_async._scan.verdicts import Level, Question, RegistryTally, Verdict
from registry_async._tasks import Ask, Workers
from registry_async.errors import (
    ApiError,
    NotFoundError,
    RateLimitedError,
    RegistryNotFoundError,
    UnexpectedResponseError,
)
from registry_async.models import Image, Registry, Repository

if TYPE_CHECKING:
    from registry_async._transport.exchange import Transport

__all__ = ["ScanRun", "ScanTarget"]

T = TypeVar("T")

# The characters that are kept of the body of an answer that is recorded as an error.
_KEPT_BODY: Final = 500


@frozen
class ScanTarget:
    """A project to scan: what reaches it, and the label of its client."""

    label: str | None
    transport: "Transport"


class ScanRun:
    """The work of one scan.

    Args:
        targets: The projects to scan.
        options: The options of the scan.

    Attributes:
        errors: What could not be read so far.
        complete: Whether everything was read without an error.
        listeners: What is called after each page.
        images: The images found so far.
    """

    def __init__(self, targets: list[ScanTarget], options: ScanOptions) -> None:
        self.errors: list[ScanError] = []
        self.complete = False
        self.listeners: list[Callable[[ScanProgress], object]] = []
        self.images = 0
        self._options = options
        self._workers = Workers()
        self._access: dict[Project, Access] = {}
        rate = options.max_rate
        pace = Pace(rate, targets[0].transport.clock) if rate is not None and targets else None
        for target in targets:
            self._add(target, pace)
        self._frontier = Frontier(
            list(self._access),
            concurrency=options.concurrency,
            page_size=options.page_size,
            images=options.images,
        )
        self._unmatched = set(options.registries or ())
        # The workers that are idle, and the number of those that are busy.
        self._parked: deque[anyio.Event] = deque()
        self._busy = 0
        self._active = options.concurrency
        # Questions under way, by what they are about.
        self._questions: dict[Project | RegistryWork | RepositoryWork, anyio.Event] = {}

    def _add(self, target: ScanTarget, pace: Pace | None) -> None:
        def hold(held: bool) -> None:
            project.held = held
            if held:
                self._workers.start(access.resume)
            else:
                self._wake_all()

        access = Access(target.transport, self._options.page_size, pace, hold)
        project = Project(target.label, access.lists(), self._options.page_size)
        self._access[project] = access

    def access(self, project: Project) -> tuple[AsyncRegistries, Ask]:
        """Return how the registries of a project are asked."""
        access = self._access[project]
        return access.registries, access.ask

    @property
    def progress(self) -> ScanProgress:
        """How far the scan has come."""
        frontier = self._frontier
        return ScanProgress(
            registries_found=frontier.registries_found,
            registries_read=frontier.registries_found - frontier.registries_open,
            repositories_found=frontier.repositories_found,
            repositories_read=frontier.repositories_found - frontier.repositories_open,
            images=self.images,
            requests=sum(access.requests for access in self._access.values()),
            errors=len(self.errors),
        )

    async def run(self, feed: Feed) -> None:
        """Read everything into a feed.

        Raises:
            BaseException: What a callback or credentials raised that is no failure to record, or
                the first failure, where the options ask for that.
        """
        self._feed = feed
        for _ in range(self._options.concurrency):
            self._workers.start(self._work)
        await self._workers.wait()
        if self._frontier.exhausted:
            if self._frontier.listed:
                self._note_unmatched()
            self.complete = not self.errors

    def stop(self) -> None:
        """End the work. It does not wait, and may be called at any time."""
        self._workers.stop()

    def wake(self) -> None:
        """Have a worker look for something to do: there is room for another page."""
        if self._parked:
            self._parked.popleft().set()

    def _wake_all(self) -> None:
        while self._parked:
            self.wake()

    async def _work(self) -> None:
        while (task := await self._take()) is not None:
            self._busy += 1
            try:
                await self._perform(task)
            finally:
                self._busy -= 1
        self._active -= 1
        if self._active == 0:
            # Nobody needs the end of a pause any more.
            self.stop()

    async def _take(self) -> Task | None:
        """Return what to ask for next, as soon as there is something; None at the end."""
        while True:
            task = self._frontier.next(self._feed.waiting)
            if task is not None:
                # There may be more: each worker that is woken wakes the next.
                self.wake()
                return task
            idle = self._busy == 0 and not self._frontier.held
            if idle and self._frontier.free(self._feed.waiting) > 0:
                self.wake()
                return None
            parked = anyio.Event()
            self._parked.append(parked)
            await parked.wait()

    async def _perform(self, task: Task) -> None:
        """Ask for something; what may not be asked for now goes back to the frontier."""
        match task:
            case Errand():
                await self._run_errand(task)
                return
            case RegistriesPage():
                take = partial(self._found_registries, task.project)
                asked = await self._read(task, task.reading, take)
            case RepositoriesPage():
                take = partial(self._found_repositories, task.work)
                asked = await self._read(task, task.reading, take)
            case ImagesPage():
                take = partial(self._found_images, task)
                asked = await self._read(task, task.reading, take)
        if not asked:
            self._frontier.give_back(task)
            return
        if isinstance(task, RegistriesPage) and task.reading.whole and not task.project.listed:
            task.project.listed = True
            self._add_errands(task.project)
        self._frontier.came(task)
        if self.listeners:
            now = self.progress
            for listener in self.listeners:
                listener(now)

    async def _read(
        self, task: ListPage, reading: Reading[T], found: Callable[[tuple[T, ...]], None]
    ) -> bool:
        """Ask for a page, and take in what it holds.

        Returns:
            Whether that is done; False if the page is to be asked for again.
        """
        access, tally = self._access[task.project], task.project.tally
        if not await access.turn(lambda: task.wanted):
            if task.wanted:
                return False
            reading.lose(task.plan)
            return True
        task.pages_before = tally.pages
        access.requests += 1
        try:
            raw = await read_page(reading.source, task.offset, reading.limit)
        except Exception as error:  # noqa: BLE001 - it is recorded, whatever it is
            failure = error.with_traceback(None)
        else:
            self._note_page(task)
            return await self._take_in(task, reading.take(task.offset, task.plan, raw), found)
        finally:
            access.release()
        if isinstance(failure, RateLimitedError) and task.wanted:
            others = tally.pages > task.pages_before
            if access.wait_out(failure, task.patience, others_succeeded=others):
                return False
        if reading.lose(task.plan):
            await self._judge(task, failure)
        return True

    async def _take_in(
        self,
        task: ListPage,
        pages: Iterator[tuple[T, ...]],
        found: Callable[[tuple[T, ...]], None],
    ) -> bool:
        while True:
            try:
                items = next(pages, None)
            except UnexpectedResponseError as error:
                failure = error.with_traceback(None)
                break
            if items is None:
                return True
            found(items)
        task.reading.stop()
        await self._judge(task, failure)
        return True

    def _note_page(self, task: ListPage) -> None:
        if not isinstance(task, RegistriesPage):
            task.project.tally.note_page()
            task.work.tally.note_page()

    def _found_registries(self, project: Project, registries: tuple[Registry, ...]) -> None:
        wanted = self._options.registries
        for registry in registries:
            if wanted is None or not wanted.isdisjoint((registry.name, registry.id)):
                self._unmatched.difference_update((registry.name, registry.id))
                work = self._frontier.add_registry(project, registry)
                self._feed.add_registry(work)
                self._add_errands(work)

    def _add_errands(self, of: Project | RegistryWork) -> None:
        for errand in self._feed.errands(of):
            self._frontier.add_errand(errand)

    def _found_repositories(self, work: RegistryWork, found: tuple[Repository, ...]) -> None:
        matches = self._options.matches_repository
        wanted = [each for each in found if matches is None or matches(each.name)]
        self._frontier.add_repositories(work, wanted)
        self._feed.add_repositories(work, wanted)

    def _found_images(self, task: ImagesPage, listed: tuple[Image, ...]) -> None:
        matches, found = self._options.matches_tags, listed
        if matches is not None:
            found = tuple(image for image in listed if matches(image.tags))
        self.images += len(found)
        self._feed.add_images(task.work, task.repository, found, listed)

    async def _run_errand(self, errand: Errand) -> None:
        try:
            await errand.run()
        except Exception as error:  # noqa: BLE001 - it is recorded, whatever it is
            failure = error.with_traceback(None)
        else:
            return
        if errand.wanted:
            registry = None if errand.work is None else errand.work.registry
            self._record(ScanError(errand.project.label, registry, None, failure))

    async def _judge(self, task: ListPage, failure: Exception) -> None:
        """Record a failure, once for all that it puts out of reach."""
        tally = task.project.tally
        tally.note_failure(failure)
        asked = verdicts.question(task.level, failure)
        while asked is not None:
            error = await self._inquire(task, asked, failure)
            if self._ended(task):
                return
            verdict = verdicts.answer(asked, error)
            if verdict is not None:
                self._carry_out(task, verdict, failure if error is None else error)
                return
            asked = verdicts.next_question(asked, first_page=task.offset == 0)
        if self._ended(task):
            return
        if isinstance(task, RegistriesPage):
            registry = RegistryTally()
        else:
            registry = task.work.tally
            registry.note_failure(failure)
        self._carry_out(task, verdicts.judge(task.level, failure, tally, registry), failure)

    def _ended(self, task: ListPage) -> bool:
        """Say whether what a page belongs to was given up. If so, the reason has been recorded."""
        if isinstance(task, RegistriesPage):
            return task.project.ended
        return task.work.ended or task.project.ended

    def _carry_out(self, task: ListPage, verdict: Verdict, failure: Exception) -> None:
        level, project = verdict.level, task.project
        registry = repository = None
        if level is Level.NOTHING:
            return
        if level is Level.PROJECT:
            if verdict.gives_up:
                self._frontier.give_up_project(project)
        elif not isinstance(task, RegistriesPage):
            registry = task.work.registry
            if verdict.gives_up:
                self._frontier.give_up(task.work)
            elif isinstance(task, ImagesPage):
                repository = task.repository
        self._record(ScanError(project.label, registry, repository, failure))

    async def _inquire(
        self, task: ListPage, asked: Question, failure: Exception
    ) -> Exception | None:
        """Ask the service how far a failure goes. Those who ask the same share one request.

        Returns:
            The error that the question met with, for the one who asks; None if it met with none.
            The others get None, and look at what was given up.
        """
        access = self._access[task.project]
        subject: Project | RegistryWork | RepositoryWork = task.project
        ask: Callable[[], Awaitable[object]] = access.registries.list().first
        if isinstance(task, ImagesPage) and asked is Question.REGISTRY_THERE:
            subject, ask = task.work, partial(access.registries.get, task.work.registry.id)
        elif isinstance(task, ImagesPage) and asked is Question.REPOSITORY_EMPTY:
            subject, ask = task.images, partial(self._look_at, access, task, failure)
        if subject in self._questions:
            await self._questions[subject].wait()
            return None
        answered = self._questions[subject] = anyio.Event()
        try:
            await access.ask(ask)
        except Exception as error:  # noqa: BLE001 - the caller looks at what it is
            return error.with_traceback(None)
        finally:
            del self._questions[subject]
            answered.set()
        return None

    async def _look_at(self, access: Access, task: ImagesPage, failure: Exception) -> None:
        """Return if a repository is there and was never pushed to, and raise otherwise."""
        registry, repository = task.work.registry.id, task.repository.name
        try:
            await access.repositories.list_tags(registry, repository)
        except NotFoundError:
            await access.ask(partial(access.repositories.get, registry, repository))
            return
        raise failure

    def _note_unmatched(self) -> None:
        for name in sorted(self._unmatched):
            missing = RegistryNotFoundError(name)
            self._record(ScanError(None, None, None, missing))

    def _record(self, error: ScanError) -> None:
        self.errors.append(error)
        failure = error.error
        if self._options.raises:
            raise failure
        if isinstance(failure, ApiError):
            # There may be as many errors as repositories. The message says what the body says.
            failure.body = failure.body[:_KEPT_BODY]
