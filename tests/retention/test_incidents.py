"""Images that other cleaners have lost, and ours keeps. Each test is one incident."""

import pytest

from registry_async.models import Image
from registry_async.retention import RetentionPolicy
from tests.retention.builders import (
    decide,
    digest,
    gone,
    image,
    index,
    manifest,
    policy,
    read,
    reasons,
    snapshot,
    verdict,
)

UNTAGGED = '[[rule]]\nname = "untagged"\nuntagged = true\nolder_than = "1d"\n'
ALL_OLD = '[[rule]]\nname = "old"\ntags = ["*"]\nolder_than = "1d"\n'


def test_parts_of_a_multi_architecture_image_are_not_deleted_as_untagged() -> None:
    found = snapshot(
        index("multi", "v1"),
        image("amd64"),
        image("arm64", arch="arm64"),
        image("leftover"),
        manifests=read(
            manifest("multi", "amd64", "arm64"),
            manifest("amd64"),
            manifest("arm64"),
            manifest("leftover"),
        ),
    )
    plan = decide(UNTAGGED, found)
    assert gone(plan, ["multi", "amd64", "arm64", "leftover"]) == {"leftover"}
    assert reasons(plan, "amd64", "arm64") == ["part_of_kept", "part_of_kept"]


def test_parts_are_not_deleted_when_the_list_shows_an_index_and_nobody_reads_it() -> None:
    plan = decide(UNTAGGED, snapshot(index("multi", "v1"), image("amd64"), image("leftover")))
    assert plan.deletions == ()
    (blocked,) = plan.blocked
    assert (blocked.registry, blocked.repository) == ("prod", "team/app")
    assert "manifests=" in blocked.reason


def test_parts_are_not_deleted_when_the_list_hides_their_index() -> None:
    plan = decide(UNTAGGED, snapshot(image("amd64"), image("arm64"), hidden=["v1"]))
    assert plan.deletions == ()
    assert "v1" in plan.blocked[0].reason


def test_attestation_of_a_build_is_not_deleted_as_untagged() -> None:
    found = snapshot(
        index("multi", "v1"),
        image("amd64"),
        image("provenance", arch="unknown", system="unknown", age=None),
        manifests=read(
            manifest("multi", "amd64", "provenance"), manifest("amd64"), manifest("provenance")
        ),
    )
    assert decide(UNTAGGED, found).deletions == ()


def test_digest_is_not_deleted_for_one_of_its_tags() -> None:
    pull_requests = '[[rule]]\nname = "pr"\ntags = ["pr-*"]\nolder_than = "1d"\n'
    plan = decide(pull_requests, snapshot(image("a", "pr-1", "stable"), image("b", "pr-2")))
    assert gone(plan, ["a", "b"]) == {"b"}
    assert verdict(plan, "a").reason == "no_rule"
    assert "stable" in verdict(plan, "a").explanation


def test_keep_newest_counts_images_and_not_tags() -> None:
    keep = '[[rule]]\nname = "keep"\ntags = ["*"]\nkeep_newest = 2\n'
    plan = decide(
        keep, snapshot(image("a", "1", "2", "3", age=1), image("b", "4", age=2), image("c", "5"))
    )
    assert gone(plan, ["a", "b", "c"]) == {"c"}


@pytest.mark.parametrize("order", [(0, 1, 2), (2, 1, 0), (1, 2, 0)])
def test_the_newest_stays_in_whatever_order_the_list_comes(order: tuple[int, ...]) -> None:
    keep = '[[rule]]\nname = "keep"\ntags = ["*"]\nkeep_newest = 1\n'
    images: list[Image] = [image("old", "a", age=9), image("new", "b", age=1), image("mid", "c")]
    plan = decide(keep, snapshot(*(images[index] for index in order)))
    assert gone(plan, ["old", "new", "mid"]) == {"old", "mid"}


def test_the_newest_is_not_deleted_in_a_tie() -> None:
    keep = '[[rule]]\nname = "keep"\ntags = ["*"]\nkeep_newest = 1\n'
    plan = decide(
        keep, snapshot(image("a", "1", age=1), image("b", "2", age=1), image("c", "3", age=2))
    )
    assert gone(plan, ["a", "b", "c"]) == {"c"}


def test_a_typo_deletes_nothing() -> None:
    with pytest.raises(ValueError, match=r"rule\[0\]\.tag: unknown"):
        policy('[[rule]]\nname = "a"\ntag = ["pr-*"]\nolder_than = "1d"\n')
    with pytest.raises(ValueError, match=r"protect\.tgas: unknown"):
        policy('[protect]\ntgas = ["latest"]\n')
    typo = '[[rule]]\nname = "a"\ntags = ["rp-*"]\nolder_than = "1d"\n'
    plan = decide(typo, snapshot(image("a", "pr-1")))
    assert plan.deletions == ()
    assert any("rp-*" in text for text in plan.unmatched)


def test_a_protection_with_a_typo_is_a_warning() -> None:
    plan = decide(f'[protect]\ntags = ["lates"]\n{ALL_OLD}', snapshot(image("a", "latest")))
    assert any(text.startswith("protect.tags[0]: 'lates'") for text in plan.unmatched)


def test_a_policy_without_a_rule_deletes_nothing() -> None:
    found = snapshot(image("a", "1"), image("b"), manifests=read(manifest("b")))
    assert decide(RetentionPolicy(), found).deletions == ()


def test_running_image_is_not_deleted() -> None:
    from tests.retention.builders import using

    plan = decide(
        ALL_OLD,
        snapshot(image("a", "1"), image("b", "2"), image("c", "3")),
        in_use=using("cr.selcloud.ru/prod/team/app:1", f"x.io/other/name@{digest('b')}"),
    )
    assert gone(plan, ["a", "b", "c"]) == {"c"}
    assert reasons(plan, "a", "b") == ["in_use", "in_use"]


def test_signature_stays_with_its_subject_and_goes_with_it() -> None:
    def signature(of: str) -> Image:
        tag = digest(of).replace(":", "-") + ".sig"
        return image(f"signature of {of}", tag, age=None, arch="", system="")

    pull_requests = '[[rule]]\nname = "pr"\ntags = ["pr-*"]\nolder_than = "1d"\n'
    plan = decide(
        pull_requests,
        snapshot(image("a", "pr-1"), image("b", "stable"), signature("a"), signature("b")),
    )
    assert gone(plan, ["a", "b", "signature of a", "signature of b"]) == {"a", "signature of a"}
    assert reasons(plan, "signature of a", "signature of b") == [
        "signature_of_deleted",
        "signature_of_kept",
    ]


def test_error_is_not_read_as_nothing_there() -> None:
    plan = decide(ALL_OLD, snapshot(image("a", "1"), problem="500 from the list of tags"))
    assert plan.deletions == ()
    assert plan.blocked[0].reason == "500 from the list of tags"
    assert plan.freed_is_upper_bound
