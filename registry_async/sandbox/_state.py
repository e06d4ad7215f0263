"""What the sandbox holds: registries, repositories, images, tokens; and what puts data in place."""

import random
import threading
import time
import uuid
from collections.abc import Callable, Iterable, Mapping
from datetime import UTC, datetime

from registry_async.sandbox._contents import Contents, MemoryContents
from registry_async.sandbox._manifests import (
    DOCKER_CONFIG,
    HELM_CONFIG,
    OCI_CONFIG,
    OCI_IMAGE,
    Descriptor,
    ImageFacts,
    digest_of,
    read_config,
    read_manifest,
    write_image,
    write_index,
    write_json,
)
from registry_async.sandbox._model import (
    IMAGE_MEDIA_TYPE,
    INDEX_MEDIA_TYPE,
    StoredCluster,
    StoredImage,
    StoredLayer,
    StoredRegistry,
    StoredRepository,
)
from registry_async.sandbox._refusals import (
    image_not_found,
    registry_not_found,
    repository_not_found,
)
from registry_async.sandbox._times import format_time, nanoseconds
from registry_async.sandbox._tokens import Tokens

_GIB = 1024**3
_INDEX_SIZE = 1_609
# So long does a collection spare the blobs of a push whose manifest has not come yet.
_PUSH_SECONDS = 3_600.0
_CONFIG_TYPES = {IMAGE_MEDIA_TYPE: DOCKER_CONFIG, OCI_IMAGE: OCI_CONFIG}
_LAYER_TYPES = {
    IMAGE_MEDIA_TYPE: "application/vnd.docker.image.rootfs.diff.tar",
    OCI_IMAGE: "application/vnd.oci.image.layer.v1.tar",
}
# A configuration that is larger than this is nobody's.
_MAX_CONFIG_SIZE = 4 * 1024**2


class State:
    """Hold everything the sandbox knows, and let tests arrange it.

    Methods that begin with `add_` or `push_` put data in place at once, without the delays and the
    rules of the service. What `push_` puts in place has bytes and can be pulled; what `add_image`
    describes is listed with the digests and sizes that it is given, and cannot. A lock makes all
    of them safe to call from any thread.

    Args:
        clock: Gives seconds; only differences matter.
        start_time: The wall-clock time at which the clock starts; now by default.
        random_seed: Makes generated ids and digests repeatable.
        contents: Where the bytes of blobs and manifests are kept; in memory by default.
    """

    def __init__(
        self,
        *,
        clock: Callable[[], float] = time.monotonic,
        start_time: datetime | None = None,
        random_seed: int = 1,
        contents: Contents | None = None,
    ) -> None:
        self.lock = threading.RLock()
        self.random = random.Random(random_seed)
        self.contents = MemoryContents() if contents is None else contents
        self._clock = clock
        self._started_at = clock()
        self._start_time = nanoseconds(start_time or datetime.now(UTC))
        self._registries: dict[str, StoredRegistry] = {}
        self.tokens = Tokens(self.now)

    def sibling(self, *, random_seed: int, contents: Contents | None = None) -> "State":
        """Give an empty state with the same lock, clock and times: another project's."""
        made = State(clock=self._clock, random_seed=random_seed, contents=contents)
        made.lock = self.lock
        made._started_at, made._start_time = self._started_at, self._start_time
        return made

    # Time

    def clock(self) -> float:
        """Give the clock's seconds."""
        return self._clock()

    def now(self) -> int:
        """Give the wall-clock time in nanoseconds since 1970, moved by the clock."""
        return self._start_time + round((self._clock() - self._started_at) * 1_000_000_000)

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
            return self.restore(StoredRegistry(self.random_id(), name, made, size_limit))

    def restore(self, registry: StoredRegistry) -> StoredRegistry:
        """Put a registry in place with all that it holds, under the id that it has."""
        with self.lock:
            self._registries[registry.id] = registry
            return registry

    def forget(self, registry: StoredRegistry) -> None:
        """Remove a registry at once."""
        with self.lock:
            del self._registries[registry.id]

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
            registry.changed = True
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
            The repository, for `add_image` and `push_image`.
        """
        with self.lock:
            repository = StoredRepository(name, type, registry, self.now())
            registry.repositories[name] = repository
            registry.changed = True
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
        """Describe an image, of any size: it is listed, and cannot be pulled, as it has no bytes.

        A tag that another image had moves to this one, as it does in a push. A digest that is
        there already keeps the tags that it has.

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
            image = StoredImage(
                digest=digest or self.random_digest(),
                layers=kept,
                size=sum(layer.size for layer in kept) if kept else _INDEX_SIZE,
                created_at=self._moment(created_at),
                architecture=architecture,
                os=os,
                media_type=media_type or (INDEX_MEDIA_TYPE if referred else IMAGE_MEDIA_TYPE),
                references=referred,
            )
            return self._arrange(repository, image, tags)

    def add_blob(self, registry: StoredRegistry, size: int, *, digest: str | None = None) -> None:
        """Leave a blob in a registry that no manifest refers to: garbage.

        Args:
            registry: The registry.
            size: The blob's size in bytes.
            digest: Its digest; made up by default.
        """
        with self.lock:
            registry.store(StoredLayer(digest or self.random_digest(), size))

    def push_blob(self, repository: StoredRepository, content: bytes) -> StoredLayer:
        """Store a blob that can be pulled by a repository's name.

        Args:
            repository: Where to.
            content: Its bytes.

        Returns:
            Its digest and size.
        """
        with self.lock:
            blob = StoredLayer(digest_of(content), len(content))
            self.contents.put(blob.digest, content)
            self.link_blob(repository, blob.digest, blob.size)
            return blob

    def link_blob(self, repository: StoredRepository, digest: str, size: int) -> None:
        """Let a blob that is stored be pulled by a repository's name."""
        with self.lock:
            repository.registry.store(StoredLayer(digest, size))
            repository.links.add(digest)
            repository.registry.changed = True

    def expect_manifest(self, registry: StoredRegistry, digest: str) -> None:
        """Spare a blob for a while, as the manifest that refers to it is still to come."""
        with self.lock:
            registry.pending[digest] = self._clock() + _PUSH_SECONDS

    def push_image(
        self,
        repository: StoredRepository,
        *,
        tags: Iterable[str] = (),
        layers: Iterable[bytes | StoredLayer] | None = None,
        created_at: datetime | int | None = None,
        architecture: str = "amd64",
        os: str = "linux",
        media_type: str = IMAGE_MEDIA_TYPE,
        subject: StoredImage | None = None,
        artifact_type: str = "",
        annotations: Mapping[str, str] | None = None,
    ) -> StoredImage:
        """Push an image that can be pulled: layers, configuration and manifest.

        Args:
            repository: Where to.
            tags: Its tags; none makes an untagged image.
            layers: Its layers, uncompressed archives, or what `push_blob` gave for such; one of
                random bytes by default.
            created_at: An aware datetime or nanoseconds since 1970; now by default.
            architecture: The processor it is for.
            os: The operating system it is for.
            media_type: The manifest's media type, Docker's or OCI's.
            subject: The image that this one is about, as a signature is.
            artifact_type: What it is, if it is no image to be run.
            annotations: The manifest's annotations.

        Returns:
            The image, whose digest is that of its bytes.
        """
        with self.lock:
            moment = self._moment(created_at)
            archives = [self.random.randbytes(512)] if layers is None else layers
            stored = [
                self.push_blob(repository, archive) if isinstance(archive, bytes) else archive
                for archive in archives
            ]
            config = {
                "created": format_time(moment),
                "architecture": architecture,
                "os": os,
                "config": {},
                "rootfs": {"type": "layers", "diff_ids": [layer.digest for layer in stored]},
            }
            named = self.push_blob(repository, write_json(config))
            manifest = write_image(
                media_type,
                Descriptor(_CONFIG_TYPES[media_type], *named),
                [Descriptor(_LAYER_TYPES[media_type], *layer) for layer in stored],
                subject=None if subject is None else _descriptor(subject),
                artifact_type=artifact_type,
                annotations=annotations,
            )
            return self.push_manifest(repository, manifest, tags=tags)

    def push_index(
        self,
        repository: StoredRepository,
        parts: Iterable[StoredImage],
        *,
        tags: Iterable[str] = (),
        created_at: datetime | int | None = None,
    ) -> StoredImage:
        """Push an index of images that can be pulled.

        Args:
            repository: Where to.
            parts: The images that it refers to, in order; of this repository, or the index is
                incomplete.
            tags: Its tags.
            created_at: An aware datetime or nanoseconds since 1970; now by default.

        Returns:
            The index, whose digest is that of its bytes.
        """
        with self.lock:
            created = format_time(self._moment(created_at))
            described = [(_descriptor(part), part.architecture, part.os) for part in parts]
            annotations = {"org.opencontainers.image.created": created}
            content = write_index(described, annotations=annotations)
            return self.push_manifest(repository, content, tags=tags)

    def push_manifest(
        self,
        repository: StoredRepository,
        content: bytes,
        *,
        tags: Iterable[str] = (),
        media_type: str = "",
        digest: str | None = None,
    ) -> StoredImage:
        """Push a manifest; whether what it refers to is there is not looked at.

        Args:
            repository: Where to.
            content: Its bytes.
            tags: Its tags. A tag that another image had moves to this one.
            media_type: What it is sent as; what it says itself by default.
            digest: Its digest, where it is not to be of sha256.

        Returns:
            The image that it is, or the index.

        Raises:
            ValueError: If it is no manifest.
        """
        manifest = read_manifest(content, media_type)
        digest = digest or digest_of(content)
        with self.lock:
            facts = self._read_facts(manifest.config)
            created_at = facts.created_at
            if created_at is None:
                created_at = manifest.annotated_time
            layers = tuple(layer.blob for layer in manifest.layers)
            image = StoredImage(
                digest=digest,
                layers=layers,
                size=sum(layer.size for layer in layers) if layers else len(content),
                created_at=self.now() if created_at is None else created_at,
                architecture=facts.architecture,
                os=facts.os,
                media_type=manifest.media_type,
                references=tuple(part.digest for part in manifest.parts),
                config=None if manifest.config is None else manifest.config.blob,
                subject=manifest.subject,
                artifact_type=manifest.artifact_type,
                annotations=manifest.annotations,
                manifest_size=len(content),
            )
            self.contents.put(digest, content)
            is_chart = manifest.config is not None and manifest.config.media_type == HELM_CONFIG
            if is_chart and not repository.images:
                repository.type = "helm_chart"
            return self._arrange(repository, image, tags)

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

    def registry_named(self, name: str) -> StoredRegistry | None:
        """Find a registry by its name."""
        return next((item for item in self._registries.values() if item.name == name), None)

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

    def drop_unused_contents(self) -> None:
        """Remove the bytes that no registry has any more."""
        with self.lock:
            self.contents.retain(
                {blob for registry in self._registries.values() for blob in registry.blobs}
            )

    def _arrange(
        self, repository: StoredRepository, image: StoredImage, tags: Iterable[str]
    ) -> StoredImage:
        repository.put(image, tags)
        several = len(repository.images) > 1
        repository.updated_at = (
            max(image.created_at, repository.updated_at) if several else image.created_at
        )
        return image

    def _moment(self, created_at: datetime | int | None) -> int:
        if created_at is None:
            return self.now()
        return nanoseconds(created_at) if isinstance(created_at, datetime) else created_at

    def _read_facts(self, config: Descriptor | None) -> ImageFacts:
        known = config is not None and config.digest in self.contents
        if config is None or not known or config.size > _MAX_CONFIG_SIZE:
            return ImageFacts()
        return read_config(self.contents.read(config.digest), config.media_type)


def _descriptor(image: StoredImage) -> Descriptor:
    return Descriptor(image.media_type, image.digest, image.manifest_size or image.size)
