"""The commands about images."""

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
    Column("digest", lambda each: each.digest, "digest"),
    Column("tags", lambda each: each.tags, "list"),
    Column("size", lambda each: each.size, "bytes", rank=1),
    Column("created_at", lambda each: each.created_at, "time", rank=2),
    Column("architecture", lambda each: each.architecture, rank=4),
    Column("os", lambda each: each.os, rank=3),
)
_ALL: Final = (
    *_COLUMNS,
    Column("media_type", lambda each: each.media_type, rank=5),
    Column("layers", lambda each: len(each.layers), "number", rank=6),
)
_LAYERS: Final = (
    Column("digest", lambda each: each.digest, "digest"),
    Column("size", lambda each: each.size, "bytes"),
)

images: Final = Group("images", help="Work with images. Their registry is named by name or id.")


@images.command("list")
@click.argument("registry")
@click.argument("repository")
@list_options()
@output_options()
def list_images(registry: str, repository: str, search: str | None, **given: Any) -> int:
    """List the images of a repository, in no particular order."""
    target = target_of(given)

    async def read() -> Any:
        async with open_client() as client:
            found = await find_registry(client, registry)
            with checking():
                paginator = client.images.list(found.id, repository, search=search)
            return await paginator.collect()

    return write_items(
        target, _COLUMNS, asyncio.run(read()), what="images", filtered=search is not None
    )


@images.command("get")
@click.argument("registry")
@click.argument("repository")
@click.argument("reference")
@output_options()
def get(registry: str, repository: str, reference: str, **given: Any) -> int:
    """Show the image of a tag or digest."""
    target = target_of(given)

    async def read() -> Any:
        async with open_client() as client:
            found = await find_registry(client, registry)
            return await client.images.get(found.id, repository, reference)

    return write_item(target, _ALL, asyncio.run(read()), what="images")


@images.command("layers")
@click.argument("registry")
@click.argument("repository")
@click.argument("reference")
@output_options()
def layers(registry: str, repository: str, reference: str, **given: Any) -> int:
    """List the layers of an image, lowest first."""
    target = target_of(given)

    async def read() -> Any:
        async with open_client() as client:
            found = await find_registry(client, registry)
            return await client.images.list_layers(found.id, repository, reference)

    return write_items(target, _LAYERS, asyncio.run(read()), what="layers")


@images.command("delete")
@click.argument("registry")
@click.argument("repository")
@click.argument("digest")
@asking_options
@conflict_option
def delete(
    registry: str,
    repository: str,
    digest: str,
    yes: bool,
    dry_run: bool,
    conflict_timeout: float,
) -> int:
    """Delete an image with every tag that points at it.

    DIGEST is the whole digest, such as sha256:…; a tag may have moved since you looked.
    """

    async def remove() -> int:
        from registry_async._arguments import check_digest
        from registry_async._tables import size_text

        with checking():
            check_digest(digest, "DIGEST", "find it with: images get REGISTRY REPOSITORY TAG")
        async with open_client() as client:
            found = await find_registry(client, registry)
            image = await client.images.get(found.id, repository, digest)
            names = ", ".join(image.tags) if image.tags else "no tag"
            size = "" if image.size is None else f", {size_text(image.size)}"
            lines = [f"Deletes {image.digest} of {found.name}/{repository} ({names}{size})."]
            if not image.tags:
                lines.append("It may be part of a multi-architecture image, which has no tag.")
            if agreed(lines, yes=yes, dry_run=dry_run):
                await client.images.delete(
                    found.id, repository, digest, conflict_timeout=conflict_timeout
                )
                say(f"Deleted {digest}.")
        return DONE

    return asyncio.run(remove())
