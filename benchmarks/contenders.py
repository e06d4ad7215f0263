"""The ways of reading pages of images that are compared: ``python -m benchmarks.contenders``.

Each reads the same lists with as many requests at once, says how much processor time and how
much time on the clock it took, and waits to be told to do it again. Ours do what users do: iterate
items, collect, scan, report, and iterate with the sync client.
"""

import argparse
import asyncio
import json
import sys
import tempfile
import time
from collections.abc import Awaitable, Callable, Coroutine, Iterable
from contextlib import AsyncExitStack
from functools import partial
from pathlib import Path
from types import ModuleType
from typing import TYPE_CHECKING, Any, Final

from attrs import evolve, fields, frozen

from benchmarks.pages import repository_name

if TYPE_CHECKING:
    from registry_async import AsyncRegistryClient

PAGE: Final = 100
SPEEDUPS: Final = ("msgspec",)
REGISTRY: Final = "registry-0"


@frozen
class Work:
    """What is read in a turn.

    Attributes:
        base_url: The service.
        repositories: How many repositories the only registry has.
        images: How many images each of them has.
        page: How many images are asked for at once.
        concurrency: How many requests are in flight.
    """

    base_url: str
    repositories: int
    images: int
    page: int
    concurrency: int

    @property
    def names(self) -> list[str]:
        """The names of the repositories."""
        return [repository_name(number) for number in range(self.repositories)]


# Reads everything once and returns how many images there were.
ReadAll = Callable[[], Awaitable[int]]
Setup = Callable[[Work, AsyncExitStack], Coroutine[None, None, ReadAll]]
# Reads one page: of a repository, at an offset.
ReadPage = Callable[[str, int], Awaitable[object]]


async def _by_workers(work: Work, jobs: Iterable[Coroutine[None, None, int]]) -> int:
    """Do jobs, as many at once as requests may be in flight."""
    waiting = iter(jobs)

    async def worker() -> int:
        return sum([await job for job in waiting])

    async with asyncio.TaskGroup() as group:
        tasks = [group.create_task(worker()) for _ in range(work.concurrency)]
    return sum(task.result() for task in tasks)


def _by_pages(work: Work, read: ReadPage) -> ReadAll:
    async def one(name: str, offset: int) -> int:
        assert await read(name, offset)
        return min(work.page, work.images - offset)

    return lambda: _by_workers(
        work,
        (one(name, offset) for name in work.names for offset in range(0, work.images, work.page)),
    )


async def _client(work: Work, stack: AsyncExitStack) -> "AsyncRegistryClient":
    from registry_async import AsyncRegistryClient

    client = AsyncRegistryClient(
        token="token", base_url=work.base_url, max_connections=work.concurrency
    )
    return await stack.enter_async_context(client)


async def _items(work: Work, stack: AsyncExitStack) -> ReadAll:
    client = await _client(work, stack)

    async def one(name: str) -> int:
        count = 0
        async for _ in client.images.list(REGISTRY, name, page_size=work.page):
            count += 1
        return count

    return lambda: _by_workers(work, (one(name) for name in work.names))


async def _collect(work: Work, stack: AsyncExitStack) -> ReadAll:
    client = await _client(work, stack)

    async def one(name: str) -> int:
        return len(await client.images.list(REGISTRY, name, page_size=work.page).collect())

    # It reads eight pages at once by itself.
    few = evolve(work, concurrency=max(1, work.concurrency // 8))
    return lambda: _by_workers(few, (one(name) for name in work.names))


async def _scan(work: Work, stack: AsyncExitStack) -> ReadAll:
    client = await _client(work, stack)

    async def read() -> int:
        count = 0
        async with client.scan(concurrency=work.concurrency, page_size=work.page) as scan:
            async for _ in scan:
                count += 1
        assert scan.complete
        return count

    return read


async def _report(work: Work, stack: AsyncExitStack) -> ReadAll:
    client = await _client(work, stack)

    async def read() -> int:
        report = await client.scan_report(concurrency=work.concurrency, page_size=work.page)
        assert not [error for error in report.errors if error.repository is not None]
        return report.image_count

    return read


async def _sync(work: Work, stack: AsyncExitStack) -> ReadAll:
    from registry_async import RegistryClient

    client = stack.enter_context(RegistryClient(token="token", base_url=work.base_url))

    def read() -> int:
        return sum(
            1
            for name in work.names
            for _ in client.images.list(REGISTRY, name, page_size=work.page)
        )

    return lambda: asyncio.to_thread(read)


async def _plain(setup: Setup, work: Work, stack: AsyncExitStack) -> ReadAll:
    # What is not installed cannot be imported: None in its place has the same effect.
    sys.modules.update(dict.fromkeys(SPEEDUPS))  # type: ignore[arg-type]
    return await setup(work, stack)


def _target(work: Work, name: str, offset: int) -> str:
    path = f"/v2/registries/{REGISTRY}/repositories/{name.replace('/', '%2F')}/images"
    return f"{work.base_url}{path}?limit={work.page}&offset={offset}"


async def _aiohttp(decode: Callable[[bytes], object], work: Work, stack: AsyncExitStack) -> ReadAll:
    import aiohttp
    from yarl import URL

    connector = aiohttp.TCPConnector(limit=work.concurrency)
    session = await stack.enter_async_context(aiohttp.ClientSession(connector=connector))
    headers = {"X-Auth-Token": "token"}

    async def read(name: str, offset: int) -> object:
        url = URL(_target(work, name, offset), encoded=True)
        async with session.get(url, headers=headers) as response:
            return decode(await response.read())

    return _by_pages(work, read)


async def _discard(work: Work, stack: AsyncExitStack) -> ReadAll:
    return await _aiohttp(len, work, stack)


async def _json(work: Work, stack: AsyncExitStack) -> ReadAll:
    return await _aiohttp(json.loads, work, stack)


async def _orjson(work: Work, stack: AsyncExitStack) -> ReadAll:
    import orjson

    return await _aiohttp(orjson.loads, work, stack)


async def _msgspec(work: Work, stack: AsyncExitStack) -> ReadAll:
    from datetime import datetime

    import msgspec

    class Layer(msgspec.Struct):
        digest: str
        size: int

    class Image(msgspec.Struct, rename="camel"):
        digest: str
        tags: tuple[str, ...] | None = ()
        size: int | None = None
        created_at: datetime | None = None
        architecture: str | None = None
        os: str | None = None
        media_type: str | None = None
        layers: tuple[Layer, ...] | None = ()

    class Page(msgspec.Struct, rename="camel"):
        images: list[Image] | None = None
        total_count: int | None = None

    decode = msgspec.json.Decoder(Page).decode
    return await _aiohttp(decode, work, stack)


async def _pydantic(work: Work, stack: AsyncExitStack) -> ReadAll:
    from datetime import datetime

    from pydantic import BaseModel, Field

    class Layer(BaseModel):
        digest: str
        size: int

    class Image(BaseModel):
        digest: str
        tags: tuple[str, ...] | None = ()
        size: int | None = None
        created_at: datetime | None = Field(default=None, alias="createdAt")
        architecture: str | None = None
        os: str | None = None
        media_type: str | None = Field(default=None, alias="mediaType")
        layers: tuple[Layer, ...] | None = ()

    class Page(BaseModel):
        images: list[Image] | None = None
        total_count: int | None = Field(default=None, alias="totalCount")

    return await _aiohttp(Page.model_validate_json, work, stack)


async def _httpx(work: Work, stack: AsyncExitStack) -> ReadAll:
    import httpx

    limits = httpx.Limits(
        max_connections=work.concurrency, max_keepalive_connections=work.concurrency
    )
    client = await stack.enter_async_context(httpx.AsyncClient(limits=limits, timeout=60))

    async def read(name: str, offset: int) -> object:
        answer = await client.get(_target(work, name, offset), headers={"X-Auth-Token": "token"})
        return answer.json()

    return _by_pages(work, read)


def generate_client(folder: Path) -> ModuleType:
    """Generate a client from the OpenAPI document and import its module that lists images."""
    import importlib
    import subprocess

    import yaml

    contract = Path(__file__).parent.parent / "tests" / "contract" / "openapi.yaml"
    document = yaml.safe_load(contract.read_text())
    simple = folder / "openapi.json"
    # The generator trips over the three forms of errors; what it makes of images is not touched.
    document["components"]["schemas"]["Error"] = {"type": "object"}
    simple.write_text(json.dumps(document))
    command = [sys.executable, "-m", "openapi_python_client", "generate", "--meta", "none"]
    subprocess.run(
        [*command, "--path", str(simple), "--output-path", str(folder / "generated_client")],
        check=True,
        capture_output=True,
    )
    sys.path.insert(0, str(folder))
    return importlib.import_module("generated_client.api.default.list_images")


async def _generated(work: Work, stack: AsyncExitStack) -> ReadAll:
    folder = Path(stack.enter_context(tempfile.TemporaryDirectory()))
    list_images: Any = generate_client(folder)
    import generated_client  # type: ignore[import-not-found]
    import httpx

    client = generated_client.AuthenticatedClient(
        base_url=work.base_url,
        token="token",
        prefix="",
        auth_header_name="X-Auth-Token",
        timeout=httpx.Timeout(60),
        httpx_args={"limits": httpx.Limits(max_connections=work.concurrency)},
    )
    await stack.enter_async_context(client)

    async def read(name: str, offset: int) -> object:
        page = await list_images.asyncio(
            REGISTRY, name, client=client, limit=work.page, offset=offset
        )
        return page.images

    return _by_pages(work, read)


USES: Final[dict[str, Setup]] = {
    "items": _items,
    "collect": _collect,
    "scan": _scan,
    "report": _report,
    "sync": _sync,
}
PEERS: Final[dict[str, Setup]] = {
    "discard": _discard,
    "json": _json,
    "orjson": _orjson,
    "msgspec": _msgspec,
    "pydantic": _pydantic,
    "httpx": _httpx,
    "generated": _generated,
}
CONTENDERS: Final[dict[str, Setup]] = {
    **PEERS,
    **USES,
    **{f"{name}-plain": partial(_plain, setup) for name, setup in USES.items()},
}


async def _obey(name: str, work: Work) -> None:
    loop = asyncio.get_running_loop()
    async with AsyncExitStack() as stack:
        read = await CONTENDERS[name](work, stack)
        while await loop.run_in_executor(None, sys.stdin.readline):
            cpu, wall = time.process_time(), time.perf_counter()
            count = await read()
            measured = {
                "cpu": time.process_time() - cpu,
                "wall": time.perf_counter() - wall,
            }
            assert count == work.repositories * work.images, count
            print(json.dumps(measured), flush=True)


def main() -> None:
    """Read everything whenever a line comes in on standard input."""
    parser = argparse.ArgumentParser(description=main.__doc__)
    parser.add_argument("name", choices=sorted(CONTENDERS))
    parser.add_argument("base_url")
    for each in fields(Work)[1:]:
        parser.add_argument(each.name, type=int)
    options = vars(parser.parse_args())
    asyncio.run(_obey(options.pop("name"), Work(**options)))


if __name__ == "__main__":
    main()
