"""Who asks: tokens that are given, and what the environment holds."""

from collections.abc import Mapping
from typing import TYPE_CHECKING, Protocol, cast

from registry_async._clock import Clock
from registry_async._keystone import (
    DEFAULT_AUTH_URL,
    KeystoneApplicationCredential,
    KeystonePassword,
    normalize_auth_url,
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


def credentials_from_env(environ: Mapping[str, str]) -> Credentials:
    """Return the credentials that the environment holds.

    Takes the first whole set of: ``REGISTRY_TOKEN``; ``OS_TOKEN``;
    ``OS_APPLICATION_CREDENTIAL_ID`` and ``_SECRET``; ``OS_USERNAME``, ``OS_PASSWORD``,
    ``OS_USER_DOMAIN_NAME`` (or ``OS_DOMAIN_NAME``) and ``OS_PROJECT_ID`` or ``OS_PROJECT_NAME``.
    An empty variable counts as unset. ``OS_AUTH_URL`` names another Keystone.

    Raises:
        ConfigurationError: No set is whole, or a variable cannot be used; the message names it.
    """
    known = _Environment(environ)
    # Its repr is the whole environment.
    del environ
    return known.credentials()


class _Environment:
    """Read variables, remembering under which name each value was found."""

    def __init__(self, environ: Mapping[str, str]) -> None:
        # The spaces around a password are part of it.
        self._values = {
            name: Secret(value if name == "OS_PASSWORD" else value.strip())
            for name, value in environ.items()
            if value.strip()
        }

    def credentials(self) -> Credentials:
        problem: str
        try:
            return self._choose()
        except ValueError as error:
            problem = str(error)
        raise ConfigurationError(f"the environment's credentials cannot be used: {problem}")

    def _choose(self) -> Credentials:
        get = self._values.get
        for name in ("REGISTRY_TOKEN", "OS_TOKEN"):
            if name in self._values:
                return StaticToken(header_value(self._values[name], name))
        auth_url = normalize_auth_url(get("OS_AUTH_URL", DEFAULT_AUTH_URL), "OS_AUTH_URL")
        application = {
            "OS_APPLICATION_CREDENTIAL_ID": get("OS_APPLICATION_CREDENTIAL_ID"),
            "OS_APPLICATION_CREDENTIAL_SECRET": get("OS_APPLICATION_CREDENTIAL_SECRET"),
        }
        domain = get("OS_USER_DOMAIN_NAME") or get("OS_DOMAIN_NAME")
        project_id, project_name = get("OS_PROJECT_ID"), get("OS_PROJECT_NAME")
        password = {
            "OS_USERNAME": get("OS_USERNAME"),
            "OS_PASSWORD": get("OS_PASSWORD"),
            "OS_USER_DOMAIN_NAME (or OS_DOMAIN_NAME)": domain,
            "OS_PROJECT_ID or OS_PROJECT_NAME": project_id or project_name,
        }
        if all(application.values()):
            credential_id, secret = application.values()
            return KeystoneApplicationCredential(
                id=str(credential_id), secret=cast("str", secret), auth_url=auth_url
            )
        if all(password.values()):
            return KeystonePassword(
                username=str(get("OS_USERNAME")),
                password=cast("str", get("OS_PASSWORD")),
                account=str(domain),
                project_id=str(project_id) if project_id else None,
                project_name=None if project_id else str(project_name),
                auth_url=auth_url,
            )
        raise ConfigurationError(_complaint(application, password))


def _complaint(*sets: Mapping[str, str | None]) -> str:
    begun = [
        f"{', '.join(name for name, value in one.items() if not value)} missing"
        f" beside {', '.join(name for name, value in one.items() if value)}"
        for one in sets
        if any(one.values())
    ]
    if begun:
        return "credentials are incomplete: " + "; ".join(begun)
    return (
        "no credentials: set REGISTRY_TOKEN, or OS_APPLICATION_CREDENTIAL_ID and"
        " OS_APPLICATION_CREDENTIAL_SECRET, or OS_USERNAME, OS_PASSWORD, OS_USER_DOMAIN_NAME"
        " and OS_PROJECT_ID or OS_PROJECT_NAME"
    )
