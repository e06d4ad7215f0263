"""Run all benchmarks and print their tables of ratios: ``python -m benchmarks``."""

import argparse
import platform
import sys
from collections.abc import Mapping
from importlib.metadata import version

from benchmarks import decoding, imports, memory, paging, scanning, sync_overhead
from benchmarks.pages import LAYERS, MIXES, USUAL, Shape

_NAMED = (
    "aiohttp",
    "anyio",
    "attrs",
    "cattrs",
    "httpx",
    "msgspec",
    "openapi-python-client",
    "orjson",
    "pydantic",
    "requests",
    "urllib3",
)
# A server that is busy for more of the time than this decides how fast its clients seem.
_BUSY = 0.9


def _heading(text: str) -> None:
    print(f"\n{text}\n{'-' * len(text)}")


def _row(name: str, *figures: object) -> None:
    print(f"{name:<48}" + "".join(f" {figure!s:<24}" for figure in figures).rstrip(), flush=True)


def _paging(*, smoke: bool) -> bool:
    """Print the cost of reading images, and return whether the server was fast enough for all."""
    fast_enough = True
    for shared in (USUAL,) if smoke else (USUAL, *(mix for mix in MIXES if mix != USUAL)):
        results = paging.measure(
            pages=1 if smoke else 10,
            rounds=1 if smoke else 9,
            shared=shared,
            all_peers=shared == USUAL,
        )
        _heading(
            f"Reading images, {shared} of {LAYERS} layers shared, 100 a page, 32 at once;"
            " aiohttp + json.loads = 1"
        )
        fast_enough &= _print_paging(results)
    if not smoke:
        _heading(f"The same with 10 a page, {USUAL} of {LAYERS} layers shared")
        results = paging.measure(pages=20, rounds=5, page=10, all_peers=False)
        fast_enough &= _print_paging(results)
    return fast_enough


def _print_paging(results: Mapping[str, paging.Result]) -> bool:
    _row("", "processor time", "throughput", "server busy")
    for name, result in results.items():
        load = f"{result.server_load.median:.0%}"
        _row(paging.label(name), result.cpu, result.throughput, load)
    if "generated" in results:
        for name in ("items", "items-plain"):
            ratio = results["generated"].cpu.over(results[name].cpu)
            _row(f"{paging.label('generated')} over {paging.label(name)}", ratio)
    _row("items, speedups, over msgspec Structs", results["items"].cpu.over(results["msgspec"].cpu))
    # Nobody is asked to be faster than the one that throws everything away.
    return all(
        result.server_load.median < _BUSY for name, result in results.items() if name != "discard"
    )


def _decoding(*, smoke: bool) -> None:
    _heading("Decoding pages of images, without a network; json.loads = 1")
    _row("", "processor time", "bytes for an image held")
    sizes = decoding.bytes_per_image(5 if smoke else 100)
    for name, spread in decoding.measure(
        pages=10 if smoke else 100, rounds=2 if smoke else 9
    ).items():
        _row(decoding.NAMES[name], spread, f"{sizes[name]:.0f}")


def _scanning(*, smoke: bool) -> None:
    shape = Shape(2, 4, 250) if smoke else Shape(20, 50, 3)
    for concurrency in (8,) if smoke else (8, 32, 100):
        _heading(f"Scan at 20 ms a call, {concurrency} at once; the ideal = 1")
        _row("", "time", "requests")
        for name, result in scanning.concurrent(
            shape, concurrency=concurrency, rounds=1 if smoke else 7
        ).items():
            _row(name, result.over_ideal, result.requests)
    _heading("Scan at 20 ms a call, 32 at once, beside loops; a loop over our lists = 1")
    _row("", "throughput", "requests")
    results = scanning.sequential(shape, concurrency=32, rounds=1 if smoke else 3)
    for name, spread in scanning.throughput(results, "a loop over our lists").items():
        _row(name, spread, results[name].requests)


def _sync(*, smoke: bool) -> None:
    _heading("A sync call")
    for name, figure in sync_overhead.measure(smoke=smoke).items():
        _row(name, figure)


def _memory(*, smoke: bool) -> None:
    _heading("Memory")
    held = memory.bytes_per_image(1000 if smoke else 50_000)
    _row("bytes for an image held, 8 layers", f"{held:.0f}")
    few, many = (1_000, 5_000) if smoke else (10_000, 1_000_000)
    for count, peak in zip((few, many), memory.scan_peaks(few, many), strict=True):
        _row(f"peak of a scan of {count:,} images", f"{peak / 2**20:.0f} MiB")


def _imports(*, smoke: bool) -> None:
    _heading("Import; its four dependencies = 1")
    imported = imports.measure(2 if smoke else 15)
    unit = imported["its four dependencies"]
    for name, spread in imported.items():
        _row(name, spread.over(unit), f"{spread.median - unit.median:+.0f} ms")


def main() -> None:
    """Print what the client costs, side by side with its alternatives."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description=main.__doc__)
    parser.add_argument(
        "--smoke",
        action="store_true",
        help="run all of it for a few seconds: the figures are noise",
    )
    smoke = parser.parse_args().smoke

    print(f"Python {platform.python_version()}, " + ", ".join(f"{n} {version(n)}" for n in _NAMED))
    print("Medians of interleaved rounds, with the least and the most in brackets.")
    fast_enough = _paging(smoke=smoke)
    _decoding(smoke=smoke)
    _scanning(smoke=smoke)
    _sync(smoke=smoke)
    _memory(smoke=smoke)
    _imports(smoke=smoke)
    if not fast_enough and not smoke:
        sys.exit("The server was the bottleneck of the paging: its figures say little.")


if __name__ == "__main__":
    main()
