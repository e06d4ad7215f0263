"""The ways of reading pages of images that are compared: ``python -m benchmarks.contenders``.

Each reads the same pages with as many requests at once, says how much processor time and how
much time on the clock it took, and waits to be told to do it again.
"""

import argparse
import asyncio
import json
import sys
import tempfile
import time
from collections.abc import Awaitable, Callable, Coroutine
from contextlib import AsyncExitStack
from functools import partial
from pathlib import Path
from types import ModuleType
from typing import Any, Final

PAGE: Final = 100
SPEEDUPS: Final = ("msgspec", "orjson")

# Reads one page at an offset.
ReadPage = Callable[[int], Awaitable[object]]
Setup = Callable[[str, int, AsyncExitStack], Coroutine[None, None, ReadPage]]


def _target(base_url: str, offset: int) -> str:
    path = "/v2/registries/registry-0/repositories/team-0%2Fapp-0/images"
    return f"{base_url}{path}?limit={PAGE}&offset={offset}"


async def _ours(base_url: str, concurrency: int, stack: AsyncExitStack) -> ReadPage:
    from registry_async import AsyncRegistryClient

    client = AsyncRegistryClient(token="token", base_url=base_url, max_connections=concurrency)
    await stack.enter_async_context(client)

    async def read(offset: int) -> object:
        pages = client.images.list("registry-0", "team-0/app-0", offset=offset).pages()
        return await anext(pages)

    return read


async def _ours_plain(base_url: str, concurrency: int, stack: AsyncExitStack) -> ReadPage:
    # What is not installed cannot be imported: None in its place has the same effect.
    sys.modules.update(dict.fromkeys(SPEEDUPS))  # type: ignore[arg-type]
    return await _ours(base_url, concurrency, stack)


async def _aiohttp(
    decode: Callable[[bytes], object], base_url: str, concurrency: int, stack: AsyncExitStack
) -> ReadPage:
    import aiohttp
    from yarl import URL

    connector = aiohttp.TCPConnector(limit=concurrency)
    session = await stack.enter_async_context(aiohttp.ClientSession(connector=connector))
    headers = {"X-Auth-Token": "token"}

    async def read(offset: int) -> object:
        url = URL(_target(base_url, offset), encoded=True)
        async with session.get(url, headers=headers) as response:
            return decode(await response.read())

    return read


async def _discard(base_url: str, concurrency: int, stack: AsyncExitStack) -> ReadPage:
    return await _aiohttp(len, base_url, concurrency, stack)


async def _json(base_url: str, concurrency: int, stack: AsyncExitStack) -> ReadPage:
    return await _aiohttp(json.loads, base_url, concurrency, stack)


async def _orjson(base_url: str, concurrency: int, stack: AsyncExitStack) -> ReadPage:
    import orjson

    return await _aiohttp(orjson.loads, base_url, concurrency, stack)


async def _msgspec(base_url: str, concurrency: int, stack: AsyncExitStack) -> ReadPage:
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
    return await _aiohttp(decode, base_url, concurrency, stack)


async def _pydantic(base_url: str, concurrency: int, stack: AsyncExitStack) -> ReadPage:
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

    return await _aiohttp(Page.model_validate_json, base_url, concurrency, stack)


async def _httpx(base_url: str, concurrency: int, stack: AsyncExitStack) -> ReadPage:
    import httpx

    limits = httpx.Limits(max_connections=concurrency, max_keepalive_connections=concurrency)
    client = await stack.enter_async_context(httpx.AsyncClient(limits=limits, timeout=60))

    async def read(offset: int) -> object:
        answer = await client.get(_target(base_url, offset), headers={"X-Auth-Token": "token"})
        return answer.json()

    return read


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


async def _generated(base_url: str, concurrency: int, stack: AsyncExitStack) -> ReadPage:
    folder = Path(stack.enter_context(tempfile.TemporaryDirectory()))
    list_images: Any = generate_client(folder)
    import generated_client  # type: ignore[import-not-found]
    import httpx

    client = generated_client.AuthenticatedClient(
        base_url=base_url,
        token="token",
        prefix="",
        auth_header_name="X-Auth-Token",
        timeout=httpx.Timeout(60),
        httpx_args={"limits": httpx.Limits(max_connections=concurrency)},
    )
    await stack.enter_async_context(client)

    async def read(offset: int) -> object:
        # Its paths are joined as they are given, so the slash has to be encoded for it.
        return await list_images.asyncio(
            "registry-0", "team-0%2Fapp-0", client=client, limit=PAGE, offset=offset
        )

    return read


CONTENDERS: Final[dict[str, Setup]] = {
    "ours": _ours,
    "ours-plain": _ours_plain,
    "discard": _discard,
    "json": _json,
    "orjson": _orjson,
    "msgspec": _msgspec,
    "pydantic": _pydantic,
    "httpx": _httpx,
    "generated": _generated,
}


async def _read_all(read: ReadPage, pages: int, concurrency: int) -> None:
    offsets = iter(range(0, pages * PAGE, PAGE))

    async def worker() -> None:
        for offset in offsets:
            page = await read(offset)
            assert page

    async with asyncio.TaskGroup() as group:
        for _ in range(concurrency):
            group.create_task(worker())


async def _obey(name: str, base_url: str, pages: int, concurrency: int) -> None:
    loop = asyncio.get_running_loop()
    async with AsyncExitStack() as stack:
        read = await CONTENDERS[name](base_url, concurrency, stack)
        while await loop.run_in_executor(None, sys.stdin.readline):
            cpu, wall = time.process_time(), time.perf_counter()
            await _read_all(read, pages, concurrency)
            measured = {
                "cpu": time.process_time() - cpu,
                "wall": time.perf_counter() - wall,
            }
            print(json.dumps(measured), flush=True)


def main() -> None:
    """Read pages whenever a line comes in on standard input."""
    parser = argparse.ArgumentParser(description=main.__doc__)
    parser.add_argument("name", choices=sorted(CONTENDERS))
    parser.add_argument("base_url")
    parser.add_argument("pages", type=int)
    parser.add_argument("concurrency", type=int)
    options = parser.parse_args()
    run = partial(_obey, options.name, options.base_url, options.pages, options.concurrency)
    asyncio.run(run())


if __name__ == "__main__":
    main()
