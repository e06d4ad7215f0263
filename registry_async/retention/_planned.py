"""The rows of a retention plan: images with their verdicts, and what could not be judged."""

from datetime import datetime
from typing import Literal, Protocol

from attrs import frozen

from registry_async._plain import PlainData
from registry_async.retention._policy import RetentionPolicy

__all__ = ["Action", "BlockedRepository", "PlanFacts", "PlannedImage", "Reason"]

Action = Literal["keep", "delete"]
Reason = Literal[
    "protected_tag",
    "protected_digest",
    "protected_repository",
    "in_use",
    "too_young",
    "newest",
    "not_old_enough",
    "no_rule",
    "undated",
    "not_a_version",
    "part_of_kept",
    "signature_of_kept",
    "last_images",
    "quota_reached",
    "blocked",
    "rule",
    "part_of_deleted",
    "signature_of_deleted",
]


@frozen(weakref_slot=False, kw_only=True)
class PlannedImage(PlainData):
    """What a plan does with an image, and why.

    Attributes:
        registry_id: The id of the registry.
        registry: The name of the registry.
        repository: The name of the repository.
        digest: The digest.
        tags: All tags of the image. Deleting it takes every one of them.
        size: The bytes of all its parts, as the list has it; None for an index that it hides.
        created_at: When it was built; for an index without a time, when its newest part was.
        action: ``"keep"`` or ``"delete"``.
        rule: The name of the rule that decides, where one does; several are joined by commas.
        reason: Why, in one word.
        explanation: Why, in a sentence.
    """

    registry_id: str
    registry: str
    repository: str
    digest: str
    tags: tuple[str, ...] = ()
    size: int | None = None
    created_at: datetime | None = None
    action: Action
    rule: str | None = None
    reason: Reason
    explanation: str = ""


@frozen(weakref_slot=False)
class BlockedRepository(PlainData):
    """A repository of which everything stays, because it could not be judged.

    Attributes:
        registry: The name of the registry.
        repository: The name of the repository; empty where the whole registry was not read.
        reason: Why, and what to do about it.
    """

    registry: str
    repository: str
    reason: str


class PlanFacts(Protocol):
    """What the views and the explanations of a plan read of it."""

    @property
    def id(self) -> str: ...
    @property
    def policy(self) -> RetentionPolicy: ...
    @property
    def base_url(self) -> str: ...
    @property
    def label(self) -> str | None: ...
    @property
    def created_at(self) -> datetime: ...
    @property
    def expires_at(self) -> datetime: ...
    @property
    def images(self) -> tuple[PlannedImage, ...]: ...
    @property
    def deletions(self) -> tuple[PlannedImage, ...]: ...
    @property
    def kept(self) -> tuple[PlannedImage, ...]: ...
    @property
    def blocked(self) -> tuple[BlockedRepository, ...]: ...
    @property
    def refusals(self) -> tuple[str, ...]: ...
    @property
    def unmatched(self) -> tuple[str, ...]: ...
    @property
    def freed_bytes(self) -> int: ...
    @property
    def freed_is_upper_bound(self) -> bool: ...
