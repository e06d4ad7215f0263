"""The commands about repositories."""

import asyncio
from typing import Any, Final

import click

from registry_async.cli._asking import agreed, asking_options, conflict_option
from registry_async.cli._clients import find_registry, open_client
from registry_async.cli._ending import DONE, checking, say
from registry_async.cli._framework import Group
from registry_async.cli._listing import list_options
from registry_async.cli._output import output_options, target_of, write_item, write_items
from registry_async.cli._table import Column

_COLUMNS: Final = (
    Column("name", lambda each: each.name),
    Column("type", lambda each: each.type and str(each.type), rank=2),
    Column("size", lambda each: each.size, "bytes", rank=1),
    Column("updated_at", lambda each: each.updated_at, "time", rank=3),
)
_TAGS: Final = (Column("tag", str),)

repositories: Final = Group(
    "repositories", help="Work with repositories. Their registry is named by name or id."
)


@repositories.command("list")
@click.argument("registry")
@list_options("name", "updated_at", "size")
@output_options()
def list_repositories(registry: str, search: str | None, **given: Any) -> int:
    """List the repositories of a registry."""
    target = target_of(given)

    async def read() -> Any:
        async with open_client() as client:
            found = await find_registry(client, registry)
            with checking():
                paginator = client.repositories.list(
                    found.id,
                    search=search,
                    sort_field=given["sort_field"],
                    sort_type=given["sort_type"],
                )
            return await paginator.collect()

    return write_items(
        target,
        _COLUMNS,
        asyncio.run(read()),
        what="repositories",
        filtered=search is not None,
    )


@repositories.command("get")
@click.argument("registry")
@click.argument("repository")
@output_options()
def get(registry: str, repository: str, **given: Any) -> int:
    """Show a repository."""
    target = target_of(given)

    async def read() -> Any:
        async with open_client() as client:
            found = await find_registry(client, registry)
            return await client.repositories.get(found.id, repository)

    return write_item(target, _COLUMNS, asyncio.run(read()), what="repositories")


@repositories.command("delete")
@click.argument("registry")
@click.argument("repository")
@asking_options
@conflict_option
def delete(
    registry: str, repository: str, yes: bool, dry_run: bool, conflict_timeout: float
) -> int:
    """Delete a repository with all its images."""

    async def remove() -> int:
        async with open_client() as client:
            found = await find_registry(client, registry)
            count = await client.images.list(found.id, repository).count()
            noun = "image" if count == 1 else "images"
            line = f"Deletes repository {repository} of {found.name} with {count:,} {noun}."
            if agreed([line], yes=yes, dry_run=dry_run):
                await client.repositories.delete(
                    found.id, repository, conflict_timeout=conflict_timeout
                )
                say(f"Deleted repository {repository} of {found.name}.")
        return DONE

    return asyncio.run(remove())


@repositories.command("tags")
@click.argument("registry")
@click.argument("repository")
@output_options()
def tags(registry: str, repository: str, **given: Any) -> int:
    """List the tags of a repository."""
    target = target_of(given)

    async def read() -> Any:
        async with open_client() as client:
            found = await find_registry(client, registry)
            return await client.repositories.list_tags(found.id, repository)

    return write_items(target, _TAGS, asyncio.run(read()), what="tags")
