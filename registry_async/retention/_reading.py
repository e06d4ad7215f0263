"""Read repositories, whole and consistent or with the reason why they are not."""

import asyncio
from collections.abc import Callable, Iterable, Mapping
from typing import Final, TypeVar

from attrs import evolve

from registry_async._tasks import Workers
from registry_async.errors import NotFoundError, RequestError
from registry_async.models import Image, Registry, Repository
from registry_async.retention._judge import Judgement
from registry_async.retention._service import ManifestReader, Pages, ServiceClient
from registry_async.retention._snapshot import Manifest, RepositorySnapshot

__all__ = ["InconsistentError", "Reader", "read_all", "read_list"]

T = TypeVar("T")

# A reading that is not consistent is repeated this often: something was pushed meanwhile.
_READINGS: Final = 3


class InconsistentError(Exception):
    """A list was not whole, or changed while it was read."""


async def read_list(pages: Pages[T], what: str) -> list[T]:
    """Read a whole list.

    Raises:
        InconsistentError: It is not whole, or changed meanwhile.
        ContainerRegistryError: A request failed.
    """
    items: list[T] = []
    total: int | None = None
    known = False
    async for page in pages.pages():
        if known and page.total != total:
            raise InconsistentError(f"the number of {what} changed while they were read")
        total, known = page.total, True
        items.extend(page.items)
    if total is None and items:
        raise InconsistentError(f"the service does not say how many {what} there are")
    if total is not None and len(items) != total:
        raise InconsistentError(f"the list has {len(items)} of {total} {what}")
    return items


class Reader:
    """Read what a policy is applied to.

    Args:
        client: The client.
        manifests: What reads manifests; None where nobody can.
        judge: Judge a repository by itself, to learn what else must be read.
        wanted: Digests to read wherever something may go and the list lacks them.
        concurrency: The most manifests to read at once.
    """

    def __init__(
        self,
        client: ServiceClient,
        manifests: ManifestReader | None,
        judge: Callable[[RepositorySnapshot, Mapping[str, Manifest | None]], Judgement],
        wanted: Iterable[str],
        concurrency: int,
    ) -> None:
        self._client = client
        self._manifests = manifests
        self._judge = judge
        self._wanted = frozenset(wanted)
        self._slots = asyncio.Semaphore(concurrency)
        # A digest names its content for good, so what was read of a listed one stays true.
        self._known: dict[str, Manifest] = {}

    async def registries(self) -> list[Registry]:
        """Return all registries.

        Raises:
            ContainerRegistryError: They cannot be listed.
        """
        problem = InconsistentError()
        for _ in range(_READINGS):
            try:
                return await read_list(self._client.registries.list(), "registries")
            except InconsistentError as error:
                problem = error
        raise RequestError(str(problem), "GET", "/v2/registries")

    async def repositories(self, registry: Registry) -> tuple[list[Repository], str | None]:
        """Return the repositories of a registry, and why they could not be listed."""
        problem = ""
        for _ in range(_READINGS):
            try:
                return await read_list(
                    self._client.repositories.list(registry.id), "repositories"
                ), None
            except (InconsistentError, RequestError) as error:
                problem = str(error)
        return [], f"the repositories could not be listed: {problem}"

    async def snapshot(
        self,
        registry: Registry,
        repository: Repository,
        deleted: Mapping[str, Manifest | None] | None = None,
    ) -> RepositorySnapshot:
        """Return a repository as it is now.

        Args:
            registry: The registry.
            repository: The repository.
            deleted: What the same run has deleted from it.
        """
        found = RepositorySnapshot(registry, repository, (), ())
        for _ in range(_READINGS):
            found = await self._read(registry, repository, deleted or {})
            if found.problem is None and not (found.manifests is None and _hides(found)):
                break
        return found

    async def _read(
        self,
        registry: Registry,
        repository: Repository,
        deleted: Mapping[str, Manifest | None],
    ) -> RepositorySnapshot:
        name = repository.name
        problem: str | None = None
        images: list[Image] | None = []
        tags: tuple[str, ...] | None = ()
        try:
            try:
                images = await read_list(self._client.images.list(registry.id, name), "images")
            except NotFoundError:
                images = None
            try:
                tags = await self._client.repositories.list_tags(registry.id, name)
            except NotFoundError:
                tags = None
        except (InconsistentError, RequestError) as error:
            problem = str(error)
        if problem is None and (images is None) != (tags is None):
            what = "images" if images is None else "tags"
            problem = f"the list of {what} is not found, and the other one is"
        found = RepositorySnapshot(registry, repository, images or (), tags or (), problem=problem)
        if found.problem is None:
            found = evolve(found, problem=_inconsistency(found))
        if found.problem is None and self._manifests is not None:
            found = await self._with_manifests(self._manifests, found, deleted)
        return found

    async def _with_manifests(
        self,
        reader: ManifestReader,
        found: RepositorySnapshot,
        deleted: Mapping[str, Manifest | None],
    ) -> RepositorySnapshot:
        listed = {image.digest for image in found.images}
        manifests: dict[str, Manifest | None] = {}
        found = evolve(found, manifests=manifests)
        while True:
            judgement = self._judge(found, deleted)
            needed = judgement.stock.unread - manifests.keys()
            if not needed:
                needed = self._further(judgement, listed, deleted) - manifests.keys()
            if not needed:
                break
            known = {
                reference: self._known[reference]
                for reference in needed & listed
                if reference in self._known
            }
            manifests |= known
            try:
                await self._read_manifests(reader, found, sorted(needed - known.keys()), manifests)
            except _UnreadableError as error:
                return evolve(found, problem=str(error))
        missing = sorted(each for each in listed if manifests.get(each, found) is None)
        if missing:
            return evolve(found, problem=f"the list has {missing[0]}, but there is no manifest")
        hidden = set(found.tags) - {tag for image in found.images for tag in image.tags}
        nothing_there = bool(manifests) and not any(manifests.values())
        if listed and (
            nothing_there or (hidden and all(manifests.get(tag) is None for tag in hidden))
        ):
            return await self._check_place(reader, found, min(listed))
        return found

    def _further(
        self, judgement: Judgement, listed: set[str], deleted: Mapping[str, Manifest | None]
    ) -> set[str]:
        """Return what must be read besides, where something may go."""
        needed = set(judgement.would_go_unread)
        if not judgement.roots:
            return needed
        for digest in self._wanted - listed:
            known = self._known.get(digest)
            # What has no parts protects nothing but itself.
            if known is None or known.parts:
                needed.add(digest)
        for digest, manifest in deleted.items():
            # Whether an index is gone is asked again before its parts follow.
            if manifest is not None and not listed.isdisjoint(manifest.parts):
                needed.add(digest)
        return needed

    async def _check_place(
        self, reader: ManifestReader, found: RepositorySnapshot, digest: str
    ) -> RepositorySnapshot:
        # Another registry would have none of the manifests, and would make everything look gone.
        manifests: dict[str, Manifest | None] = dict(found.manifests or {})
        try:
            if digest not in manifests:
                await self._read_manifests(reader, found, [digest], manifests)
        except _UnreadableError as error:
            return evolve(found, problem=str(error))
        if manifests[digest] is None:
            return evolve(
                found,
                problem=f"the list has {digest}, but there is no manifest: is it read"
                " from another registry?",
            )
        return found

    async def _read_manifests(
        self,
        reader: ManifestReader,
        found: RepositorySnapshot,
        references: list[str],
        manifests: dict[str, Manifest | None],
    ) -> None:
        names = found.registry.name, found.repository.name
        waiting = iter(references)
        listed = {image.digest for image in found.images}

        async def work() -> None:
            for reference in waiting:
                async with self._slots:
                    manifests[reference] = manifest = await _read(reader, *names, reference)
                if manifest is not None and manifest.digest == reference and reference in listed:
                    self._known[reference] = manifest

        workers = Workers()
        for _ in range(min(len(references), 8)):
            workers.start(work)
        await workers.wait()


class _UnreadableError(Exception):
    """A manifest could not be read."""


async def _read(
    reader: ManifestReader, registry: str, repository: str, reference: str
) -> Manifest | None:
    try:
        found = await reader.read(registry, repository, reference)
    except KeyError:
        return None
    except Exception as error:  # noqa: BLE001 - readers are anybody's, and each failure keeps images
        raise _UnreadableError(
            f"the manifest of {reference} could not be read: {type(error).__name__}: {error}"
        ) from None
    if not isinstance(found, Manifest):  # pyright: ignore[reportUnnecessaryIsInstance]
        raise _UnreadableError(f"the manifest of {reference} could not be read: it is no Manifest")
    return found


def _hides(found: RepositorySnapshot) -> bool:
    return not set(found.tags) <= {tag for image in found.images for tag in image.tags}


def _inconsistency(found: RepositorySnapshot) -> str | None:
    """Return why two lists cannot be of the same moment."""
    known = set(found.tags)
    seen: dict[str, str] = {}
    for image in found.images:
        for tag in image.tags:
            if tag not in known:
                return f"tag {tag} of an image is not in the tag list: it moved meanwhile"
            if seen.setdefault(tag, image.digest) != image.digest:
                return f"tag {tag} is on two images: it moved while the list was read"
    return None


async def read_all(
    reader: Reader,
    places: Iterable[tuple[Registry, Repository]],
    concurrency: int,
    take: Callable[[RepositorySnapshot], None],
) -> None:
    """Read repositories, many at once, and hand each over as it comes."""
    waiting = iter(places)

    async def work() -> None:
        for registry, repository in waiting:
            take(await reader.snapshot(registry, repository))

    workers = Workers()
    for _ in range(concurrency):
        workers.start(work)
    await workers.wait()
