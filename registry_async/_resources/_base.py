"""What the resources share: one way to call an operation, one to list, and one to change."""

from collections.abc import Awaitable, Callable, Hashable, Mapping
from enum import Enum
from functools import partial
from typing import TYPE_CHECKING, Final, Literal, TypeVar

from registry_async._arguments import QueryValue
from registry_async._converter import ListPage
from registry_async._pagination import AsyncPaginator, PageSource, RawPage
from registry_async._paths import OPERATIONS, operation_path
from registry_async._resources._calls import (
    Decoder,
    call,
    call_path,
    decode_list_response,
    decode_response,
)
from registry_async._resources._waiting import outlast_collection
from registry_async.retry import Delivery

if TYPE_CHECKING:
    from registry_async._transport.exchange import Transport
    from registry_async._transport.messages import Response

T = TypeVar("T")


class NotGiven(Enum):
    """The type of the default of arguments for which None has a meaning of its own."""

    NOT_GIVEN = "not given"

    def __repr__(self) -> str:
        return "NOT_GIVEN"


NOT_GIVEN: Final = NotGiven.NOT_GIVEN


class Resource:
    """Operations on one kind of thing.

    Args:
        transport: What sends the requests.
    """

    def __init__(self, transport: "Transport") -> None:
        self._transport = transport

    def __repr__(self) -> str:
        return f"<{type(self).__name__} of {self._transport.base_url or 'the catalog'}>"

    async def _call(
        self,
        operation_id: str,
        parameters: Mapping[str, str] | None = None,
        *,
        query: Mapping[str, QueryValue] | None = None,
        payload: Mapping[str, object] | None = None,
    ) -> "Response":
        """Send the request of an operation."""
        return await call(
            self._transport, operation_id, parameters or {}, query=query, payload=payload
        )

    async def _fetch(
        self,
        decoder: Decoder[T],
        operation_id: str,
        parameters: Mapping[str, str] | None = None,
        *,
        query: Mapping[str, QueryValue] | None = None,
        payload: Mapping[str, object] | None = None,
    ) -> T:
        """Send the request of an operation and decode the answer."""
        response = await self._call(operation_id, parameters, query=query, payload=payload)
        return decode_response(decoder, response)

    async def _fetch_all(
        self,
        decoder: Decoder[ListPage[T]],
        operation_id: str,
        parameters: Mapping[str, str],
    ) -> tuple[T, ...]:
        """Send the request of an operation that lists everything at once."""
        response = await self._call(operation_id, parameters)
        return tuple(decode_list_response(decoder, response).items)

    async def _delete(
        self,
        operation_id: str,
        parameters: Mapping[str, str],
        *,
        conflict_timeout: float = 0,
        delivery: Delivery | None = None,
    ) -> None:
        """Send a DELETE. One that finds nothing after an answer was lost has succeeded.

        Args:
            operation_id: The operation.
            parameters: The parameters of its path.
            conflict_timeout: The seconds to wait for a running garbage collection to end.
            delivery: Where it is noted that an answer was lost.
        """
        send = partial(
            call, self._transport, operation_id, parameters, delivery=delivery or Delivery()
        )
        await self._outlast_collection(parameters, send, conflict_timeout, repeatable=True)

    async def _outlast_collection(
        self,
        parameters: Mapping[str, str],
        send: Callable[[], Awaitable[T]],
        conflict_timeout: float,
        *,
        repeatable: bool,
    ) -> T:
        """Send a request that a garbage collection of its registry may refuse for a while.

        Args:
            parameters: The parameters of its path.
            send: Send it.
            conflict_timeout: The seconds to wait; with 0 the first refusal is final.
            repeatable: Whether it may be sent again after an answer that leaves open whether it
                was carried out.
        """
        registry_id = parameters.get("registry_id")
        if registry_id is None:
            return await send()
        return await outlast_collection(
            self._transport, registry_id, send, conflict_timeout, repeatable=repeatable
        )

    def _paginate(
        self,
        item_type: type[T],
        key: Callable[[T], Hashable],
        decoder: Decoder[ListPage[T]],
        operation_id: str,
        parameters: Mapping[str, str] | None = None,
        *,
        query: Mapping[str, QueryValue],
        counts: Literal["total", "filtered"] | None,
        page_size: int,
        offset: int,
        whole: bool = False,
    ) -> AsyncPaginator[T]:
        """Return a paginator over a list operation, having checked the arguments.

        Args:
            item_type: The type of the items.
            key: What makes two items the same.
            decoder: What reads an answer.
            operation_id: The operation.
            parameters: The parameters of its path.
            query: The parameters of its query, without those of paging.
            counts: Which of the service's counts says where this list ends, if any.
            page_size: The items to ask for at once.
            offset: The items to skip.
            whole: Whether the operation gives everything at once and takes no paging.
        """
        operation, parameters = OPERATIONS[operation_id], parameters or {}
        # Bad parameters are refused now, not when the first page is read.
        path = operation_path(operation, parameters)

        async def read(page_offset: int, limit: int) -> RawPage[T]:
            paging = {} if whole else {"limit": limit, "offset": page_offset}
            response = await call_path(
                self._transport, operation, path, parameters, query={**query, **paging}
            )
            page = decode_list_response(decoder, response)
            total = {"total": page.total, "filtered": page.filtered, None: None}[counts]
            return RawPage(page.items, total)

        source = PageSource(read, key, counts is not None, whole)
        return AsyncPaginator(source, item_type, page_size=page_size, offset=offset)
