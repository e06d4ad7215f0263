"""The sandbox's registry tokens of both versions."""

import base64
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from registry_async.sandbox import Sandbox
from tests.support.sandbox import Api, Clock

START = datetime(2026, 3, 1, 12, 0, 0, tzinfo=UTC)
EVERYTHING = {"allRegistries": True, "modeRW": True, "registryIds": None}
NEVER = {"isSet": False}


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def sandbox(clock: Clock) -> Iterator[Sandbox]:
    with Sandbox(seed=False, clock=clock, start_time=START) as running:
        yield running


@pytest.fixture
def api(sandbox: Sandbox) -> Api:
    return Api(sandbox)


def end(**after: float) -> dict[str, Any]:
    moment = START + timedelta(**after)
    return {"isSet": True, "expiresAt": moment.isoformat().replace("+00:00", "Z")}


def logs_in(sandbox: Sandbox, secret: str) -> bool:
    """Do as Docker does with a token's secret."""
    login = base64.b64encode(f"token:{secret}".encode()).decode()
    headers = {"Authorization": f"Basic {login}"}
    reply = Api(sandbox).send("GET", "/v2/token", headers=headers, token=None)
    assert reply.status in (200, 401)
    return reply.status == 200


def create(api: Api, name: str = "", **members: Any) -> Any:
    return api.post(
        "/v2/tokens", {"name": name, "scope": EVERYTHING, "expiration": NEVER, **members}
    )


def test_a_created_token_shows_its_secret_once(api: Api, sandbox: Sandbox) -> None:
    scope = {"allRegistries": False, "modeRW": False, "registryIds": ["a", "b"]}
    created = create(api, "pull", scope=scope, expiration=end(days=1))
    assert created == {
        "createdAt": "2026-03-01T12:00:00Z",
        "expiration": {"expiresAt": "2026-03-02T12:00:00Z", "isSet": True},
        "id": created["id"],
        "name": "pull",
        "scope": scope,
        "status": "active",
        "token": created["token"],
    }
    secret = created.pop("token")
    assert api.get(f"/v2/tokens/{created['id']}") == {**created, "lastUsedAt": None}
    assert api.get("/v2/tokens")["tokens"] == [{**created, "lastUsedAt": None}]
    assert logs_in(sandbox, secret)
    assert api.get(f"/v2/tokens/{created['id']}")["lastUsedAt"] == "2026-03-01T12:00:00Z"


def test_a_token_without_an_end_shows_a_zero_time(api: Api, clock: Clock) -> None:
    created = create(api, expiration={"isSet": False, "expiresAt": "2020-01-01T00:00:00Z"})
    assert created["name"] == ""
    assert created["expiration"] == {"expiresAt": "0001-01-01T00:00:00Z", "isSet": False}
    clock.seconds += 100 * 365 * 86_400
    assert api.get(f"/v2/tokens/{created['id']}")["status"] == "active"


@pytest.mark.parametrize(
    ("given", "shown"),
    [
        ("2030-01-01T00:00:00Z", "2030-01-01T00:00:00Z"),
        ("2030-01-01T02:00:00+02:00", "2030-01-01T00:00:00Z"),
        ("2029-12-31T20:29:59.5-03:30", "2029-12-31T23:59:59.5Z"),
        ("2030-01-01T00:00:00.123456789Z", "2030-01-01T00:00:00.123456789Z"),
        ("2030-01-01T00:00:00.1234567891Z", "2030-01-01T00:00:00.123456789Z"),
        ("2030-01-01t00:00:00.000000000z", "2030-01-01T00:00:00Z"),
        ("0001-01-01T00:00:00Z", "0001-01-01T00:00:00Z"),
        ("9999-12-31T23:59:59.999999999Z", "9999-12-31T23:59:59.999999999Z"),
    ],
)
def test_times_are_shown_in_utc_to_the_nanosecond(api: Api, given: str, shown: str) -> None:
    created = create(api, expiration={"isSet": True, "expiresAt": given})
    assert created["expiration"]["expiresAt"] == shown


@pytest.mark.parametrize(
    "members",
    [
        {"expiration": {"isSet": True}},
        {"expiration": {"isSet": True, "expiresAt": None}},
        {"expiration": {"isSet": True, "expiresAt": 1_893_456_000}},
        {"expiration": {"isSet": True, "expiresAt": "tomorrow"}},
        {"expiration": {"isSet": True, "expiresAt": "2030-01-01"}},
        {"expiration": {"isSet": True, "expiresAt": "2030-01-01T00:00:00"}},
        {"expiration": {"isSet": True, "expiresAt": "2030-02-30T00:00:00Z"}},
        {"expiration": {"isSet": True, "expiresAt": "2030-01-01T00:00:00+25:00"}},
        {"expiration": {"isSet": True, "expiresAt": "2030-01-01T00:00:00+01:60"}},
        {"expiration": {"isSet": True, "expiresAt": "0001-01-01T00:00:00+01:00"}},
        {"expiration": {"isSet": "false"}},
        {"expiration": {"isSet": False, "expiresAt": ""}},
        {"expiration": {}},
        {"expiration": "never"},
        {"scope": []},
        {"scope": {"allRegistries": True}},
        {"scope": {"modeRW": True}},
        {"scope": {"allRegistries": 1, "modeRW": True}},
        {"scope": {"allRegistries": False, "modeRW": True}},
        {"scope": {"allRegistries": False, "modeRW": True, "registryIds": []}},
        {"scope": {"allRegistries": False, "modeRW": True, "registryIds": None}},
        {"scope": {"allRegistries": True, "modeRW": True, "registryIds": "a"}},
        {"scope": {"allRegistries": True, "modeRW": True, "registryIds": [1]}},
        {"name": 7},
    ],
)
def test_what_the_contract_does_not_allow_is_refused(api: Api, members: dict[str, Any]) -> None:
    body = {"scope": EVERYTHING, "expiration": NEVER, **members}
    assert api.post("/v2/tokens", body, status=400)["error"]
    assert api.get("/v2/tokens") == {"tokens": None, "totalCount": 0}
    created = create(api, "unchanged")
    assert api.patch(f"/v2/tokens/{created['id']}", {"name": "new", **members}, status=400)
    assert api.get(f"/v2/tokens/{created['id']}")["name"] == "unchanged"
    assert api.get(f"/v2/tokens/{created['id']}")["expiration"] == created["expiration"]


@pytest.mark.parametrize("missing", ["scope", "expiration"])
def test_scope_and_expiration_must_be_given(api: Api, missing: str) -> None:
    body: dict[str, Any] = {"scope": EVERYTHING, "expiration": NEVER}
    assert missing in api.post("/v2/tokens", body | {missing: None}, status=400)["error"]
    del body[missing]
    assert missing in api.post("/v2/tokens", body, status=400)["error"]


def test_a_docker_configuration_logs_in(api: Api, sandbox: Sandbox) -> None:
    config = api.post("/v2/tokens?docker-config=true", {"scope": EVERYTHING, "expiration": NEVER})
    access = config["auths"][sandbox.registry_host]
    assert access["username"] == "token"
    assert base64.b64decode(access["auth"]).decode() == f"token:{access['password']}"
    assert logs_in(sandbox, access["password"])
    api.post("/v2/tokens?docker-config=1", {"scope": EVERYTHING, "expiration": NEVER}, status=400)


def test_a_token_expires_by_the_clock(api: Api, sandbox: Sandbox, clock: Clock) -> None:
    created = create(api, expiration=end(hours=1))
    clock.seconds += 3_599
    assert logs_in(sandbox, created["token"])
    clock.seconds += 1
    assert api.get(f"/v2/tokens/{created['id']}")["status"] == "expired"
    assert not logs_in(sandbox, created["token"])
    refreshed = api.post(
        f"/v2/tokens/{created['id']}/refresh", {"expiration": end(hours=2)}, status=200
    )
    assert refreshed["status"] == "active"
    assert "token" not in refreshed
    assert logs_in(sandbox, created["token"])


def test_an_update_changes_only_what_is_given(api: Api) -> None:
    created = create(api, "before", expiration=end(days=1))
    path = f"/v2/tokens/{created['id']}"
    before = api.get(path)
    assert api.patch(path, {}) == before
    assert api.patch(path, {"name": "after"}) == {**before, "name": "after"}
    scope = {"allRegistries": False, "modeRW": True, "registryIds": ["a"]}
    assert api.patch(path, {"scope": scope}) == {**before, "name": "after", "scope": scope}
    assert api.patch(path, {"expiration": NEVER})["expiration"]["isSet"] is False
    assert api.get(path)["scope"] == scope


def test_regenerating_kills_the_old_secret(api: Api, sandbox: Sandbox) -> None:
    created = create(api, "ci", expiration=end(days=1))
    path = f"/v2/tokens/{created['id']}/regenerate"
    renewed = api.post(path, {"expiration": end(days=2)}, status=200)
    assert renewed["token"] != created["token"]
    assert renewed["expiration"] == {"expiresAt": "2026-03-03T12:00:00Z", "isSet": True}
    assert {**created, "token": "", "expiration": ""} == {**renewed, "token": "", "expiration": ""}
    assert not logs_in(sandbox, created["token"])
    assert logs_in(sandbox, renewed["token"])


def test_a_revoked_token_stays_listed_until_it_is_deleted(api: Api, sandbox: Sandbox) -> None:
    created = create(api)
    path = f"/v2/tokens/{created['id']}"
    assert api.post(f"{path}/revoke", status=204) is None
    assert not logs_in(sandbox, created["token"])
    assert api.get("/v2/tokens")["tokens"][0]["status"] == "revoked"
    for action in ("refresh", "regenerate"):
        api.post(f"{path}/{action}", {"expiration": NEVER}, status=409)
    api.post(f"{path}/revoke", status=204)
    api.delete(path)
    assert api.get(path, 404) == {"error": "Token not found."}
    assert api.get("/v2/tokens")["totalCount"] == 0


@pytest.mark.parametrize(
    ("method", "tail", "body"),
    [
        ("GET", "", None),
        ("PATCH", "", {}),
        ("DELETE", "", None),
        ("POST", "/refresh", {"expiration": NEVER}),
        ("POST", "/regenerate", {"expiration": NEVER}),
        ("POST", "/revoke", None),
    ],
)
def test_an_unknown_token_is_refused(api: Api, method: str, tail: str, body: Any) -> None:
    refused = api.call(method, f"/v2/tokens/nowhere{tail}", body, status=404)
    assert refused == {"error": "Token not found."}


@pytest.mark.parametrize("action", ["refresh", "regenerate"])
def test_an_expiration_needs_its_wrapper_but_from_the_go_client(api: Api, action: str) -> None:
    created = create(api)
    path = f"/v2/tokens/{created['id']}/{action}"
    bare = end(days=1)
    wrong: list[dict[str, Any]] = [{}, bare, {"expiration": None}, {"expiration": {}}]
    for body in wrong:
        assert api.post(path, body, status=400)["error"]
    taken = api.post(path, bare, status=200, headers={"User-Agent": "craas-go/0.3.0"})
    assert taken["expiration"]["expiresAt"] == "2026-03-02T12:00:00Z"


def test_lists_are_searched_filtered_and_sorted(api: Api, sandbox: Sandbox, clock: Clock) -> None:
    reading = {"allRegistries": True, "modeRW": False}
    secrets = {}
    for name, scope, expiration in (
        ("pipeline-b", EVERYTHING, end(days=3)),
        ("laptop", reading, NEVER),
        ("pipeline-a", reading, end(days=1)),
    ):
        secrets[name] = create(api, name, scope=scope, expiration=expiration)["token"]
        clock.seconds += 1
    logs_in(sandbox, secrets["laptop"])
    clock.seconds += 1
    logs_in(sandbox, secrets["pipeline-b"])

    def names(query: str) -> list[str]:
        page = api.get(f"/v2/tokens?{query}")
        assert page["totalCount"] == 3
        return [token["name"] for token in page["tokens"] or []]

    assert names("") == ["pipeline-b", "laptop", "pipeline-a"]
    assert names("sort_field=createdAt&sort_type=desc") == ["pipeline-a", "laptop", "pipeline-b"]
    assert names("sort_field=name") == ["laptop", "pipeline-a", "pipeline-b"]
    assert names("sort_field=lastUsedAt") == ["pipeline-a", "laptop", "pipeline-b"]
    assert names("sort_field=expiresAt") == ["laptop", "pipeline-a", "pipeline-b"]
    assert names("search=pipeline") == ["pipeline-b", "pipeline-a"]
    assert names("scope_mode=ro") == ["laptop", "pipeline-a"]
    assert names("scope_mode=rw") == ["pipeline-b"]
    assert names("scope_mode=ro&search=pipe") == ["pipeline-a"]
    assert names("limit=1&offset=1") == ["laptop"]
    assert names("offset=3") == []
    for query in ("scope_mode=rx", "scope_mode=", "sort_field=size"):
        api.get(f"/v2/tokens?{query}", 400)


def test_a_scope_opens_what_it_names(api: Api, sandbox: Sandbox) -> None:
    scope = {"allRegistries": False, "modeRW": False, "registryIds": ["a"]}
    secret = create(api, scope=scope)["token"]
    assert logs_in(sandbox, secret)
    assert sandbox.state.tokens.scope_of(secret) == (False, False, ("a",))
    assert not logs_in(sandbox, "made-up")


# Version 1


@pytest.mark.parametrize(
    ("query", "seconds"), [("", 43_200), ("?ttl=12h", 43_200), ("?ttl=1y", 31_536_000)]
)
def test_v1_tokens_live_as_long_as_asked(
    api: Api, sandbox: Sandbox, clock: Clock, query: str, seconds: int
) -> None:
    created = api.post(f"/v1/token{query}")
    secret = created["token"]
    assert created["expireIn"] == seconds
    assert created["expireAt"] == int(START.timestamp()) + seconds
    clock.seconds += seconds - 60
    assert api.get(f"/v1/token/{secret}") == {"expireAt": created["expireAt"], "expireIn": 60}
    assert logs_in(sandbox, secret)
    refreshed = api.post(f"/v1/token/{secret}/refresh", status=200)
    assert refreshed == {
        "expireAt": created["expireAt"] + seconds - 60,
        "expireIn": seconds,
        "token": secret,
    }
    clock.seconds += seconds
    assert not logs_in(sandbox, secret)
    assert api.get(f"/v1/token/{secret}", 404) == {"error": "Token not found."}
    api.post(f"/v1/token/{secret}/refresh", status=404)


def test_a_v1_token_can_be_a_docker_configuration(api: Api, sandbox: Sandbox) -> None:
    config = api.post("/v1/token?docker-config=true&ttl=1y")
    assert logs_in(sandbox, config["auths"][sandbox.registry_host]["password"])
    assert "token" in api.post("/v1/token?docker-config=false")


@pytest.mark.parametrize("query", ["ttl=", "ttl=1h", "ttl=1Y", "docker-config=yes"])
def test_v1_arguments_are_checked(api: Api, query: str) -> None:
    assert api.post(f"/v1/token?{query}", status=400)["error"]


def test_a_revoked_v1_token_is_gone(api: Api, sandbox: Sandbox) -> None:
    secret = api.post("/v1/token")["token"]
    api.delete(f"/v1/token/{secret}")
    assert not logs_in(sandbox, secret)
    api.get(f"/v1/token/{secret}", 404)
    assert api.delete(f"/v1/token/{secret}", 400) == {"error": "Invalid or malformed token."}


def test_what_cannot_be_a_v1_token_is_malformed(api: Api) -> None:
    api.get("/v1/token/garbage", 404)
    api.delete("/v1/token/garbage", 400)
    api.post("/v1/token/garbage/refresh", status=400)
    api.post("/v1/token/44d570a1-21a7-404f-bbda-3a99872e2776/refresh", status=404)


def test_the_seed_holds_tokens_of_each_kind() -> None:
    with Sandbox() as sandbox:
        tokens = Api(sandbox).get("/v2/tokens")["tokens"]
    assert {token["status"] for token in tokens} == {"active", "expired", "revoked"}
    assert {token["scope"]["modeRW"] for token in tokens} == {True, False}
    assert {token["expiration"]["isSet"] for token in tokens} == {True, False}
