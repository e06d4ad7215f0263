"""The one cattrs converter: JSON <-> models. The names of the wire live here alone.

Each kind of value has a structure hook, and those of classes come from a hook factory. This is how
cattrs is meant to be used, but for three things. Values are checked and never converted, since
cattrs would take anything for a string. What is wrong is named by its path: cattrs' own detailed
validation would do that, too, but its errors keep the values, which may be secrets. And null stands
for an absent member, as it does in Go.

A page of images goes to `_image_pages` first, which is fast and may leave it to this converter.
"""

import json
from collections.abc import Callable, Mapping
from datetime import UTC, datetime, timedelta
from enum import StrEnum
from functools import cache
from importlib import import_module
from typing import TYPE_CHECKING, Any, Final, Literal, Protocol, TypeVar, cast, get_args, get_origin

from attrs import NOTHING, fields, frozen, has
from cattrs import Converter

from registry_async import _image_pages, models
from registry_async._wire import (
    ListPage,
    Mismatch,
    array,
    boolean,
    count,
    integer,
    members,
    moment,
    number,
    parse,
    text,
    wrong,
)
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
    "wire_converter",
]

T = TypeVar("T")
Hook = Callable[[Any, Any], Any]
# Returns the name on the wire of a field.
Naming = Callable[[type, str], str]
Parser = Literal["json", "msgspec"]

_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)
# On the wire a field has its own name in camel case, but for these.
_NAMES: Final[Mapping[tuple[type, str], str]] = {
    (models.GarbageSize, "non_referenced"): "sizeNonReferenced",
    (models.GarbageSize, "untagged"): "sizeUntagged",
    (models.GarbageSize, "total"): "sizeSummary",
    (models.TokenScope, "read_write"): "modeRW",
    (models.Token, "expires_at"): "expiration",
    (models.IssuedToken, "expires_at"): "expiration",
    (models.IssuedToken, "secret"): "token",
}


def _expiration(value: object, _: object = None) -> datetime | None:
    found = members(value)
    if not _EXPIRATION_IS_SET.read(found):
        return None
    return cast("datetime | None", _EXPIRATION_TIME.read(found))


# Fields that a hook of their own reads.
_HOOKS: Final[Mapping[tuple[type, str], Hook]] = {
    (models.Token, "expires_at"): _expiration,
    (models.IssuedToken, "expires_at"): _expiration,
}
# Fields without a default that may be absent: whoever makes a token has to say that it has no name,
# but the service need not.
_OPTIONAL: Final = frozenset({(models.Token, "name"), (models.IssuedToken, "name")})


@frozen
class _Member:
    """A member of an object: what it is called and how it is read.

    Attributes:
        name: Its name on the wire.
        hook: What structures a value that is not null.
        kind: The type for the hook.
        required: Whether it must be there and not be null.
        default: What is taken otherwise.
    """

    name: str
    hook: Hook
    kind: Any = None
    required: bool = True
    default: object = None

    def read(self, found: dict[str, Any]) -> Any:
        """Return its value in an object.

        Raises:
            Mismatch: It is not what it should be.
        """
        value = found.get(self.name)
        if value is None and not self.required:
            return self.default
        try:
            return self.hook(value, self.kind)
        except Mismatch as error:
            if self.name not in found:
                error.found = "nothing"
            error.under(self.name)
            raise


_EXPIRATION_IS_SET: Final = _Member("isSet", boolean)
_EXPIRATION_TIME: Final = _Member("expiresAt", moment)
_TOTAL: Final = _Member("totalCount", count, required=False)
_FILTERED: Final = _Member("filteredCount", count, required=False)


def _elements(hook: Hook, kind: Any) -> Callable[[Any], list[Any]]:
    """Return what structures an array."""

    def structure(value: Any) -> list[Any]:
        elements = array(value)
        done: list[Any] = []
        try:
            for element in elements:
                done.append(hook(element, kind))
        except Mismatch as error:
            error.under(f"[{len(done)}]")
            raise
        return done

    return structure


# The hook factories.


def _open_enum(kind: Any) -> "type[StrEnum] | None":
    """Return the enum of a type such as ``RegistryStatus | str``."""
    for part in get_args(kind):
        if isinstance(part, type) and issubclass(part, StrEnum):
            return part
    return None


def _is_open_enum(kind: Any) -> bool:
    return _open_enum(kind) is not None


def _is_tuple(kind: Any) -> bool:
    origin: object = get_origin(kind)
    return origin is tuple


def _is_mapping(kind: Any) -> bool:
    origin: object = get_origin(kind)
    return origin is Mapping


def _open_enum_hook(kind: Any, _: Converter) -> Hook:
    enum = _open_enum(kind)
    assert enum is not None
    # A dict is twenty times as fast as calling the enum, and has an answer for unknown values.
    known: dict[str, str] = {member.value: member for member in enum}
    return lambda value, _: known.get(text(value), value)


def _tuple_hook(kind: Any, converter: Converter) -> Hook:
    part = get_args(kind)[0]
    structure = _elements(converter.get_structure_hook(part), part)
    return lambda value, _: tuple(structure(value))


def _mapping_hook(kind: Any, converter: Converter) -> Hook:
    part = get_args(kind)[1]
    hook = converter.get_structure_hook(part)

    def structure(value: Any, _: object) -> dict[str, Any]:
        found = members(value)
        return {name: _Member(name, hook, part).read(found) for name in found}

    return structure


def _class_hook(naming: Naming) -> Callable[[Any, Converter], Hook]:
    def make(cls: Any, converter: Converter) -> Hook:
        readers = {each.alias: _member_of(cls, each, naming, converter) for each in fields(cls)}

        def structure(value: Any, _: object) -> Any:
            found = members(value)
            return cls(**{name: member.read(found) for name, member in readers.items()})

        return structure

    return make


def _member_of(
    cls: type, attribute: "Attribute[Any]", naming: Naming, converter: Converter
) -> _Member:
    field = cls, attribute.name
    kind = _without_none(attribute.type)
    hook = _HOOKS.get(field) or converter.get_structure_hook(kind)
    has_default = attribute.default is not NOTHING
    return _Member(
        naming(*field),
        hook,
        kind,
        required=not has_default and field not in _OPTIONAL,
        default=attribute.default if has_default else None,
    )


def _without_none(kind: Any) -> Any:
    left = [part for part in get_args(kind) if part is not type(None)]
    if len(left) == len(get_args(kind)):
        return kind
    joined = left[0]
    for part in left[1:]:
        joined |= part
    return joined


def _camel_case(cls: type, name: str) -> str:
    head, *tail = name.split("_")
    usual = head + "".join(part.capitalize() for part in tail)
    return _NAMES.get((cls, name), usual)


def wire_converter(naming: Naming = _camel_case) -> Converter:
    """Return a converter whose `structure` raises a `Mismatch` for what is not right.

    Args:
        naming: Return the name that a field of a class has on the wire.
    """
    made = Converter(detailed_validation=False)
    for kind, hook in (
        (str, text),
        (int, integer),
        (float, number),
        (bool, boolean),
        (datetime, moment),
    ):
        made.register_structure_hook(kind, cast(Any, hook))
    made.register_structure_hook_factory(_is_tuple, _tuple_hook)
    made.register_structure_hook_factory(_is_mapping, _mapping_hook)
    made.register_structure_hook_factory(_is_open_enum, _open_enum_hook)
    made.register_structure_hook_factory(has, _class_hook(naming))
    return made


_CONVERTER: Final = wire_converter()


def _read(body: bytes, structure: Callable[[Any], T]) -> T:
    try:
        return structure(parse(body))
    except Mismatch as error:
        problem, path = f"expected {error.expected}, found {error.found}", error.path
    # Raised out here, so that it is not chained to errors whose tracebacks hold the body.
    raise UnexpectedResponseError(problem, path=path)


def _list_page(
    document: Any, structure: Callable[[Any], list[Any]], key: str | None
) -> ListPage[Any]:
    if key is None:
        return ListPage([] if document is None else structure(document), None, None)
    found = members(document)
    items = _Member(key, lambda value, _: structure(value), required=False)
    return ListPage(items.read(found) or [], _TOTAL.read(found), _FILTERED.read(found))


class ListDecoder(Protocol):
    """What decodes an answer of a list operation."""

    def __call__(self, body: bytes, item: type[T], *, key: str | None) -> ListPage[T]:
        """Decode it as `decode_list` does."""
        ...


_IMAGE_READERS: Final[Mapping[Parser, _image_pages.PageReader]] = {
    "json": _image_pages.read_with_json,
    "msgspec": _image_pages.read_with_msgspec,
}


def make_list_decoder(*parsers: Parser) -> ListDecoder:
    """Return what decodes lists, trying some parsers on images before the converter.

    Args:
        parsers: The parsers, in order. Results are the same with any of them, and with none.

    Raises:
        ImportError: A parser is not installed.
    """
    for parser in parsers:
        # What is missing shall show now, not in the middle of a scan.
        import_module(parser)
    readers = [_IMAGE_READERS[parser] for parser in parsers]

    def decode_list(body: bytes, item: type[T], *, key: str | None) -> ListPage[T]:
        if item is Image and key in _image_pages.KEYS:
            for reader in readers:
                page = reader(body, key)
                if page is not None:
                    return cast("ListPage[T]", page)
        structure = _elements(_CONVERTER.get_structure_hook(item), item)
        return _read(body, lambda document: _list_page(document, structure, key))

    return decode_list


@cache
def _installed() -> ListDecoder:
    try:
        return make_list_decoder("msgspec", "json")
    except ImportError:
        return make_list_decoder("json")


# What the resources call. `UnexpectedResponseError` says what is wrong and where in the body; who
# knows the request adds its method and URL.


def decode(body: bytes, shape: type[T]) -> T:
    """Decode one object.

    Args:
        body: The answer's body.
        shape: The model.

    Raises:
        UnexpectedResponseError: The body is not what the contract says.
    """
    hook = _CONVERTER.get_structure_hook(shape)
    return cast(T, _read(body, lambda document: hook(document, shape)))


def decode_list(body: bytes, item: type[T], *, key: str | None) -> ListPage[T]:
    """Decode an answer of a list operation.

    Args:
        body: The answer's body.
        item: The model of the items, or ``str``.
        key: The name of the array on the wire; None where the answer is the array itself.

    Raises:
        UnexpectedResponseError: The body is not what the contract says.
    """
    return _installed()(body, item, key=key)


def decode_names(body: bytes, *, key: str | None) -> ListPage[str]:
    """Decode repositories of which only the names are wanted: texts, or objects with a name.

    Args:
        body: The answer's body.
        key: The name of the array on the wire; None where the answer is the array itself.

    Raises:
        UnexpectedResponseError: The body is not what the contract says.
    """
    of_object = _Member("name", text)

    def name(value: object, _: object) -> str:
        if type(value) is str:
            return value
        if type(value) is not dict:
            wrong("a string or an object", value)
        return cast(str, of_object.read(cast("dict[str, Any]", value)))

    structure = _elements(name, str)
    return _read(body, lambda document: _list_page(document, structure, key))


def decode_image_or_layers(body: bytes) -> Image | tuple[Layer, ...]:
    """Decode an image, or the layers of one: the service describes one and sends the other.

    Args:
        body: The answer's body.

    Raises:
        UnexpectedResponseError: The body is not what the contract says.
    """

    def structure(document: Any) -> Image | tuple[Layer, ...]:
        if document is None:
            return ()
        if type(document) is list:
            return _CONVERTER.structure(document, tuple[Layer, ...])
        return _CONVERTER.structure(document, Image)

    return _read(body, structure)


def decode_token_v1(body: bytes, *, secret: str | None) -> TokenV1:
    """Decode a v1 token.

    Args:
        body: The answer's body.
        secret: The token itself, where the caller knows it; what the answer says goes first.

    Raises:
        UnexpectedResponseError: The body is not what the contract says, or nobody says what the
            token is.
    """
    expires_at = _Member("expireAt", _unix_time)
    seconds_left = _Member("expireIn", integer)
    token = _Member("token", text, required=False)

    def structure(document: Any) -> TokenV1:
        found = members(document)
        end = expires_at.read(found)
        seconds_left.read(found)
        # A text that Go was never given is empty.
        own = token.read(found) or secret
        if not own:
            what = "an empty one" if found.get("token") == "" else "null"
            raise Mismatch("a token", what if "token" in found else "nothing", "token")
        return TokenV1(own, end)

    return _read(body, structure)


def _unix_time(value: Any, _: object) -> datetime:
    try:
        return _EPOCH + timedelta(seconds=integer(value))
    except OverflowError:
        raise Mismatch("a time in Unix seconds", "one that is not in the calendar") from None


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
