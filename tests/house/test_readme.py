"""The README's snippets run as they stand, against the sandbox, each in a process of its own."""

import re
import subprocess
import sys
import tomllib
from datetime import UTC, datetime
from pathlib import Path
from typing import Final

import pytest

from registry_async.sandbox import Sandbox
from tests.support.snippets import blocks, run, run_python

ROOT: Final = Path(__file__).parents[2]
README: Final = (ROOT / "README.md").read_text(encoding="utf-8")
PYTHON: Final = blocks(README, "python")


@pytest.mark.parametrize("number", range(len(PYTHON)))
def test_a_python_snippet_runs_without_a_warning(number: int, tmp_path: Path) -> None:
    if "opentelemetry" in PYTHON[number]:
        pytest.importorskip(
            "opentelemetry.instrumentation.aiohttp_client", reason="the extra test is older"
        )
    with Sandbox() as sandbox:
        run_python(PYTHON[number], sandbox, tmp_path)


def test_a_trace_has_a_span_for_a_request_and_no_path(tmp_path: Path) -> None:
    pytest.importorskip(
        "opentelemetry.instrumentation.aiohttp_client", reason="the extra test is older"
    )
    with Sandbox() as sandbox:
        output = run_python(
            next(each for each in PYTHON if "opentelemetry" in each), sandbox, tmp_path
        )
        requests = len(sandbox.requests)
    assert output.count('"kind": "SpanKind.CLIENT"') == requests > 0
    assert "/v2/registries" not in output


def test_the_async_tour_prints_the_registries_with_their_images(tmp_path: Path) -> None:
    tour = next(block for block in PYTHON if "async for registry in" in block)
    with Sandbox() as sandbox:
        output = run_python(tour, sandbox, tmp_path)
        with sandbox.sync_client() as client:
            names = [registry.name for registry in client.registries.list()]
    assert names
    assert all(name in output for name in names)


def test_the_service_lists_registries_and_scans_beside_it(tmp_path: Path) -> None:
    service = next(block for block in PYTHON if "FastAPI" in block)
    visit = """
from fastapi.testclient import TestClient

with TestClient(app) as web:
    print(*(row["name"] for row in web.get("/registries").json()))
    while (answer := web.get("/usage")).status_code == 503:
        pass
    print(answer.json()["registry_count"], "counted")
"""
    (tmp_path / "service.py").write_text(service + visit, encoding="utf-8")
    with Sandbox() as sandbox:
        output = run([sys.executable, "service.py"], sandbox, tmp_path)
        with sandbox.sync_client() as client:
            names = [registry.name for registry in client.registries.list()]
    assert output.split("\n")[0] == " ".join(names)
    assert f"{len(names)} counted" in output


def test_the_first_lines_name_the_newest_image_and_not_the_first(tmp_path: Path) -> None:
    tour = next(block for block in PYTHON if "newest = " in block)
    with Sandbox(seed=False) as sandbox:
        registry = sandbox.state.add_registry("made-here")
        repository = sandbox.state.add_repository(registry, "team/app")
        for day, tag in ((1, "first"), (3, "last"), (2, "middle")):
            created = datetime(2026, 1, day, tzinfo=UTC)
            sandbox.state.push_image(repository, tags=[tag], created_at=created)
        output = run_python(tour, sandbox, tmp_path)
    assert "last" in output
    assert "first" not in output
    assert "middle" not in output


def test_every_extra_has_a_row() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
    section = README.partition("## Extras")[2].partition("\n## ")[0]
    rows = set(re.findall(r"^\| `(\w+)` \|", section, re.MULTILINE))
    assert rows == set(project["project"]["optional-dependencies"])


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
