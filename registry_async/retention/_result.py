"""What an applied plan has done."""

from attrs import field, frozen

from registry_async._plain import PlainData
from registry_async._safe_text import visible
from registry_async._tables import size_text
from registry_async.retention._planned import PlannedImage
from registry_async.retention._views import ROWS, count_text, image_text

__all__ = [
    "FailedImage",
    "RetentionProgress",
    "RetentionResult",
    "SkippedImage",
    "UnexpectedDeletion",
]


@frozen(weakref_slot=False)
class SkippedImage(PlainData):
    """A planned image that was not sent for deletion.

    Attributes:
        image: The image as the plan has it.
        change: What changed since the plan was made.
    """

    image: PlannedImage
    change: str

    @property
    def digest(self) -> str:
        """The digest of the image."""
        return self.image.digest


@frozen(weakref_slot=False)
class FailedImage(PlainData):
    """A planned image that the service did not delete.

    Attributes:
        image: The image as the plan has it.
        error: Why, in the service's words.
    """

    image: PlannedImage
    error: str

    @property
    def digest(self) -> str:
        """The digest of the image."""
        return self.image.digest


@frozen(weakref_slot=False, kw_only=True)
class UnexpectedDeletion(PlainData):
    """What the service says it deleted, and nobody asked it to.

    Attributes:
        registry_id: The id of the registry.
        registry: The name of the registry.
        repository: The name of the repository.
        digest: The digest; None where the service names none.
        tags: The tags.
    """

    registry_id: str
    registry: str
    repository: str
    digest: str | None
    tags: tuple[str, ...]


@frozen(weakref_slot=False, kw_only=True)
class RetentionProgress(PlainData):
    """How far a run has come.

    Attributes:
        planned: The images that the plan deletes.
        deleted: Those that are deleted.
        failed: Those that the service refused to delete.
        skipped: Those that stay because something changed.
    """

    planned: int
    deleted: int
    failed: int
    skipped: int


@frozen(weakref_slot=False, kw_only=True)
class RetentionResult(PlainData):
    """What a run has done, what earlier runs with the same journal did included.

    Attributes:
        deleted: The images that were deleted.
        skipped: The planned images that stay because something changed, and what.
        failed: The images that the service did not delete, and why.
        unexpected: What the service says it deleted, and nobody asked it to.
        errors: What else went wrong, in words.
        collected: The names of the registries whose garbage collection was started.
        freed_bytes: The bytes of the layers that went: what a collection frees.
    """

    deleted: tuple[PlannedImage, ...] = ()
    skipped: tuple[SkippedImage, ...] = ()
    failed: tuple[FailedImage, ...] = ()
    unexpected: tuple[UnexpectedDeletion, ...] = ()
    errors: tuple[str, ...] = ()
    collected: tuple[str, ...] = field(default=())
    freed_bytes: int = 0

    @property
    def complete(self) -> bool:
        """Whether nothing failed and nothing unexpected happened."""
        return not (self.failed or self.errors or self.unexpected)

    def __str__(self) -> str:
        return _text(self)


def _text(result: RetentionResult) -> str:
    counts = (
        f"{count_text(len(result.deleted))} deleted, {len(result.skipped):,} skipped, "
        f"{len(result.failed):,} failed; a collection frees {size_text(result.freed_bytes)}."
    )
    lines = [counts]
    for each in result.unexpected:
        what = visible(f"{each.registry}/{each.repository}@{each.digest}")
        tags = f" with tags {visible(', '.join(each.tags))}" if each.tags else ""
        lines.append(f"DELETED AND NOT ASKED FOR: {what}{tags}")
    for title, found in (
        ("Failed", [(each.image, each.error) for each in result.failed]),
        ("Skipped", [(each.image, each.change) for each in result.skipped]),
    ):
        if found:
            lines.append(f"{title}, {len(found):,}:")
            lines += [f"  {image_text(image)}: {visible(why)}" for image, why in found[:ROWS]]
            if len(found) > ROWS:
                lines.append(f"  … and {len(found) - ROWS:,} more")
    lines += [f"Error: {visible(error)}" for error in result.errors]
    if result.collected:
        lines.append(f"Collections started: {visible(', '.join(result.collected))}")
    return "\n".join(lines)
