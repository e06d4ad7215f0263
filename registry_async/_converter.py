"""The one cattrs converter: JSON <-> models. The names of the wire live here alone."""

import json
from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from enum import StrEnum
from typing import Any, Final, Generic, NoReturn, TypeVar, cast

from attrs import NOTHING, Attribute, fields, frozen, has
from cattrs import Converter

from registry_async import models
from registry_async.errors import UnexpectedResponseError
from registry_async.models import Image, Layer, TokenScope, TokenV1

T = TypeVar("T")
Hook = Callable[[Any], Any]

_WIRE_NAMES: Final[Mapping[tuple[type, str], str]] = {
    (models.GarbageSize, "non_referenced"): "sizeNonReferenced",
    (models.GarbageSize, "untagged"): "sizeUntagged",
    (models.GarbageSize, "total"): "sizeSummary",
    (models.TokenScope, "read_write"): "modeRW",
    (models.Token, "expires_at"): "expiration",
    (models.IssuedToken, "expires_at"): "expiration",
    (models.IssuedToken, "secret"): "token",
}


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


class _Mismatch(Exception):
    def __init__(self, problem: str) -> None:
        super().__init__(problem)
        self.path = ""

    def under(self, part: str) -> None:
        joint = "." if self.path and not self.path.startswith("[") else ""
        self.path = part + joint + self.path


def _wrong(expected: str, value: object) -> NoReturn:
    raise _Mismatch(f"expected {expected}, found {_kind(value)}")


def _kind(value: object) -> str:
    kinds = {dict: "an object", list: "an array", str: "a string", bool: "a boolean"}
    return "null" if value is None else kinds.get(type(value), "a number")


def _text(value: Any, _: object = None) -> str:
    if type(value) is not str:
        _wrong("a string", value)
    return cast(str, value)


def _integer(value: Any, _: object = None) -> int:
    if type(value) is not int:
        _wrong("an integer", value)
    return cast(int, value)


def _number(value: Any, _: object = None) -> float:
    if type(value) is not int and type(value) is not float:
        _wrong("a number", value)
    return float(value)


def _boolean(value: Any, _: object = None) -> bool:
    if type(value) is not bool:
        _wrong("a boolean", value)
    return cast(bool, value)


def _time(value: Any, _: object = None) -> datetime | None:
    text = _text(value)
    moment: datetime | None = None
    try:
        moment = datetime.fromisoformat(text)
        if moment.tzinfo is None or "T" not in text.upper():
            moment = None
        elif moment.year == 1:
            return None
        else:
            return moment.astimezone(UTC)
    except (ValueError, OverflowError):
        moment = None
    raise _Mismatch("expected a date-time, found another string")


def _expiration(value: Any, _: object = None) -> datetime | None:
    if type(value) is not dict:
        _wrong("an object", value)
    if not _member(value, "isSet", _boolean, required=True):
        return None
    return cast(datetime | None, _member(value, "expiresAt", _time, required=True))


def _member(value: dict[str, Any], name: str, hook: Hook, *, required: bool) -> Any:
    found = value.get(name)
    try:
        if found is None:
            if required:
                raise _Mismatch("missing" if name not in value else "found null")
            return None
        return hook(found)
    except _Mismatch as error:
        error.under(name)
        raise


def _array(hook: Hook) -> Hook:
    def structure(value: Any, _: object = None) -> tuple[Any, ...]:
        if type(value) is not list:
            _wrong("an array", value)
        try:
            return tuple([hook(item) for item in value])
        except _Mismatch:
            for index, item in enumerate(value):
                try:
                    hook(item)
                except _Mismatch as error:
                    error.under(f"[{index}]")
                    raise
            raise

    return structure


def _enum(kind: type[StrEnum]) -> Hook:
    known = {member.value: member for member in kind}
    return lambda value: known.get(_text(value), value)


def _hook(kind: Any) -> Hook:
    parts = [part for part in getattr(kind, "__args__", (kind,)) if part is not type(None)]
    if getattr(kind, "__origin__", None) is tuple:
        return _array(_hook(parts[0]))
    part = parts[0]
    if isinstance(part, type) and issubclass(part, StrEnum):
        return _enum(part)
    simple: dict[Any, Hook] = {
        str: _text,
        int: _integer,
        float: _number,
        bool: _boolean,
        datetime: _time,
    }
    if part in simple:
        return simple[part]
    return lambda value: converter.structure(value, part)


def _required(cls: type, attribute: "Attribute[Any]") -> bool:
    return attribute.default is NOTHING and (cls, attribute.name) not in {
        (models.Token, "name"),
        (models.IssuedToken, "name"),
    }


def _class_hook(cls: Any) -> Hook:
    plan: list[tuple[str, str, Hook, bool, Any]] = []
    for attribute in fields(cls):
        head, *tail = attribute.name.split("_")
        wire = _WIRE_NAMES.get(
            (cls, attribute.name), head + "".join(part.capitalize() for part in tail)
        )
        hook = _expiration if wire == "expiration" else _hook(attribute.type)
        default = None if attribute.default is NOTHING else attribute.default
        plan.append((attribute.name, wire, hook, _required(cls, attribute), default))

    def structure(value: Any, _: object = None) -> Any:
        if type(value) is not dict:
            _wrong("an object", value)
        found = {}
        for name, wire, hook, required, default in plan:
            member = _member(value, wire, hook, required=required)
            found[name] = default if member is None else member
        return cls(**found)

    return structure


converter: Final = Converter(detailed_validation=False)
converter.register_structure_hook_factory(has, _class_hook)


def _auths(value: Any, _: object = None) -> models.DockerConfig:
    if type(value) is not dict:
        _wrong("an object", value)
    auths = value.get("auths")
    if type(auths) is not dict:
        error = _Mismatch(f"expected an object, found {_kind(auths)}")
        error.under("auths")
        raise error
    found = {}
    for host, auth in auths.items():
        try:
            found[host] = converter.structure(auth, models.DockerAuth)
        except _Mismatch as error:
            error.under(f"auths.{host}")
            raise
    return models.DockerConfig(found)


converter.register_structure_hook(models.DockerConfig, _auths)


def _constant(_: str) -> NoReturn:
    raise ValueError


def _read(body: bytes, hook: Hook, method: str, url: str) -> Any:
    try:
        document = json.loads(body.decode("utf-8"), parse_constant=_constant)
    except (ValueError, RecursionError):
        problem, path = "the body is not JSON", ""
    else:
        try:
            return hook(document)
        except _Mismatch as error:
            problem, path = str(error), error.path
    raise UnexpectedResponseError(problem, method, url, path=path)


def decode(body: bytes, shape: type[T], *, method: str = "", url: str = "") -> T:
    """Decode one object."""
    return cast(T, _read(body, lambda value: converter.structure(value, shape), method, url))


def _page(hook: Hook, key: str | None) -> Hook:
    items_hook = _array(hook)

    def structure(value: Any) -> ListPage[Any]:
        if key is None:
            return ListPage([] if value is None else list(items_hook(value)), None, None)
        if type(value) is not dict:
            _wrong("an object", value)
        items = _member(value, key, items_hook, required=False)
        return ListPage(
            list(items or ()),
            _member(value, "totalCount", _integer, required=False),
            _member(value, "filteredCount", _integer, required=False),
        )

    return structure


def decode_list(
    body: bytes, item: type[T], *, key: str | None, method: str = "", url: str = ""
) -> ListPage[T]:
    """Decode an answer of a list operation."""
    return cast("ListPage[T]", _read(body, _page(_hook(item), key), method, url))


def decode_names(body: bytes, *, key: str | None, method: str = "", url: str = "") -> ListPage[str]:
    """Decode repositories of which only the names are wanted."""

    def name(value: Any) -> str:
        return _member(value, "name", _text, required=True) if type(value) is dict else _text(value)

    return cast("ListPage[str]", _read(body, _page(name, key), method, url))


def decode_image_or_layers(
    body: bytes, *, method: str = "", url: str = ""
) -> Image | tuple[Layer, ...]:
    """Decode an image, or the layers of one."""
    layers = _array(_hook(Layer))

    def structure(value: Any) -> Image | tuple[Layer, ...]:
        if type(value) is list:
            return cast("tuple[Layer, ...]", layers(value))
        return converter.structure(value, Image)

    return cast("Image | tuple[Layer, ...]", _read(body, structure, method, url))


def decode_token_v1(body: bytes, *, secret: str | None, method: str = "", url: str = "") -> TokenV1:
    """Decode a v1 token, whose secret may be known to the caller alone."""

    def structure(value: Any) -> TokenV1:
        if type(value) is not dict:
            _wrong("an object", value)
        end = _member(value, "expireAt", _integer, required=True)
        _member(value, "expireIn", _integer, required=True)
        own = _member(value, "token", _text, required=secret is None)
        return TokenV1(own or secret or "", datetime.fromtimestamp(end, UTC))

    return cast(TokenV1, _read(body, structure, method, url))


def encode_scope(scope: TokenScope) -> dict[str, object]:
    """Return a scope as the service takes it."""
    return {
        "allRegistries": scope.all_registries,
        "modeRW": scope.read_write,
        "registryIds": list(scope.registry_ids),
    }


def encode_expiration(expires_at: datetime | None) -> dict[str, object]:
    """Return the end of a token as the service takes it."""
    if expires_at is None:
        return {"isSet": False}
    text = expires_at.astimezone(UTC).replace(tzinfo=None).isoformat() + "Z"
    return {"expiresAt": text, "isSet": True}


def encode_body(payload: object) -> bytes:
    """Return a request's body."""
    return json.dumps(payload, separators=(",", ":"), ensure_ascii=False).encode()
