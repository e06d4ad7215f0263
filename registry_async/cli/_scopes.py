"""What a token opens, and when it ends: options that several commands share."""

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any, TypeVar

import click

from registry_async.cli._clients import find_registry
from registry_async.cli._ending import USAGE, CommandError
from registry_async.cli._times import END

if TYPE_CHECKING:
    from registry_async.client import AsyncRegistryClient
    from registry_async.models import TokenScope

__all__ = ["end_option", "new_scope", "scope_options"]

F = TypeVar("F", bound=Callable[..., Any])


def end_option(*, required: bool = True) -> Callable[[F], F]:
    """Give a command ``--expires-at``."""
    return click.option(
        "--expires-at",
        type=END,
        required=required,
        metavar="TIME",
        help="When it ends: 90d, 2030-01-31, 2030-01-31T12:00Z, or never.",
    )


def scope_options(function: F) -> F:
    """Give a command the options for the scope of a token."""
    write = click.option(
        "--read-write/--read-only",
        default=None,
        help="Whether it may push and delete; read-only by default.",
    )
    every = click.option(
        "--all-registries", is_flag=True, help="Open every registry, those to come included."
    )
    some = click.option(
        "--registry", multiple=True, metavar="NAME", help="Open this registry; may be repeated."
    )
    return some(every(write(function)))


async def new_scope(
    client: "AsyncRegistryClient",
    registry: Sequence[str],
    all_registries: bool,
    read_write: bool | None,
) -> "TokenScope":
    """Return the scope that the options describe.

    Raises:
        CommandError: They name no registry, or both some and all.
    """
    from registry_async.models import TokenScope

    if bool(registry) == all_registries:
        raise CommandError(
            "give either --registry NAME (may be repeated) or --all-registries", USAGE
        )
    ids = [(await find_registry(client, name)).id for name in registry]
    return TokenScope(
        all_registries=all_registries, read_write=bool(read_write), registry_ids=tuple(ids)
    )
