"""The command line, as those see it who type it and those who script it."""

from __future__ import annotations

import csv
import io
import json
import math
import os
import pty
import re
import signal
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, Final

import pytest

from registry_async import AsyncRegistryClient, ScanReport, __version__
from registry_async.cli import main
from registry_async.sandbox import Sandbox

CREDENTIALS: Final = re.compile(r"(OS_|REGISTRY_)")
SECONDS: Final = 60


@pytest.fixture(autouse=True)
def no_credentials(monkeypatch: pytest.MonkeyPatch) -> None:
    """Whatever the machine's environment holds, the tests begin without."""
    for name in list(os.environ):
        if CREDENTIALS.match(name):
            monkeypatch.delenv(name)


@pytest.fixture
def sandbox(monkeypatch: pytest.MonkeyPatch) -> Iterator[Sandbox]:
    """Serve a sandbox that the environment leads to."""
    with Sandbox() as running:
        monkeypatch.setenv("REGISTRY_BASE_URL", running.base_url)
        monkeypatch.setenv("REGISTRY_TOKEN", running.token)
        yield running


def images_in(sandbox: Sandbox) -> Mapping[tuple[str, str], int]:
    """What is there, from the sandbox's own records."""
    return {
        (registry.name, repository.name): len(repository.images)
        for registry in sandbox.state.registries()
        for repository in registry.repositories.values()
    }


def start(*arguments: str, **options: Any) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, "-m", "registry_async", *arguments],
        **{"text": True, "stdout": subprocess.PIPE, "stderr": subprocess.PIPE, **options},
    )


# -- what is printed


def test_it_prints_every_repository_and_the_totals(
    sandbox: Sandbox, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["scan"]) == 0
    out, err = capsys.readouterr()
    assert err == ""
    there = images_in(sandbox)
    lines = out.splitlines()
    for (_, repository), count in there.items():
        assert any(re.search(rf"{re.escape(repository)} +{count} ", line) for line in lines)
    total = next(line for line in lines if "5 registries" in line)
    assert f"{len(there)} repositories" in total
    assert f" {sum(there.values())} " in total


def test_names_are_whole_where_nobody_looks(
    sandbox: Sandbox, capsys: pytest.CaptureFixture[str]
) -> None:
    name = "/".join(["a-team-with-a-long-name"] * 10)
    sandbox.state.add_repository(sandbox.state.registries()[0], name)
    assert main(["scan"]) == 0
    out, _ = capsys.readouterr()
    assert name in out


def test_the_embedded_service_needs_no_credentials(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["scan", "--sandbox", "--json"]) == 0
    report = ScanReport.from_json(capsys.readouterr().out)
    assert report.complete
    with Sandbox() as same:
        assert {
            (row.registry, row.repository): row.image_count for row in report.repositories
        } == images_in(same)


def test_csv_has_a_row_for_each_repository(
    sandbox: Sandbox, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["scan", "--format", "csv"]) == 0
    rows = list(csv.DictReader(io.StringIO(capsys.readouterr().out)))
    assert {(row["registry"], row["repository"]): int(row["image_count"]) for row in rows} == (
        images_in(sandbox)
    )


@pytest.mark.parametrize(
    ("kind", "begins"),
    [("table", "registry "), ("json", "{"), ("csv", "client_label,"), ("html", "<!DOCTYPE html>")],
)
@pytest.mark.usefixtures("sandbox")
def test_a_file_holds_what_would_be_printed(
    kind: str, begins: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    file = tmp_path / "report"
    assert main(["scan", "--format", kind, "--output", str(file)]) == 0
    assert capsys.readouterr().out == ""
    text = file.read_text(encoding="utf-8")
    assert text.startswith(begins)
    assert "\x1b" not in text
    assert "team/app" in text


def test_registries_and_repositories_can_be_chosen(
    sandbox: Sandbox, capsys: pytest.CaptureFixture[str]
) -> None:
    arguments = ["--registry", "production", "--registry", "staging", "--repository", "team/*"]
    assert main(["scan", "--json", "--concurrency", "2", "--max-rate", "10000", *arguments]) == 0
    rows = json.loads(capsys.readouterr().out)["repositories"]
    assert {(row["registry"], row["repository"]) for row in rows} == {
        (registry, repository)
        for registry, repository in images_in(sandbox)
        if registry in {"production", "staging"} and repository.startswith("team/")
    }


def test_the_base_url_can_be_given(
    sandbox: Sandbox, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("REGISTRY_BASE_URL", "http://127.0.0.1:9/nothing")
    assert main(["scan", "--json", "--base-url", sandbox.base_url]) == 0
    assert json.loads(capsys.readouterr().out)["registry_count"] == 5


# -- what goes wrong


def test_without_credentials_one_line_says_what_to_set(
    capsys: pytest.CaptureFixture[str],
) -> None:
    assert main(["scan"]) == 2
    out, err = capsys.readouterr()
    assert out == ""
    assert len(err.splitlines()) == 1
    assert err.startswith("registry-async: ")
    assert "REGISTRY_TOKEN" in err
    assert "OS_USERNAME" in err


@pytest.mark.parametrize(
    ("arguments", "named"),
    [
        (["--concurrency", "0"], "concurrency"),
        (["--max-rate", "nan"], "max_rate"),
        (["--sandbox", "--base-url", "http://127.0.0.1"], "--base-url"),
        (["--base-url", "not a URL"], "base_url"),
    ],
)
@pytest.mark.usefixtures("sandbox")
def test_wrong_usage_is_one_line(
    arguments: list[str], named: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["scan", *arguments]) == 2
    _, err = capsys.readouterr()
    assert len(err.splitlines()) == 1
    assert named in err


@pytest.mark.parametrize(
    "arguments",
    [
        [],
        ["nonsense"],
        ["scan", "--format", "xml"],
        ["sandbox", "--port", "https"],
        ["sandbox", "--port", "-1"],
        ["sandbox", "--port", "65536"],
    ],
)
def test_unknown_commands_and_choices_are_usage_errors(
    arguments: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit) as ended:
        main(arguments)
    assert ended.value.code == 2
    assert "usage: registry-async" in capsys.readouterr().err


@pytest.mark.parametrize("kind", ["table", "json", "csv", "html"])
@pytest.mark.parametrize("to_file", [False, True])
def test_what_could_not_be_read_is_said_and_is_exit_code_3(
    kind: str,
    to_file: bool,
    sandbox: Sandbox,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    sandbox.faults.add(path="team%2Fworker/images", status=500, body={"error": "Sick."}, times=None)
    output = ["--output", str(tmp_path / "report")] if to_file else []
    assert main(["scan", "--format", kind, *output]) == 3
    out, err = capsys.readouterr()
    # Once for whoever sits there: a table on the screen says it below itself.
    on_screen = kind == "table" and not to_file
    seen = out if on_screen else err
    assert bool(err) == (not on_screen)
    assert "Not everything could be read (2 errors):" in seen
    assert "production / team/worker: ServerError: 500 Sick." in seen
    if kind == "json":
        report = (tmp_path / "report").read_text() if to_file else out
        assert len(ScanReport.from_json(report).errors) == 2


def test_a_registry_that_is_not_there_is_said_and_no_table(
    sandbox: Sandbox, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["scan", "--registry", "prodution"]) == 1
    out, err = capsys.readouterr()
    assert out == ""
    assert len(err.splitlines()) == 1
    assert "prodution" in err
    assert len(sandbox.requests) == 1


@pytest.mark.parametrize("place", ["no/such", "", "file/below"])
def test_a_file_that_cannot_be_written_is_one_line_before_the_scan(
    place: str, sandbox: Sandbox, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "file").touch()
    assert main(["scan", "--json", "--output", str(tmp_path / place)]) == 1
    assert len(capsys.readouterr().err.splitlines()) == 1
    assert sandbox.requests == ()


def test_without_rich_one_line_names_the_extra(sandbox: Sandbox) -> None:
    # None in sys.modules is how Python marks a module that cannot be imported.
    program = (
        "import sys; sys.modules['rich'] = None; from registry_async.cli import main;"
        "sys.exit(main(sys.argv[1:]))"
    )

    def run(*arguments: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [sys.executable, "-c", program, *arguments],
            capture_output=True,
            text=True,
            timeout=SECONDS,
            check=False,
        )

    ended = run("scan")
    assert ended.returncode == 2
    assert len(ended.stderr.splitlines()) == 1
    assert "registry-async[cli]" in ended.stderr
    assert sandbox.requests == ()
    ended = run("scan", "--json")
    assert (ended.returncode, ended.stderr) == (0, "")
    assert ScanReport.from_json(ended.stdout).complete


# -- as a process


def test_the_version_and_the_help_are_quick_to_come_by() -> None:
    for arguments in (["--version"], ["scan", "--help"]):
        program = (
            "import sys; from registry_async.cli import main\n"
            "try: main(sys.argv[1:])\n"
            "except SystemExit: pass\n"
            "sys.exit('aiohttp' in sys.modules or 'rich' in sys.modules)"
        )
        ended = subprocess.run(
            [sys.executable, "-c", program, *arguments],
            capture_output=True,
            text=True,
            timeout=SECONDS,
            check=False,
        )
        assert ended.returncode == 0
        assert __version__ in ended.stdout or "exit codes" in ended.stdout


@pytest.mark.anyio
@pytest.mark.parametrize("way", [signal.SIGINT, signal.SIGTERM])
async def test_the_sandbox_serves_until_it_is_ended(way: signal.Signals) -> None:
    with start("sandbox") as process:
        try:
            assert process.stdout is not None
            exported: dict[str, str] = {}
            while len(exported) < 2:
                line = process.stdout.readline()
                assert line, "the sandbox ended early"
                if match := re.match(r"\s*export (\w+)=(\S+)$", line):
                    exported[match[1]] = match[2]
            async with AsyncRegistryClient(
                token=exported["REGISTRY_TOKEN"], base_url=exported["REGISTRY_BASE_URL"]
            ) as client:
                assert await client.registries.list().count() == 5
            process.send_signal(way)
            _, err = process.communicate(timeout=SECONDS)
        finally:
            process.kill()
    assert process.returncode == 0
    assert err.strip() == "The sandbox has ended."


@pytest.mark.anyio
async def test_an_empty_sandbox_is_empty() -> None:
    with start("sandbox", "--empty") as process:
        try:
            assert process.stdout is not None
            lines = [process.stdout.readline() for _ in range(4)]
            found = dict(re.findall(r"(REGISTRY_\w+)=(\S+)", "".join(lines)))
            async with AsyncRegistryClient(
                token=found["REGISTRY_TOKEN"], base_url=found["REGISTRY_BASE_URL"]
            ) as client:
                assert await client.registries.list().first() is None
        finally:
            process.kill()


def wait_for_request(sandbox: Sandbox, process: subprocess.Popen[str]) -> None:
    deadline = time.monotonic() + SECONDS
    while not any(record.raw_path.endswith("/images") for record in sandbox.requests):
        assert process.poll() is None, "the command ended early"
        assert time.monotonic() < deadline


def test_ctrl_c_ends_a_scan_with_one_line(sandbox: Sandbox) -> None:
    sandbox.faults.add(path="/images", latency=math.inf, times=None)
    with start("scan") as process:
        try:
            wait_for_request(sandbox, process)
            process.send_signal(signal.SIGINT)
            out, err = process.communicate(timeout=SECONDS)
        finally:
            process.kill()
    assert process.returncode == 130
    assert out == ""
    assert err.strip() == "registry-async: interrupted"


@pytest.mark.usefixtures("sandbox")
def test_a_reader_that_has_seen_enough_is_no_failure() -> None:
    reading, writing = os.pipe()
    os.close(reading)
    try:
        with start("scan", "--json", stdout=writing) as process:
            _, err = process.communicate(timeout=SECONDS)
    finally:
        os.close(writing)
    assert err == ""
    assert process.returncode == 0


@pytest.mark.parametrize(
    ("closed", "code", "said"), [("1", 2, "standard output is closed"), ("2", 0, "")]
)
@pytest.mark.parametrize("kind", ["table", "json"])
def test_a_closed_stream_is_no_traceback(
    kind: str, closed: str, code: int, said: str, sandbox: Sandbox
) -> None:
    command = [sys.executable, "-m", "registry_async", "scan", "--format", kind]
    ended = subprocess.run(
        ["sh", "-c", f'exec "$@" {closed}>&-', "sh", *command],
        capture_output=True,
        text=True,
        timeout=SECONDS,
        check=False,
    )
    assert ended.returncode == code
    assert said in ended.stderr
    assert len(ended.stderr.splitlines()) == bool(said)
    assert bool(ended.stdout) == bool(sandbox.requests) == (code == 0)


def test_a_failure_is_not_printed_among_the_results_where_standard_error_is_closed(
    sandbox: Sandbox,
) -> None:
    sandbox.faults.add(path="team%2Fworker/images", status=500, times=None)
    command = [sys.executable, "-m", "registry_async", "scan", "--json"]
    ended = subprocess.run(
        ["sh", "-c", 'exec "$@" 2>&-', "sh", *command],
        capture_output=True,
        text=True,
        timeout=SECONDS,
        check=False,
    )
    assert ended.returncode == 3
    assert len(ScanReport.from_json(ended.stdout).errors) == 2


@pytest.mark.parametrize("kind", ["table", "json", "csv", "html"])
def test_every_name_can_be_printed_whatever_the_encoding_of_the_terminal(
    kind: str, sandbox: Sandbox
) -> None:
    # The service gives no such registry, but a message of its own may hold any letter.
    sandbox.faults.add(path="team%2Fworker/images", status=500, body={"error": "é→"}, times=None)
    with start(
        "scan", "--format", kind, env=os.environ | {"PYTHONIOENCODING": "ascii"}, encoding="utf-8"
    ) as process:
        out, err = process.communicate(timeout=SECONDS)
    assert process.returncode == 3
    if kind == "table":
        assert r"500 \xe9\u2192" in out
    else:
        assert r"500 \xe9\u2192" in err
        assert ("é→" in out) == (kind != "csv")


@pytest.mark.usefixtures("sandbox")
def test_progress_is_shown_on_a_terminal_and_nowhere_else() -> None:
    ours, theirs = pty.openpty()
    environment = os.environ | {"TERM": "xterm", "COLUMNS": "120"}
    with start("scan", "--json", stderr=theirs, env=environment) as process:
        os.close(theirs)
        try:
            shown = read_terminal(ours)
            out, _ = process.communicate(timeout=SECONDS)
        finally:
            process.kill()
            os.close(ours)
    assert process.returncode == 0
    assert ScanReport.from_json(out).complete
    assert "registries" in shown
    assert "repositories" in shown
    assert "images" in shown


def read_terminal(terminal: int) -> str:
    parts = []
    while True:
        try:
            part = os.read(terminal, 1 << 16)
        except OSError:
            # Linux says so when the other side is closed.
            break
        if not part:
            break
        parts.append(part)
    return b"".join(parts).decode()
