"""JSON as the service may send it: parsed, limited in depth, and checked value by value.

Checks are strict: a value has exactly the type that the contract says. cattrs' own hooks would call
``str``, ``int`` and ``bool``, which take anything. What does not fit is a `Mismatch`. It names
types and places, never values, since these may be secrets.
"""

import json
import re
from collections.abc import Iterable
from datetime import UTC, datetime
from math import isfinite
from typing import Any, Final, Generic, NoReturn, TypeVar, cast

from attrs import frozen

__all__ = [
    "DEPTH",
    "ListPage",
    "Mismatch",
    "array",
    "boolean",
    "count",
    "integer",
    "is_deep",
    "may_be_deep",
    "members",
    "moment",
    "moments",
    "number",
    "parse",
    "refuse_constant",
    "text",
    "text_has_surrogates",
    "wrong",
]

T = TypeVar("T")

# How deep objects and arrays may nest. Parsers have limits of their own, which depend on the
# interpreter and on how deep the caller's stack is; this one is the same for all of them.
DEPTH: Final = 200

_ZERO_TIME: Final = datetime(1, 1, 1, tzinfo=UTC)
# The form of RFC 3339; `fromisoformat` sees to the digits, but takes many more forms, and from
# Python 3.13 on a 24th hour.
_DATE_TIME: Final = re.compile(
    r"....-..-..T(?!24)..:..:..(?:\.[0-9]+)?(?:Z|[+-](?:[01][0-9]|2[0-3]):[0-5][0-9])"
).fullmatch
_SURROGATE: Final = re.compile(r"\\u[dD][89a-fA-F]").search


@frozen
class ListPage(Generic[T]):
    """One answer of a list operation.

    Attributes:
        items: The items.
        total: The service's ``totalCount``.
        filtered: The service's ``filteredCount``.
    """

    items: list[T]
    total: int | None
    filtered: int | None


class Mismatch(Exception):  # noqa: N818 - it becomes an UnexpectedResponseError
    """A value is not what it should be.

    Attributes:
        expected: What it should be, in words.
        found: What it is, in words.
        path: Where it is, such as ``images[3].size``; empty for the whole.
    """

    def __init__(self, expected: str, found: str, path: str = "") -> None:
        super().__init__(expected, found, path)
        self.expected = expected
        self.found = found
        self.path = path

    def under(self, step: str) -> None:
        """Put a step before the path, on the way out."""
        joint = "." if self.path and not self.path.startswith("[") else ""
        self.path = step + joint + self.path


class _LongInteger:
    """Stands for an integer of more digits than Python converts. Often nobody reads it."""


_LONG_INTEGER: Final = _LongInteger()
_WORDS: Final[dict[type, str]] = {
    dict: "an object",
    list: "an array",
    str: "a string",
    bool: "a boolean",
    int: "an integer",
    float: "a number with a fraction or an exponent",
    type(None): "null",
    _LongInteger: "an integer that is too long",
}


def wrong(expected: str, value: object) -> NoReturn:
    """Raise the mismatch of a value of the wrong type."""
    raise Mismatch(expected, _WORDS[type(value)])


# Each check takes a second argument, the type, since cattrs calls hooks with it.


def text(value: object, _: object = None) -> str:
    """Check for a string."""
    if type(value) is not str:
        wrong("a string", value)
    return value


def integer(value: object, _: object = None) -> int:
    """Check for an integer."""
    if type(value) is not int:
        wrong("an integer", value)
    return value


def count(value: object, _: object = None) -> int:
    """Check for an integer of at least 0."""
    found = integer(value)
    if found < 0:
        raise Mismatch("a count", "a negative integer")
    return found


def number(value: object, _: object = None) -> float:
    """Check for a number that a float can hold."""
    if type(value) is not int and type(value) is not float:
        wrong("a number", value)
    try:
        found = float(value)
    except OverflowError:
        found = float("inf")
    if not isfinite(found):
        raise Mismatch("a number", "one that is out of range")
    return found


def boolean(value: object, _: object = None) -> bool:
    """Check for a boolean."""
    if type(value) is not bool:
        wrong("a boolean", value)
    return value


def members(value: object, _: object = None) -> dict[str, Any]:
    """Check for an object."""
    if type(value) is not dict:
        wrong("an object", value)
    return cast("dict[str, Any]", value)


def array(value: object, _: object = None) -> list[Any]:
    """Check for an array."""
    if type(value) is not list:
        wrong("an array", value)
    return cast("list[Any]", cast(object, value))


def moment(value: object, _: object = None) -> datetime | None:
    """Check for a date-time, and return it in UTC, cut to microseconds.

    Returns:
        The time, or None for the one that Go writes where no time was ever set.
    """
    if type(value) is not str:
        wrong("a date-time", value)
    if not _DATE_TIME(value):
        # Small letters are rare enough to be looked for only now.
        value = value.upper()
        if not _DATE_TIME(value):
            raise Mismatch("a date-time", "another string")
    try:
        found = datetime.fromisoformat(value)
        if found.tzinfo is not UTC:
            found = found.astimezone(UTC)
    except (ValueError, OverflowError):
        raise Mismatch("a date-time", "one that is not in the calendar") from None
    return None if found == _ZERO_TIME else found


# Many times in UTC, one a line.
_DATE_TIMES: Final = re.compile(
    r"(?:....-..-..T(?!24)..:..:..(?:\.[0-9]+)?Z\n)*", re.ASCII
).fullmatch


def moments(values: list[str | None]) -> list[datetime | None]:
    """Check many date-times at once, which takes a third of the time of `moment`.

    Raises:
        Mismatch: One of them is none.
    """
    lines = "".join([f"{value}\n" for value in values if value is not None])
    if "0001-01-01T" in lines or not _DATE_TIMES(lines):
        return [None if value is None else moment(value) for value in values]
    read = datetime.fromisoformat
    try:
        return [None if value is None else read(value) for value in values]
    except ValueError:
        raise Mismatch("a date-time", "one that is not in the calendar") from None


def refuse_constant(_: str) -> NoReturn:
    """Refuse NaN and the infinities, which are Python's own idea of JSON."""
    raise ValueError("not JSON")


def _parse_integer(digits: str) -> object:
    try:
        return int(digits)
    except ValueError:
        return _LONG_INTEGER


_DECODER: Final = json.JSONDecoder(parse_constant=refuse_constant, parse_int=_parse_integer)


def text_has_surrogates(document: str) -> bool:
    """Return whether JSON may hold half of an escaped character."""
    return "\\" in document and _SURROGATE(document) is not None


_BRACKETS: Final = b"[{"
_OTHER_BYTES: Final = bytes(set(range(256)) - set(_BRACKETS))


def may_be_deep(body: bytes, flat: int = 0) -> bool:
    """Return whether objects and arrays in a body may nest deeper than `DEPTH`.

    It counts brackets, which is a bound that most bodies keep.

    Args:
        body: The JSON.
        flat: How many objects and arrays lie beside each other, not within.
    """
    return len(body) > DEPTH and len(body.translate(None, _OTHER_BYTES)) - flat > DEPTH


def is_deep(document: object) -> bool:
    """Return whether objects and arrays nest deeper than `DEPTH`."""
    level: list[object] = [document]
    for _ in range(DEPTH):
        level = [part for outer in level for part in _parts(outer) if type(part) in (dict, list)]
        if not level:
            return False
    return True


def _parts(value: object) -> Iterable[object]:
    if isinstance(value, dict):
        return cast("dict[str, object]", value).values()
    return cast("list[object]", value) if isinstance(value, list) else ()


def parse(body: bytes) -> Any:
    """Parse a body.

    Raises:
        Mismatch: It is no JSON, or nests too deeply.
    """
    if not body:
        raise Mismatch("JSON", "an empty body")
    try:
        # `json.loads` would guess the encoding; JSON that is sent is UTF-8.
        decoded = body.decode()
        document = _DECODER.decode(decoded)
        deep = may_be_deep(body) and is_deep(document)
        if not deep and text_has_surrogates(decoded):
            # Half of a character parses, but such a string cannot be encoded again.
            json.dumps(document, ensure_ascii=False, default=str).encode()
    except UnicodeDecodeError:
        found = "what is not UTF-8"
    except UnicodeEncodeError:
        found = "half of an escaped character"
    except RecursionError:
        found = "what is nested too deeply"
    except ValueError:
        found = "what is not JSON"
    else:
        if not deep:
            return document
        found = "what is nested too deeply"
    raise Mismatch("JSON", found)
