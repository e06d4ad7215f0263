"""The command: write the sync module, or compare it with what is there."""

import argparse
import sys
from difflib import unified_diff
from pathlib import Path

from registry_async._generate_sync.laying_out import TARGET, generate
from registry_async._generate_sync.reading import PACKAGE

__all__ = ["main"]


def main(arguments: list[str] | None = None) -> int:
    """Write the sync module, or compare it with what is there.

    Args:
        arguments: The words of the command line.

    Returns:
        The exit code: with ``--check`` 1 when the file is out of date.
    """
    parser = argparse.ArgumentParser(
        prog=f"python -m {PACKAGE}._generate_sync",
        description="Write the sync client from the async classes.",
    )
    parser.add_argument(
        "--check", action="store_true", help="write nothing; fail if the file is out of date"
    )
    check = parser.parse_args(arguments).check
    target = Path(__file__).parents[1] / TARGET
    wanted = generate(target.parent)
    if not check:
        target.write_text(wanted, encoding="utf-8")
        return 0
    present = target.read_text(encoding="utf-8") if target.exists() else ""
    names = f"{TARGET}, as it is", "as it should be"
    difference = unified_diff(present.splitlines(), wanted.splitlines(), *names, lineterm="")
    print("\n".join(difference), end="")
    return int(present != wanted)


if __name__ == "__main__":
    sys.exit(main())
