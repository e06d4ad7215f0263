"""Counting what a scan finds, page by page: a row a repository and a number a layer, no images."""

from bisect import insort
from collections import Counter
from collections.abc import Callable, Sequence
from contextlib import suppress
from datetime import UTC, datetime
from functools import partial
from itertools import chain
from operator import itemgetter
from typing import Any, Final

from registry_async._image_pages import has_layers, layer_pairs, layer_sizes
from registry_async._pagination import DEFAULT_PAGE_SIZE, Walk, page_source, read_page
from registry_async._report.layers import LIMIT, Layers, bounded
from registry_async._report.report import TOP, ScanReport, age_order, size_order, sorted_rows
from registry_async._report.rows import (
    ImageSummary,
    RegistryTotals,
    ReportedError,
    RepositoryTotals,
)
from registry_async._resources import AsyncRegistries
from registry_async._tasks import Ask
from registry_async.errors import ApiError, ContainerRegistryError, RequestError
from registry_async.models import GarbageSize, Image, Registry, Repository

__all__ = ["ReportBuilder"]

# Manifests of other manifests. Their parts are listed as images without a tag.
_INDEXES: Final = frozenset(
    {
        "application/vnd.oci.image.index.v1+json",
        "application/vnd.docker.distribution.manifest.list.v2+json",
    }
)


class _Top:
    """Keep the first few images of an order.

    Args:
        rank: Return the key of an image in that order, the smallest first.
    """

    def __init__(self, rank: Callable[[ImageSummary], tuple[Any, ...]]) -> None:
        self._rank = rank
        self._kept: list[tuple[tuple[Any, ...], ImageSummary]] = []

    @property
    def last(self) -> Any:
        """What the order goes by in the last image that is kept; None while there is room."""
        return self._kept[-1][0][0] if len(self._kept) == TOP else None

    def offer(self, image: ImageSummary) -> None:
        """Keep an image if it is among the first."""
        insort(self._kept, (self._rank(image), image), key=itemgetter(0))
        del self._kept[TOP:]

    def images(self) -> tuple[ImageSummary, ...]:
        """Return the first few, in order."""
        return tuple(image for _, image in self._kept)


class RepositoryCounter:
    """Count what is in one repository."""

    def __init__(self, builder: "ReportBuilder", of: "RegistryCounter", found: Repository) -> None:
        self._builder = builder
        self._registry = of
        self._found = found
        self._images = 0
        self._untagged = 0
        self._size = 0
        self._untagged_size = 0
        self._holds_index = False
        self._oldest: datetime | None = None
        self._newest: datetime | None = None

    def add(self, images: Sequence[Image], listed: Sequence[Image]) -> None:
        """Count a page of images.

        Args:
            images: The images that are counted.
            listed: All images of the page, before any filter. An index among them tells that
                images without a tag may be its parts.
        """
        if not self._holds_index:
            self._holds_index = not _INDEXES.isdisjoint({image.media_type for image in listed})
        if not images:
            return
        sizes = [_size_of(image) for image in images]
        if max(sizes) > LIMIT or min(sizes) < -LIMIT:
            sizes = list(map(bounded, sizes))
        self._images += len(images)
        self._size += sum(sizes)
        untagged = [size for image, size in zip(images, sizes, strict=True) if not image.tags]
        self._untagged += len(untagged)
        self._untagged_size += sum(untagged)
        self._builder.add_layers(images)
        self._add_times(images, sizes)
        self._add_largest(images, sizes)

    def _add_times(self, images: Sequence[Image], sizes: Sequence[int]) -> None:
        moments = [image.created_at for image in images]
        known = [moment for moment in moments if moment is not None]
        if not known:
            return
        self._builder.months.update([12 * each.year + each.month - 1 for each in known])
        first, last = min(known), max(known)
        self._oldest = first if self._oldest is None else min(self._oldest, first)
        self._newest = last if self._newest is None else max(self._newest, last)
        top = self._builder.oldest
        limit = top.last
        if limit is None or first <= limit:
            for image, size in zip(images, sizes, strict=True):
                if image.created_at is not None and (limit is None or image.created_at <= limit):
                    top.offer(self._summary(image, size))

    def _add_largest(self, images: Sequence[Image], sizes: Sequence[int]) -> None:
        top = self._builder.largest
        limit = top.last
        if limit is None or max(sizes) >= -limit:
            for image, size in zip(images, sizes, strict=True):
                if limit is None or size >= -limit:
                    top.offer(self._summary(image, size))

    def _summary(self, image: Image, size: int) -> ImageSummary:
        return ImageSummary(
            client_label=self._registry.label,
            registry=self._registry.found.name,
            repository=self._found.name,
            digest=image.digest,
            tags=image.tags,
            size=size,
            created_at=image.created_at,
        )

    def totals(self) -> RepositoryTotals:
        """Return the totals."""
        registry, repository = self._registry.found, self._found
        return RepositoryTotals(
            client_label=self._registry.label,
            registry_id=registry.id,
            registry=registry.name,
            repository=repository.name,
            type=None if repository.type is None else str(repository.type),
            size=None if repository.size is None else bounded(repository.size),
            updated_at=repository.updated_at,
            image_count=self._images,
            untagged_count=self._untagged,
            possible_part_count=self._untagged if self._holds_index else 0,
            total_size=self._size,
            untagged_size=self._untagged_size,
            possible_part_size=self._untagged_size if self._holds_index else 0,
            oldest=self._oldest,
            newest=self._newest,
        )


def _size_of(image: Image) -> int:
    size = image.size
    return sum(size for _, size in layer_pairs(image)) if size is None else size


class RegistryCounter:
    """Count what is in one registry."""

    def __init__(self, builder: "ReportBuilder", label: str | None, found: Registry) -> None:
        self.label = label
        self.found = found
        self.quota: Registry | None = None
        self._garbage: GarbageSize | None = None
        self._repositories: list[RepositoryCounter] = []
        self._builder = builder

    def add_repository(self, found: Repository) -> RepositoryCounter:
        """Count a repository."""
        counter = RepositoryCounter(self._builder, self, found)
        self._repositories.append(counter)
        return counter

    async def read(self, registries: AsyncRegistries, ask: Ask) -> None:
        """Read what a garbage collection would free.

        Args:
            registries: The registries of the project.
            ask: What sends the request.

        Raises:
            ContainerRegistryError: It cannot be read.
        """
        found = await ask(partial(registries.get_garbage_size, self.found.id))
        self._garbage = GarbageSize(
            bounded(found.non_referenced), bounded(found.untagged), bounded(found.total)
        )

    def totals(self) -> tuple[RegistryTotals, list[RepositoryTotals]]:
        """Return the totals, and those of the repositories."""
        rows = [repository.totals() for repository in self._repositories]
        quota = self.found if self.quota is None else self.quota
        whole = RegistryTotals(
            client_label=self.label,
            registry_id=self.found.id,
            registry=self.found.name,
            status=str(self.found.status),
            size=bounded(self.found.size),
            size_limit=None if quota.size_limit is None else bounded(quota.size_limit),
            used=quota.used,
            garbage=self._garbage,
            repository_count=len(rows),
            image_count=sum(row.image_count for row in rows),
            untagged_count=sum(row.untagged_count for row in rows),
            possible_part_count=sum(row.possible_part_count for row in rows),
            total_size=sum(row.total_size for row in rows),
            untagged_size=sum(row.untagged_size for row in rows),
            possible_part_size=sum(row.possible_part_size for row in rows),
        )
        return whole, rows


class ProjectCounter:
    """Count what is in one project."""

    def __init__(self, builder: "ReportBuilder", label: str | None) -> None:
        self._builder = builder
        self._label = label
        self._registries: dict[str, RegistryCounter] = {}

    def add_registry(self, found: Registry) -> RegistryCounter:
        """Count a registry."""
        counter = self._builder.add_registry(self._label, found)
        self._registries[found.id] = counter
        return counter

    async def read(self, registries: AsyncRegistries, ask: Ask) -> None:
        """Read the quotas, which only lists of API v1 tell. A report does without if need be.

        Args:
            registries: The registries of the project.
            ask: What sends the requests.
        """
        missing = dict(self._registries)
        size = max(DEFAULT_PAGE_SIZE, len(missing))
        source = page_source(registries.list(api_version=1, page_size=size))
        walk = Walk(source, 0)
        with suppress(ContainerRegistryError):
            while missing and not walk.done:
                page = walk.feed(await ask(partial(read_page, source, walk.offset, size)))
                for registry in page.items:
                    counter = missing.pop(registry.id, None)
                    if counter is not None:
                        counter.quota = registry


class ReportBuilder:
    """Count what a scan finds."""

    def __init__(self) -> None:
        # Months are numbered from the year 0 on.
        self.months: Counter[int] = Counter()
        self.largest = _Top(size_order)
        self.oldest = _Top(age_order)
        self._layers = Layers()
        self._registries: list[RegistryCounter] = []
        self._errors: list[ReportedError] = []

    def add_project(self, label: str | None) -> ProjectCounter:
        """Count a project."""
        return ProjectCounter(self, label)

    def add_registry(self, label: str | None, found: Registry) -> RegistryCounter:
        """Count a registry."""
        counter = RegistryCounter(self, label, found)
        self._registries.append(counter)
        return counter

    def add_layers(self, images: Sequence[Image]) -> None:
        """Count the layers of some images; an image that lists none counts as one layer."""
        self._layers.add(layer_sizes(images))
        self._layers.add(
            (image.digest, image.size) for image in images if not has_layers(image) and image.size
        )

    def add_error(
        self,
        label: str | None,
        registry: Registry | None,
        repository: Repository | None,
        error: Exception,
    ) -> None:
        """Note what could not be read."""
        self._errors.append(
            ReportedError(
                client_label=label,
                registry=None if registry is None else registry.name,
                repository=None if repository is None else repository.name,
                kind=type(error).__name__,
                # Without the URL, which says no more than the names beside it.
                message=error.message if isinstance(error, RequestError) else str(error),
                status=error.status if isinstance(error, ApiError) else None,
            )
        )

    def build(self, *, complete: bool, now: float) -> ScanReport:
        """Return the report.

        Args:
            complete: Whether everything was read.
            now: The Unix time in seconds.
        """
        counted = [registry.totals() for registry in self._registries]
        return ScanReport(
            registries=sorted_rows(whole for whole, _ in counted),
            repositories=sorted_rows(chain.from_iterable(rows for _, rows in counted)),
            largest_images=self.largest.images(),
            oldest_images=self.oldest.images(),
            images_by_month=_by_month(self.months),
            errors=tuple(self._errors),
            complete=complete,
            finished_at=datetime.fromtimestamp(now, UTC),
            layers=self._layers,
        )


def _by_month(months: Counter[int]) -> dict[str, int]:
    return {
        f"{month // 12:04}-{month % 12 + 1:02}": count for month, count in sorted(months.items())
    }
