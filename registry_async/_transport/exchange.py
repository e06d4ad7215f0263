"""One request with its repeats: what is sent, what is tried again, and what failures mean."""

import sys
from collections.abc import Callable
from contextlib import nullcontext
from logging import getLogger
from typing import Final
from urllib.parse import unquote

import aiohttp
import anyio
from attrs import evolve, frozen
from yarl import URL

from registry_async._clock import Clock, SystemClock
from registry_async._paths import normalize_base_url
from registry_async._secrets import REDACTED, Secret, scrub
from registry_async._transport import bodies
from registry_async._transport.aiohttp_quirks import (
    PRECISE,
    BrokenError,
    StaleConnectionError,
    describe,
    send_once,
    session_middlewares,
    timed_from_sending,
    without_aiohttp,
)
from registry_async._transport.authorization import Authorization, Authorizer, Send
from registry_async._transport.callers import CallersCode
from registry_async._transport.failures import error_of, is_html, not_json
from registry_async._transport.messages import Answer, Request, Response
from registry_async._transport.sessions import Connections, LoopSession
from registry_async._version import __version__
from registry_async.errors import (
    ApiError,
    ClientClosedError,
    ConfigurationError,
    ConnectionFailedError,
    ContainerRegistryError,
    RequestError,
    RequestTimeoutError,
    UnexpectedResponseError,
)
from registry_async.retry import (
    Attempts,
    Delivery,
    Outcome,
    RetryEvent,
    RetryPolicy,
    SendingGate,
    parse_retry_after,
)

__all__ = ["Sender", "Transport", "check_timeout", "one_shot", "user_agent"]

_log = getLogger("registry_async")

# A host that swallows the first packet is given up sooner than one that is slow to answer.
_CONNECT_TIMEOUT: Final = 10.0
# Connecting ends a little before the whole attempt would: then it is known that nothing was sent.
_CONNECT_SHARE: Final = 0.9
# What is read of an error: enough for any message. The rest is not worth a connection.
_ERROR_BODY_READ: Final = 64 * 1024
# Logins outside of a client, whose options would say otherwise.
_ONE_SHOT_TIMEOUT: Final = 30.0
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
class _Failure:
    """An attempt without an answer. Without an outcome, asking again is of no use."""

    error: ContainerRegistryError
    outcome: Outcome | None = None


@frozen(kw_only=True)
class Transport:
    """Sends the requests of one client, or of one view of it.

    Attributes:
        base_url: The base URL, or None where it comes with the token.
        authorizer: What gives the tokens.
        connections: The sessions, shared by all views of the client.
        timeout: The seconds for one attempt, or aiohttp's own settings.
        retry: When a request is sent again.
        clock: Where time comes from.
        agent: The User-Agent header.
        max_response_size: The most bytes of an answer's body, once it is decompressed.
        on_retry: What is told of each repeat before it is waited for.
        gate: Who else decides when a request goes out, if anybody does.
    """

    base_url: str | None
    authorizer: Authorizer
    connections: Connections
    timeout: float | aiohttp.ClientTimeout
    retry: RetryPolicy
    clock: Clock
    agent: str
    max_response_size: int
    on_retry: Callable[[RetryEvent], object] | None = None
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
        opened = self.connections.session_for_loop()
        authorization = await self._authorize(opened)
        request = _request(method, self._base(authorization), path, query, body)
        answer = await self._exchange(opened, request, authorization, delivery or Delivery())
        known = _known_secrets(request, authorization.token)
        return _response(request, answer, known)

    def sender(self) -> "Sender":
        """Return what sends whole requests as they are, without the client's token."""
        return Sender(self, self.connections.session_for_loop())

    async def _authorize(self, opened: LoopSession) -> Authorization:
        return await self.authorizer.authorize(Sender(self, opened), self.clock)

    def _base(self, authorization: Authorization) -> str:
        if self.base_url is not None:
            return self.base_url
        if authorization.base_url is None:
            raise ConfigurationError(authorization.problem)
        problem: str
        try:
            base = normalize_base_url(authorization.base_url, "the Keystone catalog's URL")
        except ValueError as error:
            problem = str(error)
        else:
            self.connections.warn_of_clear_text(base)
            return base
        raise ConfigurationError(problem)

    async def _exchange(
        self,
        opened: LoopSession,
        request: Request,
        authorization: Authorization | None,
        delivery: Delivery,
    ) -> Answer:
        """Make attempts until one succeeds, or no further one is due."""
        clock, budget = self.clock, self.connections.budget
        started = clock.monotonic()
        budget.record_request(started)
        attempts = Attempts(self.retry, request.repeated_as, delivery, started)
        while True:
            token = None if authorization is None else authorization.token
            result = await self._attempt_in_turn(opened, request, token, attempts)
            if isinstance(result, Answer):
                if 200 <= result.status < 300:
                    return result
                if attempts.succeeded(result.status):
                    return evolve(result, status=204, body=b"")
                error = self._error(request, result, token)
                if authorization is not None and attempts.wants_new_token(result.status):
                    renewed = await self._renew(opened, authorization)
                    if renewed != authorization:
                        self._tell(request, attempts, 0, error)
                        authorization = renewed
                        continue
                retry_after = parse_retry_after(result.headers.get("Retry-After"), clock.time())
                outcome: Outcome | int | None = result.status
            else:
                retry_after, outcome, error = None, result.outcome, result.error
            now = clock.monotonic()
            delay = None
            if outcome is not None:
                if self.gate is not None and retry_after:
                    self.gate.pause(now, min(retry_after, self.retry.max_delay))
                delay = attempts.pause(
                    outcome, now=now, chance=clock.random(), retry_after=retry_after
                )
            if delay is None or not budget.take(now):
                if isinstance(error, RequestError):
                    error.attempts, error.seconds = attempts.number, now - attempts.started
                    error.may_have_happened = (
                        delivery.may_have_happened and not attempts.is_idempotent
                    )
                raise error
            self._tell(request, attempts, delay, error)
            # What was not raised must not keep its frames alive while we wait.
            del error, result
            await clock.sleep(delay)
            attempts.number += 1
            if authorization is not None:
                # A token may have aged while we waited.
                authorization = await self._authorize(opened)

    async def _attempt_in_turn(
        self, opened: LoopSession, request: Request, token: Secret | None, attempts: Attempts
    ) -> Answer | _Failure:
        """Make an attempt once there is a slot in the pool and the gate lets it through."""
        clock = self.clock
        while True:
            async with opened.slots:
                now = clock.monotonic()
                wait = 0.0 if self.gate is None else self.gate.take(now)
                if wait <= 0:
                    if attempts.number == 1:
                        # Waiting for a slot is not the service's slowness.
                        attempts.started = now
                    if attempts.out_of_time(now):
                        # Waiting for the slot, or for a token, took what time was left.
                        raise RequestTimeoutError(
                            "no time left to send it again", request.method, request.shown
                        )
                    return await self._attempt(
                        opened, request, token, attempts.number, attempts.started
                    )
            await clock.sleep(wait)

    async def _renew(self, opened: LoopSession, refused: Authorization) -> Authorization:
        self.authorizer.invalidate(refused.token)
        return await self._authorize(opened)

    def _tell(
        self, request: Request, attempts: Attempts, delay: float, error: ContainerRegistryError
    ) -> None:
        if self.on_retry is None:
            return
        status = error.status if isinstance(error, ApiError | UnexpectedResponseError) else None
        event = RetryEvent(request.method, request.shown, attempts.number, delay, status, error)
        with CallersCode("on_retry"):
            self.on_retry(event)

    def _error(
        self, request: Request, answer: Answer, token: Secret | None
    ) -> ContainerRegistryError:
        return error_of(request, answer, _known_secrets(request, token), self.clock.time())

    async def _attempt(
        self,
        opened: LoopSession,
        request: Request,
        token: Secret | None,
        attempt: int,
        started: float,
    ) -> Answer | _Failure:
        """Send once. Failures are returned, so that none drags aiohttp's frames along."""
        self.connections.check_open()
        began = self.clock.monotonic()
        await opened.notice_closed()
        limits, seconds = self._time_limits(began - started)
        result: Answer | _Failure
        try:
            result = await self._send(opened, request, token, limits, seconds)
        except BrokenError as error:
            result = self._lost(request, token, error.reason)
        except (bodies.CutBodyError, aiohttp.ClientPayloadError):
            reason = "the answer ended early or could not be decompressed"
            result = self._lost(request, token, reason)
        except StaleConnectionError:
            reason = "the server sent something before it was asked"
            result = self._failed(request, token, reason, Outcome.NOT_SENT)
        except (aiohttp.ConnectionTimeoutError, TimeoutError) as error:
            connecting = isinstance(error, aiohttp.ConnectionTimeoutError)
            result = _Failure(
                _too_late(request, connecting, limits, seconds),
                Outcome.NOT_SENT if connecting else Outcome.LOST,
            )
        except aiohttp.ClientConnectorCertificateError as error:
            result = self._failed(request, token, describe(error), None)
        except aiohttp.ClientConnectorError as error:
            result = self._failed(request, token, describe(error), Outcome.NOT_SENT)
        except aiohttp.ClientHttpProxyError as error:
            reason = f"{opened.proxy_name(request.url)} refused to connect: status {error.status}"
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
            result = self._lost(request, token, describe(error))
        except BaseException as error:  # noqa: BLE001 - raised on, unless it is about our closing
            if not isinstance(error, RuntimeError) or not opened.session.closed:
                # A cancellation above all, or what a middleware or hook of the caller raised.
                raise without_aiohttp(error) from error.__cause__
            whose = "session given to the client" if self.connections.foreign else "client"
            result = _Failure(ClientClosedError(f"the {whose} is closed"))
        opened.note_use()
        if _log.isEnabledFor(10):
            self._record(request, result, attempt, self.clock.monotonic() - began)
        return result

    def _lost(self, request: Request, token: Secret | None, reason: str) -> _Failure:
        if self.connections.closed:
            return _Failure(ClientClosedError("the client was closed during the request"))
        return self._failed(request, token, reason, Outcome.LOST)

    def _failed(
        self, request: Request, token: Secret | None, reason: str, outcome: Outcome | None
    ) -> _Failure:
        message = scrub(reason, _known_secrets(request, token))
        return _Failure(ConnectionFailedError(message, request.method, request.shown), outcome)

    async def _send(
        self,
        opened: LoopSession,
        request: Request,
        token: Secret | None,
        limits: aiohttp.ClientTimeout,
        seconds: float | None,
    ) -> Answer | _Failure:
        headers = {
            "Accept": "application/json",
            "Accept-Encoding": bodies.ACCEPTED,
            "User-Agent": self.agent,
            **request.headers,
        }
        if token is not None:
            headers["X-Auth-Token"] = token
        if request.body is not None:
            headers["Content-Type"] = "application/json"
        # Nobody waits inside our own pool, so aiohttp's limits are enough.
        scope = None if seconds is None else anyio.CancelScope()
        middlewares = [*session_middlewares(opened.session)]
        if scope is not None and seconds is not None:
            middlewares.append(timed_from_sending(scope, seconds))
        middlewares += (send_once, opened.fresh)
        with nullcontext() if scope is None else scope:
            async with opened.session.request(
                request.method,
                # A plain copy: taking a secret apart costs more.
                URL(str(request.url), encoded=True),
                headers=headers,
                # aiohttp would call the body of a POST that has none a stream of octets.
                skip_auto_headers=("Content-Type",),
                data=request.body,
                allow_redirects=False,
                raise_for_status=False,
                timeout=limits,
                ssl=self.connections.tls,
                proxy=None if self.connections.foreign else opened.proxy(request.url),
                middlewares=middlewares,
            ) as response:
                opened.reading.add(response)
                try:
                    if response.status >= 300:
                        return await self._read_failure(response, scope)
                    whole = await bodies.read(
                        response, self.max_response_size, decompressed=self.connections.foreign
                    )
                finally:
                    opened.reading.discard(response)
            if whole is None:
                return _Failure(
                    UnexpectedResponseError(
                        f"the answer is larger than {self.max_response_size} bytes",
                        request.method,
                        request.shown,
                        status=response.status,
                    )
                )
            answer = Answer(response.status, response.headers, whole)
            if is_html(answer):
                known = _known_secrets(request, token)
                return _Failure(not_json(_response(request, answer, known)))
            return answer
        # The scope has swallowed the cancellation that was its own.
        raise TimeoutError

    async def _read_failure(
        self, response: aiohttp.ClientResponse, scope: anyio.CancelScope | None
    ) -> Answer:
        body = b""
        decompressed = self.connections.foreign
        if scope is None:
            body = await bodies.read_start(response, _ERROR_BODY_READ, decompressed=decompressed)
        else:
            # Its status says enough, whether or not the body comes in time.
            left, scope.deadline = scope.deadline, float("inf")
            with anyio.CancelScope(deadline=left):
                body = await bodies.read_start(
                    response, _ERROR_BODY_READ, decompressed=decompressed
                )
        return Answer(response.status, response.headers, body)

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
            return evolve(given, total=total, ceil_threshold=PRECISE), None
        connect = None if total is None else min(total * _CONNECT_SHARE, _CONNECT_TIMEOUT)
        if self.connections.foreign:
            # Others may use the caller's pool, and aiohttp's total would count the wait for it.
            limit = aiohttp.ClientTimeout(
                total=None, sock_connect=connect, sock_read=total, ceil_threshold=PRECISE
            )
            return limit, total
        return (
            aiohttp.ClientTimeout(total=total, sock_connect=connect, ceil_threshold=PRECISE),
            None,
        )

    def _record(
        self, request: Request, result: Answer | _Failure, attempt: int, duration: float
    ) -> None:
        outcome = result.status if isinstance(result, Answer) else type(result.error).__name__
        _log.debug(
            "%s %s: %s in %.3f s, attempt %d",
            request.method,
            request.shown,
            outcome,
            duration,
            attempt,
        )


def _known_secrets(request: Request, token: Secret | None) -> tuple[str, ...]:
    return request.secrets if token is None else (*request.secrets, token)


def _request(method: str, base: str, path: str, query: str, body: bytes | None) -> Request:
    url = Secret(f"{base}{path}?{query}" if query else base + path)
    shown, secrets = str(url), tuple[str, ...]()
    if path.startswith(_TOKEN_V1_PATH):
        encoded = path.removeprefix(_TOKEN_V1_PATH).partition("/")[0]
        shown = str(url).replace(_TOKEN_V1_PATH + encoded, _TOKEN_V1_PATH + REDACTED, 1)
        secrets = (Secret(unquote(encoded)),)
        del encoded
    return Request(
        method=method, url=url, shown=shown, body=body, secrets=secrets, repeated_as=method
    )


def _response(request: Request, answer: Answer, secrets: tuple[str, ...]) -> Response:
    return Response(
        answer.status, answer.body, request.method, request.shown, answer.headers, secrets
    )


def _too_late(
    request: Request, connecting: bool, limits: aiohttp.ClientTimeout, seconds: float | None
) -> RequestTimeoutError:
    limit = limits.sock_connect if connecting else seconds or limits.total
    what = "no connection in time" if connecting else "no whole answer in time"
    message = what if limit is None else f"{what}, which is {limit:.3g} s"
    return RequestTimeoutError(message, request.method, request.shown)


@frozen
class Sender:
    """Sends whole requests as they are, with the client's repeats, errors and redaction."""

    transport: Transport
    _opened: LoopSession

    async def __call__(self, request: Request, /) -> Answer:
        """Return an answer of status 200 to 299."""
        exchange = self.transport._exchange  # pyright: ignore[reportPrivateUsage]
        return await exchange(self._opened, request, None, Delivery())

    @property
    def session(self) -> aiohttp.ClientSession:
        """The HTTP session, for credentials that somebody else wrote."""
        return self._opened.for_others()


def one_shot(session: aiohttp.ClientSession) -> Sender:
    """Return what sends requests over a caller's session, once each, outside of any client.

    Raises:
        ValueError: It is no session that can be used.
        ConfigurationError: It belongs to another event loop.
    """
    return Transport(
        base_url=None,
        authorizer=_Nobody(),
        connections=Connections(session, 1, None, ()),
        timeout=_ONE_SHOT_TIMEOUT,
        retry=RetryPolicy(attempts=1),
        clock=SystemClock(),
        agent=user_agent(None),
        max_response_size=_ERROR_BODY_READ * 64,
    ).sender()


def nobody() -> Authorizer:
    """Return what gives no tokens, for transports that only send whole requests."""
    return _Nobody()


class _Nobody(Authorizer):
    async def authorize(self, send: Send, clock: Clock) -> Authorization:
        raise ConfigurationError("nobody gives tokens here")

    def invalidate(self, token: str) -> None:
        """Do nothing: there is no token."""
