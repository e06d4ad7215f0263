# Generated from the async classes by "python -m registry_async._generate_sync": change those.
"""The sync client: the words of the async one, without ``await``."""

import ssl
from collections.abc import Callable, Iterable, Iterator, Mapping
from datetime import datetime
from os import PathLike
from pathlib import Path
from typing import TYPE_CHECKING, Generic, Literal, Self, TypeVar, Unpack, overload

from registry_async import accounts, scanning
from registry_async._arguments import (
    AccessMode,
    ApiVersion,
    NameSort,
    QueryValue,
    RegistrySort,
    RepositorySort,
    SortDirection,
    TokenLife,
    TokenSort,
)
from registry_async._clock import Clock
from registry_async._display import ResultList
from registry_async._pagination import DEFAULT_PAGE_SIZE, Page
from registry_async._paths import DEFAULT_BASE_URL
from registry_async._report import ScanReport
from registry_async._resources._base import NOT_GIVEN, NotGiven
from registry_async._resources._waiting import POLL_INTERVAL, WAIT_TIMEOUT
from registry_async._resources.by_hand import JsonValue
from registry_async._resources.images import AsyncImages
from registry_async._resources.registries import AsyncRegistries
from registry_async._resources.repositories import AsyncRepositories
from registry_async._resources.tokens import AsyncTokens
from registry_async._resources.tokens_v1 import AsyncTokensV1
from registry_async._scan.options import DEFAULT_CONCURRENCY, Patterns, ScanSettings
from registry_async._scan.results import ScanError, ScannedImage, ScannedRepository, ScanProgress
from registry_async._secrets import hide
from registry_async._sync_support import (
    BaseClient,
    BaseOpenProjects,
    BasePaginator,
    BaseScan,
    Facade,
    SyncIterator,
    any_overload,
    leases,
    run_alone,
    unwrap,
)
from registry_async.accounts import ClientOptions, Project
from registry_async.client import DEFAULT_MAX_RESPONSE_SIZE, DEFAULT_TIMEOUT, AsyncRegistryClient
from registry_async.credentials import Credentials
from registry_async.models import (
    CleanupResult,
    Cluster,
    DockerConfig,
    GarbageSize,
    Image,
    IssuedToken,
    Layer,
    Registry,
    RegistrySortField,
    Repository,
    RepositorySortField,
    ScopeMode,
    SortOrder,
    Token,
    TokenScope,
    TokenSortField,
    TokenTtl,
    TokenV1,
)
from registry_async.retention._in_use import InUse
from registry_async.retention._plan_values import RetentionPlan
from registry_async.retention._policy import RetentionPolicy
from registry_async.retention._result import RetentionProgress, RetentionResult
from registry_async.retention._retention import CONCURRENCY, CONFLICT_TIMEOUT, AsyncRetention
from registry_async.retention._service import ManifestReader
from registry_async.retry import RetryEvent, RetryPolicy

if TYPE_CHECKING:
    from aiohttp import ClientSession, ClientTimeout, TraceConfig
    from pandas import DataFrame
__all__ = [
    "Images",
    "OpenProjects",
    "Paginator",
    "Registries",
    "RegistryClient",
    "Repositories",
    "Scan",
    "Tokens",
    "TokensV1",
    "list_projects",
    "open_projects",
    "scan",
]
T = TypeVar("T")


class Paginator(BasePaginator[T], Generic[T]):
    """A list of the service, read page by page as it is iterated.

    It sends nothing until it is iterated or asked, and starts anew each time. When the list
    changes meanwhile, items that come twice are dropped; items that move to a page that was
    read already cannot be seen. To delete what a list gives, ``collect()`` it first.
    """

    def pages(self) -> Iterator[Page[T]]:
        """Return an iterator over the pages."""
        return SyncIterator(self._async.pages(), self._lease)

    def first(self) -> T | None:
        """Return the first item, or None when there is none. It sends one request."""
        return self._lease.run(self._async.first)

    def count(self) -> int:
        """Return how many items the list has, whatever its ``offset``; under ``search``, matches.

        It sends the smallest request that can tell. Where the service does not count (API v1,
        and filters other than ``search`` on repositories and images), it reads the list.

        Raises:
            ContainerRegistryError: As iteration does.
        """
        return self._lease.run(self._async.count)

    def collect(self, *, max_items: int | None = None, progress: bool = False) -> ResultList[T]:
        """Read the list into memory, several pages at a time, in order.

        Args:
            max_items: The most items to return; no page beyond them is read.
            progress: Whether to show a progress bar (extra ``progress``).

        Returns:
            A list, which notebooks show as a table and which has ``to_dataframe()``.

        Raises:
            ValueError: ``max_items`` is negative.
            ContainerRegistryError: As iteration does.
        """
        return self._lease.run(self._async.collect, max_items=max_items, progress=progress)


class Images(Facade[AsyncImages]):
    """The images of a repository."""

    def list(
        self,
        registry_id: str,
        repository: str,
        *,
        search: str | None = None,
        page_size: int = DEFAULT_PAGE_SIZE,
        offset: int = 0,
        api_version: ApiVersion = 2,
    ) -> Paginator[Image]:
        """List the images with their layers (operations ``listImages`` and ``listImagesV1``).

        Args:
            registry_id: The id of the registry.
            repository: The name of the repository.
            search: Give only images that the service finds for this text; only with API v2.
            page_size: The images to ask for at once, 1 or more; API v1 gives all at once.
            offset: The images to skip.
            api_version: 2, or 1 for the whole list in one answer.

        Returns:
            A paginator. Nothing is sent before it is iterated.

        Raises:
            ValueError: An argument makes no sense.
        """
        return Paginator(
            self._async.list(
                registry_id,
                repository,
                search=search,
                page_size=page_size,
                offset=offset,
                api_version=api_version,
            ),
            self._lease,
        )

    def get(self, registry_id: str, repository: str, reference: str) -> Image:
        """Get an image (operation ``listLayers``).

        Where the service answers with the layers alone, the image is looked up in the list.

        Args:
            registry_id: The id of the registry.
            repository: The name of the repository.
            reference: The digest of the image, or a tag.

        Raises:
            ValueError: An argument cannot be sent.
            NotFoundError: There is no such registry, repository or image.
            UnexpectedResponseError: The service knows the image, but does not list it.
            ContainerRegistryError: The request failed otherwise.
        """
        return self._lease.run(self._async.get, registry_id, repository, reference)

    def list_layers(self, registry_id: str, repository: str, reference: str) -> tuple[Layer, ...]:
        """List the layers of an image, lowest first (operation ``listLayers``).

        Args:
            registry_id: The id of the registry.
            repository: The name of the repository.
            reference: The digest of the image, or a tag.

        Raises:
            ValueError: An argument cannot be sent.
            NotFoundError: There is no such registry, repository or image.
            ContainerRegistryError: The request failed otherwise.
        """
        return self._lease.run(self._async.list_layers, registry_id, repository, reference)

    def delete(
        self, registry_id: str, repository: str, digest: str, *, conflict_timeout: float = 0
    ) -> None:
        """Delete an image with every tag that points at it (operation ``deleteManifest``).

        Args:
            registry_id: The id of the registry.
            repository: The name of the repository.
            digest: The digest of the image, such as ``sha256:…``; the service takes no tag here.
            conflict_timeout: The seconds to wait for a running garbage collection to end.

        Raises:
            ValueError: An argument makes no sense.
            NotFoundError: There is no such registry, repository or image.
            ConflictError: A garbage collection runs, or another manifest refers to the image.
            ContainerRegistryError: The request failed otherwise.
        """
        self._lease.run(
            self._async.delete, registry_id, repository, digest, conflict_timeout=conflict_timeout
        )


class Registries(Facade[AsyncRegistries]):
    """The registries of the project."""

    def list(
        self,
        *,
        search: str | None = None,
        sort_field: RegistrySortField | RegistrySort | None = None,
        sort_type: SortOrder | SortDirection | None = None,
        page_size: int = DEFAULT_PAGE_SIZE,
        offset: int = 0,
        api_version: ApiVersion = 2,
    ) -> Paginator[Registry]:
        """List the registries (operations ``listRegistries`` and ``listRegistriesV1``).

        Args:
            search: Give only registries whose name holds this text.
            sort_field: What to sort by; the service sorts by name.
            sort_type: The direction; the service sorts upwards.
            page_size: The registries to ask for at once, 1 or more.
            offset: The registries to skip.
            api_version: 2, or 1 for registries with ``size_limit`` and ``used``.

        Returns:
            A paginator. Nothing is sent before it is iterated.

        Raises:
            ValueError: An argument makes no sense.
        """
        return Paginator(
            self._async.list(
                search=search,
                sort_field=sort_field,
                sort_type=sort_type,
                page_size=page_size,
                offset=offset,
                api_version=api_version,
            ),
            self._lease,
        )

    def create(self, name: str, *, wait: bool = False) -> Registry:
        """Create a registry (operation ``createRegistry``).

        Args:
            name: Lower-case Latin letters, digits and hyphens; it starts with a letter and ends
                with a letter or digit. The service documents at most 20 characters.
            wait: Whether to wait, up to 600 seconds, until it is ACTIVE.

        Returns:
            The registry; without ``wait`` its status is CREATING.

        Raises:
            ValueError: The name has letters that no registry's name has.
            ConflictError: There is a registry of this name.
            WaitFailedError: It went to a status that does not lead to ACTIVE.
            WaitTimeoutError: It did not become ACTIVE in time.
            ContainerRegistryError: The request failed otherwise.
        """
        return self._lease.run(self._async.create, name, wait=wait)

    def get(self, registry_id: str) -> Registry:
        """Get a registry, with ``size_limit`` and ``used`` (operation ``getRegistry``).

        Args:
            registry_id: The id of the registry.

        Raises:
            ValueError: The id cannot be sent.
            NotFoundError: There is no such registry.
            ContainerRegistryError: The request failed otherwise.
        """
        return self._lease.run(self._async.get, registry_id)

    def get_by_name(self, name: str) -> Registry:
        """Get the registry of a name (operation ``listRegistries``).

        Args:
            name: The whole name.

        Raises:
            ValueError: The name is empty or cannot be sent.
            RegistryNotFoundError: No registry has this name.
            ContainerRegistryError: The request failed otherwise.
        """
        return self._lease.run(self._async.get_by_name, name)

    def delete(self, registry_id: str, *, wait: bool = False, conflict_timeout: float = 0) -> None:
        """Delete a registry with all that is in it (operation ``deleteRegistry``).

        Args:
            registry_id: The id of the registry.
            wait: Whether to wait, up to 600 seconds, until it is gone.
            conflict_timeout: The seconds to wait for a running garbage collection to end.

        Raises:
            ValueError: An argument makes no sense.
            NotFoundError: There is no such registry.
            ConflictError: Its state forbids it.
            WaitFailedError: The deletion failed: the registry went to ERROR.
            WaitTimeoutError: It was not gone in time.
            ContainerRegistryError: The request failed otherwise.
        """
        self._lease.run(
            self._async.delete, registry_id, wait=wait, conflict_timeout=conflict_timeout
        )

    def list_clusters(self, registry_id: str) -> tuple[Cluster, ...]:
        """List the clusters integrated with a registry (operation ``listClusters``).

        Args:
            registry_id: The id of the registry.

        Raises:
            ValueError: The id cannot be sent.
            NotFoundError: There is no such registry.
            ContainerRegistryError: The request failed otherwise.
        """
        return self._lease.run(self._async.list_clusters, registry_id)

    def start_garbage_collection(
        self,
        registry_id: str,
        *,
        delete_untagged: bool = False,
        wait: bool = False,
        conflict_timeout: float = 0,
    ) -> None:
        """Start a garbage collection (operation ``startGarbageCollection``).

        While it runs, images can be pulled but neither pushed nor deleted.

        Args:
            registry_id: The id of the registry.
            delete_untagged: Whether untagged images are deleted, too.
            wait: Whether to wait, up to 600 seconds, until it is over.
            conflict_timeout: The seconds to wait for a collection that runs already to end.

        Raises:
            ValueError: An argument makes no sense.
            NotFoundError: There is no such registry.
            ConflictError: A collection runs already, or the registry is not ACTIVE.
            WaitFailedError: The registry went to ERROR.
            WaitTimeoutError: It was not over in time.
            ContainerRegistryError: The request failed otherwise.
        """
        self._lease.run(
            self._async.start_garbage_collection,
            registry_id,
            delete_untagged=delete_untagged,
            wait=wait,
            conflict_timeout=conflict_timeout,
        )

    def get_garbage_size(self, registry_id: str) -> GarbageSize:
        """Get the bytes that a garbage collection would free (operation ``getGarbageSize``).

        Args:
            registry_id: The id of the registry.

        Raises:
            ValueError: The id cannot be sent.
            NotFoundError: There is no such registry.
            ContainerRegistryError: The request failed otherwise.
        """
        return self._lease.run(self._async.get_garbage_size, registry_id)

    def wait_until_active(
        self,
        registry_id: str,
        *,
        timeout: float = WAIT_TIMEOUT,
        poll_interval: float = POLL_INTERVAL,
    ) -> Registry:
        """Wait until a registry is ACTIVE and return it (operation ``getRegistry``).

        Args:
            registry_id: The id of the registry.
            timeout: The most seconds to wait.
            poll_interval: The seconds between the first two looks; the pauses grow to 10 s.

        Raises:
            ValueError: An argument makes no sense.
            NotFoundError: There is no such registry.
            WaitFailedError: It went to ERROR or DELETING, which do not lead to ACTIVE.
            WaitTimeoutError: It was not ACTIVE in time.
            ContainerRegistryError: A request failed otherwise.
        """
        return self._lease.run(
            self._async.wait_until_active, registry_id, timeout=timeout, poll_interval=poll_interval
        )

    def wait_until_deleted(
        self,
        registry_id: str,
        *,
        timeout: float = WAIT_TIMEOUT,
        poll_interval: float = POLL_INTERVAL,
    ) -> None:
        """Wait until a registry is gone (operation ``getRegistry``).

        Args:
            registry_id: The id of the registry.
            timeout: The most seconds to wait.
            poll_interval: The seconds between the first two looks; the pauses grow to 10 s.

        Raises:
            ValueError: An argument makes no sense.
            WaitFailedError: The deletion failed: the registry went to ERROR.
            WaitTimeoutError: It was not gone in time.
            ContainerRegistryError: A request failed otherwise.
        """
        self._lease.run(
            self._async.wait_until_deleted,
            registry_id,
            timeout=timeout,
            poll_interval=poll_interval,
        )

    def wait_for_garbage_collection(
        self,
        registry_id: str,
        *,
        timeout: float = WAIT_TIMEOUT,
        poll_interval: float = POLL_INTERVAL,
    ) -> None:
        """Wait until a garbage collection that was started is over (operation ``getRegistry``).

        A registry is still ACTIVE for a moment after a collection was started. So one that is
        ACTIVE counts as done when it was seen collecting before, or when no collection shows for
        10 seconds and no layer is left that a collection would free.

        Args:
            registry_id: The id of the registry.
            timeout: The most seconds to wait.
            poll_interval: The seconds between the first two looks; the pauses grow to 10 s.

        Raises:
            ValueError: An argument makes no sense.
            NotFoundError: There is no such registry.
            WaitFailedError: The registry went to ERROR or DELETING.
            WaitTimeoutError: It was not over in time, or none was seen though there is garbage.
            ContainerRegistryError: A request failed otherwise.
        """
        self._lease.run(
            self._async.wait_for_garbage_collection,
            registry_id,
            timeout=timeout,
            poll_interval=poll_interval,
        )


class Repositories(Facade[AsyncRepositories]):
    """The repositories of a registry. Their names may hold slashes."""

    def list(
        self,
        registry_id: str,
        *,
        search: str | None = None,
        sort_field: RepositorySortField | RepositorySort | None = None,
        sort_type: SortOrder | SortDirection | None = None,
        page_size: int = DEFAULT_PAGE_SIZE,
        offset: int = 0,
        api_version: ApiVersion = 2,
    ) -> Paginator[Repository]:
        """List the repositories (operations ``listRepositories`` and ``listRepositoriesV1``).

        Args:
            registry_id: The id of the registry.
            search: Give only repositories whose name holds this text.
            sort_field: What to sort by; the service sorts by name.
            sort_type: The direction; the service sorts upwards.
            page_size: The repositories to ask for at once, 1 or more.
            offset: The repositories to skip.
            api_version: 2, or 1 for a list without a total.

        Returns:
            A paginator. Nothing is sent before it is iterated.

        Raises:
            ValueError: An argument makes no sense.
        """
        return Paginator(
            self._async.list(
                registry_id,
                search=search,
                sort_field=sort_field,
                sort_type=sort_type,
                page_size=page_size,
                offset=offset,
                api_version=api_version,
            ),
            self._lease,
        )

    def list_names(
        self,
        registry_id: str,
        *,
        search: str | None = None,
        sort_field: RepositorySortField | NameSort | None = None,
        sort_type: SortOrder | SortDirection | None = None,
        page_size: int = DEFAULT_PAGE_SIZE,
        offset: int = 0,
        api_version: ApiVersion = 2,
    ) -> Paginator[str]:
        """List just the names (``short=true`` of ``listRepositories``, ``listRepositoriesV1``).

        Args:
            registry_id: The id of the registry.
            search: Give only names that hold this text.
            sort_field: ``name``; the service sorts names by nothing else.
            sort_type: The direction; the service sorts upwards.
            page_size: The names to ask for at once, 1 or more.
            offset: The names to skip.
            api_version: 2, or 1 for a list without a total.

        Returns:
            A paginator. Nothing is sent before it is iterated.

        Raises:
            ValueError: An argument makes no sense.
        """
        return Paginator(
            self._async.list_names(
                registry_id,
                search=search,
                sort_field=sort_field,
                sort_type=sort_type,
                page_size=page_size,
                offset=offset,
                api_version=api_version,
            ),
            self._lease,
        )

    def get(self, registry_id: str, repository: str) -> Repository:
        """Get a repository (operation ``getRepository``).

        Args:
            registry_id: The id of the registry.
            repository: The name of the repository.

        Raises:
            ValueError: An argument cannot be sent.
            NotFoundError: There is no such registry or repository.
            ContainerRegistryError: The request failed otherwise.
        """
        return self._lease.run(self._async.get, registry_id, repository)

    def delete(self, registry_id: str, repository: str, *, conflict_timeout: float = 0) -> None:
        """Delete a repository with all its images (operation ``deleteRepository``).

        Args:
            registry_id: The id of the registry.
            repository: The name of the repository.
            conflict_timeout: The seconds to wait for a running garbage collection to end.

        Raises:
            ValueError: An argument makes no sense.
            NotFoundError: There is no such registry or repository.
            ConflictError: A garbage collection runs.
            ContainerRegistryError: The request failed otherwise.
        """
        self._lease.run(
            self._async.delete, registry_id, repository, conflict_timeout=conflict_timeout
        )

    def cleanup(
        self,
        registry_id: str,
        repository: str,
        *,
        digests: Iterable[str] = (),
        tags: Iterable[str] = (),
        disable_gc: bool = False,
        conflict_timeout: float = 0,
    ) -> CleanupResult:
        """Remove images and tags in bulk (operation ``cleanupRepository``).

        The service answers with success even where it could not remove everything: look at
        ``failed`` of the result. To clean many repositories, disable the collection in each and
        start one at the end.

        Args:
            registry_id: The id of the registry.
            repository: The name of the repository.
            digests: The digests of the images to remove, each with all its tags.
            tags: The tags to remove.
            disable_gc: Whether to leave out the garbage collection that follows otherwise.
            conflict_timeout: The seconds to wait for a running garbage collection to end.

        Returns:
            What was deleted and what was not.

        Raises:
            ValueError: Nothing is named to remove, or an argument makes no sense.
            NotFoundError: There is no such registry or repository.
            ConflictError: A garbage collection runs.
            ContainerRegistryError: The request failed otherwise.
        """
        return self._lease.run(
            self._async.cleanup,
            registry_id,
            repository,
            digests=digests,
            tags=tags,
            disable_gc=disable_gc,
            conflict_timeout=conflict_timeout,
        )

    def list_tags(self, registry_id: str, repository: str) -> tuple[str, ...]:
        """List all tags of a repository (operation ``listTags``).

        Args:
            registry_id: The id of the registry.
            repository: The name of the repository.

        Raises:
            ValueError: An argument cannot be sent.
            NotFoundError: There is no such registry or repository.
            ContainerRegistryError: The request failed otherwise.
        """
        return self._lease.run(self._async.list_tags, registry_id, repository)


class Tokens(Facade[AsyncTokens]):
    """The access tokens (v2) of the project, with which Docker logs in."""

    def list(
        self,
        *,
        search: str | None = None,
        scope_mode: ScopeMode | AccessMode | None = None,
        sort_field: TokenSortField | TokenSort | None = None,
        sort_type: SortOrder | SortDirection | None = None,
        page_size: int = DEFAULT_PAGE_SIZE,
        offset: int = 0,
    ) -> Paginator[Token]:
        """List the tokens, revoked ones included until they are deleted (``listTokens``).

        Args:
            search: Give only tokens whose name holds this text.
            scope_mode: Give only tokens that are read-only (``ro``) or read-write (``rw``).
            sort_field: What to sort by; the service sorts by creation.
            sort_type: The direction; the service sorts upwards.
            page_size: The tokens to ask for at once, 1 or more.
            offset: The tokens to skip.

        Returns:
            A paginator. Nothing is sent before it is iterated.

        Raises:
            ValueError: An argument makes no sense.
        """
        return Paginator(
            self._async.list(
                search=search,
                scope_mode=scope_mode,
                sort_field=sort_field,
                sort_type=sort_type,
                page_size=page_size,
                offset=offset,
            ),
            self._lease,
        )

    def create(
        self, *, scope: TokenScope, expires_at: datetime | None, name: str | None = None
    ) -> IssuedToken:
        """Create a token and get it with its secret, shown this once (``createToken``).

        Args:
            scope: What it opens.
            expires_at: When it ends, with a time zone; None for a token that never expires.
            name: A name for people.

        Raises:
            ValueError: An argument makes no sense.
            BadRequestError: The service refuses the request, such as an end in the past. It need
                not refuse a scope of registries that do not exist.
            ContainerRegistryError: The request failed otherwise. It is not repeated once it may
                have been carried out, so there may be a token without a known secret then.
        """
        return self._lease.run(self._async.create, scope=scope, expires_at=expires_at, name=name)

    def create_docker_config(
        self, *, scope: TokenScope, expires_at: datetime | None, name: str | None = None
    ) -> DockerConfig:
        """Create a token and get it as a Docker configuration (``createToken``).

        Args:
            scope: What it opens.
            expires_at: When it ends, with a time zone; None for a token that never expires.
            name: A name for people.

        Raises:
            ValueError: An argument makes no sense.
            BadRequestError: The service refuses the request, such as an end in the past. It need
                not refuse a scope of registries that do not exist.
            ContainerRegistryError: The request failed otherwise, as with `create`.
        """
        return self._lease.run(
            self._async.create_docker_config, scope=scope, expires_at=expires_at, name=name
        )

    def get(self, token_id: str) -> Token:
        """Get a token, without its secret (operation ``getToken``).

        Args:
            token_id: The id of the token, which is not its secret.

        Raises:
            ValueError: The id cannot be sent.
            NotFoundError: There is no such token.
            ContainerRegistryError: The request failed otherwise.
        """
        return self._lease.run(self._async.get, token_id)

    def update(
        self,
        token_id: str,
        *,
        name: str | NotGiven = NOT_GIVEN,
        scope: TokenScope | NotGiven = NOT_GIVEN,
        expires_at: datetime | NotGiven | None = NOT_GIVEN,
    ) -> Token:
        """Change what is given of a token, and nothing else (operation ``updateToken``).

        Args:
            token_id: The id of the token.
            name: A new name.
            scope: A new scope.
            expires_at: A new end, with a time zone; None for a token that never expires.

        Returns:
            The token as it is now.

        Raises:
            ValueError: Nothing is given to change, or an argument makes no sense.
            NotFoundError: There is no such token.
            ContainerRegistryError: The request failed otherwise.
        """
        return self._lease.run(
            self._async.update, token_id, name=name, scope=scope, expires_at=expires_at
        )

    def refresh(self, token_id: str, *, expires_at: datetime | None) -> Token:
        """Give a token a new end; its secret stays (operation ``refreshToken``).

        Args:
            token_id: The id of the token.
            expires_at: The new end, with a time zone; None for a token that never expires.

        Raises:
            ValueError: An argument makes no sense.
            NotFoundError: There is no such token.
            ContainerRegistryError: The request failed otherwise.
        """
        return self._lease.run(self._async.refresh, token_id, expires_at=expires_at)

    def regenerate(self, token_id: str, *, expires_at: datetime | None) -> IssuedToken:
        """Replace the secret of a token; the old one ends (operation ``regenerateToken``).

        Args:
            token_id: The id of the token.
            expires_at: The new end, with a time zone; None for a token that never expires.

        Returns:
            The token with its new secret, which the service shows this once.

        Raises:
            ValueError: An argument makes no sense.
            NotFoundError: There is no such token.
            ContainerRegistryError: The request failed otherwise.
        """
        return self._lease.run(self._async.regenerate, token_id, expires_at=expires_at)

    def revoke(self, token_id: str) -> None:
        """End a token; it stays in the list until it is deleted (operation ``revokeToken``).

        Args:
            token_id: The id of the token.

        Raises:
            ValueError: The id cannot be sent.
            NotFoundError: There is no such token.
            ContainerRegistryError: The request failed otherwise.
        """
        self._lease.run(self._async.revoke, token_id)

    def delete(self, token_id: str) -> None:
        """Remove a token from the list (operation ``deleteToken``).

        Args:
            token_id: The id of the token.

        Raises:
            ValueError: The id cannot be sent.
            NotFoundError: There is no such token.
            ContainerRegistryError: The request failed otherwise.
        """
        self._lease.run(self._async.delete, token_id)


class TokensV1(Facade[AsyncTokensV1]):
    """The access tokens (v1), with which Docker logs in. Prefer those of v2: they have scopes."""

    def create(self, *, ttl: TokenTtl | TokenLife = TokenTtl.TWELVE_HOURS) -> TokenV1:
        """Create a token (operation ``createTokenV1``).

        Args:
            ttl: Its life: ``12h`` or ``1y``.

        Raises:
            ValueError: There is no such life.
            ContainerRegistryError: The request failed. It is not repeated once it may have been
                carried out.
        """
        return self._lease.run(self._async.create, ttl=ttl)

    def create_docker_config(
        self, *, ttl: TokenTtl | TokenLife = TokenTtl.TWELVE_HOURS
    ) -> DockerConfig:
        """Create a token and get it as a Docker configuration (operation ``createTokenV1``).

        Args:
            ttl: Its life: ``12h`` or ``1y``.

        Raises:
            ValueError: There is no such life.
            ContainerRegistryError: The request failed, as with `create`.
        """
        return self._lease.run(self._async.create_docker_config, ttl=ttl)

    def get(self, token: str) -> TokenV1:
        """Get the life that is left to a token (operation ``getTokenV1``).

        Args:
            token: The secret of the token.

        Returns:
            The token with the secret that was given.

        Raises:
            ValueError: The token cannot be sent.
            NotFoundError: There is no such token.
            ContainerRegistryError: The request failed otherwise.
        """
        token = hide(token)
        return self._lease.run(self._async.get, token)

    def refresh(self, token: str) -> TokenV1:
        """Prolong a token by its life (operation ``refreshTokenV1``).

        Args:
            token: The secret of the token.

        Returns:
            The token with its new end.

        Raises:
            ValueError: The token cannot be sent.
            BadRequestError: The token is malformed or no longer valid.
            NotFoundError: There is no such token.
            ContainerRegistryError: The request failed otherwise.
        """
        token = hide(token)
        return self._lease.run(self._async.refresh, token)

    def revoke(self, token: str) -> None:
        """End a token (operation ``revokeTokenV1``).

        Args:
            token: The secret of the token.

        Raises:
            ValueError: The token cannot be sent.
            BadRequestError: The token is malformed or no longer valid.
            ContainerRegistryError: The request failed otherwise.
        """
        token = hide(token)
        self._lease.run(self._async.revoke, token)


class Retention(Facade[AsyncRetention]):
    """Delete what nobody needs, and nothing else: `registry_async.retention` is the guide.

    Args:
        client: The client.
        base_url: The URL of its service.
        label: Its label.
        clock: Where time comes from.
    """

    def plan(
        self,
        policy: RetentionPolicy,
        *,
        in_use: InUse | None = None,
        manifests: ManifestReader | None = None,
        concurrency: int = CONCURRENCY,
        progress: bool = False,
    ) -> RetentionPlan:
        """Read every repository and decide what a policy deletes. Nothing is changed.

        Args:
            policy: The policy.
            in_use: The images in use, which stay, and their parts.
            manifests: What reads manifests, such as `OciManifests`. Without it, repositories with
                multi-architecture images are blocked, and images without a tag stay.
            concurrency: The most repositories, and the most manifests, to read at once.
            progress: Whether to show a progress bar (extra ``progress``).

        Returns:
            The plan, with a verdict for every image.

        Raises:
            ValueError: An argument makes no sense.
            RetentionRefusedError: The policy requires ``in_use``, and it is not given.
            ContainerRegistryError: The registries could not be listed. What fails in one registry
                or repository is in the plan's ``blocked``.
        """
        return self._lease.run(
            self._async.plan,
            policy,
            in_use=in_use,
            manifests=manifests,
            concurrency=concurrency,
            progress=progress,
        )

    def apply(
        self,
        plan: RetentionPlan,
        *,
        in_use: InUse | None = None,
        manifests: ManifestReader | None = None,
        journal: str | PathLike[str] | None = None,
        collect_garbage: bool = False,
        conflict_timeout: float = CONFLICT_TIMEOUT,
        on_progress: Callable[[RetentionProgress], object] | None = None,
        progress: bool = False,
    ) -> RetentionResult:
        """Delete what a plan deletes, as far as that is still right.

        Before each batch its repository is read and judged again; only what both the plan and
        that judgement delete is sent.

        Args:
            plan: The plan.
            in_use: The images in use now; those of the plan are added.
            manifests: What reads manifests. A plan that was made with one needs one here, too.
            journal: A file that holds what was done, and that an interrupted run goes on from.
            collect_garbage: Whether to start one garbage collection in each registry in which
                images were deleted and nothing went wrong. It leaves untagged images alone.
            conflict_timeout: The seconds to wait for garbage collections and other failures.
            on_progress: Called after each batch with a `RetentionProgress`, on another thread. It
                cannot use the client.
            progress: Whether to show a progress bar (extra ``progress``).

        Returns:
            What was done. Look at its ``complete``.

        Raises:
            ValueError: An argument makes no sense.
            RetentionRefusedError: The plan exceeds limits, expired, was edited, or is of another
                service or client; a required ``in_use`` is missing; the journal is of another
                plan, is none, or is held by another run. Nothing was sent.
            OSError: The journal cannot be written.
        """
        return self._lease.run(
            self._async.apply,
            plan,
            in_use=in_use,
            manifests=manifests,
            journal=journal,
            collect_garbage=collect_garbage,
            conflict_timeout=conflict_timeout,
            on_progress=on_progress,
            progress=progress,
        )


class Scan(BaseScan[T], Generic[T]):
    """A scan of everything that some clients can see, for use with ``with``.

    Iterate it for what it finds, or ask for a `report`; it can be done once. Nothing is sent
    before that. Everything is found, in no particular order. Leaving the block early ends the
    scan; nothing goes on behind it.

        with client.scan() as scan:
            for found in scan:
                print(found.registry.name, found.repository.name, found.image.digest)
        if not scan.complete:
            print(scan.errors)
    """

    @property
    def errors(self) -> tuple[ScanError, ...]:
        """What could not be read so far."""
        return self._async.errors

    @property
    def complete(self) -> bool:
        """Whether everything was read without an error, and the iteration came to its end."""
        return self._async.complete

    @property
    def progress(self) -> ScanProgress:
        """How far the scan has come."""
        return self._async.progress

    def batches(self) -> "Iterator[list[T]]":
        """Return an iterator over what is found, as many items at once as came in one page."""
        return SyncIterator(self._async.batches(), self._lease)

    def report(self) -> ScanReport:
        """Read everything into a report of totals.

        Returns:
            The report. Failures are in its ``errors``, unless ``on_error`` is ``"raise"``.

        Raises:
            RuntimeError: The scan was iterated already, or it is one of repositories only.
            ContainerRegistryError: Something failed, and ``on_error`` is ``"raise"``.
        """
        return self._lease.run(self._async.report)

    def to_dataframe(self) -> "DataFrame":
        """Read everything into a data frame (extra ``pandas``). It has to fit into memory.

        Returns:
            A row an image, or a row a repository with ``images=False``: bytes as Int64, times as
            datetime64[ns, UTC], the tags of an image as a list, its layers as a count.

        Raises:
            ConfigurationError: The extra is not installed.
            ContainerRegistryError: Something failed, and ``on_error`` is ``"raise"``.
        """
        return self._lease.run(self._async.to_dataframe)


class RegistryClient(BaseClient):
    """A client of the Container Registry management API, for use with ``with``.

    It opens nothing before it is used. One client may be used by many threads at once, and where an
    event loop runs already, as in notebooks.

    Args:
        credentials: Who gives the IAM tokens; `Credentials` says what is needed of it.
        token: Short for ``credentials=StaticToken(token)``.
        base_url: The URL of the service, or ``"catalog"`` for the one that the Keystone catalog
            lists.
        session: A session that belongs to the event loop of the sync clients, which is used with
            all its settings and never closed. The client makes one of its own otherwise, with the
            proxies of the environment.
        timeout: The seconds for one attempt, from sending to the last byte, or an
            ``aiohttp.ClientTimeout``.
        retry: When a failed request is sent again.
        max_connections: The most requests at once; more wait their turn without time limit.
        label: A name for this client in the results of scans.
        user_agent: The name of your application, put before our own in the User-Agent header.
        ssl: TLS settings, or the path of a file with CA certificates to trust besides the
            system's.
        trace_configs: aiohttp's own hooks for traces and metrics, for sessions that the client
            makes; a session of yours has its own. They see requests as they are, tokens included.
        max_response_size: The most bytes of one answer, once it is decompressed.
        clock: Where time and chance come from; tests give a clock of their own.
        on_retry: Called with a `RetryEvent` before each repeat of a request: what is repeated,
            why, and after how long. Requests wait for it, so it must be quick.

    Raises:
        ValueError: An argument makes no sense.
        ConfigurationError: Neither credentials nor a token is given, or ``"catalog"`` is asked
            of credentials that know none.
    """

    def __init__(
        self,
        credentials: Credentials | None = None,
        *,
        token: str | None = None,
        base_url: str = DEFAULT_BASE_URL,
        session: "ClientSession | None" = None,
        timeout: "float | ClientTimeout" = DEFAULT_TIMEOUT,
        retry: RetryPolicy | None = None,
        max_connections: int = 100,
        label: str | None = None,
        user_agent: str | None = None,
        ssl: ssl.SSLContext | str | Path | None = None,
        trace_configs: "Iterable[TraceConfig]" = (),
        max_response_size: int = DEFAULT_MAX_RESPONSE_SIZE,
        clock: Clock | None = None,
        on_retry: Callable[[RetryEvent], object] | None = None,
    ) -> None:
        credentials, token, base_url = (hide(credentials), hide(token), hide(base_url))
        self._adopt(
            AsyncRegistryClient(
                credentials,
                token=token,
                base_url=base_url,
                session=session,
                timeout=timeout,
                retry=retry,
                max_connections=max_connections,
                label=label,
                user_agent=user_agent,
                ssl=ssl,
                trace_configs=trace_configs,
                max_response_size=max_response_size,
                clock=clock,
                on_retry=on_retry,
            )
        )

    @property
    def registries(self) -> Registries:
        """The registries of the project."""
        return self._resource(Registries, self._async.registries)

    @property
    def repositories(self) -> Repositories:
        """The repositories of a registry."""
        return self._resource(Repositories, self._async.repositories)

    @property
    def images(self) -> Images:
        """The images of a repository."""
        return self._resource(Images, self._async.images)

    @property
    def tokens(self) -> Tokens:
        """The tokens that Docker and other clients of the registry itself log in with."""
        return self._resource(Tokens, self._async.tokens)

    @property
    def tokens_v1(self) -> TokensV1:
        """The tokens of API v1, which the service is going to remove; `tokens` has the new ones."""
        return self._resource(TokensV1, self._async.tokens_v1)

    @property
    def retention(self) -> Retention:
        """Plans that delete what nobody needs, and nothing else, and what carries them out."""
        return self._resource(Retention, self._async.retention)

    @classmethod
    def from_env(
        cls,
        *,
        base_url: str | None = None,
        session: "ClientSession | None" = None,
        timeout: "float | ClientTimeout" = DEFAULT_TIMEOUT,
        retry: RetryPolicy | None = None,
        max_connections: int = 100,
        label: str | None = None,
        user_agent: str | None = None,
        ssl: ssl.SSLContext | str | Path | None = None,
        trace_configs: "Iterable[TraceConfig]" = (),
        max_response_size: int = DEFAULT_MAX_RESPONSE_SIZE,
        clock: Clock | None = None,
        on_retry: Callable[[RetryEvent], object] | None = None,
    ) -> Self:
        """Make a client with the credentials of the environment.

        They are those of `credentials_from_env`. ``OS_CACERT`` names a file of CA certificates.

        Args:
            base_url: The URL of the service, or ``"catalog"``; ``REGISTRY_BASE_URL`` by default,
                and the provider's URL where that is unset.
            session: As for the class.
            timeout: As for the class.
            retry: As for the class.
            max_connections: As for the class.
            label: As for the class.
            user_agent: As for the class.
            ssl: As for the class; ``OS_CACERT`` by default.
            trace_configs: As for the class.
            max_response_size: As for the class.
            clock: As for the class.
            on_retry: As for the class.

        Raises:
            ConfigurationError: No set is whole; the message names what is missing.
            ValueError: An argument makes no sense.
        """
        return cls._make(
            AsyncRegistryClient.from_env,
            base_url=base_url,
            session=session,
            timeout=timeout,
            retry=retry,
            max_connections=max_connections,
            label=label,
            user_agent=user_agent,
            ssl=ssl,
            trace_configs=trace_configs,
            max_response_size=max_response_size,
            clock=clock,
            on_retry=on_retry,
        )

    @classmethod
    def from_cloud(
        cls,
        name: str,
        *,
        base_url: str | None = None,
        session: "ClientSession | None" = None,
        timeout: "float | ClientTimeout" = DEFAULT_TIMEOUT,
        retry: RetryPolicy | None = None,
        max_connections: int = 100,
        label: str | None = None,
        user_agent: str | None = None,
        ssl: ssl.SSLContext | str | Path | None = None,
        trace_configs: "Iterable[TraceConfig]" = (),
        max_response_size: int = DEFAULT_MAX_RESPONSE_SIZE,
        clock: Clock | None = None,
        on_retry: Callable[[RetryEvent], object] | None = None,
    ) -> Self:
        """Make a client with the credentials of a cloud of ``clouds.yaml`` (extra ``clouds``).

        They are those of `credentials_from_cloud`; ``cacert`` of the cloud is used, too.

        Args:
            name: The name of the cloud.
            base_url: The URL of the service, or ``"catalog"``; ``REGISTRY_BASE_URL`` by default,
                and the provider's URL where that is unset.
            session: As for the class.
            timeout: As for the class.
            retry: As for the class.
            max_connections: As for the class.
            label: As for the class.
            user_agent: As for the class.
            ssl: As for the class; the cloud's ``cacert`` by default.
            trace_configs: As for the class.
            max_response_size: As for the class.
            clock: As for the class.
            on_retry: As for the class.

        Raises:
            ConfigurationError: There is no such file or cloud, or a setting is missing or cannot be
                used; the message names file, cloud and key.
            ValueError: An argument makes no sense.
        """
        return cls._make(
            AsyncRegistryClient.from_cloud,
            name,
            base_url=base_url,
            session=session,
            timeout=timeout,
            retry=retry,
            max_connections=max_connections,
            label=label,
            user_agent=user_agent,
            ssl=ssl,
            trace_configs=trace_configs,
            max_response_size=max_response_size,
            clock=clock,
            on_retry=on_retry,
        )

    @property
    def label(self) -> str | None:
        """The name of this client in the results of scans."""
        return self._async.label

    def with_options(
        self, *, timeout: "float | ClientTimeout | None" = None, retry: RetryPolicy | None = None
    ) -> Self:
        """Return a view of this client with other options, on the same connections.

        Closing the view does nothing; closing the client closes the view.

        Args:
            timeout: The seconds for one attempt, or an ``aiohttp.ClientTimeout``; None keeps it.
            retry: When a failed request is sent again; None keeps it.

        Raises:
            ValueError: An argument makes no sense.
        """
        return self._view(self._async.with_options(timeout=timeout, retry=retry))

    def request(
        self,
        method: str,
        path: str,
        *,
        params: Mapping[str, QueryValue] | None = None,
        json: JsonValue = None,
    ) -> JsonValue:
        """Send a request that the client has no method for.

        It has the same retries, errors and redaction as all others.

        Args:
            method: The HTTP method.
            path: The path below the base URL, such as ``/v2/registries``; parameters in it are
                percent-encoded already.
            params: The query; None leaves a parameter out.
            json: The body; None sends none.

        Returns:
            The decoded answer, or None where it is empty.

        Raises:
            ValueError: An argument makes no sense.
            UnexpectedResponseError: The answer is not JSON.
            ContainerRegistryError: The request failed.
        """
        path = hide(path)
        return self._lease.run(self._async.request, method, path, params=params, json=json)

    @overload
    def scan(
        self, *, images: Literal[True] = True, **settings: Unpack[ScanSettings]
    ) -> Scan[ScannedImage]: ...

    @overload
    def scan(
        self, *, images: Literal[False], **settings: Unpack[ScanSettings]
    ) -> Scan[ScannedRepository]: ...

    def scan(
        self,
        *,
        concurrency: int = DEFAULT_CONCURRENCY,
        registries: str | Iterable[str] | None = None,
        repository: Patterns | None = None,
        images: bool = True,
        tags: Patterns | bool | None = None,
        page_size: int = DEFAULT_PAGE_SIZE,
        max_rate: float | None = None,
        on_error: Literal["record", "raise"] = "record",
        on_progress: Callable[[ScanProgress], object] | None = None,
        progress: bool = False,
    ) -> Scan[ScannedImage] | Scan[ScannedRepository]:
        """Read every image of every registry, many at once, for use with ``with``.

        Everything is given once, in no particular order. Memory does not grow with the number
        of images: a slow consumer slows the reading. A failure in one place is recorded in
        ``errors`` and the rest goes on; ``complete`` says whether everything was read.

        Args:
            concurrency: The most requests in flight at once.
            registries: The names or ids of the registries to read; all by default.
            repository: Which repositories to read: text with wildcards (``team/*``; ``*`` goes
                beyond slashes, ``?`` and ``[…]`` work as well) that fits the whole name, or a
                compiled regular expression that is found in it, or several of these.
            images: Whether images are read; with False the scan gives `ScannedRepository`.
            tags: Which images to give, by their tags: patterns as for ``repository``, of which
                one fits one tag; True for tagged images, False for untagged ones.
            page_size: The items to ask for at once, 1 or more; the service may give fewer.
            max_rate: The most requests in a second, retries included.
            on_error: ``"record"`` keeps failures in ``errors`` and goes on; ``"raise"`` ends the
                scan at the first, with the error itself.
            on_progress: Called after each page with a `ScanProgress`, on another thread. It cannot
                use the client.
            progress: Whether to show a progress bar (extra ``progress``).

        Returns:
            A scan, to be entered with ``with`` and iterated once.

        Raises:
            ValueError: An argument makes no sense.
        """
        return Scan(
            any_overload(self._async.scan)(
                concurrency=concurrency,
                registries=registries,
                repository=repository,
                images=images,
                tags=tags,
                page_size=page_size,
                max_rate=max_rate,
                on_error=on_error,
                on_progress=on_progress,
                progress=progress,
            ),
            self._lease,
        )

    def scan_report(
        self,
        *,
        concurrency: int = DEFAULT_CONCURRENCY,
        registries: str | Iterable[str] | None = None,
        repository: Patterns | None = None,
        tags: Patterns | bool | None = None,
        page_size: int = DEFAULT_PAGE_SIZE,
        max_rate: float | None = None,
        on_error: Literal["record", "raise"] = "record",
        on_progress: Callable[[ScanProgress], object] | None = None,
        progress: bool = False,
    ) -> ScanReport:
        """Read every image of every registry into totals: what is where, and what it weighs.

        The keywords are those of `RegistryClient.scan`.

        Returns:
            The report. Look at its ``complete`` and ``errors``.

        Raises:
            ValueError: An argument makes no sense.
            ContainerRegistryError: Something failed, and ``on_error`` is ``"raise"``.
        """
        return self._lease.run(
            self._async.scan_report,
            concurrency=concurrency,
            registries=registries,
            repository=repository,
            tags=tags,
            page_size=page_size,
            max_rate=max_rate,
            on_error=on_error,
            on_progress=on_progress,
            progress=progress,
        )

    def close(self) -> None:
        """Close the client's own connections; a session of yours stays open.

        It may be called twice. Requests that run are ended with `ClientClosedError`.
        """
        self._release()


class OpenProjects(BaseOpenProjects):
    """The clients of an account's projects, for use with ``with``."""

    def __enter__(self) -> tuple[RegistryClient, ...]:
        return self._entered(RegistryClient)

    def close(self) -> None:
        """Close the clients; it may be called twice."""
        self._release()


def list_projects(
    credentials: Credentials, **options: Unpack[ClientOptions]
) -> tuple[Project, ...]:
    """List the projects that a user has a role in, disabled ones included.

    They may belong to several accounts.

    Args:
        credentials: Those of a whole account: `KeystonePassword` without a project, or
            ``credentials_from_env(project=False)``.
        **options: Options of `RegistryClient`.

    Raises:
        ConfigurationError: The credentials serve no whole account.
        AuthenticationError: Keystone refused the login.
        ContainerRegistryError: The request failed otherwise.
    """
    credentials = hide(credentials)
    return run_alone(accounts.list_projects, credentials, **options)


def open_projects(
    credentials: Credentials,
    projects: str | Iterable[str] | None = None,
    **options: Unpack[ClientOptions],
) -> "OpenProjects":
    """Give one client for each project of an account, on shared connections.

    Each client is labelled with its project's name, or with ``name (id)`` where two projects have
    one name, so that ``scan(clients)`` tells them apart. There is one login for the account, and
    one token a project, which is fetched when its client first needs it: a project that refuses
    is a failure in the scan, and no end of it.

    Args:
        credentials: Those of a whole account: `KeystonePassword` without a project, or
            ``credentials_from_env(project=False)``.
        projects: Which projects: ids, or names with wildcards (``team-*``). All that are enabled
            by default.
        **options: Options of `RegistryClient`.

    Returns:
        A context manager. Entering it gives the clients; leaving it closes them.

    Raises:
        ValueError: An argument makes no sense.
        ConfigurationError: The credentials serve no whole account. Also when it is entered: a
            pattern fits no project, or only disabled ones.
    """
    credentials = hide(credentials)
    return OpenProjects(accounts.open_projects(credentials, projects, **options))


@overload
def scan(
    clients: Iterable[RegistryClient],
    *,
    images: Literal[True] = True,
    **settings: Unpack[ScanSettings],
) -> Scan[ScannedImage]: ...


@overload
def scan(
    clients: Iterable[RegistryClient], *, images: Literal[False], **settings: Unpack[ScanSettings]
) -> Scan[ScannedRepository]: ...


def scan(
    clients: Iterable[RegistryClient],
    *,
    concurrency: int = DEFAULT_CONCURRENCY,
    registries: str | Iterable[str] | None = None,
    repository: Patterns | None = None,
    images: bool = True,
    tags: Patterns | bool | None = None,
    page_size: int = DEFAULT_PAGE_SIZE,
    max_rate: float | None = None,
    on_error: Literal["record", "raise"] = "record",
    on_progress: Callable[[ScanProgress], object] | None = None,
    progress: bool = False,
) -> Scan[ScannedImage] | Scan[ScannedRepository]:
    """Read every image of several projects, a client each, within one concurrency.

    A token sees one project. Give each of the ``clients`` a ``label``: it is in the results, as
    ``client_label``. The keywords are those of `RegistryClient.scan`.

    Returns:
        A scan, to be entered with ``with`` and iterated once, or asked for a ``report()``.

    Raises:
        ValueError: An argument makes no sense, or a client is given twice, or is no such client.
    """
    every = list(clients)
    return Scan(
        any_overload(scanning.scan)(
            unwrap(every),
            concurrency=concurrency,
            registries=registries,
            repository=repository,
            images=images,
            tags=tags,
            page_size=page_size,
            max_rate=max_rate,
            on_error=on_error,
            on_progress=on_progress,
            progress=progress,
        ),
        *leases(every),
    )
