"""The sandbox's Keystone login, as Keystone's own interface describes it."""

import json
from collections.abc import Iterator
from datetime import UTC, datetime
from typing import Any

import pytest

from registry_async.sandbox import Login, Sandbox
from tests.support.sandbox import Api, Clock, Reply

START = datetime(2026, 3, 1, 12, 0, 0, tzinfo=UTC)


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def sandbox(clock: Clock) -> Iterator[Sandbox]:
    with Sandbox(seed=False, clock=clock, start_time=START, token_seconds=3_600) as running:
        yield running


def by_password(sandbox: Sandbox, scope: Any = "id", **user: Any) -> dict[str, Any]:
    domain = {"name": sandbox.login.account}
    identity = {
        "name": sandbox.login.username,
        "password": sandbox.login.password,
        "domain": domain,
        **user,
    }
    if scope == "id":
        scope = {"project": {"id": sandbox.login.project_id}}
    elif scope == "name":
        scope = {"project": {"name": sandbox.login.project_name, "domain": domain}}
    auth: dict[str, Any] = {
        "identity": {"methods": ["password"], "password": {"user": identity}},
    }
    if scope is not None:
        auth["scope"] = scope
    return {"auth": auth}


def by_application_credential(sandbox: Sandbox, **credential: Any) -> dict[str, Any]:
    given = {
        "id": sandbox.login.application_credential_id,
        "secret": sandbox.login.application_credential_secret,
        **credential,
    }
    methods = ["application_credential"]
    return {"auth": {"identity": {"methods": methods, "application_credential": given}}}


def log_in(sandbox: Sandbox, body: object) -> Reply:
    path = "/identity/v3/auth/tokens"
    content = body if isinstance(body, bytes) else json.dumps(body).encode()
    return Api(sandbox).send("POST", path, content=content, token=None)


def opens(sandbox: Sandbox, token: str) -> bool:
    return Api(sandbox).send("GET", "/api/v2/registries", token=token).status == 200


@pytest.mark.parametrize("scope", ["id", "name"])
def test_a_password_opens_the_project(sandbox: Sandbox, scope: str) -> None:
    reply = log_in(sandbox, by_password(sandbox, scope))
    assert reply.status == 201
    assert opens(sandbox, reply.headers["X-Subject-Token"])
    token = reply.body["token"]
    assert token["issued_at"] == "2026-03-01T12:00:00.000000Z"
    assert token["expires_at"] == "2026-03-01T13:00:00.000000Z"
    assert token["methods"] == ["password"]
    assert token["user"]["name"] == sandbox.login.username
    assert token["user"]["domain"]["name"] == sandbox.login.account
    assert (token["project"]["id"], token["project"]["name"]) == (
        sandbox.login.project_id,
        sandbox.login.project_name,
    )


def test_an_application_credential_opens_its_project(sandbox: Sandbox) -> None:
    reply = log_in(sandbox, by_application_credential(sandbox))
    assert reply.status == 201
    assert reply.body["token"]["project"]["id"] == sandbox.login.project_id
    assert opens(sandbox, reply.headers["X-Subject-Token"])


def test_the_catalog_leads_to_both_versions(sandbox: Sandbox) -> None:
    catalog = log_in(sandbox, by_password(sandbox)).body["token"]["catalog"]
    urls = {
        service["type"]: endpoint["url"]
        for service in catalog
        for endpoint in service["endpoints"]
        if endpoint["interface"] == "public"
    }
    assert urls == {
        "container-registry": f"{sandbox.base_url}/v1",
        "container-registry-v2": f"{sandbox.base_url}/v2",
        "identity": sandbox.auth_url,
    }


@pytest.mark.parametrize(
    "user",
    [
        {"password": "wrong"},
        {"name": "nobody"},
        {"domain": {"name": "999999"}},
        {"domain": {"id": "default"}},
        {"id": "nobody"},
    ],
)
def test_a_wrong_login_is_refused(sandbox: Sandbox, user: dict[str, Any]) -> None:
    reply = log_in(sandbox, by_password(sandbox, **user))
    assert reply.status == 401
    assert reply.body == {
        "error": {
            "code": 401,
            "message": "The request you have made requires authentication.",
            "title": "Unauthorized",
        }
    }
    assert "X-Subject-Token" not in reply.headers


@pytest.mark.parametrize(
    "project",
    [
        {"id": "elsewhere"},
        {"name": "elsewhere", "domain": {"name": "100200"}},
        {"name": "sandbox-project", "domain": {"name": "elsewhere"}},
    ],
)
def test_a_wrong_project_is_refused(sandbox: Sandbox, project: dict[str, Any]) -> None:
    assert log_in(sandbox, by_password(sandbox, {"project": project})).status == 401


@pytest.mark.parametrize("credential", [{"secret": "wrong"}, {"id": "wrong"}])
def test_a_wrong_application_credential_is_refused(
    sandbox: Sandbox, credential: dict[str, str]
) -> None:
    assert log_in(sandbox, by_application_credential(sandbox, **credential)).status == 401


def test_an_application_credential_takes_no_scope(sandbox: Sandbox) -> None:
    body = by_application_credential(sandbox)
    body["auth"]["scope"] = {"project": {"id": sandbox.login.project_id}}
    assert log_in(sandbox, body).status == 401


def test_a_token_without_a_project_opens_no_registry(sandbox: Sandbox) -> None:
    reply = log_in(sandbox, by_password(sandbox, None))
    assert reply.status == 201
    assert not reply.body["token"].keys() & {"project", "catalog"}
    assert not opens(sandbox, reply.headers["X-Subject-Token"])


def test_an_issued_token_expires_and_the_standing_one_does_not(
    sandbox: Sandbox, clock: Clock
) -> None:
    token = log_in(sandbox, by_password(sandbox)).headers["X-Subject-Token"]
    clock.seconds += 3_599
    assert opens(sandbox, token)
    clock.seconds += 1
    assert not opens(sandbox, token)
    clock.seconds += 10 * 365 * 86_400
    assert opens(sandbox, sandbox.token)


def test_tokens_can_be_issued_and_revoked_by_tests(sandbox: Sandbox, clock: Clock) -> None:
    brief = sandbox.identity.issue(seconds=5)
    other = sandbox.identity.issue("chosen")
    assert opens(sandbox, brief)
    clock.seconds += 5
    assert not opens(sandbox, brief)
    sandbox.identity.revoke(other)
    assert not opens(sandbox, other)
    assert opens(sandbox, sandbox.token)
    sandbox.identity.revoke_all()
    assert not opens(sandbox, sandbox.token)


def test_a_token_can_be_looked_at_and_given_back(sandbox: Sandbox) -> None:
    token = log_in(sandbox, by_password(sandbox)).headers["X-Subject-Token"]
    path = "/identity/v3/auth/tokens"
    subject = {"X-Subject-Token": token}
    api = Api(sandbox)
    assert (
        api.send("GET", path, headers=subject).body["token"]["user"]["name"]
        == sandbox.login.username
    )
    assert api.send("GET", path, headers=subject, token=None).status == 401
    assert api.send("DELETE", path, headers=subject, token=token).status == 204
    assert api.send("GET", path, headers=subject).status == 404
    assert not opens(sandbox, token)


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"{",
        b"[]",
        {},
        {"auth": None},
        {"auth": {}},
        {"auth": {"identity": {}}},
        {"auth": {"identity": {"methods": []}}},
        {"auth": {"identity": {"methods": "password"}}},
        {"auth": {"identity": {"methods": ["password"]}}},
        {"auth": {"identity": {"methods": ["password"], "password": {"user": {"name": "a"}}}}},
        {"auth": {"identity": {"methods": ["application_credential"]}}},
        {"auth": {"identity": {"methods": ["password"]}, "scope": "unscoped"}},
    ],
)
def test_a_malformed_login_is_refused_in_keystones_form(sandbox: Sandbox, body: object) -> None:
    reply = log_in(sandbox, body)
    assert reply.status == 400
    assert (reply.body["error"]["code"], reply.body["error"]["title"]) == (400, "Bad Request")


def test_an_unknown_method_of_login_is_refused(sandbox: Sandbox) -> None:
    body = {"auth": {"identity": {"methods": ["totp"], "totp": {}}}}
    assert log_in(sandbox, body).status == 401


@pytest.mark.parametrize(
    ("method", "path", "status"),
    [
        ("GET", "", 200),
        ("GET", "/", 200),
        ("POST", "/", 405),
        ("GET", "/projects", 404),
        ("PUT", "/auth/tokens", 405),
    ],
)
def test_what_else_there_is_of_keystone(
    sandbox: Sandbox, method: str, path: str, status: int
) -> None:
    reply = Api(sandbox).send(method, f"/identity/v3{path}", token=None)
    assert reply.status == status
    if status == 200:
        assert reply.body["version"]["links"][0]["href"] == f"{sandbox.auth_url}/"
    else:
        assert reply.body["error"]["code"] == status


def test_the_login_can_be_chosen() -> None:
    login = Login(username="me", password="mine", account="7", project_name="p", project_id="1")
    with Sandbox(seed=False, login=login) as sandbox:
        assert (sandbox.login.username, sandbox.login.password, sandbox.login.account) == (
            "me",
            "mine",
            "7",
        )
        assert log_in(sandbox, by_password(sandbox, "name")).status == 201
        shown = (login.username, login.password, login.account, login.project_id)
        assert shown == ("me", "mine", "7", "1")
        assert sandbox.login.application_credential_secret not in repr(login)
        assert "mine" not in repr(login)
