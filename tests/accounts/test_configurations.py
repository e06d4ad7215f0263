"""Configurations that OpenStack users have: the project of our token is that of openstacksdk's."""

from __future__ import annotations

import importlib
import os
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from typing import Any, Final

import aiohttp
import pytest

from registry_async import (
    ConfigurationError,
    KeystonePassword,
    credentials_from_cloud,
    credentials_from_env,
    list_projects,
    open_projects,
)
from tests.real.keystone import Keystone, project_of, running_keystone
from tests.real.programs import UnavailableError, give_up

pytestmark = [
    pytest.mark.anyio,
    # The other SDK's own warnings are not ours.
    pytest.mark.filterwarnings("ignore"),
]


@pytest.fixture(scope="module")
def keystone() -> Iterator[Keystone]:
    try:
        with running_keystone() as server:
            yield server
    except UnavailableError as error:
        give_up(f"a real Keystone cannot be started here: {error}")


@dataclass(frozen=True)
class Case:
    """One configuration, made for a Keystone.

    Args:
        variables: The environment, given the Keystone and a token of its first project.
        files: Files by their path below the home directory; `cwd/` is the working directory.
        differs: Why ours is another project, or theirs is none; empty where both agree.
        ours: The name of the project of our token.
        asks_theirs: Whether to ask theirs, which takes minutes where it finds no Keystone.
    """

    variables: Callable[[Keystone, str], Mapping[str, str]]
    ours: str | None = "my-project"
    files: Callable[[Keystone, str], Mapping[str, str]] = field(default=lambda k, t: {})
    differs: str = ""
    asks_theirs: bool = True


def login(k: Keystone) -> dict[str, str]:
    return {"OS_AUTH_URL": k.auth_url, "OS_USERNAME": k.username, "OS_PASSWORD": k.password}


def user(k: Keystone) -> dict[str, str]:
    return {**login(k), "OS_USER_DOMAIN_NAME": k.account}


def by_name(k: Keystone, project: str = "my-project") -> dict[str, str]:
    return {**user(k), "OS_PROJECT_NAME": project, "OS_PROJECT_DOMAIN_NAME": k.account}


def application(k: Keystone, **more: str) -> dict[str, str]:
    return {
        "OS_AUTH_URL": k.auth_url,
        "OS_AUTH_TYPE": "v3applicationcredential",
        "OS_APPLICATION_CREDENTIAL_SECRET": k.credential_secret,
        **more,
    }


def cloud(k: Keystone, project: str = "my-project", **more: str) -> str:
    beside = "".join(f"    {key}: {value!r}\n" for key, value in more.items())
    return f"""\
clouds:
  other:
    auth: {{auth_url: 'http://127.0.0.1:1'}}
  mine:
{beside}    auth:
      auth_url: {k.auth_url}
      username: {k.username}
      password: {k.password!r}
      user_domain_name: {k.account!r}
      project_name: {project}
      project_domain_name: {k.account!r}
"""


OTHER: Final = "  other:\n    auth: {auth_url: 'http://127.0.0.1:1'}\n"
MINE: Final = {"OS_CLOUD": "mine"}
CASES: Final[dict[str, Case]] = {
    "names": Case(lambda k, t: by_name(k)),
    "another project": Case(lambda k, t: by_name(k, "second"), "second"),
    "project of another account": Case(
        lambda k, t: {
            **user(k),
            "OS_PROJECT_NAME": "foreign",
            "OS_PROJECT_DOMAIN_NAME": k.other_account,
        },
        "foreign",
    ),
    "project of another account by id": Case(
        lambda k, t: {
            **user(k),
            "OS_PROJECT_NAME": "foreign",
            "OS_PROJECT_DOMAIN_ID": k.other_account_id,
        },
        "foreign",
    ),
    "project id": Case(lambda k, t: {**user(k), "OS_PROJECT_ID": k.projects["foreign"]}, "foreign"),
    "user id": Case(
        lambda k, t: {
            "OS_AUTH_URL": k.auth_url,
            "OS_USER_ID": k.user_id,
            "OS_PASSWORD": k.password,
            "OS_PROJECT_ID": k.projects["second"],
        },
        "second",
    ),
    "domain ids": Case(
        lambda k, t: {
            **login(k),
            "OS_USER_DOMAIN_ID": k.account_id,
            "OS_PROJECT_NAME": "second",
            "OS_PROJECT_DOMAIN_ID": k.account_id,
        },
        "second",
    ),
    "default domain by name": Case(
        lambda k, t: {
            **login(k),
            "OS_PROJECT_NAME": "second",
            "OS_DEFAULT_DOMAIN_NAME": k.account,
        },
        "second",
    ),
    "default domain by id": Case(
        lambda k, t: {
            **login(k),
            "OS_PROJECT_NAME": "second",
            "OS_DEFAULT_DOMAIN_ID": k.account_id,
        },
        "second",
    ),
    "one domain for both": Case(
        lambda k, t: {**login(k), "OS_PROJECT_NAME": "second", "OS_DOMAIN_NAME": k.account},
        "second",
    ),
    "one domain for the project, another for the user": Case(
        lambda k, t: {
            **user(k),
            "OS_PROJECT_NAME": "foreign",
            "OS_DOMAIN_NAME": k.other_account,
        },
        "foreign",
    ),
    "tenant name": Case(
        lambda k, t: {
            **user(k),
            "OS_TENANT_NAME": "second",
            "OS_PROJECT_DOMAIN_NAME": k.account,
        },
        "second",
    ),
    "tenant id": Case(lambda k, t: {**user(k), "OS_TENANT_ID": k.projects["second"]}, "second"),
    "project beats tenant": Case(
        lambda k, t: {**by_name(k, "second"), "OS_TENANT_NAME": "my-project"}, "second"
    ),
    "password beside a stale token": Case(
        lambda k, t: {**by_name(k), "OS_AUTH_TYPE": "password", "OS_TOKEN": "stale"},
        differs="the type says what is meant; theirs hands the token to the password's login",
    ),
    "v3password": Case(lambda k, t: {**by_name(k), "OS_AUTH_TYPE": "v3password"}),
    "v3token is exchanged": Case(
        lambda k, t: {
            "OS_AUTH_URL": k.auth_url,
            "OS_AUTH_TYPE": "v3token",
            "OS_TOKEN": t,
            "OS_PROJECT_NAME": "second",
            "OS_PROJECT_DOMAIN_NAME": k.account,
        },
        "second",
    ),
    "token is exchanged": Case(
        lambda k, t: {
            "OS_AUTH_URL": k.auth_url,
            "OS_AUTH_TYPE": "token",
            "OS_TOKEN": t,
            "OS_PROJECT_ID": k.projects["foreign"],
        },
        "foreign",
    ),
    "application credential by id": Case(
        lambda k, t: application(k, OS_APPLICATION_CREDENTIAL_ID=k.credential_id)
    ),
    "application credential by name": Case(
        lambda k, t: application(
            k,
            OS_APPLICATION_CREDENTIAL_NAME=k.credential_name,
            OS_USERNAME=k.username,
            OS_USER_DOMAIN_NAME=k.account,
        )
    ),
    "application credential by name and user id": Case(
        lambda k, t: application(
            k, OS_APPLICATION_CREDENTIAL_NAME=k.credential_name, OS_USER_ID=k.user_id
        )
    ),
    "URL without a version": Case(
        lambda k, t: {**by_name(k), "OS_AUTH_URL": k.auth_url.removesuffix("/v3")}
    ),
    "URL with a slash": Case(lambda k, t: {**by_name(k), "OS_AUTH_URL": k.auth_url + "/"}),
    "a region": Case(lambda k, t: {**by_name(k), "OS_REGION_NAME": "region-v1"}),
    "cloud": Case(lambda k, t: MINE, files=lambda k, t: {"cwd/clouds.yaml": cloud(k)}),
    "cloud of the home directory": Case(
        lambda k, t: MINE,
        "second",
        files=lambda k, t: {".config/openstack/clouds.yml": cloud(k, "second")},
    ),
    "cloud of a named file": Case(
        lambda k, t: {**MINE, "OS_CLIENT_CONFIG_FILE": "HOME/mine.yaml"},
        "second",
        files=lambda k, t: {"mine.yaml": cloud(k, "second"), "cwd/clouds.yaml": cloud(k)},
    ),
    "cloud with secrets beside it": Case(
        lambda k, t: MINE,
        files=lambda k, t: {
            "cwd/clouds.yaml": cloud(k).replace(repr(k.password), "none"),
            "cwd/secure.yaml": f"clouds: {{mine: {{auth: {{password: {k.password!r}}}}}}}",
        },
    ),
    "cloud beside stale variables": Case(
        lambda k, t: {**MINE, "OS_TOKEN": "stale", "OS_PROJECT_NAME": "retired"},
        files=lambda k, t: {"cwd/clouds.yaml": cloud(k)},
    ),
    "cloud with a project beside auth": Case(
        lambda k, t: MINE,
        "second",
        files=lambda k, t: {"cwd/clouds.yaml": cloud(k, project_name="second")},
    ),
    "cloud of an application credential": Case(
        lambda k, t: MINE,
        files=lambda k, t: {
            "cwd/clouds.yaml": f"""\
clouds:
  mine:
    auth_type: v3applicationcredential
    auth:
      auth_url: {k.auth_url}
      application_credential_id: {k.credential_id}
      application_credential_secret: {k.credential_secret!r}
"""
        },
    ),
    "the variables as a cloud": Case(lambda k, t: {**by_name(k), "OS_CLOUD": "envvars"}),
    # -- on purpose
    "URL of the login itself": Case(
        lambda k, t: {**by_name(k), "OS_AUTH_URL": f"{k.auth_url}/auth/tokens"},
        differs="the provider's documentation gives this URL; theirs looks for versions below it",
        asks_theirs=False,
    ),
    "Terraform's project": Case(
        lambda k, t: {**user(k), "INFRA_PROJECT_ID": k.projects["second"]},
        "second",
        differs="the provider's Terraform documentation names the project so",
    ),
    "project without an account": Case(
        lambda k, t: {**user(k), "OS_PROJECT_NAME": "second"},
        "second",
        differs="a project's account is the user's unless another is named; theirs is refused",
    ),
    "application credential without a type": Case(
        lambda k, t: {
            key: value
            for key, value in application(k, OS_APPLICATION_CREDENTIAL_ID=k.credential_id).items()
            if key != "OS_AUTH_TYPE"
        },
        differs="a whole application credential says what it is; theirs asks for a password",
    ),
    "no project": Case(
        lambda k, t: user(k),
        None,
        differs="the default project of a user is not what they named; theirs takes it",
    ),
    "one cloud that nobody named": Case(
        lambda k, t: {},
        None,
        files=lambda k, t: {"cwd/clouds.yaml": cloud(k).replace(OTHER, "")},
        differs="a stray file sends no password anywhere; theirs takes the only cloud",
    ),
}


@pytest.fixture
def arrange(
    keystone: Keystone, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Callable[[Case], None]:
    def do(case: Case) -> None:
        k = keystone
        token = first_token(k.auth_url, k.username, k.account, k.password, k.project_name)
        for name in list(os.environ):
            if name.startswith(("OS_", "REGISTRY_", "INFRA_", "XDG_")):
                monkeypatch.delenv(name)
        monkeypatch.setenv("HOME", str(tmp_path))
        (tmp_path / "cwd").mkdir()
        monkeypatch.chdir(tmp_path / "cwd")
        for path, text in case.files(keystone, token).items():
            (tmp_path / path).parent.mkdir(parents=True, exist_ok=True)
            (tmp_path / path).write_text(text, encoding="utf-8")
        for name, value in case.variables(keystone, token).items():
            monkeypatch.setenv(name, value.replace("HOME", str(tmp_path)))

    return do


@cache
def first_token(auth_url: str, username: str, account: str, password: str, project: str) -> str:
    from tests.real import keystone as real

    return real.log_in(auth_url, real.password_login(username, account, password, project))


def project_of_theirs(k: Keystone) -> str | None:
    # It looks for files where it was imported.
    loader: Any = importlib.reload(importlib.import_module("openstack.config.loader"))
    session = loader.OpenStackConfig().get_one().get_session()
    return project_of(k.auth_url, session.get_token())


async def project_of_ours(k: Keystone) -> str | None:
    async with aiohttp.ClientSession() as session:
        token = await credentials_from_env().get_token(session)
    return project_of(k.auth_url, token)


@pytest.mark.parametrize("name", CASES)
async def test_both_get_a_token_of_one_project(
    keystone: Keystone, arrange: Callable[[Case], None], name: str
) -> None:
    case = CASES[name]
    arrange(case)
    if case.ours is None:
        with pytest.raises(ConfigurationError, match=r"OS_PROJECT_ID|no credentials"):
            await project_of_ours(keystone)
    else:
        assert await project_of_ours(keystone) == keystone.projects[case.ours]
    if not case.asks_theirs:
        return
    theirs: str | None = None
    problem = ""
    try:
        theirs = project_of_theirs(keystone)
    except Exception as error:  # noqa: BLE001 - whatever the other SDK raises
        problem = f"{type(error).__name__}: {error}"
    ours = None if case.ours is None else keystone.projects[case.ours]
    if case.differs:
        assert theirs != ours, "no difference any more"
    else:
        assert theirs == ours, problem


async def test_the_projects_of_a_real_account(keystone: Keystone) -> None:
    account = KeystonePassword(
        username=keystone.username,
        password=keystone.password,
        account=keystone.account,
        auth_url=keystone.auth_url,
    )
    listed = await list_projects(account)
    assert {project.name: project.id for project in listed} == keystone.projects
    assert [project.name for project in listed if not project.enabled] == ["retired"]
    assert {p.name for p in listed if p.domain_id == keystone.other_account_id} == {"foreign"}
    async with open_projects(account) as clients:
        assert {client.label for client in clients} == {"my-project", "second", "foreign"}


async def test_a_cloud_by_its_name(keystone: Keystone, arrange: Callable[[Case], None]) -> None:
    arrange(CASES["cloud"])
    os.environ.pop("OS_CLOUD")
    async with aiohttp.ClientSession() as session:
        token = await credentials_from_cloud("mine").get_token(session)
    assert project_of(keystone.auth_url, token) == keystone.project_id
    listed = await list_projects(credentials_from_cloud("mine", project=False))
    assert len(listed) == 4
