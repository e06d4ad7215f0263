"""Requests that no operation stands for: written by hand, checked and sent like all others."""

import json
from collections.abc import Mapping
from typing import TYPE_CHECKING

from registry_async._arguments import QueryValue, check_method, check_params
from registry_async._converter import encode_body
from registry_async._paths import encode_query, relative_path
from registry_async._secrets import Secret
from registry_async._transport.failures import not_json

if TYPE_CHECKING:
    from registry_async._transport.exchange import Transport
    from registry_async._transport.messages import Response

__all__ = ["JsonValue", "send_by_hand"]

JsonValue = None | bool | int | float | str | list["JsonValue"] | dict[str, "JsonValue"]


async def send_by_hand(
    transport: "Transport",
    method: str,
    path: str,
    *,
    params: Mapping[str, QueryValue] | None,
    document: JsonValue,
) -> JsonValue:
    """Send a request, and return the decoded answer, or None where it is empty.

    Args:
        transport: What sends it.
        method: The HTTP method.
        path: The path below the base URL, a secret.
        params: The query; None leaves a parameter out.
        document: What the body holds; None sends no body.

    Raises:
        ValueError: An argument makes no sense.
        UnexpectedResponseError: The answer is not JSON.
        ContainerRegistryError: The request failed.
    """
    response = await transport.send(
        check_method(method),
        Secret(relative_path(path)),
        query=encode_query(check_params(params)),
        body=None if document is None else _encode(document),
    )
    return _parse(response)


def _encode(document: JsonValue) -> bytes:
    try:
        # Once to find what is no JSON: numbers that are none, keys that are no text.
        json.dumps(document, allow_nan=False)
        return encode_body(document)
    except (TypeError, ValueError, RecursionError):
        raise ValueError("json must be what JSON can hold") from None


def _parse(response: "Response") -> JsonValue:
    if not response.body.strip():
        return None
    try:
        document: JsonValue = json.loads(response.body)
    except (ValueError, RecursionError):
        failure = not_json(response)
    else:
        return document
    # Its local variable is the whole body.
    del response
    raise failure
