"""Data to begin with: what a company of middling size might keep in its registries.

Everything can be pulled, and so has the size that it says. To be there at once, and to fit into
memory, layers and quotas have a thousandth of the bytes that a company would have.
"""

import gzip
import tarfile
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from typing import NamedTuple

from registry_async.sandbox._manifests import (
    HELM_CONFIG,
    OCI_IMAGE,
    Descriptor,
    write_image,
    write_json,
)
from registry_async.sandbox._model import StoredLayer, StoredRegistry, StoredRepository
from registry_async.sandbox._state import State
from registry_async.sandbox._times import format_time, nanoseconds
from registry_async.sandbox._tokens import Scope

_MIB = 1024**2
_KB = 1_000
_DAY = 86_400 * 1_000_000_000
_CHART = "application/vnd.cncf.helm.chart.content.v1.tar+gzip"
# Fixed, so that equal seeds give equal data whenever the sandbox is started.
_NEWEST = nanoseconds(datetime(2025, 6, 2, 14, 31, 7, tzinfo=UTC))

# Layers of the images that others are built on, in bytes of the true ones; every image built on one
# shares them.
_BASES: dict[str, tuple[int, ...]] = {
    "alpine": (3_642_247,),
    "debian": (28_232_318, 3_511_909),
    "golang": (3_642_247, 295_001, 1_870_112),
    "jre": (29_541_012, 17_455_881, 51_320_004, 161),
    "node": (28_232_318, 3_511_909, 48_410_551, 2_280_117, 450),
    "python": (28_232_318, 3_511_909, 16_203_115, 249),
    "cuda": (30_430_105, 7_940_221, 57_590_118, 188_102_944, 1_012_554_871),
}


class _Plan(NamedTuple):
    """Say how a repository comes to be: its base, how often it is pushed, how much it adds."""

    name: str
    base: str
    pushes: int
    megabytes: float
    multi_platform: bool = False


_PRODUCTION = (
    _Plan("api-gateway", "golang", 42, 14.2),
    _Plan("billing/invoices", "jre", 31, 38.5),
    _Plan("billing/ledger", "jre", 24, 35.1),
    _Plan("billing/payments", "jre", 36, 41.9),
    _Plan("data/etl/extract", "python", 18, 9.7),
    _Plan("data/etl/load", "python", 17, 8.8),
    _Plan("data/etl/transform", "python", 22, 12.3),
    _Plan("frontend/admin", "node", 20, 18.4),
    _Plan("frontend/storefront", "node", 46, 24.6),
    _Plan("platform/cert-renewer", "alpine", 6, 5.2),
    _Plan("platform/ingress/controller", "golang", 15, 19.8, multi_platform=True),
    _Plan("platform/ingress/default-backend", "alpine", 3, 1.1),
    _Plan("platform/log-shipper", "golang", 12, 11.0, multi_platform=True),
    _Plan("search/indexer", "jre", 19, 44.0),
    _Plan("search/query", "jre", 21, 39.3),
    _Plan("team/app", "python", 40, 13.5, multi_platform=True),
    _Plan("team/worker", "python", 33, 13.1),
    _Plan("tools/backup", "alpine", 8, 6.4),
)
_STAGING = (
    _Plan("api-gateway", "golang", 19, 14.4),
    _Plan("billing/invoices", "jre", 11, 38.7),
    _Plan("billing/payments", "jre", 14, 42.2),
    _Plan("frontend/storefront", "node", 22, 24.9),
    _Plan("qa/browser-tests", "node", 9, 131.0),
    _Plan("qa/load-generator", "golang", 5, 7.7),
    _Plan("search/query", "jre", 8, 39.5),
    _Plan("team/app", "python", 24, 13.8),
    _Plan("team/worker", "python", 16, 13.2),
)
_ML = (
    _Plan("notebooks/base", "cuda", 4, 610.0),
    _Plan("serving/embeddings", "cuda", 7, 240.0),
    _Plan("serving/ranker", "python", 12, 95.0),
    _Plan("training/ranker", "cuda", 6, 320.0),
)
# Charts, and how many versions there are of each.
_CHARTS = {
    "api-gateway": 6,
    "billing": 4,
    "ingress": 7,
    "monitoring/alerts": 3,
    "monitoring/stack": 8,
    "team/app": 6,
}


def sow(state: State) -> None:
    """Fill an empty state with registries, repositories, images and tokens.

    Args:
        state: The state; its random seed decides the details.
    """
    production = state.add_registry("production", created_at=_made(2023, 2), size_limit=60 * _MIB)
    staging = state.add_registry("staging", created_at=_made(2023, 3), size_limit=20 * _MIB)
    models = state.add_registry("ml-models", created_at=_made(2024, 9), size_limit=40 * _MIB)
    charts = state.add_registry("helm-charts", created_at=_made(2023, 11), size_limit=5 * _MIB)
    state.add_registry("playground", created_at=_made(2025, 5), size_limit=5 * _MIB)
    # Bases are built on one another: layers of one size are one layer, as debian's in python.
    archives = {size: _archive(state, size // _KB) for sizes in _BASES.values() for size in sizes}
    bases = {name: [archives[size] for size in sizes] for name, sizes in _BASES.items()}
    for registry, plans in ((production, _PRODUCTION), (staging, _STAGING), (models, _ML)):
        for plan in plans:
            _push_images(state, registry, plan, bases[plan.base])
    for name, count in _CHARTS.items():
        _push_charts(state, charts, name, count)
    # What is left of pushes that were broken off and of manifests that were deleted.
    for registry, blobs in ((production, 14), (staging, 5)):
        for _ in range(blobs):
            state.add_blob(registry, state.random.randrange(200, 60 * _KB))
    state.add_cluster(production, "production-main", "ru-9")
    state.add_cluster(production, "production-edge", "ru-7")
    state.add_cluster(staging, "staging", "ru-9")
    _issue_tokens(state, production, staging)


def _made(year: int, month: int) -> datetime:
    return datetime(year, month, 14, 9, 26, 53, 589_793, tzinfo=UTC)


def _moments(state: State, count: int) -> list[int]:
    """Give push times, oldest first, to the nanosecond, more of them lately than long ago."""
    ages = sorted((state.random.random() ** 2 * 700 * _DAY for _ in range(count)), reverse=True)
    return [_NEWEST - int(age) for age in ages]


def _versions(state: State, count: int) -> Iterator[tuple[str, str]]:
    """Give pairs of a full version and its minor series, rising."""
    major, minor, patch = 1, state.random.randrange(9), 0
    for _ in range(count):
        yield f"{major}.{minor}.{patch}", f"{major}.{minor}"
        step = state.random.random()
        if step < 0.05:
            major, minor, patch = major + 1, 0, 0
        elif step < 0.35:
            minor, patch = minor + 1, 0
        else:
            patch += 1


def _push_images(state: State, registry: StoredRegistry, plan: _Plan, base: list[bytes]) -> None:
    """Push as pipelines do: releases keep their tags, `main` moves on and leaves images behind."""
    repository = state.add_repository(registry, plan.name)
    own = _own_layers(state, repository)
    stored = [state.push_blob(repository, layer) for layer in base]
    dependencies = own(plan.megabytes * 2.5)
    versions = _versions(state, plan.pushes)
    for number, moment in enumerate(_moments(state, plan.pushes)):
        if number % 9 == 8:
            dependencies = own(plan.megabytes * 2.5)
        layers = [*stored, dependencies, own(plan.megabytes)]
        release = number % 3 != 1
        tags = ["main", f"main-{state.random.getrandbits(28):07x}"]
        if release:
            version, series = next(versions)
            tags = [f"v{version}", f"v{series}", "latest"]
        elif number % 2:
            tags = ["main"]
        if not (plan.multi_platform and release):
            state.push_image(repository, tags=tags, layers=layers, created_at=moment)
            continue
        platforms = [
            state.push_image(
                repository,
                layers=[*layers[:-1], own(plan.megabytes)],
                created_at=moment - 40 * 1_000_000_000,
                architecture=architecture,
                media_type=OCI_IMAGE,
            )
            for architecture in ("amd64", "arm64")
        ]
        state.push_index(repository, platforms, tags=tags, created_at=moment)


def _push_charts(state: State, registry: StoredRegistry, name: str, count: int) -> None:
    """Push a chart in several versions, as Helm does."""
    repository = state.add_repository(registry, name, type="helm_chart")
    short = name.rpartition("/")[2]
    for moment, (version, _) in zip(_moments(state, count), _versions(state, count), strict=True):
        metadata = {"apiVersion": "v2", "name": short, "version": version, "type": "application"}
        files = {
            "Chart.yaml": write_json(metadata),
            "values.yaml": f"replicas: {state.random.randrange(1, 9)}\n".encode(),
        }
        tar = b"".join(_member(f"{short}/{name}", text) for name, text in files.items())
        config = state.push_blob(repository, write_json(metadata))
        chart = state.push_blob(repository, gzip.compress(tar + bytes(1_024), 0, mtime=0))
        manifest = write_image(
            OCI_IMAGE,
            Descriptor(HELM_CONFIG, *config),
            [Descriptor(_CHART, *chart)],
            annotations={"org.opencontainers.image.created": format_time(moment)},
        )
        state.push_manifest(repository, manifest, tags=[version])


def _own_layers(state: State, repository: StoredRepository) -> Callable[[float], StoredLayer]:
    """Give a function that pushes a layer of about so many megabytes of a true one."""

    def push(megabytes: float) -> StoredLayer:
        size = int(megabytes * _KB * state.random.uniform(0.9, 1.1))
        return state.push_blob(repository, _archive(state, size))

    return push


def _archive(state: State, size: int) -> bytes:
    """Make a layer of about so many bytes: an archive of one file that no other layer has."""
    content = state.random.randbytes(64) * max((size - 1_536) // 64, 1)
    return _member("data.bin", content) + bytes(1_024)


def _member(name: str, content: bytes) -> bytes:
    """Write one file of an archive."""
    info = tarfile.TarInfo(name)
    info.size = len(content)
    return info.tobuf(tarfile.USTAR_FORMAT) + content + bytes(-len(content) % 512)


def _issue_tokens(state: State, production: StoredRegistry, staging: StoredRegistry) -> None:
    """Leave tokens of each kind: living, eternal, expired and revoked."""
    now = state.now()
    everything = Scope(all_registries=True, read_write=True, registry_ids=())
    pull = Scope(all_registries=False, read_write=False, registry_ids=(production.id,))
    push = Scope(all_registries=False, read_write=True, registry_ids=(production.id, staging.id))
    state.tokens.create("pipeline-push", push, now + 90 * _DAY).last_used_at = now - _DAY // 7
    state.tokens.create("cluster-pull", pull, None).last_used_at = now - _DAY // 1000
    state.tokens.create("old-laptop", everything, now - 30 * _DAY)
    state.tokens.create("left-company", everything, None).revoked = True
