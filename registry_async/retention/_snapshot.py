"""What was read of a repository, as the evaluation takes it."""

from collections.abc import Iterable, Mapping
from typing import Final

from attrs import field, frozen

from registry_async.models import Image, Registry, Repository, RepositoryType

__all__ = ["Manifest", "RepositorySnapshot", "is_plain"]

# The media types of manifests that hold an image and refer to no other manifest.
_IMAGE_MANIFESTS: Final = frozenset(
    {
        "application/vnd.docker.distribution.manifest.v1+json",
        "application/vnd.docker.distribution.manifest.v1+prettyjws",
        "application/vnd.docker.distribution.manifest.v2+json",
        "application/vnd.oci.image.manifest.v1+json",
    }
)
# What attestations are given for an architecture and a system.
_NO_PLATFORM: Final = frozenset({None, "", "unknown"})


def _texts(value: Iterable[str]) -> tuple[str, ...]:
    if isinstance(value, str):
        raise ValueError("must be a sequence of texts, not one text")
    return tuple(value)


def _images(value: Iterable[Image]) -> tuple[Image, ...]:
    return tuple(value)


@frozen(weakref_slot=False)
class Manifest:
    """What a manifest says of others.

    Attributes:
        digest: Its digest.
        media_type: Its media type.
        parts: The digests of the manifests that it is made of, for an index or manifest list.
        subject: The digest of the manifest that it is about, for a signature or an attestation.
    """

    digest: str
    media_type: str
    parts: tuple[str, ...] = field(default=(), converter=_texts)
    subject: str | None = None


@frozen(weakref_slot=False)
class RepositorySnapshot:
    """A repository as it was read at one moment.

    Attributes:
        registry: The registry.
        repository: The repository.
        images: All images of the image list.
        tags: All tags of the tag list.
        manifests: What was read of manifests, by digest, and by tag for tags that no image of
            the list has. None as a value: there is no such manifest. None for the mapping:
            nobody asked.
        problem: Why the reading is not whole or not consistent; None where it is.
    """

    registry: Registry
    repository: Repository
    images: tuple[Image, ...] = field(converter=_images)
    tags: tuple[str, ...] = field(converter=_texts)
    manifests: Mapping[str, Manifest | None] | None = None
    problem: str | None = None


def is_plain(image: Image, *, media_type_is_enough: bool) -> bool:
    """Say whether an image surely refers to no other manifest.

    Args:
        image: The image as the list shows it.
        media_type_is_enough: Whether it need not name an architecture or a system: charts and
            signatures have neither.
    """
    return image.media_type in _IMAGE_MANIFESTS and (
        media_type_is_enough
        or image.architecture not in _NO_PLATFORM
        or image.os not in _NO_PLATFORM
    )


def is_chart(repository: Repository) -> bool:
    """Say whether a repository holds charts."""
    return repository.type == RepositoryType.HELM_CHART
