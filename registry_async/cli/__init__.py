"""The command line: one module a command, each of which parses, calls and prints."""

import sys
from collections.abc import Sequence
from importlib.util import find_spec

__all__ = ["main"]


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command line.

    Args:
        arguments: The arguments after the command's name; those of the process by default.

    Returns:
        The exit code.

    Raises:
        SystemExit: The arguments cannot be understood; the exit code is 2.
    """
    if find_spec("click") is None:
        if sys.stderr is not None:
            line = "the command line needs the extra: pip install 'registry-async[cli]'"
            print(f"registry-async: {line}", file=sys.stderr)
        return 2
    from registry_async.cli._app import run

    return run(arguments)
