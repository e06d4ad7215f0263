"""What a scan knows of and has not read yet, and which page it asks for next. It sends nothing.

Images come before repositories, and these before registries, so that little is known ahead of
its turn however much there is; but repositories never run out while there are more, so that all
workers are busy. Registries take turns.
"""

from collections import deque
from collections.abc import Awaitable, Callable, Hashable
from typing import ClassVar, Final, Generic, TypeAlias, TypeVar

from attrs import define, field, frozen

from registry_async._pagination import PageSource, RawPage, Reading, Room
from registry_async._scan.verdicts import Level, ProjectTally, RegistryTally
from registry_async.models import Image, Registry, Repository
from registry_async.retry import RateLimitPatience

__all__ = [
    "Errand",
    "Frontier",
    "ImagesPage",
    "ListPage",
    "Lists",
    "Project",
    "RegistriesPage",
    "RegistryWork",
    "RepositoriesPage",
    "RepositoryWork",
    "Task",
]

T = TypeVar("T")

# Pages under way or waiting for the consumer, per unit of concurrency. Half of them are in flight;
# the other half keeps the workers busy while the consumer looks away.
_PAGES_PER_WORKER: Final = 2
# Repositories listed ahead of the workers, per unit of concurrency. Bounds memory; keeps every
# worker busy.
_REPOSITORIES_PER_WORKER: Final = 2
# The share of the workers that one registry may have while others have work: one that hangs must
# not hold them all.
_LARGEST_SHARE: Final = 0.75


@frozen
class Lists:
    """How the lists of a project are read.

    Attributes:
        registries: Its registries.
        repositories: Returns how the repositories of a registry are read.
        images: Returns how the images of a repository are read.
    """

    registries: PageSource[Registry]
    repositories: Callable[[Registry], PageSource[Repository]]
    images: Callable[[Registry, Repository], PageSource[Image]]


class Project:
    """A project, and what is left to read in it.

    Args:
        label: The label of its client.
        lists: How its lists are read.
        page_size: The items to ask for in one page.

    Attributes:
        tally: What has happened in it so far.
        open: The registries that are being read.
        listed: Whether all its registries are known.
        held: Whether the service has asked to wait, so that nothing is to be asked for now.
        ended: Whether it was given up.
    """

    def __init__(self, label: str | None, lists: Lists, page_size: int) -> None:
        self.label = label
        self.lists = lists
        self.reading = Reading(lists.registries, page_size)
        self.tally = ProjectTally()
        self.open: set[RegistryWork] = set()
        self.listed = False
        self.held = False
        self.ended = False


class RegistryWork:
    """A registry, and what is left to read in it.

    Attributes:
        tally: What has happened in it so far.
        pending: The repositories whose images are still to be read.
        ready: Those whose images are being read and may have pages to ask for.
        begun: All whose images are being read.
        in_flight: The requests under way.
        ended: Whether it was given up.
    """

    def __init__(self, project: Project, registry: Registry, reading: Reading[Repository]) -> None:
        self.project = project
        self.registry = registry
        self.reading = reading
        self.tally = RegistryTally()
        self.pending: deque[Repository] = deque()
        self.ready: deque[RepositoryWork] = deque()
        self.begun: set[RepositoryWork] = set()
        self.in_flight = 0
        self.listing = False
        self.queued = False
        self.ended = False


@define(eq=False)
class RepositoryWork:
    """A repository whose images are being read.

    Attributes:
        repository: The repository.
        reading: Its list of images.
        queued: Whether it is among those of its registry that are ready.
    """

    repository: Repository
    reading: Reading[Image]
    queued: bool = False


@define(eq=False)
class PageTask(Generic[T]):
    """A page to ask for.

    Attributes:
        project: The project that is asked.
        reading: The list that it is a page of.
        offset: How many items of the list come before it.
        plan: The plan of the list that it belongs to.
        patience: The patience with refusals of it.
        pages_before: How many pages of its project had come when it was last asked for.
    """

    project: Project
    reading: Reading[T]
    offset: int
    plan: int
    patience: RateLimitPatience = field(factory=RateLimitPatience, init=False)
    pages_before: int = field(default=0, init=False)

    @property
    def wanted(self) -> bool:
        """Whether it is still of use."""
        return self.plan == self.reading.plan


@define(eq=False)
class RegistriesPage(PageTask[Registry]):
    """A page of the registries of a project."""

    level: ClassVar = Level.PROJECT


@define(eq=False)
class RepositoriesPage(PageTask[Repository]):
    """A page of the repositories of a registry."""

    work: RegistryWork = field(kw_only=True)
    level: ClassVar = Level.REGISTRY


@define(eq=False)
class ImagesPage(PageTask[Image]):
    """A page of the images of a repository."""

    work: RegistryWork = field(kw_only=True)
    images: RepositoryWork = field(kw_only=True)
    level: ClassVar = Level.REPOSITORY

    @property
    def repository(self) -> Repository:
        """The repository."""
        return self.images.repository


@define(eq=False)
class Errand:
    """Something to ask for that is no page of a list.

    Attributes:
        project: The project that it is about.
        work: The registry that it is about; None when it is about the whole project.
        run: What asks for it.
    """

    project: Project
    work: RegistryWork | None
    run: Callable[[], Awaitable[None]]

    @property
    def wanted(self) -> bool:
        """Whether it is still of use."""
        return not self.project.ended and (self.work is None or not self.work.ended)


ListPage: TypeAlias = RegistriesPage | RepositoriesPage | ImagesPage
Task: TypeAlias = ListPage | Errand


class Frontier:
    """What is known and not read yet.

    Args:
        projects: The projects to read.
        concurrency: The most requests in flight.
        page_size: The items to ask for in one page.
        images: Whether images are read, or repositories only.
    """

    def __init__(
        self, projects: list[Project], *, concurrency: int, page_size: int, images: bool
    ) -> None:
        self.room = Room()
        self.registries_found = 0
        self.registries_open = 0
        self.repositories_found = 0
        self.repositories_open = 0
        self._projects = projects
        self._concurrency = concurrency
        self._page_size = page_size
        self._images = images
        self._enough = concurrency * _REPOSITORIES_PER_WORKER
        self._share = max(1, int(concurrency * _LARGEST_SHARE))
        # Repositories whose images are still to be read, in all registries.
        self._pending = 0
        self._returned: deque[ListPage] = deque()
        self._unlisted = deque(projects)
        self._listing: deque[RegistryWork] = deque()
        self._ready: deque[RegistryWork] = deque()
        self._errands: deque[Errand] = deque()

    @property
    def exhausted(self) -> bool:
        """Whether everything was read or given up."""
        return all(project.reading.done and not project.open for project in self._projects)

    @property
    def listed(self) -> bool:
        """Whether all registries are known. Otherwise none can be said to be missing."""
        return all(project.listed for project in self._projects)

    @property
    def held(self) -> bool:
        """Whether a project waits until the service may be asked again."""
        return any(project.held for project in self._projects)

    def next(self, waiting: int) -> Task | None:
        """Return what to ask for now, if there is anything.

        Args:
            waiting: How many pages of results wait for the consumer.
        """
        task = self._next_returned()
        if task is not None:
            return task
        room = self.free(waiting)
        few = self._pending < self._enough
        page: RepositoriesPage | ImagesPage | None = self._next_repositories(room) if few else None
        if page is None and room > 0:
            page = self._next_images(room)
        if page is None and (few or room > 0):
            page = self._next_repositories(room)
        if page is not None:
            page.work.in_flight += 1
            return page
        if few or room > 0:
            return self._next_registries() or self._next_errand()
        return self._next_errand()

    def free(self, waiting: int) -> int:
        """Return how many more pages of results may be under way."""
        return self._concurrency * _PAGES_PER_WORKER - self.room.used - waiting

    def give_back(self, task: ListPage) -> None:
        """Keep a page that could not be asked for now, to be asked for first of all later."""
        self._returned.append(task)

    def _next_returned(self) -> ListPage | None:
        for _ in range(len(self._returned)):
            task = self._returned.popleft()
            if not task.project.held:
                return task
            self._returned.append(task)
        return None

    def _next_registries(self) -> RegistriesPage | None:
        for _ in range(len(self._unlisted)):
            project = self._unlisted[0]
            reading = project.reading
            if not reading.wants():
                self._unlisted.popleft()
            elif project.held:
                self._unlisted.rotate(-1)
            else:
                return RegistriesPage(project, reading, reading.ask(), reading.plan)
        return None

    def _next_repositories(self, room: int) -> RepositoriesPage | None:
        furthest = self._concurrency if self._images else _furthest(room)
        if furthest <= 0:
            return None
        for _ in range(len(self._listing)):
            work = self._listing[0]
            reading = work.reading
            if not reading.wants():
                self._listing.popleft()
                work.listing = False
                continue
            self._listing.rotate(-1)
            if reading.ahead < furthest and not work.project.held:
                return RepositoriesPage(
                    work.project, reading, reading.ask(), reading.plan, work=work
                )
        return None

    def _next_images(self, room: int) -> ImagesPage | None:
        for _ in range(len(self._ready)):
            work = self._ready.popleft()
            if work.project.held:
                self._ready.append(work)
                continue
            work.queued = False
            # Without a task now, it comes back when one of its pages does.
            if work.in_flight < self._share or self.registries_open == 1:
                task = self._next_images_of(work, room)
                if task is not None:
                    self._enqueue(work)
                    return task
        return None

    def _next_images_of(self, work: RegistryWork, room: int) -> ImagesPage | None:
        for _ in range(len(work.ready)):
            images = work.ready[0]
            if not images.reading.wants():
                work.ready.popleft()
                images.queued = False
                continue
            work.ready.rotate(-1)
            if images.reading.ahead < _furthest(room):
                break
        else:
            if not work.pending:
                return None
            self._pending -= 1
            images = self._open_images(work, work.pending.popleft())
        reading = images.reading
        return ImagesPage(
            work.project, reading, reading.ask(), reading.plan, work=work, images=images
        )

    def _open_images(self, work: RegistryWork, repository: Repository) -> RepositoryWork:
        source = _source(lambda: work.project.lists.images(work.registry, repository))
        images = RepositoryWork(repository, Reading(source, self._page_size, room=self.room))
        work.begun.add(images)
        return images

    def _next_errand(self) -> Errand | None:
        for _ in range(len(self._errands)):
            errand = self._errands.popleft()
            if not errand.wanted:
                continue
            if not errand.project.held:
                return errand
            self._errands.append(errand)
        return None

    def came(self, task: ListPage) -> None:
        """Note that a page came or failed, and queue what can be asked for now."""
        if isinstance(task, RegistriesPage):
            if task.reading.wants() and task.project not in self._unlisted:
                self._unlisted.append(task.project)
            return
        work = task.work
        work.in_flight -= 1
        if isinstance(task, RepositoriesPage):
            self._enlist(work)
        else:
            self._note_images(task)
        self._enqueue(work)
        self._close(work)

    def _note_images(self, task: ImagesPage) -> None:
        work, images = task.work, task.images
        if task.reading.done and images in work.begun:
            work.begun.remove(images)
            self.repositories_open -= 1
        elif task.reading.wants() and not images.queued:
            images.queued = True
            work.ready.append(images)

    def add_registry(self, project: Project, registry: Registry) -> RegistryWork:
        """Add a registry that was found."""
        source = _source(lambda: project.lists.repositories(registry))
        room = Room() if self._images else self.room
        work = RegistryWork(project, registry, Reading(source, self._page_size, room=room))
        project.open.add(work)
        self.registries_found += 1
        self.registries_open += 1
        self._enlist(work)
        return work

    def add_repositories(self, work: RegistryWork, repositories: list[Repository]) -> None:
        """Add repositories that were found."""
        self.repositories_found += len(repositories)
        if self._images:
            work.pending.extend(repositories)
            self._pending += len(repositories)
            self.repositories_open += len(repositories)

    def add_errand(self, errand: Errand) -> None:
        """Add something to be asked for when workers have nothing else to do."""
        self._errands.append(errand)

    def give_up(self, work: RegistryWork) -> None:
        """Read no more of a registry."""
        work.ended = True
        self.repositories_open -= len(work.pending) + len(work.begun)
        self._pending -= len(work.pending)
        work.pending.clear()
        work.ready.clear()
        work.reading.stop()
        for images in work.begun:
            images.reading.stop()
        work.begun.clear()
        self._close(work)

    def give_up_project(self, project: Project) -> None:
        """Read no more of a project."""
        project.ended = True
        project.reading.stop()
        for work in tuple(project.open):
            self.give_up(work)

    def _enlist(self, work: RegistryWork) -> None:
        if work.reading.wants() and not work.listing:
            work.listing = True
            self._listing.append(work)

    def _enqueue(self, work: RegistryWork) -> None:
        if not work.queued and (work.ready or work.pending):
            work.queued = True
            self._ready.append(work)

    def _close(self, work: RegistryWork) -> None:
        finished = work.reading.done and not work.pending and not work.begun
        if finished and work in work.project.open:
            work.project.open.remove(work)
            self.registries_open -= 1


def _furthest(room: int) -> int:
    """Return how many pages one list may be ahead while this much room is left.

    That it depends on what is left keeps a few lists with a slow page from taking all the room.
    """
    return 2 * room


def _source(make: Callable[[], PageSource[T]]) -> PageSource[T]:
    """Return how a list is read; one whose name cannot be asked for fails when it is read."""
    try:
        return make()
    except ValueError as error:
        problem = error

    async def refuse(offset: int, limit: int) -> RawPage[T]:
        raise problem

    def key(item: T) -> Hashable:
        raise problem

    return PageSource(refuse, key, counts=False)
