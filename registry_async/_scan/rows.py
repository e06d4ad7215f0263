"""The rows of a scan's data frame: one an image, or one a repository, with flat columns."""

from collections.abc import Iterable
from datetime import datetime
from typing import TYPE_CHECKING

from attrs import frozen

from registry_async._display import to_dataframe
from registry_async._scan.results import ScannedImage, ScannedRepository

if TYPE_CHECKING:
    from pandas import DataFrame

__all__ = ["frame_of_images", "frame_of_repositories"]


@frozen(weakref_slot=False)
class _ImageRow:
    client_label: str | None
    registry_id: str
    registry: str
    repository: str
    digest: str
    tags: tuple[str, ...]
    size: int | None
    created_at: datetime | None
    architecture: str | None
    os: str | None
    media_type: str | None
    layer_count: int


@frozen(weakref_slot=False)
class _RepositoryRow:
    client_label: str | None
    registry_id: str
    registry: str
    repository: str
    type: str | None
    size: int | None
    updated_at: datetime | None


def frame_of_images(found: Iterable[ScannedImage]) -> "DataFrame":
    """Return a data frame with a row for each image; its tags are a list."""
    frame = to_dataframe([_image_row(each) for each in found], _ImageRow)
    frame["tags"] = frame["tags"].map(list)
    return frame


def _image_row(found: ScannedImage) -> _ImageRow:
    image = found.image
    return _ImageRow(
        client_label=found.client_label,
        registry_id=found.registry.id,
        registry=found.registry.name,
        repository=found.repository.name,
        digest=image.digest,
        tags=image.tags,
        size=image.size,
        created_at=image.created_at,
        architecture=image.architecture,
        os=image.os,
        media_type=image.media_type,
        layer_count=len(image.layers),
    )


def frame_of_repositories(found: Iterable[ScannedRepository]) -> "DataFrame":
    """Return a data frame with a row for each repository."""
    return to_dataframe([_repository_row(each) for each in found], _RepositoryRow)


def _repository_row(found: ScannedRepository) -> _RepositoryRow:
    repository = found.repository
    return _RepositoryRow(
        client_label=found.client_label,
        registry_id=found.registry.id,
        registry=found.registry.name,
        repository=repository.name,
        type=None if repository.type is None else str(repository.type),
        size=repository.size,
        updated_at=repository.updated_at,
    )
