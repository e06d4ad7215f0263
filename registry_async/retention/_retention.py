"""Plan and apply, as clients have them."""

from collections.abc import Callable
from datetime import UTC, datetime
from os import PathLike
from typing import Final, Protocol

from attrs import frozen

from registry_async._arguments import check_count, check_flag, check_seconds
from registry_async._clock import Clock
from registry_async._display import progress_bar
from registry_async.errors import NotFoundError
from registry_async.models import Registry, Repository
from registry_async.retention._apply import check_plan, run
from registry_async.retention._evaluate import Evaluation
from registry_async.retention._in_use import InUse
from registry_async.retention._journal import Journal
from registry_async.retention._plan_values import RetentionPlan
from registry_async.retention._policy import RetentionPolicy
from registry_async.retention._reading import Reader, read_all
from registry_async.retention._result import RetentionProgress, RetentionResult
from registry_async.retention._service import ManifestReader, ServiceClient
from registry_async.retention._snapshot import RepositorySnapshot
from registry_async.retry import RetryPolicy

__all__ = ["AsyncRetention"]

CONCURRENCY: Final = 32
CONFLICT_TIMEOUT: Final = 900.0


class RetryingClient(ServiceClient, Protocol):
    """A client whose retries can be switched off."""

    def with_options(self, *, retry: RetryPolicy | None = None) -> ServiceClient:
        """Return a view of this client with other retries."""
        ...


@frozen
class _Service:
    """A client, and what is to be known of it."""

    client: RetryingClient
    base_url: str
    label: str | None
    clock: Clock

    @property
    def sends_once(self) -> ServiceClient:
        """The same client without retries, for what deletes."""
        return self.client.with_options(retry=RetryPolicy(attempts=1))


class AsyncRetention:
    """Delete what nobody needs, and nothing else: `registry_async.retention` is the guide.

    Args:
        client: The client.
        base_url: The URL of its service.
        label: Its label.
        clock: Where time comes from.
    """

    def __init__(
        self, client: RetryingClient, base_url: str, label: str | None, clock: Clock
    ) -> None:
        self._service = _Service(client, base_url, label, clock)

    def __repr__(self) -> str:
        return f"<{type(self).__name__} of {self._service.base_url}>"

    async def plan(
        self,
        policy: RetentionPolicy,
        *,
        in_use: InUse | None = None,
        manifests: ManifestReader | None = None,
        concurrency: int = CONCURRENCY,
        progress: bool = False,
    ) -> RetentionPlan:
        """Read every repository and decide what a policy deletes. Nothing is changed.

        Args:
            policy: The policy.
            in_use: The images in use, which stay, and their parts.
            manifests: What reads manifests, such as `OciManifests`. Without it, repositories with
                multi-architecture images are blocked, and images without a tag stay.
            concurrency: The most repositories, and the most manifests, to read at once.
            progress: Whether to show a progress bar (extra ``progress``).

        Returns:
            The plan, with a verdict for every image.

        Raises:
            ValueError: An argument makes no sense.
            RetentionRefusedError: The policy requires ``in_use``, and it is not given.
            ContainerRegistryError: The registries could not be listed. What fails in one registry
                or repository is in the plan's ``blocked``.
        """
        check_count(concurrency, "concurrency", minimum=1)
        check_flag(progress, "progress")
        now = datetime.fromtimestamp(self._service.clock.time(), UTC)
        evaluation = Evaluation(policy, now=now, in_use=in_use)
        wanted = set(policy.protect.digests)
        wanted |= {each.digest for each in (in_use.references if in_use else ()) if each.digest}
        reader = Reader(self._service.client, manifests, evaluation.judge, wanted, concurrency)
        places: list[tuple[Registry, Repository]] = []
        for registry in await reader.registries():
            if policy.quotas:
                registry = await self._with_limit(registry)
            repositories, problem = await reader.repositories(registry)
            if problem is not None:
                evaluation.add(
                    RepositorySnapshot(registry, Repository(""), (), (), problem=problem)
                )
            places += ((registry, repository) for repository in repositories)
        if not progress:
            await read_all(reader, places, concurrency, evaluation.add)
        else:
            with progress_bar("Reading repositories", total=len(places)) as bar:
                done = 0

                def take(snapshot: RepositorySnapshot) -> None:
                    nonlocal done
                    evaluation.add(snapshot)
                    done += 1
                    bar.update(completed=done, total=len(places))

                await read_all(reader, places, concurrency, take)
        return evaluation.plan(base_url=self._service.base_url, label=self._service.label)

    async def _with_limit(self, registry: Registry) -> Registry:
        """Return a registry with its size limit, which only the single one has."""
        try:
            found = await self._service.client.registries.get(registry.id)
        except NotFoundError:
            return registry
        return found if found.id == registry.id else registry

    async def apply(
        self,
        plan: RetentionPlan,
        *,
        in_use: InUse | None = None,
        manifests: ManifestReader | None = None,
        journal: str | PathLike[str] | None = None,
        collect_garbage: bool = False,
        conflict_timeout: float = CONFLICT_TIMEOUT,
        on_progress: Callable[[RetentionProgress], object] | None = None,
        progress: bool = False,
    ) -> RetentionResult:
        """Delete what a plan deletes, as far as that is still right.

        Before each batch its repository is read and judged again; only what both the plan and
        that judgement delete is sent.

        Args:
            plan: The plan.
            in_use: The images in use now; those of the plan are added.
            manifests: What reads manifests. A plan that was made with one needs one here, too.
            journal: A file that holds what was done, and that an interrupted run goes on from.
            collect_garbage: Whether to start one garbage collection in each registry in which
                images were deleted and nothing went wrong. It leaves untagged images alone.
            conflict_timeout: The seconds to wait for garbage collections and other failures.
            on_progress: Called after each batch with a `RetentionProgress`.
            progress: Whether to show a progress bar (extra ``progress``).

        Returns:
            What was done. Look at its ``complete``.

        Raises:
            ValueError: An argument makes no sense.
            RetentionRefusedError: The plan exceeds limits, expired, was edited, or is of another
                service or client; a required ``in_use`` is missing; the journal is of another
                plan, is none, or is held by another run. Nothing was sent.
            OSError: The journal cannot be written.
        """
        if not isinstance(plan, RetentionPlan):  # pyright: ignore[reportUnnecessaryIsInstance]
            raise ValueError("plan must be a RetentionPlan; RetentionPlan.from_json() reads one")
        if in_use is not None and not isinstance(in_use, InUse):  # pyright: ignore[reportUnnecessaryIsInstance]
            raise ValueError("in_use must be an InUse")
        check_flag(collect_garbage, "collect_garbage")
        check_seconds(conflict_timeout, "conflict_timeout")
        check_flag(progress, "progress")
        check_plan(plan, self._service, in_use)
        used = plan.in_use if in_use is None else in_use
        if in_use is not None and plan.in_use is not None:
            used = plan.in_use | in_use
        return await run(
            plan,
            self._service,
            in_use=used,
            manifests=manifests,
            journal=Journal(journal, plan.id),
            collect_garbage=collect_garbage,
            conflict_timeout=conflict_timeout,
            on_progress=() if on_progress is None else (on_progress,),
            progress=progress,
        )
