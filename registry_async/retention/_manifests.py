"""Read manifests from a registry, over the OCI distribution API."""

import json
import os
import ssl as tls
from base64 import b64decode, b64encode
from collections.abc import Iterable, Mapping
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Final, Self, cast
from urllib.parse import quote, urlsplit

from registry_async._arguments import check_count, check_filled, check_retry, check_text
from registry_async._clock import Clock, SystemClock
from registry_async._paths import is_loopback
from registry_async._secrets import Secret, hide
from registry_async.errors import (
    AuthenticationError,
    ConfigurationError,
    NotFoundError,
    UnexpectedResponseError,
)
from registry_async.retention._oci import (
    ACCEPT,
    Challenge,
    parse_challenge,
    parse_manifest,
    parse_token,
    realm_problem,
    says_unknown,
)
from registry_async.retention._snapshot import Manifest
from registry_async.retry import RetryPolicy

if TYPE_CHECKING:
    from registry_async._transport.exchange import Transport
    from registry_async._transport.messages import Answer

__all__ = ["OciManifests"]

_HOST: Final = "cr.selcloud.ru"
_TIMEOUT: Final = 30.0
# Registries refuse manifests of more than 4 MiB; this leaves room.
_MAX_SIZE: Final = 8 * 1024 * 1024


class OciManifests:
    """Reads manifests from a registry, for ``manifests=`` of `plan` and `apply`.

    A read-only token is enough. It opens nothing before it is used; close it with ``async with``
    or `aclose`, or, beside a sync client, with ``with`` or `close`.

    Args:
        url: The URL of the registry, such as ``https://cr.selcloud.ru``.
        username: The user name, which is ``token`` for this service; None for no login.
        password: The token's secret.
        auth_hosts: Hosts besides the registry's own that the password may be sent to.
        timeout: The seconds for one attempt.
        retry: When a failed request is sent again.
        max_connections: The most requests at once.
        ssl: TLS settings, or None for the system's.
        clock: Where time and chance come from; tests give a clock of their own.

    Raises:
        ValueError: An argument makes no sense, or the password would travel in the clear.
    """

    def __init__(
        self,
        url: str,
        *,
        username: str | None = None,
        password: str | None = None,
        auth_hosts: Iterable[str] = (),
        timeout: float = _TIMEOUT,
        retry: RetryPolicy | None = None,
        max_connections: int = 16,
        ssl: tls.SSLContext | None = None,
        clock: Clock | None = None,
    ) -> None:
        password = hide(password)
        self._url = _registry_url(url)
        if (username is None) != (password is None):
            raise ValueError("username and password belong together: give both, or neither")
        self._login: Secret | None = None
        if username is not None and password is not None:
            check_filled(username, "username")
            check_filled(password, "password")
            if self._url.startswith("http://") and not is_loopback(self._url):
                raise ValueError("url is plain http: the password would travel in the clear")
            encoded = b64encode(f"{username}:{password}".encode()).decode()
            self._login = Secret(f"Basic {encoded}")
        self._password = None if password is None else Secret(password)
        if isinstance(auth_hosts, str):
            raise ValueError("auth_hosts must be a sequence of hosts, not one text")
        self._hosts = frozenset({urlsplit(self._url).hostname or "", *auth_hosts})
        self._timeout = timeout
        self._retry = RetryPolicy() if retry is None else check_retry(retry)
        self._max_connections = check_count(max_connections, "max_connections", minimum=1)
        self._tls = ssl
        self._clock = SystemClock() if clock is None else clock
        self._made: Transport | None = None
        # The logins that worked last, by repository.
        self._logins: dict[str, Secret] = {}

    @classmethod
    def from_docker_config(cls, path: str | Path | None = None, host: str = _HOST) -> Self:
        """Return one with the login that Docker's configuration has for a registry.

        Args:
            path: The file; by default that of ``DOCKER_CONFIG``, or ``~/.docker/config.json``.
            host: The host of the registry, with its port if it has one. It is spoken to over
                https, and over http on loopback alone.

        Raises:
            ConfigurationError: The file cannot be read, or has no login of use for the host.
        """
        check_filled(host, "host")
        folder = os.environ.get("DOCKER_CONFIG") or "~/.docker"
        file = Path(folder, "config.json") if path is None else Path(path)
        username, password = _docker_login(file.expanduser(), host)
        scheme = "http" if is_loopback(f"http://{host}") else "https"
        return cls(f"{scheme}://{host}", username=username, password=password)

    def __repr__(self) -> str:
        return f"<{type(self).__name__} of {self._url}>"

    async def read(self, registry: str, repository: str, reference: str) -> Manifest:
        """Return a manifest.

        Args:
            registry: The name of the registry.
            repository: The name of the repository.
            reference: A digest or a tag.

        Raises:
            KeyError: The registry says that there is none.
            ContainerRegistryError: It could not be read.
        """
        check_filled(registry, "registry")
        check_filled(reference, "reference")
        name = f"{registry}/{repository}" if repository else registry
        segments = name.split("/")
        if any(part in ("", ".", "..") for part in (*segments, reference)) or "/" in reference:
            raise ValueError("registry, repository and reference must be names")
        path = "/".join(quote(part, safe="") for part in segments)
        url = f"{self._url}/v2/{path}/manifests/{quote(reference, safe=':')}"
        missing = False
        answer: Answer | None = None
        try:
            answer = await self._get(url, name)
        except NotFoundError as error:
            # A page of a gateway, or of a wrong host, says nothing about manifests.
            if not says_unknown(error.body):
                raise
            missing = True
        if missing or answer is None:
            raise KeyError(f"{name}@{reference}")
        return parse_manifest(answer.body, answer.headers, reference, "GET", url)

    async def _get(self, url: str, name: str) -> "Answer":
        login = self._logins.get(name)
        challenge = None
        try:
            return await self._send(url, login, accept=ACCEPT)
        except AuthenticationError as error:
            challenge = parse_challenge(error.challenge)
            if challenge is None or (challenge.realm is None and self._login is None):
                raise
        if challenge.realm is None:
            login = self._login
        else:
            login = await self._token(challenge, name)
        if login is None:
            raise ConfigurationError("the registry wants a login: give username= and password=")
        answer = await self._send(url, login, accept=ACCEPT)
        self._logins[name] = login
        return answer

    async def _token(self, challenge: Challenge, name: str) -> Secret:
        problem = realm_problem(
            challenge.realm or "", self._hosts, with_password=self._login is not None
        )
        if problem is not None:
            raise ConfigurationError(problem)
        url = challenge.url(f"repository:{name}:pull")
        answer = await self._send(url, self._login, accept="application/json")
        token = parse_token(answer.body)
        del answer
        if token is None:
            raise UnexpectedResponseError("the login gave no token", "GET", url)
        return Secret(f"Bearer {token}")

    async def _send(self, url: str, login: Secret | None, *, accept: str) -> "Answer":
        from registry_async._transport.messages import Request

        headers: dict[str, str] = {"Accept": accept}
        secrets: tuple[str, ...] = ()
        if login is not None:
            headers["Authorization"] = login
            secrets = (login, Secret(login.partition(" ")[2]))
            if self._password is not None:
                secrets = (*secrets, self._password)
        request = Request(
            method="GET",
            url=Secret(url),
            shown=url,
            headers=headers,
            secrets=secrets,
            repeated_as="GET",
        )
        return await self._transport().sender()(request)

    def _transport(self) -> "Transport":
        if self._made is None:
            from registry_async._transport import exchange, sessions

            self._made = exchange.Transport(
                base_url=self._url,
                authorizer=exchange.nobody(),
                connections=sessions.Connections(None, self._max_connections, self._tls, ()),
                timeout=exchange.check_timeout(self._timeout),
                retry=self._retry,
                clock=self._clock,
                agent=exchange.user_agent(None),
                max_response_size=_MAX_SIZE,
            )
        self._made.connections.check_open()
        return self._made

    async def aclose(self) -> None:
        """Close the connections; it may be called twice."""
        await self._transport_to_close().connections.aclose()

    def close(self) -> None:
        """Close the connections from outside of their event loop; it may be called twice."""
        self._transport_to_close().connections.abandon()

    def _transport_to_close(self) -> "Transport":
        return self._made if self._made is not None else self._transport()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self,
        exc_type: type[BaseException] | None,
        exc_value: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        await self.aclose()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        exc_type: type[BaseException] | None,
        exc_value: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.close()


def _registry_url(url: str) -> str:
    check_text(url, "url")
    problem = "url must be a registry's URL without a path, such as https://cr.selcloud.ru"
    try:
        parts = urlsplit(url)
        _ = parts.port
    except ValueError:
        raise ValueError(problem) from None
    if parts.scheme not in ("http", "https") or not parts.hostname or "@" in parts.netloc:
        raise ValueError(problem)
    if parts.path.strip("/") or parts.query or parts.fragment:
        raise ValueError(problem)
    return f"{parts.scheme}://{parts.netloc}"


def _docker_login(file: Path, host: str) -> tuple[str, str]:
    """Return the user name and the password that a Docker configuration has for a host."""
    advice = f"log in with docker login {host}, or registry-async login"
    problem = f"{file} has no login for {host}: {advice}"
    try:
        document: object = json.loads(file.read_bytes())
    except FileNotFoundError:
        raise ConfigurationError(f"{file} cannot be read: there is none; {advice}") from None
    except OSError as error:
        raise ConfigurationError(f"{file} cannot be read: {error.strerror}") from None
    except (ValueError, RecursionError):
        raise ConfigurationError(f"{file} is no Docker configuration: it is not JSON") from None
    found = _mapping(document)
    entries = _mapping(found.get("auths"))
    for key, value in entries.items():
        if key.partition("://")[2].partition("/")[0] != host and key.partition("/")[0] != host:
            continue
        pair = _pair(_mapping(value))
        if pair is not None:
            return pair
    if found.get("credsStore") or found.get("credHelpers"):
        problem = (
            f"{file} leaves logins to a helper, which is not asked: give username= and password="
        )
    raise ConfigurationError(problem)


def _mapping(value: object) -> Mapping[str, object]:
    return cast("Mapping[str, object]", value) if isinstance(value, dict) else {}


def _pair(login: Mapping[str, object]) -> tuple[str, str] | None:
    username, password, auth = (login.get(name) for name in ("username", "password", "auth"))
    if isinstance(auth, str) and auth:
        try:
            username, _, password = b64decode(auth, validate=True).decode().partition(":")
        except ValueError:
            return None
    if isinstance(username, str) and isinstance(password, str) and username and password:
        return username, password.rstrip("\0")
    return None
