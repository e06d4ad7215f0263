"""Processor time of reading pages of images, against other ways to do it."""

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


def measure(*, pages: int, rounds: int) -> dict[str, Spread]:
    """Return each contender's processor time in units of raw aiohttp + json.loads."""
    with running(images=pages * PAGE) as base_url:
        words = {name: (name, base_url, str(pages), str(CONCURRENCY)) for name in NAMES}
        times = race(words, "cpu", rounds)
    return {name: spread.over(times["json"]) for name, spread in times.items()}
