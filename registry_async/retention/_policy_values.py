"""The parts of a retention policy: values that check themselves, whoever makes them."""

from collections.abc import Callable, Iterable, Mapping
from datetime import timedelta
from math import isfinite
from typing import TYPE_CHECKING, Any, Final, Literal, TypeVar, cast

from attrs import field, frozen

from registry_async.retention._patterns import check_digest, check_glob, check_regex

if TYPE_CHECKING:
    from attrs import Attribute

__all__ = ["Limits", "Protect", "Quota", "Rule", "as_tuple"]

T = TypeVar("T")
Checker = Callable[[str], object]


_KINDS: Final[Mapping[type, str]] = {
    str: "a text",
    bool: "a truth value",
    int: "a number",
    float: "a number",
    dict: "a table",
}


def as_tuple(value: Iterable[T]) -> tuple[T, ...]:
    """Make a tuple of a list; what is no list is left for the validator to refuse."""
    if isinstance(value, str | dict) or not isinstance(value, Iterable):  # pyright: ignore[reportUnnecessaryIsInstance]
        return cast("tuple[T, ...]", value)
    return tuple(value)


def _check_texts(check: Checker | None, *, may_be_none: bool) -> Any:
    def validate(_: object, attribute: "Attribute[Any]", value: object) -> None:
        name = attribute.name
        if value is None and may_be_none:
            return
        if not isinstance(value, tuple):
            raise ValueError(f"{name}: must be a list of texts, not {_kind(value)}")
        # An empty list must not mean "all": it would widen the rule.
        if may_be_none and not value:
            raise ValueError(f"{name}: names nothing; leave it out to mean all")
        texts: tuple[object, ...] = value  # pyright: ignore[reportUnknownVariableType]
        for index, text in enumerate(texts):
            if not isinstance(text, str):
                raise ValueError(f"{name}[{index}]: must be a text, not {_kind(text)}")
            if not text:
                raise ValueError(f"{name}[{index}]: is empty")
            try:
                if check is not None:
                    check(text)
            except ValueError as error:
                raise ValueError(f"{name}[{index}]: {error}") from None

    return validate


def _kind(value: object) -> str:
    if value is None:
        return "nothing"
    return _KINDS.get(type(value), type(value).__name__)


def _list_of(check: Checker | None) -> Any:
    return field(default=(), converter=as_tuple, validator=_check_texts(check, may_be_none=False))


def _optional_list_of(check: Checker | None) -> Any:
    return field(default=None, converter=as_tuple, validator=_check_texts(check, may_be_none=True))


def _check_name(_: object, attribute: "Attribute[str]", value: object) -> None:
    if not isinstance(value, str):
        raise ValueError(f"{attribute.name}: must be a text, not {_kind(value)}")
    if not value.strip():
        raise ValueError(f"{attribute.name}: is empty")


def _check_glob_text(_: object, attribute: "Attribute[str]", value: object) -> None:
    _check_name(_, attribute, value)
    try:
        check_glob(str(value))
    except ValueError as error:
        raise ValueError(f"{attribute.name}: {error}") from None


def _check_flag(_: object, attribute: "Attribute[bool]", value: object) -> None:
    if not isinstance(value, bool):
        raise ValueError(f"{attribute.name}: must be true or false, not {_kind(value)}")


def _check_span(_: object, attribute: "Attribute[timedelta | None]", value: object) -> None:
    if value is None:
        return
    if not isinstance(value, timedelta):
        raise ValueError(f"{attribute.name}: must be a timedelta, not {_kind(value)}")
    if value <= timedelta(0):
        raise ValueError(f"{attribute.name}: must be longer than 0")


def _integer(minimum: int, *, may_be_none: bool = True) -> Any:
    def validate(_: object, attribute: "Attribute[int | None]", value: object) -> None:
        if value is None and may_be_none:
            return
        if not isinstance(value, int) or isinstance(value, bool):
            raise ValueError(f"{attribute.name}: must be a whole number, not {_kind(value)}")
        if value < minimum:
            raise ValueError(f"{attribute.name}: must be {minimum} or more")

    return validate


def _number(maximum: float) -> Any:
    def validate(_: object, attribute: "Attribute[float | None]", value: object) -> None:
        if value is None:
            return
        if not isinstance(value, int | float) or isinstance(value, bool):
            raise ValueError(f"{attribute.name}: must be a number, not {_kind(value)}")
        if not isfinite(value) or not 0 <= value <= maximum:
            raise ValueError(f"{attribute.name}: must be from 0 to {maximum:g}")

    return validate


def _one_of(*choices: str) -> Any:
    def validate(_: object, attribute: "Attribute[str]", value: object) -> None:
        if not isinstance(value, str) or value not in choices:
            raise ValueError(f"{attribute.name}: must be {' or '.join(map(repr, choices))}")

    return validate


@frozen(weakref_slot=False, kw_only=True)
class Protect:
    """What always stays, whatever the rules say. Any one of these is enough.

    Attributes:
        tags: Globs; an image stays if one fits a whole tag of it, case-sensitively.
        tags_regex: Regular expressions that do the same; each must fit the whole tag.
        repositories: Globs over the names of repositories that are left alone.
        digests: The digests of images that stay, in whatever repository.
        younger_than: Images built less than this long ago stay.
        in_use: ``"required"`` refuses to plan and to apply without a list of the images in use.
    """

    tags: tuple[str, ...] = _list_of(check_glob)
    tags_regex: tuple[str, ...] = _list_of(check_regex)
    repositories: tuple[str, ...] = _list_of(check_glob)
    digests: tuple[str, ...] = _list_of(check_digest)
    younger_than: timedelta | None = field(default=None, validator=_check_span)
    in_use: Literal["optional", "required"] = field(
        default="optional", validator=_one_of("optional", "required")
    )


@frozen(weakref_slot=False, kw_only=True)
class Limits:
    """What refuses a whole plan, and how many images always stay.

    Attributes:
        max_delete_fraction: The largest part of the images of one repository that may go, 0 to 1;
            None for no limit.
        max_deletions: The most images that a plan may delete; None for no limit.
        min_images_left: How many of a repository's newest images always stay.
    """

    max_delete_fraction: float | None = field(default=None, validator=_number(1))
    max_deletions: int | None = field(default=None, validator=_integer(0))
    min_images_left: int = field(default=1, validator=_integer(0, may_be_none=False))


@frozen(weakref_slot=False, kw_only=True)
class Rule:
    """Images that may go. Where several keys are given, all of them must hold.

    Attributes:
        name: The name, unique in the policy, by which plans refer to the rule.
        registries: Globs over the names of registries; None for all.
        repositories: Globs over the names of repositories; None for all.
        repositories_regex: Regular expressions that fit whole names; either list is enough.
        tags: Globs that fit whole tags, case-sensitively.
        tags_regex: Regular expressions that fit whole tags; either list is enough. A group
            named ``group`` keeps the newest of each of its values.
        untagged: Whether the rule is about images without a tag instead.
        keep_newest: How many images stay, in each repository and group; 1 or more.
        older_than: Images that are not older than this stay.
        order: What "newest" goes by: ``"created"``, or ``"semver"`` for versions in tags.
        types: The types of repositories, such as ``helm_chart``; None for all but charts.
    """

    name: str = field(validator=_check_name)
    registries: tuple[str, ...] | None = _optional_list_of(check_glob)
    repositories: tuple[str, ...] | None = _optional_list_of(check_glob)
    repositories_regex: tuple[str, ...] | None = _optional_list_of(check_regex)
    tags: tuple[str, ...] = _list_of(check_glob)
    tags_regex: tuple[str, ...] = _list_of(check_regex)
    untagged: bool = field(default=False, validator=_check_flag)
    keep_newest: int | None = field(default=None, validator=_integer(1))
    older_than: timedelta | None = field(default=None, validator=_check_span)
    order: Literal["created", "semver"] = field(
        default="created", validator=_one_of("created", "semver")
    )
    types: tuple[str, ...] | None = _optional_list_of(None)

    def __attrs_post_init__(self) -> None:
        if self.untagged and (self.tags or self.tags_regex):
            raise ValueError("untagged: excludes tags and tags_regex")
        if not (self.untagged or self.tags or self.tags_regex):
            raise ValueError("tags: missing; give tags, tags_regex or untagged")
        if self.keep_newest is None and self.older_than is None:
            raise ValueError("keep_newest: missing; give keep_newest, older_than or both")
        if self.untagged and self.order == "semver":
            raise ValueError("order: images without tags have no versions to go by")


@frozen(weakref_slot=False, kw_only=True)
class Quota:
    """How full a registry may be: of what the rules nominate, only the oldest that it takes go.

    Attributes:
        registry: The name of the registry, or a glob.
        target_percent: The percentage of the registry's size limit to come down to, 0 to 100.
        target_bytes: The bytes to come down to; exactly one of the two is given.
    """

    registry: str = field(validator=_check_glob_text)
    target_percent: float | None = field(default=None, validator=_number(100))
    target_bytes: int | None = field(default=None, validator=_integer(0))

    def __attrs_post_init__(self) -> None:
        if (self.target_percent is None) == (self.target_bytes is None):
            raise ValueError("target_percent: give either target_percent or target_bytes")
