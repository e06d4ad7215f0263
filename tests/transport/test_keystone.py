"""Logging in to a real Keystone: OpenStack's own program, as the service's IAM is one."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterator
from dataclasses import dataclass

import aiohttp
import pytest

from registry_async import (
    AsyncRegistryClient,
    AuthenticationError,
    ConfigurationError,
    ConnectionFailedError,
    KeystoneApplicationCredential,
    KeystonePassword,
    RetryPolicy,
)
from tests.real.keystone import Keystone, running_keystone
from tests.real.programs import UnavailableError, give_up
from tests.support.faults import Connection, FaultServer
from tests.support.strict_server import Reply, StrictServer
from tests.support.wire import SeenRequest

pytestmark = pytest.mark.anyio


@pytest.fixture(scope="module")
def keystone() -> Iterator[Keystone]:
    try:
        with running_keystone() as server:
            yield server
    except UnavailableError as error:
        give_up(f"a real Keystone cannot be started here: {error}")


@dataclass(frozen=True)
class Forward:
    """Hand a request to Keystone and its answer back."""

    origin: str

    async def perform(self, connection: Connection, request: SeenRequest) -> bool:
        headers = {
            name: value for name, value in request.headers if name not in {"host", "connection"}
        }
        async with (
            aiohttp.ClientSession(auto_decompress=False) as session,
            session.request(
                request.method,
                f"{self.origin}{request.target}",
                data=request.body,
                headers=headers,
                allow_redirects=False,
            ) as answer,
        ):
            body = await answer.read()
        lines = [f"HTTP/1.1 {answer.status} {answer.reason}"]
        lines += [
            f"{name}: {value}"
            for name, value in answer.headers.items()
            if name.lower() not in {"connection", "transfer-encoding", "content-length"}
        ]
        lines += [f"Content-Length: {len(body)}", "", ""]
        await connection.send("\r\n".join(lines).encode() + body)
        return True


def door(auth_url: str) -> FaultServer:
    """Put a server before Keystone that counts what goes through."""
    return FaultServer(default=Forward(auth_url.removesuffix("/v3")))


@dataclass
class Service:
    """The service, which asks Keystone about every token; what it saw and what it refused."""

    server: StrictServer
    keystone: Keystone

    def __post_init__(self) -> None:
        self.accepted: list[str] = []
        self.refused: list[str] = []
        self.server.on_request = self._judge

    @property
    def base_url(self) -> str:
        return self.server.base_url

    async def _judge(self, request: SeenRequest) -> Reply | None:
        token = request.header("X-Auth-Token")
        assert token is not None
        if await asyncio.to_thread(self.keystone.is_alive, token):
            self.accepted.append(token)
            return None
        self.refused.append(token)
        return Reply(401, {"error": "The token is not valid."})


@pytest.fixture
async def service(keystone: Keystone) -> AsyncIterator[Service]:
    async with StrictServer(token="") as server:
        server.populate(registries=2, repositories=1, images=1)
        yield Service(server, keystone)
        assert server.violations == []


def password_of(keystone: Keystone, auth_url: str, **changes: str) -> KeystonePassword:
    values = {
        "username": keystone.username,
        "password": keystone.password,
        "account": keystone.account,
        "project_name": keystone.project_name,
    }
    return KeystonePassword(**{**values, **changes}, auth_url=auth_url)


async def names(client: AsyncRegistryClient) -> list[str]:
    return [registry.name async for registry in client.registries.list()]


async def until_dead(keystone: Keystone, token: str) -> None:
    """Ask Keystone until a token is dead; each question takes a round trip, and time runs out."""
    async with asyncio.timeout(60):
        while await asyncio.to_thread(keystone.is_alive, token):
            continue


async def test_password_by_project_name_logs_in_once(keystone: Keystone, service: Service) -> None:
    async with door(keystone.auth_url) as logins:
        credentials = password_of(keystone, f"{logins.url}/v3")
        async with AsyncRegistryClient(credentials, base_url=service.base_url) as client:
            lists = await asyncio.gather(*(names(client) for _ in range(8)))
    assert lists == [["registry-000", "registry-001"]] * 8
    assert logins.counts() == {"POST": 1}
    assert logins.requests[0].raw_path == "/v3/auth/tokens"
    assert len(set(service.accepted)) == 1
    assert service.refused == []


async def test_password_by_project_id(keystone: Keystone, service: Service) -> None:
    credentials = KeystonePassword(
        username=keystone.username,
        password=keystone.password,
        account=keystone.account,
        project_id=keystone.project_id,
        auth_url=keystone.auth_url,
    )
    async with AsyncRegistryClient(credentials, base_url=service.base_url) as client:
        assert await names(client) == ["registry-000", "registry-001"]
    assert service.refused == []


async def test_application_credential(keystone: Keystone, service: Service) -> None:
    credentials = KeystoneApplicationCredential(
        id=keystone.credential_id, secret=keystone.credential_secret, auth_url=keystone.auth_url
    )
    async with AsyncRegistryClient(credentials, base_url=service.base_url) as client:
        assert await names(client) == ["registry-000", "registry-001"]
    assert len(service.accepted) == 1


@pytest.mark.parametrize("way", ["password", "application credential"])
async def test_credentials_from_the_environment(
    keystone: Keystone, service: Service, way: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("REGISTRY_TOKEN", "OS_TOKEN", "OS_PROJECT_ID"):
        monkeypatch.delenv(name, raising=False)
    variables = {"OS_AUTH_URL": keystone.auth_url, "REGISTRY_BASE_URL": service.base_url}
    if way == "password":
        variables |= {
            "OS_USERNAME": keystone.username,
            "OS_PASSWORD": keystone.password,
            "OS_USER_DOMAIN_NAME": keystone.account,
            "OS_PROJECT_NAME": keystone.project_name,
        }
    else:
        variables |= {
            "OS_APPLICATION_CREDENTIAL_ID": keystone.credential_id,
            "OS_APPLICATION_CREDENTIAL_SECRET": keystone.credential_secret,
        }
    for name, value in variables.items():
        monkeypatch.setenv(name, value)
    async with AsyncRegistryClient.from_env() as client:
        assert await names(client) == ["registry-000", "registry-001"]


@pytest.mark.parametrize(
    "changes",
    [
        {"password": "not the pässword"},
        {"username": "nobody"},
        {"account": "654321"},
        {"project_name": "another-project"},
    ],
    ids=lambda changes: next(iter(changes)),
)
async def test_refused_login_is_an_error_without_a_storm(
    keystone: Keystone, service: Service, changes: dict[str, str]
) -> None:
    async with door(keystone.auth_url) as logins:
        credentials = password_of(keystone, f"{logins.url}/v3", **changes)
        async with AsyncRegistryClient(credentials, base_url=service.base_url) as client:
            results = await asyncio.gather(
                *(names(client) for _ in range(8)), return_exceptions=True
            )
    for error in results:
        assert isinstance(error, AuthenticationError)
        assert error.status == 401
        shown = f"{error!r} {error} {vars(error)}"
        assert changes.get("password", keystone.password) not in shown
    assert logins.counts() == {"POST": 1}
    assert service.server.requests == []


async def test_refused_application_credential(keystone: Keystone, service: Service) -> None:
    credentials = KeystoneApplicationCredential(
        id=keystone.credential_id, secret="not-the-secret", auth_url=keystone.auth_url
    )
    async with AsyncRegistryClient(credentials, base_url=service.base_url) as client:
        with pytest.raises(AuthenticationError) as caught:
            await names(client)
    assert "not-the-secret" not in f"{caught.value!r} {caught.value} {vars(caught.value)}"
    assert service.server.requests == []


async def test_token_of_seconds_is_renewed(keystone: Keystone, service: Service) -> None:
    async with door(keystone.short_auth_url) as logins:
        credentials = password_of(keystone, f"{logins.url}/v3")
        async with AsyncRegistryClient(credentials, base_url=service.base_url) as client:
            for _ in range(2):
                await names(client)
                await until_dead(keystone, service.accepted[-1])
            await names(client)
    # Each dead token was replaced before it was sent: the service never had to refuse one.
    assert service.refused == []
    assert len(set(service.accepted)) == 3
    assert logins.counts() == {"POST": 3}


async def test_long_walk_outlives_its_tokens(keystone: Keystone, service: Service) -> None:
    service.server.populate(registries=4, repositories=0, images=0)
    async with door(keystone.short_auth_url) as logins:
        credentials = password_of(keystone, f"{logins.url}/v3")
        seen = []
        async with AsyncRegistryClient(credentials, base_url=service.base_url) as client:
            async for registry in client.registries.list(page_size=2):
                seen.append(registry.id)
                if len(seen) == 2:
                    await until_dead(keystone, service.accepted[-1])
    assert sorted(seen) == sorted(service.server.registries)
    # One token is dead by then; on a busy machine one more may have aged within a request.
    tokens = len(set(service.accepted))
    assert tokens in {2, 3}
    assert service.refused == []
    assert logins.counts() == {"POST": tokens}


async def test_revoked_token_is_renewed_and_the_request_sent_again(
    keystone: Keystone, service: Service
) -> None:
    async with door(keystone.auth_url) as logins:
        credentials = password_of(keystone, f"{logins.url}/v3")
        async with AsyncRegistryClient(credentials, base_url=service.base_url) as client:
            before = await names(client)
            (revoked,) = service.accepted
            await asyncio.to_thread(keystone.revoke, revoked)
            assert await names(client) == before
            created = await client.registries.create("after-it")
    assert service.refused == [revoked]
    assert len(set(service.accepted)) == 2
    assert logins.counts() == {"POST": 2}
    assert service.server.registries[created.id].name == "after-it"


async def test_revocation_under_load_logs_in_once_more(
    keystone: Keystone, service: Service
) -> None:
    async with door(keystone.auth_url) as logins:
        credentials = password_of(keystone, f"{logins.url}/v3")
        async with AsyncRegistryClient(credentials, base_url=service.base_url) as client:
            await names(client)
            (revoked,) = service.accepted
            await asyncio.to_thread(keystone.revoke, revoked)
            await asyncio.gather(*(names(client) for _ in range(8)))
    assert set(service.refused) == {revoked}
    assert logins.counts() == {"POST": 2}


async def test_token_that_the_service_never_accepts(keystone: Keystone) -> None:
    async def refuse(request: SeenRequest) -> Reply | None:
        return Reply(401, {"error": "The token is not valid."})

    async with StrictServer(token="") as server, door(keystone.auth_url) as logins:
        server.on_request = refuse
        credentials = password_of(keystone, f"{logins.url}/v3")
        async with AsyncRegistryClient(credentials, base_url=server.base_url) as client:
            with pytest.raises(AuthenticationError, match="The token is not valid"):
                await names(client)
    assert len(server.requests) == 2
    assert logins.counts() == {"POST": 2}


async def test_base_url_from_the_catalog(keystone: Keystone, service: Service) -> None:
    await asyncio.to_thread(keystone.set_api_url, service.base_url)
    for credentials in (
        password_of(keystone, keystone.auth_url),
        KeystoneApplicationCredential(
            id=keystone.credential_id,
            secret=keystone.credential_secret,
            auth_url=keystone.auth_url,
        ),
    ):
        async with AsyncRegistryClient(credentials, base_url="catalog") as client:
            assert await names(client) == ["registry-000", "registry-001"]
            v1 = await client.registries.list(api_version=1).collect()
            assert [registry.name for registry in v1] == ["registry-000", "registry-001"]
    assert {request.raw_path for request in service.server.requests} == {
        "/api/v1/registries",
        "/api/v2/registries",
    }


async def test_keystone_that_cannot_be_reached(service: Service, keystone: Keystone) -> None:
    async with door(keystone.auth_url) as logins:
        credentials = password_of(keystone, f"{logins.url}/v3")
        retry = RetryPolicy(attempts=2, base_delay=0.001)
        async with AsyncRegistryClient(
            credentials, base_url=service.base_url, retry=retry
        ) as client:
            await logins.stop_listening()
            with pytest.raises(ConnectionFailedError):
                await names(client)
            await logins.start_listening()
            async with asyncio.timeout(30):
                while True:
                    try:
                        assert await names(client) == ["registry-000", "registry-001"]
                        break
                    except ConnectionFailedError:
                        # Failed logins are not repeated at once.
                        continue


async def test_catalog_without_the_service(keystone: Keystone, service: Service) -> None:
    await asyncio.to_thread(keystone.set_api_url, None)
    credentials = password_of(keystone, keystone.auth_url)
    async with AsyncRegistryClient(credentials, base_url="catalog") as client:
        with pytest.raises(ConfigurationError, match="catalog"):
            await names(client)
        # Whoever administers Keystone mends it; the same client finds the service then.
        await asyncio.to_thread(keystone.set_api_url, service.base_url)
        credentials.invalidate(await last_token(credentials))
        assert await names(client) == ["registry-000", "registry-001"]


async def last_token(credentials: KeystonePassword) -> str:
    async with aiohttp.ClientSession() as session:
        return await credentials.get_token(session)


def test_catalog_needs_keystone() -> None:
    with pytest.raises(ConfigurationError, match="catalog"):
        AsyncRegistryClient(token="t", base_url="catalog")
