"""The sandbox against the contract: its document, its routes, and what schemathesis finds.

`registry_async/sandbox/openapi.json` is `tests/contract/openapi.yaml` as JSON. When the latter
changes, `python -m tests.service.test_sandbox_contract` writes the former anew.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from importlib import resources
from pathlib import Path
from typing import Any, Final

import pytest
import yaml

from registry_async.sandbox import Sandbox
from tests.support.contract import DOCUMENT_PATH, Contract
from tests.support.sandbox import Api, path_of

SERVED_DOCUMENT: Final = resources.files("registry_async.sandbox") / "openapi.json"
# Above what a run needs, so that a run which does not end is told from one that is slow.
TIME_LIMIT_SECONDS: Final = 240
# The contract's prose refuses what its schemas let pass: a scope that names no registry, a v1
# token that cannot be one, and a tag where a digest is meant.
REFUSED_BY_PROSE: Final = {
    "createToken",
    "deleteManifest",
    "refreshTokenV1",
    "revokeTokenV1",
    "updateToken",
}


def test_the_served_document_is_the_contract() -> None:
    contract = yaml.safe_load(DOCUMENT_PATH.read_text(encoding="utf-8"))
    served = json.loads(SERVED_DOCUMENT.read_text(encoding="utf-8"))
    assert {**served, "servers": None} == {**contract, "servers": None}


@pytest.fixture(scope="module")
def sandbox() -> Iterator[Sandbox]:
    with Sandbox() as running:
        yield running


@pytest.mark.parametrize("path", ["/openapi.json", "/api/openapi.json"])
def test_the_document_is_served_to_everybody(sandbox: Sandbox, path: str) -> None:
    reply = Api(sandbox).send("GET", path, token=None)
    assert (reply.status, reply.headers["Content-Type"]) == (200, "application/json")
    document = json.loads(SERVED_DOCUMENT.read_text(encoding="utf-8"))
    # What follows the document must reach the sandbox, never the service that it stands in for.
    assert reply.body == {**document, "servers": [{"url": sandbox.base_url}]}


def test_every_path_has_the_methods_of_the_contract(sandbox: Sandbox) -> None:
    documented: dict[str, set[str]] = {}
    for _, method, template in Contract.load().operations():
        documented.setdefault(template, set()).add(method)
    for template, methods in documented.items():
        path = template.replace("{", "a").replace("}", "z")
        reply = Api(sandbox).send("PROPFIND", f"/api{path}")
        assert reply.status == 405
        assert set(reply.headers["Allow"].split(", ")) == methods


def test_every_operation_goes_by_its_name(sandbox: Sandbox) -> None:
    operations = Contract.load().operations()
    for operation_id, method, template in operations:
        path = template.replace("{", "a").replace("}", "z")
        Api(sandbox).send(method, f"/api{path}")
        assert sandbox.requests[-1].operation_id == operation_id
    assert len(operations) == 30


# schemathesis

# The contract's schemas know no nulls; the service reads them as Go does, as unset members.
WITHOUT_NULLS: Final = """
import schemathesis

def has_null(value):
    if isinstance(value, dict):
        return any(item is None or has_null(item) for item in value.values())
    return isinstance(value, list) and any(has_null(item) for item in value)

@schemathesis.hook
def filter_case(context, case):
    return not has_null(case.body)
"""


def run_schemathesis(sandbox: Sandbox, folder: Path, config: str, *options: str) -> None:
    """Let schemathesis loose on a sandbox: every check, and the same requests in every run."""
    prose = "".join(
        f'[[operations]]\ninclude-operation-id = "{operation_id}"\n'
        "[operations.checks]\npositive_data_acceptance.enabled = false\n"
        for operation_id in sorted(REFUSED_BY_PROSE)
    )
    (folder / "without_nulls.py").write_text(WITHOUT_NULLS)
    (folder / "schemathesis.toml").write_text(f'hooks = "without_nulls"\n{config}\n{prose}')
    command = [sys.executable, "-m", "schemathesis.cli"]
    command += ["--config-file", str(folder / "schemathesis.toml"), "run"]
    command += [f"{sandbox.origin}/openapi.json", "--url", sandbox.base_url]
    command += ["--header", f"X-Auth-Token: {sandbox.token}", "--generation-deterministic"]
    # A busy machine makes data slowly; that is nothing to hold against the sandbox.
    command += ["--no-color", "--warnings", "off", "--suppress-health-check", "all", *options]
    environment = {name: value for name, value in os.environ.items() if "proxy" not in name.lower()}
    environment["PYTHONPATH"] = str(folder)
    done = subprocess.run(
        command,
        capture_output=True,
        text=True,
        timeout=TIME_LIMIT_SECONDS,
        check=False,
        cwd=folder,
        env=environment,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert {record.status for record in sandbox.requests} <= {
        200, 201, 204, 400, 401, 404, 405, 409,
    }  # fmt: skip


def test_no_answer_is_outside_the_contract(tmp_path: Path) -> None:
    with Sandbox(keep_requests=100_000) as sandbox:
        run_schemathesis(sandbox, tmp_path, "", "--max-examples", "20")
        reached = {record.operation_id for record in sandbox.requests} - {None}
    assert len(reached) == 30


def test_no_answer_about_what_is_there_is_outside_the_contract(tmp_path: Path) -> None:
    """Name what exists in every path, so that the requests get past the 404s."""
    with Sandbox(
        seed=False,
        keep_requests=100_000,
        create_seconds=0.0,
        # Deleted registries stay in sight, and collections are over at once.
        delete_seconds=float("inf"),
        collection_seconds=0.0,
    ) as sandbox:
        config = "".join(_name_what_exists(sandbox, *operation) for operation in _operations())
        phases = "examples,coverage,fuzzing"
        run_schemathesis(sandbox, tmp_path, config, "--max-examples", "15", "--phases", phases)
        done = {record.operation_id for record in sandbox.requests if (record.status or 999) < 300}
    assert done - {None} == {operation_id for operation_id, _, _ in _operations()}


def _operations() -> tuple[tuple[str, str, str], ...]:
    return Contract.load().operations()


def _name_what_exists(sandbox: Sandbox, operation_id: str, method: str, template: str) -> str:
    """Make a registry, an image and tokens for one operation, and name them in its parameters.

    The repository's name has no slash: schemathesis puts such values into a path as they are.
    """
    state = sandbox.state
    registry = state.add_registry(operation_id.lower()[:20])
    repository = state.add_repository(registry, "app")
    image = state.add_image(repository, tags=["v1", "latest"])
    state.add_image(repository)
    state.add_cluster(registry, "main", "ru-9")
    scope: dict[str, Any] = {"allRegistries": True, "modeRW": False}
    api = Api(sandbox)
    token = api.post("/v2/tokens", {"expiration": {"isSet": False}, "scope": scope})
    values = {
        "registry_id": registry.id,
        "repository": repository.name,
        "reference": image.digest,
        "token_id": token["id"],
        "token": api.post("/v1/token")["token"],
    }
    named = [
        f'"{name}" = "{value}"\n' for name, value in values.items() if f"{{{name}}}" in template
    ]
    if not named:
        return ""
    assert api.send("GET", f"/api{path_of(registry, repository.name)}").status == 200
    table = f'[[operations]]\ninclude-operation-id = "{operation_id}"\n[operations.parameters]\n'
    return table + "".join(named)


if __name__ == "__main__":
    loaded = yaml.safe_load(DOCUMENT_PATH.read_text(encoding="utf-8"))
    text = json.dumps(loaded, indent=1, ensure_ascii=False, allow_nan=False)
    Path(str(SERVED_DOCUMENT)).write_text(text + "\n", encoding="utf-8")
