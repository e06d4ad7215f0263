"""Projects of an account, a client for each, and scans of all of them."""

from __future__ import annotations

import asyncio
import logging
import pickle
import traceback
from collections import Counter
from collections.abc import Iterator
from typing import Any, Final

import pytest

import registry_async
from registry_async import (
    AsyncRegistryClient,
    AuthenticationError,
    ConfigurationError,
    KeystoneApplicationCredential,
    KeystonePassword,
    Project,
    RetryPolicy,
    StaticToken,
    UnexpectedResponseError,
    list_projects,
    open_projects,
    scan,
    sync,
)
from registry_async.accounts import choose_projects, labels_of
from registry_async.sandbox import Login, Sandbox
from tests.support.faults import FaultServer, Reply

pytestmark = pytest.mark.anyio

CANARY: Final = "canary-password-of-the-account"


@pytest.fixture
def sandbox() -> Iterator[Sandbox]:
    with Sandbox(seed=False, login=Login(password=CANARY)) as running:
        running.state.add_registry("first")
        second = running.add_project("second")
        repository = second.state.add_repository(second.state.add_registry("apps"), "team/app")
        second.state.add_image(repository, tags=["v1"])
        running.add_project("retired", enabled=False)
        foreign = running.add_project("second", account="100300")
        foreign.state.add_registry("foreign")
        yield running


def account_of(sandbox: Sandbox, **changes: Any) -> KeystonePassword:
    login: dict[str, Any] = {
        "username": sandbox.login.username,
        "password": sandbox.login.password,
        "account": sandbox.login.account,
        "auth_url": sandbox.auth_url,
    }
    return KeystonePassword(**{**login, **changes})


def logins(sandbox: Sandbox) -> Counter[str]:
    """Count the logins by what they are made with."""
    return Counter(
        "password" if b'"password"' in request.body else "token"
        for request in sandbox.requests
        if request.method == "POST" and request.raw_path.endswith("/auth/tokens")
    )


async def test_projects_are_listed_with_those_that_are_disabled(sandbox: Sandbox) -> None:
    listed = await list_projects(account_of(sandbox))
    assert [(project.name, project.enabled) for project in listed] == [
        ("sandbox-project", True),
        ("second", True),
        ("retired", False),
        ("second", True),
    ]
    assert len({project.domain_id for project in listed}) == 2
    assert {project.id for project in listed} == set(sandbox.projects)


async def test_a_user_id_serves_the_account_as_well(sandbox: Sandbox) -> None:
    changes = {"username": None, "account": None, "user_id": sandbox.login.user_id}
    assert len(await list_projects(account_of(sandbox, **changes))) == 4


async def test_each_project_has_a_client_with_a_token_of_its_own(sandbox: Sandbox) -> None:
    async with open_projects(account_of(sandbox), base_url=sandbox.base_url) as clients:
        assert len(clients) == 3
        for client in clients:
            await client.registries.list().collect()
        await asyncio.gather(*(client.registries.list().count() for client in clients * 5))
        async with scan(clients) as scanned:
            report = await scanned.report()
    assert report.complete
    foreign, own = sorted(
        (project for project in sandbox.projects.values() if project.name == "second"),
        key=lambda project: project.account,
        reverse=True,
    )
    assert {(row.client_label, row.registry) for row in report.registries} == {
        ("sandbox-project", "first"),
        (f"second ({own.id})", "apps"),
        (f"second ({foreign.id})", "foreign"),
    }
    # One login for the account, and one exchange a project, however much is asked.
    assert logins(sandbox) == {"password": 1, "token": 3}


async def test_projects_share_one_pool_of_connections(sandbox: Sandbox) -> None:
    options: Any = {"base_url": sandbox.base_url, "max_connections": 2}
    async with open_projects(account_of(sandbox), **options) as clients:
        first = clients[0]
    with pytest.raises(registry_async.ClientClosedError):
        await first.registries.list().first()


async def test_a_project_that_refuses_is_a_failure_in_the_scan(sandbox: Sandbox) -> None:
    async with open_projects(account_of(sandbox), base_url=sandbox.base_url) as clients:
        project = next(one for one in sandbox.projects.values() if one.account == "100300")
        project.enabled = False
        async with scan(clients) as scanned:
            report = await scanned.report()
    assert not report.complete
    assert {row.registry for row in report.registries} == {"first", "apps"}
    (error,) = report.errors
    assert (error.client_label, error.kind) == (f"second ({project.id})", "AuthenticationError")


async def test_an_account_token_that_died_is_replaced(sandbox: Sandbox) -> None:
    async with open_projects(account_of(sandbox), base_url=sandbox.base_url) as clients:
        sandbox.identity.revoke_all()
        assert await clients[0].registries.list().count() == 1
        assert await clients[1].registries.list().count() == 1
    assert logins(sandbox)["password"] == 2


@pytest.mark.parametrize(
    ("patterns", "labels"),
    [
        ("sandbox-*", ["sandbox-project"]),
        (["sandbox-project", "*ond"], 3),
        ("*", 3),
    ],
)
async def test_projects_are_chosen_by_name(
    sandbox: Sandbox, patterns: str | list[str], labels: list[str] | int
) -> None:
    async with open_projects(account_of(sandbox), patterns) as clients:
        found = [client.label for client in clients]
    assert found == labels or len(found) == labels


@pytest.mark.parametrize(
    ("pattern", "words"),
    [("retired", "disabled"), ("nothing-*", "no project fits 'nothing-\\*'"), ("", "empty")],
)
async def test_patterns_that_fit_nothing_are_refused(
    sandbox: Sandbox, pattern: str, words: str
) -> None:
    with pytest.raises((ConfigurationError, ValueError), match=words):
        async with open_projects(account_of(sandbox), [pattern]):
            pytest.fail("no client could be meant")


def test_choosing_and_labelling_are_plain() -> None:
    projects = [
        Project("1", "a", True, "x"),
        Project("2", "b", False, "x"),
        Project("3", "a", True, "y"),
    ]
    assert choose_projects(projects, None) == (projects[0], projects[2])
    assert choose_projects(projects, ["3"]) == (projects[2],)
    assert choose_projects(projects, ["?"]) == (projects[0], projects[2])
    assert labels_of(projects) == ("a (1)", "b", "a (3)")


async def test_account_credentials_open_no_project(sandbox: Sandbox) -> None:
    async with AsyncRegistryClient(account_of(sandbox), base_url=sandbox.base_url) as client:
        with pytest.raises(ConfigurationError, match="serve a whole account"):
            await client.registries.list().first()
    assert sandbox.requests == ()


@pytest.mark.parametrize(
    "credentials",
    [
        StaticToken("t"),
        KeystoneApplicationCredential(id="i", secret="s"),
        KeystonePassword(username="u", password="pw", account="1", project_id="p"),
    ],
)
async def test_credentials_of_one_project_list_none(credentials: Any) -> None:
    with pytest.raises(ConfigurationError, match=r"one project|Keystone login"):
        await list_projects(credentials)
    with pytest.raises(ConfigurationError, match=r"one project|Keystone login"):
        open_projects(credentials)


async def test_a_refused_login_is_raised(sandbox: Sandbox) -> None:
    with pytest.raises(AuthenticationError):
        await list_projects(account_of(sandbox, password="wrong"))


@pytest.mark.parametrize(
    ("body", "path"),
    [
        ({}, "projects"),
        ({"projects": [{"id": "1", "name": "n", "domain_id": "d"}]}, r"projects\[0\].enabled"),
        (
            {"projects": [{"id": 1, "name": "n", "domain_id": "d", "enabled": True}]},
            r"projects\[0\].id",
        ),
        ({"projects": [], "links": {"next": "http://x"}}, "links.next"),
    ],
)
async def test_what_is_no_list_of_projects_is_none(body: object, path: str) -> None:
    login = Reply.json({"token": {"expires_at": "2099-01-01T00:00:00.000000Z"}}, 201)
    answer = Reply(login.status, login.body, {**login.headers, "X-Subject-Token": "t"})
    async with FaultServer(answer, Reply.json(body)) as server:
        account = KeystonePassword(username="u", password="pw", account="1", auth_url=server.url)
        with pytest.raises(UnexpectedResponseError, match=path):
            await list_projects(account)


def test_the_sync_ones_do_the_same(sandbox: Sandbox) -> None:
    account = account_of(sandbox)
    assert len(sync.list_projects(account)) == 4
    with sync.open_projects(account, base_url=sandbox.base_url) as clients:
        labels = [client.label for client in clients]
        with sync.scan(clients) as scanned:
            report = scanned.report()
        assert clients[0].registries.list().first() is not None
    assert labels[0] == "sandbox-project"
    assert {row.client_label for row in report.registries} == set(labels)
    with pytest.raises(registry_async.ClientClosedError):
        clients[0].registries.list().first()


async def test_no_secret_shows_in_anything(
    sandbox: Sandbox, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG)
    account = account_of(sandbox)
    shown = [repr(account), str(account)]
    options: Any = {"base_url": sandbox.base_url, "retry": RetryPolicy(attempts=1)}
    opening = open_projects(account, **options)
    shown.append(repr(opening))
    async with opening as clients:
        shown += [repr(clients), repr(vars(clients[0]))]
        await clients[0].registries.list().first()
        for project in sandbox.projects.values():
            project.enabled = False
        sandbox.identity.revoke_all()
        try:
            await clients[1].registries.list().first()
        except AuthenticationError as error:
            shown += [
                *traceback.TracebackException.from_exception(error, capture_locals=True).format()
            ]
            shown.append(repr(pickle.dumps(error)))
        else:
            pytest.fail("a disabled project gave a token")
    tokens = [token for token in sandbox.identity._tokens if token]
    for secret in (CANARY, *tokens):
        assert not any(secret in text for text in [*shown, caplog.text]), secret


async def test_a_thousand_projects_in_one_process() -> None:
    with Sandbox(seed=False) as sandbox:
        for number in range(999):
            project = sandbox.add_project(f"project-{number:03}")
            project.state.add_registry("apps")
        options: Any = {"base_url": sandbox.base_url}
        async with open_projects(account_of(sandbox), **options) as clients:
            assert len(clients) == 1000
            async with scan(clients) as scanned:
                report = await scanned.report()
        assert logins(sandbox) == {"password": 1, "token": 1000}
    assert report.complete
    assert report.registry_count == 999
