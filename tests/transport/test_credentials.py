"""Tokens: fetched once for all, renewed in time, never the cause of a storm."""

from __future__ import annotations

import asyncio
import pickle
from collections.abc import Callable, Iterable
from datetime import UTC, datetime, timedelta
from typing import Any, Final

import aiohttp
import pytest

from registry_async import (
    AsyncRegistryClient,
    AuthenticationError,
    ConfigurationError,
    ConnectionFailedError,
    ContainerRegistryError,
    KeystoneApplicationCredential,
    KeystonePassword,
    PermissionDeniedError,
    RequestTimeoutError,
    RetryPolicy,
    ServerError,
    StaticToken,
    UnexpectedResponseError,
)
from registry_async._keystone import KeystoneCredentials
from tests.support.clock import FakeClock
from tests.support.faults import Behaviour, Connection, Drop, FaultServer, Hang, Reply
from tests.support.wire import SeenRequest

DAY: Final = 86_400.0
EMPTY: Final = Reply.json({"registries": [], "totalCount": 0})
REFUSED: Final = Reply.json({"error": {"code": 401, "message": "wrong password"}}, 401)
AUTH_PATH: Final = "/v3/auth/tokens"


class Keystone:
    """Keystone and the service behind one fault server, with tokens that die by a fake clock.

    Args:
        life: The seconds that a token lives.
        clock: The clock of both.
        skew: How far Keystone's clock is ahead of the client's.
        issued: Whether answers say when the token was issued.
        catalog: The catalog of the answers, if any.
    """

    def __init__(
        self,
        life: float = DAY,
        *,
        clock: FakeClock | None = None,
        skew: float = 0,
        issued: bool = True,
        catalog: object = None,
    ) -> None:
        self.clock = clock or FakeClock()
        self.life, self.skew, self.issued, self.catalog = life, skew, issued, catalog
        # What the next logins do instead of succeeding.
        self.login_faults: list[Behaviour] = []
        self.valid: dict[str, float] = {}
        self.logins = 0
        self.used: list[str] = []

    def __call__(self, request: SeenRequest) -> Behaviour:
        if request.raw_path == AUTH_PATH:
            assert request.method == "POST"
            assert request.header("X-Auth-Token") is None
            self.logins += 1
            if self.login_faults:
                return self.login_faults.pop(0)
            return self.login()
        token = request.header("X-Auth-Token") or ""
        self.used.append(token)
        alive = self.valid.get(token, 0.0) > self.clock.monotonic()
        return EMPTY if alive else Reply.json({"error": "The token is not valid."}, 401)

    def login(self) -> Reply:
        token = f"iam-{len(self.valid) + 1}"
        self.valid[token] = self.clock.monotonic() + self.life
        now = datetime.fromtimestamp(self.clock.time() + self.skew, UTC)
        body: dict[str, Any] = {"expires_at": _text(now + timedelta(seconds=self.life))}
        if self.issued:
            body["issued_at"] = _text(now)
        if self.catalog is not None:
            body["catalog"] = self.catalog
        return Reply.json({"token": body}, 201, headers={"X-Subject-Token": token})

    def revoke(self) -> None:
        self.valid = dict.fromkeys(self.valid, 0.0)


def _text(moment: datetime) -> str:
    return moment.isoformat(timespec="microseconds").replace("+00:00", "Z")


def password(server: FaultServer) -> KeystonePassword:
    return KeystonePassword(
        username="robot", password="pw", account="123", project_name="p", auth_url=server.url
    )


def client_of(
    server: FaultServer, keystone: Keystone, credentials: Any = None, **options: Any
) -> AsyncRegistryClient:
    settings: dict[str, Any] = {"base_url": server.base_url, "clock": keystone.clock, **options}
    return AsyncRegistryClient(credentials or password(server), **settings)


async def get(client: AsyncRegistryClient) -> object:
    return await client.registries.list().collect()


# -- what is sent


@pytest.mark.anyio
@pytest.mark.parametrize("url", ["", "/", "/v3", "/v3/", "/identity", "/identity/v3"])
async def test_the_login_with_a_password(url: str) -> None:
    for project in ({"project_name": "prod"}, {"project_id": "p1"}):
        keystone = Keystone()
        async with FaultServer(keystone.login(), EMPTY) as server:
            credentials = KeystonePassword(
                username="robot",
                password='p"w',
                account="123",
                auth_url=server.url + url,
                **project,
            )
            async with client_of(server, keystone, credentials) as client:
                await get(client)
            login = server.requests[0]
            assert login.raw_path == ("/identity" if "identity" in url else "") + AUTH_PATH
            domain = {"name": "123"}
            user = {"name": "robot", "domain": domain, "password": 'p"w'}
            scope = {"id": "p1"} if "project_id" in project else {"name": "prod", "domain": domain}
            assert login.json() == {
                "auth": {
                    "identity": {"methods": ["password"], "password": {"user": user}},
                    "scope": {"project": scope},
                }
            }
            assert server.requests[1].header("X-Auth-Token") == "iam-1"


@pytest.mark.anyio
async def test_the_login_with_an_application_credential() -> None:
    keystone = Keystone()
    async with FaultServer(keystone.login(), EMPTY) as server:
        credentials = KeystoneApplicationCredential(id="a1", secret="s", auth_url=server.url)
        async with client_of(server, keystone, credentials) as client:
            await get(client)
        assert server.requests[0].json() == {
            "auth": {
                "identity": {
                    "methods": ["application_credential"],
                    "application_credential": {"id": "a1", "secret": "s"},
                }
            }
        }


# -- single flight and renewal


@pytest.mark.anyio
async def test_two_hundred_tasks_share_one_login() -> None:
    keystone = Keystone()
    async with FaultServer(handler=keystone) as server, client_of(server, keystone) as client:
        await asyncio.gather(*(get(client) for _ in range(200)))
        assert keystone.logins == 1
        assert keystone.used == ["iam-1"] * 200


@pytest.mark.anyio
async def test_two_clients_share_the_login_of_their_credentials() -> None:
    keystone = Keystone()
    async with FaultServer(handler=keystone) as server:
        credentials = password(server)
        async with (
            client_of(server, keystone, credentials) as one,
            client_of(server, keystone, credentials) as two,
        ):
            await asyncio.gather(get(one), get(two))
        assert keystone.logins == 1


@pytest.mark.anyio
@pytest.mark.parametrize("life", [3.0, 60.0, 3600.0, DAY])
@pytest.mark.parametrize("skew", [-7200.0, 0.0, 7200.0])
async def test_a_token_is_renewed_before_it_dies(life: float, skew: float) -> None:
    keystone = Keystone(life, skew=skew)
    async with FaultServer(handler=keystone) as server, client_of(server, keystone) as client:
        for _ in range(100):
            await get(client)
            keystone.clock.advance(life / 20)
        # Every request went out with a token that was alive, and each login was made use of.
        assert len(keystone.used) == 100
        assert 5 <= keystone.logins <= 8


@pytest.mark.anyio
@pytest.mark.parametrize("skew", [-2 * DAY, 0.0, 2 * DAY])
async def test_a_wrong_clock_neither_storms_nor_fails(skew: float) -> None:
    # Without issued_at only the wall clocks tell how long the token lives.
    keystone = Keystone(DAY, skew=skew, issued=False)
    async with FaultServer(handler=keystone) as server, client_of(server, keystone) as client:
        for _ in range(50):
            await get(client)
        assert keystone.logins == 1
        keystone.clock.advance(2 * DAY)
        # Where the token seems to live on, the service's refusal still renews it.
        await get(client)
        assert keystone.logins == 2


@pytest.mark.anyio
async def test_a_jump_of_the_wall_clock_changes_nothing() -> None:
    keystone = Keystone()
    async with FaultServer(handler=keystone) as server, client_of(server, keystone) as client:
        for jump in (0, 10 * DAY, -20 * DAY):
            keystone.clock.skew(jump)
            await get(client)
        assert keystone.logins == 1


@pytest.mark.anyio
async def test_the_old_token_is_used_while_the_renewal_fails() -> None:
    keystone = Keystone()
    async with (
        FaultServer(handler=keystone) as server,
        client_of(server, keystone, retry=RetryPolicy(attempts=1)) as client,
    ):
        await get(client)
        keystone.clock.advance(DAY - 200)
        keystone.login_faults = [Reply(503)] * 50
        for _ in range(30):
            await asyncio.gather(*(get(client) for _ in range(10)))
        assert keystone.used == ["iam-1"] * 301
        # One login, and not one for each of three hundred requests.
        assert keystone.logins == 2
        keystone.login_faults.clear()
        keystone.clock.advance(100)
        await get(client)
        assert keystone.used[-1] == "iam-2"


@pytest.mark.anyio
async def test_a_renewal_that_hangs_holds_nobody_up() -> None:
    keystone = Keystone()
    async with FaultServer(handler=keystone) as server, client_of(server, keystone) as client:
        await get(client)
        keystone.clock.advance(DAY - 200)
        keystone.login_faults = [Hang()]
        renewing = asyncio.create_task(get(client))
        await server.wait_for_requests(3)
        async with asyncio.timeout(10):
            await asyncio.gather(*(get(client) for _ in range(20)))
        assert not renewing.done()
        assert keystone.used == ["iam-1"] * 21
        renewing.cancel()
        await asyncio.gather(renewing, return_exceptions=True)
        # The turn was passed on.
        await get(client)
        assert keystone.used[-1] == "iam-2"


@pytest.mark.anyio
async def test_a_token_that_ages_during_the_back_off_is_renewed() -> None:
    keystone = Keystone(life=3)
    failures = iter([Reply(503, headers={"Retry-After": "20"})] * 3)

    def behave(request: SeenRequest) -> Behaviour:
        answer = keystone(request)
        return answer if request.method == "POST" or answer is not EMPTY else next(failures, EMPTY)

    async with FaultServer(handler=behave) as server, client_of(server, keystone) as client:
        await get(client)
        # The service never saw a token that was dead.
        assert keystone.used == ["iam-1", "iam-2", "iam-3", "iam-4"]


# -- refusals


@pytest.mark.anyio
async def test_a_refused_token_is_renewed_once_and_the_request_repeated() -> None:
    keystone = Keystone()
    async with FaultServer(handler=keystone) as server, client_of(server, keystone) as client:
        await get(client)
        keystone.revoke()
        await asyncio.gather(*(get(client) for _ in range(50)))
        assert keystone.logins == 2


@pytest.mark.anyio
@pytest.mark.parametrize("method", ["POST", "DELETE", "PATCH"])
async def test_every_method_is_repeated_after_a_renewal(method: str) -> None:
    keystone = Keystone()
    done: list[str] = []

    def behave(request: SeenRequest) -> Behaviour:
        answer = keystone(request)
        if answer is EMPTY:
            done.append(request.method)
        return answer

    async with (
        FaultServer(handler=behave) as server,
        client_of(server, keystone, retry=RetryPolicy(attempts=1)) as client,
    ):
        await get(client)
        keystone.revoke()
        await client.request(method, "/v2/tokens/t", json={"name": "x"})
        assert done == ["GET", method]
        assert server.count(method, "/api/v2/tokens/t") == 2


@pytest.mark.anyio
async def test_a_new_login_is_tried_even_if_it_brings_the_same_token() -> None:
    login = Keystone().login()
    async with FaultServer(login, Reply(401), login, EMPTY) as server:
        async with AsyncRegistryClient(password(server), base_url=server.base_url) as client:
            await get(client)
        assert [request.method for request in server.requests] == ["POST", "GET", "POST", "GET"]
    async with FaultServer(login, Reply(401), login, Reply(401)) as server:
        async with AsyncRegistryClient(password(server), base_url=server.base_url) as client:
            with pytest.raises(AuthenticationError):
                await get(client)
        assert server.counts() == {"GET": 2, "POST": 2}


@pytest.mark.anyio
async def test_a_token_that_is_refused_again_is_an_error() -> None:
    keystone = Keystone(life=DAY)

    def behave(request: SeenRequest) -> Behaviour:
        answer = keystone(request)
        return answer if request.method == "POST" else Reply(401)

    async with FaultServer(handler=behave) as server, client_of(server, keystone) as client:
        with pytest.raises(AuthenticationError):
            await get(client)
        assert server.counts() == {"POST": 2, "GET": 2}


@pytest.mark.anyio
async def test_a_static_token_is_not_sent_again() -> None:
    async with FaultServer(Reply(401)) as server:
        async with AsyncRegistryClient(token="t", base_url=server.base_url) as client:
            with pytest.raises(AuthenticationError):
                await get(client)
        assert server.counts() == {"GET": 1}


@pytest.mark.anyio
async def test_a_refused_login_is_no_storm() -> None:
    keystone = Keystone()
    keystone.login_faults = [REFUSED] * 1000
    async with FaultServer(handler=keystone) as server, client_of(server, keystone) as client:
        results = await asyncio.gather(*(get(client) for _ in range(200)), return_exceptions=True)
        assert {type(result) for result in results} == {AuthenticationError}
        # Each has an error of its own: raising one in two tasks would mix up their tracebacks.
        assert len({id(result) for result in results}) == 200
        assert keystone.logins == 1
        with pytest.raises(AuthenticationError, match="wrong password"):
            await get(client)
        assert keystone.logins == 1
        keystone.clock.advance(10)
        keystone.login_faults.clear()
        await get(client)
        assert keystone.logins == 2


@pytest.mark.anyio
@pytest.mark.parametrize("fault", [Reply(500), Drop(), Reply.json({}, 201)])
async def test_a_login_that_failed_otherwise_is_tried_anew_by_the_next_call(
    fault: Behaviour,
) -> None:
    keystone = Keystone()
    keystone.login_faults = [fault]
    async with (
        FaultServer(handler=keystone) as server,
        client_of(server, keystone, retry=RetryPolicy(attempts=1)) as client,
    ):
        results = await asyncio.gather(*(get(client) for _ in range(50)), return_exceptions=True)
        assert all(isinstance(result, ContainerRegistryError) for result in results)
        assert keystone.logins == 1
        await get(client)
        assert keystone.logins == 2


@pytest.mark.anyio
@pytest.mark.parametrize(
    ("fault", "kind"),
    [
        (Reply(401), AuthenticationError),
        (Reply(403), PermissionDeniedError),
        (Reply(500), ServerError),
        (Reply.redirect("/v4/auth/tokens"), UnexpectedResponseError),
        (Reply.json({"token": {}}, 201), UnexpectedResponseError),
        (Reply(201, b"<html>", {"X-Subject-Token": "t"}), UnexpectedResponseError),
        (
            Reply.json({"token": {"expires_at": 5}}, 201, headers={"X-Subject-Token": "t"}),
            UnexpectedResponseError,
        ),
        (Reply.json([], 201, headers={"X-Subject-Token": "t"}), UnexpectedResponseError),
        (Drop(), ConnectionFailedError),
    ],
)
async def test_what_a_failed_login_raises(
    fault: Behaviour, kind: type[ContainerRegistryError]
) -> None:
    keystone = Keystone()
    keystone.login_faults = [fault] * 10
    async with FaultServer(handler=keystone) as server:
        async with client_of(server, keystone) as client:
            with pytest.raises(kind) as caught:
                await get(client)
            assert AUTH_PATH in str(caught.value)
        async with aiohttp.ClientSession() as session:
            with pytest.raises(kind):
                await password(server).get_token(session)
        assert keystone.used == []


@pytest.mark.anyio
async def test_a_login_that_hangs_is_a_timeout_and_repeated() -> None:
    keystone = Keystone()
    keystone.login_faults = [Hang(), Drop(), Reply(503)]
    async with (
        FaultServer(handler=keystone) as server,
        client_of(server, keystone, timeout=0.2) as client,
    ):
        await get(client)
        assert keystone.logins == 4
        keystone.revoke()
        keystone.login_faults = [Hang()] * 4
        with pytest.raises(RequestTimeoutError):
            await get(client)


@pytest.mark.anyio
async def test_get_token_works_over_any_session() -> None:
    keystone = Keystone()
    async with FaultServer(handler=keystone) as server, aiohttp.ClientSession() as session:
        credentials = password(server)
        assert await credentials.get_token(session) == "iam-1"
        assert await credentials.get_token(session) == "iam-1"
        credentials.invalidate("another")
        assert await credentials.get_token(session) == "iam-1"
        credentials.invalidate("iam-1")
        assert await credentials.get_token(session) == "iam-2"
        assert keystone.logins == 2
        assert await StaticToken("t").get_token(session) == "t"


def test_credentials_work_in_one_event_loop_after_the_other() -> None:
    keystone = Keystone()
    made: list[KeystonePassword] = []

    async def use() -> None:
        async with FaultServer(handler=keystone) as server:
            credentials = made[0] if made else password(server)
            made.append(credentials)
            credentials.auth_url = server.url + "/v3"
            async with client_of(server, keystone, credentials) as client:
                await asyncio.gather(get(client), get(client))

    asyncio.run(use())
    keystone.revoke()
    asyncio.run(use())
    assert keystone.logins == 2


def test_credentials_pickle_without_their_token() -> None:
    keystone = Keystone()

    async def use() -> KeystonePassword:
        async with FaultServer(handler=keystone) as server:
            credentials = password(server)
            async with client_of(server, keystone, credentials) as client:
                await get(client)
            return credentials

    credentials = asyncio.run(use())
    pickled = pickle.dumps(credentials)
    assert b"iam-1" not in pickled
    assert pickle.loads(pickled).auth_url == credentials.auth_url


# -- credentials of others


class Others:
    """Credentials as somebody else may write them."""

    def __init__(self, *tokens: Any) -> None:
        self.tokens = list(tokens)
        self.invalidated: list[str] = []
        self.session: object = None

    async def get_token(self, session: aiohttp.ClientSession) -> str:
        self.session = session
        token: Any = self.tokens[0]
        if isinstance(token, Exception):
            raise token
        return str(token) if isinstance(token, str) else token

    def invalidate(self, token: str) -> None:
        self.invalidated.append(token)
        if len(self.tokens) > 1:
            self.tokens.pop(0)


@pytest.mark.anyio
async def test_credentials_of_others_need_two_methods() -> None:
    others = Others("one", "two")
    async with FaultServer(Reply(401), EMPTY) as server:
        async with AsyncRegistryClient(others, base_url=server.base_url) as client:
            await get(client)
        assert [request.header("X-Auth-Token") for request in server.requests] == ["one", "two"]
        assert others.invalidated == ["one"]
        assert isinstance(others.session, aiohttp.ClientSession)


@pytest.mark.anyio
async def test_credentials_of_others_that_have_no_other_token() -> None:
    others = Others("one")
    async with (
        FaultServer(Reply(401)) as server,
        AsyncRegistryClient(others, base_url=server.base_url) as client,
    ):
        with pytest.raises(AuthenticationError):
            await get(client)
        assert server.count("GET") == 1


@pytest.mark.anyio
@pytest.mark.parametrize("token", ["", None, 5, b"x", "a\nb", "a\r\nX: y", "é", "\x00"])
async def test_what_cannot_be_a_token_is_not_sent(token: Any) -> None:
    async with FaultServer() as server:
        async with AsyncRegistryClient(Others(token), base_url=server.base_url) as client:
            with pytest.raises(ConfigurationError, match="get_token"):
                await get(client)
        assert server.connection_count == 0


@pytest.mark.anyio
async def test_an_error_of_others_credentials_is_theirs() -> None:
    async with FaultServer() as server:
        others = Others(LookupError("vault sealed"))
        async with AsyncRegistryClient(others, base_url=server.base_url) as client:
            with pytest.raises(LookupError, match="vault sealed"):
                await get(client)


@pytest.mark.parametrize("wrong", ["text", 5, object(), ["t"]])
def test_what_cannot_be_credentials_is_refused(wrong: Any) -> None:
    with pytest.raises(ValueError, match="credentials"):
        AsyncRegistryClient(wrong)


# -- the catalog


def service(kind: str, url: Any, interface: str = "public") -> dict[str, object]:
    return {"type": kind, "endpoints": [{"interface": interface, "url": url}]}


@pytest.mark.anyio
@pytest.mark.parametrize(
    "listed",
    [
        lambda url: [service("container-registry-v2", url + "/v2")],
        lambda url: [service("container-registry", url + "/v1/")],
        lambda url: [
            service("identity", "http://127.0.0.1:9/"),
            service("container-registry-v2", "http://127.0.0.1:9/", "internal"),
            service("container-registry", url + "/v1"),
        ],
        lambda url: [None, {"type": "container-registry"}, 5, service("container-registry", url)],
    ],
)
async def test_the_base_url_comes_from_the_catalog(listed: Callable[[str], object]) -> None:
    keystone = Keystone()
    async with FaultServer(handler=keystone) as server:
        keystone.catalog = listed(server.base_url)
        async with client_of(server, keystone, base_url="catalog") as client:
            await get(client)
            await client.registries.list(api_version=2).first()
        assert {request.raw_path for request in server.requests[1:]} == {"/api/v2/registries"}
        assert keystone.logins == 1


@pytest.mark.anyio
@pytest.mark.parametrize(
    "catalog",
    [None, [], {}, "x", [service("container-registry", 5)], [service("image", "http://x/")]],
)
async def test_a_catalog_without_the_service_says_so(catalog: object) -> None:
    keystone = Keystone(catalog=catalog)
    async with (
        FaultServer(handler=keystone) as server,
        client_of(server, keystone, base_url="catalog") as client,
    ):
        with pytest.raises(ConfigurationError, match="catalog"):
            await get(client)


@pytest.mark.anyio
async def test_a_catalog_that_leads_over_plain_http_is_told_once(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    keystone = Keystone(catalog=[service("container-registry", "http://registry.invalid/v1")])
    async with FaultServer(handler=keystone) as server, FaultServer(default=EMPTY) as proxy:
        monkeypatch.setenv("http_proxy", proxy.url)
        monkeypatch.setenv("no_proxy", "127.0.0.1")
        async with client_of(server, keystone, base_url="catalog") as client:
            # Where warnings are errors, a second one would be one.
            with pytest.warns(UserWarning, match="in the clear"):
                await get(client)
            await get(client)
            await get(client.with_options(timeout=5))
        assert proxy.count("GET") == 3


@pytest.mark.anyio
async def test_a_catalog_with_a_url_that_cannot_be_used_says_so() -> None:
    keystone = Keystone(catalog=[service("container-registry", "ftp://x/%(tenant)s")])
    async with (
        FaultServer(handler=keystone) as server,
        client_of(server, keystone, base_url="catalog") as client,
    ):
        with pytest.raises(ContainerRegistryError, match="catalog"):
            await get(client)


def test_a_static_token_knows_no_catalog() -> None:
    with pytest.raises(ConfigurationError, match="catalog"):
        AsyncRegistryClient(token="t", base_url="catalog")


# -- the environment


NAMES: Final = (
    "REGISTRY_TOKEN",
    "REGISTRY_BASE_URL",
    "OS_TOKEN",
    "OS_AUTH_URL",
    "OS_APPLICATION_CREDENTIAL_ID",
    "OS_APPLICATION_CREDENTIAL_SECRET",
    "OS_USERNAME",
    "OS_PASSWORD",
    "OS_USER_DOMAIN_NAME",
    "OS_DOMAIN_NAME",
    "OS_PROJECT_ID",
    "OS_PROJECT_NAME",
)
APPLICATION: Final = {"OS_APPLICATION_CREDENTIAL_ID": "a", "OS_APPLICATION_CREDENTIAL_SECRET": "s"}
USER: Final = {
    "OS_USERNAME": "u",
    "OS_PASSWORD": "pw",
    "OS_USER_DOMAIN_NAME": "123",
    "OS_PROJECT_NAME": "p",
}


@pytest.fixture
def environment(monkeypatch: pytest.MonkeyPatch) -> Callable[[dict[str, str]], None]:
    def fill(values: dict[str, str]) -> None:
        for name in NAMES:
            monkeypatch.delenv(name, raising=False)
        for name, value in values.items():
            monkeypatch.setenv(name, value)

    return fill


Environment = Callable[[dict[str, str]], None]


@pytest.mark.anyio
@pytest.mark.parametrize(
    ("values", "sent"),
    [
        ({"REGISTRY_TOKEN": "one", "OS_TOKEN": "two", **APPLICATION, **USER}, "one"),
        ({"OS_TOKEN": "two", **APPLICATION, **USER}, "two"),
        ({"REGISTRY_TOKEN": "  ", "OS_TOKEN": " two\n"}, "two"),
        ({**APPLICATION, **USER}, "application_credential"),
        (USER, "password"),
        ({**USER, "OS_APPLICATION_CREDENTIAL_ID": "only half"}, "password"),
    ],
)
async def test_the_first_whole_set_of_the_environment_counts(
    values: dict[str, str], sent: str, environment: Environment
) -> None:
    keystone = Keystone()
    async with FaultServer(handler=keystone) as server:
        environment(
            {**values, "OS_AUTH_URL": server.url + "/v3/", "REGISTRY_BASE_URL": server.base_url}
        )
        async with AsyncRegistryClient.from_env(clock=keystone.clock) as client:
            try:
                await get(client)
            except AuthenticationError:
                # The static tokens are none that this Keystone gave.
                assert keystone.used == [sent]
            else:
                assert server.requests[0].json()["auth"]["identity"]["methods"] == [sent]


@pytest.mark.anyio
@pytest.mark.parametrize(
    ("change", "scope"),
    [
        ({}, {"name": "p", "domain": {"name": "123"}}),
        ({"OS_PROJECT_ID": "id"}, {"id": "id"}),
        (
            {"OS_USER_DOMAIN_NAME": "", "OS_DOMAIN_NAME": "9"},
            {"name": "p", "domain": {"name": "9"}},
        ),
        ({"OS_DOMAIN_NAME": "9"}, {"name": "p", "domain": {"name": "9"}}),
    ],
)
async def test_the_project_of_the_environment(
    change: dict[str, str], scope: dict[str, object], environment: Environment
) -> None:
    keystone = Keystone()
    async with FaultServer(handler=keystone) as server:
        environment({**USER, "OS_AUTH_URL": server.url, **change})
        async with AsyncRegistryClient.from_env(base_url=server.base_url) as client:
            await get(client)
        assert server.requests[0].json()["auth"]["scope"] == {"project": scope}


@pytest.mark.anyio
async def test_the_spaces_of_a_password_are_part_of_it(environment: Environment) -> None:
    async with FaultServer(handler=Keystone()) as server:
        environment({**USER, "OS_PASSWORD": " p w ", "OS_AUTH_URL": server.url})
        async with AsyncRegistryClient.from_env(base_url=server.base_url) as client:
            await get(client)
        identity = server.requests[0].json()["auth"]["identity"]
        assert identity["password"]["user"]["password"] == " p w "


def without(values: dict[str, str], *names: str) -> dict[str, str]:
    return {name: value for name, value in values.items() if name not in names}


@pytest.mark.parametrize(
    ("values", "named"),
    [
        ({}, ["REGISTRY_TOKEN"]),
        (without(APPLICATION, "OS_APPLICATION_CREDENTIAL_ID"), ["OS_APPLICATION_CREDENTIAL_ID"]),
        (
            without(APPLICATION, "OS_APPLICATION_CREDENTIAL_SECRET"),
            ["OS_APPLICATION_CREDENTIAL_SECRET"],
        ),
        (without(USER, "OS_USERNAME"), ["OS_USERNAME"]),
        (without(USER, "OS_PASSWORD"), ["OS_PASSWORD"]),
        (without(USER, "OS_USER_DOMAIN_NAME"), ["OS_USER_DOMAIN_NAME", "OS_DOMAIN_NAME"]),
        (without(USER, "OS_PROJECT_NAME"), ["OS_PROJECT_ID", "OS_PROJECT_NAME"]),
        ({"OS_USERNAME": "u"}, ["OS_PASSWORD", "OS_USER_DOMAIN_NAME", "OS_PROJECT_ID"]),
        ({**USER, "OS_AUTH_URL": "nowhere"}, ["OS_AUTH_URL"]),
        ({**USER, "OS_AUTH_URL": "ftp://x"}, ["OS_AUTH_URL"]),
        ({"REGISTRY_TOKEN": "a b"}, ["REGISTRY_TOKEN"]),
        ({"OS_TOKEN": "é"}, ["OS_TOKEN"]),
        ({"REGISTRY_TOKEN": "t", "REGISTRY_BASE_URL": "cr.example"}, ["REGISTRY_BASE_URL"]),
    ],
)
def test_an_environment_that_is_incomplete_is_told_what_it_lacks(
    values: dict[str, str], named: Iterable[str], environment: Environment
) -> None:
    environment(values)
    with pytest.raises(ConfigurationError) as caught:
        AsyncRegistryClient.from_env()
    message = str(caught.value)
    for name in named:
        assert name in message
    # What is there is not said to be missing.
    for name in values:
        assert name in named or f"missing {name}" not in message
    assert "\n" not in message


@pytest.mark.parametrize(
    ("arguments", "named"),
    [
        ({"username": ""}, "username"),
        ({"password": ""}, "password"),
        ({"account": ""}, "account"),
        ({"account": 123}, "account"),
        ({"project_name": ""}, "project_name"),
        ({"project_id": "also"}, "project"),
        ({"auth_url": "nowhere"}, "auth_url"),
        ({"username": "a\nb"}, "username"),
        ({"password": None}, "password"),
    ],
)
def test_a_password_login_that_makes_no_sense_is_refused(
    arguments: dict[str, Any], named: str
) -> None:
    whole: dict[str, Any] = {
        "username": "u",
        "password": "pw",
        "account": "1",
        "project_name": "p",
    }
    with pytest.raises(ValueError, match=named):
        KeystonePassword(**{**whole, **arguments})


@pytest.mark.parametrize("token", ["", " ", "a b", "a\n", "é", None, 5])
def test_a_static_token_that_makes_no_sense_is_refused(token: Any) -> None:
    with pytest.raises(ValueError, match="token"):
        StaticToken(token)


@pytest.mark.anyio
async def test_a_failure_is_shared_by_all_who_waited_for_it() -> None:
    keystone = Keystone()
    release = asyncio.Event()

    class LateRefusal:
        async def perform(self, connection: Connection, request: SeenRequest) -> bool:
            await release.wait()
            return await REFUSED.perform(connection, request)

    keystone.login_faults = [LateRefusal()]
    async with FaultServer(handler=keystone) as server, client_of(server, keystone) as client:
        waiting = [asyncio.create_task(get(client)) for _ in range(20)]
        await server.wait_for_requests(1)
        # However long the answer took, it is the answer to all of them.
        keystone.clock.advance(100)
        release.set()
        results = await asyncio.gather(*waiting, return_exceptions=True)
        assert {type(result) for result in results} == {AuthenticationError}
        assert keystone.logins == 1


def test_keystone_credentials_show_where_they_log_in() -> None:
    credentials: KeystoneCredentials = KeystonePassword(
        username="u", password="hidden", account="1", project_id="p"
    )
    assert repr(credentials) == (
        "KeystonePassword(***, auth_url='https://cloud.api.selcloud.ru/identity/v3')"
    )
