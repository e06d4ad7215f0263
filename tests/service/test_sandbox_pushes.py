"""What is pushed to the sandbox is what the management API lists, cleans and collects."""

from __future__ import annotations

import json
from collections.abc import Iterator

import pytest

from registry_async.sandbox import Sandbox, StoredRegistry
from tests.support.distribution import OCI_IMAGE, OCI_INDEX, Docker, descriptor, digest_of
from tests.support.sandbox import Api, Clock, path_of

NAME = "production/team/app"
BASE, ONE, TWO = b"base" * 100, b"one" * 100, b"two" * 100


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def sandbox(clock: Clock) -> Iterator[Sandbox]:
    with Sandbox(seed=False, clock=clock, collection_seconds=300) as running:
        running.state.add_registry("production")
        yield running


@pytest.fixture
def registry(sandbox: Sandbox) -> StoredRegistry:
    return sandbox.state.registries()[0]


@pytest.fixture
def api(sandbox: Sandbox) -> Api:
    return Api(sandbox)


@pytest.fixture
def docker(sandbox: Sandbox) -> Docker:
    return Docker(sandbox)


def collect(api: Api, registry: StoredRegistry, clock: Clock, query: str = "") -> int:
    """Collect garbage, and give the bytes that went."""
    before: int = api.get(path_of(registry))["size"]
    api.post(f"{path_of(registry)}/garbage-collection{query}")
    clock.seconds += 300
    shown = api.get(path_of(registry))
    assert shown["status"] == "ACTIVE"
    return before - int(shown["size"])


def garbage(api: Api, registry: StoredRegistry) -> tuple[int, int]:
    size = api.get(path_of(registry) + "/garbage-collection/size")
    return size["sizeNonReferenced"], size["sizeUntagged"]


def test_a_pushed_image_is_listed_with_what_it_has(
    api: Api, docker: Docker, registry: StoredRegistry
) -> None:
    digest, manifest = docker.push_image(NAME, "v1", BASE, ONE)
    (image,) = api.get(path_of(registry, "team/app", version=2) + "/images")["images"]
    assert image == {
        "architecture": "amd64",
        "createdAt": "2024-01-01T00:00:00Z",
        "digest": digest,
        "layers": [
            {"digest": digest_of(BASE), "size": len(BASE)},
            {"digest": digest_of(ONE), "size": len(ONE)},
        ],
        "mediaType": OCI_IMAGE,
        "os": "linux",
        "size": len(BASE) + len(ONE),
        "tags": ["v1"],
    }
    (repository,) = api.get(path_of(registry, version=2) + "/repositories")["repositories"]
    stored = len(json.dumps(manifest)) + manifest["config"]["size"] + len(BASE) + len(ONE)
    assert (repository["name"], repository["type"]) == ("team/app", "image")
    assert repository["size"] == stored
    assert api.get(path_of(registry))["size"] == stored


def test_a_layer_that_images_share_is_stored_once(
    api: Api, docker: Docker, registry: StoredRegistry
) -> None:
    docker.push_image(NAME, "v1", BASE, ONE)
    before = api.get(path_of(registry))["size"]
    _, manifest = docker.push_image("production/other", "v1", BASE, TWO)
    added = len(json.dumps(manifest)) + manifest["config"]["size"] + len(TWO)
    assert api.get(path_of(registry))["size"] == before + added


def test_a_repository_is_there_once_it_has_a_manifest(
    api: Api, docker: Docker, registry: StoredRegistry
) -> None:
    docker.push_blob(NAME, BASE)
    assert api.get(path_of(registry, version=2) + "/repositories")["totalCount"] == 0
    api.get(path_of(registry, "team/app"), 404)
    assert docker.send("GET", f"/v2/{NAME}/tags/list").status == 404
    docker.push_image(NAME, "v1", ONE)
    assert api.get(path_of(registry, "team/app"))["name"] == "team/app"
    # What was there before has come along.
    assert docker.send("HEAD", f"/v2/{NAME}/blobs/{digest_of(BASE)}").status == 200


def test_what_lies_at_the_root_of_a_registry_is_pulled_and_not_listed(
    api: Api, docker: Docker, registry: StoredRegistry, clock: Clock
) -> None:
    docker.push_image("production", "v1", BASE)
    assert docker.send("GET", "/v2/production/manifests/v1").status == 200
    assert api.get(path_of(registry, version=2) + "/repositories")["totalCount"] == 0
    assert api.get(path_of(registry))["size"] > len(BASE)
    assert collect(api, registry, clock) == 0


def test_a_chart_makes_a_repository_of_charts(
    api: Api, docker: Docker, registry: StoredRegistry
) -> None:
    config, chart = b'{"name": "web"}', b"chart"
    for blob in (config, chart):
        docker.push_blob("production/charts/web", blob)
    manifest = {
        "schemaVersion": 2,
        "config": descriptor(config, "application/vnd.cncf.helm.config.v1+json"),
        "layers": [descriptor(chart, "application/vnd.cncf.helm.chart.content.v1.tar+gzip")],
        "annotations": {"org.opencontainers.image.created": "2025-03-01T10:00:00Z"},
    }
    docker.push_manifest("production/charts/web", "1.0.0", manifest, Content_Type=OCI_IMAGE)
    assert api.get(path_of(registry, "charts/web"))["type"] == "helm_chart"
    shown = api.get(path_of(registry, "charts/web", "1.0.0"))
    assert (shown["createdAt"], shown["architecture"]) == ("2025-03-01T10:00:00Z", "")


def test_an_index_and_its_parts_are_listed_and_guarded(
    api: Api, docker: Docker, registry: StoredRegistry
) -> None:
    part, manifest = docker.push_image(NAME, "amd64", BASE)
    parts = [descriptor(json.dumps(manifest).encode(), OCI_IMAGE)]
    index = {"schemaVersion": 2, "mediaType": OCI_INDEX, "manifests": parts}
    docker.push_manifest(NAME, "v1", index)
    docker.send("DELETE", f"/v2/{NAME}/manifests/amd64")
    images = api.get(path_of(registry, "team/app") + "/images")
    assert [(image["digest"] == part, image["tags"]) for image in images] == [
        (True, None),
        (False, ["v1"]),
    ]
    assert garbage(api, registry) == (0, 0)
    api.delete(path_of(registry, "team/app", part), 409)


def test_what_is_cleaned_and_collected_cannot_be_pulled(
    api: Api, docker: Docker, registry: StoredRegistry, clock: Clock, sandbox: Sandbox
) -> None:
    gone, manifest = docker.push_image(NAME, "v1", BASE, ONE)
    docker.push_image(NAME, "v2", BASE, TWO)
    body = {"digests": [gone], "disable_gc": True}
    answer = api.post(path_of(registry, "team/app") + "/cleanup", body, status=200)
    assert answer == {"deleted": [{"digest": gone, "tags": ["v1"]}], "failed": None}
    for reference in ("v1", gone):
        assert docker.send("GET", f"/v2/{NAME}/manifests/{reference}").status == 404
    assert docker.send("GET", f"/v2/{NAME}/blobs/{digest_of(ONE)}").status == 200
    freed = len(json.dumps(manifest)) + manifest["config"]["size"] + len(ONE)
    # Whoever pushes may have looked for a blob; whoever only pulls keeps nothing.
    assert garbage(api, registry) == (freed, 0)
    assert collect(api, registry, clock) == freed
    assert docker.send("GET", f"/v2/{NAME}/blobs/{digest_of(ONE)}").status == 404
    assert docker.send("GET", f"/v2/{NAME}/blobs/{digest_of(BASE)}").content == BASE
    assert digest_of(ONE) not in sandbox.state.contents
    docker.push_image(NAME, "v1", BASE, ONE)
    assert docker.send("GET", f"/v2/{NAME}/blobs/{digest_of(ONE)}").content == ONE


def test_a_collection_of_the_untagged_keeps_signatures_of_what_is_tagged(
    api: Api, docker: Docker, registry: StoredRegistry, clock: Clock
) -> None:
    digest, manifest = docker.push_image(NAME, "v1", BASE)
    subject = descriptor(json.dumps(manifest).encode(), OCI_IMAGE)
    signature, _ = docker.push_image(NAME, "signature", ONE, subject=subject)
    docker.send("DELETE", f"/v2/{NAME}/manifests/signature")
    loose, _ = docker.push_image(NAME, "loose", TWO)
    docker.send("DELETE", f"/v2/{NAME}/manifests/loose")
    collect(api, registry, clock, "?delete-untagged=true")
    for reference, status in ((digest, 200), (signature, 200), (loose, 404)):
        assert docker.send("GET", f"/v2/{NAME}/manifests/{reference}").status == status


def test_a_push_that_a_collection_comes_between_is_whole(
    api: Api, docker: Docker, registry: StoredRegistry, clock: Clock
) -> None:
    """Blobs arrive before and during a collection, and their manifest after it."""
    digest, _ = docker.push_image(NAME, "old", BASE)
    docker.send("DELETE", f"/v2/{NAME}/manifests/{digest}")
    docker.push_blob(NAME, ONE)
    # A client that finds a blob does not push it again, even if it was garbage.
    docker.send("POST", f"/v2/{NAME}/blobs/uploads/?mount={digest_of(BASE)}", b"")
    api.post(path_of(registry) + "/garbage-collection")
    docker.push_blob(NAME, TWO)
    clock.seconds += 300
    assert api.get(path_of(registry))["status"] == "ACTIVE"
    for blob in (BASE, ONE, TWO):
        assert docker.send("GET", f"/v2/{NAME}/blobs/{digest_of(blob)}").content == blob
    docker.push_image(NAME, "v1", BASE, ONE, TWO)


def test_a_push_that_is_given_up_is_garbage_in_the_end(
    api: Api, docker: Docker, registry: StoredRegistry, clock: Clock
) -> None:
    docker.push_blob(NAME, ONE)
    assert collect(api, registry, clock) == 0
    clock.seconds += 3_600
    assert garbage(api, registry) == (len(ONE), 0)
    assert collect(api, registry, clock) == len(ONE)


def test_a_deleted_repository_takes_its_images_along(
    api: Api, docker: Docker, registry: StoredRegistry, clock: Clock
) -> None:
    docker.push_image(NAME, "v1", BASE)
    api.delete(path_of(registry, "team/app"))
    assert docker.send("GET", f"/v2/{NAME}/manifests/v1").status == 404
    assert collect(api, registry, clock) > len(BASE)
    assert api.get(path_of(registry))["size"] == 0


def test_a_deleted_registry_is_gone_for_docker_too(
    api: Api, docker: Docker, registry: StoredRegistry, clock: Clock, sandbox: Sandbox
) -> None:
    docker.push_image(NAME, "v1", BASE)
    api.delete(path_of(registry))
    clock.seconds += 1
    assert docker.send("GET", f"/v2/{NAME}/manifests/v1").status == 404
    assert digest_of(BASE) not in sandbox.state.contents


def test_what_a_test_only_describes_is_listed_and_cannot_be_pulled(
    api: Api, sandbox: Sandbox, docker: Docker, registry: StoredRegistry
) -> None:
    repository = sandbox.state.add_repository(registry, "team/app")
    described = sandbox.state.add_image(repository, tags=["v1"], layers=[(digest_of(BASE), 5)])
    assert len(api.get(path_of(registry, "team/app") + "/images")) == 1
    for target in ("manifests/v1", f"manifests/{described.digest}", f"blobs/{digest_of(BASE)}"):
        assert docker.send("GET", f"/v2/{NAME}/{target}").status == 404


# The seed


def test_all_that_the_seed_holds_can_be_pulled() -> None:
    with Sandbox() as sandbox:
        docker = Docker(sandbox)
        pulled: set[str] = set()
        for registry in sandbox.state.registries():
            for repository in registry.repositories.values():
                # Every repository's newest tag by way of HTTP, the rest by the store's own books.
                for image in repository.images.values():
                    for digest, size in image.blobs:
                        content = sandbox.state.contents.read(digest)
                        assert (digest_of(content), len(content)) == (digest, size)
                tag, tagged = next(reversed(repository.tags.items()))
                name = f"{registry.name}/{repository.name}"
                manifest = docker.send("GET", f"/v2/{name}/manifests/{tag}")
                assert manifest.headers["Content-Type"] == tagged.media_type
                assert digest_of(manifest.content) == tagged.digest
                body = manifest.body
                for part in [body.get("config"), *body.get("layers", [])]:
                    if part is not None:
                        blob = docker.send("GET", f"/v2/{name}/blobs/{part['digest']}").content
                        assert (digest_of(blob), len(blob)) == (part["digest"], part["size"])
                pulled.add(name)
    assert len(pulled) == 37


def test_the_seed_has_the_size_that_is_shown() -> None:
    with Sandbox() as sandbox:
        registries = sandbox.state.registries()
        images = [
            image
            for registry in registries
            for repository in registry.repositories.values()
            for image in repository.images.values()
        ]
        assert len(images) == 694
        for registry in registries:
            shown = Api(sandbox).get(path_of(registry))
            assert shown["size"] == sum(registry.blobs.values())
            assert 0 <= shown["used"] < 100
        assert Api(sandbox).get("/v1/registries?search=production")[0]["used"] > 10
