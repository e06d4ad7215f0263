"""A retention policy as a whole, and where it is read from."""

from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self

from attrs import field, frozen

from registry_async._plain import PlainData
from registry_async.retention._policy_file import (
    plain_policy_arguments,
    policy_arguments,
    policy_to_dict,
)
from registry_async.retention._policy_values import Limits, Protect, Quota, Rule, as_tuple

if TYPE_CHECKING:
    from attrs import Attribute

__all__ = ["RetentionPolicy", "policy_from_dict"]


def _as_rules(rules: Iterable[Rule]) -> tuple[Rule, ...]:
    return as_tuple(rules)


def _as_quotas(quotas: Iterable[Quota]) -> tuple[Quota, ...]:
    return as_tuple(quotas)


def _tuple_of(kind: type) -> Any:
    def validate(_: object, attribute: "Attribute[Any]", value: object) -> None:
        if not isinstance(value, tuple) or not all(isinstance(item, kind) for item in value):  # pyright: ignore[reportUnknownVariableType]
            raise ValueError(f"{attribute.name}: must be a sequence of {kind.__name__} objects")

    return validate


def _instance_of(kind: type) -> Any:
    def validate(_: object, attribute: "Attribute[Any]", value: object) -> None:
        if not isinstance(value, kind):
            raise ValueError(f"{attribute.name}: must be {kind.__name__} object")

    return validate


@frozen(weakref_slot=False, kw_only=True)
class RetentionPolicy(PlainData):
    """What may go, what stays, and how much at most.

    Attributes:
        rules: What may go; their order means nothing. Without a rule, everything stays.
        protect: What stays whatever the rules say.
        limits: What refuses a plan as a whole, and how many images always stay.
        quotas: How full registries may be.

    Raises:
        ValueError: Something makes no sense; the message names its place.
    """

    rules: tuple[Rule, ...] = field(default=(), converter=_as_rules, validator=_tuple_of(Rule))
    protect: Protect = field(factory=Protect, validator=_instance_of(Protect))
    limits: Limits = field(factory=Limits, validator=_instance_of(Limits))
    quotas: tuple[Quota, ...] = field(default=(), converter=_as_quotas, validator=_tuple_of(Quota))

    def __attrs_post_init__(self) -> None:
        seen: set[str] = set()
        for index, rule in enumerate(self.rules):
            if rule.name in seen:
                raise ValueError(f"rule[{index}].name: {rule.name!r} is the name of another rule")
            seen.add(rule.name)

    def __plain__(self, *, secrets: bool) -> dict[str, object]:
        """Return the policy as plain data, with the keys of the file."""
        return policy_to_dict(self.rules, self.protect, self.limits, self.quotas)

    @classmethod
    def __plain_schema__(cls) -> dict[str, object]:
        """Return the JSON schema of the policy: that of an object with the keys of the file."""
        return {"title": cls.__name__, "type": "object"}

    @classmethod
    def from_toml(cls, text: str) -> Self:
        """Return the policy that a TOML document is.

        Args:
            text: The document.

        Raises:
            ValueError: It is no policy; the message names the place, such as
                ``rule[1].tags_regex[0]``.
        """
        return cls(**policy_arguments(text))

    @classmethod
    def read(cls, path: str | Path) -> Self:
        """Return the policy in a TOML file.

        Args:
            path: The file, in UTF-8.

        Raises:
            OSError: The file cannot be read.
            ValueError: It holds no policy; the message names the file and the place.
        """
        try:
            return cls.from_toml(Path(path).read_text(encoding="utf-8"))
        except ValueError as error:
            problem = "not UTF-8" if isinstance(error, UnicodeDecodeError) else str(error)
            raise ValueError(f"{path}: {problem}") from None


def policy_from_dict(document: object, place: str) -> RetentionPolicy:
    """Return the policy that `policy_to_dict` gave.

    Raises:
        ValueError: It is none; the message names the place.
    """
    try:
        return RetentionPolicy(**plain_policy_arguments(document))
    except ValueError as error:
        raise ValueError(f"{place}.{error}") from None
