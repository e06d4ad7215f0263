"""How plans look: as text that fits the terminal, and as HTML for notebooks."""

from collections import Counter
from collections.abc import Iterator, Sequence
from shutil import get_terminal_size
from typing import Final

from attrs import frozen

from registry_async._safe_text import html_text, visible
from registry_async._tables import size_text
from registry_async.retention._judge import KEEP_REASONS
from registry_async.retention._planned import PlanFacts, PlannedImage

__all__ = ["ROWS", "count_text", "diff_text", "image_text", "plan_html", "plan_text"]

# Rows that say what a plan is like; all of them are in its JSON and its data frame.
ROWS: Final = 40
_BLOCKED: Final = 10
_DIGEST: Final = len("sha256:") + 12
_GAP: Final = "  "
# Narrower than this, a column of tags says too little.
_TAGS: Final = 16
# What gives way in a narrow terminal, the first first.
_DISPENSABLE: Final = ("digest", "built", "size")

_MEANING: Final = {
    "protected_tag": "a tag is protected",
    "protected_digest": "the digest is protected",
    "protected_repository": "the repository is protected",
    "in_use": "in use",
    "too_young": "younger than the policy lets anything go",
    "newest": "among the newest that a rule keeps",
    "not_old_enough": "not old enough for its rule",
    "no_rule": "no rule is about it, or about one of its tags",
    "undated": "no time that can be right",
    "not_a_version": "a tag is no version",
    "part_of_kept": "part of an image that stays",
    "signature_of_kept": "signature of an image that stays",
    "last_images": "among the newest of its repository",
    "quota_reached": "the quota does not need it",
    "blocked": "could not be judged",
}


@frozen
class _Column:
    name: str
    cells: list[str]
    right: bool = False

    @property
    def width(self) -> int:
        return max(map(len, (self.name, *self.cells)))


def plan_text(plan: PlanFacts, width: int | None = None) -> str:
    """Return a plan as text.

    Args:
        plan: The plan.
        width: The characters of a line; those of the terminal by default.
    """
    width = get_terminal_size((100, 24)).columns if width is None else width
    return "\n".join(_lines(plan, max(width, 40)))


def _lines(plan: PlanFacts, width: int) -> Iterator[str]:
    yield from _head(plan)
    deletions = plan.deletions
    for repository, images in _by_repository(deletions[:ROWS]).items():
        total = sum(
            image.registry_id == repository[0] and image.repository == repository[2]
            for image in plan.images
        )
        going = sum(
            image.registry_id == repository[0] and image.repository == repository[2]
            for image in deletions
        )
        yield ""
        yield visible(f"{repository[1]}/{repository[2]}") + f": {going:,} of {total:,} go"
        yield from _table(images, width)
    if len(deletions) > ROWS:
        yield ""
        yield f"… and {len(deletions) - ROWS:,} more; to_json() and to_dataframe() have them all"
    counts = Counter(str(image.reason) for image in plan.kept)
    if counts:
        yield ""
        yield f"What stays, {len(plan.kept):,}:"
        for reason in KEEP_REASONS:
            if counts[reason]:
                yield f"  {counts[reason]:>7,}  {reason}: {_MEANING[reason]}"
    if plan.blocked:
        yield ""
        yield f"Blocked, so that all of it stays, {len(plan.blocked):,}:"
        for each in plan.blocked[:_BLOCKED]:
            place = f"{each.registry}/{each.repository}".rstrip("/")
            yield f"  {visible(place)}: {visible(each.reason)}"
        if len(plan.blocked) > _BLOCKED:
            yield f"  … and {len(plan.blocked) - _BLOCKED:,} more"
    if plan.unmatched:
        yield ""
        yield "Look at these, which may be typos:"
        for text in plan.unmatched:
            yield f"  {visible(text)}"


def _head(plan: PlanFacts) -> Iterator[str]:
    of = f" of {visible(plan.base_url)}" if plan.base_url else ""
    label = f" ({visible(plan.label)})" if plan.label else ""
    yield f"Retention plan {plan.id[:_DIGEST]}{of}{label}"
    made, end = (f"{each:%Y-%m-%d %H:%M} UTC" for each in (plan.created_at, plan.expires_at))
    yield f"made {made}, good until {end}"
    yield _summary(plan)
    for refusal in plan.refusals:
        yield f"REFUSED: {visible(refusal)}"
    if plan.policy.quotas:
        yield "With a quota, protecting one image may make another go."


def _summary(plan: PlanFacts) -> str:
    count, total = len(plan.deletions), len(plan.images)
    if not count:
        return f"Nothing goes: {count_text(total)} {'stays' if total == 1 else 'stay'}."
    about = "at most " if plan.freed_is_upper_bound else ""
    return (
        f"{count:,} of {count_text(total)} {'goes' if count == 1 else 'go'};"
        f" a collection then frees {about}{size_text(plan.freed_bytes)}."
    )


def count_text(count: int) -> str:
    """Return how many images, in words."""
    return f"{count:,} image{'' if count == 1 else 's'}"


def _by_repository(
    images: Sequence[PlannedImage],
) -> dict[tuple[str, str, str], list[PlannedImage]]:
    found: dict[tuple[str, str, str], list[PlannedImage]] = {}
    for image in images:
        found.setdefault((image.registry_id, image.registry, image.repository), []).append(image)
    return found


def _cells(images: Sequence[PlannedImage]) -> list[_Column]:
    return [
        _Column("digest", [visible(image.digest[:_DIGEST]) for image in images]),
        _Column("built", [_day(image) for image in images]),
        _Column(
            "size",
            ["-" if image.size is None else size_text(image.size) for image in images],
            right=True,
        ),
        _Column("why", [visible(image.rule or image.reason) for image in images]),
        _Column("tags", [visible(", ".join(image.tags)) or "-" for image in images]),
    ]


def _day(image: PlannedImage) -> str:
    return "-" if image.created_at is None else f"{image.created_at:%Y-%m-%d}"


def _table(images: Sequence[PlannedImage], width: int) -> Iterator[str]:
    columns = _cells(images)
    left_out: list[str] = []
    for name in _DISPENSABLE:
        fixed = sum(column.width + len(_GAP) for column in columns[:-1])
        if fixed + min(columns[-1].width, _TAGS) + len(_GAP) <= width:
            break
        columns = [column for column in columns if column.name != name]
        left_out.append(name)
    room = width - sum(column.width + len(_GAP) for column in columns[:-1]) - len(_GAP)
    tags = [_fitted(image.tags, room) for image in images]
    columns[-1] = _Column("tags", tags)
    for index in range(-1, len(images)):
        cells = [
            (column.name if index < 0 else column.cells[index]).rjust(column.width)
            if column.right
            else (column.name if index < 0 else column.cells[index]).ljust(column.width)
            for column in columns
        ]
        yield (_GAP + _GAP.join(cells)).rstrip()
    if left_out:
        yield f"{_GAP}(too narrow for: {', '.join(left_out)})"


def _fitted(tags: Sequence[str], room: int) -> str:
    """Return as many tags as fit, and how many more there are; no tag is ever cut."""
    if not tags:
        return "-"
    shown = [visible(tag) for tag in tags]
    for count in range(len(shown), 0, -1):
        more = f" and {len(shown) - count} more" if count < len(shown) else ""
        text = ", ".join(shown[:count]) + more
        if len(text) <= room or count == 1:
            return text
    return "-"


def plan_html(plan: PlanFacts) -> str:
    """Return a plan as HTML, for notebooks."""
    head = "".join(f"<p>{html_text(line)}</p>" for line in _head(plan))
    rows = "".join(
        "<tr>"
        + "".join(
            f'<td style="text-align: {align}; white-space: nowrap">{html_text(cell)}</td>'
            for cell, align in (
                (f"{image.registry}/{image.repository}", "left"),
                (", ".join(image.tags) or "-", "left"),
                (image.digest[:_DIGEST], "left"),
                (_day(image), "left"),
                ("-" if image.size is None else size_text(image.size), "right"),
                (image.explanation, "left"),
            )
        )
        + "</tr>"
        for image in plan.deletions[:ROWS]
    )
    names = ("repository", "tags", "digest", "built", "size", "why it goes")
    heads = "".join(f"<th>{name}</th>" for name in names)
    table = f"<table><thead><tr>{heads}</tr></thead><tbody>{rows}</tbody></table>" if rows else ""
    more = len(plan.deletions) - ROWS
    rest = f"<p>… and {more:,} more</p>" if more > 0 else ""
    counts = Counter(str(image.reason) for image in plan.kept)
    kept = "".join(
        f"<li>{counts[reason]:,}: {html_text(_MEANING[reason])} (<code>{reason}</code>)</li>"
        for reason in KEEP_REASONS
        if counts[reason]
    )
    stays = f"<p>What stays, {len(plan.kept):,}:</p><ul>{kept}</ul>" if kept else ""
    blocked = "".join(
        f"<li>{html_text(f'{each.registry}/{each.repository}'.rstrip('/'))}: "
        f"{html_text(each.reason)}</li>"
        for each in plan.blocked[:_BLOCKED]
    )
    hidden = len(plan.blocked) - _BLOCKED
    beyond = f"<li>… and {hidden:,} more</li>" if hidden > 0 else ""
    unread = (
        f"<p>Blocked, so that all of it stays:</p><ul>{blocked}{beyond}</ul>" if blocked else ""
    )
    typos = "".join(f"<li>{html_text(text)}</li>" for text in plan.unmatched)
    warnings = f"<p>Look at these, which may be typos:</p><ul>{typos}</ul>" if typos else ""
    return f"<div>{head}{table}{rest}{stays}{unread}{warnings}</div>"


def diff_text(
    added: Sequence[PlannedImage],
    removed: Sequence[PlannedImage],
    changed: Sequence[tuple[PlannedImage, PlannedImage]],
) -> str:
    """Return what changed between two plans as text."""
    if not (added or removed or changed):
        return "Both plans do the same."
    lines: list[str] = []
    for title, images in (
        ("Goes now, and stayed before", added),
        ("Went before, and does not now", removed),
    ):
        if images:
            lines.append(f"{title}, {len(images):,}:")
            lines += [f"  {image_text(image)}" for image in images[:ROWS]]
            if len(images) > ROWS:
                lines.append(f"  … and {len(images) - ROWS:,} more")
    if changed:
        lines.append(f"Has another reason now, {len(changed):,}:")
        lines += [
            f"  {image_text(after)}: {before.reason} before, {after.reason} now"
            for before, after in changed[:ROWS]
        ]
        if len(changed) > ROWS:
            lines.append(f"  … and {len(changed) - ROWS:,} more")
    return "\n".join(lines)


def image_text(image: PlannedImage) -> str:
    """Return an image in one line."""
    tags = f" ({', '.join(image.tags)})" if image.tags else ""
    return visible(f"{image.registry}/{image.repository}@{image.digest[:_DIGEST]}{tags}")
