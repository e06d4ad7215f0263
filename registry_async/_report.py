"""Totals of a scan: what is where, what it weighs, and what could go."""

import json
import struct
from base64 import b64decode, b64encode
from bisect import insort
from collections import Counter
from collections.abc import Callable, Iterable, Mapping
from contextlib import suppress
from datetime import UTC, datetime
from functools import partial
from hashlib import blake2b
from itertools import chain
from operator import attrgetter, itemgetter
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, TypeVar, cast

from attrs import asdict, field, frozen, has

from registry_async._pagination import DEFAULT_PAGE_SIZE, Walk, page_source, read_page
from registry_async._resources import AsyncRegistries
from registry_async._tasks import Ask
from registry_async.errors import ApiError, ContainerRegistryError, RequestError
from registry_async.models import GarbageSize, Image, Registry, Repository

if TYPE_CHECKING:
    from matplotlib.figure import Figure
    from pandas import DataFrame
    from rich.console import Console, ConsoleOptions, RenderResult

__all__ = [
    "ImageSummary",
    "RegistryTotals",
    "ReportDiff",
    "ReportedError",
    "RepositoryTotals",
    "ScanReport",
]

# So many of the largest and of the oldest images are kept.
_TOP: Final = 10
_FORMAT: Final = "registry_async.ScanReport/1"


@frozen(weakref_slot=False, kw_only=True)
class RepositoryTotals:
    """What a scan found in one repository.

    Attributes:
        client_label: The label of the client that found it.
        registry_id: The id of the registry.
        registry: The name of the registry.
        repository: The name of the repository.
        type: What it holds, as the service says.
        size: The bytes stored, as the service says.
        updated_at: When it last changed, in UTC: its last push.
        image_count: The images.
        untagged_count: The images without a tag.
        total_size: The bytes of all images, shared layers counted each time.
        untagged_size: The bytes of the images without a tag, counted the same way.
        oldest: When the oldest image was built, in UTC.
        newest: When the newest image was built, in UTC.
    """

    client_label: str | None
    registry_id: str
    registry: str
    repository: str
    type: str | None = None
    size: int | None = None
    updated_at: datetime | None = None
    image_count: int = 0
    untagged_count: int = 0
    total_size: int = 0
    untagged_size: int = 0
    oldest: datetime | None = None
    newest: datetime | None = None

    @property
    def last_push(self) -> datetime | None:
        """When it last changed, or where the service does not say, its newest image was built."""
        return self.updated_at or self.newest


@frozen(weakref_slot=False, kw_only=True)
class RegistryTotals:
    """What a scan found in one registry.

    Attributes:
        client_label: The label of the client that found it.
        registry_id: The id of the registry.
        registry: The name of the registry.
        status: Its status.
        size: The bytes stored, as the service says.
        size_limit: The most bytes that it may hold; None where the service does not say.
        used: The percentage of ``size_limit`` in use; None where the service does not say.
        repository_count: The repositories.
        image_count: The images.
        untagged_count: The images without a tag.
        total_size: The bytes of all images, shared layers counted each time.
        untagged_size: The bytes of the images without a tag, counted the same way.
    """

    client_label: str | None
    registry_id: str
    registry: str
    status: str
    size: int
    size_limit: int | None = None
    used: float | None = None
    repository_count: int = 0
    image_count: int = 0
    untagged_count: int = 0
    total_size: int = 0
    untagged_size: int = 0


@frozen(weakref_slot=False, kw_only=True)
class ImageSummary:
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

    client_label: str | None
    registry: str
    repository: str
    digest: str
    tags: tuple[str, ...]
    size: int
    created_at: datetime | None


@frozen(weakref_slot=False, kw_only=True)
class ReportedError:
    """Something that could not be read, in words.

    Attributes:
        client_label: The label of the client that asked.
        registry: The name of the registry; None when the failure is one of the whole project.
        repository: The name of the repository; None when it is one of the whole registry.
        kind: The name of the error's class, such as ``ServerError``.
        message: What the error says.
        status: The HTTP status, where the service answered with one.
    """

    client_label: str | None
    registry: str | None
    repository: str | None
    kind: str
    message: str
    status: int | None = None


class _Layers:
    """Sizes by layer, each layer once.

    Each digest is kept as a number of 127 bits, in which no two agree by chance: it takes a
    third of the memory of the text, and of the space in JSON.
    """

    # Signed: a size that makes no sense, such as -1, is no reason to lose a report.
    _PACKED: Final = struct.Struct("<16sq")

    def __init__(self, sizes: dict[int, int] | None = None) -> None:
        self.sizes: dict[int, int] = {} if sizes is None else sizes

    def __eq__(self, other: object) -> bool:
        return isinstance(other, _Layers) and self.sizes == other.sizes

    __hash__ = None  # type: ignore[assignment]

    def __repr__(self) -> str:
        return f"<{len(self.sizes)} layers>"

    def add(self, image: Image) -> None:
        """Add the layers of an image, or the image itself when it lists none."""
        sizes = self.sizes
        for layer in image.layers:
            sizes.setdefault(_short(layer.digest), layer.size)
        if not image.layers and image.size:
            sizes.setdefault(_short(image.digest), image.size)

    def total(self) -> int:
        """Return the bytes of all layers."""
        return sum(self.sizes.values())

    def pack(self) -> str:
        """Return the layers as text."""
        pack = self._PACKED.pack
        parts = (pack(key.to_bytes(16), size) for key, size in sorted(self.sizes.items()))
        return b64encode(b"".join(parts)).decode()

    @classmethod
    def unpack(cls, text: str) -> "_Layers":
        """Read what `pack` gave."""
        packed = b64decode(text, validate=True)
        return cls({int.from_bytes(key): size for key, size in cls._PACKED.iter_unpack(packed)})


# A prime: all bits of a digest count, and numbers that are small stay what they are.
_FOLD: Final = 2**127 - 1


def _short(digest: str) -> int:
    if digest.startswith("sha256:") and len(digest) == 71:
        try:
            return int(digest[7:], 16) % _FOLD
        except ValueError:
            # No hexadecimal digits: a digest that the service made up.
            return _hash(digest)
    return _hash(digest)


def _hash(digest: str) -> int:
    return int.from_bytes(blake2b(digest.encode(), digest_size=16).digest()) % _FOLD


@frozen(weakref_slot=False, kw_only=True)
class ScanReport:
    """What a scan found, in totals. It prints as a table and shows as one in notebooks.

    Sizes are in bytes. Where an image does not say its size, that of its layers is taken.

    Attributes:
        registries: The totals of each registry, by client label and name.
        repositories: The totals of each repository, by client label, registry and name.
        largest_images: The ten largest images.
        oldest_images: The ten images that were built first.
        images_by_month: How many images were built in each month (``2025-06``), in order.
        errors: What could not be read.
        complete: Whether everything was read, without an error.
        finished_at: When the scan ended, in UTC. Reports that differ in nothing else are equal.
    """

    registries: tuple[RegistryTotals, ...] = ()
    repositories: tuple[RepositoryTotals, ...] = ()
    largest_images: tuple[ImageSummary, ...] = ()
    oldest_images: tuple[ImageSummary, ...] = ()
    images_by_month: Mapping[str, int] = field(factory=dict[str, int])
    errors: tuple[ReportedError, ...] = ()
    complete: bool = True
    finished_at: datetime | None = field(default=None, eq=False)
    _layers: _Layers = field(factory=_Layers, alias="layers")

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
        """How many images have no tag."""
        return sum(row.untagged_count for row in self.repositories)

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

    def merge(self, *reports: "ScanReport") -> "ScanReport":
        """Return one report of several: ``ScanReport.merge(a, b)`` or ``a.merge(b)``.

        Reports are added up, so they should be of different projects. Only layers are matched:
        each counts once in ``unique_size``, in however many reports it is.

        Args:
            *reports: The further reports.
        """
        every = (self, *reports)
        layers: dict[int, int] = {}
        months: Counter[str] = Counter()
        for report in every:
            layers.update(report._layers.sizes)
            months.update(report.images_by_month)
        largest, oldest = _largest(), _oldest()
        for report in every:
            for image in report.largest_images:
                largest.offer(image)
            for image in report.oldest_images:
                oldest.offer(image)
        return ScanReport(
            registries=_sorted_rows(chain(*(report.registries for report in every))),
            repositories=_sorted_rows(chain(*(report.repositories for report in every))),
            largest_images=largest.images(),
            oldest_images=oldest.images(),
            images_by_month=dict(sorted(months.items())),
            errors=tuple(chain(*(report.errors for report in every))),
            complete=all(report.complete for report in every),
            finished_at=max(
                (report.finished_at for report in every if report.finished_at), default=None
            ),
            layers=_Layers(layers),
        )

    def diff(self, other: "ScanReport") -> "ReportDiff":
        """Return what has changed in this report since an earlier one.

        Args:
            other: The earlier report.
        """
        before = {_key(row): row for row in other.repositories}
        after = {_key(row): row for row in self.repositories}
        return ReportDiff(
            registry_count=self.registry_count - other.registry_count,
            repository_count=self.repository_count - other.repository_count,
            image_count=self.image_count - other.image_count,
            untagged_count=self.untagged_count - other.untagged_count,
            total_size=self.total_size - other.total_size,
            unique_size=self.unique_size - other.unique_size,
            untagged_size=self.untagged_size - other.untagged_size,
            added=tuple(row for key, row in after.items() if key not in before),
            removed=tuple(row for key, row in before.items() if key not in after),
            changed=tuple(
                (before[key], row)
                for key, row in after.items()
                if key in before and before[key] != row
            ),
        )

    def to_json(self) -> str:
        """Return the whole report as JSON, for `from_json`.

        The totals are in it for other programs to read. Its ``layers`` are what `merge` needs.
        """
        document = _document(self) | {"layers": self._layers.pack()}
        return json.dumps(document, ensure_ascii=False, indent=1)

    @classmethod
    def from_json(cls, text: str | bytes) -> "ScanReport":
        """Return the report that `to_json` wrote.

        Args:
            text: The JSON.

        Raises:
            ValueError: It is no such report.
        """
        try:
            document: object = json.loads(text)
        except (ValueError, RecursionError) as error:
            raise ValueError("the text is no report: it is not JSON") from error
        return _read_report(document)

    def to_dataframe(self) -> "DataFrame":
        """Return a data frame with one row a repository (extra ``pandas``).

        Counts and sizes are Int64, times datetime64[ns, UTC].

        Raises:
            ConfigurationError: pandas is not installed.
        """
        from registry_async._report_views import dataframe

        return dataframe(self)

    def to_html(self, path: str | Path | None = None) -> str:
        """Return the report as an HTML document that needs nothing beside it.

        Args:
            path: A file to write it to as well.

        Raises:
            OSError: The file cannot be written.
        """
        from registry_async._report_views import html_document

        document = html_document(self)
        if path is not None:
            Path(path).write_text(document, encoding="utf-8")
        return document

    def plot(self) -> "Figure":
        """Draw the largest repositories and the ages of images (extra ``plot``).

        Returns:
            A matplotlib figure, which notebooks show; ``savefig()`` writes it to a file.

        Raises:
            ConfigurationError: matplotlib is not installed.
        """
        from registry_async._report_views import figure

        return figure(self)

    def __repr__(self) -> str:
        return (
            f"<{type(self).__name__} of {self.registry_count} registries,"
            f" {self.repository_count} repositories, {self.image_count} images:"
            f" {'complete' if self.complete else f'{len(self.errors)} errors'}>"
        )

    def __str__(self) -> str:
        from registry_async._report_views import text

        return text(self)

    def _repr_html_(self) -> str:
        from registry_async._report_views import html_fragment

        return html_fragment(self)

    def __rich_console__(self, console: "Console", options: "ConsoleOptions") -> "RenderResult":
        from registry_async._report_views import rich_parts

        yield from rich_parts(self, options.max_width)


_TOTALS: Final = (
    "registry_count",
    "repository_count",
    "image_count",
    "untagged_count",
    "total_size",
    "unique_size",
    "untagged_size",
)


@frozen(weakref_slot=False, kw_only=True)
class ReportDiff:
    """What changed from one report to a later one. Counts and bytes are differences.

    Attributes:
        registry_count: The registries more, or less when it is negative.
        repository_count: The repositories more or less.
        image_count: The images more or less.
        untagged_count: The images without a tag more or less.
        total_size: The bytes of all images more or less.
        unique_size: The bytes of all layers, each counted once, more or less.
        untagged_size: The bytes of images without a tag more or less.
        added: The repositories that are new.
        removed: The repositories that are gone.
        changed: The repositories that differ, before and after.
    """

    registry_count: int
    repository_count: int
    image_count: int
    untagged_count: int
    total_size: int
    unique_size: int
    untagged_size: int
    added: tuple[RepositoryTotals, ...]
    removed: tuple[RepositoryTotals, ...]
    changed: tuple[tuple[RepositoryTotals, RepositoryTotals], ...]

    def __bool__(self) -> bool:
        return bool(
            self.added or self.removed or self.changed or self.registry_count or self.unique_size
        )

    def __str__(self) -> str:
        from registry_async._report_views import diff_text

        return diff_text(self)

    def _repr_html_(self) -> str:
        from registry_async._report_views import diff_html

        return diff_html(self)


def _key(row: RepositoryTotals) -> tuple[str | None, str, str]:
    return row.client_label, row.registry_id, row.repository


RowT = TypeVar("RowT", RegistryTotals, RepositoryTotals)


def _sorted_rows(rows: Iterable[RowT]) -> tuple[RowT, ...]:
    def order(row: RowT) -> tuple[str, str, str]:
        name = row.repository if isinstance(row, RepositoryTotals) else row.registry_id
        return row.client_label or "", row.registry, name

    return tuple(sorted(rows, key=order))


class _Top:
    """Keep the first few images of an order, ties broken by where they are.

    Args:
        rank: What the order goes by, the first first.
    """

    def __init__(self, rank: Callable[[ImageSummary], Any]) -> None:
        self._rank = rank
        self._kept: list[tuple[tuple[Any, ...], ImageSummary]] = []

    def admits(self, rank: Any) -> bool:
        """Say whether an image of this rank may be among the first."""
        return len(self._kept) < _TOP or rank <= self._kept[-1][0][0]

    def offer(self, image: ImageSummary) -> None:
        """Take an image if it is among the first."""
        place = (image.client_label or "", image.registry, image.repository, image.digest)
        insort(self._kept, ((self._rank(image), *place), image), key=itemgetter(0))
        del self._kept[_TOP:]

    def images(self) -> tuple[ImageSummary, ...]:
        """Return the first few, in order."""
        return tuple(image for _, image in self._kept)


def _largest() -> _Top:
    return _Top(lambda image: -image.size)


def _oldest() -> _Top:
    return _Top(attrgetter("created_at"))


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
        self._oldest: datetime | None = None
        self._newest: datetime | None = None

    def add(self, images: Iterable[Image]) -> None:
        """Count a page of images."""
        builder = self._builder
        for image in images:
            size = image.size
            if size is None:
                size = sum(layer.size for layer in image.layers)
            self._images += 1
            self._size += size
            if not image.tags:
                self._untagged += 1
                self._untagged_size += size
            builder.layers.add(image)
            created_at = image.created_at
            if created_at is not None:
                builder.months[created_at.year, created_at.month] += 1
                if self._oldest is None or created_at < self._oldest:
                    self._oldest = created_at
                if self._newest is None or created_at > self._newest:
                    self._newest = created_at
                if builder.oldest.admits(created_at):
                    builder.oldest.offer(self._summary(image, size))
            if builder.largest.admits(-size):
                builder.largest.offer(self._summary(image, size))

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
            size=repository.size,
            updated_at=repository.updated_at,
            image_count=self._images,
            untagged_count=self._untagged,
            total_size=self._size,
            untagged_size=self._untagged_size,
            oldest=self._oldest,
            newest=self._newest,
        )


class RegistryCounter:
    """Count what is in one registry."""

    def __init__(self, builder: "ReportBuilder", label: str | None, found: Registry) -> None:
        self.label = label
        self.found = found
        self.quota: Registry | None = None
        self.garbage: GarbageSize | None = None
        self.repositories: list[RepositoryCounter] = []
        self._builder = builder

    def add_repository(self, found: Repository) -> RepositoryCounter:
        """Count a repository."""
        counter = RepositoryCounter(self._builder, self, found)
        self.repositories.append(counter)
        return counter

    async def read(self, registries: AsyncRegistries, ask: Ask) -> None:
        """Read what a garbage collection would free.

        Args:
            registries: The registries of the project.
            ask: What sends the request.
        """
        self.garbage = await ask(partial(registries.get_garbage_size, self.found.id))

    def totals(self, rows: Iterable[RepositoryTotals]) -> RegistryTotals:
        """Return the totals, given those of the repositories."""
        rows = list(rows)
        quota = self.found if self.quota is None else self.quota
        return RegistryTotals(
            client_label=self.label,
            registry_id=self.found.id,
            registry=self.found.name,
            status=str(self.found.status),
            size=self.found.size,
            size_limit=quota.size_limit,
            used=quota.used,
            repository_count=len(rows),
            image_count=sum(row.image_count for row in rows),
            untagged_count=sum(row.untagged_count for row in rows),
            total_size=sum(row.total_size for row in rows),
            untagged_size=sum(row.untagged_size for row in rows),
        )


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
    """Count what a scan finds. It keeps a row a repository and a number a layer, no images."""

    def __init__(self) -> None:
        self.layers = _Layers()
        self.months: Counter[tuple[int, int]] = Counter()
        self.largest = _largest()
        self.oldest = _oldest()
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
        registries: list[RegistryTotals] = []
        repositories: list[RepositoryTotals] = []
        for registry in self._registries:
            rows = [repository.totals() for repository in registry.repositories]
            registries.append(registry.totals(rows))
            repositories.extend(rows)
        months = sorted(self.months.items())
        return ScanReport(
            registries=_sorted_rows(registries),
            repositories=_sorted_rows(repositories),
            largest_images=self.largest.images(),
            oldest_images=self.oldest.images(),
            images_by_month={f"{year:04}-{month:02}": count for (year, month), count in months},
            errors=tuple(self._errors),
            complete=complete,
            finished_at=datetime.fromtimestamp(now, UTC),
            layers=self.layers,
        )


def _plain(value: object) -> object:
    if isinstance(value, datetime):
        return value.isoformat()
    if isinstance(value, tuple):
        return [_plain(item) for item in cast("tuple[object, ...]", value)]
    if has(type(value)):
        return {
            name: _plain(item) for name, item in asdict(cast("Any", value), recurse=False).items()
        }
    return value


def _document(report: ScanReport) -> dict[str, object]:
    """Return all of a report but its layers, as JSON has it."""
    return {
        "format": _FORMAT,
        "complete": report.complete,
        "finished_at": _plain(report.finished_at),
        **{name: getattr(report, name) for name in _TOTALS},
        "registries": _plain(report.registries),
        "repositories": _plain(report.repositories),
        "largest_images": _plain(report.largest_images),
        "oldest_images": _plain(report.oldest_images),
        "images_by_month": dict(report.images_by_month),
        "errors": _plain(report.errors),
    }


def _read_report(document: object) -> ScanReport:
    if not isinstance(document, dict) or document.get("format") != _FORMAT:  # pyright: ignore[reportUnknownMemberType]
        raise ValueError(f"the JSON is no report of format {_FORMAT}")
    found = dict(cast("dict[str, Any]", document))
    from cattrs.preconf.json import make_converter

    converter = make_converter(detailed_validation=False)
    converter.register_structure_hook(_Layers, lambda packed, _: _Layers.unpack(packed))
    packed = found.pop("layers", None)
    try:
        report = converter.structure(found | {"_layers": packed}, ScanReport)
    except (ValueError, TypeError, LookupError, AttributeError, struct.error) as error:
        raise ValueError(f"the report is damaged: {error}") from error
    # cattrs makes text of a number and a number of text: what differs afterwards was wrong.
    if _document(report) != found:
        raise ValueError("the report is damaged: some values are not of their types")
    return report
