"""The command that reads every image of every registry."""

import asyncio
import json
import sys
from collections.abc import Callable, Generator, Sequence
from contextlib import AsyncExitStack, contextmanager
from importlib.util import find_spec
from typing import TYPE_CHECKING, Any, TextIO, cast

import click

from registry_async._safe_text import json_text
from registry_async.cli._clients import open_clients
from registry_async.cli._ending import (
    DONE,
    FAILED,
    PARTLY,
    USAGE,
    CommandError,
    checking,
    complain,
    say,
)
from registry_async.cli._framework import Command, settings
from registry_async.cli._output import Target, opened, output_options, styled, target_of

if TYPE_CHECKING:
    from registry_async._report import ScanReport
    from registry_async._scan import AsyncScan, ScanError, ScannedImage, ScanProgress

__all__ = ["scan", "write_report"]

# Names in a file are searched for: none is folded.
_FILE_WIDTH = 1000


@click.command("scan", cls=Command)
@click.option("--sandbox", is_flag=True, help="Scan an embedded service.")
@click.option(
    "--registry", multiple=True, metavar="NAME", help="Read only this registry; may be repeated."
)
@click.option(
    "--repository",
    multiple=True,
    metavar="PATTERN",
    help="Read only repositories that fit, such as 'team/*'; may be repeated.",
)
@click.option(
    "--concurrency",
    type=int,
    default=32,
    show_default=True,
    metavar="N",
    help="The most requests at once.",
)
@click.option("--max-rate", type=float, metavar="N", help="The most requests a second.")
@output_options(json="--json")
def scan(
    sandbox: bool,
    registry: Sequence[str],
    repository: Sequence[str],
    concurrency: int,
    max_rate: float | None,
    **given: Any,
) -> int:
    """Read every image of every registry into totals: what is where, and what it weighs.

    exit codes: 0 everything was read; 3 something could not be read (it says what); 1 nothing
    could be read, or nothing matches; 2 wrong usage or no credentials; 130 Ctrl-C
    """
    if sandbox and settings().base_url is not None:
        raise CommandError("give --sandbox or --base-url, not both", USAGE)
    target = target_of(given)
    if target.format == "table":
        _require_rich()
    options = {
        "concurrency": concurrency,
        "registries": registry or None,
        "repository": repository or None,
        "max_rate": max_rate,
    }
    report, errors = asyncio.run(_read(sandbox, options))
    if errors and not report.repository_count and len(errors) >= report.registry_count:
        # Nothing at all could be read: no empty table, but what went wrong.
        raise errors[0].error
    if (registry or repository) and not report.repository_count and report.complete:
        return complain("no repository matches", FAILED)
    write_report(report, target)
    if not target.on_screen:
        from registry_async._report.text import error_lines

        # A table on standard output says so itself.
        for line in error_lines(report):
            say(line)
    return DONE if report.complete else PARTLY


def _require_rich() -> None:
    if find_spec("rich") is None:
        words = "the table needs rich: pip install 'registry-async[cli]' (or use --json)"
        raise CommandError(words, USAGE)


async def _read(
    in_sandbox: bool, options: dict[str, Any]
) -> "tuple[ScanReport, tuple[ScanError, ...]]":
    from registry_async.scanning import scan as scan_all

    async with AsyncExitStack() as stack:
        if in_sandbox:
            from registry_async.sandbox import Sandbox

            sandbox = await stack.enter_async_context(Sandbox())
            clients = [await stack.enter_async_context(sandbox.client())]
        else:
            clients = [*await stack.enter_async_context(open_clients())]
        on_progress = stack.enter_context(_progress())
        with checking():
            found = cast(
                "AsyncScan[ScannedImage]", scan_all(clients, **options, on_progress=on_progress)
            )
        async with found:
            report = await found.report()
        return report, tuple(found.errors)


@contextmanager
def _progress() -> "Generator[Callable[[ScanProgress], None] | None]":
    """Show progress on standard error while the block runs, where a person looks at it."""
    error = sys.stderr
    if error is None or not styled(error) or find_spec("rich") is None or settings().quiet:
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


def write_report(report: "ScanReport", target: Target) -> None:
    """Write a report in the format that was asked for."""
    with opened(target) as file:
        match target.format:
            case "table":
                print_rich(report, file)
            case "json":
                file.write(report.to_json() + "\n")
            case "jsonl":
                for row in json.loads(report.to_json())["repositories"]:
                    file.write(json_text(row, indent=None) + "\n")
            case "csv":
                from registry_async._report.text import write_csv

                write_csv(report, file)
            case "html":
                file.write(report.to_html())


def print_rich(value: object, file: TextIO) -> None:
    """Print what rich can draw, with escape sequences only where they are welcome."""
    from rich.console import Console

    width = None if file.isatty() else _FILE_WIDTH
    # Without a terminal, and without colours, rich may still emphasize.
    console = Console(file=file, width=width, highlight=False, force_terminal=styled(file))
    console.print(value, soft_wrap=True)
