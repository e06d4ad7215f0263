"""Text from elsewhere: nothing in it acts in a terminal, HTML, a spreadsheet or JSON."""

from __future__ import annotations

import csv
import io
import json
import unicodedata
from datetime import UTC, datetime
from html.parser import HTMLParser
from typing import Any, Final

import pytest
from hypothesis import given
from hypothesis import strategies as st

from registry_async import ApiError, NotFoundError
from registry_async._safe_text import (
    csv_cell,
    html_text,
    json_text,
    visible,
    visible_lines,
    write_csv,
)

ACTING: Final = (
    "\x1b]0;title\x07",
    "\x1b[31mred",
    "bell\x07",
    "\x9b31mred",
    "\x90device\x9c",
    "back\b\b\bspace",
    "line\rover",
    "\u202egnp.exe",
    "\u2066isolated\u2069",
    "\u200fmark",
    "zero\u200bwidth",
    "\x7fdelete",
    "line\u2028separator",
    "half \ud800",
)
FORMULAS: Final = (
    "=1+1",
    "+1",
    "-1+cmd",
    "@SUM(A1)",
    "\uff1d1+1",
    "\uff0b1",
    "\uff0d1",
    "\uff20x",
    "\ufe661",
    "\u22121",
    "\t=1",
    "\n=1",
    "\r=1",
    " =1",
    "\u3000=1",
)
any_text = st.text(st.characters(exclude_categories=[]))


@pytest.mark.parametrize("text", ACTING)
def test_nothing_that_acts_reaches_a_terminal(text: str) -> None:
    assert visible(text).isprintable()
    assert "\\" in visible(text)
    assert json_text({text: [text]}, indent=None).isprintable()
    assert json.loads(json_text({text: [text]})) == {text: [text]}
    assert html_text(text).isprintable()
    assert str(csv_cell(text)).isprintable()


@given(any_text)
def test_any_text_is_printable_in_every_face(text: str) -> None:
    assert visible(text).isprintable()
    assert visible_lines(text).replace("\n", "").isprintable()
    assert visible_lines(text).count("\n") == text.count("\n")
    assert json_text(text).isprintable()
    assert json.loads(json_text(text)) == text
    # No encoding that a terminal may have is a reason to fail.
    json_text(text).encode()
    if text.isprintable():
        assert visible(text) == text


def test_letters_of_all_languages_stay() -> None:
    for text in ("реестр", "レジストリ", "número", "🐳"):
        assert visible(text) == text
        assert json_text(text) == f'"{text}"'


@given(st.recursive(any_text | st.integers() | st.none() | st.booleans(), st.lists))
def test_json_gives_back_what_was_written(document: object) -> None:
    for indent in (None, 2):
        assert json.loads(json_text(document, indent=indent)) == document


@pytest.mark.parametrize("number", [float("inf"), float("nan")])
def test_json_has_no_numbers_that_json_lacks(number: float) -> None:
    with pytest.raises(ValueError, match="JSON"):
        json_text([number])


@given(any_text)
def test_any_text_is_text_in_html(text: str) -> None:
    class Reader(HTMLParser):
        def __init__(self) -> None:
            super().__init__()
            self.text = ""
            self.tags: list[str] = []

        def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
            self.tags.append(tag)
            self.text += dict(attrs)["title"] or ""

        def handle_data(self, data: str) -> None:
            self.text += data

    reader = Reader()
    reader.feed(f'<i title="{html_text(text)}">{html_text(text)}</i>')
    reader.close()
    assert reader.tags == ["i"]
    assert reader.text == 2 * visible(text)


@pytest.mark.parametrize("text", FORMULAS)
def test_no_spreadsheet_takes_a_cell_for_a_formula(text: str) -> None:
    first = str(csv_cell(text))[0]
    assert unicodedata.normalize("NFKC", first) not in set("=+-@\t\r\n \u2212")


@given(any_text)
def test_no_cell_begins_like_a_formula(text: str) -> None:
    first = unicodedata.normalize("NFKC", str(csv_cell(text)).lstrip()[:1])
    assert first not in set("=+-@\u2212\t\r\n")


def test_numbers_and_times_in_a_spreadsheet_stay_what_they_are() -> None:
    file = io.StringIO(newline="")
    moment = datetime(2025, 1, 2, 3, 4, 5, tzinfo=UTC)
    row: list[Any] = [-5, -1.5, 10**30, None, True, moment, ("a", "=b"), "plain", "=x"]
    write_csv(file, [f"c{number}" for number in range(len(row))], [row])
    _, read = csv.reader(io.StringIO(file.getvalue(), newline=""))
    assert read == [
        "-5",
        "-1.5",
        "1" + 30 * "0",
        "",
        "true",
        "2025-01-02T03:04:05+00:00",
        "a, =b",
        "plain",
        "'=x",
    ]


def test_what_a_server_says_of_itself_does_not_act_in_an_error() -> None:
    acting = "\x1b]0;x\x07\u202e"
    for error in (
        ApiError(500, f"m{acting}", "GET", "http://x", request_id=f"r{acting}"),
        NotFoundError(404, f"m{acting}", request_id=f"r{acting}"),
    ):
        assert str(error).isprintable()
        assert "m\\x1b" in str(error)
        assert "r\\x1b" in str(error)
        assert error.request_id == f"r{acting}"
