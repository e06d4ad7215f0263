"""How commands end: exit codes, and one line on standard error that says what to change."""

import sys
from collections.abc import Generator
from contextlib import contextmanager
from pathlib import Path
from typing import Final
from urllib.parse import urlsplit

from registry_async._safe_text import visible
from registry_async.errors import (
    AuthenticationError,
    ConnectionFailedError,
    NotFoundError,
    PermissionDeniedError,
    RequestError,
    RequestTimeoutError,
    RetentionRefusedError,
    UnexpectedResponseError,
)

__all__ = [
    "DONE",
    "FAILED",
    "INTERRUPTED",
    "PARTLY",
    "USAGE",
    "CommandError",
    "advice",
    "checking",
    "complain",
    "say",
]

DONE: Final = 0
FAILED: Final = 1
USAGE: Final = 2
PARTLY: Final = 3
INTERRUPTED: Final = 130


class CommandError(Exception):
    """The command ends here; the message says why in one line.

    Args:
        message: Why, in one line.
        code: The exit code.
    """

    def __init__(self, message: str, code: int) -> None:
        super().__init__(message)
        self.code = code


@contextmanager
def checking(path: Path | None = None) -> Generator[None]:
    """Take a ValueError of this block for wrong usage.

    The block holds calls that check arguments and send nothing. A ValueError from elsewhere is a
    mistake of ours, whose traceback must show.

    Args:
        path: The file that the block reads, to be named.
    """
    try:
        yield
    except RetentionRefusedError:
        # An edited plan is both.
        raise
    except ValueError as error:
        place = "" if path is None else f"{path}: "
        raise CommandError(f"{place}{error}", USAGE) from None


def say(line: str) -> None:
    """Write one line on standard error, with nothing in it that acts on a terminal."""
    # A closed standard error is None; print() would take that for standard output.
    if sys.stderr is not None:
        print(visible(line), file=sys.stderr)


def complain(problem: str, code: int) -> int:
    """Say in one line what went wrong, and return the exit code."""
    say(f"registry-async: {' '.join(problem.split())}")
    return code


def advice(error: Exception) -> str:
    """Return what to change after an error, to be put behind it; empty where nobody knows."""
    match error:
        case AuthenticationError():
            words = "the token or login was refused: check REGISTRY_TOKEN or the OS_… variables"
        case PermissionDeniedError():
            words = "these credentials do not open it: use others, or ask for a role"
        case ConnectionFailedError():
            words = "check the URL (--base-url, REGISTRY_BASE_URL), the network and the proxy"
        case RequestTimeoutError():
            words = "try a longer --timeout"
        case NotFoundError() | UnexpectedResponseError() if _lacks_api(error):
            words = "the base URL (--base-url, REGISTRY_BASE_URL) usually ends in /api"
        case _:
            return ""
    return f"; {words}"


def _lacks_api(error: RequestError) -> bool:
    return bool(error.url) and "api" not in urlsplit(error.url).path.split("/")
