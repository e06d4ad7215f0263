"""Repositories: what a registry holds, and its bulk cleanup."""

from collections.abc import Iterable
from functools import partial
from operator import attrgetter

from registry_async._arguments import (
    ApiVersion,
    NameSort,
    RepositorySort,
    SortDirection,
    check_api_version,
    check_choice,
    check_digest,
    check_flag,
    check_search,
    check_sort_field,
    check_texts,
)
from registry_async._converter import decode_names
from registry_async._pagination import DEFAULT_PAGE_SIZE, AsyncPaginator
from registry_async._resources._base import Resource
from registry_async._resources._calls import decoder_of, list_decoder_of
from registry_async.models import CleanupResult, Repository, RepositorySortField, SortOrder


class AsyncRepositories(Resource):
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
    ) -> AsyncPaginator[Repository]:
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
        version = check_api_version(api_version)
        query = {
            "search": check_search(search),
            "sort_field": check_sort_field(sort_field, RepositorySortField),
            "sort_type": check_choice(sort_type, SortOrder, "sort_type"),
        }
        return self._paginate(
            Repository,
            attrgetter("name"),
            list_decoder_of(Repository, key="repositories" if version == 2 else None),
            "listRepositories" if version == 2 else "listRepositoriesV1",
            {"registry_id": registry_id},
            query=query,
            counts=None if version == 1 else "filtered" if query["search"] else "total",
            page_size=page_size,
            offset=offset,
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
    ) -> AsyncPaginator[str]:
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
        version = check_api_version(api_version)
        field = check_sort_field(sort_field, RepositorySortField)
        if field not in (None, RepositorySortField.NAME):
            raise ValueError("sort_field must be name: names are sorted by nothing else")
        query = {
            "search": check_search(search),
            "sort_field": field,
            "sort_type": check_choice(sort_type, SortOrder, "sort_type"),
            "short": True,
        }
        return self._paginate(
            str,
            str,
            partial(decode_names, key="repositories" if version == 2 else None),
            "listRepositories" if version == 2 else "listRepositoriesV1",
            {"registry_id": registry_id},
            query=query,
            counts=None if version == 1 else "filtered" if query["search"] else "total",
            page_size=page_size,
            offset=offset,
        )

    async def get(self, registry_id: str, repository: str) -> Repository:
        """Get a repository (operation ``getRepository``).

        Args:
            registry_id: The id of the registry.
            repository: The name of the repository.

        Raises:
            ValueError: An argument cannot be sent.
            NotFoundError: There is no such registry or repository.
            ContainerRegistryError: The request failed otherwise.
        """
        return await self._fetch(
            decoder_of(Repository),
            "getRepository",
            {"registry_id": registry_id, "repository": repository},
        )

    async def delete(
        self, registry_id: str, repository: str, *, conflict_timeout: float = 0
    ) -> None:
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
        await self._delete(
            "deleteRepository",
            {"registry_id": registry_id, "repository": repository},
            conflict_timeout=conflict_timeout,
        )

    async def cleanup(
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
        named = {"digests": check_texts(digests, "digests"), "tags": check_texts(tags, "tags")}
        for index, digest in enumerate(named["digests"]):
            check_digest(digest, f"digests[{index}]", "a tag belongs into tags=")
        payload: dict[str, object] = {name: values for name, values in named.items() if values}
        if not payload:
            raise ValueError("digests or tags must name something to remove")
        payload["disable_gc"] = check_flag(disable_gc, "disable_gc")
        parameters = {"registry_id": registry_id, "repository": repository}
        send = partial(
            self._fetch,
            decoder_of(CleanupResult),
            "cleanupRepository",
            parameters,
            payload=payload,
        )
        # A tag may have moved to another image since it was sent.
        return await self._outlast_collection(
            parameters, send, conflict_timeout, repeatable=not named["tags"]
        )

    async def list_tags(self, registry_id: str, repository: str) -> tuple[str, ...]:
        """List all tags of a repository (operation ``listTags``).

        Args:
            registry_id: The id of the registry.
            repository: The name of the repository.

        Raises:
            ValueError: An argument cannot be sent.
            NotFoundError: There is no such registry or repository.
            ContainerRegistryError: The request failed otherwise.
        """
        return await self._fetch_all(
            list_decoder_of(str, key=None),
            "listTags",
            {"registry_id": registry_id, "repository": repository},
        )
