"""One request of the sandbox, from its arrival to what is sent, faults included."""

import asyncio
import json
import math
from collections.abc import Awaitable, Callable, Mapping
from functools import partial
from importlib import resources
from typing import Any, NoReturn

from aiohttp import web

from registry_async.sandbox._delivery import as_fault, as_response, deliver
from registry_async.sandbox._distribution import PATH as DISTRIBUTION_PATH
from registry_async.sandbox._distribution import Distribution
from registry_async.sandbox._faults import Fault, Faults
from registry_async.sandbox._identity import Identity
from registry_async.sandbox._projects import SandboxProject
from registry_async.sandbox._pulls import Download
from registry_async.sandbox._records import Records, RequestRecord
from registry_async.sandbox._refusals import ErrorForm, Refusal
from registry_async.sandbox._requests import Answer, Call, Query, Settings
from registry_async.sandbox._routes import Match, match, split_path
from registry_async.sandbox._state import State

API_PATH = "/api"
IDENTITY_PATH = "/identity"
_DOCUMENTS = ("/openapi.json", API_PATH + "/openapi.json")
# The provider's Go client, which reads some answers otherwise than the API reference has them.
_GO_CLIENT = "craas-go/"

_Operation = Callable[[], Answer]


class Service:
    """Answer requests from the state, the identity and the faults that it is given.

    Args:
        state: The data of the first project, whose lock and clock all projects share.
        projects: All projects by their ids.
        identity: The IAM tokens, and the login.
        faults: What shall go wrong.
        settings: The choices that the contract leaves open.
        sleep: Waits for the latency of a fault.
        keep_requests: How many records are kept.
        save: Saves what has changed; called before a change is answered.

    Attributes:
        records: The last requests; to be read under the state's lock.
        origin: Scheme, host and port, for links in answers.
    """

    def __init__(
        self,
        state: State,
        projects: Mapping[str, SandboxProject],
        identity: Identity,
        faults: Faults,
        settings: Settings,
        *,
        sleep: Callable[[float], Awaitable[None]],
        keep_requests: int,
        save: Callable[[], None],
    ) -> None:
        self.records = Records(keep_requests)
        self.origin = ""
        self._state = state
        self._projects = projects
        self._distribution = Distribution(state, projects)
        self._identity = identity
        self._faults = faults
        self._settings = settings
        self._sleep = sleep
        self._save = save
        document = resources.files("registry_async.sandbox") / "openapi.json"
        self._document: dict[str, object] = json.loads(document.read_bytes())

    async def handle(self, request: web.BaseRequest) -> web.StreamResponse:
        """Answer one request.

        Args:
            request: The request as aiohttp read it.

        Returns:
            What aiohttp is to send; of no effect where a fault has dropped the connection.
        """
        target = request.raw_path
        if not target.startswith("/"):
            # The absolute form, which a client that takes us for a proxy sends.
            target = "/" + target.partition("://")[2].partition("/")[2]
        raw_path, _, raw_query = target.partition("?")
        if request.headers.get("Expect", "").lower() == "100-continue" and request.transport:
            request.transport.write(b"HTTP/1.1 100 Continue\r\n\r\n")
        record = RequestRecord(request.method, raw_path, {}, raw_query, request.headers.copy())
        # A layer is stored as it comes, and no copy of it is kept for assertions.
        to_registry = _is_below(raw_path, DISTRIBUTION_PATH)
        operation = None if to_registry else await self._read(request, record)
        with self._state.lock:
            self.records.add(record, known=self._is_known(record))
            fault = self._faults.take(record.method, raw_path)
        try:
            if fault is not None and fault.when == "before":
                await self._wait(fault.latency)
            reply = await self._answer_or_fault(request, record, operation, fault)
            if fault is not None and fault.when == "after":
                await self._wait(fault.latency)
            record.status = None if fault is not None and fault.drop is not None else reply.status
            return await deliver(request, reply, fault)
        except asyncio.CancelledError:
            record.cancelled = True
            raise

    async def _wait(self, seconds: float) -> None:
        if math.isinf(seconds):
            await asyncio.Event().wait()
        if seconds > 0:
            await self._sleep(seconds)

    async def _read(self, request: web.BaseRequest, record: RequestRecord) -> _Operation:
        try:
            record.body = await request.read()
        except web.HTTPRequestEntityTooLarge:
            refusal = Refusal(413, "Body is too large.", form=ErrorForm.MESSAGE)
            return _refusing(refusal)
        return self._find(record)

    async def _answer_or_fault(
        self,
        request: web.BaseRequest,
        record: RequestRecord,
        operation: _Operation | None,
        fault: Fault | None,
    ) -> web.Response | Download:
        if fault is not None and fault.strikes_instead:
            # What is not sent needs no answer: the connection is dropped.
            return web.Response(status=204) if fault.status is None else as_fault(fault)
        if operation is None:
            origin = f"{request.scheme}://{request.host}"
            answer = await self._distribution.answer(
                request, record.raw_path, record.raw_query, origin
            )
        else:
            with self._state.lock:
                answer = self._carry_out(record, operation)
        self._save()
        if fault is not None and fault.status is not None:
            return as_fault(fault)
        return answer if isinstance(answer, Download) else as_response(answer)

    def end(self) -> None:
        """Forget the uploads that go on."""
        self._distribution.uploads.cancel_all()

    def _find(self, record: RequestRecord) -> _Operation:
        """Tell what a request means before it is known whether it will be carried out."""
        try:
            return self._match(record)
        except Refusal as refusal:
            return _refusing(refusal)

    def _match(self, record: RequestRecord) -> _Operation:
        path = record.raw_path
        if path in _DOCUMENTS:
            return partial(self._show_document, record.method)
        query = Query(record.raw_query)
        record.query = query.values
        if _is_below(path, IDENTITY_PATH):
            segments = split_path(path.removeprefix(IDENTITY_PATH))[1:]
            return lambda: self._identity.answer(
                record.method, segments, record.headers, record.body, self.origin
            )
        if not _is_below(path, API_PATH):
            raise Refusal(404, "Page not found.", form=ErrorForm.MESSAGE)
        found = match(record.method, split_path(path.removeprefix(API_PATH)))
        record.operation_id = found.operation_id
        return lambda: found.operation(self._call(record, found, query))

    def _carry_out(self, record: RequestRecord, operation: _Operation) -> Answer:
        try:
            if self._opens_registries(record):
                self._project_of(record).actions.settle()
            return operation()
        except Refusal as refusal:
            return Answer(refusal.status, refusal.body(), refusal.headers)

    def _is_known(self, record: RequestRecord) -> bool:
        return self._identity.accepts(record.headers.get("X-Auth-Token", ""))

    def _opens_registries(self, record: RequestRecord) -> bool:
        return record.raw_path not in _DOCUMENTS and _is_below(record.raw_path, API_PATH)

    def _project_of(self, record: RequestRecord) -> SandboxProject:
        """Give the project that the token of a request opens."""
        project_id = self._identity.project_of(record.headers.get("X-Auth-Token", ""))
        if project_id is None:
            message = "The token is missing, unknown or expired."
            raise Refusal(401, message, form=ErrorForm.OBJECT, id="unauthorized")
        return self._projects[project_id]

    def _show_document(self, method: str) -> Answer:
        if method != "GET":
            message = f"Method {method} is not allowed."
            raise Refusal(405, message, form=ErrorForm.MESSAGE, headers={"Allow": "GET"})
        # The contract names the service itself: what reads it here must not call it there.
        servers = [{"url": self.origin + API_PATH}]
        return Answer(200, {**self._document, "servers": servers})

    def _call(self, record: RequestRecord, found: Match, query: Query) -> Call:
        project = self._project_of(record)
        dialect = self._settings.dialect
        agent = record.headers.get("User-Agent", "")
        return Call(
            state=project.state,
            actions=project.actions,
            path=found.path,
            query=query,
            content=record.body,
            settings=self._settings,
            max_limit=self._faults.max_limit,
            go_dialect=dialect == "go" or (dialect == "auto" and agent.startswith(_GO_CLIENT)),
            registry_host=self.origin.partition("://")[2],
        )


class Server(web.Server):
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
        if request.writer.output_size > 0:
            raise ConnectionError("an answer has begun already")
        error = Refusal(status, message or "Malformed request.", form=ErrorForm.MESSAGE)
        response = as_response(Answer(status, error.body()))
        response.force_close()
        return response


def _is_below(path: str, base: str) -> bool:
    return path == base or path.startswith(base + "/")


def _refusing(refusal: Refusal) -> _Operation:
    def refuse() -> NoReturn:
        raise refusal

    return refuse
