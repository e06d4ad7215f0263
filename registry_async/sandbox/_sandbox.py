"""The sandbox itself: it listens on loopback, and hands what arrives to the operations."""

import asyncio
import contextlib
import ipaddress
import json
import math
import socket
import threading
import time
import uuid
from collections import deque
from collections.abc import Awaitable, Callable, Mapping
from concurrent.futures import Future
from datetime import datetime
from importlib import resources
from types import TracebackType
from typing import TYPE_CHECKING, Any, Literal

from aiohttp import web

from ._faults import Fault, Faults
from ._identity import Identity, Login
from ._records import RequestRecord
from ._refusals import ErrorForm, Refusal
from ._requests import Answer, Call, Query, Settings
from ._routes import Match, match, split_path
from ._seed import sow
from ._state import State

if TYPE_CHECKING:
    from typing import Self

    from registry_async import AsyncRegistryClient, RegistryClient

_BASE = "/api"
_IDENTITY = "/identity/v3"
_DOCUMENTS = ("/openapi.json", _BASE + "/openapi.json")
_MAX_BODY = 1024**2
# The provider's Go client, which reads two answers otherwise than the API reference has them.
_GO_CLIENT = "craas-go/"
_PHRASES = {429: "Too many requests.", 500: "Internal server error."}
# Requests that are held on purpose must not hold the end of the sandbox.
_SHUTDOWN_SECONDS = 0.25


class Sandbox:
    """Run the whole service in this process, on loopback, with its state in memory.

    It is a context manager of both kinds: `async with` serves from the loop that runs, `with` from
    a thread of its own. Time is looked at when a request comes, never waited for: a test
    that passes its own clock decides when a registry becomes ACTIVE.

    Args:
        seed: True fills it with believable data, False leaves it empty, a number fills
            it with other data of the same kind; equal numbers give equal data.
        host: A loopback address.
        port: The port; 0 lets the system choose.
        token: The IAM token to accept; made up by default.
        clock: Gives seconds; moves statuses and the expiry of tokens.
        start_time: The wall-clock time, aware, at which the clock starts; now by default.
        create_seconds: How long a new registry is CREATING.
        delete_seconds: How long a deleted registry is DELETING.
        collection_seconds: How long a garbage collection runs.
        token_seconds: How long an IAM token from the Keystone login lives.
        max_limit: The largest page that lists give, whatever is asked for; no cap by default.
        short_form: What a list with `short=true` holds: bare `string`s, or an `object` each with
            only a name.
        dialect: How layers are answered and expirations read: `reference` follows the API
            reference, `go` what the provider's Go client expects (a bare array of layers; an
            expiration without its wrapper), `auto` speaks `go` to that client alone.
        login: What the Keystone login takes; made up by default.
        sleep: Waits for seconds when a fault has latency.
        keep_requests: How many of the last requests `requests` holds.

    Attributes:
        state: The data: arrange it with `state.add_registry`, `add_repository`, `add_image`.
        faults: What shall go wrong: `faults.add(status=503, times=2)`.
        identity: The IAM tokens: `identity.issue`, `identity.revoke`.

    Raises:
        ValueError: If the host is not a loopback address.
    """

    def __init__(
        self,
        *,
        seed: bool | int = True,
        host: str = "127.0.0.1",
        port: int = 0,
        token: str | None = None,
        clock: Callable[[], float] = time.monotonic,
        start_time: datetime | None = None,
        create_seconds: float = 1.0,
        delete_seconds: float = 1.0,
        collection_seconds: float = 2.0,
        token_seconds: float = 86_400.0,
        max_limit: int | None = None,
        short_form: Literal["string", "object"] = "string",
        dialect: Literal["auto", "reference", "go"] = "auto",
        login: Login | None = None,
        sleep: Callable[[float], Awaitable[None]] = asyncio.sleep,
        keep_requests: int = 10_000,
    ) -> None:
        self._host = _check_loopback(host)
        self._port = port
        self._settings = Settings(short_form, dialect)
        self._sleep = sleep
        self.state = State(
            clock=clock,
            start_time=start_time,
            create_seconds=create_seconds,
            delete_seconds=delete_seconds,
            collection_seconds=collection_seconds,
            random_seed=int(seed),
        )
        self.faults = Faults(max_limit)
        self.identity = Identity(self.state.now, token_seconds, login or Login())
        self._token = self.identity.issue(token)
        self._records: deque[RequestRecord] = deque(maxlen=keep_requests)
        self._document = (resources.files("registry_async.sandbox") / "openapi.json").read_bytes()
        self._runner: web.ServerRunner | None = None
        self._socket: socket.socket
        self._origin: str | None = None
        self._thread: threading.Thread | None = None
        self._stop: Callable[[], object] | None = None
        if seed is not False:
            sow(self.state)

    # What a client needs

    @property
    def origin(self) -> str:
        """Scheme, host and port of the running sandbox.

        Raises:
            RuntimeError: If it is not running.
        """
        if self._origin is None:
            raise RuntimeError("the sandbox is not running: enter it with `with` or `async with`")
        return self._origin

    @property
    def base_url(self) -> str:
        """The base URL of the registry API; ends in `/api`."""
        return self.origin + _BASE

    @property
    def auth_url(self) -> str:
        """The base URL of the Keystone login; ends in `/identity/v3`."""
        return self.origin + _IDENTITY

    @property
    def token(self) -> str:
        """An IAM token that is accepted and does not expire."""
        return self._token

    @property
    def username(self) -> str:
        """The name of the user who can log in."""
        return self.identity.login.username

    @property
    def password(self) -> str:
        """The user's password."""
        return self.identity.login.password

    @property
    def account(self) -> str:
        """The account number: the domain name of the user and of the project."""
        return self.identity.login.account

    @property
    def project_name(self) -> str:
        """The project's name."""
        return self.identity.login.project_name

    @property
    def project_id(self) -> str:
        """The project's id."""
        return self.identity.login.project_id

    @property
    def application_credential_id(self) -> str:
        """The id of an application credential for the project."""
        return self.identity.login.application_credential_id

    @property
    def application_credential_secret(self) -> str:
        """The secret of that application credential."""
        return self.identity.login.application_credential_secret

    def client(self, **options: Any) -> "AsyncRegistryClient":
        """Make an async client of this sandbox.

        Args:
            **options: What `registry_async.AsyncRegistryClient` takes; credentials oust the token.

        Returns:
            The client, to be closed by the caller.
        """
        from registry_async import AsyncRegistryClient

        return AsyncRegistryClient(**self._client_options(options))

    def sync_client(self, **options: Any) -> "RegistryClient":
        """Make a sync client of this sandbox.

        Args:
            **options: What `registry_async.RegistryClient` takes; credentials oust the token.

        Returns:
            The client, to be closed by the caller.
        """
        from registry_async import RegistryClient

        return RegistryClient(**self._client_options(options))

    def _client_options(self, options: dict[str, Any]) -> dict[str, Any]:
        access = {} if "credentials" in options else {"token": self.token}
        return {"base_url": self.base_url, **access, **options}

    # What a test looks at

    @property
    def requests(self) -> tuple[RequestRecord, ...]:
        """The last requests that arrived, in order, those to the Keystone login included."""
        with self.state.lock:
            return tuple(self._records)

    def clear_requests(self) -> None:
        """Forget the requests that arrived."""
        with self.state.lock:
            self._records.clear()

    # Its life

    async def __aenter__(self) -> "Self":
        await self._start()
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        await self._finish()

    def __enter__(self) -> "Self":
        if self._thread is not None or self._origin is not None:
            raise RuntimeError("the sandbox is running already")
        ready: Future[Callable[[], object]] = Future()
        self._thread = threading.Thread(
            target=lambda: asyncio.run(self._serve(ready)), name="registry-sandbox", daemon=True
        )
        self._thread.start()
        try:
            self._stop = ready.result()
        except BaseException:
            # Either the start failed, or this thread was interrupted while the other was starting.
            if not ready.cancel() and ready.exception() is None:
                ready.result()()
            self._thread.join()
            self._thread = None
            raise
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        if self._thread is None or self._stop is None:
            raise RuntimeError("the sandbox was not entered with `with`")
        self._stop()
        self._thread.join()
        self._thread = self._stop = None

    async def _serve(self, ready: "Future[Callable[[], object]]") -> None:
        """Run in the thread of a sandbox that was entered without a loop."""
        loop = asyncio.get_running_loop()
        stopped = asyncio.Event()
        try:
            await self._start()
        except Exception as error:  # noqa: BLE001 - the entering thread raises it
            ready.set_exception(error)
            return
        try:
            if ready.set_running_or_notify_cancel():
                ready.set_result(lambda: loop.call_soon_threadsafe(stopped.set))
                await stopped.wait()
        finally:
            await self._finish()

    async def _start(self) -> None:
        if self._runner is not None:
            raise RuntimeError("the sandbox is running already")
        server = _Server(self._handle, handler_cancellation=True, access_log=None)
        family = socket.AF_INET6 if ":" in self._host else socket.AF_INET
        self._socket = socket.create_server((self._host, self._port), family=family)
        runner = web.ServerRunner(server, shutdown_timeout=_SHUTDOWN_SECONDS)
        await runner.setup()
        await web.SockSite(runner, self._socket).start()
        self._runner = runner
        host, port = self._socket.getsockname()[:2]
        self._origin = f"http://[{host}]:{port}" if ":" in host else f"http://{host}:{port}"

    async def _finish(self) -> None:
        if self._runner is None:
            return
        runner, self._runner, self._origin = self._runner, None, None
        # asyncio takes a few turns between accepting a connection and telling the server of it. If
        # the server is closed meanwhile, the connection is left behind half made and unclosed.
        with contextlib.suppress(NotImplementedError):  # a proactor loop has no readers
            asyncio.get_running_loop().remove_reader(self._socket)
        try:
            for _ in range(3):
                await asyncio.sleep(0)
        finally:
            await runner.cleanup()

    # One request

    async def _handle(self, request: web.BaseRequest) -> web.StreamResponse:
        target = request.raw_path
        if not target.startswith("/"):
            # The absolute form, which a client that takes us for a proxy sends.
            target = "/" + target.partition("://")[2].partition("/")[2]
        raw_path, _, raw_query = target.partition("?")
        if request.headers.get("Expect", "").lower() == "100-continue" and request.transport:
            request.transport.write(b"HTTP/1.1 100 Continue\r\n\r\n")
        try:
            body, too_large = await request.read(), None
        except web.HTTPRequestEntityTooLarge:
            body, too_large = b"", Refusal(413, "Body is too large.", form=ErrorForm.MESSAGE)
        record = RequestRecord(
            request.method, raw_path, {}, raw_query, request.headers.copy(), body
        )
        with self.state.lock:
            self._records.append(record)
            fault = self.faults.take(record.method, raw_path)
        try:
            if fault is not None and fault.latency > 0:
                await self._wait(fault.latency)
            answer = self._answer_or_fault(record, fault, too_large)
            return await self._send(request, record, answer, fault)
        except asyncio.CancelledError:
            record.cancelled = True
            raise

    async def _wait(self, seconds: float) -> None:
        if math.isinf(seconds):
            await asyncio.Event().wait()
        await self._sleep(seconds)

    def _answer_or_fault(
        self, record: RequestRecord, fault: Fault | None, refusal: Refusal | None
    ) -> web.Response:
        strikes = fault is not None and (fault.status is not None or fault.drop is not None)
        if fault is None or not strikes or fault.when == "after":
            with self.state.lock:
                response = self._answer(record, refusal)
            if fault is None or fault.status is None:
                return response
        if fault.status is None:
            return web.Response(status=204)  # never sent: the connection is dropped instead
        return _fault_response(fault)

    async def _send(
        self,
        request: web.BaseRequest,
        record: RequestRecord,
        response: web.Response,
        fault: Fault | None,
    ) -> web.StreamResponse:
        response.headers.setdefault("X-Request-Id", str(uuid.uuid4()))
        transport = request.transport
        if fault is not None and fault.drop is not None and transport is not None:
            transport.abort() if fault.drop == "reset" else transport.close()
            return response
        record.status = response.status
        if fault is None or fault.truncate is None:
            return response
        body = response.body if isinstance(response.body, bytes) else b""
        cut = web.StreamResponse(status=response.status, headers=response.headers)
        cut.content_length = len(body)
        await cut.prepare(request)
        await cut.write(body[: fault.truncate])
        if transport is not None:
            transport.close()
        return cut

    def _answer(self, record: RequestRecord, refusal: Refusal | None) -> web.Response:
        try:
            if refusal is not None:
                raise refusal
            self.state.settle()
            return _response(self._dispatch(record))
        except Refusal as refused:
            return _response(Answer(refused.status, refused.body(), refused.headers))

    def _dispatch(self, record: RequestRecord) -> Answer:
        raw_path = record.raw_path
        if raw_path in _DOCUMENTS:
            if record.method != "GET":
                message = f"Method {record.method} is not allowed."
                raise Refusal(405, message, form=ErrorForm.MESSAGE, headers={"Allow": "GET"})
            return Answer(200, json.loads(self._document))
        segments = split_path(raw_path)
        query = Query(record.raw_query)
        record.query = query.values
        if segments[1:3] == ["identity", "v3"]:
            return self.identity.answer(
                record.method, segments[3:], record.headers, record.body, self.origin
            )
        if segments[1:2] != ["api"]:
            raise Refusal(404, "Page not found.", form=ErrorForm.MESSAGE)
        if not self.identity.accepts(record.headers.get("X-Auth-Token", "")):
            message = "The token is missing, unknown or expired."
            raise Refusal(401, message, form=ErrorForm.OBJECT, id="unauthorized")
        found = match(record.method, ["", *segments[2:]])
        record.operation_id = found.operation_id
        return found.operation(self._call(record, found, query))

    def _call(self, record: RequestRecord, found: Match, query: Query) -> Call:
        dialect = self._settings.dialect
        agent = record.headers.get("User-Agent", "")
        return Call(
            state=self.state,
            path=found.path,
            query=query,
            content=record.body,
            settings=self._settings,
            max_limit=self.faults.max_limit,
            go_dialect=dialect == "go" or (dialect == "auto" and agent.startswith(_GO_CLIENT)),
        )


class _Server(web.Server):
    """Answer what is not even HTTP in the service's form, too."""

    def __init__(self, handler: Any, **options: Any) -> None:
        super().__init__(handler, **options)
        options.pop("handler_cancellation")
        self._options = options

    def __call__(self) -> web.RequestHandler:
        return _Connection(self, loop=asyncio.get_running_loop(), **self._options)


class _Connection(web.RequestHandler):
    def handle_error(
        self,
        request: web.BaseRequest,
        status: int = 500,
        exc: BaseException | None = None,
        message: str | None = None,
    ) -> web.StreamResponse:
        if status >= 500:
            self.log_exception("The sandbox failed", exc_info=exc)
        error = Refusal(status, message or "Malformed request.", form=ErrorForm.MESSAGE)
        response = _response(Answer(status, error.body()))
        response.force_close()
        return response


def _response(answer: Answer) -> web.Response:
    if answer.body is None:
        return web.Response(status=answer.status, headers=answer.headers)
    text = json.dumps(answer.body, ensure_ascii=False, separators=(",", ":"))
    return web.Response(
        status=answer.status,
        body=text.encode("utf-8", "replace"),
        content_type="application/json",
        headers=answer.headers,
    )


def _fault_response(fault: Fault) -> web.Response:
    status = fault.status or 500
    headers: Mapping[str, str] = fault.headers
    body = fault.body
    if body is None and status >= 400:
        error = {"error": _PHRASES.get(status, f"Injected fault {status}.")}
        body = json.dumps(error).encode()
    named = any(name.lower() == "content-type" for name in headers)
    return web.Response(
        status=status,
        body=body,
        headers=headers if named else {"Content-Type": "application/json", **headers},
    )


def _check_loopback(host: str) -> str:
    address = "127.0.0.1" if host == "localhost" else host
    try:
        loopback = ipaddress.ip_address(address).is_loopback
    except ValueError:
        loopback = False
    if not loopback:
        raise ValueError(
            f"host must be a loopback address such as 127.0.0.1, not {host!r}: "
            "the sandbox is for this machine alone"
        )
    return address
