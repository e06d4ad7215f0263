"""A plain HTTP caller for the sandbox's tests, which holds every answer to the contract."""

from __future__ import annotations

import http.client
import json
from dataclasses import dataclass, field
from typing import Any, Final
from urllib.parse import quote, urlsplit

from registry_async.sandbox import Sandbox, State, StoredRegistry
from tests.support.contract import Contract

_CONTRACT: Final = Contract.load()


class Clock:
    """A clock that stands still until a test moves it."""

    def __init__(self) -> None:
        self.seconds = 1_000.0

    def __call__(self) -> float:
        return self.seconds


@dataclass(frozen=True)
class Reply:
    """One answer; `body` is the decoded JSON, None where there is no body."""

    status: int
    headers: http.client.HTTPMessage = field(repr=False)
    content: bytes = field(repr=False)

    @property
    def body(self) -> Any:
        return json.loads(self.content) if self.content else None


class Api:
    """Call a sandbox's registry API with bare requests, and check each answer.

    Args:
        sandbox: The running sandbox.
    """

    def __init__(self, sandbox: Sandbox) -> None:
        self.sandbox = sandbox

    def send(
        self,
        method: str,
        target: str,
        *,
        content: bytes | None = None,
        headers: dict[str, str] | None = None,
        token: str | None = "",
    ) -> Reply:
        """Send one request whose target is taken as it is, below the origin."""
        sent = dict(headers or {})
        if token is not None:
            sent["X-Auth-Token"] = token or self.sandbox.token
        connection = http.client.HTTPConnection(urlsplit(self.sandbox.origin).netloc, timeout=30)
        try:
            connection.request(method, target, body=content, headers=sent)
            response = connection.getresponse()
            reply = Reply(response.status, response.headers, response.read())
        finally:
            connection.close()
        return reply

    def call(
        self, method: str, path: str, json_body: object = None, *, status: int, **options: Any
    ) -> Any:
        """Call an operation, and give the decoded body.

        The status must be the one that is expected, and the answer one that the contract knows.
        """
        if json_body is not None:
            options["content"] = json.dumps(json_body).encode()
            options.setdefault("headers", {})["Content-Type"] = "application/json"
        reply = self.send(method, f"/api{path}", **options)
        assert reply.status == status, reply
        assert reply.headers["X-Request-Id"]
        operation_id = _CONTRACT.match(method, f"/api{path.partition('?')[0]}")[0].operation_id
        return _CONTRACT.check_answer(
            operation_id,
            reply.status,
            reply.content,
            content_type=reply.headers.get("Content-Type"),
        )

    def get(self, path: str, status: int = 200, **options: Any) -> Any:
        return self.call("GET", path, status=status, **options)

    def post(self, path: str, json_body: object = None, status: int = 201, **options: Any) -> Any:
        return self.call("POST", path, json_body, status=status, **options)

    def patch(self, path: str, json_body: object = None, status: int = 200) -> Any:
        return self.call("PATCH", path, json_body, status=status)

    def delete(self, path: str, status: int = 204) -> Any:
        return self.call("DELETE", path, status=status)


def path_of(registry: StoredRegistry, *names: str, version: int = 1) -> str:
    """Give the path of a registry, or of what is in it: names with slashes stay one segment."""
    path = f"/v{version}/registries/{registry.id}"
    if names:
        path += "/repositories/" + "/".join(quote(name, safe="") for name in names)
    return path


def populate(
    state: State, *, registries: int, repositories: int, images: int
) -> list[StoredRegistry]:
    """Add data in bulk; every image has a tag of its own."""
    added = [state.add_registry(f"bulk-{number}") for number in range(registries)]
    for registry in added:
        for number in range(repositories):
            repository = state.add_repository(registry, f"bulk/repository-{number:05}")
            for index in range(images):
                state.add_image(repository, tags=[f"v{index}"])
    return added
