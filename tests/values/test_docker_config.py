"""Logins are merged into a Docker configuration, and nothing that is in it is lost."""

from __future__ import annotations

import base64
import fcntl
import json
import os
import signal
import stat
import subprocess
import sys
import traceback
import warnings
from pathlib import Path
from typing import Any, Final

import pytest
from hypothesis import given
from hypothesis import strategies as st

from registry_async import ConfigurationError, DockerAuth, DockerConfig

HOST: Final = "cr.example.test"
SECRET: Final = "s3cr3t-canary-of-a-token"
AUTH: Final = base64.b64encode(f"token:{SECRET}".encode()).decode()
CONFIG: Final = DockerConfig({HOST: DockerAuth(AUTH, "token", SECRET)})
ENTRY: Final = {"auth": AUTH, "username": "token", "password": SECRET}
OTHER: Final = "another-secret-canary"


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "config.json"


def content(path: Path) -> Any:
    return json.loads(path.read_bytes())


def mode(path: Path) -> int:
    return stat.S_IMODE(path.stat().st_mode)


def everything_under(folder: Path) -> dict[str, bytes | None]:
    """Give the contents of all files, and None for what is none."""
    return {
        str(each.relative_to(folder)): each.read_bytes() if each.is_file() else None
        for each in folder.rglob("*")
    }


def test_a_new_file_holds_the_logins_and_is_its_owners_alone(path: Path) -> None:
    CONFIG.save(path)
    assert content(path) == {"auths": {HOST: ENTRY}}
    assert mode(path) == 0o600
    assert everything_under(path.parent).keys() == {"config.json"}


@pytest.mark.parametrize("umask", [0o000, 0o277])
def test_the_umask_does_not_matter(path: Path, umask: int) -> None:
    before = os.umask(umask)
    try:
        CONFIG.save(str(path))
    finally:
        os.umask(before)
    assert mode(path) == 0o600


def test_folders_that_are_missing_are_made_for_the_owner_alone(tmp_path: Path) -> None:
    path = tmp_path / "home" / ".docker" / "config.json"
    CONFIG.save(path)
    assert content(path)["auths"] == {HOST: ENTRY}
    assert mode(path.parent) == 0o700


def test_the_home_directory_may_be_written_short(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    CONFIG.save("~/.docker/config.json")
    assert content(tmp_path / ".docker" / "config.json")["auths"] == {HOST: ENTRY}


def test_what_else_is_in_the_file_stays_in_its_order(path: Path) -> None:
    before = {
        "HttpHeaders": {"X-Meta": "ü"},
        "auths": {"other.test": {"auth": "b3RoZXI=", "unknown": [1]}, HOST: {"auth": "b2xk"}},
        "detachKeys": "ctrl-e,e",
    }
    path.write_text(json.dumps(before), encoding="utf-8")
    path.chmod(0o644)
    CONFIG.save(path)
    after = content(path)
    assert after == {**before, "auths": {**before["auths"], HOST: ENTRY}}  # type: ignore[dict-item]
    assert list(after) == list(before)
    assert mode(path) == 0o600


KEYS: Final = st.text(max_size=8)
JSON: Final = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats(allow_nan=False, allow_infinity=False)
    # Escaped surrogates without a partner, too: they are JSON, but no text that can be encoded.
    | st.text(st.characters(exclude_categories=())),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(KEYS, inner, max_size=3),
    max_leaves=12,
)
CONFIGS: Final = st.dictionaries(KEYS.filter(lambda key: not key.startswith("cred")), JSON)


@given(CONFIGS, st.none() | st.dictionaries(KEYS, JSON))
def test_any_file_keeps_all_that_is_not_replaced(
    tmp_path_factory: pytest.TempPathFactory, settings: dict[str, Any], auths: dict[str, Any] | None
) -> None:
    path = tmp_path_factory.mktemp("docker") / "config.json"
    settings = {**settings, "auths": auths}
    path.write_text(json.dumps(settings))
    CONFIG.save(path)
    once = path.read_bytes()
    assert json.loads(once) == {**settings, "auths": {**(auths or {}), HOST: ENTRY}}
    CONFIG.save(path)
    assert path.read_bytes() == once


@pytest.mark.parametrize(
    "start", [b"", b" \n", b"{}", b'{"auths": null}', b'\xef\xbb\xbf{"auths": {}}']
)
def test_an_empty_configuration_is_one(path: Path, start: bytes) -> None:
    path.write_bytes(start)
    CONFIG.save(path)
    assert content(path) == {"auths": {HOST: ENTRY}}


@pytest.mark.parametrize(
    "start",
    [
        b"not JSON " + OTHER.encode(),
        b'{"auths": {"h": {"auth": "%s"}}' % OTHER.encode(),
        b'["%s"]' % OTHER.encode(),
        b'"%s"' % OTHER.encode(),
        b"null",
        b'{"auths": ["%s"]}' % OTHER.encode(),
        b'{"auths": "%s"}' % OTHER.encode(),
        b'\xff\xfe\xff{"auths": {}}',
        b"[" * 100_000,
    ],
)
def test_what_is_no_configuration_is_left_as_it_is(path: Path, start: bytes) -> None:
    path.write_bytes(start)
    path.chmod(0o644)
    with pytest.raises(ConfigurationError, match="left as it is") as caught:
        CONFIG.save(path)
    assert str(path) in str(caught.value)
    assert everything_under(path.parent) == {"config.json": start}
    assert mode(path) == 0o644
    assert_no_secret_in(caught.value)


def assert_no_secret_in(error: BaseException) -> None:
    shown = "".join(
        traceback.TracebackException.from_exception(error, capture_locals=True).format()
    )
    # The test's own frame may show what the test knows; the package's frames must not.
    ours = shown.partition("registry_async")[2]
    for secret in (SECRET, AUTH, OTHER):
        assert secret not in str(error)
        assert secret not in ours


@pytest.mark.parametrize("step", ["replace", "fsync"])
def test_a_write_that_fails_leaves_the_old_file_and_nothing_else(
    path: Path, monkeypatch: pytest.MonkeyPatch, step: str
) -> None:
    start = json.dumps({"auths": {"other.test": {"auth": OTHER}}}).encode()
    path.write_bytes(start)

    def fail(*_: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(Path if step == "replace" else os, step, fail)
    with pytest.raises(OSError, match="No space left") as caught:
        CONFIG.save(path)
    assert everything_under(path.parent) == {"config.json": start}
    assert_no_secret_in(caught.value)


def test_the_file_is_never_seen_half_written(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    start = json.dumps({"auths": {}}).encode()
    path.write_bytes(start)
    seen: list[bytes] = []
    replace = Path.replace

    def watched(self: Path, target: Path) -> Path:
        # All has been written elsewhere, for the owner alone, when the old file is still there.
        seen.append(path.read_bytes())
        assert content(self)["auths"] == {HOST: ENTRY}
        assert mode(self) == 0o600
        return replace(self, target)

    monkeypatch.setattr(Path, "replace", watched)
    CONFIG.save(path)
    assert seen == [start]
    assert content(path)["auths"] == {HOST: ENTRY}


# -- links, and what is no file


def test_a_link_to_a_file_of_ones_own_stays_a_link(tmp_path: Path, path: Path) -> None:
    real = tmp_path / "dotfiles" / "docker.json"
    real.parent.mkdir()
    real.write_text('{"auths": {"other.test": {"auth": "b3RoZXI="}}}')
    path.symlink_to(real)
    CONFIG.save(path)
    assert path.is_symlink()
    assert content(real)["auths"] == {"other.test": {"auth": "b3RoZXI="}, HOST: ENTRY}
    assert mode(real) == 0o600


@pytest.mark.parametrize("kind", ["nowhere", "itself", "directory", "pipe", "a link to a pipe"])
def test_what_is_no_file_of_ones_own_is_refused(tmp_path: Path, path: Path, kind: str) -> None:
    other = tmp_path / "other"
    if kind == "nowhere":
        path.symlink_to(other)
    elif kind == "itself":
        path.symlink_to(path)
    elif kind == "directory":
        path.mkdir()
    elif kind == "pipe":
        os.mkfifo(path)
    else:
        os.mkfifo(other)
        path.symlink_to(other)
    before = sorted(each.name for each in tmp_path.iterdir())
    with pytest.raises(ConfigurationError, match=r"link|regular file"):
        CONFIG.save(path)
    assert sorted(each.name for each in tmp_path.iterdir()) == before


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can give a file away")
def test_a_link_to_a_file_of_another_user_is_refused(tmp_path: Path, path: Path) -> None:
    other = tmp_path / "other.json"
    other.write_text("{}")
    os.chown(other, 65534, 65534)
    path.symlink_to(other)
    with pytest.raises(ConfigurationError, match="another user"):
        CONFIG.save(path)
    assert other.read_text() == "{}"


# -- logins


def test_a_login_without_auth_gets_one(path: Path) -> None:
    DockerConfig({HOST: DockerAuth(None, "token", "pä:ss")}).save(path)
    (entry,) = content(path)["auths"].values()
    assert base64.b64decode(entry["auth"]).decode() == "token:pä:ss"
    assert (entry["username"], entry["password"]) == ("token", "pä:ss")


def test_a_login_of_auth_alone_is_enough(path: Path) -> None:
    DockerConfig({HOST: DockerAuth(AUTH)}).save(path)
    assert content(path)["auths"] == {HOST: {"auth": AUTH}}


@pytest.mark.parametrize(
    "auth", [DockerAuth(), DockerAuth("", "token", ""), DockerAuth(None, None, SECRET)]
)
def test_a_login_that_nobody_could_use_is_refused(path: Path, auth: DockerAuth) -> None:
    with pytest.raises(ConfigurationError, match=HOST) as caught:
        DockerConfig({HOST: auth}).save(path)
    assert not path.exists()
    assert_no_secret_in(caught.value)


@pytest.mark.parametrize(
    ("settings", "named"),
    [
        ({"credsStore": "desktop"}, "credsStore"),
        ({"credHelpers": {HOST: "pass"}}, "credHelpers"),
    ],
)
def test_helpers_that_hide_the_login_are_pointed_out(
    path: Path, settings: dict[str, Any], named: str
) -> None:
    path.write_text(json.dumps(settings))
    with pytest.warns(UserWarning, match=named) as caught:
        CONFIG.save(path)
    assert caught[0].filename == __file__
    assert SECRET not in str(caught[0].message)
    assert content(path) == {**settings, "auths": {HOST: ENTRY}}


def test_helpers_of_other_hosts_are_nobodys_business(path: Path) -> None:
    path.write_text(json.dumps({"credHelpers": {"other.test": "pass"}, "credsStore": ""}))
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        CONFIG.save(path)


# -- several at once

SAVER: Final = """
import sys
from registry_async import DockerAuth, DockerConfig

print("ready", flush=True)
sys.stdin.readline()
for number in range(25):
    DockerConfig({f"{sys.argv[2]}-{number}.test": DockerAuth("eA==")}).save(sys.argv[1])
"""


def test_programs_that_save_at_the_same_time_lose_nothing_of_each_other(path: Path) -> None:
    names = ["a", "b", "c"]
    processes = [
        subprocess.Popen(
            [sys.executable, "-c", SAVER, str(path), name],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        for name in names
    ]
    for process in processes:
        assert process.stdout is not None
        assert process.stdout.readline() == "ready\n"
    for process in processes:
        assert process.stdin is not None
        process.stdin.write("go\n")
        process.stdin.flush()
    for process in processes:
        process.communicate(timeout=60)
        assert process.returncode == 0
    expected = {f"{name}-{number}.test" for name in names for number in range(25)}
    assert content(path)["auths"].keys() == expected
    assert everything_under(path.parent).keys() == {"config.json"}


def test_a_lock_that_somebody_keeps_is_not_waited_for_without_limit(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    now = 0.0

    def sleep(seconds: float) -> None:
        nonlocal now
        now += seconds

    monkeypatch.setattr("registry_async._docker_config.time.monotonic", lambda: now)
    monkeypatch.setattr("registry_async._docker_config.time.sleep", sleep)
    holder = os.open(path.parent, os.O_RDONLY)
    try:
        fcntl.flock(holder, fcntl.LOCK_EX)
        with pytest.raises(ConfigurationError, match="locked by another program"):
            CONFIG.save(path)
    finally:
        os.close(holder)
    assert 10 <= now <= 60
    assert not path.exists()
    CONFIG.save(path)
    assert content(path)["auths"] == {HOST: ENTRY}


def test_a_lock_that_is_released_meanwhile_is_waited_for(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    holder = os.open(path.parent, os.O_RDONLY)
    monkeypatch.setattr("registry_async._docker_config.time.sleep", lambda _: os.close(holder))
    fcntl.flock(holder, fcntl.LOCK_EX)
    CONFIG.save(path)
    assert content(path)["auths"] == {HOST: ENTRY}


# -- what would be lost


@pytest.mark.parametrize(
    "start",
    [
        b'{"auths": {"a.test": {"auth": "%s"}}, "auths": {}}' % OTHER.encode(),
        b'{"auths": {"a.test": {"auth": "%s"}, "a.test": {}}}' % OTHER.encode(),
        b'{"x": 1e999}',
        b'{"x": [-1e999]}',
        b'{"x": NaN}',
        b'{"x": -Infinity}',
    ],
)
def test_what_cannot_be_written_again_is_refused(path: Path, start: bytes) -> None:
    path.write_bytes(start)
    with pytest.raises(ConfigurationError, match="left as it is") as caught:
        CONFIG.save(path)
    assert path.read_bytes() == start
    assert_no_secret_in(caught.value)


KILLED: Final = """
import os, signal, sys
from registry_async import DockerAuth, DockerConfig

os.fsync = lambda _: os.kill(os.getpid(), signal.SIGKILL)
DockerConfig({"a.test": DockerAuth("eA==")}).save(sys.argv[1])
"""


def test_what_a_killed_save_left_behind_is_removed_by_the_next(path: Path) -> None:
    killed = subprocess.run([sys.executable, "-c", KILLED, str(path)], timeout=60, check=False)
    assert killed.returncode == -signal.SIGKILL
    (left,) = everything_under(path.parent)
    assert left.startswith(".config.json.")
    # These are others' files.
    others = [".config.json.bak", ".config.json.0123456789abcdef.old", ".other.0123456789abcdef"]
    for name in others:
        (path.parent / name).write_text("")
    CONFIG.save(path)
    assert everything_under(path.parent).keys() == {"config.json", *others}


def test_a_home_that_is_not_there_is_an_error_of_configuration(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.delenv("HOME", raising=False)
    with pytest.raises(ConfigurationError, match="home directory"):
        CONFIG.save("~nobody-of-this-name/config.json")


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can give a file away")
def test_root_leaves_a_users_file_to_its_owner(path: Path) -> None:
    path.write_text("{}")
    os.chown(path, 65534, 65533)
    path.chmod(0o644)
    CONFIG.save(path)
    status = path.stat()
    assert (status.st_uid, status.st_gid, mode(path)) == (65534, 65533, 0o600)
    assert content(path)["auths"] == {HOST: ENTRY}


# -- for Kubernetes


def test_a_pull_secret_holds_the_logins() -> None:
    secret = CONFIG.to_kubernetes_secret("registry", "team-a")
    assert secret == {
        "apiVersion": "v1",
        "kind": "Secret",
        "metadata": {"name": "registry", "namespace": "team-a"},
        "type": "kubernetes.io/dockerconfigjson",
        "data": secret["data"],
    }
    data: Any = secret["data"]
    assert data.keys() == {".dockerconfigjson"}
    assert json.loads(base64.b64decode(data[".dockerconfigjson"])) == {"auths": {HOST: ENTRY}}
    # It can be written as it is.
    assert json.loads(json.dumps(secret)) == secret
    assert CONFIG.to_kubernetes_secret("a.b-c")["metadata"] == {"name": "a.b-c"}


@pytest.mark.parametrize("name", ["", "A", "a_b", "-a", "a-", "a..b", "a" * 254, "a\n"])
def test_a_pull_secret_has_a_name_that_kubernetes_takes(name: str) -> None:
    with pytest.raises(ValueError, match="name"):
        CONFIG.to_kubernetes_secret(name)
    with pytest.raises(ValueError, match="namespace"):
        CONFIG.to_kubernetes_secret("a", "a.b" if name == "a..b" else name)
