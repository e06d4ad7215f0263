"""Tables for people: columns with their words, and rows that fit a terminal without broken words.

A `Column` says once what it holds; terminals, HTML and data frames all go by it. Where a table is
too wide for a terminal, columns that matter less are left out, and a name that is still too long
gets a line of its own.
"""

from collections.abc import Callable, Iterable, Iterator, Sequence
from datetime import datetime
from decimal import Decimal
from enum import Enum, auto
from typing import Any, Final, Generic, TypeVar, cast
from unicodedata import combining, east_asian_width

from attrs import field, frozen

from registry_async._safe_text import visible

__all__ = [
    "UNITS",
    "Cells",
    "Column",
    "Kind",
    "Table",
    "count_of",
    "day_text",
    "fit",
    "size_text",
    "text_width",
]

R = TypeVar("R")

UNITS: Final = ("B", "KiB", "MiB", "GiB", "TiB", "PiB", "EiB")
_GAP: Final = "  "
NOTHING: Final = "-"


def size_text(size: int) -> str:
    """Return a number of bytes for people: ``1.4 GiB``. No size is too large."""
    sign, amount = "-" if size < 0 else "", abs(size)
    last = len(UNITS) - 1
    if amount >= 9_999_500 << 10 * last:
        # No registry holds this: the service, or what made the report, is wrong.
        return f"{sign}{Decimal(amount) / 1024**last:.1e} {UNITS[last]}"
    unit, scaled = 0, float(amount)
    while scaled >= 999.5 and unit < last:
        unit, scaled = unit + 1, scaled / 1024
    decimals = 0 if unit == 0 or scaled >= 99.95 else 1
    return f"{sign}{scaled:.{decimals}f} {UNITS[unit]}"


def count_of(count: int, one: str, many: str | None = None) -> str:
    """Return a number of things: ``1 image``, ``1,234 images``."""
    return f"{count:,} {one if count == 1 else many or one + 's'}"


def day_text(moment: datetime | None) -> str:
    """Return a time for people, to the day, in UTC."""
    # `strftime` writes years before 1000 without zeros.
    return NOTHING if moment is None else moment.date().isoformat()


class Kind(Enum):
    """What a column holds, and so how it is written and aligned."""

    TEXT = auto()
    COUNT = auto()
    BYTES = auto()
    DAY = auto()
    COUNT_CHANGE = auto()
    BYTES_CHANGE = auto()

    @property
    def is_number(self) -> bool:
        """Whether values are aligned to the right."""
        return self not in (Kind.TEXT, Kind.DAY)


def _count_text(count: int) -> str:
    return f"{count:,}" if count else NOTHING


def _change_text(size: int) -> str:
    return ("+" if size > 0 else "") + size_text(size)


_WRITERS: Final[dict[Kind, Callable[[Any], str]]] = {
    Kind.TEXT: lambda value: visible(str(value)),
    Kind.COUNT: _count_text,
    Kind.BYTES: size_text,
    Kind.DAY: day_text,
    Kind.COUNT_CHANGE: lambda count: f"{count:+,}",
    Kind.BYTES_CHANGE: _change_text,
}


@frozen(kw_only=True)
class Column(Generic[R]):
    """A column of a table.

    Attributes:
        name: Its key in JSON, CSV and data frames.
        heading: Its heading in tables; None for a column that only programs see.
        kind: What it holds.
        get: Take its value from a row.
        total: Add up the values of several rows; None where they have no sum.
        gives_way: Its turn, 1 first, to be left out of a narrow terminal; 0 for never.
        names: Whether it names what the row is of, so that it may be long.
        grouped: Whether a value equal to that of the row before is not repeated in text.
        zero_is_shown: Whether a count of nothing is written as 0, not as a dash.
        bar: Whether HTML draws its values, the largest as a full bar.
        share: Return how much of a full bar HTML draws for a row, 0 to 1; None for no bar.
    """

    name: str
    heading: str | None = None
    kind: Kind = Kind.TEXT
    get: Callable[[R], object]
    total: Callable[[Iterable[Any]], object] | None = None
    gives_way: int = 0
    names: bool = False
    grouped: bool = False
    zero_is_shown: bool = False
    bar: bool = False
    share: Callable[[R], float | None] | None = None

    def write(self, value: object) -> str:
        """Return a value for people, as safe text in one line."""
        if value is None:
            return NOTHING if self.kind is not Kind.TEXT else ""
        if self.zero_is_shown and value == 0:
            return "0"
        return _WRITERS[self.kind](value)

    def sum_of(self, rows: Iterable[R]) -> object:
        """Return what the rows come to; None if the column has no sum, or nothing is known."""
        if self.total is None:
            return None
        known = [value for value in map(self.get, rows) if value is not None]
        return self.total(known) if known else None


Cells = tuple[str, ...]


@frozen(kw_only=True)
class Table:
    """A table that is written, cell by cell.

    Attributes:
        columns: Its columns.
        rows: The cells of each row.
        others: The cells of the row that stands for all rows that are not shown, if there are any.
        total: The cells of the last row, which stands for all; empty for none.
    """

    columns: Sequence[Column[Any]]
    rows: Sequence[Cells]
    others: Cells = ()
    total: Cells = ()
    headings: Cells = field(init=False)

    def __attrs_post_init__(self) -> None:
        headings = tuple(column.heading or column.name for column in self.columns)
        object.__setattr__(self, "headings", headings)

    def lines(self) -> Iterator[Cells]:
        """Give the cells of every row, the headings first."""
        yield self.headings
        yield from self.rows
        yield from (cells for cells in (self.others, self.total) if cells)

    def without(self, index: int) -> "Table":
        """Return the table without a column."""

        def cut(cells: Sequence[Any]) -> Any:
            return tuple(cells[:index]) + tuple(cells[index + 1 :])

        return Table(
            columns=cast("Sequence[Column[Any]]", cut(self.columns)),
            rows=[cut(row) for row in self.rows],
            others=cut(self.others),
            total=cut(self.total),
        )


def text_width(text: str) -> int:
    """Return how many characters wide a text is in a terminal."""
    if text.isascii():
        return len(text)
    return sum(
        0 if combining(character) else 2 if east_asian_width(character) in "WF" else 1
        for character in text
    )


@frozen
class Fitted:
    """A table as lines of text.

    Attributes:
        heading: The lines of the headings, the rule under them included.
        rows: The lines of the rows.
        others: The lines of the row for all that is not shown.
        total: The lines of the last row, the rule above it included.
        left_out: The headings of the columns that there was no room for.
    """

    heading: tuple[str, ...]
    rows: tuple[str, ...]
    others: tuple[str, ...]
    total: tuple[str, ...]
    left_out: tuple[str, ...]


def fit(table: Table, width: int | None) -> Fitted:
    """Lay a table out in lines, none of them wider than the terminal unless a single name is.

    Args:
        table: The table.
        width: The characters that fit in a line; None for any number.
    """
    left_out: list[str] = []
    while width is not None and sum(_widths(table, width)) + _gaps(table) > width:
        turns = [column.gives_way for column in table.columns]
        if not any(turns):
            break
        index = turns.index(min(turn for turn in turns if turn))
        left_out.append(table.headings[index])
        table = table.without(index)
    widths = _widths(table, width)

    def draw(cells: Cells) -> tuple[str, ...]:
        return tuple(_draw(table, cells, widths, width)) if cells else ()

    rule = _GAP.join("-" * each for each in widths)
    return Fitted(
        heading=(*draw(table.headings), rule),
        rows=tuple(line for row in table.rows for line in draw(row)),
        others=draw(table.others),
        total=(rule, *draw(table.total)) if table.total else (),
        left_out=tuple(left_out),
    )


def _gaps(table: Table) -> int:
    return len(_GAP) * (len(table.columns) - 1)


# What a column of names is given at least, so that most names fit beside the numbers.
_NAME_WIDTH: Final = 14


def _widths(table: Table, width: int | None) -> list[int]:
    """Return the widths of the columns; those of names give way, the widest first."""
    widths = [max(map(text_width, cells)) for cells in zip(*table.lines(), strict=True)]
    names = [index for index, column in enumerate(table.columns) if column.names]
    while width is not None and sum(widths) + _gaps(table) > width:
        widest = max(names, key=widths.__getitem__, default=None)
        if widest is None or widths[widest] <= _NAME_WIDTH:
            break
        widths[widest] -= 1
    return widths


def _draw(table: Table, cells: Cells, widths: list[int], width: int | None) -> Iterator[str]:
    """Give the lines of a row. A cell that is too long ends its line."""
    line, start, filled = "", 0, 0
    for column, cell, place in zip(table.columns, cells, widths, strict=True):
        padding = " " * max(0, place - text_width(cell))
        if text_width(cell) > place:
            if filled and width is not None and start + text_width(cell) > width:
                yield line.rstrip()
                line = ""
                yield cell
            else:
                yield line + cell
            line, filled = " " * (start + place), 0
        else:
            line += padding + cell if column.kind.is_number else cell + padding
            filled += bool(cell)
        line += _GAP
        start += place + len(_GAP)
    if line.strip():
        yield line.rstrip()
