"""One call of an operation: from its name and parameters to a decoded answer."""

import re
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Final, TypeVar

from registry_async._arguments import QueryValue
from registry_async._converter import ListPage, decode, decode_list, encode_body
from registry_async._paths import OPERATIONS, Operation, encode_query, operation_path
from registry_async.errors import NotFoundError, UnexpectedResponseError
from registry_async.retry import Delivery

if TYPE_CHECKING:
    from registry_async._transport.exchange import Transport
    from registry_async._transport.messages import Response

T = TypeVar("T")

_UUID: Final = re.compile("[0-9a-f]{8}-?([0-9a-f]{4}-?){3}[0-9a-f]{12}", re.IGNORECASE)
# Where users have names, and the operations take ids.
_FOUND_BY_NAME: Final[Mapping[str, str]] = {
    "registry_id": "this operation takes the id of a registry, which registries.get_by_name({}).id"
    " finds",
    "token_id": "this operation takes the id of a token, which tokens.list(search={}) finds",
}


# A function of the converter that reads one kind of answer.
Decoder = Callable[[bytes], T]


def decoder_of(shape: type[T]) -> Decoder[T]:
    """Return what reads an answer that is one object."""
    return lambda body: decode(body, shape)


def list_decoder_of(item: type[T], *, key: str | None) -> Decoder[ListPage[T]]:
    """Return what reads an answer of a list operation.

    Args:
        item: The model of the items, or ``str``.
        key: The name of the array on the wire; None where the answer is the array itself.
    """
    return lambda body: decode_list(body, item, key=key)


def decode_response(decoder: Decoder[T], response: "Response") -> T:
    """Decode an answer. An error says for which request, and no frame of it holds the body."""
    try:
        return decoder(response.body)
    except UnexpectedResponseError as error:
        problem, path = error.message, error.path
    raise UnexpectedResponseError(problem, response.method, response.url, path=path)


def decode_list_response(decoder: Decoder[ListPage[T]], response: "Response") -> ListPage[T]:
    """Decode an answer of a list operation, which has no body where there is nothing to list."""
    if response.status == 204:
        return ListPage([], None, None)
    return decode_response(decoder, response)


async def call(
    transport: "Transport",
    operation_id: str,
    parameters: Mapping[str, str],
    *,
    query: Mapping[str, QueryValue] | None = None,
    payload: Mapping[str, object] | None = None,
    delivery: Delivery | None = None,
) -> "Response":
    """Send the request of an operation.

    Args:
        transport: What sends it.
        operation_id: The operation.
        parameters: The parameters of its path.
        query: The parameters of its query.
        payload: What its body holds; None sends no body.
        delivery: What earlier requests for the same change left open, if there were any.

    Raises:
        ContainerRegistryError: The request failed. A 404 says what to do if it looks as though
            a name was given where the operation takes an id.
    """
    operation = OPERATIONS[operation_id]
    return await call_path(
        transport,
        operation,
        operation_path(operation, parameters),
        parameters,
        query=query,
        payload=payload,
        delivery=delivery,
    )


async def call_path(
    transport: "Transport",
    operation: Operation,
    path: str,
    parameters: Mapping[str, str],
    *,
    query: Mapping[str, QueryValue] | None = None,
    payload: Mapping[str, object] | None = None,
    delivery: Delivery | None = None,
) -> "Response":
    """Send the request of an operation whose encoded path is known, as `call` does."""
    try:
        return await transport.send(
            operation.method,
            path,
            query=encode_query(query or {}),
            body=None if payload is None else encode_body(payload),
            delivery=delivery,
        )
    except NotFoundError as error:
        error.hint = id_hint(parameters)
        raise


def id_hint(parameters: Mapping[str, str]) -> str:
    """Return how to find the id where a name was given for one, or nothing."""
    for parameter, advice in _FOUND_BY_NAME.items():
        value = parameters.get(parameter)
        if value is not None and not _UUID.fullmatch(value):
            return advice.format(repr(value))
    return ""
