"""What the generated sync classes stand on: each wraps its async class and a lease of the loop."""

from collections.abc import AsyncIterator, Callable, Iterable, Iterator
from html import escape
from types import TracebackType
from typing import TYPE_CHECKING, Any, Final, Generic, Self, TypeVar

from registry_async._display import html_table
from registry_async._pagination import AsyncPaginator, Page
from registry_async._portal import Lease
from registry_async._scan import AsyncScan

if TYPE_CHECKING:
    import pandas as pd

    from registry_async.client import AsyncRegistryClient

__all__ = [
    "BaseClient",
    "BasePaginator",
    "BaseScan",
    "Facade",
    "SyncIterator",
    "any_overload",
    "leases",
    "unwrap",
]

T = TypeVar("T")

# So many rows of the first page say what a list is like.
_ROWS: Final = 50
W = TypeVar("W")


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


class SyncIterator(Iterator[T]):
    """An async iterator that is advanced from this side, one crossing of the threads a step.

    Args:
        wrapped: The async iterator; its steps can be made by any task.
        lease: What runs them.
    """

    def __init__(self, wrapped: AsyncIterator[T], lease: Lease) -> None:
        self._wrapped = wrapped
        self._lease = lease

    def __next__(self) -> T:
        # In a tuple, since a step may well give None.
        step = self._lease.run(self._step)
        if step is None:
            raise StopIteration
        return step[0]

    async def _step(self) -> tuple[T] | None:
        async for item in self._wrapped:
            return (item,)
        return None


class BaseClient(Facade["AsyncRegistryClient"]):
    """What the sync client does otherwise than by asking the async one."""

    _owner: bool

    def _add_resources(self) -> None:
        raise NotImplementedError

    def _adopt(self, client: "AsyncRegistryClient") -> None:
        """Become the face of a client, with a lease of its own."""
        self._async = client
        self._lease = Lease(self, client.aclose)
        self._owner = True
        self._add_resources()

    @classmethod
    def _make(cls, client: "AsyncRegistryClient") -> Self:
        made = cls.__new__(cls)
        made._adopt(client)
        return made

    def _view(self, client: "AsyncRegistryClient") -> Self:
        """Return the face of a view, on the lease of the client that it is a view of."""
        view = type(self).__new__(type(self))
        view._async = client
        view._lease = self._lease
        view._owner = False
        view._add_resources()
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


def any_overload(function: Callable[..., object]) -> Callable[..., Any]:
    """Return a function without its overloads: the caller's own have seen to the arguments."""
    return function


def unwrap(clients: Iterable[BaseClient]) -> "list[AsyncRegistryClient]":
    """Return the async clients behind sync ones."""
    return [client._async for client in clients]  # pyright: ignore[reportPrivateUsage]


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
        pages: Iterator[Page[T]] = SyncIterator(self._async.pages(), self._lease)
        return (item for page in pages for item in page.items)

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
        self._found: Iterator[T] = iter(())
        self._pages = SyncIterator(wrapped.batches(), self._lease)

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
            self._lease.run(self._async.__aexit__, exc_type, exc_value, traceback)
        finally:
            if self._own is not None:
                self._own.close()

    def __iter__(self) -> Self:
        return self

    def __next__(self) -> T:
        while True:
            for item in self._found:
                return item
            self._found = iter(next(self._pages))


async def _nothing() -> None:
    """Clean up after nothing."""
