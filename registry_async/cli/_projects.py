"""The commands about projects."""

import asyncio
from typing import TYPE_CHECKING, Any, Final

from registry_async.cli._clients import account_credentials, account_options
from registry_async.cli._framework import Group
from registry_async.cli._output import output_options, target_of, write_items
from registry_async.cli._table import Column

if TYPE_CHECKING:
    from registry_async.accounts import Project

_COLUMNS: Final = (
    Column("name", lambda each: each.name),
    Column("enabled", lambda each: each.enabled, rank=1),
    Column("id", lambda each: each.id, rank=2),
    Column("domain_id", lambda each: each.domain_id, rank=3),
)

projects: Final = Group("projects", help="Work with the projects of an account.")


@projects.command("list")
@output_options()
def list_all(**given: Any) -> int:
    """List the projects that the user has a role in, disabled ones included."""
    target = target_of(given)

    async def read() -> "tuple[Project, ...]":
        from registry_async.accounts import list_projects

        return await list_projects(account_credentials(), **account_options())

    return write_items(target, _COLUMNS, asyncio.run(read()), what="projects")
