"""Deletes whose answers get lost, and the words for what was not found."""

from __future__ import annotations

import pickle
from collections.abc import Awaitable, Callable
from typing import Final
from urllib.parse import parse_qs

import pytest

from registry_async import (
    AsyncRegistryClient,
    BadRequestError,
    ContainerRegistryError,
    NotFoundError,
    RegistryNotFoundError,
    RetryPolicy,
)
from tests.support.clock import FakeClock
from tests.support.faults import Behaviour, Drop, FaultServer, Reply
from tests.support.strict_server import StrictServer

pytestmark = pytest.mark.anyio

SECRET: Final = "canary-token-of-api-v1"
UUID: Final = "888af692-c646-4b76-a234-81ca9b5bcafe"
REFUSED: Final = Reply.json({"error": "Token is malformed or no longer valid."}, 400)
LIFE: Final = Reply.json({"expireAt": 1_900_000_000, "expireIn": 10})


def client_of(server: FaultServer) -> AsyncRegistryClient:
    return AsyncRegistryClient(
        token="t", base_url=server.base_url, clock=FakeClock(), retry=RetryPolicy(attempts=2)
    )


# -- tokens of API v1


async def test_a_v1_token_that_is_gone_after_a_lost_answer_was_revoked() -> None:
    async with FaultServer(Drop(), REFUSED, Reply(404)) as server, client_of(server) as client:
        await client.tokens_v1.revoke(SECRET)
        assert [request.method for request in server.requests] == ["DELETE", "DELETE", "GET"]
        assert {request.raw_path.rpartition("/")[2] for request in server.requests} == {SECRET}


@pytest.mark.parametrize("look", [LIFE, Reply(403), Reply(500)])
async def test_a_v1_token_that_may_still_live_was_not_revoked(look: Reply) -> None:
    answers: list[Behaviour] = [Drop(), REFUSED, look]
    async with FaultServer(*answers) as server, client_of(server) as client:
        with pytest.raises(BadRequestError, match="no longer valid") as caught:
            await client.tokens_v1.revoke(SECRET)
    assert SECRET not in f"{caught.value!r} {caught.value} {pickle.dumps(caught.value)!r}"


async def test_a_400_without_a_lost_answer_is_final() -> None:
    async with FaultServer(REFUSED) as server, client_of(server) as client:
        with pytest.raises(BadRequestError):
            await client.tokens_v1.revoke(SECRET)
        assert len(server.requests) == 1


DELETES: Final[dict[str, Callable[[AsyncRegistryClient], Awaitable[None]]]] = {
    "registry": lambda c: c.registries.delete(UUID),
    "repository": lambda c: c.repositories.delete(UUID, "p"),
    "image": lambda c: c.images.delete(UUID, "p", "sha256:a"),
    "token": lambda c: c.tokens.delete(UUID),
    "v1 token": lambda c: c.tokens_v1.revoke(SECRET),
}


@pytest.mark.parametrize("kind", DELETES)
async def test_what_is_gone_after_a_lost_answer_was_deleted(kind: str) -> None:
    async with FaultServer(Drop(), Reply(404)) as server, client_of(server) as client:
        await DELETES[kind](client)
        assert server.counts()["DELETE"] == 2


@pytest.mark.parametrize("kind", DELETES)
async def test_what_was_never_there_is_not_found(kind: str) -> None:
    async with FaultServer(Reply(404)) as server, client_of(server) as client:
        with pytest.raises(NotFoundError):
            await DELETES[kind](client)


# -- names and ids


async def test_a_name_that_no_registry_has_invents_no_answer() -> None:
    async with (
        StrictServer() as server,
        AsyncRegistryClient(token=server.token, base_url=server.base_url) as client,
    ):
        server.add_registry("prod")
        with pytest.raises(RegistryNotFoundError) as caught:
            await client.registries.get_by_name("Not a name, ü")
        assert str(caught.value) == "no registry is named 'Not a name, ü'"
        assert (caught.value.method, caught.value.url) == ("", "")
        assert server.violations == []


BY_ID: Final[dict[str, Callable[[AsyncRegistryClient, str], Awaitable[object]]]] = {
    "registries.get": lambda c, i: c.registries.get(i),
    "registries.delete": lambda c, i: c.registries.delete(i),
    "registries.list_clusters": lambda c, i: c.registries.list_clusters(i),
    "registries.start_garbage_collection": lambda c, i: c.registries.start_garbage_collection(i),
    "registries.get_garbage_size": lambda c, i: c.registries.get_garbage_size(i),
    "registries.wait_until_active": lambda c, i: c.registries.wait_until_active(i),
    "registries.wait_for_garbage_collection": lambda c, i: c.registries.wait_for_garbage_collection(
        i
    ),
    "repositories.list": lambda c, i: c.repositories.list(i).collect(),
    "repositories.list_names": lambda c, i: c.repositories.list_names(i).first(),
    "repositories.get": lambda c, i: c.repositories.get(i, "p"),
    "repositories.delete": lambda c, i: c.repositories.delete(i, "p"),
    "repositories.cleanup": lambda c, i: c.repositories.cleanup(i, "p", tags=["t"]),
    "repositories.list_tags": lambda c, i: c.repositories.list_tags(i, "p"),
    "images.list": lambda c, i: c.images.list(i, "p").count(),
    "images.get": lambda c, i: c.images.get(i, "p", "t"),
    "images.list_layers": lambda c, i: c.images.list_layers(i, "p", "t"),
    "images.delete": lambda c, i: c.images.delete(i, "p", "sha256:a", conflict_timeout=5),
    "tokens.get": lambda c, i: c.tokens.get(i),
    "tokens.revoke": lambda c, i: c.tokens.revoke(i),
}


@pytest.mark.parametrize("operation", BY_ID)
async def test_a_name_where_an_id_belongs_is_told(operation: str) -> None:
    missing = Reply.json({"error": "Not found."}, 404)
    async with FaultServer(default=missing) as server, client_of(server) as client:
        with pytest.raises(NotFoundError) as named:
            await BY_ID[operation](client, "prod")
        with pytest.raises(NotFoundError) as identified:
            await BY_ID[operation](client, UUID)
    finder = "tokens.list(search='prod')" if "tokens" in operation else "get_by_name('prod')"
    assert str(named.value).count("takes the id") == 1
    assert finder in str(named.value)
    # The service's own words are left as they are.
    assert named.value.message == identified.value.message == "Not found."
    assert "takes the id" not in str(identified.value)
    assert str(pickle.loads(pickle.dumps(named.value))) == str(named.value)


async def test_a_long_name_is_for_the_service_to_judge() -> None:
    answer = Reply.json({"error": "The name is too long."}, 400)
    async with FaultServer(default=answer) as server, client_of(server) as client:
        with pytest.raises(BadRequestError, match="too long"):
            await client.registries.create("a" * 30)


async def test_lists_sort_by_the_names_of_the_models() -> None:
    async with FaultServer(default=Reply.json({"totalCount": 0})) as server:
        async with client_of(server) as client:
            await client.registries.list(sort_field="created_at").first()
            await client.repositories.list("r", sort_field="updated_at").first()
            await client.tokens.list(sort_field="last_used_at", sort_type="desc").first()
        sorts = [parse_qs(request.query)["sort_field"] for request in server.requests]
    assert sorts == [["createdAt"], ["updatedAt"], ["lastUsedAt"]]


async def test_refused_tags_say_what_takes_them() -> None:
    async with FaultServer() as server, client_of(server) as client:
        with pytest.raises(ValueError, match=r"not 'latest': images\.get\(\) gives the digest"):
            await client.images.delete("r", "p", "latest")
        with pytest.raises(ValueError, match="not 'latest': a tag belongs into tags="):
            await client.repositories.cleanup("r", "p", digests=["latest"])


async def test_a_token_without_a_name_has_none() -> None:
    token: dict[str, object] = {
        "id": UUID,
        "status": "active",
        "expiration": {"isSet": False},
        "scope": {"allRegistries": True, "modeRW": False},
    }
    answers = [Reply.json(token), Reply.json({**token, "name": ""})]
    async with FaultServer(*answers) as server, client_of(server) as client:
        assert [(await client.tokens.get(UUID)).name for _ in answers] == [None, None]


async def test_errors_of_the_sandbox_tell_it_too() -> None:
    from registry_async.sandbox import Sandbox

    async with Sandbox() as sandbox, sandbox.client() as client:
        registry = await client.registries.list().first()
        assert registry is not None
        with pytest.raises(ContainerRegistryError, match="get_by_name"):
            await client.repositories.list(registry.name).collect()
