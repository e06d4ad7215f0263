"""Where the pages of a scan go: to a consumer, or into a report. It sends nothing."""

from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Generic, Protocol, TypeVar, cast

from attrs import frozen

from registry_async._resources import AsyncRegistries
from registry_async._scan.frontier import Errand, Project, RegistryWork
from registry_async._scan.results import ScannedImage, ScannedRepository
from registry_async._tasks import Ask
from registry_async.models import Image, Registry, Repository

__all__ = ["Feed", "FoundPage", "PageFeed", "Report", "ReportFeed"]

T = TypeVar("T")
T_co = TypeVar("T_co", covariant=True)


class ReportedRepository(Protocol):
    """What a report counts in one repository."""

    def add(self, images: Sequence[Image], listed: Sequence[Image], /) -> None:
        """Count a page of images: those that fit the filters, out of all that are listed."""
        ...


class ReportedRegistry(Protocol):
    """What a report counts in one registry."""

    def add_repository(self, found: Repository, /) -> ReportedRepository:
        """Count a repository."""
        ...

    async def read(self, registries: AsyncRegistries, ask: Ask, /) -> None:
        """Read what the report needs of the registry besides its images.

        Raises:
            ContainerRegistryError: It cannot be read. The scan records that for the registry.
        """
        ...


class ReportedProject(Protocol):
    """What a report counts in one project."""

    def add_registry(self, found: Registry, /) -> ReportedRegistry:
        """Count a registry."""
        ...

    async def read(self, registries: AsyncRegistries, ask: Ask, /) -> None:
        """Read what the report needs of a project, all of whose registries are known now.

        Args:
            registries: The registries of the project.
            ask: What sends the requests.

        Raises:
            ContainerRegistryError: It cannot be read. The scan records that for the project.
        """
        ...


class Report(Protocol):
    """What a report counts, fed page by page."""

    def add_project(self, label: str | None, /) -> ReportedProject:
        """Count a project."""
        ...


class Feed(Protocol):
    """Takes what a scan finds."""

    @property
    def waiting(self) -> int:
        """How many pages wait for the consumer."""
        ...

    def add_registry(self, work: RegistryWork) -> None:
        """Take a registry."""
        ...

    def add_repositories(self, work: RegistryWork, found: list[Repository]) -> None:
        """Take a page of repositories."""
        ...

    def add_images(
        self,
        work: RegistryWork,
        repository: Repository,
        found: Sequence[Image],
        listed: Sequence[Image],
    ) -> None:
        """Take a page of images: those that fit the filters, out of all that are listed."""
        ...

    def errands(self, of: Project | RegistryWork) -> Iterable[Errand]:
        """Return what else to ask for about a registry, or a project, whose list was read."""
        ...


@frozen
class FoundPage(Generic[T_co]):
    """A page of what was found, whose items are made when they are looked at.

    Attributes:
        size: How many items it has.
        items: Makes the items.
    """

    size: int
    items: Callable[[], Iterator[T_co]]


class PageFeed(Generic[T]):
    """Keeps pages for a consumer.

    Args:
        arrived: Called when a page has come.
        images: Whether images are given, or repositories.
    """

    def __init__(self, arrived: Callable[[], None], *, images: bool) -> None:
        self._pages: deque[FoundPage[T]] = deque()
        self._arrived = arrived
        self._images = images

    @property
    def waiting(self) -> int:
        """How many pages wait for the consumer."""
        return len(self._pages)

    def take(self) -> FoundPage[T]:
        """Take the page that came first."""
        return self._pages.popleft()

    def clear(self) -> None:
        """Forget the pages that wait."""
        self._pages.clear()

    def add_registry(self, work: RegistryWork) -> None:
        """Give nothing: a registry is no item."""

    def add_repositories(self, work: RegistryWork, found: list[Repository]) -> None:
        """Take a page of repositories."""
        if not self._images and found:
            label, registry = work.project.label, work.registry
            self._add(
                len(found),
                lambda: (ScannedRepository(label, registry, each) for each in found),
            )

    def add_images(
        self,
        work: RegistryWork,
        repository: Repository,
        found: Sequence[Image],
        listed: Sequence[Image],
    ) -> None:
        """Take a page of images."""
        if found:
            label, registry = work.project.label, work.registry
            self._add(
                len(found),
                lambda: (ScannedImage(label, registry, repository, each) for each in found),
            )

    def _add(
        self, size: int, items: Callable[[], Iterator[ScannedImage | ScannedRepository]]
    ) -> None:
        # Whether a scan is one of images or of repositories is decided where it is made.
        self._pages.append(FoundPage(size, cast("Callable[[], Iterator[T]]", items)))
        self._arrived()

    def errands(self, of: Project | RegistryWork) -> Iterable[Errand]:
        """Ask for nothing else."""
        return ()


class ReportFeed:
    """Feeds a report.

    Args:
        report: The report.
        access: Returns how the registries of a project are asked.
    """

    def __init__(
        self, report: Report, access: Callable[[Project], tuple[AsyncRegistries, Ask]]
    ) -> None:
        self.waiting = 0
        self._report = report
        self._access = access
        self._projects: dict[Project, ReportedProject] = {}
        self._registries: dict[RegistryWork, ReportedRegistry] = {}
        self._repositories: dict[RegistryWork, dict[str, ReportedRepository]] = {}

    def add_registry(self, work: RegistryWork) -> None:
        """Count a registry."""
        self._registries[work] = self._counted(work.project).add_registry(work.registry)
        self._repositories[work] = {}

    def _counted(self, project: Project) -> ReportedProject:
        if project not in self._projects:
            self._projects[project] = self._report.add_project(project.label)
        return self._projects[project]

    def add_repositories(self, work: RegistryWork, found: list[Repository]) -> None:
        """Count a page of repositories."""
        counted = self._registries[work]
        for repository in found:
            self._repositories[work][repository.name] = counted.add_repository(repository)

    def add_images(
        self,
        work: RegistryWork,
        repository: Repository,
        found: Sequence[Image],
        listed: Sequence[Image],
    ) -> None:
        """Count a page of images."""
        self._repositories[work][repository.name].add(found, listed)

    def errands(self, of: Project | RegistryWork) -> Iterable[Errand]:
        """Return what the report needs besides images."""
        if isinstance(of, Project):
            project, access = self._counted(of), self._access(of)
            yield Errand(of, None, lambda: project.read(*access))
        else:
            registry, access = self._registries[of], self._access(of.project)
            yield Errand(of.project, of, lambda: registry.read(*access))
