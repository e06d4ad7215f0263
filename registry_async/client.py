"""The async client: it puts the parts together."""

import os
import ssl
import warnings
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Final, Literal, Self, Unpack, overload

from attrs import evolve

from registry_async._arguments import (
    QueryValue,
    check_agent,
    check_count,
    check_hook,
    check_retry,
    check_text,
)
from registry_async._clock import Clock, SystemClock
from registry_async._environment import named_url, read_cloud, read_environment
from registry_async._keystone import KeystoneCredentials
from registry_async._pagination import DEFAULT_PAGE_SIZE
from registry_async._paths import CATALOG, DEFAULT_BASE_URL
from registry_async._report import ScanReport
from registry_async._resources import (
    AsyncImages,
    AsyncRegistries,
    AsyncRepositories,
    AsyncTokens,
    AsyncTokensV1,
)
from registry_async._resources.by_hand import JsonValue, send_by_hand
from registry_async._scan.options import (
    DEFAULT_CONCURRENCY,
    Patterns,
    ScanOptions,
    ScanSettings,
)
from registry_async._scan.results import ScannedImage, ScannedRepository, ScanProgress
from registry_async._scan.run import ScanTarget
from registry_async._scan.scan import AsyncScan
from registry_async._secrets import Secret, hide
from registry_async._transport.settings import service_url, tls_context
from registry_async.credentials import (
    Credentials,
    StaticToken,
    authorizer_of,
)
from registry_async.errors import ConfigurationError
from registry_async.retention._retention import AsyncRetention
from registry_async.retry import RetryEvent, RetryPolicy

if TYPE_CHECKING:
    from aiohttp import ClientSession, ClientTimeout, TraceConfig

__all__ = ["AsyncRegistryClient"]

DEFAULT_TIMEOUT: Final = 30.0
DEFAULT_MAX_RESPONSE_SIZE: Final = 64 * 1024 * 1024


class AsyncRegistryClient:
    """A client of the Container Registry management API, for use with ``async with``.

    It opens nothing before it is used. One client may be used by many tasks at once, and in one
    event loop after the other.

    Args:
        credentials: Who gives the IAM tokens; `Credentials` says what is needed of it.
        token: Short for ``credentials=StaticToken(token)``.
        base_url: The URL of the service, or ``"catalog"`` for the one that the Keystone catalog
            lists.
        session: A session of yours, which is used with all its settings and never closed. The
            client makes one of its own otherwise, with the proxies of the environment.
        timeout: The seconds for one attempt, from sending to the last byte, or an
            ``aiohttp.ClientTimeout``.
        retry: When a failed request is sent again.
        max_connections: The most requests at once; more wait their turn without time limit.
        label: A name for this client in the results of scans.
        user_agent: The name of your application, put before our own in the User-Agent header.
        ssl: TLS settings, or the path of a file with CA certificates to trust besides the
            system's.
        trace_configs: aiohttp's own hooks for traces and metrics, for sessions that the client
            makes; a session of yours has its own. They see requests as they are, tokens included.
        max_response_size: The most bytes of one answer, once it is decompressed.
        clock: Where time and chance come from; tests give a clock of their own.
        on_retry: Called with a `RetryEvent` before each repeat of a request: what is repeated,
            why, and after how long. Requests wait for it, so it must be quick.

    Raises:
        ValueError: An argument makes no sense.
        ConfigurationError: Neither credentials nor a token is given, or ``"catalog"`` is asked
            of credentials that know none.
    """

    def __init__(
        self,
        credentials: Credentials | None = None,
        *,
        token: str | None = None,
        base_url: str = DEFAULT_BASE_URL,
        session: "ClientSession | None" = None,
        timeout: "float | ClientTimeout" = DEFAULT_TIMEOUT,
        retry: RetryPolicy | None = None,
        max_connections: int = 100,
        label: str | None = None,
        user_agent: str | None = None,
        ssl: ssl.SSLContext | str | Path | None = None,
        trace_configs: "Iterable[TraceConfig]" = (),
        max_response_size: int = DEFAULT_MAX_RESPONSE_SIZE,
        clock: Clock | None = None,
        on_retry: Callable[[RetryEvent], object] | None = None,
    ) -> None:
        # A token in the place of the credentials is a mistake, and a secret all the same.
        token, credentials, base_url = hide(token), hide(credentials), hide(base_url)
        # aiohttp is most of what there is to import: whoever only wants the models, or the
        # command's help, does not wait for it.
        from registry_async._transport import exchange, sessions

        if credentials is not None and token is not None:
            raise ValueError("give credentials or a token, not both")
        if credentials is None:
            if token is None:
                raise ConfigurationError(
                    "no credentials: give credentials=… or token=…, or use from_env()"
                )
            credentials = StaticToken(token)
        authorizer = authorizer_of(credentials)
        if ssl is None and session is None and isinstance(authorizer, KeystoneCredentials):
            ssl = authorizer.ca_file
        self._label = None if label is None else check_text(label, "label")
        self._transport = exchange.Transport(
            base_url=service_url(base_url, authorizer),
            authorizer=authorizer,
            connections=sessions.Connections(
                session,
                check_count(max_connections, "max_connections", minimum=1),
                tls_context(ssl),
                trace_configs,
            ),
            timeout=exchange.check_timeout(timeout),
            retry=RetryPolicy() if retry is None else check_retry(retry),
            clock=SystemClock() if clock is None else clock,
            agent=exchange.user_agent(None if user_agent is None else check_agent(user_agent)),
            max_response_size=check_count(max_response_size, "max_response_size", minimum=1),
            on_retry=check_hook(on_retry),
        )
        self._owner = True
        self._viewed: AsyncRegistryClient | None = None
        self._add_resources()

    def _add_resources(self) -> None:
        self._registries = AsyncRegistries(self._transport)
        self._repositories = AsyncRepositories(self._transport)
        self._images = AsyncImages(self._transport)
        self._tokens = AsyncTokens(self._transport)
        self._tokens_v1 = AsyncTokensV1(self._transport)

    @property
    def registries(self) -> AsyncRegistries:
        """The registries of the project."""
        return self._registries

    @property
    def repositories(self) -> AsyncRepositories:
        """The repositories of a registry."""
        return self._repositories

    @property
    def images(self) -> AsyncImages:
        """The images of a repository."""
        return self._images

    @property
    def tokens(self) -> AsyncTokens:
        """The tokens that Docker and other clients of the registry itself log in with."""
        return self._tokens

    @property
    def tokens_v1(self) -> AsyncTokensV1:
        """The tokens of API v1, which the service is going to remove; `tokens` has the new ones."""
        return self._tokens_v1

    @property
    def retention(self) -> AsyncRetention:
        """Plans that delete what nobody needs, and nothing else, and what carries them out."""
        # Made when it is asked for: kept, it would keep an unclosed client from being collected.
        base_url = self._transport.base_url or CATALOG
        return AsyncRetention(self, base_url, self._label, self._transport.clock)

    @classmethod
    def from_env(
        cls,
        *,
        base_url: str | None = None,
        session: "ClientSession | None" = None,
        timeout: "float | ClientTimeout" = DEFAULT_TIMEOUT,
        retry: RetryPolicy | None = None,
        max_connections: int = 100,
        label: str | None = None,
        user_agent: str | None = None,
        ssl: ssl.SSLContext | str | Path | None = None,
        trace_configs: "Iterable[TraceConfig]" = (),
        max_response_size: int = DEFAULT_MAX_RESPONSE_SIZE,
        clock: Clock | None = None,
        on_retry: Callable[[RetryEvent], object] | None = None,
    ) -> Self:
        """Make a client with the credentials of the environment.

        They are those of `credentials_from_env`. ``OS_CACERT`` names a file of CA certificates.

        Args:
            base_url: The URL of the service, or ``"catalog"``; ``REGISTRY_BASE_URL`` by default,
                and the provider's URL where that is unset.
            session: As for the class.
            timeout: As for the class.
            retry: As for the class.
            max_connections: As for the class.
            label: As for the class.
            user_agent: As for the class.
            ssl: As for the class; ``OS_CACERT`` by default.
            trace_configs: As for the class.
            max_response_size: As for the class.
            clock: As for the class.
            on_retry: As for the class.

        Raises:
            ConfigurationError: No set is whole; the message names what is missing.
            ValueError: An argument makes no sense.
        """
        found = read_environment(os.environ)
        if ssl is None and session is None:
            ssl = found.ca_file
        return cls(
            found.credentials,
            base_url=named_url(hide(base_url)),
            session=session,
            timeout=timeout,
            retry=retry,
            max_connections=max_connections,
            label=label,
            user_agent=user_agent,
            ssl=ssl,
            trace_configs=trace_configs,
            max_response_size=max_response_size,
            clock=clock,
            on_retry=on_retry,
        )

    @classmethod
    def from_cloud(
        cls,
        name: str,
        *,
        base_url: str | None = None,
        session: "ClientSession | None" = None,
        timeout: "float | ClientTimeout" = DEFAULT_TIMEOUT,
        retry: RetryPolicy | None = None,
        max_connections: int = 100,
        label: str | None = None,
        user_agent: str | None = None,
        ssl: ssl.SSLContext | str | Path | None = None,
        trace_configs: "Iterable[TraceConfig]" = (),
        max_response_size: int = DEFAULT_MAX_RESPONSE_SIZE,
        clock: Clock | None = None,
        on_retry: Callable[[RetryEvent], object] | None = None,
    ) -> Self:
        """Make a client with the credentials of a cloud of ``clouds.yaml`` (extra ``clouds``).

        They are those of `credentials_from_cloud`; ``cacert`` of the cloud is used, too.

        Args:
            name: The name of the cloud.
            base_url: The URL of the service, or ``"catalog"``; ``REGISTRY_BASE_URL`` by default,
                and the provider's URL where that is unset.
            session: As for the class.
            timeout: As for the class.
            retry: As for the class.
            max_connections: As for the class.
            label: As for the class.
            user_agent: As for the class.
            ssl: As for the class; the cloud's ``cacert`` by default.
            trace_configs: As for the class.
            max_response_size: As for the class.
            clock: As for the class.
            on_retry: As for the class.

        Raises:
            ConfigurationError: There is no such file or cloud, or a setting is missing or cannot be
                used; the message names file, cloud and key.
            ValueError: An argument makes no sense.
        """
        found = read_cloud(name, os.environ)
        if ssl is None and session is None:
            ssl = found.ca_file
        return cls(
            found.credentials,
            base_url=named_url(hide(base_url)),
            session=session,
            timeout=timeout,
            retry=retry,
            max_connections=max_connections,
            label=label,
            user_agent=user_agent,
            ssl=ssl,
            trace_configs=trace_configs,
            max_response_size=max_response_size,
            clock=clock,
            on_retry=on_retry,
        )

    def _for_project(self, credentials: Credentials, label: str) -> Self:
        """Return a view with other credentials, on the same connections."""
        view = self.with_options()
        view._label = label
        view._transport = evolve(view._transport, authorizer=authorizer_of(credentials))
        view._add_resources()
        return view

    def __repr__(self) -> str:
        # Tracebacks may show a client whose arguments were refused.
        if not hasattr(self, "_transport"):
            return f"<{type(self).__name__}, not set up>"
        label = f" {self._label!r}" if self._label is not None else ""
        return f"<{type(self).__name__}{label} of {self._transport.base_url or 'the catalog'}>"

    @property
    def label(self) -> str | None:
        """The name of this client in the results of scans."""
        return self._label

    def with_options(
        self, *, timeout: "float | ClientTimeout | None" = None, retry: RetryPolicy | None = None
    ) -> Self:
        """Return a view of this client with other options, on the same connections.

        Closing the view does nothing; closing the client closes the view.

        Args:
            timeout: The seconds for one attempt, or an ``aiohttp.ClientTimeout``; None keeps it.
            retry: When a failed request is sent again; None keeps it.

        Raises:
            ValueError: An argument makes no sense.
        """
        view = type(self).__new__(type(self))
        view._label = self._label
        view._owner = False
        # The owner closes the connections when it is collected, so a view keeps it.
        view._viewed = self
        view._transport = self._transport.with_options(
            timeout, None if retry is None else check_retry(retry)
        )
        view._add_resources()
        return view

    async def request(
        self,
        method: str,
        path: str,
        *,
        params: Mapping[str, QueryValue] | None = None,
        json: JsonValue = None,
    ) -> JsonValue:
        """Send a request that the client has no method for.

        It has the same retries, errors and redaction as all others.

        Args:
            method: The HTTP method.
            path: The path below the base URL, such as ``/v2/registries``; parameters in it are
                percent-encoded already.
            params: The query; None leaves a parameter out.
            json: The body; None sends none.

        Returns:
            The decoded answer, or None where it is empty.

        Raises:
            ValueError: An argument makes no sense.
            UnexpectedResponseError: The answer is not JSON.
            ContainerRegistryError: The request failed.
        """
        # Tokens of API v1 are part of the path.
        path = Secret(path) if isinstance(path, str) else path  # pyright: ignore[reportUnnecessaryIsInstance]
        return await send_by_hand(self._transport, method, path, params=params, document=json)

    @overload
    def scan(
        self,
        *,
        images: Literal[True] = True,
        **settings: Unpack[ScanSettings],
    ) -> AsyncScan[ScannedImage]: ...

    @overload
    def scan(
        self,
        *,
        images: Literal[False],
        **settings: Unpack[ScanSettings],
    ) -> AsyncScan[ScannedRepository]: ...

    def scan(
        self,
        *,
        concurrency: int = DEFAULT_CONCURRENCY,
        registries: str | Iterable[str] | None = None,
        repository: Patterns | None = None,
        images: bool = True,
        tags: Patterns | bool | None = None,
        page_size: int = DEFAULT_PAGE_SIZE,
        max_rate: float | None = None,
        on_error: Literal["record", "raise"] = "record",
        on_progress: Callable[[ScanProgress], object] | None = None,
        progress: bool = False,
    ) -> AsyncScan[ScannedImage] | AsyncScan[ScannedRepository]:
        """Read every image of every registry, many at once, for use with ``async with``.

        Everything is given once, in no particular order. Memory does not grow with the number
        of images: a slow consumer slows the reading. A failure in one place is recorded in
        ``errors`` and the rest goes on; ``complete`` says whether everything was read.

        Args:
            concurrency: The most requests in flight at once.
            registries: The names or ids of the registries to read; all by default.
            repository: Which repositories to read: text with wildcards (``team/*``; ``*`` goes
                beyond slashes, ``?`` and ``[…]`` work as well) that fits the whole name, or a
                compiled regular expression that is found in it, or several of these.
            images: Whether images are read; with False the scan gives `ScannedRepository`.
            tags: Which images to give, by their tags: patterns as for ``repository``, of which
                one fits one tag; True for tagged images, False for untagged ones.
            page_size: The items to ask for at once, 1 or more; the service may give fewer.
            max_rate: The most requests in a second, retries included.
            on_error: ``"record"`` keeps failures in ``errors`` and goes on; ``"raise"`` ends the
                scan at the first, with the error itself.
            on_progress: Called after each page with a `ScanProgress`.
            progress: Whether to show a progress bar (extra ``progress``).

        Returns:
            A scan, to be entered with ``async with`` and iterated once.

        Raises:
            ValueError: An argument makes no sense.
        """
        options = ScanOptions.check(
            concurrency=concurrency,
            registries=registries,
            repository=repository,
            images=images,
            tags=tags,
            page_size=page_size,
            max_rate=max_rate,
            on_error=on_error,
            on_progress=on_progress,
            progress=progress,
        )
        return AsyncScan([self._scan_target()], options)

    async def scan_report(
        self,
        *,
        concurrency: int = DEFAULT_CONCURRENCY,
        registries: str | Iterable[str] | None = None,
        repository: Patterns | None = None,
        tags: Patterns | bool | None = None,
        page_size: int = DEFAULT_PAGE_SIZE,
        max_rate: float | None = None,
        on_error: Literal["record", "raise"] = "record",
        on_progress: Callable[[ScanProgress], object] | None = None,
        progress: bool = False,
    ) -> ScanReport:
        """Read every image of every registry into totals: what is where, and what it weighs.

        The keywords are those of `AsyncRegistryClient.scan`.

        Returns:
            The report. Look at its ``complete`` and ``errors``.

        Raises:
            ValueError: An argument makes no sense.
            ContainerRegistryError: Something failed, and ``on_error`` is ``"raise"``.
        """
        options = ScanOptions.check(
            concurrency=concurrency,
            registries=registries,
            repository=repository,
            images=True,
            tags=tags,
            page_size=page_size,
            max_rate=max_rate,
            on_error=on_error,
            on_progress=on_progress,
            progress=progress,
        )
        async with AsyncScan[ScannedImage]([self._scan_target()], options) as scan:
            return await scan.report()

    def _scan_target(self) -> ScanTarget:
        return ScanTarget(self._label, self._transport)

    async def aclose(self) -> None:
        """Close the client's own connections; a session of yours stays open.

        It may be called twice. Requests that run are ended with `ClientClosedError`.
        """
        if self._owner:
            await self._transport.connections.aclose()

    async def __aenter__(self) -> Self:
        self._transport.connections.check_open()
        return self

    async def __aexit__(
        self,
        exc_type: type[BaseException] | None,
        exc_value: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        await self.aclose()

    def __del__(self) -> None:
        # A constructor that refused its arguments leaves nothing to close.
        transport = getattr(self, "_transport", None)
        if transport is not None and self._owner and transport.connections.opened:
            # First of all: where warnings are errors, nothing comes after the warning.
            transport.connections.abandon()
            warnings.warn(
                f"unclosed {type(self).__name__}: use 'async with' or aclose()",
                ResourceWarning,
                source=self,
                stacklevel=2,
            )
