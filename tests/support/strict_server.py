"""A server of the contract that refuses whatever the contract does not know.

It is written from the OpenAPI document alone and shares nothing with the package or its sandbox, so
that a client and this server can only agree by both being right. Every request is held to the
document; one that does not fit is answered 400 and kept in `violations`. Every answer is held to
it, too. Nothing here waits: what takes minutes in the real service (a registry that is created or
deleted, a garbage collection) is over after a set number of looks at the registry.
"""

from __future__ import annotations

import base64
import json
from collections.abc import Awaitable, Callable, Iterable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from types import TracebackType
from typing import Any, Final, Literal, Self

from aiohttp import web

from tests.support.contract import CheckedRequest, Contract, ContractViolationError
from tests.support.wire import LOOPBACK, SeenRequest

JsonObject = dict[str, Any]

_V1_LIVES: Final = {"12h": timedelta(hours=12), "1y": timedelta(days=365)}


@dataclass
class Paging:
    """How lists depart from the plain case.

    Args:
        cap: The most items of a page, whatever was asked for; 0 is no cap.
        ignore_offset: Always answer the first page.
        overlap: How many items before the offset come again, as after an insertion.
        filtered_count: Whether repositories and images carry `filteredCount`.
        total: What `totalCount` and `filteredCount` say, given the truth; None leaves them out.
        null_for_empty: Send null for an empty array, in lists and inside items.
        short_form: What `short=true` answers: bare strings, or objects with only a name.
    """

    cap: int = 0
    ignore_offset: bool = False
    overlap: int = 0
    filtered_count: bool = True
    total: Callable[[int], int | None] = lambda truth: truth
    null_for_empty: bool = False
    short_form: Literal["string", "object"] = "string"


@dataclass
class RepositoryState:
    """A repository and its images, as objects of the wire."""

    name: str
    kind: str = "docker"
    updated_at: str = "2025-11-02T03:04:05.123456789Z"
    images: list[JsonObject] = field(default_factory=list)

    @property
    def size(self) -> int:
        return sum(image["size"] for image in self.images)


@dataclass
class RegistryState:
    """A registry and all that is in it."""

    id: str
    name: str
    status: str = "ACTIVE"
    created_at: str = "2025-01-02T03:04:05Z"
    size_limit: int = 21_474_836_480
    clusters: list[JsonObject] = field(default_factory=list)
    repositories: dict[str, RepositoryState] = field(default_factory=dict)
    garbage: int = 0
    looks_left: int = 0
    delete_untagged: bool = False

    @property
    def size(self) -> int:
        return self.garbage + sum(repository.size for repository in self.repositories.values())

    def add_repository(
        self, name: str, images: Iterable[JsonObject] = (), *, kind: str = "docker"
    ) -> RepositoryState:
        """Put a repository into the registry."""
        self.repositories[name] = RepositoryState(name, kind, images=list(images))
        return self.repositories[name]


@dataclass(frozen=True, slots=True)
class Reply:
    """An answer: a status and, unless it is None, a JSON body."""

    status: int
    body: Any = None
    headers: Mapping[str, str] = field(default_factory=dict)


class _RefusedError(Exception):
    def __init__(self, status: int, message: str) -> None:
        super().__init__(message)
        self.status = status


def make_image(number: int, *, tags: Iterable[str] | None = None, layers: int = 2) -> JsonObject:
    """Make the `number`-th image; its first layer is the same for all.

    Args:
        number: Makes digest, times and sizes unique.
        tags: The tags; `v<number>` by default.
        layers: How many layers it has.
    """
    parts = [{"digest": f"sha256:{0xBA5E:064x}", "size": 1_000_000}]
    parts += [
        {"digest": f"sha256:{number * 100 + layer:064x}", "size": 1000 + layer}
        for layer in range(1, layers)
    ]
    parts = parts[:layers]
    return {
        "architecture": "amd64",
        "createdAt": f"2025-05-17T22:37:17.{number:09d}Z",
        "digest": f"sha256:{number:064x}",
        "layers": parts,
        "mediaType": "application/vnd.oci.image.manifest.v1+json",
        "os": "linux",
        "size": sum(part["size"] for part in parts),
        "tags": [f"v{number}"] if tags is None else list(tags),
    }


class StrictServer:
    """The service on loopback, strict and with state.

    Args:
        token: The one IAM token that it accepts; others are answered 401. An empty one accepts all,
            for `on_request` to judge.
        paging: How its lists behave.
        looks: How many times a registry is looked at before a change of its status is over.
        error_form: Which of the three documented forms errors have.
        docker_host: The host that Docker configurations are for.
        now: The service's clock.
        check_answers: Hold every answer to the document; a test of many large pages may leave it.

    Attributes:
        requests: Every request, in the order of arrival.
        violations: What did not fit the contract, in words; tests assert that it is empty.
        performed: The operationId of every request that fitted, in order.
        on_request: Awaited before a request is carried out; the reply that it gives, if any, is
            sent instead. For latency, barriers and failures.
        on_listed: Called with the operationId after a page was made up, to change the collection
            while it is paged.
        in_flight: How many requests are being answered now.
        most_in_flight: How many there were at most.
    """

    def __init__(
        self,
        *,
        token: str = "strict-server-token",
        paging: Paging | None = None,
        looks: int = 1,
        error_form: Literal["text", "object", "message"] = "text",
        docker_host: str = "registry.test",
        now: Callable[[], datetime] = lambda: datetime(2026, 1, 1, tzinfo=UTC),
        check_answers: bool = True,
    ) -> None:
        self.token = token
        self.paging = paging or Paging()
        self.looks = looks
        self.error_form = error_form
        self.docker_host = docker_host
        self.now = now
        self.check_answers = check_answers
        self.registries: dict[str, RegistryState] = {}
        self.tokens: dict[str, JsonObject] = {}
        self.secrets: dict[str, str] = {}
        self.tokens_v1: dict[str, datetime] = {}
        # Digests that an index refers to: their deletion is refused.
        self.referenced: set[str] = set()
        self.requests: list[SeenRequest] = []
        self.violations: list[str] = []
        self.performed: list[str] = []
        self.on_request: Callable[[SeenRequest], Awaitable[Reply | None]] | None = None
        self.on_listed: Callable[[str], None] | None = None
        self.in_flight = 0
        self.most_in_flight = 0
        self._contract = Contract.load()
        self._numbers = 0
        self._runner: web.ServerRunner | None = None
        self._port = 0
        self._operations: dict[str, Callable[[CheckedRequest], Reply]] = {
            "listRegistriesV1": lambda request: self._list_registries(request, version=1),
            "createRegistry": self._create_registry,
            "getRegistry": self._get_registry,
            "deleteRegistry": self._delete_registry,
            "listClusters": self._list_clusters,
            "startGarbageCollection": self._start_garbage_collection,
            "getGarbageSize": self._get_garbage_size,
            "listRepositoriesV1": lambda request: self._list_repositories(request, version=1),
            "getRepository": self._get_repository,
            "deleteRepository": self._delete_repository,
            "cleanupRepository": self._cleanup_repository,
            "listImagesV1": self._list_images_v1,
            "listTags": self._list_tags,
            "listLayers": self._list_layers,
            "deleteManifest": self._delete_manifest,
            "createTokenV1": self._create_token_v1,
            "getTokenV1": self._get_token_v1,
            "revokeTokenV1": self._revoke_token_v1,
            "refreshTokenV1": self._refresh_token_v1,
            "listRegistries": lambda request: self._list_registries(request, version=2),
            "listRepositories": lambda request: self._list_repositories(request, version=2),
            "listImages": self._list_images,
            "listTokens": self._list_tokens,
            "createToken": self._create_token,
            "getToken": self._get_token,
            "updateToken": self._update_token,
            "deleteToken": self._delete_token,
            "refreshToken": self._refresh_token,
            "regenerateToken": self._regenerate_token,
            "revokeToken": self._revoke_token,
        }

    async def __aenter__(self) -> Self:
        self._runner = web.ServerRunner(web.Server(self._handle), shutdown_timeout=1)
        await self._runner.setup()
        site = web.TCPSite(self._runner, LOOPBACK, 0)
        await site.start()
        self._port = self._runner.addresses[0][1]
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        assert self._runner is not None
        await self._runner.cleanup()

    @property
    def base_url(self) -> str:
        """The base URL of the service."""
        return f"http://{LOOPBACK}:{self._port}/api"

    def count(self, method: str | None = None, operation_id: str | None = None) -> int:
        """Count the requests that came, by method, or those that fitted, by operationId."""
        if operation_id is not None:
            return self.performed.count(operation_id)
        return sum(method is None or request.method == method for request in self.requests)

    def add_registry(self, name: str, *, status: str = "ACTIVE") -> RegistryState:
        """Put a registry into the project."""
        registry = RegistryState(self._new_id(), name, status)
        registry.clusters = [{"id": self._new_id(), "name": f"{name}-k8s", "pool": "ru-9"}]
        self.registries[registry.id] = registry
        return registry

    def populate(self, *, registries: int, repositories: int, images: int) -> None:
        """Fill the project evenly; repository names are nested, every third image has no tag."""
        number = 0
        for r in range(registries):
            registry = self.add_registry(f"registry-{r:03d}")
            for p in range(repositories):
                made = []
                for _ in range(images):
                    made.append(make_image(number, tags=() if number % 3 == 2 else None))
                    number += 1
                registry.add_repository(f"team-{p % 3}/app-{p:04d}", made)

    def finish_changes(self) -> None:
        """Bring every change of a registry's status to its end now."""
        for registry in list(self.registries.values()):
            registry.looks_left = 0
            self._settle(registry)

    # -- one request

    async def _handle(self, request: web.BaseRequest) -> web.StreamResponse:
        headers = tuple(
            (name.decode("latin-1").lower(), value.decode("latin-1"))
            for name, value in request.raw_headers
        )
        body = await request.read()
        seen = SeenRequest(request.method, request.raw_path, headers, body, len(self.requests))
        self.requests.append(seen)
        self.in_flight += 1
        self.most_in_flight = max(self.most_in_flight, self.in_flight)
        try:
            reply = await self.on_request(seen) if self.on_request is not None else None
            return _to_response(reply or self._answer(seen))
        finally:
            self.in_flight -= 1

    def _answer(self, seen: SeenRequest) -> Reply:
        try:
            request = self._contract.check_request(
                seen.method, seen.raw_path, seen.query, seen.headers, seen.body
            )
        except ContractViolationError as violation:
            self.violations.append(str(violation))
            return self._error(400, str(violation))
        operation_id = request.operation.operation_id
        self.performed.append(operation_id)
        try:
            if self.token and seen.header("X-Auth-Token") != self.token:
                raise _RefusedError(401, "The token is not valid.")
            reply = self._operations[operation_id](request)
        except _RefusedError as refusal:
            reply = self._error(refusal.status, str(refusal))
        if not self.check_answers:
            return reply
        # A server that breaks the contract itself would teach the client to accept that.
        try:
            self._contract.check_answer(operation_id, reply.status, _encode(reply))
        except ContractViolationError as violation:
            self.violations.append(f"the strict server itself: {violation}")
        return reply

    def _error(self, status: int, message: str) -> Reply:
        if self.error_form == "text":
            return Reply(status, {"error": message})
        if self.error_form == "object":
            return Reply(status, {"error": {"id": f"e{len(self.requests)}", "message": message}})
        return Reply(status, {"message": message})

    # -- lists

    def _page(
        self, request: CheckedRequest, key: str, matches: list[JsonObject], whole: int | None = None
    ) -> tuple[list[JsonObject], JsonObject]:
        """Cut a page; give its items and the envelope of v2."""
        limit = int(request.query.get("limit", 10))
        if self.paging.cap:
            limit = min(limit, self.paging.cap)
        offset = 0 if self.paging.ignore_offset else int(request.query.get("offset", 0))
        start = max(0, offset - self.paging.overlap)
        items = matches[start : start + limit]
        envelope: JsonObject = {
            key: None if not items and self.paging.null_for_empty else list(items)
        }
        counts = {"totalCount": len(matches) if whole is None else whole}
        if whole is not None and self.paging.filtered_count:
            counts["filteredCount"] = len(matches)
        for name, truth in counts.items():
            if (said := self.paging.total(truth)) is not None:
                envelope[name] = said
        if self.on_listed is not None:
            self.on_listed(request.operation.operation_id)
        return items, envelope

    def _list_registries(self, request: CheckedRequest, *, version: int) -> Reply:
        found = [
            _registry(registry, version)
            for registry in self.registries.values()
            if str(request.query.get("search", "")) in registry.name
        ]
        items, envelope = self._page(request, "registries", _sorted(found, request))
        return _bare(items) if version == 1 else Reply(200, envelope)

    def _list_repositories(self, request: CheckedRequest, *, version: int) -> Reply:
        registry = self._registry(request)
        found = [
            _repository(repository)
            for repository in registry.repositories.values()
            if str(request.query.get("search", "")) in repository.name
        ]
        if request.query.get("short"):
            found = [{"name": item["name"]} for item in sorted(found, key=lambda i: str(i["name"]))]
            if request.query.get("sort_type") == "desc":
                found.reverse()
        else:
            found = _sorted(found, request)
        items, envelope = self._page(request, "repositories", found, len(registry.repositories))
        if request.query.get("short") and self.paging.short_form == "string":
            names = [item["name"] for item in items]
            envelope["repositories"] = names or envelope["repositories"]
            return _bare(names) if version == 1 else Reply(200, envelope)
        return _bare(items) if version == 1 else Reply(200, envelope)

    def _list_images_v1(self, request: CheckedRequest) -> Reply:
        return _bare([self._image(image) for image in self._repository(request)[1].images])

    def _list_images(self, request: CheckedRequest) -> Reply:
        images = self._repository(request)[1].images
        wanted = str(request.query.get("search", ""))
        found = [
            self._image(image)
            for image in images
            if any(wanted in name for name in (image["digest"], *image["tags"]))
        ]
        return Reply(200, self._page(request, "images", found, len(images))[1])

    def _image(self, image: JsonObject) -> JsonObject:
        if not self.paging.null_for_empty:
            return image
        return image | {key: image[key] or None for key in ("layers", "tags")}

    def _list_tokens(self, request: CheckedRequest) -> Reply:
        mode = {"rw": True, "ro": False}.get(str(request.query.get("scope_mode")))
        found = [
            token
            for token in self.tokens.values()
            if str(request.query.get("search", "")) in token.get("name", "")
            and (mode is None or token["scope"]["modeRW"] is mode)
        ]
        return Reply(200, self._page(request, "tokens", _sorted(found, request, "createdAt"))[1])

    # -- registries

    def _registry(self, request: CheckedRequest) -> RegistryState:
        registry = self.registries.get(request.path["registry_id"])
        if registry is None:
            raise _RefusedError(404, "Registry not found.")
        return registry

    def _changeable(self, request: CheckedRequest) -> RegistryState:
        registry = self._registry(request)
        if registry.status != "ACTIVE":
            raise _RefusedError(409, f"Registry is in status {registry.status}.")
        return registry

    def _begin(self, registry: RegistryState, status: str) -> None:
        registry.status = status
        registry.looks_left = self.looks

    def _settle(self, registry: RegistryState) -> None:
        if registry.looks_left:
            registry.looks_left -= 1
        elif registry.status == "DELETING":
            del self.registries[registry.id]
        elif registry.status in {"CREATING", "GARBAGE_COLLECTION"}:
            if registry.status == "GARBAGE_COLLECTION":
                registry.garbage = 0
                for repository in (
                    registry.repositories.values() if registry.delete_untagged else ()
                ):
                    repository.images = [image for image in repository.images if image["tags"]]
            registry.status = "ACTIVE"

    def _create_registry(self, request: CheckedRequest) -> Reply:
        name = request.body["name"]
        if any(registry.name == name for registry in self.registries.values()):
            raise _RefusedError(409, "Registry already exists.")
        registry = self.add_registry(name)
        registry.clusters = []
        self._begin(registry, "CREATING")
        return Reply(201, _registry(registry, 1))

    def _get_registry(self, request: CheckedRequest) -> Reply:
        self._settle(self._registry(request))
        return Reply(200, _registry(self._registry(request), 1))

    def _delete_registry(self, request: CheckedRequest) -> Reply:
        self._begin(self._changeable(request), "DELETING")
        return Reply(204)

    def _list_clusters(self, request: CheckedRequest) -> Reply:
        clusters = self._registry(request).clusters
        listed = None if not clusters and self.paging.null_for_empty else clusters
        return Reply(200, {"clusters": listed, "totalCount": len(clusters)})

    def _start_garbage_collection(self, request: CheckedRequest) -> Reply:
        registry = self._changeable(request)
        registry.delete_untagged = bool(request.query.get("delete-untagged", False))
        self._begin(registry, "GARBAGE_COLLECTION")
        return Reply(201)

    def _get_garbage_size(self, request: CheckedRequest) -> Reply:
        registry = self._registry(request)
        untagged = sum(
            image["size"]
            for repository in registry.repositories.values()
            for image in repository.images
            if not image["tags"]
        )
        return Reply(
            200,
            {
                "sizeNonReferenced": registry.garbage,
                "sizeSummary": registry.garbage + untagged,
                "sizeUntagged": untagged,
            },
        )

    # -- repositories and images

    def _repository(
        self, request: CheckedRequest, *, change: bool = False
    ) -> tuple[RegistryState, RepositoryState]:
        registry = self._changeable(request) if change else self._registry(request)
        repository = registry.repositories.get(request.path["repository"])
        if repository is None:
            raise _RefusedError(404, "Repository not found.")
        return registry, repository

    def _get_repository(self, request: CheckedRequest) -> Reply:
        return Reply(200, _repository(self._repository(request)[1]))

    def _delete_repository(self, request: CheckedRequest) -> Reply:
        registry, repository = self._repository(request, change=True)
        registry.garbage += repository.size
        del registry.repositories[repository.name]
        return Reply(204)

    def _cleanup_repository(self, request: CheckedRequest) -> Reply:
        registry, repository = self._repository(request, change=True)
        digests = set(request.body.get("digests", ()))
        tags = set(request.body.get("tags", ()))
        deleted: list[JsonObject] = []
        failed: list[JsonObject] = []
        kept: list[JsonObject] = []
        for image in repository.images:
            gone = image["tags"] if image["digest"] in digests else tags.intersection(image["tags"])
            entry: JsonObject = {"digest": image["digest"], "tags": sorted(gone)}
            left = [tag for tag in image["tags"] if tag not in gone]
            if image["digest"] not in digests and not gone:
                kept.append(image)
            elif image["digest"] in self.referenced:
                kept.append(image)
                failed.append(entry | {"error": "Image is referenced by another manifest"})
            elif left:
                kept.append(image | {"tags": left})
                deleted.append(entry)
            else:
                registry.garbage += image["size"]
                deleted.append(entry)
        known = {image["digest"] for image in repository.images}
        failed += [
            {"digest": digest, "error": "Image not found.", "tags": None}
            for digest in sorted(digests - known)
        ]
        repository.images = kept
        if not request.body.get("disable_gc", False):
            registry.delete_untagged = False
            self._begin(registry, "GARBAGE_COLLECTION")
        return Reply(200, {"deleted": deleted or None, "failed": failed or None})

    def _list_tags(self, request: CheckedRequest) -> Reply:
        images = self._repository(request)[1].images
        return Reply(200, sorted(tag for image in images for tag in image["tags"]))

    def _list_layers(self, request: CheckedRequest) -> Reply:
        _, repository = self._repository(request)
        reference = request.path["reference"]
        for image in repository.images:
            if reference == image["digest"] or reference in image["tags"]:
                return Reply(200, self._image(image))
        raise _RefusedError(404, "Image not found.")

    def _delete_manifest(self, request: CheckedRequest) -> Reply:
        registry, repository = self._repository(request, change=True)
        reference = request.path["reference"]
        for image in repository.images:
            if image["digest"] != reference:
                continue
            if reference in self.referenced:
                raise _RefusedError(409, "Image is referenced by another manifest")
            repository.images.remove(image)
            registry.garbage += image["size"]
            return Reply(204)
        raise _RefusedError(404, "Image not found.")

    # -- access tokens

    def _token(self, request: CheckedRequest) -> JsonObject:
        token = self.tokens.get(request.path["token_id"])
        if token is None:
            raise _RefusedError(404, "Token not found.")
        return token

    def _check_scope(self, scope: JsonObject) -> None:
        if not scope["allRegistries"] and not scope.get("registryIds"):
            raise _RefusedError(400, "registryIds must be set.")

    def _issue_secret(self, token: JsonObject) -> str:
        secret = f"secret-{self._new_id()}"
        self.secrets[token["id"]] = secret
        return secret

    def _docker_config(self, secret: str) -> JsonObject:
        auth = base64.b64encode(f"token:{secret}".encode()).decode()
        entry = {"auth": auth, "username": "token", "password": secret}
        return {"auths": {self.docker_host: entry}}

    def _create_token(self, request: CheckedRequest) -> Reply:
        self._check_scope(request.body["scope"])
        token = {
            "createdAt": _time(self.now() + timedelta(microseconds=self._numbers)),
            "expiration": request.body["expiration"],
            "id": self._new_id(),
            "lastUsedAt": None,
            "scope": request.body["scope"],
            "status": "active",
        }
        if "name" in request.body:
            token["name"] = request.body["name"]
        self.tokens[token["id"]] = token
        secret = self._issue_secret(token)
        if request.query.get("docker-config"):
            return Reply(201, self._docker_config(secret))
        return Reply(201, token | {"token": secret})

    def _get_token(self, request: CheckedRequest) -> Reply:
        return Reply(200, self._token(request))

    def _update_token(self, request: CheckedRequest) -> Reply:
        token = self._token(request)
        if "scope" in request.body:
            self._check_scope(request.body["scope"])
        token.update(request.body)
        return Reply(200, token)

    def _delete_token(self, request: CheckedRequest) -> Reply:
        del self.tokens[self._token(request)["id"]]
        return Reply(204)

    def _refresh_token(self, request: CheckedRequest) -> Reply:
        token = self._token(request)
        token["expiration"] = request.body["expiration"]
        return Reply(200, token)

    def _regenerate_token(self, request: CheckedRequest) -> Reply:
        token = self._token(request)
        token.update(expiration=request.body["expiration"], status="active")
        return Reply(200, token | {"token": self._issue_secret(token)})

    def _revoke_token(self, request: CheckedRequest) -> Reply:
        self._token(request)["status"] = "revoked"
        return Reply(204)

    def _create_token_v1(self, request: CheckedRequest) -> Reply:
        secret = self._new_id()
        self.tokens_v1[secret] = self.now() + _V1_LIVES[str(request.query.get("ttl", "12h"))]
        if request.query.get("docker-config"):
            return Reply(201, self._docker_config(secret))
        return Reply(201, self._life(secret) | {"token": secret})

    def _life(self, secret: str) -> JsonObject:
        left = self.tokens_v1[secret] - self.now()
        return {
            "expireAt": int(self.tokens_v1[secret].timestamp()),
            "expireIn": int(left.total_seconds()),
        }

    def _known_v1(self, request: CheckedRequest, status: int) -> str:
        secret = request.path["token"]
        if secret not in self.tokens_v1:
            raise _RefusedError(status, "Invalid or malformed token.")
        return secret

    def _get_token_v1(self, request: CheckedRequest) -> Reply:
        return Reply(200, self._life(self._known_v1(request, 404)))

    def _refresh_token_v1(self, request: CheckedRequest) -> Reply:
        secret = self._known_v1(request, 404)
        self.tokens_v1[secret] = self.now() + _V1_LIVES["12h"]
        return Reply(200, self._life(secret) | {"token": secret})

    def _revoke_token_v1(self, request: CheckedRequest) -> Reply:
        del self.tokens_v1[self._known_v1(request, 400)]
        return Reply(204)

    def _new_id(self) -> str:
        self._numbers += 1
        return f"00000000-0000-4000-8000-{self._numbers:012x}"


def _registry(registry: RegistryState, version: int) -> JsonObject:
    item: JsonObject = {
        "createdAt": registry.created_at,
        "id": registry.id,
        "name": registry.name,
        "size": registry.size,
        "status": registry.status,
    }
    if version == 1:
        used = round(100 * registry.size / registry.size_limit, 2)
        item |= {"sizeLimit": registry.size_limit, "used": used}
    return item


def _repository(repository: RepositoryState) -> JsonObject:
    return {
        "name": repository.name,
        "size": repository.size,
        "type": repository.kind,
        "updatedAt": repository.updated_at,
    }


def _sorted(
    items: list[JsonObject], request: CheckedRequest, default: str = "name"
) -> list[JsonObject]:
    name = str(request.query.get("sort_field", default))

    def value(item: JsonObject) -> Any:
        if name == "expiresAt":
            return item["expiration"].get("expiresAt", "9999")
        return item.get(name) or ""

    return sorted(items, key=value, reverse=request.query.get("sort_type") == "desc")


def _bare(items: list[Any]) -> Reply:
    # A v1 list without items has no body, whatever page was asked for.
    return Reply(200, items) if items else Reply(204)


def _time(moment: datetime) -> str:
    return moment.astimezone(UTC).isoformat().replace("+00:00", "Z")


def _encode(reply: Reply) -> bytes:
    return b"" if reply.body is None else json.dumps(reply.body).encode()


def _to_response(reply: Reply) -> web.Response:
    headers = dict(reply.headers)
    if reply.body is not None:
        headers.setdefault("Content-Type", "application/json")
    return web.Response(status=reply.status, body=_encode(reply), headers=headers)
