"""Examples in documents, run as a reader would: each in a process of its own, on the sandbox."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path
from typing import Final

from registry_async.sandbox import Sandbox

# What asyncio's debug mode says of a busy machine, not of the program.
_SLOW_STEP: Final = re.compile(r"^Executing <.* took [\d.]+ seconds\n", re.MULTILINE)


def blocks(text: str, language: str) -> list[str]:
    """Give the fenced blocks of a language, in order."""
    return re.findall(rf"^```{language}\n(.*?)^```$", text, re.MULTILINE | re.DOTALL)


def run(command: list[str], sandbox: Sandbox, cwd: Path) -> str:
    """Run a command with the sandbox in its environment, and give what it prints.

    It must end well and say nothing on standard error.
    """
    kept = {
        name: value
        for name, value in os.environ.items()
        if not name.startswith(("OS_", "REGISTRY_"))
    }
    environment = {
        **kept,
        "REGISTRY_TOKEN": sandbox.token,
        "REGISTRY_BASE_URL": sandbox.base_url,
    }
    finished = subprocess.run(
        command,
        env=environment,
        cwd=cwd,
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert finished.returncode == 0, finished.stderr
    assert _SLOW_STEP.sub("", finished.stderr) == ""
    return finished.stdout


def run_python(source: str, sandbox: Sandbox, cwd: Path) -> str:
    """Run a program with every warning an error, and give what it prints."""
    script = cwd / "snippet.py"
    script.write_text(source, encoding="utf-8")
    # Dask and FastAPI have warnings of their own; what is ours is held to have none.
    strict = [] if "distributed" in source else ["-X", "dev", "-W", "error"]
    return run([sys.executable, *strict, str(script)], sandbox, cwd)
