"""What the resources share: one way to call an operation, and one to list."""

from collections.abc import Callable, Hashable, Mapping
from enum import Enum, StrEnum
from typing import TYPE_CHECKING, Final, Literal, Protocol, TypeVar

from registry_async._converter import ListPage, decode, decode_list, encode_body
from registry_async._pagination import (
    DEFAULT_PAGE_SIZE,
    AsyncPaginator,
    PageSource,
    RawPage,
)
from registry_async._paths import (
    OPERATIONS,
    QueryValue,
    check_text,
    encode_query,
    operation_path,
)
from registry_async.errors import UnexpectedResponseError
from registry_async.retry import Delivery

if TYPE_CHECKING:
    from registry_async._transport import Response, Transport

__all__ = ["DEFAULT_PAGE_SIZE", "NOT_GIVEN", "NotGiven", "Resource"]

T = TypeVar("T")
T_co = TypeVar("T_co", covariant=True)


class NotGiven(Enum):
    """The type of the default of arguments for which None has a meaning of its own."""

    NOT_GIVEN = "not given"

    def __repr__(self) -> str:
        return "NOT_GIVEN"


NOT_GIVEN: Final = NotGiven.NOT_GIVEN


class Decoder(Protocol[T_co]):
    """A function of the converter that reads one kind of answer."""

    def __call__(self, body: bytes, *, method: str, url: str) -> T_co: ...


def decoder_of(shape: type[T]) -> Decoder[T]:
    """Return what reads an answer that is one object."""

    def read(body: bytes, *, method: str, url: str) -> T:
        return decode(body, shape, method=method, url=url)

    return read


def list_decoder_of(item: type[T], *, key: str | None) -> Decoder[ListPage[T]]:
    """Return what reads an answer of a list operation.

    Args:
        item: The model of the items, or ``str``.
        key: The name of the array on the wire; None where the answer is the array itself.
    """

    def read(body: bytes, *, method: str, url: str) -> ListPage[T]:
        return decode_list(body, item, key=key, method=method, url=url)

    return read


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
        delivery: Delivery | None = None,
    ) -> "Response":
        """Send the request of an operation."""
        operation = OPERATIONS[operation_id]
        return await self._transport.send(
            operation.method,
            operation_path(operation, parameters or {}),
            query=encode_query(query or {}),
            body=None if payload is None else encode_body(payload),
            delivery=delivery,
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
            counts: Which of the service's counts says where this very list ends, if any.
            page_size: The items to ask for at once.
            offset: The items to skip.
            whole: Whether the operation gives everything at once and takes no paging.
        """
        operation = OPERATIONS[operation_id]
        path = operation_path(operation, parameters or {})

        async def read(page_offset: int, limit: int) -> RawPage[T]:
            paging = {} if whole else {"limit": limit, "offset": page_offset}
            response = await self._transport.send(
                operation.method, path, query=encode_query({**query, **paging})
            )
            page = decode_list_response(decoder, response)
            total = {"total": page.total, "filtered": page.filtered, None: None}[counts]
            return RawPage(page.items, total)

        source = PageSource(read, key, counts is not None, whole)
        return AsyncPaginator(source, item_type, page_size=page_size, offset=offset)


def decode_response(decoder: Decoder[T], response: "Response") -> T:
    """Decode an answer, leaving the frames that hold its body out of any traceback."""
    failure: UnexpectedResponseError
    try:
        return decoder(response.body, method=response.method, url=response.url)
    except UnexpectedResponseError as error:
        failure = error.with_traceback(None)
    raise failure


def decode_list_response(decoder: Decoder[ListPage[T]], response: "Response") -> ListPage[T]:
    """Decode an answer of a list operation, which has no body where there is nothing to list."""
    if response.status == 204:
        return ListPage([], None, None)
    return decode_response(decoder, response)


def choice(value: str | None, choices: type[StrEnum], argument: str) -> str | None:
    """Return the text of one of an enum's values.

    Raises:
        ValueError: It is none of them.
    """
    if value is None:
        return None
    try:
        return choices(value).value
    except ValueError:
        allowed = ", ".join(member.value for member in choices)
    raise ValueError(f"{argument} must be one of {allowed}")


def search_text(value: str | None) -> str | None:
    """Return what to search for; an empty text is no filter.

    Raises:
        ValueError: It cannot be sent.
    """
    return None if value is None else check_text(value, "search") or None


def list_version(api_version: int) -> int:
    """Return the version of the API whose list is asked for.

    Raises:
        ValueError: It is neither 1 nor 2.
    """
    if isinstance(api_version, bool) or api_version not in (1, 2):
        raise ValueError("api_version must be 1 or 2")
    return api_version
