"""Fork while a lease is in use, with a connection on its loop and a call that runs."""

import asyncio
import gc
import os
import sys
import threading
import warnings
import weakref

from registry_async._portal import Lease

LINE = b"alive\n"


class Client:
    """What the lease belongs to."""

    def __init__(self) -> None:
        self.connection = Connection()
        self.lease = Lease(self, self.connection.close)


class Connection:
    """A connection to a server that sends every line back, both on the loop."""

    async def open(self) -> None:
        self.server = await asyncio.start_server(echo, "127.0.0.1")
        host, port = self.server.sockets[0].getsockname()
        self.reader, self.writer = await asyncio.open_connection(host, port)

    async def ask(self, line: bytes) -> bytes:
        self.writer.write(line)
        return await self.reader.readline()

    async def close(self) -> None:
        if not hasattr(self, "server"):
            return
        self.writer.close()
        await self.writer.wait_closed()
        self.server.close()
        say("closed")


async def echo(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    while line := await reader.readline():
        writer.write(line)
    writer.close()


def say(text: str) -> None:
    sys.stdout.write(f"{text}\n")
    sys.stdout.flush()


def main() -> None:
    busy, client = Client(), Client()
    client.lease.run(client.connection.open)
    started = threading.Event()
    ended = threading.Event()

    async def blocked() -> None:
        started.set()
        await asyncio.get_running_loop().run_in_executor(None, ended.wait)

    thread = threading.Thread(target=busy.lease.run, args=(blocked,))
    thread.start()
    started.wait()
    sys.stdout.flush()
    with warnings.catch_warnings():
        # Forking with threads is deprecated, and what some do.
        warnings.simplefilter("ignore", DeprecationWarning)
        child = os.fork()
    if child == 0:
        try:
            client.lease.run(client.connection.ask, b"from the child\n")
        except RuntimeError as error:
            say(str(error))
        busy.lease.close()
        collected = weakref.ref(client.lease)
        del client
        gc.collect()
        say(f"collected: {collected() is None}")
        own = Client()
        own.lease.run(own.connection.open)
        say(f"child: {own.lease.run(own.connection.ask, LINE)!r}")
        own.lease.close()
        say(f"child: {threading.active_count()} thread")
        sys.exit(7)
    say(f"child ended with {os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])}")
    say(f"parent: {client.lease.run(client.connection.ask, LINE)!r}")
    ended.set()
    thread.join()
    busy.lease.close()
    client.lease.close()


main()
