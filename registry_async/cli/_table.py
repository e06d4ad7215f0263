"""Tables that fit a terminal: columns give way before names do, and no word is broken."""

from collections.abc import Callable, Iterator, Sequence
from datetime import UTC, datetime
from itertools import zip_longest
from typing import Any, Final, Literal, cast
from unicodedata import combining, east_asian_width

from attrs import evolve, frozen

from registry_async._safe_text import visible
from registry_async._tables import size_text

__all__ = ["Column", "table_lines"]

_GAP: Final = "  "
_COMMA: Final = ", "
# Enough of a digest to tell it from others, as docker shows it.
_DIGEST: Final = len("sha256:") + 12


@frozen
class Column:
    """A column of a list.

    Attributes:
        name: Its name in CSV, and in JSON where the value is a field.
        get: Takes the value from an item.
        kind: What the value is, which says how people see it.
        rank: When it gives way in a narrow terminal: the highest first, 0 never.
    """

    name: str
    get: Callable[[Any], object]
    kind: Literal["text", "list", "bytes", "time", "digest", "number"] = "text"
    rank: int = 0

    @property
    def heading(self) -> str:
        """The name for people."""
        return self.name.replace("_", " ")

    @property
    def is_number(self) -> bool:
        """Whether it is aligned to the right."""
        return self.kind in ("bytes", "number")

    def text(self, item: Any) -> str:
        """Return the value of an item as people read it."""
        value = self.get(item)
        match value:
            case None:
                return "-"
            case bool():
                return "yes" if value else "no"
            case datetime():
                return f"{value.astimezone(UTC):%Y-%m-%d %H:%M}"
            case int() if self.kind == "bytes":
                return size_text(value)
            case int() | float():
                return f"{value:,}"
            case tuple() | list():
                return _COMMA.join(map(str, cast("Sequence[object]", value))) or "-"
            case _:
                return str(value)

    def of_second(self) -> "Column":
        """Return the column for pairs of which the second is the item."""
        get = self.get

        def of_pair(pair: tuple[Any, Any]) -> object:
            return get(pair[1])

        return evolve(self, get=of_pair)


def width_of(text: str) -> int:
    """Return how many cells of a terminal a text takes."""
    if text.isascii():
        return len(text)
    return sum(
        0 if combining(letter) else 2 if east_asian_width(letter) in "WF" else 1 for letter in text
    )


def table_lines(
    columns: Sequence[Column], items: Sequence[Any], *, width: int | None, bold: bool
) -> Iterator[str]:
    """Give the lines of a table.

    Args:
        columns: The columns; the first one names the item.
        items: The items, a row each.
        width: The cells of the terminal; None for as many as it takes.
        bold: Whether the headings may be emphasized by escape sequences.
    """
    shown = list(columns)
    cells = [[visible(each.text(item)) for each in columns] for item in items]
    left_out: list[str] = []
    cut = False
    if width is not None and _total(shown, cells) > width:
        for row in cells:
            for place, column in enumerate(shown):
                if column.kind == "digest" and len(row[place]) > _DIGEST:
                    row[place] = row[place][:_DIGEST]
                    cut = True
        while _total(shown, cells) > width and any(each.rank for each in shown):
            place = max(range(len(shown)), key=lambda index: shown[index].rank)
            left_out.insert(0, shown.pop(place).heading)
            for row in cells:
                del row[place]
    widths = _widths(shown, cells)
    if width is not None and _total(shown, cells) > width:
        # Lists are folded first; only then names get lines of their own.
        lists = [place for place, column in enumerate(shown) if column.kind == "list"]
        for place in [*lists, 0]:
            others = sum(widths) - widths[place] + len(_GAP) * (len(widths) - 1)
            least = _least(shown[place], place, cells)
            widths[place] = min(widths[place], max(least, width - others))
    heading = _line(shown, [each.heading for each in shown], widths)
    yield f"\x1b[1m{heading}\x1b[0m" if bold else heading
    for row in cells:
        if width_of(row[0]) > widths[0]:
            yield row[0]
            row[0] = ""
        for line in _lines(shown, row, widths):
            yield _line(shown, line, widths)
    notes = [f"left out: {', '.join(left_out)}"] if left_out else []
    if cut:
        notes.append("digests are cut")
    if notes:
        yield ""
        yield f"({'; '.join(notes)})"


def _least(column: Column, place: int, cells: Sequence[Sequence[str]]) -> int:
    """Return how narrow a column may get: its words stay whole, but for the names of a row."""
    words = [column.heading]
    if column.kind == "list":
        words += [word for row in cells for word in row[place].split(_COMMA)]
    return max(map(width_of, words)) + 1


def _lines(
    columns: Sequence[Column], row: Sequence[str], widths: Sequence[int]
) -> Iterator[tuple[str, ...]]:
    """Give the lines of a row: lists may take several."""
    parts = [
        _folded(text, width) if column.kind == "list" else [text]
        for column, text, width in zip(columns, row, widths, strict=True)
    ]
    yield from zip_longest(*parts, fillvalue="")


def _folded(text: str, width: int) -> list[str]:
    if width_of(text) <= width:
        return [text]
    lines = [""]
    for word in text.split(_COMMA):
        if not lines[-1]:
            lines[-1] = word
        elif width_of(lines[-1]) + len(_COMMA) + width_of(word) < width:
            lines[-1] += _COMMA + word
        else:
            lines[-1] += ","
            lines.append(word)
    return lines


def _widths(columns: Sequence[Column], cells: Sequence[Sequence[str]]) -> list[int]:
    return [
        max([width_of(column.heading), *(width_of(row[place]) for row in cells)])
        for place, column in enumerate(columns)
    ]


def _total(columns: Sequence[Column], cells: Sequence[Sequence[str]]) -> int:
    return sum(_widths(columns, cells)) + len(_GAP) * (len(columns) - 1)


def _line(columns: Sequence[Column], row: Sequence[str], widths: Sequence[int]) -> str:
    padded: list[str] = []
    for column, text, width in zip(columns, row, widths, strict=True):
        space = " " * (width - width_of(text))
        padded.append(space + text if column.is_number else text + space)
    return _GAP.join(padded).rstrip()
