"""Answer why an image stays or goes."""

from collections.abc import Iterator

from registry_async._safe_text import visible
from registry_async._tables import size_text
from registry_async.references import ImageReference
from registry_async.retention._planned import PlanFacts, PlannedImage

__all__ = ["explain"]


def explain(plan: PlanFacts, reference: str | ImageReference) -> str:
    """Say why an image stays or goes.

    Raises:
        LookupError: The plan knows no such image.
    """
    if not isinstance(reference, str | ImageReference) or not str(reference).strip():  # pyright: ignore[reportUnnecessaryIsInstance]
        raise ValueError("reference must name an image, such as prod/team/app:1.2")
    text = str(reference).strip()
    path, tag, digest = _split(text)
    found = [image for image in plan.images if _fits(image, path, tag, digest)]
    paragraphs = [_paragraph(plan, image) for image in found]
    if not found:
        paragraphs = list(_blocked(plan, path))
    if not paragraphs:
        raise LookupError(f"the plan has no image {visible(text)}")
    return "\n\n".join(paragraphs)


def _split(text: str) -> tuple[str, str | None, str | None]:
    """Return the path, the tag and the digest; the path is empty for a digest alone."""
    name, at, digest = text.partition("@")
    if not at and "/" not in text and text.startswith(("sha256:", "sha512:")):
        return "", None, text
    before, slash, last = name.rpartition("/")
    last, colon, tag = last.partition(":")
    if not colon and not at:
        tag, colon = "latest", ":"
    return f"{before}{slash}{last}", tag if colon else None, digest if at else None


def _fits(image: PlannedImage, path: str, tag: str | None, digest: str | None) -> bool:
    if path and not _ends_with(path, f"{image.registry}/{image.repository}"):
        return False
    return image.digest == digest or (tag is not None and tag in image.tags)


def _ends_with(path: str, name: str) -> bool:
    return path == name or path.endswith(f"/{name}")


def _blocked(plan: PlanFacts, path: str) -> Iterator[str]:
    for each in plan.blocked:
        whole = not each.repository and f"/{each.registry}/" in f"/{path}/"
        if path and (whole or _ends_with(path, f"{each.registry}/{each.repository}")):
            place = f"{each.registry}/{each.repository}".rstrip("/")
            yield f"{visible(place)} is blocked, so all of it stays: {visible(each.reason)}"


def _paragraph(plan: PlanFacts, image: PlannedImage) -> str:
    tags = ", ".join(image.tags) if image.tags else "no tag"
    built = "unknown" if image.created_at is None else f"{image.created_at:%Y-%m-%d %H:%M} UTC"
    size = "unknown" if image.size is None else size_text(image.size)
    fate = "goes" if image.action == "delete" else "stays"
    lines = [
        visible(f"{image.registry}/{image.repository}@{image.digest}"),
        f"  tags: {visible(tags)}; built: {built}; size: {size}",
        f"  It {fate} ({image.reason}): {visible(image.explanation)}.",
    ]
    if image.action == "delete" and len(image.tags) > 1:
        lines.append("  All its tags go with it.")
    if image.action == "delete" and plan.refusals:
        lines.append("  But the plan is refused as a whole, so nothing goes.")
    return "\n".join(lines)
