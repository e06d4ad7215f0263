"""What a sync call costs above an async one, side by side with sync HTTP clients.

All contenders live in one process and take turns, so that a slow minute hits them all. Each call
is one small answer over a connection that is kept; the server is another process.
"""

import asyncio
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Final

import httpx
import requests
import urllib3

from benchmarks.measure import Spread
from benchmarks.server import running
from registry_async import AsyncRegistryClient, RegistryClient

PATH: Final = "/v2/registries"
QUERY: Final = {"limit": 1}
HEADERS: Final = {"X-Auth-Token": "token"}
ASYNC: Final = "await client.request()"
SYNC: Final = "client.request()"

# Makes so many calls, one after the other.
Calls = Callable[[int], None]


def _repeated(call: Callable[[], object]) -> Calls:
    def calls(number: int) -> None:
        for _ in range(number):
            call()

    return calls


@contextmanager
def _async_calls(base_url: str) -> Iterator[Calls]:
    client = AsyncRegistryClient(token="token", base_url=base_url)

    async def calls(number: int) -> None:
        for _ in range(number):
            await client.request("GET", PATH, params=QUERY)

    with asyncio.Runner() as runner:
        yield lambda number: runner.run(calls(number))
        runner.run(client.aclose())


@contextmanager
def _contenders(base_url: str) -> Iterator[dict[str, Calls]]:
    url = base_url + PATH
    with (
        _async_calls(base_url) as async_calls,
        RegistryClient(token="token", base_url=base_url) as client,
        httpx.Client(headers=HEADERS) as httpx_client,
        requests.Session() as session,
        urllib3.PoolManager(headers=HEADERS) as pool,
    ):
        session.headers.update(HEADERS)
        yield {
            ASYNC: async_calls,
            SYNC: _repeated(lambda: client.request("GET", PATH, params=QUERY)),
            "httpx.Client": _repeated(lambda: httpx_client.get(url, params=QUERY).json()),
            "requests.Session": _repeated(lambda: session.get(url, params=QUERY).json()),
            "urllib3.PoolManager": _repeated(
                lambda: pool.request("GET", url, fields={"limit": "1"}).json()
            ),
        }


def seconds_a_call(*, rounds: int, calls: int) -> dict[str, Spread]:
    """Return the seconds that one call takes, by contender.

    Args:
        rounds: How often each has its turn, after one turn to warm up.
        calls: How many calls make a turn.
    """
    with running() as server, _contenders(server.base_url) as contenders:
        values: dict[str, list[float]] = {name: [] for name in contenders}
        for perform in contenders.values():
            perform(calls)
        for _ in range(rounds):
            for name, perform in contenders.items():
                start = time.perf_counter()
                perform(calls)
                values[name].append((time.perf_counter() - start) / calls)
    return {name: Spread(tuple(measured)) for name, measured in values.items()}


def measure(*, smoke: bool) -> dict[str, str]:
    """Return what to print: the microseconds of our threads, and all contenders as ratios."""
    spreads = seconds_a_call(rounds=2 if smoke else 301, calls=20)
    above = Spread(
        tuple(
            1e6 * (ours - theirs)
            for ours, theirs in zip(spreads[SYNC].values, spreads[ASYNC].values, strict=True)
        )
    )
    figures = {"microseconds above the async call": str(above)}
    for name, spread in spreads.items():
        figures[f"{name} over {ASYNC}"] = str(spread.over(spreads[ASYNC]))
    return figures


if __name__ == "__main__":
    for label, figure in measure(smoke=False).items():
        print(f"{label:<50} {figure}")
