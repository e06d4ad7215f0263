"""The commands about retention that change nothing: check a policy, and explain a plan."""

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Final

import click

from registry_async._safe_text import visible_lines
from registry_async.cli._ending import DONE, FAILED, CommandError, checking
from registry_async.cli._framework import Group
from registry_async.cli._output import Target, check_output, opened

if TYPE_CHECKING:
    from registry_async.retention import InUse, RetentionPlan, RetentionPolicy

__all__ = ["FILE", "load_in_use", "load_plan", "load_policy", "retention"]

# A file to read; - is standard input.
FILE: Final = click.Path(exists=True, dir_okay=False, allow_dash=True, path_type=Path)

retention: Final = Group("retention", help="Delete what nobody needs, and nothing else.")


def load_policy(path: Path) -> "RetentionPolicy":
    """Read a policy.

    Raises:
        CommandError: The file holds none.
    """
    from registry_async.retention import RetentionPolicy

    with checking():
        if str(path) == "-":
            return RetentionPolicy.from_toml(sys.stdin.read())
        return RetentionPolicy.read(path)


def load_plan(path: Path) -> "RetentionPlan":
    """Read a plan.

    Raises:
        CommandError: The file holds none.
        RetentionRefusedError: It was edited.
    """
    from registry_async.retention import RetentionPlan

    with checking(path):
        return RetentionPlan.from_json(_text(path))


def load_in_use(path: Path | None) -> "InUse | None":
    """Read the images in use: what kubectl prints, or one reference a line.

    Raises:
        CommandError: The file holds neither.
    """
    from registry_async.retention import InUse

    if path is None:
        return None
    text = _text(path)
    with checking(path):
        if text.lstrip().startswith("{"):
            return InUse.from_kubernetes(text)
        lines = [line.strip() for line in text.splitlines()]
        return InUse.from_references(line for line in lines if line and line[0] != "#")


def _text(path: Path) -> str:
    return sys.stdin.read() if str(path) == "-" else path.read_text(encoding="utf-8")


@retention.command("check")
@click.argument("policy", type=FILE)
def check(policy: Path) -> int:
    """Say whether a policy is right. Nothing is sent."""
    check_output(None)
    found = load_policy(policy)
    parts = [_count(len(found.rules), "rule"), _count(len(found.quotas), "quota")]
    with opened(Target("table")) as file:
        file.write(visible_lines(f"{policy} is right: {' and '.join(parts)}.") + "\n")
    return DONE


def _count(number: int, noun: str) -> str:
    return f"{number:,} {noun}{'' if number == 1 else 's'}"


@retention.command("explain")
@click.argument("plan", type=FILE)
@click.argument("reference")
def explain(plan: Path, reference: str) -> int:
    """Say why an image goes or stays.

    REFERENCE is such as cr.selcloud.ru/prod/team/app:1.2, or with @sha256:… behind it.
    """
    check_output(None)
    found = load_plan(plan)
    with checking():
        try:
            words = found.explain(reference)
        except LookupError as error:
            raise CommandError(str(error.args[0]), FAILED) from None
    with opened(Target("table")) as file:
        file.write(visible_lines(words) + "\n")
    return DONE
