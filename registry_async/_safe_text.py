"""Text from elsewhere made harmless for terminals, HTML, spreadsheets and JSON.

Names, tags and messages come from others and may hold anything. Each face passes them through one
of these functions, and defuses nothing by itself:

* `visible` for terminals, logs and messages,
* `html_text` for HTML,
* `csv_cell` and `write_csv` for spreadsheets,
* `json_text` for JSON, which ends up in terminals, too.
"""

import csv
import json
import re
from collections.abc import Iterable, Sequence
from datetime import datetime
from html import escape
from typing import Final, TextIO, cast
from unicodedata import normalize

__all__ = ["csv_cell", "html_text", "json_text", "visible", "visible_lines", "write_csv"]

# Spreadsheets take a cell that begins with one of these for a formula. Their wide and small forms
# are compared after normalization, which leaves the minus sign as it is.
_FORMULA_STARTS: Final = frozenset("=+-@\N{MINUS SIGN}")
# Outside printable ASCII, for the search of what JSON has to escape.
_UNUSUAL: Final = re.compile(r"[^ -~\n]+")


def visible(text: str) -> str:
    r"""Return text as one line in which nothing acts on a terminal or changes direction.

    Control and format characters (ESC, BEL, C1, bidirectional marks), line breaks, unusual spaces
    and halves of characters are written as Python writes them, such as ``\x1b``.
    """
    if text.isprintable():
        return text
    return "".join(
        character if character.isprintable() else character.encode("unicode_escape").decode()
        for character in text
    )


def visible_lines(text: str) -> str:
    """Return text as `visible` does, with its line feeds kept."""
    return "\n".join(map(visible, text.split("\n")))


def html_text(text: str) -> str:
    """Return text for HTML, as content or as the value of an attribute in quotes."""
    return escape(visible(text))


def csv_cell(value: object) -> str | int | float:
    """Return a value for a cell of a spreadsheet: numbers as they are, all else as harmless text.

    None is an empty cell, times are ISO 8601, several values are joined by commas. Text that a
    spreadsheet would take for a formula gets an apostrophe before it.
    """
    if value is None:
        return ""
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, int | float):
        return value
    if isinstance(value, datetime):
        return value.isoformat()
    if isinstance(value, tuple | list | set | frozenset):
        text = ", ".join(map(str, cast("Iterable[object]", value)))
    else:
        text = str(value)
    text = visible(text)
    # Some programs drop spaces before they look at the first character.
    if normalize("NFKC", text.lstrip()[:1]) in _FORMULA_STARTS:
        return "'" + text
    return text


def write_csv(file: TextIO, header: Sequence[str], rows: Iterable[Iterable[object]]) -> None:
    """Write a table as CSV, each cell by `csv_cell`.

    Args:
        file: A text file that leaves line ends as they are (``newline=""``).
        header: The names of the columns.
        rows: The values of each row.
    """
    writer = csv.writer(file)
    writer.writerow([csv_cell(name) for name in header])
    writer.writerows([csv_cell(value) for value in row] for row in rows)


def json_text(document: object, *, indent: int | None = 2) -> str:
    """Return JSON that a terminal can show: what would act on one is escaped.

    The letters of all languages stay as they are. Reading it gives back every character.

    Args:
        document: Plain data: dicts, lists, texts, numbers, booleans and None.
        indent: The spaces of each level; None for one line.

    Raises:
        ValueError: A number in it is infinite or none.
    """
    text = json.dumps(document, ensure_ascii=False, allow_nan=False, indent=indent)
    return _UNUSUAL.sub(_escape_unprintable, text)


def _escape_unprintable(found: "re.Match[str]") -> str:
    text = found[0]
    if text.isprintable():
        return text
    return "".join(
        character
        if character.isprintable()
        else json.dumps(character)[1:-1].replace("\x7f", r"\u007f")
        for character in text
    )
