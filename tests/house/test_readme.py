"""The README's snippets run as they stand, against the sandbox, each in a process of its own."""

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from registry_async.sandbox import Sandbox

# What asyncio's debug mode says of a busy machine, not of the program.
SLOW_STEP = re.compile(r"^Executing <.* took [\d.]+ seconds\n", re.MULTILINE)
README = Path(__file__).parents[2] / "README.md"


def blocks(language: str) -> list[str]:
    return re.findall(rf"^```{language}\n(.*?)^```$", README.read_text(), re.MULTILINE | re.DOTALL)


def environment(sandbox: Sandbox) -> dict[str, str]:
    kept = {
        name: value
        for name, value in os.environ.items()
        if not name.startswith(("OS_", "REGISTRY_"))
    }
    return {**kept, "REGISTRY_TOKEN": sandbox.token, "REGISTRY_BASE_URL": sandbox.base_url}


def run(command: list[str], sandbox: Sandbox, cwd: Path) -> str:
    finished = subprocess.run(
        command, env=environment(sandbox), cwd=cwd, capture_output=True, text=True, timeout=120
    )
    assert finished.returncode == 0, finished.stderr
    assert SLOW_STEP.sub("", finished.stderr) == ""
    return finished.stdout


@pytest.mark.parametrize("number", range(len(blocks("python"))))
def test_a_python_snippet_runs_without_a_warning(number: int, tmp_path: Path) -> None:
    script = tmp_path / "snippet.py"
    script.write_text(blocks("python")[number])
    with Sandbox() as sandbox:
        # Dask has warnings of its own; what is ours is held to have none.
        strict = [] if "distributed" in script.read_text() else ["-X", "dev", "-W", "error"]
        run([sys.executable, *strict, str(script)], sandbox, tmp_path)


def test_the_async_tour_prints_the_registries_with_their_images(tmp_path: Path) -> None:
    script = tmp_path / "snippet.py"
    script.write_text(next(block for block in blocks("python") if "newest" in block))
    with Sandbox() as sandbox:
        output = run([sys.executable, str(script)], sandbox, tmp_path)
        with sandbox.sync_client() as client:
            names = [registry.name for registry in client.registries.list()]
    assert names
    assert all(name in output for name in names)


def test_the_docker_snippet_writes_a_login(tmp_path: Path) -> None:
    script = tmp_path / "snippet.py"
    script.write_text(next(block for block in blocks("python") if "create_docker_config" in block))
    with Sandbox() as sandbox:
        run([sys.executable, str(script)], sandbox, tmp_path)
    config = tmp_path / "config.json"
    assert '"auths"' in config.read_text()
    assert config.stat().st_mode & 0o777 == 0o600


def test_the_first_command_ends_with_the_table() -> None:
    command = blocks("sh")[0].strip().split(" && ")[-1]
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
