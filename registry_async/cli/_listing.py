"""Lists of one project or of several."""

import asyncio
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any, TypeVar

import click
from attrs import frozen

from registry_async.errors import ContainerRegistryError

if TYPE_CHECKING:
    from registry_async._pagination import AsyncPaginator
    from registry_async.client import AsyncRegistryClient

__all__ = ["Found", "collect_from", "list_options"]

F = TypeVar("F", bound=Callable[..., Any])


def list_options(*sort_fields: str) -> Callable[[F], F]:
    """Give a command ``--search``, and ``--sort-field`` and ``--sort-type`` where it sorts."""

    def decorate(function: F) -> F:
        if sort_fields:
            directions = click.Choice(["asc", "desc"])
            function = click.option("--sort-type", type=directions, help="The direction.")(function)
            function = click.option(
                "--sort-field",
                type=_Field(sort_fields),
                metavar="FIELD",
                help=f"What to sort by: {', '.join(sort_fields)}.",
            )(function)
        words = "Only those whose name holds this text."
        return click.option("--search", metavar="TEXT", help=words)(function)

    return decorate


class _Field(click.Choice[str]):
    """A field by the model's name; the service gets its own."""

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> str:
        first, *others = str(super().convert(value, param, ctx)).split("_")
        return first + "".join(each.capitalize() for each in others)


@frozen
class Found:
    """What lists of projects gave.

    Attributes:
        items: The items of all.
        labels: The project of each item; None where there is only one project.
        errors: What could not be read, by project.
    """

    items: list[Any]
    labels: list[str | None] | None
    errors: list[tuple[str | None, Exception]]


async def collect_from(
    clients: "Sequence[AsyncRegistryClient]", lists: "Sequence[AsyncPaginator[Any]]"
) -> Found:
    """Read a list of each client, all at once.

    Raises:
        ContainerRegistryError: No project could be read.
    """
    results = await asyncio.gather(*(each.collect() for each in lists), return_exceptions=True)
    items: list[Any] = []
    labels: list[str | None] = []
    errors: list[tuple[str | None, Exception]] = []
    for client, result in zip(clients, results, strict=True):
        if isinstance(result, ContainerRegistryError):
            errors.append((client.label, result))
        elif isinstance(result, BaseException):
            raise result
        else:
            items += result
            labels += [client.label] * len(result)
    if errors and len(errors) == len(clients):
        raise errors[0][1]
    several = len(clients) > 1 or any(client.label is not None for client in clients)
    return Found(items, labels if several else None, errors)
