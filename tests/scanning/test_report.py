"""Reports: their totals against what is there, what they survive, and how they look."""

from __future__ import annotations

import asyncio
import csv
import io
import json
import pickle
import warnings
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta
from html.parser import HTMLParser
from itertools import pairwise
from pathlib import Path
from random import Random
from typing import Any

import attrs
import pandas
import pytest
from IPython.core.formatters import DisplayFormatter
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle
from rich.console import Console

from registry_async import (
    AsyncRegistryClient,
    PermissionDeniedError,
    ScanReport,
    ServerError,
    scan,
)
from registry_async._report.text import write_csv
from registry_async._safe_text import visible
from registry_async._tables import size_text
from registry_async.sandbox import Sandbox
from tests.support.clock import FakeClock
from tests.support.strict_server import Reply, StrictServer, make_image
from tests.support.wire import SeenRequest

pytestmark = pytest.mark.anyio


def client_of(server: StrictServer, **options: Any) -> AsyncRegistryClient:
    return AsyncRegistryClient(
        token=server.token, base_url=server.base_url, clock=FakeClock(), **options
    )


@asynccontextmanager
async def project() -> AsyncIterator[tuple[StrictServer, AsyncRegistryClient]]:
    async with StrictServer() as server, client_of(server) as client:
        yield server, client
        assert server.violations == []


async def report_of(
    repositories: int, *, registries: int = 1, label: str | None = None, images: int = 2
) -> ScanReport:
    async with (
        StrictServer(check_answers=False) as server,
        client_of(server, label=label) as client,
    ):
        server.populate(
            registries=registries, repositories=repositories // registries, images=images
        )
        return await client.scan_report()


async def report_of_names(*names: str, registry: str = "one") -> ScanReport:
    async with project() as (server, client):
        made = server.add_registry(registry)
        for number, name in enumerate(names):
            made.add_repository(name, [make_image(number, tags=[])])
        return await client.scan_report()


def layer(digest: int, size: int) -> dict[str, Any]:
    return {"digest": f"sha256:{digest:064x}", "size": size}


# -- totals


async def test_totals_are_those_of_what_is_there() -> None:
    async with project() as (server, client):
        server.populate(registries=3, repositories=4, images=7)
        server.add_registry("empty")
        report = await client.scan_report()
        images = [
            image
            for registry in server.registries.values()
            for repository in registry.repositories.values()
            for image in repository.images
        ]
        untagged = [image for image in images if not image["tags"]]
        layers = {part["digest"]: part["size"] for image in images for part in image["layers"]}
        assert report.registry_count == 4
        assert report.repository_count == 12
        assert report.image_count == len(images) == 84
        assert report.untagged_count == len(untagged)
        assert report.total_size == sum(image["size"] for image in images)
        assert report.untagged_size == sum(image["size"] for image in untagged)
        assert report.unique_size == sum(layers.values())
        assert report.shared_size == report.total_size - report.unique_size
        assert report.complete
        assert report.errors == ()
        for row in report.registries:
            inside = server.registries[row.registry_id].repositories.values()
            assert row.repository_count == len(inside)
            assert row.image_count == sum(len(repository.images) for repository in inside)
            assert row.total_size == sum(repository.size for repository in inside)
        for each in report.repositories:
            held = server.registries[each.registry_id].repositories[each.repository].images
            assert each.image_count == len(held)
            assert each.untagged_count == sum(not image["tags"] for image in held)
            assert each.total_size == sum(image["size"] for image in held)


async def test_what_an_image_leaves_out_is_made_up_for() -> None:
    async with project() as (server, client):
        shared = layer(1, 1000)
        images = [
            make_image(1) | {"layers": [shared, layer(2, 10)], "size": 1500},
            {"digest": "sha256:" + "a" * 64, "layers": [shared]},
            make_image(3) | {"layers": None, "size": 7},
            {"digest": "md5:x", "layers": [{"digest": "sha256:" + "z" * 64, "size": 3}]},
            {"digest": "sha256:" + "b" * 64},
        ]
        server.add_registry("one").add_repository("app")
        (registry,) = server.registries.values()

        async def answer(request: SeenRequest) -> Reply | None:
            if not request.raw_path.endswith("/images"):
                return None
            return Reply(200, {"images": images, "totalCount": 5})

        server.on_request = answer
        report = await client.scan_report()
        assert registry.repositories.keys() == {"app"}
        # The size that an image states, or that of its layers.
        assert report.total_size == 1500 + 1000 + 7 + 3
        # Each layer once; an image without layers counts as one.
        assert report.unique_size == 1000 + 10 + 7 + 3
        assert report.untagged_count == 3


async def test_largest_and_oldest_images_are_the_right_ones_in_order() -> None:
    random = Random(7)
    start = datetime(2020, 1, 1, tzinfo=UTC)
    images = [
        make_image(number)
        | {
            "size": random.randrange(10**9),
            "createdAt": (start + timedelta(days=random.randrange(2000))).isoformat(),
        }
        for number in range(300)
    ]
    async with project() as (server, client):
        for half in (images[:150], images[150:]):
            server.add_registry(f"r{len(server.registries)}").add_repository("app", half)
        report = await client.scan_report(concurrency=3, page_size=17)
    by_size = sorted(images, key=lambda image: -image["size"])
    by_age = sorted(image["createdAt"] for image in images)
    assert [image.digest for image in report.largest_images] == [
        image["digest"] for image in by_size[:10]
    ]
    oldest = [image.created_at for image in report.oldest_images]
    assert [moment.isoformat() for moment in oldest if moment] == by_age[:10]
    assert sum(report.images_by_month.values()) == 300
    assert list(report.images_by_month) == sorted({moment[:7] for moment in by_age})


async def test_the_quota_costs_one_request_a_project() -> None:
    async with project() as (server, client):
        server.populate(registries=5, repositories=1, images=1)
        report = await client.scan_report()
        assert server.count(operation_id="listRegistriesV1") == 1
        for row in report.registries:
            assert row.size_limit == 21_474_836_480
            assert row.used == round(100 * row.size / 21_474_836_480, 2)


async def test_the_quota_is_asked_for_once_however_the_list_of_registries_was_read() -> None:
    async with project() as (server, client):
        server.populate(registries=12, repositories=1, images=1)
        gone = asyncio.Event()

        async def shrink(request: SeenRequest) -> None:
            # The pages after the second are under way when the list turns out to be short.
            if request.query == "limit=2&offset=2":
                for registry in list(server.registries)[4:]:
                    del server.registries[registry]
                gone.set()
            elif request.query.startswith("limit=2&offset=") and request.query[-1] != "0":
                await gone.wait()

        server.on_request = shrink
        await client.scan_report(page_size=2)
        assert server.count(operation_id="listRegistriesV1") == 1


async def test_a_report_does_without_the_quota() -> None:
    async with project() as (server, client):
        server.populate(registries=2, repositories=1, images=1)

        async def refuse(request: SeenRequest) -> Reply | None:
            lists = request.target.partition("?")[0].endswith("/v1/registries")
            return Reply(500, {"error": "No."}) if lists else None

        server.on_request = refuse
        report = await client.scan_report()
        assert report.complete
        assert {row.size_limit for row in report.registries} == {None}
        assert report.image_count == 2


async def test_filters_are_those_of_scans() -> None:
    async with project() as (server, client):
        server.populate(registries=2, repositories=3, images=3)
        report = await client.scan_report(
            registries="registry-001", repository="*-0001", tags=False
        )
        assert [(row.registry, row.repository) for row in report.repositories] == [
            ("registry-001", "team-1/app-0001")
        ]
        assert report.image_count == report.untagged_count == 1


async def test_failures_are_in_the_report_in_words() -> None:
    async with project() as (server, client):
        server.populate(registries=2, repositories=2, images=1)

        async def fail(request: SeenRequest) -> Reply | None:
            if "app-0001" in request.target:
                return Reply(500, {"error": "Sick."})
            return None

        server.on_request = fail
        report = await client.scan_report()
        assert not report.complete
        assert {(error.registry, error.repository) for error in report.errors} == {
            ("registry-000", "team-1/app-0001"),
            ("registry-001", "team-1/app-0001"),
        }
        assert {(error.kind, error.status, error.message) for error in report.errors} == {
            ("ServerError", 500, "Sick.")
        }
        assert report.image_count == 2
        with pytest.raises(ServerError, match="Sick"):
            await client.scan_report(on_error="raise")


async def test_a_refused_project_is_a_report_of_nothing() -> None:
    async with project() as (server, client):

        async def refuse(_: SeenRequest) -> Reply:
            return Reply(403, {"error": "No."})

        server.on_request = refuse
        report = await client.scan_report()
        assert [error.kind for error in report.errors] == [PermissionDeniedError.__name__]
        assert report.registry_count == 0
        assert not report.complete


async def test_several_projects_make_one_report() -> None:
    async with (
        StrictServer() as one,
        StrictServer() as two,
        client_of(one, label="one") as first,
        client_of(two, label="two") as second,
    ):
        # The servers number their registries alike, so that only the client tells them apart.
        one.populate(registries=2, repositories=2, images=3)
        two.populate(registries=2, repositories=2, images=5)
        async with scan([first, second], concurrency=4) as found:
            report = await found.report()
        alone = [await client.scan_report() for client in (first, second)]
    assert ScanReport.merge(*alone) == report
    assert [row.image_count for row in report.registries] == [6, 6, 10, 10]
    assert [row.client_label for row in report.registries] == ["one", "one", "two", "two"]


async def test_a_scan_that_was_iterated_gives_no_report() -> None:
    async with project() as (_, client):
        async with client.scan() as found:
            assert [each async for each in found] == []
            with pytest.raises(RuntimeError, match="iterated"):
                await found.report()
        async with client.scan(images=False) as names:
            with pytest.raises(RuntimeError, match="images"):
                await names.report()


# -- merging and comparing


async def test_merging_counts_shared_layers_once_however_it_is_done() -> None:
    reports = []
    async with project() as (server, client):
        for number in range(3):
            registry = server.add_registry(f"r{number}")
            images = [
                make_image(n) | {"layers": [layer(n, 100), layer(9_999, 50)], "size": 150}
                for n in range(10 * number, 10 * number + 12)
            ]
            registry.add_repository("app", images)
            reports.append(await client.scan_report(registries=f"r{number}"))
        whole = await client.scan_report()
    one, two, three = reports
    merged = ScanReport.merge(one, two, three)
    assert merged == one.merge(two).merge(three) == one.merge(two.merge(three))
    assert merged == whole
    # 32 images in all, of which four are in two registries, and a layer that all share.
    assert merged.unique_size == 32 * 100 + 50
    assert merged.total_size == 36 * 150
    read_back = [ScanReport.from_json(report.to_json()) for report in reports]
    assert ScanReport.merge(*read_back) == whole
    assert ScanReport.merge(one) == one


async def test_a_report_is_complete_only_if_all_its_parts_are() -> None:
    whole = await report_of(2)
    assert whole.merge(attrs.evolve(whole, complete=False)).complete is False


async def test_differences_say_what_came_and_what_went() -> None:
    async with project() as (server, client):
        server.populate(registries=1, repositories=4, images=2)
        (registry,) = server.registries.values()
        before = await client.scan_report()
        same = (await client.scan_report()).diff(before)
        assert not same
        registry.repositories.pop("team-0/app-0000")
        registry.repositories["team-1/app-0001"].images.append(make_image(500, tags=[]))
        registry.add_repository("new", [make_image(600)])
        after = await client.scan_report()
    diff = after.diff(before)
    assert diff
    assert [row.repository for row in diff.added] == ["new"]
    assert [row.repository for row in diff.removed] == ["team-0/app-0000"]
    ((old, new),) = diff.changed
    assert (old.image_count, new.image_count) == (2, 3)
    assert diff.repository_count == 0
    assert diff.image_count == -2 + 1 + 1
    assert diff.untagged_count == after.untagged_count - before.untagged_count
    assert diff.total_size == after.total_size - before.total_size
    assert diff.unique_size == after.unique_size - before.unique_size
    assert "added    registry-000/new: +1 images" in str(diff)
    assert "removed  registry-000/team-0/app-0000: -2 images" in str(diff)
    assert '<td class="">removed</td>' in diff._repr_html_()


# -- what reports survive


async def test_a_report_survives_json_and_pickling() -> None:
    async with Sandbox() as sandbox, sandbox.client(label="acme") as client:
        sandbox.faults.add(path="team%2Fapp/images", status=500, times=None)
        report = await client.scan_report()
    assert len(report.errors) == 3
    text = report.to_json()
    assert ScanReport.from_json(text) == report
    assert ScanReport.from_json(text.encode()).finished_at == report.finished_at
    assert pickle.loads(pickle.dumps(report)) == report
    document = json.loads(text)
    assert document["image_count"] == report.image_count
    assert document["unique_size"] == report.unique_size
    assert document["errors"][0]["kind"] == "ServerError"


def damaged(document: dict[str, Any]) -> Iterator[dict[str, Any]]:
    row = document["repositories"][0]
    yield {}
    yield document | {"format": "something else"}
    yield document | {"layers": None}
    yield document | {"layers": "%%%"}
    yield document | {"layers": document["layers"][:-4]}
    yield document | {"complete": "no"}
    yield document | {"repositories": None}
    yield document | {"repositories": [row | {"image_count": "7"}]}
    yield document | {"repositories": [row | {"repository": None}]}
    yield document | {"repositories": [row | {"updated_at": "yesterday"}]}
    yield document | {"image_count": document["image_count"] + 1}
    yield document | {"version": None}
    yield document | {"version": 0}
    yield document | {"finished_at": "9999-99-99T00:00:00Z"}
    yield document | {"images_by_month": {"june": 1}}
    yield document | {"images_by_month": {"2025-13": 1}}
    yield document | {"images_by_month": {"0000-01": 1}}
    yield document | {"images_by_month": {"2025-01": -1}}
    yield document | {"images_by_month": {"2025-01": 2**70}}
    yield document | {"images_by_month": {"2025-01": 1.5}}
    yield document | {"repositories": [row | {"image_count": None}]}
    yield document | {"repositories": [row | {"image_count": -1}]}
    yield document | {"repositories": [row | {"image_count": float("inf")}]}
    yield document | {"repositories": [row | {"total_size": 10**1001}]}
    yield document | {"registries": [document["registries"][0] | {"used": float("inf")}]}
    yield document | {"registries": [document["registries"][0] | {"used": float("nan")}]}
    yield document | {"registries": [document["registries"][0] | {"garbage": {"total": 1}}]}
    yield document | {"oldest_images": [document["oldest_images"][0] | {"created_at": None}]}
    yield document | {"oldest_images": [document["oldest_images"][0] | {"tags": None}]}
    yield document | {"large_layers": {"xyz": 1}}
    yield document | {"large_layers": {"00": 1}}
    yield document | {"errors": [{"kind": "ServerError"}]}
    yield document | {"errors": [{"kind": "E", "message": "m", "status": "500"}]}


async def test_a_report_of_sizes_that_make_no_sense_survives() -> None:
    async with StrictServer(check_answers=False) as server, client_of(server) as client:
        odd = make_image(1) | {"size": -1, "layers": [layer(1, -1), layer(2, 2**63 - 1)]}
        server.add_registry("one").add_repository("app", [odd])
        report = await client.scan_report()
    assert report.complete
    assert report.total_size == -1
    assert ScanReport.from_json(report.to_json()) == report
    report.to_html()
    report.plot()


async def test_a_damaged_report_is_refused() -> None:
    report = await report_of(2)
    document = json.loads(report.to_json())
    assert ScanReport.from_json(json.dumps(document)) == report
    for damage in damaged(document):
        with pytest.raises(ValueError, match="report"):
            ScanReport.from_json(json.dumps(damage))
    for text in ("", "nothing", "[]", b"\xff", "[" * 100_000):
        with pytest.raises(ValueError, match="report"):
            ScanReport.from_json(text)


# -- how reports look


class _Checker(HTMLParser):
    """Read HTML; note the text, and what would be fetched or run."""

    def __init__(self) -> None:
        super().__init__()
        self.open: list[str] = []
        self.text: list[str] = []
        self.rows = 0
        self.outside: list[str] = []

    def handle_starttag(self, tag: str, attributes: list[tuple[str, str | None]]) -> None:
        if tag != "meta":
            self.open.append(tag)
        self.rows += tag == "tr"
        if tag in {"script", "link", "img", "iframe"}:
            self.outside.append(tag)
        self.outside += [name for name, _ in attributes if name in {"src", "href", "onclick"}]

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        self.text.append(data)


def check_html(document: str) -> _Checker:
    checker = _Checker()
    checker.feed(document)
    checker.close()
    assert checker.open == []
    assert checker.outside == []
    return checker


def console_text(report: ScanReport, width: int = 120) -> str:
    console = Console(file=io.StringIO(), width=width)
    console.print(report)
    file = console.file
    assert isinstance(file, io.StringIO)
    return file.getvalue()


HOSTILE = (
    "<script>alert(1)</script>",
    "[red]x[/red]",
    "$\\alpha$_^",
    "\x1b[31mred",
    "=cmd|' /C'!A0",
)


@pytest.fixture
async def hostile() -> ScanReport:
    # Names that no registry would give: built without a server, which could not be asked for all.
    base = await report_of_names("app", "team/app", "a", "b", "c")
    rows = tuple(
        attrs.evolve(row, repository=name)
        for row, name in zip(base.repositories, HOSTILE, strict=True)
    )
    return attrs.evolve(base, repositories=rows)


@pytest.mark.parametrize("repositories", [1, 12, 300])
async def test_views_show_the_largest_and_add_up(repositories: int) -> None:
    report = await report_of(repositories, registries=min(4, repositories), images=3)
    shown = min(repositories, 40)
    for text in (str(report), console_text(report)):
        assert text.count("/app-") == shown
        assert f"{repositories:,} repositor" in text
        assert f"{3 * repositories:,}" in text
        assert (f"{repositories - shown} others" in text) == (repositories > shown)
        assert max(map(len, text.splitlines())) <= 120
    checked = check_html(report.to_html())
    assert sum("/app-" in data for data in checked.text) >= shown
    assert any("others" in data for data in checked.text) == (repositories > shown)
    assert check_html(report._repr_html_()).rows == checked.rows


@pytest.mark.parametrize(
    ("width", "columns"),
    [
        (
            100,
            [
                *("registry", "repository", "images", "untagged", "maybe", "parts"),
                *("stored", "image", "bytes", "last", "change"),
            ],
        ),
        (64, ["registry", "repository", "images", "untagged", "stored"]),
        (48, ["registry", "repository", "images", "stored"]),
        (40, ["registry", "repository", "stored"]),
    ],
)
async def test_a_narrow_terminal_sees_fewer_columns_and_none_of_them_cut(
    width: int, columns: list[str]
) -> None:
    report = await report_of(3, images=1_200)
    lines = console_text(report, width=width).splitlines()
    assert lines[0].split() == columns
    assert max(map(len, lines)) <= width
    for row in report.repositories:
        # A long name is folded, not cut; the numbers are in its first line.
        (line,) = [line for line in lines if row.repository[:10] in line]
        shown = line.split()
        assert (f"{row.image_count:,}" in shown) == ("images" in columns)
        assert size_text(row.total_size) in line
        assert row.updated_at is not None
        assert (f"{row.updated_at:%Y-%m-%d}" in shown) == ("change" in columns)


async def test_views_of_nothing() -> None:
    report = ScanReport()
    assert "0 registries" in str(report)
    assert "0 registries" in console_text(report)
    check_html(report.to_html())
    assert report.merge(report) == report
    assert ScanReport.from_json(report.to_json()) == report


async def test_labels_make_a_column() -> None:
    report = await report_of(2, label="acme")
    assert str(report).splitlines()[0].startswith("project")
    assert "acme" in console_text(report)
    assert "acme" in check_html(report.to_html()).text


async def test_registries_without_repositories_are_told_from_those_not_read() -> None:
    async with project() as (server, client):
        server.add_registry("empty")
        broken = server.add_registry("broken")

        async def fail(request: SeenRequest) -> Reply | None:
            return Reply(500, {"error": "No."}) if broken.id in request.target else None

        server.on_request = fail
        lines = str(await client.scan_report()).splitlines()
    assert any(line.startswith("empty") and "(no repositories)" in line for line in lines)
    assert any(line.startswith("broken") and "(not read)" in line for line in lines)
    assert any("broken: ServerError: 500 No." in line for line in lines)


async def test_nothing_in_a_name_is_taken_for_markup(hostile: ScanReport) -> None:
    for text in (str(hostile), console_text(hostile, width=200)):
        assert "\x1b" not in text
        assert "\\x1b[31mred" in text
        assert "[red]x[/red]" in text
        assert "<script>" in text
    for html in (hostile.to_html(), hostile._repr_html_()):
        assert "\x1b" not in html
        assert "<script>alert(1)</script>" in check_html(html).text


async def test_a_nearly_full_registry_is_worth_a_word() -> None:
    report = await report_of(1)
    (row,) = report.registries
    full = attrs.evolve(report, registries=(attrs.evolve(row, used=96.4, size_limit=2 * 1024**3),))
    sentence = "registry-000 is 96% full: its limit is 2.0 GiB."
    assert sentence in str(full)
    assert sentence in console_text(full)
    assert sentence in check_html(full.to_html()).text
    assert "full" not in str(report)


async def test_html_is_written_to_a_file(tmp_path: Path) -> None:
    report = await report_of(1)
    path = tmp_path / "report.html"
    assert report.to_html(path) == path.read_text(encoding="utf-8")
    assert path.read_text(encoding="utf-8").startswith("<!DOCTYPE html>")


async def test_a_data_frame_has_a_typed_row_for_each_repository() -> None:
    report = await report_of(12, registries=3)
    frame = report.to_dataframe()
    assert len(frame) == 12
    assert frame["image_count"].sum() == report.image_count
    assert frame["total_size"].sum() == report.total_size
    empty = ScanReport().to_dataframe()
    assert len(empty) == 0
    for each in (frame, empty):
        kinds = {str(name): str(kind) for name, kind in each.dtypes.items()}
        assert {kinds[name] for name in ("image_count", "size", "total_size")} == {"Int64"}
        assert kinds["updated_at"] == kinds["oldest"] == "datetime64[ns, UTC]"
        assert kinds["repository"] == "string"
    first = report.repositories[0]
    assert first.updated_at is not None
    assert frame["updated_at"][0] == pandas.Timestamp(first.updated_at)


async def test_a_data_frame_holds_no_time_that_pandas_cannot() -> None:
    report = await report_of(1)
    (row,) = report.repositories
    odd = attrs.evolve(row, updated_at=datetime(9999, 1, 1, tzinfo=UTC), size=None)
    frame = attrs.evolve(report, repositories=(odd,)).to_dataframe()
    assert frame["updated_at"].isna().all()
    assert frame["size"].isna().all()


def widths(axes: Axes) -> list[float]:
    return [bar.get_width() for bar in axes.patches if isinstance(bar, Rectangle)]


def heights(axes: Axes) -> list[float]:
    return [bar.get_height() for bar in axes.patches if isinstance(bar, Rectangle)]


@pytest.mark.parametrize("repositories", [0, 1, 12, 300])
async def test_the_plot_draws_the_largest_repositories_and_the_ages(
    repositories: int, tmp_path: Path
) -> None:
    report = await report_of(repositories) if repositories else ScanReport()
    figure = report.plot()
    assert isinstance(figure, Figure)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        figure.savefig(tmp_path / "plot.png")
    assert (tmp_path / "plot.png").read_bytes().startswith(b"\x89PNG")
    sizes, ages = figure.axes
    bars = min(repositories, 20)
    drawn = sum(sorted(row.total_size for row in report.repositories)[-bars:]) if bars else 0
    assert sum(widths(sizes)) == pytest.approx(drawn / 1024**2)
    assert sum(heights(ages)) == report.image_count
    assert ("280 others" in sizes.get_xlabel()) == (repositories == 300)
    labels = [label.get_text() for label in sizes.get_yticklabels()]
    assert sum("/app-" in label for label in labels) == bars


@pytest.mark.parametrize("months", [1, 5, 8, 9, 13, 25, 36, 37, 100, 400])
async def test_what_the_plot_says_of_ages_can_be_read(months: int) -> None:
    moments = [f"{2020 + month // 12}-{month % 12 + 1:02}" for month in range(months)]
    report = attrs.evolve(await report_of(20), images_by_month=dict.fromkeys(moments, 1))
    figure = report.plot()
    # matplotlib leaves these untyped.
    canvas: Any = FigureCanvasAgg(figure)
    canvas.draw()
    _, ages = figure.axes
    labels = [label for label in ages.get_xticklabels() if label.get_text()]
    boxes = [label.get_window_extent(canvas.get_renderer()) for label in labels]
    assert boxes
    for left, right in pairwise(boxes):
        assert left.x1 + 5 < right.x0


async def test_every_view_tells_registries_of_one_name_in_two_projects_apart() -> None:
    one, two = [await report_of(1, label=label) for label in ("east", "west")]
    (registry,) = two.registries
    full = attrs.evolve(registry, used=95.0, size_limit=1_000)
    both = one.merge(attrs.evolve(two, registries=(full,)))
    sizes, _ = both.plot().axes
    assert [label.get_text() for label in sizes.get_yticklabels()] == [
        "east/registry-000/team-0/app-0000",
        "west/registry-000/team-0/app-0000",
    ]
    for view in (str(both), both.to_html()):
        assert "west / registry-000 is 95% full" in view
    added = both.diff(one)
    assert "added    west / registry-000/team-0/app-0000" in str(added)
    assert "west / registry-000" in check_html(added._repr_html_()).text


async def test_the_plot_takes_any_name(hostile: ScanReport, tmp_path: Path) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        hostile.plot().savefig(tmp_path / "plot.png")


async def test_a_notebook_shows_the_plot_and_the_report() -> None:
    report = await report_of(1)
    # IPython's own code is untyped.
    formatter: Any = DisplayFormatter()
    shown, _ = formatter.format(report.plot())
    assert shown["image/png"].startswith(b"\x89PNG")
    shown, _ = formatter.format(report)
    assert "team-0/app-0000" in shown["text/html"]
    assert repr(report) in shown["text/plain"]


async def test_ages_of_many_years_are_drawn_by_year() -> None:
    report = attrs.evolve(
        await report_of(1), images_by_month={"0007-01": 1, "2015-03": 2, "2024-12": 3, "2025-01": 4}
    )
    _, ages = report.plot().axes
    assert heights(ages)[-2:] == [3, 4]
    # The one with the wrong clock is still there, and squeezes nothing.
    assert heights(ages)[0] == 1
    assert len(heights(ages)) <= 21


async def test_csv_is_safe_for_spreadsheets_and_whole(hostile: ScanReport) -> None:
    file = io.StringIO(newline="")
    write_csv(hostile, file)
    rows = list(csv.DictReader(io.StringIO(file.getvalue(), newline="")))
    assert [row["repository"] for row in rows] == [
        "'" + name if name.startswith("=") else visible(name) for name in HOSTILE
    ]
    assert sum(int(row["total_size"]) for row in rows) == hostile.total_size


async def test_what_a_collection_would_free_is_asked_for_each_registry() -> None:
    async with project() as (server, client):
        server.populate(registries=3, repositories=1, images=1)
        report = await client.scan_report()
        assert report.complete
        assert server.count(operation_id="getGarbageSize") == 3


async def test_garbage_that_cannot_be_read_is_an_error_of_its_registry() -> None:
    async with project() as (server, client):
        server.populate(registries=3, repositories=1, images=1)
        sick = list(server.registries)[1]

        async def refuse(request: SeenRequest) -> Reply | None:
            asks = sick in request.target and "/v1/" in request.target
            return Reply(500, {"error": "No."}) if asks else None

        server.on_request = refuse
        report = await client.scan_report()
        assert not report.complete
        assert report.image_count == 3
        (error,) = report.errors
        assert (error.registry, error.repository) == ("registry-001", None)
