"""The commands of each noun, against the sandbox: what they print, send and refuse."""

from __future__ import annotations

import csv
import io
import json
import os
import pty
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final

import pytest

from registry_async import ScanReport
from registry_async.cli import _registries, main
from registry_async.sandbox import Sandbox

SECONDS: Final = 60
ESCAPE: Final = "\x1b"
HOSTILE: Final = "team/\x1b[31mred\N{RIGHT-TO-LEFT OVERRIDE}\nnext"
FORMULA: Final = '=HYPERLINK("http://evil")'


@pytest.fixture
def sandbox(monkeypatch: pytest.MonkeyPatch) -> Iterator[Sandbox]:
    """Serve a sandbox that the environment leads to."""
    for name in list(os.environ):
        if re.match(r"OS_|REGISTRY_|COLUMNS|NO_COLOR", name):
            monkeypatch.delenv(name)
    with Sandbox() as running:
        monkeypatch.setenv("REGISTRY_BASE_URL", running.base_url)
        monkeypatch.setenv("REGISTRY_TOKEN", running.token)
        yield running


def methods(sandbox: Sandbox) -> set[str]:
    return {record.method for record in sandbox.requests}


def out_of(capsys: pytest.CaptureFixture[str], *arguments: str) -> str:
    code = main(arguments)
    out, err = capsys.readouterr()
    assert (code, err) == (0, "")
    return out


def on_terminal(*arguments: str, **environment: str) -> tuple[str, int]:
    """Run a command whose output goes to a terminal; give what it shows, and the exit code."""
    ours, theirs = pty.openpty()
    with subprocess.Popen(
        [sys.executable, "-m", "registry_async", *arguments],
        stdin=subprocess.DEVNULL,
        stdout=theirs,
        stderr=subprocess.DEVNULL,
        env={**os.environ, "TERM": "xterm", **environment},
    ) as process:
        os.close(theirs)
        parts: list[bytes] = []
        try:
            while part := os.read(ours, 1 << 16):
                parts.append(part)
        except OSError:
            # Linux says so when the other side is closed.
            pass
        code = process.wait(timeout=SECONDS)
    os.close(ours)
    return b"".join(parts).decode().replace("\r\n", "\n"), code


# -- what is printed


def test_registries_are_a_table_with_sizes_for_people(
    sandbox: Sandbox, capsys: pytest.CaptureFixture[str]
) -> None:
    heading, *rows = out_of(capsys, "registries", "list").splitlines()
    assert heading.split() == ["name", "status", "size", "created", "at", "id"]
    assert [row.split()[0] for row in rows] == sorted(
        registry.name for registry in sandbox.state.registries()
    )
    assert all(re.search(r" [0-9.]+ ([KMGT]i)?B ", row) for row in rows)


@pytest.mark.usefixtures("sandbox")
def test_every_format_has_the_same_registries(capsys: pytest.CaptureFixture[str]) -> None:
    listed = json.loads(out_of(capsys, "registries", "list", "--format", "json"))
    lines = out_of(capsys, "registries", "list", "--format", "jsonl").splitlines()
    assert [json.loads(line) for line in lines] == listed
    text = out_of(capsys, "registries", "list", "--format", "csv")
    rows = list(csv.DictReader(io.StringIO(text)))
    assert [row["name"] for row in rows] == [each["name"] for each in listed]
    assert [int(row["size"]) for row in rows] == [each["size"] for each in listed]
    page = out_of(capsys, "registries", "list", "--format", "html")
    assert page.startswith("<!DOCTYPE html>")
    assert all(each["id"] in page for each in listed)


def test_a_registry_is_named_by_name_or_id(
    sandbox: Sandbox, capsys: pytest.CaptureFixture[str]
) -> None:
    registry = sandbox.state.registries()[0]
    by_name = out_of(capsys, "registries", "get", registry.name, "--format", "json")
    assert out_of(capsys, "registries", "get", registry.id, "--format", "json") == by_name
    assert json.loads(by_name)["size_limit"] is not None


@pytest.mark.parametrize(
    "arguments",
    [
        ["repositories", "get", "production", "team/app"],
        ["images", "get", "production", "team/app", "latest"],
        ["registries", "gc-size", "production"],
    ],
)
@pytest.mark.usefixtures("sandbox")
def test_one_thing_is_a_line_a_field_and_an_object(
    arguments: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    shown = out_of(capsys, *arguments)
    document = json.loads(out_of(capsys, *arguments, "--format", "json"))
    assert isinstance(document, dict)
    for line in shown.splitlines():
        assert re.match(r"[a-z ]+( {2,}\S|$)", line), line


@pytest.mark.parametrize(
    ("arguments", "expected"),
    [
        (["repositories", "list", "production"], "team/app"),
        (["repositories", "tags", "production", "team/app"], "latest"),
        (["images", "layers", "production", "team/worker", "latest"], "sha256:"),
        (["registries", "clusters", "production"], "production-main"),
        (["tokens", "list"], "read-write"),
    ],
)
@pytest.mark.usefixtures("sandbox")
def test_lists_of_what_is_within(
    arguments: list[str], expected: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert expected in out_of(capsys, *arguments)


def test_lists_are_sorted_and_searched_by_the_service(
    sandbox: Sandbox, capsys: pytest.CaptureFixture[str]
) -> None:
    options = ["--sort-field", "created_at", "--sort-type", "desc", "--format", "json"]
    listed = json.loads(out_of(capsys, "registries", "list", *options))
    times = [each["created_at"] for each in listed]
    assert times == sorted(times, reverse=True)
    found = json.loads(out_of(capsys, "registries", "list", "--search", "prod", "--format", "json"))
    assert [each["name"] for each in found] == ["production"]


# -- terminals


@pytest.mark.parametrize("width", [40, 80, 120, 200])
def test_a_table_fits_the_terminal_and_says_what_it_left_out(width: int, sandbox: Sandbox) -> None:
    name = "/".join(["a-long-name"] * 5)
    sandbox.state.add_repository(sandbox.state.registries()[0], name)
    registry = sandbox.state.registries()[0].name
    shown, code = on_terminal("repositories", "list", registry, COLUMNS=str(width))
    assert code == 0
    lines = re.sub(r"\x1b\[\d+m", "", shown).splitlines()
    # A name that is wider than the terminal has a line of its own, and is whole.
    assert any(line.split()[:1] == [name] for line in lines)
    assert all(len(line) <= max(width, len(name)) for line in lines)
    assert all(len(line) <= width or line == name for line in lines)
    left_out = [line for line in lines if line.startswith("(left out: ")]
    assert bool(left_out) == (width <= 80)


@pytest.mark.parametrize(
    ("environment", "bold"), [({}, True), ({"NO_COLOR": "1"}, False), ({"TERM": "dumb"}, False)]
)
@pytest.mark.parametrize("command", [["registries", "list"], ["scan"]])
@pytest.mark.usefixtures("sandbox")
def test_escape_sequences_only_where_they_are_welcome(
    command: list[str], environment: dict[str, str], bold: bool
) -> None:
    shown, code = on_terminal(*command, COLUMNS="100", **environment)
    assert code == 0
    assert (ESCAPE in shown) == bold


@pytest.mark.usefixtures("sandbox")
def test_what_is_piped_has_no_escape_sequence_and_every_column(
    capsys: pytest.CaptureFixture[str],
) -> None:
    out = out_of(capsys, "images", "list", "production", "team/app")
    assert ESCAPE not in out
    assert "left out" not in out
    assert re.search(r"sha256:[0-9a-f]{64}", out)
    # One line an image, however many tags it has.
    assert all(line.startswith(("sha256:", "digest ")) for line in out.splitlines())


@pytest.mark.parametrize("kind", ["table", "json", "jsonl", "csv", "html"])
def test_hostile_names_reach_nobody_in_a_form_that_acts(
    kind: str, sandbox: Sandbox, capsys: pytest.CaptureFixture[str]
) -> None:
    registry = sandbox.state.add_registry("hostile")
    for name in (HOSTILE, FORMULA, "<script>alert(1)</script>"):
        sandbox.state.add_repository(registry, name)
    out = out_of(capsys, "repositories", "list", "hostile", "--format", kind)
    assert ESCAPE not in out
    assert "\N{RIGHT-TO-LEFT OVERRIDE}" not in out
    if kind in ("json", "jsonl"):
        lines = [out] if kind == "json" else out.splitlines()
        names = {each["name"] for line in lines for each in _as_list(json.loads(line))}
        assert HOSTILE in names
    if kind == "csv":
        cells = [cell for row in csv.reader(io.StringIO(out)) for cell in row]
        assert not [cell for cell in cells if cell.startswith("=")]
    if kind == "html":
        assert "<script>" not in out


def _as_list(document: Any) -> list[Any]:
    return document if isinstance(document, list) else [document]


# -- files


@pytest.mark.parametrize(
    ("ending", "begins"),
    [("json", "["), ("jsonl", "{"), ("csv", "name,"), ("html", "<!DOCTYPE"), ("txt", "name ")],
)
@pytest.mark.usefixtures("sandbox")
def test_the_ending_of_a_file_tells_the_format(
    ending: str, begins: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    file = tmp_path / f"list.{ending}"
    assert out_of(capsys, "registries", "list", "--output", str(file)) == ""
    assert file.read_text(encoding="utf-8").startswith(begins)
    assert list(tmp_path.iterdir()) == [file]


def test_a_file_is_whole_or_as_it_was(
    sandbox: Sandbox, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    file = tmp_path / "list.json"
    file.write_text("before")
    file.chmod(0o640)
    sandbox.faults.add(path="/registries", status=500, times=None)
    assert main(["registries", "list", "--output", str(file)]) == 1
    assert file.read_text() == "before"
    sandbox.faults.clear()

    def fail(*_: object, **__: object) -> str:
        raise OSError("the disk is full")

    with monkeypatch.context() as patched:
        patched.setattr("registry_async.cli._output.json_text", fail)
        assert main(["registries", "list", "--output", str(file)]) == 1
    assert file.read_text() == "before"
    assert list(tmp_path.iterdir()) == [file]
    assert main(["registries", "list", "--output", str(file)]) == 0
    assert len(json.loads(file.read_text())) == 5
    assert file.stat().st_mode & 0o777 == 0o640


# -- what deletes


def deletion(sandbox: Sandbox) -> dict[str, list[str]]:
    """A command of each kind that deletes, revokes, regenerates or collects."""
    registry = next(each for each in sandbox.state.registries() if each.name == "playground")
    repository = sandbox.state.add_repository(registry, "old")
    image = sandbox.state.add_image(repository, tags=["one"])
    token = json.loads(
        subprocess.run(
            [sys.executable, "-m", "registry_async", "tokens", "list", "--format", "json"],
            check=True,
            capture_output=True,
            timeout=SECONDS,
        ).stdout
    )[0]["id"]
    return {
        "registry": ["registries", "delete", "playground"],
        "collection": ["registries", "gc", "playground"],
        "repository": ["repositories", "delete", "playground", "old"],
        "image": ["images", "delete", "playground", "old", image.digest],
        "revocation": ["tokens", "revoke", token],
        "deletion": ["tokens", "delete", token],
        "new secret": ["tokens", "regenerate", token, "--expires-at", "30d"],
        "request": ["request", "DELETE", f"/v2/tokens/{token}"],
    }


KINDS: Final = (
    "registry",
    "collection",
    "repository",
    "image",
    "revocation",
    "deletion",
    "new secret",
    "request",
)


@pytest.mark.parametrize("kind", KINDS)
def test_what_deletes_sends_nothing_unless_somebody_agrees(
    kind: str, sandbox: Sandbox, capsys: pytest.CaptureFixture[str]
) -> None:
    command = deletion(sandbox)[kind]
    assert main(command) == 2
    out, err = capsys.readouterr()
    assert out == ""
    assert "give --yes" in err
    assert methods(sandbox) <= {"GET"}

    assert main([*command, "--dry-run"]) == 0
    out, err = capsys.readouterr()
    assert out == ""
    assert "Nothing was done" in err
    assert methods(sandbox) <= {"GET"}

    assert main([*command, "--yes"]) == 0
    assert methods(sandbox) - {"GET"}


@pytest.mark.parametrize(("answer", "code"), [("\n", 1), ("no\n", 1), ("y\n", 0)])
def test_enter_is_no(
    answer: str, code: int, sandbox: Sandbox, monkeypatch: pytest.MonkeyPatch
) -> None:
    class Terminal(io.StringIO):
        def isatty(self) -> bool:
            return True

    monkeypatch.setattr(sys, "stdin", Terminal(answer))
    assert main(["registries", "delete", "playground"]) == code
    assert ("DELETE" in methods(sandbox)) == (code == 0)


def test_a_tag_is_no_digest(sandbox: Sandbox, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["images", "delete", "production", "team/app", "latest", "--yes"]) == 2
    assert "digest" in capsys.readouterr().err
    assert sandbox.requests == ()


def test_a_delete_waits_out_a_collection(sandbox: Sandbox) -> None:
    assert main(["registries", "gc", "production", "--yes"]) == 0
    tags = ["images", "get", "production", "team/worker", "latest", "--format", "json"]
    assert main([*tags, "--output", os.devnull]) == 0
    digest = next(
        image.digest
        for registry in sandbox.state.registries()
        if registry.name == "production"
        for image in registry.repositories["team/worker"].images.values()
        if image.tags
    )
    command = ["images", "delete", "production", "team/worker", digest, "--yes"]
    assert main(command) == 1
    assert main([*command, "--conflict-timeout", "60"]) == 0


# -- secrets


def test_a_secret_is_printed_once_and_on_standard_output(
    sandbox: Sandbox, capsys: pytest.CaptureFixture[str]
) -> None:
    command = ["tokens", "create", "--name", "ci", "--registry", "production"]
    assert main([*command, "--expires-at", "90d"]) == 0
    out, err = capsys.readouterr()
    secret = out.strip()
    assert out == f"{secret}\n"
    assert secret not in err
    assert "ci" in err
    assert main([*command, "--expires-at", "never", "--format", "json"]) == 0
    token = json.loads(capsys.readouterr().out)
    assert token["expires_at"] is None
    assert token["secret"] != secret
    assert token["scope"]["read_write"] is False
    assert secret not in out_of(capsys, "tokens", "get", token["id"], "--format", "json")


@pytest.mark.parametrize(
    ("arguments", "named"),
    [
        (["--expires-at", "never"], "--all-registries"),
        (["--all-registries", "--registry", "production", "--expires-at", "1d"], "either"),
    ],
)
@pytest.mark.usefixtures("sandbox")
def test_a_scope_has_to_be_said(
    arguments: list[str], named: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["tokens", "create", *arguments]) == 2
    assert named in capsys.readouterr().err


@pytest.mark.parametrize("end", ["soon", "2030-01-31T12:00", "6m"])
def test_an_end_that_could_mean_anything_is_refused(
    end: str, sandbox: Sandbox, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit) as ended:
        main(["tokens", "create", "--all-registries", "--expires-at", end])
    assert ended.value.code == 2
    assert end in capsys.readouterr().err
    assert sandbox.requests == ()


def test_an_update_changes_what_is_given_alone(
    sandbox: Sandbox, capsys: pytest.CaptureFixture[str]
) -> None:
    create = ["tokens", "create", "--registry", "production", "--expires-at", "1d", "--read-write"]
    token = json.loads(out_of_any(capsys, *create, "--format", "json"))
    options = ["--format", "json"]
    renamed = json.loads(out_of(capsys, "tokens", "update", token["id"], "--name", "new", *options))
    assert renamed["name"] == "new"
    assert (renamed["scope"], renamed["expires_at"]) == (token["scope"], token["expires_at"])
    wider = out_of(capsys, "tokens", "update", token["id"], "--all-registries", *options)
    assert json.loads(wider)["scope"]["read_write"] is True
    assert main(["tokens", "update", token["id"]]) == 2


def out_of_any(capsys: pytest.CaptureFixture[str], *arguments: str) -> str:
    assert main(arguments) == 0
    return capsys.readouterr().out


def test_login_writes_dockers_configuration(
    sandbox: Sandbox,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.setenv("DOCKER_CONFIG", str(tmp_path / "docker"))
    assert main(["login", "--registry", "production", "--expires-at", "1d"]) == 0
    out, err = capsys.readouterr()
    assert out == ""
    config = json.loads((tmp_path / "docker" / "config.json").read_text())
    (login,) = config["auths"].values()
    assert login["auth"] not in err
    assert str(tmp_path / "docker" / "config.json") in err


def test_login_prints_a_pull_secret_and_touches_no_file(
    sandbox: Sandbox,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.setenv("DOCKER_CONFIG", str(tmp_path / "docker"))
    command = ["login", "--all-registries", "--expires-at", "1d", "--kubernetes-secret", "pull"]
    manifest = json.loads(out_of(capsys, *command, "--namespace", "apps"))
    assert manifest["kind"] == "Secret"
    assert manifest["metadata"] == {"name": "pull", "namespace": "apps"}
    assert list(tmp_path.iterdir()) == []
    assert main(["login", "--all-registries", "--expires-at", "1d", "--namespace", "apps"]) == 2


# -- what goes wrong


@pytest.mark.parametrize(
    ("arguments", "base_url", "token", "code", "says"),
    [
        (["registries", "list"], "http://127.0.0.1:9/api", None, 1, "--base-url"),
        (["registries", "list"], None, "wrong", 2, "REGISTRY_TOKEN"),
        (["scan"], "http://127.0.0.1:9/api", None, 1, "--base-url"),
        (["scan"], None, "wrong", 2, "REGISTRY_TOKEN"),
        (["registries", "get", "no-such"], None, None, 1, "no-such"),
        (["repositories", "list", "production", "--search", "zzz"], None, None, 1, "match"),
        (["registries", "create", "NO"], None, None, 2, "lower-case"),
        (["request", "GET", "/v2/nothing"], None, None, 1, "404"),
        (["request", "GET", "http://elsewhere/"], None, None, 2, "path"),
        (["request", "GET", "http://elsewhere/v2"], None, None, 2, "not a whole URL"),
    ],
)
def test_a_failure_is_one_line_that_says_what_to_change(
    arguments: list[str],
    base_url: str | None,
    token: str | None,
    code: int,
    says: str,
    sandbox: Sandbox,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    if base_url is not None:
        monkeypatch.setenv("REGISTRY_BASE_URL", base_url)
    if token is not None:
        monkeypatch.setenv("REGISTRY_TOKEN", token)
    assert main(arguments) == code
    out, err = capsys.readouterr()
    assert out == ""
    assert len(err.splitlines()) == 1
    assert says in err
    if base_url is not None:
        assert base_url in err


def test_a_missing_api_in_the_base_url_is_guessed(
    sandbox: Sandbox, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["registries", "list", "--base-url", sandbox.origin]) == 1
    assert "/api" in capsys.readouterr().err


@pytest.mark.usefixtures("sandbox")
def test_a_mistake_of_ours_is_no_wrong_usage(monkeypatch: pytest.MonkeyPatch) -> None:
    async def mistaken(*_: object) -> None:
        raise ValueError("a bug")

    monkeypatch.setattr(_registries, "find_registry", mistaken)
    with pytest.raises(ValueError, match="a bug"):
        main(["registries", "get", "production"])


def test_without_click_one_line_names_the_extra() -> None:
    # None in sys.modules is how Python marks a module that cannot be imported.
    program = "import sys; sys.modules['click'] = None; import registry_async.__main__"
    ended = subprocess.run(
        [sys.executable, "-c", program],
        capture_output=True,
        text=True,
        timeout=SECONDS,
        check=False,
    )
    assert ended.returncode == 2
    assert len(ended.stderr.splitlines()) == 1
    assert "registry-async[cli]" in ended.stderr


# -- global options, and the rest


@pytest.mark.parametrize("place", [0, 1, 2])
def test_global_options_stand_before_or_after_the_verb(
    place: int, sandbox: Sandbox, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("REGISTRY_BASE_URL", "http://127.0.0.1:9/api")
    command = ["registries", "list"]
    command[place:place] = ["--base-url", sandbox.base_url, "--timeout", "20", "--quiet"]
    assert main(command) == 0
    assert sandbox.requests


def test_verbose_shows_requests_and_no_token(
    sandbox: Sandbox, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["--verbose", "registries", "list"]) == 0
    err = capsys.readouterr().err
    assert "GET" in err
    assert sandbox.token not in err


def test_a_request_sends_what_is_given(
    sandbox: Sandbox, capsys: pytest.CaptureFixture[str]
) -> None:
    answer = json.loads(out_of(capsys, "request", "get", "/v2/registries", "--params", "limit=2"))
    assert len(answer["registries"]) == 2
    body = json.dumps({"name": "made-by-hand"})
    made = json.loads(out_of(capsys, "request", "POST", "/v1/registries", "--json", body))
    assert made["name"] == "made-by-hand"
    assert "made-by-hand" in {registry.name for registry in sandbox.state.registries()}


def test_reports_are_shown_and_compared(
    sandbox: Sandbox, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    before, after = tmp_path / "before.json", tmp_path / "after.json"
    assert main(["scan", "--output", str(before)]) == 0
    registry = sandbox.state.registries()[0]
    sandbox.state.add_image(sandbox.state.add_repository(registry, "brand-new"), tags=["one"])
    assert main(["scan", "--output", str(after)]) == 0
    assert ScanReport.from_json(
        out_of_any(capsys, "report", "show", str(after), "--format", "json")
    )
    assert "brand-new" in out_of(capsys, "report", "diff", str(before), str(after))
    changes = json.loads(
        out_of(capsys, "report", "diff", str(before), str(after), "--format", "json")
    )
    assert [each["repository"] for each in changes["added"]] == ["brand-new"]
    before.write_text("{}")
    assert main(["report", "show", str(before)]) == 2
    assert str(before) in capsys.readouterr().err


def test_the_sandbox_prints_what_every_kind_of_client_needs() -> None:
    command = [sys.executable, "-m", "registry_async", "sandbox"]
    with subprocess.Popen([*command, "--json"], stdout=subprocess.PIPE, text=True) as process:
        try:
            assert process.stdout is not None
            printed = json.loads(process.stdout.readline())
        finally:
            process.kill()
    variables = printed["environment"]
    assert set(variables) >= {
        "REGISTRY_BASE_URL",
        "REGISTRY_TOKEN",
        "OS_AUTH_URL",
        "OS_USERNAME",
        "OS_PASSWORD",
        "OS_USER_DOMAIN_NAME",
        "OS_PROJECT_NAME",
    }
    assert variables["OS_PROJECT_NAME"] in {each["name"] for each in printed["projects"]}


def test_the_assignments_of_the_sandbox_lead_a_client_to_it() -> None:
    command = [sys.executable, "-m", "registry_async", "sandbox"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        try:
            assert process.stdout is not None
            lines: list[str] = []
            while not lines or not lines[-1].endswith("Ctrl-C.\n"):
                lines.append(process.stdout.readline())
                assert lines[-1], "the sandbox ended early"
            script = 'eval "$1"; unset REGISTRY_TOKEN; exec "$2" -m registry_async registries list'
            ended = subprocess.run(
                ["sh", "-c", script, "sh", "".join(lines), sys.executable],
                capture_output=True,
                text=True,
                timeout=SECONDS,
                check=False,
            )
        finally:
            process.kill()
    assert (ended.returncode, ended.stderr) == (0, "")
    assert "production" in ended.stdout


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_shells_can_complete(shell: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert "registry-async" in out_of(capsys, "completion", shell)


def test_what_completes_is_every_command() -> None:
    environment = {"_REGISTRY_ASYNC_COMPLETE": "bash_complete", "COMP_CWORD": "2"}
    ended = subprocess.run(
        [sys.executable, "-m", "registry_async"],
        env={**os.environ, **environment, "COMP_WORDS": "registry-async tokens re"},
        capture_output=True,
        text=True,
        timeout=SECONDS,
        check=True,
    )
    assert set(ended.stdout.split()) == {"plain,refresh", "plain,regenerate", "plain,revoke"}


def test_help_loads_nothing_that_it_does_not_need() -> None:
    program = (
        "import sys\nfrom registry_async.cli import main\nmain(sys.argv[1:])\n"
        "heavy = {'aiohttp', 'rich', 'cattrs', 'anyio', 'asyncio', 'registry_async.models'}\n"
        "sys.exit(str(heavy & set(sys.modules)) if heavy & set(sys.modules) else 0)"
    )
    ended = subprocess.run(
        [sys.executable, "-c", program, "--help"],
        capture_output=True,
        text=True,
        timeout=SECONDS,
        check=False,
    )
    assert ended.stderr == ""
    for command in ("registries", "tokens", "scan", "sandbox", "completion"):
        assert command in ended.stdout


def test_many_tags_are_folded_between_tags(sandbox: Sandbox) -> None:
    registry = sandbox.state.add_registry("many")
    repository = sandbox.state.add_repository(registry, "app")
    tags = [f"release-{number}" for number in range(12)]
    sandbox.state.add_image(repository, tags=tags)
    shown, code = on_terminal("images", "list", "many", "app", COLUMNS="40")
    assert code == 0
    lines = re.sub(r"\x1b\[\d+m", "", shown).splitlines()
    assert all(len(line) <= 40 for line in lines if not line.startswith("("))
    assert re.findall(r"release-\d+", shown) == sorted(tags, key=tags.index)


@pytest.mark.parametrize(
    "group", [[], *([each] for each in ("registries", "repositories", "images", "tokens"))]
)
def test_the_line_of_a_command_is_whole_at_80_columns(
    group: list[str], monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("COLUMNS", "80")
    lines = out_of(capsys, *group, "--help").partition("Commands:")[2].splitlines()
    assert len(lines) > 3
    assert [line for line in lines if line.endswith("...") or len(line) > 80] == []
