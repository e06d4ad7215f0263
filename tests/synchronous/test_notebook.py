"""The sync tour in a live kernel, whose event loop runs already, as a user would see it."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from pathlib import Path
from typing import Any, Final

import pytest

from registry_async.sandbox import Sandbox

NOTEBOOK: Final = Path(__file__).parent / "notebooks" / "tour.ipynb"

# In a process of its own: Jupyter's warnings are no business of ours.
RUNNER: Final = """
import sys
import nbformat
from nbclient import NotebookClient

notebook = nbformat.read(sys.argv[1], as_version=4)
NotebookClient(notebook, timeout=120, kernel_name="python3").execute()
nbformat.write(notebook, sys.argv[2])
"""

Outputs = list[dict[str, Any]]


@pytest.fixture(scope="module")
def cells(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Outputs]:
    """The outputs of the notebook's cells, by the names of these."""
    done = tmp_path_factory.mktemp("notebook") / "done.ipynb"
    finished = subprocess.run(
        [sys.executable, "-c", RUNNER, str(NOTEBOOK), str(done)],
        capture_output=True,
        text=True,
        timeout=240,
        check=False,
    )
    assert finished.returncode == 0, finished.stderr
    document = json.loads(done.read_text(encoding="utf-8"))
    return {
        cell["metadata"]["name"]: cell["outputs"]
        for cell in document["cells"]
        if cell["cell_type"] == "code"
    }


@pytest.fixture(scope="module")
def sandbox() -> Sandbox:
    """The same data as the notebook's."""
    return Sandbox(seed=7)


def joined(text: str | list[str]) -> str:
    return text if isinstance(text, str) else "".join(text)


def shown(outputs: Outputs, kind: str = "text/html") -> str:
    """Give what the last expression of a cell showed."""
    (result,) = (each for each in outputs if each["output_type"] == "execute_result")
    return joined(result["data"][kind])


def printed(outputs: Outputs) -> str:
    return "".join(joined(each["text"]) for each in outputs if each["output_type"] == "stream")


def bars(outputs: Outputs) -> list[str]:
    return [
        joined(each["data"]["text/html"])
        for each in outputs
        if each["output_type"] == "display_data" and "<progress" in str(each["data"])
    ]


def rows(html: str) -> list[list[str]]:
    """Give the cells of a table's body."""
    body = html.partition("<tbody>")[2].partition("</tbody>")[0]
    return [
        re.findall(r"<td[^>]*>(.*?)</td>", row, re.DOTALL)
        for row in re.findall(r"<tr[^>]*>(.*?)</tr>", body, re.DOTALL)
    ]


def test_the_committed_notebook_has_no_outputs() -> None:
    document = json.loads(NOTEBOOK.read_text(encoding="utf-8"))
    code = [cell for cell in document["cells"] if cell["cell_type"] == "code"]
    assert len(code) > 10
    assert all(cell["outputs"] == [] and cell["execution_count"] is None for cell in code)


def test_no_cell_but_the_one_that_should_fails_or_warns(cells: dict[str, Outputs]) -> None:
    failed = [
        name
        for name, outputs in cells.items()
        if any(each["output_type"] == "error" for each in outputs)
    ]
    assert failed == ["error"]
    assert not any(
        each.get("name") == "stderr" for outputs in cells.values() for each in outputs
    ), cells


def test_the_kernels_loop_runs(cells: dict[str, Outputs]) -> None:
    assert shown(cells["loop"], "text/plain") == "True"


def test_the_client_shows_in_a_line(cells: dict[str, Outputs]) -> None:
    text = shown(cells["setup"], "text/plain")
    assert re.fullmatch(r"<RegistryClient of http://127\.0\.0\.1:\d+/api>", text)


def test_a_paginator_shows_its_first_page(cells: dict[str, Outputs], sandbox: Sandbox) -> None:
    html = shown(cells["registries"])
    names = {registry.name for registry in sandbox.state.registries()}
    found = rows(html)
    assert {cell for row in found for cell in row} >= names
    assert len(found) == len(names)
    assert f"<p>{len(names)} of {len(names)}</p>" in html
    assert re.search(r"\d (GiB|MiB|KiB)", html), "sizes are for people here"


def test_a_list_shows_as_a_table(cells: dict[str, Outputs]) -> None:
    html = shown(cells["repositories"])
    assert len(rows(html)) > 1
    assert ">name</th>" in html
    assert "<script" not in html


def test_collecting_shows_a_bar_that_gets_to_its_end(cells: dict[str, Outputs]) -> None:
    (bar,) = bars(cells["bar"])
    count, total = re.findall(r'value="(\d+)" max="(\d+)"', bar)[0]
    assert count == total
    assert len(rows(shown(cells["bar"]))) == int(count) > 2


def test_the_frame_has_the_same_rows_and_sensible_types(cells: dict[str, Outputs]) -> None:
    html = shown(cells["frame"])
    assert len(rows(html)) == len(rows(shown(cells["repositories"])))
    types = json.loads(shown(cells["dtypes"], "text/plain").replace("'", '"'))
    assert types["size"] == "Int64"
    assert types["updated_at"] == "datetime64[ns, UTC]"
    assert types["name"] == "string"


def test_the_loop_prints_every_repository(cells: dict[str, Outputs]) -> None:
    lines = printed(cells["tour"]).splitlines()
    assert len(lines) == len(rows(shown(cells["repositories"])))
    assert all(re.fullmatch(r"\S+ \d+", line) for line in lines)


def test_a_scan_shows_a_bar_and_finds_what_there_is(cells: dict[str, Outputs]) -> None:
    (bar,) = bars(cells["scan"])
    count, total = re.findall(r'value="(\d+)" max="(\d+)"', bar)[0]
    assert count == total
    untagged, complete, errors = printed(cells["scan"]).split()
    assert int(untagged) > 0
    assert (complete, errors) == ("True", "0")


def test_a_report_shows_as_a_table(cells: dict[str, Outputs]) -> None:
    html = shown(cells["report"])
    assert "<table" in html
    assert "<script" not in html


def test_a_traceback_has_the_users_line_and_no_plumbing(cells: dict[str, Outputs]) -> None:
    (error,) = (each for each in cells["error"] if each["output_type"] == "error")
    assert error["ename"] == "NotFoundError"
    text = re.sub(r"\x1b\[[0-9;]*m", "", "\n".join(error["traceback"]))
    assert 'client.registries.get("missing")' in text
    for library in ("asyncio", "anyio", "aiohttp", "concurrent"):
        assert f"/{library}/" not in text


def test_both_clients_live_side_by_side(cells: dict[str, Outputs]) -> None:
    assert printed(cells["await"]) == "True\n"


def test_what_cannot_be_read_shows_its_error(cells: dict[str, Outputs]) -> None:
    html = shown(cells["closing"])
    assert html.startswith("<pre>Paginator[Registry](")
    assert "ClientClosedError" in html
