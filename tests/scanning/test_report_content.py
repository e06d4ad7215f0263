"""What reports say and hold: possible parts, garbage, absurd numbers, and their files."""

from __future__ import annotations

import io
import json
import unicodedata
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import UTC, datetime
from random import Random
from typing import Any, Final

import attrs
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from matplotlib.backends.backend_agg import FigureCanvasAgg
from pydantic import TypeAdapter
from rich.console import Console

from registry_async import (
    AsyncRegistryClient,
    GarbageSize,
    ImageSummary,
    RegistryTotals,
    ReportDiff,
    ReportedError,
    RepositoryTotals,
    ScanReport,
    to_dict,
    to_json,
)
from registry_async._report.columns import IMAGES, REGISTRIES, REPOSITORIES
from registry_async._report.layers import Layers
from registry_async._report.text import write_csv
from registry_async._tables import Column, Kind, size_text
from registry_async.models import holds_bytes
from tests.support.clock import FakeClock
from tests.support.strict_server import Reply, StrictServer, make_image
from tests.support.wire import SeenRequest

INDEX: Final = "application/vnd.oci.image.index.v1+json"
MANIFEST_LIST: Final = "application/vnd.docker.distribution.manifest.list.v2+json"
MOMENT: Final = datetime(2025, 1, 2, 3, 4, 5, tzinfo=UTC)


@asynccontextmanager
async def project(**options: Any) -> AsyncIterator[tuple[StrictServer, AsyncRegistryClient]]:
    async with (
        StrictServer(**options) as server,
        AsyncRegistryClient(
            token=server.token, base_url=server.base_url, clock=FakeClock()
        ) as client,
    ):
        yield server, client


def shown_everywhere(report: ScanReport) -> str:
    """Show a report in every way that there is, and return what is text of it."""
    FigureCanvasAgg(report.plot()).draw()  # type: ignore[no-untyped-call]
    report.to_dataframe()
    file = io.StringIO(newline="")
    write_csv(report, file)
    console = Console(file=io.StringIO(), width=100)
    console.print(report)
    diff = report.diff(ScanReport())
    texts = (str(report), report.to_html(), report._repr_html_(), file.getvalue())
    return "\n".join((*texts, report.to_json(), str(diff), diff._repr_html_(), repr(report)))


def absurd(report: ScanReport) -> ScanReport:
    """Show, save, read, merge and compare a report; return it as it was read."""
    shown_everywhere(report)
    read = ScanReport.from_json(report.to_json())
    assert read == report
    assert report.merge(read).image_count == 2 * report.image_count
    shown_everywhere(read.merge(report))
    shown_everywhere(ScanReport.from_json(report.merge(read).to_json()))
    assert not read.diff(report)
    return read


# -- parts of multi-architecture images


@pytest.mark.anyio
@pytest.mark.parametrize("media_type", [INDEX, MANIFEST_LIST])
async def test_images_without_a_tag_beside_an_index_may_be_its_parts(media_type: str) -> None:
    async with project() as (server, client):
        registry = server.add_registry("one")
        index = make_image(0) | {"mediaType": media_type}
        parts = [make_image(number, tags=[]) for number in (1, 2)]
        registry.add_repository("multi", [*parts, index])
        registry.add_repository("plain", [make_image(3, tags=[]), make_image(4)])
        report = await client.scan_report()
        only_untagged = await client.scan_report(tags=False)
    multi, plain = report.repositories
    assert (multi.untagged_count, multi.possible_part_count) == (2, 2)
    assert multi.possible_part_size == sum(image["size"] for image in parts)
    assert (plain.untagged_count, plain.possible_part_count) == (1, 0)
    assert plain.possible_part_size == 0
    assert (report.untagged_count, report.possible_part_count) == (3, 2)
    (row,) = report.registries
    assert (row.untagged_count, row.possible_part_count) == (3, 2)
    # An index that the filter leaves out is there nevertheless.
    assert only_untagged.possible_part_count == 2


@pytest.mark.anyio
async def test_every_view_tells_possible_parts_apart() -> None:
    async with project() as (server, client):
        registry = server.add_registry("one")
        index = make_image(0) | {"mediaType": INDEX}
        images = [index, *(make_image(number, tags=[]) for number in range(1, 8))]
        registry.add_repository("multi", images)
        registry.add_repository("plain", [make_image(9, tags=[])])
        report = await client.scan_report()
    assert "7 of them" in str(report)
    assert "may be parts of multi-architecture images" in str(report)
    assert "maybe parts" in str(report).splitlines()[0]
    assert "<b>8</b>untagged" in report.to_html()
    assert "<b>7</b>of them maybe parts" in report.to_html()
    sizes, _ = report.plot().axes
    legend = sizes.get_legend()
    assert legend is not None
    assert [text.get_text() for text in legend.get_texts()] == [
        "tagged",
        "untagged, maybe parts",
        "untagged",
    ]
    frame = report.to_dataframe()
    assert frame["possible_part_count"].tolist() == [7, 0]
    diff = report.diff(ScanReport())
    assert (diff.untagged_count, diff.possible_part_count) == (8, 7)
    assert "maybe parts" in str(diff)
    assert "maybe parts" in diff._repr_html_()


# -- words


@pytest.mark.anyio
async def test_each_kind_of_bytes_has_its_own_name() -> None:
    async with project() as (server, client):
        server.populate(registries=2, repositories=2, images=3)
        report = await client.scan_report()
    assert report.stored_size == sum(row.size for row in report.registries)
    console = Console(file=io.StringIO(), width=120)
    console.print(report)
    assert isinstance(console.file, io.StringIO)
    for text in (str(report), report.to_html(), console.file.getvalue()):
        for words in ("stored", "image bytes", "nique bytes"):
            assert words in text
        assert "last change" in text
        assert "last push" not in text
    headings = [
        column.heading for columns in (REPOSITORIES, REGISTRIES, IMAGES) for column in columns
    ]
    assert "size" not in headings
    for row in report.repositories:
        assert row.last_change == row.last_push == row.updated_at


def repository(name: str, **values: Any) -> RepositoryTotals:
    return RepositoryTotals(registry_id="r", registry="reg", repository=name, **values)


def test_repositories_are_sorted_by_what_is_stored() -> None:
    rows = (
        repository("small", size=1, total_size=1000),
        repository("unknown", size=None, total_size=50),
        repository("large", size=100, total_size=2),
    )
    report = ScanReport(repositories=rows)
    text, html = str(report), report.to_html()
    for shown in (text, html):
        assert shown.index("large") < shown.index("unknown") < shown.index("small")


# -- garbage


@pytest.mark.anyio
async def test_garbage_is_the_services_own_answer() -> None:
    async with project() as (server, client):
        server.populate(registries=2, repositories=1, images=1)

        async def answer(request: SeenRequest) -> Reply | None:
            if not request.target.endswith("/garbage-collection/size"):
                return None
            return Reply(200, {"sizeNonReferenced": 1000, "sizeUntagged": 24, "sizeSummary": 1024})

        server.on_request = answer
        report = await client.scan_report()
    garbage = GarbageSize(1000, 24, 1024)
    assert [row.garbage for row in report.registries] == [garbage, garbage]
    assert "would free, as the service says: 2.0 KiB" in str(report)
    assert ScanReport.from_json(report.to_json()).registries == report.registries


@pytest.mark.anyio
async def test_garbage_that_cannot_be_read_is_none_and_an_error() -> None:
    async with project() as (server, client):
        server.populate(registries=2, repositories=1, images=1)
        sick = next(iter(server.registries))

        async def answer(request: SeenRequest) -> Reply | None:
            fails = sick in request.target and request.target.endswith("/size")
            return Reply(500, {"error": "No."}) if fails else None

        server.on_request = answer
        report = await client.scan_report()
    assert not report.complete
    assert [error.kind for error in report.errors] == ["ServerError"]
    missing = {row.registry_id: row.garbage is None for row in report.registries}
    assert [missing[each] for each in server.registries] == [True, False]
    assert "(1 registry not known)" in " ".join(str(report).split())


# -- numbers that make no sense


@pytest.mark.anyio
@pytest.mark.parametrize(
    "size",
    [2**63 - 1, 2**63, 2**64, 10**400, 10**4299, -1, -(2**63), -(10**400), 0],
    ids=lambda size: f"{size:.1e}" if abs(size) < 2**80 else f"{len(str(size))} digits",
)
@pytest.mark.parametrize("place", ["layer", "image", "both"])
async def test_one_absurd_number_does_not_lose_the_report(size: int, place: str) -> None:
    odd = make_image(1)
    if place != "layer":
        odd |= {"size": size}
    if place != "image":
        odd |= {"layers": [{"digest": f"sha256:{5:064x}", "size": size}]}
    if place == "layer":
        del odd["size"]
    async with project(check_answers=False) as (server, client):

        async def answer(request: SeenRequest) -> Reply | None:
            if request.raw_path.endswith("/images"):
                images = [odd, make_image(2), odd | {"digest": f"sha256:{77:064x}"}]
                return Reply(200, {"images": images, "totalCount": 3})
            return None

        server.add_registry("one").add_repository("app")
        server.on_request = answer
        report = await client.scan_report()
    assert report.complete
    assert report.image_count == 3
    read = absurd(report)
    if abs(size) <= 10**1000 and place != "layer":
        assert size in {image.size for image in read.largest_images}


@pytest.mark.anyio
@pytest.mark.parametrize("size", [2**63, 10**400, 10**4299, -1], ids=range(4))
async def test_an_absurd_size_of_a_registry_does_not_lose_the_report(size: int) -> None:
    garbage = {"sizeNonReferenced": size, "sizeUntagged": size, "sizeSummary": size}
    async with project(check_answers=False) as (server, client):
        server.add_registry("one").add_repository("app", [make_image(1)])
        (made,) = server.registries.values()

        async def answer(request: SeenRequest) -> Reply | None:
            path = request.raw_path
            if path.endswith("/size"):
                return Reply(200, garbage)
            if path.endswith("/repositories"):
                rows = [{"name": "app", "size": size, "updatedAt": "9999-12-31T23:59:59Z"}]
                return Reply(200, {"repositories": rows, "totalCount": 1})
            if path.endswith("/registries"):
                row = {"id": made.id, "name": "one", "status": "ACTIVE", "size": size}
                more = {"createdAt": "2025-01-02T03:04:05Z", "sizeLimit": size, "used": 1e308}
                rows = [row | more]
                both = {"registries": rows, "totalCount": 1}
                return Reply(200, rows if "/v1/" in path else both)
            return None

        server.on_request = answer
        report = await client.scan_report()
    assert report.registry_count == report.repository_count == report.image_count == 1
    absurd(report)


@given(st.integers(-(10**1000), 10**1000))
def test_every_size_has_words(size: int) -> None:
    text = size_text(size)
    assert len(text) <= len("-8.7e+981 EiB")
    assert text.startswith("-") == (size < 0)
    assert text.split()[1] in {"B", "KiB", "MiB", "GiB", "TiB", "PiB", "EiB"}


def test_sizes_are_written_for_people() -> None:
    assert size_text(0) == "0 B"
    assert size_text(1536) == "1.5 KiB"
    assert size_text(999 << 60) == "999 EiB"
    assert size_text(10**400) == "8.7e+381 EiB"


# -- columns


def names(columns: tuple[Column[Any], ...]) -> list[str]:
    return [column.name for column in columns]


def test_every_field_of_a_row_is_a_column_once() -> None:
    assert len(set(names(REPOSITORIES))) == len(REPOSITORIES)
    fields = {each.name: each for each in attrs.fields(RepositoryTotals)}
    assert fields.keys() <= set(names(REPOSITORIES))
    for column in REPOSITORIES:
        if column.name in fields:
            assert (column.kind is Kind.BYTES) == holds_bytes(fields[column.name])


def test_the_frame_and_the_table_for_spreadsheets_have_every_column() -> None:
    report = ScanReport(repositories=(repository("app", size=5, updated_at=MOMENT),))
    file = io.StringIO(newline="")
    write_csv(report, file)
    assert file.getvalue().splitlines()[0].split(",") == names(REPOSITORIES)
    assert report.to_dataframe().columns.tolist() == names(REPOSITORIES)


# -- files


def full_report() -> ScanReport:
    registry = RegistryTotals(
        registry_id="r", registry="reg", status="ACTIVE", size=5, garbage=GarbageSize(1, 2, 3)
    )
    image = ImageSummary(
        registry="reg", repository="app", digest="sha256:1", tags=("a",), size=5, created_at=MOMENT
    )
    layers = Layers()
    layers.add({f"sha256:{1:064x}": 5, "odd": 2**70})
    return ScanReport(
        registries=(registry,),
        repositories=(repository("app", image_count=1, size=5, total_size=5, updated_at=MOMENT),),
        largest_images=(image,),
        oldest_images=(image,),
        images_by_month={"2025-01": 1},
        errors=(ReportedError(kind="ServerError", message="No.", status=500),),
        complete=False,
        finished_at=MOMENT,
        layers=layers,
    )


def test_the_keys_of_a_file_are_these() -> None:
    document = json.loads(full_report().to_json())
    assert document.keys() == {
        *("format", "version", "complete", "finished_at", "registries", "repositories"),
        *("largest_images", "oldest_images", "images_by_month", "errors"),
        *("registry_count", "repository_count", "image_count", "untagged_count"),
        *("possible_part_count", "stored_size", "total_size", "unique_size", "untagged_size"),
        *("possible_part_size", "layers", "large_layers"),
    }
    assert document["format"] == "registry_async.ScanReport"
    assert document["version"] == 1
    assert document["registries"][0].keys() == {
        *("client_label", "registry_id", "registry", "status", "size", "size_limit", "used"),
        *("garbage", "repository_count", "image_count", "untagged_count", "possible_part_count"),
        *("total_size", "untagged_size", "possible_part_size"),
    }
    assert document["registries"][0]["garbage"] == {"non_referenced": 1, "untagged": 2, "total": 3}
    assert document["repositories"][0].keys() == {
        *("client_label", "registry_id", "registry", "repository", "type", "size", "updated_at"),
        *("image_count", "untagged_count", "possible_part_count", "total_size"),
        *("untagged_size", "possible_part_size", "oldest", "newest"),
    }
    assert document["repositories"][0]["updated_at"] == "2025-01-02T03:04:05+00:00"
    assert document["errors"][0].keys() == {
        *("client_label", "registry", "repository", "kind", "message", "status"),
    }


def test_a_file_of_another_version_is_read() -> None:
    report = full_report()
    document = json.loads(report.to_json())
    newer = document | {
        "version": 7,
        "signature_count": 5,
        "repositories": [document["repositories"][0] | {"signature_count": 5}],
    }
    assert ScanReport.from_json(json.dumps(newer)) == report
    needed = {
        "repositories": {"registry_id", "registry", "repository"},
        "registries": {"registry_id", "registry", "status", "size"},
    }
    older = document | {
        name: [{key: row[key] for key in keys} for row in document[name]]
        for name, keys in needed.items()
    }
    for name in ("possible_part_count", "total_size", "image_count", "large_layers", "errors"):
        del older[name]
    del older["unique_size"], older["images_by_month"]
    read = ScanReport.from_json(json.dumps(older))
    assert read.repositories == (repository("app"),)
    assert read.registries[0].garbage is None
    assert read.errors == ()
    assert read.images_by_month == {}
    assert ScanReport.from_json(read.to_json()) == read


def test_what_is_wrong_in_a_file_is_named_by_its_place() -> None:
    document = json.loads(full_report().to_json())
    document["repositories"][0]["image_count"] = "1"
    with pytest.raises(
        ValueError, match=r"expected an integer, found a string \(at repositories\[0\]\.image_count"
    ):
        ScanReport.from_json(json.dumps(document))


LEAVES: Final = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(-(10**40), 10**40),
    st.floats(),
    st.text(max_size=5),
    st.just([]),
    st.just({}),
    st.sampled_from(["9999-12-31T23:59:59Z", "0001-01-01T00:00:00Z", "2025-01", "1e999"]),
)


@settings(max_examples=50, deadline=None)
@given(st.data())
def test_no_damaged_report_breaks_what_is_done_with_it(data: st.DataObject) -> None:
    document = json.loads(full_report().to_json())
    for _ in range(data.draw(st.integers(1, 3))):
        place: Any = document
        while True:
            keys = list(place) if isinstance(place, dict) else list(range(len(place)))
            if not keys:
                break
            key = data.draw(st.sampled_from(keys))
            deeper = isinstance(place[key], dict | list) and data.draw(st.booleans())
            if deeper:
                place = place[key]
                continue
            place[key] = data.draw(LEAVES)
            break
    for name in ("total_size", "image_count", "unique_size", "stored_size"):
        if data.draw(st.booleans()):
            document.pop(name, None)
    try:
        read = ScanReport.from_json(json.dumps(document))
    except ValueError:
        return
    merged = read.merge(full_report(), read)
    for report in (read, merged):
        assert str(report)
        assert report.to_html()
        assert str(report.diff(full_report()))
        assert ScanReport.from_json(report.to_json()) == report
        report.plot()


# -- plain data


def test_reports_are_plain_data_for_pydantic_too() -> None:
    report = full_report()
    diff = report.diff(ScanReport())
    values: tuple[Any, ...] = (report, diff, report.registries[0], report.errors[0])
    for value in values:
        adapter: TypeAdapter[Any] = TypeAdapter(type(value))
        assert adapter.validate_python(value) is value
        assert adapter.dump_python(value) == to_dict(value)
        assert json.loads(adapter.dump_json(value)) == to_dict(value)
        schema: Any = adapter.json_schema(mode="serialization")
        assert set(schema["required"]) <= to_dict(value).keys()
    assert to_json(report) == report.to_json()
    assert to_dict(report)["format"] == "registry_async.ScanReport"
    assert to_dict(diff)["format"] == "registry_async.ReportDiff"
    assert isinstance(diff, ReportDiff)


# -- layers


def test_layers_are_matched_however_their_digests_are_written() -> None:
    random = Random(5)
    usual = [f"sha256:{random.randbytes(32).hex()}" for _ in range(50)]
    odd = ["md5:1", "", "sha256:" + "z" * 64, "sha256:" + 31 * " a" + "bc", "sha256:é" * 9]
    one, several = Layers(), Layers()
    one.add({digest: number for number, digest in enumerate(usual + odd)})
    for number, digest in enumerate(usual + odd):
        several.add({digest: number})
        assert len(several.sizes) == number + 1
    assert one == several
    assert Layers.unpack(*one.pack()) == one
    small = Layers()
    small.add({f"sha256:{number:064x}": 1 for number in range(1000)})
    assert small.total() == 1000


# -- terminals


HOSTILE: Final = (
    "\x1b]0;title\x07\x1b[31mred",
    "\u202egnp.exe",
    "\x9b31m",
    "line\nbreak",
    "\uff1dcmd|' /C'!A0",
    "<script>alert(1)</script>",
    "[red]x[/red]",
    "名前" * 40,
    "a" * 300,
)


def hostile_report() -> ScanReport:
    rows = tuple(
        RepositoryTotals(
            client_label=name,
            registry_id="r",
            registry=name,
            repository=name,
            type=name,
            image_count=1,
            size=5,
        )
        for name in HOSTILE
    )
    registries = tuple(
        RegistryTotals(client_label=name, registry_id="r", registry=name, status=name, size=5)
        for name in HOSTILE
    )
    images = tuple(
        ImageSummary(
            registry=name, repository=name, digest=name, tags=(name,), size=5, created_at=MOMENT
        )
        for name in HOSTILE
    )
    errors = tuple(
        ReportedError(client_label=name, registry=name, kind=name, message=name) for name in HOSTILE
    )
    return ScanReport(
        registries=registries,
        repositories=rows,
        largest_images=images,
        oldest_images=images,
        errors=errors,
        complete=False,
    )


def test_no_hostile_name_acts_in_any_view() -> None:
    text = shown_everywhere(hostile_report())
    for line in text.replace("\r\n", "\n").split("\n"):
        assert line.isprintable()
    assert "<script" not in hostile_report().to_html()
    read = ScanReport.from_json(hostile_report().to_json())
    assert read == hostile_report()


@pytest.mark.parametrize("width", [40, 80, 120, 200])
def test_no_name_is_broken_and_no_line_is_too_wide(width: int) -> None:
    report = hostile_report()
    names_shown = ["team/platform/very-long-name-of-a-service", "a/b", "x" * 130, "データ/画像"]
    rows = tuple(
        attrs.evolve(row, client_label=f"project-{number}", registry="registry", repository=name)
        for number, (row, name) in enumerate(zip(report.repositories, names_shown, strict=False))
    )
    report = attrs.evolve(report, repositories=rows, registries=(), errors=(), complete=True)
    console = Console(file=io.StringIO(), width=width)
    console.print(report, soft_wrap=True)
    assert isinstance(console.file, io.StringIO)
    lines = console.file.getvalue().splitlines()
    for name in names_shown:
        # The whole name is in one line.
        (line,) = [line for line in lines if name in line]
    for line in lines:
        cells = sum(2 if unicodedata.east_asian_width(each) in "WF" else 1 for each in line)
        alone = line.strip() in names_shown or " " not in line.strip()
        assert cells <= width or alone
