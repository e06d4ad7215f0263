"""What is garbage in a registry, and what a collection leaves of it."""

from collections.abc import Iterable
from typing import NamedTuple

from registry_async.sandbox._model import StoredImage, StoredRegistry, StoredRepository, blobs_of


class Garbage(NamedTuple):
    """Give the bytes that a collection would free, a shared layer counted once."""

    non_referenced: int
    untagged: int


def unreachable(repository: StoredRepository) -> list[StoredImage]:
    """Give the images that no tag leads to.

    A tag leads to its image, to the parts of an index, and to what names one of these as its
    subject, as a signature does.
    """
    referrers: dict[str, list[str]] = {}
    for image in repository.images.values():
        if image.subject is not None:
            referrers.setdefault(image.subject, []).append(image.digest)
    kept: set[str] = set()
    pending = [image.digest for image in repository.tags.values()]
    while pending:
        digest = pending.pop()
        if digest in repository.images and digest not in kept:
            kept.add(digest)
            pending += repository.images[digest].references
            pending += referrers.get(digest, ())
    return [image for image in repository.images.values() if image.digest not in kept]


def measure(registry: StoredRegistry, now: float) -> Garbage:
    """Tell what a collection would free, from what is stored now.

    Args:
        registry: The registry.
        now: Seconds of the sandbox's clock; blobs of a push that goes on are no garbage.
    """
    kept: dict[str, int] = {}
    untagged: dict[str, int] = {}
    for repository in registry.repositories.values():
        loose = unreachable(repository)
        going = {image.digest for image in loose}
        untagged |= blobs_of(loose)
        kept |= blobs_of(image for image in repository.images.values() if image.digest not in going)
    referenced = kept.keys() | untagged.keys() | _still_pending(registry, now)
    return Garbage(
        non_referenced=sum(size for blob, size in registry.blobs.items() if blob not in referenced),
        untagged=sum(size for blob, size in untagged.items() if blob not in kept),
    )


def collect(registry: StoredRegistry, now: float) -> None:
    """Remove what is garbage at the end of a collection.

    Args:
        registry: The registry, whose `collects_untagged` says whether images without a tag go, and
            whose `kept_by_collection`, if there is one, says what blobs may stay at most.
        now: Seconds of the sandbox's clock.
    """
    repositories = list(registry.repositories.values())
    if registry.collects_untagged:
        for repository in repositories:
            for image in unreachable(repository):
                repository.remove(image)
    kept = blobs_of(_images(repositories))
    if registry.kept_by_collection is None:
        spared = _still_pending(registry, now)
    else:
        # The collection that corrupts: what was pushed since it began goes, in use or not. The
        # manifests stay, so that the images are still listed.
        spared = {image.digest for image in _images(repositories)}
        kept = {blob: size for blob, size in kept.items() if blob in registry.kept_by_collection}
    registry.blobs = {
        blob: size for blob, size in registry.blobs.items() if blob in kept or blob in spared
    }
    registry.size = sum(registry.blobs.values())
    registry.pending = {
        blob: until for blob, until in registry.pending.items() if blob in registry.blobs
    }
    for repository in [*repositories, *registry.drafts.values()]:
        repository.links &= registry.blobs.keys()
    registry.drafts = {name: draft for name, draft in registry.drafts.items() if draft.links}
    registry.kept_by_collection = None
    registry.changed = True


def in_use(registry: StoredRegistry) -> frozenset[str]:
    """Give the digests of all blobs that a manifest of the registry refers to."""
    return frozenset(blobs_of(_images(registry.repositories.values())))


def _images(repositories: Iterable[StoredRepository]) -> Iterable[StoredImage]:
    return (image for repository in repositories for image in repository.images.values())


def _still_pending(registry: StoredRegistry, now: float) -> set[str]:
    return {blob for blob, until in registry.pending.items() if now < until}
