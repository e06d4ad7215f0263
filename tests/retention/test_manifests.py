"""Manifests read from a registry: what is believed, and where a password goes."""

from __future__ import annotations

import base64
import hashlib
import json
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
from aiohttp import web

from registry_async import (
    AuthenticationError,
    ConfigurationError,
    NotFoundError,
    RetryPolicy,
    UnexpectedResponseError,
)
from registry_async.retention import Manifest, OciManifests
from tests.retention.builders import OCI_IMAGE, OCI_INDEX, digest

pytestmark = pytest.mark.anyio
SECRET = "canary-secret"
BASIC = "Basic " + base64.b64encode(f"token:{SECRET}".encode()).decode()


@pytest.fixture
def anyio_backend() -> str:
    return "asyncio"


class FakeRegistry:
    """A registry that wants a token, and remembers what it saw."""

    def __init__(self) -> None:
        self.seen: list[tuple[str, dict[str, str]]] = []
        self.manifests: dict[str, bytes] = {}
        self.headers: dict[str, str] = {}
        self.realm = ""
        self.challenge = 'Bearer realm="{realm}",service="cr",scope="repository:prod/app:pull"'
        self.missing = web.json_response
        self.url = ""
        self.page: str | None = None
        self.failures = 0

    def push(self, document: Any, tag: str | None = None) -> str:
        body = json.dumps(document).encode()
        found = f"sha256:{hashlib.sha256(body).hexdigest()}"
        self.manifests[found] = body
        if tag is not None:
            self.manifests[tag] = body
        return found

    async def handle(self, request: web.BaseRequest) -> web.StreamResponse:
        self.seen.append((request.path_qs, dict(request.headers)))
        given = request.headers.get("Authorization")
        if request.path == "/token":
            if given != BASIC:
                return web.json_response({}, status=401)
            return web.json_response({"token": "permit"})
        if self.challenge and given not in ("Bearer permit", BASIC):
            header = self.challenge.format(realm=self.realm)
            return web.json_response({}, status=401, headers={"WWW-Authenticate": header})
        if self.failures:
            self.failures -= 1
            return web.json_response({}, status=503)
        if self.page is not None:
            return web.Response(text=self.page, status=404, content_type="text/html")
        body = self.manifests.get(request.path.rpartition("/")[2])
        if body is None:
            errors = {"errors": [{"code": "MANIFEST_UNKNOWN", "message": "manifest unknown"}]}
            return web.json_response(errors, status=404)
        return web.Response(body=body, content_type=OCI_IMAGE, headers=self.headers)


@pytest.fixture
async def registry() -> AsyncIterator[FakeRegistry]:
    fake = FakeRegistry()
    runner = web.ServerRunner(web.Server(fake.handle))
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()
    host, port = runner.addresses[0][:2]
    fake.url = f"http://{host}:{port}"
    fake.realm = f"{fake.url}/token"
    yield fake
    await runner.cleanup()


def reader(registry: FakeRegistry, **options: Any) -> OciManifests:
    login = {"username": "token", "password": SECRET}
    quick = RetryPolicy(attempts=2, base_delay=0)
    return OciManifests(registry.url, **{**login, "retry": quick, **options})


async def test_index_image_and_signature_are_read_with_one_login(registry: FakeRegistry) -> None:
    image = registry.push({"mediaType": OCI_IMAGE, "layers": []})
    index = registry.push({"mediaType": OCI_INDEX, "manifests": [{"digest": image}]}, "v1")
    signature = registry.push({"layers": [], "subject": {"digest": image}})
    async with reader(registry) as manifests:
        assert await manifests.read("prod", "app", "v1") == Manifest(index, OCI_INDEX, (image,))
        assert await manifests.read("prod", "app", image) == Manifest(image, OCI_IMAGE)
        found = await manifests.read("prod", "app", signature)
        assert found == Manifest(signature, OCI_IMAGE, (), image)
    paths = [path for path, _ in registry.seen]
    assert paths == [
        "/v2/prod/app/manifests/v1",
        "/token?service=cr&scope=repository%3Aprod%2Fapp%3Apull",
        "/v2/prod/app/manifests/v1",
        f"/v2/prod/app/manifests/{image}",
        f"/v2/prod/app/manifests/{signature}",
    ]
    assert OCI_INDEX in registry.seen[0][1]["Accept"]
    assert all("X-Auth-Token" not in headers for _, headers in registry.seen)


async def test_registry_that_wants_a_password_gets_it(registry: FakeRegistry) -> None:
    registry.challenge = 'Basic realm="cr"'
    image = registry.push({"layers": []})
    async with reader(registry) as manifests:
        assert (await manifests.read("prod", "team/app", image)).digest == image


async def test_there_is_none_only_where_the_registry_says_so(registry: FakeRegistry) -> None:
    async with reader(registry) as manifests:
        with pytest.raises(KeyError):
            await manifests.read("prod", "app", "v9")
        registry.page = "<html>not here</html>"
        with pytest.raises(NotFoundError):
            await manifests.read("prod", "app", "v9")


async def test_failure_is_repeated(registry: FakeRegistry) -> None:
    image = registry.push({"layers": []})
    registry.failures = 1
    async with reader(registry) as manifests:
        assert (await manifests.read("prod", "app", image)).digest == image


async def test_body_must_hash_to_the_digest(registry: FakeRegistry) -> None:
    registry.manifests[digest("x")] = b"{}"
    registry.manifests["v1"] = b"{}"
    registry.headers = {"Docker-Content-Digest": digest("y")}
    async with reader(registry) as manifests:
        for reference in (digest("x"), "v1"):
            with pytest.raises(UnexpectedResponseError, match="does not hash"):
                await manifests.read("prod", "app", reference)


@pytest.mark.parametrize(
    "body",
    [
        b"[]",
        b"x",
        b'{"manifests": {}}',
        b'{"manifests": [{}]}',
        b'{"subject": 1}',
        b'{"mediaType": 1}',
    ],
)
async def test_what_is_no_manifest_is_an_error(registry: FakeRegistry, body: bytes) -> None:
    registry.manifests["v1"] = body
    async with reader(registry) as manifests:
        with pytest.raises(UnexpectedResponseError):
            await manifests.read("prod", "app", "v1")


@pytest.mark.parametrize(
    "realm",
    [
        "https://evil.example/token",
        "http://evil.example/token",
        "ftp://127.0.0.1/token",
        "https://user@127.0.0.1/token",
        "no url",
        "http://[",
    ],
)
async def test_password_goes_nowhere_else(registry: FakeRegistry, realm: str) -> None:
    registry.realm = realm
    async with reader(registry) as manifests:
        with pytest.raises(ConfigurationError, match="registry"):
            await manifests.read("prod", "app", "v1")
    assert all("Authorization" not in headers for _, headers in registry.seen)


async def test_host_that_is_allowed_gets_the_password_but_not_in_the_clear(
    registry: FakeRegistry,
) -> None:
    registry.realm = "http://auth.example/token"
    async with reader(registry, auth_hosts=["auth.example"]) as manifests:
        with pytest.raises(ConfigurationError, match="plain http"):
            await manifests.read("prod", "app", "v1")
    registry.realm = registry.url.replace("127.0.0.1", "localhost") + "/token"
    registry.push({"layers": []}, "v1")
    async with reader(registry, auth_hosts=["localhost"]) as manifests:
        await manifests.read("prod", "app", "v1")


async def test_refused_login_is_an_error_without_the_secret(registry: FakeRegistry) -> None:
    async with reader(registry, password="wrong-canary") as manifests:
        with pytest.raises(AuthenticationError) as caught:
            await manifests.read("prod", "app", "v1")
    shown = f"{caught.value!r} {caught.value} {vars(caught.value)} {manifests!r}"
    assert "wrong-canary" not in shown


@pytest.mark.parametrize(
    "options",
    [
        {"url": "http://cr.example", "username": "token", "password": "x"},
        {"url": "https://cr.example", "username": "token"},
        {"url": "https://cr.example/path"},
        {"url": "cr.example"},
        {"url": "ftp://cr.example"},
        {"url": "https://user@cr.example"},
        {"url": "https://cr.example", "auth_hosts": "auth.example"},
    ],
)
def test_wrong_arguments_are_refused(options: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match=r"."):
        OciManifests(**options)


@pytest.mark.parametrize("name", ["", "..", "a//b", "a/../b"])
async def test_names_that_lead_elsewhere_are_refused(registry: FakeRegistry, name: str) -> None:
    async with reader(registry) as manifests:
        with pytest.raises(ValueError, match="registry"):
            await manifests.read(name, "app", "v1")
    assert registry.seen == []


async def test_login_comes_from_dockers_configuration(
    registry: FakeRegistry, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    host = registry.url.removeprefix("http://")
    registry.push({"layers": []}, "v1")
    file = tmp_path / "config.json"
    auth = base64.b64encode(f"token:{SECRET}".encode()).decode()
    file.write_text(json.dumps({"auths": {"other": {}, host: {"auth": auth}}}))
    monkeypatch.setenv("DOCKER_CONFIG", str(tmp_path))
    async with OciManifests.from_docker_config(host=host) as manifests:
        await manifests.read("prod", "app", "v1")
    for content, problem in [
        ("{}", "no login"),
        ("x", "not JSON"),
        (json.dumps({"auths": {host: {}}, "credsStore": "desktop"}), "helper"),
    ]:
        file.write_text(content)
        with pytest.raises(ConfigurationError, match=problem):
            OciManifests.from_docker_config(file, host=host)
    with pytest.raises(ConfigurationError, match="cannot be read"):
        OciManifests.from_docker_config(tmp_path / "none")
    with pytest.raises(ConfigurationError, match="there is none; log in with docker login"):
        OciManifests.from_docker_config(tmp_path / "none")
