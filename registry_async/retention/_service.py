"""The service as retention sees it: the few operations of a client that it needs."""

from collections.abc import AsyncIterator, Iterable
from typing import Protocol, TypeVar

from registry_async._clock import Clock
from registry_async._pagination import Page
from registry_async.models import CleanupResult, Image, Registry, Repository
from registry_async.retention._snapshot import Manifest

__all__ = ["ManifestReader", "Pages", "Service", "ServiceClient"]

T = TypeVar("T")


class Pages(Protocol[T]):
    """A list, page by page."""

    def pages(self) -> AsyncIterator[Page[T]]:
        """Return an iterator over the pages."""
        ...


class _Registries(Protocol):
    def list(self) -> Pages[Registry]: ...

    async def get(self, registry_id: str) -> Registry: ...

    async def start_garbage_collection(
        self, registry_id: str, *, conflict_timeout: float = 0
    ) -> None: ...


class _Repositories(Protocol):
    def list(self, registry_id: str) -> Pages[Repository]: ...

    async def get(self, registry_id: str, repository: str) -> Repository: ...

    async def list_tags(self, registry_id: str, repository: str) -> tuple[str, ...]: ...

    async def cleanup(
        self,
        registry_id: str,
        repository: str,
        *,
        digests: Iterable[str] = (),
        disable_gc: bool = False,
    ) -> CleanupResult: ...


class _Images(Protocol):
    def list(self, registry_id: str, repository: str) -> Pages[Image]: ...


class ServiceClient(Protocol):
    """What retention uses of a client."""

    @property
    def registries(self) -> _Registries:
        """The registries of the project."""
        ...

    @property
    def repositories(self) -> _Repositories:
        """The repositories of a registry."""
        ...

    @property
    def images(self) -> _Images:
        """The images of a repository."""
        ...


class Service(Protocol):
    """A client, and what is to be known of it."""

    @property
    def client(self) -> ServiceClient:
        """The client, with all its retries, for everything that only reads."""
        ...

    @property
    def sends_once(self) -> ServiceClient:
        """The same client without retries, for what deletes."""
        ...

    @property
    def base_url(self) -> str:
        """The URL of the service."""
        ...

    @property
    def label(self) -> str | None:
        """The label of the client."""
        ...

    @property
    def clock(self) -> Clock:
        """Where time comes from."""
        ...


class ManifestReader(Protocol):
    """What reads manifests, such as `OciManifests`."""

    async def read(self, registry: str, repository: str, reference: str) -> Manifest:
        """Return a manifest.

        Args:
            registry: The name of the registry.
            repository: The name of the repository.
            reference: A digest or a tag.

        Raises:
            KeyError: There is none.
        """
        ...
