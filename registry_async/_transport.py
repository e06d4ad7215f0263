"""The one module that sends: connections, attempts, time limits, and what failures mean."""

import asyncio
import ssl
import sys
import warnings
from collections.abc import AsyncGenerator, Iterable, Mapping, Sequence
from contextlib import nullcontext, suppress
from logging import getLogger
from typing import Final
from urllib.parse import unquote, urlsplit
from urllib.request import getproxies, proxy_bypass

import aiohttp
import anyio
from aiohttp.connector import Connection
from attrs import evolve, field, frozen
from yarl import URL

from registry_async._clock import Clock
from registry_async._failures import api_error
from registry_async._paths import is_loopback, normalize_base_url
from registry_async._secrets import REDACTED, Secret, SecretBytes, scrub
from registry_async._version import __version__
from registry_async.credentials import (
    Credentials,
    KeystoneCredentials,
    LoginRequest,
    LoginResponse,
)
from registry_async.errors import (
    ClientClosedError,
    ConfigurationError,
    ConnectionFailedError,
    ContainerRegistryError,
    RequestTimeoutError,
    UnexpectedResponseError,
)
from registry_async.retry import (
    Attempts,
    Delivery,
    Outcome,
    RetryBudget,
    RetryPolicy,
    SendingGate,
    parse_retry_after,
)

_log = getLogger("registry_async")

# A host that swallows the first packet is given up sooner than one that is slow to answer.
_CONNECT_TIMEOUT: Final = 10.0
# Connecting ends a little before the whole attempt would: then it is known that nothing was sent.
_CONNECT_SHARE: Final = 0.9
# After so many seconds without a finished attempt, connections may have been closed unseen.
_IDLE: Final = 0.001
# What is read of an error: enough for any message. The rest is not worth a connection.
_ERROR_BODY_READ: Final = 64 * 1024
# Tokens of API v1 are named by their secret in the path.
_TOKEN_V1_PATH: Final = "/v1/token/"


def user_agent(prefix: str | None) -> str:
    """Return the User-Agent header: the application's name first, then ours."""
    python = ".".join(str(part) for part in sys.version_info[:3])
    own = f"registry-async/{__version__} Python/{python} aiohttp/{aiohttp.__version__}"
    return f"{prefix} {own}" if prefix else own


def check_timeout(timeout: float | aiohttp.ClientTimeout) -> float | aiohttp.ClientTimeout:
    """Return a time limit that can be kept: seconds, or aiohttp's own settings.

    Raises:
        ValueError: It is neither, or no positive number.
    """
    if isinstance(timeout, aiohttp.ClientTimeout):
        return timeout
    number = isinstance(timeout, int | float) and not isinstance(timeout, bool)  # pyright: ignore[reportUnnecessaryIsInstance]
    # Also refuses nan, which compares to nothing.
    if not number or not 0 < timeout < float("inf"):
        raise ValueError("timeout must be seconds, more than 0, or an aiohttp.ClientTimeout")
    return float(timeout)


@frozen
class Response:
    """A whole answer of status 200 to 299."""

    status: int
    body: bytes = field(repr=False)
    method: str
    url: str


@frozen
class _Answer:
    """An answer as it came, of any status."""

    status: int
    headers: Mapping[str, str] = field(repr=False)
    body: bytes = field(repr=False)


@frozen
class _Failure:
    """An attempt without an answer. Without an outcome, asking again is of no use."""

    error: ContainerRegistryError
    outcome: Outcome | None = None


@frozen
class _Request:
    """What is sent, the same in every attempt.

    Attributes:
        shown: The URL as errors and logs show it.
        secrets: What must not show anywhere, besides the token of the header.
        repeatable_as: The method by whose rules it is repeated.
    """

    method: str
    url: str = field(repr=False)
    shown: str
    body: SecretBytes | None = field(repr=False)
    secrets: tuple[str, ...] = field(repr=False)
    repeatable_as: str


class _BrokenError(Exception):
    """Leaves aiohttp's request with what broke it, around its own silent repetition."""

    def __init__(self, reason: str) -> None:
        super().__init__(reason)
        self.reason = reason


async def _send_once(
    request: aiohttp.ClientRequest, handler: aiohttp.ClientHandlerType
) -> aiohttp.ClientResponse:
    """Keep aiohttp from sending a request again by itself.

    It repeats idempotent requests once after a dropped connection, unseen: a DELETE that was
    carried out would then answer 404 to what looks like the first attempt.
    """
    reason: str
    try:
        return await handler(request)
    except aiohttp.ClientConnectorError:
        raise
    except (aiohttp.ClientOSError, aiohttp.ServerDisconnectedError) as error:
        reason = _describe(error)
    raise _BrokenError(reason)


async def _close_with_loop(
    session: aiohttp.ClientSession, reading: set[aiohttp.ClientResponse]
) -> AsyncGenerator[None]:
    """Close the session when this generator is closed, as event loops do when they end."""
    try:
        yield
    finally:
        # The session's end alone would leave whoever reads a body waiting until its time is up.
        for response in reading:
            response.close()
        await session.close()


class _Local:
    """The session and the places in its pool, which belong to one event loop."""

    def __init__(
        self,
        session: aiohttp.ClientSession,
        places: int,
        closing: AsyncGenerator[None] | None = None,
        reading: set[aiohttp.ClientResponse] | None = None,
    ) -> None:
        self.session = session
        self.reading = set[aiohttp.ClientResponse]() if reading is None else reading
        self.closing = closing
        # Attempts let other tasks run anyway, so that getting a free place need not.
        self.places = anyio.Semaphore(places, fast_acquire=True)
        self._loop = asyncio.get_running_loop()
        self._used_at = self._loop.time()
        self._proxies: dict[str, str | None] = {}

    def note_use(self) -> None:
        """Remember that an attempt ended, and the event loop is turning."""
        self._used_at = self._loop.time()

    async def notice_closed(self) -> None:
        """Let the event loop see connections that were closed while it was busy or idle.

        The pool does not hand these out then. It takes one turn to poll and one to act on it;
        TLS and what a server says before it closes take more.
        """
        idle = self._loop.time() - self._used_at > _IDLE
        for _ in range(6 if idle else 2):
            await asyncio.sleep(0)

    def proxy(self, url: str) -> str | None:
        """Return the proxy that the environment names for a URL.

        aiohttp's own way (``trust_env``) would also read passwords from netrc.
        """
        origin = "/".join(url.split("/", 3)[:3])
        if origin not in self._proxies:
            parts = urlsplit(origin)
            proxy = getproxies().get(parts.scheme)
            used = proxy and not proxy_bypass(parts.netloc)
            self._proxies[origin] = _proxy_url(proxy) if proxy and used else None
        return self._proxies[origin]


def _proxy_url(proxy: str) -> Secret:
    # Without a scheme it is written for curl, which takes it as http.
    url = Secret(proxy if "://" in proxy else f"http://{proxy}")
    del proxy
    if not _is_proxy_url(url):
        raise ConfigurationError(
            "the proxy of the environment must be an http:// or https:// URL with a host"
        )
    return url


def _is_proxy_url(url: str) -> bool:
    try:
        parts = urlsplit(url)
        return parts.scheme in ("http", "https") and bool(parts.hostname) and parts.port != 0
    except ValueError:
        return False


class Connections:
    """The sessions of a client and of all views of it, one for each event loop.

    Args:
        session: The caller's session, which is used and never closed, or None for own ones.
        max_connections: The most requests at once in one event loop.
        tls: The TLS settings, or None for the system's.
        trace_configs: What own sessions tell of their requests.

    Raises:
        ValueError: The session or the hooks are none of aiohttp's, or cannot be used.
    """

    def __init__(
        self,
        session: aiohttp.ClientSession | None,
        max_connections: int,
        tls: ssl.SSLContext | None,
        trace_configs: Iterable[aiohttp.TraceConfig],
    ) -> None:
        self.budget = RetryBudget()
        self.closed = False
        self.foreign = session is not None
        self.tls: ssl.SSLContext | bool = True if tls is None else tls
        self._given = _checked_session(session)
        self._max_connections = max_connections
        self._trace_configs = _checked_traces(trace_configs, session)
        self._locals: dict[asyncio.AbstractEventLoop, _Local] = {}
        self._warned = False

    @property
    def opened(self) -> bool:
        """Whether there is a session of our own that has to be closed."""
        return any(not local.session.closed for local in self._locals.values() if local.closing)

    def check_open(self) -> None:
        """Raise `ClientClosedError` if the client was closed."""
        if self.closed:
            raise ClientClosedError("the client is closed")

    def warn_of_clear_text(self, base_url: str) -> None:
        """Warn once if a base URL that nobody saw before would show the token on its way."""
        if not self._warned and base_url.startswith("http://") and not is_loopback(base_url):
            self._warned = True
            warnings.warn(
                f"{base_url} of the Keystone catalog is plain HTTP: the token travels in the clear",
                UserWarning,
                stacklevel=2,
            )

    def local(self) -> _Local:
        """Return what belongs to the running event loop, made on first use."""
        self.check_open()
        loop = asyncio.get_running_loop()
        local = self._locals.get(loop)
        if local is None:
            self._forget_dead_loops()
            local = self._locals[loop] = self._open(loop)
        return local

    def _open(self, loop: asyncio.AbstractEventLoop) -> _Local:
        session = self._given
        if session is None:
            session = aiohttp.ClientSession(
                connector=aiohttp.TCPConnector(limit=self._max_connections),
                cookie_jar=aiohttp.DummyCookieJar(),
                trace_configs=self._trace_configs,
            )
            reading = set[aiohttp.ClientResponse]()
            closing = _close_with_loop(session, reading)
            with suppress(StopIteration):
                # A client may outlive its loop without being closed: one that is used in one
                # asyncio.run() after the other. A loop that ends closes the generators begun
                # in it, which this one now is.
                closing.__anext__().__await__().__next__()
            return _Local(session, self._max_connections, closing, reading)
        connector = session.connector
        if getattr(connector, "_loop", loop) is not loop:
            raise ConfigurationError(
                "the session given to the client belongs to another event loop"
            )
        limits = [self._max_connections]
        if connector is not None:
            # 0 stands for "no limit". Waiting here, not in the pool, keeps the wait for a
            # connection out of the time limit.
            limits += [limit for limit in (connector.limit, connector.limit_per_host) if limit]
        return _Local(session, min(limits))

    def _forget_dead_loops(self) -> None:
        # A client that is made once and used in one asyncio.run() after the other.
        for loop in [loop for loop in self._locals if loop.is_closed()]:
            _leave(self._locals.pop(loop))

    async def aclose(self) -> None:
        """Close the sessions of our own."""
        self.closed = True
        here = asyncio.get_running_loop()
        while self._locals:
            loop, local = self._locals.popitem()
            if loop is not here:
                _close_elsewhere(loop, local)
            elif local.closing is not None:
                await local.closing.aclose()

    def abandon(self) -> None:
        """Have the sessions closed by their loops, where these still run."""
        self.closed = True
        while self._locals:
            loop, local = self._locals.popitem()
            _close_elsewhere(loop, local)


def _checked_session(session: aiohttp.ClientSession | None) -> aiohttp.ClientSession | None:
    if session is not None:
        if not isinstance(session, aiohttp.ClientSession):  # pyright: ignore[reportUnnecessaryIsInstance]
            raise ValueError("session must be an aiohttp.ClientSession")
        if not session.auto_decompress:
            raise ValueError("session must decompress answers: make it with auto_decompress=True")
    return session


def _checked_traces(
    trace_configs: Iterable[aiohttp.TraceConfig], session: aiohttp.ClientSession | None
) -> list[aiohttp.TraceConfig]:
    traces = list(trace_configs)
    if not all(isinstance(trace, aiohttp.TraceConfig) for trace in traces):  # pyright: ignore[reportUnnecessaryIsInstance]
        raise ValueError("trace_configs must be instances of aiohttp.TraceConfig")
    if traces and session is not None:
        raise ValueError("give trace_configs to the session that the client is given")
    return traces


def _leave(local: _Local) -> None:
    # Its loop is closed, and has closed the session unless it was ended by force.
    if local.closing is not None and not local.session.closed:
        local.session.detach()


def _close_elsewhere(loop: asyncio.AbstractEventLoop, local: _Local) -> None:
    closing_session = local.closing
    if loop.is_closed():
        _leave(local)
    if loop.is_closed() or closing_session is None:
        return

    def close() -> None:
        task = loop.create_task(closing_session.aclose())
        closing.add(task)
        task.add_done_callback(closing.discard)

    # An event loop holds its tasks weakly.
    closing: set[asyncio.Task[None]] = set()
    loop.call_soon_threadsafe(close)


@frozen(kw_only=True)
class Transport:
    """Send requests of one client, or of one view of it.

    Attributes:
        base_url: The base URL, or None where the Keystone catalog names it.
        credentials: Who gives the tokens.
        connections: The sessions, shared by all views of the client.
        timeout: The seconds for one attempt, or aiohttp's own settings.
        retry: When a request is sent again.
        clock: Where time comes from.
        agent: The User-Agent header.
        max_response_size: The most bytes of an answer's body, once it is decompressed.
        gate: Who else decides when a request goes out, if anybody does.
    """

    base_url: str | None
    credentials: Credentials
    connections: Connections
    timeout: float | aiohttp.ClientTimeout
    retry: RetryPolicy
    clock: Clock
    agent: str
    max_response_size: int
    gate: SendingGate | None = None

    def with_options(
        self, timeout: float | aiohttp.ClientTimeout | None, retry: RetryPolicy | None
    ) -> "Transport":
        """Return a view with other options on the same connections; None keeps an option."""
        return evolve(
            self,
            timeout=self.timeout if timeout is None else check_timeout(timeout),
            retry=self.retry if retry is None else retry,
        )

    async def send(
        self,
        method: str,
        path: str,
        *,
        query: str = "",
        body: bytes | None = None,
        delivery: Delivery | None = None,
    ) -> Response:
        """Send a request until it succeeds or may not be repeated any more.

        Args:
            method: The HTTP method.
            path: The encoded path below the base URL.
            query: The encoded query, without its question mark.
            body: A JSON document.
            delivery: What earlier requests for the same change left open, if there were any.

        Raises:
            ApiError: The service refused the request or failed.
            ConnectionFailedError: No connection could be made, or it broke.
            RequestTimeoutError: The answer did not arrive in time.
            UnexpectedResponseError: A redirect, or no HTTP at all, or an answer too large.
            ClientClosedError: The client is closed.
            ConfigurationError: The base URL is to come from a catalog that lacks it.
        """
        local = self.connections.local()
        token, base = await self._authorize(local)
        request = self._request(method, base, path, query, body)
        answer = await self._exchange(local, request, token, delivery or Delivery())
        return Response(answer.status, answer.body, method, request.shown)

    def _request(
        self, method: str, base: str, path: str, query: str, body: bytes | None
    ) -> _Request:
        url = Secret(f"{base}{path}?{query}" if query else base + path)
        shown, secrets = str(url), tuple[str, ...]()
        if path.startswith(_TOKEN_V1_PATH):
            encoded = path.removeprefix(_TOKEN_V1_PATH).partition("/")[0]
            shown = url.replace(_TOKEN_V1_PATH + encoded, _TOKEN_V1_PATH + REDACTED, 1)
            secrets = (Secret(unquote(encoded)),)
            del encoded
        payload = None if body is None else SecretBytes(body)
        return _Request(method, url, shown, payload, secrets, method)

    async def _authorize(self, local: _Local) -> tuple[Secret, str]:
        """Return a valid token and the base URL."""
        credentials = self.credentials
        if not isinstance(credentials, KeystoneCredentials):
            token = await credentials.get_token(local.session)
            text = isinstance(token, str) and token.isprintable() and token.isascii()  # pyright: ignore[reportUnnecessaryIsInstance]
            if not text or not token:
                del token
                raise ConfigurationError("get_token() gave no text that fits into a header")
            token = Secret(token)
            return token, self.base_url or ""

        async def send(request: LoginRequest) -> LoginResponse:
            return await self._log_in(local, request)

        token, listed = await credentials.log_in(send, self.clock)
        if self.base_url is not None:
            return token, self.base_url
        if listed is None:
            raise ConfigurationError(
                "the Keystone catalog lists no public endpoint of a container registry: "
                "give the client a base_url"
            )
        problem: str
        try:
            base = normalize_base_url(listed, "the Keystone catalog's URL")
        except ValueError as error:
            problem = str(error)
        else:
            self.connections.warn_of_clear_text(base)
            return token, base
        raise ConfigurationError(problem)

    async def _log_in(self, local: _Local, login: LoginRequest) -> LoginResponse:
        # A login changes nothing, so it is repeated as a GET is.
        request = _Request("POST", login.url, login.url, login.body, login.secrets, "GET")
        answer = await self._exchange(local, request, None, Delivery())
        return LoginResponse(answer.status, answer.headers, answer.body)

    async def _exchange(
        self, local: _Local, request: _Request, token: Secret | None, delivery: Delivery
    ) -> _Answer:
        """Make attempts until one succeeds, or no further one is due."""
        clock, budget = self.clock, self.connections.budget
        started = clock.monotonic()
        budget.record_request(started)
        attempts = Attempts(self.retry, request.repeatable_as, delivery, started)
        while True:
            result = await self._attempt_in_turn(local, request, token, attempts)
            if isinstance(result, _Answer):
                if 200 <= result.status < 300:
                    return result
                if attempts.succeeded(result.status):
                    return evolve(result, status=204, body=b"")
                if token is not None and attempts.wants_new_token(result.status):
                    refused = token
                    token = await self._renew(local, refused)
                    # A new login is worth another try even where Keystone repeats itself.
                    if token != refused or isinstance(self.credentials, KeystoneCredentials):
                        continue
                retry_after = parse_retry_after(result.headers.get("Retry-After"), clock.time())
                outcome: Outcome | int | None = result.status
                error = self._error(request, result, token)
            else:
                retry_after, outcome, error = None, result.outcome, result.error
            if outcome is None:
                raise error
            now = clock.monotonic()
            if self.gate is not None and retry_after:
                self.gate.pause(now, min(retry_after, self.retry.max_delay))
            delay = attempts.pause(outcome, now=now, chance=clock.random(), retry_after=retry_after)
            if delay is None or not budget.take(now):
                raise error
            # What was not raised must not keep its frames alive while we wait.
            del error, result
            await clock.sleep(delay)
            attempts.number += 1
            if token is not None:
                # A token may have aged while we waited.
                token, _ = await self._authorize(local)

    async def _attempt_in_turn(
        self, local: _Local, request: _Request, token: Secret | None, attempts: Attempts
    ) -> _Answer | _Failure:
        """Make an attempt once there is a place in the pool and the gate lets it through."""
        clock = self.clock
        while True:
            async with local.places:
                now = clock.monotonic()
                wait = 0.0 if self.gate is None else self.gate.take(now)
                if wait <= 0:
                    if attempts.number == 1:
                        # Waiting for a place is not the service's slowness.
                        attempts.started = now
                    if attempts.out_of_time(now):
                        # Waiting for the place, or for a token, took what time was left.
                        raise RequestTimeoutError(
                            "no time left to send it again", request.method, request.shown
                        )
                    return await self._attempt(
                        local, request, token, attempts.number, attempts.started
                    )
            await clock.sleep(wait)

    async def _renew(self, local: _Local, refused: Secret) -> Secret:
        self.credentials.invalidate(refused)
        token, _ = await self._authorize(local)
        return token

    def _error(
        self, request: _Request, answer: _Answer, token: Secret | None
    ) -> ContainerRegistryError:
        if answer.status < 400:
            return UnexpectedResponseError(
                "redirects are not followed" if answer.status >= 300 else "no final answer",
                request.method,
                request.shown,
                status=answer.status,
            )
        return api_error(
            answer.status,
            answer.headers,
            answer.body,
            method=request.method,
            url=request.shown,
            secrets=_known_secrets(request, token),
            now=self.clock.time(),
        )

    async def _attempt(
        self,
        local: _Local,
        request: _Request,
        token: Secret | None,
        attempt: int,
        started: float,
    ) -> _Answer | _Failure:
        """Send once. Failures are returned, so that none drags aiohttp's frames along."""
        self.connections.check_open()
        began = self.clock.monotonic()
        await local.notice_closed()
        result: _Answer | _Failure
        try:
            result = await self._send(local, request, token, began - started)
        except _BrokenError as error:
            result = self._lost(request, token, error.reason)
        except (aiohttp.ConnectionTimeoutError, TimeoutError) as error:
            connecting = isinstance(error, aiohttp.ConnectionTimeoutError)
            result = _Failure(
                RequestTimeoutError(
                    "no connection in time" if connecting else "no whole answer in time",
                    request.method,
                    request.shown,
                ),
                Outcome.NOT_SENT if connecting else Outcome.LOST,
            )
        except aiohttp.ClientConnectorCertificateError as error:
            result = self._failed(request, token, _describe(error), None)
        except aiohttp.ClientConnectorError as error:
            result = self._failed(request, token, _describe(error), Outcome.NOT_SENT)
        except aiohttp.ClientHttpProxyError as error:
            reason = f"the proxy refused to connect: status {error.status}"
            result = self._failed(
                request, token, reason, Outcome.NOT_SENT if error.status >= 500 else None
            )
        except aiohttp.ClientResponseError as error:
            result = _Failure(
                UnexpectedResponseError(
                    f"not an HTTP answer ({type(error).__name__})", request.method, request.shown
                )
            )
        except (aiohttp.InvalidURL, UnicodeError):
            result = self._failed(request, token, "the host's name is not a valid one", None)
        except (aiohttp.ClientError, OSError) as error:
            result = self._lost(request, token, _describe(error))
        except BaseException as error:  # noqa: BLE001 - raised on, unless it is about our closing
            if not isinstance(error, RuntimeError) or not local.session.closed:
                # A cancellation above all. The local variables of aiohttp's frames hold the
                # URL, and with it the tokens of API v1.
                raise error.with_traceback(None) from error.__cause__
            whose = "session given to the client" if self.connections.foreign else "client"
            result = _Failure(ClientClosedError(f"the {whose} is closed"))
        local.note_use()
        if _log.isEnabledFor(10):
            self._record(request, result, attempt, self.clock.monotonic() - began)
        return result

    def _lost(self, request: _Request, token: Secret | None, reason: str) -> _Failure:
        if self.connections.closed:
            return _Failure(ClientClosedError("the client was closed during the request"))
        return self._failed(request, token, reason, Outcome.LOST)

    def _failed(
        self, request: _Request, token: Secret | None, reason: str, outcome: Outcome | None
    ) -> _Failure:
        message = scrub(reason, _known_secrets(request, token))
        return _Failure(ConnectionFailedError(message, request.method, request.shown), outcome)

    async def _send(
        self, local: _Local, request: _Request, token: Secret | None, elapsed: float
    ) -> _Answer | _Failure:
        headers = {"Accept": "application/json", "User-Agent": self.agent}
        if token is not None:
            headers["X-Auth-Token"] = token
        if request.body is not None:
            headers["Content-Type"] = "application/json"
        limits, seconds = self._time_limits(elapsed)
        # In a pool of our own nobody waits, so that aiohttp's limits are enough.
        scope = None if seconds is None else anyio.CancelScope()
        with nullcontext() if scope is None else scope:
            async with local.session.request(
                request.method,
                URL(request.url, encoded=True),
                headers=headers,
                # aiohttp would call the body of a POST that has none a stream of octets.
                skip_auto_headers=("Content-Type",),
                data=request.body,
                allow_redirects=False,
                raise_for_status=False,
                timeout=limits,
                ssl=self.connections.tls,
                proxy=None if self.connections.foreign else local.proxy(request.url),
                middlewares=_middlewares(local.session, scope, seconds),
            ) as response:
                local.reading.add(response)
                try:
                    if response.status >= 300:
                        return await self._read_failure(response, scope)
                    whole = await _read(response, self.max_response_size)
                finally:
                    local.reading.discard(response)
            if whole is not None:
                return _Answer(response.status, response.headers, whole)
            return _Failure(
                UnexpectedResponseError(
                    f"the answer is larger than {self.max_response_size} bytes",
                    request.method,
                    request.shown,
                    status=response.status,
                )
            )
        # The scope has swallowed the cancellation that was its own.
        raise TimeoutError

    async def _read_failure(
        self, response: aiohttp.ClientResponse, scope: anyio.CancelScope | None
    ) -> _Answer:
        body = b""
        if scope is None:
            body = await _read_start(response, _ERROR_BODY_READ)
        else:
            # Its status says enough, whether or not the body comes in time.
            left, scope.deadline = scope.deadline, float("inf")
            with anyio.CancelScope(deadline=left):
                body = await _read_start(response, _ERROR_BODY_READ)
        return _Answer(response.status, response.headers, body)

    def _time_limits(self, elapsed: float) -> tuple[aiohttp.ClientTimeout, float | None]:
        """Return the limits that aiohttp keeps, and the seconds from sending on if it does not.

        Args:
            elapsed: The seconds since the first attempt was sent.
        """
        given = self.timeout
        total = given.total if isinstance(given, aiohttp.ClientTimeout) else given
        if self.retry.total_timeout is not None:
            left = max(self.retry.total_timeout - elapsed, 0.001)
            total = left if total is None else min(total, left)
        if isinstance(given, aiohttp.ClientTimeout):
            return evolve(given, total=total), None
        connect = None if total is None else min(total * _CONNECT_SHARE, _CONNECT_TIMEOUT)
        if self.connections.foreign:
            # Others may use the caller's pool, and aiohttp's total would count the wait for it.
            limit = aiohttp.ClientTimeout(total=None, sock_connect=connect, sock_read=total)
            return limit, total
        return aiohttp.ClientTimeout(total=total, sock_connect=connect), None

    def _record(
        self, request: _Request, result: _Answer | _Failure, attempt: int, duration: float
    ) -> None:
        outcome = result.status if isinstance(result, _Answer) else type(result.error).__name__
        _log.debug(
            "%s %s: %s in %.3f s, attempt %d",
            request.method,
            request.shown,
            outcome,
            duration,
            attempt,
        )


def _known_secrets(request: _Request, token: Secret | None) -> tuple[str, ...]:
    return request.secrets if token is None else (*request.secrets, token)


def _middlewares(
    session: aiohttp.ClientSession, scope: anyio.CancelScope | None, seconds: float | None
) -> Sequence[aiohttp.ClientMiddlewareType]:
    # Middlewares of a request replace the session's, which aiohttp keeps to itself.
    own: Sequence[aiohttp.ClientMiddlewareType] = getattr(session, "_middlewares", ())
    if scope is None or seconds is None:
        return (*own, _send_once)
    return (*own, _timed_from_sending(scope, seconds), _send_once)


def _timed_from_sending(scope: anyio.CancelScope, seconds: float) -> aiohttp.ClientMiddlewareType:
    """Return a middleware that starts a time limit when a connection has been got.

    aiohttp's own limit for a whole request counts the wait for a place in the pool, too.
    """

    async def middleware(
        request: aiohttp.ClientRequest, handler: aiohttp.ClientHandlerType
    ) -> aiohttp.ClientResponse:
        send = request.send

        async def send_in_time(connection: Connection) -> aiohttp.ClientResponse:
            scope.deadline = anyio.current_time() + seconds
            return await send(connection)

        methods = vars(request)
        methods["send"] = send_in_time
        try:
            return await handler(request)
        finally:
            # It refers to itself otherwise.
            del methods["send"]

    return middleware


def _describe(error: BaseException) -> str:
    """Say what broke without aiohttp's own texts, which can hold the request's headers."""
    if isinstance(error, aiohttp.ClientConnectorCertificateError):
        return f"the server's certificate is not trusted: {error.certificate_error}"
    if isinstance(error, aiohttp.ClientConnectorError):
        reason = error.os_error.strerror or type(error.os_error).__name__
        return f"cannot connect to {error.host}:{error.port}: {reason}"
    if isinstance(error, aiohttp.ServerDisconnectedError):
        return "the server closed the connection without an answer"
    if isinstance(error, aiohttp.ClientPayloadError):
        return "the answer ended early or could not be decompressed"
    if isinstance(error, OSError) and error.strerror:
        return f"the connection broke: {error.strerror}"
    return f"the connection broke ({type(error).__name__})"


async def _read_start(response: aiohttp.ClientResponse, limit: int) -> bytes:
    """Return the start of an error's body, or as much of it as arrives.

    The status has arrived, and says more than a body that is cut: a DELETE that found nothing
    must not pass for one whose answer was lost.
    """
    body = bytearray()
    try:
        async for part in response.content.iter_any():
            body += part
            if len(body) >= limit:
                response.close()
                break
    except (aiohttp.ClientError, OSError):
        response.close()
    return bytes(body[:limit])


async def _read(response: aiohttp.ClientResponse, limit: int) -> bytes | None:
    """Return the body, or None (and drop the connection) if it is larger than the limit."""
    length = response.content_length
    compressed = "Content-Encoding" in response.headers
    if length is not None and not compressed:
        if length <= limit:
            return await response.read()
        response.close()
        return None
    # No length, or one that says nothing of what comes out of the decompressor.
    parts: list[bytes] = []
    size = 0
    async for part in response.content.iter_any():
        size += len(part)
        if size > limit:
            response.close()
            return None
        parts.append(part)
    return b"".join(parts)


__all__ = ["Connections", "Response", "Transport", "check_timeout", "user_agent"]
