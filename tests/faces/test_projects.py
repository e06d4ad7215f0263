"""The command line over the projects of an account."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator

import pytest

from registry_async.cli import main
from registry_async.sandbox import Sandbox


@pytest.fixture
def sandbox(monkeypatch: pytest.MonkeyPatch) -> Iterator[Sandbox]:
    """A sandbox with two projects, and a login of the account that leads to it."""
    for name in list(os.environ):
        if name.startswith(("OS_", "REGISTRY_")):
            monkeypatch.delenv(name)
    with Sandbox() as running:
        running.add_project("second").state.add_registry("of-second")
        monkeypatch.setenv("REGISTRY_BASE_URL", running.base_url)
        monkeypatch.setenv("OS_AUTH_URL", running.auth_url)
        monkeypatch.setenv("OS_USERNAME", running.login.username)
        monkeypatch.setenv("OS_PASSWORD", running.login.password)
        monkeypatch.setenv("OS_USER_DOMAIN_NAME", running.login.account)
        yield running


def read(capsys: pytest.CaptureFixture[str], *arguments: str) -> list[dict[str, object]]:
    assert main([*arguments, "--format", "json"]) == 0
    found: list[dict[str, object]] = json.loads(capsys.readouterr().out)
    return found


def open_names(sandbox: Sandbox) -> set[str]:
    """The projects of the account that give tokens."""
    account = sandbox.login.account
    return {
        each.name for each in sandbox.projects.values() if each.account == account and each.enabled
    }


def test_the_projects_of_the_account_are_listed(
    sandbox: Sandbox, capsys: pytest.CaptureFixture[str]
) -> None:
    listed = read(capsys, "projects", "list")
    assert {each["name"] for each in listed} > open_names(sandbox)
    assert all(set(each) == {"id", "name", "enabled", "domain_id"} for each in listed)


def test_rows_of_several_projects_carry_the_project(
    sandbox: Sandbox, capsys: pytest.CaptureFixture[str]
) -> None:
    rows = read(capsys, "registries", "list", "--all-projects")
    assert {row["project"] for row in rows} >= open_names(sandbox)
    assert main(["registries", "list", "--all-projects"]) == 0
    assert capsys.readouterr().out.startswith("project ")


def test_a_project_is_chosen_by_name_and_overrides_the_environment(
    sandbox: Sandbox, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("OS_PROJECT_NAME", sandbox.login.project_name)
    rows = read(capsys, "registries", "list", "--project", "second")
    assert {row["project"] for row in rows} == {"second"}
    report = json.loads(out_of(capsys, "scan", "--project", "sec*", "--format", "json"))
    assert report["complete"]


def out_of(capsys: pytest.CaptureFixture[str], *arguments: str) -> str:
    assert main(arguments) == 0
    return capsys.readouterr().out


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (["registries", "list", "--project", "no-such"], "no-such"),
        (["registries", "list", "--project", "second", "--all-projects"], "not both"),
        (["registries", "gc-size", "production", "--all-projects"], "one project"),
    ],
)
@pytest.mark.usefixtures("sandbox")
def test_a_choice_that_cannot_be_is_wrong_usage(
    arguments: list[str], says: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(arguments) == 2
    assert says in capsys.readouterr().err


def test_a_project_that_cannot_be_read_is_no_end_of_the_others(
    sandbox: Sandbox, capsys: pytest.CaptureFixture[str]
) -> None:
    sandbox.faults.add(path="/v2/registries", status=403, times=1)
    assert main(["registries", "list", "--all-projects", "--format", "json"]) == 3
    out, err = capsys.readouterr()
    assert json.loads(out)
    assert "403" in err
