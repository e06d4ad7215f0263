"""Runs over a registry that guards nothing, while others push, move tags, collect and crash."""

from __future__ import annotations

import asyncio
import tempfile
from datetime import timedelta
from pathlib import Path
from random import Random
from typing import Final

import pytest
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule

from registry_async.retention import (
    InUse,
    Limits,
    Protect,
    RetentionPlan,
    RetentionPolicy,
    RetentionResult,
    Rule,
)
from registry_async.retention._evaluate import Evaluation, planned_images
from tests.retention.simulator import Crash, Simulator

REPOSITORIES: Final = ("team/app", "team/other")
TAGS: Final = ("latest", "v1", "v2", "pr-1-a", "pr-1-b", "pr-2-a", "pr-3-a", "main", "used")
FAULTS: Final = (
    None,
    None,
    "409",
    "429",
    "500",
    "never arrived",
    "lost answer",
    "crash before",
    "crash after",
    "says nothing",
)
POLICY: Final = RetentionPolicy(
    rules=(
        Rule(
            name="pull requests",
            tags_regex=(r"pr-(?P<group>\d)-.*",),
            keep_newest=1,
            older_than=timedelta(days=2),
        ),
        Rule(name="versions", tags=("v*", "main"), older_than=timedelta(days=20)),
        Rule(name="leftovers", untagged=True, older_than=timedelta(days=3)),
    ),
    protect=Protect(tags=("latest",)),
    limits=Limits(min_images_left=1),
)
IN_USE: Final = InUse.from_references([f"cr.example/prod/{name}:used" for name in REPOSITORIES])


class Registry(RuleBasedStateMachine):
    """A registry that others use while plans are made and applied."""

    def __init__(self) -> None:
        super().__init__()
        self.sim = Simulator()
        self.sim.before_cleanup = self.check_cleanup
        self.sim.before_look = self.others
        self.made = 0
        self.runs = 0
        self.plan: RetentionPlan | None = None
        self.allowed: set[tuple[str, str]] = set()
        self.shown: dict[tuple[str, str], set[str]] = {}
        self.gone_in_run: dict[str, set[str]] = {}
        self.random = Random(0)
        self.busy = False
        self.problems: list[str] = []
        self.folder = Path(tempfile.mkdtemp(prefix="retention-"))

    def teardown(self) -> None:
        for file in self.folder.iterdir():
            file.unlink()
        self.folder.rmdir()

    # Others

    @initialize()
    def begin(self) -> None:
        for repository in REPOSITORIES:
            self.sim.push(f"first of {repository}", "latest", repository=repository, age=50)

    def names(self, repository: str) -> list[str]:
        return sorted(self.sim.repositories_[repository].manifests)

    def push(self, random: Random) -> None:
        repository = random.choice(REPOSITORIES)
        stored = self.sim.repositories_[repository]
        self.made += 1
        name = f"image {self.made}"
        tags = random.sample(TAGS, random.choice([0, 1, 1, 2]))
        made = self.sim.push(
            name,
            *tags,
            repository=repository,
            age=random.choice([0, 1, 5, 5, 30, 60]),
            layers=[f"base {random.randint(0, 2)}", name],
        )
        kind = random.randint(0, 5)
        pool = sorted(set(stored.manifests) - {made})
        if kind < 2 and pool:
            # An index, which adopts what is there already, old images too.
            stored.manifests[made].parts = tuple(random.sample(pool, min(len(pool), kind + 1)))
            stored.manifests[made].layers = ()
            stored.manifests[made].listed = not tags or random.random() < 0.5
            if random.random() < 0.5:
                stored.manifests[made].created_at = None
        elif kind == 2 and pool:
            subject = random.choice(pool)
            stored.manifests[made].subject = subject
            if random.random() < 0.5:
                stored.tags[f"{subject.replace(':', '-')}.sig"] = made

    def move(self, random: Random) -> None:
        repository = random.choice(REPOSITORIES)
        names = self.names(repository)
        tag = random.choice(TAGS)
        tags = self.sim.repositories_[repository].tags
        if random.random() < 0.3:
            tags.pop(tag, None)
        elif names:
            tags[tag] = random.choice(names)

    def collect(self, random: Random) -> None:
        self.sim.collecting_until = self.sim.clock.now + random.choice([5, 60])

    def others(self, repository: str) -> None:
        """Do what others do before a repository is read, now and then."""
        if self.busy and self.random.random() < 0.4:
            self.random.choice([self.push, self.move, self.push, self.collect])(self.random)

    @rule(seed=st.integers(0, 2**32))
    def somebody_pushes(self, seed: int) -> None:
        random = Random(seed)
        for _ in range(random.randint(1, 4)):
            self.push(random)

    @rule(seed=st.integers(0, 2**32))
    def somebody_moves_a_tag(self, seed: int) -> None:
        self.move(Random(seed))

    @rule(hours=st.integers(1, 60))
    def time_passes(self, hours: int) -> None:
        self.sim.clock.now += 3600 * hours

    # Runs

    @rule(in_use=st.booleans())
    def plan_is_made(self, in_use: bool) -> None:
        self.sim.requests.clear()
        used = IN_USE if in_use else None
        plan = asyncio.run(self.sim.retention.plan(POLICY, in_use=used, manifests=self.sim))
        assert {request.split()[0] for request in self.sim.requests} == {"GET"}
        assert plan.blocked == ()
        self.plan = RetentionPlan.from_json(plan.to_json())

    @rule(
        seed=st.integers(0, 2**32),
        faults=st.lists(st.sampled_from(FAULTS), max_size=4),
        busy=st.booleans(),
    )
    def plan_is_applied(self, seed: int, faults: list[str | None], busy: bool) -> None:
        plan, self.plan = self.plan, None
        if plan is None or self.sim.now >= plan.expires_at:
            return
        self.allowed = {(each.repository, each.digest) for each in plan.deletions}
        self.shown = {(each.repository, each.digest): set(each.tags) for each in plan.deletions}
        self.gone_in_run = {}
        self.used = plan.in_use
        self.sim.deleted.clear()
        self.sim.faults = list(faults)
        self.random = Random(seed)
        self.busy = busy
        self.runs += 1
        journal = self.folder / f"{self.runs}.journal"
        result = self.run(plan, journal)
        self.busy = False
        self.sim.faults = []
        self.check_result(plan, result)
        again = asyncio.run(self.sim.retention.apply(plan, manifests=self.sim, journal=journal))
        assert {each.digest for each in again.deleted} >= {each.digest for each in result.deleted}

    def run(self, plan: RetentionPlan, journal: Path) -> RetentionResult:
        while True:
            try:
                return asyncio.run(
                    self.sim.retention.apply(plan, manifests=self.sim, journal=journal)
                )
            except Crash:
                # Started again, with the journal, while others go on.
                continue

    # What must hold

    def check_cleanup(self, repository: str, batch: tuple[str, ...]) -> None:
        """Look at a request as it arrives. It is looked at later, since answers may be lost."""
        stored = self.sim.repositories_[repository]
        judge = Evaluation(POLICY, now=self.sim.now, in_use=self.used).judge
        gone = self.gone_in_run.setdefault(repository, set())
        known = {
            each: self.sim.manifest(self.sim.deleted[repository][each])
            for each in gone
            if each not in stored.manifests
        }
        judgement = judge(self.sim.truth(repository), known)
        for root in judgement.roots:
            judgement.take(root)
        judgement.settle()
        deletes = {each.digest for each in planned_images(judgement) if each.action == "delete"}
        for each in batch:
            tags = {tag for tag, target in stored.tags.items() if target == each}
            if (repository, each) not in self.allowed:
                self.problems.append(f"{each} is not in the plan")
            if each not in deletes:
                why = judgement.verdicts.get(each, "it is gone")
                self.problems.append(f"{each} stays by the last reading: {why}")
            if not tags <= self.shown.get((repository, each), set()):
                self.problems.append(f"{each} has tags that the plan does not show")
            if "latest" in tags or ("used" in tags and self.used is not None):
                self.problems.append(f"{each} is protected")
            holders = [other for other in stored.manifests.values() if each in other.parts]
            if holders:
                self.problems.append(f"{each} is a part of something that is there")
            subject = stored.manifests[each].subject if each in stored.manifests else None
            if subject is not None and subject in stored.manifests:
                self.problems.append(f"{each} belongs to something that is there")
        gone.update(batch)

    def check_result(self, plan: RetentionPlan, result: RetentionResult) -> None:
        went = {
            (repository, each)
            for repository, manifests in self.sim.deleted.items()
            for each in manifests
        }
        said = {(each.repository, each.digest) for each in result.deleted}
        assert went == said
        assert result.unexpected == ()
        assert result.freed_bytes == self.sim.unreferenced()
        fates = [each.digest for each in result.deleted]
        fates += [each.digest for each in result.skipped]
        fates += [each.digest for each in result.failed]
        assert sorted(fates) == sorted(each.digest for each in plan.deletions)
        sent = [each for _, batch in self.sim.cleanups for each in batch]
        # Nothing is ever pushed again here, so nothing is deleted twice.
        assert len(sent) == len(set(sent))

    @invariant()
    def nothing_went_wrong(self) -> None:
        assert self.problems == []

    @invariant()
    def every_repository_keeps_something(self) -> None:
        assert all(self.sim.repositories_[name].manifests for name in self.sim.repositories_)

    used: InUse | None = None


SLOW: Final = [HealthCheck.too_slow, HealthCheck.data_too_large, HealthCheck.filter_too_much]


def steps(total: int, each: int) -> settings:
    return settings(
        max_examples=total // each,
        stateful_step_count=each,
        deadline=None,
        suppress_health_check=SLOW,
        print_blob=True,
    )


TestSimulation = Registry.TestCase
TestSimulation.settings = steps(10_000, 50)


@pytest.mark.soak
class TestLongSimulation(Registry.TestCase):  # type: ignore[misc, valid-type]
    settings = steps(200_000, 50)
