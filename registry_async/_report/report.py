"""The report of a scan, as users see it: shown, saved, read, merged and compared."""

from collections import Counter
from collections.abc import Iterable
from itertools import chain
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, TypeVar

from attrs import frozen

from registry_async._display import frame_of
from registry_async._plain import PlainData, to_json
from registry_async._report import columns, html, saved, text
from registry_async._report.diff import ReportDiff
from registry_async._report.layers import Layers
from registry_async._report.rows import (
    TOTALS,
    ImageSummary,
    RegistryTotals,
    ReportContent,
    RepositoryTotals,
)

if TYPE_CHECKING:
    from matplotlib.figure import Figure
    from pandas import DataFrame
    from rich.console import Console, ConsoleOptions, RenderResult

__all__ = ["TOP", "ScanReport", "age_order", "size_order", "sorted_rows"]

# How many of the largest and of the oldest images are kept.
TOP: Final = 10


@frozen(weakref_slot=False, kw_only=True)
class ScanReport(ReportContent, PlainData):
    """What a scan found, in totals. It prints as a table and shows as one in notebooks.

    Sizes are in bytes. *Stored* is what the service says; ``total_size`` is the sum over images,
    shared layers counted each time; ``unique_size`` counts each layer once. Where an image does
    not say its size, that of its layers is taken.

    An image without a tag need not be unused: the parts of multi-architecture images have none.
    What a garbage collection would free is each registry's ``garbage``.

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

    def merge(self, *reports: "ScanReport") -> "ScanReport":
        """Return one report of several: ``ScanReport.merge(a, b)`` or ``a.merge(b)``.

        Reports are added up, so they should be of different projects. Only layers are matched:
        each counts once in ``unique_size``, in however many reports it is.

        Args:
            *reports: The further reports.
        """
        every = (self, *reports)
        months: Counter[str] = Counter()
        for report in every:
            months.update(report.images_by_month)
        largest = chain.from_iterable(report.largest_images for report in every)
        oldest = chain.from_iterable(report.oldest_images for report in every)
        return ScanReport(
            registries=sorted_rows(chain.from_iterable(report.registries for report in every)),
            repositories=sorted_rows(chain.from_iterable(report.repositories for report in every)),
            largest_images=tuple(sorted(largest, key=size_order)[:TOP]),
            oldest_images=tuple(sorted(oldest, key=age_order)[:TOP]),
            images_by_month=dict(sorted(months.items())),
            errors=tuple(chain.from_iterable(report.errors for report in every)),
            complete=all(report.complete for report in every),
            finished_at=max(
                (report.finished_at for report in every if report.finished_at), default=None
            ),
            layers=Layers.merged(report._layers for report in every),
        )

    def diff(self, other: "ScanReport") -> ReportDiff:
        """Return what has changed in this report since an earlier one.

        Args:
            other: The earlier report.
        """
        before = {_key(row): row for row in other.repositories}
        after = {_key(row): row for row in self.repositories}
        return ReportDiff(
            **{name: getattr(self, name) - getattr(other, name) for name in TOTALS},
            added=tuple(row for key, row in after.items() if key not in before),
            removed=tuple(row for key, row in before.items() if key not in after),
            changed=tuple(
                (before[key], row)
                for key, row in after.items()
                if key in before and before[key] != row
            ),
        )

    def to_json(self) -> str:
        """Return the whole report as JSON, for `from_json` and for other programs.

        It has ``format`` and ``version``, the totals, and the fields of the report by their names.
        ``layers`` and ``large_layers`` are what `merge` needs. Later versions may add members.
        """
        return to_json(self)

    @classmethod
    def from_json(cls, text: str | bytes) -> "ScanReport":
        """Return the report that `to_json` wrote.

        Members that are not known are ignored, and missing ones get defaults, so that files of
        older and newer versions can be read.

        Args:
            text: The JSON.

        Raises:
            ValueError: It is no report, or something in it is not what it should be. The message
                names the place.
        """
        return cls(**saved.read(text))

    def to_dataframe(self) -> "DataFrame":
        """Return a data frame with one row a repository (extra ``pandas``).

        Counts and sizes are Int64, times datetime64[ns, UTC].

        Raises:
            ConfigurationError: pandas is not installed.
        """
        return frame_of(self.repositories, columns.REPOSITORIES)

    def to_html(self, path: str | Path | None = None) -> str:
        """Return the report as an HTML document that needs nothing beside it.

        Args:
            path: A file to write it to as well.

        Raises:
            OSError: The file cannot be written.
        """
        document = html.document(self)
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
        from registry_async._report.plot import figure

        return figure(self)

    def __plain__(self, *, secrets: bool) -> dict[str, object]:
        return saved.written(self, self._layers)

    @classmethod
    def __plain_schema__(cls) -> dict[str, object]:
        return saved.schema(cls.__name__)

    def __repr__(self) -> str:
        return (
            f"<{type(self).__name__} of {self.registry_count} registries,"
            f" {self.repository_count} repositories, {self.image_count} images:"
            f" {'complete' if self.complete else f'{len(self.errors)} errors'}>"
        )

    def __str__(self) -> str:
        return "\n".join(line for line, _ in text.lines(self, None))

    def _repr_html_(self) -> str:
        return html.fragment(self)

    def __rich_console__(self, console: "Console", options: "ConsoleOptions") -> "RenderResult":
        from rich.text import Text

        for line, style in text.lines(self, options.max_width):
            # Text, not str: names are no markup. Only a name wider than the whole terminal is
            # folded, unless `soft_wrap` leaves it to the terminal.
            yield Text(line, style)


def _key(row: RepositoryTotals) -> tuple[str | None, str, str]:
    return row.client_label, row.registry_id, row.repository


RowT = TypeVar("RowT", RegistryTotals, RepositoryTotals)


def sorted_rows(rows: Iterable[RowT]) -> tuple[RowT, ...]:
    """Return rows by project, registry and name."""

    def order(row: RowT) -> tuple[str, str, str]:
        name = row.repository if isinstance(row, RepositoryTotals) else row.registry_id
        return row.client_label or "", row.registry, name

    return tuple(sorted(rows, key=order))


def size_order(image: ImageSummary) -> tuple[Any, ...]:
    """Return the key of an image among the largest: they come first."""
    return -image.size, image.client_label or "", image.registry, image.repository, image.digest


def age_order(image: ImageSummary) -> tuple[Any, ...]:
    """Return the key of an image, built at a known time, among the oldest: they come first."""
    return (
        image.created_at,
        image.client_label or "",
        image.registry,
        image.repository,
        image.digest,
    )
