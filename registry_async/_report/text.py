"""A report as lines of text, for `print` and for terminals of any width."""

from collections.abc import Iterator, Sequence
from textwrap import wrap
from typing import Any, Final, TextIO

from registry_async import _safe_text
from registry_async._report.columns import FULL, REPOSITORIES, shown
from registry_async._report.rows import (
    RegistryTotals,
    ReportContent,
    RepositoryTotals,
    garbage_of,
)
from registry_async._safe_text import visible
from registry_async._tables import Cells, Column, Table, count_of, fit, size_text

__all__ = [
    "ROWS",
    "error_lines",
    "labelled",
    "largest",
    "lines",
    "place",
    "quota_lines",
    "registry_name",
    "stored",
    "summary_lines",
    "write_csv",
]

# How many repositories a table shows; the rest is one row.
ROWS: Final = 40
_ERRORS: Final = 10

Line = tuple[str, str]


def labelled(report: ReportContent) -> bool:
    """Return whether there are projects to be told apart."""
    return any(row.client_label is not None for row in report.registries)


def stored(row: RepositoryTotals) -> int:
    """Return what a repository stores; where the service does not say, the bytes of its images."""
    return row.total_size if row.size is None else row.size


def place(row: RepositoryTotals) -> tuple[str, str]:
    """Return the project and the registry of a repository, to sort by."""
    return row.client_label or "", row.registry


def largest(
    report: ReportContent, limit: int
) -> tuple[list[RepositoryTotals], list[RepositoryTotals]]:
    """Return the repositories that store most, and all others."""
    ranked = sorted(report.repositories, key=lambda row: (-stored(row), place(row), row.repository))
    return ranked[:limit], ranked[limit:]


def registry_name(row: RegistryTotals | RepositoryTotals, divider: str = " / ") -> str:
    """Return the name of a registry, with that of its project, as safe text."""
    # Registries of different projects may have the same name.
    return divider.join(visible(name) for name in (row.client_label, row.registry) if name)


def lines(report: ReportContent, width: int | None) -> Iterator[Line]:
    """Give the lines of a report, each with a style of rich's.

    Args:
        report: The report.
        width: The characters that fit in a line; None for any number.
    """
    table = fit(_table(report), width)
    for line in table.heading:
        yield line, "bold"
    for line in table.rows:
        yield line, ""
    for line in table.others:
        yield line, "dim"
    for line in table.total:
        yield line, "bold"
    if table.left_out:
        left_out = f"Left out for lack of room: {', '.join(table.left_out)}."
        for part in _wrapped(left_out, width):
            yield part, "dim"
    yield "", ""
    for lines_of, style in ((summary_lines, "dim"), (quota_lines, "yellow")):
        for line in lines_of(report):
            for part in _wrapped(line, min(width or _SENTENCE, _SENTENCE)):
                yield part, style
    for index, line in enumerate(error_lines(report)):
        for part in _wrapped(line, width):
            yield part, "" if index else "bold red"


# Sentences are not wider than this, however wide the terminal is.
_SENTENCE: Final = 100


def _wrapped(line: str, width: int | None) -> list[str]:
    """Return a sentence as lines that are broken between words only."""
    if width is None:
        return [line]
    indent = "    " if line.startswith(" ") else ""
    return wrap(
        line,
        max(width, 20),
        subsequent_indent=indent,
        break_long_words=False,
        break_on_hyphens=False,
    )


def _table(report: ReportContent) -> Table:
    largest_rows, others = largest(report, ROWS)
    # A registry's repositories stay together, the registry that stores most first.
    weights: dict[tuple[str, str], int] = {}
    for row in largest_rows:
        weights[place(row)] = weights.get(place(row), 0) + stored(row)
    largest_rows.sort(key=lambda row: (-weights[place(row)], place(row)))
    columns = shown(REPOSITORIES, labelled=labelled(report))

    rows = list(_grouped(columns, largest_rows))
    for empty, note in _without_repositories(report):
        given = {"client_label": empty.client_label or "", "registry": empty.registry}
        rows.append(_worded(columns, (), given | {"repository": note}))
    projects = len({row.client_label for row in report.registries})
    total = _worded(
        columns,
        report.repositories,
        {
            "client_label": count_of(projects, "project"),
            "registry": count_of(report.registry_count, "registry", "registries"),
            "repository": count_of(report.repository_count, "repository", "repositories"),
            "last_change": "",
        },
    )
    count = count_of(len(others), "other", "others")
    return Table(
        columns=columns,
        rows=rows,
        others=_worded(columns, others, {"repository": count}) if others else (),
        total=total,
    )


def _grouped(columns: Sequence[Column[Any]], rows: Sequence[RepositoryTotals]) -> Iterator[Cells]:
    previous: tuple[str, str] | None = None
    for row in rows:
        again = place(row) == previous
        previous = place(row)
        yield tuple(
            "" if again and column.grouped else column.write(column.get(row)) for column in columns
        )


def _worded(
    columns: Sequence[Column[Any]], rows: Sequence[RepositoryTotals], words: dict[str, str]
) -> Cells:
    """Return the cells of a row that stands for several; some of them are given in words."""
    return tuple(
        visible(words[column.name]) if column.name in words else column.write(column.sum_of(rows))
        for column in columns
    )


def _without_repositories(report: ReportContent) -> Iterator[tuple[RegistryTotals, str]]:
    unread = {(error.client_label, error.registry) for error in report.errors}
    for row in report.registries:
        if not row.repository_count:
            failed = (row.client_label, row.registry) in unread
            yield row, "(not read)" if failed else "(no repositories)"


def write_csv(report: ReportContent, file: TextIO) -> None:
    """Write one row a repository, all columns, sizes in bytes."""
    _safe_text.write_csv(
        file,
        [column.name for column in REPOSITORIES],
        ([column.get(row) for column in REPOSITORIES] for row in report.repositories),
    )


def summary_lines(report: ReportContent) -> Iterator[str]:
    """Give what a table does not say, each kind of bytes by its name."""
    yield f"Stored: {size_text(report.stored_size)}, as the service says."
    yield (
        f"Image bytes: {size_text(report.total_size)}, shared layers counted each time."
        f" Unique bytes: {size_text(report.unique_size)}, each layer once."
    )
    if report.untagged_count:
        line = (
            f"Without a tag: {count_of(report.untagged_count, 'image')},"
            f" {size_text(report.untagged_size)}"
        )
        if report.possible_part_count:
            line += (
                f"; {report.possible_part_count:,} of them, {size_text(report.possible_part_size)},"
                " may be parts of multi-architecture images"
            )
        yield f"{line}."
    garbage = garbage_of(report.registries)
    if garbage is not None:
        unknown = sum(row.garbage is None for row in report.registries)
        missing = f" ({count_of(unknown, 'registry', 'registries')} not known)" if unknown else ""
        yield (
            "A garbage collection would free, as the service says:"
            f" {size_text(garbage.non_referenced)}, and with images without a tag"
            f" {size_text(garbage.total)}{missing}."
        )


def quota_lines(report: ReportContent) -> Iterator[str]:
    """Give the registries that are nearly full."""
    for row in report.registries:
        if row.used is not None and row.size_limit is not None and row.used >= FULL:
            limit = size_text(row.size_limit)
            yield f"{registry_name(row)} is {row.used:.0f}% full: its limit is {limit}."


def error_lines(report: ReportContent) -> Iterator[str]:
    """Give what is to be said of a report that is not whole."""
    if report.complete:
        return
    if not report.errors:
        yield "The scan was ended early: this is not everything."
        return
    yield f"Not everything could be read ({count_of(len(report.errors), 'error')}):"
    for error in report.errors[:_ERRORS]:
        names = (error.client_label, error.registry, error.repository)
        where = " / ".join(visible(name) for name in names if name is not None)
        status = "" if error.status is None else f"{error.status} "
        problem = visible(f"{error.kind}: {status}{error.message}")
        yield f"  {where}{': ' if where else ''}{problem}"
    if len(report.errors) > _ERRORS:
        yield f"  and {len(report.errors) - _ERRORS:,} more"
