"""The commands about access tokens (API v2)."""

import asyncio
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, Final

import click
from attrs import evolve

from registry_async._safe_text import json_text, visible
from registry_async.cli._asking import agreed, asking_options
from registry_async.cli._clients import open_client, open_clients
from registry_async.cli._ending import DONE, PARTLY, USAGE, CommandError, advice, checking, say
from registry_async.cli._framework import Group
from registry_async.cli._listing import collect_from, list_options
from registry_async.cli._output import (
    Target,
    check_output,
    opened,
    output_options,
    target_of,
    write_item,
    write_items,
)
from registry_async.cli._scopes import end_option, new_scope, scope_options
from registry_async.cli._table import Column
from registry_async.cli._times import End

if TYPE_CHECKING:
    from registry_async.models import IssuedToken, Token


def _registries(token: "Token") -> object:
    return "all" if token.scope.all_registries else token.scope.registry_ids


_COLUMNS: Final = (
    Column("id", lambda each: each.id),
    Column("name", lambda each: each.name, rank=1),
    Column("status", lambda each: str(each.status), rank=2),
    Column("access", lambda each: "read-write" if each.scope.read_write else "read-only", rank=3),
    Column("expires_at", lambda each: each.expires_at or "never", "time", rank=4),
    Column("registries", _registries, "list", rank=7),
    Column("last_used_at", lambda each: each.last_used_at, "time", rank=5),
    Column("created_at", lambda each: each.created_at, "time", rank=6),
)

tokens: Final = Group(
    "tokens", help="Work with access tokens: the passwords with which Docker logs in."
)


def _print_secret(token: "IssuedToken", kind: str) -> int:
    """Print a secret, this once and on standard output alone."""
    from registry_async._plain import to_dict

    if kind == "table":
        for column in _COLUMNS:
            say(f"{column.heading:12}  {column.text(token)}")
        say("The secret is shown this once:")
    with opened(Target("table" if kind == "table" else "json")) as file:
        text = visible(token.secret)
        if kind == "json":
            text = json_text(to_dict(token, secrets=True))
        file.write(f"{text}\n")
    return DONE


@tokens.command("list")
@list_options("name", "created_at", "last_used_at", "expires_at")
@click.option(
    "--scope-mode", type=click.Choice(["ro", "rw"]), help="Only read-only or read-write ones."
)
@output_options()
def list_tokens(search: str | None, **given: Any) -> int:
    """List the tokens. Revoked ones stay in the list until they are deleted."""
    target = target_of(given)

    async def read() -> int:
        async with open_clients() as clients:
            with checking():
                lists = [
                    client.tokens.list(
                        search=search,
                        scope_mode=given["scope_mode"],
                        sort_field=given["sort_field"],
                        sort_type=given["sort_type"],
                    )
                    for client in clients
                ]
            found = await collect_from(clients, lists)
        code = write_items(
            target,
            _COLUMNS,
            found.items,
            what="tokens",
            filtered=not (search is None and given["scope_mode"] is None),
            labels=found.labels,
        )
        for label, error in found.errors:
            say(f"registry-async: {label}: {error}{advice(error)}")
        return PARTLY if found.errors and code == DONE else code

    return asyncio.run(read())


_SECRET_FORMAT: Final = click.option(
    "--format",
    "kind",
    type=click.Choice(["table", "json"]),
    default="table",
    help="json prints the token with its secret; otherwise standard output gets the secret alone.",
)


@tokens.command("create")
@click.option("--name", metavar="NAME", help="A name for people.")
@scope_options
@end_option()
@_SECRET_FORMAT
def create(
    name: str | None,
    registry: Sequence[str],
    all_registries: bool,
    read_write: bool | None,
    expires_at: End,
    kind: str,
) -> int:
    """Create a token and print its secret, which is shown this once."""
    check_output(None)

    async def make() -> "IssuedToken":
        async with open_client() as client:
            scope = await new_scope(client, registry, all_registries, read_write)
            return await client.tokens.create(scope=scope, expires_at=expires_at.at, name=name)

    return _print_secret(asyncio.run(make()), kind)


@tokens.command("get")
@click.argument("token_id")
@output_options()
def get(token_id: str, **given: Any) -> int:
    """Show a token, without its secret."""
    target = target_of(given)

    async def read() -> "Token":
        async with open_client() as client:
            return await client.tokens.get(token_id)

    return write_item(target, _COLUMNS, asyncio.run(read()), what="tokens")


@tokens.command("update")
@click.argument("token_id")
@click.option("--name", metavar="NAME", help="A new name.")
@scope_options
@end_option(required=False)
@output_options()
def update(
    token_id: str,
    name: str | None,
    registry: Sequence[str],
    all_registries: bool,
    read_write: bool | None,
    expires_at: End | None,
    **given: Any,
) -> int:
    """Change what is given of a token, and nothing else."""
    target = target_of(given)

    async def change() -> "Token":
        changes: dict[str, Any] = {}
        if name is not None:
            changes["name"] = name
        if expires_at is not None:
            changes["expires_at"] = expires_at.at
        async with open_client() as client:
            if registry or all_registries:
                scope = await new_scope(client, registry, all_registries, read_write)
                if read_write is None:
                    before = (await client.tokens.get(token_id)).scope
                    scope = evolve(scope, read_write=before.read_write)
                changes["scope"] = scope
            elif read_write is not None:
                before = (await client.tokens.get(token_id)).scope
                changes["scope"] = evolve(before, read_write=read_write)
            if not changes:
                raise CommandError("nothing is given to change", USAGE)
            return await client.tokens.update(token_id, **changes)

    return write_item(target, _COLUMNS, asyncio.run(change()), what="tokens")


@tokens.command("refresh")
@click.argument("token_id")
@end_option()
@output_options()
def refresh(token_id: str, expires_at: End, **given: Any) -> int:
    """Give a token a new end; its secret stays."""
    target = target_of(given)

    async def change() -> "Token":
        async with open_client() as client:
            return await client.tokens.refresh(token_id, expires_at=expires_at.at)

    return write_item(target, _COLUMNS, asyncio.run(change()), what="tokens")


@tokens.command("regenerate")
@click.argument("token_id")
@end_option()
@_SECRET_FORMAT
@asking_options
def regenerate(token_id: str, expires_at: End, kind: str, yes: bool, dry_run: bool) -> int:
    """Replace the secret of a token and print the new one. The old one ends."""
    check_output(None)

    async def change() -> "IssuedToken | None":
        async with open_client() as client:
            lines = [f"Replaces the secret of {_named(await client.tokens.get(token_id))}."]
            lines.append("Whoever logs in with the old one is locked out.")
            if not agreed(lines, yes=yes, dry_run=dry_run):
                return None
            return await client.tokens.regenerate(token_id, expires_at=expires_at.at)

    issued = asyncio.run(change())
    return DONE if issued is None else _print_secret(issued, kind)


@tokens.command("revoke")
@click.argument("token_id")
@asking_options
def revoke(token_id: str, yes: bool, dry_run: bool) -> int:
    """End a token; it stays in the list until it is deleted."""

    async def end() -> int:
        async with open_client() as client:
            named = _named(await client.tokens.get(token_id))
            lines = [f"Revokes {named}.", "Whoever logs in with it is locked out."]
            if agreed(lines, yes=yes, dry_run=dry_run):
                await client.tokens.revoke(token_id)
                say(f"Revoked {named}.")
        return DONE

    return asyncio.run(end())


@tokens.command("delete")
@click.argument("token_id")
@asking_options
def delete(token_id: str, yes: bool, dry_run: bool) -> int:
    """Remove a token from the list, and end it if it is not ended."""

    async def remove() -> int:
        async with open_client() as client:
            named = _named(await client.tokens.get(token_id))
            lines = [f"Deletes {named}.", "Whoever logs in with it is locked out."]
            if agreed(lines, yes=yes, dry_run=dry_run):
                await client.tokens.delete(token_id)
                say(f"Deleted {named}.")
        return DONE

    return asyncio.run(remove())


def _named(token: "Token") -> str:
    access = "read-write" if token.scope.read_write else "read-only"
    name = f"{token.name} " if token.name else ""
    return f"token {name}({token.id}, {access}, {token.status})"
