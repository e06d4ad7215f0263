"""Processor time of decoding pages of images, without a network: ``python -m benchmarks.decoding``.

All decode the same bodies in one process and take turns. As many pages as a client with so many
requests at once would hold are held, since the garbage collector walks what is held.
"""

import argparse
import gc
import json
import platform
import time
import tracemalloc
from collections import deque
from collections.abc import Callable
from importlib.metadata import version
from typing import Any, Final

import msgspec
import orjson

from benchmarks.measure import Spread
from benchmarks.pages import USUAL, image_bodies
from registry_async._converter import ListDecoder, make_list_decoder
from registry_async.models import Image

HELD: Final = 32
PAGE: Final = 100
NAMES: Final = {
    "json": "json.loads",
    "orjson": "orjson.loads",
    "msgspec": "msgspec Structs, times included",
    "converter": "the converter alone",
    "ours-json": "registry_async",
    "ours-msgspec": "registry_async with speedups",
}

Decode = Callable[[bytes], object]


def _structs() -> Decode:
    from datetime import datetime

    class Layer(msgspec.Struct):
        digest: str
        size: int

    class Item(msgspec.Struct, rename="camel"):
        digest: str
        tags: tuple[str, ...] | None = ()
        size: int | None = None
        created_at: datetime | None = None
        architecture: str | None = None
        os: str | None = None
        media_type: str | None = None
        layers: tuple[Layer, ...] | None = ()

    class Page(msgspec.Struct, rename="camel"):
        images: list[Item] | None = None
        total_count: int | None = None

    return msgspec.json.Decoder(Page).decode


def _images(decoder: ListDecoder) -> Decode:
    return lambda body: decoder(body, Image, key="images")


def decoders() -> dict[str, Decode]:
    """Return what is compared, by the names in `NAMES`."""
    return {
        "json": json.loads,
        "orjson": orjson.loads,
        "msgspec": _structs(),
        "converter": _images(make_list_decoder()),
        "ours-json": _images(make_list_decoder("json")),
        "ours-msgspec": _images(make_list_decoder("msgspec")),
    }


def measure(*, pages: int, rounds: int, shared: int = USUAL) -> dict[str, Spread]:
    """Return the processor time of each decoder in units of json.loads.

    Args:
        pages: How many pages are decoded in a turn.
        rounds: How often each has its turn, after one turn to warm up.
        shared: How many of an image's eight layers are those of its base.
    """
    answers = image_bodies(pages, shared=shared)
    times: dict[str, list[float]] = {name: [] for name in NAMES}
    for counted in [False] + [True] * rounds:
        for name, decode in decoders().items():
            gc.collect()
            held: deque[Any] = deque(maxlen=HELD)
            before = time.process_time()
            for answer in answers:
                held.append(decode(answer))
            if counted:
                times[name].append(time.process_time() - before)
    spreads = {name: Spread(tuple(values)) for name, values in times.items()}
    return {name: spread.over(spreads["json"]) for name, spread in spreads.items()}


def bytes_per_image(pages: int) -> dict[str, float]:
    """Return the bytes that each decoder's results take, for an image of eight layers."""
    answers = image_bodies(pages)
    sizes: dict[str, float] = {}
    for name, decode in decoders().items():
        decode(answers[0])
        gc.collect()
        tracemalloc.start()
        held = [decode(answer) for answer in answers]
        gc.collect()
        sizes[name] = tracemalloc.get_traced_memory()[0] / (len(held) * PAGE)
        tracemalloc.stop()
    return sizes


def main() -> None:
    """Print what decoding costs."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.decoding", description=__doc__)
    parser.add_argument("--pages", type=int, default=100, help="pages in a turn")
    parser.add_argument("--rounds", type=int, default=9, help="turns of each decoder")
    options = parser.parse_args()
    versions = ", ".join(f"{name} {version(name)}" for name in ("cattrs", "msgspec", "orjson"))
    print(f"Python {platform.python_version()}, {versions}")
    print("Processor time, json.loads = 1: median, least and most; bytes for an image held")
    times = measure(pages=options.pages, rounds=options.rounds)
    sizes = bytes_per_image(options.pages)
    for name, text in NAMES.items():
        print(f"{text:<34} {times[name]!s:<24} {sizes[name]:6.0f}")


if __name__ == "__main__":
    main()
