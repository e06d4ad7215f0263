"""Clients as the global options want them, and registries by name or id."""

import logging
import os
import sys
from collections.abc import AsyncGenerator, Generator
from contextlib import asynccontextmanager, contextmanager
from typing import TYPE_CHECKING, Any, cast

from registry_async._safe_text import visible
from registry_async.cli._ending import USAGE, CommandError, checking
from registry_async.cli._framework import Settings, settings
from registry_async.errors import RegistryNotFoundError

if TYPE_CHECKING:
    from registry_async.accounts import ClientOptions
    from registry_async.client import AsyncRegistryClient
    from registry_async.credentials import Credentials
    from registry_async.models import Registry

__all__ = ["account_credentials", "account_options", "find_registry", "open_client", "open_clients"]


@asynccontextmanager
async def open_client() -> "AsyncGenerator[AsyncRegistryClient]":
    """Open the client of the one project that a command works on."""
    async with open_clients() as clients:
        if len(clients) != 1:
            names = ", ".join(str(client.label) for client in clients) or "none"
            raise CommandError(
                f"this command works on one project: name it (chosen: {names})", USAGE
            )
        yield clients[0]


@asynccontextmanager
async def open_clients() -> "AsyncGenerator[tuple[AsyncRegistryClient, ...]]":
    """Open a client for each project that the global options choose."""
    from registry_async.client import AsyncRegistryClient

    chosen = settings()
    with _log(chosen.verbose):
        if chosen.project or chosen.all_projects:
            if chosen.project and chosen.all_projects:
                raise CommandError("give --project or --all-projects, not both", USAGE)
            from registry_async.accounts import open_projects

            with checking():
                opening = open_projects(
                    account_credentials(), chosen.project or None, **account_options()
                )
            async with opening as clients:
                yield clients
            return
        with checking():
            if chosen.cloud is None:
                client = AsyncRegistryClient.from_env(**_options(chosen))
            else:
                client = AsyncRegistryClient.from_cloud(chosen.cloud, **_options(chosen))
        async with client:
            yield (client,)


def account_credentials() -> "Credentials":
    """Return the credentials of the whole account, for all its projects."""
    from registry_async import credentials_from_cloud, credentials_from_env

    cloud = settings().cloud
    if cloud is not None:
        return credentials_from_cloud(cloud, project=False)
    return credentials_from_env(project=False)


def account_options() -> "ClientOptions":
    """Return the options of the clients of an account, of which the environment has some."""
    options = _options(settings())
    if url := os.environ.get("REGISTRY_BASE_URL", "").strip():
        options.setdefault("base_url", url)
    if authorities := os.environ.get("OS_CACERT", "").strip():
        options.setdefault("ssl", authorities)
    return cast("ClientOptions", options)


def _options(chosen: Settings) -> dict[str, Any]:
    options: dict[str, Any] = {}
    if chosen.base_url is not None:
        options["base_url"] = chosen.base_url
    if chosen.ca_file is not None:
        options["ssl"] = chosen.ca_file
    if chosen.timeout is not None:
        options["timeout"] = chosen.timeout
    return options


class _Formatter(logging.Formatter):
    def format(self, record: logging.LogRecord) -> str:
        return visible(super().format(record))


@contextmanager
def _log(wanted: bool) -> Generator[None]:
    """Show what the package logs on standard error while the block runs."""
    if not wanted or sys.stderr is None:
        yield
        return
    handler = logging.StreamHandler()
    handler.setFormatter(_Formatter("%(name)s: %(message)s"))
    logger = logging.getLogger("registry_async")
    before = logger.level
    logger.addHandler(handler)
    logger.setLevel(logging.DEBUG)
    try:
        yield
    finally:
        logger.removeHandler(handler)
        logger.setLevel(before)


async def find_registry(client: "AsyncRegistryClient", text: str) -> "Registry":
    """Return the registry that a name or an id means.

    Raises:
        RegistryNotFoundError: No registry of the project has it.
    """
    every = await client.registries.list().collect()
    for registry in every:
        if registry.id == text:
            return registry
    for registry in every:
        if registry.name == text:
            return registry
    raise RegistryNotFoundError(text)
