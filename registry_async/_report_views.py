"""How reports look: as text, in a terminal, as HTML, as a data frame and as a picture."""

from collections.abc import Iterator, Sequence
from datetime import datetime
from typing import TYPE_CHECKING, Final

from attrs import frozen

from registry_async._report import RepositoryTotals, ScanReport

if TYPE_CHECKING:
    from rich.console import RenderableType

# So many repositories a table shows; the rest is one row.
_ROWS: Final = 40
_ERRORS: Final = 10
_UNITS: Final = ("KiB", "MiB", "GiB", "TiB", "PiB", "EiB")
_HEADINGS: Final = ("registry", "repository", "images", "untagged", "size", "last push")
# Which columns hold numbers, and are aligned to the right.
_NUMBERS: Final = frozenset({2, 3, 4})


def size_text(size: int) -> str:
    """Return a number of bytes for people: ``1.4 GiB``."""
    amount, unit = float(abs(size)), "B"
    for larger in _UNITS:
        if amount < 999.5:
            break
        amount, unit = amount / 1024, larger
    sign = "-" if size < 0 else ""
    decimals = 0 if unit == "B" or amount >= 99.95 else 1
    return f"{sign}{amount:.{decimals}f} {unit}"


def count_text(count: int) -> str:
    """Return a number for people: ``1,234``."""
    return f"{count:,}"


def count_of(count: int, one: str, many: str | None = None) -> str:
    """Return a number of things: ``1 image``, ``1,234 images``."""
    return f"{count:,} {one if count == 1 else many or one + 's'}"


def date_text(moment: datetime | None) -> str:
    """Return a time for people, to the day, in UTC."""
    return "-" if moment is None else f"{moment:%Y-%m-%d}"


def visible(text: str) -> str:
    """Return text in which nothing can steer a terminal."""
    return "".join(
        character if character.isprintable() else character.encode("unicode_escape").decode()
        for character in text
    )


@frozen
class _Table:
    """The rows of a table as people see them."""

    headings: tuple[str, ...]
    rows: list[tuple[str, ...]]
    # What is not shown for itself, if anything.
    others: tuple[str, ...] | None
    total: tuple[str, ...]
    numbers: frozenset[int]


def _table(report: ScanReport, limit: int) -> _Table:
    shown = sorted(report.repositories, key=lambda row: -row.total_size)[:limit]
    # A registry's repositories stay together, the largest first.
    weights: dict[tuple[str, str], int] = {}
    for row in shown:
        weights[_place(row)] = weights.get(_place(row), 0) + row.total_size
    shown.sort(
        key=lambda row: (-weights[_place(row)], _place(row), -row.total_size, row.repository)
    )
    labelled = any(row.client_label is not None for row in report.repositories)

    def line(label: str | None, registry: str, cells: tuple[str, ...]) -> tuple[str, ...]:
        first = (visible(label or ""),) if labelled else ()
        return (*first, visible(registry), *cells)

    rows: list[tuple[str, ...]] = []
    previous: tuple[str, str] | None = None
    for row in shown:
        again = _place(row) == previous
        previous = _place(row)
        rows.append(
            line("" if again else row.client_label, "" if again else row.registry, _cells(row))
        )
    hidden = report.repositories if not shown else _hidden(report.repositories, shown)
    total_cells = (
        count_of(report.repository_count, "repository", "repositories"),
        count_text(report.image_count),
        count_text(report.untagged_count),
        size_text(report.total_size),
        "",
    )
    total = line(None, count_of(report.registry_count, "registry", "registries"), total_cells)
    if labelled:
        projects = len({row.client_label for row in report.registries})
        total = (count_of(projects, "project"), *total[1:])
    return _Table(
        (("project", *_HEADINGS) if labelled else _HEADINGS),
        rows,
        line(None, "", _others(hidden)) if hidden else None,
        total,
        frozenset(column + labelled for column in _NUMBERS),
    )


def _place(row: RepositoryTotals) -> tuple[str, str]:
    return row.client_label or "", row.registry


def _cells(row: RepositoryTotals) -> tuple[str, ...]:
    return (
        visible(row.repository),
        count_text(row.image_count),
        count_text(row.untagged_count) if row.untagged_count else "-",
        size_text(row.total_size),
        date_text(row.last_push),
    )


def _hidden(
    every: Sequence[RepositoryTotals], shown: Sequence[RepositoryTotals]
) -> list[RepositoryTotals]:
    known = {id(row) for row in shown}
    return [row for row in every if id(row) not in known]


def _others(rows: Sequence[RepositoryTotals]) -> tuple[str, ...]:
    untagged = sum(row.untagged_count for row in rows)
    return (
        count_of(len(rows), "other", "others"),
        count_text(sum(row.image_count for row in rows)),
        count_text(untagged) if untagged else "-",
        size_text(sum(row.total_size for row in rows)),
        date_text(max((row.last_push for row in rows if row.last_push), default=None)),
    )


def _summary(report: ScanReport) -> str:
    parts = [
        f"each layer counted once: {size_text(report.unique_size)}",
        f"untagged: {size_text(report.untagged_size)}",
    ]
    return "; ".join(parts)


def _error_lines(report: ScanReport) -> Iterator[str]:
    if report.complete:
        return
    if not report.errors:
        yield "The scan was ended early: this is not everything."
        return
    yield f"Not everything could be read ({count_of(len(report.errors), 'error')}):"
    for error in report.errors[:_ERRORS]:
        names = (error.client_label, error.registry, error.repository)
        where = " / ".join(visible(name) for name in names if name is not None)
        yield f"  {where}{': ' if where else ''}{visible(f'{error.kind}: {error.message}')}"
    if len(report.errors) > _ERRORS:
        yield f"  and {len(report.errors) - _ERRORS:,} more"


def text(report: ScanReport) -> str:
    """Return a report as a table of plain text."""
    table = _table(report, _ROWS)
    lines = [table.headings, *table.rows]
    lines += [table.others] if table.others else []
    lines.append(table.total)
    widths = [max(len(line[column]) for line in lines) for column in range(len(table.headings))]

    def draw(cells: Sequence[str]) -> str:
        return "  ".join(
            cell.rjust(width) if column in table.numbers else cell.ljust(width)
            for column, (cell, width) in enumerate(zip(cells, widths, strict=True))
        ).rstrip()

    rule = "  ".join("-" * width for width in widths)
    drawn = [draw(table.headings), rule, *map(draw, lines[1:-1]), rule, draw(lines[-1])]
    return "\n".join([*drawn, _summary(report), *_error_lines(report)])


def rich_parts(report: ScanReport) -> "Iterator[RenderableType]":
    """Give what rich shows of a report."""
    from rich import box
    from rich.table import Table
    from rich.text import Text

    content = _table(report, _ROWS)
    table = Table(box=box.SIMPLE_HEAD, show_footer=True, footer_style="bold", pad_edge=False)
    for column, (heading, footer) in enumerate(zip(content.headings, content.total, strict=True)):
        number = column in content.numbers
        table.add_column(
            heading,
            Text(footer),
            justify="right" if number else "left",
            # Names give way where the terminal is narrow; numbers do not.
            no_wrap=number or heading == "last push",
            overflow="fold",
        )
    # Text, not str: names are no markup.
    for row in content.rows:
        table.add_row(*map(Text, row))
    if content.others:
        table.add_row(*map(Text, content.others), style="dim")
    yield table
    yield Text(_summary(report), style="dim")
    for number, line in enumerate(_error_lines(report)):
        yield Text(line, style="" if number else "bold red")
