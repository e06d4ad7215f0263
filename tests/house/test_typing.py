"""Both type checkers see the package as its users would have it, and refuse their mistakes."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from pathlib import Path
from typing import Final

import pytest

ROOT: Final = Path(__file__).parents[2]
TYPING: Final = Path(__file__).parent / "typing"
EXPECTED: Final = re.compile(r"\s*# type: ignore\[([\w-]+)\]")


def run(*arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", *arguments],
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=240,
        check=False,
    )


def mypy(path: Path) -> list[tuple[int, str]]:
    """Give the errors in a file: the lines and mypy's names for them."""
    finished = run("mypy", "--no-pretty", "--hide-error-context", str(path))
    assert finished.stderr == ""
    found = re.findall(
        rf"^\S*{path.name}:(\d+): error: .*\[([\w-]+)\]$", finished.stdout, re.MULTILINE
    )
    # Another file's error would be one of the package.
    assert finished.stdout.count(": error: ") == len(found), finished.stdout
    assert finished.returncode == bool(found), finished.stdout
    return [(int(line), code) for line, code in found]


def pyright(path: Path, *, mode: str = "strict") -> list[tuple[int, str]]:
    """Give the errors in a file: the lines and pyright's names for them."""
    project = path.parent / "pyrightconfig.json"
    settings = {"include": [path.name], "extraPaths": [str(ROOT)], "typeCheckingMode": mode}
    project.write_text(json.dumps({**settings, "pythonVersion": "3.11"}))
    finished = run(
        "pyright", "--outputjson", "--pythonpath", sys.executable, "--project", str(project)
    )
    report = json.loads(finished.stdout)
    assert report["summary"]["filesAnalyzed"] == 1
    return [
        (each["range"]["start"]["line"] + 1, each["rule"])
        for each in report["generalDiagnostics"]
        if each["severity"] == "error"
    ]


@pytest.fixture
def right(tmp_path: Path) -> Path:
    path = tmp_path / "right.py"
    path.write_text((TYPING / "right.py").read_text())
    return path


@pytest.fixture
def wrong(tmp_path: Path) -> Path:
    """The file of mistakes, without the comments that let them pass."""
    path = tmp_path / "wrong.py"
    path.write_text(EXPECTED.sub("", (TYPING / "wrong.py").read_text()))
    return path


def expected() -> list[tuple[int, str]]:
    lines = (TYPING / "wrong.py").read_text().splitlines()
    found = ((number, EXPECTED.search(line)) for number, line in enumerate(lines, 1))
    return [(number, match[1]) for number, match in found if match]


def test_mypy_agrees_with_every_type(right: Path) -> None:
    assert "assert_type" in right.read_text()
    assert mypy(right) == []


def test_pyright_agrees_with_every_type(right: Path) -> None:
    assert pyright(right) == []


def test_mypy_refuses_every_mistake_and_nothing_else(wrong: Path) -> None:
    assert len(expected()) > 20
    assert sorted(set(mypy(wrong))) == expected()


def test_pyright_refuses_every_mistake_and_nothing_else(wrong: Path) -> None:
    # Strictly, what comes of a mistake in later lines is refused, too.
    found = pyright(wrong, mode="standard")
    assert sorted({line for line, _ in found}) == [line for line, _ in expected()]


def test_a_wrong_assertion_would_be_found(tmp_path: Path) -> None:
    path = tmp_path / "check.py"
    path.write_text(
        "from typing import assert_type\n"
        "from registry_async import RegistryClient\n"
        "def f(client: RegistryClient) -> None:\n"
        "    assert_type(client.registries.get('id'), str)\n"
    )
    assert mypy(path) == [(4, "assert-type")]
    assert pyright(path) == [(4, "reportAssertTypeFailure")]
