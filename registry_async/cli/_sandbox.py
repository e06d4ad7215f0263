"""The command that serves the sandbox."""

import asyncio
import signal
import sys
from contextlib import AsyncExitStack, suppress
from pathlib import Path
from typing import TYPE_CHECKING, Literal

import click

from registry_async._safe_text import json_text, visible
from registry_async.cli._ending import DONE, FAILED, USAGE, CommandError, checking, say
from registry_async.cli._framework import Command

if TYPE_CHECKING:
    from registry_async.sandbox import Sandbox, SandboxDescription


@click.command("sandbox", cls=Command)
@click.option(
    "--port",
    type=click.IntRange(0, 65_535),
    default=0,
    metavar="N",
    help="The port; any free one by default.",
)
@click.option(
    "--host",
    default="127.0.0.1",
    metavar="ADDRESS",
    help="The loopback address to serve on; 127.0.0.1 by default.",
)
@click.option(
    "--data",
    type=click.Path(file_okay=False, path_type=Path),
    metavar="PATH",
    help="A directory that keeps what is pushed, for the next start.",
)
@click.option(
    "--seed",
    type=click.IntRange(0),
    is_flag=False,
    flag_value=1,
    metavar="[N]",
    help="Begin with made-up data, the default; another N makes other data.",
)
@click.option("--empty", is_flag=True, help="Begin without any data.")
@click.option(
    "--projects",
    type=click.IntRange(0, 1_000),
    default=0,
    metavar="N",
    help="Serve N more projects: project-1, project-2 and so on.",
)
@click.option(
    "--no-guards-parts",
    is_flag=True,
    help="Delete a part of an index without a refusal.",
)
@click.option(
    "--hides-tags",
    type=click.IntRange(0),
    default=0,
    metavar="N",
    help="Leave N tags of each repository out of the list of images.",
)
@click.option(
    "--v1-unpaged", is_flag=True, help="Answer v1 lists without a limit with all they have."
)
@click.option(
    "--corrupting-gc",
    is_flag=True,
    help="Let what is pushed during a garbage collection lose its layers.",
)
@click.option(
    "--dialect",
    type=click.Choice(["auto", "reference", "go"]),
    default="auto",
    help="Answer as the API reference, or as the provider's Go client, has it.",
)
@click.option(
    "--json", "as_json", is_flag=True, help="Print a JSON object, with the variables in it."
)
def sandbox(
    port: int,
    host: str,
    data: Path | None,
    seed: int | None,
    empty: bool,
    projects: int,
    no_guards_parts: bool,
    hides_tags: int,
    v1_unpaged: bool,
    corrupting_gc: bool,
    dialect: Literal["auto", "reference", "go"],
    as_json: bool,
) -> int:
    """Serve an embedded registry service on loopback until Ctrl-C.

    It prints what a client of any kind needs: assignments that a shell can evaluate, and for
    docker, skopeo and helm the lines that log in, as comments to paste.
    """
    if empty and seed is not None:
        raise CommandError("--seed and --empty exclude each other", USAGE)
    from registry_async.sandbox import Sandbox

    first = 1 if seed is None else seed
    with checking():
        made = Sandbox(
            seed=False if empty else first,
            data=data,
            host=host,
            port=port,
            dialect=dialect,
            guards_parts=not no_guards_parts,
            hides_tags=hides_tags,
            v1_unpaged=v1_unpaged,
            corrupting_gc=corrupting_gc,
        )
    for number in range(1, projects + 1):
        # The projects that data bring along have the seeds that follow the first.
        made.add_project(f"project-{number}", seed=None if empty else first + 2 + number)
    try:
        asyncio.run(_serve(made, data, as_json))
    except KeyboardInterrupt:
        # Where the event loop cannot take signals, Ctrl-C comes this way.
        say("The sandbox has ended.")
    return DONE


async def _serve(made: "Sandbox", data: Path | None, as_json: bool) -> None:
    ended = asyncio.Event()
    for each in (signal.SIGINT, signal.SIGTERM):
        with suppress(NotImplementedError):
            asyncio.get_running_loop().add_signal_handler(each, ended.set)
    async with AsyncExitStack() as stack:
        await _start(made, data, stack)
        described = made.describe()
        if as_json:
            print(json_text(described.to_dict(), indent=None), flush=True)
        else:
            print(_text(described), flush=True)
        await ended.wait()
    if sys.stderr is not None:
        print(file=sys.stderr)
    say("The sandbox has ended.")


async def _start(made: "Sandbox", data: Path | None, stack: AsyncExitStack) -> None:
    try:
        await stack.enter_async_context(made)
    except (RuntimeError, ValueError) as error:
        if data is None:
            raise
        # The directory is held by another sandbox, or holds what no sandbox has written.
        raise CommandError(f"{error}; name another directory with --data", FAILED) from None


def _text(described: "SandboxDescription") -> str:
    """Return assignments, and the rest as comments."""
    lines = [described.shell()]
    for each in described.projects:
        state = "" if each.enabled else ", disabled"
        lines.append(f"# Project {visible(each.name)} of account {each.account} ({each.id}{state})")
    return "\n".join([*lines, "# The sandbox serves until Ctrl-C."])
