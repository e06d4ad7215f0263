"""Offset/limit paging and reading ahead. Nothing here knows HTTP: reading a page is passed in."""

from collections.abc import AsyncIterator, Awaitable, Callable, Hashable, Iterator
from typing import TYPE_CHECKING, Final, Generic, NoReturn, TypeVar

from attrs import frozen

from registry_async._arguments import check_count
from registry_async._display import ResultList, progress_bar
from registry_async._plain import PlainData
from registry_async._tasks import Workers, iteration_safe
from registry_async.errors import UnexpectedResponseError

__all__ = ["AsyncPaginator", "Page"]

T = TypeVar("T")

DEFAULT_PAGE_SIZE: Final = 100

# Pages that collect() reads at once: enough to hide the latency of the service.
_PAGES_AT_ONCE: Final = 8


@frozen
class Page(PlainData, Generic[T]):
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
        read: Read the page at an offset with at most this many items; call it by `read_page`.
        key: What makes two items the same: the id, name or digest.
        counts: Whether the service can tell how many items the list has.
        whole: Whether one answer holds the whole list, whatever the offset.
    """

    read: Callable[[int, int], Awaitable[RawPage[T]]]
    key: Callable[[T], Hashable]
    counts: bool
    whole: bool = False


async def read_page(source: PageSource[T], offset: int, limit: int) -> RawPage[T]:
    """Read a page, and let nothing that a caller's code raises pass for the end of the list."""
    try:
        return await source.read(offset, limit)
    except StopAsyncIteration as error:
        ended = error
    raise iteration_safe(ended)


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
        keys = list(map(self._source.key, items))
        unique = frozenset(keys)
        previous = self._previous
        self._previous = (*previous[-1:], unique)
        if len(unique) == len(keys) and all(map(unique.isdisjoint, previous)):
            return items
        seen = {key for page in previous for key in page}
        fresh: list[T] = []
        for item, key in zip(items, keys, strict=True):
            if key not in seen:
                seen.add(key)
                fresh.append(item)
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


class Room:
    """Count pages that were asked for and not taken yet, over all lists that share it."""

    def __init__(self) -> None:
        self.used = 0


class Reading(Generic[T]):
    """Decide which pages of a list to ask for ahead, and in which order to take them.

    Once a page has told the total and how many items a page really has, all further pages can be
    asked for at once. They are taken in order, since repeats are found by comparing neighbours.

    Args:
        source: How the list is read.
        limit: The items to ask for at once.
        offset: The items to skip.
        most: The most items that are wanted; None for all.
        room: Where its pages are counted while they are under way.

    Attributes:
        plan: Pages asked for with the same page size belong to one plan. When a page has another
            size than planned, those asked for after it are useless, and a new plan begins.
        done: Whether there is nothing more to ask for or to take.
        whole: Whether the list was read to its end.
        total: How many items the list has, as its latest page says.
    """

    def __init__(
        self,
        source: PageSource[T],
        limit: int,
        *,
        offset: int = 0,
        most: int | None = None,
        room: Room | None = None,
    ) -> None:
        self.source = source
        self.limit = limit if most is None else min(limit, most)
        self.plan = 0
        self.done = False
        self.whole = False
        self.total: int | None = None
        self._most = most
        self._walk = Walk(source, offset)
        self._next = offset
        self._step = self.limit
        self._end = offset
        self._waiting: dict[int, RawPage[T]] = {}
        self._in_flight = 0
        self._room = Room() if room is None else room

    @property
    def ahead(self) -> int:
        """How many pages were asked for and not taken yet."""
        return self._in_flight + len(self._waiting)

    def wants(self) -> bool:
        """Say whether there is a page to ask for now."""
        return not self.done and (self._next == self._walk.offset or self._next < self._end)

    def ask(self) -> int:
        """Return the offset of the page to ask for now."""
        offset = self._next
        self._next += self._step
        self._in_flight += 1
        self._room.used += 1
        return offset

    def take(self, offset: int, plan: int, raw: RawPage[T]) -> Iterator[tuple[T, ...]]:
        """Take a page that came, and give what is new in all pages whose turn it is now.

        Raises:
            UnexpectedResponseError: The service ignores the offset, or stops before its total.
        """
        if plan != self.plan:
            self._room.used -= 1
            return
        self._in_flight -= 1
        self._waiting[offset] = raw
        while not self.done and (raw_page := self._waiting.pop(self._walk.offset, None)):
            self._room.used -= 1
            planned = self._walk.offset + self._step
            page = self._walk.feed(raw_page)
            self.total = page.total
            items = page.items
            if self._most is not None:
                items = items[: self._most]
                self._most -= len(items)
            if self._walk.done or self._most == 0:
                self.whole = self._walk.done
                self.stop()
            else:
                self._end = page.total or 0
                if self._most is not None:
                    self._end = min(self._end, self._walk.offset + self._most)
                if self._walk.offset != planned:
                    self._replan()
                    self._step = len(raw_page.items)
                    self._next = self._walk.offset
            if items:
                yield items

    def lose(self, plan: int) -> bool:
        """Note that a page did not come; say whether it was still of use.

        The pages after it are given up: they cannot be taken without it.
        """
        self._room.used -= 1
        if plan != self.plan:
            return False
        self._in_flight -= 1
        self.stop()
        return True

    def stop(self) -> None:
        """Give up all that is still to come."""
        self.done = True
        self._replan()

    def _replan(self) -> None:
        self.plan += 1
        self._in_flight = 0
        self._room.used -= len(self._waiting)
        self._waiting.clear()


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
            page = walk.feed(await read_page(self._source, walk.offset, self._page_size))
            # The empty page that marks the end is no page of the list, unless there is no other.
            first, self._begun = not self._begun, True
            if page.items or first:
                return page
        raise StopAsyncIteration


class _ItemIterator(AsyncIterator[T], Generic[T]):
    def __init__(self, pages: AsyncIterator[Page[T]]) -> None:
        self._pages = pages
        self._left: Iterator[T] = iter(())

    async def __anext__(self) -> T:
        while True:
            for item in self._left:
                return item
            self._left = iter((await anext(self._pages)).items)


class OnlyAsync:
    """Objects that say how they are used where a sync program would try other ways.

    Type checkers do not see these methods: to them the wrong way is an error already.
    """

    def _instead_of_await(self) -> str:
        """Say what to do instead of awaiting the object itself."""
        raise NotImplementedError

    if not TYPE_CHECKING:

        def __iter__(self) -> NoReturn:
            raise TypeError(
                f"{type(self).__name__} cannot be iterated with 'for': use 'async for', "
                "or the sync client (RegistryClient)"
            )

        def __await__(self) -> NoReturn:
            raise TypeError(f"{type(self).__name__} cannot be awaited: {self._instead_of_await()}")


class AsyncPaginator(OnlyAsync, Generic[T]):
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

    def _instead_of_await(self) -> str:
        return "use 'async for', or await its collect(), first() or count()"

    def pages(self) -> AsyncIterator[Page[T]]:
        """Return an iterator over the pages."""
        return _PageIterator(self._source, self._offset, self._page_size)

    async def first(self) -> T | None:
        """Return the first item, or None when there is none. It sends one request."""
        page = await read_page(self._source, self._offset, 1)
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
            smallest = await read_page(self._source, 0, 1)
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
        source = self._source
        reading = Reading(source, self._page_size, offset=self._offset, most=max_items)

        async def read_one() -> None:
            offset, plan = reading.ask(), reading.plan
            try:
                raw = await read_page(source, offset, reading.limit)
            except Exception:
                # A page may fail that is of no use any more.
                if reading.lose(plan):
                    raise
                return
            for new in reading.take(offset, plan, raw):
                items.extend(new)
            if report is not None:
                report(completed=len(items), total=reading.total)

        async def work() -> None:
            while reading.wants():
                await read_one()

        # The first page tells how many there are. Most lists have no other.
        await read_one()
        workers = Workers()
        for _ in range(_PAGES_AT_ONCE):
            if reading.wants():
                workers.start(work)
        await workers.wait()


def page_source(paginator: AsyncPaginator[T]) -> PageSource[T]:
    """Return how a list is read, for those who read many lists at once."""
    return paginator._source  # pyright: ignore[reportPrivateUsage]
