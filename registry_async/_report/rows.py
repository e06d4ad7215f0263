"""What reports hold, as plain values: a row a registry, a row a repository, and their totals."""

from collections.abc import Iterable, Mapping
from datetime import datetime
from typing import Final

from attrs import field, frozen

from registry_async._plain import PlainData
from registry_async._report.layers import Layers
from registry_async.models import BYTES, GarbageSize

__all__ = [
    "TOTALS",
    "ImageSummary",
    "RegistryTotals",
    "ReportContent",
    "ReportedError",
    "RepositoryTotals",
    "garbage_of",
]


@frozen(weakref_slot=False, kw_only=True)
class RepositoryTotals(PlainData):
    """What a scan found in one repository.

    Attributes:
        client_label: The label of the client that found it.
        registry_id: The id of the registry.
        registry: The name of the registry.
        repository: The name of the repository.
        type: What it holds, as the service says.
        size: The bytes stored, as the service says.
        updated_at: When it last changed, in UTC: a push, a deletion or a cleanup.
        image_count: The images.
        untagged_count: The images without a tag.
        possible_part_count: Those images without a tag that may be parts of multi-architecture
            images, since the repository holds an index: all of them, or none.
        total_size: The bytes of all images, shared layers counted each time.
        untagged_size: The bytes of the images without a tag, counted the same way.
        possible_part_size: The bytes of those that may be parts, counted the same way.
        oldest: When the oldest image was built, in UTC.
        newest: When the image that was built last was built, in UTC.
    """

    client_label: str | None = None
    registry_id: str
    registry: str
    repository: str
    type: str | None = None
    size: int | None = field(default=None, metadata=BYTES)
    updated_at: datetime | None = None
    image_count: int = 0
    untagged_count: int = 0
    possible_part_count: int = 0
    total_size: int = field(default=0, metadata=BYTES)
    untagged_size: int = field(default=0, metadata=BYTES)
    possible_part_size: int = field(default=0, metadata=BYTES)
    oldest: datetime | None = None
    newest: datetime | None = None

    @property
    def last_change(self) -> datetime | None:
        """When it last changed, or where the service does not say, its newest image was built."""
        return self.updated_at or self.newest

    @property
    def last_push(self) -> datetime | None:
        """The former name of ``last_change``, which need not have been a push."""
        return self.last_change


@frozen(weakref_slot=False, kw_only=True)
class RegistryTotals(PlainData):
    """What a scan found in one registry.

    Attributes:
        client_label: The label of the client that found it.
        registry_id: The id of the registry.
        registry: The name of the registry.
        status: Its status.
        size: The bytes stored, as the service says.
        size_limit: The most bytes that it may hold; None where the service does not say.
        used: The percentage of ``size_limit`` in use; None where the service does not say.
        garbage: What a garbage collection would free, as the service says; None where that could
            not be read.
        repository_count: The repositories.
        image_count: The images.
        untagged_count: The images without a tag.
        possible_part_count: Those of them that may be parts of multi-architecture images.
        total_size: The bytes of all images, shared layers counted each time.
        untagged_size: The bytes of the images without a tag, counted the same way.
        possible_part_size: The bytes of those that may be parts, counted the same way.
    """

    client_label: str | None = None
    registry_id: str
    registry: str
    status: str
    size: int = field(metadata=BYTES)
    size_limit: int | None = field(default=None, metadata=BYTES)
    used: float | None = None
    garbage: GarbageSize | None = None
    repository_count: int = 0
    image_count: int = 0
    untagged_count: int = 0
    possible_part_count: int = 0
    total_size: int = field(default=0, metadata=BYTES)
    untagged_size: int = field(default=0, metadata=BYTES)
    possible_part_size: int = field(default=0, metadata=BYTES)


@frozen(weakref_slot=False, kw_only=True)
class ImageSummary(PlainData):
    """One of the largest or oldest images.

    Attributes:
        client_label: The label of the client that found it.
        registry: The name of the registry.
        repository: The name of the repository.
        digest: The digest.
        tags: The tags.
        size: The bytes of all its parts.
        created_at: When it was built, in UTC.
    """

    client_label: str | None = None
    registry: str
    repository: str
    digest: str
    tags: tuple[str, ...]
    size: int = field(metadata=BYTES)
    created_at: datetime | None = None


@frozen(weakref_slot=False, kw_only=True)
class ReportedError(PlainData):
    """Something that could not be read, in words.

    Attributes:
        client_label: The label of the client that asked.
        registry: The name of the registry; None when the failure is one of the whole project.
        repository: The name of the repository; None when it is one of the whole registry.
        kind: The name of the error's class, such as ``ServerError``.
        message: What the error says.
        status: The HTTP status, where the service answered with one.
    """

    client_label: str | None = None
    registry: str | None = None
    repository: str | None = None
    kind: str
    message: str
    status: int | None = None


# The totals of a report that JSON shows and that differences are made of, besides the counts of
# registries and repositories.
TOTALS: Final = (
    "registry_count",
    "repository_count",
    "image_count",
    "untagged_count",
    "possible_part_count",
    "stored_size",
    "total_size",
    "unique_size",
    "untagged_size",
    "possible_part_size",
)


@frozen(weakref_slot=False, kw_only=True)
class ReportContent:
    """What is in a report, for its views. Users see it as a `ScanReport`."""

    registries: tuple[RegistryTotals, ...] = ()
    repositories: tuple[RepositoryTotals, ...] = ()
    largest_images: tuple[ImageSummary, ...] = ()
    oldest_images: tuple[ImageSummary, ...] = ()
    images_by_month: Mapping[str, int] = field(factory=dict[str, int])
    errors: tuple[ReportedError, ...] = ()
    complete: bool = True
    finished_at: datetime | None = field(default=None, eq=False)
    _layers: Layers = field(factory=Layers, alias="layers")

    @property
    def registry_count(self) -> int:
        """How many registries there are."""
        return len(self.registries)

    @property
    def repository_count(self) -> int:
        """How many repositories there are."""
        return len(self.repositories)

    @property
    def image_count(self) -> int:
        """How many images there are, each repository's counted for itself."""
        return sum(row.image_count for row in self.repositories)

    @property
    def untagged_count(self) -> int:
        """How many images have no tag. Some of them may be parts of others."""
        return sum(row.untagged_count for row in self.repositories)

    @property
    def possible_part_count(self) -> int:
        """How many images without a tag are in a repository that holds an index.

        They may be parts of multi-architecture images, which are in use though they have no tag.
        """
        return sum(row.possible_part_count for row in self.repositories)

    @property
    def stored_size(self) -> int:
        """The bytes stored in all registries, as the service says."""
        return sum(row.size for row in self.registries)

    @property
    def total_size(self) -> int:
        """The bytes of all images, layers that images share counted each time."""
        return sum(row.total_size for row in self.repositories)

    @property
    def unique_size(self) -> int:
        """The bytes of all layers, each layer counted once.

        An image that lists no layers counts as one layer.
        """
        return self._layers.total()

    @property
    def shared_size(self) -> int:
        """The bytes by which ``total_size`` is larger than ``unique_size``."""
        return self.total_size - self.unique_size

    @property
    def untagged_size(self) -> int:
        """The bytes of images without a tag, layers counted each time."""
        return sum(row.untagged_size for row in self.repositories)

    @property
    def possible_part_size(self) -> int:
        """The bytes of images without a tag that may be parts, layers counted each time."""
        return sum(row.possible_part_size for row in self.repositories)


def garbage_of(registries: Iterable[RegistryTotals]) -> GarbageSize | None:
    """Return what collections in several registries would free, as far as known."""
    known = [row.garbage for row in registries if row.garbage is not None]
    if not known:
        return None
    return GarbageSize(
        sum(each.non_referenced for each in known),
        sum(each.untagged for each in known),
        sum(each.total for each in known),
    )
