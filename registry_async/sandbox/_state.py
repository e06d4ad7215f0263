"""What the sandbox holds: registries, repositories and images, and how time moves them.

Nothing runs in the background. A state that takes time (creating, deleting, collecting garbage) is
a moment on the clock, and `State.settle` carries out what is due whenever somebody looks.
"""

import random
import threading
import time
import uuid
from collections.abc import Callable, Iterable, Sequence
from datetime import UTC, datetime
from typing import NamedTuple

from registry_async.sandbox._model import (
    StoredCluster,
    StoredImage,
    StoredLayer,
    StoredRegistry,
    StoredRepository,
    blobs_of,
    unreachable,
)
from registry_async.sandbox._refusals import (
    bad_request,
    conflict,
    image_not_found,
    registry_not_found,
    repository_not_found,
)
from registry_async.sandbox._times import nanoseconds
from registry_async.sandbox._tokens import Tokens

INDEX_MEDIA_TYPE = "application/vnd.oci.image.index.v1+json"
IMAGE_MEDIA_TYPE = "application/vnd.docker.distribution.manifest.v2+json"
MAX_REGISTRIES = 100
_GIB = 1024**3
_INDEX_SIZE = 1_609
_NAME_SYMBOLS = frozenset("abcdefghijklmnopqrstuvwxyz0123456789-")


class Garbage(NamedTuple):
    """Give the bytes that a collection would free, a shared layer counted once."""

    non_referenced: int
    untagged: int


class Removal(NamedTuple):
    """Tell what a cleanup did to one image: the tags that went, or why nothing did."""

    digest: str
    tags: list[str]
    error: str = ""


def _check_registry_name(name: str) -> None:
    # Written out rather than as the contract's pattern: a slip in one shows in the other.
    if not 1 <= len(name) <= 20:
        raise bad_request("Registry name must have 1 to 20 characters.")
    if not set(name) <= _NAME_SYMBOLS:
        raise bad_request("Registry name may hold lower-case letters, digits and hyphens only.")
    if not "a" <= name[0] <= "z" or name[-1] == "-":
        raise bad_request("Registry name must start with a letter and end with a letter or digit.")


class State:
    """Hold everything the sandbox knows, and let tests arrange it.

    Methods that begin with `add_` put data in place at once, without the delays and the rules
    of the service. The rest is what the operations of the service do. A lock makes
    all of them safe to call from any thread.

    Args:
        clock: Gives seconds; only differences matter.
        start_time: The wall-clock time at which the clock starts; now by default.
        create_seconds: How long a new registry is CREATING.
        delete_seconds: How long a deleted registry is DELETING.
        collection_seconds: How long a garbage collection runs.
        random_seed: Makes generated ids and digests repeatable.
    """

    def __init__(
        self,
        *,
        clock: Callable[[], float] = time.monotonic,
        start_time: datetime | None = None,
        create_seconds: float = 1.0,
        delete_seconds: float = 1.0,
        collection_seconds: float = 2.0,
        random_seed: int = 1,
    ) -> None:
        self.lock = threading.RLock()
        self.create_seconds = create_seconds
        self.delete_seconds = delete_seconds
        self.collection_seconds = collection_seconds
        self.random = random.Random(random_seed)
        self._clock = clock
        self._started_at = clock()
        self._start_time = nanoseconds(start_time or datetime.now(UTC))
        self._registries: dict[str, StoredRegistry] = {}
        self._moving: dict[str, StoredRegistry] = {}
        self.tokens = Tokens(self.now)

    # Time

    def clock(self) -> float:
        """Give the clock's seconds."""
        return self._clock()

    def now(self) -> int:
        """Give the wall-clock time in nanoseconds since 1970, moved by the clock."""
        return self._start_time + round((self._clock() - self._started_at) * 1_000_000_000)

    def settle(self) -> None:
        """Carry out what has become due since the last look."""
        with self.lock:
            now = self._clock()
            for registry in list(self._moving.values()):
                if registry.creating_until is not None and now >= registry.creating_until:
                    registry.creating_until = None
                if registry.collecting_until is not None and now >= registry.collecting_until:
                    registry.collecting_until = None
                    self._collect(registry)
                if registry.deleting_until is not None and now >= registry.deleting_until:
                    del self._registries[registry.id]
                    del self._moving[registry.id]
                elif registry.true_status == "ACTIVE":
                    del self._moving[registry.id]

    # Arranging data

    def add_registry(
        self,
        name: str,
        *,
        created_at: datetime | None = None,
        size_limit: int = 20 * _GIB,
    ) -> StoredRegistry:
        """Put an ACTIVE registry in place.

        Args:
            name: Its name; the rules for names are not applied.
            created_at: When it was made, aware; now by default.
            size_limit: Its quota in bytes.

        Returns:
            The registry, for `add_repository` and `add_cluster`.
        """
        with self.lock:
            made = self.now() if created_at is None else nanoseconds(created_at)
            registry = StoredRegistry(self.random_id(), name, made, size_limit)
            self._registries[registry.id] = registry
            return registry

    def add_cluster(self, registry: StoredRegistry, name: str, pool: str) -> StoredCluster:
        """Tie a cluster to a registry.

        Args:
            registry: The registry that the cluster pulls from.
            name: The cluster's name.
            pool: The pool that it runs in, such as `ru-9`.

        Returns:
            The cluster.
        """
        with self.lock:
            cluster = StoredCluster(self.random_id(), name, pool)
            registry.clusters.append(cluster)
            return cluster

    def add_repository(
        self,
        registry: StoredRegistry,
        name: str,
        *,
        type: str = "image",  # noqa: A002
    ) -> StoredRepository:
        """Put an empty repository in place.

        Args:
            registry: The registry that holds it.
            name: Its name, slashes included.
            type: What it holds: `image`, `helm_chart` or any other text.

        Returns:
            The repository, for `add_image`.
        """
        with self.lock:
            repository = StoredRepository(name, type, registry, self.now())
            registry.repositories[name] = repository
            return repository

    def add_image(
        self,
        repository: StoredRepository,
        *,
        tags: Iterable[str] = (),
        layers: Iterable[tuple[str, int]] | None = None,
        digest: str | None = None,
        references: Iterable[str] = (),
        created_at: datetime | int | None = None,
        architecture: str = "amd64",
        os: str = "linux",
        media_type: str | None = None,
    ) -> StoredImage:
        """Push an image. A tag that another image had moves to this one, as it does in a push.

        A digest that is there already keeps the tags that it has.

        Args:
            repository: Where to.
            tags: Its tags; none makes an untagged image.
            layers: Pairs of digest and size in bytes; one is made up by default, none for an index.
            digest: The digest of the manifest; made up by default.
            references: Digests of other images: makes this image an index that refers to them.
            created_at: An aware datetime or nanoseconds since 1970; now by default.
            architecture: The processor it is for.
            os: The operating system it is for.
            media_type: The manifest's media type; by default that of an image or of an index.

        Returns:
            The image.
        """
        with self.lock:
            referred = tuple(references)
            if layers is None:
                blob = StoredLayer(self.random_digest(), self.random.randrange(1_000, 90_000_000))
                layers = () if referred else (blob,)
            kept = tuple(StoredLayer(*layer) for layer in layers)
            if isinstance(created_at, datetime):
                created_at = nanoseconds(created_at)
            image = StoredImage(
                digest=digest or self.random_digest(),
                layers=kept,
                size=sum(layer.size for layer in kept) if kept else _INDEX_SIZE,
                created_at=self.now() if created_at is None else created_at,
                architecture=architecture,
                os=os,
                media_type=media_type or (INDEX_MEDIA_TYPE if referred else IMAGE_MEDIA_TYPE),
                references=referred,
            )
            replaced = repository.images.get(image.digest)
            kept_tags = [] if replaced is None else list(replaced.tags)
            if replaced is not None:
                self._remove_image(repository, replaced)
            repository.images[image.digest] = image
            if referred:
                repository.indexes[image.digest] = image
            for tag in dict.fromkeys([*kept_tags, *tags]):
                self._tag(repository, tag, image)
            for blob in image.blobs:
                self._store(repository.registry, blob)
            repository.cached_size = None
            newest = (
                max(image.created_at, repository.updated_at) if len(repository.images) > 1 else 0
            )
            repository.updated_at = newest or image.created_at
            return image

    def add_blob(self, registry: StoredRegistry, size: int, *, digest: str | None = None) -> None:
        """Leave a blob in a registry that no manifest refers to: garbage.

        Args:
            registry: The registry.
            size: The blob's size in bytes.
            digest: Its digest; made up by default.
        """
        with self.lock:
            self._store(registry, StoredLayer(digest or self.random_digest(), size))

    def set_status(self, registry: StoredRegistry, status: str | None) -> None:
        """Show a registry in a status of your choice, such as ERROR or one that nobody knows yet.

        Args:
            registry: The registry.
            status: The status to show until the next call; None for the true one.
        """
        with self.lock:
            registry.forced_status = status

    def random_id(self) -> str:
        """Make up an id, repeatable for one random seed."""
        return str(uuid.UUID(int=self.random.getrandbits(128), version=4))

    def random_digest(self) -> str:
        """Make up a digest, repeatable for one random seed."""
        return f"sha256:{self.random.getrandbits(256):064x}"

    # Looking

    def registries(self) -> list[StoredRegistry]:
        """Give all registries, in the order in which they were made."""
        return list(self._registries.values())

    def registry(self, registry_id: str) -> StoredRegistry:
        """Find a registry.

        Args:
            registry_id: Its id.

        Returns:
            The registry.

        Raises:
            Refusal: 404 if there is none.
        """
        try:
            return self._registries[registry_id]
        except KeyError:
            raise registry_not_found() from None

    def repository(self, registry_id: str, name: str) -> StoredRepository:
        """Find a repository of a registry, or refuse with 404."""
        try:
            return self.registry(registry_id).repositories[name]
        except KeyError:
            raise repository_not_found(name) from None

    def image(self, repository: StoredRepository, reference: str) -> StoredImage:
        """Find an image by its digest or by a tag, or refuse with 404."""
        image = repository.images.get(reference) or repository.tags.get(reference)
        if image is None:
            raise image_not_found(reference)
        return image

    def garbage(self, registry: StoredRegistry) -> Garbage:
        """Tell what a collection would free, from what is stored now."""
        kept: dict[str, int] = {}
        untagged: dict[str, int] = {}
        for repository in registry.repositories.values():
            loose = unreachable(repository)
            going = {image.digest for image in loose}
            untagged |= blobs_of(loose)
            kept |= blobs_of(
                image for image in repository.images.values() if image.digest not in going
            )
        referenced = kept.keys() | untagged.keys()
        return Garbage(
            non_referenced=sum(
                size for blob, size in registry.blobs.items() if blob not in referenced
            ),
            untagged=sum(size for blob, size in untagged.items() if blob not in kept),
        )

    # What the service does

    def create_registry(self, name: str) -> StoredRegistry:
        """Make a registry that is CREATING for a while.

        Args:
            name: Its name.

        Returns:
            The registry.

        Raises:
            Refusal: 400 for a name against the rules, 409 for one that is taken or one too many.
        """
        _check_registry_name(name)
        if any(registry.name == name for registry in self._registries.values()):
            raise conflict("Registry with this name already exists.")
        if len(self._registries) >= MAX_REGISTRIES:
            raise conflict(f"Quota exceeded: a project holds at most {MAX_REGISTRIES} registries.")
        registry = self.add_registry(name)
        registry.creating_until = self._clock() + self.create_seconds
        self._moving[registry.id] = registry
        return registry

    def delete_registry(self, registry_id: str) -> None:
        """Begin to delete a registry; asking again while it goes changes nothing."""
        registry = self.registry(registry_id)
        if registry.deleting_until is None:
            self._refuse_if_busy(registry)
            registry.deleting_until = self._clock() + self.delete_seconds
            self._moving[registry.id] = registry

    def start_collection(self, registry_id: str, *, untagged: bool) -> None:
        """Begin a garbage collection; what it frees is gone when it ends."""
        registry = self.registry(registry_id)
        self._refuse_if_no_collection_may_start(registry)
        registry.collecting_until = self._clock() + self.collection_seconds
        registry.collects_untagged = untagged
        self._moving[registry.id] = registry

    def delete_repository(self, registry_id: str, name: str) -> None:
        """Delete a repository with all its images; their layers become garbage."""
        registry = self.registry(registry_id)
        self._refuse_if_busy(registry)
        self.repository(registry_id, name)
        del registry.repositories[name]

    def delete_image(self, registry_id: str, name: str, digest: str) -> None:
        """Delete a manifest and every tag of it.

        Args:
            registry_id: The registry.
            name: The repository.
            digest: The digest; a tag is refused.

        Raises:
            Refusal: 400 for a tag, 404 if there is no such image, 409 during a collection or if an
                index refers to the image.
        """
        self._refuse_if_busy(self.registry(registry_id))
        repository = self.repository(registry_id, name)
        if ":" not in digest:
            raise bad_request("Invalid digest: an image is deleted by its digest, not by a tag.")
        image = self.image(repository, digest)
        if self._is_referenced(repository, image.digest):
            raise conflict("Image is referenced by another manifest")
        self._remove_image(repository, image)
        repository.updated_at = self.now()

    def clean_up(
        self,
        registry_id: str,
        name: str,
        *,
        digests: Sequence[str],
        tags: Sequence[str],
        collect: bool,
    ) -> tuple[list[Removal], list[Removal]]:
        """Remove images and tags in bulk, as far as possible.

        An index and the images that it refers to may go together, in whatever order they are named.

        Args:
            registry_id: The registry.
            name: The repository.
            digests: Images to remove with all their tags.
            tags: Tags to remove; their images stay.
            collect: Start a garbage collection afterwards.

        Returns:
            What was removed, and what was not.
        """
        registry = self.registry(registry_id)
        if collect:
            self._refuse_if_no_collection_may_start(registry)
        else:
            self._refuse_if_busy(registry)
        repository = self.repository(registry_id, name)
        removed: dict[str, Removal] = {}
        failed: list[Removal] = []
        for tag in dict.fromkeys(tags):
            image = repository.tags.pop(tag, None)
            if image is None:
                failed.append(Removal("", [tag], "Tag not found"))
            else:
                image.tags.remove(tag)
                removed.setdefault(image.digest, Removal(image.digest, [])).tags.append(tag)
        pending: list[StoredImage] = []
        for digest in dict.fromkeys(digests):
            image = repository.images.get(digest)
            if image is None:
                failed.append(Removal(digest, [], "Image not found"))
            else:
                pending.append(image)
        while free := [i for i in pending if not self._is_referenced(repository, i.digest)]:
            for image in free:
                removal = removed.setdefault(image.digest, Removal(image.digest, []))
                removal.tags.extend(image.tags)
                self._remove_image(repository, image)
                pending.remove(image)
        failed += [
            Removal(image.digest, list(image.tags), "Image is referenced by another manifest")
            for image in pending
        ]
        if removed:
            repository.updated_at = self.now()
        if collect:
            self.start_collection(registry_id, untagged=False)
        return list(removed.values()), failed

    def _refuse_if_busy(self, registry: StoredRegistry) -> None:
        # A status that a test has set counts as if it were true.
        if registry.collecting_until is not None or registry.status == "GARBAGE_COLLECTION":
            raise conflict("Garbage collection is in progress.")
        if registry.status == "DELETING":
            raise conflict("Registry is being deleted.")

    def _refuse_if_no_collection_may_start(self, registry: StoredRegistry) -> None:
        self._refuse_if_busy(registry)
        if registry.status == "CREATING":
            raise conflict("Registry is being created.")

    def _is_referenced(self, repository: StoredRepository, digest: str) -> bool:
        return any(digest in index.references for index in repository.indexes.values())

    def _collect(self, registry: StoredRegistry) -> None:
        if registry.collects_untagged:
            for repository in registry.repositories.values():
                for image in unreachable(repository):
                    self._remove_image(repository, image)
        kept: dict[str, int] = {}
        for repository in registry.repositories.values():
            kept |= blobs_of(repository.images.values())
        registry.blobs = kept
        registry.size = sum(kept.values())

    def _store(self, registry: StoredRegistry, blob: StoredLayer) -> None:
        if blob.digest not in registry.blobs:
            registry.blobs[blob.digest] = blob.size
            registry.size += blob.size

    def _remove_image(self, repository: StoredRepository, image: StoredImage) -> None:
        del repository.images[image.digest]
        repository.indexes.pop(image.digest, None)
        for tag in image.tags:
            del repository.tags[tag]
        image.tags = []
        repository.cached_size = None

    def _tag(self, repository: StoredRepository, tag: str, image: StoredImage) -> None:
        holder = repository.tags.get(tag)
        if holder is not None:
            holder.tags.remove(tag)
        repository.tags[tag] = image
        image.tags.append(tag)
