"""Who asks: tokens that are given, and what the environment holds."""

from typing import TYPE_CHECKING, Protocol

from registry_async._clock import Clock
from registry_async._keystone import (
    KeystoneApplicationCredential,
    KeystonePassword,
)
from registry_async._secrets import Secret, header_value, hide
from registry_async._transport.authorization import Authorization, Authorizer, Send
from registry_async._transport.callers import CallersCode
from registry_async.errors import ConfigurationError

if TYPE_CHECKING:
    from aiohttp import ClientSession

__all__ = [
    "Credentials",
    "KeystoneApplicationCredential",
    "KeystonePassword",
    "StaticToken",
]


class Credentials(Protocol):
    """Anything that gives tokens. Objects of your own need just these two methods."""

    async def get_token(self, session: "ClientSession") -> str:
        """Return a token that is valid now.

        Args:
            session: The client's own HTTP session, for fetching one.
        """
        ...

    def invalidate(self, token: str) -> None:
        """Forget a token that the service has refused."""
        ...


class StaticToken:
    """A token that somebody else fetched and that is used as it is.

    Args:
        token: A project-scoped IAM token. Such tokens live up to 24 hours; this one is not
            renewed.

    Raises:
        ValueError: The token is empty or cannot travel in a header.
    """

    def __init__(self, token: str) -> None:
        token = hide(token)
        self._token = header_value(token, "token")

    def __repr__(self) -> str:
        return "StaticToken(***)"

    async def get_token(self, session: "ClientSession | None" = None) -> str:
        """Return the token."""
        return self._token

    def invalidate(self, token: str) -> None:
        """Do nothing: there is no other token to turn to."""


def authorizer_of(credentials: Credentials) -> Authorizer:
    """Return what the transport gets its tokens from.

    Raises:
        ValueError: These are no credentials.
    """
    if isinstance(credentials, Authorizer):
        return credentials
    if type(credentials) is StaticToken:
        return _AlwaysTheSame(credentials)
    if not hasattr(credentials, "get_token") or not hasattr(credentials, "invalidate"):
        raise ValueError("credentials must have get_token() and invalidate(); for text use token=")
    return _TokenGiver(credentials)


class _AlwaysTheSame(Authorizer):
    """Adapts a static token."""

    def __init__(self, credentials: StaticToken) -> None:
        self._credentials = credentials
        self._authorization: Authorization | None = None

    async def authorize(self, send: Send, clock: Clock) -> Authorization:
        """Return the token; a base URL is not known."""
        if self._authorization is None:
            self._authorization = Authorization(Secret(await self._credentials.get_token()))
        return self._authorization

    def invalidate(self, token: str) -> None:
        """Do nothing: there is no other token to turn to."""


class _TokenGiver(Authorizer):
    """Adapts credentials that a caller wrote, which just give tokens."""

    def __init__(self, credentials: Credentials) -> None:
        self._credentials = credentials

    async def authorize(self, send: Send, clock: Clock) -> Authorization:
        """Return a token; a base URL is not known."""
        with CallersCode("get_token()"):
            token = hide(await self._credentials.get_token(send.session))
        try:
            return Authorization(header_value(token, "what get_token() gives"))
        except ValueError as error:
            problem = str(error)
        raise ConfigurationError(problem)

    def invalidate(self, token: str) -> None:
        """Hand on that the service has refused a token."""
        with CallersCode("invalidate()"):
            self._credentials.invalidate(token)
