"""Offset/limit paging. It knows nothing of HTTP: a function that reads one page is given to it."""

from collections.abc import AsyncIterator, Awaitable, Callable, Hashable
from typing import Final, Generic, TypeVar

import anyio
from attrs import frozen

from registry_async._display import ResultList, progress_bar
from registry_async.errors import UnexpectedResponseError

__all__ = ["AsyncPaginator", "Page"]

T = TypeVar("T")

DEFAULT_PAGE_SIZE: Final = 100

# How many pages collect() reads at once: enough to hide the way to the service, few enough that
# the pages that wait for their turn stay small in memory.
_PAGES_AT_ONCE: Final = 8


@frozen
class Page(Generic[T]):
    """A page of a list.

    Attributes:
        items: The items, less those that earlier pages gave already.
        offset: How many items of the list came before it.
        total: How many items the whole list has, or matches it has under ``search``; None when
            the service does not say.
    """

    items: tuple[T, ...]
    offset: int
    total: int | None


@frozen
class RawPage(Generic[T]):
    """A page as the service gave it.

    Attributes:
        items: All its items.
        total: Where the list ends, by the service's word for just this list; None without one.
    """

    items: list[T]
    total: int | None


@frozen
class PageSource(Generic[T]):
    """How a list is read.

    Attributes:
        read: Read the page at an offset with at most so many items.
        key: What makes two items the same: the id, name or digest.
        counts: Whether the service can tell how many items the list has.
        whole: Whether one answer holds the whole list, whatever the offset.
    """

    read: Callable[[int, int], Awaitable[RawPage[T]]]
    key: Callable[[T], Hashable]
    counts: bool
    whole: bool = False


class Walk(Generic[T]):
    """Decide what to read next, and what is new in what was read. It reads nothing itself.

    The service may cap the limit, so the next offset counts the items that came; the end is
    where the latest total says, or an empty page where there is no total or it cannot be right.
    A list that changes while it is read repeats items at the seams, so each page is compared
    with the two before.
    """

    def __init__(self, source: PageSource[T], offset: int) -> None:
        self.offset = offset
        self.done = False
        self._source = source
        self._previous: tuple[frozenset[Hashable], ...] = ()
        self._previous_size = 0
        self._repeated = False
        self._start = offset
        self._given = 0

    def feed(self, page: RawPage[T]) -> Page[T]:
        """Take the page that was read at ``offset`` and return what is new in it.

        Raises:
            UnexpectedResponseError: The service ignores the offset, or stops before its total.
        """
        offset, items, total = self.offset, page.items, page.total
        if self._source.whole:
            self.done = True
            return Page(tuple(items[offset:]), offset, total)
        if not items:
            if total is not None and total > offset:
                raise UnexpectedResponseError(
                    f"the list ends at offset {offset}, before its total of {total}"
                )
            self.done = True
            return Page((), offset, total)
        self.offset = offset + len(items)
        fresh = self._new_items(items)
        self._given += len(fresh)
        # Where items came twice, others may have moved beyond the total, and a total that its
        # own page goes beyond is none: the end is an empty page then.
        complete = total is not None and self._given >= total - self._start
        self.done = complete and self.offset == total
        self._check_progress(len(items), repeated=not fresh)
        return Page(tuple(fresh), offset, total)

    def _new_items(self, items: list[T]) -> list[T]:
        key = self._source.key
        seen = {key for keys in self._previous for key in keys}
        fresh: list[T] = []
        keys: set[Hashable] = set()
        for item in items:
            identity = key(item)
            if identity not in keys and identity not in seen:
                fresh.append(item)
            keys.add(identity)
        self._previous = (*self._previous[-1:], frozenset(keys))
        return fresh

    def _check_progress(self, size: int, *, repeated: bool) -> None:
        # One item inserted before a page of one repeats all of it, and items inserted before a
        # short last page may; a full page of repeats means that every page is the same.
        full = size >= self._previous_size
        excusable = not self._repeated and not self.done and (size == 1 or not full)
        self._previous_size = max(size, self._previous_size)
        self._repeated = repeated
        if repeated and not excusable:
            raise UnexpectedResponseError(
                "the service gave the same items for another offset: it ignores paging"
            )


class _PageIterator(AsyncIterator[Page[T]], Generic[T]):
    """Read page after page. Between two pages it holds nothing that needs closing."""

    def __init__(self, source: PageSource[T], offset: int, page_size: int) -> None:
        self._source = source
        self._walk = Walk(source, offset)
        self._page_size = page_size
        self._begun = False

    async def __anext__(self) -> Page[T]:
        walk = self._walk
        while not walk.done:
            page = walk.feed(await self._source.read(walk.offset, self._page_size))
            # The empty page that marks the end is no page of the list, unless there is no other.
            first, self._begun = not self._begun, True
            if page.items or first:
                return page
        raise StopAsyncIteration


class _ItemIterator(AsyncIterator[T], Generic[T]):
    def __init__(self, pages: AsyncIterator[Page[T]]) -> None:
        self._pages = pages
        self._items: tuple[T, ...] = ()
        self._next = 0

    async def __anext__(self) -> T:
        while self._next >= len(self._items):
            page = await anext(self._pages)
            self._items, self._next = page.items, 0
        item = self._items[self._next]
        self._next += 1
        return item


class AsyncPaginator(Generic[T]):
    """A list of the service, read page by page as it is iterated.

    It sends nothing until it is iterated or asked, and starts anew each time. When the list
    changes meanwhile, items that come twice are dropped; items that move to a page that was
    read already cannot be seen. To delete what a list gives, ``collect()`` it first.
    """

    def __init__(
        self, source: PageSource[T], item_type: type[T], *, page_size: int, offset: int
    ) -> None:
        self._source = source
        self._item_type = item_type
        self._page_size = check_count(page_size, "page_size", minimum=1)
        self._offset = check_count(offset, "offset", minimum=0)

    def __repr__(self) -> str:
        name, item = type(self).__name__, self._item_type.__name__
        return f"{name}[{item}](page_size={self._page_size}, offset={self._offset})"

    def __aiter__(self) -> AsyncIterator[T]:
        return _ItemIterator(self.pages())

    def pages(self) -> AsyncIterator[Page[T]]:
        """Return an iterator over the pages."""
        return _PageIterator(self._source, self._offset, self._page_size)

    async def first(self) -> T | None:
        """Return the first item, or None when there is none. It sends one request."""
        page = await self._source.read(self._offset, 1)
        items = page.items[self._offset :] if self._source.whole else page.items
        return items[0] if items else None

    async def count(self) -> int:
        """Return how many items the list has, whatever its ``offset``; under ``search``, matches.

        It sends the smallest request that can tell. Where the service does not count (API v1,
        and filters other than ``search`` on repositories and images), it reads the list.

        Raises:
            ContainerRegistryError: As iteration does.
        """
        if self._source.counts:
            smallest = await self._source.read(0, 1)
            if smallest.total is not None and smallest.total >= len(smallest.items):
                return smallest.total
            if not smallest.items:
                return 0
        count = 0
        async for page in _PageIterator(self._source, 0, self._page_size):
            count += len(page.items)
        return count

    async def collect(
        self, *, max_items: int | None = None, progress: bool = False
    ) -> ResultList[T]:
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
        if max_items is not None:
            check_count(max_items, "max_items", minimum=0)
        items = ResultList(self._item_type)
        if max_items == 0:
            return items
        if not progress:
            await self._collect(items, max_items, None)
            return items
        with progress_bar(f"Reading {self._item_type.__name__} list") as bar:
            await self._collect(items, max_items, bar.update)
        return items

    async def _collect(
        self,
        items: ResultList[T],
        max_items: int | None,
        report: Callable[..., None] | None,
    ) -> None:
        walk = Walk(self._source, self._offset)
        limit = self._page_size if max_items is None else min(self._page_size, max_items)
        ahead: dict[int, RawPage[T]] = {}
        while not walk.done and (max_items is None or len(items) < max_items):
            raw = ahead.pop(walk.offset, None)
            if raw is None:
                # Either nothing was read ahead, or the pages came out otherwise than planned:
                # what was read from other offsets is of no use then.
                ahead.clear()
                raw = await self._source.read(walk.offset, limit)
            page = walk.feed(raw)
            items.extend(page.items)
            if report is not None:
                report(completed=len(items), total=page.total)
            if not ahead and not walk.done and page.total is not None:
                end = page.total
                if max_items is not None:
                    end = min(end, walk.offset + max_items - len(items))
                ahead = await self._read_ahead(walk.offset, end, len(raw.items), limit)
        if max_items is not None:
            del items[max_items:]

    async def _read_ahead(
        self, start: int, end: int, step: int, limit: int
    ) -> dict[int, RawPage[T]]:
        """Read the next pages at once, if the service keeps giving as many items as last time."""
        offsets = range(start, end, step)[:_PAGES_AT_ONCE]
        pages: dict[int, RawPage[T]] = {}
        failures: list[Exception] = []

        async def read(offset: int) -> None:
            try:
                pages[offset] = await self._source.read(offset, limit)
            except Exception as error:  # noqa: BLE001 - raised below, without a group around it
                failures.append(error)
                group.cancel_scope.cancel()

        async with anyio.create_task_group() as group:
            for offset in offsets:
                group.start_soon(read, offset)
        if failures:
            raise failures[0]
        return pages


def page_source(paginator: AsyncPaginator[T]) -> PageSource[T]:
    """Return how a list is read, for those who read many lists at once."""
    return paginator._source  # pyright: ignore[reportPrivateUsage]


def check_count(value: int, argument: str, *, minimum: int) -> int:
    """Return the value if it is an integer that is large enough.

    Raises:
        ValueError: It is not.
    """
    if not isinstance(value, int) or isinstance(value, bool) or value < minimum:  # pyright: ignore[reportUnnecessaryIsInstance]
        raise ValueError(f"{argument} must be an integer of at least {minimum}")
    return value
