"""The command that prints what completes commands in a shell."""

import click
from click.shell_completion import get_completion_class

from registry_async.cli._ending import DONE
from registry_async.cli._framework import Command
from registry_async.cli._output import Target, check_output, opened


@click.command("completion", cls=Command)
@click.argument("shell", type=click.Choice(["bash", "zsh", "fish"]))
def completion(shell: str) -> int:
    r"""Print what completes commands in a shell.

    \b
    bash: eval "$(registry-async completion bash)"
    zsh:  eval "$(registry-async completion zsh)"
    fish: registry-async completion fish | source
    """
    check_output(None)
    kind = get_completion_class(shell)
    root = click.get_current_context().find_root().command
    assert kind is not None
    made = kind(root, {}, "registry-async", "_REGISTRY_ASYNC_COMPLETE")
    with opened(Target("json")) as file:
        file.write(made.source() + "\n")
    return DONE
