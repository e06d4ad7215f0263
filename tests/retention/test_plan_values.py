"""Plans as documents: what is written, what is refused, and what people see."""

import json
import re
from datetime import timedelta

import pytest
from attrs import evolve

from registry_async import ImageReference, RetentionRefusedError, to_dict, to_json
from registry_async.retention import RetentionPlan
from registry_async.retention._views import plan_text
from tests.retention.builders import (
    NOW,
    decide,
    digest,
    image,
    index,
    policy,
    snapshot,
    using,
)

TEXT = """
[protect]
tags = ["latest"]
younger_than = "36h"
[[rule]]
name = "pull requests"
tags = ["pr-*"]
older_than = "14d"
[[quota]]
registry = "stage"
target_bytes = 5
"""


@pytest.fixture
def plan() -> RetentionPlan:
    return decide(
        TEXT,
        snapshot(
            image("a", "pr-1", "pr-2", age=20),
            image("b", "latest"),
            image("c", "pr-3", age=1),
            image("d", "v1"),
        ),
        snapshot(index("multi", "x"), repository="multi"),
        in_use=using("cr.selcloud.ru/prod/team/app:v1"),
        base_url="https://cr.selcloud.ru/api",
        label="shop",
    )


def test_plan_travels_as_json(plan: RetentionPlan) -> None:
    again = RetentionPlan.from_json(plan.to_json())
    assert again == plan
    assert again.in_use == plan.in_use
    assert again.to_json() == plan.to_json() == to_json(plan)
    assert to_dict(plan) == json.loads(plan.to_json())
    assert RetentionPlan.from_json(plan.to_json().encode()) == plan


def test_keys_of_the_document(plan: RetentionPlan) -> None:
    document = json.loads(plan.to_json())
    assert list(document) == [
        "format",
        "version",
        "id",
        "policy",
        "base_url",
        "label",
        "created_at",
        "expires_at",
        "in_use",
        "images",
        "blocked",
        "refusals",
        "unmatched",
        "freed_bytes",
        "freed_is_upper_bound",
    ]
    assert document["format"] == "registry_async.RetentionPlan"
    assert document["version"] == 1
    (gone,) = [each for each in document["images"] if each["action"] == "delete"]
    assert gone == {
        "registry_id": "reg-1",
        "registry": "prod",
        "repository": "team/app",
        "digest": digest("a"),
        "tags": ["pr-1", "pr-2"],
        "size": 1000,
        "created_at": "2026-05-12T12:00:00+00:00",
        "action": "delete",
        "rule": "pull requests",
        "reason": "rule",
        "explanation": "all its tags are nominated by rule pull requests",
    }
    assert list(document["blocked"][0]) == ["registry", "repository", "reason"]
    assert document["policy"]["rule"] == [
        {"name": "pull requests", "tags": ["pr-*"], "older_than": "14d"}
    ]


def test_plan_ends_after_a_day(plan: RetentionPlan) -> None:
    assert plan.created_at == NOW
    assert plan.expires_at == NOW + timedelta(hours=24)


def test_edited_plan_is_refused(plan: RetentionPlan) -> None:
    text = plan.to_json()
    for before, after in [
        ('"keep"', '"delete"'),
        ('"pr-*"', '"*"'),
        (digest("a"), digest("b")),
        ("2026-06-02", "2026-07-02"),
        ('"shop"', "null"),
    ]:
        assert before in text
        with pytest.raises(RetentionRefusedError, match="edited"):
            RetentionPlan.from_json(text.replace(before, after, 1))
    assert evolve(plan, images=plan.images[1:]).content_id() != plan.id


@pytest.mark.parametrize(
    ("change", "place"),
    [
        ({"format": "x"}, "format"),
        ({"version": 2}, "version"),
        ({"version": True}, "version"),
        ({"images": {}}, "images"),
        ({"images": [1]}, r"images\[0\]"),
        ({"more": 1}, "more: unknown"),
        ({"label": 1}, "label"),
        ({"created_at": "2026-06-01T12:00:00"}, "created_at"),
        ({"freed_bytes": 1.5}, "freed_bytes"),
        ({"freed_is_upper_bound": 1}, "freed_is_upper_bound"),
        ({"in_use": ["nginx"]}, r"in_use: references\[0\]"),
        ({"in_use": []}, "in_use"),
        ({"policy": {"version": 1, "rule": [{"tags": ["a"]}]}}, r"policy\.rule\[0\]\.name"),
        ({"unmatched": [1]}, r"unmatched\[0\]"),
    ],
)
def test_wrong_document_is_told_with_its_place(
    plan: RetentionPlan, change: dict[str, object], place: str
) -> None:
    with pytest.raises(ValueError, match=place) as caught:
        RetentionPlan.from_json(json.dumps(json.loads(plan.to_json()) | change))
    assert not isinstance(caught.value, RetentionRefusedError)


def test_document_without_a_key_is_told_so(plan: RetentionPlan) -> None:
    for key in json.loads(plan.to_json()):
        document = json.loads(plan.to_json())
        del document[key]
        with pytest.raises(ValueError, match=key):
            RetentionPlan.from_json(json.dumps(document))
    document = json.loads(plan.to_json())
    del document["images"][2]["size"]
    with pytest.raises(ValueError, match=r"images\[2\]\.size: missing"):
        RetentionPlan.from_json(json.dumps(document))
    document["images"][2] |= {"size": 1, "action": "burn"}
    with pytest.raises(ValueError, match=r"images\[2\]\.action"):
        RetentionPlan.from_json(json.dumps(document))


@pytest.mark.parametrize("text", ["", "[]", "null", "{}", "[" * 100_000])
def test_what_is_no_plan_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match="plan"):
        RetentionPlan.from_json(text)


def test_span_that_is_no_whole_number_of_hours_travels(plan: RetentionPlan) -> None:
    rule = evolve(plan.policy.rules[0], older_than=timedelta(days=14, microseconds=7))
    odd = decide(evolve(plan.policy, rules=(rule,)), snapshot(image("a", "pr-1")))
    assert RetentionPlan.from_json(odd.to_json()) == odd


@pytest.mark.parametrize(
    ("reference", "words"),
    [
        ("cr.selcloud.ru/prod/team/app:pr-1", r"goes \(rule\): all its tags are nominated"),
        ("prod/team/app:pr-2", r"goes \(rule\)"),
        (f"prod/team/app@{digest('a')}", r"tags: pr-1, pr-2"),
        (digest("a"), r"goes \(rule\)"),
        (ImageReference.parse("x.io/prod/team/app"), r"stays \(protected_tag\): tag latest"),
        ("x.io/cache/prod/team/app:v1", r"stays \(in_use\): in use as cr\.selcloud\.ru/prod"),
        ("prod/team/app:pr-3", r"stays \(too_young\)"),
        ("prod/multi:x", r"stays \(no_rule\)"),
        ("prod/multi:unknown", r"blocked, so all of it stays"),
    ],
)
def test_plan_explains_why_an_image_stays_or_goes(
    plan: RetentionPlan, reference: str | ImageReference, words: str
) -> None:
    assert re.search(words, plan.explain(reference))


def test_plan_says_that_it_does_not_know_an_image(plan: RetentionPlan) -> None:
    for reference in ("prod/team/app:none", "team/app:pr-1", digest("none")):
        with pytest.raises(LookupError, match="the plan has no image"):
            plan.explain(reference)


def test_difference_of_plans(plan: RetentionPlan) -> None:
    other = decide(
        policy(TEXT.replace('"pr-*"', '"pr-*", "v*"')),
        snapshot(image("a", "pr-1", "stable", age=20), image("d", "v1"), image("b", "latest")),
    )
    diff = other.diff(plan)
    assert [each.digest for each in diff.added] == [digest("d")]
    assert [each.digest for each in diff.removed] == [digest("a")]
    assert "Goes now" in str(diff)
    assert not plan.diff(plan)
    assert "same" in str(plan.diff(plan))


@pytest.mark.parametrize("width", [40, 80, 160])
def test_text_fits_the_terminal(plan: RetentionPlan, width: int) -> None:
    text = plan_text(plan, width)
    rows = text.splitlines()
    start = next(number for number, row in enumerate(rows) if row.startswith("prod/team/app"))
    end = rows.index("", start)
    assert all(len(row) <= width for row in rows[start:end])
    assert "pr-1" in text
    assert ("too narrow for" in text) is (width == 40)


def test_text_says_what_counts(plan: RetentionPlan) -> None:
    text = str(plan)
    assert "1 of 5 images goes" in text
    assert "prod/multi" in text
    assert "quota[0].registry" in text
    assert "1  too_young" in text
    refused = decide(
        policy(f"[limits]\nmax_deletions = 0\nmin_images_left = 0\n{TEXT}"),
        snapshot(image("a", "pr-1")),
    )
    assert "REFUSED" in str(refused)
    assert "nothing goes" in refused.explain("prod/team/app:pr-1")
    assert "Nothing goes" in str(decide("", snapshot(image("a", "1"))))


def test_what_acts_in_a_terminal_or_in_html_is_shown_and_does_nothing() -> None:
    evil = "pr-\x1b[31m<b>"
    plan = decide(TEXT, snapshot(image("a", evil)))
    assert "\x1b" not in str(plan)
    assert "\x1b" not in plan.explain(digest("a"))
    html = plan._repr_html_()
    assert "<b>" not in html
    assert "\x1b" not in html


def test_frame_has_a_row_an_image(plan: RetentionPlan) -> None:
    frame = plan.to_dataframe()
    assert len(frame) == len(plan.images)
    assert list(frame.columns) == [
        "registry_id",
        "registry",
        "repository",
        "digest",
        "tags",
        "size",
        "created_at",
        "action",
        "rule",
        "reason",
        "explanation",
    ]
