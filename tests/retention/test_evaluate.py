"""What a policy decides, rule by rule."""

from datetime import UTC, datetime, timedelta

import pytest
from attrs import evolve

from registry_async import Image, Layer, Registry, Repository, RetentionRefusedError
from registry_async.retention import Manifest, evaluate
from tests.retention.builders import (
    DOCKER_LIST,
    NOW,
    PROD,
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
    using,
    verdict,
)


def rule(text: str, name: str = "r") -> str:
    return f'[[rule]]\nname = "{name}"\n{text}\n'


ALL_OLD = rule('tags = ["*"]\nolder_than = "10d"')
UNTAGGED = rule('untagged = true\nolder_than = "10d"')


# Ages and tags


def test_what_is_exactly_as_old_as_the_rule_says_stays() -> None:
    plan = decide(
        ALL_OLD,
        snapshot(image("a", "1", age=10), image("b", "2", age=timedelta(days=10, microseconds=1))),
    )
    assert gone(plan, ["a", "b"]) == {"b"}
    assert verdict(plan, "a").reason == "not_old_enough"
    assert (verdict(plan, "b").reason, verdict(plan, "b").rule) == ("rule", "r")


@pytest.mark.parametrize(
    "created",
    [None, NOW + timedelta(seconds=1), datetime(2013, 3, 19, 23, 59, tzinfo=UTC)],
)
def test_undated_image_stays_and_takes_no_place(created: datetime | None) -> None:
    odd = evolve(image("odd", "1"), created_at=created)
    keep = rule('tags = ["*"]\nkeep_newest = 1')
    plan = decide(
        f'[protect]\nyounger_than = "1h"\n{keep}',
        snapshot(odd, image("a", "2", age=5), image("b", "3", age=6)),
    )
    assert gone(plan, ["odd", "a", "b"]) == {"b"}
    assert reasons(plan, "odd", "a") == ["undated", "newest"]


def test_first_day_of_registries_counts() -> None:
    first = evolve(image("a", "1"), created_at=datetime(2013, 3, 20, tzinfo=UTC))
    assert gone(decide(ALL_OLD, snapshot(first)), ["a"]) == {"a"}


def test_with_both_keys_what_goes_is_beyond_the_newest_and_old() -> None:
    both = rule('tags = ["*"]\nkeep_newest = 2\nolder_than = "10d"')
    plan = decide(
        both,
        snapshot(
            image("a", "1", age=50),
            image("b", "2", age=40),
            image("c", "3", age=60),
        ),
    )
    assert gone(plan, "abc") == {"c"}
    # Those that are young take the places, since images are counted before ages are looked at.
    plan = decide(
        both,
        snapshot(image("a", "1", age=1), image("b", "2", age=2), image("c", "3", age=60)),
    )
    assert gone(plan, "abc") == {"c"}
    plan = decide(both, snapshot(*(image(name, name, age=3) for name in "abc")))
    assert reasons(plan, *"abc") == ["newest"] * 3


def test_each_tag_votes_and_tags_may_be_nominated_by_different_rules() -> None:
    rules = rule('tags = ["a-*"]\nolder_than = "10d"', "one") + rule(
        "tags_regex = ['b-.']\nolder_than = \"20d\"", "two"
    )
    plan = decide(
        rules,
        snapshot(
            image("both", "a-1", "b-1", age=30),
            image("one", "a-2", "b-2", age=15),
            image("none", "a-3", "b-33", age=30),
        ),
    )
    assert gone(plan, ["both", "one", "none"]) == {"both"}
    assert verdict(plan, "both").rule == "one, two"
    assert reasons(plan, "one", "none") == ["not_old_enough", "no_rule"]


def test_one_rule_that_nominates_a_tag_is_enough() -> None:
    rules = rule('tags = ["*"]\nolder_than = "90d"', "z") + rule(
        'tags = ["pr-*"]\nolder_than = "10d"', "pr"
    )
    plan = decide(rules, snapshot(image("a", "pr-1", age=50), image("b", "x", age=50)))
    assert gone(plan, "ab") == {"a"}
    assert verdict(plan, "a").rule == "pr"


def test_globs_and_expressions_fit_the_whole_tag_and_its_case() -> None:
    plan = decide(
        rule('tags = ["pr-?"]\ntags_regex = [\'x\\d\']\nolder_than = "1d"'),
        snapshot(*(image(tag, tag) for tag in ["pr-1", "pr-12", "PR-1", "x1", "x12", "ax1"])),
    )
    assert gone(plan, ["pr-1", "pr-12", "PR-1", "x1", "x12", "ax1"]) == {"pr-1", "x1"}


def test_each_group_keeps_its_newest() -> None:
    groups = rule("tags_regex = ['pr-(?P<group>\\d+)-.*']\nkeep_newest = 1")
    plan = decide(
        groups,
        snapshot(
            image("a", "pr-1-x", age=3),
            image("b", "pr-1-y", age=2),
            image("c", "pr-2-x", age=9),
            image("d", "pr-2-y", age=8),
            # Of one group it is the newest, so that it stays whatever the other says.
            image("e", "pr-1-z", "pr-3-z", age=30),
        ),
    )
    assert gone(plan, "abcde") == {"a", "c"}


def test_protected_images_take_no_place() -> None:
    text = rule('tags = ["v*"]\nkeep_newest = 1')
    images = [image("a", "v3", "latest", age=1), image("b", "v2", age=2), image("c", "v1", age=3)]
    plan = decide(f'[protect]\ntags = ["latest"]\n{text}', snapshot(*images))
    assert gone(plan, "abc") == {"c"}
    assert reasons(plan, "a", "b") == ["protected_tag", "newest"]


# Where rules hold


def test_rules_hold_where_their_globs_say() -> None:
    text = rule(
        'registries = ["pr*"]\nrepositories = ["team/*"]\nrepositories_regex = ["apps/[ab]"]\n'
        'tags = ["*"]\nolder_than = "1d"'
    )
    stage = Registry("reg-2", "stage", "ACTIVE", 0, None)
    plan = decide(
        text,
        snapshot(image("a", "1"), repository="team/x/y"),
        snapshot(image("b", "1"), repository="apps/a"),
        snapshot(image("c", "1"), repository="apps/ab"),
        snapshot(image("d", "1"), repository="team"),
        snapshot(image("e", "1"), repository="team/x", registry=stage),
    )
    assert gone(plan, "abcde") == {"a", "b"}
    assert reasons(plan, "c", "d", "e") == ["no_rule"] * 3


def test_charts_are_touched_by_no_rule_that_does_not_name_them() -> None:
    charts = Repository("charts/x", type="helm_chart")
    chart = image("chart", "1.0.0", arch=None, system=None)
    assert decide(ALL_OLD, snapshot(chart, repository=charts)).deletions == ()
    named = rule('tags = ["*"]\nolder_than = "1d"\ntypes = ["helm_chart"]')
    plan = decide(
        named, snapshot(chart, repository=charts), snapshot(image("a", "1"), repository="app")
    )
    assert gone(plan, ["chart", "a"]) == {"chart"}
    assert plan.blocked == ()


# Versions


def test_versions_go_by_precedence() -> None:
    text = rule('tags = ["*"]\nkeep_newest = 2\norder = "semver"')
    tags = ["1.9.0", "1.10.0", "v1.10.1-rc.1", "v1.10.1-rc.11", "v1.10.1-rc.2", "main"]
    plan = decide(text, snapshot(*(image(tag, tag, age=n) for n, tag in enumerate(tags, 1))))
    assert gone(plan, tags) == {"1.9.0", "1.10.0", "v1.10.1-rc.1"}
    assert verdict(plan, "main").reason == "not_a_version"


def test_versions_of_equal_precedence_at_the_border_all_stay() -> None:
    text = rule('tags = ["*"]\nkeep_newest = 1\norder = "semver"')
    tags = ["v2.0.0", "2.0.0_build.1", "1.9.9", "1.9", "01.2.3"]
    plan = decide(text, snapshot(*(image(tag, tag) for tag in tags)))
    assert gone(plan, tags) == {"1.9.9"}


def test_image_ranks_by_its_highest_fitting_version() -> None:
    text = rule('tags = ["1.*"]\nkeep_newest = 1\norder = "semver"')
    plan = decide(
        text,
        snapshot(image("a", "1.0.0", "1.5.0"), image("b", "1.4.0"), image("c", "1.3.0", "9.0.0")),
    )
    assert gone(plan, "abc") == {"b"}
    assert reasons(plan, "a", "c") == ["newest", "no_rule"]


# Protections


def test_each_protection_is_enough() -> None:
    text = (
        '[protect]\ntags = ["keep-*"]\ntags_regex = ["v\\\\d"]\nrepositories = ["infra/*"]\n'
        f'digests = ["{digest("d")}"]\nyounger_than = "30d"\n'
    ) + rule('tags = ["*"]\nolder_than = "1d"')
    plan = decide(
        text,
        snapshot(
            image("a", "keep-1", "x1"),
            image("b", "v1", "x2"),
            image("d", "x3"),
            image("e", "x4", age=29),
            image("f", "x5", age=30),
        ),
        snapshot(image("c", "x"), repository="infra/dns"),
    )
    assert gone(plan, "abcdef") == {"f"}
    assert reasons(plan, *"abcde") == [
        "protected_tag",
        "protected_tag",
        "protected_repository",
        "protected_digest",
        "too_young",
    ]


def test_the_first_reason_in_the_list_is_given() -> None:
    text = f'[protect]\ntags = ["x"]\nrepositories = ["*"]\ndigests = ["{digest("a")}"]\n'
    plan = decide(
        text,
        snapshot(image("a", "x"), image("b", "y")),
        in_use=using("cr.selcloud.ru/prod/team/app:y"),
    )
    assert reasons(plan, "a", "b") == ["protected_tag", "protected_repository"]


@pytest.mark.parametrize(
    ("reference", "protects"),
    [
        ("cr.selcloud.ru/prod/team/app:1", True),
        ("mirror.example/prod/team/app:1", True),
        ("mirror.example:5000/cache/cr/prod/team/app:1", True),
        ("cr.selcloud.ru/prod/team/app", False),
        ("cr.selcloud.ru/prod/team/app:2", False),
        ("cr.selcloud.ru/xprod/team/app:1", False),
        ("cr.selcloud.ru/prod/team/app/more:1", False),
        ("cr.selcloud.ru/team/app:1", False),
        (f"cr.selcloud.ru/prod/team/app:2@{digest('a')}", True),
        (f"docker.io/library/anything@{digest('a')}", True),
    ],
)
def test_reference_protects_what_its_path_ends_with(reference: str, protects: bool) -> None:
    plan = decide(ALL_OLD, snapshot(image("a", "1")), in_use=using(reference))
    assert (gone(plan, "a") == set()) is protects
    assert any(text.startswith("in_use") for text in plan.unmatched) is not protects


def test_reference_without_tag_and_digest_means_latest() -> None:
    found = snapshot(image("a", "latest"), image("b", "1"))
    plan = decide(ALL_OLD, found, in_use=using("cr.selcloud.ru/prod/team/app"))
    assert gone(plan, "ab") == {"b"}
    plan = decide(ALL_OLD, found, in_use=using(f"cr.selcloud.ru/prod/team/app@{digest('b')}"))
    assert gone(plan, "ab") == {"a"}


def test_index_in_use_protects_its_parts_whoever_shows_it() -> None:
    parts = [image("amd64", "x-amd64"), image("arm64")]
    manifests = read(manifest("multi", "amd64", "arm64"), manifest("arm64"))
    text = ALL_OLD + rule('untagged = true\nolder_than = "1d"', "u")
    found = snapshot(index("multi", "x"), *parts, manifests=manifests)
    plan = decide(text, found, in_use=using("cr.selcloud.ru/prod/team/app:x"))
    assert reasons(plan, "multi", "amd64", "arm64") == ["in_use"] * 3
    # Neither the list nor a tag shows it, but it was read by its digest.
    found = snapshot(*parts, manifests=manifests)
    plan = decide(text, found, in_use=using(f"cr.selcloud.ru/prod/team/app@{digest('multi')}"))
    assert reasons(plan, "amd64", "arm64") == ["in_use"] * 2


def test_plan_without_a_required_list_of_images_in_use_is_refused() -> None:
    required = policy(f'[protect]\nin_use = "required"\n{ALL_OLD}')
    with pytest.raises(RetentionRefusedError, match="in_use"):
        evaluate(required, [snapshot(image("a", "1"))], now=NOW)
    plan = decide(required, snapshot(image("a", "1")), in_use=using("cr.selcloud.ru/x/y"))
    assert gone(plan, "a") == {"a"}


# The newest of a repository


def test_newest_of_a_repository_always_stay() -> None:
    images = [image(name, name, age=age) for name, age in zip("abc", (50, 60, 60), strict=True)]
    assert reasons(decide(policy(ALL_OLD, left=1), snapshot(*images)), *"abc") == [
        "last_images",
        "rule",
        "rule",
    ]
    # Of equal age at the border all stay.
    plan = decide(policy(ALL_OLD, left=2), snapshot(*images))
    assert reasons(plan, *"abc") == ["last_images"] * 3
    assert gone(decide(policy(ALL_OLD, left=0), snapshot(*images)), "abc") == set("abc")


def test_one_image_is_left_unless_the_policy_says_otherwise() -> None:
    plan = evaluate(
        policy(f"[limits]\n{ALL_OLD}"), [snapshot(image("a", "1"), image("b", "2"))], now=NOW
    )
    assert len(plan.deletions) == 0, "both are of the same age"
    plan = evaluate(
        policy(f"[limits]\n{ALL_OLD}"),
        [snapshot(image("a", "1"), image("b", "2", age=200))],
        now=NOW,
    )
    assert gone(plan, "ab") == {"b"}


def test_undated_images_and_signatures_are_not_the_newest() -> None:
    signature = image("s", digest("b").replace(":", "-"), age=1, arch=None, system=None)
    plan = decide(
        policy(ALL_OLD, left=1),
        snapshot(image("u", "u", age=None), signature, image("a", "1", age=20), image("b", "2")),
    )
    assert gone(plan, "usab") == {"b", "s"}
    assert verdict(plan, "a").reason == "last_images"


# Parts


MULTI = read(
    manifest("multi", "amd64", "arm64"),
    manifest("amd64"),
    manifest("arm64"),
    manifest("other"),
)


def test_parts_go_with_their_last_index_whatever_their_own_time() -> None:
    found = snapshot(
        index("multi", "pr-1", age=40),
        image("amd64", age=None),
        image("arm64", age=40),
        manifests=MULTI,
    )
    plan = decide(rule('tags = ["pr-*"]\nolder_than = "10d"'), found)
    assert reasons(plan, "multi", "amd64", "arm64") == [
        "rule",
        "part_of_deleted",
        "part_of_deleted",
    ]


def test_part_of_two_indexes_stays_with_either() -> None:
    found = snapshot(
        index("multi", "pr-1", age=40),
        index("stable", "stable", age=40),
        image("amd64"),
        image("arm64"),
        manifests=MULTI | read(manifest("stable", "amd64")),
    )
    plan = decide(
        rule('tags = ["pr-*"]\nolder_than = "10d"') + UNTAGGED.replace('"r"', '"u"'), found
    )
    assert gone(plan, ["multi", "stable", "amd64", "arm64"]) == {"multi", "arm64"}
    assert verdict(plan, "amd64").reason == "part_of_kept"
    assert digest("stable") in verdict(plan, "amd64").explanation


def test_own_tags_of_a_part_vote() -> None:
    found = snapshot(
        index("multi", "pr-1", age=40),
        image("amd64", "keep"),
        image("arm64", "pr-1-arm64", age=40),
        manifests=MULTI,
    )
    plan = decide(rule('tags = ["pr-*"]\nolder_than = "10d"'), found)
    assert gone(plan, ["multi", "amd64", "arm64"]) == {"multi", "arm64"}
    assert verdict(plan, "amd64").reason == "no_rule"


def test_protected_part_stays_while_its_index_goes() -> None:
    found = snapshot(
        index("multi", "pr-1", age=40), image("amd64"), image("arm64"), manifests=MULTI
    )
    text = f'[protect]\ndigests = ["{digest("amd64")}"]\n' + ALL_OLD
    assert gone(decide(text, found), ["multi", "amd64", "arm64"]) == {"multi", "arm64"}


def test_parts_take_no_place() -> None:
    found = snapshot(
        index("multi", "v3", age=1),
        image("amd64", "v3-amd64", age=1),
        image("arm64", age=1),
        image("other", "v2", age=2),
        image("old", "v1", age=3),
        manifests=MULTI,
    )
    plan = decide(rule('tags = ["v*"]\nkeep_newest = 2'), found)
    assert gone(plan, ["multi", "amd64", "arm64", "other", "old"]) == {"old"}


def test_hidden_index_becomes_an_image_with_the_time_of_its_newest_part() -> None:
    found = snapshot(
        image("amd64", age=20),
        image("arm64", age=15),
        hidden=["pr-1"],
        manifests=MULTI | {"pr-1": manifest("multi", "amd64", "arm64")},
    )
    plan = decide(ALL_OLD, found)
    hidden = verdict(plan, "multi")
    assert (hidden.tags, hidden.size, hidden.created_at) == (
        ("pr-1",),
        None,
        NOW - timedelta(days=15),
    )
    assert reasons(plan, "multi", "amd64", "arm64") == [
        "rule",
        "part_of_deleted",
        "part_of_deleted",
    ]
    assert gone(decide(rule('tags = ["*"]\nolder_than = "16d"'), found), ["multi"]) == set()


def test_hidden_tag_of_a_listed_image_is_a_vote() -> None:
    found = snapshot(image("a", "pr-1"), hidden=["stable"], manifests=read(stable=manifest("a")))
    plan = decide(rule('tags = ["pr-*"]\nolder_than = "10d"'), found)
    assert verdict(plan, "a").tags == ("pr-1", "stable")
    assert plan.deletions == ()


def test_hidden_tag_that_leads_nowhere_is_passed_over_and_one_that_was_not_read_blocks() -> None:
    found = snapshot(image("a", "pr-1"), hidden=["x"], manifests=read(x=None))
    assert gone(decide(ALL_OLD, found), "a") == {"a"}
    plan = decide(ALL_OLD, snapshot(image("a", "pr-1"), hidden=["x"], manifests={}))
    assert reasons(plan, "a") == ["blocked"]


@pytest.mark.parametrize(
    "odd",
    [
        index("odd", "x"),
        image("odd", "x", media_type=DOCKER_LIST),
        image("odd", "x", media_type=None),
        image("odd", "x", media_type="application/vnd.example.new+json"),
        image("odd", "x", arch=None, system=None),
        image("odd", "x", arch="unknown", system="unknown"),
        image("odd", "x", digest("a").replace(":", "-"), arch=None, system=None),
    ],
)
def test_what_is_not_plain_blocks_its_repository_until_it_is_read(odd: Image) -> None:
    images = [image("a", "1"), odd]
    plan = decide(ALL_OLD, snapshot(*images), snapshot(image("b", "1"), repository="fine"))
    assert gone(plan, ["a", "odd", "b"]) == {"b"}
    assert [each.repository for each in plan.blocked] == ["team/app"]
    assert verdict(plan, "a").reason == "blocked"
    assert decide(ALL_OLD, snapshot(*images, manifests={})).blocked != ()
    read_it = snapshot(*images, manifests=read(manifest("odd")))
    assert "a" in gone(decide(ALL_OLD, read_it), ["a", "odd"])


@pytest.mark.parametrize("platform", [("amd64", None), (None, "linux"), ("unknown", "linux")])
def test_one_of_architecture_and_system_makes_an_image_plain(
    platform: tuple[str | None, str | None],
) -> None:
    plan = decide(ALL_OLD, snapshot(image("a", "1", arch=platform[0], system=platform[1])))
    assert gone(plan, "a") == {"a"}


def test_untagged_image_whose_manifest_was_not_read_stays() -> None:
    nobody: tuple[dict[str, Manifest | None] | None, ...] = (None, {})
    for manifests in nobody:
        plan = decide(UNTAGGED, snapshot(image("a"), manifests=manifests))
        assert plan.deletions == ()
        assert "not read" in verdict(plan, "a").explanation
    assert gone(decide(UNTAGGED, snapshot(image("a"), manifests=MULTI | read(manifest("a")))), "a")


def test_listed_image_that_the_registry_does_not_have_blocks() -> None:
    plan = decide(UNTAGGED, snapshot(image("a"), image("b"), manifests={digest("a"): None}))
    assert plan.deletions == ()
    assert plan.blocked != ()


def test_part_that_the_list_does_not_show_is_left_alone() -> None:
    found = snapshot(
        index("multi", "pr-1", age=40),
        image("amd64"),
        manifests=read(manifest("multi", "amd64", "arm64")),
    )
    plan = decide(ALL_OLD, found)
    assert gone(plan, ["multi", "amd64"]) == {"multi", "amd64"}
    assert len(plan.images) == 2


def test_what_may_be_part_of_an_unread_part_stays() -> None:
    found = snapshot(
        index("multi", "pr-1", age=40),
        image("amd64"),
        image("other", "pr-2"),
        manifests=read(manifest("multi", "amd64", "nested")),
    )
    assert gone(decide(ALL_OLD, found), ["multi", "amd64", "other"]) == {"multi", "amd64"}
    # Once it is read, its parts stay with it: it is left alone.
    manifests = found.manifests or {}
    found = evolve(found, manifests={**manifests, **read(manifest("nested", "other"))})
    plan = decide(ALL_OLD, found)
    assert verdict(plan, "other").reason == "part_of_kept"


def test_index_of_indexes_takes_all_below_it() -> None:
    found = snapshot(
        index("outer", "pr-1", age=40),
        index("multi", age=None),
        image("amd64", age=40),
        image("arm64", age=40),
        manifests=MULTI | read(manifest("outer", "multi")),
    )
    names = ["outer", "multi", "amd64", "arm64"]
    assert gone(decide(ALL_OLD, found), names) == set(names)
    plan = decide(rule('tags = ["x"]\nolder_than = "1d"') + UNTAGGED.replace('"r"', '"u"'), found)
    assert gone(plan, names) == set()


def test_manifests_that_refer_to_each_other_stay() -> None:
    found = snapshot(
        index("a", age=40),
        index("b", age=40),
        manifests={
            digest("a"): Manifest(digest("a"), DOCKER_LIST, (digest("b"),)),
            digest("b"): Manifest(digest("b"), DOCKER_LIST, (digest("a"),)),
        },
    )
    assert decide(UNTAGGED, found).deletions == ()


# Signatures


def test_signature_of_what_is_not_in_the_repository_stays_unless_that_is_gone() -> None:
    signature = image("s", digest("gone").replace(":", "-") + ".sig", arch=None, system=None)
    found = snapshot(signature, image("a", "1"))
    plan = decide(ALL_OLD, found)
    assert verdict(plan, "s").reason == "signature_of_kept"
    known = evolve(found, manifests=read(manifest("gone")))
    assert verdict(decide(ALL_OLD, known), "s").reason == "signature_of_kept"
    missing = evolve(found, manifests={digest("gone"): None})
    assert verdict(decide(ALL_OLD, missing), "s").reason == "signature_of_deleted"
    elsewhere = rule('repositories = ["other"]\ntags = ["*"]\nolder_than = "1d"')
    assert decide(elsewhere, missing).deletions == ()


def test_signature_of_several_stays_with_any_and_its_other_tags_vote() -> None:
    tags = [digest(name).replace(":", "-") + ".sig" for name in ("a", "b")]
    two = image("two", *tags, age=None, arch=None, system=None)
    tagged = image("tagged", tags[0].replace(".sig", ".att"), "stable", age=None)
    found = snapshot(image("a", "pr-1"), image("b", "v1"), two, tagged)
    plan = decide(rule('tags = ["pr-*"]\nolder_than = "1d"'), found)
    assert gone(plan, ["a", "b", "two", "tagged"]) == {"a"}
    plan = decide(rule('tags = ["pr-*", "v*"]\nolder_than = "1d"'), found)
    assert gone(plan, ["a", "b", "two", "tagged"]) == {"a", "b", "two"}
    assert verdict(plan, "tagged").reason == "no_rule"


def test_manifest_with_a_subject_is_a_signature_without_a_tag() -> None:
    found = snapshot(
        image("a", "pr-1"),
        image("b", "v1"),
        image("of a", age=None, arch=None, system=None),
        image("of b", age=300, arch=None, system=None),
        manifests=read(manifest("of a", subject="a"), manifest("of b", subject="b")),
    )
    text = rule('tags = ["pr-*"]\nolder_than = "1d"') + UNTAGGED.replace('"r"', '"u"')
    plan = decide(text, found)
    assert gone(plan, ["a", "b", "of a", "of b"]) == {"a", "of a"}


# Readings that do not fit together


def test_tag_of_an_image_that_the_tag_list_lacks_blocks() -> None:
    found = evolve(snapshot(image("a", "1"), image("b", "2")), tags=("1",))
    plan = decide(ALL_OLD, found)
    assert plan.deletions == ()
    assert "2" in plan.blocked[0].reason


def test_tag_on_two_images_blocks() -> None:
    plan = decide(ALL_OLD, snapshot(image("a", "1"), image("b", "1")))
    assert plan.deletions == ()


def test_image_that_the_list_shows_twice_has_one_verdict() -> None:
    plan = decide(ALL_OLD, snapshot(image("a", "1"), image("a", "1")))
    assert len(plan.images) == 1
    assert gone(plan, "a") == {"a"}
    plan = decide(ALL_OLD, snapshot(image("a", "1"), image("a", "1", age=200)))
    assert (len(plan.images), plan.deletions) == (1, ())


def test_repository_that_comes_twice_is_refused() -> None:
    with pytest.raises(ValueError, match="twice"):
        decide(ALL_OLD, snapshot(image("a", "1")), snapshot(image("b", "1")))


def test_registries_of_one_name_are_told_apart_by_id() -> None:
    again = evolve(PROD, id="reg-9")
    plan = decide(ALL_OLD, snapshot(image("a", "1")), snapshot(image("b", "1"), registry=again))
    assert {each.registry_id for each in plan.deletions} == {"reg-1", "reg-9"}


def test_time_without_a_zone_is_refused() -> None:
    with pytest.raises(ValueError, match="time zone"):
        evaluate(policy(""), [], now=datetime(2026, 1, 1))


# Limits, bytes and quotas


def test_exceeded_limit_refuses_the_whole_plan_and_never_cuts_it_short() -> None:
    images = [image(name, name) for name in "abcd"]
    half = policy(f"[limits]\nmin_images_left = 0\nmax_delete_fraction = 0.5\n{ALL_OLD}")
    plan = decide(half, snapshot(*images))
    assert len(plan.deletions) == 4
    assert "prod/team/app" in plan.refusals[0]
    young = [image("x", "x", age=1), image("y", "y", age=1)]
    assert decide(half, snapshot(*images[:2], *young)).refusals == ()
    few = policy(f"[limits]\nmin_images_left = 0\nmax_deletions = 3\n{ALL_OLD}")
    assert "max_deletions" in decide(few, snapshot(*images)).refusals[0]
    assert decide(few, snapshot(*images[:3])).refusals == ()


def test_freed_bytes_count_each_layer_once_and_only_what_nothing_else_in_the_registry_has() -> None:
    base, kept, own = (
        Layer(digest(name), size) for name, size in (("base", 100), ("kept", 1000), ("own", 10))
    )
    found = [
        snapshot(image("a", "1", layers=[base, kept, own]), image("b", "2", layers=[base])),
        snapshot(image("c", "1", layers=[kept], age=1), repository="other"),
    ]
    plan = decide(ALL_OLD, *found)
    assert plan.freed_bytes == 110
    assert not plan.freed_is_upper_bound
    elsewhere = evolve(PROD, id="reg-2", name="stage")
    found[1] = evolve(found[1], registry=elsewhere)
    assert decide(ALL_OLD, *found).freed_bytes == 1110
    unread = snapshot(repository="broken", problem="500")
    assert decide(ALL_OLD, *found, unread).freed_is_upper_bound


def quota(text: str) -> str:
    return f'{ALL_OLD}[[quota]]\nregistry = "prod"\n{text}\n'


def test_quota_takes_only_the_oldest_that_it_needs() -> None:
    full = evolve(PROD, size=4000, size_limit=5000)
    images = [
        image(name, name, age=age) for name, age in zip("abcd", (50, 40, 30, 20), strict=True)
    ]
    found = snapshot(*images, registry=full)
    assert gone(decide(quota("target_bytes = 2500"), found), "abcd") == {"a", "b"}
    assert gone(decide(quota("target_percent = 60"), found), "abcd") == {"a"}
    assert gone(decide(quota("target_percent = 80"), found), "abcd") == set()
    plan = decide(quota("target_bytes = 2500"), found)
    assert reasons(plan, "c", "d") == ["quota_reached"] * 2
    assert "quota" in verdict(plan, "a").explanation
    assert "protecting one image may make another go" in str(plan)


def test_stored_is_the_smaller_of_what_the_service_says_and_what_was_read() -> None:
    images = [image(name, name, age=age) for name, age in zip("abc", (50, 40, 30), strict=True)]
    huge = snapshot(*images, registry=evolve(PROD, size=10**9))
    assert gone(decide(quota("target_bytes = 2000"), huge), "abc") == {"a"}
    small = snapshot(*images, registry=evolve(PROD, size=1500))
    assert gone(decide(quota("target_bytes = 2000"), small), "abc") == set()


def test_percentage_without_a_size_limit_nominates_nothing() -> None:
    assert decide(quota("target_percent = 0"), snapshot(image("a", "1"))).deletions == ()


def test_quota_takes_an_index_with_its_parts() -> None:
    found = snapshot(
        index("multi", "x", age=40),
        image("amd64"),
        image("arm64"),
        image("other", "y", age=30),
        manifests=MULTI,
    )
    plan = decide(quota("target_bytes = 1500"), found)
    assert gone(plan, ["multi", "amd64", "arm64", "other"]) == {"multi", "amd64", "arm64"}
    assert plan.freed_bytes == 2000
    plan = decide(quota("target_bytes = 5000"), found)
    assert reasons(plan, "multi", "amd64") == ["quota_reached", "part_of_kept"]


def test_patterns_that_matched_nothing_are_told_with_their_places() -> None:
    text = (
        '[protect]\ntags = ["1", "no"]\ndigests = ["sha256:00"]\nrepositories = ["none"]\n'
        + rule('registries = ["x"]\ntags = ["*"]\nolder_than = "1d"', "a")
        + rule('tags = ["*", "y"]\nolder_than = "1d"', "b")
        + '[[quota]]\nregistry = "z"\ntarget_bytes = 1\n'
    )
    plan = decide(text, snapshot(image("a", "1")))
    assert [each.partition(":")[0] for each in plan.unmatched] == [
        "protect.tags[1]",
        "protect.repositories[0]",
        "protect.digests[0]",
        "rule[0].registries[0]",
        "rule[0].tags[0]",
        "rule[1].tags[1]",
        "quota[0].registry",
    ]
