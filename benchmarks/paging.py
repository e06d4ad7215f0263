"""Reading pages of images, against other ways to do it."""

from attrs import frozen

from benchmarks.contenders import PAGE
from benchmarks.measure import Spread, race
from benchmarks.server import running

CONCURRENCY = 32
NAMES = {
    "ours": "registry_async with speedups",
    "ours-plain": "registry_async",
    "discard": "aiohttp, body thrown away",
    "json": "aiohttp + json.loads",
    "orjson": "aiohttp + orjson",
    "msgspec": "aiohttp + msgspec Structs",
    "pydantic": "aiohttp + pydantic",
    "httpx": "httpx + json",
    "generated": "openapi-python-client",
}


@frozen
class Result:
    """One way to read pages, in units of raw aiohttp + json.loads.

    Attributes:
        cpu: Its processor time.
        throughput: Its pages in a second.
        server_load: The part of the time for which the server was busy.
    """

    cpu: Spread
    throughput: Spread
    server_load: Spread


def measure(*, pages: int, rounds: int) -> dict[str, Result]:
    """Return what each contender takes, by its name.

    Args:
        pages: How many pages make a turn.
        rounds: How often each has its turn, after one turn to warm up.
    """
    with running(images=pages * PAGE) as server:
        words = {name: (name, server.base_url, str(pages), str(CONCURRENCY)) for name in NAMES}
        turns = race(words, server, rounds)
    unit = turns["json"]
    return {
        name: Result(turn.cpu.over(unit.cpu), unit.wall.over(turn.wall), turn.server_load)
        for name, turn in turns.items()
    }
