"""Evaluate a policy: what goes, what stays and why. It knows no client, no clock and no file."""

from collections import Counter
from collections.abc import Iterable, Mapping
from datetime import UTC, datetime
from typing import Final, cast

from attrs import define, field

from registry_async.errors import RetentionRefusedError
from registry_async.models import Layer, Registry
from registry_async.retention._in_use import InUse
from registry_async.retention._judge import Judgement, UsedImages, judge
from registry_async.retention._plan_values import (
    LIFETIME,
    RetentionPlan,
    finished,
    sorted_images,
)
from registry_async.retention._planned import BlockedRepository, PlannedImage, Reason
from registry_async.retention._policy import RetentionPolicy
from registry_async.retention._rules import RuleSet
from registry_async.retention._snapshot import Manifest, RepositorySnapshot
from registry_async.retention._stock import Member

__all__ = ["Evaluation", "evaluate"]

_LAST: Final = datetime.max.replace(tzinfo=UTC)


def evaluate(
    policy: RetentionPolicy,
    snapshots: Iterable[RepositorySnapshot],
    *,
    now: datetime,
    in_use: InUse | None = None,
    base_url: str = "",
    label: str | None = None,
) -> RetentionPlan:
    """Decide what a policy deletes of what was read. The order of the snapshots means nothing.

    Args:
        policy: The policy.
        snapshots: The repositories, each once, as they were read.
        now: The present, with a time zone.
        in_use: The images in use: they stay, and their parts.
        base_url: The URL of the service; a plan without one is never applied.
        label: The label of the client.

    Returns:
        The plan, with a verdict for every image.

    Raises:
        RetentionRefusedError: The policy requires ``in_use``, and it is not given.
        ValueError: A repository comes twice, or ``now`` has no time zone.
    """
    evaluation = Evaluation(policy, now=now, in_use=in_use)
    for snapshot in snapshots:
        evaluation.add(snapshot)
    return evaluation.plan(base_url=base_url, label=label)


class _RegistryState:
    """What is known of one registry while its repositories are judged.

    Attributes:
        registry: The registry.
        judgements: Its repositories, by name.
        unread: Whether something in it was not read.
    """

    def __init__(self, registry: Registry) -> None:
        self.registry = registry
        self.judgements: dict[str, Judgement] = {}
        self.unread = False


@define(eq=False, weakref_slot=False)
class _Freed:
    """Layers by how many images that stay have them."""

    holders: Counter[str] = field(factory=Counter[str])
    sizes: dict[str, int] = field(factory=dict[str, int])

    def add(self, member: Member) -> None:
        for layer in set(_layers(member)):
            self.holders[layer.digest] += 1
            size = self.sizes.get(layer.digest)
            self.sizes[layer.digest] = layer.size if size is None else min(size, layer.size)

    def remove(self, member: Member) -> int:
        """Let an image go; return the bytes of the layers that nothing else has."""
        freed = 0
        for digest in {layer.digest for layer in _layers(member)}:
            self.holders[digest] -= 1
            if not self.holders[digest]:
                freed += max(0, self.sizes[digest])
        return freed

    def total(self) -> int:
        """Return the bytes of all layers, each once."""
        return sum(self.sizes.values())


def _layers(member: Member) -> tuple[Layer, ...]:
    if member.layers or not member.size:
        return member.layers
    # An image that lists no layers counts as one.
    return (Layer(member.digest, member.size),)


class Evaluation:
    """An evaluation that takes one repository after the other.

    Args:
        policy: The policy.
        now: The present, with a time zone.
        in_use: The images in use.

    Raises:
        RetentionRefusedError: The policy requires ``in_use``, and it is not given.
        ValueError: ``now`` has no time zone.
    """

    def __init__(
        self, policy: RetentionPolicy, *, now: datetime, in_use: InUse | None = None
    ) -> None:
        if not isinstance(policy, RetentionPolicy):  # pyright: ignore[reportUnnecessaryIsInstance]
            raise ValueError("policy must be a RetentionPolicy")
        if in_use is not None and not isinstance(in_use, InUse):  # pyright: ignore[reportUnnecessaryIsInstance]
            raise ValueError("in_use must be an InUse")
        if not isinstance(now, datetime) or now.utcoffset() is None:  # pyright: ignore[reportUnnecessaryIsInstance]
            raise ValueError("now must be a datetime with a time zone")
        if policy.protect.in_use == "required" and in_use is None:
            raise RetentionRefusedError(
                "the policy requires a list of the images in use: give in_use="
            )
        self._policy = policy
        self._now = now.astimezone(UTC)
        self._in_use = in_use
        self._rules = RuleSet(policy)
        self._used = UsedImages(in_use)
        self._registries: dict[str, _RegistryState] = {}
        self._blocked: list[BlockedRepository] = []

    def judge(
        self,
        snapshot: RepositorySnapshot,
        deleted: Mapping[str, Manifest | None] | None = None,
    ) -> Judgement:
        """Judge one repository by itself, without quotas and limits."""
        return judge(snapshot, self._rules, self._used, self._now, deleted)

    def add(self, snapshot: RepositorySnapshot) -> None:
        """Take the next repository.

        Raises:
            ValueError: It was there before.
        """
        registry, name = snapshot.registry, snapshot.repository.name
        state = self._registries.get(registry.id)
        if state is None:
            state = self._registries[registry.id] = _RegistryState(registry)
        if name in state.judgements:
            raise ValueError(f"repository {name!r} of registry {registry.name!r} comes twice")
        judgement = state.judgements[name] = self.judge(snapshot)
        problem = judgement.stock.problem
        if problem is not None:
            self._blocked.append(BlockedRepository(registry.name, name, problem))
        if _is_partly_unknown(judgement):
            state.unread = True

    def plan(self, *, base_url: str = "", label: str | None = None) -> RetentionPlan:
        """Return the plan."""
        images: list[PlannedImage] = []
        refusals: list[str] = []
        freed = 0
        for state in sorted(
            self._registries.values(), key=lambda state: (state.registry.name, state.registry.id)
        ):
            freed += self._finish(state)
            for name, judgement in sorted(state.judgements.items()):
                planned = planned_images(judgement)
                refusals += self._exceeded(state.registry.name, name, planned)
                images += planned
        deletions = sum(image.action == "delete" for image in images)
        most = self._policy.limits.max_deletions
        if most is not None and deletions > most:
            refusals.append(f"the plan deletes {deletions} images, and max_deletions is {most}")
        unmatched = self._rules.unmatched()
        if self._used.idle:
            unmatched += ("in_use: no reference in use names an image that was read",)
        return finished(
            RetentionPlan(
                policy=self._policy,
                base_url=base_url,
                label=label,
                created_at=self._now,
                expires_at=self._now + LIFETIME,
                in_use=self._in_use,
                images=sorted_images(images),
                blocked=tuple(
                    sorted(
                        self._blocked,
                        key=lambda each: (each.registry, each.repository, each.reason),
                    )
                ),
                refusals=tuple(refusals),
                unmatched=unmatched,
                freed_bytes=freed,
                freed_is_upper_bound=any(state.unread for state in self._registries.values()),
            )
        )

    def _exceeded(self, registry: str, repository: str, images: list[PlannedImage]) -> list[str]:
        most = self._policy.limits.max_delete_fraction
        deletions = sum(image.action == "delete" for image in images)
        if most is None or deletions <= most * len(images):
            return []
        return [
            (
                f"{deletions} of the {len(images)} images of {registry}/{repository} would go, "
                f"and max_delete_fraction is {most:g}"
            )
        ]

    def _finish(self, state: _RegistryState) -> int:
        """Let go what may in a registry; return the bytes that this frees."""
        layers = _Freed()
        for judgement in state.judgements.values():
            for member in judgement.stock.members.values():
                layers.add(member)
        quotas = [
            quota
            for quota, patterns in zip(self._policy.quotas, self._rules.quotas, strict=True)
            if patterns.matches(state.registry.name)
        ]
        freed = 0
        if not quotas:
            for judgement in state.judgements.values():
                for root in judgement.roots:
                    freed += sum(
                        layers.remove(judgement.stock.members[digest])
                        for digest in judgement.take(root)
                    )
                judgement.settle()
            return freed
        stored = min(state.registry.size, layers.total())
        limit = state.registry.size_limit
        # The highest target wins: it deletes the least.
        targets = [
            float(quota.target_bytes)
            if quota.target_bytes is not None
            else (quota.target_percent or 0) / 100 * limit
            if limit
            else float("inf")
            for quota in quotas
        ]
        target = max(targets)
        candidates = sorted(
            (
                judgement.stock.members[root].created_at or _LAST,
                name,
                root,
            )
            for name, judgement in state.judgements.items()
            for root in judgement.roots
        )
        for _, name, root in candidates:
            judgement = state.judgements[name]
            if stored - freed <= target:
                judgement.verdicts[root].keep(
                    "quota_reached",
                    "the registry is within its quota without it"
                    if target != float("inf")
                    else "the quota is a percentage, and the registry has no size limit",
                )
                continue
            for digest in judgement.take(root):
                freed += layers.remove(judgement.stock.members[digest])
                judgement.verdicts[digest].explanation += "; the quota takes it, the oldest first"
        for judgement in state.judgements.values():
            judgement.settle()
        return freed


def _is_partly_unknown(judgement: Judgement) -> bool:
    """Say whether a repository may hold layers that were not read."""
    stock = judgement.stock
    return (
        stock.snapshot.problem is not None
        or bool(stock.unread or stock.outsiders)
        or any(
            not member.layers and not stock.parts.get(member.digest)
            for member in stock.members.values()
        )
        or (stock.problem is not None and bool(set(stock.snapshot.tags) - _shown_tags(judgement)))
    )


def _shown_tags(judgement: Judgement) -> set[str]:
    return {tag for member in judgement.stock.members.values() for tag in member.tags}


def planned_images(judgement: Judgement) -> list[PlannedImage]:
    """Return the images of a repository with their verdicts, once these are settled."""
    snapshot = judgement.stock.snapshot
    registry, repository = snapshot.registry, snapshot.repository
    return [
        PlannedImage(
            registry_id=registry.id,
            registry=registry.name,
            repository=repository.name,
            digest=digest,
            tags=member.tags,
            size=member.size,
            created_at=member.created_at,
            action="delete" if (verdict := judgement.verdicts[digest]).goes else "keep",
            rule=verdict.rule,
            reason=cast("Reason", verdict.reason),
            explanation=verdict.explanation,
        )
        for digest, member in sorted(judgement.stock.members.items())
    ]
