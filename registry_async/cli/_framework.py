"""What all commands share: global options, help in sections, loading a command when it is named."""

from collections.abc import Callable, Mapping
from importlib import import_module
from pathlib import Path
from typing import Any, Final, TypeVar, cast

import click
from attrs import define
from click.core import ParameterSource

__all__ = ["Command", "Group", "LazyGroup", "Settings", "settings"]

F = TypeVar("F", bound=Callable[..., Any])

_WIDEST: Final = 100


@define
class Settings:
    """The global options, wherever on the command line they stand.

    Attributes:
        cloud: The cloud of ``clouds.yaml`` to log in to.
        project: Ids of projects, or names with wildcards.
        all_projects: Whether every project of the account is meant.
        base_url: The URL of the service, or ``catalog``.
        ca_file: A file with CA certificates to trust besides the system's.
        timeout: The seconds for one attempt.
        quiet: Whether to say nothing but results and errors.
        verbose: Whether to log each request.
    """

    cloud: str | None = None
    project: tuple[str, ...] = ()
    all_projects: bool = False
    base_url: str | None = None
    ca_file: Path | None = None
    timeout: float | None = None
    quiet: bool = False
    verbose: bool = False


def settings() -> Settings:
    """Return the global options of the command that runs."""
    return _settings(click.get_current_context())


def _settings(context: click.Context) -> Settings:
    root = context.find_root()
    if root.obj is None:
        root.obj = Settings()
    return cast(Settings, root.obj)


def _keep(context: click.Context, parameter: click.Parameter, value: object) -> None:
    # Options may stand before and after the verb. One that is not given must not undo another.
    name = parameter.name or ""
    if context.get_parameter_source(name) is ParameterSource.COMMANDLINE:
        setattr(_settings(context), name, value)


def _option(*names: str, **attributes: Any) -> click.Option:
    return click.Option(names, expose_value=False, callback=_keep, **attributes)


_GLOBAL: Final = (
    _option("--cloud", metavar="NAME", help="Log in to this cloud of clouds.yaml."),
    _option(
        "--project",
        multiple=True,
        metavar="NAME",
        help="The project, by id or name; * is a wildcard; may be repeated.",
    ),
    _option("--all-projects", is_flag=True, help="Every project of the account."),
    _option("--base-url", metavar="URL", help="The URL of the service, or 'catalog'."),
    _option(
        "--ca-file",
        type=click.Path(exists=True, dir_okay=False, path_type=Path),
        metavar="FILE",
        help="CA certificates to trust besides the system's.",
    ),
    _option(
        "--timeout",
        type=click.FloatRange(min=0, min_open=True),
        metavar="SECONDS",
        help="The limit for one attempt of a request.",
    ),
    _option("-q", "--quiet", is_flag=True, help="Say nothing but results and errors."),
    _option("-v", "--verbose", is_flag=True, help="Log each request on standard error."),
)


class Command(click.Command):
    """A command that takes the global options, and shows them below its own."""

    def get_params(self, ctx: click.Context) -> list[click.Parameter]:
        """Return the parameters, the global ones included."""
        return [*super().get_params(ctx), *_GLOBAL]

    def format_usage(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """Write the line of usage."""
        pieces = " ".join(self.collect_usage_pieces(ctx))
        formatter.write_usage(ctx.command_path, pieces, prefix="usage: ")

    def format_options(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """Write the options in two sections."""
        formatter.width = min(formatter.width, _WIDEST)
        own = [each for each in self.get_params(ctx) if each not in _GLOBAL]
        for title, parameters in (("Options", own), ("Global options", [*_GLOBAL])):
            records = [each.get_help_record(ctx) for each in parameters]
            if rows := [record for record in records if record is not None]:
                with formatter.section(title):
                    formatter.write_dl(rows)
        if isinstance(self, click.Group):
            self.format_commands(ctx, formatter)


class Group(Command, click.Group):
    """A noun with its verbs."""

    command_class = Command


class LazyGroup(Group):
    """The root: its commands are loaded when they are named.

    Args:
        modules: For each command the module, the name in it, and the words for the list.
    """

    def __init__(self, modules: Mapping[str, tuple[str, str, str]], **attributes: Any) -> None:
        super().__init__(**attributes)
        self._modules = modules

    def list_commands(self, ctx: click.Context) -> list[str]:
        """Return the names of all commands."""
        return list(self._modules)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        """Load a command."""
        if cmd_name not in self._modules:
            return None
        module, name, _ = self._modules[cmd_name]
        command: click.Command = getattr(import_module(f"{__package__}.{module}"), name)
        return command

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """Write the list of commands, without loading them."""
        with formatter.section("Commands"):
            formatter.write_dl([(name, words) for name, (_, _, words) in self._modules.items()])
