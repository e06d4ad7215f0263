"""A server of static pages, in a process of its own: ``python -m benchmarks.server``.

It is as thin as a server in Python can be, so that what is measured is the client.
"""

import argparse
import asyncio
import json
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from urllib.request import urlopen

import psutil
from attrs import astuple, fields, frozen

from benchmarks.pages import Pages, Shape


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
def running(shape: Shape | None = None, *, delay: float = 0.0) -> Iterator[Server]:
    """Run a server.

    Args:
        shape: What it has.
        delay: The seconds after which it answers.
    """
    numbers = [str(number) for number in (*astuple(shape or Shape()), delay)]
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
    for each in fields(Shape):
        parser.add_argument(each.name, type=int)
    parser.add_argument("delay", type=float)
    options = vars(parser.parse_args())
    delay = options.pop("delay")
    pages = Pages(Shape(**options))
    asyncio.run(_serve(pages, delay))


if __name__ == "__main__":
    main()
