"""What tests of scans share: a project to scan, what is in it, and how it fails."""

from __future__ import annotations

from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from typing import Any, Final

import anyio

from registry_async import AsyncRegistryClient, ScannedImage
from tests.support.clock import FakeClock
from tests.support.strict_server import Reply, StrictServer
from tests.support.wire import SeenRequest

Found = tuple[str, str, str]

# What hangs although it must not, hangs here and not for ever.
LIMIT: Final = 30


def client_of(server: StrictServer, **options: Any) -> AsyncRegistryClient:
    """Return a client of a server, on a clock of its own."""
    settings: dict[str, Any] = {
        "token": server.token,
        "base_url": server.base_url,
        "clock": FakeClock(),
    }
    return AsyncRegistryClient(**(settings | options))


@asynccontextmanager
async def serving(**options: Any) -> AsyncIterator[tuple[StrictServer, AsyncRegistryClient]]:
    """Serve a project, and hold the client to the contract."""
    async with StrictServer(**options) as server, client_of(server) as client:
        with anyio.fail_after(LIMIT):
            yield server, client
        assert server.violations == []


def truth(server: StrictServer) -> Counter[Found]:
    """Everything that is there."""
    return Counter(
        (registry.id, repository.name, image["digest"])
        for registry in server.registries.values()
        for repository in registry.repositories.values()
        for image in repository.images
    )


def key(found: ScannedImage) -> Found:
    """Return what names an image."""
    return found.registry.id, found.repository.name, found.image.digest


def failing(
    matches: Callable[[SeenRequest], bool], status: int, message: str = "No."
) -> Callable[[SeenRequest], Awaitable[Reply | None]]:
    """Answer some requests with a failure."""

    async def answer(request: SeenRequest) -> Reply | None:
        return Reply(status, {"error": message}) if matches(request) else None

    return answer


def lists_images(request: SeenRequest) -> bool:
    """Say whether a request lists images."""
    return request.raw_path.endswith("/images")


async def settle(server: StrictServer) -> None:
    """Return when nothing moves any more: no request is under way and every task waits."""
    quiet = 0
    seen = -1
    while quiet < 20:
        await anyio.wait_all_tasks_blocked()
        unmoved = server.in_flight == 0 and len(server.requests) == seen
        quiet = quiet + 1 if unmoved else 0
        seen = len(server.requests)
