"""Every project of an account on a Dask cluster gives the report of one machine."""

from __future__ import annotations

import os
import pickle
import signal
from collections.abc import Iterator
from typing import Any, Final

import pytest

import registry_async
import registry_async.dask
from registry_async import ConfigurationError, KeystonePassword, ScanReport, StaticToken, sync
from registry_async.sandbox import Login, Sandbox

distributed: Any = pytest.importorskip("distributed")

# What a killed process leaves behind, the cluster's own warnings tell.
pytestmark = pytest.mark.filterwarnings("ignore")

CANARY: Final = "canary-password-of-the-account"


@pytest.fixture(scope="module")
def cluster() -> Iterator[Any]:
    options: Any = {"n_workers": 2, "threads_per_worker": 1, "dashboard_address": "127.0.0.1:0"}
    with distributed.LocalCluster(**options) as cluster, distributed.Client(cluster) as client:
        yield client


@pytest.fixture
def sandbox() -> Iterator[Sandbox]:
    with Sandbox(seed=1, login=Login(password=CANARY)) as running:
        for number in range(20):
            project = running.add_project(f"project-{number:02}")
            repository = project.state.add_repository(project.state.add_registry("apps"), "a/b")
            project.state.add_image(repository, tags=[f"v{number}"])
        yield running


def account_of(sandbox: Sandbox) -> KeystonePassword:
    return KeystonePassword(
        username=sandbox.login.username,
        password=CANARY,
        account=sandbox.login.account,
        auth_url=sandbox.auth_url,
    )


def here(sandbox: Sandbox, projects: str | None = None) -> ScanReport:
    account = account_of(sandbox)
    with (
        sync.open_projects(account, projects, base_url=sandbox.base_url) as clients,
        sync.scan(clients) as scan,
    ):
        return scan.report()


def test_a_cluster_gives_the_report_of_one_machine(cluster: Any, sandbox: Sandbox) -> None:
    steps: list[tuple[int, int]] = []
    report = registry_async.dask.scan_report(
        account_of(sandbox),
        client=cluster,
        base_url=sandbox.base_url,
        on_progress=lambda done, total: steps.append((done, total)),
    )
    assert report.complete
    assert report == here(sandbox)
    assert report.unique_size == here(sandbox).unique_size
    assert steps == [(done, 23) for done in range(1, 24)]


def test_a_project_that_cannot_be_read_is_in_the_errors(cluster: Any, sandbox: Sandbox) -> None:
    sandbox.faults.add(path="a%2Fb/images", status=500, times=None)
    report = registry_async.dask.scan_report(
        account_of(sandbox), client=cluster, projects="project-0*", base_url=sandbox.base_url
    )
    assert not report.complete
    assert len({error.client_label for error in report.errors}) == 10
    assert {error.kind for error in report.errors} == {"ServerError"}


def test_a_killed_worker_loses_nothing(cluster: Any, sandbox: Sandbox) -> None:
    killed: list[int] = []

    def kill(done: int, total: int) -> None:
        if done == 5:
            workers = cluster.run(os.getpid)
            killed.append(min(workers.values()))
            os.kill(killed[0], signal.SIGKILL)

    report = registry_async.dask.scan_report(
        account_of(sandbox), client=cluster, base_url=sandbox.base_url, on_progress=kill
    )
    assert killed
    assert report.complete
    assert report == here(sandbox)


def test_no_secret_shows_on_the_cluster(cluster: Any, sandbox: Sandbox) -> None:
    registry_async.dask.scan_report(
        account_of(sandbox), client=cluster, projects="project-0*", base_url=sandbox.base_url
    )
    keys = [str(key) for key in cluster.run_on_scheduler(_keys_seen)]
    assert any("registry-scan-project" in key for key in keys)
    logs = [cluster.get_scheduler_logs(), cluster.get_worker_logs()]
    account = account_of(sandbox)
    job = registry_async.dask._Job(account, "label", {}, {})
    for text in (*keys, repr(logs), repr(pickle.dumps(keys)), repr(job)):
        assert CANARY not in text


def _keys_seen(dask_scheduler: Any) -> list[Any]:
    return [event for row in dask_scheduler.transition_log for event in row[:1]]


def test_what_makes_no_sense_is_refused_before_anything_is_sent(sandbox: Sandbox) -> None:
    nobody: Any = None
    with pytest.raises(ConfigurationError, match="Keystone login"):
        registry_async.dask.scan_report(StaticToken("t"), client=nobody)
    with pytest.raises(ValueError, match="concurrency"):
        registry_async.dask.scan_report(account_of(sandbox), client=nobody, concurrency=0)
    assert sandbox.requests == ()
