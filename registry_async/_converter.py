"""The one cattrs converter: JSON <-> models. The names of the wire live here alone.

There is one set of rules and there are two ways to apply it. The plain way is cattrs': each kind
of value has a structure hook, those of the classes come from a hook factory, and what is wrong is
named by its path. cattrs' own detailed validation would name it too, but keeps the values that it
complains of, and these may be secrets.

Lists are what scans spend their time on, so they are read the quick way first: by code that is
generated from the same rules, once for each class. It stops at anything out of the ordinary
without asking what it is, and the plain way then decides from the beginning. So the quick way may
refuse what is right, but must never take what the plain way would not, nor make anything else of
it.
"""

import json
import re
from collections.abc import Callable, Mapping
from datetime import UTC, datetime, timedelta
from enum import StrEnum
from functools import cache
from importlib import import_module
from math import isfinite
from types import GenericAlias
from typing import (
    TYPE_CHECKING,
    Any,
    Final,
    Generic,
    Literal,
    NoReturn,
    Protocol,
    TypeVar,
    cast,
    get_args,
    get_origin,
)

from attrs import NOTHING, fields, frozen, has
from cattrs import Converter

from registry_async import models
from registry_async.errors import UnexpectedResponseError
from registry_async.models import Image, Layer, TokenScope, TokenV1

if TYPE_CHECKING:
    from attrs import Attribute

__all__ = [
    "ListPage",
    "Parser",
    "decode",
    "decode_image_or_layers",
    "decode_list",
    "decode_names",
    "decode_token_v1",
    "encode_body",
    "encode_expiration",
    "encode_scope",
    "make_list_decoder",
]

T = TypeVar("T")
Hook = Callable[[Any, Any], Any]
Parser = Literal["json", "msgspec"]

# On the wire a field has its own name in camel case, but for these.
_WIRE_NAMES: Final[Mapping[type, Mapping[str, str]]] = {
    models.GarbageSize: {
        "non_referenced": "sizeNonReferenced",
        "untagged": "sizeUntagged",
        "total": "sizeSummary",
    },
    models.TokenScope: {"read_write": "modeRW"},
    models.Token: {"expires_at": "expiration"},
    models.IssuedToken: {"expires_at": "expiration", "secret": "token"},
}
_ZERO_TIME: Final = datetime(1, 1, 1, tzinfo=UTC)
_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)
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


class _Mismatch(Exception):  # noqa: N818 - it never leaves this module
    """Something is not what it should be; its parts are types and names, never values."""

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
    """Stands for an integer of more digits than Python converts: nobody may want it."""


_LONG_INTEGER: Final = _LongInteger()
_FOUND: Final[Mapping[type, str]] = {
    dict: "an object",
    list: "an array",
    str: "a string",
    bool: "a boolean",
    int: "an integer",
    float: "a number with a fraction or an exponent",
    type(None): "null",
    _LongInteger: "an integer that is too long",
}


def _wrong(expected: str, value: object) -> NoReturn:
    # An item that was made early is an object of JSON, too.
    raise _Mismatch(expected, _FOUND.get(type(value), "an object"))


# The hooks of plain values. cattrs' own would call `str`, `int` and `bool`, which take anything.


def _text(value: object, _: object = None) -> str:
    if type(value) is not str:
        _wrong("a string", value)
    return value


def _integer(value: object, _: object = None) -> int:
    if type(value) is not int:
        _wrong("an integer", value)
    return value


def _count(value: object, _: object = None) -> int:
    count = _integer(value)
    if count < 0:
        raise _Mismatch("a count", "a negative integer")
    return count


def _number(value: object, _: object = None) -> float:
    if type(value) is not int and type(value) is not float:
        _wrong("a number", value)
    try:
        number = float(value)
    except OverflowError:
        number = float("inf")
    if not isfinite(number):
        raise _Mismatch("a number", "one that is out of range")
    return number


def _boolean(value: object, _: object = None) -> bool:
    if type(value) is not bool:
        _wrong("a boolean", value)
    return value


def _object(value: object) -> dict[str, Any]:
    if type(value) is not dict:
        _wrong("an object", value)
    return cast("dict[str, Any]", value)


def _array(value: object) -> list[Any]:
    if type(value) is not list:
        _wrong("an array", value)
    return cast("list[Any]", cast(object, value))


def _time(value: object, _: object = None) -> datetime | None:
    if type(value) is not str:
        _wrong("a date-time", value)
    if not _DATE_TIME(value):
        # Small letters are rare enough to be looked for only now.
        value = value.upper()
        if not _DATE_TIME(value):
            raise _Mismatch("a date-time", "another string")
    try:
        moment = datetime.fromisoformat(value)
        if moment.tzinfo is not UTC:
            moment = moment.astimezone(UTC)
    except (ValueError, OverflowError):
        raise _Mismatch("a date-time", "one that is not in the calendar") from None
    # The service is written in Go, where this is a time that was never set.
    return None if moment == _ZERO_TIME else moment


def _expiration(value: object, _: object = None) -> datetime | None:
    members = _object(value)
    if not _member(members, "isSet", _boolean):
        return None
    return cast("datetime | None", _member(members, "expiresAt", _time))


# The hook factories.


def _open_enum(kind: Any) -> "type[StrEnum] | None":
    """Return the enum of a type such as ``RegistryStatus | str``."""
    for part in get_args(kind):
        if isinstance(part, type) and issubclass(part, StrEnum):
            return part
    return None


def _open_enum_hook(kind: Any) -> Hook:
    enum = _open_enum(kind)
    assert enum is not None
    # A dict is twenty times as fast as calling the enum, and has an answer for unknown values.
    known: dict[str, str] = {member.value: member for member in enum}
    return lambda value, _: known.get(_text(value), value)


def _is_tuple(kind: Any) -> bool:
    origin: object = get_origin(kind)
    return origin is tuple


def _is_mapping(kind: Any) -> bool:
    origin: object = get_origin(kind)
    return origin is Mapping


def _tuple_hook(kind: Any) -> Hook:
    part = get_args(kind)[0]
    structure = _elements(converter.get_structure_hook(part), part)
    return lambda value, _: tuple(structure(value))


def _mapping_hook(kind: Any) -> Hook:
    part = get_args(kind)[1]
    hook = converter.get_structure_hook(part)

    def structure(value: Any, _: object) -> dict[str, Any]:
        members = _object(value)
        return {name: _member(members, name, hook, part) for name in members}

    return structure


def _class_hook(cls: Any) -> Hook:
    rules = _rules(cls)

    def structure(value: Any, _: object) -> Any:
        members = _object(value)
        values: dict[str, Any] = {}
        for rule in rules:
            values[rule.name] = _member(
                members, rule.wire_name, rule.hook, rule.kind, rule.required, rule.default
            )
        return cls(**values)

    return structure


def _elements(hook: Hook, kind: Any) -> Callable[[Any], list[Any]]:
    def structure(value: Any) -> list[Any]:
        elements = _array(value)
        done: list[Any] = []
        try:
            for element in elements:
                done.append(hook(element, kind))
        except _Mismatch as error:
            error.under(f"[{len(done)}]")
            raise
        return done

    return structure


def _member(
    value: dict[str, Any],
    wire_name: str,
    hook: Hook,
    kind: Any = None,
    required: bool = True,
    default: object = None,
) -> Any:
    found = value.get(wire_name)
    if found is None and not required:
        return default
    try:
        return hook(found, kind)
    except _Mismatch as error:
        if wire_name not in value:
            error.found = "nothing"
        error.under(wire_name)
        raise


@frozen
class _Rule:
    """What holds for one field of a model.

    Attributes:
        name: The name of the field.
        wire_name: The name of the member on the wire.
        kind: The type of the field, None aside.
        hook: What structures a member that is not null.
        required: Whether it must be there and not be null.
        default: What the field is otherwise.
    """

    name: str
    wire_name: str
    kind: Any
    hook: Hook
    required: bool
    default: object


@cache
def _rules(cls: type) -> tuple[_Rule, ...]:
    return tuple(_rule(cls, attribute) for attribute in fields(cls))


def _rule(cls: type, attribute: "Attribute[Any]") -> _Rule:
    name = attribute.name
    head, *tail = name.split("_")
    camel_case = head + "".join(part.capitalize() for part in tail)
    wire_name = _WIRE_NAMES.get(cls, {}).get(name, camel_case)
    kind = _without_none(attribute.type)
    # A token's name may be absent, though whoever makes a token has to say that it has none.
    required = attribute.default is NOTHING and not (
        issubclass(cls, models.Token) and name == "name"
    )
    hook = _expiration if wire_name == "expiration" else converter.get_structure_hook(kind)
    default = None if attribute.default is NOTHING else attribute.default
    return _Rule(name, wire_name, kind, hook, required, default)


def _without_none(kind: Any) -> Any:
    parts = get_args(kind)
    if type(None) not in parts:
        return kind
    left = [part for part in parts if part is not type(None)]
    joined = left[0]
    for part in left[1:]:
        joined |= part
    return joined


def _make_converter() -> Converter:
    made = Converter(detailed_validation=False)
    for kind, hook in (
        (str, _text),
        (int, _integer),
        (float, _number),
        (bool, _boolean),
        (datetime, _time),
    ):
        made.register_structure_hook(kind, cast(Any, hook))
    made.register_structure_hook_factory(_is_tuple, _tuple_hook)
    made.register_structure_hook_factory(_is_mapping, _mapping_hook)
    made.register_structure_hook_factory(lambda kind: bool(_open_enum(kind)), _open_enum_hook)
    made.register_structure_hook_factory(has, _class_hook)
    return made


converter: Final = _make_converter()


# Reading a whole body the plain way.


def _refuse_constant(_: str) -> NoReturn:
    # NaN and the infinities are Python's own idea of JSON.
    raise ValueError("not JSON")


def _parse_integer(digits: str) -> object:
    try:
        return int(digits)
    except ValueError:
        return _LONG_INTEGER


_DECODER: Final = json.JSONDecoder(parse_constant=_refuse_constant, parse_int=_parse_integer)


def _parse(body: bytes) -> Any:
    if not body:
        raise _Mismatch("JSON", "an empty body")
    try:
        # `json.loads` would guess the encoding; JSON that is sent is UTF-8.
        text = body.decode()
        document = _DECODER.decode(text)
        if "\\" in text and _SURROGATE(text):
            # An escaped half of a character parses, but such a string cannot be encoded again.
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
        return document
    raise _Mismatch("JSON", found)


def _read(body: bytes, structure: Callable[[Any], T], method: str, url: str) -> T:
    try:
        return structure(_parse(body))
    except _Mismatch as error:
        problem, path = f"expected {error.expected}, found {error.found}", error.path
    # Raised out here, so that it is not chained to errors whose tracebacks hold the body.
    raise UnexpectedResponseError(problem, method, url, path=path)


def _list_page(
    document: Any, structure: Callable[[Any], list[Any]], key: str | None
) -> ListPage[Any]:
    if key is None:
        return ListPage([] if document is None else structure(document), None, None)
    members = _object(document)
    return ListPage(
        _member(members, key, lambda value, _: structure(value), None, False) or [],
        _member(members, "totalCount", _count, None, False),
        _member(members, "filteredCount", _count, None, False),
    )


# The quick way.


class _Unusual(Exception):  # noqa: N818 - it never leaves this module
    """Something that the plain way shall decide."""


class _Writer:
    """Writes the code that makes objects of one class, and of those within, by their rules.

    The code reads dicts, which it checks, or msgspec's structs, which are checked already. It
    fills unfrozen doubles with the same slots, which then change their class: the ``__init__`` of
    a frozen class goes through ``object.__setattr__`` for each field and takes three times as
    long. Equal objects within, and strings that recur, are shared by what one reader makes, but by
    no more than that: a process that runs for weeks must not collect them.
    """

    def __init__(self, cls: type, *, from_structs: bool) -> None:
        self._from_structs = from_structs
        self._pools: list[str] = []
        self._names: dict[str, Any] = {"Unusual": _Unusual}
        made = self._object(cls, "value")
        lines = [
            "def make_reader():",
            *_indent("share = {}.setdefault", *self._pools, "def read(value):"),
            *_indent("try:", *_indent(*made), by=2),
            # It is no dict, or lacks what it must have.
            *_indent("except (AttributeError, KeyError, TypeError):", "    raise Unusual", by=2),
            *_indent("return made", by=2),
            *_indent("return read"),
        ]
        exec(compile("\n".join(lines), f"<the quick way to {cls.__name__}>", "exec"), self._names)

    @property
    def make_reader(self) -> Callable[[], Callable[[Any], Any]]:
        """What returns a function that makes objects."""
        return cast("Callable[[], Callable[[Any], Any]]", self._names["make_reader"])

    def _object(self, cls: type, source: str, *, pooled: bool = False) -> list[str]:
        """Write what leaves an object made of ``source`` in ``made``."""
        name, double = cls.__name__, f"{cls.__name__}_double"
        values = {rule.name: f"{name}_{rule.name}" for rule in _rules(cls)}
        self._names |= {name: cls, double: _double(cls)}
        read = [
            line for rule in _rules(cls) for line in self._value(rule, values[rule.name], source)
        ]
        make = [
            f"made = {double}()",
            *(f"made.{field} = {value}" for field, value in values.items()),
            f"made.__class__ = {name}",
        ]
        if not pooled:
            return read + make
        # The first field tells objects apart; to hash a tuple of all would take longer. Should
        # two be told apart by more than that, only one of them is shared.
        first, *others = values
        self._pools += [f"{name}_pool = {{}}", f"{name}_known = {name}_pool.get"]
        differs = " or ".join(f"made.{field} != {values[field]}" for field in others)
        return [
            *read,
            f"made = {name}_known({values[first]})",
            "if made is None:",
            *_indent(*make, f"{name}_pool[{values[first]}] = made"),
            f"elif {differs or False}:",
            *_indent(*make),
        ]

    def _value(self, rule: _Rule, it: str, source: str) -> list[str]:
        """Write what leaves the value of a field in the variable ``it``."""
        if self._from_structs:
            found = f"{source}.{rule.name}"
        elif rule.required:
            found = f"{source}[{rule.wire_name!r}]"
        else:
            found = f"{source}.get({rule.wire_name!r})"
        return [f"{it} = {found}", *self._checked(rule, it)]

    def _checked(self, rule: _Rule, it: str) -> list[str]:
        if _is_tuple(rule.kind):
            return self._unless_none(it, "list", self._elements(rule, it), f"{it} = ()")
        if rule.kind not in _EXACT:
            self._names[f"{it}_hook"] = rule.hook
            call = f"{it} = {it}_hook({it}, None)"
            return [call] if rule.required else [f"if {it} is not None:", *_indent(call)]
        if rule.required:
            if self._from_structs:
                return []
            return [f"if type({it}) is not {rule.kind.__name__}:", "    raise Unusual"]
        # A text that need not be there, such as an architecture, is the same in many objects.
        then = [f"{it} = share({it}, {it})"] if rule.kind is str else []
        return self._unless_none(it, rule.kind.__name__, then, "pass")

    def _unless_none(self, it: str, kind: str, then: list[str], otherwise: str) -> list[str]:
        then = then or ["pass"]
        if self._from_structs:
            return [f"if {it} is None:", f"    {otherwise}", "else:", *_indent(*then)]
        return [
            f"if type({it}) is {kind}:",
            *_indent(*then),
            f"elif {it} is None:",
            f"    {otherwise}",
            "else:",
            "    raise Unusual",
        ]

    def _elements(self, rule: _Rule, it: str) -> list[str]:
        part = get_args(rule.kind)[0]
        if has(part):
            return [
                "elements = []",
                f"for element in {it}:",
                *_indent(*self._object(part, "element", pooled=True), "elements.append(made)"),
                f"{it} = tuple(elements)",
            ]
        if self._from_structs:
            return []
        return [
            f"for element in {it}:",
            f"    if type(element) is not {part.__name__}:",
            "        raise Unusual",
            f"{it} = tuple({it})",
        ]


def _indent(*lines: str, by: int = 1) -> list[str]:
    return ["    " * by + line for line in lines]


def _double(cls: type) -> type:
    """Return an unfrozen class of the same layout."""
    slots = tuple(rule.name for rule in _rules(cls))
    return type(f"{cls.__name__}Double", cls.__bases__, {"__slots__": slots})


_EXACT: Final = (str, int, bool)
# The items of lists that can be long.
_QUICK: Final = (models.Registry, models.Repository, Image)
# Reads a list, or raises one of `_REFUSALS`.
_QuickRead = Callable[[bytes, str | None], ListPage[Any]]
_REFUSALS: Final = (_Unusual, _Mismatch, ValueError, RecursionError)


@cache
def _quick_json(item: type) -> _QuickRead:
    make_reader = _Writer(item, from_structs=False).make_reader
    rules = _rules(item)
    nested = [rule for rule in rules if _is_tuple(rule.kind) and has(get_args(rule.kind)[0])]
    # A member by which an item is told from the objects within it and from the one around it.
    mark = (nested or rules)[0].wire_name

    def read(body: bytes, key: str | None) -> ListPage[Any]:
        text = body.decode()
        if "\\" in text and _SURROGATE(text):
            raise _Unusual
        read_item = make_reader()

        # Items are made while the text is parsed, so that a page's thousand dicts are never there
        # at once: the garbage collector would walk them again and again.
        def make_early(found: dict[str, Any]) -> Any:
            return read_item(found) if mark in found else found

        def finish(found: Any) -> list[Any]:
            return [one if type(one) is item else read_item(one) for one in _array(found)]

        decoder = json.JSONDecoder(object_hook=make_early, parse_constant=_refuse_constant)
        return _list_page(decoder.decode(text), finish, key)

    return read


@cache
def _quick_msgspec(item: type) -> _QuickRead:
    import msgspec

    make_reader = _Writer(item, from_structs=True).make_reader
    refusals = (msgspec.MsgspecError, RecursionError, ValueError)

    def wire_type(kind: Any) -> Any:
        if _is_tuple(kind):
            return GenericAlias(tuple, (wire_type(get_args(kind)[0]), ...))
        if has(kind):
            members = [
                (rule.name, wire_type(rule.kind))
                if rule.required
                else (rule.name, wire_type(rule.kind) | None, None)
                for rule in _rules(kind)
            ]
            names = {rule.name: rule.wire_name for rule in _rules(kind)}
            return msgspec.defstruct(kind.__name__, members, rename=names, gc=False)
        if kind is float:
            return int | float
        # What is neither is text to which a hook gives its meaning: times and enums.
        return kind if kind in _EXACT else str

    items = GenericAlias(list, (wire_type(item),)) | None

    @cache
    def decoder(key: str | None) -> "msgspec.json.Decoder[Any]":
        if key is None:
            return msgspec.json.Decoder(items)
        page = msgspec.defstruct(
            "Page",
            [
                ("items", items, None),
                ("total", int | None, None),
                ("filtered", int | None, None),
            ],
            rename={"items": key, "total": "totalCount", "filtered": "filteredCount"},
            gc=False,
        )
        return msgspec.json.Decoder(page)

    def read(body: bytes, key: str | None) -> ListPage[Any]:
        # Where msgspec skips a member it does not look at the text in it. Escapes are rare.
        if b"\\" in body:
            raise _Unusual
        if not body.isascii():
            body.decode()
        try:
            page: Any = decoder(key).decode(body)
        except refusals:
            raise _Unusual from None
        read_item = make_reader()
        if key is None:
            return ListPage([read_item(one) for one in page or ()], None, None)
        return ListPage(
            [read_item(one) for one in page.items or ()],
            None if page.total is None else _count(page.total),
            None if page.filtered is None else _count(page.filtered),
        )

    return read


class ListDecoder(Protocol):
    """What decodes an answer of a list operation."""

    def __call__(
        self, body: bytes, item: type[T], *, key: str | None, method: str = "", url: str = ""
    ) -> ListPage[T]:
        """Decode it as `decode_list` does."""
        ...


def make_list_decoder(*parsers: Parser) -> ListDecoder:
    """Return what decodes lists with some parsers, whose results are all the same.

    Args:
        parsers: The quick ways to try, in order, before the plain one.

    Raises:
        ImportError: A parser is not installed.
    """
    makers: Mapping[Parser, Callable[[type], _QuickRead]] = {
        "json": _quick_json,
        "msgspec": _quick_msgspec,
    }
    for parser in parsers:
        # What is missing shall show now, not in the middle of a scan.
        import_module(parser)

    def decode_list(
        body: bytes, item: type[T], *, key: str | None, method: str = "", url: str = ""
    ) -> ListPage[T]:
        if item in _QUICK:
            for parser in parsers:
                try:
                    return makers[parser](item)(body, key)
                except _REFUSALS:
                    continue
        hook = converter.get_structure_hook(item)
        structure = _elements(hook, item)
        return _read(body, lambda document: _list_page(document, structure, key), method, url)

    return decode_list


@cache
def _installed() -> ListDecoder:
    try:
        return make_list_decoder("msgspec", "json")
    except ImportError:
        return make_list_decoder("json")


# What the resources call.


def decode(body: bytes, shape: type[T], *, method: str = "", url: str = "") -> T:
    """Decode one object.

    Args:
        body: The answer's body.
        shape: The model.
        method: The HTTP method, for the error.
        url: The URL, redacted, for the error.

    Raises:
        UnexpectedResponseError: The body is not what the contract says.
    """
    hook = converter.get_structure_hook(shape)
    return cast(T, _read(body, lambda document: hook(document, shape), method, url))


def decode_list(
    body: bytes, item: type[T], *, key: str | None, method: str = "", url: str = ""
) -> ListPage[T]:
    """Decode an answer of a list operation.

    Args:
        body: The answer's body.
        item: The model of the items, or ``str``.
        key: The name of the array on the wire; None where the answer is the array itself.
        method: The HTTP method, for the error.
        url: The URL, redacted, for the error.

    Raises:
        UnexpectedResponseError: The body is not what the contract says.
    """
    return _installed()(body, item, key=key, method=method, url=url)


def decode_names(body: bytes, *, key: str | None, method: str = "", url: str = "") -> ListPage[str]:
    """Decode repositories of which only the names are wanted: texts, or objects with a name.

    Args:
        body: The answer's body.
        key: The name of the array on the wire; None where the answer is the array itself.
        method: The HTTP method, for the error.
        url: The URL, redacted, for the error.

    Raises:
        UnexpectedResponseError: The body is not what the contract says.
    """

    def name(value: object, _: object) -> str:
        if type(value) is str:
            return value
        if type(value) is not dict:
            _wrong("a string or an object", value)
        return cast(str, _member(cast("dict[str, Any]", value), "name", _text))

    structure = _elements(name, str)
    return _read(body, lambda document: _list_page(document, structure, key), method, url)


def decode_image_or_layers(
    body: bytes, *, method: str = "", url: str = ""
) -> Image | tuple[Layer, ...]:
    """Decode an image, or the layers of one: the service describes one and sends the other.

    Args:
        body: The answer's body.
        method: The HTTP method, for the error.
        url: The URL, redacted, for the error.

    Raises:
        UnexpectedResponseError: The body is not what the contract says.
    """

    def structure(document: Any) -> Image | tuple[Layer, ...]:
        if document is None:
            return ()
        if type(document) is list:
            return converter.structure(document, tuple[Layer, ...])
        return converter.structure(document, Image)

    return _read(body, structure, method, url)


def decode_token_v1(body: bytes, *, secret: str | None, method: str = "", url: str = "") -> TokenV1:
    """Decode a v1 token.

    Args:
        body: The answer's body.
        secret: The token itself, where the caller knows it; what the answer says goes first.
        method: The HTTP method, for the error.
        url: The URL, redacted, for the error.

    Raises:
        UnexpectedResponseError: The body is not what the contract says, or nobody says what the
            token is.
    """

    def structure(document: Any) -> TokenV1:
        members = _object(document)
        end = _member(members, "expireAt", _unix_time)
        _member(members, "expireIn", _integer)
        # A text that Go was never given is empty.
        own = _member(members, "token", _text, None, False) or secret
        if not own:
            found = "an empty one" if members.get("token") == "" else _FOUND[type(None)]
            raise _Mismatch("a token", found if "token" in members else "nothing", "token")
        return TokenV1(own, end)

    return _read(body, structure, method, url)


def _unix_time(value: Any, _: object) -> datetime:
    try:
        return _EPOCH + timedelta(seconds=_integer(value))
    except OverflowError:
        raise _Mismatch("a time in Unix seconds", "one that is not in the calendar") from None


def encode_scope(scope: TokenScope) -> dict[str, object]:
    """Return a scope as the service takes it."""
    return {
        "allRegistries": scope.all_registries,
        "modeRW": scope.read_write,
        "registryIds": list(scope.registry_ids),
    }


def encode_expiration(expires_at: datetime | None) -> dict[str, object]:
    """Return the end of a token as the service takes it.

    Args:
        expires_at: An aware time; None means never.

    Raises:
        ValueError: It is not in the calendar in UTC.
    """
    if expires_at is None:
        return {"isSet": False}
    try:
        moment = expires_at.astimezone(UTC)
    except OverflowError:
        raise ValueError("expires_at must be in the years 1 to 9999 in UTC") from None
    return {"expiresAt": moment.replace(tzinfo=None).isoformat() + "Z", "isSet": True}


def encode_body(payload: object) -> bytes:
    """Return the body of a request: compact JSON in UTF-8.

    Raises:
        ValueError: A text or a number in it has no form in JSON.
        TypeError: Something in it has none.
    """
    text = json.dumps(payload, separators=(",", ":"), ensure_ascii=False, allow_nan=False)
    try:
        return text.encode()
    except UnicodeEncodeError:
        problem = "the request holds half of a surrogate pair, which is no text"
    # Raised out here, since the first error holds the whole body.
    raise ValueError(problem)
