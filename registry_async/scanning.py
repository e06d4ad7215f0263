"""Scan several projects at once, a client each."""

from collections.abc import Callable, Iterable
from typing import Literal, Unpack, overload

from registry_async._pagination import DEFAULT_PAGE_SIZE
from registry_async._scan.options import (
    DEFAULT_CONCURRENCY,
    Patterns,
    ScanOptions,
    ScanSettings,
)
from registry_async._scan.results import ScannedImage, ScannedRepository, ScanProgress
from registry_async._scan.scan import AsyncScan
from registry_async.client import AsyncRegistryClient

__all__ = ["scan"]


@overload
def scan(
    clients: Iterable[AsyncRegistryClient],
    *,
    images: Literal[True] = True,
    **settings: Unpack[ScanSettings],
) -> AsyncScan[ScannedImage]: ...


@overload
def scan(
    clients: Iterable[AsyncRegistryClient],
    *,
    images: Literal[False],
    **settings: Unpack[ScanSettings],
) -> AsyncScan[ScannedRepository]: ...


def scan(
    clients: Iterable[AsyncRegistryClient],
    *,
    concurrency: int = DEFAULT_CONCURRENCY,
    registries: str | Iterable[str] | None = None,
    repository: Patterns | None = None,
    images: bool = True,
    tags: Patterns | bool | None = None,
    page_size: int = DEFAULT_PAGE_SIZE,
    max_rate: float | None = None,
    on_error: Literal["record", "raise"] = "record",
    on_progress: Callable[[ScanProgress], object] | None = None,
    progress: bool = False,
) -> AsyncScan[ScannedImage] | AsyncScan[ScannedRepository]:
    """Read every image of several projects, a client each, within one concurrency.

    A token sees one project. Give each of the ``clients`` a ``label``: it is in the results, as
    ``client_label``. The keywords are those of `AsyncRegistryClient.scan`.

    Returns:
        A scan, to be entered with ``async with`` and iterated once, or asked for a ``report()``.

    Raises:
        ValueError: An argument makes no sense, or a client is given twice, or is no such client.
    """
    every = list(clients)
    if not all(isinstance(client, AsyncRegistryClient) for client in every):  # pyright: ignore[reportUnnecessaryIsInstance]
        raise ValueError(
            "clients must be async clients; registry_async.sync.scan() takes sync ones"
        )
    if len({id(client) for client in every}) < len(every):
        raise ValueError("clients must not hold one client twice")
    options = ScanOptions.check(
        concurrency=concurrency,
        registries=registries,
        repository=repository,
        images=images,
        tags=tags,
        page_size=page_size,
        max_rate=max_rate,
        on_error=on_error,
        on_progress=on_progress,
        progress=progress,
    )
    targets = [client._scan_target() for client in every]  # pyright: ignore[reportPrivateUsage]
    return AsyncScan(targets, options)
