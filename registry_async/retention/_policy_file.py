"""Policies as plain data: read from TOML, and to and from JSON within a plan."""

import re
import tomllib
from collections.abc import Callable, Mapping, Sequence
from datetime import timedelta
from typing import Any, Final, cast

from attrs import fields

from registry_async.retention._policy_values import Limits, Protect, Quota, Rule

__all__ = ["VERSION", "plain_policy_arguments", "policy_arguments", "policy_to_dict"]

VERSION: Final = 1

_SPAN: Final = re.compile(r"([0-9]+)([hdw])")
_UNITS: Final[Mapping[str, timedelta]] = {
    "h": timedelta(hours=1),
    "d": timedelta(days=1),
    "w": timedelta(weeks=1),
}
# Python takes spans that are no whole number of hours; a plan has to hold them, too.
_EXACT_SPAN: Final = re.compile(r"([0-9]+)us")
_TABLES: Final[Mapping[str, type]] = {"protect": Protect, "limits": Limits}
_ARRAYS: Final[Mapping[str, tuple[str, type]]] = {
    "rule": ("rules", Rule),
    "quota": ("quotas", Quota),
}
_SPANS: Final = frozenset({"younger_than", "older_than"})


def policy_arguments(text: str) -> dict[str, Any]:
    """Read a policy in TOML; give the arguments of `RetentionPolicy`.

    Raises:
        ValueError: It is none; the message names the place.
    """
    if not isinstance(text, str):  # pyright: ignore[reportUnnecessaryIsInstance]
        raise ValueError("a policy must be text")
    try:
        document = tomllib.loads(text)
    except (tomllib.TOMLDecodeError, RecursionError) as error:
        raise ValueError(f"the policy is not TOML: {error}") from None
    return _arguments(document, _read_span)


def plain_policy_arguments(document: object) -> dict[str, Any]:
    """Return the arguments of `RetentionPolicy` that `policy_to_dict` wrote down.

    Raises:
        ValueError: They are none; the message names the place.
    """
    return _arguments(_table(document, ""), _read_any_span)


def policy_to_dict(
    rules: Sequence[Rule], protect: Protect, limits: Limits, quotas: Sequence[Quota]
) -> dict[str, Any]:
    """Return the parts of a policy as plain data, with the keys of the file."""
    return {
        "version": VERSION,
        "protect": _plain(protect),
        "limits": _plain(limits),
        "rule": [_plain(rule) for rule in rules],
        "quota": [_plain(quota) for quota in quotas],
    }


def _plain(value: Any) -> dict[str, Any]:
    found: dict[str, Any] = {}
    for attribute in fields(type(value)):  # pyright: ignore[reportUnknownArgumentType]
        given = getattr(value, attribute.name)
        if given == attribute.default:
            continue
        if isinstance(given, timedelta):
            given = _span_text(given)
        found[attribute.name] = list(given) if isinstance(given, tuple) else given  # pyright: ignore[reportUnknownArgumentType]
    return found


def _arguments(
    document: Mapping[str, object], read_span: Callable[[object], timedelta]
) -> dict[str, Any]:
    version = document.get("version")
    if version is None:
        raise ValueError(f"version: missing; write version = {VERSION}")
    if isinstance(version, bool) or not isinstance(version, int) or version != VERSION:
        raise ValueError(f"version: must be {VERSION}, the only one there is so far")
    known = {"version", *_TABLES, *_ARRAYS}
    found: dict[str, Any] = {}
    for key, value in document.items():
        if key not in known:
            raise ValueError(f"{key}: unknown; known are {', '.join(sorted(known))}")
        if key in _TABLES:
            found[key] = _build(_TABLES[key], value, key, read_span)
        elif key in _ARRAYS:
            argument, kind = _ARRAYS[key]
            if not isinstance(value, list):
                raise ValueError(f"{key}: must be an array of tables: [[{key}]]")
            items = cast("list[object]", value)
            found[argument] = tuple(
                _build(kind, item, f"{key}[{index}]", read_span) for index, item in enumerate(items)
            )
    return found


def _build(kind: type, value: object, place: str, read_span: Callable[[object], timedelta]) -> Any:
    table: dict[str, Any] = dict(_table(value, place))
    names = [attribute.name for attribute in fields(kind)]
    for key, given in table.items():
        if key not in names:
            raise ValueError(f"{place}.{key}: unknown; known are {', '.join(sorted(names))}")
        if key in _SPANS:
            try:
                table[key] = read_span(given)
            except ValueError as error:
                raise ValueError(f"{place}.{key}: {error}") from None
    required = "name" if kind is Rule else "registry" if kind is Quota else None
    if required is not None and required not in table:
        raise ValueError(f"{place}.{required}: missing")
    try:
        return kind(**table)
    except ValueError as error:
        raise ValueError(f"{place}.{error}") from None


def _table(value: object, place: str) -> dict[str, object]:
    if not isinstance(value, dict):
        raise ValueError(f"{place}: must be a table" if place else "must be a table")
    return cast("dict[str, object]", value)


def _read_span(value: object) -> timedelta:
    match = _SPAN.fullmatch(value) if isinstance(value, str) else None
    if match is None:
        hint = ""
        if isinstance(value, str) and re.fullmatch(r"[0-9]+m", value):
            hint = ", and m could be minutes or months"
        raise ValueError(
            f'must be a text such as "24h", "14d" or "2w"; the units are h, d and w{hint}'
        )
    try:
        span = int(match[1]) * _UNITS[match[2]]
    except (OverflowError, ValueError):
        raise ValueError("is longer than can be counted") from None
    if not span:
        raise ValueError("must be longer than 0")
    return span


def _read_any_span(value: object) -> timedelta:
    match = _EXACT_SPAN.fullmatch(value) if isinstance(value, str) else None
    if match is None:
        return _read_span(value)
    try:
        return timedelta(microseconds=int(match[1]))
    except (OverflowError, ValueError):
        raise ValueError("is longer than can be counted") from None


def _span_text(span: timedelta) -> str:
    for unit in ("d", "h"):
        if not span % _UNITS[unit]:
            return f"{span // _UNITS[unit]}{unit}"
    return f"{span // timedelta(microseconds=1)}us"
