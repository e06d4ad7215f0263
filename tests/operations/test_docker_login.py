"""Docker configurations that we save log real programs in to a real registry."""

from __future__ import annotations

import json
import stat
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from registry_async import AsyncRegistryClient, DockerConfig, TokenScope
from tests.real.docker_registry import DockerRegistry, Finished, running_registry, skopeo
from tests.real.oci import OciImage, write_image
from tests.real.programs import UnavailableError, give_up
from tests.support.strict_server import StrictServer

pytestmark = pytest.mark.anyio

SCOPE = TokenScope(all_registries=True, read_write=True)


@pytest.fixture
async def server() -> AsyncIterator[StrictServer]:
    async with StrictServer() as running:
        yield running
        assert running.violations == []


@pytest.fixture
async def client(server: StrictServer) -> AsyncIterator[AsyncRegistryClient]:
    async with AsyncRegistryClient(token=server.token, base_url=server.base_url) as made:
        yield made


@pytest.fixture
async def registry(tmp_path: Path, server: StrictServer) -> AsyncIterator[DockerRegistry]:
    """Run a registry that lets in whoever has the secret of a token that lives."""

    def is_good(secret: str) -> bool:
        return secret in server.tokens_v1 or any(
            server.secrets[token_id] == secret and token["status"] == "active"
            for token_id, token in server.tokens.items()
        )

    directory = tmp_path / "registry"
    directory.mkdir()
    try:
        async with running_registry(directory, is_good) as running:
            server.docker_host = running.host
            yield running
    except UnavailableError as error:
        give_up(f"a real registry cannot be started here: {error}")


@pytest.fixture
def image(tmp_path: Path) -> OciImage:
    return write_image(tmp_path / "image", "1.0")


@pytest.fixture
def home(tmp_path: Path) -> Path:
    (tmp_path / "home").mkdir()
    return tmp_path / "home"


async def push(image: OciImage, registry: DockerRegistry, auth: Path, home: Path) -> Finished:
    return await skopeo(
        "copy",
        "--insecure-policy",
        "--dest-tls-verify=false",
        f"--dest-authfile={auth}",
        f"oci:{image.directory}:{image.tag}",
        f"docker://{registry.host}/my-registry/team/app:{image.tag}",
        home=home,
    )


async def inspect(image: OciImage, registry: DockerRegistry, auth: Path, home: Path) -> Finished:
    return await skopeo(
        "inspect",
        "--tls-verify=false",
        f"--authfile={auth}",
        f"docker://{registry.host}/my-registry/team/app:{image.tag}",
        home=home,
    )


@pytest.mark.parametrize("version", ["v1", "v2"])
async def test_saved_config_logs_skopeo_in(
    client: AsyncRegistryClient,
    registry: DockerRegistry,
    image: OciImage,
    home: Path,
    tmp_path: Path,
    version: str,
) -> None:
    path = tmp_path / "new" / "config.json"
    path.parent.mkdir()
    if version == "v1":
        config = await client.tokens_v1.create_docker_config(ttl="12h")
    else:
        config = await client.tokens.create_docker_config(scope=SCOPE, expires_at=None)
    config.save(path)

    login = await skopeo("login", "--get-login", f"--authfile={path}", registry.host, home=home)
    assert (login.code, login.output.strip()) == (0, "token")
    pushed = await push(image, registry, path, home)
    assert pushed.code == 0, pushed.errors
    inspected = await inspect(image, registry, path, home)
    assert inspected.code == 0, inspected.errors
    found = json.loads(inspected.output)
    assert found["Digest"] == image.digest
    assert tuple(found["Layers"]) == image.layer_digests
    assert found["RepoTags"] == ["1.0"]
    assert set(registry.logins) == {("token", True)}


async def test_registry_refuses_whoever_has_no_config(
    client: AsyncRegistryClient, registry: DockerRegistry, image: OciImage, home: Path
) -> None:
    """Without this the other tests would prove nothing: the registry might let anyone in."""
    nothing = home / "config.json"
    DockerConfig({}).save(nothing)
    refused = await push(image, registry, nothing, home)
    assert refused.code != 0
    assert "authentication required" in refused.errors or "unauthorized" in refused.errors
    login = await skopeo("login", "--get-login", f"--authfile={nothing}", registry.host, home=home)
    assert login.code != 0


async def test_saving_keeps_the_rest_of_the_file(
    client: AsyncRegistryClient,
    registry: DockerRegistry,
    image: OciImage,
    home: Path,
    tmp_path: Path,
) -> None:
    path = tmp_path / "config.json"
    auths = {
        "other.test": {"auth": "b3RoZXI6c2VjcmV0", "identitytoken": "kept"},
        registry.host: {"auth": "dG9rZW46b2xk"},
    }
    before = {
        "auths": auths,
        "credHelpers": {"elsewhere.test": "helper"},
        "HttpHeaders": {"X-Meta": "größe"},
        "psFormat": "table {{.ID}}",
    }
    path.write_text(json.dumps(before), encoding="utf-8")
    path.chmod(0o644)
    config = await client.tokens.create_docker_config(scope=SCOPE, expires_at=None)
    config.save(path)

    after = json.loads(path.read_text(encoding="utf-8"))
    assert set(after["auths"]) == {"other.test", registry.host}
    assert after["auths"][registry.host]["auth"] == config.auths[registry.host].auth
    after["auths"][registry.host] = auths[registry.host]
    assert after == before
    assert stat.S_IMODE(path.stat().st_mode) == 0o600

    pushed = await push(image, registry, path, home)
    assert pushed.code == 0, pushed.errors
    # skopeo rewrites the file when it logs out: what it knows must have stayed readable to it.
    out = await skopeo("logout", f"--authfile={path}", registry.host, home=home)
    assert out.code == 0, out.errors
    assert set(json.loads(path.read_text(encoding="utf-8"))["auths"]) == {"other.test"}


async def test_config_dies_with_its_token(
    client: AsyncRegistryClient,
    server: StrictServer,
    registry: DockerRegistry,
    image: OciImage,
    home: Path,
    tmp_path: Path,
) -> None:
    path = tmp_path / "config.json"
    config = await client.tokens.create_docker_config(scope=SCOPE, expires_at=None)
    config.save(path)
    assert (await push(image, registry, path, home)).code == 0
    (token_id,) = server.tokens

    await client.tokens.regenerate(token_id, expires_at=None)
    assert (await inspect(image, registry, path, home)).code != 0
    renewed = await client.tokens.create_docker_config(scope=SCOPE, expires_at=None)
    renewed.save(path)
    assert (await inspect(image, registry, path, home)).code == 0

    for found in await client.tokens.list().collect():
        await client.tokens.revoke(found.id)
    assert (await inspect(image, registry, path, home)).code != 0
