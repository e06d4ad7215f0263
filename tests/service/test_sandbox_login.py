"""Docker's token login at the sandbox: who is let in, and for what."""

from __future__ import annotations

import base64
from collections.abc import Iterator
from typing import Any
from urllib.parse import urlencode

import pytest

from registry_async.sandbox import Sandbox
from tests.support.distribution import Docker, code_of, digest_of
from tests.support.sandbox import Api, Clock

NAME = "production/team/app"
BLOB = b"a layer"


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def sandbox(clock: Clock) -> Iterator[Sandbox]:
    with Sandbox(seed=False, clock=clock) as running:
        running.state.add_registry("production")
        running.state.add_registry("staging")
        yield running


def issue(sandbox: Sandbox, *registries: str, write: bool) -> dict[str, Any]:
    """Issue a v2 token for some registries, or for all."""
    ids = [item.id for item in sandbox.state.registries() if item.name in registries]
    scope = {"allRegistries": not registries, "modeRW": write, "registryIds": ids}
    token: dict[str, Any] = Api(sandbox).post(
        "/v2/tokens", {"scope": scope, "expiration": {"isSet": False}}
    )
    return token


def bearer(docker: Docker, *scopes: str) -> str:
    """Log in for some scopes, and give the header that shows it."""
    login = base64.b64encode(f"token:{docker.secret}".encode()).decode()
    query = urlencode([("scope", scope) for scope in scopes])
    reply = docker.raw("GET", f"/v2/token?{query}", Authorization=f"Basic {login}")
    assert reply.status == 200
    assert reply.body["token"] == reply.body["access_token"]
    assert reply.body["expires_in"] == 300
    return f"Bearer {reply.body['token']}"


@pytest.mark.parametrize(
    ("method", "target", "scope"),
    [
        ("GET", "/v2/", None),
        ("GET", f"/v2/{NAME}/manifests/v1", "pull"),
        ("HEAD", f"/v2/{NAME}/blobs/{digest_of(BLOB)}", "pull"),
        ("GET", f"/v2/{NAME}/tags/list", "pull"),
        ("POST", f"/v2/{NAME}/blobs/uploads/", "pull,push"),
        ("PUT", f"/v2/{NAME}/manifests/v1", "pull,push"),
        ("DELETE", f"/v2/{NAME}/manifests/v1", "delete"),
    ],
)
@pytest.mark.parametrize("authorization", [None, "Bearer made-up", "Basic dG9rZW46eA==", "x"])
def test_a_stranger_is_told_where_to_log_in_and_for_what(
    sandbox: Sandbox, method: str, target: str, scope: str | None, authorization: str | None
) -> None:
    headers = {} if authorization is None else {"Authorization": authorization}
    reply = Docker(sandbox).raw(method, target, None, **headers)
    assert reply.status == 401
    challenge = reply.headers["WWW-Authenticate"]
    assert challenge.startswith(f'Bearer realm="{sandbox.origin}/v2/token",service="')
    assert (f'scope="repository:{NAME}:{scope}"' in challenge) is (scope is not None)
    if method != "HEAD":
        assert code_of(reply) == "UNAUTHORIZED"


@pytest.mark.parametrize("user", ["token", "admin", ""])
@pytest.mark.parametrize("secret", ["", "wrong"])
def test_a_wrong_login_is_refused(sandbox: Sandbox, user: str, secret: str) -> None:
    login = base64.b64encode(f"{user}:{secret}".encode()).decode()
    for headers in ({"Authorization": f"Basic {login}"}, {}, {"Authorization": "Basic !"}):
        reply = Docker(sandbox).raw("GET", "/v2/token?scope=x", None, **headers)
        assert (reply.status, code_of(reply)) == (401, "UNAUTHORIZED")


def test_the_user_is_always_called_token(sandbox: Sandbox) -> None:
    docker = Docker(sandbox)
    challenge = docker.raw("GET", "/v2/").headers["WWW-Authenticate"]
    assert docker.log_in(challenge, user="somebody").status == 401
    assert docker.log_in(challenge).status == 200


def test_a_login_by_form_works_as_well(sandbox: Sandbox) -> None:
    docker = Docker(sandbox)
    form = {
        "grant_type": "password",
        "username": "token",
        "password": docker.secret,
        "scope": f"repository:{NAME}:pull",
    }
    reply = docker.raw("POST", "/v2/token", urlencode(form).encode())
    permit = f"Bearer {reply.body['access_token']}"
    assert docker.raw("GET", f"/v2/{NAME}/tags/list", Authorization=permit).status == 404
    form["password"] = "wrong"
    assert docker.raw("POST", "/v2/token", urlencode(form).encode()).status == 401


@pytest.mark.parametrize("version", [1, 2])
def test_tokens_of_both_versions_push_and_pull(sandbox: Sandbox, version: int) -> None:
    secret = issue(sandbox, write=True)["token"] if version == 2 else None
    docker = Docker(sandbox, secret)
    docker.push_image(NAME, "v1", BLOB)
    assert docker.send("GET", f"/v2/{NAME}/manifests/v1").status == 200
    assert docker.send("DELETE", f"/v2/{NAME}/manifests/v1").status == 202


def test_a_token_for_reading_does_not_write(sandbox: Sandbox) -> None:
    digest, _ = Docker(sandbox).push_image(NAME, "v1", BLOB)
    docker = Docker(sandbox, issue(sandbox, write=False)["token"])
    assert docker.send("GET", f"/v2/{NAME}/manifests/v1").status == 200
    for method, target in (
        ("POST", f"/v2/{NAME}/blobs/uploads/"),
        ("PUT", f"/v2/{NAME}/manifests/v2"),
        ("DELETE", f"/v2/{NAME}/manifests/{digest}"),
        ("DELETE", f"/v2/{NAME}/blobs/{digest_of(BLOB)}"),
    ):
        reply = docker.send(method, target)
        assert (reply.status, code_of(reply)) == (403, "DENIED")


def test_a_token_opens_the_registries_that_it_names(sandbox: Sandbox) -> None:
    Docker(sandbox).push_image("staging/app", "v1", BLOB)
    docker = Docker(sandbox, issue(sandbox, "production", write=True)["token"])
    docker.push_image(NAME, "v1", BLOB)
    for name in ("staging/app", "nowhere/app"):
        reply = docker.send("GET", f"/v2/{name}/manifests/v1")
        assert (reply.status, code_of(reply)) == (403, "DENIED")


def test_a_permit_is_good_for_what_was_asked_for(sandbox: Sandbox) -> None:
    docker = Docker(sandbox)
    docker.push_image(NAME, "v1", BLOB)
    permit = bearer(docker, f"repository:{NAME}:pull", "repository:staging/app:*")
    pulled = docker.raw("GET", f"/v2/{NAME}/manifests/v1", Authorization=permit)
    assert pulled.status == 200
    first = docker.raw("DELETE", f"/v2/{NAME}/manifests/v1", Authorization=permit)
    assert (first.status, code_of(first)) == (401, "UNAUTHORIZED")
    assert 'error="insufficient_scope"' in first.headers["WWW-Authenticate"]
    # Who comes back with the same permit heeds no 401.
    again = docker.raw("DELETE", f"/v2/{NAME}/manifests/v1", Authorization=permit)
    assert (again.status, code_of(again)) == (403, "DENIED")
    target = "/v2/staging/app/blobs/uploads/"
    assert docker.raw("POST", target, b"", Authorization=permit).status == 202


def test_a_permit_ends_after_five_minutes(sandbox: Sandbox, clock: Clock) -> None:
    docker = Docker(sandbox)
    permit = bearer(docker, f"repository:{NAME}:pull")
    clock.seconds += 299
    assert docker.raw("GET", "/v2/", Authorization=permit).status == 200
    clock.seconds += 1
    assert docker.raw("GET", "/v2/", Authorization=permit).status == 401


def test_a_revoked_token_opens_nothing_any_more(sandbox: Sandbox) -> None:
    token = issue(sandbox, write=True)
    docker = Docker(sandbox, token["token"])
    permit = bearer(docker)
    assert docker.raw("GET", "/v2/", Authorization=permit).status == 200
    Api(sandbox).post(f"/v2/tokens/{token['id']}/revoke", status=204)
    reply = docker.raw("GET", "/v2/", Authorization=permit)
    assert reply.status == 401
    assert docker.log_in(reply.headers["WWW-Authenticate"]).status == 401


def test_a_login_sees_the_registries_of_its_own_project(sandbox: Sandbox) -> None:
    other = sandbox.add_project("other")
    other.state.add_registry("theirs")
    other.state.add_registry("production")
    theirs = Docker(sandbox, other.state.tokens.create_v1("12h").secret)
    theirs.push_image("theirs/app", "v1", BLOB)
    theirs.push_image("production/app", "v1", BLOB)
    mine = Docker(sandbox)
    assert mine.send("GET", "/v2/theirs/app/manifests/v1").status == 404
    assert mine.send("GET", "/v2/production/app/manifests/v1").status == 404
    assert not sandbox.state.registries()[0].repositories


def test_records_of_logins_hide_what_was_shown(sandbox: Sandbox) -> None:
    docker = Docker(sandbox)
    permit = bearer(docker, f"repository:{NAME}:pull")
    docker.raw("GET", "/v2/", Authorization=permit)
    form = urlencode({"username": "token", "password": docker.secret}).encode()
    docker.raw("POST", "/v2/token", form)
    shown = repr(sandbox.requests)
    assert docker.secret not in shown
    assert permit not in shown
    assert base64.b64encode(f"token:{docker.secret}".encode()).decode() not in shown
