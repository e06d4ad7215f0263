"""The sandbox as hard as the service can be: each way is an argument of its own."""

from collections.abc import Iterator
from typing import Any

import pytest

from registry_async.sandbox import Sandbox, StoredRegistry, StoredRepository
from tests.support.sandbox import Api, Clock, path_of


def arrange(sandbox: Sandbox) -> StoredRepository:
    return sandbox.state.add_repository(sandbox.state.add_registry("production"), "team/app")


def images(sandbox: Sandbox, repository: StoredRepository) -> dict[str, list[str] | None]:
    """Give the tags that the list of images shows, by digest."""
    path = path_of(repository.registry, repository.name, version=2) + "/images?limit=100"
    page = Api(sandbox).get(path)
    shown = page["images"] or []
    assert page["totalCount"] == page["filteredCount"] == len(shown)
    v1 = Api(sandbox).get(path_of(repository.registry, repository.name) + "/images")
    assert v1 == shown
    return {image["digest"]: image["tags"] for image in shown}


# Parts without a guard


@pytest.fixture(params=[True, False], ids=["guarded", "unguarded"])
def guard(request: pytest.FixtureRequest) -> Iterator[tuple[Sandbox, bool]]:
    with Sandbox(seed=False, guards_parts=request.param) as sandbox:
        yield sandbox, request.param


def test_a_part_is_deleted_unless_it_is_guarded(guard: tuple[Sandbox, bool]) -> None:
    sandbox, guarded = guard
    repository = arrange(sandbox)
    part = sandbox.state.push_image(repository)
    index = sandbox.state.push_index(repository, [part], tags=["v1"])
    path = path_of(repository.registry, "team/app", part.digest)
    Api(sandbox).delete(path, 409 if guarded else 204)
    assert set(images(sandbox, repository)) == {index.digest, *([part.digest] if guarded else ())}


def test_a_cleanup_takes_a_part_unless_it_is_guarded(guard: tuple[Sandbox, bool]) -> None:
    sandbox, guarded = guard
    repository = arrange(sandbox)
    part = sandbox.state.push_image(repository)
    sandbox.state.push_index(repository, [part], tags=["v1"])
    path = path_of(repository.registry, "team/app") + "/cleanup"
    answer = Api(sandbox).post(path, {"digests": [part.digest], "disable_gc": True}, status=200)
    assert bool(answer["failed"]) is guarded
    assert bool(answer["deleted"]) is not guarded


# Tags that the list of images lacks


def test_hidden_tags_are_in_the_list_of_tags_alone() -> None:
    with Sandbox(seed=False, hides_tags=2) as sandbox:
        repository = arrange(sandbox)
        state = sandbox.state
        plain = state.push_image(repository, tags=["a-first", "v1"])
        part = state.push_image(repository, architecture="arm64")
        state.push_index(repository, [part], tags=["v2"])
        api = Api(sandbox)
        # The index is not shown at all; the image is, without one of its tags.
        assert images(sandbox, repository) == {plain.digest: ["v1"], part.digest: None}
        assert api.get(path_of(repository.registry, "team/app") + "/tags") == [
            "a-first",
            "v1",
            "v2",
        ]
        found = api.get(
            path_of(repository.registry, "team/app", version=2) + "/images?search=a-first"
        )
        assert (found["filteredCount"], found["totalCount"]) == (0, 2)


def test_a_hidden_tag_has_no_layers() -> None:
    with Sandbox(seed=False, hides_tags=1) as sandbox:
        repository = arrange(sandbox)
        image = sandbox.state.push_image(repository, tags=["v1", "v2"])
        api = Api(sandbox)
        hidden = api.get(path_of(repository.registry, "team/app", "v1"))
        shown = api.get(path_of(repository.registry, "team/app", "v2"))
        assert (hidden["digest"], hidden["layers"]) == (image.digest, None)
        assert len(shown["layers"]) == 1
        agent = {"User-Agent": "craas-go/0.3.0"}
        assert api.get(path_of(repository.registry, "team/app", "v1"), headers=agent) == []


def test_nothing_is_hidden_unless_asked_for() -> None:
    with Sandbox(seed=False) as sandbox:
        repository = arrange(sandbox)
        part = sandbox.state.push_image(repository, tags=["v1"])
        index = sandbox.state.push_index(repository, [part], tags=["v2"])
        assert images(sandbox, repository) == {part.digest: ["v1"], index.digest: ["v2"]}


# Lists of API v1


@pytest.mark.parametrize(("unpaged", "shown"), [(False, 10), (True, 12)])
def test_a_v1_list_without_a_limit_can_give_everything(unpaged: bool, shown: int) -> None:
    with Sandbox(seed=False, v1_unpaged=unpaged) as sandbox:
        for number in range(12):
            sandbox.state.add_registry(f"registry-{number}")
        registry = sandbox.state.registries()[0]
        for number in range(12):
            sandbox.state.add_repository(registry, f"team/app-{number}")
        api = Api(sandbox)
        for path in ("/v1/registries", path_of(registry) + "/repositories"):
            assert len(api.get(path)) == shown
            assert len(api.get(f"{path}?offset=1")) == min(shown, 11)
            assert len(api.get(f"{path}?limit=3")) == 3
            assert len(api.get(path.replace("v1", "v2")).popitem()) <= 10


# Requests, as Go reads them


@pytest.mark.parametrize(
    "body",
    [
        {"digests": None, "tags": ["v1"], "disable_gc": True},
        {"tags": ["v1"], "disable_gc": True, "unknown": None},
    ],
)
def test_a_null_is_unset(body: dict[str, Any]) -> None:
    with Sandbox(seed=False) as sandbox:
        repository = arrange(sandbox)
        image = sandbox.state.push_image(repository, tags=["v1"])
        path = path_of(repository.registry, "team/app") + "/cleanup"
        answer = Api(sandbox).post(path, body, status=200)
        assert answer["deleted"] == [{"digest": image.digest, "tags": ["v1"]}]


def test_a_null_flag_is_false() -> None:
    with Sandbox(seed=False, clock=Clock()) as sandbox:
        repository = arrange(sandbox)
        path = path_of(repository.registry, "team/app") + "/cleanup"
        Api(sandbox).post(path, {"disable_gc": None}, status=200)
        assert repository.registry.status == "GARBAGE_COLLECTION"


def test_nulls_are_unset_in_tokens_too() -> None:
    with Sandbox(seed=False) as sandbox:
        api = Api(sandbox)
        scope = {"allRegistries": True, "modeRW": True, "registryIds": None}
        expiration = {"isSet": False, "expiresAt": None}
        created = api.post("/v2/tokens", {"name": None, "scope": scope, "expiration": expiration})
        assert created["name"] == ""
        path = f"/v2/tokens/{created['id']}"
        changed = api.patch(path, {"name": "new", "scope": None, "expiration": None})
        assert (changed["name"], changed["scope"]) == ("new", created["scope"])


# A collection that corrupts


def collect(sandbox: Sandbox, registry: StoredRegistry, clock: Clock) -> None:
    Api(sandbox).post(path_of(registry) + "/garbage-collection")
    clock.seconds += 300
    assert Api(sandbox).get(path_of(registry))["status"] == "ACTIVE"


@pytest.mark.parametrize("corrupting", [False, True])
def test_what_is_pushed_during_a_collection_may_lose_its_layers(corrupting: bool) -> None:
    clock = Clock()
    with Sandbox(
        seed=False, clock=clock, collection_seconds=300, corrupting_gc=corrupting
    ) as sandbox:
        repository = arrange(sandbox)
        before = sandbox.state.push_image(repository, tags=["before"])
        Api(sandbox).post(path_of(repository.registry) + "/garbage-collection")
        during = sandbox.state.push_image(repository, tags=["during"])
        clock.seconds += 300
        assert set(images(sandbox, repository)) == {before.digest, during.digest}
        stored = repository.registry.blobs
        assert {blob.digest for blob in before.blobs} <= stored.keys()
        assert during.digest in stored
        lost = {blob.digest for blob in during.blobs} - stored.keys()
        assert len(lost) == (2 if corrupting else 0)
        # The next collection finds nothing more to lose.
        collect(sandbox, repository.registry, clock)
        assert set(images(sandbox, repository)) == {before.digest, during.digest}
