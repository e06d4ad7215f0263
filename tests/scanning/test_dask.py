"""A scan of many projects, spread over a Dask cluster: one task a project, reports merged."""

from __future__ import annotations

import asyncio
import pickle
from collections.abc import Iterator
from contextlib import ExitStack

import pytest

from registry_async import AsyncRegistryClient, ScanReport, StaticToken
from registry_async.credentials import Credentials
from registry_async.sandbox import Sandbox

distributed = pytest.importorskip("distributed")

Project = tuple[str, str, Credentials]


async def scan_project(project: Project) -> ScanReport:
    label, base_url, credentials = project
    async with AsyncRegistryClient(credentials, base_url=base_url, label=label) as client:
        return await client.scan_report(concurrency=8)


def report_of(project: Project) -> ScanReport:
    """The task: it takes and gives only what pickles."""
    return asyncio.run(scan_project(project))


@pytest.fixture
def projects() -> Iterator[list[tuple[Sandbox, Project]]]:
    with ExitStack() as stack:
        sandboxes = [stack.enter_context(Sandbox(seed=seed)) for seed in (1, 2, 3)]
        yield [
            (sandbox, (f"project-{number}", sandbox.base_url, StaticToken(sandbox.token)))
            for number, sandbox in enumerate(sandboxes)
        ]


def images_in(sandbox: Sandbox) -> int:
    return sum(
        len(repository.images)
        for registry in sandbox.state.registries()
        for repository in registry.repositories.values()
    )


@pytest.mark.filterwarnings("default")
def test_projects_are_mapped_over_a_cluster(projects: list[tuple[Sandbox, Project]]) -> None:
    broken, _ = projects[2]
    broken.faults.add(path="team%2Fapp/images", status=500, times=None)
    with (
        distributed.LocalCluster(
            n_workers=2, threads_per_worker=1, processes=True, dashboard_address="127.0.0.1:0"
        ) as cluster,
        distributed.Client(cluster) as dask,
    ):
        futures = dask.map(report_of, [project for _, project in projects])
        reports: list[ScanReport] = dask.gather(futures)
    report = ScanReport.merge(*reports)
    assert {row.client_label for row in report.registries} == {
        "project-0",
        "project-1",
        "project-2",
    }
    whole = sum(images_in(sandbox) for sandbox, _ in projects[:2])
    assert sum(each.image_count for each in reports[:2]) == whole
    assert report.image_count == sum(each.image_count for each in reports)
    # Errors come back from the other process in words.
    assert not report.complete
    assert {error.client_label for error in report.errors} == {"project-2"}
    assert {error.kind for error in report.errors} == {"ServerError"}


def test_what_a_task_takes_and_gives_pickles(projects: list[tuple[Sandbox, Project]]) -> None:
    _, project = projects[0]
    label, base_url, _ = pickle.loads(pickle.dumps(project))
    assert (label, base_url) == project[:2]
    report = report_of(pickle.loads(pickle.dumps(project)))
    assert pickle.loads(pickle.dumps(report)) == report
    assert report.image_count > 0
