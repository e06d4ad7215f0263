"""Run all benchmarks and print their tables of ratios: ``python -m benchmarks``."""

import argparse
import platform
from importlib.metadata import version

from benchmarks import imports, memory, paging, scanning, sync_overhead

_NAMED = ("aiohttp", "attrs", "cattrs", "anyio", "msgspec", "orjson", "pydantic", "httpx")


def _heading(text: str) -> None:
    print(f"\n{text}\n{'-' * len(text)}")


def _row(name: str, figure: object) -> None:
    print(f"{name:<44} {figure}")


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

    _heading("Processor time of paging images; aiohttp + json.loads = 1")
    times = paging.measure(pages=20 if smoke else 300, rounds=2 if smoke else 9)
    for name, spread in sorted(times.items(), key=lambda item: item[1].median):
        _row(paging.NAMES[name], spread)
    generated = times["generated"].median
    _row("generated client over registry_async", f"{generated / times['ours-plain'].median:.2f}")
    _row("generated client over it with speedups", f"{generated / times['ours'].median:.2f}")

    for concurrency in (8,) if smoke else (8, 32, 100):
        _heading(f"Scan at 20 ms a call, {concurrency} at once; the ideal = 1")
        shape = (2, 4, 250) if smoke else (20, 50, 3)
        results = scanning.measure(
            concurrency=concurrency,
            rounds=1 if smoke else 5,
            registries=shape[0],
            repositories=shape[1],
            images=shape[2],
        )
        for name, result in results.items():
            _row(name, f"{result.over_ideal:.2f}, {result.requests} requests")

    _heading("A sync call")
    for name, figure in sync_overhead.measure(smoke=smoke).items():
        _row(name, figure)

    _heading("Memory")
    _row(
        "bytes for an image held, 8 layers",
        f"{memory.bytes_per_image(1000 if smoke else 50_000):.0f}",
    )
    few, many = (1_000, 5_000) if smoke else (10_000, 1_000_000)
    small, large = memory.scan_peaks(few, many)
    _row(f"peak of a scan of {few:,} images", f"{small / 2**20:.0f} MiB")
    _row(f"peak of a scan of {many:,} images", f"{large / 2**20:.0f} MiB")

    _heading("Import, in units of its four dependencies")
    imported = imports.measure(2 if smoke else 15)
    for name, spread in imported.items():
        _row(name, spread.over(imported["its four dependencies"]))


if __name__ == "__main__":
    main()
