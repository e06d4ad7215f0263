"""The commands about retention: what they print, what they send, and how they end."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Final

import pytest

from registry_async import Image, Registry, Repository
from registry_async.cli import main
from registry_async.retention import RepositorySnapshot, RetentionPolicy, evaluate

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
