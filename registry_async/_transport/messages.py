"""What is sent and what comes back, as plain values."""

from collections.abc import Mapping
from types import MappingProxyType
from typing import Final

from attrs import field, frozen

from registry_async._secrets import Secret, SecretBytes

__all__ = ["Answer", "Request", "Response"]

_NO_HEADERS: Final[Mapping[str, str]] = MappingProxyType({})


def _as_secret_bytes(body: bytes | None) -> SecretBytes | None:
    return None if body is None else SecretBytes(body)


@frozen(kw_only=True)
class Request:
    """What is sent, the same in every attempt.

    Attributes:
        method: The HTTP method.
        url: The whole URL, percent-encoded.
        shown: The URL as errors and logs show it.
        body: A JSON document.
        headers: Headers besides those that every request has.
        secrets: What must not show anywhere, besides the token of the client.
        repeated_as: The method by whose rules it is repeated.
    """

    method: str
    url: Secret = field(repr=False, converter=Secret)
    shown: str
    body: SecretBytes | None = field(default=None, repr=False, converter=_as_secret_bytes)
    headers: Mapping[str, str] = field(default=_NO_HEADERS, repr=False)
    secrets: tuple[str, ...] = field(default=(), repr=False)
    repeated_as: str


@frozen
class Answer:
    """An answer as it came, of any status."""

    status: int
    headers: Mapping[str, str] = field(repr=False)
    body: bytes = field(repr=False)


@frozen
class Response:
    """A whole answer of status 200 to 299, with what errors about it name."""

    status: int
    body: bytes = field(repr=False)
    method: str
    url: str
    headers: Mapping[str, str] = field(default=_NO_HEADERS, repr=False)
    secrets: tuple[str, ...] = field(default=(), repr=False)
