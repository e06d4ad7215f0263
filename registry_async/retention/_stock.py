"""What a repository holds, and what in it belongs to what. Nothing is decided here."""

from collections.abc import Iterable, Iterator, Mapping
from datetime import datetime

from attrs import define, field

from registry_async.models import Image, Layer
from registry_async.retention._patterns import signature_subject
from registry_async.retention._snapshot import Manifest, RepositorySnapshot, is_chart, is_plain

__all__ = ["Member", "Stock", "take_stock"]

_GIVE_MANIFESTS = "give manifests=, such as OciManifests, to tell its images from parts of others"


@define(eq=False, slots=True, weakref_slot=False)
class Member:
    """An image that is decided upon: one of the list, or an index that the list hides.

    Attributes:
        digest: Its digest.
        tags: All its tags, sorted, those that the list hides included.
        size: Its size as the list has it.
        created_at: When it was built; for an index without a time, when its newest part was.
        layers: Its layers.
        plain: Whether it surely refers to no other manifest.
        hidden: Whether the list lacks it.
        owners: The digests of the manifests that it is a part of.
        subjects: The digests of what it is a signature of.
    """

    digest: str
    tags: tuple[str, ...]
    size: int | None
    created_at: datetime | None
    layers: tuple[Layer, ...]
    plain: bool
    hidden: bool = False
    owners: tuple[str, ...] = ()
    subjects: tuple[str, ...] = ()

    @property
    def follows(self) -> bool:
        """Whether it goes by another manifest, not by its own age."""
        return bool(self.owners or self.subjects)


@define(eq=False, weakref_slot=False)
class Stock:
    """What a repository holds.

    Attributes:
        snapshot: Where it comes from.
        members: What is decided upon, by digest.
        parts: The parts of every manifest that is known to have some.
        outsiders: Manifests that exist and that the list lacks: they stay.
        gone: The digests of manifests that are known not to exist (any more).
        unread: References to read before the repository can be judged in full.
        unread_owners: The manifests with a part that the list lacks and that was not read.
        problem: Why nothing in it may go; None where something may.
    """

    snapshot: RepositorySnapshot
    members: dict[str, Member] = field(factory=dict[str, Member])
    parts: dict[str, tuple[str, ...]] = field(factory=dict[str, tuple[str, ...]])
    outsiders: dict[str, Manifest] = field(factory=dict[str, Manifest])
    gone: set[str] = field(factory=set[str])
    unread: set[str] = field(factory=set[str])
    unread_owners: set[str] = field(factory=set[str])
    problem: str | None = None

    def was_read(self, digest: str) -> bool:
        """Say whether a manifest was read."""
        manifests = self.snapshot.manifests
        return manifests is not None and manifests.get(digest) is not None

    def descendants(self, seeds: Iterable[str]) -> set[str]:
        """Return the digests of all parts of manifests, and of their parts."""
        found: set[str] = set()
        waiting = list(seeds)
        while waiting:
            for part in self.parts.get(waiting.pop(), ()):
                if part not in found:
                    found.add(part)
                    waiting.append(part)
        return found

    def block(self, problem: str) -> None:
        """Keep all of the repository; the first problem is the one that is told."""
        if self.problem is None:
            self.problem = problem


def take_stock(
    snapshot: RepositorySnapshot, deleted: Mapping[str, Manifest | None] | None = None
) -> Stock:
    """Find out what a repository holds.

    Args:
        snapshot: What was read.
        deleted: What the same run has deleted from it, with the manifests where they were known:
            their parts and signatures follow them.
    """
    stock = Stock(snapshot)
    if snapshot.problem is not None:
        stock.block(snapshot.problem)
    hidden = _list_members(stock)
    if snapshot.manifests is None:
        _judge_without_manifests(stock, hidden)
    else:
        _add_hidden(stock, hidden, snapshot.manifests)
        _relate(stock, snapshot.manifests, deleted or {})
    for digest, manifest in sorted((deleted or {}).items()):
        if digest in stock.members or digest in stock.outsiders:
            continue
        stock.gone.add(digest)
        if manifest is not None and manifest.parts:
            stock.parts.setdefault(digest, manifest.parts)
            _own(stock, digest, manifest.parts)
    _find_subjects(stock)
    if snapshot.manifests is not None:
        _date_indexes(stock)
    return stock


def _list_members(stock: Stock) -> list[str]:
    """Take the images of the list; return the tags that none of them has."""
    snapshot = stock.snapshot
    members = stock.members
    holders: dict[str, str] = {}
    chart = is_chart(snapshot.repository)
    listed: dict[str, Image] = {}
    for image in snapshot.images:
        digest = image.digest
        if not digest:
            stock.block("the image list has an image without a digest")
            continue
        tags = tuple(sorted(set(image.tags))) if len(image.tags) > 1 else image.tags
        for tag in tags:
            if holders.setdefault(tag, digest) != digest:
                stock.block(f"tag {tag} is on two images: it moved while the list was read")
        earlier = listed.get(digest)
        if earlier is not None:
            if earlier != image:
                stock.block(f"the image list shows {digest} twice, and not alike")
            # Whichever comes first, the outcome is the same.
            tags = tuple(sorted({*members[digest].tags, *tags}))
            image = min(earlier, image, key=repr)
        listed[digest] = image
        signature = bool(tags) and all(map(signature_subject, tags))
        members[digest] = Member(
            digest,
            tags,
            image.size,
            image.created_at,
            image.layers,
            is_plain(image, media_type_is_enough=chart or signature),
        )
    known = set(snapshot.tags)
    for tag in sorted(holders.keys() - known):
        stock.block(f"tag {tag} of an image is not in the tag list: it moved meanwhile")
    return sorted(known - holders.keys())


def _judge_without_manifests(stock: Stock, hidden: list[str]) -> None:
    if hidden:
        more = f" and {len(hidden) - 1} more" if len(hidden) > 1 else ""
        stock.block(
            f"the image list lacks tag {hidden[0]}{more}, which may be a multi-architecture image: "
            f"{_GIVE_MANIFESTS}"
        )
    others = sorted(member.digest for member in stock.members.values() if not member.plain)
    if others:
        more = f" and {len(others) - 1} more" if len(others) > 1 else ""
        stock.block(f"{others[0]}{more} may refer to other images: {_GIVE_MANIFESTS}")


def _add_hidden(stock: Stock, hidden: list[str], manifests: Mapping[str, Manifest | None]) -> None:
    """Give the tags that the list hides to their images, and take the images that it hides."""
    for tag in hidden:
        if tag not in manifests:
            stock.unread.add(tag)
            stock.block(f"the image list lacks tag {tag}, and its manifest was not read")
            continue
        manifest = manifests[tag]
        if manifest is None:
            continue
        digest = manifest.digest
        member = stock.members.get(digest)
        if member is None:
            member = Member(digest, (), None, None, (), plain=False, hidden=True)
            stock.members[digest] = member
            stock.parts[digest] = manifest.parts
        elif (known := stock.parts.get(digest)) is not None and known != manifest.parts:
            stock.block(f"{digest} was read twice, and not alike")
        else:
            stock.parts[digest] = manifest.parts
        if manifest.subject is not None:
            member.subjects = _with(member.subjects, manifest.subject)
        member.tags = tuple(sorted({*member.tags, tag}))


def _relate(
    stock: Stock,
    manifests: Mapping[str, Manifest | None],
    deleted: Mapping[str, Manifest | None],
) -> None:
    """Find whose parts the images are."""
    members = stock.members
    tags = set(stock.snapshot.tags)
    for reference, manifest in sorted(manifests.items()):
        if reference in tags and ":" not in reference:
            continue
        member = members.get(reference)
        if manifest is None:
            if member is not None:
                # A registry that lacks what the list has is another one, or was read too late.
                stock.block(f"the list has {reference}, but there is no manifest of it")
            else:
                stock.gone.add(reference)
            continue
        if manifest.digest != reference:
            stock.block(f"the manifest of {reference} says that it is {manifest.digest}")
            continue
        stock.parts[reference] = manifest.parts
        if member is None:
            stock.outsiders[reference] = manifest
        elif manifest.subject is not None:
            member.subjects = _with(member.subjects, manifest.subject)
    for member in members.values():
        if not member.plain and not member.hidden and member.digest not in stock.parts:
            stock.unread.add(member.digest)
            stock.block(f"{member.digest} may refer to other images, and was not read")
    for digest, parts in sorted(stock.parts.items()):
        _own(stock, digest, parts)
        for part in parts:
            if part in members or part in stock.outsiders or part in stock.gone:
                continue
            if part in deleted:
                continue
            stock.unread.add(part)
            stock.unread_owners.add(digest)


def _own(stock: Stock, owner: str, parts: Iterable[str]) -> None:
    for part in parts:
        member = stock.members.get(part)
        if member is not None:
            member.owners = _with(member.owners, owner)


def _find_subjects(stock: Stock) -> None:
    asked = stock.snapshot.manifests is not None
    for member in stock.members.values():
        for tag in member.tags:
            subject = signature_subject(tag)
            if subject is not None:
                member.subjects = _with(member.subjects, subject)
        if asked:
            for subject in member.subjects:
                if not (
                    subject in stock.members or subject in stock.outsiders or subject in stock.gone
                ):
                    stock.unread.add(subject)


def _date_indexes(stock: Stock) -> None:
    """Give indexes without a time that of their newest part."""
    for member in stock.members.values():
        if member.created_at is None and stock.parts.get(member.digest):
            member.created_at = max(_times(stock, member.digest), default=None)


def _times(stock: Stock, digest: str) -> Iterator[datetime]:
    for part in stock.descendants([digest]):
        member = stock.members.get(part)
        if member is not None and member.created_at is not None:
            yield member.created_at


def _with(known: tuple[str, ...], digest: str) -> tuple[str, ...]:
    return known if digest in known else (*known, digest)
