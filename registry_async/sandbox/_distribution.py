"""The OCI distribution API at `/v2/`: which endpoint a request means, and whether it may."""

import re
from collections.abc import AsyncIterator, Callable, Mapping
from typing import Final
from urllib.parse import parse_qs, unquote

from aiohttp import web

from registry_async.sandbox import _pulls as pulls
from registry_async.sandbox import _pushes as pushes
from registry_async.sandbox._permits import (
    TOKEN_PATH,
    Permit,
    Permits,
    challenge,
    check_asked,
    opens,
    read_basic,
)
from registry_async.sandbox._projects import SandboxProject
from registry_async.sandbox._pulls import Download, Place
from registry_async.sandbox._pushes import Incoming
from registry_async.sandbox._refusals import ErrorForm, Refusal, RegistryRefusal
from registry_async.sandbox._requests import Answer, Query
from registry_async.sandbox._state import State
from registry_async.sandbox._tokens import Scope
from registry_async.sandbox._uploads import Uploads

PATH = "/v2"
_PIECE = 1 << 18
_ACTIONS: Final = {"GET": "pull", "HEAD": "pull", "DELETE": "delete"}
_CODES: Final = {400: "UNSUPPORTED", 404: "MANIFEST_UNKNOWN", 405: "UNSUPPORTED", 409: "DENIED"}
_COMPONENT = "[a-z0-9]+(?:(?:[._]|__|-+)[a-z0-9]+)*"
_NAME: Final = re.compile(f"{_COMPONENT}(?:/{_COMPONENT})*", re.ASCII)
_ENDPOINTS: Final = tuple(
    (re.compile(rf"/v2/(.+)/{tail}"), kind, frozenset(methods.split()))
    for tail, kind, methods in (
        ("blobs/uploads/?()", "uploads", "POST"),
        ("blobs/uploads/([^/]+)", "upload", "GET PATCH PUT DELETE"),
        ("blobs/([^/]+)", "blob", "GET HEAD DELETE"),
        ("manifests/([^/]+)", "manifest", "GET HEAD PUT DELETE"),
        ("tags/list()", "tags", "GET HEAD"),
        ("referrers/([^/]+)", "referrers", "GET HEAD"),
    )
)


class Distribution:
    """Answer requests below `/v2/`; whoever logs in sees the registries of one project.

    Args:
        state: The state whose lock and clock all projects share.
        projects: All projects, with their registries and the tokens that log in.
    """

    def __init__(self, state: State, projects: Mapping[str, SandboxProject]) -> None:
        self.permits = Permits(projects, state.now)
        self.uploads = Uploads(state.clock)
        self._state = state

    async def answer(
        self, request: web.BaseRequest, raw_path: str, raw_query: str, origin: str
    ) -> Answer | Download:
        """Answer one request.

        Args:
            request: The request as aiohttp read it; its body is read only once it is known who
                asks.
            raw_path: The path as it arrived.
            raw_query: The query as it arrived.
            origin: Scheme, host and port by which the client knows the sandbox.

        Returns:
            The answer, or what is to be sent from the store.
        """
        try:
            return await self._answer(request, unquote(raw_path), raw_query, origin)
        except RegistryRefusal as refusal:
            return Answer(refusal.status, refusal.body(), refusal.headers)
        except Refusal as refusal:
            if refusal.form is not ErrorForm.MESSAGE:
                code = _CODES.get(refusal.status, "UNKNOWN")
                refusal = RegistryRefusal(refusal.status, code, refusal.message)
            return Answer(refusal.status, refusal.body(), refusal.headers)

    async def _answer(
        self, request: web.BaseRequest, path: str, raw_query: str, origin: str
    ) -> Answer | Download:
        method = request.method
        if path == TOKEN_PATH:
            return await self._log_in(request, raw_query)
        if path.rstrip("/") == PATH:
            if method not in ("GET", "HEAD"):
                raise _not_allowed(method, {"GET", "HEAD"})
            self._find_permit(request, challenge(origin))
            return Answer(200, {}, {"Docker-Distribution-API-Version": "registry/2.0"})
        kind, name, rest = _find_endpoint(method, path)
        action = "push" if kind in ("uploads", "upload") else _ACTIONS.get(method, "push")
        permit, scope = self._find_permit(request, challenge(origin, name, _asked_for(action)))
        asked = challenge(origin, name, _asked_for(action), "insufficient_scope")
        check_asked(permit, name, action, asked)
        state, actions = permit.project.state, permit.project.actions
        registry_name, _, repository_name = name.partition("/")
        with self._state.lock:
            actions.settle()
            registry = state.registry_named(registry_name)
        if not opens(scope, registry, action):
            raise RegistryRefusal(403, "DENIED", f"this token does not open {name} for a {action}")
        if registry is None:
            raise pulls.name_unknown(name)
        pushing = permit.was_asked_for(name, "push") and opens(scope, registry, "push")
        place = Place(state, name, registry, repository_name, pushing)
        query = Query(raw_query, repeated=("tag",))
        incoming = Incoming(query, request.headers, request.content_length, _reader(request))
        if kind in ("uploads", "upload"):
            return await self._upload(place, method, rest, incoming, scope)
        if method == "PUT":
            content = await pushes.read_manifest_body(incoming)
            with self._state.lock:
                return pushes.put_manifest(place, rest, content, incoming)
        with self._state.lock:
            if method == "DELETE":
                if kind == "blob":
                    return pushes.delete_blob(place, rest)
                return pushes.delete_manifest(place, actions, rest)
            if kind == "manifest":
                return pulls.get_manifest(place, rest)
            if kind == "blob":
                return pulls.get_blob(place, rest, request.headers.get("Range"))
            if kind == "tags":
                return pulls.list_tags(place, query)
            return pulls.list_referrers(place, rest, query)

    async def _upload(
        self, place: Place, method: str, session_id: str, incoming: Incoming, scope: Scope
    ) -> Answer:
        if method == "POST":
            return await pushes.begin_upload(
                place, self.uploads, incoming, lambda source: opens(scope, source, "pull")
            )
        if method == "PATCH":
            return await pushes.append_chunk(place, self.uploads, session_id, incoming)
        if method == "PUT":
            return await pushes.finish_upload(place, self.uploads, session_id, incoming)
        if method == "DELETE":
            return pushes.cancel_upload(place, self.uploads, session_id)
        return pushes.show_upload(place, self.uploads, session_id)

    async def _log_in(self, request: web.BaseRequest, raw_query: str) -> Answer:
        """Do what the realm of the challenge does: GET with Basic, or POST with a form."""
        if request.method == "POST":
            form = parse_qs((await request.read()).decode("utf-8", "replace"))
            user, secret = form.get("username", [""])[0], form.get("password", [""])[0]
            scopes = form.get("scope", [])
        elif request.method == "GET":
            user, secret = read_basic(request.headers.get("Authorization", ""))
            scopes = parse_qs(raw_query).get("scope", [])
        else:
            raise _not_allowed(request.method, {"GET", "POST"})
        with self._state.lock:
            return Answer(200, self.permits.issue(user, secret, scopes))

    def _find_permit(self, request: web.BaseRequest, asked: str) -> tuple[Permit, Scope]:
        with self._state.lock:
            found = self.permits.find(request.headers.get("Authorization", ""))
        if found is None:
            raise _unauthorized(asked)
        return found


def _find_endpoint(method: str, path: str) -> tuple[str, str, str]:
    """Give the kind of an endpoint, the name in its path, and what follows that."""
    for pattern, kind, methods in _ENDPOINTS:
        match = pattern.fullmatch(path)
        if match is None:
            continue
        if method not in methods:
            raise _not_allowed(method, methods)
        if len(match[1]) > 255 or not _NAME.fullmatch(match[1]):
            raise RegistryRefusal(400, "NAME_INVALID", "this is not the name of a repository")
        return kind, match[1], match[2]
    raise Refusal(404, "Page not found.", form=ErrorForm.MESSAGE)


def _asked_for(action: str) -> str:
    return "pull,push" if action == "push" else action


def _unauthorized(asked: str) -> RegistryRefusal:
    headers = {"WWW-Authenticate": asked, "Docker-Distribution-API-Version": "registry/2.0"}
    return RegistryRefusal(401, "UNAUTHORIZED", "log in with a token", headers=headers)


def _not_allowed(method: str, allowed: frozenset[str] | set[str]) -> RegistryRefusal:
    headers = {"Allow": ", ".join(sorted(allowed))}
    return RegistryRefusal(405, "UNSUPPORTED", f"{method} is not allowed", headers=headers)


def _reader(request: web.BaseRequest) -> Callable[[], AsyncIterator[bytes]]:
    async def pieces() -> AsyncIterator[bytes]:
        async for piece in request.content.iter_chunked(_PIECE):
            yield piece

    return pieces
