"""What holds for every policy and every repository."""

from collections.abc import Mapping
from datetime import timedelta
from random import Random
from typing import Any, Literal

from attrs import evolve
from hypothesis import given
from hypothesis import strategies as st

from registry_async import Image, Registry
from registry_async.retention import (
    InUse,
    Limits,
    Manifest,
    Protect,
    RepositorySnapshot,
    RetentionPlan,
    RetentionPolicy,
    Rule,
    evaluate,
)
from tests.retention.builders import NOW, OCI_IMAGE, OCI_INDEX, digest, image, snapshot

TAGS = [*"abcde", "v1.0.0", "v1.1.0", "2.0.0-rc.1", "latest", "pr-1-a", "pr-1-b", "pr-2-a"]
NAMES = [f"image {number}" for number in range(9)]

tags = st.sampled_from(TAGS)
globs = st.sampled_from(["*", "?", "v*", "pr-*", "latest", "[a-c]", *TAGS])
regexes = st.sampled_from([r"v\d.*", r"pr-(?P<group>\d)-.*", r"[a-d]", ".*"])
ages = st.none() | st.integers(-2, 60)


@st.composite
def rules(draw: Any) -> tuple[Rule, ...]:
    found = []
    for number in range(draw(st.integers(0, 3))):
        untagged = draw(st.booleans())
        order: Literal["created", "semver"] = "created"
        if not untagged and draw(st.booleans()):
            order = "semver"
        keep = draw(st.none() | st.integers(1, 3))
        age = draw(st.integers(1, 40))
        older = timedelta(days=age) if keep is None or draw(st.booleans()) else None
        chosen = (
            {}
            if untagged
            else draw(
                st.fixed_dictionaries(
                    {"tags": st.lists(globs, min_size=1, max_size=2)},
                    optional={"tags_regex": st.lists(regexes, max_size=2)},
                )
            )
        )
        found.append(
            Rule(
                name=f"rule {number}",
                untagged=untagged,
                keep_newest=keep,
                older_than=older,
                order=order,
                **chosen,
            )
        )
    return tuple(found)


@st.composite
def policies(draw: Any) -> RetentionPolicy:
    return RetentionPolicy(
        rules=draw(rules()),
        protect=Protect(
            tags=draw(st.lists(globs, max_size=1)),
            digests=draw(st.lists(st.sampled_from(NAMES).map(digest), max_size=1)),
            younger_than=draw(st.none() | st.integers(1, 30).map(lambda n: timedelta(days=n))),
        ),
        limits=Limits(min_images_left=draw(st.integers(0, 2))),
    )


@st.composite
def repositories(draw: Any) -> RepositorySnapshot:
    names = NAMES[: draw(st.integers(0, len(NAMES)))]
    free = draw(st.permutations(TAGS))
    images: list[Image] = []
    manifests: dict[str, Manifest | None] = {}
    hidden: list[str] = []
    for number, name in enumerate(names):
        own = [free.pop() for _ in range(draw(st.integers(0, 2))) if free]
        parts: tuple[str, ...] = ()
        # Parts are of images made before, so that there are no circles.
        if number and draw(st.integers(0, 2)) == 0:
            pool = [digest(each) for each in [*names[:number], "unlisted"]]
            parts = tuple(draw(st.sets(st.sampled_from(pool), min_size=1, max_size=3)))
        subject = None
        if number and draw(st.integers(0, 5)) == 0:
            subject = digest(draw(st.sampled_from([*names[:number], "lost"])))
            if draw(st.booleans()):
                own.append(f"{subject.replace(':', '-')}.sig")
        found = Manifest(digest(name), OCI_INDEX if parts else OCI_IMAGE, parts, subject)
        if parts and own and draw(st.booleans()):
            hidden += own
            manifests |= dict.fromkeys(own, found)
            continue
        manifests[found.digest] = found
        images.append(
            image(
                name,
                *own,
                age=draw(ages),
                arch=None if parts else "amd64",
                system=None if parts else "linux",
                media_type=found.media_type,
            )
        )
    if draw(st.booleans()):
        manifests[digest("unlisted")] = Manifest(
            digest("unlisted"),
            OCI_INDEX,
            tuple(draw(st.sets(st.sampled_from(NAMES).map(digest), max_size=2))),
        )
    if draw(st.booleans()):
        manifests[digest("lost")] = None
    given_manifests: Mapping[str, Manifest | None] | None = manifests
    if draw(st.integers(0, 9)) == 0:
        given_manifests = None
    return snapshot(*images, hidden=set(hidden), manifests=given_manifests)


references = st.lists(
    tags.map(lambda tag: f"cr.selcloud.ru/prod/team/app:{tag}")
    | st.sampled_from(NAMES).map(lambda name: f"cr.selcloud.ru/x/y@{digest(name)}"),
    min_size=1,
    max_size=3,
).map(InUse.from_references)


def deleted(plan: RetentionPlan) -> set[str]:
    return {each.digest for each in plan.deletions}


def decide(
    policy: RetentionPolicy, *found: RepositorySnapshot, in_use: InUse | None = None
) -> RetentionPlan:
    return evaluate(policy, found, now=NOW, in_use=in_use)


@given(policies(), repositories(), st.none() | references, st.integers())
def test_order_of_input_means_nothing(
    policy: RetentionPolicy, found: RepositorySnapshot, in_use: InUse | None, seed: int
) -> None:
    random = Random(seed)

    def shuffled(items: Any) -> Any:
        return tuple(random.sample(list(items), len(items)))

    second = evolve(found, registry=Registry("reg-2", "stage", "ACTIVE", 0, None))
    mixed = evolve(
        found,
        images=tuple(evolve(each, tags=shuffled(each.tags)) for each in shuffled(found.images)),
        tags=shuffled(found.tags),
        manifests=None if found.manifests is None else dict(shuffled(found.manifests.items())),
    )
    other = evolve(policy, rules=shuffled(policy.rules))
    one = decide(policy, found, second, in_use=in_use)
    two = decide(other, second, mixed, in_use=in_use)
    assert two.images == one.images
    assert two.blocked == one.blocked
    assert two.freed_bytes == one.freed_bytes


@given(policies(), repositories(), st.none() | references)
def test_every_image_has_one_verdict_and_a_reason(
    policy: RetentionPolicy, found: RepositorySnapshot, in_use: InUse | None
) -> None:
    plan = decide(policy, found, in_use=in_use)
    digests = [each.digest for each in plan.images]
    assert len(digests) == len(set(digests))
    assert {each.digest for each in found.images} <= set(digests)
    assert all(each.explanation for each in plan.images)
    going = {"rule", "part_of_deleted", "signature_of_deleted"}
    assert all((each.action == "delete") == (each.reason in going) for each in plan.images)
    assert set(plan.deletions) | set(plan.kept) == set(plan.images)
    assert RetentionPlan.from_json(plan.to_json()) == plan


@given(policies(), repositories(), references, globs, st.integers(1, 60))
def test_more_protection_never_deletes_more(
    policy: RetentionPolicy,
    found: RepositorySnapshot,
    in_use: InUse,
    glob: str,
    age: int,
) -> None:
    before = deleted(decide(policy, found))
    protect = policy.protect
    young = timedelta(days=age)
    for more in (
        evolve(protect, tags=(*protect.tags, glob)),
        evolve(protect, digests=(*protect.digests, digest(NAMES[0]))),
        evolve(protect, repositories=("team/*",)),
        evolve(protect, younger_than=max(young, protect.younger_than or young)),
    ):
        assert deleted(decide(evolve(policy, protect=more), found)) <= before
    assert deleted(decide(policy, found, in_use=in_use)) <= before
    limits = evolve(policy.limits, min_images_left=policy.limits.min_images_left + 1)
    assert deleted(decide(evolve(policy, limits=limits), found)) <= before


@given(policies(), repositories(), st.integers(1, 3))
def test_keeping_more_or_longer_never_deletes_more(
    policy: RetentionPolicy, found: RepositorySnapshot, more: int
) -> None:
    longer = tuple(
        evolve(
            rule,
            keep_newest=None if rule.keep_newest is None else rule.keep_newest + more,
            older_than=None if rule.older_than is None else rule.older_than + timedelta(days=more),
        )
        for rule in policy.rules
    )
    assert deleted(decide(evolve(policy, rules=longer), found)) <= deleted(decide(policy, found))


@given(policies(), repositories(), st.none() | references)
def test_nothing_that_stays_loses_a_part_and_no_signature_loses_its_subject(
    policy: RetentionPolicy, found: RepositorySnapshot, in_use: InUse | None
) -> None:
    plan = decide(policy, found, in_use=in_use)
    going = deleted(plan)
    for manifest in (found.manifests or {}).values():
        if manifest is None:
            continue
        if manifest.digest not in going:
            assert not going & set(manifest.parts)
        if manifest.digest in going and manifest.subject is not None:
            there = {each.digest for each in plan.images}
            assert manifest.subject in going or manifest.subject not in there
    if plan.blocked or found.manifests is None:
        assert not [each for each in plan.deletions if not each.tags]


@given(policies(), repositories())
def test_newest_of_a_repository_are_left(
    policy: RetentionPolicy, found: RepositorySnapshot
) -> None:
    plan = decide(policy, found)
    if any(each.reason == "rule" for each in plan.deletions):
        assert len(plan.kept) >= policy.limits.min_images_left


@given(
    st.integers(1, 4),
    st.lists(st.tuples(st.integers(0, 5), st.booleans()), max_size=9),
)
def test_each_group_keeps_its_newest(keep: int, images: list[tuple[int, bool]]) -> None:
    policy = RetentionPolicy(
        rules=(Rule(name="r", tags_regex=(r"(?P<group>\w)-.*",), keep_newest=keep),),
        limits=Limits(min_images_left=0),
    )
    found = [
        image(f"{number}", f"{'a' if first else 'b'}-{number}", age=age)
        for number, (age, first) in enumerate(images)
    ]
    going = deleted(decide(policy, snapshot(*found)))
    for group in "ab":
        times = sorted(
            (each.created_at for each in found if each.tags[0][0] == group and each.created_at),
            reverse=True,
        )
        stays = {
            each.digest
            for each in found
            if each.tags[0][0] == group and each.created_at in times[:keep]
        }
        every = {each.digest for each in found if each.tags[0][0] == group}
        assert going & every == every - stays


@given(policies(), repositories(), st.none() | references)
def test_nothing_goes_from_a_repository_that_was_not_read_in_full(
    policy: RetentionPolicy, found: RepositorySnapshot, in_use: InUse | None
) -> None:
    assert not deleted(decide(policy, evolve(found, problem="500"), in_use=in_use))
