"""Several projects and accounts in one sandbox, and every way to log in to them."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import pytest

from registry_async.sandbox import Sandbox, SandboxProject
from tests.support.sandbox import Api, Reply


@pytest.fixture
def sandbox() -> Iterator[Sandbox]:
    with Sandbox(seed=False) as running:
        yield running


def log_in(sandbox: Sandbox, identity: dict[str, Any], scope: object = None) -> Reply:
    auth: dict[str, Any] = {"identity": identity}
    if scope is not None:
        auth["scope"] = scope
    content = json.dumps({"auth": auth}).encode()
    return Api(sandbox).send("POST", "/identity/v3/auth/tokens", content=content, token=None)


def password(sandbox: Sandbox, **user: Any) -> dict[str, Any]:
    named = {"name": sandbox.login.username, "domain": {"name": sandbox.login.account}}
    return {
        "methods": ["password"],
        "password": {"user": {**(user or named), "password": sandbox.login.password}},
    }


def token_of(reply: Reply) -> str:
    assert reply.status == 201, reply
    return reply.headers["X-Subject-Token"]


def names(sandbox: Sandbox, token: str) -> list[str]:
    body = Api(sandbox).get("/v2/registries", token=token)
    return [one["name"] for one in body["registries"] or ()]


def test_each_project_has_registries_of_its_own(sandbox: Sandbox) -> None:
    other = sandbox.add_project("other")
    foreign = sandbox.add_project("other", account="100300")
    for project in (other, foreign):
        project.state.add_registry(f"of-{project.account}")
    sandbox.state.add_registry("first")
    scopes = [{"project": {"id": project.id}} for project in (other, foreign)]
    tokens = [token_of(log_in(sandbox, password(sandbox), scope)) for scope in scopes]
    assert [names(sandbox, token) for token in tokens] == [["of-100200"], ["of-100300"]]
    assert names(sandbox, sandbox.token) == ["first"]
    made = Api(sandbox).post("/v1/registries", {"name": "made"}, token=tokens[0])
    Api(sandbox).get(f"/v1/registries/{made['id']}", status=404, token=tokens[1])


@pytest.mark.parametrize("scope", ["unscoped", {"unscoped": {}}, None])
def test_a_token_without_a_scope_lists_projects_and_opens_none(
    sandbox: Sandbox, scope: object
) -> None:
    sandbox.add_project("retired", enabled=False)
    sandbox.add_project("foreign", account="100300")
    reply = log_in(sandbox, password(sandbox), scope)
    token = token_of(reply)
    assert not {"project", "domain", "catalog"} & set(reply.body["token"])
    Api(sandbox).get("/v2/registries", status=401, token=token)
    listed = Api(sandbox).send("GET", "/identity/v3/auth/projects", token=token)
    assert listed.status == 200
    assert [(one["name"], one["enabled"]) for one in listed.body["projects"]] == [
        (sandbox.login.project_name, True),
        ("retired", False),
        ("foreign", True),
    ]
    own, _, foreign = (one["domain_id"] for one in listed.body["projects"])
    assert own != foreign
    assert Api(sandbox).send("GET", "/identity/v3/auth/catalog", token=token).status == 403


def test_an_account_scope_names_the_account(sandbox: Sandbox) -> None:
    scope = {"domain": {"name": sandbox.login.account}}
    reply = log_in(sandbox, password(sandbox), scope)
    assert reply.body["token"]["domain"]["name"] == sandbox.login.account
    Api(sandbox).get("/v2/registries", status=401, token=token_of(reply))
    foreign = {"domain": {"name": sandbox.add_project("x", account="100300").account}}
    assert log_in(sandbox, password(sandbox), foreign).status == 401


def test_a_default_project_is_taken_unless_no_scope_is_asked_for(sandbox: Sandbox) -> None:
    sandbox.identity.directory.first_user.default_project_id = sandbox.login.project_id
    with_default = log_in(sandbox, password(sandbox)).body["token"]
    assert with_default["project"]["id"] == sandbox.login.project_id
    assert "project" not in log_in(sandbox, password(sandbox), "unscoped").body["token"]


def rescope(sandbox: Sandbox, token: str, project: SandboxProject) -> Reply:
    identity = {"methods": ["token"], "token": {"id": token}}
    return log_in(sandbox, identity, {"project": {"id": project.id}})


def test_a_token_is_exchanged_for_one_of_another_project(sandbox: Sandbox) -> None:
    other = sandbox.add_project("other")
    unscoped = log_in(sandbox, password(sandbox), "unscoped")
    reply = rescope(sandbox, token_of(unscoped), other)
    assert reply.body["token"]["project"]["name"] == "other"
    assert reply.body["token"]["methods"] == ["token", "password"]
    # It dies with the token that it was made of.
    assert reply.body["token"]["expires_at"] == unscoped.body["token"]["expires_at"]
    assert names(sandbox, token_of(reply)) == []
    other.enabled = False
    assert rescope(sandbox, token_of(unscoped), other).status == 401
    Api(sandbox).get("/v2/registries", status=401, token=token_of(reply))
    assert rescope(sandbox, "no-token", other).status == 401


def test_a_user_is_known_by_its_id(sandbox: Sandbox) -> None:
    scope = {"project": {"id": sandbox.login.project_id}}
    assert log_in(sandbox, password(sandbox, id=sandbox.login.user_id), scope).status == 201
    assert log_in(sandbox, password(sandbox, id="unknown"), scope).status == 401


def test_a_stranger_does_not_get_into_a_project(sandbox: Sandbox) -> None:
    directory = sandbox.identity.directory
    directory.add_user("stranger", sandbox.login.password, directory.account("100300"))
    identity = password(sandbox, name="stranger", domain={"name": "100300"})
    assert log_in(sandbox, identity, {"project": {"id": sandbox.login.project_id}}).status == 401
    token = token_of(log_in(sandbox, identity, "unscoped"))
    listed = Api(sandbox).send("GET", "/identity/v3/auth/projects", token=token)
    assert listed.body["projects"] == []


@pytest.mark.parametrize("by", ["id", "name and user name", "name and user id"])
def test_an_application_credential_is_known_by_id_and_by_name(sandbox: Sandbox, by: str) -> None:
    login = sandbox.login
    user = {"id": login.user_id}
    if by == "name and user name":
        user = {"name": login.username, "domain": {"name": login.account}}  # type: ignore[dict-item]
    given: dict[str, Any] = {"name": login.application_credential_name, "user": user}
    if by == "id":
        given = {"id": login.application_credential_id}
    identity = {
        "methods": ["application_credential"],
        "application_credential": {**given, "secret": login.application_credential_secret},
    }
    reply = log_in(sandbox, identity)
    assert reply.body["token"]["project"]["id"] == login.project_id
    assert log_in(sandbox, identity, {"project": {"id": login.project_id}}).status == 401
    # Such a token stays with its project.
    other = sandbox.add_project("other")
    assert rescope(sandbox, token_of(reply), other).status == 401


def test_the_version_is_found_above_and_below_it(sandbox: Sandbox) -> None:
    api = Api(sandbox)
    several = api.send("GET", "/identity", token=None)
    one = api.send("GET", "/identity/v3", token=None)
    assert (several.status, one.status) == (300, 200)
    assert several.body["versions"]["values"] == [one.body["version"]]
    assert api.send("GET", "/identity/", token=None).body == several.body
    catalog = api.send("GET", "/identity/v3/auth/catalog", token=sandbox.token).body["catalog"]
    assert "container-registry" in {service["type"] for service in catalog}


def test_a_sandbox_with_data_has_projects_to_try_it_with() -> None:
    with Sandbox() as sandbox:
        shown = [(p.name, p.account, p.enabled) for p in sandbox.projects.values()]
        assert shown == [
            ("sandbox-project", "100200", True),
            ("sandbox-staging", "100200", True),
            ("sandbox-retired", "100200", False),
            ("partner-project", "100300", True),
        ]
        first, second, *_ = sandbox.projects.values()
        ids = [{one.id for one in p.state.registries()} for p in (first, second)]
        assert ids[0]
        assert not ids[0] & ids[1]
