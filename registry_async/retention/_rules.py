"""Patterns and rules of one policy, applied to tags and images; what fits is remembered."""

from collections.abc import Callable, Iterable, Iterator, Mapping
from datetime import UTC, datetime
from heapq import nlargest
from typing import Any, Final

from attrs import define, field

from registry_async.models import Registry, Repository
from registry_async.retention._patterns import fits_glob, fits_regex, version_of
from registry_async.retention._policy import RetentionPolicy
from registry_async.retention._policy_values import Rule
from registry_async.retention._snapshot import is_chart
from registry_async.retention._stock import Member

__all__ = ["Nominations", "Patterns", "RuleSet", "is_dated", "newest", "nominate"]

# Docker, and with it registries of images, came into the world on this day.
_FIRST_DAY: Final = datetime(2013, 3, 20, tzinfo=UTC)
_GROUP: Final = "group"


def is_dated(moment: datetime | None, now: datetime) -> bool:
    """Say whether an image's time can be believed."""
    return moment is not None and _FIRST_DAY <= moment <= now


class Patterns:
    """A list of patterns of the policy, which knows which of them ever fitted.

    Args:
        place: Where in the policy they are.
        patterns: The patterns.
        compiled: What tells whether one fits.
    """

    def __init__(
        self,
        place: str,
        patterns: Iterable[str],
        compiled: Callable[[str], Callable[[str], Any]],
    ) -> None:
        self._place = place
        self._patterns = tuple(patterns)
        self._fits = [(index, compiled(pattern)) for index, pattern in enumerate(self._patterns)]
        self._matched: set[int] = set()
        self._known: dict[str, tuple[tuple[int, Any], ...]] = {}

    def __bool__(self) -> bool:
        return bool(self._patterns)

    def matches(self, text: str) -> tuple[tuple[int, Any], ...]:
        """Return which patterns fit, each with its match."""
        known = self._known.get(text)
        if known is None:
            known = tuple(
                (index, match) for index, fits in self._fits if (match := fits(text)) is not None
            )
            self._matched.update(index for index, _ in known)
            # Tags such as latest come again and again; most others never do.
            if len(self._known) < 10_000:
                self._known[text] = known
        return known

    def first(self, text: str) -> str | None:
        """Return the first pattern that fits."""
        found = self.matches(text)
        return self._patterns[found[0][0]] if found else None

    def unmatched(self) -> Iterator[str]:
        """Give the patterns that never fitted, with their places."""
        for index, pattern in enumerate(self._patterns):
            if index not in self._matched:
                yield f"{self._place}[{index}]: {pattern!r} matched nothing"


class _CompiledRule:
    def __init__(self, rule: Rule, place: str) -> None:
        self.rule = rule
        self.registries = Patterns(f"{place}.registries", rule.registries or (), fits_glob)
        self.repositories = Patterns(f"{place}.repositories", rule.repositories or (), fits_glob)
        self.repositories_regex = Patterns(
            f"{place}.repositories_regex", rule.repositories_regex or (), fits_regex
        )
        self.tags = Patterns(f"{place}.tags", rule.tags, fits_glob)
        self.tags_regex = Patterns(f"{place}.tags_regex", rule.tags_regex, fits_regex)
        self.types = Patterns(f"{place}.types", rule.types or (), lambda text: _equals(text))

    def every(self) -> Iterator[Patterns]:
        yield self.registries
        yield self.repositories
        yield self.repositories_regex
        yield self.tags
        yield self.tags_regex
        yield self.types

    def covers(self, registry: Registry, repository: Repository) -> bool:
        """Say whether the rule is about a repository."""
        if self.rule.types is None:
            of_type = not is_chart(repository)
        else:
            of_type = bool(repository.type and self.types.matches(str(repository.type)))
        in_registry = not self.registries or bool(self.registries.matches(registry.name))
        # Both lists are asked, so that both know what fitted.
        by_glob = bool(self.repositories.matches(repository.name))
        by_regex = bool(self.repositories_regex.matches(repository.name))
        anywhere = not self.repositories and not self.repositories_regex
        return of_type and in_registry and (anywhere or by_glob or by_regex)

    def groups(self, tag: str) -> tuple[str | None, ...]:
        """Return the groups of a tag, which has at least one if it fits."""
        found: dict[str | None, None] = {}
        if self.tags.matches(tag):
            found[None] = None
        for _, match in self.tags_regex.matches(tag):
            found[match.group(_GROUP) if _GROUP in match.re.groupindex else None] = None
        return tuple(found)


def _equals(text: str) -> Callable[[str], Any]:
    return lambda other: other == text or None


class RuleSet:
    """The rules and protections of one policy, for one evaluation.

    Args:
        policy: The policy.
    """

    def __init__(self, policy: RetentionPolicy) -> None:
        protect = policy.protect
        self.policy = policy
        self.protected_tags = Patterns("protect.tags", protect.tags, fits_glob)
        self.protected_tags_regex = Patterns("protect.tags_regex", protect.tags_regex, fits_regex)
        self.protected_repositories = Patterns(
            "protect.repositories", protect.repositories, fits_glob
        )
        self.protected_digests = Patterns(
            "protect.digests", protect.digests, lambda text: _equals(text)
        )
        self.quotas = [
            Patterns(f"quota[{index}].registry", (quota.registry,), fits_glob)
            for index, quota in enumerate(policy.quotas)
        ]
        self._rules = [
            _CompiledRule(rule, f"rule[{index}]") for index, rule in enumerate(policy.rules)
        ]

    def protecting_tag(self, tag: str) -> str | None:
        """Return the pattern that protects a tag."""
        by_glob = self.protected_tags.first(tag)
        by_regex = self.protected_tags_regex.first(tag)
        return by_regex if by_glob is None else by_glob

    def covering(self, registry: Registry, repository: Repository) -> "list[_CompiledRule]":
        """Return the rules that are about a repository."""
        return [rule for rule in self._rules if rule.covers(registry, repository)]

    def unmatched(self) -> tuple[str, ...]:
        """Return the patterns that matched nothing, in the order of the file."""
        found = [
            *self.protected_tags.unmatched(),
            *self.protected_tags_regex.unmatched(),
            *self.protected_repositories.unmatched(),
            *self.protected_digests.unmatched(),
        ]
        for rule in self._rules:
            for patterns in rule.every():
                found += patterns.unmatched()
        for patterns in self.quotas:
            found += (text.replace("registry[0]", "registry") for text in patterns.unmatched())
        return tuple(found)


@define(eq=False, weakref_slot=False)
class Nominations:
    """What the rules say of the tags of a repository's images.

    An image without tags is looked up under the tag None.

    Attributes:
        rules: The names of the rules that nominate a tag, by digest and tag.
        votes: Why a tag stays, by digest and tag, with the name of the rule that says so.
    """

    rules: dict[tuple[str, str | None], str] = field(factory=dict[tuple[str, str | None], str])
    votes: dict[tuple[str, str | None], list[tuple[str, str]]] = field(
        factory=dict[tuple[str, str | None], list[tuple[str, str]]]
    )


def nominate(
    rules: Iterable[_CompiledRule],
    members: Iterable[Member],
    takes_place: Callable[[Member], bool],
    now: datetime,
) -> Nominations:
    """Ask the rules about every tag, and about images without one.

    Args:
        rules: The rules that are about the repository.
        members: Its images.
        takes_place: Whether an image counts where the newest are kept.
        now: The present.
    """
    found = Nominations()
    every = list(members)
    for compiled in rules:
        _apply(compiled, every, takes_place, now, found)
    return found


def _apply(
    compiled: _CompiledRule,
    members: list[Member],
    takes_place: Callable[[Member], bool],
    now: datetime,
    found: Nominations,
) -> None:
    rule = compiled.rule
    fitting: list[tuple[Member, str | None, tuple[str | None, ...]]] = []
    for member in members:
        if rule.untagged:
            if not member.tags:
                fitting.append((member, None, (None,)))
            continue
        for each in member.tags:
            groups = compiled.groups(each)
            if groups:
                fitting.append((member, each, groups))
    ranks: dict[tuple[str | None, str], Any] = {}
    borders: Mapping[str | None, Any] = {}
    if rule.keep_newest is not None:
        ranks = _ranks(rule, fitting)
        borders = _borders(rule.keep_newest, ranks, fitting, takes_place, now)
    for member, tag, groups in fitting:
        key = (member.digest, tag)
        against = list(_against(rule, member, tag, groups, ranks, borders, now))
        if against:
            found.votes.setdefault(key, []).extend((reason, rule.name) for reason in against)
        else:
            # Whichever rule comes first in the file, the same one is named.
            found.rules[key] = min(rule.name, found.rules.get(key, rule.name))


def _ranks(
    rule: Rule, fitting: list[tuple[Member, str | None, tuple[str | None, ...]]]
) -> dict[tuple[str | None, str], Any]:
    """Return what images are ranked by in each group; None where there is nothing to go by."""
    ranks: dict[tuple[str | None, str], Any] = {}
    for member, tag, groups in fitting:
        rank: Any = member.created_at
        if rule.order == "semver":
            rank = None if tag is None else version_of(tag)
        for group in groups:
            key = (group, member.digest)
            earlier = ranks.get(key)
            ranks[key] = (
                rank if earlier is None or (rank is not None and rank > earlier) else earlier
            )
    return ranks


def _borders(
    keep: int,
    ranks: Mapping[tuple[str | None, str], Any],
    fitting: list[tuple[Member, str | None, tuple[str | None, ...]]],
    takes_place: Callable[[Member], bool],
    now: datetime,
) -> dict[str | None, Any]:
    """Return the rank of the last image that is among the newest, by group.

    A group of fewer images has no border: all of it stays.
    """
    places: dict[str | None, dict[str, Any]] = {}
    for member, _, groups in fitting:
        if not is_dated(member.created_at, now) or not takes_place(member):
            continue
        for group in groups:
            rank = ranks[group, member.digest]
            if rank is not None:
                places.setdefault(group, {})[member.digest] = rank
    return {
        group: nlargest(keep, taken.values())[-1]
        for group, taken in places.items()
        if len(taken) >= keep
    }


def _against(
    rule: Rule,
    member: Member,
    tag: str | None,
    groups: tuple[str | None, ...],
    ranks: Mapping[tuple[str | None, str], Any],
    borders: Mapping[str | None, Any],
    now: datetime,
) -> Iterator[str]:
    """Give the reasons why a rule does not nominate a tag that fits it."""
    created = member.created_at
    undated = created is None or not is_dated(created, now)
    is_version = rule.order != "semver" or (tag is not None and version_of(tag) is not None)
    if undated:
        yield "undated"
    if not is_version:
        yield "not_a_version"
    if rule.keep_newest is not None and is_version and not undated:
        for group in groups:
            border = borders.get(group)
            rank = ranks[group, member.digest]
            if border is None or rank is None or rank >= border:
                # What takes no place is not one of the newest, whatever its rank.
                yield "newest"
                break
    if (
        rule.older_than is not None
        and created is not None
        and not undated
        and now - created <= rule.older_than
    ):
        yield "not_old_enough"


def newest(members: Iterable[Member], count: int, now: datetime) -> set[str]:
    """Return the digests of the newest images; those of equal age at the border are all in it."""
    if count < 1:
        return set()
    dated = {
        member.digest: member.created_at
        for member in members
        if member.created_at is not None and not member.follows and is_dated(member.created_at, now)
    }
    if len(dated) <= count:
        return set(dated)
    border = nlargest(count, dated.values())[-1]
    return {digest for digest, created in dated.items() if created >= border}
