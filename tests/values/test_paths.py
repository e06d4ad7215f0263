"""Names arrive as they were meant, or are refused before anything is sent."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Iterator
from datetime import UTC, datetime, timedelta, timezone
from typing import Final
from urllib.parse import parse_qsl, unquote_to_bytes

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from registry_async import AsyncRegistryClient, ContainerRegistryError, RetryPolicy, TokenScope
from registry_async._paths import (
    OPERATIONS,
    encode_query,
    encode_segment,
    is_loopback,
    normalize_base_url,
    operation_path,
    relative_path,
)
from tests.support.contract import Contract
from tests.support.faults import FaultServer, Reply
from tests.support.strict_server import StrictServer
from tests.support.wire import SeenRequest

# What tempts paths, urls and servers to go astray, beside any text at all.
SPICE: Final = [
    "/",
    "%",
    "?",
    "#",
    " ",
    ".",
    "..",
    "%2e",
    "%2F",
    "%25",
    "\\",
    "\n",
    "\x00",
    "é",
    "漢",
    "🦊",
]
SPICE_MORE: Final = [":", "@", "&", "=", "+", ";", ",", "~", "images", "tags", "cleanup", "sha256:"]
texts: Final = st.one_of(
    st.text(max_size=40),
    st.lists(st.sampled_from(SPICE + SPICE_MORE), max_size=6).map("".join),
    st.text(alphabet=st.characters(codec="ascii"), max_size=20),
)


class Wire:
    """One client and one server on a loop of their own, for many examples in a row."""

    def __init__(self) -> None:
        self.runner = asyncio.Runner()
        self.server = self.runner.run(self._start())
        self.client = AsyncRegistryClient(
            token="t", base_url=self.server.base_url, retry=RetryPolicy(attempts=1)
        )

    async def _start(self) -> FaultServer:
        server = FaultServer(default=Reply.json({"error": "nothing here"}, 404))
        await server.start_listening()
        return server

    def close(self) -> None:
        self.runner.run(self.client.aclose())
        self.runner.run(self.server.aclose())
        self.runner.close()

    def seen_after(
        self, call: Callable[[AsyncRegistryClient], Awaitable[object]]
    ) -> SeenRequest | None:
        """Give the request that a call sent, or None where it was refused.

        The answer is always that there is no such thing: only the way there matters.
        """
        self.server.requests.clear()
        refused = False

        async def run() -> None:
            nonlocal refused
            try:
                await call(self.client)
            except ValueError:
                refused = True
            except ContainerRegistryError:
                pass

        self.runner.run(run())
        assert len(self.server.requests) == (0 if refused else 1)
        return None if refused else self.server.requests[0]


@pytest.fixture(scope="module")
def wire() -> Iterator[Wire]:
    wire = Wire()
    yield wire
    wire.close()


Named = Callable[[AsyncRegistryClient, str], Awaitable[object]]
PLACES: Final[dict[str, tuple[str, Named]]] = {
    "registry": ("/api/v1/registries/{}", lambda c, x: c.registries.get(x)),
    "repository": ("/api/v1/registries/r/repositories/{}", lambda c, x: c.repositories.get("r", x)),
    "tag": ("/api/v1/registries/r/repositories/p/{}", lambda c, x: c.images.get("r", "p", x)),
    "digest": (
        "/api/v1/registries/r/repositories/p/{}",
        lambda c, x: c.images.delete("r", "p", x),
    ),
    "images": (
        "/api/v2/registries/r/repositories/{}/images",
        lambda c, x: c.images.list("r", x).first(),
    ),
    "token id": ("/api/v2/tokens/{}", lambda c, x: c.tokens.get(x)),
    "v1 token": ("/api/v1/token/{}/refresh", lambda c, x: c.tokens_v1.refresh(x)),
}


@pytest.mark.parametrize("place", PLACES)
@given(text=texts)
@settings(max_examples=120, deadline=None)
def test_any_text_arrives_intact_or_is_refused(wire: Wire, place: str, text: str) -> None:
    template, call = PLACES[place]
    seen = wire.seen_after(lambda client: call(client, text))
    if seen is None:
        return
    before, after = template.split("{}")
    assert seen.raw_path.startswith(before)
    assert seen.raw_path.endswith(after)
    segment = seen.raw_path[len(before) : len(seen.raw_path) - len(after)]
    assert "/" not in segment
    assert unquote_to_bytes(segment).decode() == text
    # However often a proxy decodes it, it leads nowhere else.
    decoded = segment
    for _ in range(10):
        decoded = unquote_to_bytes(decoded).decode("utf-8", "replace")
        assert not {"", ".", ".."} & set(decoded.replace("\\", "/").split("/"))


@given(text=st.text(alphabet=st.characters(categories=["L", "N"]), min_size=1, max_size=30))
@settings(deadline=None)
def test_ordinary_words_are_never_refused(wire: Wire, text: str) -> None:
    seen = wire.seen_after(lambda client: client.repositories.get("r", f"team/{text}"))
    assert seen is not None


@pytest.mark.parametrize(
    "name",
    [
        "team/app",
        "a/b/c/d",
        "50%",
        "100%25",
        "a%2Fb",
        "a b",
        "a+b",
        "q?x=1",
        "a#b",
        "naïve/café",
        "..a",
        "a..b",
        "...",
        ".hidden",
        "a.",
        "~user",
        "sha256:abc",
        "a;b=c",
        "%zz",
        "%",
        "a\\b",
    ],
)
def test_names_that_look_odd_but_lead_nowhere_else_are_sent(wire: Wire, name: str) -> None:
    seen = wire.seen_after(lambda client: client.repositories.get("r", name))
    assert seen is not None
    segment = seen.raw_path.removeprefix("/api/v1/registries/r/repositories/")
    assert "/" not in segment
    assert unquote_to_bytes(segment).decode() == name


@given(text=texts)
@settings(max_examples=200, deadline=None)
def test_any_search_arrives_intact_or_is_refused(wire: Wire, text: str) -> None:
    seen = wire.seen_after(lambda client: client.repositories.list("r", search=text).first())
    if seen is not None:
        assert seen.raw_path == "/api/v2/registries/r/repositories"
        query = dict(parse_qsl(seen.query, keep_blank_values=True, errors="strict"))
        # An empty search is none.
        assert query.pop("search", "") == text
        assert query == {"limit": "1", "offset": "0"}


@given(parts=st.lists(texts, min_size=1, max_size=4))
@settings(max_examples=200, deadline=None)
def test_a_path_by_hand_never_leaves_the_base_url(wire: Wire, parts: list[str]) -> None:
    path = "/".join(parts)
    seen = wire.seen_after(lambda client: client.request("GET", path))
    if seen is not None:
        assert seen.raw_path.startswith("/api/")
        assert seen.query == ""
        segments = seen.raw_path.removeprefix("/api/").split("/")
        assert not {"", ".", ".."} & {unquote_to_bytes(part).decode() for part in segments}
        assert seen.raw_path.isascii()


# -- the table of operations


def test_the_table_of_operations_is_that_of_the_contract() -> None:
    documented = {
        operation_id: (method, path) for operation_id, method, path in Contract.load().operations()
    }
    ours = {name: (operation.method, operation.template) for name, operation in OPERATIONS.items()}
    assert ours == documented
    assert len(ours) == 30


def test_a_path_is_the_template_with_its_parameters() -> None:
    assert (
        operation_path(
            OPERATIONS["deleteManifest"],
            {"registry_id": "r 1", "repository": "a/b", "reference": "sha256:0"},
        )
        == "/v1/registries/r%201/repositories/a%2Fb/sha256%3A0"
    )


@pytest.mark.parametrize("name", ["cleanup", "images", "tags"])
def test_references_that_name_another_operation_are_refused(name: str) -> None:
    with pytest.raises(ValueError, match="reference"):
        operation_path(
            OPERATIONS["listLayers"], {"registry_id": "r", "repository": "p", "reference": name}
        )


# -- queries and base URLs


def test_a_query_holds_what_the_service_wants() -> None:
    parameters = {"a": True, "b": False, "c": None, "d": 0, "e": "", "f": "ä/ +&=%"}
    assert encode_query(parameters) == "a=true&b=false&d=0&e=&f=%C3%A4%2F%20%2B%26%3D%25"
    assert encode_query({}) == ""


@pytest.mark.parametrize(
    ("given_url", "expected"),
    [
        ("https://cr.example", "https://cr.example"),
        ("https://cr.example/", "https://cr.example"),
        ("https://cr.example/api", "https://cr.example/api"),
        ("https://cr.example/api/", "https://cr.example/api"),
        ("https://cr.example//api//", "https://cr.example/api"),
        ("https://cr.example/api/v1", "https://cr.example/api"),
        ("https://cr.example/api/v2/", "https://cr.example/api"),
        ("https://cr.example/v2", "https://cr.example"),
        ("https://cr.example/apiv2", "https://cr.example/apiv2"),
        ("https://cr.example:8443/api", "https://cr.example:8443/api"),
        ("  https://cr.example/api ", "https://cr.example/api"),
        ("http://[::1]:80/api", "http://[::1]:80/api"),
        ("HTTPS://cr.example/api", "https://cr.example/api"),
        ("https://cr.example/a b/é", "https://cr.example/a%20b/%C3%A9"),
        ("https://cr.example/a%20b/v1", "https://cr.example/a%20b"),
    ],
)
def test_base_urls_are_brought_into_one_form(given_url: str, expected: str) -> None:
    assert normalize_base_url(given_url) == expected
    assert normalize_base_url(expected) == expected


@pytest.mark.parametrize(
    ("url", "loopback"),
    [
        ("http://127.0.0.1", True),
        ("http://127.8.8.8:80/x", True),
        ("http://localhost", True),
        ("http://LOCALHOST", True),
        ("http://a.localhost", True),
        ("http://[::1]", True),
        ("http://127.0.0.1.example", False),
        ("http://localhost.example", False),
        ("http://notlocalhost", False),
        ("http://128.0.0.1", False),
        ("http://[::2]", False),
    ],
)
def test_loopback_addresses_are_known(url: str, loopback: bool) -> None:
    assert is_loopback(url) is loopback


@given(text=texts)
def test_encoding_is_decided_without_surprise(text: str) -> None:
    problem = None
    try:
        encoded = encode_segment(text, "name")
    except ValueError as error:
        problem = str(error)
    if problem is None:
        assert encoded.isascii()
        assert unquote_to_bytes(encoded).decode() == text
    else:
        assert problem.startswith("name must ")


@given(text=texts)
def test_relative_paths_keep_what_is_encoded(text: str) -> None:
    try:
        path = relative_path(text)
    except ValueError:
        return
    assert path.startswith("/")
    assert unquote_to_bytes(path.removeprefix("/")) == unquote_to_bytes(text.removeprefix("/"))


# -- against the strict server, which reads the contract and nothing of ours


@pytest.mark.anyio
@pytest.mark.parametrize("name", ["team/app", "a b/ü?#%", "100%25", "x&y=z", "deep/er/and/deeper"])
async def test_names_reach_what_they_name(name: str) -> None:
    async with StrictServer() as server:
        registry = server.add_registry("one")
        registry.add_repository(name)
        registry.add_repository("other")
        async with AsyncRegistryClient(token=server.token, base_url=server.base_url) as client:
            assert (await client.repositories.get(registry.id, name)).name == name
            await client.repositories.delete(registry.id, name)
        assert list(registry.repositories) == ["other"]
        assert server.violations == []


@pytest.mark.anyio
async def test_deleting_a_nested_repository_deletes_no_manifest() -> None:
    # Sent as two segments, this would be manifest "b" of repository "a".
    async with StrictServer() as server:
        registry = server.add_registry("one")
        registry.add_repository("a")
        registry.add_repository("a/b")
        async with AsyncRegistryClient(token=server.token, base_url=server.base_url) as client:
            await client.repositories.delete(registry.id, "a/b")
        assert list(registry.repositories) == ["a"]
        assert server.performed == ["deleteRepository"]


@pytest.mark.anyio
async def test_texts_in_bodies_arrive_intact() -> None:
    async with (
        FaultServer(default=Reply.json({"deleted": None, "failed": None})) as server,
        AsyncRegistryClient(token="t", base_url=server.base_url) as client,
    ):
        for tag in ("v1", "ü/%2F", '"quoted"', "a" * 5000):
            await client.repositories.cleanup(
                "r", "p", tags=[tag], digests=(d for d in ["sha256:x"])
            )
            sent = server.requests[-1].json()
            assert sent == {"tags": [tag], "digests": ["sha256:x"], "disable_gc": False}


@pytest.mark.anyio
async def test_times_are_sent_in_utc() -> None:
    async with StrictServer() as server:
        async with AsyncRegistryClient(token=server.token, base_url=server.base_url) as client:
            east = datetime(2030, 1, 1, 3, tzinfo=timezone(timedelta(hours=3)))
            token = await client.tokens.create(scope=TokenScope(True, True), expires_at=east)
            assert token.expires_at == datetime(2030, 1, 1, tzinfo=UTC)
        assert server.requests[0].json()["expiration"]["expiresAt"].endswith("Z")
        assert server.violations == []
