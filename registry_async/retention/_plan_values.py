"""A retention plan as a document: what it holds, how it travels, what it says of an image."""

import json
from collections.abc import Iterable, Mapping
from datetime import UTC, datetime, timedelta
from hashlib import sha256
from typing import TYPE_CHECKING, Any, Final, Self, cast, get_args

from attrs import evolve, field, fields, frozen

from registry_async._plain import PlainData, schema_of_fields, to_json
from registry_async.errors import RetentionRefusedError
from registry_async.references import ImageReference
from registry_async.retention._explain import explain
from registry_async.retention._in_use import InUse
from registry_async.retention._planned import (
    Action,
    BlockedRepository,
    PlanFacts,
    PlannedImage,
    Reason,
)
from registry_async.retention._policy import RetentionPolicy, policy_from_dict
from registry_async.retention._views import diff_text, plan_html, plan_text

if TYPE_CHECKING:
    from pandas import DataFrame

__all__ = ["PlanDiff", "RetentionPlan"]

FORMAT: Final = "registry_async.RetentionPlan"
VERSION: Final = 1
# A plan is good for a day: what was true a week ago is no reason to delete anything.
LIFETIME: Final = timedelta(hours=24)


class _EditedPlanError(RetentionRefusedError, ValueError):
    """A plan is not what it was when it was made."""


def _utc(value: datetime) -> datetime:
    if not isinstance(value, datetime) or value.utcoffset() is None:  # pyright: ignore[reportUnnecessaryIsInstance]
        raise ValueError("times of plans must be datetimes with a time zone")
    return value.astimezone(UTC)


@frozen(weakref_slot=False, kw_only=True)
class RetentionPlan(PlainData):
    """What a policy would delete, what it would keep, and why: every image has one verdict.

    It prints as a table, shows as one in notebooks, and travels as JSON. An edited plan is
    refused. A plan holds for 24 hours.

    Attributes:
        id: The hash of everything else.
        policy: The policy.
        base_url: The URL of the service that was read.
        label: The label of the client that read it.
        created_at: When it was made, in UTC.
        expires_at: When it ends, in UTC.
        in_use: The images in use that it was made with.
        images: All images with their verdicts, by registry, repository and digest.
        blocked: The repositories of which everything stays, because they could not be judged.
        refusals: The limits that it exceeds, in words. A plan with any is never applied.
        unmatched: The patterns of the policy that matched nothing. In a protection that is
            mostly a typo.
        freed_bytes: The bytes of layers that nothing which stays in the registry has.
        freed_is_upper_bound: Whether something in a registry was not read that may have some of
            these layers.
    """

    id: str = ""
    policy: RetentionPolicy
    base_url: str = ""
    label: str | None = None
    created_at: datetime = field(converter=_utc)
    expires_at: datetime = field(converter=_utc)
    in_use: InUse | None = None
    images: tuple[PlannedImage, ...] = ()
    blocked: tuple[BlockedRepository, ...] = ()
    refusals: tuple[str, ...] = ()
    unmatched: tuple[str, ...] = ()
    freed_bytes: int = 0
    freed_is_upper_bound: bool = False

    @property
    def deletions(self) -> tuple[PlannedImage, ...]:
        """The images that go."""
        return tuple(image for image in self.images if image.action == "delete")

    @property
    def kept(self) -> tuple[PlannedImage, ...]:
        """The images that stay."""
        return tuple(image for image in self.images if image.action == "keep")

    def content_id(self) -> str:
        """Return the hash of the content, which ``id`` is unless somebody edited the plan."""
        return _hash(self._content())

    def _content(self) -> dict[str, Any]:
        return {
            "format": FORMAT,
            "version": VERSION,
            "policy": self.policy.__plain__(secrets=False),
            "base_url": self.base_url,
            "label": self.label,
            "created_at": _time_text(self.created_at),
            "expires_at": _time_text(self.expires_at),
            "in_use": None
            if self.in_use is None
            else [str(each) for each in self.in_use.references],
            "images": [_image_to_dict(image) for image in self.images],
            "blocked": [_plain(each) for each in self.blocked],
            "refusals": list(self.refusals),
            "unmatched": list(self.unmatched),
            "freed_bytes": self.freed_bytes,
            "freed_is_upper_bound": self.freed_is_upper_bound,
        }

    def __plain__(self, *, secrets: bool) -> dict[str, object]:
        """Return the plan as plain data, with the keys of the JSON."""
        content = self._content()
        head = {"format": content.pop("format"), "version": content.pop("version")}
        return {**head, "id": self.id, **content}

    @classmethod
    def __plain_schema__(cls) -> dict[str, object]:
        """Return the JSON schema of `to_json`."""
        schema = schema_of_fields(cls)
        own = cast("dict[str, object]", schema["properties"])
        texts = {"type": "array", "items": {"type": "string"}}
        head = {"format": {"const": FORMAT}, "version": {"const": VERSION}}
        schema["properties"] = {**head, **own, "in_use": {"anyOf": [texts, {"type": "null"}]}}
        schema["required"] = [*head, *own]
        return schema

    def to_json(self) -> str:
        """Return the plan as JSON, for people to review and for `from_json`.

        The keys are the attributes of this class, of `PlannedImage` and of `BlockedRepository`,
        besides ``format`` and ``version``; the policy has the keys of its file.
        """
        return to_json(self)

    @classmethod
    def from_json(cls, text: str | bytes) -> Self:
        """Return the plan that `to_json` wrote.

        Args:
            text: The JSON.

        Raises:
            RetentionRefusedError: The plan was edited. This is a ValueError as well.
            ValueError: It is no plan, or one of another version; the message names the place.
        """
        try:
            document: object = json.loads(text)
        except (ValueError, RecursionError, TypeError):
            raise ValueError("the text is no plan: it is not JSON") from None
        plan = cls(**_plan_arguments(document))
        if plan.id != plan.content_id():
            raise _EditedPlanError(
                "the plan was edited after it was made: change the policy, and make a new plan"
            )
        return plan

    def explain(self, reference: str | ImageReference) -> str:
        """Say why an image stays or goes.

        Args:
            reference: The image: ``registry/repository:tag``, with a digest (``@sha256:…``) in
                the place of the tag or after it, with or without a host before; or a digest
                alone. The host is not compared.

        Raises:
            LookupError: The plan knows no such image.
        """
        return explain(_facts(self), reference)

    def diff(self, other: "RetentionPlan") -> "PlanDiff":
        """Return what has changed in this plan since an earlier one.

        Args:
            other: The earlier plan.
        """
        before = {_key(image): image for image in other.images}
        after = {_key(image): image for image in self.images}
        return PlanDiff(
            added=tuple(
                image
                for key, image in after.items()
                if image.action == "delete" and _action(before.get(key)) != "delete"
            ),
            removed=tuple(
                image
                for key, image in before.items()
                if image.action == "delete" and _action(after.get(key)) != "delete"
            ),
            changed=tuple(
                (before[key], image)
                for key, image in after.items()
                if key in before
                and before[key].action == image.action
                and before[key].reason != image.reason
            ),
            freed_bytes=self.freed_bytes - other.freed_bytes,
        )

    def to_dataframe(self) -> "DataFrame":
        """Return a data frame with one row an image (extra ``pandas``).

        Raises:
            ConfigurationError: pandas is not installed.
        """
        from registry_async._display import to_dataframe

        return to_dataframe(self.images, PlannedImage)

    def __repr__(self) -> str:
        return (
            f"<{type(self).__name__} {self.id[:19]}: {len(self.deletions)} of"
            f" {len(self.images)} images go>"
        )

    def __str__(self) -> str:
        return plan_text(_facts(self))

    def _repr_html_(self) -> str:
        return plan_html(_facts(self))


@frozen(weakref_slot=False, kw_only=True)
class PlanDiff(PlainData):
    """What changed from one plan to a later one.

    Attributes:
        added: The images that the later plan deletes, and the earlier does not.
        removed: The images that the earlier plan deletes, and the later does not.
        changed: The images with the same fate for another reason, before and after.
        freed_bytes: The bytes more that the later plan frees, or less when negative.
    """

    added: tuple[PlannedImage, ...]
    removed: tuple[PlannedImage, ...]
    changed: tuple[tuple[PlannedImage, PlannedImage], ...]
    freed_bytes: int

    def __bool__(self) -> bool:
        return bool(self.added or self.removed or self.changed)

    def __str__(self) -> str:
        return diff_text(self.added, self.removed, self.changed)


def _facts(plan: RetentionPlan) -> PlanFacts:
    # Type checkers take a field with a converter for a descriptor, which no protocol has.
    return cast("PlanFacts", plan)


def finished(plan: RetentionPlan) -> RetentionPlan:
    """Return a plan with its id."""
    return evolve(plan, id=plan.content_id())


def _key(image: PlannedImage) -> tuple[str, str, str]:
    return image.registry_id, image.repository, image.digest


def _action(image: PlannedImage | None) -> str | None:
    return None if image is None else image.action


def _hash(content: Mapping[str, Any]) -> str:
    canonical = json.dumps(content, ensure_ascii=True, sort_keys=True, separators=(",", ":"))
    return f"sha256:{sha256(canonical.encode()).hexdigest()}"


def _time_text(moment: datetime | None) -> str | None:
    return None if moment is None else moment.astimezone(UTC).isoformat()


def _plain(value: Any) -> dict[str, Any]:
    return {each.name: getattr(value, each.name) for each in fields(type(value))}  # pyright: ignore[reportUnknownArgumentType]


_IMAGE_KEYS: Final = tuple(attribute.name for attribute in fields(PlannedImage))


def _image_to_dict(image: PlannedImage) -> dict[str, Any]:
    found = {name: getattr(image, name) for name in _IMAGE_KEYS}
    found["tags"] = list(image.tags)
    found["created_at"] = _time_text(image.created_at)
    return found


# Reading. Everything is checked, so that what is wrong is told with its place.


def _plan_arguments(document: object) -> dict[str, Any]:
    table = _table(document, "")
    if table.get("format") != FORMAT:
        raise ValueError(f"format: must be {FORMAT!r}: the text is no retention plan")
    version = table.get("version")
    if isinstance(version, bool) or not isinstance(version, int) or version != VERSION:
        raise ValueError(f"version: must be {VERSION}, the only one there is so far")
    known = {"format", "version", *(attribute.name for attribute in fields(RetentionPlan))}
    _check_keys(table, known, "")
    in_use = table["in_use"]
    if in_use is not None:
        references = _texts(in_use, "in_use")
        try:
            in_use = InUse.from_references(references)
        except ValueError as error:
            raise ValueError(f"in_use: {error}") from None
    return {
        "id": _text(table["id"], "id"),
        "policy": policy_from_dict(table["policy"], "policy"),
        "base_url": _text(table["base_url"], "base_url"),
        "label": _optional_text(table["label"], "label"),
        "created_at": _time(table["created_at"], "created_at"),
        "expires_at": _time(table["expires_at"], "expires_at"),
        "in_use": in_use,
        "images": tuple(
            _read_image(item, f"images[{index}]")
            for index, item in enumerate(_list(table["images"], "images"))
        ),
        "blocked": tuple(
            _read_blocked(item, f"blocked[{index}]")
            for index, item in enumerate(_list(table["blocked"], "blocked"))
        ),
        "refusals": _texts(table["refusals"], "refusals"),
        "unmatched": _texts(table["unmatched"], "unmatched"),
        "freed_bytes": _integer(table["freed_bytes"], "freed_bytes"),
        "freed_is_upper_bound": _flag(table["freed_is_upper_bound"], "freed_is_upper_bound"),
    }


def _read_image(document: object, place: str) -> PlannedImage:
    table = _table(document, place)
    _check_keys(table, set(_IMAGE_KEYS), place)
    action, reason = table["action"], table["reason"]
    if action not in get_args(Action):
        raise ValueError(f"{place}.action: must be keep or delete")
    if reason not in get_args(Reason):
        raise ValueError(f"{place}.reason: is none that there is")
    size, created_at = table["size"], table["created_at"]
    return PlannedImage(
        registry_id=_text(table["registry_id"], f"{place}.registry_id"),
        registry=_text(table["registry"], f"{place}.registry"),
        repository=_text(table["repository"], f"{place}.repository"),
        digest=_text(table["digest"], f"{place}.digest"),
        tags=_texts(table["tags"], f"{place}.tags"),
        size=None if size is None else _integer(size, f"{place}.size"),
        created_at=None if created_at is None else _time(created_at, f"{place}.created_at"),
        action=cast("Action", action),
        rule=_optional_text(table["rule"], f"{place}.rule"),
        reason=cast("Reason", reason),
        explanation=_text(table["explanation"], f"{place}.explanation"),
    )


def _read_blocked(document: object, place: str) -> BlockedRepository:
    table = _table(document, place)
    names = [attribute.name for attribute in fields(BlockedRepository)]
    _check_keys(table, set(names), place)
    return BlockedRepository(*(_text(table[name], f"{place}.{name}") for name in names))


def _check_keys(table: Mapping[str, object], known: set[str], place: str) -> None:
    before = f"{place}." if place else ""
    for key in sorted(table.keys() - known):
        raise ValueError(f"{before}{key}: unknown")
    for key in sorted(known - table.keys()):
        raise ValueError(f"{before}{key}: missing")


def _table(value: object, place: str) -> dict[str, object]:
    if not isinstance(value, dict):
        raise ValueError(f"{place}: must be an object" if place else "the plan must be an object")
    return cast("dict[str, object]", value)


def _list(value: object, place: str) -> list[object]:
    if not isinstance(value, list):
        raise ValueError(f"{place}: must be an array")
    return cast("list[object]", value)


def _text(value: object, place: str) -> str:
    if not isinstance(value, str):
        raise ValueError(f"{place}: must be a text")
    return value


def _optional_text(value: object, place: str) -> str | None:
    return None if value is None else _text(value, place)


def _texts(value: object, place: str) -> tuple[str, ...]:
    return tuple(_text(item, f"{place}[{index}]") for index, item in enumerate(_list(value, place)))


def _integer(value: object, place: str) -> int:
    if not isinstance(value, int) or isinstance(value, bool):
        raise ValueError(f"{place}: must be a whole number")
    return value


def _flag(value: object, place: str) -> bool:
    if not isinstance(value, bool):
        raise ValueError(f"{place}: must be true or false")
    return value


def _time(value: object, place: str) -> datetime:
    try:
        moment = datetime.fromisoformat(_text(value, place))
        return _utc(moment)
    except (ValueError, OverflowError):
        raise ValueError(f"{place}: must be a time with its zone, in ISO 8601") from None


def sorted_images(images: Iterable[PlannedImage]) -> tuple[PlannedImage, ...]:
    """Return images in the order in which plans have them."""
    return tuple(
        sorted(
            images,
            key=lambda image: (image.registry, image.registry_id, image.repository, image.digest),
        )
    )
