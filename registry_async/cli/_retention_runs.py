"""The commands about retention that read registries: make a plan, and apply one."""

import asyncio
import os
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final
from urllib.parse import urlsplit

import click

from registry_async._safe_text import json_text, visible_lines
from registry_async.cli._asking import agreed, asking_options
from registry_async.cli._clients import open_client
from registry_async.cli._ending import DONE, FAILED, PARTLY, USAGE, CommandError, say
from registry_async.cli._framework import settings
from registry_async.cli._output import opened, output_options, target_of, write_items
from registry_async.cli._retention import FILE, load_in_use, load_plan, load_policy, retention
from registry_async.cli._table import Column

if TYPE_CHECKING:
    from registry_async.retention import OciManifests, RetentionPlan, RetentionResult

_REFUSED: Final = 4
_UNEXPECTED: Final = 5
_NOT_EMPTY: Final = 10

_COLUMNS: Final = (
    Column("digest", lambda each: each.digest, "digest"),
    Column("action", lambda each: each.action),
    Column("registry", lambda each: each.registry, rank=2),
    Column("repository", lambda each: each.repository, rank=1),
    Column("tags", lambda each: each.tags, "list"),
    Column("size", lambda each: each.size, "bytes", rank=5),
    Column("created_at", lambda each: each.created_at, "time", rank=4),
    Column("reason", lambda each: each.reason, rank=3),
    Column("rule", lambda each: each.rule, rank=6),
    Column("explanation", lambda each: each.explanation, rank=7),
)
_IN_USE: Final = click.option(
    "--in-use",
    type=FILE,
    metavar="FILE",
    help="The images in use, which stay: what kubectl prints, or one reference a line; - is"
    " standard input.",
)


_MANIFESTS: Final = click.option(
    "--manifests",
    is_flag=True,
    help="Read manifests, with the login for the registry in Docker's configuration.",
)


@asynccontextmanager
async def _manifests(wanted: bool) -> "AsyncGenerator[OciManifests | None]":
    """Open what reads manifests from the registry that belongs to the service."""
    if not wanted:
        yield None
        return
    from registry_async._paths import DEFAULT_BASE_URL
    from registry_async.retention import OciManifests

    url = settings().base_url or os.environ.get("REGISTRY_BASE_URL", "").strip()
    # The catalog lists the management API; images are where they always are.
    host = urlsplit(DEFAULT_BASE_URL if url in ("", "catalog") else url).netloc
    async with OciManifests.from_docker_config(host=host) as reader:
        yield reader


@retention.command("plan")
@click.argument("policy", type=FILE)
@_IN_USE
@_MANIFESTS
@click.option("--detailed-exitcode", is_flag=True, help="End with 10 if the plan deletes anything.")
@output_options()
def plan(
    policy: Path, in_use: Path | None, manifests: bool, detailed_exitcode: bool, **given: Any
) -> int:
    """Read every repository and decide what a policy deletes. Nothing is changed.

    A plan for apply is JSON: --output plan.json.
    """
    target = target_of(given)
    rules, used = load_policy(policy), load_in_use(in_use)

    async def read() -> "RetentionPlan":
        async with _manifests(manifests) as reader, open_client() as client:
            return await client.retention.plan(rules, in_use=used, manifests=reader)

    made = asyncio.run(read())
    if target.format == "json":
        with opened(target) as file:
            file.write(made.to_json().rstrip("\n") + "\n")
    elif target.format == "table":
        with opened(target) as file:
            file.write(visible_lines(str(made)) + "\n")
    else:
        write_items(target, _COLUMNS, made.images, what="images")
    if not target.on_screen:
        for pattern in made.unmatched:
            say(f"registry-async: nothing matches {pattern}")
        for each in made.blocked:
            say(f"registry-async: {each.registry}/{each.repository} is blocked: {each.reason}")
    if made.refusals:
        raise CommandError(f"the plan is refused: {'; '.join(made.refusals)}", _REFUSED)
    return _NOT_EMPTY if detailed_exitcode and made.deletions else DONE


@retention.command("apply")
@click.argument("plan", type=FILE, required=False)
@click.option("--policy", type=FILE, metavar="FILE", help="Make the plan now, and apply it.")
@_IN_USE
@_MANIFESTS
@click.option(
    "--journal",
    type=click.Path(path_type=Path, dir_okay=False),
    metavar="FILE",
    help="What was done; an interrupted run goes on from it.",
)
@click.option(
    "--collect-garbage",
    is_flag=True,
    help="Collect in each registry at the end, if nothing went wrong there.",
)
@click.option(
    "--conflict-timeout",
    type=click.FloatRange(min=0),
    default=900.0,
    show_default=True,
    metavar="SECONDS",
    help="Wait so long for garbage collections to end.",
)
@asking_options
@output_options("table", "json")
def apply(
    plan: Path | None,
    policy: Path | None,
    in_use: Path | None,
    manifests: bool,
    journal: Path | None,
    collect_garbage: bool,
    conflict_timeout: float,
    yes: bool,
    dry_run: bool,
    **given: Any,
) -> int:
    """Delete what a plan deletes, as far as that is still right.

    Each repository is read again before anything in it is deleted.
    """
    target = target_of(given)
    if (plan is None) == (policy is None):
        raise CommandError("give either PLAN or --policy FILE", USAGE)
    made = None if plan is None else load_plan(plan)
    rules = None if policy is None else load_policy(policy)
    used = load_in_use(in_use)

    async def run() -> "RetentionResult | None":
        nonlocal made
        async with _manifests(manifests) as reader, open_client() as client:
            if rules is not None:
                made = await client.retention.plan(rules, in_use=used, manifests=reader)
            assert made is not None
            if not agreed(_words(made), yes=yes, dry_run=dry_run):
                return None
            return await client.retention.apply(
                made,
                in_use=used,
                manifests=reader,
                journal=journal,
                collect_garbage=collect_garbage,
                conflict_timeout=conflict_timeout,
            )

    result = asyncio.run(run())
    if result is None:
        return DONE
    with opened(target) as file:
        if target.format == "json":
            from registry_async._plain import to_dict

            file.write(json_text(to_dict(result)) + "\n")
        else:
            file.write(visible_lines(str(result)) + "\n")
    if result.unexpected:
        return _UNEXPECTED
    if result.complete:
        return DONE
    return PARTLY if result.deleted else FAILED


def _words(made: "RetentionPlan") -> list[str]:
    from registry_async._tables import size_text

    lines = str(made).splitlines()
    count = len(made.deletions)
    noun = "image" if count == 1 else "images"
    bound = "at most " if made.freed_is_upper_bound else ""
    lines.append(
        f"Deletes {count:,} {noun}; a collection frees {bound}{size_text(made.freed_bytes)}."
    )
    return lines
