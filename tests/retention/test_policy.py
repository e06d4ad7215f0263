"""Policies: what a file says, and how it is told what is wrong with it."""

from datetime import timedelta
from pathlib import Path

import pytest

from registry_async.retention import Limits, Protect, Quota, RetentionPolicy, Rule

WHOLE = r"""
version = 1
[protect]
tags = ["latest", "main"]
tags_regex = ['v?\d+\.\d+\.\d+']
repositories = ["infra/*"]
digests = ["sha256:00"]
younger_than = "24h"
in_use = "required"
[limits]
max_delete_fraction = 0.9
max_deletions = 10000
min_images_left = 2
[[rule]]
name = "pull requests"
registries = ["prod"]
repositories = ["team/*"]
repositories_regex = ['apps/\w+']
tags_regex = ['pr-(?P<group>\d+)-.*']
keep_newest = 2
older_than = "14d"
[[rule]]
name = "charts"
tags = ["*"]
older_than = "2w"
order = "semver"
types = ["helm_chart"]
[[rule]]
name = "leftovers"
untagged = true
older_than = "36h"
[[quota]]
registry = "prod"
target_percent = 80
[[quota]]
registry = "stage"
target_bytes = 1000
"""


def test_file_says_what_the_classes_say() -> None:
    assert RetentionPolicy.from_toml(WHOLE) == RetentionPolicy(
        rules=(
            Rule(
                name="pull requests",
                registries=("prod",),
                repositories=("team/*",),
                repositories_regex=(r"apps/\w+",),
                tags_regex=(r"pr-(?P<group>\d+)-.*",),
                keep_newest=2,
                older_than=timedelta(days=14),
            ),
            Rule(
                name="charts",
                tags=("*",),
                older_than=timedelta(weeks=2),
                order="semver",
                types=("helm_chart",),
            ),
            Rule(name="leftovers", untagged=True, older_than=timedelta(hours=36)),
        ),
        protect=Protect(
            tags=("latest", "main"),
            tags_regex=(r"v?\d+\.\d+\.\d+",),
            repositories=("infra/*",),
            digests=("sha256:00",),
            younger_than=timedelta(days=1),
            in_use="required",
        ),
        limits=Limits(max_delete_fraction=0.9, max_deletions=10000, min_images_left=2),
        quotas=(
            Quota(registry="prod", target_percent=80),
            Quota(registry="stage", target_bytes=1000),
        ),
    )


def test_file_with_a_version_alone_deletes_nothing_and_leaves_one_image() -> None:
    policy = RetentionPolicy.from_toml("version = 1")
    assert policy == RetentionPolicy()
    assert policy.rules == ()
    assert policy.limits.min_images_left == 1
    assert policy.limits.max_deletions is None
    assert policy.limits.max_delete_fraction is None


def test_file_is_read_from_disk_and_named_in_what_is_wrong(tmp_path: Path) -> None:
    file = tmp_path / "retention.toml"
    file.write_text(WHOLE, encoding="utf-8")
    assert RetentionPolicy.read(file) == RetentionPolicy.from_toml(WHOLE)
    file.write_text("version = 1\nrules = []", encoding="utf-8")
    with pytest.raises(ValueError, match=r"retention\.toml: rules: unknown"):
        RetentionPolicy.read(file)
    file.write_bytes(b"\xff")
    with pytest.raises(ValueError, match=r"retention\.toml: not UTF-8"):
        RetentionPolicy.read(str(file))


RULE = '[[rule]]\nname = "a"\n'


@pytest.mark.parametrize(
    ("text", "place"),
    [
        ("", "version: missing"),
        ("version = 2", "version: must be 1"),
        ("version = true", "version: must be 1"),
        ('version = "1"', "version: must be 1"),
        ("version = 1.0", "version: must be 1"),
        ("version 1", "not TOML"),
        ("[protects]", "protects: unknown"),
        ("protect = 1", "protect: must be a table"),
        ("[protect]\ntag = []", r"protect\.tag: unknown"),
        ('[protect]\ntags = "latest"', r"protect\.tags: must be a list of texts, not a text"),
        ("[protect]\ntags = [1]", r"protect\.tags\[0\]: must be a text, not a number"),
        ('[protect]\ntags = ["a", ""]', r"protect\.tags\[1\]: is empty"),
        ('[protect]\ntags = ["[a"]', r"protect\.tags\[0\]: .*without its \]"),
        ('[protect]\ntags = ["x[z-a]"]', r"protect\.tags\[0\]: .*range z-a"),
        ('[protect]\ntags_regex = ["(", "b"]', r"protect\.tags_regex\[0\]: .*regular expression"),
        ('[protect]\ndigests = ["latest"]', r"protect\.digests\[0\]: .*no digest"),
        ('[protect]\nyounger_than = "6m"', r"protect\.younger_than: .*minutes or months"),
        ('[protect]\nyounger_than = "0h"', r"protect\.younger_than: .*longer than 0"),
        ("[protect]\nyounger_than = 24", r"protect\.younger_than: "),
        ('[protect]\nyounger_than = "-1d"', r"protect\.younger_than: "),
        ('[protect]\nyounger_than = "1.5d"', r"protect\.younger_than: "),
        ('[protect]\nyounger_than = "1 d"', r"protect\.younger_than: "),
        (f'[protect]\nyounger_than = "{"9" * 30}w"', r"protect\.younger_than: .*longer than"),
        ('[protect]\nin_use = "yes"', r"protect\.in_use: must be 'optional' or 'required'"),
        ("[protect]\nin_use = true", r"protect\.in_use: "),
        ("[limits]\nmax_delete_fraction = 1.1", r"limits\.max_delete_fraction: .*from 0 to 1"),
        ("[limits]\nmax_delete_fraction = nan", r"limits\.max_delete_fraction: "),
        ("[limits]\nmax_delete_fraction = true", r"limits\.max_delete_fraction: "),
        ("[limits]\nmax_deletions = -1", r"limits\.max_deletions: must be 0 or more"),
        ("[limits]\nmax_deletions = 1.0", r"limits\.max_deletions: must be a whole number"),
        ("[limits]\nmin_images_left = true", r"limits\.min_images_left: "),
        ("[rule]\nname = 'a'", "rule: must be an array of tables"),
        ("rule = [1]", r"rule\[0\]: must be a table"),
        ("[[rule]]\ntags = ['a']", r"rule\[0\]\.name: missing"),
        ("[[rule]]\nname = ' '", r"rule\[0\]\.name: is empty"),
        ("[[rule]]\nname = 1\nkeep_newest = 1", r"rule\[0\]\.name: must be a text"),
        (f"{RULE}keep_newest = 1", r"rule\[0\]\.tags: missing"),
        (f"{RULE}tags = []\nkeep_newest = 1", r"rule\[0\]\.tags: missing"),
        (f"{RULE}tags = ['a']", r"rule\[0\]\.keep_newest: missing"),
        (f"{RULE}tags = ['a']\nkeep_newest = 0", r"rule\[0\]\.keep_newest: must be 1 or more"),
        (f"{RULE}tags = ['a']\nolder_than = '0d'", r"rule\[0\]\.older_than: .*longer than 0"),
        (f"{RULE}tags = ['a']\nuntagged = true\nkeep_newest = 1", r"rule\[0\]\.untagged: excl"),
        (f"{RULE}tags_regex = ['a']\nuntagged = true\nkeep_newest = 1", r"rule\[0\]\.untagged"),
        (f"{RULE}untagged = 1\nkeep_newest = 1", r"rule\[0\]\.untagged: must be true or false"),
        (f"{RULE}tags = ['a']\nkeep_newest = 1\norder = 'name'", r"rule\[0\]\.order: must be"),
        (f"{RULE}tags = ['a']\nkeep_newest = 1\nregistries = []", r"rule\[0\]\.registries: names"),
        (f"{RULE}tags = ['a']\nkeep_newest = 1\nrepositories = []", r"rule\[0\]\.repositories: "),
        (f"{RULE}tags = ['a']\nkeep_newest = 1\ntypes = []", r"rule\[0\]\.types: names nothing"),
        (f"{RULE}tags = ['a']\nkeep_newest = 1\nkeep = 1", r"rule\[0\]\.keep: unknown"),
        (
            (
                f"{RULE}tags = ['a']\nkeep_newest = 1\n[[rule]]\nname = 'b'\ntags_regex = ['(']\n"
                "keep_newest = 1"
            ),
            r"rule\[1\]\.tags_regex\[0\]: ",
        ),
        (
            f"{RULE}tags = ['a']\nkeep_newest = 1\n{RULE}tags = ['b']\nkeep_newest = 1",
            r"rule\[1\]\.name: 'a' is the name of another rule",
        ),
        ("[[quota]]\ntarget_bytes = 1", r"quota\[0\]\.registry: missing"),
        ("[[quota]]\nregistry = 'a'", r"quota\[0\]\.target_percent: give either"),
        (
            "[[quota]]\nregistry = 'a'\ntarget_percent = 1\ntarget_bytes = 1",
            r"quota\[0\]\.target_percent: give either",
        ),
        ("[[quota]]\nregistry = 'a'\ntarget_percent = 101", r"quota\[0\]\.target_percent: "),
        ("[[quota]]\nregistry = 'a'\ntarget_bytes = 1.5", r"quota\[0\]\.target_bytes: "),
    ],
)
def test_what_is_wrong_is_told_with_its_place(text: str, place: str) -> None:
    head = "" if text.startswith("version") or not text else "version = 1\n"
    with pytest.raises(ValueError, match=place):
        RetentionPolicy.from_toml(head + text)


def test_classes_check_themselves_as_the_file_does() -> None:
    with pytest.raises(ValueError, match=r"tags_regex\[1\]: "):
        Rule(name="a", tags_regex=("a", "("), keep_newest=1)
    with pytest.raises(ValueError, match="older_than: must be longer than 0"):
        Rule(name="a", tags=("a",), older_than=timedelta(0))
    with pytest.raises(ValueError, match="older_than: must be a timedelta"):
        Rule(name="a", tags=("a",), older_than="14d")  # type: ignore[arg-type]
    rule = Rule(name="a", tags=("a",), keep_newest=1)
    with pytest.raises(ValueError, match=r"rule\[1\]\.name"):
        RetentionPolicy(rules=(rule, rule))
    with pytest.raises(ValueError, match="rules: must be"):
        RetentionPolicy(rules=("a",))  # type: ignore[arg-type]
    # Lists are as good as tuples.
    assert Rule(name="a", tags=["a"], keep_newest=1) == rule  # type: ignore[arg-type]
