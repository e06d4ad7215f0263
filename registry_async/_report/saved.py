"""Reports as JSON: written by the names of their fields, and read as strictly as answers are."""

from collections.abc import Mapping
from re import compile as pattern
from typing import TYPE_CHECKING, Any, Final, get_args

from attrs import fields

from registry_async._converter import wire_converter
from registry_async._plain import plain_fields, schema_of, schema_of_fields
from registry_async._report.layers import LIMIT, Layers
from registry_async._report.rows import (
    TOTALS,
    ImageSummary,
    RegistryTotals,
    ReportContent,
    ReportedError,
    RepositoryTotals,
)
from registry_async._wire import Mismatch, members, parse
from registry_async.models import GarbageSize, holds_bytes

if TYPE_CHECKING:
    from attrs import Attribute

__all__ = ["read", "schema", "written"]

FORMAT: Final = "registry_async.ScanReport"
VERSION: Final = 1

_MONTH: Final = pattern(r"\d{4}-(?:0[1-9]|1[0-2])").fullmatch


def written(report: ReportContent, layers_of: Layers) -> dict[str, object]:
    """Return a report, and its layers, as plain data."""
    layers, large_layers = layers_of.pack()
    return {
        "format": FORMAT,
        "version": VERSION,
        **{name: getattr(report, name) for name in TOTALS},
        **plain_fields(report, secrets=False),
        "layers": layers,
        "large_layers": large_layers,
    }


def schema(title: str) -> dict[str, object]:
    """Return the JSON schema of what `written` gives."""
    found: dict[str, Any] = schema_of_fields(ReportContent)
    properties = {
        "format": {"const": FORMAT},
        "version": {"const": VERSION},
        **{name: schema_of(int) for name in TOTALS},
        **found["properties"],
        "layers": schema_of(str),
        "large_layers": {"type": "object", "additionalProperties": schema_of(int)},
    }
    return {**found, "title": title, "properties": properties, "required": list(properties)}


def read(text: str | bytes) -> dict[str, Any]:
    """Return what a report is made of, from its JSON.

    Raises:
        ValueError: It is no report, or something in it is not what it should be.
    """
    try:
        return _content(parse(text.encode() if isinstance(text, str) else text))
    except Mismatch as error:
        place = f" (at {error.path})" if error.path else ""
        problem = f"expected {error.expected}, found {error.found}{place}"
    except UnicodeEncodeError:
        problem = "half of a character is no text"
    raise ValueError(f"this is no report of a scan, or a damaged one: {problem}")


def _content(document: object) -> dict[str, Any]:
    found = members(document)
    if found.get("format") != FORMAT:
        raise Mismatch(f'"{FORMAT}"', "something else", "format")
    if type(found.get("version")) is not int or found["version"] < 1:
        raise Mismatch("the number of a version", "something else", "version")
    made: dict[str, Any] = {}
    for each in fields(ReportContent):
        if each.name in found and not each.name.startswith("_"):
            made[each.name] = _member(found, each.name, each.type)
    made["layers"] = _layers(found)
    report = ReportContent(**made)
    _check_months(report.images_by_month)
    for index, image in enumerate(report.oldest_images):
        if image.created_at is None:
            raise Mismatch("a date-time", "null", f"oldest_images[{index}].created_at")
    for name in TOTALS:
        if name in found and found[name] != getattr(report, name):
            raise Mismatch("the sum of what is in the report", "another value", name)
    return made


def _member(found: Mapping[str, Any], name: str, kind: Any) -> Any:
    """Return a member that is there, checked. Null stands for nothing else but None."""
    value = found[name]
    if value is None and type(None) in get_args(kind):
        return None
    try:
        if value is None:
            raise Mismatch("a value", "null")
        left = [part for part in get_args(kind) if part is not type(None)]
        return _CONVERTER.structure(value, left[0] if type(None) in get_args(kind) else kind)
    except Mismatch as error:
        error.under(name)
        raise


def _layers(found: Mapping[str, Any]) -> Layers:
    packed = _member(found, "layers", str) if "layers" in found else ""
    large: Mapping[str, int] = {}
    if "large_layers" in found:
        large = _member(found, "large_layers", Mapping[str, int])
    try:
        return Layers.unpack(packed, large)
    except ValueError:
        # Said without the cause, which would quote the layers.
        pass
    raise Mismatch("layers as they are written", "something else", "layers")


def _check_months(months: Mapping[str, int]) -> None:
    for month, count in months.items():
        place = f"images_by_month.{month}"
        if not _MONTH(month) or month < "0001":
            raise Mismatch("a month such as 2025-06", "another text", "images_by_month")
        if not 0 <= count <= _MOST:
            raise Mismatch("a count", "one out of range", place)


def _strict(cls: type) -> None:
    """Make the converter strict with a class of rows: no null for a number, and no absurd one."""
    structure = _CONVERTER.get_structure_hook(cls)
    public = fields(cls)

    def checked(value: Any, kind: Any) -> Any:
        row = structure(value, kind)
        for each in public:
            if value.get(each.name, each) is None and type(None) not in get_args(each.type):
                raise Mismatch("a value", "null", each.name)
            _check_range(each, getattr(row, each.name))
        return row

    _CONVERTER.register_structure_hook(cls, checked)


def _check_range(attribute: "Attribute[Any]", value: object) -> None:
    if type(value) is not int:
        return
    if holds_bytes(attribute):
        if abs(value) > _MOST * LIMIT:
            raise Mismatch("a number of bytes", "one out of range", attribute.name)
    elif not 0 <= value <= _MOST:
        raise Mismatch("a count", "one out of range", attribute.name)


# The largest count that a plot and a data frame can hold. A size is a sum of at most that many.
_MOST: Final = 2**63 - 1
_CONVERTER: Final = wire_converter(lambda _, name: name)
# The classes within others first: a hook is looked up when that of the class around it is made.
for _row in (GarbageSize, RepositoryTotals, RegistryTotals, ImageSummary, ReportedError):
    _strict(_row)
