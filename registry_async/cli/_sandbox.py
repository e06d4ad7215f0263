"""The command that serves the sandbox."""

import asyncio
import signal
import sys
from contextlib import suppress
from shlex import quote
from typing import TYPE_CHECKING

import click

from registry_async._safe_text import json_text
from registry_async.cli._ending import DONE, say
from registry_async.cli._framework import Command

if TYPE_CHECKING:
    from registry_async.sandbox import Sandbox


@click.command("sandbox", cls=Command)
@click.option(
    "--port",
    type=click.IntRange(0, 65_535),
    default=0,
    metavar="N",
    help="The port; any free one by default.",
)
@click.option("--empty", is_flag=True, help="Begin without any data.")
@click.option(
    "--json", "as_json", is_flag=True, help="Print a JSON object: the variables, and projects."
)
def sandbox(port: int, empty: bool, as_json: bool) -> int:
    """Serve an embedded registry service on loopback until Ctrl-C.

    It prints what a client of any kind needs, as assignments that a shell can evaluate.
    """
    try:
        asyncio.run(_serve(port, empty, as_json))
    except KeyboardInterrupt:
        # Where the event loop cannot take signals, Ctrl-C comes this way.
        say("The sandbox has ended.")
    return DONE


async def _serve(port: int, empty: bool, as_json: bool) -> None:
    from registry_async.sandbox import Sandbox

    ended = asyncio.Event()
    for each in (signal.SIGINT, signal.SIGTERM):
        with suppress(NotImplementedError):
            asyncio.get_running_loop().add_signal_handler(each, ended.set)
    async with Sandbox(seed=not empty, port=port) as running:
        variables = _variables(running)
        if as_json:
            projects = [
                {"id": each.id, "name": each.name, "account": each.account}
                for each in running.projects.values()
            ]
            print(json_text({**variables, "projects": projects}, indent=None), flush=True)
        else:
            lines = [f"export {name}={quote(value)}" for name, value in variables.items()]
            lines += [
                f"# Project {each.name} of account {each.account} ({each.id})"
                for each in running.projects.values()
            ]
            print("\n".join([*lines, "# The sandbox serves until Ctrl-C."]), flush=True)
        await ended.wait()
    if sys.stderr is not None:
        print(file=sys.stderr)
    say("The sandbox has ended.")


def _variables(running: "Sandbox") -> dict[str, str]:
    return {
        "REGISTRY_BASE_URL": running.base_url,
        "REGISTRY_TOKEN": running.token,
        "OS_AUTH_URL": running.auth_url,
        "OS_USERNAME": running.login.username,
        "OS_PASSWORD": running.login.password,
        "OS_USER_DOMAIN_NAME": running.login.account,
        "OS_PROJECT_NAME": running.login.project_name,
    }
