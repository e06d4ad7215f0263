"""Scans: time over the ideal, requests, and throughput against other ways to do it."""

import asyncio
import math
import time
from collections.abc import Awaitable, Callable
from statistics import median
from typing import Final

import aiohttp
from attrs import frozen
from yarl import URL

from benchmarks.contenders import PAGE
from benchmarks.server import running
from registry_async import AsyncRegistryClient

DELAY: Final = 0.020


@frozen
class Result:
    """One way to read every image.

    Attributes:
        requests: How many requests it sent.
        over_ideal: Its time in units of the ideal: what can be asked at once is asked at once.
    """

    requests: int
    over_ideal: float


class _Counter:
    """Counts the requests of a session."""

    def __init__(self) -> None:
        self.requests = 0

    def session(self, concurrency: int) -> aiohttp.ClientSession:
        trace = aiohttp.TraceConfig()

        async def count(*_: object) -> None:
            self.requests += 1

        trace.on_request_start.append(count)
        connector = aiohttp.TCPConnector(limit=concurrency)
        return aiohttp.ClientSession(connector=connector, trace_configs=[trace])


async def _scan(base_url: str, session: aiohttp.ClientSession, concurrency: int) -> int:
    """The scanner."""
    client = AsyncRegistryClient(
        token="token", base_url=base_url, session=session, max_connections=concurrency
    )
    count = 0
    async with client.scan(concurrency=concurrency) as scan:
        async for _ in scan:
            count += 1
    assert scan.complete
    return count


async def _loop(base_url: str, session: aiohttp.ClientSession, concurrency: int) -> int:
    """The client, one page after the other."""
    client = AsyncRegistryClient(token="token", base_url=base_url, session=session)
    count = 0
    async for registry in client.registries.list():
        async for repository in client.repositories.list(registry.id):
            async for _ in client.images.list(registry.id, repository.name):
                count += 1
    return count


async def _raw(base_url: str, session: aiohttp.ClientSession, concurrency: int) -> int:
    """Raw aiohttp with a task for each repository, as one would write it by hand."""
    places = asyncio.Semaphore(concurrency)
    headers = {"X-Auth-Token": "token"}

    async def read(path: str, key: str) -> list[dict[str, str]]:
        items: list[dict[str, str]] = []
        while True:
            url = URL(f"{base_url}{path}?limit={PAGE}&offset={len(items)}", encoded=True)
            async with places, session.get(url, headers=headers) as response:
                page = await response.json()
            items += page[key]
            if len(items) >= page["totalCount"]:
                return items

    async def images(registry: str, repository: str) -> int:
        name = repository.replace("/", "%2F")
        path = f"/v2/registries/{registry}/repositories/{name}/images"
        return len(await read(path, "images"))

    registries = [one["id"] for one in await read("/v2/registries", "registries")]
    lists = await asyncio.gather(
        *(read(f"/v2/registries/{one}/repositories", "repositories") for one in registries)
    )
    counts = await asyncio.gather(
        *(
            images(registry, repository["name"])
            for registry, repositories in zip(registries, lists, strict=True)
            for repository in repositories
        )
    )
    return sum(counts)


Way = Callable[[str, aiohttp.ClientSession, int], Awaitable[int]]
WAYS: Final[dict[str, Way]] = {
    "scan()": _scan,
    "raw aiohttp, a task for each repository": _raw,
    "a loop over our lists": _loop,
}


async def _time(way: Way, base_url: str, concurrency: int, images: int) -> tuple[int, float]:
    counter = _Counter()
    async with counter.session(concurrency) as session:
        began = time.perf_counter()
        assert await way(base_url, session, concurrency) == images
        return counter.requests, time.perf_counter() - began


def measure(
    *, concurrency: int, rounds: int, registries: int = 20, repositories: int = 50, images: int = 3
) -> dict[str, Result]:
    """Return what each way takes at 20 ms a call, interleaved, by its name.

    The lists are short, so that the service's time is what there is to be hidden: how fast long
    ones are decoded is another benchmark's question.
    """
    total = registries * repositories * images
    requests = dict.fromkeys(WAYS, 0)
    times: dict[str, list[float]] = {name: [] for name in WAYS}
    with running(
        registries=registries, repositories=repositories, images=images, delay=DELAY
    ) as base_url:
        for _ in range(rounds):
            for name, way in WAYS.items():
                requests[name], taken = asyncio.run(_time(way, base_url, concurrency, total))
                times[name].append(taken)
    lists = registries * math.ceil(repositories / PAGE)
    pages = registries * repositories * math.ceil(images / PAGE)
    # Nothing can be asked before the registries are known, and no image before its repository.
    rounds_after = max(
        math.ceil((lists + pages) / concurrency),
        math.ceil(lists / concurrency) + math.ceil(pages / concurrency),
    )
    ideal = (1 + min(rounds_after, 1 + math.ceil((lists + pages) / concurrency))) * DELAY
    return {name: Result(requests[name], median(times[name]) / ideal) for name in WAYS}
