"""The HTTP sessions of a client, one for each event loop, and the places in their pools."""

import asyncio
import ssl
import warnings
from collections.abc import AsyncGenerator, Iterable
from typing import Final
from urllib.parse import urlsplit
from urllib.request import getproxies, proxy_bypass

import aiohttp
import anyio

from registry_async._paths import is_loopback
from registry_async._secrets import Secret
from registry_async._transport.aiohttp_quirks import (
    FreshConnections,
    begin_closing_with_loop,
    loop_of,
)
from registry_async.errors import ClientClosedError, ConfigurationError
from registry_async.retry import RetryBudget

__all__ = ["Connections", "LoopSession"]

# After this many seconds without a finished attempt, connections may have been closed unseen.
_IDLE: Final = 0.001


class LoopSession:
    """The session and the slots of its pool, which belong to one event loop.

    Attributes:
        session: The session.
        reading: The answers whose bodies are being read.
        closing: What closes the session, or None if it is the caller's.
        slots: The requests that may be under way at once.
        fresh: What drops connections that are no longer fit for use.
    """

    def __init__(
        self,
        sessions: list[aiohttp.ClientSession],
        slots: int,
        closing: AsyncGenerator[None] | None = None,
        reading: set[aiohttp.ClientResponse] | None = None,
    ) -> None:
        self.session = sessions[0]
        self._sessions = sessions
        self.reading = set[aiohttp.ClientResponse]() if reading is None else reading
        self.closing = closing
        # A free slot is taken without yielding: the request itself yields soon enough.
        self.slots = anyio.Semaphore(slots, fast_acquire=True)
        self.fresh = FreshConnections()
        self._loop = asyncio.get_running_loop()
        self._used_at = self._loop.time()
        self._proxies: dict[str, Secret | None] = {}

    def for_others(self) -> aiohttp.ClientSession:
        """Return a session for credentials that somebody else wrote: on the same connections.

        It decompresses bodies, which our own requests do themselves.
        """
        if self.closing is not None and len(self._sessions) == 1:
            others = aiohttp.ClientSession(
                connector=self.session.connector,
                connector_owner=False,
                cookie_jar=aiohttp.DummyCookieJar(),
                trace_configs=self.session.trace_configs,
            )
            # It is closed with ours.
            self._sessions.append(others)
        return self._sessions[-1]

    def detach(self) -> None:
        """Leave the connections to themselves: their event loop is gone."""
        for session in self._sessions:
            if not session.closed:
                session.detach()

    def proxy_name(self, url: str) -> str:
        """Return what to call the proxy in messages, without its password."""
        proxy = None if self.closing is None else self.proxy(url)
        if proxy is None:
            return "the proxy"
        parts = urlsplit(str(proxy))
        return f"the proxy {parts.scheme}://{parts.netloc.rpartition('@')[2]}"

    def note_use(self) -> None:
        """Remember that an attempt ended, and the event loop is turning."""
        self._used_at = self._loop.time()

    async def notice_closed(self) -> None:
        """Let the event loop see connections that were closed while it was busy or idle.

        Connections of our own pool are looked at when they are taken. Others may have used those
        of a caller's session, whose state is known to the event loop only: it takes one turn to
        poll and one to act on it; TLS and what a server says before it closes take more.
        """
        idle = self._loop.time() - self._used_at > _IDLE
        for _ in range(1 if self.closing is not None else 6 if idle else 2):
            await asyncio.sleep(0)

    def proxy(self, url: str) -> Secret | None:
        """Return the proxy that the environment names for a URL.

        aiohttp's own way (``trust_env``) would also read passwords from netrc.
        """
        origin = "/".join(url.split("/", 3)[:3])
        if origin not in self._proxies:
            parts = urlsplit(origin)
            proxy = getproxies().get(parts.scheme)
            used = proxy and not proxy_bypass(parts.netloc)
            self._proxies[origin] = _proxy_url(proxy) if proxy and used else None
        return self._proxies[origin]


def _proxy_url(proxy: str) -> Secret:
    # Without a scheme it is written for curl, which takes it as http.
    url = Secret(proxy if "://" in proxy else f"http://{proxy}")
    del proxy
    if not _is_proxy_url(url):
        raise ConfigurationError(
            "the proxy of the environment must be an http:// or https:// URL with a host"
        )
    return url


def _is_proxy_url(url: str) -> bool:
    try:
        parts = urlsplit(url)
        return parts.scheme in ("http", "https") and bool(parts.hostname) and parts.port != 0
    except ValueError:
        return False


class Connections:
    """The sessions of a client and of all views of it, one for each event loop.

    Args:
        session: The caller's session, which is used and never closed, or None for own ones.
        max_connections: The most requests at once in one event loop.
        tls: The TLS settings, or None for the system's.
        trace_configs: What own sessions tell of their requests.

    Raises:
        ValueError: The session or the hooks are none of aiohttp's, or cannot be used.
    """

    def __init__(
        self,
        session: aiohttp.ClientSession | None,
        max_connections: int,
        tls: ssl.SSLContext | None,
        trace_configs: Iterable[aiohttp.TraceConfig],
    ) -> None:
        self.budget = RetryBudget()
        self.closed = False
        self.foreign = session is not None
        self.tls: ssl.SSLContext | bool = True if tls is None else tls
        self._given = _checked_session(session)
        self._max_connections = max_connections
        self._trace_configs = _checked_traces(trace_configs, session)
        self._sessions: dict[asyncio.AbstractEventLoop, LoopSession] = {}
        self._warned = False

    @property
    def opened(self) -> bool:
        """Whether there is a session of our own that has to be closed."""
        return any(
            not opened.session.closed for opened in self._sessions.values() if opened.closing
        )

    def check_open(self) -> None:
        """Raise `ClientClosedError` if the client was closed."""
        if self.closed:
            raise ClientClosedError("the client is closed")

    def warn_of_clear_text(self, base_url: str) -> None:
        """Warn once if a base URL that nobody saw before would show the token on its way."""
        if not self._warned and base_url.startswith("http://") and not is_loopback(base_url):
            self._warned = True
            warnings.warn(
                f"{base_url} of the Keystone catalog is plain HTTP: the token travels in the clear",
                UserWarning,
                stacklevel=2,
            )

    def session_for_loop(self) -> LoopSession:
        """Return what belongs to the running event loop, made on first use."""
        self.check_open()
        loop = asyncio.get_running_loop()
        opened = self._sessions.get(loop)
        if opened is None:
            self._forget_dead_loops()
            opened = self._sessions[loop] = self._open(loop)
        return opened

    def _open(self, loop: asyncio.AbstractEventLoop) -> LoopSession:
        session = self._given
        if session is None:
            session = aiohttp.ClientSession(
                connector=aiohttp.TCPConnector(limit=self._max_connections),
                cookie_jar=aiohttp.DummyCookieJar(),
                # Our own code decompresses bodies, so that it can tell whether they are whole.
                auto_decompress=False,
                trace_configs=self._trace_configs,
            )
            reading = set[aiohttp.ClientResponse]()
            sessions = [session]
            closing = begin_closing_with_loop(sessions, reading)
            return LoopSession(sessions, self._max_connections, closing, reading)
        connector = session.connector
        if connector is not None and loop_of(connector) is not loop:
            raise ConfigurationError(
                "the session given to the client belongs to another event loop"
            )
        limits = [self._max_connections]
        if connector is not None:
            # 0 stands for "no limit". Waiting here, not in the pool, keeps the wait for a
            # connection out of the time limit.
            limits += [limit for limit in (connector.limit, connector.limit_per_host) if limit]
        return LoopSession([session], min(limits))

    def _forget_dead_loops(self) -> None:
        # A client that is made once and used in one asyncio.run() after the other.
        for loop in [loop for loop in self._sessions if loop.is_closed()]:
            _leave(self._sessions.pop(loop))

    async def aclose(self) -> None:
        """Close the sessions of our own."""
        self.closed = True
        here = asyncio.get_running_loop()
        while self._sessions:
            loop, opened = self._sessions.popitem()
            if loop is not here:
                _close_elsewhere(loop, opened)
            elif opened.closing is not None:
                await opened.closing.aclose()

    def abandon(self) -> None:
        """Have the sessions closed by their loops, where these still run."""
        self.closed = True
        while self._sessions:
            loop, opened = self._sessions.popitem()
            _close_elsewhere(loop, opened)


def _checked_session(session: aiohttp.ClientSession | None) -> aiohttp.ClientSession | None:
    if session is not None:
        if not isinstance(session, aiohttp.ClientSession):  # pyright: ignore[reportUnnecessaryIsInstance]
            raise ValueError("session must be an aiohttp.ClientSession")
        if not session.auto_decompress:
            raise ValueError("session must decompress answers: make it with auto_decompress=True")
    return session


def _checked_traces(
    trace_configs: Iterable[aiohttp.TraceConfig], session: aiohttp.ClientSession | None
) -> list[aiohttp.TraceConfig]:
    traces = list(trace_configs)
    if not all(isinstance(trace, aiohttp.TraceConfig) for trace in traces):  # pyright: ignore[reportUnnecessaryIsInstance]
        raise ValueError("trace_configs must be instances of aiohttp.TraceConfig")
    if traces and session is not None:
        raise ValueError("give trace_configs to the session that the client is given")
    return traces


def _leave(opened: LoopSession) -> None:
    # The loop is closed. It closed the session, unless it was ended by force.
    if opened.closing is not None:
        opened.detach()


def _close_elsewhere(loop: asyncio.AbstractEventLoop, opened: LoopSession) -> None:
    closing_session = opened.closing
    if loop.is_closed():
        _leave(opened)
    if loop.is_closed() or closing_session is None:
        return

    def close() -> None:
        task = loop.create_task(closing_session.aclose())
        closing.add(task)
        task.add_done_callback(closing.discard)

    # An event loop holds its tasks weakly.
    closing: set[asyncio.Task[None]] = set()
    loop.call_soon_threadsafe(close)
