"""The columns of reports, each declared once: text, terminals, HTML, CSV, frames and JSON use them.

A new column of repositories is a field in `rows`, a line here, and what counts it in `counting`.
"""

from collections.abc import Iterable
from datetime import datetime
from operator import attrgetter
from typing import Any, Final

from registry_async._report.rows import ImageSummary, RegistryTotals, RepositoryTotals
from registry_async._safe_text import visible
from registry_async._tables import Column, Kind, size_text

__all__ = ["FULL", "IMAGES", "REGISTRIES", "REPOSITORIES", "shown"]

# From this percentage on, a registry's quota is worth a word.
FULL: Final = 90.0


def _column(name: str, heading: str | None = None, **options: Any) -> Column[Any]:
    return Column(name=name, heading=heading, get=attrgetter(name), **options)


def _latest(moments: Iterable[datetime]) -> datetime:
    return max(moments)


def _count(name: str, heading: str, **options: Any) -> Column[Any]:
    return _column(name, heading, kind=Kind.COUNT, total=sum, **options)


def _bytes(name: str, heading: str | None = None, **options: Any) -> Column[Any]:
    return _column(name, heading, kind=Kind.BYTES, total=sum, **options)


def _last_change(row: RepositoryTotals) -> datetime | None:
    return row.last_change


def _collectable(row: RegistryTotals) -> int | None:
    return None if row.garbage is None else row.garbage.non_referenced


def _collectable_untagged(row: RegistryTotals) -> int | None:
    return None if row.garbage is None else row.garbage.untagged


def _quota(row: RegistryTotals) -> str:
    if row.used is None or row.size_limit is None:
        return "-"
    return f"{row.used:.0f}% of {size_text(row.size_limit)}"


def _used(row: RegistryTotals) -> float | None:
    if row.used is None or row.size_limit is None:
        return None
    return min(max(row.used / 100, 0.0), 1.0)


def _place(row: ImageSummary) -> str:
    return f"{row.registry}/{row.repository}"


def _digest(row: ImageSummary) -> str:
    return visible(row.digest)[: len("sha256:") + 12]


_PROJECT: Final = {"names": True, "grouped": True}

REPOSITORIES: Final[tuple[Column[RepositoryTotals], ...]] = (
    _column("client_label", "project", **_PROJECT),
    _column("registry_id"),
    _column("registry", "registry", names=True, grouped=True),
    _column("repository", "repository", names=True),
    _column("type"),
    _count("image_count", "images", gives_way=5, zero_is_shown=True),
    _count("untagged_count", "untagged", gives_way=4),
    _count("possible_part_count", "maybe parts", gives_way=3),
    _bytes("size", "stored", bar=True),
    _bytes("total_size", "image bytes", gives_way=1),
    _bytes("untagged_size"),
    _bytes("possible_part_size"),
    _column("updated_at", kind=Kind.DAY),
    Column(
        name="last_change",
        heading="last change",
        kind=Kind.DAY,
        get=_last_change,
        total=_latest,
        gives_way=2,
    ),
    _column("oldest", kind=Kind.DAY),
    _column("newest", kind=Kind.DAY),
)

REGISTRIES: Final[tuple[Column[RegistryTotals], ...]] = (
    _column("client_label", "project", **_PROJECT),
    _column("registry", "registry", names=True),
    _column("status", "status"),
    _count("repository_count", "repositories", zero_is_shown=True),
    _count("image_count", "images", zero_is_shown=True),
    _count("untagged_count", "untagged"),
    _count("possible_part_count", "maybe parts"),
    _bytes("size", "stored", bar=True),
    _bytes("total_size", "image bytes"),
    Column(name="garbage", heading="garbage", kind=Kind.BYTES, get=_collectable, total=sum),
    Column(
        name="untagged_garbage",
        heading="untagged garbage",
        kind=Kind.BYTES,
        get=_collectable_untagged,
        total=sum,
    ),
    Column(name="quota", heading="quota", get=_quota, share=_used),
)

IMAGES: Final[tuple[Column[ImageSummary], ...]] = (
    _column("client_label", "project", **_PROJECT),
    Column(name="repository", heading="repository", get=_place, names=True),
    Column(name="tags", heading="tags", get=lambda row: row.tags),
    Column(name="digest", heading="digest", get=_digest),
    _bytes("size", "image bytes"),
    _column("created_at", "built", kind=Kind.DAY),
)


def shown(columns: Iterable[Column[Any]], *, labelled: bool) -> tuple[Column[Any], ...]:
    """Return the columns that people see.

    Args:
        columns: All columns.
        labelled: Whether there are projects to be told apart.
    """
    return tuple(
        column
        for column in columns
        if column.heading is not None and (labelled or column.name != "client_label")
    )
