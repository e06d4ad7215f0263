"""Registries: their life, their garbage, and the clusters that pull from them."""

from functools import partial
from operator import attrgetter
from typing import Final

from registry_async._arguments import (
    ApiVersion,
    RegistrySort,
    SortDirection,
    check_api_version,
    check_choice,
    check_filled,
    check_flag,
    check_registry_name,
    check_search,
    check_sort_field,
)
from registry_async._pagination import DEFAULT_PAGE_SIZE, AsyncPaginator
from registry_async._resources._base import Resource
from registry_async._resources._calls import decoder_of, list_decoder_of
from registry_async._resources._waiting import POLL_INTERVAL, WAIT_TIMEOUT, Pauses
from registry_async.errors import (
    NotFoundError,
    RegistryNotFoundError,
    WaitFailedError,
    WaitTimeoutError,
)
from registry_async.models import (
    Cluster,
    GarbageSize,
    Registry,
    RegistrySortField,
    RegistryStatus,
    SortOrder,
)

# After this many seconds without sight of a collection, it may have come and gone between looks.
_UNSEEN_COLLECTION: Final = 10.0


class AsyncRegistries(Resource):
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
    ) -> AsyncPaginator[Registry]:
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
        version = check_api_version(api_version)
        query = {
            "search": check_search(search),
            "sort_field": check_sort_field(sort_field, RegistrySortField),
            "sort_type": check_choice(sort_type, SortOrder, "sort_type"),
        }
        return self._paginate(
            Registry,
            attrgetter("id"),
            list_decoder_of(Registry, key="registries" if version == 2 else None),
            "listRegistries" if version == 2 else "listRegistriesV1",
            query=query,
            counts="total" if version == 2 and query["search"] is None else None,
            page_size=page_size,
            offset=offset,
        )

    async def create(self, name: str, *, wait: bool = False) -> Registry:
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
        registry = await self._fetch(
            decoder_of(Registry),
            "createRegistry",
            payload={"name": check_registry_name(name)},
        )
        if wait and registry.status != RegistryStatus.ACTIVE:
            return await self.wait_until_active(registry.id)
        return registry

    async def get(self, registry_id: str) -> Registry:
        """Get a registry, with ``size_limit`` and ``used`` (operation ``getRegistry``).

        Args:
            registry_id: The id of the registry.

        Raises:
            ValueError: The id cannot be sent.
            NotFoundError: There is no such registry.
            ContainerRegistryError: The request failed otherwise.
        """
        return await self._fetch(decoder_of(Registry), "getRegistry", {"registry_id": registry_id})

    async def get_by_name(self, name: str) -> Registry:
        """Get the registry of a name (operation ``listRegistries``).

        Args:
            name: The whole name.

        Raises:
            ValueError: The name is empty or cannot be sent.
            RegistryNotFoundError: No registry has this name.
            ContainerRegistryError: The request failed otherwise.
        """
        async for registry in self.list(search=check_filled(name, "name")):
            if registry.name == name:
                return registry
        raise RegistryNotFoundError(name)

    async def delete(
        self, registry_id: str, *, wait: bool = False, conflict_timeout: float = 0
    ) -> None:
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
        await self._delete(
            "deleteRegistry", {"registry_id": registry_id}, conflict_timeout=conflict_timeout
        )
        if wait:
            await self.wait_until_deleted(registry_id)

    async def list_clusters(self, registry_id: str) -> tuple[Cluster, ...]:
        """List the clusters integrated with a registry (operation ``listClusters``).

        Args:
            registry_id: The id of the registry.

        Raises:
            ValueError: The id cannot be sent.
            NotFoundError: There is no such registry.
            ContainerRegistryError: The request failed otherwise.
        """
        return await self._fetch_all(
            list_decoder_of(Cluster, key="clusters"), "listClusters", {"registry_id": registry_id}
        )

    async def start_garbage_collection(
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
        check_flag(delete_untagged, "delete_untagged")
        parameters = {"registry_id": registry_id}
        send = partial(
            self._call,
            "startGarbageCollection",
            parameters,
            query={"delete-untagged": True if delete_untagged else None},
        )
        await self._outlast_collection(parameters, send, conflict_timeout, repeatable=False)
        if wait:
            pauses = Pauses(self._transport, WAIT_TIMEOUT, POLL_INTERVAL)
            await self._wait_for_collection(
                registry_id, pauses, WAIT_TIMEOUT, delete_untagged=delete_untagged
            )

    async def get_garbage_size(self, registry_id: str) -> GarbageSize:
        """Get the bytes that a garbage collection would free (operation ``getGarbageSize``).

        Args:
            registry_id: The id of the registry.

        Raises:
            ValueError: The id cannot be sent.
            NotFoundError: There is no such registry.
            ContainerRegistryError: The request failed otherwise.
        """
        return await self._fetch(
            decoder_of(GarbageSize), "getGarbageSize", {"registry_id": registry_id}
        )

    async def wait_until_active(
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
        pauses = Pauses(self._transport, timeout, poll_interval)
        while True:
            registry = await pauses.look(registry_id)
            if registry.status == RegistryStatus.ACTIVE:
                return registry
            _check_status(registry, RegistryStatus.ERROR, RegistryStatus.DELETING)
            if not await pauses.pause():
                raise _too_late(registry_id, "was not ACTIVE", timeout, registry)

    async def wait_until_deleted(
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
        pauses = Pauses(self._transport, timeout, poll_interval)
        while True:
            try:
                registry = await pauses.look(registry_id)
            except NotFoundError:
                return
            _check_status(registry, RegistryStatus.ERROR)
            if not await pauses.pause():
                raise _too_late(registry_id, "was not gone", timeout, registry)

    async def wait_for_garbage_collection(
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
        pauses = Pauses(self._transport, timeout, poll_interval)
        await self._wait_for_collection(registry_id, pauses, timeout, delete_untagged=False)

    async def _wait_for_collection(
        self, registry_id: str, pauses: Pauses, timeout: float, *, delete_untagged: bool
    ) -> None:
        seen = False
        while True:
            registry = await pauses.look(registry_id)
            if registry.status == RegistryStatus.GARBAGE_COLLECTION:
                seen = True
            else:
                _check_status(registry, RegistryStatus.ERROR, RegistryStatus.DELETING)
                # An ACTIVE from before the collection looks like one from after it.
                if seen or (
                    pauses.waited >= _UNSEEN_COLLECTION
                    and await self._is_clean(registry_id, delete_untagged=delete_untagged)
                ):
                    return
            if not await pauses.pause():
                state = "was still collecting garbage" if seen else "was not seen to collect"
                raise _too_late(registry_id, state, timeout, registry)

    async def _is_clean(self, registry_id: str, *, delete_untagged: bool) -> bool:
        size = await self.get_garbage_size(registry_id)
        return not size.non_referenced and not (delete_untagged and size.untagged)


def _check_status(registry: Registry, *terminal: RegistryStatus) -> None:
    if registry.status in terminal:
        raise WaitFailedError(
            f"registry {registry.id} has gone to {registry.status}", str(registry.status)
        )


def _too_late(registry_id: str, state: str, timeout: float, registry: Registry) -> WaitTimeoutError:
    return WaitTimeoutError(
        f"registry {registry_id} {state} within {timeout:g} s; its status is {registry.status}"
    )
