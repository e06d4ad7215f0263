"""Reading images as users do, beside other ways to read the same pages."""

from attrs import astuple, frozen

from benchmarks.contenders import PAGE, PEERS, USES, Work
from benchmarks.measure import Spread, race
from benchmarks.pages import USUAL, Shape
from benchmarks.server import running

CONCURRENCY = 32
NAMES = {
    "discard": "aiohttp, body thrown away",
    "json": "aiohttp + json.loads",
    "orjson": "aiohttp + orjson",
    "msgspec": "aiohttp + msgspec Structs",
    "pydantic": "aiohttp + pydantic",
    "httpx": "httpx + json",
    "generated": "openapi-python-client",
    "items": "registry_async, items",
    "collect": "registry_async, collect()",
    "scan": "registry_async, scan()",
    "report": "registry_async, scan_report()",
    "sync": "registry_async, items of the sync client",
}
# The peers that are read with every mix; the others take long, and layers are all the same to them.
USUAL_PEERS = ("discard", "json", "msgspec")


def label(name: str) -> str:
    """Return what a contender is called in tables."""
    plain = name.removesuffix("-plain")
    return NAMES[plain] + ("" if plain in PEERS else ", plain" if plain != name else ", speedups")


@frozen
class Result:
    """One way to read pages, in units of raw aiohttp + json.loads.

    Attributes:
        cpu: Its processor time.
        throughput: Its images in a second.
        server_load: The part of the time for which the server was busy.
    """

    cpu: Spread
    throughput: Spread
    server_load: Spread


def measure(
    *, pages: int, rounds: int, shared: int = USUAL, page: int = PAGE, all_peers: bool = True
) -> dict[str, Result]:
    """Return what each contender takes, by its name.

    Args:
        pages: How many pages each of 32 repositories has.
        rounds: How often each has its turn, after one turn to warm up.
        shared: How many of an image's eight layers are those of its base.
        page: How many images are asked for at once.
        all_peers: Whether the slow peers take part.
    """
    shape = Shape(repositories=CONCURRENCY, images=pages * page, shared=shared)
    names = [*(PEERS if all_peers else USUAL_PEERS), *USES, *(f"{name}-plain" for name in USES)]
    with running(shape) as server:
        work = Work(server.base_url, shape.repositories, shape.images, page, CONCURRENCY)
        words = [str(value) for value in astuple(work)]
        turns = race({name: (name, *words) for name in names}, server, rounds)
    unit = turns["json"]
    return {
        name: Result(turn.cpu.over(unit.cpu), unit.wall.over(turn.wall), turn.server_load)
        for name, turn in turns.items()
    }
