"""Retention of what programs push: its plan is right, and a pull sees what is gone."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator, Iterator
from datetime import timedelta
from typing import Any, Final

import pytest
from attrs import frozen

from registry_async import AsyncRegistryClient
from registry_async.retention import OciManifests, RetentionPlan, RetentionPolicy, Rule
from registry_async.sandbox import Sandbox
from tests.support.distribution import (
    OCI_CONFIG,
    OCI_IMAGE,
    OCI_INDEX,
    OCI_LAYER,
    Docker,
    descriptor,
    digest_of,
)

pytestmark = pytest.mark.anyio
NAME: Final = "production/team/app"
POLICY: Final = RetentionPolicy(
    rules=[
        Rule(name="releases", tags=("v*",), keep_newest=1),
        Rule(name="leftovers", untagged=True, older_than=timedelta(days=30)),
    ]
)


@pytest.fixture
def anyio_backend() -> str:
    return "asyncio"


@frozen
class Release:
    """The digests of one release: an index, what it holds, and what belongs to it."""

    index: str
    parts: tuple[str, ...]
    attestation: str
    signature: str
    inventory: str

    @property
    def all(self) -> set[str]:
        return {self.index, *self.parts, self.attestation, self.signature, self.inventory}


class Pipeline:
    """Push as build, sign and scan steps do.

    Args:
        docker: The registry, logged in.
    """

    def __init__(self, docker: Docker) -> None:
        self.docker = docker

    def image(self, reference: str | None, created: str, layer: str, **members: Any) -> Any:
        """Push an image, by its digest where it has no tag, and give its descriptor."""
        content = layer.encode() * 500
        config = json.dumps(
            {
                "created": created,
                "architecture": members.pop("architecture", "amd64"),
                "os": "linux",
                "rootfs": {"type": "layers", "diff_ids": [digest_of(content)]},
            }
        ).encode()
        for blob in (config, content):
            self.docker.push_blob(NAME, blob)
        manifest = {
            "schemaVersion": 2,
            "mediaType": OCI_IMAGE,
            "config": descriptor(config, OCI_CONFIG),
            "layers": [descriptor(content, OCI_LAYER)],
            **members,
        }
        return self.put(reference, manifest)

    def put(self, reference: str | None, manifest: dict[str, Any]) -> Any:
        content = json.dumps(manifest).encode()
        named = descriptor(content, manifest["mediaType"])
        reply = self.docker.push_manifest(NAME, reference or named["digest"], content)
        assert reply.status == 201, reply.content
        return named

    def release(self, tag: str, created: str) -> Release:
        parts = [
            {
                **self.image(None, created, f"{tag} for {cpu}", architecture=cpu),
                "platform": {"os": "linux", "architecture": cpu},
            }
            for cpu in ("amd64", "arm64")
        ]
        attestation = {
            **self.image(None, created, f"attestation of {tag}", architecture="unknown"),
            "platform": {"os": "unknown", "architecture": "unknown"},
            "annotations": {
                "vnd.docker.reference.type": "attestation-manifest",
                "vnd.docker.reference.digest": parts[0]["digest"],
            },
        }
        index = self.put(
            tag,
            {"schemaVersion": 2, "mediaType": OCI_INDEX, "manifests": [*parts, attestation]},
        )
        signature_tag = index["digest"].replace(":", "-") + ".sig"
        signature = self.image(signature_tag, created, f"signature of {tag}")
        inventory = self.image(
            None,
            created,
            f"inventory of {tag}",
            subject=index,
            artifactType="application/spdx+json",
        )
        return Release(
            index["digest"],
            tuple(part["digest"] for part in parts),
            attestation["digest"],
            signature["digest"],
            inventory["digest"],
        )

    def pull(self, reference: str) -> int:
        return self.docker.send("GET", f"/v2/{NAME}/manifests/{reference}").status


@pytest.fixture(params=[True, False], ids=["guarded", "unguarded"])
def sandbox(request: pytest.FixtureRequest) -> Iterator[Sandbox]:
    """Serve an empty registry, which keeps parts of indexes from being deleted, or does not."""
    with Sandbox(
        seed=False, collection_seconds=0.0, create_seconds=0.0, guards_parts=request.param
    ) as running:
        running.state.add_registry("production")
        yield running


@pytest.fixture
async def client(sandbox: Sandbox) -> AsyncIterator[AsyncRegistryClient]:
    async with sandbox.client() as made:
        yield made


@pytest.fixture
async def manifests(sandbox: Sandbox) -> AsyncIterator[OciManifests]:
    password = sandbox.registry_password
    async with OciManifests(url=sandbox.origin, username="token", password=password) as made:
        yield made


@pytest.fixture
def pipeline(sandbox: Sandbox) -> Pipeline:
    return Pipeline(Docker(sandbox))


def reasons(plan: RetentionPlan) -> dict[str, str]:
    return {item.digest: item.reason for item in plan.deletions}


async def test_a_release_goes_whole_and_another_stays_whole(
    sandbox: Sandbox, client: AsyncRegistryClient, manifests: OciManifests, pipeline: Pipeline
) -> None:
    old = pipeline.release("v1", "2024-01-01T00:00:00Z")
    new = pipeline.release("v2", "2024-06-01T00:00:00Z")
    loose = pipeline.image(None, "2024-02-01T00:00:00Z", "left behind")["digest"]
    pushed = {*old.all, *new.all, loose}
    assert len(pushed) == 13

    plan = await client.retention.plan(POLICY, manifests=manifests)
    assert reasons(plan) == {
        old.index: "rule",
        **dict.fromkeys((*old.parts, old.attestation), "part_of_deleted"),
        **dict.fromkeys((old.signature, old.inventory), "signature_of_deleted"),
        loose: "rule",
    }

    registry = sandbox.state.registries()[0]
    before = (await client.registries.get(registry.id)).size
    done = await client.retention.apply(plan, manifests=manifests, collect_garbage=True)
    assert done.complete
    await client.registries.wait_for_garbage_collection(registry.id)
    assert (await client.registries.get(registry.id)).size < before

    assert {digest: pipeline.pull(digest) for digest in pushed} == {
        **dict.fromkeys({*old.all, loose}, 404),
        **dict.fromkeys(new.all, 200),
    }
    assert (pipeline.pull("v1"), pipeline.pull("v2")) == (404, 200)
    left = await client.images.list(registry.id, "team/app").collect()
    assert {image.digest for image in left} == new.all
    again = await client.retention.plan(POLICY, manifests=manifests)
    assert reasons(again) == {}


async def test_a_part_that_two_releases_share_stays(
    sandbox: Sandbox, client: AsyncRegistryClient, manifests: OciManifests, pipeline: Pipeline
) -> None:
    shared = pipeline.image(None, "2024-01-01T00:00:00Z", "shared")
    other = pipeline.image(None, "2024-06-01T00:00:00Z", "new", architecture="arm64")
    index = {"schemaVersion": 2, "mediaType": OCI_INDEX}
    old = pipeline.put("v1", {**index, "manifests": [shared]})["digest"]
    pipeline.put("v2", {**index, "manifests": [shared, other]})

    plan = await client.retention.plan(POLICY, manifests=manifests)
    assert reasons(plan) == {old: "rule"}
    assert (await client.retention.apply(plan, manifests=manifests, collect_garbage=True)).complete
    assert [pipeline.pull(each) for each in ("v1", "v2", shared["digest"])] == [404, 200, 200]


async def test_without_manifests_nothing_of_it_goes(
    client: AsyncRegistryClient, pipeline: Pipeline
) -> None:
    pipeline.release("v1", "2024-01-01T00:00:00Z")
    pipeline.release("v2", "2024-06-01T00:00:00Z")
    assert reasons(await client.retention.plan(POLICY)) == {}
