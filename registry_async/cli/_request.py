"""The way out: a request that no command covers."""

import asyncio
import json
import sys
from collections.abc import Sequence
from typing import Any

import click

from registry_async._safe_text import json_text
from registry_async.cli._asking import agreed, asking_options
from registry_async.cli._clients import open_client
from registry_async.cli._ending import DONE, USAGE, CommandError, checking
from registry_async.cli._framework import Command
from registry_async.cli._output import opened, output_options, target_of


@click.command("request", cls=Command)
@click.argument("method")
@click.argument("path")
@click.option(
    "--params", multiple=True, metavar="NAME=VALUE", help="A part of the query; may be repeated."
)
@click.option("--json", "body", metavar="JSON", help="The body; - reads it from standard input.")
@asking_options
@output_options("json", "jsonl")
def request(
    method: str,
    path: str,
    params: Sequence[str],
    body: str | None,
    yes: bool,
    dry_run: bool,
    **given: Any,
) -> int:
    """Send a request and print the JSON of the answer.

    PATH is below the base URL, such as /v2/registries. What deletes asks first.
    """
    from registry_async._paths import relative_path

    target = target_of(given, "json")
    method = method.upper()
    with checking():
        relative_path(path)
        if not (method.isascii() and method.isalpha()):
            raise ValueError("METHOD must be an HTTP method such as GET")
    query = dict(_pair(each) for each in params)
    document = None if body is None else _parsed(sys.stdin.read() if body == "-" else body)
    changes = method not in ("GET", "HEAD")
    asks = changes and (dry_run or method == "DELETE")
    if asks and not agreed([f"Sends {method} {path}."], yes=yes, dry_run=dry_run):
        return DONE

    async def send() -> Any:
        async with open_client() as client:
            return await client.request(method, path, params=query or None, json=document)

    answer = asyncio.run(send())
    if answer is not None:
        with opened(target) as file:
            indent = None if target.format == "jsonl" else 2
            file.write(json_text(answer, indent=indent) + "\n")
    return DONE


def _pair(text: str) -> tuple[str, str]:
    name, equals, value = text.partition("=")
    if not name or not equals:
        raise CommandError(f"--params takes NAME=VALUE, not {text!r}", USAGE)
    return name, value


def _parsed(text: str) -> Any:
    try:
        return json.loads(text)
    except ValueError as error:
        raise CommandError(f"--json is no JSON: {error}", USAGE) from None
