"""A real docker-registry on loopback that asks a token service of ours, and skopeo to talk to it.

This is how the provider's registry logs its users in: Docker's client sends the user name `token`
and a token's secret to the registry's token service, which answers with a signed permit.
"""

from __future__ import annotations

import asyncio
import base64
import contextlib
import json
import re
import shutil
import time
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import trustme
from aiohttp import BasicAuth, web
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import padding, rsa

from tests.real.programs import UnavailableError, clean_environment
from tests.support.wire import LOOPBACK

_SERVICE: Final = "container-registry"
_ISSUER: Final = "token-service"
_LISTENING: Final = re.compile(rb"listening on 127\.0\.0\.1:(\d+)")

# Is a secret good? The token service asks this about every login.
SecretCheck = Callable[[str], bool]


@dataclass(frozen=True)
class DockerRegistry:
    """A running docker-registry.

    Args:
        host: Its address, with the port, as it stands in image names and Docker configurations.
        logins: The user names that logged in, in order, and whether they were let in.
    """

    host: str
    logins: list[tuple[str, bool]]


@dataclass(frozen=True)
class Finished:
    """How a program ended."""

    code: int
    output: str
    errors: str


class _TokenService:
    """The realm of the registry: checks secrets and signs permits."""

    def __init__(self, is_good: SecretCheck) -> None:
        self.logins: list[tuple[str, bool]] = []
        self._is_good = is_good
        authority = trustme.CA(key_type=trustme.KeyType.RSA)
        issued = authority.issue_cert("localhost", key_type=trustme.KeyType.RSA)
        key = serialization.load_pem_private_key(issued.private_key_pem.bytes(), None)
        assert isinstance(key, rsa.RSAPrivateKey)
        self._key = key
        self._certificate = "".join(
            issued.cert_chain_pems[0].bytes().decode().strip().splitlines()[1:-1]
        )
        self.root_certificate = authority.cert_pem.bytes()

    async def handle(self, request: web.BaseRequest) -> web.StreamResponse:
        try:
            given = BasicAuth.decode(request.headers.get("Authorization", ""))
        except ValueError:
            return web.json_response({"details": "no login"}, status=401)
        good = given.login == "token" and self._is_good(given.password)
        self.logins.append((given.login, good))
        if not good:
            return web.json_response({"details": "wrong login"}, status=401)
        permit = self._permit(given.login, " ".join(request.query.getall("scope", [])).split())
        return web.json_response({"token": permit, "access_token": permit, "expires_in": 300})

    def _permit(self, subject: str, scopes: list[str]) -> str:
        access = []
        for scope in scopes:
            kind, _, rest = scope.partition(":")
            name, _, actions = rest.rpartition(":")
            access.append({"type": kind, "name": name, "actions": actions.split(",")})
        now = int(time.time())
        claims = {
            "iss": _ISSUER,
            "sub": subject,
            "aud": _SERVICE,
            "exp": now + 300,
            "nbf": now - 10,
            "iat": now,
            "jti": f"{now}-{len(self.logins)}",
            "access": access,
        }
        head = {"typ": "JWT", "alg": "RS256", "x5c": [self._certificate]}
        signed = f"{_base64url(_json(head))}.{_base64url(_json(claims))}"
        signature = self._key.sign(signed.encode(), padding.PKCS1v15(), hashes.SHA256())
        return f"{signed}.{_base64url(signature)}"


def require_programs() -> None:
    """Make sure that docker-registry and skopeo are installed.

    Raises:
        UnavailableError: One is not; the message says how to install it.
    """
    missing = [name for name in ("docker-registry", "skopeo") if shutil.which(name) is None]
    if missing:
        raise UnavailableError(f"not installed: {', '.join(missing)} (Debian packages)")


@contextlib.asynccontextmanager
async def running_registry(directory: Path, is_good: SecretCheck) -> AsyncIterator[DockerRegistry]:
    """Serve a docker-registry on a free port, and stop it at the end.

    Args:
        directory: Where it keeps its configuration and its data.
        is_good: Tells whether a secret is good now.

    Raises:
        UnavailableError: It is not installed, or does not start.
    """
    require_programs()
    service = _TokenService(is_good)
    runner = web.ServerRunner(web.Server(service.handle), shutdown_timeout=1)
    await runner.setup()
    try:
        await web.TCPSite(runner, LOOPBACK, 0).start()
        realm = f"http://{LOOPBACK}:{runner.addresses[0][1]}/token"
        configuration = _write_configuration(directory, realm, service.root_certificate)
        async with _serving(configuration) as port:
            yield DockerRegistry(f"{LOOPBACK}:{port}", service.logins)
    finally:
        await runner.cleanup()


async def skopeo(*arguments: str | Path, home: Path) -> Finished:
    """Run skopeo to its end, with a home of its own, so that no other login is found."""
    process = await asyncio.create_subprocess_exec(
        "skopeo",
        *arguments,
        env=clean_environment(HOME=str(home), XDG_RUNTIME_DIR=str(home)),
        stdin=asyncio.subprocess.DEVNULL,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
    )
    try:
        async with asyncio.timeout(60):
            output, errors = await process.communicate()
    finally:
        if process.returncode is None:
            process.kill()
            await process.wait()
    assert process.returncode is not None
    return Finished(process.returncode, output.decode(), errors.decode())


def _write_configuration(directory: Path, realm: str, root_certificate: bytes) -> Path:
    bundle = directory / "root.pem"
    bundle.write_bytes(root_certificate)
    configuration = {
        "version": "0.1",
        "log": {"level": "info", "accesslog": {"disabled": True}},
        "storage": {
            "filesystem": {"rootdirectory": str(directory / "data")},
            "delete": {"enabled": True},
        },
        "http": {"addr": f"{LOOPBACK}:0", "secret": "test"},
        "auth": {
            "token": {
                "realm": realm,
                "service": _SERVICE,
                "issuer": _ISSUER,
                "rootcertbundle": str(bundle),
            }
        },
    }
    path = directory / "config.yml"
    # JSON is YAML.
    path.write_text(json.dumps(configuration), encoding="utf-8")
    return path


@contextlib.asynccontextmanager
async def _serving(configuration: Path) -> AsyncIterator[int]:
    command = ["docker-registry", "serve", str(configuration)]
    if setpriv := shutil.which("setpriv"):
        # Not even a killed test run leaves a registry behind.
        command = [setpriv, "--pdeathsig", "KILL", *command]
    process = await asyncio.create_subprocess_exec(
        *command,
        env=clean_environment(),
        stdin=asyncio.subprocess.DEVNULL,
        stdout=asyncio.subprocess.DEVNULL,
        stderr=asyncio.subprocess.PIPE,
    )
    assert process.stderr is not None
    log = process.stderr
    draining: asyncio.Task[bytes] | None = None
    try:
        said = b""
        async with asyncio.timeout(30):
            while not (found := _LISTENING.search(said)):
                if not (line := await log.readline()):
                    raise UnavailableError(f"docker-registry does not start: {said[-2000:]!r}")
                said += line
        # A full pipe would stop the registry.
        draining = asyncio.create_task(log.read())
        yield int(found[1])
    finally:
        if process.returncode is None:
            process.kill()
        await process.wait()
        if draining is not None:
            await draining


def _json(value: Any) -> bytes:
    return json.dumps(value).encode()


def _base64url(data: bytes) -> str:
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode()
