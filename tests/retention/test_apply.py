"""What a run sends, and what it never does."""

import json
from pathlib import Path
from typing import Any

import pytest
from attrs import evolve

from registry_async import DeletedImage, RetentionRefusedError
from registry_async.retention import Manifest, RetentionPlan, RetentionPolicy, RetentionResult
from tests.retention.builders import digest, policy, using
from tests.retention.simulator import Crash, Simulator

pytestmark = pytest.mark.anyio

RULES = """
[[rule]]
name = "pull requests"
tags = ["pr-*"]
older_than = "14d"
[[rule]]
name = "leftovers"
untagged = true
older_than = "14d"
"""


@pytest.fixture
def anyio_backend() -> str:
    return "asyncio"


@pytest.fixture
def sim() -> Simulator:
    """A repository with plain images, an index, its parts, a signature and a leftover."""
    sim = Simulator()
    sim.push("stable", "v1", layers=["base", "stable"])
    sim.push("a", "pr-1", layers=["base", "a"])
    sim.push("b", "pr-2", "pr-3", layers=["base", "b"], age=90)
    sim.push("amd64", age=50)
    sim.push("arm64", age=50)
    sim.push("multi", "pr-4", parts=["amd64", "arm64"], age=None, listed=False)
    sim.push("signature", digest("a").replace(":", "-") + ".sig", age=None)
    sim.push("leftover", age=30)
    return sim


ALL = ["a", "b", "multi", "amd64", "arm64", "signature", "leftover"]


async def make(
    sim: Simulator, rules: str | RetentionPolicy = RULES, **options: Any
) -> RetentionPlan:
    made = policy(rules) if isinstance(rules, str) else rules
    return await sim.retention.plan(made, **{"manifests": sim, **options})


async def apply(sim: Simulator, plan: RetentionPlan, **options: Any) -> RetentionResult:
    return await sim.retention.apply(plan, **{"manifests": sim, **options})


def digests(images: Any) -> set[str]:
    return {each.digest for each in images}


def sent(sim: Simulator) -> list[set[str]]:
    return [set(batch) for _, batch in sim.cleanups]


async def test_plan_only_reads(sim: Simulator) -> None:
    plan = await make(sim)
    assert digests(plan.deletions) == {digest(name) for name in ALL}
    assert {request.split()[0] for request in sim.requests} == {"GET"}
    assert plan.base_url == "https://registry.example/api"


async def test_run_deletes_what_the_plan_deletes_indexes_and_subjects_first(sim: Simulator) -> None:
    plan = await make(sim)
    result = await apply(sim, RetentionPlan.from_json(plan.to_json()))
    assert digests(result.deleted) == digests(plan.deletions)
    assert (result.skipped, result.failed, result.errors) == ((), (), ())
    assert result.complete
    assert sent(sim) == [
        {digest(name) for name in ("a", "b", "multi", "leftover")},
        {digest(name) for name in ("amd64", "arm64", "signature")},
    ]
    assert sim.names() == {digest("stable")}
    assert result.freed_bytes == plan.freed_bytes == sim.unreferenced()
    assert sim.collections == []
    assert "deleted" in str(result)


async def test_applying_twice_is_applying_once(sim: Simulator) -> None:
    plan = await make(sim)
    await apply(sim, plan)
    again = await apply(sim, plan)
    assert len(sim.cleanups) == 2
    assert again.deleted == ()
    assert digests(again.skipped) == digests(plan.deletions)
    assert again.complete


async def test_without_manifests_nothing_is_sent(sim: Simulator) -> None:
    plan = await make(sim)
    result = await apply(sim, plan, manifests=None)
    assert sim.cleanups == []
    assert digests(result.skipped) == digests(plan.deletions)
    assert "blocked" in result.skipped[0].change


async def test_what_changed_since_the_plan_is_skipped(sim: Simulator) -> None:
    plan = await make(sim)
    sim.push("a", "pr-9")
    sim.push("b", "stable")
    sim.push("new", "v2", parts=["leftover"], age=None)
    result = await apply(sim, plan)
    assert digests(result.deleted) == {digest(name) for name in ("multi", "amd64", "arm64")}
    changes = {each.digest: each.change for each in result.skipped}
    assert "pr-9" in changes[digest("a")]
    assert "stable" in changes[digest("b")]
    assert "part_of_kept" in changes[digest("leftover")]
    assert "still there" in changes[digest("signature")]
    assert result.complete


async def test_tag_that_the_plan_does_not_show_keeps_an_image_whatever_the_rules_say(
    sim: Simulator,
) -> None:
    plan = await make(sim)
    sim.push("a", "pr-99")
    result = await apply(sim, plan)
    assert digest("a") in digests(result.skipped)
    assert digest("a") in sim.names()


async def test_index_that_adopts_a_planned_part_between_batches_keeps_it(sim: Simulator) -> None:
    plan = await make(sim)

    def adopt(repository: str, batch: tuple[str, ...]) -> None:
        sim.push("adopter", "v3", parts=["amd64"], age=None)

    sim.before_cleanup = adopt
    result = await apply(sim, plan)
    assert digest("amd64") in sim.names()
    assert digest("arm64") not in sim.names()
    assert digests(result.skipped) == {digest("amd64")}


async def test_images_in_use_now_stay_and_those_of_the_plan_too(sim: Simulator) -> None:
    plan = await make(sim, in_use=using("cr.selcloud.ru/prod/team/app:v1"))
    assert plan.in_use is not None
    result = await apply(sim, plan, in_use=using("cr.selcloud.ru/prod/team/app:pr-4"))
    assert {digest("multi"), digest("amd64"), digest("arm64")} <= sim.names()
    assert {digest("multi"), digest("amd64")} <= digests(result.skipped)
    sim.push("stable", "pr-7")
    sim.repositories_["team/app"].tags.pop("v1")
    plan = evolve(plan, images=plan.images)
    assert (await apply(sim, plan)).deleted != ()


async def test_refusal_is_a_result_and_keeps_the_parts(sim: Simulator) -> None:
    plan = await make(sim)
    sim.refused = {digest("multi")}
    result = await apply(sim, plan, collect_garbage=True)
    (failed,) = result.failed
    assert (failed.digest, failed.error) == (
        digest("multi"),
        "Image is referenced by another manifest",
    )
    assert digests(result.skipped) == {digest("amd64"), digest("arm64")}
    assert sum(digest("multi") in batch for batch in sent(sim)) == 1
    assert not result.complete
    assert sim.collections == []


@pytest.mark.parametrize("fault", ["409", "429", "500", "never arrived", "lost answer"])
async def test_batch_is_sent_once_and_the_repository_is_read_again(
    sim: Simulator, fault: str
) -> None:
    plan = await make(sim)
    sim.requests.clear()
    sim.faults = [fault]
    result = await apply(sim, plan)
    assert digests(result.deleted) == digests(plan.deletions)
    assert result.complete
    posts = [number for number, each in enumerate(sim.requests) if each == "POST cleanup"]
    assert "GET images" in sim.requests[posts[0] : posts[1]]
    if fault == "429":
        assert sim.clock.slept[0] >= 3
    every = [each for batch in sent(sim) for each in batch]
    assert len(every) == len(set(every))


async def test_collection_is_waited_out(sim: Simulator) -> None:
    plan = await make(sim)
    sim.collecting_until = sim.clock.now + 500
    result = await apply(sim, plan)
    assert result.complete
    assert sim.clock.now >= sim.collecting_until


async def test_collection_that_takes_too_long_is_an_error(sim: Simulator) -> None:
    plan = await make(sim)
    sim.collecting_until = sim.clock.now + 5000
    result = await apply(sim, plan, conflict_timeout=100)
    assert not result.complete
    assert "409" in result.errors[0]
    assert digests(result.skipped) == digests(plan.deletions)
    assert sum(sim.clock.slept) <= 100


async def test_failure_that_nothing_explains_is_not_repeated_for_ever(sim: Simulator) -> None:
    plan = await make(sim)
    sim.faults = ["500"] * 100
    result = await apply(sim, plan)
    assert sim.requests.count("POST cleanup") < 10
    assert not result.complete


async def test_image_that_the_answer_does_not_mention_is_looked_for(sim: Simulator) -> None:
    plan = await make(sim)
    sim.faults = ["says nothing"]
    sim.refused = {digest("b")}
    result = await apply(sim, plan)
    assert digests(result.deleted) == digests(plan.deletions) - {digest("b")}
    assert digests(result.failed) == {digest("b")}


@pytest.mark.parametrize(
    "more",
    [
        DeletedImage(digest("stable"), ("v1",)),
        DeletedImage(digest("a"), ("v1",)),
        DeletedImage(None, ("v1",)),
    ],
)
async def test_run_stops_at_once_where_more_went_than_was_asked(
    sim: Simulator, more: DeletedImage, tmp_path: Path
) -> None:
    sim.push("other", "pr-1", repository="zzz")
    plan = await make(sim)
    sim.says_more = [more]
    journal = tmp_path / "plan.journal"
    result = await apply(sim, plan, journal=journal, collect_garbage=True)
    (unexpected,) = result.unexpected
    assert (unexpected.digest, unexpected.tags) == (more.digest, more.tags)
    assert not result.complete
    assert len(sim.cleanups) == 1
    assert sim.collections == []
    again = await apply(sim, plan, journal=journal)
    assert len(sim.cleanups) == 1
    assert again.unexpected == result.unexpected


async def test_one_plain_collection_at_the_end_where_all_went_well(
    sim: Simulator, tmp_path: Path
) -> None:
    plan = await make(sim)
    journal = tmp_path / "plan.journal"
    result = await apply(sim, plan, collect_garbage=True, journal=journal)
    assert result.collected == ("prod",)
    assert sim.collections == ["reg-1"]
    again = await apply(sim, plan, collect_garbage=True, journal=journal)
    assert sim.collections == ["reg-1"]
    assert again == result


@pytest.mark.parametrize("fault", ["crash before", "crash after"])
@pytest.mark.parametrize("batch", [0, 1])
async def test_crash_and_going_on_is_the_same_as_no_crash(
    sim: Simulator, tmp_path: Path, fault: str, batch: int
) -> None:
    plan = await make(sim)
    journal = tmp_path / "plan.journal"
    sim.faults = [None] * batch + [fault]
    with pytest.raises(Crash):
        await apply(sim, plan, journal=journal)
    # The crash tore the line that was being written.
    with journal.open("ab") as file:
        file.write(b'{"event":"settl')
    result = await apply(sim, plan, journal=journal)
    assert digests(result.deleted) == digests(plan.deletions)
    assert result.complete
    assert result.freed_bytes == sim.unreferenced() == plan.freed_bytes
    every = [each for batch in sent(sim) for each in batch]
    assert len(every) == len(set(every))
    assert all(json.loads(line) for line in journal.read_text().splitlines())


async def test_journal_names_format_version_and_plan(sim: Simulator, tmp_path: Path) -> None:
    plan = await make(sim)
    journal = tmp_path / "plan.journal"
    await apply(sim, plan, journal=journal)
    head, *events = [json.loads(line) for line in journal.read_text().splitlines()]
    assert head == {"format": "registry_async.RetentionJournal", "version": 1, "plan": plan.id}
    assert [event["event"] for event in events] == ["sending", "settled"] * 2
    assert set(events[0]) == {"event", "registry_id", "repository", "images"}
    assert set(events[0]["images"][0]) == {"digest", "parts", "layers"}
    assert set(events[1]) == {
        "event",
        "registry_id",
        "repository",
        "deleted",
        "failed",
        "still_there",
    }


async def test_journal_of_another_plan_and_other_files_are_refused_and_left(
    sim: Simulator, tmp_path: Path
) -> None:
    plan = await make(sim)
    file = tmp_path / "file"
    head = {"format": "registry_async.RetentionJournal", "version": 1, "plan": plan.id}
    for content, problem in [
        ("precious\n", "no journal"),
        ("precious", "no journal"),
        ("{}\n", "no journal"),
        (json.dumps(head | {"version": 2}) + "\n", "another version"),
        (json.dumps(head | {"plan": "sha256:x"}) + "\n", "another plan"),
        (json.dumps(head) + "\nnonsense\n", "line 2"),
        (json.dumps(head) + '\n{"event":"unknown"}\n', "line 2"),
    ]:
        file.write_text(content)
        with pytest.raises(RetentionRefusedError, match=problem):
            await apply(sim, plan, journal=file)
        assert file.read_text() == content
    assert sim.cleanups == []


async def test_journal_that_is_held_is_refused(sim: Simulator, tmp_path: Path) -> None:
    plan = await make(sim)
    journal = tmp_path / "plan.journal"
    refused: list[str] = []

    async def second() -> None:
        with pytest.raises(RetentionRefusedError, match="in use") as caught:
            await apply(sim, plan, journal=journal)
        refused.append(str(caught.value))

    real = sim.read

    async def read(registry: str, repository: str, reference: str) -> Any:
        if not refused:
            await second()
        return await real(registry, repository, reference)

    sim.read = read  # type: ignore[method-assign]
    assert (await apply(sim, plan, journal=journal)).complete
    assert refused != []


async def test_plan_that_must_not_be_applied_is_refused_before_anything_is_sent(
    sim: Simulator,
) -> None:
    plan = await make(sim)
    sim.requests.clear()

    async def refused(bad: RetentionPlan, problem: str, **options: Any) -> None:
        with pytest.raises(RetentionRefusedError, match=problem):
            await apply(sim, bad, **options)
        assert sim.requests == []

    def resigned(bad: RetentionPlan) -> RetentionPlan:
        return evolve(bad, id=bad.content_id())

    await refused(evolve(plan, images=plan.deletions), "edited")
    await refused(resigned(evolve(plan, base_url="")), "which service")
    await refused(resigned(evolve(plan, base_url="https://other.example")), "other.example")
    await refused(resigned(evolve(plan, label="shop")), "shop")
    await refused(resigned(evolve(plan, refusals=("too many",))), "too many")
    strict = evolve(plan.policy, protect=evolve(plan.policy.protect, in_use="required"))
    known = using("cr.selcloud.ru/x/y")
    await refused(resigned(evolve(plan, policy=strict, in_use=known)), "in_use")
    sim.clock.now += 24 * 3600
    await refused(plan, "expired")


async def test_registry_made_anew_under_the_same_name_is_another(sim: Simulator) -> None:
    plan = await make(sim)
    sim.registry_id = "reg-2"
    result = await apply(sim, plan)
    assert sim.cleanups == []
    assert digests(result.skipped) == digests(plan.deletions)


async def test_batches_are_a_hundred_images_and_later_ones_are_read_anew() -> None:
    sim = Simulator()
    for number in range(250):
        sim.push(f"{number}", f"pr-{number}", age=20 + number)
    plan = await make(sim)
    progress: list[int] = []
    result = await apply(sim, plan, on_progress=lambda now: progress.append(now.deleted))
    assert [len(batch) for batch in sent(sim)] == [100, 100, 50]
    assert progress[:3] == [100, 200, 250]
    # The oldest go first.
    assert digest("249") in sent(sim)[0]
    assert len(result.deleted) == 250


async def test_error_of_a_list_never_turns_keep_into_delete(sim: Simulator) -> None:
    plan = await make(sim)
    real = sim.find

    def find(registry_id: str, repository: str) -> Any:
        sim.requests.append("find")
        raise sim_error

    from registry_async import ServerError

    sim_error = ServerError(503, "down")
    sim.find = find  # type: ignore[method-assign]
    result = await apply(sim, plan)
    assert sim.cleanups == []
    assert not result.complete
    blocked = await make(sim)
    assert [each.repository for each in blocked.blocked] == ["team/app"]
    assert "503" in blocked.blocked[0].reason
    sim.find = real  # type: ignore[method-assign]


async def test_manifests_of_another_registry_do_not_prove_that_a_subject_is_gone() -> None:
    class Elsewhere:
        async def read(self, registry: str, repository: str, reference: str) -> Manifest:
            raise KeyError(reference)

    sim = Simulator()
    sim.push("stable", "v1")
    sim.push("signature", digest("not listed").replace(":", "-") + ".sig", age=50)
    plan = await make(sim, manifests=Elsewhere())
    assert plan.deletions == ()
    assert "another registry" in plan.blocked[0].reason
    assert digests((await make(sim)).deletions) == {digest("signature")}
