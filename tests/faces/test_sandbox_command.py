"""The command that serves the sandbox: what it prints works in a shell, in JSON and in skopeo."""

from __future__ import annotations

import json
import shutil
import signal
import subprocess
import sys
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Final

import pytest

from registry_async import RegistryClient
from registry_async.cli import main
from tests.real.programs import clean_environment, give_up

SECONDS: Final = 60
PROGRAM: Final = (sys.executable, "-m", "registry_async")
LAST_LINE: Final = "# The sandbox serves until Ctrl-C.\n"


@contextmanager
def serving(*options: str) -> Iterator[list[str]]:
    """Run the command, give the lines that it prints, and end it as Ctrl-C does."""
    with subprocess.Popen(
        [*PROGRAM, "sandbox", *options],
        text=True,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        env=clean_environment(),
    ) as process:
        try:
            assert process.stdout is not None
            lines: list[str] = []
            while not lines or (lines[-1] != LAST_LINE and "--json" not in options):
                line = process.stdout.readline()
                assert line, "the sandbox ended early"
                lines.append(line)
            yield lines
            process.send_signal(signal.SIGINT)
            process.communicate(timeout=SECONDS)
        finally:
            process.kill()
    assert process.returncode == 0


@contextmanager
def described(*options: str) -> Iterator[Any]:
    with serving("--json", *options) as (line,):
        yield json.loads(line)


def shell(script: str, **environment: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        ["sh", "-c", script],
        env=clean_environment(**environment),
        capture_output=True,
        text=True,
        timeout=SECONDS,
        check=False,
    )


def client_of(data: Any) -> RegistryClient:
    return RegistryClient(token=data["token"], base_url=data["base_url"])


def test_the_assignments_let_a_scan_work() -> None:
    with serving() as lines:
        assignments = "".join(lines)
        scan = f'eval "$ASSIGNMENTS"; exec {sys.executable} -m registry_async scan --json'
        by_token = shell(scan, ASSIGNMENTS=assignments)
        # Without the token, the same assignments are a Keystone login.
        by_login = shell(
            scan.replace("exec", "unset REGISTRY_TOKEN; exec"), ASSIGNMENTS=assignments
        )
    assert (by_token.returncode, by_login.returncode) == (0, 0), by_token.stderr + by_login.stderr
    assert by_token.stderr == ""
    assert "production" in by_token.stdout
    assert "production" in by_login.stdout


def test_every_line_is_an_assignment_or_a_comment() -> None:
    with serving() as lines:
        assert {line.partition(" ")[0] for line in lines} == {"export", "#"}


def test_the_json_has_the_documented_keys() -> None:
    with described() as data:
        assert set(data) == {
            "format",
            "version",
            "base_url",
            "token",
            "registry_host",
            "registry_username",
            "registry_password",
            "auth_url",
            "username",
            "password",
            "account",
            "application_credential_id",
            "application_credential_secret",
            "projects",
            "environment",
            "logins",
        }
        assert (data["format"], data["version"]) == ("registry_async sandbox description", 1)
        assert set(data["logins"]) == {"docker", "skopeo", "helm"}
        assert set(data["environment"]) == {
            "REGISTRY_BASE_URL",
            "REGISTRY_TOKEN",
            "OS_AUTH_URL",
            "OS_USERNAME",
            "OS_PASSWORD",
            "OS_USER_DOMAIN_NAME",
            "OS_PROJECT_ID",
            "OS_PROJECT_NAME",
            "OS_PROJECT_DOMAIN_NAME",
            "REGISTRY_HOST",
            "REGISTRY_USERNAME",
            "REGISTRY_PASSWORD",
        }
        assert {frozenset(project) for project in data["projects"]} == {
            frozenset({"id", "name", "account", "enabled"})
        }
        with client_of(data) as client:
            assert client.registries.list().count() == 5


def test_the_pasted_line_logs_skopeo_in(tmp_path: Path) -> None:
    if shutil.which("skopeo") is None:
        give_up("skopeo is not installed (a Debian package)")
    home = {
        "HOME": str(tmp_path),
        "XDG_RUNTIME_DIR": str(tmp_path),
        "REGISTRY_AUTH_FILE": str(tmp_path / "auth.json"),
    }
    with serving() as lines:
        (pasted,) = (line.removeprefix("# ") for line in lines if " skopeo login " in line)
        (host,) = (
            line.strip().partition("=")[2]
            for line in lines
            if line.startswith("export REGISTRY_HOST=")
        )
        tags = f"skopeo list-tags --tls-verify=false docker://{host}/production/nothing"
        before = shell(tags, **home)
        done = shell(pasted, **home)
        after = shell(tags, **home)
    assert (done.returncode, done.stdout) == (0, "Login Succeeded!\n"), done.stderr
    assert set(json.loads((tmp_path / "auth.json").read_text())["auths"]) == {host}
    assert "unauthorized" in before.stderr.lower()
    assert "404 (Not Found)" in after.stderr


@pytest.mark.parametrize("host", ["0.0.0.0", "192.0.2.1", "example.com", "::", ""])
def test_a_host_that_is_not_loopback_is_refused(
    host: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["sandbox", "--host", host]) == 2
    out, err = capsys.readouterr()
    assert out == ""
    assert len(err.splitlines()) == 1
    assert "loopback" in err


def test_seed_and_empty_exclude_each_other(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["sandbox", "--seed", "--empty"]) == 2
    assert "--empty" in capsys.readouterr().err


def test_a_seed_tells_what_data_there_are() -> None:
    found: list[tuple[str, ...]] = []
    for options in ([], ["--seed"], ["--seed", "1"], ["--seed", "7"]):
        with described(*options) as data, client_of(data) as client:
            found.append(tuple(registry.id for registry in client.registries.list()))
    assert found[0] == found[1] == found[2] != found[3]
    assert found[3]


def test_more_projects_can_be_logged_in_to() -> None:
    with described("--empty", "--projects", "2") as data:
        names = [project["name"] for project in data["projects"]]
    assert names[1:] == ["project-1", "project-2"]


def test_what_is_made_in_a_directory_is_there_after_a_restart(tmp_path: Path) -> None:
    options = ("--empty", "--data", str(tmp_path / "kept"))
    with described(*options) as data, client_of(data) as client:
        made = client.registries.create("kept")
    with described(*options) as data, client_of(data) as client:
        assert client.registries.get(made.id).name == "kept"


def test_a_directory_that_another_sandbox_holds_is_one_line(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    with described("--empty", "--data", str(tmp_path)):
        assert main(["sandbox", "--empty", "--data", str(tmp_path)]) == 1
    out, err = capsys.readouterr()
    assert out == ""
    assert len(err.splitlines()) == 1
    assert str(tmp_path) in err
    assert "--data" in err


@pytest.mark.parametrize(
    ("options", "arguments"),
    [
        ([], {}),
        (["--no-guards-parts"], {"guards_parts": False}),
        (["--hides-tags", "2"], {"hides_tags": 2}),
        (["--v1-unpaged"], {"v1_unpaged": True}),
        (["--corrupting-gc"], {"corrupting_gc": True}),
        (["--dialect", "reference"], {"dialect": "reference"}),
        (["--port", "5000", "--host", "::1"], {"port": 5000, "host": "::1"}),
    ],
)
def test_options_are_the_arguments_of_the_sandbox(
    options: list[str], arguments: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    seen: list[dict[str, Any]] = []

    def record(**given: Any) -> None:
        seen.append(given)
        raise ValueError("recorded")

    monkeypatch.setattr("registry_async.sandbox.Sandbox", record)
    assert main(["sandbox", *options]) == 2
    benign = {
        "seed": 1,
        "data": None,
        "host": "127.0.0.1",
        "port": 0,
        "dialect": "auto",
        "guards_parts": True,
        "hides_tags": 0,
        "v1_unpaged": False,
        "corrupting_gc": False,
    }
    assert seen == [benign | arguments]


@pytest.mark.parametrize(("dialect", "status"), [("auto", 204), ("reference", 200)])
def test_the_dialect_is_that_of_the_answers(dialect: str, status: int) -> None:
    with described("--empty", "--dialect", dialect) as data:
        request = urllib.request.Request(
            f"{data['base_url']}/v1/registries", headers={"X-Auth-Token": data["token"]}
        )
        with urllib.request.urlopen(request, timeout=SECONDS) as answer:
            assert answer.status == status


def test_hidden_tags_are_missing_from_the_list_of_images() -> None:
    with described("--hides-tags", "1") as data, client_of(data) as client:
        registry = client.registries.get_by_name("production")
        repository = next(each.name for each in client.repositories.list(registry.id))
        listed = {
            tag for image in client.images.list(registry.id, repository) for tag in image.tags
        }
        assert len({*client.repositories.list_tags(registry.id, repository)} - listed) == 1
