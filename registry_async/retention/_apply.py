"""Apply a plan: what is sent, in which order, and what becomes of it."""

from collections.abc import Callable, Iterable, Mapping
from datetime import UTC, datetime, timedelta
from typing import Final

from attrs import define, evolve, field

from registry_async._display import progress_bar
from registry_async.errors import (
    ConflictError,
    ConnectionFailedError,
    NotFoundError,
    RateLimitedError,
    RequestError,
    RequestTimeoutError,
    RetentionRefusedError,
    ServerError,
    UnexpectedResponseError,
)
from registry_async.models import CleanupResult, Registry, RegistryStatus, Repository
from registry_async.retention._evaluate import Evaluation
from registry_async.retention._in_use import InUse
from registry_async.retention._journal import Journal, Place, SentImage
from registry_async.retention._judge import Judgement
from registry_async.retention._plan_values import RetentionPlan
from registry_async.retention._planned import PlannedImage
from registry_async.retention._reading import InconsistentError, Reader, read_list
from registry_async.retention._result import (
    FailedImage,
    RetentionProgress,
    RetentionResult,
    SkippedImage,
    UnexpectedDeletion,
)
from registry_async.retention._service import ManifestReader, Service
from registry_async.retention._snapshot import Manifest, RepositorySnapshot

__all__ = ["check_plan", "run"]

_BATCH: Final = 100
_FIRST_PAUSE: Final = 1.0
_GROWTH: Final = 1.5
_LONGEST_PAUSE: Final = 10.0
# How many times in a row a failure is waited out when no collection explains it.
_FAILURES: Final = 8

# After these the service may or may not have deleted what was asked: it is read again.
_DROPPED: Final = (
    ConflictError,
    ConnectionFailedError,
    RateLimitedError,
    RequestTimeoutError,
    ServerError,
    UnexpectedResponseError,
)


def check_plan(plan: RetentionPlan, service: Service, in_use: InUse | None) -> None:
    """Refuse a plan that must not be applied, before anything is sent.

    Raises:
        RetentionRefusedError: It is such a plan; the message says why.
    """
    now = datetime.fromtimestamp(service.clock.time(), UTC)
    if plan.id != plan.content_id():
        raise RetentionRefusedError("the plan was edited after it was made: make a new one")
    if plan.refusals:
        raise RetentionRefusedError("the plan exceeds limits: " + "; ".join(plan.refusals))
    if now >= plan.expires_at or plan.expires_at - plan.created_at > timedelta(hours=24):
        raise RetentionRefusedError(f"the plan expired at {plan.expires_at:%Y-%m-%d %H:%M} UTC")
    if not plan.base_url:
        raise RetentionRefusedError("the plan does not say which service it is of")
    if plan.base_url != service.base_url:
        raise RetentionRefusedError(
            f"the plan is of {plan.base_url}, and the client of {service.base_url}"
        )
    if plan.label != service.label:
        raise RetentionRefusedError(
            f"the plan is of the client {plan.label!r}, and this one is {service.label!r}"
        )
    if plan.policy.protect.in_use == "required" and in_use is None:
        raise RetentionRefusedError(
            "the policy requires a list of the images in use of this very moment: give in_use="
        )


@define(eq=False)
class _Work:
    """A repository that is worked on.

    Attributes:
        registry: The registry.
        name: The name of the repository.
        open: The planned images whose fate is open, by digest.
        unanswered: Those that were sent, and that the answer did not mention.
        batches: How many were sent.
    """

    registry: Registry
    name: str
    open: dict[str, PlannedImage]
    unanswered: set[str] = field(factory=set[str])
    given_up: str | None = None

    @property
    def place(self) -> Place:
        return self.registry.id, self.name


class _Stop(Exception):  # noqa: N818 - it never leaves this module
    """Something was deleted that nobody asked for."""


class _Patience:
    """How long failures in a row are waited out.

    Args:
        service: Whose clock is used, and whose registry is looked at.
        timeout: The most seconds.
    """

    def __init__(self, service: Service, timeout: float) -> None:
        self._service = service
        self._clock = service.clock
        self._timeout = timeout
        self.reset()

    def reset(self) -> None:
        """Forget the failures: something went well."""
        self._start: float | None = None
        self._pause = _FIRST_PAUSE
        self._failures = 0

    async def wait(self, registry_id: str, error: RequestError) -> bool:
        """Wait until it may go better; False where the time is up."""
        if self._start is None:
            self._start = self._clock.monotonic()
        self._failures += 1
        if self._failures > _FAILURES:
            return False
        pause = self._pause
        if isinstance(error, RateLimitedError) and error.retry_after is not None:
            pause = max(pause, error.retry_after)
        while True:
            left = self._timeout - (self._clock.monotonic() - self._start)
            if left <= 0:
                return False
            await self._clock.sleep(min(pause, left))
            self._pause = pause = min(self._pause * _GROWTH, _LONGEST_PAUSE)
            if not await self._collecting(registry_id):
                return True
            # A collection explains the failure, however often it is met.
            self._failures = 0

    async def _collecting(self, registry_id: str) -> bool:
        try:
            registry = await self._service.client.registries.get(registry_id)
        except RequestError:
            return False
        return registry.status == RegistryStatus.GARBAGE_COLLECTION


class Run:
    """One run of a plan.

    Args:
        plan: The plan, which was checked.
        service: The client.
        in_use: The images in use, those of the plan included.
        manifests: What reads manifests.
        journal: The journal, which is open.
        conflict_timeout: The seconds that failures in a row are waited out.
        on_progress: Called after each batch.
    """

    def __init__(
        self,
        plan: RetentionPlan,
        service: Service,
        in_use: InUse | None,
        manifests: ManifestReader | None,
        journal: Journal,
        conflict_timeout: float,
        on_progress: Callable[[RetentionProgress], object],
    ) -> None:
        self._plan = plan
        self._service = service
        self._in_use = in_use
        self._journal = journal
        self._conflict_timeout = conflict_timeout
        self._patience = _Patience(service, conflict_timeout)
        self._on_progress = on_progress
        # The quotas have chosen already; what they did not choose is not in the plan.
        self._policy = evolve(plan.policy, quotas=())
        wanted = {*plan.policy.protect.digests}
        wanted |= {each.digest for each in (in_use.references if in_use else ()) if each.digest}
        self._reader = Reader(service.client, manifests, self._judge, wanted, concurrency=8)
        self._planned: dict[Place, dict[str, PlannedImage]] = {}
        for image in plan.deletions:
            place = image.registry_id, image.repository
            self._planned.setdefault(place, {})[image.digest] = image
        self._skipped: list[SkippedImage] = []
        self._errors: list[str] = []
        self._troubled: set[str] = set()

    # Looking

    def _judge(
        self, snapshot: RepositorySnapshot, deleted: Mapping[str, Manifest | None]
    ) -> Judgement:
        now = datetime.fromtimestamp(self._service.clock.time(), UTC)
        return Evaluation(self._policy, now=now, in_use=self._in_use).judge(snapshot, deleted)

    def _deleted(self, place: Place) -> dict[str, Manifest | None]:
        sent = self._journal.state.deleted.get(place, {})
        return {digest: image.manifest for digest, image in sent.items()}

    async def _look(self, work: _Work) -> Judgement:
        """Read a repository and judge it."""
        deleted = self._deleted(work.place)
        repository = Repository(work.name)
        problem: str | None = None
        try:
            repository = await self._service.client.repositories.get(*work.place)
        except NotFoundError:
            # One that is gone, or was never pushed to; its lists say which.
            repository = Repository(work.name)
        except RequestError as error:
            problem = str(error)
        if problem is None and repository.name != work.name:
            problem = f"the service gave repository {repository.name!r} instead"
        if problem is None:
            snapshot = await self._reader.snapshot(work.registry, repository, deleted)
        else:
            snapshot = RepositorySnapshot(work.registry, repository, (), (), problem=problem)
        judgement = self._judge(snapshot, deleted)
        for root in judgement.roots:
            judgement.take(root)
        judgement.settle()
        return judgement

    # Deciding

    def _skip(self, work: _Work, digest: str, change: str) -> None:
        self._skipped.append(SkippedImage(work.open.pop(digest), change))

    def _choose(self, work: _Work, judgement: Judgement) -> list[str]:
        """Return what may be sent now; skip what has changed."""
        members, gone = judgement.stock.members, judgement.stock.gone
        ready: list[str] = []
        for digest, image in list(work.open.items()):
            member = members.get(digest)
            if member is None:
                self._skip(work, digest, "it is not there any more")
                continue
            verdict = judgement.verdicts[digest]
            new = sorted(set(member.tags) - set(image.tags))
            if new:
                self._skip(work, digest, f"it has tag {new[0]} now, which the plan does not show")
            elif not verdict.goes:
                self._skip(work, digest, f"it stays now ({verdict.reason}): {verdict.explanation}")
            elif all(need in gone for need in (*member.owners, *member.subjects)):
                ready.append(digest)
        # The readings stay linear: each of them is for a hundredth of the images at least.
        size = max(_BATCH, len(members) // 100)
        ready.sort(key=lambda digest: _age_key(work.open[digest]))
        return ready[:size]

    # Sending

    async def repository(self, work: _Work) -> None:
        """Delete what may go of one repository."""
        while work.open:
            judgement = await self._look(work)
            if await self._settle_doubts(work, judgement):
                continue
            problem = judgement.stock.snapshot.problem
            if problem is not None:
                self._trouble(work, f"could not be read: {problem}")
            if work.given_up is None and judgement.stock.problem is not None:
                work.given_up = f"its repository is blocked: {judgement.stock.problem}"
            batch = [] if work.given_up else self._choose(work, judgement)
            if not batch:
                for digest in list(work.open):
                    member = judgement.stock.members.get(digest)
                    change = work.given_up or "what it belongs to is still there"
                    if problem is None and member is None:
                        change = "it is not there any more"
                    self._skip(work, digest, change)
                break
            await self._send(work, judgement, batch)
            self._report()
        self._report()

    async def _settle_doubts(self, work: _Work, judgement: Judgement) -> bool:
        """Find out what became of what was sent; True where that changes what follows."""
        doubtful = self._journal.state.doubtful.get(work.place, {})
        if not doubtful or judgement.stock.snapshot.problem is not None:
            return False
        members = judgement.stock.members
        deleted = sorted(digest for digest in doubtful if digest not in members)
        there = sorted(digest for digest in doubtful if digest in members)
        failed = {
            digest: "the service did not say what became of it"
            for digest in there
            if digest in work.unanswered
        }
        await self._settle(work, deleted, failed, [each for each in there if each not in failed])
        return bool(deleted)

    async def _settle(
        self, work: _Work, deleted: list[str], failed: dict[str, str], there: list[str]
    ) -> None:
        await self._journal.record(
            "settled",
            registry_id=work.registry.id,
            repository=work.name,
            deleted=deleted,
            failed=failed,
            still_there=there,
        )
        for digest in (*deleted, *failed):
            work.open.pop(digest, None)
        if failed:
            self._troubled.add(work.registry.id)

    async def _send(self, work: _Work, judgement: Judgement, batch: list[str]) -> None:
        stock = judgement.stock
        await self._journal.record(
            "sending",
            registry_id=work.registry.id,
            repository=work.name,
            images=[
                {
                    "digest": digest,
                    "parts": list(stock.parts.get(digest, ())),
                    "layers": _layers(judgement, digest),
                }
                for digest in batch
            ],
        )
        try:
            answer = await self._service.sends_once.repositories.cleanup(
                work.registry.id, work.name, digests=batch, disable_gc=True
            )
        except _DROPPED as error:
            if not await self._patience.wait(work.registry.id, error):
                self._trouble(work, str(error))
            return
        except RequestError as error:
            self._trouble(work, str(error))
            return
        self._patience.reset()
        await self._take_answer(work, batch, answer)

    async def _take_answer(self, work: _Work, batch: list[str], answer: CleanupResult) -> None:
        sent = set(batch)
        planned = self._planned[work.place]
        any_tag = {tag for digest in batch for tag in planned[digest].tags}
        deleted: set[str] = set()
        unexpected: list[tuple[str | None, list[str]]] = []
        for each in answer.deleted:
            asked = each.digest is None or each.digest in sent
            allowed: set[str] = any_tag if each.digest is None else set()
            if each.digest in sent:
                allowed = set(planned[each.digest].tags)
                deleted.add(each.digest)
            if not asked or not allowed.issuperset(each.tags):
                unexpected.append((each.digest, list(each.tags)))
        failed = {
            each.digest: each.error or "the service does not say why"
            for each in answer.failed
            if each.digest in sent and each.digest not in deleted
        }
        work.unanswered |= sent - deleted - failed.keys()
        for digest, tags in unexpected:
            await self._journal.record(
                "unexpected",
                registry_id=work.registry.id,
                registry=work.registry.name,
                repository=work.name,
                digest=digest,
                tags=tags,
            )
        await self._settle(work, sorted(deleted), failed, [])
        if unexpected:
            raise _Stop

    def _trouble(self, work: _Work, problem: str) -> None:
        text = f"{work.registry.name}/{work.name}: {problem}"
        self._errors.append(text)
        self._troubled.add(work.registry.id)
        work.given_up = problem

    # The whole

    async def everything(self, *, collect_garbage: bool) -> RetentionResult:
        """Delete what may go, registry by registry."""
        if self._journal.state.unexpected:
            return await self._result({})
        registries: dict[str, Registry] = {}
        try:
            for registry_id in sorted({place[0] for place in self._planned}):
                await self._registry(registry_id, registries)
        except _Stop:
            return await self._result(registries)
        if collect_garbage:
            for registry in registries.values():
                await self._collect(registry)
        return await self._result(registries)

    async def _registry(self, registry_id: str, registries: dict[str, Registry]) -> None:
        state = self._journal.state
        places = sorted(place for place in self._planned if place[0] == registry_id)
        problem: str
        change = "its registry could not be read"
        try:
            registry = await self._service.client.registries.get(registry_id)
            problem = "" if registry.id == registry_id else "the service gave another registry"
        except NotFoundError:
            problem, registry = "", Registry(registry_id, "", "", 0, None)
            change = "its registry is not there any more"
        except RequestError as error:
            problem, registry = str(error), Registry(registry_id, "", "", 0, None)
        if problem or not registry.name:
            if problem:
                self._errors.append(f"registry {registry_id}: {problem}")
                self._troubled.add(registry_id)
            for place in places:
                for digest, image in self._planned[place].items():
                    if not _is_settled(state.deleted, state.failed, place, digest):
                        self._skipped.append(SkippedImage(image, change))
            return
        registries[registry_id] = registry
        self._patience.reset()
        for place in places:
            undecided = {
                digest: image
                for digest, image in self._planned[place].items()
                if not _is_settled(state.deleted, state.failed, place, digest)
            }
            if state.failed.get(place):
                self._troubled.add(registry_id)
            await self.repository(_Work(registry, place[1], undecided))

    async def _collect(self, registry: Registry) -> None:
        state = self._journal.state
        deleted = any(images for place, images in state.deleted.items() if place[0] == registry.id)
        if not deleted or registry.id in self._troubled or registry.id in state.collected:
            return
        try:
            await self._service.sends_once.registries.start_garbage_collection(
                registry.id, conflict_timeout=self._conflict_timeout
            )
        except RequestError as error:
            self._errors.append(f"{registry.name}: the collection could not be started: {error}")
        else:
            await self._journal.record("collecting", registry_id=registry.id)

    async def _result(self, registries: Mapping[str, Registry]) -> RetentionResult:
        state = self._journal.state
        deleted, failed = self._settled_images()
        self._report()
        names = {image.registry_id: image.registry for image in self._plan.deletions}
        return RetentionResult(
            deleted=deleted,
            skipped=tuple(self._skipped),
            failed=failed,
            unexpected=tuple(
                UnexpectedDeletion(
                    registry_id=each["registry_id"],
                    registry=each["registry"],
                    repository=each["repository"],
                    digest=each["digest"],
                    tags=tuple(each["tags"]),
                )
                for each in state.unexpected
            ),
            errors=tuple(self._errors),
            collected=tuple(sorted(names[each] for each in state.collected if each in names)),
            freed_bytes=sum([await self._freed(registry) for registry in registries.values()]),
        )

    def _settled_images(self) -> tuple[tuple[PlannedImage, ...], tuple[FailedImage, ...]]:
        state = self._journal.state
        deleted: list[PlannedImage] = []
        failed: list[FailedImage] = []
        for image in self._plan.deletions:
            place = image.registry_id, image.repository
            if image.digest in state.deleted.get(place, {}):
                deleted.append(image)
            elif image.digest in state.failed.get(place, {}):
                failed.append(FailedImage(image, state.failed[place][image.digest]))
        return tuple(deleted), tuple(failed)

    async def _freed(self, registry: Registry) -> int:
        """Return the bytes of the deleted images' layers that nothing in the registry has now.

        Where the registry cannot be read in full, nothing is promised: 0.
        """
        layers: dict[str, int] = {}
        for place, images in self._journal.state.deleted.items():
            if place[0] == registry.id:
                for image in images.values():
                    layers |= image.layers
        if not layers:
            return 0
        client = self._service.client
        try:
            for repository in await read_list(client.repositories.list(registry.id), ""):
                try:
                    images_left = await read_list(
                        client.images.list(registry.id, repository.name), ""
                    )
                except NotFoundError:
                    continue
                for left in images_left:
                    layers.pop(left.digest, None)
                    for layer in left.layers:
                        layers.pop(layer.digest, None)
        except (RequestError, InconsistentError):
            return 0
        return sum(max(0, size) for size in layers.values())

    def _report(self) -> None:
        deleted, failed = self._settled_images()
        self._on_progress(
            RetentionProgress(
                planned=len(self._plan.deletions),
                deleted=len(deleted),
                failed=len(failed),
                skipped=len(self._skipped),
            )
        )


def _is_settled(
    deleted: Mapping[Place, Mapping[str, SentImage]],
    failed: Mapping[Place, Mapping[str, str]],
    place: Place,
    digest: str,
) -> bool:
    return digest in deleted.get(place, {}) or digest in failed.get(place, {})


def _age_key(image: PlannedImage) -> tuple[bool, float, str]:
    created = image.created_at
    return created is None, 0.0 if created is None else created.timestamp(), image.digest


def _layers(judgement: Judgement, digest: str) -> dict[str, int]:
    member = judgement.stock.members[digest]
    if not member.layers and member.size:
        return {digest: member.size}
    return {layer.digest: layer.size for layer in member.layers}


async def run(
    plan: RetentionPlan,
    service: Service,
    *,
    in_use: InUse | None,
    manifests: ManifestReader | None,
    journal: Journal,
    collect_garbage: bool,
    conflict_timeout: float,
    on_progress: Iterable[Callable[[RetentionProgress], object]],
    progress: bool,
) -> RetentionResult:
    """Apply a plan that was checked.

    Raises:
        RetentionRefusedError: The journal is of another plan, or held by another run.
    """
    hooks = list(on_progress)

    def report(now: RetentionProgress) -> None:
        for hook in hooks:
            hook(now)

    async with journal:
        work = Run(plan, service, in_use, manifests, journal, conflict_timeout, report)
        if not progress:
            return await work.everything(collect_garbage=collect_garbage)
        with progress_bar("Deleting images", total=len(plan.deletions)) as bar:
            hooks.append(lambda now: bar.update(completed=now.deleted + now.failed + now.skipped))
            return await work.everything(collect_garbage=collect_garbage)
