"""The README's snippets run as they stand, against the sandbox, each in a process of its own."""

import subprocess
import sys
from pathlib import Path
from typing import Final

import pytest

from registry_async.sandbox import Sandbox
from tests.support.snippets import blocks, run_python

README: Final = (Path(__file__).parents[2] / "README.md").read_text(encoding="utf-8")
PYTHON: Final = blocks(README, "python")


@pytest.mark.parametrize("number", range(len(PYTHON)))
def test_a_python_snippet_runs_without_a_warning(number: int, tmp_path: Path) -> None:
    with Sandbox() as sandbox:
        run_python(PYTHON[number], sandbox, tmp_path)


def test_the_async_tour_prints_the_registries_with_their_images(tmp_path: Path) -> None:
    tour = next(block for block in PYTHON if "async for registry in" in block)
    with Sandbox() as sandbox:
        output = run_python(tour, sandbox, tmp_path)
        with sandbox.sync_client() as client:
            names = [registry.name for registry in client.registries.list()]
    assert names
    assert all(name in output for name in names)


def test_the_docker_snippet_writes_a_login(tmp_path: Path) -> None:
    with Sandbox() as sandbox:
        run_python(
            next(each for each in PYTHON if "create_docker_config" in each), sandbox, tmp_path
        )
    config = tmp_path / "config.json"
    assert '"auths"' in config.read_text()
    assert config.stat().st_mode & 0o777 == 0o600


def test_the_first_command_ends_with_the_table() -> None:
    command = blocks(README, "sh")[0].strip().split(" && ")[-1]
    program, *arguments = command.split()
    assert program.endswith("/registry-async")
    finished = subprocess.run(
        [sys.executable, "-m", "registry_async", *arguments],
        capture_output=True,
        text=True,
        timeout=120,
    )
    assert finished.returncode == 0, finished.stderr
    for word in ("production", "untagged", "last change"):
        assert word in finished.stdout.lower()
