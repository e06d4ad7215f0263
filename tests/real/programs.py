"""What the fixtures of real programs share: a place to keep things, and what absence means."""

from __future__ import annotations

import contextlib
import fcntl
import os
import subprocess
import tempfile
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Final, NoReturn

import pytest

_PROJECT: Final = Path(__file__).parents[2]


class UnavailableError(Exception):
    """A real program cannot be had on this machine."""


def give_up(reason: str) -> NoReturn:
    """Skip the test, except in CI, where a real program that is missing is a failure."""
    if os.environ.get("CI"):
        pytest.fail(f"{reason} (never skipped in CI)", pytrace=False)
    pytest.skip(reason)


def cache_directory() -> Path:
    """Give a directory that outlives the run, for what takes long to install."""
    base = os.environ.get("XDG_CACHE_HOME")
    # An empty or relative XDG_CACHE_HOME is to be ignored, by its own specification.
    if base and Path(base).is_absolute():
        directory = Path(base) / "registry-async-tests"
    else:
        directory = _PROJECT / ".cache" / "tests"
    try:
        directory.mkdir(parents=True, exist_ok=True)
    except OSError:
        directory = Path(tempfile.gettempdir()) / f"registry-async-tests-{os.getuid()}"
        directory.mkdir(mode=0o700, parents=True, exist_ok=True)
    return directory


@contextlib.contextmanager
def exclusive(path: Path) -> Iterator[None]:
    """Hold a lock file, so that two runs of the tests do not install the same thing at once."""
    with path.open("w") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        yield


def clean_environment(**extra: str) -> dict[str, str]:
    """Give the environment without what would change another program's behaviour."""
    unwanted = ("OS_", "PYTHON", "REGISTRY_", "VIRTUAL_ENV")
    kept = {key: value for key, value in os.environ.items() if not key.startswith(unwanted)}
    return kept | extra


def run(command: Sequence[str | Path], *, env: dict[str, str], timeout: float) -> None:
    """Run a program to its end.

    Raises:
        UnavailableError: It cannot be started, fails, or takes longer than `timeout` seconds.
    """
    name = Path(command[0]).name
    try:
        done = subprocess.run(
            command,
            env=env,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            errors="replace",
            timeout=timeout,
            check=False,
        )
    except (OSError, subprocess.TimeoutExpired) as error:
        raise UnavailableError(f"{name}: {error}") from error
    if done.returncode:
        raise UnavailableError(f"{name} ended with {done.returncode}: {done.stdout[-2000:]}")
