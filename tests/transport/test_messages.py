"""What errors and retry events say: what happened, how often it was tried, what to do."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Final

import pytest

from registry_async import (
    ApiError,
    AsyncRegistryClient,
    ConfigurationError,
    ConnectionFailedError,
    ContainerRegistryError,
    KeystonePassword,
    NotFoundError,
    RequestTimeoutError,
    RetryEvent,
    RetryPolicy,
    ServerError,
    UnexpectedResponseError,
)
from registry_async.sync import RegistryClient
from tests.support.clock import FakeClock
from tests.support.faults import Drop, FaultServer, Hang, Reply
from tests.support.wire import SeenRequest

pytestmark = pytest.mark.anyio

ID: Final = "7d3c2b52-9a1f-4b57-8a39-1f5f2e6f3a10"
TOKEN: Final = "canary-token-0123456789"
PAGE: Final = b"<!doctype html><title>Sign in</title>" + TOKEN.encode()
EMPTY: Final = Reply(200, b'{"registries": [], "totalCount": 0}')


def client_of(server: FaultServer, **options: Any) -> AsyncRegistryClient:
    settings: dict[str, Any] = {"base_url": server.base_url, "clock": FakeClock(), **options}
    return AsyncRegistryClient(token=TOKEN, **settings)


async def test_a_timeout_says_how_long_and_how_often_was_tried() -> None:
    async with (
        FaultServer(default=Hang()) as server,
        client_of(server, timeout=0.05, retry=RetryPolicy(attempts=3)) as client,
    ):
        with pytest.raises(RequestTimeoutError, match=r"0\.05 s.*tried 3 times in 1\.5 s"):
            await client.registries.get(ID)


async def test_one_attempt_is_not_counted() -> None:
    async with FaultServer(Reply(500)) as server, client_of(server) as client:
        with pytest.raises(ServerError) as caught:
            await client.registries.get(ID)
    assert "tried" not in str(caught.value)
    assert caught.value.attempts == 1


async def test_a_failure_after_repeats_says_so() -> None:
    async with FaultServer(default=Reply(503)) as server, client_of(server) as client:
        with pytest.raises(ServerError, match=r"tried 4 times in 3\.5 s") as caught:
            await client.registries.get(ID)
    assert (caught.value.attempts, caught.value.seconds) == (4, 3.5)


@pytest.mark.parametrize("fault", [Drop(), Reply(502), Reply(504)])
async def test_a_lost_post_says_that_it_may_have_been_carried_out(fault: Any) -> None:
    async with FaultServer(fault) as server, client_of(server) as client:
        with pytest.raises(ContainerRegistryError, match="may have been carried out") as caught:
            await client.registries.create("prod")
        assert server.count("POST") == 1
    assert getattr(caught.value, "may_have_happened", None) is True


@pytest.mark.parametrize("status", [400, 409, 500])
async def test_a_refused_post_says_nothing_of_the_kind(status: int) -> None:
    async with FaultServer(Reply(status)) as server, client_of(server) as client:
        with pytest.raises(ApiError) as caught:
            await client.registries.create("prod")
    assert "carried out" not in str(caught.value)


async def test_a_lost_get_says_nothing_of_the_kind() -> None:
    async with (
        FaultServer(Drop()) as server,
        client_of(server, retry=RetryPolicy(attempts=1)) as client,
    ):
        with pytest.raises(ConnectionFailedError) as caught:
            await client.registries.get(ID)
    assert "carried out" not in str(caught.value)


async def test_a_page_for_people_says_what_it_is_and_what_to_look_at() -> None:
    reply = Reply(200, PAGE, {"Content-Type": "text/html; charset=utf-8"})
    async with FaultServer(reply) as server, client_of(server) as client:
        with pytest.raises(UnexpectedResponseError) as caught:
            await client.registries.get(ID)
    text = str(caught.value)
    assert "text/html" in text
    assert "<!doctype html>" in text
    assert "/api" in text
    assert TOKEN not in text


async def test_other_text_that_is_not_json_is_shown() -> None:
    async with (
        FaultServer(
            Reply(200, b"pong " + TOKEN.encode(), {"Content-Type": "text/plain"})
        ) as server,
        client_of(server) as client,
    ):
        with pytest.raises(UnexpectedResponseError) as caught:
            await client.request("GET", "/v2/ping")
    assert "text/plain" in str(caught.value)
    assert "pong ***" in str(caught.value)


@pytest.mark.parametrize("base", ["", "/api"])
async def test_a_404_page_says_that_the_base_url_may_lack_its_path(base: str) -> None:
    reply = Reply(404, b"<html>Page not found</html>", {"Content-Type": "text/html"})
    async with (
        FaultServer(reply) as server,
        client_of(server, base_url=server.url + base) as client,
    ):
        with pytest.raises(NotFoundError) as caught:
            await client.registries.get(ID)
    assert "base URL" in str(caught.value)


async def test_a_redirect_says_where_it_leads() -> None:
    reply = Reply.redirect(f"https://elsewhere.invalid/?token={TOKEN}")
    async with FaultServer(reply) as server, client_of(server) as client:
        with pytest.raises(UnexpectedResponseError) as caught:
            await client.registries.get(ID)
    assert "https://elsewhere.invalid/" in str(caught.value)
    assert TOKEN not in str(caught.value)


async def test_a_proxy_that_refuses_is_named_without_its_password(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    async with FaultServer(default=Reply(407)) as proxy:
        where = proxy.url.removeprefix("http://")
        monkeypatch.setenv("https_proxy", f"http://robot:hidden-password@{where}")
        monkeypatch.setenv("no_proxy", "")
        async with AsyncRegistryClient(
            token=TOKEN, base_url="https://registry.invalid/api"
        ) as client:
            with pytest.raises(ConnectionFailedError) as caught:
                await client.registries.get(ID)
    assert f"the proxy http://{where} refused" in str(caught.value)
    assert "407" in str(caught.value)
    assert "hidden-password" not in str(caught.value)


def test_a_ca_file_that_is_not_there_is_named(tmp_path: Path) -> None:
    missing = tmp_path / "ca.pem"
    with pytest.raises(ValueError, match=r"ca\.pem: No such file"):
        AsyncRegistryClient(token=TOKEN, ssl=missing)
    missing.write_text("no certificate")
    with pytest.raises(ValueError, match=r"ca\.pem holds none"):
        AsyncRegistryClient(token=TOKEN, ssl=missing)


async def test_a_whole_url_is_no_path() -> None:
    async with FaultServer() as server, client_of(server) as client:
        with pytest.raises(ValueError, match="below the base URL"):
            await client.request("GET", server.base_url + "/v2/registries")
        assert server.connection_count == 0


@pytest.mark.parametrize("status", [429, 503, 500])
async def test_every_answer_may_say_when_to_ask_again(status: int) -> None:
    async with (
        FaultServer(Reply(status, headers={"Retry-After": "7"})) as server,
        client_of(server, retry=RetryPolicy(attempts=1)) as client,
    ):
        with pytest.raises(ApiError) as caught:
            await client.registries.get(ID)
    assert caught.value.retry_after == 7


# -- the catalog


@pytest.mark.parametrize(
    ("urls", "refused"),
    [(["/api/v2", "/api/v2/"], False), (["/api/v2", "/other/v2"], True)],
)
async def test_a_catalog_with_endpoints_that_differ_says_so(urls: list[str], refused: bool) -> None:
    def answer(request: SeenRequest) -> Reply:
        if request.method == "GET":
            return EMPTY
        catalog = [
            {
                "type": "container-registry-v2",
                "endpoints": [
                    {"interface": "public", "region": path, "url": server.url + path}
                    for path in urls
                ],
            }
        ]
        return Reply.json(
            {"token": {"expires_at": "2099-01-01T00:00:00Z", "catalog": catalog}},
            201,
            headers={"X-Subject-Token": "iam"},
        )

    async with FaultServer(handler=answer) as server:
        credentials = KeystonePassword(
            username="u", password="pw", account="1", project_id="p", auth_url=server.url
        )
        async with AsyncRegistryClient(credentials, base_url="catalog") as client:
            if not refused:
                assert await client.registries.list().collect() == []
                return
            with pytest.raises(ConfigurationError, match="several public endpoints") as caught:
                await client.registries.list().collect()
    assert all(server.url + path in str(caught.value) for path in urls)


# -- on_retry


async def test_repeats_are_told_as_data() -> None:
    events: list[RetryEvent] = []
    async with (
        FaultServer(Reply(503), Drop(), Reply(401), EMPTY) as server,
        client_of(server, on_retry=events.append) as client,
    ):
        with pytest.raises(ApiError):
            await client.registries.list().collect()
    assert [(event.attempt, event.delay, event.status) for event in events] == [
        (1, 0.5, 503),
        (2, 1.0, None),
    ]
    assert [type(event.error) for event in events] == [ServerError, ConnectionFailedError]
    assert {event.method for event in events} == {"GET"}
    assert TOKEN not in repr(events)


async def test_what_is_not_repeated_is_not_told() -> None:
    events: list[RetryEvent] = []
    async with (
        FaultServer(Reply(404)) as server,
        client_of(server, on_retry=events.append) as client,
    ):
        with pytest.raises(NotFoundError):
            await client.registries.get(ID)
    assert events == []


async def test_what_the_hook_raises_reaches_the_caller() -> None:
    def hook(event: RetryEvent) -> None:
        raise StopAsyncIteration

    async with FaultServer(Reply(503)) as server, client_of(server, on_retry=hook) as client:
        with pytest.raises(RuntimeError, match="on_retry raised StopAsyncIteration"):
            await client.registries.list().collect()


def test_the_sync_client_tells_of_repeats_too() -> None:
    with pytest.raises(ValueError, match="on_retry"):
        RegistryClient(token="t", on_retry="no function")  # type: ignore[arg-type]
    events: list[RetryEvent] = []
    client = RegistryClient(
        token="t",
        base_url="http://127.0.0.1:1/api",
        clock=FakeClock(),
        retry=RetryPolicy(attempts=2),
        on_retry=events.append,
    )
    with client, pytest.raises(ConnectionFailedError):
        client.registries.get(ID)
    assert [event.attempt for event in events] == [1]
