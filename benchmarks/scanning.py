"""Scans: time over the ideal, requests, and throughput against other ways to do it."""

import asyncio
import math
import tempfile
import time
from collections.abc import Awaitable, Callable, Mapping
from pathlib import Path
from statistics import median
from typing import Any, Final
from urllib.parse import urlsplit

import aiohttp
import httpx
from attrs import frozen
from yarl import URL

from benchmarks.contenders import PAGE, generate_client
from benchmarks.measure import Spread
from benchmarks.pages import Shape
from benchmarks.server import Server, running
from registry_async import AsyncRegistryClient

DELAY: Final = 0.020


def _ideal(shape: Shape, concurrency: int, call: float) -> float:
    """Return the least seconds that anybody can take.

    Args:
        shape: What there is to be scanned.
        concurrency: How many requests may be in flight.
        call: The seconds of one.
    """
    lists = shape.registries * math.ceil(shape.repositories / PAGE)
    pages = shape.registries * shape.repositories * math.ceil(shape.images / PAGE)
    # Nothing can be asked before the registries are known, and no image before the first
    # repositories are.
    after = max(math.ceil((lists + pages) / concurrency), 1 + math.ceil(pages / concurrency))
    return (math.ceil(shape.registries / PAGE) + after) * call


@frozen
class Result:
    """One way to read every image.

    Attributes:
        requests: How many requests it sent.
        over_ideal: Its time in units of the ideal: what can be asked at once is asked at once.
    """

    requests: int
    over_ideal: Spread


async def _scan(base_url: str, concurrency: int) -> int:
    """The scanner."""
    count = 0
    async with (
        AsyncRegistryClient(token="token", base_url=base_url) as client,
        client.scan(concurrency=concurrency) as scan,
    ):
        async for _ in scan:
            count += 1
    assert scan.complete
    return count


async def _loop(base_url: str, concurrency: int) -> int:
    """The client, one page after the other."""
    count = 0
    async with AsyncRegistryClient(token="token", base_url=base_url) as client:
        async for registry in client.registries.list():
            async for repository in client.repositories.list(registry.id):
                async for _ in client.images.list(registry.id, repository.name):
                    count += 1
    return count


async def _raw(base_url: str, concurrency: int) -> int:
    """Raw aiohttp with a task for each repository, as one would write it by hand."""
    places = asyncio.Semaphore(concurrency)
    headers = {"X-Auth-Token": "token"}

    async with aiohttp.ClientSession(connector=aiohttp.TCPConnector(limit=concurrency)) as session:

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


def _generated(folder: Path) -> "Way":
    """The client generated from the OpenAPI document, one page after the other."""
    generate_client(folder)
    from generated_client import AuthenticatedClient  # type: ignore[import-not-found]
    from generated_client.api.default import (  # type: ignore[import-not-found]
        list_images,
        list_registries,
        list_repositories,
    )

    async def read(operation: Any, key: str, *path: str, client: Any) -> list[Any]:
        items: list[Any] = []
        while True:
            page = await operation.asyncio(*path, client=client, limit=PAGE, offset=len(items))
            items += getattr(page, key)
            if len(items) >= page.total_count:
                return items

    async def scan(base_url: str, concurrency: int) -> int:
        count = 0
        async with AuthenticatedClient(
            base_url=base_url,
            token="token",
            prefix="",
            auth_header_name="X-Auth-Token",
            timeout=httpx.Timeout(60),
        ) as client:
            for registry in await read(list_registries, "registries", client=client):
                for repository in await read(
                    list_repositories, "repositories", registry.id, client=client
                ):
                    name = repository.name
                    count += len(
                        await read(list_images, "images", registry.id, name, client=client)
                    )
        return count

    return scan


Way = Callable[[str, int], Awaitable[int]]


async def _time(way: Way, base_url: str, concurrency: int, images: int) -> float:
    began = time.perf_counter()
    assert await way(base_url, concurrency) == images
    return time.perf_counter() - began


async def _seconds_a_call(server: Server, calls: int = 25) -> float:
    """Return what a call takes without any client: the service's time and the network's."""
    url = urlsplit(server.base_url)
    assert url.hostname is not None
    reader, writer = await asyncio.open_connection(url.hostname, url.port)
    times: list[float] = []
    for _ in range(calls):
        began = time.perf_counter()
        writer.write(b"GET /api/v2/registries?limit=1 HTTP/1.1\r\n\r\n")
        head = await reader.readuntil(b"\r\n\r\n")
        await reader.readexactly(int(head.partition(b"Content-Length:")[2].split(b"\r")[0]))
        times.append(time.perf_counter() - began)
    writer.close()
    await writer.wait_closed()
    return median(times)


def _race(
    ways: Mapping[str, Way], shape: Shape, concurrency: int, rounds: int
) -> dict[str, Result]:
    requests: dict[str, int] = {}
    times: dict[str, list[float]] = {name: [] for name in ways}
    with running(shape, delay=DELAY) as server:
        ideal = _ideal(shape, concurrency, asyncio.run(_seconds_a_call(server)))
        # What is imported on first use is not what is measured.
        asyncio.run(_scan(server.base_url, concurrency))
        for _ in range(rounds):
            for name, way in ways.items():
                before = server.requests()
                taken = asyncio.run(_time(way, server.base_url, concurrency, shape.total))
                requests[name] = server.requests() - before
                times[name].append(taken / ideal)
    return {name: Result(requests[name], Spread(tuple(times[name]))) for name in ways}


def concurrent(shape: Shape, *, concurrency: int, rounds: int) -> dict[str, Result]:
    """Return what the ways that keep several requests in flight take, interleaved.

    The lists are short, so that the service's time is what there is to be hidden: how fast long
    ones are decoded is another benchmark's question.
    """
    ways = {"scan()": _scan, "raw aiohttp, a task for each repository": _raw}
    return _race(ways, shape, concurrency, rounds)


def sequential(shape: Shape, *, concurrency: int, rounds: int) -> dict[str, Result]:
    """Return what the scanner takes beside loops that read one page after the other."""
    with tempfile.TemporaryDirectory() as folder:
        ways = {
            "scan()": _scan,
            "a loop over our lists": _loop,
            "a loop over the lists of openapi-python-client": _generated(Path(folder)),
        }
        return _race(ways, shape, concurrency, rounds)


def throughput(results: Mapping[str, Result], unit: str) -> dict[str, Spread]:
    """Return each way's images in a second, in units of one of them."""
    return {
        name: results[unit].over_ideal.over(result.over_ideal) for name, result in results.items()
    }
