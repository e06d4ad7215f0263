"""The command that logs Docker in."""

import asyncio
import os
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import click

from registry_async._safe_text import json_text
from registry_async.cli._clients import open_client
from registry_async.cli._ending import DONE, USAGE, CommandError, say
from registry_async.cli._framework import Command
from registry_async.cli._output import Target, check_output, opened
from registry_async.cli._scopes import end_option, new_scope, scope_options
from registry_async.cli._times import End

if TYPE_CHECKING:
    from registry_async.models import DockerConfig


@click.command("login", cls=Command)
@click.option("--name", metavar="NAME", help="A name for the token, for people.")
@scope_options
@end_option()
@click.option(
    "--kubernetes-secret",
    metavar="NAME",
    help="Print the manifest of a pull secret of this name; no file is touched.",
)
@click.option("--namespace", metavar="NAME", help="The namespace of the pull secret.")
def login(
    name: str | None,
    registry: Sequence[str],
    all_registries: bool,
    read_write: bool | None,
    expires_at: End,
    kubernetes_secret: str | None,
    namespace: str | None,
) -> int:
    """Make a token and write it into Docker's configuration.

    The file is config.json in the folder that DOCKER_CONFIG names, ~/.docker by default. Docker,
    podman, skopeo and helm can use it.
    """
    if namespace is not None and kubernetes_secret is None:
        raise CommandError("--namespace belongs to --kubernetes-secret NAME", USAGE)
    if kubernetes_secret is not None:
        check_output(None)

    async def make() -> "DockerConfig":
        async with open_client() as client:
            scope = await new_scope(client, registry, all_registries, read_write)
            return await client.tokens.create_docker_config(
                scope=scope, expires_at=expires_at.at, name=name
            )

    config = asyncio.run(make())
    if kubernetes_secret is not None:
        manifest = config.to_kubernetes_secret(kubernetes_secret, namespace)
        with opened(Target("json")) as file:
            file.write(json_text(manifest) + "\n")
        return DONE
    folder = os.environ.get("DOCKER_CONFIG")
    path = (Path(folder) if folder else Path("~/.docker").expanduser()) / "config.json"
    config.save(path)
    say(f"Logged in to {', '.join(config.auths)}: the token is in {path}.")
    return DONE
