"""What changed between two reports: its totals, and a table of repositories."""

from operator import attrgetter
from typing import Final

from attrs import field, frozen

from registry_async._plain import PlainData, plain_fields
from registry_async._report import html_tables
from registry_async._report.rows import TOTALS, RepositoryTotals
from registry_async._report.text import registry_name
from registry_async._tables import Column, Kind
from registry_async.models import BYTES

__all__ = ["ReportDiff"]

# How many changes are shown.
_CHANGES: Final = 20


@frozen(weakref_slot=False, kw_only=True)
class ReportDiff(PlainData):
    """What changed from one report to a later one. Counts and bytes are differences.

    Attributes:
        registry_count: The registries more, or less when it is negative.
        repository_count: How many more repositories there are; negative if fewer.
        image_count: The images more or less.
        untagged_count: The images without a tag more or less.
        possible_part_count: Those of them that may be parts, more or less.
        stored_size: The bytes stored in all registries more or less, as the service says.
        total_size: The bytes of all images more or less, shared layers counted each time.
        unique_size: The bytes of all layers, each counted once, more or less.
        untagged_size: The bytes of images without a tag more or less.
        possible_part_size: The bytes of those that may be parts, more or less.
        added: The repositories that are new.
        removed: The repositories that are gone.
        changed: The repositories that differ, before and after.
    """

    registry_count: int
    repository_count: int
    image_count: int
    untagged_count: int
    possible_part_count: int
    stored_size: int = field(metadata=BYTES)
    total_size: int = field(metadata=BYTES)
    unique_size: int = field(metadata=BYTES)
    untagged_size: int = field(metadata=BYTES)
    possible_part_size: int = field(metadata=BYTES)
    added: tuple[RepositoryTotals, ...]
    removed: tuple[RepositoryTotals, ...]
    changed: tuple[tuple[RepositoryTotals, RepositoryTotals], ...]

    def __bool__(self) -> bool:
        return bool(
            self.added
            or self.removed
            or self.changed
            or any(getattr(self, name) for name in TOTALS)
        )

    def __plain__(self, *, secrets: bool) -> dict[str, object]:
        return {
            "format": "registry_async.ReportDiff",
            "version": 1,
            **plain_fields(self, secrets=secrets),
        }

    @classmethod
    def __plain_schema__(cls) -> dict[str, object]:
        # Rows and totals are described where reports are.
        return {"title": cls.__name__, "type": "object", "required": ["format", "version"]}

    def __str__(self) -> str:
        changes = _changes(self)
        lines = [", ".join(f"{name} {value}" for name, value in _facts(self))]
        lines += map(_line, changes[:_CHANGES])
        if len(changes) > _CHANGES:
            lines.append(f"and {len(changes) - _CHANGES:,} more")
        return "\n".join(lines)

    def _repr_html_(self) -> str:
        changes = _changes(self)
        parts = [html_tables.facts((value, name) for name, value in _facts(self))]
        if changes:
            parts.append(html_tables.table(_COLUMNS, changes[:_CHANGES]))
        if len(changes) > _CHANGES:
            parts.append(f"<p>and {len(changes) - _CHANGES:,} more</p>")
        return html_tables.fragment(parts)


@frozen
class _Change:
    """One repository that changed, and by how much.

    Attributes:
        kind: ``added``, ``removed`` or ``changed``.
        row: The repository, as it is or was.
        before: The totals before; those of an empty repository if it is new.
        after: The totals after; those of an empty repository if it is gone.
    """

    kind: str
    row: RepositoryTotals
    before: RepositoryTotals | None
    after: RepositoryTotals | None

    def difference(self, name: str) -> int:
        """Return how much more there is of a number than before."""
        return _value(self.after, name) - _value(self.before, name)


def _value(row: RepositoryTotals | None, name: str) -> int:
    found: int | None = None if row is None else getattr(row, name)
    return found or 0


def _difference(name: str, heading: str, kind: Kind) -> Column[_Change]:
    return Column(name=name, heading=heading, kind=kind, get=lambda change: change.difference(name))


_COLUMNS: Final[tuple[Column[_Change], ...]] = (
    Column(name="kind", heading="change", get=attrgetter("kind")),
    Column(name="registry", heading="registry", get=lambda change: registry_name(change.row)),
    Column(name="repository", heading="repository", get=attrgetter("row.repository"), names=True),
    _difference("image_count", "images", Kind.COUNT_CHANGE),
    _difference("untagged_count", "untagged", Kind.COUNT_CHANGE),
    _difference("possible_part_count", "maybe parts", Kind.COUNT_CHANGE),
    _difference("size", "stored", Kind.BYTES_CHANGE),
    _difference("total_size", "image bytes", Kind.BYTES_CHANGE),
)


def _line(change: _Change) -> str:
    where, repository, *rest = (column.write(column.get(change)) for column in _COLUMNS[1:])
    images, untagged, parts, stored, total = rest
    return (
        f"{change.kind:8} {where}/{repository}: {images} images, {untagged} untagged"
        f" ({parts} maybe parts), {stored} stored, {total} image bytes"
    )


def _changes(diff: ReportDiff) -> list[_Change]:
    """Return what changed, the largest changes first."""
    changes = [
        *(_Change("added", row, None, row) for row in diff.added),
        *(_Change("removed", row, row, None) for row in diff.removed),
        *(_Change("changed", after, before, after) for before, after in diff.changed),
    ]
    changes.sort(
        key=lambda change: (
            -abs(change.difference("size")),
            -abs(change.difference("total_size")),
            -abs(change.difference("image_count")),
            change.row.client_label or "",
            change.row.registry,
            change.row.repository,
        )
    )
    return changes


def _facts(diff: ReportDiff) -> list[tuple[str, str]]:
    count, size = (
        Column[int](name="", kind=kind, get=int).write
        for kind in (Kind.COUNT_CHANGE, Kind.BYTES_CHANGE)
    )
    return [
        ("registries", count(diff.registry_count)),
        ("repositories", count(diff.repository_count)),
        ("images", count(diff.image_count)),
        ("untagged", count(diff.untagged_count)),
        ("of them maybe parts", count(diff.possible_part_count)),
        ("stored", size(diff.stored_size)),
        ("image bytes", size(diff.total_size)),
        ("unique bytes", size(diff.unique_size)),
    ]
