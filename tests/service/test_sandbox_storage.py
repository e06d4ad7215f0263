"""The sandbox's data in a directory, and what it keeps in memory."""

from __future__ import annotations

import hashlib
import http.client
import json
import os
import resource
import subprocess
import sys
import textwrap
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import urlsplit

import pytest

from registry_async.sandbox import Sandbox
from tests.support.distribution import Docker, digest_of
from tests.support.sandbox import Api, Clock, path_of

NAME = "production/team/app"
BLOB = b"a layer" * 1_000


def start(data: Path, clock: Clock | None = None, **options: object) -> Sandbox:
    chosen: dict[str, object] = {"seed": False, "collection_seconds": 300, **options}
    return Sandbox(data=data, clock=clock or Clock(), **chosen)  # type: ignore[arg-type]


def files_in(data: Path) -> set[str]:
    return {path.name for path in data.glob("first/blobs/*/*/*")}


def test_what_was_pushed_survives_a_restart(tmp_path: Path) -> None:
    with start(tmp_path) as sandbox:
        api, docker = Api(sandbox), Docker(sandbox)
        registry = sandbox.state.add_registry("production", size_limit=1_000_000)
        sandbox.state.add_cluster(registry, "main", "ru-9")
        digest, _ = docker.push_image(NAME, "v1", BLOB)
        docker.push_image(NAME, "v2", BLOB, b"more", subject=_subject(docker, digest))
        docker.push_blob("production/draft", b"no manifest yet")
        scope = {"allRegistries": False, "modeRW": False, "registryIds": [registry.id]}
        token = api.post(
            "/v2/tokens", {"name": "ci", "scope": scope, "expiration": {"isSet": False}}
        )
        paths = ["/v1/registries", "/v2/tokens", path_of(registry) + "/clusters"]
        paths += [path_of(registry, "team/app") + tail for tail in ("", "/images", "/tags")]
        before = {path: api.get(path) for path in paths}
        secret = docker.secret
    with start(tmp_path) as again:
        api = Api(again)
        assert {path: api.get(path) for path in paths} == before
        for known in (secret, token["token"]):
            docker = Docker(again, known)
            manifest = docker.send("GET", f"/v2/{NAME}/manifests/v1")
            assert digest_of(manifest.content) == digest
            assert docker.send("GET", f"/v2/{NAME}/blobs/{digest_of(BLOB)}").content == BLOB
        found = docker.send("GET", f"/v2/{NAME}/referrers/{digest}").body["manifests"]
        assert len(found) == 1
        draft = Docker(again, secret)
        target = f"/v2/production/draft/blobs/{digest_of(b'no manifest yet')}"
        assert draft.send("HEAD", target).status == 200


def _subject(docker: Docker, digest: str) -> dict[str, object]:
    head = docker.send("HEAD", f"/v2/{NAME}/manifests/{digest}")
    size = int(head.headers["Content-Length"])
    return {"mediaType": head.headers["Content-Type"], "digest": digest, "size": size}


def test_each_project_keeps_its_own(tmp_path: Path) -> None:
    for turn in range(2):
        with start(tmp_path) as sandbox:
            other = sandbox.add_project("other / one")
            if not turn:
                other.state.add_registry("theirs")
            assert [item.name for item in other.state.registries()] == ["theirs"]
            assert sandbox.state.registries() == []


def test_a_seed_is_for_a_directory_without_data(tmp_path: Path) -> None:
    with start(tmp_path, seed=True) as sandbox:
        ids = [registry.id for registry in sandbox.state.registries()]
        Api(sandbox).delete(f"/v1/registries/{ids[-1]}")
        sandbox.state.add_registry("mine")
    with start(tmp_path, seed=True) as again:
        names = [registry.name for registry in again.state.registries()]
        assert sorted(names) == ["helm-charts", "mine", "ml-models", "production", "staging"]
        docker = Docker(again)
        image = next(iter(again.state.registries()[0].repositories.values())).tags["latest"]
        assert docker.send("GET", f"/v2/production/api-gateway/manifests/{image.digest}").status


def test_what_took_time_is_over_after_a_restart(tmp_path: Path) -> None:
    with start(tmp_path, delete_seconds=60, create_seconds=60) as sandbox:
        api, docker = Api(sandbox), Docker(sandbox)
        api.post("/v1/registries", {"name": "being-made"})
        going = sandbox.state.add_registry("being-deleted")
        collected = sandbox.state.add_registry("production")
        digest, _ = docker.push_image(NAME, "v1", BLOB)
        docker.send("DELETE", f"/v2/{NAME}/manifests/{digest}")
        api.delete(path_of(going))
        api.post(path_of(collected) + "/garbage-collection")
        assert digest.partition(":")[2] in files_in(tmp_path)
    with start(tmp_path) as again:
        shown = Api(again).get("/v2/registries")["registries"]
        assert [(item["name"], item["status"]) for item in shown] == [
            ("being-made", "ACTIVE"),
            ("production", "ACTIVE"),
        ]
        assert files_in(tmp_path) == set()


def test_a_collection_frees_the_files(tmp_path: Path) -> None:
    clock = Clock()
    with start(tmp_path, clock) as sandbox:
        registry = sandbox.state.add_registry("production")
        docker = Docker(sandbox)
        digest, _ = docker.push_image(NAME, "v1", BLOB)
        kept, _ = docker.push_image(NAME, "v2", b"kept")
        assert digest_of(BLOB).partition(":")[2] in files_in(tmp_path)
        docker.send("DELETE", f"/v2/{NAME}/manifests/{digest}")
        Api(sandbox).post(path_of(registry) + "/garbage-collection")
        clock.seconds += 300
        Api(sandbox).get(path_of(registry))
        assert files_in(tmp_path) == {blob.partition(":")[2] for blob in registry.blobs}
        assert kept in registry.blobs


def test_a_sandbox_that_is_killed_keeps_what_it_has_answered(tmp_path: Path) -> None:
    program = """
        import sys
        from registry_async.sandbox import Sandbox
        from tests.support.distribution import Docker
        with Sandbox(data=sys.argv[1], seed=False) as sandbox:
            sandbox.state.add_registry("production")
            docker = Docker(sandbox)
            docker.push_image("production/team/app", "v1", b"whole")
            upload = docker.send("POST", "/v2/production/team/app/blobs/uploads/", b"")
            docker.send("PATCH", upload.headers["Location"], b"half")
            print(docker.secret, flush=True)
            sys.stdin.read()
    """
    root = Path(__file__).parents[2]
    process = subprocess.Popen(
        [sys.executable, "-c", textwrap.dedent(program), str(tmp_path)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
        cwd=root,
    )
    with process:
        assert process.stdout is not None
        secret = process.stdout.readline().strip()
        with pytest.raises(RuntimeError, match="another sandbox"):
            start(tmp_path).__enter__()
        process.kill()
    assert any(tmp_path.glob("first/uploads/*"))
    with start(tmp_path) as again:
        docker = Docker(again, secret)
        assert docker.send("GET", f"/v2/{NAME}/manifests/v1").status == 200
        assert docker.send("GET", f"/v2/{NAME}/blobs/{digest_of(b'whole')}").content == b"whole"
        assert not any(tmp_path.glob("first/uploads/*"))


def test_secrets_lie_in_files_of_their_owner_alone(tmp_path: Path) -> None:
    data = tmp_path / "new" / "data"
    with start(data) as sandbox:
        Docker(sandbox)
        sandbox.state.add_registry("production")
    assert data.stat().st_mode & 0o077 == 0
    written = [path for path in data.rglob("*") if path.is_file()]
    assert any(path.name == "tokens.json" for path in written)
    assert all(path.stat().st_mode & 0o077 == 0 for path in written)


@pytest.mark.parametrize("text", ["", "{", "[]", '{"format": "another", "version": 1}'])
def test_a_file_that_is_not_ours_is_refused_and_left(tmp_path: Path, text: str) -> None:
    with start(tmp_path) as sandbox:
        sandbox.state.add_registry("production")
    (path,) = tmp_path.glob("first/registries/*.json")
    path.write_text(text)
    with pytest.raises(ValueError, match="sandbox"):
        start(tmp_path).__enter__()
    assert path.read_text() == text


def test_a_sandbox_can_be_entered_again(tmp_path: Path) -> None:
    sandbox = start(tmp_path)
    with sandbox:
        sandbox.state.add_registry("production")
        Docker(sandbox).push_image(NAME, "v1", BLOB)
    with pytest.raises(RuntimeError, match="not running"):
        sandbox.origin  # noqa: B018 - the property is what raises
    with sandbox:
        assert Docker(sandbox).send("GET", f"/v2/{NAME}/manifests/v1").status == 200


# Large bodies


def test_a_large_layer_goes_straight_to_disk_and_back(tmp_path: Path) -> None:
    """The sandbox runs in a process of its own, whose memory is looked at."""
    program = """
        import resource, sys
        from registry_async.sandbox import Sandbox
        with Sandbox(data=sys.argv[1], seed=False) as sandbox:
            sandbox.state.add_registry("production")
            print(sandbox.origin, sandbox.registry_password, flush=True)
            for line in sys.stdin:
                print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss, flush=True)
    """
    megabytes = int(os.environ.get("SANDBOX_LAYER_MEGABYTES", "192"))
    process = subprocess.Popen(
        [sys.executable, "-c", textwrap.dedent(program), str(tmp_path)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
        cwd=Path(__file__).parents[2],
    )

    def peak() -> int:
        """Give the most memory that the sandbox has ever had, in kilobytes."""
        assert process.stdin is not None
        assert process.stdout is not None
        process.stdin.write("?\n")
        process.stdin.flush()
        return int(process.stdout.readline())

    def pieces() -> Iterator[bytes]:
        for number in range(megabytes):
            yield number.to_bytes(4, "big") * (1 << 18)

    with process:
        assert process.stdout is not None
        origin, secret = process.stdout.readline().split()
        before = peak()
        digest = hashlib.sha256()
        for piece in pieces():
            digest.update(piece)
        named = f"sha256:{digest.hexdigest()}"
        permit = _permit(origin, secret)
        connection = http.client.HTTPConnection(urlsplit(origin).netloc, timeout=120)
        target = f"/v2/{NAME}/blobs/uploads/?digest={named}"
        headers = {"Authorization": permit, "Content-Length": str(megabytes << 20)}
        connection.request("POST", target, body=pieces(), headers=headers)
        answer = connection.getresponse()
        answer.read()
        assert answer.status == 201
        connection.request("GET", f"/v2/{NAME}/blobs/{named}", headers={"Authorization": permit})
        answer = connection.getresponse()
        pulled = hashlib.sha256()
        while piece := answer.read(1 << 20):
            pulled.update(piece)
        connection.close()
        assert pulled.hexdigest() == digest.hexdigest()
        grown = peak() - before
        process.kill()
    assert grown < 32 * 1024, f"{grown} kB more for a layer of {megabytes} MB"


def _permit(origin: str, secret: str) -> str:
    connection = http.client.HTTPConnection(urlsplit(origin).netloc, timeout=30)
    form = f"username=token&password={secret}&scope=repository:{NAME}:pull,push"
    connection.request("POST", "/v2/token", body=form)
    token = json.loads(connection.getresponse().read())["token"]
    connection.close()
    return f"Bearer {token}"


# Recorded requests


def test_bodies_of_strangers_are_kept_sparingly() -> None:
    """Eight hundred megabytes that strangers post are not kept."""
    with Sandbox(seed=False) as sandbox:
        before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
        api = Api(sandbox)
        for _ in range(800):
            reply = api.send("POST", "/api/v1/registries", content=b"x" * 1_000_000, token=None)
            assert reply.status == 401
        grown = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before
        assert len(sandbox.requests) == 800
        assert {record.body_size for record in sandbox.requests} == {1_000_000}
        assert sum(len(record.body) for record in sandbox.requests) <= 1024**2
        assert sandbox.requests[-1].body
    assert grown < 100 * 1024


def test_bodies_are_bounded_in_all() -> None:
    with Sandbox(seed=False) as sandbox:
        api = Api(sandbox)
        api.post("/v1/registries", {"name": "early"})
        for _ in range(30):
            api.send("POST", "/api/v1/registries", content=b"x" * 1_000_000)
        bodies = [len(record.body) for record in sandbox.requests]
        assert sum(bodies) <= 16 * 1024**2
        # The latest are there, the earliest are not.
        assert (bodies[0], bodies[-1]) == (0, 1_000_000)
        api.send("POST", "/api/v1/registries", content=b"stranger", token=None)
        assert sandbox.requests[-1].body == b"stranger"
        assert sandbox.requests[-2].body


def test_what_is_pushed_is_not_recorded() -> None:
    with Sandbox(seed=False) as sandbox:
        sandbox.state.add_registry("production")
        Docker(sandbox).push_image(NAME, "v1", BLOB)
        pushes = [record for record in sandbox.requests if record.method in ("POST", "PUT")]
        assert {record.status for record in pushes} == {401, 201}
        assert {record.body for record in pushes} == {b""}


# What a client needs


def test_a_sandbox_describes_itself() -> None:
    with Sandbox() as sandbox:
        described = sandbox.describe()
        data = described.to_dict()
        assert json.loads(json.dumps(data)) == data
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
        assert (data["base_url"], data["registry_host"]) == (
            sandbox.base_url,
            sandbox.origin.removeprefix("http://"),
        )
        assert {project.name for project in described.projects} >= {"sandbox-project"}
        shell = described.shell()
        names = ["REGISTRY_BASE_URL", "REGISTRY_TOKEN", "OS_AUTH_URL", "REGISTRY_PASSWORD"]
        script = shell + "".join(f'\nprintf "%s\\n" "${name}"' for name in names)
        done = subprocess.run(["sh", "-c", script], capture_output=True, text=True, check=True)
        assert done.stdout.split("\n")[:4] == [described.environment()[name] for name in names]
        assert {"docker login", "skopeo login", "helm registry login"} <= {
            text
            for text in ("docker login", "skopeo login", "helm registry login")
            if text in shell
        }
        assert Docker(sandbox, described.registry_password).send("GET", "/v2/").status == 200
        for secret in (described.token, described.registry_password, described.password):
            assert secret not in repr(described)
