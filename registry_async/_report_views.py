"""How reports look: as text, in a terminal, as HTML, as a data frame and as a picture."""

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from datetime import datetime
from html import escape
from io import BytesIO
from types import MethodType
from typing import TYPE_CHECKING, Any, Final, TextIO, cast

from attrs import fields, frozen

from registry_async import _safe_text
from registry_async._display import UNITS, size_text, to_dataframe
from registry_async._report import (
    ImageSummary,
    RegistryTotals,
    ReportDiff,
    RepositoryTotals,
    ScanReport,
)
from registry_async._safe_text import visible
from registry_async.errors import ConfigurationError

if TYPE_CHECKING:
    from matplotlib.figure import Figure
    from pandas import DataFrame
    from rich.console import RenderableType

# So many repositories a table shows; the rest is one row.
_ROWS: Final = 40
_ERRORS: Final = 10
# From this percentage on, a registry's quota is worth a word.
_FULL: Final = 90.0
_HEADINGS: Final = ("registry", "repository", "images", "untagged", "size", "last push")
# Which columns hold numbers, and are aligned to the right.
_NUMBERS: Final = frozenset({2, 3, 4})
# What gives way in a narrow terminal: the characters that a name has at least, before columns are
# left out, in this order. Between columns there are so many characters.
_NAMES: Final = ("project", "registry", "repository")
_NAME_WIDTH: Final = 14
_DISPENSABLE: Final = ("last push", "untagged", "images")
_GAP: Final = 3


def count_text(count: int) -> str:
    """Return a number for people: ``1,234``."""
    return f"{count:,}"


def count_of(count: int, one: str, many: str | None = None) -> str:
    """Return a number of things: ``1 image``, ``1,234 images``."""
    return f"{count:,} {one if count == 1 else many or one + 's'}"


def date_text(moment: datetime | None) -> str:
    """Return a time for people, to the day, in UTC."""
    return "-" if moment is None else f"{moment:%Y-%m-%d}"


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
    rows += [
        line(row.client_label, row.registry, (note, "-", "-", "-", "-"))
        for row, note in _without_repositories(report)
    ]
    hidden = _hidden(report.repositories, shown)
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


def _registry_name(row: RegistryTotals | RepositoryTotals, divider: str = " / ") -> str:
    # Registries of different projects may have the same name.
    return divider.join(visible(name) for name in (row.client_label, row.registry) if name)


def _without_repositories(report: ScanReport) -> Iterator[tuple[RegistryTotals, str]]:
    unread = {(error.client_label, error.registry) for error in report.errors}
    for row in report.registries:
        if not row.repository_count:
            failed = (row.client_label, row.registry) in unread
            yield row, "(not read)" if failed else "(no repositories)"


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
    return (
        f"Each layer counted once: {size_text(report.unique_size)}."
        f" Images without a tag: {size_text(report.untagged_size)}."
    )


def _quota_lines(report: ScanReport) -> Iterator[str]:
    for row in report.registries:
        if row.used is not None and row.size_limit is not None and row.used >= _FULL:
            limit = size_text(row.size_limit)
            yield f"{_registry_name(row)} is {row.used:.0f}% full: its limit is {limit}."


def error_lines(report: ScanReport) -> Iterator[str]:
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
    return "\n".join([*drawn, "", _summary(report), *_quota_lines(report), *error_lines(report)])


def _without(cells: tuple[str, ...], column: int) -> tuple[str, ...]:
    return (*cells[:column], *cells[column + 1 :])


def _fitted(table: _Table, width: int) -> _Table:
    """Leave out columns that a narrow terminal has no place for: cut names and numbers mislead."""
    for heading in _DISPENSABLE:
        lines = [table.headings, *table.rows, table.others or table.total, table.total]
        widths = [max(map(len, cells)) for cells in zip(*lines, strict=True)]
        names = {table.headings.index(name) for name in _NAMES if name in table.headings}
        for column in names:
            widths[column] = min(widths[column], _NAME_WIDTH)
        if sum(widths) + _GAP * (len(widths) - 1) <= width:
            break
        column = table.headings.index(heading)
        table = _Table(
            _without(table.headings, column),
            [_without(row, column) for row in table.rows],
            None if table.others is None else _without(table.others, column),
            _without(table.total, column),
            frozenset(each - (each > column) for each in table.numbers if each != column),
        )
    return table


def rich_parts(report: ScanReport, width: int) -> "Iterator[RenderableType]":
    """Give what rich shows of a report.

    Args:
        report: The report.
        width: The characters that fit in a line.
    """
    from rich import box
    from rich.table import Table
    from rich.text import Text

    content = _fitted(_table(report, _ROWS), width)
    table = Table(
        box=box.SIMPLE_HEAD,
        show_edge=False,
        show_footer=True,
        footer_style="bold",
        pad_edge=False,
    )
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
    yield Text()
    yield Text(_summary(report), style="dim")
    for line in _quota_lines(report):
        yield Text(line, style="yellow")
    for index, line in enumerate(error_lines(report)):
        yield Text(line, style="" if index else "bold red")


def write_csv(report: ScanReport, file: TextIO) -> None:
    """Write one row a repository, all columns, sizes in bytes."""
    names = [attribute.name for attribute in fields(RepositoryTotals)]
    _safe_text.write_csv(
        file, names, ([getattr(row, name) for name in names] for row in report.repositories)
    )


def dataframe(report: ScanReport) -> "DataFrame":
    """Return one row a repository, all columns, typed even when there is no row."""
    return to_dataframe(report.repositories, RepositoryTotals)


def figure(report: ScanReport) -> "Figure":
    """Draw sizes by repository beside ages of images."""
    try:
        from matplotlib.figure import Figure
    except ImportError:
        raise ConfigurationError(
            "a plot needs matplotlib: pip install 'registry-async[plot]'"
        ) from None
    ranked = sorted(report.repositories, key=lambda row: (-row.total_size, _place(row)))
    shown, rest = ranked[:_BARS], ranked[_BARS:]
    # Made without pyplot, which would keep every figure of the process alive. matplotlib's types
    # leave much open; Any says so once.
    drawn: Any = Figure(figsize=(12, max(3.2, 1.6 + 0.3 * len(shown))), layout="constrained")
    sizes, ages = drawn.subplots(1, 2, width_ratios=[3, 2])
    _draw_sizes(sizes, shown, rest)
    _draw_ages(ages, report)
    # Notebooks know figures only once pyplot was imported.
    drawn._repr_png_ = MethodType(_png, drawn)
    return cast("Figure", drawn)


def _png(drawn: Any) -> bytes:
    file = BytesIO()
    drawn.savefig(file, format="png")
    return file.getvalue()


_BARS: Final = 20
_TAGGED: Final = "#4477aa"
_UNTAGGED: Final = "#ee8866"
# More months than this are drawn as years.
_MONTHS: Final = 36
_YEARS: Final = 20
_AGE_LABELS: Final = 4


def _shorten(text: str, length: int) -> str:
    # Fonts lack most of what is not ASCII; names in registries hold nothing else.
    text = visible(text).encode("ascii", "backslashreplace").decode()
    if len(text) <= length:
        return text
    half = (length - 3) // 2
    return f"{text[:half]}...{text[-half:]}"


def _draw_sizes(
    axes: Any, shown: Sequence[RepositoryTotals], rest: Sequence[RepositoryTotals]
) -> None:
    from matplotlib.ticker import MaxNLocator

    axes.set_title("Size by repository", loc="left")
    if not shown:
        _draw_nothing(axes)
        return
    # Round ticks are round in the unit that they are written in.
    unit = size_text(shown[0].total_size).partition(" ")[2]
    scale = 1024 ** UNITS.index(unit)
    labels = [_shorten(f"{_registry_name(row, '/')}/{row.repository}", 44) for row in shown]
    tagged = [(row.total_size - row.untagged_size) / scale for row in shown]
    untagged = [row.untagged_size / scale for row in shown]
    places = range(len(shown))
    axes.barh(places, tagged, color=_TAGGED, label="tagged")
    axes.barh(places, untagged, left=tagged, color=_UNTAGGED, label="untagged")
    axes.set_yticks(places, labels, parse_math=False)
    # The largest on top; few bars are not to look like walls.
    axes.set_ylim(max(len(shown), 5) - 0.5, -0.6)
    axes.xaxis.set_major_locator(MaxNLocator(6, steps=[1, 2, 5, 10]))
    axes.xaxis.set_major_formatter(f"{{x:g}} {unit}")
    axes.spines[["top", "right"]].set_visible(False)
    if any(untagged):
        axes.legend(loc="lower right", bbox_to_anchor=(1, 1), ncols=2, frameon=False)
    if rest:
        # As a bar they would dwarf all others.
        size = size_text(sum(row.total_size for row in rest))
        axes.set_xlabel(f"and {count_of(len(rest), 'other')}, {size} together", loc="left")


def _draw_ages(axes: Any, report: ScanReport) -> None:
    from matplotlib.ticker import MaxNLocator

    axes.set_title("Images by when they were built", loc="left")
    if not report.images_by_month:
        _draw_nothing(axes)
        return
    labels, counts = _ages(report.images_by_month)
    axes.bar(range(len(labels)), counts, color=_TAGGED, width=0.9)
    axes.set_xlim(-0.5, max(len(labels), 8) - 0.5)
    step = -(-len(labels) // _AGE_LABELS)
    axes.set_xticks(range(0, len(labels), step), labels[::step])
    axes.yaxis.set_major_locator(MaxNLocator(integer=True))
    axes.set_ylabel("images")
    axes.spines[["top", "right"]].set_visible(False)


def _ages(months: Mapping[str, int]) -> tuple[list[str], list[int]]:
    """Return bars without gaps: months, or years where there are many months."""
    numbers = {int(month[:4]) * 12 + int(month[5:]) - 1: count for month, count in months.items()}
    first, last = min(numbers), max(numbers)
    if last - first < _MONTHS:
        every = range(first, last + 1)
        return (
            [f"{number // 12}-{number % 12 + 1:02}" for number in every],
            [numbers.get(number, 0) for number in every],
        )
    years: Counter[int] = Counter()
    for number, count in numbers.items():
        years[number // 12] += count
    # A clock that was wrong once must not squeeze all others into one bar.
    oldest = max(min(years), max(years) - _YEARS + 1)
    early = sum(count for year, count in years.items() if year < oldest)
    every = range(oldest, max(years) + 1)
    bars = [(str(year), years[year]) for year in every]
    if early:
        bars.insert(0, ("older", early))
    return [label for label, _ in bars], [count for _, count in bars]


def _draw_nothing(axes: Any) -> None:
    axes.set_axis_off()
    axes.text(0.5, 0.5, "nothing", ha="center", va="center", color="gray", transform=axes.transAxes)


_STYLE: Final = """
.registry-report { font: 14px/1.45 system-ui, sans-serif; max-width: 75em; }
.registry-report table { border-collapse: collapse; margin: .4em 0 1.4em; width: 100%; }
.registry-report th, .registry-report td {
  padding: .25em .8em; text-align: left; vertical-align: top;
  border-bottom: 1px solid rgba(128, 128, 128, .25);
}
.registry-report th { border-bottom: 2px solid rgba(128, 128, 128, .5); white-space: nowrap; }
.registry-report .w { overflow-wrap: anywhere; min-width: 9em; }
.registry-report .n { text-align: right; white-space: nowrap; font-variant-numeric: tabular-nums; }
.registry-report .d { white-space: nowrap; }
.registry-report tr.rest td { opacity: .7; font-style: italic; }
.registry-report h3 { margin: 1em 0 .2em; font-size: 1.1em; }
.registry-report .facts { display: flex; flex-wrap: wrap; gap: .6em 2.2em; margin: .6em 0 1.2em; }
.registry-report .facts b { display: block; font-size: 1.5em; font-weight: 600; }
.registry-report .bar {
  display: inline-block; width: 7em; height: .7em; margin-right: .6em;
  background: rgba(128, 128, 128, .2);
}
.registry-report .amount { display: inline-block; min-width: 5em; }
.registry-report .bar i { display: block; height: 100%; background: #4477aa; }
.registry-report .bar i.full { background: #cc3311; }
.registry-report .problems {
  border-left: 4px solid #cc3311; padding: .3em 1em; margin: .6em 0 1.2em;
  overflow-wrap: anywhere;
}
.registry-report .problems ul { margin: .3em 0; padding-left: 1.2em; }
.registry-report summary { cursor: pointer; font-weight: 600; }
"""


def _html(value: str) -> str:
    return escape(visible(value))


def html_document(report: ScanReport) -> str:
    """Return a whole document that needs nothing beside it."""
    when = "" if report.finished_at is None else f" {report.finished_at:%Y-%m-%d %H:%M} UTC"
    return f"""<!DOCTYPE html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>Registry report{when}</title>
<style>body {{ margin: 2em auto; max-width: 75em; padding: 0 1em; color: #222; }}</style>
</head>
<body>
<h2 style="font: 600 1.5em system-ui, sans-serif">Registry report{when}</h2>
{html_fragment(report)}
</body>
</html>
"""


def html_fragment(report: ScanReport) -> str:
    """Return what a notebook shows of a report."""
    parts = [_html_facts(report), _html_problems(report)]
    if report.registries:
        parts += ["<h3>Registries</h3>", _html_registries(report)]
    if report.repositories:
        parts += ["<h3>Repositories</h3>", _html_repositories(report)]
    for title, images in (
        ("Largest images", report.largest_images),
        ("Oldest images", report.oldest_images),
    ):
        if images:
            parts.append(
                f"<details><summary>{title}</summary>{_html_images(report, images)}</details>"
            )
    body = "\n".join(part for part in parts if part)
    return f'<div class="registry-report">\n<style>{_STYLE}</style>\n{body}\n</div>'


def _html_facts(report: ScanReport) -> str:
    facts = (
        count_of(report.registry_count, "registry", "registries").split(" "),
        count_of(report.repository_count, "repository", "repositories").split(" "),
        count_of(report.image_count, "image").split(" "),
        (count_text(report.untagged_count), "without a tag"),
        (size_text(report.total_size), "in all images"),
        (size_text(report.unique_size), "each layer once"),
        (size_text(report.untagged_size), "without a tag"),
    )
    cells = "".join(f"<span><b>{value}</b>{name}</span>" for value, name in facts)
    return f'<div class="facts">{cells}</div>'


def _html_problems(report: ScanReport) -> str:
    lines = [*_quota_lines(report), *error_lines(report)]
    if not lines:
        return ""
    items = "".join(f"<div>{escape(line)}</div>" for line in lines)
    return f'<div class="problems">{items}</div>'


def _html_table(
    headings: Sequence[str], rows: Iterable[Sequence[str]], classes: Sequence[str], rest: str = ""
) -> str:
    """Return a table of cells that are HTML already."""
    head = "".join(
        f'<th class="{kind}">{name}</th>' for name, kind in zip(headings, classes, strict=True)
    )
    body = "".join(
        "<tr>"
        + "".join(
            f'<td class="{kind}">{cell}</td>' for cell, kind in zip(row, classes, strict=True)
        )
        + "</tr>\n"
        for row in rows
    )
    return f"<table><thead><tr>{head}</tr></thead>\n<tbody>{body}{rest}</tbody></table>"


def _html_cell(cell: str, kind: str) -> str:
    return f'<td class="{kind}">{cell}</td>'


def _html_registries(report: ScanReport) -> str:
    labelled = _labelled(report)

    def row(registry: RegistryTotals) -> list[str]:
        return [
            *([_html(registry.client_label or "")] if labelled else []),
            _html(registry.registry),
            _html(registry.status),
            count_text(registry.repository_count),
            count_text(registry.image_count),
            count_text(registry.untagged_count),
            size_text(registry.total_size),
            size_text(registry.size),
            _html_quota(registry),
        ]

    ranked = sorted(report.registries, key=lambda registry: -registry.total_size)
    return _html_table(
        [
            *(["project"] if labelled else []),
            *("registry", "status", "repositories", "images", "untagged", "all images"),
            *("stored", "quota"),
        ],
        map(row, ranked),
        [*(["d"] if labelled else []), "d", "d", "n", "n", "n", "n", "n", "d"],
    )


def _html_quota(registry: RegistryTotals) -> str:
    if registry.used is None or registry.size_limit is None:
        return "-"
    width = min(max(registry.used, 0.0), 100.0)
    full = ' class="full"' if registry.used >= _FULL else ""
    return (
        f'<span class="bar"><i{full} style="width: {width:.1f}%"></i></span>'
        f"{registry.used:.0f}% of {size_text(registry.size_limit)}"
    )


def _html_repositories(report: ScanReport) -> str:
    ranked = sorted(report.repositories, key=lambda row: (-row.total_size, _place(row)))
    shown, rest = ranked[:_ROWS], ranked[_ROWS:]
    labelled = _labelled(report)
    largest = max(1, ranked[0].total_size)

    def cells(row: RepositoryTotals) -> list[str]:
        width = 100 * row.total_size / largest
        bar = f'<span class="bar"><i style="width: {width:.1f}%"></i></span>'
        name, images, untagged, size, pushed = _cells(row)
        first = [_html(row.client_label or "")] if labelled else []
        sized = f'{bar}<span class="amount">{size}</span>'
        return [*first, _html(row.registry), escape(name), images, untagged, sized, pushed]

    classes = [*(["d"] if labelled else []), "d", "w", "n", "n", "n", "d"]
    headings = [*(["project"] if labelled else []), *_HEADINGS]
    others = ""
    if rest:
        columns = ["", *([""] if labelled else []), *_others(rest)]
        others = f'<tr class="rest">{"".join(map(_html_cell, columns, classes))}</tr>'
    return _html_table(headings, map(cells, shown), classes, others)


def _html_images(report: ScanReport, images: Iterable[ImageSummary]) -> str:
    labelled = _labelled(report)

    def row(image: ImageSummary) -> list[str]:
        return [
            *([_html(image.client_label or "")] if labelled else []),
            _html(f"{image.registry}/{image.repository}"),
            _html(", ".join(image.tags)) or "<i>none</i>",
            f"<code>{_html(image.digest[:19])}</code>",
            size_text(image.size),
            date_text(image.created_at),
        ]

    return _html_table(
        [*(["project"] if labelled else []), "repository", "tags", "digest", "size", "built"],
        map(row, images),
        [*(["d"] if labelled else []), "w", "w", "d", "n", "d"],
    )


def _labelled(report: ScanReport) -> bool:
    return any(row.client_label is not None for row in report.registries)


_CHANGES: Final = 20


def _change_rows(diff: ReportDiff) -> list[tuple[str, str, str, int, int]]:
    """Return what changed, the largest changes first: kind, where, images and bytes more."""
    rows = [
        *(("added", row, row.image_count, row.total_size) for row in diff.added),
        *(("removed", row, -row.image_count, -row.total_size) for row in diff.removed),
        *(
            (
                "changed",
                after,
                after.image_count - before.image_count,
                after.total_size - before.total_size,
            )
            for before, after in diff.changed
        ),
    ]
    rows.sort(key=lambda row: (-abs(row[3]), -abs(row[2]), _place(row[1]), row[1].repository))
    return [
        (kind, _registry_name(row), visible(row.repository), images, size)
        for kind, row, images, size in rows
    ]


def _diff_facts(diff: ReportDiff) -> list[tuple[str, str]]:
    return [
        ("registries", f"{diff.registry_count:+,}"),
        ("repositories", f"{diff.repository_count:+,}"),
        ("images", f"{diff.image_count:+,}"),
        ("untagged", f"{diff.untagged_count:+,}"),
        ("size", _signed(diff.total_size)),
        ("each layer once", _signed(diff.unique_size)),
    ]


def _signed(size: int) -> str:
    return ("+" if size > 0 else "") + size_text(size)


def diff_text(diff: ReportDiff) -> str:
    """Return a difference as plain text."""
    lines = [", ".join(f"{name} {value}" for name, value in _diff_facts(diff))]
    rows = _change_rows(diff)
    for kind, registry, repository, images, size in rows[:_CHANGES]:
        lines.append(f"{kind:8} {registry}/{repository}: {images:+,} images, {_signed(size)}")
    if len(rows) > _CHANGES:
        lines.append(f"and {len(rows) - _CHANGES:,} more")
    return "\n".join(lines)


def diff_html(diff: ReportDiff) -> str:
    """Return a difference as notebooks show it."""
    facts = "".join(f"<span><b>{value}</b>{name}</span>" for name, value in _diff_facts(diff))
    rows = _change_rows(diff)
    table = _html_table(
        ("", "registry", "repository", "images", "size"),
        [
            (kind, escape(registry), escape(repository), f"{images:+,}", _signed(size))
            for kind, registry, repository, images, size in rows[:_CHANGES]
        ],
        ("", "", "", "n", "n"),
        f'<tr class="rest"><td colspan="5">and {len(rows) - _CHANGES:,} more</td></tr>'
        if len(rows) > _CHANGES
        else "",
    )
    return (
        f'<div class="registry-report">\n<style>{_STYLE}</style>\n'
        f'<div class="facts">{facts}</div>\n{table if rows else ""}\n</div>'
    )
