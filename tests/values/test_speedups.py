"""The ways of reading lists differ in speed alone."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any, Final

import pytest
from attrs import frozen
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from registry_async._converter import ListDecoder, ListPage, make_list_decoder
from registry_async._wire import DEPTH
from registry_async.errors import UnexpectedResponseError
from registry_async.models import Image, Registry, Repository

Json = Any

PLAIN: Final = make_list_decoder()
QUICK: Final[dict[str, ListDecoder]] = {
    "json": make_list_decoder("json"),
    "msgspec": make_list_decoder("msgspec"),
    "msgspec and json": make_list_decoder("msgspec", "json"),
}
KEYS: Final[dict[type[Any], str]] = {
    Image: "images",
    Registry: "registries",
    Repository: "repositories",
}


@frozen
class Refusal:
    """What an error says."""

    message: str
    path: str


def outcome(decoder: ListDecoder, body: bytes, item: type[Any], key: str | None) -> object:
    try:
        return decoder(body, item, key=key)
    except UnexpectedResponseError as error:
        return Refusal(error.message, error.path)


def identical(one: object, other: object) -> bool:
    """Compare results, the types of all their parts included."""
    return one == other and repr(one) == repr(other)


def assert_all_agree(body: bytes, item: type[Any], key: str | None) -> object:
    expected = outcome(PLAIN, body, item, key)
    for name, decoder in QUICK.items():
        found = outcome(decoder, body, item, key)
        assert identical(found, expected), f"{name}: {found} instead of {expected}"
    return expected


# ------------------------------------------------------------------------------ bodies


TEXTS: Final = st.text(max_size=8) | st.sampled_from(
    ["sha256:ab", "amd64", "linux", "ACTIVE", "helm_chart", "digest", "\U0001f600", "\x7f", "/"]
)
TIMES: Final = st.builds(
    "{}{}{}".format,
    st.datetimes(datetime(1, 1, 2), datetime(9999, 12, 30)).map(lambda time: time.isoformat()[:19]),
    st.text("0123456789", max_size=11).map(lambda digits: f".{digits}" if digits else ""),
    st.sampled_from(["Z", "z", "+00:00", "+05:30", "-11:00"]),
) | st.just("0001-01-01T00:00:00Z")
SIZES: Final = st.integers() | st.sampled_from([0, 2**63, 2**64, -(2**63) - 1, 10**25])


def objects(required: dict[str, Any], optional: dict[str, Any]) -> st.SearchStrategy[Json]:
    return st.fixed_dictionaries(
        required, optional={name: st.none() | strategy for name, strategy in optional.items()}
    )


LAYERS: Final = objects({"digest": TEXTS, "size": SIZES}, {})
ITEMS: Final[dict[type[Any], st.SearchStrategy[Json]]] = {
    Image: objects(
        {"digest": TEXTS},
        {
            "tags": st.lists(TEXTS, max_size=3),
            "size": SIZES,
            "createdAt": TIMES,
            "architecture": TEXTS,
            "os": TEXTS,
            "mediaType": TEXTS,
            "layers": st.lists(LAYERS, max_size=4),
        },
    ),
    Repository: objects({"name": TEXTS}, {"size": SIZES, "type": TEXTS, "updatedAt": TIMES}),
    Registry: objects(
        {"id": TEXTS, "name": TEXTS, "status": TEXTS, "size": SIZES, "createdAt": TIMES},
        {
            "sizeLimit": SIZES,
            "used": st.integers() | st.floats(allow_nan=False, allow_infinity=False),
        },
    ),
}
# Values that are wrong in most places, or right in a few.
ODD: Final[st.SearchStrategy[Json]] = st.recursive(
    st.none()
    | st.booleans()
    | SIZES
    | st.floats(allow_nan=False)
    | st.text(st.characters(codec=None), max_size=4)
    | TIMES
    | st.sampled_from(
        [1.0, -0.0, 1e300, "2024-01-01T24:00:00Z", "2024-W01-1T00:00:00Z", "2024-01-01"]
    )
    | LAYERS,
    lambda inner: (
        st.lists(inner, max_size=2)
        | st.dictionaries(st.sampled_from(["digest", "size", "layers", "name", "x"]), inner)
    ),
    max_leaves=4,
)


@st.composite
def documents(draw: st.DrawFn, item: type[Any], *, odd: bool) -> tuple[Json, str | None]:
    """Draw a list that the service may send, or one that is odd in some places."""
    elements = draw(st.lists(ITEMS[item], max_size=3))
    key = draw(st.sampled_from([KEYS[item], None]))
    counts = st.fixed_dictionaries(
        {}, optional={name: st.integers(0) | st.none() for name in ("totalCount", "filteredCount")}
    )
    document: Json = elements if key is None else {key: elements, **draw(counts)}
    for _ in range(draw(st.integers(1, 3)) if odd else 0):
        places = list(_places(document))
        if places:
            container, place = draw(st.sampled_from(places))
            container[place] = draw(ODD)
    if odd and isinstance(document, dict):
        document |= draw(st.dictionaries(st.sampled_from(["new", "digest", "layers"]), ODD))
    return document, key


def _places(value: Json) -> list[tuple[Any, Any]]:
    if isinstance(value, dict):
        inner = list(value.items())
    elif isinstance(value, list):
        inner = list(enumerate(value))
    else:
        return []
    found: list[tuple[Any, Any]] = [(value, place) for place, _ in inner]
    return found + [place for _, part in inner for place in _places(part)]


# What is not JSON, or is JSON that parsers disagree about.
PIECES: Final = [
    *(b"NaN", b"Infinity", b"-Infinity", b"1e999", b"-0", b"01", b"1.", b".5", b"+1", b"1E+2"),
    *(b"1" * 30, b"1" * 4300, b"1" * 4301, b"-" + b"9" * 5000, b"1.0", b"true", b"null", b"nul"),
    *(b"\\", b"\\u", b"\\ud800", b"\\udc00", b"\\ud83d\\ude00", b"\\u0041", b"\\q", b"\\/"),
    *(b"\xff", b"\xc3\xa9", b"\xed\xa0\x80", b"\xc0\xaf", b"\xef\xbb\xbf", b"\x00", b"\x1f"),
    *(b"[", b"]", b"{", b"}", b",", b":", b'"', b"'", b" ", b"\n", b"\t", b"\x0b", b"//", b"x"),
    *(b'"digest":1,', b'"digest":"z",', b'"size":null,', b'"layers":null,', b'"totalCount":-1,'),
    *(b"[" * 50 + b"]" * 50, b"[" * 100_000, b'{"a":' * 100_000, b'"new":[1,{"digest":2}],'),
]


@st.composite
def mutated(draw: st.DrawFn, body: bytes) -> bytes:
    """Draw what becomes of a body when pieces are put in or replace a part of it."""
    for _ in range(draw(st.integers(0, 2))):
        start = draw(st.integers(0, len(body)))
        end = min(len(body), start + draw(st.sampled_from([0, 0, 1, 2, 5])))
        piece = draw(st.sampled_from(PIECES) | st.binary(max_size=3) | st.just(body[:start]))
        body = body[:start] + piece + body[end:]
    return body


def encode(document: Json, draw: Callable[[st.SearchStrategy[bool]], bool]) -> bytes:
    text = json.dumps(
        document,
        ensure_ascii=draw(st.booleans()),
        separators=(",", ":") if draw(st.booleans()) else None,
    )
    return text.encode("utf-8", "surrogatepass")


# ------------------------------------------------------------------------------ properties


@pytest.mark.parametrize("item", KEYS, ids=lambda item: item.__name__)
@given(st.data())
@settings(deadline=None)
def test_right_lists_are_read_alike(item: type[Any], data: st.DataObject) -> None:
    document, key = data.draw(documents(item, odd=False))
    assert isinstance(assert_all_agree(encode(document, data.draw), item, key), ListPage)


@pytest.mark.parametrize("item", KEYS, ids=lambda item: item.__name__)
@given(st.data())
@settings(max_examples=300, deadline=None)
def test_odd_lists_are_read_or_refused_alike(item: type[Any], data: st.DataObject) -> None:
    document, key = data.draw(documents(item, odd=True))
    assert_all_agree(encode(document, data.draw), item, key)


@pytest.mark.parametrize("item", KEYS, ids=lambda item: item.__name__)
@given(st.data())
@settings(max_examples=300, deadline=None, suppress_health_check=[HealthCheck.too_slow])
def test_mutated_bodies_are_read_or_refused_alike(item: type[Any], data: st.DataObject) -> None:
    document, key = data.draw(documents(item, odd=False))
    body = data.draw(mutated(encode(document, data.draw)))
    assert_all_agree(body, item, key)


@given(st.binary(max_size=40))
@settings(deadline=None)
def test_any_bytes_are_read_or_refused_alike(body: bytes) -> None:
    for key in ("images", None):
        assert_all_agree(body, Image, key)


IN_UNKNOWN_FIELDS: Final = [
    *(b"NaN", b"-Infinity", b"1e999", b"01", b"1.", b"-", b"1" * 4300, b"1" * 4301, b"-0"),
    *(b'"\xff"', b'"\xc0\xaf"', b'"\xed\xa0\x80"', b'"\xf4\x90\x80\x80"', b'"\xc3\xa9"'),
    *(b'"\\ud800"', b'"\\ud800x"', b'"\\ud83d\\ude00"', b'"\\udc00"', b'"\\q"', b'"\\u12"'),
    *(b'"\\\\ud800"', b'"\\u0000"', b'"a\x01b"', b'"a\nb"', b'"a\x7fb"', b"tru", b"nulL", b"'a'"),
    *(b"[1,]", b"{,}", b'{"a":1,}', b'{"a"}', b"{1:2}", b"[1 2]", b"[" * 500 + b"]" * 500),
    *(b"[" * 100_000 + b"]" * 100_000, b'{"a":1,"a":2}', b'{"digest":"a","size":true}'),
]


@pytest.mark.parametrize("value", IN_UNKNOWN_FIELDS, ids=lambda value: repr(value[:20]))
def test_what_is_skipped_is_checked_alike(value: bytes) -> None:
    # A typed decoder need not look at what nobody asked for; JSON it has to be all the same.
    page = b'{"images": [{"digest": "a", "new": %b}], "new": %b}'
    for body in (page % (value, b"0"), page % (b"0", value)):
        assert_all_agree(body, Image, "images")
    assert_all_agree(b'[{"name": "a", "new": %b}]' % value, Repository, None)


FULL: Final[Json] = {
    "createdAt": "2022-05-17T22:37:17.011072851Z",
    "size": 1,
    "digest": "sha256:é",
    "tags": ["a"],
    "layers": [{"digest": "b", "size": 1, "new": {}}],
    "architecture": "amd64",
    "os": None,
    "mediaType": "x/y",
    "new": [{}, 1.5],
}


@pytest.mark.parametrize("parsers", [("json",), ("msgspec", "json")])
def test_right_lists_do_not_fall_back(
    parsers: tuple[Any, ...], monkeypatch: pytest.MonkeyPatch
) -> None:
    # All results would agree, too, if the quick ways refused everything.
    def fail(*_: object) -> None:
        pytest.fail("the converter was asked")

    monkeypatch.setattr("registry_async._converter._read", fail)
    decoder = make_list_decoder(*parsers)
    # Large pages, too, whose images all have members that are new.
    for elements in ([FULL, {"digest": "a"}], [FULL] * 150, [{"digest": "a", "tags": []}] * 250):
        for key in ("images", None):
            page = {key: elements, "totalCount": 2, "new": None}
            body = json.dumps(page if key else elements, ensure_ascii=False).encode()
            assert len(decoder(body, Image, key=key).items) == len(elements)
    for body in (b"[]", b"null"):
        assert decoder(body, Image, key=None).items == []
    for body in (b"{}", b'{"images": null}'):
        assert decoder(body, Image, key="images").items == []


@pytest.mark.parametrize("name", QUICK)
def test_texts_are_shared_within_a_page_and_not_beyond(name: str) -> None:
    body = json.dumps([{"digest": "a", "architecture": "amd64 v9"}] * 2).encode()
    first, second = QUICK[name](body, Image, key=None).items
    assert first.architecture is second.architecture
    later = QUICK[name](body, Image, key=None).items[0]
    assert later.architecture is not first.architecture


NESTS: Final = [
    b'{"images": [{"digest": "a", "new": %b}]}',
    b'{"images": [{"digest": "a", "layers": [{"digest": "a", "size": 1, "new": %b}]}]}',
    b'{"images": null, "new": %b}',
    # With many images, whose own objects are no nest.
    b'{"images": [%b{"digest": "a", "new": %%b}]}' % (b'{"digest": "a", "tags": null},' * 300),
]


@pytest.mark.parametrize("page", NESTS, ids=["image", "layer", "page", "many"])
@pytest.mark.parametrize("nest", [(b"[", b"]"), (b'{"a":', b"}"), (b'[{"a":', b"}]")])
def test_nests_are_refused_from_the_same_depth_on(page: bytes, nest: tuple[bytes, bytes]) -> None:
    levels = len(nest[1])
    outside = {0: 3, 1: 5, 2: 1, 3: 3}[NESTS.index(page)]
    deepest = (DEPTH - outside) // levels
    for count in (deepest - 1, deepest, deepest + 1, deepest + 2, 400, 990, 5_000):
        body = page % (nest[0] * count + b"1" + nest[1] * count)
        found = assert_all_agree(body, Image, "images")
        if count <= deepest:
            assert isinstance(found, ListPage)
        else:
            assert found == Refusal("expected JSON, found what is nested too deeply", "")


def test_decimals_do_not_pass_for_the_integers_that_equal_them() -> None:
    # 1, 1.0 and True are one key of a dict.
    for wrong in ("1.0", "true", "1e0"):
        body = b'[{"digest":"i","layers":[{"digest":"a","size":1},{"digest":"a","size":%b}]}]'
        found = assert_all_agree(body % wrong.encode(), Image, None)
        assert isinstance(found, Refusal)
        assert found.path == "[0].layers[1].size"


# ------------------------------------------------------------------------------ selection


REPORT: Final = """
import json, sys
blocked = json.loads(sys.argv[1])
sys.modules.update(dict.fromkeys(blocked))
import registry_async._converter as converter
early = [name for name in ("msgspec", "orjson") if sys.modules.get(name)]
from registry_async.models import Image
page = converter.decode_list(b'[{"digest": "a", "tags": null}]', Image, key=None)
late = [name for name in ("msgspec", "orjson") if sys.modules.get(name)]
print(json.dumps([early, late, repr(page)]))
"""


@pytest.mark.parametrize("blocked", [[], ["msgspec"]])
def test_what_is_installed_is_used_from_the_first_list_on(blocked: list[str]) -> None:
    finished = subprocess.run(
        [sys.executable, "-X", "dev", "-W", "error", "-c", REPORT, json.dumps(blocked)],
        capture_output=True,
        check=True,
        text=True,
        timeout=60,
    )
    early, late, page = json.loads(finished.stdout)
    assert finished.stderr == ""
    assert early == []
    assert late == ([] if blocked else ["msgspec"])
    assert page == repr(ListPage([Image("a")], None, None))


def test_a_parser_that_is_missing_is_missed_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "msgspec", None)
    with pytest.raises(ImportError, match="msgspec"):
        make_list_decoder("msgspec")


def test_times_are_the_same_objects_of_time() -> None:
    body = b'[{"name": "a", "updatedAt": "2022-05-17T22:37:17.999999999+01:00"}]'
    page = assert_all_agree(body, Repository, None)
    assert isinstance(page, ListPage)
    moment = page.items[0].updated_at
    assert (moment, moment.tzinfo) == (
        datetime(2022, 5, 17, 21, 37, 17, 999_999, tzinfo=UTC),
        UTC,
    )
