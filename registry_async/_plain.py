"""Models, reports and plans as plain data: dicts, lists, texts and numbers.

`PlainData` is the base of everything that `to_dict` takes. By itself it gives the fields of an
attrs class; a class with more to say (totals, a format, packed content) overrides ``__plain__``.
Nothing here knows a class or a field by its name.

Pydantic, and so FastAPI, finds its hooks on the same base. It is imported only when it calls them.
"""

from collections.abc import Iterator, Mapping, Sequence
from datetime import datetime
from enum import Enum
from importlib import import_module
from typing import TYPE_CHECKING, Any, Final, Union, cast, get_args, get_origin, overload

from attrs import fields

from registry_async._safe_text import json_text

if TYPE_CHECKING:
    from attrs import Attribute

__all__ = ["to_dict", "to_json"]


class PlainData:
    """The base of values that can be given as plain data, and be returned to pydantic."""

    __slots__ = ()

    def __plain__(self, *, secrets: bool) -> dict[str, object]:
        """Return the value as plain data, by the names of its fields.

        Args:
            secrets: Whether secrets are part of it.
        """
        return plain_fields(self, secrets=secrets)

    @classmethod
    def __plain_schema__(cls) -> dict[str, object]:
        """Return the JSON schema of what `__plain__` gives without secrets."""
        return schema_of_fields(cls)

    @classmethod
    def __get_pydantic_core_schema__(cls, source: object, handler: object) -> Any:
        core_schema: Any = import_module("pydantic_core").core_schema
        return core_schema.is_instance_schema(
            cls, serialization=core_schema.plain_serializer_function_ser_schema(to_dict)
        )

    @classmethod
    def __get_pydantic_json_schema__(cls, schema: object, handler: object) -> dict[str, object]:
        return cls.__plain_schema__()


@overload
def to_dict(value: PlainData, secrets: bool = False) -> dict[str, object]: ...


@overload
def to_dict(value: Sequence[object], secrets: bool = False) -> list[object]: ...


def to_dict(
    value: PlainData | Sequence[object], secrets: bool = False
) -> dict[str, object] | list[object]:
    """Return a model, a report, a plan, or a list of them as plain data.

    Names are those of the attributes, times are texts in ISO 8601, enums are their texts.

    Args:
        value: A model, a report or a plan; or a list or tuple of them, such as ``collect()`` gives.
        secrets: Whether secrets are part of it. They are left out by default.

    Returns:
        A dict; a list of what is in it for a list.

    Raises:
        TypeError: The value, or something in it, is none of these.
    """
    if isinstance(value, PlainData):
        return value.__plain__(secrets=secrets)
    if isinstance(value, list | tuple):
        return [plain(item, secrets=secrets) for item in cast("Sequence[object]", value)]
    raise TypeError(f"to_dict takes models, reports, plans, and lists of them, not {_name(value)}")


def to_json(value: PlainData | Sequence[object], secrets: bool = False) -> str:
    """Return a model, a report, a plan, or a list of them as JSON.

    It holds what `to_dict` gives. What would act on a terminal is escaped.

    Args:
        value: A model, a report or a plan; or a list or tuple of them, such as ``collect()`` gives.
        secrets: Whether secrets are part of it. They are left out by default.

    Raises:
        TypeError: The value, or something in it, is none of these.
    """
    return json_text(to_dict(value, secrets))


def plain(value: object, *, secrets: bool) -> object:
    """Return any part of a value as plain data.

    Raises:
        TypeError: There is no plain form of it.
    """
    if value is None or isinstance(value, bool | int | float):
        return value
    if isinstance(value, Enum):
        return plain(value.value, secrets=secrets)
    if isinstance(value, str):
        # A secret that is asked for is given as plain text.
        return value if type(value) is str else str.__str__(value)
    if isinstance(value, datetime):
        return value.isoformat()
    if isinstance(value, PlainData):
        return value.__plain__(secrets=secrets)
    if isinstance(value, list | tuple):
        return [plain(item, secrets=secrets) for item in cast("Sequence[object]", value)]
    if isinstance(value, Mapping):
        members = cast("Mapping[object, object]", value)
        return {str(name): plain(item, secrets=secrets) for name, item in members.items()}
    raise TypeError(f"there is no plain form of {_name(value)}")


def _name(value: object) -> str:
    return type(value).__name__


def plain_fields(value: object, *, secrets: bool) -> dict[str, object]:
    """Return the fields of an attrs object as plain data, by their names.

    A field that its class keeps out of ``repr`` holds a secret.
    """
    return {
        each.name: plain(getattr(value, each.name), secrets=secrets)
        for each in _public(type(value))
        if each.repr or secrets
    }


def _public(cls: type) -> "Iterator[Attribute[Any]]":
    return (each for each in fields(cast(Any, cls)) if not each.name.startswith("_"))


_TYPES: Final[Mapping[object, Mapping[str, object]]] = {
    str: {"type": "string"},
    bool: {"type": "boolean"},
    int: {"type": "integer"},
    float: {"type": "number"},
    datetime: {"type": "string", "format": "date-time"},
    type(None): {"type": "null"},
}


def schema_of_fields(cls: type) -> dict[str, object]:
    """Return the JSON schema of what `plain_fields` gives without secrets."""
    properties = {each.name: schema_of(each.type) for each in _public(cls) if each.repr}
    return {
        "title": cls.__name__,
        "type": "object",
        "properties": properties,
        "required": list(properties),
    }


def schema_of(kind: Any) -> dict[str, object]:
    """Return the JSON schema of the plain form of a type."""
    if kind in _TYPES:
        return dict(_TYPES[kind])
    origin, parts = get_origin(kind), get_args(kind)
    if isinstance(kind, type):
        cls: type[object] = kind
        if issubclass(cls, Enum):
            # A later version of the service may send others.
            return {"type": "string", "examples": [each.value for each in cls]}
        if issubclass(cls, PlainData):
            return cls.__plain_schema__()
    if origin in (tuple, list, Sequence):
        return {"type": "array", "items": schema_of(parts[0])}
    if origin in (dict, Mapping):
        return {"type": "object", "additionalProperties": schema_of(parts[1])}
    if parts and (origin is Union or type(kind) is type(int | str)):
        return {"anyOf": [schema_of(part) for part in parts]}
    return {}
