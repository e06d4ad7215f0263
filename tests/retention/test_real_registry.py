"""Manifests of a real docker-registry, pushed by skopeo: a multi-architecture image and what is
beside it."""

from __future__ import annotations

import hashlib
import json
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from registry_async import AuthenticationError, Image
from registry_async.retention import Manifest, OciManifests, RepositorySnapshot
from tests.real.docker_registry import DockerRegistry, running_registry, skopeo
from tests.real.oci import write_image
from tests.real.programs import UnavailableError, give_up
from tests.retention.builders import NOW, OCI_IMAGE, OCI_INDEX, days, decide, snapshot

pytestmark = pytest.mark.anyio

SECRET = "canary-secret"
RULES = """
[[rule]]
name = "pull requests"
tags = ["pr-*"]
older_than = "1d"
[[rule]]
name = "leftovers"
untagged = true
older_than = "1d"
"""


@pytest.fixture
async def registry(tmp_path: Path) -> AsyncIterator[DockerRegistry]:
    directory = tmp_path / "registry"
    directory.mkdir()
    try:
        async with running_registry(directory, lambda secret: secret == SECRET) as running:
            yield running
    except UnavailableError as error:
        give_up(f"a real registry cannot be started here: {error}")


class Layouts:
    """Images made by hand, and skopeo to push them."""

    def __init__(self, registry: DockerRegistry, folder: Path) -> None:
        self._registry = registry
        self._folder = folder
        self._home = folder / "home"
        self._home.mkdir()

    async def push(self, layout: Path, name: str, tag: str) -> None:
        done = await skopeo(
            "copy",
            "--all",
            "--insecure-policy",
            "--dest-tls-verify=false",
            f"--dest-creds=token:{SECRET}",
            f"oci:{layout}:{name}",
            f"docker://{self._registry.host}/prod/team/app:{tag}",
            home=self._home,
        )
        assert done.code == 0, done.errors

    def index(self, name: str, *platforms: tuple[str, str]) -> tuple[Path, str, list[str]]:
        """Make an index of an image for each platform; give its digest and those of its parts."""
        layout = self._folder / name
        parts: list[dict[str, Any]] = []
        for seed, (system, architecture) in enumerate(platforms):
            one = self._folder / f"{name}-{seed}"
            made = write_image(one, "x", seed=hash_of(name, seed))
            for blob in (one / "blobs" / "sha256").iterdir():
                target = layout / "blobs" / "sha256" / blob.name
                target.parent.mkdir(parents=True, exist_ok=True)
                target.write_bytes(blob.read_bytes())
            size = len((one / "blobs" / "sha256" / made.digest[7:]).read_bytes())
            parts.append(
                {
                    "mediaType": OCI_IMAGE,
                    "digest": made.digest,
                    "size": size,
                    "platform": {"os": system, "architecture": architecture},
                }
            )
        body = json.dumps({"schemaVersion": 2, "mediaType": OCI_INDEX, "manifests": parts})
        digest = f"sha256:{hashlib.sha256(body.encode()).hexdigest()}"
        (layout / "blobs" / "sha256" / digest[7:]).write_text(body)
        entry = {
            "mediaType": OCI_INDEX,
            "digest": digest,
            "size": len(body),
            "annotations": {"org.opencontainers.image.ref.name": "x"},
        }
        top = {"schemaVersion": 2, "manifests": [entry]}
        (layout / "index.json").write_text(json.dumps(top))
        (layout / "oci-layout").write_text('{"imageLayoutVersion": "1.0.0"}')
        return layout, digest, [part["digest"] for part in parts]


def hash_of(name: str, seed: int) -> int:
    return int(hashlib.sha256(f"{name} {seed}".encode()).hexdigest()[:6], 16)


async def test_manifests_of_a_real_registry_keep_what_the_plan_must_keep(
    registry: DockerRegistry, tmp_path: Path
) -> None:
    layouts = Layouts(registry, tmp_path)
    platforms = ("linux", "amd64"), ("linux", "arm64"), ("unknown", "unknown")
    layout, stable, kept = layouts.index("stable", *platforms)
    await layouts.push(layout, "x", "v1")
    layout, old, going = layouts.index("old", *platforms)
    await layouts.push(layout, "x", "pr-1")
    signature = write_image(tmp_path / "signature", "x", seed=77)
    tag = stable.replace(":", "-") + ".sig"
    await layouts.push(signature.directory, "x", tag)

    url = f"http://{registry.host}"
    async with OciManifests(url, username="token", password=SECRET) as manifests:
        index = await manifests.read("prod", "team/app", "v1")
        assert index == Manifest(stable, OCI_INDEX, tuple(kept))
        assert await manifests.read("prod", "team/app", old) == Manifest(
            old, OCI_INDEX, tuple(going)
        )
        assert (await manifests.read("prod", "team/app", kept[2])).digest == kept[2]
        assert (await manifests.read("prod", "team/app", tag)).digest == signature.digest
        for reference in ("none", "sha256:" + "0" * 64):
            with pytest.raises(KeyError):
                await manifests.read("prod", "team/app", reference)
        with pytest.raises(KeyError):
            await manifests.read("prod", "nothing/here", "v1")

        read: dict[str, Manifest | None] = {}
        for reference in ("v1", "pr-1", *kept, *going, signature.digest):
            read[reference] = await manifests.read("prod", "team/app", reference)

    def listed(digest: str, *tags: str, attestation: bool = False) -> Image:
        platform = None if attestation else "linux"
        return Image(digest, tags, 1, NOW - days(9), platform, platform, OCI_IMAGE)

    # The service's list as it is said to be: parts without tags, and no index.
    found: RepositorySnapshot = snapshot(
        *(listed(part, attestation=part in (kept[2], going[2])) for part in (*kept, *going)),
        listed(signature.digest, tag),
        hidden=["v1", "pr-1"],
        manifests=read,
    )
    plan = decide(RULES, found)
    assert plan.blocked == ()
    assert {each.digest for each in plan.deletions} == {old, *going}

    async with OciManifests(url, username="token", password="wrong") as wrong:
        with pytest.raises(AuthenticationError):
            await wrong.read("prod", "team/app", "v1")
