"""The sandbox's operations on registries, repositories and images, and how time moves them."""

from collections.abc import Iterator
from typing import Any

import pytest

from registry_async.sandbox import Sandbox, StoredImage, StoredRegistry, StoredRepository
from tests.support.sandbox import Api, Clock, path_of

BASE = ("sha256:base", 1_000)


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def sandbox(clock: Clock) -> Iterator[Sandbox]:
    with Sandbox(
        seed=False, clock=clock, create_seconds=60, delete_seconds=30, collection_seconds=300
    ) as running:
        yield running


@pytest.fixture
def api(sandbox: Sandbox) -> Api:
    return Api(sandbox)


@pytest.fixture
def registry(sandbox: Sandbox) -> StoredRegistry:
    return sandbox.state.add_registry("production")


@pytest.fixture
def repository(sandbox: Sandbox, registry: StoredRegistry) -> StoredRepository:
    return sandbox.state.add_repository(registry, "team/app")


def push(
    sandbox: Sandbox, repository: StoredRepository, digest: str, size: int, *tags: str
) -> StoredImage:
    """Push an image that has the base layer and one of its own."""
    layers = [BASE, (f"sha256:layer-{digest}", size)]
    return sandbox.state.add_image(repository, digest=f"sha256:{digest}", tags=tags, layers=layers)


def status_of(api: Api, registry: StoredRegistry) -> str:
    status: str = api.get(path_of(registry))["status"]
    return status


# Creating and deleting


def test_a_registry_is_creating_for_a_while(api: Api, clock: Clock) -> None:
    created = api.post("/v1/registries", {"name": "new-registry"})
    path = f"/v1/registries/{created['id']}"
    assert (created["status"], created["size"], created["used"]) == ("CREATING", 0, 0)
    assert created["createdAt"].endswith("Z")
    clock.seconds += 59.9
    assert api.get(path)["status"] == "CREATING"
    assert api.post(f"{path}/garbage-collection", status=409)["error"]
    clock.seconds += 0.1
    assert api.get(path) == {**created, "status": "ACTIVE"}
    assert api.get("/v2/registries")["registries"][0]["status"] == "ACTIVE"


@pytest.mark.parametrize("name", ["a", "ab", "a1", "a-b", "a--b", "abcdefghij0123456789"])
def test_good_names_are_taken(api: Api, name: str) -> None:
    assert api.post("/v1/registries", {"name": name})["name"] == name


@pytest.mark.parametrize(
    "name",
    [
        "",
        "1a",
        "-a",
        "a-",
        "A",
        "aB",
        "a_b",
        "a.b",
        "a b",
        "ä",
        "a\n",
        "a/b",
        "abcdefghij01234567890",
    ],
)
def test_names_against_the_rules_are_refused(api: Api, sandbox: Sandbox, name: str) -> None:
    assert api.post("/v1/registries", {"name": name}, 400)["error"]
    assert sandbox.state.registries() == []


def test_a_name_is_taken_until_its_registry_is_gone(api: Api, clock: Clock) -> None:
    created = api.post("/v1/registries", {"name": "twice"})
    assert "exists" in api.post("/v1/registries", {"name": "twice"}, 409)["error"]
    api.delete(f"/v1/registries/{created['id']}")
    api.post("/v1/registries", {"name": "twice"}, 409)
    clock.seconds += 30
    assert api.post("/v1/registries", {"name": "twice"})["id"] != created["id"]


def test_a_project_holds_a_hundred_registries(api: Api, sandbox: Sandbox) -> None:
    for number in range(99):
        sandbox.state.add_registry(f"registry-{number}")
    api.post("/v1/registries", {"name": "the-hundredth"})
    assert "100" in api.post("/v1/registries", {"name": "one-too-many"}, 409)["error"]


def test_a_deleted_registry_is_seen_going(
    api: Api, clock: Clock, registry: StoredRegistry, repository: StoredRepository
) -> None:
    assert api.delete(path_of(registry)) is None
    clock.seconds += 29
    assert status_of(api, registry) == "DELETING"
    assert api.get("/v2/registries")["totalCount"] == 1
    # A client whose first answer was lost may ask again.
    api.delete(path_of(registry))
    api.delete(path_of(registry, repository.name), 409)
    clock.seconds += 1
    assert api.get(path_of(registry), 404) == {"error": "Registry not found."}
    api.delete(path_of(registry), 404)
    assert api.get("/v2/registries") == {"registries": None, "totalCount": 0}


@pytest.mark.parametrize(
    ("method", "tail"),
    [
        ("GET", ""),
        ("DELETE", ""),
        ("GET", "/clusters"),
        ("POST", "/garbage-collection"),
        ("GET", "/garbage-collection/size"),
        ("GET", "/repositories"),
        ("GET", "/repositories/a"),
        ("DELETE", "/repositories/a"),
        ("GET", "/repositories/a/tags"),
        ("GET", "/repositories/a/images"),
        ("GET", "/repositories/a/b"),
        ("DELETE", "/repositories/a/sha256:b"),
    ],
)
def test_an_unknown_registry_is_refused(api: Api, method: str, tail: str) -> None:
    path = f"/v1/registries/888af692-c646-4b76-a234-81ca9b5bcafe{tail}"
    assert api.call(method, path, status=404) == {"error": "Registry not found."}


def test_statuses_can_be_set_for_tests(
    api: Api, sandbox: Sandbox, registry: StoredRegistry, repository: StoredRepository
) -> None:
    sandbox.state.set_status(registry, "ERROR")
    assert status_of(api, registry) == "ERROR"
    sandbox.state.set_status(registry, "GARBAGE_COLLECTION")
    api.delete(path_of(registry, repository.name), 409)
    sandbox.state.set_status(registry, None)
    assert status_of(api, registry) == "ACTIVE"
    api.delete(path_of(registry, repository.name))


@pytest.mark.parametrize(
    ("tail", "seconds", "shown"), [("/garbage-collection", 300, "ACTIVE"), ("", 30, None)]
)
def test_time_goes_on_behind_a_status_that_was_set(
    api: Api,
    clock: Clock,
    sandbox: Sandbox,
    registry: StoredRegistry,
    tail: str,
    seconds: int,
    shown: str | None,
) -> None:
    """A collection is not seen at once: a test shows ACTIVE for a while, then the truth."""
    api.call("POST" if tail else "DELETE", path_of(registry) + tail, status=201 if tail else 204)
    sandbox.state.set_status(registry, "ACTIVE")
    assert status_of(api, registry) == "ACTIVE"
    sandbox.state.set_status(registry, None)
    assert status_of(api, registry) == ("GARBAGE_COLLECTION" if tail else "DELETING")
    clock.seconds += seconds
    if shown is None:
        api.get(path_of(registry), 404)
    else:
        assert status_of(api, registry) == shown


# Repositories and images


def test_a_repository_has_the_size_of_its_layers_each_once(
    api: Api, sandbox: Sandbox, registry: StoredRegistry, repository: StoredRepository
) -> None:
    push(sandbox, repository, "one", 10, "v1")
    push(sandbox, repository, "two", 20, "v2")
    shown = api.get(path_of(registry, "team/app"))
    assert (shown["name"], shown["type"], shown["size"]) == ("team/app", "image", 1_030)
    assert api.get(path_of(registry))["size"] == 1_030
    other = sandbox.state.add_repository(registry, "team/other")
    push(sandbox, other, "three", 5)
    assert api.get(path_of(registry))["size"] == 1_035


def test_a_slash_in_a_name_stays_in_its_segment(
    api: Api, sandbox: Sandbox, registry: StoredRegistry, repository: StoredRepository
) -> None:
    team = sandbox.state.add_repository(registry, "team")
    inner = push(sandbox, team, "app", 1, "app")
    push(sandbox, repository, "one", 1, "v1")
    # Unencoded, the same letters mean manifest `app` of repository `team`.
    assert api.get(f"{path_of(registry)}/repositories/team/app")["digest"] == inner.digest
    assert api.get(f"{path_of(registry)}/repositories/team%2Fapp")["name"] == "team/app"
    assert api.get(f"{path_of(registry)}/repositories/team%2fapp")["name"] == "team/app"
    api.delete(f"{path_of(registry)}/repositories/team/app", 400)
    api.delete(f"{path_of(registry)}/repositories/team/{inner.digest}")
    assert list(registry.repositories) == ["team/app", "team"]
    api.delete(path_of(registry, "team/app"))
    assert list(registry.repositories) == ["team"]
    api.get(path_of(registry, "team/app"), 404)


@pytest.mark.parametrize("name", ["a b", "a?b", "a#b", "a%2Fb", "ä/ö", "a+b", "a:b", "a&b=c"])
def test_any_name_can_be_reached(
    api: Api, sandbox: Sandbox, registry: StoredRegistry, name: str
) -> None:
    sandbox.state.add_repository(registry, name)
    assert api.get(path_of(registry, name))["name"] == name
    assert api.get(path_of(registry) + "/repositories?short=true") == [name]
    api.delete(path_of(registry, name))
    api.get(path_of(registry, name), 404)


def test_an_image_is_named_by_its_digest_or_a_tag(
    api: Api, sandbox: Sandbox, registry: StoredRegistry, repository: StoredRepository
) -> None:
    image = push(sandbox, repository, "one", 10, "v1", "latest")
    shown = api.get(path_of(registry, "team/app", "latest"))
    assert shown == api.get(path_of(registry, "team/app", image.digest))
    assert shown["tags"] == ["v1", "latest"]
    assert shown["layers"] == [
        {"digest": "sha256:base", "size": 1_000},
        {"digest": "sha256:layer-one", "size": 10},
    ]
    assert shown["size"] == 1_010
    assert api.get(path_of(registry, "team/app", "v9"), 404)["error"]["id"] == "v9"
    assert api.get(path_of(registry, "nowhere", "v1"), 404)["error"]["id"] == "nowhere"
    assert api.get(path_of(registry, "team/app") + "/tags") == ["latest", "v1"]


def test_a_tag_moves_with_a_push(
    api: Api, sandbox: Sandbox, registry: StoredRegistry, repository: StoredRepository
) -> None:
    old = push(sandbox, repository, "old", 1, "latest")
    new = push(sandbox, repository, "new", 1, "latest")
    assert api.get(path_of(registry, "team/app", "latest"))["digest"] == new.digest
    assert api.get(path_of(registry, "team/app", old.digest))["tags"] is None
    again = push(sandbox, repository, "new", 1, "v2")
    images = api.get(path_of(registry, "team/app") + "/images")
    assert [(image["digest"], image["tags"]) for image in images] == [
        (old.digest, None),
        (again.digest, ["latest", "v2"]),
    ]
    assert api.get(path_of(registry, "team/app", "latest"))["digest"] == again.digest


def test_deleting_an_image_takes_all_its_tags(
    api: Api, sandbox: Sandbox, registry: StoredRegistry, repository: StoredRepository
) -> None:
    image = push(sandbox, repository, "one", 10, "v1", "latest")
    kept = push(sandbox, repository, "two", 20, "v2")
    refused = api.delete(path_of(registry, "team/app", "latest"), 400)
    assert "digest" in refused["error"]
    api.delete(path_of(registry, "team/app", image.digest))
    assert api.get(path_of(registry, "team/app") + "/tags") == ["v2"]
    api.get(path_of(registry, "team/app", "latest"), 404)
    api.delete(path_of(registry, "team/app", image.digest), 404)
    # The layers are still there until a collection.
    assert api.get(path_of(registry))["size"] == 1_030
    assert api.get(path_of(registry, "team/app"))["size"] == kept.size


def test_an_image_that_an_index_refers_to_is_not_deleted(
    api: Api, sandbox: Sandbox, registry: StoredRegistry, repository: StoredRepository
) -> None:
    part = push(sandbox, repository, "amd64", 10)
    index = sandbox.state.add_image(repository, tags=["v1"], references=[part.digest])
    shown = api.get(path_of(registry, "team/app", "v1"))
    assert (shown["layers"], shown["mediaType"]) == (
        None,
        "application/vnd.oci.image.index.v1+json",
    )
    refused = api.delete(path_of(registry, "team/app", part.digest), 409)
    assert refused == {"error": "Image is referenced by another manifest"}
    api.delete(path_of(registry, "team/app", index.digest))
    api.delete(path_of(registry, "team/app", part.digest))
    assert api.get(path_of(registry, "team/app") + "/images", 204) is None


# Garbage


def garbage(api: Api, registry: StoredRegistry) -> tuple[int, int]:
    size = api.get(path_of(registry) + "/garbage-collection/size")
    assert size["sizeSummary"] == size["sizeNonReferenced"] + size["sizeUntagged"]
    return size["sizeNonReferenced"], size["sizeUntagged"]


def test_garbage_counts_what_a_collection_would_free(
    api: Api, sandbox: Sandbox, registry: StoredRegistry, repository: StoredRepository
) -> None:
    push(sandbox, repository, "kept", 10, "v1")
    assert garbage(api, registry) == (0, 0)
    untagged = push(sandbox, repository, "untagged", 20)
    assert garbage(api, registry) == (0, 20)
    push(sandbox, repository, "untagged-too", 5)
    assert garbage(api, registry) == (0, 25)
    sandbox.state.add_blob(registry, 300)
    assert garbage(api, registry) == (300, 25)
    api.delete(path_of(registry, "team/app", untagged.digest))
    assert garbage(api, registry) == (320, 5)
    api.delete(path_of(registry, "team/app"))
    assert garbage(api, registry) == (1_335, 0)


def test_the_parts_of_a_tagged_index_are_no_garbage(
    api: Api, sandbox: Sandbox, registry: StoredRegistry, repository: StoredRepository
) -> None:
    part = push(sandbox, repository, "amd64", 10)
    inner = sandbox.state.add_image(repository, references=[part.digest])
    sandbox.state.add_image(repository, tags=["v1"], references=[inner.digest, "sha256:elsewhere"])
    assert garbage(api, registry) == (0, 0)
    sandbox.state.add_image(repository, tags=["v1"], layers=[BASE])
    assert garbage(api, registry)[1] == 10 + 2 * inner.size


@pytest.mark.parametrize("untagged", [False, True])
def test_a_collection_takes_its_time_and_frees_what_was_announced(
    api: Api,
    clock: Clock,
    sandbox: Sandbox,
    registry: StoredRegistry,
    repository: StoredRepository,
    untagged: bool,
) -> None:
    push(sandbox, repository, "kept", 10, "v1")
    push(sandbox, repository, "untagged", 20)
    sandbox.state.add_blob(registry, 300)
    before = api.get(path_of(registry))["size"]
    loose, without_tag = garbage(api, registry)
    query = "?delete-untagged=true" if untagged else ""
    assert api.post(f"{path_of(registry)}/garbage-collection{query}") is None
    clock.seconds += 299
    assert status_of(api, registry) == "GARBAGE_COLLECTION"
    assert api.get(path_of(registry))["size"] == before
    clock.seconds += 1
    freed = loose + (without_tag if untagged else 0)
    assert status_of(api, registry) == "ACTIVE"
    assert api.get(path_of(registry))["size"] == before - freed
    assert garbage(api, registry) == (0, 0 if untagged else 20)
    assert len(api.get(path_of(registry, "team/app") + "/images")) == (1 if untagged else 2)


def test_a_collection_refuses_changes_but_not_looks(
    api: Api, clock: Clock, sandbox: Sandbox, registry: StoredRegistry, repository: StoredRepository
) -> None:
    image = push(sandbox, repository, "one", 10, "v1")
    path = path_of(registry, "team/app")
    api.post(path_of(registry) + "/garbage-collection?delete-untagged=false")
    changes: list[tuple[str, str, Any]] = [
        ("DELETE", path_of(registry), None),
        ("DELETE", path, None),
        ("DELETE", f"{path}/{image.digest}", None),
        ("POST", f"{path}/cleanup", {"tags": ["v1"]}),
        ("POST", path_of(registry) + "/garbage-collection", None),
    ]
    for method, target, body in changes:
        refused = api.call(method, target, body, status=409)
        assert refused == {"error": "Garbage collection is in progress."}
    assert api.get(f"{path}/v1")["digest"] == image.digest
    clock.seconds += 300
    api.delete(f"{path}/{image.digest}")


def test_a_malformed_flag_starts_no_collection(api: Api, registry: StoredRegistry) -> None:
    api.post(path_of(registry) + "/garbage-collection?delete-untagged=1", status=400)
    assert status_of(api, registry) == "ACTIVE"


def test_a_registry_can_go_once_its_collection_is_over(
    api: Api, clock: Clock, registry: StoredRegistry
) -> None:
    api.post(path_of(registry) + "/garbage-collection")
    clock.seconds += 300
    api.delete(path_of(registry))
    clock.seconds += 30
    api.get(path_of(registry) + "/garbage-collection/size", 404)


# Cleanup


def test_a_cleanup_tells_what_went_and_what_did_not(
    api: Api, sandbox: Sandbox, registry: StoredRegistry, repository: StoredRepository
) -> None:
    one = push(sandbox, repository, "one", 10, "v1", "stable")
    two = push(sandbox, repository, "two", 20, "v2", "latest")
    part = push(sandbox, repository, "part", 30, "part-1", "part-2")
    sandbox.state.add_image(repository, tags=["multi"], references=[part.digest])
    answer = api.post(
        path_of(registry, "team/app") + "/cleanup",
        {
            "digests": [one.digest, part.digest, "sha256:unknown", one.digest],
            "tags": ["v2", "nowhere", "v1"],
            "disable_gc": True,
        },
        status=200,
    )
    assert answer == {
        "deleted": [
            {"digest": two.digest, "tags": ["v2"]},
            {"digest": one.digest, "tags": ["v1", "stable"]},
        ],
        "failed": [
            {"digest": "", "error": "Tag not found", "tags": ["nowhere"]},
            {"digest": "sha256:unknown", "error": "Image not found", "tags": None},
            {
                "digest": part.digest,
                "error": "Image is referenced by another manifest",
                "tags": ["part-1", "part-2"],
            },
        ],
    }
    assert status_of(api, registry) == "ACTIVE"
    assert api.get(path_of(registry, "team/app") + "/tags") == [
        "latest",
        "multi",
        "part-1",
        "part-2",
    ]


def test_an_index_and_its_parts_go_together(
    api: Api, sandbox: Sandbox, registry: StoredRegistry, repository: StoredRepository
) -> None:
    part = push(sandbox, repository, "part", 30)
    index = sandbox.state.add_image(repository, tags=["multi"], references=[part.digest])
    answer = api.post(
        path_of(registry, "team/app") + "/cleanup",
        {"digests": [part.digest, index.digest], "disable_gc": True},
        status=200,
    )
    assert answer["failed"] is None
    assert {item["digest"] for item in answer["deleted"]} == {part.digest, index.digest}


@pytest.mark.parametrize("body", [{}, {"disable_gc": False}, {"disable_gc": True}])
def test_a_cleanup_starts_a_collection_unless_told_not_to(
    api: Api,
    sandbox: Sandbox,
    clock: Clock,
    registry: StoredRegistry,
    repository: StoredRepository,
    body: dict[str, Any],
) -> None:
    one = push(sandbox, repository, "one", 10, "v1")
    push(sandbox, repository, "two", 20)
    answer = api.post(
        path_of(registry, "team/app") + "/cleanup", {"digests": [one.digest], **body}, status=200
    )
    assert answer == {"deleted": [{"digest": one.digest, "tags": ["v1"]}], "failed": None}
    collects = not body.get("disable_gc")
    assert status_of(api, registry) == ("GARBAGE_COLLECTION" if collects else "ACTIVE")
    clock.seconds += 300
    assert garbage(api, registry) == ((0 if collects else 10), 1_020)


@pytest.mark.parametrize(
    "body",
    [
        {"digests": "sha256:one"},
        {"digests": [1]},
        {"tags": {"v1": True}},
        {"tags": [None]},
        {"disable_gc": "true"},
        {"disable_gc": 1},
    ],
)
def test_a_malformed_cleanup_changes_nothing(
    api: Api,
    sandbox: Sandbox,
    registry: StoredRegistry,
    repository: StoredRepository,
    body: dict[str, Any],
) -> None:
    push(sandbox, repository, "one", 10, "v1")
    path = path_of(registry, "team/app") + "/cleanup"
    assert api.post(path, {"tags": ["v1"], **body}, status=400)["error"]
    assert list(repository.tags) == ["v1"]
    assert status_of(api, registry) == "ACTIVE"


def test_a_cleanup_whose_collection_cannot_start_changes_nothing(
    api: Api, sandbox: Sandbox, registry: StoredRegistry, repository: StoredRepository
) -> None:
    push(sandbox, repository, "one", 10, "v1")
    sandbox.state.set_status(registry, "CREATING")
    path = path_of(registry, "team/app") + "/cleanup"
    assert api.post(path, {"tags": ["v1"]}, status=409) == {"error": "Registry is being created."}
    assert list(repository.tags) == ["v1"]
    api.post(path, {"tags": ["v1"], "disable_gc": True}, status=200)
    assert not repository.tags


def test_a_cleanup_of_an_unknown_repository_is_refused(api: Api, registry: StoredRegistry) -> None:
    assert api.post(path_of(registry, "nowhere") + "/cleanup", {}, status=404)["error"]["id"]


# The provider's Go client reads this answer otherwise


def test_layers_come_bare_to_the_go_client(
    api: Api, sandbox: Sandbox, registry: StoredRegistry, repository: StoredRepository
) -> None:
    push(sandbox, repository, "one", 10, "v1")
    path = path_of(registry, "team/app", "v1")
    layers = api.get(path, headers={"User-Agent": "craas-go/0.3.0"})
    assert layers == api.get(path)["layers"]


def test_an_empty_v1_list_is_204_to_every_client(
    api: Api, registry: StoredRegistry, repository: StoredRepository
) -> None:
    for path in (
        "/v1/registries?search=nowhere",
        path_of(registry) + "/repositories?search=nowhere",
        path_of(registry, repository.name) + "/images",
    ):
        assert api.get(path, 204) is None
        assert api.get(path, 204, headers={"User-Agent": "craas-go/0.3.0"}) is None


def test_an_empty_v1_list_is_an_array_in_the_words_of_the_reference() -> None:
    with Sandbox(seed=False, dialect="reference") as sandbox:
        assert Api(sandbox).get("/v1/registries") == []


@pytest.mark.parametrize(("dialect", "bare"), [("reference", False), ("go", True)])
def test_the_dialect_can_be_fixed(dialect: Any, bare: bool) -> None:
    with Sandbox(seed=False, dialect=dialect) as sandbox:
        repository = sandbox.state.add_repository(sandbox.state.add_registry("a"), "b")
        push(sandbox, repository, "one", 10, "v1")
        path = path_of(repository.registry, "b", "v1")
        for agent in ("craas-go/0.3.0", "curl/8"):
            answer = Api(sandbox).get(path, headers={"User-Agent": agent})
            assert isinstance(answer, list) is bare
