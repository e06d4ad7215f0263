"""The command line: scan registries, and serve the sandbox."""

import argparse
import asyncio
import errno
import os
import signal
import sys
from collections.abc import Callable, Generator, Sequence
from contextlib import AsyncExitStack, contextmanager, suppress
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Final, TextIO

from registry_async._version import __version__
from registry_async.errors import ConfigurationError, ContainerRegistryError

if TYPE_CHECKING:
    from registry_async._report import ScanReport
    from registry_async._scan import ScanProgress

__all__ = ["main"]

# What the exit codes mean; `--help` says so, too.
_WHOLE: Final = 0
_FAILED: Final = 1
_USAGE: Final = 2
_PARTIAL: Final = 3
_INTERRUPTED: Final = 130

_EPILOG: Final = """\
exit codes: 0 everything was read; 3 something could not be read (it says what);
2 wrong usage or no credentials; 1 the command failed; 130 Ctrl-C
"""
# No name is longer, so that none is folded where nobody looks at it: it is searched there.
_FILE_WIDTH: Final = 1000


class _UsageError(Exception):
    """The command cannot run as it was given; the message says why in one line."""


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command line.

    Args:
        arguments: The arguments after the command's name; those of the process by default.

    Returns:
        The exit code.
    """
    options = _parser().parse_args(arguments)
    run: Callable[[argparse.Namespace], int] = options.run
    try:
        return run(options)
    except (_UsageError, ConfigurationError, ValueError) as error:
        return _complain(error, _USAGE)
    except (ContainerRegistryError, OSError) as error:
        return _complain(error, _FAILED)
    except KeyboardInterrupt:
        return _complain("interrupted", _INTERRUPTED)


def _complain(problem: object, code: int) -> int:
    line = " ".join(str(problem).split())
    _say(f"registry-async: {line}")
    return code


def _say(line: str) -> None:
    # A closed standard error is None; print() would take that for standard output.
    if sys.stderr is not None:
        print(line, file=sys.stderr)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="registry-async", description="Manage container registries."
    )
    parser.add_argument("--version", action="version", version=f"registry-async {__version__}")
    commands = parser.add_subparsers(title="commands", required=True, metavar="COMMAND")
    _describe_scan(
        commands.add_parser(
            "scan",
            help="read every image of every registry into totals",
            description=(
                "Read every image of every registry into totals: what is where, and what it"
                " weighs. Credentials come from the environment: REGISTRY_TOKEN, or the OS_…"
                " variables of OpenStack."
            ),
            epilog=_EPILOG,
            formatter_class=argparse.RawDescriptionHelpFormatter,
        )
    )
    _describe_sandbox(
        commands.add_parser(
            "sandbox",
            help="serve an embedded registry service until Ctrl-C",
            description="Serve an embedded registry service on loopback until Ctrl-C.",
        )
    )
    return parser


def _describe_scan(scan: argparse.ArgumentParser) -> None:
    scan.set_defaults(run=_scan)
    scan.add_argument("--sandbox", action="store_true", help="scan an embedded service")
    scan.add_argument("--base-url", metavar="URL", help="the URL of the service, or 'catalog'")
    scan.add_argument(
        "--registry",
        action="append",
        metavar="NAME",
        help="read only this registry (name or id); may be repeated",
    )
    scan.add_argument(
        "--repository",
        action="append",
        metavar="PATTERN",
        help="read only repositories that fit this pattern, such as 'team/*'; may be repeated",
    )
    scan.add_argument(
        "--concurrency", type=int, default=32, metavar="N", help="the most requests at once (32)"
    )
    scan.add_argument(
        "--max-rate", type=float, metavar="N", help="the most requests a second (no limit)"
    )
    scan.add_argument(
        "--format",
        choices=("table", "json", "csv", "html"),
        default="table",
        help="how to write the report (table)",
    )
    scan.add_argument(
        "--json", action="store_const", const="json", dest="format", help="short for --format json"
    )
    scan.add_argument("--output", type=Path, metavar="FILE", help="write the report to a file")


def _describe_sandbox(sandbox: argparse.ArgumentParser) -> None:
    sandbox.set_defaults(run=_sandbox)
    sandbox.add_argument(
        "--port", type=_port, default=0, metavar="N", help="the port (any free one)"
    )
    sandbox.add_argument("--empty", action="store_true", help="begin without any data")


def _port(text: str) -> int:
    if not text.isdecimal() or int(text) > 65_535:
        raise argparse.ArgumentTypeError("a port is a number from 0 to 65535")
    return int(text)


def _scan(options: argparse.Namespace) -> int:
    if options.sandbox and options.base_url is not None:
        raise _UsageError("give --sandbox or --base-url, not both")
    if options.format == "table":
        _require_rich()
    _check_output(options.output)
    report = asyncio.run(_read(options))
    write = {"table": _write_table, "json": _write_json, "csv": _write_csv, "html": _write_html}[
        options.format
    ]
    with _output(options) as file:
        write(report, file)
    if options.format != "table" or options.output is not None:
        from registry_async._report.text import error_lines

        # A table on standard output says so itself.
        for line in error_lines(report):
            _say(line)
    return _WHOLE if report.complete else _PARTIAL


def _check_output(path: Path | None) -> None:
    """Find out before a scan, which may take an hour, whether there is a place for its report."""
    if path is None:
        if sys.stdout is None:
            raise _UsageError("standard output is closed: give --output")
        return
    place = path if path.exists() else path.parent
    if path.is_dir():
        code = errno.EISDIR
    elif not path.exists() and not place.is_dir():
        code = errno.ENOTDIR if place.exists() else errno.ENOENT
    elif not os.access(place, os.W_OK):
        code = errno.EACCES
    else:
        return
    raise OSError(code, os.strerror(code), str(path))


def _require_rich() -> None:
    if find_spec("rich") is None:
        raise _UsageError("the table needs rich: pip install 'registry-async[cli]' (or use --json)")


async def _read(options: argparse.Namespace) -> "ScanReport":
    from registry_async import AsyncRegistryClient

    async with AsyncExitStack() as stack:
        if options.sandbox:
            from registry_async.sandbox import Sandbox

            sandbox = await stack.enter_async_context(Sandbox())
            client = sandbox.client()
        else:
            client = AsyncRegistryClient.from_env(base_url=options.base_url)
        await stack.enter_async_context(client)
        on_progress = stack.enter_context(_progress())
        return await client.scan_report(
            concurrency=options.concurrency,
            registries=options.registry,
            repository=options.repository,
            max_rate=options.max_rate,
            on_progress=on_progress,
        )


@contextmanager
def _progress() -> "Generator[Callable[[ScanProgress], None] | None]":
    """Show progress on standard error while the block runs, where a person looks at it."""
    if sys.stderr is None or not sys.stderr.isatty() or find_spec("rich") is None:
        yield None
        return
    from rich.console import Console
    from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn

    columns = (
        TextColumn("registries {task.fields[registries]}"),
        TextColumn("repositories {task.fields[repositories]}"),
        BarColumn(),
        TextColumn("{task.fields[images]:,} images"),
        TextColumn("{task.fields[rate]:,.0f}/s"),
        TimeElapsedColumn(),
    )
    with Progress(*columns, console=Console(stderr=True), transient=True) as bar:
        task = bar.add_task("", total=None, registries="…", repositories="…", images=0, rate=0.0)

        def show(now: "ScanProgress") -> None:
            elapsed = bar.tasks[0].elapsed or 0.0
            bar.update(
                task,
                completed=now.repositories_read,
                total=now.repositories_found or None,
                registries=f"{now.registries_read}/{now.registries_found}",
                repositories=f"{now.repositories_read:,}/{now.repositories_found:,}",
                images=now.images,
                rate=now.images / elapsed if elapsed else 0.0,
            )

        yield show


@contextmanager
def _output(options: argparse.Namespace) -> Generator[TextIO]:
    path: Path | None = options.output
    if path is not None:
        with path.open("w", encoding="utf-8", newline="") as file:
            yield file
        return
    # Whoever replaced standard output need not have given it this method.
    reconfigure = getattr(sys.stdout, "reconfigure", None)
    if reconfigure is not None and options.format == "table":
        # A letter that a terminal lacks is no reason to show nothing.
        reconfigure(errors="backslashreplace")
    elif reconfigure is not None:
        # What machines read is the same in whatever surroundings it is written.
        reconfigure(encoding="utf-8", newline="")
    try:
        yield sys.stdout
        sys.stdout.flush()
    except BrokenPipeError:
        # Whoever read our output has seen enough. Python would complain once more at its end.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


def _write_table(report: "ScanReport", file: TextIO) -> None:
    from rich.console import Console

    width = None if file.isatty() else _FILE_WIDTH
    Console(file=file, width=width, highlight=False).print(report, soft_wrap=True)


def _write_json(report: "ScanReport", file: TextIO) -> None:
    file.write(report.to_json() + "\n")


def _write_html(report: "ScanReport", file: TextIO) -> None:
    file.write(report.to_html())


def _write_csv(report: "ScanReport", file: TextIO) -> None:
    from registry_async._report.text import write_csv

    write_csv(report, file)


def _sandbox(options: argparse.Namespace) -> int:
    try:
        asyncio.run(_serve(options))
    except KeyboardInterrupt:
        # Where the event loop cannot take signals, Ctrl-C comes this way.
        _say_that_it_ended()
    return _WHOLE


async def _serve(options: argparse.Namespace) -> None:
    from registry_async.sandbox import Sandbox

    ended = asyncio.Event()
    for each in (signal.SIGINT, signal.SIGTERM):
        with suppress(NotImplementedError):
            asyncio.get_running_loop().add_signal_handler(each, ended.set)
    async with Sandbox(seed=not options.empty, port=options.port) as sandbox:
        print("The sandbox serves until Ctrl-C. To use it:\n")
        print(f"  export REGISTRY_BASE_URL={sandbox.base_url}")
        print(f"  export REGISTRY_TOKEN={sandbox.token}", flush=True)
        await ended.wait()
    _say_that_it_ended()


def _say_that_it_ended() -> None:
    print("\nThe sandbox has ended.", file=sys.stderr)


if __name__ == "__main__":
    sys.exit(main())
