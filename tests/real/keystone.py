"""A real OpenStack Keystone on loopback, the kind of IAM that the service stands behind.

It is installed once into a virtual environment of its own, which later runs use again. Each run
gets a fresh database. Two servers share it: one whose tokens live for an hour, and one whose tokens
live for seconds.
"""

from __future__ import annotations

import contextlib
import getpass
import grp
import hashlib
import json
import os
import select
import shutil
import sqlite3
import subprocess
import sys
import tempfile
import urllib.error
import urllib.request
from collections.abc import Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

from tests.real.programs import (
    UnavailableError,
    cache_directory,
    clean_environment,
    exclusive,
    run,
)

_HERE: Final = Path(__file__).parent
_CONSTRAINTS: Final = _HERE / "keystone-constraints.txt"
_SERVER: Final = _HERE / "keystone_server.py"
_ADMIN_PASSWORD: Final = "admin-password"
_SERVICE_TYPES: Final = {"container-registry": "v1", "container-registry-v2": "v2"}

# The dict cache is one per process, so with two servers on one database there must be none. Both
# key repositories of Fernet are named, as the default lies in the system's configuration folder.
_CONFIGURATION: Final = """\
[DEFAULT]
use_stderr = true
default_log_levels = keystone=WARNING
[database]
connection = sqlite:///{state}/keystone.db
[token]
provider = fernet
expiration = {token_life}
[fernet_tokens]
key_repository = {state}/fernet
[fernet_receipts]
key_repository = {state}/fernet
[credential]
key_repository = {state}/credential
[identity]
password_hash_rounds = 4
[cache]
enabled = false
[oslo_concurrency]
lock_path = {state}/lock
"""


@dataclass(frozen=True)
class Keystone:
    """A running Keystone and what was put into it.

    Args:
        auth_url: Its base URL, which ends in /v3; tokens live for an hour.
        short_auth_url: The same, with tokens that live for `short_life` seconds.
        short_life: Seconds.
        account: The name of the domain, as the provider's account ids are.
        project_id: The project's id.
        project_name: The project's name.
        username: The service user's name.
        password: The service user's password.
        credential_id: The id of the user's application credential.
        credential_secret: The secret of the user's application credential.
        credential_name: The name of the user's application credential.
        user_id: The service user's id.
        account_id: The id of the domain.
        other_account: The name of another domain, with a project that the user has a role in.
        other_account_id: The id of that domain.
        projects: The ids of all projects of the user by name: `my-project`, `second`, `retired`,
            which is disabled, and `foreign`, which is of the other account.
    """

    auth_url: str
    short_auth_url: str
    short_life: int
    account: str
    project_id: str
    project_name: str
    username: str
    password: str = field(repr=False)
    credential_id: str
    credential_secret: str = field(repr=False)
    endpoint_ids: Mapping[str, str] = field(repr=False)
    credential_name: str
    user_id: str
    account_id: str
    other_account: str
    other_account_id: str
    projects: Mapping[str, str]

    def is_alive(self, token: str) -> bool:
        """Ask Keystone whether a token is valid."""
        return check_token(self.auth_url, token)

    def revoke(self, token: str) -> None:
        """Revoke a token."""
        _call("DELETE", f"{self.auth_url}/auth/tokens", token=token, subject=token)

    def set_api_url(self, base_url: str | None) -> None:
        """Make the catalog list the service at a base URL, once for each of its versions.

        Args:
            base_url: The base URL; None takes the service out of the catalog.
        """
        admin = log_in(self.auth_url, password_login("admin", "Default", _ADMIN_PASSWORD))
        for service_type, version in _SERVICE_TYPES.items():
            change: dict[str, object] = {"enabled": base_url is not None}
            if base_url is not None:
                change["url"] = f"{base_url}/{version}"
            url = f"{self.auth_url}/endpoints/{self.endpoint_ids[service_type]}"
            _call("PATCH", url, {"endpoint": change}, token=admin)


@contextlib.contextmanager
def running_keystone(*, short_life: int = 6) -> Iterator[Keystone]:
    """Install Keystone where needed, set it up, serve it, and stop it at the end.

    Args:
        short_life: Seconds that the tokens of the second server live.

    Raises:
        UnavailableError: It cannot be installed or started here.
    """
    venv = _install()
    with tempfile.TemporaryDirectory(prefix="keystone-") as directory:
        state = Path(directory)
        _set_up(venv, state)
        with (
            _serving(venv, _configure(state, "long", 3600)) as auth_url,
            _serving(venv, _configure(state, "short", short_life)) as short_auth_url,
        ):
            yield _seed(auth_url, short_auth_url, short_life)


def _install() -> Path:
    """Give a virtual environment that holds Keystone, made if there is none yet."""
    mark = hashlib.sha256(_CONSTRAINTS.read_bytes()).hexdigest()[:12]
    venv = cache_directory() / f"keystone-{sys.version_info[0]}.{sys.version_info[1]}-{mark}"
    complete = venv / "complete"
    with exclusive(venv.with_name(f"{venv.name}.lock")):
        if complete.exists() and (venv / "bin" / "python").exists():
            return venv
        if venv.exists():
            # Left by a run that was stopped midway.
            shutil.rmtree(venv)
        environment = clean_environment()
        run([sys.executable, "-m", "venv", venv], env=environment, timeout=120)
        pip: list[str | Path] = [
            venv / "bin" / "python",
            "-m",
            "pip",
            "--disable-pip-version-check",
            "--no-input",
        ]
        pip += ["install", "--quiet", "--retries", "2", "--constraint", _CONSTRAINTS]
        run([*pip, "keystone", "waitress"], env=environment, timeout=240)
        complete.touch()
    return venv


def _configure(state: Path, name: str, token_life: int) -> Path:
    directory = state / name
    directory.mkdir()
    text = _CONFIGURATION.format(state=state, token_life=token_life)
    (directory / "keystone.conf").write_text(text, encoding="utf-8")
    return directory


def _set_up(venv: Path, state: Path) -> None:
    for name in ("fernet", "credential", "lock"):
        (state / name).mkdir(mode=0o700)
    configuration = _configure(state, "setup", 3600) / "keystone.conf"
    owner = ["--keystone-user", getpass.getuser(), "--keystone-group", _group_name()]

    def manage(*arguments: str) -> None:
        program: list[str | Path] = [
            venv / "bin" / "keystone-manage",
            "--config-file",
            configuration,
        ]
        run([*program, *arguments], env=clean_environment(PYTHONWARNINGS="ignore"), timeout=120)

    # They touch different files, and each takes most of its time to load.
    with ThreadPoolExecutor() as pool:
        steps = [["db_sync"], ["fernet_setup", *owner], ["credential_setup", *owner]]
        list(pool.map(lambda step: manage(*step), steps))
    manage("bootstrap", "--bootstrap-password", _ADMIN_PASSWORD)
    # Readers do not wait for a writer then; otherwise "database is locked" is answered at times.
    with contextlib.closing(sqlite3.connect(state / "keystone.db")) as database:
        database.execute("PRAGMA journal_mode=WAL")


def _group_name() -> str:
    return grp.getgrgid(os.getgid()).gr_name


@contextlib.contextmanager
def _serving(venv: Path, configuration: Path) -> Iterator[str]:
    log_path = configuration / "server.log"
    environment = clean_environment(
        OS_KEYSTONE_CONFIG_DIR=str(configuration), PYTHONWARNINGS="ignore"
    )
    with (
        log_path.open("wb") as log,
        subprocess.Popen(
            # -P: the script's own directory has a module named keystone as well.
            [venv / "bin" / "python", "-P", _SERVER],
            env=environment,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=log,
        ) as process,
    ):
        try:
            assert process.stdout is not None
            ready, _, _ = select.select([process.stdout], [], [], 60)
            port = process.stdout.readline().strip() if ready else b""
            if not port:
                tail = log_path.read_text(errors="replace")[-2000:]
                raise UnavailableError(f"Keystone does not start: {tail}")
            yield f"http://127.0.0.1:{int(port)}/v3"
        finally:
            process.kill()


def _seed(auth_url: str, short_auth_url: str, short_life: int) -> Keystone:
    """Put an account, a project, a service user and the service's catalog entries into it."""
    account, project_name, username, password = "123456", "my-project", "service-user", "p@ss wörd"
    admin = log_in(auth_url, password_login("admin", "Default", _ADMIN_PASSWORD))

    def create(path: str, kind: str, **values: object) -> str:
        made = _call("POST", f"{auth_url}/{path}", {kind: values}, token=admin)
        return str(made[kind]["id"])

    domain_id = create("domains", "domain", name=account)
    project_id = create("projects", "project", name=project_name, domain_id=domain_id)
    user_id = create("users", "user", name=username, domain_id=domain_id, password=password)
    roles = _call("GET", f"{auth_url}/roles?name=member", token=admin)["roles"]
    other_account = "654321"
    other_account_id = create("domains", "domain", name=other_account)
    projects = {
        project_name: project_id,
        "second": create("projects", "project", name="second", domain_id=domain_id),
        "retired": create("projects", "project", name="retired", domain_id=domain_id),
        "foreign": create("projects", "project", name="foreign", domain_id=other_account_id),
    }
    for each in projects.values():
        path = f"projects/{each}/users/{user_id}/roles/{roles[0]['id']}"
        _call("PUT", f"{auth_url}/{path}", token=admin)
    for path, change in (
        (f"projects/{projects['retired']}", {"project": {"enabled": False}}),
        (f"users/{user_id}", {"user": {"default_project_id": project_id}}),
    ):
        _call("PATCH", f"{auth_url}/{path}", change, token=admin)
    endpoint_ids = {
        service_type: create(
            "endpoints",
            "endpoint",
            service_id=create("services", "service", type=service_type, name=service_type),
            interface="public",
            region_id=create("regions", "region", id=f"region-{version}"),
            url=f"http://127.0.0.1:9/api/{version}",
        )
        for service_type, version in _SERVICE_TYPES.items()
    }
    # Only its own user can make an application credential, with a token of the project.
    own = log_in(auth_url, password_login(username, account, password, project_name))
    credential = _call(
        "POST",
        f"{auth_url}/users/{user_id}/application_credentials",
        {"application_credential": {"name": "ci"}},
        token=own,
    )["application_credential"]
    return Keystone(
        auth_url=auth_url,
        short_auth_url=short_auth_url,
        short_life=short_life,
        account=account,
        project_id=project_id,
        project_name=project_name,
        username=username,
        password=password,
        credential_id=credential["id"],
        credential_secret=credential["secret"],
        endpoint_ids=endpoint_ids,
        credential_name="ci",
        user_id=user_id,
        account_id=domain_id,
        other_account=other_account,
        other_account_id=other_account_id,
        projects=projects,
    )


def project_of(auth_url: str, token: str) -> str | None:
    """Ask Keystone which project a token is of; None for a token of no project."""
    described = _call("GET", f"{auth_url}/auth/tokens", token=token, subject=token)["token"]
    return described["project"]["id"] if "project" in described else None


def check_token(auth_url: str, token: str) -> bool:
    """Ask Keystone whether a token is valid; the token itself is allowed to ask that."""
    try:
        _call("GET", f"{auth_url}/auth/tokens", token=token, subject=token)
    except urllib.error.HTTPError as error:
        with error:
            if error.code in {401, 404}:
                return False
            raise
    return True


def password_login(
    username: str, domain: str, password: str, project: str | None = None
) -> dict[str, Any]:
    user = {"name": username, "domain": {"name": domain}, "password": password}
    scope = {"name": project or "admin", "domain": {"name": domain}}
    return {
        "auth": {
            "identity": {"methods": ["password"], "password": {"user": user}},
            "scope": {"project": scope},
        }
    }


def log_in(auth_url: str, body: dict[str, Any]) -> str:
    with _open("POST", f"{auth_url}/auth/tokens", body, {}) as response:
        return str(response.headers["X-Subject-Token"])


def _call(
    method: str,
    url: str,
    body: dict[str, Any] | None = None,
    *,
    token: str,
    subject: str | None = None,
) -> Any:
    headers = {"X-Auth-Token": token}
    if subject is not None:
        headers["X-Subject-Token"] = subject
    with _open(method, url, body, headers) as response:
        raw = response.read()
    return json.loads(raw) if raw else None


def _open(method: str, url: str, body: dict[str, Any] | None, headers: dict[str, str]) -> Any:
    request = urllib.request.Request(
        url,
        None if body is None else json.dumps(body).encode(),
        {"Content-Type": "application/json", **headers},
        method=method,
    )
    # A proxy from the environment has no business on loopback.
    return urllib.request.build_opener(urllib.request.ProxyHandler({})).open(request, timeout=30)
