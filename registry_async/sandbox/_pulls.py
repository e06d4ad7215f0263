"""What the distribution API gives: manifests, blobs, tags and referrers."""

import re
from collections.abc import Callable
from typing import BinaryIO
from urllib.parse import quote

from attrs import frozen

from registry_async.sandbox._manifests import OCI_INDEX, is_digest
from registry_async.sandbox._model import StoredImage, StoredRegistry, StoredRepository
from registry_async.sandbox._refusals import RegistryRefusal
from registry_async.sandbox._requests import Answer, Query
from registry_async.sandbox._state import State

_TAG = re.compile(r"[A-Za-z0-9_][A-Za-z0-9._-]{0,127}", re.ASCII)
_RANGE = re.compile(r"bytes=(\d{0,18})-(\d{0,18})", re.ASCII)


@frozen
class Download:
    """Give bytes of something stored, which are read when they are sent.

    Attributes:
        status: The HTTP status.
        headers: The headers, without the length.
        open: Opens what is stored.
        start: The first byte to send.
        stop: The byte after the last.
    """

    status: int
    headers: dict[str, str]
    open: Callable[[], BinaryIO]
    start: int
    stop: int


@frozen
class Place:
    """Name a place in a registry, and hold what is there.

    Attributes:
        state: The state.
        name: The whole name, `registry/repository`.
        registry: The registry.
        repository_name: The repository's name within it; empty at its root.
        pushes: Whether whoever asks has logged in to push.
    """

    state: State
    name: str
    registry: StoredRegistry
    repository_name: str
    pushes: bool

    @property
    def repository(self) -> StoredRepository | None:
        """The repository, None until it has had a manifest."""
        return self.registry.repositories.get(self.repository_name)

    @property
    def holder(self) -> StoredRepository | None:
        """The repository, one that has only blobs so far included."""
        return self.repository or self.registry.drafts.get(self.repository_name)

    def has_blob(self, digest: str) -> bool:
        """Tell whether a blob can be pulled here."""
        holder = self.holder
        return holder is not None and holder.has_blob(digest) and digest in self.state.contents


def get_manifest(place: Place, reference: str) -> Download:
    """Give a manifest, by tag or digest."""
    image = find_manifest(place, reference)
    headers = {"Content-Type": image.media_type, "Docker-Content-Digest": image.digest}
    return Download(
        200, headers, lambda: place.state.contents.open(image.digest), 0, image.manifest_size or 0
    )


def find_manifest(place: Place, reference: str) -> StoredImage:
    """Find a manifest that has bytes, or refuse with 404; 400 for what is no reference."""
    check_reference(reference)
    if place.repository is None:
        raise name_unknown(place.name)
    image = place.repository.images.get(reference) or place.repository.tags.get(reference)
    if image is None or image.manifest_size is None:
        raise RegistryRefusal(404, "MANIFEST_UNKNOWN", "there is no such manifest")
    return image


def get_blob(place: Place, digest: str, wanted: str | None) -> Download:
    """Give a blob, or a part of it.

    Args:
        place: The repository.
        digest: The blob's digest.
        wanted: The header `Range`.

    Raises:
        RegistryRefusal: 400 for what is no digest, 404 for an unknown blob, 416 for a range that
            lies outside.
    """
    check_digest(digest)
    if not place.has_blob(digest):
        raise RegistryRefusal(404, "BLOB_UNKNOWN", "there is no such blob")
    size = place.registry.blobs[digest]
    if place.pushes:
        # Whoever looks before a push counts on finding the blob when the manifest comes.
        place.state.expect_manifest(place.registry, digest)
    headers = {
        "Content-Type": "application/octet-stream",
        "Docker-Content-Digest": digest,
        "Accept-Ranges": "bytes",
        "ETag": f'"{digest}"',
    }
    part = read_range(wanted, size)
    if part is None:
        return Download(200, headers, lambda: place.state.contents.open(digest), 0, size)
    start, stop = part
    headers["Content-Range"] = f"bytes {start}-{stop - 1}/{size}"
    return Download(206, headers, lambda: place.state.contents.open(digest), start, stop)


def read_range(wanted: str | None, size: int) -> tuple[int, int] | None:
    """Read which bytes are wanted; None for all, as for what is no single range.

    Raises:
        RegistryRefusal: 416 if there is none of them.
    """
    match = None if wanted is None else _RANGE.fullmatch(wanted.strip())
    if match is None or not (match[1] or match[2]):
        return None
    if match[1]:
        start = int(match[1])
        stop = min(int(match[2]) + 1, size) if match[2] else size
    else:
        start, stop = max(size - int(match[2]), 0), size
    if start >= stop:
        outside = {"Content-Range": f"bytes */{size}"}
        raise RegistryRefusal(416, "SIZE_INVALID", "range is not satisfiable", headers=outside)
    return start, stop


def list_tags(place: Place, query: Query) -> Answer:
    """Give the tags in the order of their letters, `n` of them after `last`."""
    if place.repository is None:
        raise name_unknown(place.name)
    last = query.text("last")
    tags = sorted(tag for tag in place.repository.tags if not last or tag > last)
    headers: dict[str, str] = {}
    if "n" in query.values:
        number = query.integer("n", default=0, minimum=0)
        more = len(tags) > number
        tags = tags[:number]
        if more and tags:
            path = f"/v2/{place.name}/tags/list?n={number}&last={quote(tags[-1], safe='')}"
            headers["Link"] = f'<{path}>; rel="next"'
    return Answer(200, {"name": place.name, "tags": tags}, headers)


def list_referrers(place: Place, digest: str, query: Query) -> Answer:
    """Give an index of the manifests that name a digest as their subject."""
    check_digest(digest)
    repository = place.repository
    images = [] if repository is None else list(repository.images.values())
    found = [
        image for image in images if image.subject == digest and image.manifest_size is not None
    ]
    headers = {"Content-Type": OCI_INDEX}
    wanted = query.text("artifactType")
    if wanted:
        found = [image for image in found if image.artifact_type == wanted]
        headers["OCI-Filters-Applied"] = "artifactType"
    body = {
        "schemaVersion": 2,
        "mediaType": OCI_INDEX,
        "manifests": [_referrer(image) for image in found],
    }
    return Answer(200, body, headers)


def _referrer(image: StoredImage) -> dict[str, object]:
    return {
        "mediaType": image.media_type,
        "digest": image.digest,
        "size": image.manifest_size,
        **({"artifactType": image.artifact_type} if image.artifact_type else {}),
        **({"annotations": dict(image.annotations)} if image.annotations else {}),
    }


def check_digest(digest: str) -> None:
    """Refuse with 400 what is no digest."""
    if not is_digest(digest):
        raise RegistryRefusal(400, "DIGEST_INVALID", "this is not a digest")


def check_reference(reference: str) -> None:
    """Refuse with 400 what is neither a digest nor a tag."""
    if ":" in reference:
        check_digest(reference)
    elif not _TAG.fullmatch(reference):
        raise RegistryRefusal(400, "TAG_INVALID", "this is not a tag")


def name_unknown(name: str) -> RegistryRefusal:
    """Say that there is no such registry or repository."""
    return RegistryRefusal(404, "NAME_UNKNOWN", f"there is no repository {name}")
