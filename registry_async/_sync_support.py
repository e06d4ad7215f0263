"""What the generated sync classes stand on: each wraps its async class and a lease of the loop."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable, Iterator
from contextlib import suppress
from html import escape
from operator import length_hint
from types import TracebackType
from typing import TYPE_CHECKING, Any, Final, Generic, ParamSpec, Self, TypeVar, cast

from registry_async._converter import decode_list
from registry_async._display import html_table
from registry_async._pagination import AsyncPaginator, Page
from registry_async._portal import Cleaning, Lease
from registry_async._scan import AsyncScan
from registry_async.errors import ClientClosedError
from registry_async.models import Image

if TYPE_CHECKING:
    import pandas as pd

    from registry_async.accounts import AsyncOpenProjects
    from registry_async.client import AsyncRegistryClient

__all__ = [
    "BaseClient",
    "BaseOpenProjects",
    "BasePaginator",
    "BaseScan",
    "Facade",
    "SyncIterator",
    "any_overload",
    "leases",
    "run_alone",
    "unwrap",
]

A = TypeVar("A")
C = TypeVar("C", bound="BaseClient")
F = TypeVar("F")
P = ParamSpec("P")
S = TypeVar("S")
T = TypeVar("T")
W = TypeVar("W")

# So many rows of the first page say what a list is like.
_ROWS: Final = 50


class Facade(Generic[W]):
    """An async object under a sync face.

    Args:
        wrapped: The async object.
        lease: What runs its coroutines.
    """

    _async: W
    _lease: Lease

    def __init__(self, wrapped: W, lease: Lease) -> None:
        self._async = wrapped
        self._lease = lease

    def __repr__(self) -> str:
        # Tracebacks may show a client whose arguments were refused.
        if not hasattr(self, "_async"):
            return f"<{type(self).__name__}, not set up>"
        return repr(self._async).replace(type(self._async).__name__, type(self).__name__, 1)


class _Items(Iterator[T], Generic[S, T]):
    """The items of each step of an async iterator, one crossing of the threads a step.

    It can go on after an error or an interrupt, and several threads may take items from one:
    none is lost.

    Args:
        wrapped: The async iterator; its steps can be made by any task.
        items: Gives the items of a step.
        lease: What makes the steps.
    """

    def __init__(
        self, wrapped: AsyncIterator[S], items: Callable[[S], Iterable[T]], lease: Lease
    ) -> None:
        self._wrapped = wrapped
        self._items = items
        self._lease = lease
        self._left: Iterator[T] = iter(())
        self._turn = asyncio.Lock()

    def __next__(self) -> T:
        while True:
            # No interrupt and no other thread comes between this loop and the return.
            for item in self._left:
                return item
            if not self._lease.run(self._advance):
                raise StopIteration

    async def _advance(self) -> bool:
        # What comes is kept here, on the loop's thread: an interrupt discards a call's result.
        async with self._turn:
            # Another thread may have had the turn before.
            if length_hint(self._left):
                return True
            async for step in self._wrapped:
                self._left = iter(self._items(step))
                return True
            return False


class SyncIterator(_Items[T, T]):
    """An async iterator that is advanced from this side.

    Args:
        wrapped: The async iterator; its steps can be made by any task.
        lease: What makes the steps.
    """

    def __init__(self, wrapped: AsyncIterator[T], lease: Lease) -> None:
        super().__init__(wrapped, lambda step: (step,), lease)


class BaseClient(Facade["AsyncRegistryClient"]):
    """What the sync client does otherwise than by asking the async one."""

    _owner: bool
    _resources: dict[object, object]

    def _adopt(self, client: "AsyncRegistryClient") -> None:
        """Become the face of a client, with a lease of its own."""
        # A fork while the loop's thread imports something would leave the child with an import
        # that never ends. So what reads the answers is loaded here.
        decode_list(b"[]", Image, key=None)
        self._async = client
        self._lease = Lease(self, client.aclose)
        self._owner = True
        self._resources = {}

    def _resource(self, face: Callable[[A, Lease], F], wrapped: A) -> F:
        """Return the face of a resource, which is the same one each time."""
        if face not in self._resources:
            self._resources[face] = face(wrapped, self._lease)
        return cast(F, self._resources[face])

    @classmethod
    def _make(
        cls, maker: "Callable[P, AsyncRegistryClient]", *args: P.args, **kwargs: P.kwargs
    ) -> Self:
        """Have a class method of the async class make an instance of this one.

        It calls whichever class it has, and both take the same arguments.
        """
        function: Callable[..., Self] = getattr(maker, "__func__")  # noqa: B009 - of any callable
        return function(cls, *args, **kwargs)

    def _view(self, client: "AsyncRegistryClient") -> Self:
        """Return the face of a view, on the lease of the client that it is a view of."""
        return self._on(client, self._lease)

    @classmethod
    def _on(cls, client: "AsyncRegistryClient", lease: Lease) -> Self:
        """Return the face of a client that somebody else closes, on a lease of theirs."""
        view = cls.__new__(cls)
        view._async = client
        view._lease = lease
        view._owner = False
        view._resources = {}
        return view

    def _release(self) -> None:
        if self._owner:
            self._lease.close()

    def __enter__(self) -> Self:
        self._lease.check_open()
        return self

    def __exit__(
        self,
        exc_type: type[BaseException] | None,
        exc_value: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self._release()


class BaseOpenProjects(Facade["AsyncOpenProjects"]):
    """What the sync clients of an account's projects do otherwise than the async ones."""

    def __init__(self, wrapped: "AsyncOpenProjects") -> None:
        super().__init__(wrapped, Lease(self, wrapped.aclose))

    def _entered(self, face: type[C]) -> tuple[C, ...]:
        """Open the clients, and return their faces."""
        clients = self._lease.run(self._async.__aenter__)
        return tuple(face._on(client, self._lease) for client in clients)  # pyright: ignore[reportPrivateUsage]

    def __exit__(
        self,
        exc_type: type[BaseException] | None,
        exc_value: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self._release()

    def _release(self) -> None:
        self._lease.close()


def any_overload(function: Callable[..., object]) -> Callable[..., Any]:
    """Return a function without its overloads: the caller's own have seen to the arguments."""
    return function


def unwrap(clients: Iterable[BaseClient]) -> "list[AsyncRegistryClient]":
    """Return the async clients behind sync ones.

    Raises:
        ValueError: One is no sync client.
    """
    every = list(clients)
    if not all(isinstance(client, BaseClient) for client in every):  # pyright: ignore[reportUnnecessaryIsInstance]
        raise ValueError("clients must be sync clients; registry_async.scan() takes async ones")
    return [client._async for client in every]  # pyright: ignore[reportPrivateUsage]


def leases(clients: Iterable[BaseClient]) -> list[Lease]:
    """Return the leases of the clients.

    Raises:
        ClientClosedError: One of them is closed.
    """
    found = [client._lease for client in clients]  # pyright: ignore[reportPrivateUsage]
    for lease in found:
        lease.check_open()
    return found


class BasePaginator(Facade[AsyncPaginator[T]], Generic[T]):
    """Iteration, a page at a time, and what notebooks show."""

    def __iter__(self) -> Iterator[T]:
        return _Items(self._async.pages(), _items_of, self._lease)

    def to_dataframe(self) -> "pd.DataFrame":
        """Read the list into a data frame (extra ``pandas``).

        Returns:
            A row an item: sizes as Int64, times as UTC timestamps.

        Raises:
            ConfigurationError: The extra is not installed.
            ContainerRegistryError: As iteration does.
        """
        return self._lease.run(self._async.collect).to_dataframe()

    def _repr_html_(self) -> str:
        """Return the first page as a table. A failure is shown in its place, not raised."""
        try:
            page = next(SyncIterator(self._async.pages(), self._lease))
        except Exception as error:  # noqa: BLE001 - to show an object must not break a notebook
            return f"<pre>{escape(f'{self!r}: {type(error).__name__}: {error}')}</pre>"
        item_type = self._async._item_type  # pyright: ignore[reportPrivateUsage]
        shown = page.items[:_ROWS]
        total = "an unknown number" if page.total is None else f"{page.total:,}"
        return f"{html_table(shown, item_type)}<p>{len(shown):,} of {total}</p>"


class BaseScan(Facade[AsyncScan[T]], Iterator[T], Generic[T]):
    """Iteration, as many items at a time as came in one page."""

    def __init__(self, wrapped: AsyncScan[T], *leases: Lease) -> None:
        # A scan over no clients at all has none to run on.
        self._own = None if leases else Lease(self, _nothing)
        self._leases = leases
        super().__init__(wrapped, self._own or leases[0])
        wrapped._word = ""  # pyright: ignore[reportPrivateUsage]
        self._found: Iterator[T] = _Items(wrapped.batches(), iter, self._lease)

    def __enter__(self) -> Self:
        # All clients run on one loop. Each must know that it is used, and has to be closed there.
        for lease in self._leases:
            lease.run(_nothing)
        self._lease.run(self._async.__aenter__)
        return self

    def __exit__(
        self,
        exc_type: type[BaseException] | None,
        exc_value: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        try:
            # A client that was closed within the block has ended the scan's requests.
            with suppress(ClientClosedError):
                leave = Cleaning(self._async.__aexit__)
                self._lease.run(leave, exc_type, exc_value, traceback)
        finally:
            if self._own is not None:
                self._own.close()

    def __iter__(self) -> Self:
        return self

    def __next__(self) -> T:
        for item in self._found:
            return item
        raise StopIteration


def _items_of(page: Page[T]) -> tuple[T, ...]:
    return page.items


def run_alone(function: Callable[P, Awaitable[T]], /, *args: P.args, **kwargs: P.kwargs) -> T:
    """Run a coroutine function that belongs to no client, on a lease for this call."""
    owner = _Call()
    lease = Lease(owner, _nothing)
    try:
        return lease.run(function, *args, **kwargs)
    finally:
        lease.close()


class _Call:
    """Holds a lease while a call runs."""


async def _nothing() -> None:
    """Clean up after nothing."""
