"""A registry in memory that guards nothing, seen through the operations that retention uses."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Iterable
from datetime import UTC, datetime, timedelta
from typing import Final, Generic, TypeVar

from attrs import define, field

from registry_async import (
    CleanupFailure,
    CleanupResult,
    ConflictError,
    ConnectionFailedError,
    DeletedImage,
    Image,
    Layer,
    NotFoundError,
    Page,
    RateLimitedError,
    Registry,
    Repository,
    RetryPolicy,
    ServerError,
)
from registry_async.retention import AsyncRetention, Manifest, RepositorySnapshot
from tests.retention.builders import NOW, OCI_IMAGE, OCI_INDEX, digest

T = TypeVar("T")

BASE_URL: Final = "https://registry.example/api"


class Crash(Exception):  # noqa: N818 - it stands for the end of the process
    """The program that applies a plan is killed."""


@define
class Stored:
    """A manifest in a repository."""

    digest: str
    created_at: datetime | None
    layers: tuple[str, ...] = ()
    parts: tuple[str, ...] = ()
    subject: str | None = None
    listed: bool = True


@define
class StoredRepository:
    manifests: dict[str, Stored] = field(factory=dict[str, Stored])
    tags: dict[str, str] = field(factory=dict[str, str])


class SimClock:
    """A clock that stands still but for sleeps."""

    def __init__(self) -> None:
        self.now = NOW.timestamp()
        self.slept: list[float] = []

    def monotonic(self) -> float:
        return self.now

    def time(self) -> float:
        return self.now

    def random(self) -> float:
        return 0.5

    async def sleep(self, seconds: float) -> None:
        self.slept.append(seconds)
        self.now += seconds


class _List(Generic[T]):
    def __init__(self, read: Callable[[], list[T]]) -> None:
        self._read = read

    async def pages(self) -> AsyncIterator[Page[T]]:
        items = self._read()
        for start in range(0, max(len(items), 1), 100):
            yield Page(tuple(items[start : start + 100]), start, len(items))


class Simulator:
    """A registry, its management API and its distribution API.

    Attributes:
        repositories: What is in it.
        cleanups: The digests of each cleanup that arrived, with the repository.
        deleted: What went, by repository.
        requests: The operations that were called.
        faults: What happens to the next cleanups, one after the other; None for nothing.
        before_look: Called before each reading of a repository.
        before_cleanup: Called when a cleanup arrives, with its digests.
        refused: Digests that the service refuses to delete.
    """

    def __init__(self) -> None:
        self.repositories_: dict[str, StoredRepository] = {}
        self.clock = SimClock()
        self.cleanups: list[tuple[str, tuple[str, ...]]] = []
        self.collections: list[str] = []
        self.deleted: dict[str, dict[str, Stored]] = {}
        self.requests: list[str] = []
        self.faults: list[str | None] = []
        self.before_look: Callable[[str], None] = lambda repository: None
        self.before_cleanup: Callable[[str, tuple[str, ...]], None] = lambda repository, names: None
        self.refused: set[str] = set()
        self.says_more: list[DeletedImage] = []
        self.status = "ACTIVE"
        self.size_limit: int | None = None
        self.collecting_until = 0.0
        self.registry_id = "reg-1"

    # What others do

    def push(
        self,
        name: str,
        *tags: str,
        repository: str = "team/app",
        age: float | None = 100,
        parts: Iterable[str] = (),
        subject: str | None = None,
        layers: Iterable[str] | None = None,
        listed: bool = True,
    ) -> str:
        """Push a manifest, and move tags to it."""
        stored = self.repositories_.setdefault(repository, StoredRepository())
        made = digest(name)
        parts = tuple(map(digest, parts))
        created = None if age is None else self.now - timedelta(days=age)
        if layers is None:
            layers = () if parts else (f"layer of {name}",)
        stored.manifests.setdefault(
            made,
            Stored(
                made,
                created,
                tuple(layers),
                parts,
                None if subject is None else digest(subject),
                listed,
            ),
        )
        for tag in tags:
            stored.tags[tag] = made
        return made

    @property
    def now(self) -> datetime:
        return datetime.fromtimestamp(self.clock.now, UTC)

    def names(self, repository: str = "team/app") -> set[str]:
        return set(self.repositories_[repository].manifests)

    # What is true

    def shows(self, repository: str, stored: Stored) -> bool:
        """Say whether the image list has it: what is hidden has at least a tag."""
        tags = self.repositories_[repository].tags
        return stored.listed or stored.digest not in tags.values()

    def registry(self) -> Registry:
        collecting = self.clock.now < self.collecting_until
        return Registry(
            self.registry_id,
            "prod",
            "GARBAGE_COLLECTION" if collecting else self.status,
            1000 * len(self.layers()),
            None,
            self.size_limit,
        )

    def layers(self) -> set[str]:
        return {
            layer
            for repository in self.repositories_.values()
            for manifest in repository.manifests.values()
            for layer in manifest.layers
        }

    def unreferenced(self) -> int:
        """Return the bytes of what was deleted and that nothing has any more."""
        gone = {
            layer
            for manifests in self.deleted.values()
            for manifest in manifests.values()
            for layer in manifest.layers
        }
        return 1000 * len(gone - self.layers())

    def image(self, repository: str, stored: Stored) -> Image:
        tags = self.repositories_[repository].tags
        return Image(
            stored.digest,
            tuple(sorted(tag for tag, target in tags.items() if target == stored.digest)),
            None if stored.parts else 1000 * len(stored.layers),
            stored.created_at,
            # What belongs to others names no platform, as in real registries.
            None if stored.parts or stored.subject else "amd64",
            None if stored.parts or stored.subject else "linux",
            OCI_INDEX if stored.parts else OCI_IMAGE,
            tuple(Layer(digest(layer), 1000) for layer in stored.layers),
        )

    def manifest(self, stored: Stored) -> Manifest:
        media_type = OCI_INDEX if stored.parts else OCI_IMAGE
        return Manifest(stored.digest, media_type, stored.parts, stored.subject)

    def truth(self, repository: str) -> RepositorySnapshot:
        """Return the repository with every manifest read."""
        stored = self.repositories_[repository]
        images = [each for each in stored.manifests.values() if self.shows(repository, each)]
        manifests: dict[str, Manifest | None] = {
            each.digest: self.manifest(each) for each in stored.manifests.values()
        }
        for tag, target in stored.tags.items():
            if not self.shows(repository, stored.manifests[target]):
                manifests[tag] = manifests[target]
        for each in stored.manifests.values():
            for other in (*each.parts, *([each.subject] if each.subject else ())):
                manifests.setdefault(other, None)
        return RepositorySnapshot(
            self.registry(),
            Repository(repository),
            tuple(self.image(repository, each) for each in images),
            tuple(sorted(stored.tags)),
            manifests,
        )

    # What retention sees

    @property
    def retention(self) -> AsyncRetention:
        return AsyncRetention(self, BASE_URL, None, self.clock)

    def with_options(self, *, retry: RetryPolicy | None = None) -> Simulator:
        assert retry is not None
        assert retry.attempts == 1
        return self

    @property
    def registries(self) -> _Registries:
        return _Registries(self)

    @property
    def repositories(self) -> _Repositories:
        return _Repositories(self)

    @property
    def images(self) -> _Images:
        return _Images(self)

    async def read(self, registry: str, repository: str, reference: str) -> Manifest:
        """Read a manifest, as the distribution API gives it."""
        assert registry == "prod"
        self.requests.append("GET manifest")
        stored = self.repositories_[repository]
        return self.manifest(stored.manifests[stored.tags.get(reference, reference)])

    def find(self, registry_id: str, repository: str) -> StoredRepository:
        if registry_id != self.registry_id or repository not in self.repositories_:
            raise NotFoundError(404, "not found")
        return self.repositories_[repository]


@define
class _Registries:
    sim: Simulator

    def list(self) -> _List[Registry]:
        self.sim.requests.append("GET registries")
        return _List(lambda: [self.sim.registry()])

    async def get(self, registry_id: str) -> Registry:
        self.sim.requests.append("GET registry")
        if registry_id != self.sim.registry_id:
            raise NotFoundError(404, "not found")
        return self.sim.registry()

    async def start_garbage_collection(
        self, registry_id: str, *, conflict_timeout: float = 0
    ) -> None:
        self.sim.requests.append("POST collection")
        self.sim.collections.append(registry_id)


@define
class _Repositories:
    sim: Simulator

    def list(self, registry_id: str) -> _List[Repository]:
        self.sim.requests.append("GET repositories")
        return _List(lambda: [Repository(name) for name in sorted(self.sim.repositories_)])

    async def get(self, registry_id: str, repository: str) -> Repository:
        self.sim.requests.append("GET repository")
        self.sim.before_look(repository)
        self.sim.find(registry_id, repository)
        return Repository(repository)

    async def list_tags(self, registry_id: str, repository: str) -> tuple[str, ...]:
        self.sim.requests.append("GET tags")
        return tuple(sorted(self.sim.find(registry_id, repository).tags))

    async def cleanup(
        self,
        registry_id: str,
        repository: str,
        *,
        digests: Iterable[str] = (),
        disable_gc: bool = False,
    ) -> CleanupResult:
        sim = self.sim
        sim.requests.append("POST cleanup")
        assert disable_gc
        asked = tuple(digests)
        fault = sim.faults.pop(0) if sim.faults else None
        if sim.clock.now < sim.collecting_until:
            raise ConflictError(409, "garbage collection is running")
        refusals: dict[str, Exception] = {
            "409": ConflictError(409, "conflict"),
            "429": RateLimitedError(429, "too many", retry_after=3),
            "500": ServerError(500, "failed"),
            "never arrived": ConnectionFailedError("the connection broke"),
            "crash before": Crash(),
        }
        if fault in refusals:
            raise refusals[fault]
        sim.before_cleanup(repository, asked)
        sim.cleanups.append((repository, asked))
        result = self._remove(repository, asked)
        if fault == "lost answer":
            raise ConnectionFailedError("the connection broke")
        if fault == "crash after":
            raise Crash
        if fault == "says nothing":
            return CleanupResult()
        return result

    def _remove(self, repository: str, asked: tuple[str, ...]) -> CleanupResult:
        sim = self.sim
        stored = sim.repositories_[repository]
        deleted: list[DeletedImage] = list(sim.says_more)
        failed: list[CleanupFailure] = []
        for each in asked:
            if each in sim.refused or each not in stored.manifests:
                words = "Image is referenced by another manifest"
                failed.append(CleanupFailure(each, (), words))
                continue
            tags = tuple(sorted(tag for tag, target in stored.tags.items() if target == each))
            for tag in tags:
                del stored.tags[tag]
            sim.deleted.setdefault(repository, {})[each] = stored.manifests.pop(each)
            deleted.append(DeletedImage(each, tags))
        return CleanupResult(tuple(deleted), tuple(failed))


@define
class _Images:
    sim: Simulator

    def list(self, registry_id: str, repository: str) -> _List[Image]:
        self.sim.requests.append("GET images")

        def read() -> list[Image]:
            stored = self.sim.find(registry_id, repository)
            return [
                self.sim.image(repository, each)
                for each in stored.manifests.values()
                if self.sim.shows(repository, each)
            ]

        return _List(read)
