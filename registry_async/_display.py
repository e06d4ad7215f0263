"""What people see of values and lists: tables, data frames and progress bars."""

import sys
from collections.abc import Callable, Generator, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from datetime import datetime
from enum import Enum
from html import escape
from importlib import import_module
from operator import attrgetter
from typing import TYPE_CHECKING, Any, Final, Protocol, SupportsIndex, TypeVar, cast, get_args

from attrs import Attribute, fields, frozen, has

from registry_async._safe_text import html_text, visible
from registry_async._tables import Column, Kind, size_text
from registry_async.errors import ConfigurationError
from registry_async.models import holds_bytes

if TYPE_CHECKING:
    from pandas import DataFrame

__all__ = [
    "Bar",
    "ResultList",
    "frame_of",
    "html_table",
    "progress_bar",
    "to_dataframe",
]

T = TypeVar("T")

# So many rows say what a list is like; a notebook with more is slow.
_ROWS: Final = 50
# Enough of a digest to tell it from others, as docker shows it.
_DIGEST: Final = len("sha256:") + 12
# The years that fit whole into 64 bits of nanoseconds.
_FIRST_YEAR: Final = 1678
_LAST_YEAR: Final = 2261


@frozen
class _Column:
    """A column of a table, and where its values come from.

    Attributes:
        name: Its name.
        kinds: The types that its values have, None aside.
        get: Take the value from an item.
        is_size: Whether it is a number of bytes.
    """

    name: str
    kinds: tuple[Any, ...]
    get: Callable[[Any], Any]
    is_size: bool = False


def _columns(model: type[Any]) -> list[_Column]:
    """Return the columns of a model; secrets, which have no place in a ``repr``, have none here."""
    if not has(model):
        return [_Column("name", (model,), lambda item: item)]
    return [column for each in fields(model) if each.repr for column in _columns_of(each)]


def _columns_of(attribute: "Attribute[Any]") -> Iterator[_Column]:
    name = attribute.name
    whole: Any = attribute.type
    kinds = tuple(kind for kind in get_args(whole) if kind is not type(None)) or (whole,)
    if name == "layers":
        yield _Column("layer_count", (int,), lambda item: len(item.layers))
    elif isinstance(whole, type) and has(whole):
        # A token's scope: its parts are columns of their own.
        for part in fields(whole):
            yield _Column(f"{name}_{part.name}", (part.type,), attrgetter(f"{name}.{part.name}"))
    else:
        yield _Column(name, kinds, attrgetter(name), holds_bytes(attribute))


def html_table(items: Sequence[Any], model: type[Any], *, limit: int = _ROWS) -> str:
    """Return an HTML table of items, for notebooks: text escaped, sizes and times for people.

    Args:
        items: The items.
        model: Their type.
        limit: How many of them to show.
    """
    noun = escape(model.__name__)
    if not items:
        return f"<p>Nothing: no {noun}.</p>"
    columns = _columns(model)
    heads = "".join(
        f'<th style="{_style(column)}">{escape(column.name.replace("_", " "))}</th>'
        for column in columns
    )
    rows = "".join(
        f"<tr>{''.join(_html_cell(column, item) for column in columns)}</tr>"
        for item in items[:limit]
    )
    more = len(items) - limit
    rest = f"<p>… and {more:,} more</p>" if more > 0 else ""
    # A table that is too wide scrolls, rather than break its words.
    table = f"<table><thead><tr>{heads}</tr></thead><tbody>{rows}</tbody></table>"
    return f'<div style="overflow-x: auto">{table}</div>{rest}'


def _style(column: _Column) -> str:
    # Said for each cell: the style sheets of notebooks align all of them to the right.
    side = "right" if {int, float} & set(column.kinds) else "left"
    return f"text-align: {side}; white-space: nowrap"


def _html_cell(column: _Column, item: Any) -> str:
    value, style = column.get(item), _style(column)
    if isinstance(value, tuple | list):
        # Lines end between the texts, never within one.
        texts = ", ".join(
            f'<span style="white-space: nowrap">{html_text(str(each))}</span>'
            for each in cast("Iterable[object]", value)
        )
        return f'<td style="text-align: left; min-width: 8em">{texts}</td>'
    if isinstance(value, int | float) and not isinstance(value, bool):
        text = size_text(int(value)) if column.is_size else f"{value:,}"
        return f'<td style="{style}">{text}</td>'
    return f'<td style="{style}">{html_text(_cell_text(column, value))}</td>'


def _cell_text(column: _Column, value: Any) -> str:
    if value is None:
        return ""
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, datetime):
        return f"{value:%Y-%m-%d %H:%M}"
    if isinstance(value, Mapping):
        return visible(", ".join(map(str, cast("Iterable[object]", value))))
    text = visible(str(value))
    return f"{text[:_DIGEST]}…" if column.name == "digest" and len(text) > _DIGEST else text


def to_dataframe(items: Sequence[Any], model: type[Any]) -> "DataFrame":
    """Return a data frame of items, a row each: bytes as Int64, times as datetime64[ns, UTC].

    The parts of a scope are columns of their own, layers are a count, secrets are left out, and so
    are times that nanoseconds cannot hold (before 1678 and after 2261). A column with a number that
    Int64 cannot hold stays one of Python's integers.

    Args:
        items: The items.
        model: Their type, which says what columns an empty frame has.

    Raises:
        ConfigurationError: The extra ``pandas`` is not installed.
    """
    return _frame({each.name: (each.get, _dtype(each.kinds)) for each in _columns(model)}, items)


def frame_of(rows: Sequence[Any], columns: Iterable[Column[Any]]) -> "DataFrame":
    """Return a data frame of the rows of a report, with every column, whether people see it or not.

    Args:
        rows: The rows.
        columns: The columns.

    Raises:
        ConfigurationError: The extra ``pandas`` is not installed.
    """
    return _frame({each.name: (each.get, _DTYPES[each.kind]) for each in columns}, rows)


_DTYPES: Final = {
    Kind.TEXT: "string",
    Kind.COUNT: "Int64",
    Kind.BYTES: "Int64",
    Kind.COUNT_CHANGE: "Int64",
    Kind.BYTES_CHANGE: "Int64",
    Kind.DAY: "datetime64[ns, UTC]",
}


def _frame(
    columns: Mapping[str, tuple[Callable[[Any], Any], str]], items: Sequence[Any]
) -> "DataFrame":
    try:
        import pandas as pd
    except ImportError:
        raise ConfigurationError(
            "data frames need the extra: pip install 'registry-async[pandas]'"
        ) from None
    frame: dict[str, Any] = {}
    for name, (get, dtype) in columns.items():
        values = [_plain(get(item)) for item in items]
        # Made as objects first: an empty list has no type that could become another.
        series: Any = pd.Series(values, dtype="object")
        with suppress(OverflowError):
            series = series.astype(dtype)
        frame[name] = series
    return pd.DataFrame(frame)


def _plain(value: Any) -> Any:
    if isinstance(value, datetime) and not _FIRST_YEAR <= value.year <= _LAST_YEAR:
        return None
    return value.value if isinstance(value, Enum) else value


def _dtype(kinds: tuple[Any, ...]) -> str:
    for kind, dtype in (
        (datetime, "datetime64[ns, UTC]"),
        (bool, "boolean"),
        (int, "Int64"),
        (float, "Float64"),
    ):
        if kind in kinds:
            return dtype
    is_text = all(isinstance(kind, type) and issubclass(kind, str) for kind in kinds)
    # A tuple of texts has the text as its argument, and an ellipsis.
    return "string" if is_text else "object"


class ResultList(list[T]):
    """A list that shows as a table in notebooks and gives a data frame, even when it is empty.

    Args:
        item_type: The type of the items.
        items: The items.
    """

    def __init__(self, item_type: type[T], items: Iterable[T] = ()) -> None:
        super().__init__(items)
        self.item_type = item_type

    def __reduce_ex__(self, protocol: SupportsIndex) -> tuple[Any, ...]:
        return type(self), (self.item_type, list(self))

    def _repr_html_(self) -> str:
        return html_table(self, self.item_type)

    def to_dataframe(self) -> "DataFrame":
        """Return a data frame, a row an item (extra ``pandas``).

        Returns:
            Bytes as Int64, times as datetime64[ns, UTC], layers as a count, no secrets.

        Raises:
            ConfigurationError: The extra is not installed.
        """
        return to_dataframe(self, self.item_type)


class Bar(Protocol):
    """A progress bar."""

    def update(self, *, completed: int, total: int | None = None) -> None:
        """Show how far it has come."""
        ...


class _RichBar:
    def __init__(self, progress: Any, task: Any) -> None:
        self._progress = progress
        self._task = task

    def update(self, *, completed: int, total: int | None = None) -> None:
        self._progress.update(self._task, completed=completed, total=total)


class _NotebookBar:
    """A bar of HTML in the output of a cell, where rich would want widgets."""

    def __init__(self, description: str, total: int | None) -> None:
        self._display: Any = import_module("IPython.display")
        self._description = description
        self._handle = self._display.display(self._html(0, total), display_id=True)

    def update(self, *, completed: int, total: int | None = None) -> None:
        self._handle.update(self._html(completed, total))

    def _html(self, completed: int, total: int | None) -> Any:
        # Without a value, the element shows that something goes on, but not how far it is.
        share = "" if total is None else f' value="{completed}" max="{max(total, 1)}"'
        count = f"{completed:,}" if total is None else f"{completed:,} of {total:,}"
        text = f"{escape(self._description)} <progress{share}></progress> {count}"
        return self._display.HTML(f"<div>{text}</div>")


def _in_notebook() -> bool:
    ipython: Any = sys.modules.get("IPython")
    shell = ipython.get_ipython() if ipython is not None else None
    return hasattr(shell, "kernel")


@contextmanager
def progress_bar(description: str, *, total: int | None = None) -> Generator[Bar]:
    """Show a progress bar while the block runs: in notebooks, and on standard error elsewhere.

    Args:
        description: What goes on.
        total: How much there is to do, as far as known.

    Raises:
        ConfigurationError: The extra ``progress`` is not installed.
    """
    if _in_notebook():
        yield _NotebookBar(description, total)
        return
    try:
        from rich.console import Console
        from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn
    except ImportError:
        raise ConfigurationError(
            "a progress bar needs the extra: pip install 'registry-async[progress]'"
        ) from None
    columns = TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn()
    with Progress(*columns, console=Console(file=sys.stderr)) as progress:
        yield _RichBar(progress, progress.add_task(description, total=total))
