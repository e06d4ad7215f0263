"""Tables and figures of reports as HTML that needs nothing beside it, in notebooks and files."""

from collections.abc import Iterable, Sequence
from typing import Any, Final

from registry_async._safe_text import html_text
from registry_async._tables import Column

__all__ = ["facts", "fragment", "table"]

# The class is written twice: so these rules go before those of notebooks, which align all cells to
# the right. Words are not broken: a table that is too wide scrolls.
_STYLE: Final = """
.registry-report.registry-report { font: 14px/1.45 system-ui, sans-serif; max-width: 84em; }
.registry-report.registry-report .scroll { overflow-x: auto; margin: .4em 0 1.4em; }
.registry-report.registry-report table {
  border-collapse: collapse; margin: 0; min-width: 60%; table-layout: auto; font-size: 13px;
}
.registry-report.registry-report th, .registry-report.registry-report td {
  padding: .25em .6em; text-align: left; vertical-align: top; white-space: nowrap;
  max-width: none; border: 0; border-bottom: 1px solid rgba(128, 128, 128, .25);
}
.registry-report.registry-report th { border-bottom: 2px solid rgba(128, 128, 128, .5); }
.registry-report.registry-report .n {
  text-align: right; font-variant-numeric: tabular-nums;
}
.registry-report.registry-report .several { white-space: normal; min-width: 12em; }
.registry-report.registry-report .several span { white-space: nowrap; }
.registry-report.registry-report tr.rest td { opacity: .7; font-style: italic; }
.registry-report.registry-report h3 { margin: 1em 0 .2em; font-size: 1.1em; }
.registry-report.registry-report .facts {
  display: flex; flex-wrap: wrap; gap: .6em 2.2em; margin: .6em 0 1.2em;
}
.registry-report.registry-report .facts b { display: block; font-size: 1.5em; font-weight: 600; }
.registry-report.registry-report .bar {
  display: inline-block; width: 4em; height: .7em; margin-right: .4em;
  background: rgba(128, 128, 128, .2);
}
.registry-report.registry-report .bar i { display: block; height: 100%; background: #4477aa; }
.registry-report.registry-report .bar i.full { background: #cc3311; }
.registry-report.registry-report .amount { display: inline-block; min-width: 4.5em; }
.registry-report.registry-report .note { margin: .2em 0; }
.registry-report.registry-report .problems {
  border-left: 4px solid #cc3311; padding: .3em 1em; margin: .6em 0 1.2em; overflow-x: auto;
}
.registry-report.registry-report summary { cursor: pointer; font-weight: 600; }
"""
# From this share on a bar is red where it stands for a limit.
_FULL: Final = 0.9


def fragment(parts: Iterable[str]) -> str:
    """Return parts of HTML as one, with their style."""
    body = "\n".join(part for part in parts if part)
    return f'<div class="registry-report">\n<style>{_STYLE}</style>\n{body}\n</div>'


def facts(values: Iterable[tuple[str, str]]) -> str:
    """Return figures in large letters, each with what it is."""
    cells = "".join(
        f"<span><b>{html_text(value)}</b>{html_text(name)}</span>" for value, name in values
    )
    return f'<div class="facts">{cells}</div>'


def table(columns: Sequence[Column[Any]], rows: Sequence[Any], rest: Sequence[str] = ()) -> str:
    """Return a table.

    Args:
        columns: Its columns.
        rows: What the columns take their values from.
        rest: The cells of a last row that stands for what is not shown.
    """
    scales = {column.name: _scale(column, rows) for column in columns if column.bar}
    heads = "".join(
        f'<th class="{_class(column)}">{html_text(column.heading or column.name)}</th>'
        for column in columns
    )
    body = "".join(
        f"<tr>{''.join(_cell(column, row, scales.get(column.name)) for column in columns)}</tr>\n"
        for row in rows
    )
    last = "".join(
        f'<td class="{_class(column)}">{html_text(cell)}</td>'
        for column, cell in zip(columns, rest, strict=False)
    )
    return (
        f'<div class="scroll"><table><thead><tr>{heads}</tr></thead>\n<tbody>{body}'
        f"{f'<tr class=rest>{last}</tr>' if last else ''}</tbody></table></div>"
    )


def _class(column: Column[Any]) -> str:
    return "n" if column.kind.is_number else ""


def _scale(column: Column[Any], rows: Sequence[Any]) -> int:
    return max([1, *(_size(column, row) for row in rows)])


def _size(column: Column[Any], row: Any) -> int:
    found: Any = column.get(row)
    return 0 if found is None else int(found)


def _cell(column: Column[Any], row: Any, scale: int | None) -> str:
    value = column.get(row)
    if isinstance(value, tuple):
        # Several texts: a line ends between them, never in one.
        texts = ", ".join(f"<span>{html_text(str(each))}</span>" for each in value)  # pyright: ignore[reportUnknownVariableType, reportUnknownArgumentType]
        return f'<td class="several">{texts or "<i>none</i>"}</td>'
    text = html_text(column.write(value))
    if scale is not None:
        # Whole numbers: a size may be beyond what a float holds.
        per_mille = max(0, min(1000, 1000 * _size(column, row) // scale))
        text = f'{_bar(per_mille / 10)}<span class="amount">{text}</span>'
    if column.share is not None and (share := column.share(row)) is not None:
        text = _bar(100 * share, full=share >= _FULL) + text
    return f'<td class="{_class(column)}">{text}</td>'


def _bar(percent: float, *, full: bool = False) -> str:
    kind = ' class="full"' if full else ""
    return f'<span class="bar"><i{kind} style="width: {percent:.1f}%"></i></span>'
