"""Logging in to Keystone: one token for all requests, fetched once, renewed in good time."""

import asyncio
import json
from collections.abc import Mapping
from copy import copy
from datetime import datetime
from logging import getLogger
from typing import TYPE_CHECKING, Final, cast
from weakref import WeakKeyDictionary

import anyio
from attrs import evolve, frozen

from registry_async._arguments import check_filled
from registry_async._clock import Clock, SystemClock
from registry_async._paths import normalize_base_url
from registry_async._secrets import Secret, header_value, hide
from registry_async._transport.authorization import Authorization, Authorizer, Send
from registry_async._transport.messages import Answer, Request
from registry_async.errors import (
    ApiError,
    AuthenticationError,
    ConfigurationError,
    ContainerRegistryError,
    UnexpectedResponseError,
)

if TYPE_CHECKING:
    from aiohttp import ClientSession

__all__ = [
    "DEFAULT_AUTH_URL",
    "KeystoneApplicationCredential",
    "KeystoneCredentials",
    "KeystonePassword",
]

DEFAULT_AUTH_URL: Final = "https://cloud.api.selcloud.ru/identity/v3"

# What Keystone names an account or a project scope by.
Domain = dict[str, str]
ProjectScope = Mapping[str, Mapping[str, "str | Domain"]]
# The scope of a token that opens no project: it lists them, and is exchanged for theirs.
UNSCOPED: Final = "unscoped"

_log = getLogger("registry_async")

# A day's token is renewed five minutes early, a shorter one a tenth of its life early.
_RENEWAL_MARGIN: Final = 300.0
_RENEWAL_SHARE: Final = 0.1
# Keystone cuts the fraction of a second off both times of a token, which then dies up to so much
# earlier than its life after the login.
_CUT_OFF: Final = 1.0
# The life assumed of a token that seems to be dead on arrival: one of the clocks is wrong.
_LIFE_UNDER_SKEW: Final = 60.0
# A refused login is not repeated at once, or every waiting request would ask again and the
# account might be locked.
_REFUSAL_PAUSE: Final = 1.0

# The types under which the catalog lists the service; both URLs lead to the same base.
_CATALOG_TYPES: Final = ("container-registry-v2", "container-registry")


def _secret_argument(value: str, argument: str) -> Secret:
    if not isinstance(value, str) or not value:  # pyright: ignore[reportUnnecessaryIsInstance]
        raise ValueError(f"{argument} must be a string that is not empty")
    return Secret(value)


@frozen
class _Login:
    """A token with the times, in seconds of the monotonic clock, at which it ages and dies."""

    authorization: Authorization
    renew_at: float
    dies_at: float

    @property
    def token(self) -> Secret:
        return self.authorization.token


class KeystoneCredentials(Authorizer):
    """What the ways of logging in to Keystone share: one token for all, fetched once, renewed."""

    def __init__(
        self,
        identity: Mapping[str, object],
        scope: ProjectScope | str | None,
        auth_url: str,
    ) -> None:
        url = normalize_auth_url(auth_url)
        self.auth_url = url
        self.ca_file: str | None = None
        self._identity = _Hidden(identity)
        self._scope = scope
        self._login: _Login | None = None
        self._failure: ContainerRegistryError | None = None
        self._failed_at = 0.0
        self._failures = 0
        self._logins = 0
        self._locks: WeakKeyDictionary[asyncio.AbstractEventLoop, anyio.Lock] = WeakKeyDictionary()

    @property
    def login_url(self) -> str:
        """Where it logs in."""
        return self.auth_url

    @property
    def serves_account(self) -> bool:
        """Whether the credentials serve a whole account, and no project of it."""
        return self._scope == UNSCOPED

    def whole_account(self) -> Authorizer:
        """Return what gives the tokens of a whole account."""
        return _WholeAccount(self)

    def __repr__(self) -> str:
        # Tracebacks may show an object whose arguments were refused.
        return f"{type(self).__name__}(***, auth_url={getattr(self, 'auth_url', None)!r})"

    def __getstate__(self) -> dict[str, object]:
        # Locks belong to event loops of this process, and a token may be dead where it arrives.
        fresh = {"_login": None, "_failure": None, "_failed_at": 0.0, "_locks": None}
        return {**vars(self), **fresh}

    def __setstate__(self, state: dict[str, object]) -> None:
        vars(self).update(state)
        self._locks = WeakKeyDictionary()

    async def get_token(self, session: "ClientSession") -> str:
        """Return a token that is valid now, logging in when there is none.

        Args:
            session: The session that sends the login, once. A client sends the logins of its
                credentials itself, with its retries.

        Raises:
            AuthenticationError: Keystone refused the login.
            ConnectionFailedError: Keystone cannot be reached.
            RequestTimeoutError: Keystone did not answer in time.
            UnexpectedResponseError: Keystone's answer is not what it documents.
        """
        # It brings aiohttp along, which whoever only makes credentials does without.
        from registry_async._transport.exchange import one_shot

        authorization = await self.authorize(one_shot(session), SystemClock())
        return authorization.token

    def invalidate(self, token: str) -> None:
        """Forget a token that the service has refused; the next request logs in anew."""
        if self._login is not None and self._login.token == token:
            self._login = None

    async def authorize(self, send: Send, clock: Clock) -> Authorization:
        """Return a valid token and the base URL that the catalog lists, if it does.

        Raises:
            ConfigurationError: The credentials serve a whole account.
        """
        if self.serves_account:
            raise ConfigurationError(
                "these credentials serve a whole account, and no project of it: name a project, or"
                " use list_projects() and open_projects()"
            )
        return await self.authorize_account(send, clock)

    async def authorize_account(self, send: Send, clock: Clock) -> Authorization:
        """Return a valid token of whatever scope, and the base URL that the catalog lists.

        However many tasks call this at once, one of them logs in and the others take what it
        got, its failure included.
        """
        login = self._fresh(clock)
        if login is None and self._lock().locked() and self._alive(clock):
            # Somebody renews it ahead of time, however long that takes: it is still good.
            login = self._login
        if login is None:
            failures_before = self._failures
            # The lock is the whole of the single flight: the task that logs in does so itself,
            # so when it is cancelled the lock goes to the next, and nothing is left running.
            async with self._lock():
                login = self._fresh(clock) or await self._renew(send, clock, failures_before)
        return login.authorization

    def _lock(self) -> anyio.Lock:
        return self._locks.setdefault(asyncio.get_running_loop(), anyio.Lock())

    def _fresh(self, clock: Clock) -> _Login | None:
        login = self._login
        return login if login is not None and clock.monotonic() < login.renew_at else None

    def _alive(self, clock: Clock) -> bool:
        return self._login is not None and clock.monotonic() < self._login.dies_at

    async def _renew(self, send: Send, clock: Clock, failures_before: int) -> _Login:
        refused = isinstance(self._failure, ApiError) and self._failure.status < 500
        pausing = refused and clock.monotonic() - self._failed_at < _REFUSAL_PAUSE
        if self._failure is not None and (self._failures != failures_before or pausing):
            raise copy(self._failure)
        old = self._login
        failure: ContainerRegistryError
        try:
            self._login = await self._ask(send, clock)
        except ContainerRegistryError as error:
            failure = error.with_traceback(None)
        else:
            self._failure = None
            return self._login
        now = clock.monotonic()
        # Unless it was refused meanwhile.
        if old is not None and old is self._login and self._alive(clock):
            _log.warning("renewing the token failed, the old one is used on: %s", failure)
            # Not every request is to try again, and to wait for what comes of it.
            pause = max(_REFUSAL_PAUSE, (old.dies_at - now) * _RENEWAL_SHARE)
            self._login = evolve(old, renew_at=now + pause)
            return old
        self._failure, self._failed_at = failure, now
        self._failures += 1
        raise copy(failure)

    async def _ask(self, send: Send, clock: Clock) -> _Login:
        return await self._log_in(self._identity.value, send, clock)

    async def _log_in(self, identity: Mapping[str, object], send: Send, clock: Clock) -> _Login:
        hidden = _Hidden(identity)
        auth: dict[str, object] = {"identity": identity}
        del identity
        if self._scope is not None:
            auth["scope"] = self._scope
        url = self.auth_url + "/auth/tokens"
        request = Request(
            method="POST",
            url=url,
            shown=url,
            body=json.dumps({"auth": auth}).encode(),
            secrets=hidden.secrets(),
            # A login changes nothing.
            repeated_as="GET",
        )
        del auth
        # The life counts from the question: how long the answer took is not known to Keystone.
        asked_at = clock.monotonic()
        login = _read_login(await send(request), url, clock, asked_at)
        self._logins += 1
        return evolve(login, authorization=evolve(login.authorization, login=self._logins))


class _Hidden:
    """Hold part of a login where neither `vars()` nor a traceback shows it."""

    def __init__(self, value: Mapping[str, object]) -> None:
        self.value = value

    def __repr__(self) -> str:
        return "***"

    def secrets(self) -> tuple[str, ...]:
        """Return the secrets inside."""
        found: list[str] = []
        pending: list[object] = [self.value]
        while pending:
            value = pending.pop()
            if isinstance(value, Secret):
                found.append(value)
            elif isinstance(value, Mapping):
                pending.extend(cast("Mapping[str, object]", value).values())
        return tuple(found)


class KeystonePassword(KeystoneCredentials):
    """Log in as a service user, with a password, to one project or to the whole account.

    Without a project the credentials serve the whole account: `list_projects` and
    `open_projects` take them, and a client refuses them.

    Args:
        username: The name of the service user, with ``account``; or give ``user_id``.
        user_id: The id of the service user.
        password: The password.
        account: The account id, which is the name of the user's domain: a number as text.
        project_name: The name of the project to work in; or give ``project_id``.
        project_id: The id of the project to work in.
        project_account: The account of the project that ``project_name`` names; the user's by
            default.
        auth_url: The base URL of Keystone v3.

    Raises:
        ValueError: An argument is empty, or arguments do not fit together.
    """

    def __init__(
        self,
        *,
        username: str | None = None,
        user_id: str | None = None,
        password: str,
        account: str | None = None,
        project_name: str | None = None,
        project_id: str | None = None,
        project_account: str | None = None,
        auth_url: str = DEFAULT_AUTH_URL,
    ) -> None:
        password, auth_url = hide(password), hide(auth_url)
        if project_name is not None and project_id is not None:
            raise ValueError("give project_name or project_id, not both")
        if project_account is not None and project_name is None:
            raise ValueError("project_account needs project_name: an id needs no account")
        user = user_of(username, user_id, account)
        scope: ProjectScope | None = None
        if project_id is not None:
            scope = {"project": {"id": check_filled(project_id, "project_id")}}
        elif project_name is not None:
            owner = account if project_account is None else project_account
            if owner is None:
                raise ValueError("project_name needs project_account, or account")
            domain: Domain = {"name": check_filled(owner, "project_account")}
            name = check_filled(project_name, "project_name")
            scope = {"project": {"name": name, "domain": domain}}
        super().__init__(*_password_login(user, password, scope), auth_url)

    @classmethod
    def of(
        cls,
        *,
        user: Mapping[str, object],
        password: str,
        scope: ProjectScope | None,
        auth_url: str,
    ) -> "KeystonePassword":
        """Return the credentials of a user as Keystone names one, by ids as well as by names."""
        made = cls.__new__(cls)
        KeystoneCredentials.__init__(made, *_password_login(user, password, scope), auth_url)
        return made


class KeystoneApplicationCredential(KeystoneCredentials):
    """Log in with an application credential, which is bound to a project of its own.

    Args:
        id: The id of the application credential; or give ``name`` and its user.
        name: The name of the application credential.
        secret: Its secret.
        username: The name of the credential's user, with ``account``.
        account: The account id of that user.
        user_id: The id of that user, in place of the two.
        auth_url: The base URL of Keystone v3.

    Raises:
        ValueError: An argument is empty, or arguments do not fit together.
    """

    def __init__(
        self,
        *,
        id: str | None = None,  # noqa: A002
        name: str | None = None,
        secret: str,
        username: str | None = None,
        account: str | None = None,
        user_id: str | None = None,
        auth_url: str = DEFAULT_AUTH_URL,
    ) -> None:
        secret, auth_url = hide(secret), hide(auth_url)
        if (id is None) == (name is None):
            raise ValueError("give exactly one of id and name")
        user = None
        if id is None:
            user = user_of(username, user_id, account)
        elif not username is account is user_id is None:
            raise ValueError("username, account and user_id go with name: an id needs no user")
        super().__init__(_credential_login(id, name, user, secret), None, auth_url)

    @classmethod
    def of(
        cls,
        *,
        id: str | None,  # noqa: A002
        name: str | None,
        user: Mapping[str, object] | None,
        secret: str,
        auth_url: str,
    ) -> "KeystoneApplicationCredential":
        """Return the credentials of a user as Keystone names one, by ids as well as by names."""
        made = cls.__new__(cls)
        identity = _credential_login(id, name, user, secret)
        KeystoneCredentials.__init__(made, identity, None, auth_url)
        return made


class KeystoneToken(KeystoneCredentials):
    """Exchange a token that somebody else fetched for one of a project, or of no project."""

    def __init__(self, token: str, scope: ProjectScope | None, auth_url: str) -> None:
        super().__init__(_token_login(token), UNSCOPED if scope is None else scope, auth_url)


class KeystoneProject(KeystoneCredentials):
    """Give tokens of one project of an account, exchanged for the account's own token.

    Args:
        account: The account's credentials, which all its projects share.
        project_id: The id of the project.
    """

    def __init__(self, account: KeystoneCredentials, project_id: str) -> None:
        super().__init__({}, {"project": {"id": project_id}}, account.auth_url)
        self.ca_file = account.ca_file
        self._account = account

    async def _ask(self, send: Send, clock: Clock) -> _Login:
        account = self._account.whole_account()
        authorization = await account.authorize(send, clock)
        try:
            return await self._log_in(_token_login(authorization.token), send, clock)
        except AuthenticationError:
            # Either the project refuses, or the account's token has died before its time.
            account.invalidate(authorization.token)
            renewed = await account.authorize(send, clock)
        return await self._log_in(_token_login(renewed.token), send, clock)


class _WholeAccount(Authorizer):
    """Gives the tokens of an account's credentials, which open no project."""

    def __init__(self, credentials: KeystoneCredentials) -> None:
        self._credentials = credentials

    @property
    def login_url(self) -> str:
        """Where it logs in."""
        return self._credentials.auth_url

    async def authorize(self, send: Send, clock: Clock) -> Authorization:
        """Return a token without a project."""
        return await self._credentials.authorize_account(send, clock)

    def invalidate(self, token: str) -> None:
        """Forget a token that Keystone has refused."""
        self._credentials.invalidate(token)


def user_of(username: str | None, user_id: str | None, account: str | None) -> Mapping[str, object]:
    """Return a user as Keystone names one.

    Raises:
        ValueError: It is named in no way, or in two.
    """
    if (username is None) == (user_id is None):
        raise ValueError("give exactly one of username and user_id")
    if user_id is not None:
        if account is not None:
            check_filled(account, "account")
        return {"id": check_filled(user_id, "user_id")}
    if account is None:
        raise ValueError("username needs account, the id of the user's account")
    domain: Domain = {"name": check_filled(account, "account")}
    return {"name": check_filled(cast("str", username), "username"), "domain": domain}


def _password_login(
    user: Mapping[str, object], password: str, scope: ProjectScope | None
) -> tuple[Mapping[str, object], ProjectScope | str]:
    named = {**user, "password": _secret_argument(password, "password")}
    # Without a scope Keystone would take the user's default project.
    return {"methods": ["password"], "password": {"user": named}}, scope or UNSCOPED


def _credential_login(
    id: str | None,  # noqa: A002
    name: str | None,
    user: Mapping[str, object] | None,
    secret: str,
) -> Mapping[str, object]:
    credential: dict[str, object] = {"secret": _secret_argument(secret, "secret")}
    if id is not None:
        credential["id"] = check_filled(id, "id")
    else:
        credential["name"] = check_filled(cast("str", name), "name")
        credential["user"] = user
    # Keystone refuses a scope here: the credential has its own.
    return {"methods": ["application_credential"], "application_credential": credential}


def _token_login(token: str) -> Mapping[str, object]:
    return {"methods": ["token"], "token": {"id": Secret(token)}}


def normalize_auth_url(url: str, argument: str = "auth_url") -> str:
    """Return the base URL of Keystone v3, given with or without the parts of its path.

    Raises:
        ValueError: It is not an absolute http or https URL.
    """
    url = normalize_base_url(url, argument).removesuffix("/auth/tokens")
    return url if url.endswith("/v3") else url + "/v3"


def _read_login(response: Answer, url: str, clock: Clock, asked_at: float) -> _Login:
    def wrong(problem: str, path: str = "") -> UnexpectedResponseError:
        return UnexpectedResponseError(problem, "POST", url, path=path, status=response.status)

    secret = _login_token(response)
    body = _entry(_entry(_parse_json(response.body)).get("token"))
    if secret is None or not body:
        raise wrong("expected an X-Subject-Token header and an object", "token")
    expires_at = _parse_time(body.get("expires_at"))
    if expires_at is None:
        raise wrong("expected a date-time", "token.expires_at")
    # Measured on Keystone's own clock where it tells its time, so that ours may be wrong.
    issued_at = _parse_time(body.get("issued_at"))
    life = expires_at - (clock.time() if issued_at is None else issued_at)
    if life <= 0:
        life = _LIFE_UNDER_SKEW
    elif issued_at is not None and issued_at.is_integer():
        life -= min(_CUT_OFF, life / 2)
    dies_at = asked_at + life
    margin = min(_RENEWAL_MARGIN, life * _RENEWAL_SHARE)
    base_url, problem = _catalog_url(body.get("catalog"))
    return _Login(Authorization(secret, base_url, problem), dies_at - margin, dies_at)


def _login_token(response: Answer) -> Secret | None:
    try:
        return header_value(response.headers.get("X-Subject-Token", ""), "the token")
    except ValueError:
        return None


def _parse_json(body: bytes) -> object:
    try:
        document: object = json.loads(body)
    except (ValueError, RecursionError):
        return None
    return document


def _entry(value: object) -> Mapping[str, object]:
    return cast("Mapping[str, object]", value) if isinstance(value, dict) else {}


def _parse_time(value: object) -> float | None:
    if not isinstance(value, str):
        return None
    try:
        moment = datetime.fromisoformat(value)
        return moment.timestamp() if moment.tzinfo is not None else None
    except (ValueError, OverflowError):
        return None


def _entries(value: object) -> list[Mapping[str, object]]:
    return [_entry(item) for item in cast("list[object]", value)] if isinstance(value, list) else []


def _catalog_url(catalog: object) -> tuple[str | None, str]:
    """Return the public URL that a catalog lists for the service, or what is wrong with it.

    A type of service may be listed several times, for several regions, but only at one URL:
    the service has no regions, so that nothing could tell which one is meant.
    """
    services = _entries(catalog)
    for service_type in _CATALOG_TYPES:
        urls = {
            url.rstrip("/")
            for service in services
            if service.get("type") == service_type
            for endpoint in _entries(service.get("endpoints"))
            if endpoint.get("interface") == "public" and isinstance(url := endpoint.get("url"), str)
        }
        if len(urls) > 1:
            return None, (
                f"the Keystone catalog lists several public endpoints of {service_type}"
                f" ({', '.join(sorted(urls))}): give the client a base_url"
            )
        if urls:
            return urls.pop(), ""
    return None, (
        "the Keystone catalog lists no public endpoint of a container registry: "
        "give the client a base_url"
    )
