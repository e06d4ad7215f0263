"""Images, repositories and policies in few words."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from datetime import UTC, datetime, timedelta
from hashlib import sha256
from typing import Any, Final

from registry_async import Image, Layer, Registry, Repository
from registry_async.retention import (
    InUse,
    Manifest,
    PlannedImage,
    RepositorySnapshot,
    RetentionPlan,
    RetentionPolicy,
    evaluate,
)

NOW: Final = datetime(2026, 6, 1, 12, tzinfo=UTC)
OCI_IMAGE: Final = "application/vnd.oci.image.manifest.v1+json"
OCI_INDEX: Final = "application/vnd.oci.image.index.v1+json"
DOCKER_LIST: Final = "application/vnd.docker.distribution.manifest.list.v2+json"
PROD: Final = Registry("reg-1", "prod", "ACTIVE", 10_000_000, None)


def digest(name: str) -> str:
    return f"sha256:{sha256(name.encode()).hexdigest()}"


def days(count: float) -> timedelta:
    return timedelta(days=count)


def image(
    name: str,
    *tags: str,
    age: float | timedelta | None = 100,
    size: int | None = 1000,
    layers: Iterable[Layer] | None = None,
    arch: str | None = "amd64",
    system: str | None = "linux",
    media_type: str | None = OCI_IMAGE,
) -> Image:
    """Make an image whose digest comes from its name, so many days old."""
    span = timedelta(days=age) if isinstance(age, int | float) else age
    return Image(
        digest(name),
        tags,
        size,
        None if span is None else NOW - span,
        arch,
        system,
        media_type,
        (Layer(digest(f"layer of {name}"), 1000),) if layers is None else tuple(layers),
    )


def index(name: str, *tags: str, age: float | None = None) -> Image:
    """Make an index as the list may show one: without a platform, a time and layers."""
    return image(
        name, *tags, age=age, size=None, layers=(), arch=None, system=None, media_type=OCI_INDEX
    )


def manifest(name: str, *parts: str, subject: str | None = None) -> Manifest:
    """Make what is read of a manifest; parts and subject are names."""
    return Manifest(
        digest(name),
        OCI_INDEX if parts else OCI_IMAGE,
        tuple(map(digest, parts)),
        None if subject is None else digest(subject),
    )


def read(*manifests: Manifest, **tags: Manifest | None) -> dict[str, Manifest | None]:
    """Make the mapping of what was read, by digest and by tag."""
    return {**{each.digest: each for each in manifests}, **tags}


def snapshot(
    *images: Image,
    repository: str | Repository = "team/app",
    registry: Registry = PROD,
    hidden: Iterable[str] = (),
    manifests: Mapping[str, Manifest | None] | None = None,
    problem: str | None = None,
) -> RepositorySnapshot:
    return RepositorySnapshot(
        registry,
        Repository(repository) if isinstance(repository, str) else repository,
        images,
        tuple(sorted({*hidden, *(tag for each in images for tag in each.tags)})),
        manifests,
        problem,
    )


def policy(text: str, *, left: int = 0) -> RetentionPolicy:
    """Read a policy; unless the test is about it, no image stays for being the newest."""
    limits = "" if "[limits]" in text else f"[limits]\nmin_images_left = {left}\n"
    return RetentionPolicy.from_toml(f"version = 1\n{limits}{text}")


def decide(
    text: str | RetentionPolicy, *snapshots: RepositorySnapshot, **options: Any
) -> RetentionPlan:
    made = policy(text) if isinstance(text, str) else text
    return evaluate(made, snapshots, **{"now": NOW, **options})


def using(*references: str) -> InUse:
    return InUse.from_references(references)


def verdict(plan: RetentionPlan, name: str) -> PlannedImage:
    """Return the one verdict on an image."""
    (found,) = [each for each in plan.images if each.digest == digest(name)]
    return found


def reasons(plan: RetentionPlan, *names: str) -> list[str]:
    return [verdict(plan, name).reason for name in names]


def gone(plan: RetentionPlan, among: Iterable[str]) -> set[str]:
    """Return the names of the images that go."""
    digests = {each.digest for each in plan.deletions}
    return {name for name in among if digest(name) in digests}
