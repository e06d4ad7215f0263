"""The commands about retention: what they print, what they send, and how they end."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Final

import pytest

from registry_async import Image, Registry, Repository
from registry_async.cli import main
from registry_async.retention import RepositorySnapshot, RetentionPlan, RetentionPolicy, evaluate
from registry_async.sandbox import Sandbox

NOW: Final = datetime.now(UTC).replace(microsecond=0)
POLICY: Final = """
version = 1
[[rule]]
name = "old pull requests"
tags = ["pr-*"]
older_than = "14d"
"""


@pytest.fixture
def policy(tmp_path: Path) -> Path:
    path = tmp_path / "retention.toml"
    path.write_text(POLICY)
    return path


@pytest.fixture
def plan(tmp_path: Path) -> Path:
    """A plan that deletes one image of two."""

    def image(number: int, tag: str) -> Image:
        return Image(
            digest=f"sha256:{number:064x}",
            tags=(tag,),
            size=1000,
            created_at=NOW - timedelta(days=30 * number),
            architecture="amd64",
            os="linux",
            media_type="application/vnd.oci.image.manifest.v1+json",
        )

    snapshot = RepositorySnapshot(
        Registry("id-1", "prod", "ACTIVE", 2000, None),
        Repository("team/app", 2000, "image", NOW),
        (image(1, "main"), image(2, "pr-1")),
        ("main", "pr-1"),
    )
    made = evaluate(
        RetentionPolicy.from_toml(POLICY), [snapshot], now=NOW, base_url="https://cr.example/api"
    )
    assert len(made.deletions) == 1
    path = tmp_path / "plan.json"
    path.write_text(made.to_json())
    return path


def test_a_policy_is_checked(policy: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["retention", "check", str(policy)]) == 0
    assert "1 rule" in capsys.readouterr().out
    policy.write_text(POLICY + "colour = 1\n")
    assert main(["retention", "check", str(policy)]) == 2
    out, err = capsys.readouterr()
    assert out == ""
    assert str(policy) in err
    assert "colour" in err
    assert len(err.splitlines()) == 1


def test_a_plan_is_explained(plan: Path, capsys: pytest.CaptureFixture[str]) -> None:
    explain = ["retention", "explain", str(plan)]
    assert main([*explain, "cr.example/prod/team/app:pr-1"]) == 0
    out = capsys.readouterr().out
    assert "goes" in out
    assert "old pull requests" in out
    assert main([*explain, "prod/team/app:main"]) == 0
    assert "stays" in capsys.readouterr().out
    assert main([*explain, "prod/team/app:no-such"]) == 1
    assert "no-such" in capsys.readouterr().err


def test_an_edited_plan_is_refused(plan: Path, capsys: pytest.CaptureFixture[str]) -> None:
    document = json.loads(plan.read_text())
    document["images"] = []
    plan.write_text(json.dumps(document))
    assert main(["retention", "explain", str(plan), "prod/team/app:main"]) == 4
    assert "edited" in capsys.readouterr().err
    plan.write_text("[]")
    assert main(["retention", "explain", str(plan), "prod/team/app:main"]) == 2
    assert str(plan) in capsys.readouterr().err


@pytest.fixture
def sandbox(monkeypatch: pytest.MonkeyPatch) -> Iterator[Sandbox]:
    """A sandbox with one repository: a release, and a pull request that is old."""
    for name in list(os.environ):
        if name.startswith(("OS_", "REGISTRY_")):
            monkeypatch.delenv(name)
    with Sandbox(seed=False) as running:
        monkeypatch.setenv("REGISTRY_BASE_URL", running.base_url)
        monkeypatch.setenv("REGISTRY_TOKEN", running.token)
        registry = running.state.add_registry("prod")
        repository = running.state.add_repository(registry, "team/app")
        for tag, days in (("v1", 90), ("pr-1", 60), ("pr-2", 1)):
            running.state.add_image(
                repository, tags=[tag], created_at=NOW - timedelta(days=days, hours=1)
            )
        yield running


def tags_in(sandbox: Sandbox) -> set[str]:
    return {
        tag
        for registry in sandbox.state.registries()
        for repository in registry.repositories.values()
        for image in repository.images.values()
        for tag in image.tags
    }


def changing(sandbox: Sandbox) -> set[str]:
    return {record.method for record in sandbox.requests} - {"GET"}


def test_a_plan_is_made_reviewed_and_applied(
    sandbox: Sandbox, policy: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    file = tmp_path / "reviewed.json"
    make = ["retention", "plan", str(policy)]
    assert main(make) == 0
    assert "pr-1" in capsys.readouterr().out
    assert main([*make, "--detailed-exitcode", "--output", str(file)]) == 10
    assert RetentionPlan.from_json(file.read_text()).deletions[0].tags == ("pr-1",)
    assert changing(sandbox) == set()
    capsys.readouterr()

    apply = ["retention", "apply", str(file)]
    assert main(apply) == 2
    out, err = capsys.readouterr()
    assert out == ""
    assert "pr-1" in err
    assert "--yes" in err
    assert main([*apply, "--dry-run"]) == 0
    assert changing(sandbox) == set()
    assert tags_in(sandbox) == {"v1", "pr-1", "pr-2"}

    journal = tmp_path / "plan.journal"
    command = [*apply, "--yes", "--journal", str(journal), "--format", "json"]
    capsys.readouterr()
    assert main(command) == 0
    result = json.loads(capsys.readouterr().out)
    assert [each["tags"] for each in result["deleted"]] == [["pr-1"]]
    assert tags_in(sandbox) == {"v1", "pr-2"}
    assert journal.exists()
    assert main([*make, "--detailed-exitcode"]) == 0


@pytest.mark.parametrize("kind", ["jsonl", "csv", "html"])
def test_a_plan_is_written_as_rows(
    kind: str, sandbox: Sandbox, policy: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["retention", "plan", str(policy), "--format", kind]) == 0
    out = capsys.readouterr().out
    assert all(tag in out for tag in tags_in(sandbox))
    assert "old pull requests" in out


@pytest.mark.parametrize(
    "text",
    [
        "# what runs\ncr.example/prod/team/app:pr-1\n",
        json.dumps(
            {
                "kind": "List",
                "items": [
                    {
                        "kind": "Pod",
                        "spec": {"containers": [{"image": "cr.example/prod/team/app:pr-1"}]},
                    }
                ],
            }
        ),
    ],
)
def test_what_is_in_use_stays(text: str, sandbox: Sandbox, policy: Path, tmp_path: Path) -> None:
    used = tmp_path / "in-use"
    used.write_text(text)
    command = ["retention", "apply", "--policy", str(policy), "--in-use", str(used), "--yes"]
    assert main(command) == 0
    assert tags_in(sandbox) == {"v1", "pr-1", "pr-2"}
    assert main([*command[:4], "--yes"]) == 0
    assert tags_in(sandbox) == {"v1", "pr-2"}


def test_a_list_of_nothing_in_use_is_refused(
    sandbox: Sandbox, policy: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    used = tmp_path / "in-use"
    used.write_text("# nothing\n")
    assert main(["retention", "plan", str(policy), "--in-use", str(used)]) == 2
    assert str(used) in capsys.readouterr().err
    assert sandbox.requests == ()


def test_limits_refuse_the_whole_plan(
    sandbox: Sandbox, policy: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    policy.write_text(POLICY.replace("[[rule]]", "[limits]\nmax_delete_fraction = 0.1\n[[rule]]"))
    file = tmp_path / "refused.json"
    assert main(["retention", "plan", str(policy), "--output", str(file)]) == 4
    assert "refused" in capsys.readouterr().err
    assert main(["retention", "apply", str(file), "--yes"]) == 4
    assert changing(sandbox) == set()
    assert tags_in(sandbox) == {"v1", "pr-1", "pr-2"}


def test_what_cannot_be_deleted_is_a_failure(
    sandbox: Sandbox, policy: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    sandbox.faults.add(method="POST", path="cleanup", status=400, times=None)
    command = ["retention", "apply", "--policy", str(policy), "--yes", "--conflict-timeout", "0"]
    assert main(command) == 1
    assert tags_in(sandbox) == {"v1", "pr-1", "pr-2"}


@pytest.mark.parametrize("arguments", [[], ["PLAN", "--policy", "POLICY"]])
def test_apply_takes_a_plan_or_a_policy(
    arguments: list[str], plan: Path, policy: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    names = {"PLAN": str(plan), "POLICY": str(policy)}
    assert main(["retention", "apply", *(names.get(each, each) for each in arguments)]) == 2
    assert "--policy" in capsys.readouterr().err


def test_with_manifests_parts_are_told_from_leftovers(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    for name in list(os.environ):
        if name.startswith(("OS_", "REGISTRY_")):
            monkeypatch.delenv(name)
    monkeypatch.setenv("DOCKER_CONFIG", str(tmp_path / "docker"))
    policy = tmp_path / "retention.toml"
    policy.write_text('version = 1\n[[rule]]\nname = "old"\ntags = ["v1*"]\nolder_than = "1d"\n')
    with Sandbox() as running:
        monkeypatch.setenv("REGISTRY_BASE_URL", running.base_url)
        monkeypatch.setenv("REGISTRY_TOKEN", running.token)
        command = ["retention", "plan", str(policy), "--format", "json"]
        assert main([*command, "--manifests"]) == 2
        assert "docker" in capsys.readouterr().err
        assert main(["login", "--all-registries", "--expires-at", "1d"]) == 0
        capsys.readouterr()
        assert main(command) == 0
        without = RetentionPlan.from_json(capsys.readouterr().out)
        assert main([*command, "--manifests"]) == 0
        with_them = RetentionPlan.from_json(capsys.readouterr().out)
    assert "team/app" in {each.repository for each in without.blocked}
    assert "team/app" not in {each.repository for each in with_them.blocked}
    assert any(each.reason == "part_of_deleted" for each in with_them.deletions)
