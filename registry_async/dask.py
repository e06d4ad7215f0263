"""Scan every project of an account on a Dask cluster: one task a project, reports merged there."""

import asyncio
from collections.abc import Callable, Coroutine, Generator, Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, TypedDict, TypeVar, Unpack
from uuid import uuid4

from attrs import field, frozen

from registry_async._display import progress_bar
from registry_async._keystone import KeystoneCredentials, KeystoneProject
from registry_async._report import ReportedError, ScanReport
from registry_async._scan.options import Patterns
from registry_async._secrets import hide
from registry_async.accounts import (
    ClientOptions,
    account_credentials,
    choose_projects,
    labels_of,
    list_projects,
    project_patterns,
)
from registry_async.client import AsyncRegistryClient
from registry_async.credentials import Credentials
from registry_async.errors import ApiError, ConfigurationError, ContainerRegistryError
from registry_async.retry import RetryPolicy

if TYPE_CHECKING:
    from distributed import Client

__all__ = ["scan_report"]

T = TypeVar("T")

# Reports that one task merges: enough that the tree is flat, few enough for a worker's memory.
_MERGED_AT_ONCE: Final = 16


class DaskOptions(TypedDict, total=False):
    """The options of each project's client, and of its scan."""

    base_url: str
    timeout: float
    retry: RetryPolicy | None
    max_connections: int
    user_agent: str | None
    ssl: str | Path | None
    concurrency: int
    registries: str | Iterable[str] | None
    repository: Patterns | None
    tags: Patterns | bool | None
    page_size: int
    max_rate: float | None


_OF_THE_CLIENT: Final = ("base_url", "timeout", "retry", "max_connections", "user_agent", "ssl")


@frozen
class _Job:
    """What a task is told: a project, with what it takes to read it. It shows no secret."""

    credentials: KeystoneCredentials
    label: str
    client_options: dict[str, Any] = field(repr=False)
    scan_options: dict[str, Any] = field(repr=False)


def scan_report(
    credentials: Credentials,
    *,
    client: "Client",
    projects: str | Iterable[str] | None = None,
    on_progress: Callable[[int, int], object] | None = None,
    progress: bool = False,
    **options: Unpack[DaskOptions],
) -> ScanReport:
    """Read every project of an account into one report, a task a project (extra ``dask``).

    Reports are merged on the workers, so that no machine holds them all. A project that cannot be
    read is in the ``errors`` of the report. An interrupt, or any other end, cancels the tasks.

    Args:
        credentials: Those of a whole account: `KeystonePassword` without a project, or
            ``credentials_from_env(project=False)``. They are sent to the workers, and show in no
            task's name and in no log.
        client: Your Dask client. Its workers need this package, and a way to the service.
        projects: Which projects: ids, or names with wildcards (``team-*``). All that are enabled
            by default.
        on_progress: Called after each project with how many are done and how many there are.
        progress: Whether to show a progress bar (extra ``progress``).
        **options: Options of `AsyncRegistryClient` and of its `scan_report`, for each project:
            ``concurrency`` and ``max_rate`` are those of one task.

    Returns:
        The report. Look at its ``complete`` and ``errors``.

    Raises:
        ValueError: An argument makes no sense.
        ConfigurationError: The credentials serve no whole account, a pattern fits no project, or
            the extra is not installed.
        ContainerRegistryError: The projects could not be listed.
    """
    credentials = hide(credentials)
    account = account_credentials(credentials)
    patterns = project_patterns(projects)
    client_options, scan_options = _split(options)
    # Options that make no sense are refused here, and not by each task.
    AsyncRegistryClient(account, **client_options).scan(**scan_options)
    listed = _run(list_projects(account, **_listing(client_options)))
    chosen = choose_projects(listed, patterns)
    jobs = [
        _Job(KeystoneProject(account, project.id), label, client_options, scan_options)
        for project, label in zip(chosen, labels_of(chosen), strict=True)
    ]
    if not jobs:
        return ScanReport()
    with _progress(progress, on_progress, len(jobs)) as advance:
        return _Tree(client, jobs, advance).report()


def _split(options: DaskOptions) -> tuple[dict[str, Any], dict[str, Any]]:
    """Return the options of clients and those of scans; iterators can be sent only once."""
    plain: dict[str, Any] = dict(options)
    for name, value in plain.items():
        if isinstance(value, Iterator):
            plain[name] = list(value)  # pyright: ignore[reportUnknownArgumentType]
    of_client = {name: value for name, value in plain.items() if name in _OF_THE_CLIENT}
    return of_client, {name: value for name, value in plain.items() if name not in of_client}


def _listing(client_options: dict[str, Any]) -> ClientOptions:
    # The projects are Keystone's: whatever URL the service has does not matter here.
    return {key: value for key, value in client_options.items() if key != "base_url"}  # type: ignore[return-value]


def _run(call: Coroutine[Any, Any, T]) -> T:
    """Run a coroutine to its end, also where an event loop runs already, as in notebooks."""
    with ThreadPoolExecutor(max_workers=1) as thread:
        return thread.submit(asyncio.run, call).result()


@contextmanager
def _progress(
    shown: bool, on_progress: Callable[[int, int], object] | None, total: int
) -> Generator[Callable[[int], None]]:
    def tell(done: int) -> None:
        if on_progress is not None:
            on_progress(done, total)

    if not shown:
        yield tell
        return
    with progress_bar("Projects", total=total) as bar:

        def advance(done: int) -> None:
            bar.update(completed=done, total=total)
            tell(done)

        yield advance


class _Tree:
    """The tasks of one run: a leaf a project, and above the leaves merges of merges."""

    def __init__(
        self, client: "Client", jobs: Sequence[_Job], advance: Callable[[int], None]
    ) -> None:
        self._client: Any = client
        self._run = uuid4().hex[:12]
        self._advance = advance
        self._leaves = {self._key("project", number): job.label for number, job in enumerate(jobs)}
        self._merges = 0
        self._failures: list[ReportedError] = []
        # Keys are random, so that they tell nothing of what the tasks are given.
        self._futures: list[Any] = [
            self._client.submit(_scan_project, job, key=key, pure=False)
            for key, job in zip(self._leaves, jobs, strict=True)
        ]

    def report(self) -> ScanReport:
        """Wait for the tasks, merge what they give, and return the whole."""
        try:
            return self._collect()
        except BaseException:
            # An interrupt above all: nobody will come for what they give.
            self._client.cancel(self._futures, force=True)
            raise

    def _collect(self) -> ScanReport:
        pending = _as_completed(self._futures)
        # Dask keeps what a task gave for as long as somebody holds its future.
        self._futures = []
        done = 0
        ready: list[Any] = []
        for future in pending:
            if future.key in self._leaves:
                done += 1
                self._advance(done)
            if future.status == "finished":
                ready.append(future)
            else:
                self._fail(future)
            if len(ready) == _MERGED_AT_ONCE:
                merged = self._merge(ready)
                pending.add(merged)
                ready = []
        whole: ScanReport = self._merge(ready).result() if ready else ScanReport()
        if not self._failures:
            return whole
        return whole.merge(ScanReport(errors=tuple(self._failures), complete=False))

    # distributed has no types that a strict type checker takes.
    def _merge(self, ready: list[Any]) -> Any:
        self._merges += 1
        key = self._key("merge", self._merges)
        return self._client.submit(_merge, ready, key=key, pure=False)

    def _fail(self, future: Any) -> None:
        if future.key not in self._leaves:
            # A merge does nothing that could fail but for want of memory.
            future.result()
        error: BaseException | None = future.exception()
        label = self._leaves[str(future.key)]
        kind = type(error).__name__ if error is not None else "CancelledError"
        message = f"the task of this project failed on the cluster: {kind}"
        self._failures.append(_of_the_whole(label, kind, message))

    def _key(self, kind: str, number: int) -> str:
        return f"registry-scan-{kind}-{self._run}-{number}"


def _as_completed(futures: list[Any]) -> Any:
    try:
        import distributed
    except ImportError:
        raise ConfigurationError(
            "scans on a cluster need the extra: pip install 'registry-async[dask]'"
        ) from None
    as_completed: Any = distributed.as_completed
    return as_completed(futures)


def _of_the_whole(label: str, kind: str, message: str, status: int | None = None) -> ReportedError:
    """Return the failure of a whole project."""
    return ReportedError(
        client_label=label,
        registry=None,
        repository=None,
        kind=kind,
        message=message,
        status=status,
    )


# -- on the workers


def _scan_project(job: _Job) -> ScanReport:
    """Read one project; a failure of the whole project is in the report, too."""
    try:
        return asyncio.run(_scan(job))
    except ContainerRegistryError as error:
        status = error.status if isinstance(error, ApiError) else None
        reported = _of_the_whole(job.label, type(error).__name__, str(error), status)
        return ScanReport(errors=(reported,), complete=False)


async def _scan(job: _Job) -> ScanReport:
    async with AsyncRegistryClient(
        job.credentials, label=job.label, **job.client_options
    ) as client:
        return await client.scan_report(**job.scan_options)


def _merge(reports: Sequence[ScanReport]) -> ScanReport:
    return reports[0].merge(*reports[1:])
