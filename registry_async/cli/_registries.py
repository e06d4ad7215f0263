"""The commands about registries."""

import asyncio
from typing import TYPE_CHECKING, Any, Final

import click

from registry_async.cli._asking import agreed, asking_options, conflict_option
from registry_async.cli._clients import find_registry, open_client, open_clients
from registry_async.cli._ending import DONE, PARTLY, advice, checking, say
from registry_async.cli._framework import Group
from registry_async.cli._listing import collect_from, list_options
from registry_async.cli._output import output_options, target_of, write_item, write_items
from registry_async.cli._table import Column

if TYPE_CHECKING:
    from registry_async.models import Registry

_COLUMNS: Final = (
    Column("name", lambda each: each.name),
    Column("status", lambda each: str(each.status), rank=1),
    Column("size", lambda each: each.size, "bytes", rank=2),
    Column("created_at", lambda each: each.created_at, "time", rank=3),
    Column("id", lambda each: each.id, rank=4),
)
_QUOTA: Final = (
    *_COLUMNS,
    Column("size_limit", lambda each: each.size_limit, "bytes", rank=5),
    Column("used", lambda each: each.used, "number", rank=6),
)
_GARBAGE: Final = (
    Column("non_referenced", lambda each: each.non_referenced, "bytes"),
    Column("untagged", lambda each: each.untagged, "bytes"),
    Column("total", lambda each: each.total, "bytes"),
)
_CLUSTERS: Final = (
    Column("name", lambda each: each.name),
    Column("pool", lambda each: each.pool),
    Column("id", lambda each: each.id, rank=1),
)

registries: Final = Group("registries", help="Work with registries, each named by name or id.")


@registries.command("list")
@list_options("name", "created_at", "size")
@output_options()
def list_registries(search: str | None, **given: Any) -> int:
    """List the registries."""
    target = target_of(given)

    async def read() -> int:
        async with open_clients() as clients:
            with checking():
                lists = [
                    client.registries.list(
                        search=search,
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
            what="registries",
            filtered=search is not None,
            labels=found.labels,
        )
        for label, error in found.errors:
            say(f"registry-async: {label}: {error}{advice(error)}")
        return PARTLY if found.errors and code == DONE else code

    return asyncio.run(read())


@registries.command("get")
@click.argument("registry")
@output_options()
def get(registry: str, **given: Any) -> int:
    """Show a registry, with its size limit."""
    target = target_of(given)

    async def read() -> "Registry":
        async with open_client() as client:
            return await client.registries.get((await find_registry(client, registry)).id)

    return write_item(target, _QUOTA, asyncio.run(read()), what="registries")


@registries.command("create")
@click.argument("name")
@click.option("--wait", is_flag=True, help="Wait until it is ACTIVE.")
@output_options()
def create(name: str, wait: bool, **given: Any) -> int:
    """Create a registry."""
    target = target_of(given)

    async def make() -> "Registry":
        from registry_async._arguments import check_registry_name

        with checking():
            check_registry_name(name)
        async with open_client() as client:
            return await client.registries.create(name, wait=wait)

    return write_item(target, _COLUMNS, asyncio.run(make()), what="registries")


@registries.command("delete")
@click.argument("registry")
@click.option("--wait", is_flag=True, help="Wait until it is gone.")
@asking_options
@conflict_option
def delete(registry: str, wait: bool, yes: bool, dry_run: bool, conflict_timeout: float) -> int:
    """Delete a registry with all that is in it."""

    async def remove() -> int:
        async with open_client() as client:
            found = await find_registry(client, registry)
            count = await client.repositories.list(found.id).count()
            lines = [f"Deletes registry {found.name} ({found.id}), {_holds(found, count)}."]
            if agreed(lines, yes=yes, dry_run=dry_run):
                await client.registries.delete(
                    found.id, wait=wait, conflict_timeout=conflict_timeout
                )
                say(f"Deleted registry {found.name}.")
        return DONE

    return asyncio.run(remove())


def _holds(found: "Registry", repositories: int) -> str:
    from registry_async._tables import size_text

    noun = "repository" if repositories == 1 else "repositories"
    return f"{size_text(found.size)} in {repositories:,} {noun}"


@registries.command("gc")
@click.argument("registry")
@click.option(
    "--delete-untagged",
    is_flag=True,
    help="Delete images without a tag, too. Untagged is not unused: see retention.",
)
@click.option("--wait", is_flag=True, help="Wait until it is over.")
@asking_options
@conflict_option
def collect(
    registry: str,
    delete_untagged: bool,
    wait: bool,
    yes: bool,
    dry_run: bool,
    conflict_timeout: float,
) -> int:
    """Start a garbage collection.

    While it runs, images can be pulled, but must not be pushed: their layers could be collected.
    """

    async def start() -> int:
        from registry_async._tables import size_text

        async with open_client() as client:
            found = await find_registry(client, registry)
            size = await client.registries.get_garbage_size(found.id)
            freed = size.total if delete_untagged else size.non_referenced
            lines = [
                f"Collects garbage in registry {found.name} ({found.id}): {size_text(freed)}.",
                "Pushes must wait until it is over.",
            ]
            if delete_untagged:
                lines.insert(
                    1,
                    "Deletes every image without a tag, too. Parts of multi-architecture images"
                    " have none: they may be in use.",
                )
            if agreed(lines, yes=yes, dry_run=dry_run):
                await client.registries.start_garbage_collection(
                    found.id,
                    delete_untagged=delete_untagged,
                    wait=wait,
                    conflict_timeout=conflict_timeout,
                )
                say("The collection is over." if wait else "The collection was started.")
        return DONE

    return asyncio.run(start())


@registries.command("gc-size")
@click.argument("registry")
@output_options()
def garbage_size(registry: str, **given: Any) -> int:
    """Show what a garbage collection would free."""
    target = target_of(given)

    async def read() -> Any:
        async with open_client() as client:
            found = await find_registry(client, registry)
            return await client.registries.get_garbage_size(found.id)

    return write_item(target, _GARBAGE, asyncio.run(read()), what="garbage")


@registries.command("clusters")
@click.argument("registry")
@output_options()
def clusters(registry: str, **given: Any) -> int:
    """List the Kubernetes clusters that use a registry."""
    target = target_of(given)

    async def read() -> Any:
        async with open_client() as client:
            return await client.registries.list_clusters((await find_registry(client, registry)).id)

    return write_items(target, _CLUSTERS, asyncio.run(read()), what="clusters")
