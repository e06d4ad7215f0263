"""The pytest fixture, as a user's own tests take it."""

import subprocess
import sys
from pathlib import Path

PROGRAM = """
import urllib.request
import pytest
from registry_async.sandbox import Sandbox

seen = []

def total(sandbox):
    request = urllib.request.Request(
        sandbox.base_url + "/v2/registries", headers={"X-Auth-Token": sandbox.token}
    )
    with urllib.request.urlopen(request) as answer:
        return answer.read()

def test_seeded(registry_sandbox: Sandbox):
    seen.append(registry_sandbox.origin)
    assert b'"totalCount":5' in total(registry_sandbox)

@pytest.mark.registry_sandbox(seed=False, max_limit=7)
def test_with_options(registry_sandbox: Sandbox):
    seen.append(registry_sandbox.origin)
    assert b'"totalCount":0' in total(registry_sandbox)
    assert registry_sandbox.faults.max_limit == 7

@pytest.mark.anyio
async def test_async(registry_sandbox: Sandbox, anyio_backend):
    seen.append(registry_sandbox.origin)

def test_each_had_its_own():
    assert len(set(seen)) == 3
"""


def test_the_fixture_gives_every_test_a_sandbox_of_its_own(tmp_path: Path) -> None:
    plugin = 'pytest_plugins = ["registry_async.sandbox.pytest_plugin"]\n'
    backend = 'import pytest\n@pytest.fixture\ndef anyio_backend(): return "asyncio"\n'
    (tmp_path / "conftest.py").write_text(plugin + backend)
    (tmp_path / "test_users_own.py").write_text(PROGRAM)
    command = [sys.executable, "-X", "dev", "-m", "pytest", "-q", "--strict-markers", "-W", "error"]
    done = subprocess.run(
        [*command, "-p", "no:cacheprovider", str(tmp_path)],
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
        cwd=tmp_path,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert "4 passed" in done.stdout
    markers = subprocess.run(
        [*command, "--markers"],
        capture_output=True,
        text=True,
        timeout=60,
        check=True,
        cwd=tmp_path,
    )
    assert "@pytest.mark.registry_sandbox(**options):" in markers.stdout
