"""A server of static pages, in a process of its own: ``python -m benchmarks.server``.

It is as thin as a server in Python can be, so that what is measured is the client. Registries,
repositories and images are numbered; a page of images is a template in which only the number of
the page changes, so that every digest is unique without costing much.
"""

import argparse
import asyncio
import json
import re
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Final
from urllib.request import urlopen

import psutil
from attrs import frozen

LAYERS: Final = 8
MARK: Final = "@@@@@@@@"
_IMAGES: Final = re.compile(rb"/registries/([^/]+)/repositories/([^/]+)/images")
_REPOSITORIES: Final = re.compile(rb"/registries/([^/]+)/repositories$")


def _image(number: int) -> dict[str, object]:
    # The first layers are shared by all images, as base layers are.
    layers = [
        {
            "digest": f"sha256:{index if index < 4 else MARK:0>8}{number:056x}",
            "size": 3_000_000 + index,
        }
        for index in range(LAYERS)
    ]
    for index in range(4):
        layers[index]["digest"] = f"sha256:{index:064x}"
    return {
        "architecture": "amd64",
        "createdAt": "2024-05-17T22:37:17.011072851Z",
        "digest": f"sha256:{MARK}{number:056x}",
        "layers": layers,
        "mediaType": "application/vnd.oci.image.manifest.v1+json",
        "os": "linux",
        "size": 24_000_028,
        "tags": [f"v1.{number}", f"build-{number}"],
    }


class Pages:
    """The answers, rendered once for each size of page."""

    def __init__(self, registries: int, repositories: int, images: int) -> None:
        self.registries, self.repositories, self.images = registries, repositories, images
        self._templates: dict[tuple[int, int], list[bytes]] = {}
        self._answered = 0

    def answer(self, target: bytes) -> bytes:
        """Return the body for a request target."""
        path, _, query = target.partition(b"?")
        if path.endswith(b"/api/requests"):
            return json.dumps(self._answered).encode()
        self._answered += 1
        numbers = dict(pair.split(b"=", 1) for pair in query.split(b"&") if b"=" in pair)
        limit, offset = int(numbers.get(b"limit", 10)), int(numbers.get(b"offset", 0))
        if _IMAGES.search(path):
            count = max(0, min(limit, self.images - offset))
            return self._images(count).replace(MARK.encode(), b"%08d" % offset)
        if _REPOSITORIES.search(path):
            numbered = range(offset, min(offset + limit, self.repositories))
            items: list[dict[str, object]] = [
                {
                    "name": f"team-{number % 7}/app-{number}",
                    "size": 1_000_000,
                    "type": "docker",
                    "updatedAt": "2024-05-17T22:37:17Z",
                }
                for number in numbered
            ]
            return _page("repositories", items, self.repositories)
        numbered = range(offset, min(offset + limit, self.registries))
        items = [
            {
                "createdAt": "2024-05-17T22:37:17Z",
                "id": f"registry-{number}",
                "name": f"registry-{number}",
                "size": 1_000_000,
                "status": "ACTIVE",
            }
            for number in numbered
        ]
        if path.endswith(b"/v1/registries"):
            return json.dumps(items).encode()
        return _page("registries", items, self.registries)

    def _images(self, count: int) -> bytes:
        key = count, self.images
        if key not in self._templates:
            images = [_image(number) for number in range(count)]
            self._templates[key] = [_page("images", images, self.images)]
        return self._templates[key][0]


def _page(name: str, items: list[dict[str, object]], total: int) -> bytes:
    page = {name: items, "totalCount": total, "filteredCount": total}
    if name == "registries":
        del page["filteredCount"]
    return json.dumps(page, separators=(",", ":")).encode()


class _Connection(asyncio.Protocol):
    def __init__(self, pages: Pages, delay: float) -> None:
        self._pages, self._delay, self._buffer = pages, delay, b""
        self._transport: asyncio.WriteTransport | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.WriteTransport)
        self._transport = transport

    def data_received(self, data: bytes) -> None:
        self._buffer += data
        while b"\r\n\r\n" in self._buffer:
            head, _, self._buffer = self._buffer.partition(b"\r\n\r\n")
            body = self._pages.answer(head.split(b" ", 2)[1])
            answer = (
                b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: %d\r\n\r\n"
                % len(body)
            ) + body
            if self._delay:
                asyncio.get_running_loop().call_later(self._delay, self._write, answer)
            else:
                self._write(answer)

    def _write(self, answer: bytes) -> None:
        if self._transport is not None and not self._transport.is_closing():
            self._transport.write(answer)


async def _serve(pages: Pages, delay: float) -> None:
    loop = asyncio.get_running_loop()
    server = await loop.create_server(lambda: _Connection(pages, delay), "127.0.0.1", 0)
    print(server.sockets[0].getsockname()[1], flush=True)
    # It ends with whoever started it, however that ends.
    await loop.run_in_executor(None, sys.stdin.read)
    server.close()


@frozen
class Server:
    """A server that runs in a process of its own."""

    base_url: str
    process: psutil.Process

    def requests(self) -> int:
        """Return how many requests it has answered so far, but for this question."""
        with urlopen(f"{self.base_url}/requests") as answer:
            count: int = json.load(answer)
        return count

    def processor_time(self) -> float:
        """Return the seconds of processor time that it has taken so far."""
        times = self.process.cpu_times()
        return times.user + times.system


@contextmanager
def running(
    *, registries: int = 1, repositories: int = 1, images: int = 1000, delay: float = 0.0
) -> Iterator[Server]:
    """Run a server.

    Args:
        registries: How many registries it has.
        repositories: How many repositories each registry has.
        images: How many images each repository has.
        delay: The seconds after which it answers.
    """
    numbers = [str(number) for number in (registries, repositories, images, delay)]
    process = subprocess.Popen(
        [sys.executable, "-m", "benchmarks.server", *numbers],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    assert process.stdout is not None
    assert process.stdin is not None
    try:
        port = process.stdout.readline().strip()
        yield Server(f"http://127.0.0.1:{port}/api", psutil.Process(process.pid))
    finally:
        process.stdin.close()
        process.wait(timeout=10)
        process.stdout.close()


def main() -> None:
    """Serve until standard input ends."""
    parser = argparse.ArgumentParser(description=main.__doc__)
    for name in ("registries", "repositories", "images"):
        parser.add_argument(name, type=int)
    parser.add_argument("delay", type=float)
    options = parser.parse_args()
    pages = Pages(options.registries, options.repositories, options.images)
    asyncio.run(_serve(pages, options.delay))


if __name__ == "__main__":
    main()
