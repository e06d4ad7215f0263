"""One repository judged: what stays and why, what may go, and what goes with what."""

from collections.abc import Iterable, Mapping
from datetime import datetime
from typing import Final

from attrs import define, field

from registry_async.references import ImageReference
from registry_async.retention._in_use import InUse
from registry_async.retention._patterns import signature_subject
from registry_async.retention._rules import Nominations, RuleSet, newest, nominate
from registry_async.retention._snapshot import Manifest, RepositorySnapshot
from registry_async.retention._stock import Member, Stock, take_stock

__all__ = ["KEEP_REASONS", "Judgement", "UsedImages", "Verdict", "judge"]

# Where several reasons hold, the first is given.
KEEP_REASONS: Final = (
    "protected_tag",
    "protected_digest",
    "protected_repository",
    "in_use",
    "too_young",
    "newest",
    "not_old_enough",
    "no_rule",
    "undated",
    "not_a_version",
    "part_of_kept",
    "signature_of_kept",
    "last_images",
    "quota_reached",
    "blocked",
)
_RANKS: Final[Mapping[str, int]] = {reason: rank for rank, reason in enumerate(KEEP_REASONS)}

_WORDS: Final[Mapping[str, str]] = {
    "newest": "rule {rule} keeps the newest, and this is one of them",
    "not_old_enough": "not old enough for rule {rule}",
    "undated": "rule {rule} cannot tell its age: it has no time that can be right",
    "not_a_version": "tag {tag} is no version, which rule {rule} goes by",
}


class UsedImages:
    """The images in use, looked up by repository and by digest.

    Args:
        in_use: The references.
    """

    def __init__(self, in_use: InUse | None) -> None:
        self.references: tuple[ImageReference, ...] = () if in_use is None else in_use.references
        self.digests: dict[str, ImageReference] = {}
        self._by_path: dict[str, list[ImageReference]] = {}
        self._seen: set[ImageReference] = set()
        for reference in self.references:
            if reference.digest is not None:
                self.digests.setdefault(reference.digest, reference)
            # A proxy puts names of its own before the path.
            path = reference.path
            while path:
                self._by_path.setdefault(path, []).append(reference)
                path = path.partition("/")[2]

    def of_repository(self, registry: str, repository: str) -> dict[str, ImageReference]:
        """Return the references whose path ends with a repository's, by the tag they mean."""
        tags: dict[str, ImageReference] = {}
        for reference in self._by_path.get(f"{registry}/{repository}", ()):
            tag = reference.tag
            if tag is None and reference.digest is None:
                tag = "latest"
            if tag is not None:
                tags.setdefault(tag, reference)
        return tags

    def mark(self, reference: ImageReference) -> None:
        """Remember that a reference protects something."""
        self._seen.add(reference)

    @property
    def idle(self) -> bool:
        """Whether there are references and none of them protects anything."""
        return bool(self.references) and not self._seen


@define(eq=False, weakref_slot=False)
class Verdict:
    """What is decided about one image.

    Attributes:
        reason: Why it stays or goes; empty while that is open.
        explanation: The same in a sentence.
        rule: The name of the rule, where one decides.
        goes: Whether it goes.
    """

    reason: str = ""
    explanation: str = ""
    rule: str | None = None
    goes: bool = False

    def keep(self, reason: str, explanation: str, rule: str | None = None) -> None:
        """Keep it for a reason, unless it is kept for one that comes earlier in the list."""
        if not self.reason or _RANKS[reason] < _RANKS[self.reason]:
            self.reason, self.explanation, self.rule = reason, explanation, rule


@define(eq=False, weakref_slot=False)
class Judgement:
    """A repository with a verdict for each image.

    Attributes:
        stock: What it holds.
        verdicts: The verdicts by digest.
        nominations: What the rules say.
        waiting: For images that go only with others: how many of those others must go first.
        followers: The images that go by one, by its digest.
        roots: The images that go by themselves, if nothing else keeps them.
        would_go_unread: Untagged images that stay only because their manifests were not read.
    """

    stock: Stock
    verdicts: dict[str, Verdict]
    nominations: Nominations
    waiting: dict[str, int] = field(factory=dict[str, int])
    followers: dict[str, list[str]] = field(factory=dict[str, list[str]])
    roots: list[str] = field(factory=list[str])
    would_go_unread: set[str] = field(factory=set[str])

    def take(self, digest: str) -> list[str]:
        """Let an image go by itself; return it and what goes with it."""
        taken = [digest]
        self._mark_root(digest)
        for gone in taken:
            for follower in self.followers.get(gone, ()):
                self.waiting[follower] -= 1
                if not self.waiting[follower]:
                    self._mark_follower(follower)
                    taken.append(follower)
        return taken

    def settle(self) -> None:
        """Keep what was not taken: it belongs to something that stays."""
        for digest, verdict in self.verdicts.items():
            if verdict.goes or verdict.reason:
                continue
            member = self.stock.members[digest]
            owner = next((each for each in sorted(member.owners) if self._stays(each)), None)
            if owner is not None:
                verdict.keep("part_of_kept", f"part of {self._name(owner)}, which stays")
                continue
            subject = next((each for each in sorted(member.subjects) if self._stays(each)), None)
            if subject is not None:
                known = subject in self.stock.members or subject in self.stock.outsiders
                verdict.keep(
                    "signature_of_kept",
                    f"belongs to {self._name(subject)}, which stays"
                    if known
                    else f"belongs to {subject}, which is not known to be gone",
                )
            else:
                # Manifests that refer to each other in a circle: nothing that anybody made.
                verdict.keep("blocked", "belongs to manifests that refer to each other")

    def _stays(self, digest: str) -> bool:
        verdict = self.verdicts.get(digest)
        if verdict is not None:
            return not verdict.goes
        return digest not in self.stock.gone

    def _name(self, digest: str) -> str:
        member = self.stock.members.get(digest)
        return f"{digest} ({', '.join(member.tags)})" if member and member.tags else digest

    def _mark_root(self, digest: str) -> None:
        member, verdict = self.stock.members[digest], self.verdicts[digest]
        verdict.goes = True
        if member.follows:
            self._mark_follower(digest)
            return
        keys: list[tuple[str, str | None]] = [(digest, tag) for tag in member.tags or (None,)]
        names = sorted({self.nominations.rules[key] for key in keys})
        verdict.reason, verdict.rule = "rule", ", ".join(names)
        what = (
            "all its tags are" if len(member.tags) > 1 else "its tag is" if member.tags else "it is"
        )
        verdict.explanation = f"{what} nominated by {_rules(names)}"

    def _mark_follower(self, digest: str) -> None:
        member, verdict = self.stock.members[digest], self.verdicts[digest]
        verdict.goes = True
        if member.owners:
            verdict.reason = "part_of_deleted"
            names = ", ".join(map(self._name, sorted(member.owners)))
            verdict.explanation = f"part of {names}, and of nothing that stays"
        else:
            verdict.reason = "signature_of_deleted"
            names = ", ".join(map(self._name, sorted(member.subjects)))
            gone = all(subject in self.stock.gone for subject in member.subjects)
            verdict.explanation = f"belongs to {names}, which {'is gone' if gone else 'goes'}"


def _rules(names: list[str]) -> str:
    return f"rule {names[0]}" if len(names) == 1 else f"rules {', '.join(names)}"


def judge(
    snapshot: RepositorySnapshot,
    rules: RuleSet,
    used: UsedImages,
    now: datetime,
    deleted: Mapping[str, Manifest | None] | None = None,
) -> Judgement:
    """Judge the images of one repository; what may go is among its ``roots``, to be taken.

    Args:
        snapshot: The repository as it was read.
        rules: The policy.
        used: The images in use.
        now: The present.
        deleted: What the same run has deleted from it.
    """
    stock = take_stock(snapshot, deleted)
    members = stock.members
    verdicts = {digest: Verdict() for digest in members}
    covering = rules.covering(snapshot.registry, snapshot.repository)
    _protect(stock, verdicts, rules, used, now)
    protected = {digest for digest, verdict in verdicts.items() if verdict.reason}

    def takes_place(member: Member) -> bool:
        return not member.follows and member.digest not in protected

    nominations = nominate(covering, members.values(), takes_place, now)
    result = Judgement(stock, verdicts, nominations)
    for member in members.values():
        _vote(member, verdicts[member.digest], nominations, now)
    if not covering:
        for verdict in verdicts.values():
            verdict.keep("no_rule", "no rule is about its repository")
    count = rules.policy.limits.min_images_left
    for digest in newest(members.values(), count, now):
        verdicts[digest].keep(
            "last_images",
            f"the newest {count} of a repository always stay"
            if count > 1
            else "the newest of a repository always stays",
        )
    if stock.problem is not None:
        # What would go unread tells what to read next.
        _open_ways(result)
        for digest in _closure(result):
            member = members[digest]
            if not member.tags and not stock.was_read(digest):
                result.would_go_unread.add(digest)
        for verdict in verdicts.values():
            verdict.keep("blocked", f"its repository is blocked: {stock.problem}")
        result.roots.clear()
        return result
    _keep_unread(result)
    _open_ways(result)
    for digest in _closure(result):
        if not members[digest].tags and not stock.was_read(digest):
            result.would_go_unread.add(digest)
    return result


def _protect(
    stock: Stock,
    verdicts: Mapping[str, Verdict],
    rules: RuleSet,
    used: UsedImages,
    now: datetime,
) -> None:
    repository = stock.snapshot.repository.name
    whole = rules.protected_repositories.first(repository)
    young = rules.policy.protect.younger_than
    tags_in_use = used.of_repository(stock.snapshot.registry.name, repository)
    running: dict[str, ImageReference] = {}
    any_tags = bool(rules.protected_tags or rules.protected_tags_regex)
    any_digests = bool(rules.protected_digests)
    for digest, member in stock.members.items():
        verdict = verdicts[digest]
        for tag in member.tags:
            pattern = rules.protecting_tag(tag) if any_tags else None
            if pattern is not None:
                verdict.keep("protected_tag", f"tag {tag} is protected by {pattern!r}")
            if tag in tags_in_use:
                running.setdefault(digest, tags_in_use[tag])
        if any_digests and rules.protected_digests.first(digest) is not None:
            verdict.keep("protected_digest", "its digest is protected")
        if whole is not None:
            verdict.keep("protected_repository", f"its repository is protected by {whole!r}")
        if digest in used.digests:
            running[digest] = used.digests[digest]
        created = member.created_at
        # A time in the future tells nothing, but a part dated in the future is certainly recent.
        if (
            young is not None
            and created is not None
            and now - created < young
            and (created <= now or member.follows)
        ):
            verdict.keep("too_young", "younger than the policy lets anything go")
    for digest in stock.outsiders:
        if digest in used.digests:
            running[digest] = used.digests[digest]
        if any_digests:
            rules.protected_digests.first(digest)
    for digest, reference in sorted(running.items()):
        used.mark(reference)
        if digest in verdicts:
            verdicts[digest].keep("in_use", f"in use as {reference}")
        for part in sorted(stock.descendants([digest])):
            if part in verdicts:
                verdicts[part].keep("in_use", f"part of {digest}, in use as {reference}")


def _vote(member: Member, verdict: Verdict, nominations: Nominations, now: datetime) -> None:
    """Count the votes of an image's tags, or of the rules about images without one."""
    if member.tags:
        tags: Iterable[str | None] = member.tags
        if member.follows:
            tags = [tag for tag in member.tags if signature_subject(tag) is None]
    elif member.follows:
        return
    else:
        tags = (None,)
    for tag in tags:
        key = (member.digest, tag)
        if key in nominations.rules:
            continue
        votes = nominations.votes.get(key)
        if votes is None:
            what = "no rule is about images without a tag" if tag is None else None
            verdict.keep("no_rule", what or f"no rule is about tag {tag}")
        for reason, rule in sorted(votes or ()):
            verdict.keep(reason, _WORDS[reason].format(rule=rule, tag=tag), rule)


def _keep_unread(result: Judgement) -> None:
    """Keep what may be part of a manifest that was not read."""
    stock = result.stock
    safe: set[str] = set()
    if stock.unread_owners:
        if len(stock.unread_owners) == 1:
            safe = stock.unread_owners | stock.descendants(stock.unread_owners)
        for digest, verdict in result.verdicts.items():
            if digest not in safe:
                verdict.keep("blocked", "may be part of a manifest that was not read")
    for digest, member in stock.members.items():
        if member.tags or member.follows or stock.was_read(digest):
            continue
        verdict = result.verdicts[digest]
        if not verdict.reason:
            result.would_go_unread.add(digest)
        asked = stock.snapshot.manifests is not None
        verdict.keep(
            "blocked",
            "it has no tag, and its manifest was not read"
            + ("" if asked else ": give manifests= to tell whether others need it"),
        )


def _open_ways(result: Judgement) -> None:
    """Find out what goes by itself, and what goes when others have gone."""
    stock = result.stock
    for digest, member in stock.members.items():
        if result.verdicts[digest].reason:
            continue
        needs = {*member.owners, *member.subjects} - stock.gone
        if not needs:
            result.roots.append(digest)
            continue
        result.waiting[digest] = len(needs)
        for need in needs:
            result.followers.setdefault(need, []).append(digest)


def _closure(result: Judgement) -> list[str]:
    """Return everything that would go if all roots went."""
    waiting = dict(result.waiting)
    found = list(result.roots)
    for gone in found:
        for follower in result.followers.get(gone, ()):
            waiting[follower] -= 1
            if not waiting[follower]:
                found.append(follower)
    return found
