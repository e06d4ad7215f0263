"""What is stored: registries, repositories, manifests and the blobs that these refer to."""

from collections.abc import Iterable, Mapping
from typing import NamedTuple

from attrs import Factory, define

INDEX_MEDIA_TYPE = "application/vnd.oci.image.index.v1+json"
IMAGE_MEDIA_TYPE = "application/vnd.docker.distribution.manifest.v2+json"


class StoredLayer(NamedTuple):
    """Name a blob and its size in bytes."""

    digest: str
    size: int


@define(eq=False, repr=False)
class StoredImage:
    """Hold one manifest: what its bytes say, or what a test says of one that has none.

    Attributes:
        digest: The manifest's digest.
        layers: Its layers; an index has none.
        size: What the management API shows as the image's size, in bytes.
        created_at: When it was built, in nanoseconds since 1970.
        architecture: The processor it is for.
        os: The operating system it is for.
        media_type: The manifest's media type.
        references: Digests of the manifests that an index refers to.
        tags: Its tags, in the order in which they came.
        config: The configuration; None for an index, and where the manifest has no bytes.
        subject: The digest of the manifest that this one is about, such as a signature's.
        artifact_type: What it is, in the words of the distribution API; empty for most.
        annotations: The manifest's annotations.
        manifest_size: Bytes of the manifest; None where there are none: it is listed, and
            cannot be pulled.
    """

    digest: str
    layers: tuple[StoredLayer, ...]
    size: int
    created_at: int
    architecture: str
    os: str
    media_type: str
    references: tuple[str, ...] = ()
    tags: list[str] = Factory(list[str])
    config: StoredLayer | None = None
    subject: str | None = None
    artifact_type: str = ""
    annotations: Mapping[str, str] = Factory(dict[str, str])
    manifest_size: int | None = None

    @property
    def blobs(self) -> tuple[StoredLayer, ...]:
        """What this manifest keeps from a collection, itself included if it has bytes."""
        if self.manifest_size is None:
            return self.layers or (StoredLayer(self.digest, self.size),)
        own = StoredLayer(self.digest, self.manifest_size)
        return (own, *self.layers) if self.config is None else (own, self.config, *self.layers)

    def __repr__(self) -> str:
        return f"<StoredImage {self.digest} tags={self.tags}>"


@define(eq=False, repr=False)
class StoredRepository:
    """Hold the images of one repository, by digest, and its tags.

    `links` names the blobs that can be pulled by this repository's name.
    """

    name: str
    type: str
    registry: "StoredRegistry"
    updated_at: int
    images: dict[str, StoredImage] = Factory(dict[str, StoredImage])
    tags: dict[str, StoredImage] = Factory(dict[str, StoredImage])
    indexes: dict[str, StoredImage] = Factory(dict[str, StoredImage])
    links: set[str] = Factory(set[str])
    cached_size: int | None = None

    @property
    def size(self) -> int:
        """Bytes of all images, a shared layer counted once."""
        if self.cached_size is None:
            self.cached_size = sum(blobs_of(self.images.values()).values())
        return self.cached_size

    def put(self, image: StoredImage, tags: Iterable[str]) -> None:
        """Put an image in place, with its blobs. Tags that other images have move to it.

        An image that is there already is replaced, and its tags go on.
        """
        replaced = self.images.get(image.digest)
        kept_tags = [] if replaced is None else list(replaced.tags)
        if replaced is not None:
            self.remove(replaced)
        self.images[image.digest] = image
        if image.references:
            self.indexes[image.digest] = image
        for tag in dict.fromkeys([*kept_tags, *tags]):
            self.untag(tag)
            self.tags[tag] = image
            image.tags.append(tag)
        for blob in image.blobs:
            self.registry.store(blob)
            self.registry.pending.pop(blob.digest, None)
            self.links.add(blob.digest)
        self._changed()

    def remove(self, image: StoredImage) -> None:
        """Take an image away, with its tags; its blobs stay until a collection."""
        del self.images[image.digest]
        self.indexes.pop(image.digest, None)
        for tag in image.tags:
            del self.tags[tag]
        image.tags = []
        self._changed()

    def untag(self, tag: str) -> StoredImage | None:
        """Take a tag away, and give the image that had it."""
        image = self.tags.pop(tag, None)
        if image is not None:
            image.tags.remove(tag)
            self._changed()
        return image

    def is_part(self, digest: str) -> bool:
        """Tell whether an index of this repository refers to a manifest."""
        return any(digest in index.references for index in self.indexes.values())

    def has_blob(self, digest: str) -> bool:
        """Tell whether a blob can be had by this repository's name."""
        return digest in self.links and digest in self.registry.blobs

    def _changed(self) -> None:
        self.cached_size = None
        self.registry.changed = True

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
    """Hold one registry. Times that end in `_until` are seconds of the sandbox's clock.

    `blobs` gives the size of everything stored, by digest. `drafts` are repositories that have
    blobs and no manifest yet, which no list shows. `pending` says, for blobs of a push that goes
    on, until when a collection spares them. `changed` is True until it has been saved.
    """

    id: str
    name: str
    created_at: int
    size_limit: int
    repositories: dict[str, StoredRepository] = Factory(dict[str, StoredRepository])
    drafts: dict[str, StoredRepository] = Factory(dict[str, StoredRepository])
    clusters: list[StoredCluster] = Factory(list[StoredCluster])
    blobs: dict[str, int] = Factory(dict[str, int])
    pending: dict[str, float] = Factory(dict[str, float])
    size: int = 0
    forced_status: str | None = None
    creating_until: float | None = None
    deleting_until: float | None = None
    collecting_until: float | None = None
    collects_untagged: bool = False
    kept_by_collection: frozenset[str] | None = None
    changed: bool = True

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

    def store(self, blob: StoredLayer) -> None:
        """Count a blob among what is stored, once."""
        before = self.blobs.get(blob.digest)
        if before != blob.size:
            self.blobs[blob.digest] = blob.size
            self.size += blob.size - (before or 0)
            self.changed = True

    def __repr__(self) -> str:
        return f"<StoredRegistry {self.name} {self.id} of {len(self.repositories)} repositories>"


def blobs_of(images: Iterable[StoredImage]) -> dict[str, int]:
    """Give the blobs of images with their sizes, each once."""
    return {digest: size for image in images for digest, size in image.blobs}
