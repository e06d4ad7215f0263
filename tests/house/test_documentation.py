"""The guides in the docstrings run as they stand, and the site shows every public name."""

from __future__ import annotations

import importlib
import re
import subprocess
import sys
from pathlib import Path
from typing import Final

import pytest
from fastapi.testclient import TestClient

import registry_async
from registry_async import AsyncRegistryClient
from registry_async.sandbox import Sandbox
from tests.support.snippets import blocks, run_python

# The public modules, each of which is a page of the site.
PAGES: Final = ("registry_async", "registry_async.sandbox")
SNIPPETS: Final = [
    pytest.param(snippet, id=f"{page}-{number}")
    for page in PAGES
    for number, snippet in enumerate(blocks(importlib.import_module(page).__doc__ or "", "python"))
]


@pytest.mark.parametrize("snippet", SNIPPETS)
def test_a_guide_runs_without_a_warning(snippet: str, tmp_path: Path) -> None:
    with Sandbox() as sandbox:
        run_python(snippet, sandbox, tmp_path)


def test_the_service_of_the_guide_answers(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    source = next(part for part in blocks(registry_async.__doc__ or "", "python") if "Fast" in part)
    (tmp_path / "service_of_the_guide.py").write_text(source, encoding="utf-8")
    monkeypatch.syspath_prepend(tmp_path)
    module = importlib.import_module("service_of_the_guide")
    with Sandbox() as sandbox, sandbox.sync_client() as client:
        monkeypatch.setenv("REGISTRY_TOKEN", sandbox.token)
        monkeypatch.setenv("REGISTRY_BASE_URL", sandbox.base_url)
        expected = client.registries.list().collect()
        repositories = client.repositories.list(expected[0].id).collect()
        with TestClient(module.app) as web:
            listed = web.get("/registries")
            inside = web.get(f"/registries/{expected[0].name}/repositories")
            missing = web.get("/registries/no-such-registry/repositories")
    assert [row["name"] for row in listed.json()] == [registry.name for registry in expected]
    assert [row["name"] for row in inside.json()] == [each.name for each in repositories]
    assert missing.status_code == 404


@pytest.mark.long
def test_the_site_shows_every_public_name_and_operation(tmp_path: Path) -> None:
    program = [sys.executable, "-m", "pdoc", "-d", "google", "-o", str(tmp_path), *PAGES]
    done = subprocess.run(program, capture_output=True, text=True, timeout=120, check=False)
    assert done.returncode == 0, done.stderr
    # A name that cannot be resolved is a warning of pdoc's.
    assert done.stderr == ""
    page = (tmp_path / "registry_async.html").read_text(encoding="utf-8")
    shown = set(re.findall(r'id="([\w.]+)"', page))
    assert shown >= set(registry_async.__all__) - {"__version__"}
    for resource in (registry_async.AsyncRegistries, registry_async.Tokens):
        operations = {name for name in vars(resource) if not name.startswith("_")}
        assert shown >= {f"{resource.__name__}.{name}" for name in operations}
    assert shown >= {"AsyncRegistryClient.scan", f"{AsyncRegistryClient.__name__}.registries"}
