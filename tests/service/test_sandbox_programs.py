"""Programs that nobody here wrote push to the sandbox, list, pull and delete."""

from __future__ import annotations

import asyncio
import gzip
import hashlib
import io
import json
import shutil
import tarfile
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any, Final

import aiohttp
import pytest

from registry_async import DockerConfig, TokenScope
from registry_async.sandbox import Sandbox, StoredRegistry
from tests.real.docker_registry import Finished, skopeo
from tests.real.oci import OciImage, write_image
from tests.real.programs import give_up
from tests.support.distribution import digest_of

pytestmark = pytest.mark.anyio

PLAIN: Final = "--tls-verify=false"
SCOPE: Final = TokenScope(all_registries=True, read_write=True)


@pytest.fixture
async def sandbox() -> AsyncIterator[Sandbox]:
    async with Sandbox(seed=False, collection_seconds=0.0, create_seconds=0.0) as running:
        running.state.add_registry("production")
        yield running


@pytest.fixture
def registry(sandbox: Sandbox) -> StoredRegistry:
    return sandbox.state.registries()[0]


@pytest.fixture
def image(tmp_path: Path) -> OciImage:
    return write_image(tmp_path / "image", "1.0")


class Skopeo:
    """Run skopeo with a login of its own.

    Args:
        sandbox: The registry.
        home: Its home.
    """

    def __init__(self, sandbox: Sandbox, home: Path) -> None:
        if shutil.which("skopeo") is None:
            give_up("skopeo is not installed (a Debian package)")
        self.host = sandbox.registry_host
        self._home = home

    async def __call__(self, *arguments: str | Path, code: int = 0) -> Finished:
        authfile = self._home / "auth.json"
        done = await skopeo(*arguments, "--authfile", str(authfile), home=self._home)
        assert done.code == code, done.errors
        return done

    def at(self, name: str) -> str:
        return f"docker://{self.host}/{name}"


@pytest.fixture
async def run(sandbox: Sandbox, tmp_path: Path) -> Skopeo:
    """Log skopeo in with a Docker configuration that the sandbox issues, as it is."""
    home = tmp_path / "home"
    home.mkdir()
    made = Skopeo(sandbox, home)
    async with sandbox.client() as client:
        config = await client.tokens.create_docker_config(scope=SCOPE, expires_at=None)
    assert isinstance(config, DockerConfig)
    assert set(config.auths) == {sandbox.registry_host}
    config.save(home / "auth.json")
    return made


async def test_skopeo_pushes_lists_pulls_and_deletes(
    sandbox: Sandbox, registry: StoredRegistry, run: Skopeo, image: OciImage, tmp_path: Path
) -> None:
    name = "production/team/app"
    await run(
        "copy", "--dest-tls-verify=false", f"oci:{image.directory}:1.0", run.at(f"{name}:1.0")
    )
    listed = await run("list-tags", PLAIN, run.at(name))
    assert json.loads(listed.output)["Tags"] == ["1.0"]
    raw = await run("inspect", "--raw", PLAIN, run.at(f"{name}:1.0"))
    assert digest_of(raw.output.encode()) == image.digest
    back = tmp_path / "back"
    await run("copy", "--src-tls-verify=false", run.at(f"{name}:1.0"), f"oci:{back}:1.0")
    assert image.digest in (back / "index.json").read_text()
    async with sandbox.client() as client:
        (shown,) = await client.images.list(registry.id, "team/app").collect()
        assert (shown.digest, shown.tags) == (image.digest, ("1.0",))
        assert tuple(layer.digest for layer in shown.layers) == image.layer_digests
    await run("delete", PLAIN, run.at(f"{name}:1.0"))
    gone = await run("inspect", PLAIN, run.at(f"{name}:1.0"), code=1)
    assert "manifest unknown" in gone.errors


async def test_what_skopeo_pushed_is_cleaned_collected_and_gone(
    sandbox: Sandbox, registry: StoredRegistry, run: Skopeo, image: OciImage, tmp_path: Path
) -> None:
    for tag in ("1.0", "2.0"):
        source = image if tag == "1.0" else write_image(tmp_path / "second", tag, seed=7)
        target = run.at(f"production/team/app:{tag}")
        await run("copy", "--dest-tls-verify=false", f"oci:{source.directory}:{tag}", target)
    async with sandbox.client() as client:
        before = (await client.registries.get(registry.id)).size
        await client.repositories.cleanup(
            registry.id, "team/app", digests=[image.digest], disable_gc=True
        )
        garbage = await client.registries.get_garbage_size(registry.id)
        await client.registries.start_garbage_collection(registry.id)
        after = (await client.registries.get(registry.id)).size
    assert before - after == garbage.total > 64 * 1024
    gone = await run("inspect", PLAIN, run.at("production/team/app:1.0"), code=1)
    assert "manifest unknown" in gone.errors
    back = tmp_path / "back"
    whole = run.at("production/team/app:2.0")
    await run("copy", "--src-tls-verify=false", whole, f"oci:{back}:2.0")


async def test_skopeo_copies_an_index_with_its_parts(
    sandbox: Sandbox, registry: StoredRegistry, run: Skopeo
) -> None:
    state = sandbox.state
    repository = state.add_repository(registry, "team/app")
    oci = "application/vnd.oci.image.manifest.v1+json"
    parts = [
        state.push_image(repository, architecture=architecture, media_type=oci)
        for architecture in ("amd64", "arm64")
    ]
    index = state.push_index(repository, parts, tags=["1.0"])
    source, target = run.at("production/team/app:1.0"), run.at("production/copy/of/app:1.0")
    insecure = ("--preserve-digests", "--src-tls-verify=false", "--dest-tls-verify=false")
    await run("copy", "--all", *insecure, source, target)
    async with sandbox.client() as client:
        copied = await client.images.list(registry.id, "copy/of/app").collect()
    assert {item.digest for item in copied} == {index.digest, *(part.digest for part in parts)}


async def test_skopeo_is_refused_without_a_login(run: Skopeo, image: OciImage) -> None:
    target = run.at("production/team/app:1.0")
    source = f"oci:{image.directory}:1.0"
    arguments = ("copy", "--dest-tls-verify=false", "--dest-creds", "token:wrong")
    refused = await run(*arguments, source, target, code=1)
    assert "unauthorized" in refused.errors.lower()


# Helm


def write_chart(path: Path, version: str) -> bytes:
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w") as archive:
        for name, text in (
            ("web/Chart.yaml", f"apiVersion: v2\nname: web\nversion: {version}\n"),
            ("web/values.yaml", "replicas: 1\n"),
        ):
            member = tarfile.TarInfo(name)
            member.size = len(text)
            archive.addfile(member, io.BytesIO(text.encode()))
    content = gzip.compress(buffer.getvalue(), mtime=0)
    path.write_bytes(content)
    return content


async def test_helm_pushes_lists_and_pulls_charts(
    sandbox: Sandbox,
    registry: StoredRegistry,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    # Helm leaves what it pulls where it is run.
    monkeypatch.chdir(tmp_path)
    try:
        from helm_python.registry import RegistryClient
    except (ImportError, OSError) as error:
        give_up(f"helm-python-sdk is not installed: {error}")
    (tmp_path / "made").mkdir()
    chart = write_chart(tmp_path / "made" / "web-0.1.0.tgz", "0.1.0")
    secret = sandbox.registry_password
    charts = f"oci://{sandbox.registry_host}/production/charts"

    def use() -> list[str]:
        client = RegistryClient(plain_http=True, credentials_file=str(tmp_path / "config.json"))
        try:
            client.login(sandbox.registry_host, "token", secret, plain_http=True)
            client.push(str(tmp_path / "made" / "web-0.1.0.tgz"), charts, plain_http=True)
            client.pull(f"{charts}/web", version="0.1.0", plain_http=True)
            tags: list[str] = client.tags(f"{charts}/web")
            return tags
        finally:
            client.close()

    assert await asyncio.to_thread(use) == ["0.1.0"]
    assert (tmp_path / "web-0.1.0.tgz").read_bytes() == chart
    async with sandbox.client() as client:
        (repository,) = await client.repositories.list(registry.id).collect()
        (image,) = await client.images.list(registry.id, "charts/web").collect()
    assert (repository.name, repository.type) == ("charts/web", "helm_chart")
    assert image.layers[0].digest == digest_of(chart)


# Many at once


async def test_a_thousand_pulls_and_fifty_pushes_lose_nothing_to_a_collection() -> None:
    """Pulls, pushes and the collection between them are in flight at the same time."""
    async with Sandbox(seed=False, collection_seconds=0.05) as sandbox:
        registry = sandbox.state.add_registry("production")
        repository = sandbox.state.add_repository(registry, "team/app")
        old = sandbox.state.push_image(repository, tags=["v1"], layers=[b"x" * 4_000] * 3)
        loose = sandbox.state.push_image(repository, layers=[b"garbage" * 500])
        pulled, pushed = asyncio.Semaphore(200), asyncio.Event()
        async with aiohttp.ClientSession(
            base_url=sandbox.origin, connector=aiohttp.TCPConnector(limit=0)
        ) as session:
            form = {
                "username": "token",
                "password": sandbox.registry_password,
                "scope": "repository:production/team/app:pull,push",
            }
            async with session.post("/v2/token", data=form) as answer:
                headers = {"Authorization": f"Bearer {(await answer.json())['token']}"}
            base = "/v2/production/team/app"

            async def get(target: str) -> bytes:
                async with pulled, session.get(base + target, headers=headers) as answer:
                    assert answer.status == 200
                    return await answer.read()

            async def pull(number: int) -> None:
                if number == 300:
                    await pushed.wait()
                manifest = json.loads(await get(f"/manifests/{('v1', old.digest)[number % 2]}"))
                digest = manifest["layers"][number % 3]["digest"]
                assert digest_of(await get(f"/blobs/{digest}")) == digest

            async def send(method: str, target: str, content: bytes, **more: str) -> str:
                sent = headers | {name.replace("_", "-"): value for name, value in more.items()}
                async with session.request(
                    method, base + target, data=content, headers=sent
                ) as answer:
                    assert answer.status == 201, await answer.text()
                    return answer.headers["Docker-Content-Digest"]

            async def push(number: int) -> str:
                parts = [b"{}", f"layer of {number}".encode() * 300, b"shared" * 300]
                for part in parts:
                    await send("POST", f"/blobs/uploads/?digest={digest_of(part)}", part)
                if number == 10:
                    pushed.set()
                named = [{"digest": digest_of(part), "size": len(part)} for part in parts]
                body: dict[str, Any] = {"schemaVersion": 2, "config": named[0], "layers": named[1:]}
                media_type = "application/vnd.oci.image.manifest.v1+json"
                content = json.dumps(body).encode()
                return await send("PUT", f"/manifests/p{number}", content, Content_Type=media_type)

            async def collect() -> None:
                await pushed.wait()
                async with sandbox.client() as client:
                    await client.registries.start_garbage_collection(
                        registry.id, delete_untagged=True, wait=True
                    )

            work = [*(pull(number) for number in range(1_000)), collect()]
            digests = await asyncio.gather(*(push(number) for number in range(50)), *work)
            for number in range(50):
                manifest = json.loads(await get(f"/manifests/p{number}"))
                assert digests[number] in repository.images
                for part in [manifest["config"], *manifest["layers"]]:
                    content = await get(f"/blobs/{part['digest']}")
                    assert f"sha256:{hashlib.sha256(content).hexdigest()}" == part["digest"]
        assert loose.digest not in repository.images
