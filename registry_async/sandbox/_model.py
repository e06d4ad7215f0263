"""What is stored: registries, repositories, images and their layers, as plain values."""

from collections.abc import Iterable
from typing import NamedTuple

from attrs import Factory, define


class StoredLayer(NamedTuple):
    """Name a blob of an image and its size in bytes."""

    digest: str
    size: int


@define(eq=False, repr=False)
class StoredImage:
    """Hold one manifest. An index has no layers and refers to other manifests by digest."""

    digest: str
    layers: tuple[StoredLayer, ...]
    size: int
    created_at: int
    architecture: str
    os: str
    media_type: str
    references: tuple[str, ...] = ()
    tags: list[str] = Factory(list[str])

    @property
    def blobs(self) -> tuple[StoredLayer, ...]:
        """The blobs that this manifest keeps; without layers, the manifest itself."""
        return self.layers or (StoredLayer(self.digest, self.size),)

    def __repr__(self) -> str:
        return f"<StoredImage {self.digest} tags={self.tags}>"


@define(eq=False, repr=False)
class StoredRepository:
    """Hold the images of one repository, by digest, and its tags."""

    name: str
    type: str
    registry: "StoredRegistry"
    updated_at: int
    images: dict[str, StoredImage] = Factory(dict[str, StoredImage])
    tags: dict[str, StoredImage] = Factory(dict[str, StoredImage])
    indexes: dict[str, StoredImage] = Factory(dict[str, StoredImage])
    cached_size: int | None = None

    @property
    def size(self) -> int:
        """Bytes of all images, a shared layer counted once."""
        if self.cached_size is None:
            self.cached_size = sum(blobs_of(self.images.values()).values())
        return self.cached_size

    def __repr__(self) -> str:
        return f"<StoredRepository {self.name} of {len(self.images)} images>"


@define(eq=False)
class StoredCluster:
    """Name a Kubernetes cluster that pulls from a registry."""

    id: str
    name: str
    pool: str


@define(eq=False, repr=False)
class StoredRegistry:
    """Hold one registry. Times that end in `_until` are seconds of the sandbox's clock."""

    id: str
    name: str
    created_at: int
    size_limit: int
    repositories: dict[str, StoredRepository] = Factory(dict[str, StoredRepository])
    clusters: list[StoredCluster] = Factory(list[StoredCluster])
    blobs: dict[str, int] = Factory(dict[str, int])
    size: int = 0
    forced_status: str | None = None
    creating_until: float | None = None
    deleting_until: float | None = None
    collecting_until: float | None = None
    collects_untagged: bool = False

    @property
    def status(self) -> str:
        """The status as of the last time the state was settled."""
        return self.true_status if self.forced_status is None else self.forced_status

    @property
    def true_status(self) -> str:
        """The status that time has brought, whatever a test shows in its stead."""
        if self.deleting_until is not None:
            return "DELETING"
        if self.creating_until is not None:
            return "CREATING"
        if self.collecting_until is not None:
            return "GARBAGE_COLLECTION"
        return "ACTIVE"

    def __repr__(self) -> str:
        return f"<StoredRegistry {self.name} {self.id} of {len(self.repositories)} repositories>"


def blobs_of(images: Iterable[StoredImage]) -> dict[str, int]:
    """Give the blobs of images with their sizes, each once."""
    return {digest: size for image in images for digest, size in image.blobs}


def unreachable(repository: StoredRepository) -> list[StoredImage]:
    """Give the images that no tag leads to, neither straight nor through an index."""
    kept: set[str] = set()
    pending = [image.digest for image in repository.tags.values()]
    while pending:
        digest = pending.pop()
        image = repository.images.get(digest)
        if image is not None and digest not in kept:
            kept.add(digest)
            pending.extend(image.references)
    return [image for image in repository.images.values() if image.digest not in kept]
