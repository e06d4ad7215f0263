"""What reaches an operation: path, query and body, checked against the contract's types."""

import json
import re
import sys
from collections.abc import Collection, Mapping, Sequence
from typing import Any, Literal, NamedTuple, NoReturn, cast
from urllib.parse import parse_qsl

from attrs import frozen

from registry_async.sandbox._actions import Actions
from registry_async.sandbox._refusals import bad_request
from registry_async.sandbox._state import State

_INTEGER = re.compile(r"-?[0-9]+", re.ASCII)
_DEFAULT_LIMIT = 10


class Answer(NamedTuple):
    """Give a status and what goes into the body as JSON; no body by default."""

    status: int
    body: object = None
    headers: Mapping[str, str] = {}


class Page(NamedTuple):
    """Say which part of a list is wanted."""

    offset: int
    limit: int

    def of(self, items: Sequence[Any]) -> Sequence[Any]:
        """Cut the page out of the whole."""
        return items[self.offset : self.offset + self.limit]


class Query:
    """Read query parameters; each may be given once.

    Args:
        text: The query as it arrived, without the question mark.
        repeated: The parameters that may be given several times.

    Raises:
        Refusal: 400 if it is not UTF-8 or names a parameter twice.
    """

    def __init__(self, text: str, *, repeated: Collection[str] = ()) -> None:
        try:
            pairs = parse_qsl(text, keep_blank_values=True, errors="strict")
        except ValueError:
            raise bad_request("Query is not valid UTF-8.") from None
        self._repeated = [pair for pair in pairs if pair[0] in repeated]
        single = [pair for pair in pairs if pair[0] not in repeated]
        self.values = dict(single)
        if len(self.values) < len(single):
            raise bad_request("A query parameter is given twice.")

    def integer(self, name: str, *, default: int, minimum: int) -> int:
        """Read an integer that is not below the minimum."""
        text = self.values.get(name)
        if text is None:
            return default
        # int() would take underscores, blanks and other scripts' digits.
        if not _INTEGER.fullmatch(text) or len(text) > 4000 or int(text) < minimum:
            raise bad_request(f"{name} must be an integer, at least {minimum}.")
        return int(text)

    def boolean(self, name: str) -> bool:
        """Read `true` or `false`; absent means false."""
        text = self.values.get(name, "false")
        if text not in ("true", "false"):
            raise bad_request(f"{name} must be true or false.")
        return text == "true"

    def choice(self, name: str, *allowed: str, default: str) -> str:
        """Read one of the allowed words."""
        text = self.values.get(name, default)
        if text not in allowed and name in self.values:
            raise bad_request(f"{name} must be one of: {', '.join(allowed)}.")
        return text

    def text(self, name: str) -> str:
        """Read any text; absent is empty."""
        return self.values.get(name, "")

    def texts(self, name: str) -> list[str]:
        """Read a parameter that may be given several times."""
        return [value for key, value in self._repeated if key == name]

    def page(self, *, default: int | None, max_limit: int | None) -> Page:
        """Read `limit` and `offset`, and cap the limit as the server does.

        Args:
            default: The limit where none is given; None for all there is.
            max_limit: The cap; None for none.
        """
        limit = self.integer("limit", default=default or sys.maxsize, minimum=1)
        offset = self.integer("offset", default=0, minimum=0)
        return Page(offset, limit if max_limit is None else min(limit, max_limit))

    def descending(self) -> bool:
        """Read `sort_type`."""
        return self.choice("sort_type", "asc", "desc", default="asc") == "desc"


class Fields:
    """Read the members of a JSON object, whose types the contract fixes, as Go reads them.

    A member that is null is unset.

    Args:
        members: The object.
        path: Where it stands in the body, for the texts of refusals.
    """

    def __init__(self, members: dict[str, object], path: str = "") -> None:
        self._members = {name: value for name, value in members.items() if value is not None}
        self._path = path

    def __contains__(self, name: str) -> bool:
        return name in self._members

    def text(self, name: str) -> str:
        """Read a string that must be there."""
        value = self._required(name)
        return value if isinstance(value, str) else self._refuse(name, "a string")

    def flag(self, name: str) -> bool:
        """Read a boolean that must be there."""
        value = self._required(name)
        return value if isinstance(value, bool) else self._refuse(name, "a boolean")

    def texts(self, name: str) -> list[str]:
        """Read an array of strings; absent is empty."""
        value = self._members.get(name, [])
        if not isinstance(value, list):
            self._refuse(name, "an array of strings")
        items = cast(list[object], value)
        return [
            item if isinstance(item, str) else self._refuse(name, "an array of strings")
            for item in items
        ]

    def fields(self, name: str) -> "Fields":
        """Read an object that must be there."""
        value = self._required(name)
        if not isinstance(value, dict):
            self._refuse(name, "an object")
        return Fields(cast(dict[str, object], value), f"{self._path}{name}.")

    def _required(self, name: str) -> object:
        if name not in self._members:
            raise bad_request(f"{self._path}{name} is required.")
        return self._members[name]

    def _refuse(self, name: str, wanted: str) -> NoReturn:
        raise bad_request(f"{self._path}{name} must be {wanted}.")


@frozen
class Settings:
    """Choose between answers that the contract leaves open.

    Attributes:
        short_form: What a list with `short=true` holds: bare `string`s, or an `object` each that
            has only a name.
        dialect: How layers and empty v1 lists are answered, and expirations read. `reference`
            follows the API reference: an image with its layers, an empty array, `expiration`
            around the fields. `go` follows the provider's Go client: a bare array of layers, and
            the fields without the wrapper are taken too. `auto` speaks `go` to that client alone,
            by its User-Agent. Other than in the reference, an empty v1 list is 204.
        hides_tags: How many tags of each repository the list of images lacks.
        v1_unpaged: Whether a v1 list without `limit` gives everything, rather than ten items.
    """

    short_form: Literal["string", "object"] = "string"
    dialect: Literal["auto", "reference", "go"] = "auto"
    hides_tags: int = 0
    v1_unpaged: bool = False


@frozen
class Call:
    """Hold all that an operation is given."""

    state: State
    actions: Actions
    path: Mapping[str, str]
    query: Query
    content: bytes
    settings: Settings
    max_limit: int | None
    go_dialect: bool
    registry_host: str

    def page(self) -> Page:
        """Read which page of a v2 list is wanted."""
        return self.query.page(default=_DEFAULT_LIMIT, max_limit=self.max_limit)

    def page_v1(self) -> Page:
        """Read which page of a v1 list is wanted."""
        default = None if self.settings.v1_unpaged else _DEFAULT_LIMIT
        return self.query.page(default=default, max_limit=self.max_limit)

    def body(self) -> Fields:
        """Read the body as a JSON object."""
        return Fields(read_object(self.content))


def read_object(content: bytes) -> dict[str, object]:
    """Read a JSON object strictly.

    Args:
        content: The body, UTF-8.

    Returns:
        The object; text that UTF-8 cannot carry is replaced, as Go does.

    Raises:
        Refusal: 400 if it is anything else.
    """
    try:
        value = json.loads(content.decode(), parse_constant=_refuse_constant)
    except (ValueError, RecursionError):
        raise bad_request("Body is not valid JSON.") from None
    if not isinstance(value, dict):
        raise bad_request("Body must be a JSON object.")
    return cast(dict[str, object], value)


def _refuse_constant(name: str) -> NoReturn:
    raise ValueError(f"{name} is no JSON")
