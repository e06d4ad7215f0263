"""Commands that delete say first what they will delete, and ask."""

import sys
from collections.abc import Callable, Sequence
from typing import Any, TypeVar

import click

from registry_async.cli._ending import FAILED, USAGE, CommandError, say

__all__ = ["agreed", "asking_options", "conflict_option"]

F = TypeVar("F", bound=Callable[..., Any])


def asking_options(function: F) -> F:
    """Give a command ``--yes`` and ``--dry-run``."""
    dry = click.option("--dry-run", is_flag=True, help="Only show what would be done; send GETs.")
    yes = click.option("-y", "--yes", is_flag=True, help="Do not ask.")
    return yes(dry(function))


def conflict_option(function: F) -> F:
    """Give a command ``--conflict-timeout``."""
    option = click.option(
        "--conflict-timeout",
        type=click.FloatRange(min=0),
        default=0.0,
        metavar="SECONDS",
        help="Wait so long for a garbage collection that runs to end.",
    )
    return option(function)


def agreed(lines: Sequence[str], *, yes: bool, dry_run: bool) -> bool:
    """Show what is going to be done, and ask.

    Args:
        lines: What it is, on lines for people.
        yes: Whether the answer was given beforehand.
        dry_run: Whether nothing is done in any case.

    Returns:
        Whether to do it; False with ``dry_run``.

    Raises:
        CommandError: The answer is no, or there is nobody to ask.
    """
    for line in lines:
        say(line)
    if dry_run:
        say("Nothing was done (--dry-run).")
        return False
    if yes:
        return True
    if sys.stdin is None or not sys.stdin.isatty() or sys.stderr is None:
        raise CommandError("nothing was done: nobody can be asked here, so give --yes", USAGE)
    print("Go on? [y/N] ", end="", file=sys.stderr, flush=True)
    if sys.stdin.readline().strip().lower() not in ("y", "yes"):
        raise CommandError("nothing was done", FAILED)
    return True
