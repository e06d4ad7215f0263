"""What people see of lists and values: tables, data frames and progress bars."""

from __future__ import annotations

import io
import sys
from collections.abc import Iterator
from contextlib import redirect_stderr
from datetime import UTC, datetime
from html.parser import HTMLParser
from typing import Any, Final

import anyio
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from registry_async import (
    AsyncRegistryClient,
    ConfigurationError,
    ContainerRegistryError,
    Image,
    IssuedToken,
    Layer,
    RegistryClient,
    Repository,
    Token,
    TokenScope,
)
from registry_async.sandbox import Sandbox
from tests.support.faults import FaultServer, Hang, Reply

NOW: Final = datetime(2025, 1, 2, tzinfo=UTC)
MOMENT: Final = "2025-01-02T03:04:05.678901Z"
DTYPES: Final = {
    "registries": {
        "id": "string",
        "name": "string",
        "status": "string",
        "size": "Int64",
        "created_at": "datetime64[ns, UTC]",
        "size_limit": "Int64",
        "used": "Float64",
    },
    "repositories": {
        "name": "string",
        "size": "Int64",
        "type": "string",
        "updated_at": "datetime64[ns, UTC]",
    },
    "images": {
        "digest": "string",
        "tags": "object",
        "size": "Int64",
        "created_at": "datetime64[ns, UTC]",
        "architecture": "string",
        "os": "string",
        "media_type": "string",
        "layer_count": "Int64",
    },
    "tokens": {
        "id": "string",
        "name": "string",
        "status": "string",
        "scope_all_registries": "boolean",
        "scope_read_write": "boolean",
        "scope_registry_ids": "object",
        "expires_at": "datetime64[ns, UTC]",
        "created_at": "datetime64[ns, UTC]",
        "last_used_at": "datetime64[ns, UTC]",
    },
}


@pytest.fixture(scope="module")
def sandbox() -> Iterator[Sandbox]:
    with Sandbox(seed=5) as running:
        yield running


@pytest.fixture
def client(sandbox: Sandbox) -> Iterator[RegistryClient]:
    with sandbox.sync_client() as made:
        yield made


def lists_of(client: RegistryClient) -> dict[str, Any]:
    registry = client.registries.list(sort_field="size", sort_type="desc").first()
    assert registry is not None
    repository = client.repositories.list(registry.id).first()
    assert repository is not None
    return {
        "registries": client.registries.list(),
        "repositories": client.repositories.list(registry.id),
        "images": client.images.list(registry.id, repository.name),
        "tokens": client.tokens.list(),
    }


class Table(HTMLParser):
    """Reads a table, and knows which elements it is made of."""

    def __init__(self, html: str) -> None:
        super().__init__()
        self.elements: set[str] = set()
        self.heads: list[str] = []
        self.rows: list[list[str]] = []
        self.rest = ""
        self._within = ""
        self.feed(html)
        self.close()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.elements.add(tag)
        if tag == "span":
            # A part of a cell.
            return
        self._within = tag
        if tag == "tr":
            self.rows.append([])
        elif tag == "td":
            self.rows[-1].append("")
        elif tag == "th":
            self.heads.append("")

    def handle_endtag(self, tag: str) -> None:
        if tag != "span":
            self._within = ""

    def handle_data(self, data: str) -> None:
        if self._within == "td":
            self.rows[-1][-1] += data
        elif self._within == "th":
            self.heads[-1] += data
        else:
            self.rest += data

    @property
    def body(self) -> list[dict[str, str]]:
        return [dict(zip(self.heads, row, strict=True)) for row in self.rows if row]


# -- data frames


@pytest.mark.parametrize("kind", DTYPES)
def test_a_frame_has_a_row_for_each_item_and_types_that_fit(
    client: RegistryClient, kind: str
) -> None:
    client.tokens.create(scope=TokenScope(all_registries=True, read_write=False), expires_at=None)
    items = lists_of(client)[kind].collect()
    frame = lists_of(client)[kind].to_dataframe()
    assert len(frame) == len(items) > 0
    pd.testing.assert_frame_equal(frame, items.to_dataframe())
    for each in (frame, type(items)(items.item_type).to_dataframe()):
        assert {str(name): str(dtype) for name, dtype in each.dtypes.items()} == DTYPES[kind]
    assert "secret" not in frame.columns


def test_the_values_of_a_frame_are_those_of_the_items(client: RegistryClient) -> None:
    paginator = lists_of(client)["images"]
    images, frame = paginator.collect(), paginator.to_dataframe()
    for row, image in enumerate(images):
        assert frame["size"][row] == image.size
        assert frame["created_at"][row] == pd.Timestamp(image.created_at)
        assert tuple(frame["tags"][row]) == image.tags
        assert frame["layer_count"][row] == len(image.layers)
    assert frame["size"].sum() == sum(image.size for image in images)


@pytest.mark.anyio
@pytest.mark.parametrize("moment", ["9999-12-31T23:59:59Z", "0001-01-01T00:00:00Z", None])
async def test_a_time_that_nanoseconds_cannot_hold_is_none(moment: str | None) -> None:
    bodies = [
        {"name": f"name-{each}", "size": None, "updatedAt": each} for each in (MOMENT, moment)
    ]
    async with (
        FaultServer(Reply.json({"repositories": bodies, "totalCount": 2})) as server,
        AsyncRegistryClient(token="t", base_url=server.base_url) as client,
    ):
        frame = (await client.repositories.list("r").collect()).to_dataframe()
    assert frame["updated_at"][0] == pd.Timestamp(MOMENT)
    assert frame["updated_at"].isna().tolist() == [False, True]
    assert str(frame["updated_at"].dtype) == "datetime64[ns, UTC]"
    assert frame["size"].isna().all()


@pytest.mark.anyio
@pytest.mark.parametrize(
    ("size", "dtype"), [(2**63 - 1, "Int64"), (2**63, "object"), (2**70, "object")]
)
async def test_no_size_is_too_large_for_a_frame(size: int, dtype: str) -> None:
    bodies = [{"name": "a", "size": size}, {"name": "b"}]
    async with (
        FaultServer(Reply.json({"repositories": bodies, "totalCount": 2})) as server,
        AsyncRegistryClient(token="t", base_url=server.base_url) as client,
    ):
        frame = (await client.repositories.list("r").collect()).to_dataframe()
    assert frame["size"].dtype == dtype
    assert frame["size"][0] == size
    assert frame["size"].isna().tolist() == [False, True]


# -- tables


def test_a_table_is_written_for_people(client: RegistryClient) -> None:
    images = lists_of(client)["images"].collect()
    table = Table(images._repr_html_())
    first, row = images[0], table.body[0]
    assert len(table.body) == min(len(images), 50)
    assert first.digest.startswith(row["digest"].removesuffix("…"))
    assert len(row["digest"]) < 24
    assert row["tags"] == ", ".join(first.tags)
    assert row["size"].endswith(("KiB", "MiB", "GiB"))
    assert row["created at"] == f"{first.created_at:%Y-%m-%d %H:%M}"
    assert row["layer count"] == str(len(first.layers))


def test_a_paginator_shows_its_first_page_and_how_much_there_is(client: RegistryClient) -> None:
    paginator = lists_of(client)["repositories"]
    items = paginator.collect()
    table = Table(paginator._repr_html_())
    assert [row["name"] for row in table.body] == [item.name for item in items][:50]
    assert f"of {len(items)}" in table.rest


@pytest.mark.anyio
async def test_of_a_long_list_the_start_is_shown_and_the_rest_counted() -> None:
    names = [f"name-{number}" for number in range(1_234)]
    pages = [
        Reply.json({"repositories": names[start : start + 1000], "totalCount": len(names)})
        for start in (0, 1000)
    ]
    async with (
        FaultServer(*pages) as server,
        AsyncRegistryClient(token="t", base_url=server.base_url) as client,
    ):
        found = await client.repositories.list_names("r", page_size=1000).collect()
    table = Table(found._repr_html_())
    assert [row["name"] for row in table.body] == names[:50]
    assert "1,184 more" in table.rest


@pytest.mark.anyio
async def test_an_empty_list_says_so() -> None:
    async with (
        FaultServer(Reply.json({"tokens": [], "totalCount": 0})) as server,
        AsyncRegistryClient(token="t", base_url=server.base_url) as client,
    ):
        assert (await client.tokens.list().collect())._repr_html_() == "<p>Nothing: no Token.</p>"


@given(st.lists(st.text(st.characters(exclude_categories=["Cs"]), min_size=1), min_size=1))
def test_any_text_is_shown_as_text(names: list[str]) -> None:
    repositories = results_of(Repository, [Repository(name, 1, "docker", None) for name in names])
    table = Table(repositories._repr_html_())
    assert table.elements <= {"div", "table", "thead", "tbody", "tr", "th", "td", "p"}
    for name, row in zip(names[:50], table.body, strict=True):
        shown = row["name"]
        assert shown.isprintable()
        # What cannot be printed is written as Python writes it.
        if name.isprintable():
            assert shown == name
        else:
            assert "\\" in shown


def results_of(model: type[Any], items: list[Any]) -> Any:
    """Make a list as `collect()` gives it."""
    with Sandbox(seed=False) as sandbox, sandbox.sync_client() as client:
        empty = client.tokens.list().collect()
    return type(empty)(model, items)


def test_no_secret_is_shown() -> None:
    scope = TokenScope(all_registries=False, read_write=True, registry_ids=("r1", "r2"))
    token = IssuedToken("id", "<name>", "active", scope, None, created_at=NOW, secret="canary")
    found = results_of(IssuedToken, [token])
    table = Table(found._repr_html_())
    assert "canary" not in found._repr_html_()
    assert table.body[0]["name"] == "<name>"
    assert table.body[0]["scope registry ids"] == "r1, r2"
    assert table.body[0]["scope read write"] == "yes"
    assert "canary" not in found.to_dataframe().to_csv()


def test_layers_show_as_a_table_of_their_own() -> None:
    image = Image("sha256:" + "0" * 64, layers=(Layer("sha256:" + "1" * 64, 2048),))
    table = Table(results_of(Layer, list(image.layers))._repr_html_())
    assert table.body == [{"digest": "sha256:111111111111…", "size": "2.0 KiB"}]


# -- progress


class Terminal(io.StringIO):
    """Standard error as a terminal."""

    @property
    def text(self) -> str:
        return self.getvalue()

    def isatty(self) -> bool:
        return True


@pytest.fixture(autouse=True)
def _plain_terminal(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("NO_COLOR", "FORCE_COLOR", "TTY_COMPATIBLE", "TTY_INTERACTIVE"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("TERM", "xterm-256color")


HIDE_CURSOR: Final = "\x1b[?25l"
SHOW_CURSOR: Final = "\x1b[?25h"


def test_a_bar_goes_to_its_end_and_gives_the_cursor_back(
    client: RegistryClient, capsys: pytest.CaptureFixture[str]
) -> None:
    terminal = Terminal()
    count = client.registries.list().count()
    with redirect_stderr(terminal):
        assert len(client.registries.list(page_size=1).collect(progress=True)) == count
    assert f"{count}/{count}" in terminal.text
    assert terminal.text.rindex(SHOW_CURSOR) > terminal.text.rindex(HIDE_CURSOR)
    assert capsys.readouterr().out == ""


@pytest.mark.anyio
@pytest.mark.parametrize("ending", ["a failure", "a cancellation"])
async def test_a_bar_gives_the_cursor_back_however_the_reading_ends(
    ending: str,
) -> None:
    terminal = Terminal()
    behaviour = Reply(500) if ending == "a failure" else Hang()
    async with (
        FaultServer(default=behaviour) as server,
        AsyncRegistryClient(token="t", base_url=server.base_url) as client,
    ):
        with redirect_stderr(terminal):
            if ending == "a failure":
                with pytest.raises(ContainerRegistryError):
                    await client.registries.list().collect(progress=True)
            else:
                async with anyio.create_task_group() as group:
                    group.start_soon(lambda: client.registries.list().collect(progress=True))
                    await server.wait_for_requests(1)
                    group.cancel_scope.cancel()
    assert terminal.text.rindex(SHOW_CURSOR) > terminal.text.rindex(HIDE_CURSOR)


# -- extras that are missing


def test_a_frame_without_pandas_names_the_extra(
    client: RegistryClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "pandas", None)
    with pytest.raises(ConfigurationError, match=r"registry-async\[pandas\]"):
        client.registries.list().to_dataframe()


def test_a_bar_without_rich_names_the_extra_and_sends_nothing(
    sandbox: Sandbox, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("rich", "rich.console", "rich.progress"):
        monkeypatch.setitem(sys.modules, name, None)
    with sandbox.sync_client() as client:
        with pytest.raises(ConfigurationError, match=r"registry-async\[progress\]"):
            client.registries.list().collect(progress=True)
        # A table needs nothing that is not always there.
        assert "<table>" in client.registries.list()._repr_html_()


def test_a_list_stays_what_it_is_when_it_is_pickled(client: RegistryClient) -> None:
    import copy
    import pickle

    tokens = client.tokens.list().collect()
    for other in (pickle.loads(pickle.dumps(tokens)), copy.copy(tokens), copy.deepcopy(tokens)):
        assert type(other) is type(tokens)
        assert other == tokens
        assert other.item_type is Token
