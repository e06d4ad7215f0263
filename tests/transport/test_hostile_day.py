"""All that goes wrong, at once: no wrong result, nothing twice, no secret shown, nothing left."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any, Final

import pytest

from tests.transport.hostile.service import KINDS

ROOT: Final = Path(__file__).parents[2]


def spend(requests: int, *, seed: int, within: float) -> dict[str, Any]:
    """Spend a day in a process of its own and give its figures; nothing may be wrong."""
    program = [sys.executable, "-m", "tests.transport.hostile.day"]
    done = subprocess.run(
        [*program, "--requests", str(requests), "--seed", str(seed)],
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=within,
        check=False,
    )
    assert done.stdout, done.stderr
    figures: dict[str, Any] = json.loads(done.stdout)
    assert figures["wrong"] == []
    assert done.returncode == 0
    assert done.stderr == ""
    return figures


def hold(figures: dict[str, Any], requests: int) -> None:
    # Every kind of fault was met, and most of what was tried came to its end.
    assert set(figures["faults"]) == {*KINDS, "stray"}
    succeeded = sum(
        figures["outcomes"].get(kind, 0)
        for kind in ("get", "delete", "create", "collect", "scan", "cancelled")
    )
    assert succeeded > requests * 0.9
    assert figures["outcomes"]["sync"] > 0
    assert figures["outcomes"]["fork"] >= 10


@pytest.mark.long
def test_a_hostile_day() -> None:
    hold(spend(3_000, seed=1, within=280), 3_000)


@pytest.mark.soak
@pytest.mark.timeout(3_600)
def test_a_long_hostile_day() -> None:
    figures = spend(200_000, seed=2, within=3_500)
    hold(figures, 200_000)
    first, last = figures["samples"][0], figures["samples"][-1]
    assert last["memory"] - first["memory"] < 16 * 1024, figures["samples"]
    for measure in ("descriptors", "tasks", "threads"):
        assert abs(last[measure] - first[measure]) <= 60, figures["samples"]
