"""What the distribution API takes: blobs in pieces, manifests, mounts and deletes."""

from collections.abc import AsyncIterator, Callable, Mapping

from attrs import frozen

from registry_async.sandbox._actions import Actions, refuse_if_busy
from registry_async.sandbox._manifests import (
    Descriptor,
    Manifest,
    ManifestError,
    digest_of,
    read_manifest,
)
from registry_async.sandbox._model import StoredRegistry, StoredRepository
from registry_async.sandbox._pulls import Place, check_digest, check_reference, find_manifest
from registry_async.sandbox._refusals import RegistryRefusal
from registry_async.sandbox._requests import Answer, Query
from registry_async.sandbox._uploads import Session, Uploads

# The specification wants registries to take manifests of four megabytes.
MAX_MANIFEST_SIZE = 4 * 1024**2


@frozen
class Incoming:
    """Hold what a pushing request brings.

    Attributes:
        query: Its query.
        headers: Its headers.
        length: Bytes of the body, None where the client does not say.
        pieces: Reads the body, a piece at a time.
    """

    query: Query
    headers: Mapping[str, str]
    length: int | None
    pieces: Callable[[], AsyncIterator[bytes]]


async def begin_upload(
    place: Place, uploads: Uploads, incoming: Incoming, readable: Callable[[StoredRegistry], bool]
) -> Answer:
    """Begin an upload, or do without: mount a blob, or take it with this very request.

    Args:
        place: The repository.
        uploads: The uploads that go on.
        incoming: The request.
        readable: Tells whether whoever asks may pull from a registry, and so mount from it.
    """
    _refuse_unless_active(place)
    mount, digest = incoming.query.text("mount"), incoming.query.text("digest")
    if mount:
        check_digest(mount)
        with place.state.lock:
            size = _find_elsewhere(place, mount, incoming.query.text("from"), readable)
            if size is not None:
                return _stored(place, mount, size)
    elif digest:
        check_digest(digest)
        session = uploads.begin(place.name, place.state.contents)
        try:
            await _append(session, incoming)
        except BaseException:
            uploads.cancel(session)
            raise
        with place.state.lock:
            return _stored(place, digest, uploads.finish(session, digest))
    return Answer(202, None, uploads.begin(place.name, place.state.contents).headers)


async def append_chunk(
    place: Place, uploads: Uploads, session_id: str, incoming: Incoming
) -> Answer:
    """Append a chunk; what has arrived of one that breaks off can be gone on from."""
    session = uploads.get(place.name, session_id)
    async with session.lock:
        session.check_range(incoming.headers.get("Content-Range"), incoming.length)
        await _append(session, incoming)
    return Answer(202, None, session.headers)


async def finish_upload(
    place: Place, uploads: Uploads, session_id: str, incoming: Incoming
) -> Answer:
    """Append what the request brings, if anything, and store the blob."""
    session = uploads.get(place.name, session_id)
    digest = incoming.query.text("digest")
    check_digest(digest)
    _refuse_unless_active(place)
    async with session.lock:
        session.check_range(incoming.headers.get("Content-Range"), incoming.length)
        before = session.upload.size
        try:
            await _append(session, incoming)
        except BaseException:
            # The client will send the same again.
            session.upload.cut(before)
            raise
        with place.state.lock:
            return _stored(place, digest, uploads.finish(session, digest))


def show_upload(place: Place, uploads: Uploads, session_id: str) -> Answer:
    """Tell how much of an upload has arrived."""
    return Answer(204, None, uploads.get(place.name, session_id).headers)


def cancel_upload(place: Place, uploads: Uploads, session_id: str) -> Answer:
    """Forget an upload."""
    uploads.cancel(uploads.get(place.name, session_id))
    return Answer(204)


async def read_manifest_body(incoming: Incoming) -> bytes:
    """Read the body of a manifest's push; 413 if it is too large."""
    content = bytearray()
    async for piece in incoming.pieces():
        content += piece
        if len(content) > MAX_MANIFEST_SIZE:
            message = f"a manifest has at most {MAX_MANIFEST_SIZE} bytes"
            raise RegistryRefusal(413, "SIZE_INVALID", message)
    return bytes(content)


def put_manifest(place: Place, reference: str, content: bytes, incoming: Incoming) -> Answer:
    """Store a manifest whose blobs and parts are there; its subject need not be.

    Args:
        place: The repository, which comes to be with its first manifest.
        reference: A tag, or the digest that the manifest has.
        content: The manifest.
        incoming: The request; `tag` in its query names tags, where the reference is a digest.

    Raises:
        RegistryRefusal: 400 for what is no manifest or has another digest, 404 if something that
            it refers to is not there.
    """
    _refuse_unless_active(place)
    check_reference(reference)
    by_digest = ":" in reference
    digest = digest_of(content, reference.partition(":")[0]) if by_digest else digest_of(content)
    if by_digest and digest != reference:
        raise RegistryRefusal(400, "DIGEST_INVALID", "the manifest does not have this digest")
    tags = incoming.query.texts("tag") if by_digest else [reference]
    for tag in tags:
        check_reference(tag)
    media_type = incoming.headers.get("Content-Type", "").partition(";")[0].strip()
    try:
        manifest = read_manifest(content, media_type)
    except ManifestError as error:
        raise RegistryRefusal(400, "MANIFEST_INVALID", str(error)) from None
    _check_references(place, manifest)
    repository = _repository_for_push(place)
    place.registry.drafts.pop(place.repository_name, None)
    place.registry.repositories[place.repository_name] = repository
    place.state.push_manifest(
        repository, content, tags=tags, media_type=manifest.media_type, digest=digest
    )
    repository.updated_at = place.state.now()
    headers = {"Location": f"/v2/{place.name}/manifests/{digest}", "Docker-Content-Digest": digest}
    if manifest.subject is not None:
        headers["OCI-Subject"] = manifest.subject
    if by_digest and tags:
        headers["OCI-Tag"] = ", ".join(tags)
    return Answer(201, None, headers)


def delete_manifest(place: Place, actions: Actions, reference: str) -> Answer:
    """Delete a manifest with its tags, or only a tag."""
    image = find_manifest(place, reference)
    assert place.repository is not None
    if ":" in reference:
        actions.delete_image(place.registry.id, place.repository_name, image.digest)
    else:
        actions.delete_tag(place.repository, reference)
    return Answer(202)


def delete_blob(place: Place, digest: str) -> Answer:
    """Take a blob out of a repository; its bytes stay until a collection.

    Raises:
        RegistryRefusal: 404 for an unknown blob, 405 for one that a manifest there refers to.
    """
    check_digest(digest)
    refuse_if_busy(place.registry)
    holder = place.holder
    if holder is None or not place.has_blob(digest):
        raise RegistryRefusal(404, "BLOB_UNKNOWN", "there is no such blob")
    if any(digest == blob.digest for image in holder.images.values() for blob in image.blobs):
        raise RegistryRefusal(405, "UNSUPPORTED", "a manifest refers to this blob")
    holder.links.discard(digest)
    place.registry.pending.pop(digest, None)
    place.registry.changed = True
    return Answer(202)


async def _append(session: Session, incoming: Incoming) -> None:
    async for piece in incoming.pieces():
        session.upload.write(piece)


def _stored(place: Place, digest: str, size: int) -> Answer:
    holder = _repository_for_push(place)
    place.state.link_blob(holder, digest, size)
    place.state.expect_manifest(place.registry, digest)
    location = f"/v2/{place.name}/blobs/{digest}"
    return Answer(201, None, {"Location": location, "Docker-Content-Digest": digest})


def _repository_for_push(place: Place) -> StoredRepository:
    """Give the repository; one that has no manifest yet is a draft, which no list shows."""
    holder = place.holder
    if holder is None:
        holder = StoredRepository(place.repository_name, "image", place.registry, place.state.now())
        place.registry.drafts[place.repository_name] = holder
    return holder


def _refuse_unless_active(place: Place) -> None:
    status = place.registry.status
    if status in ("CREATING", "DELETING"):
        raise RegistryRefusal(403, "DENIED", f"the registry is {status}")


def _find_elsewhere(
    place: Place, digest: str, source: str, readable: Callable[[StoredRegistry], bool]
) -> int | None:
    """Find a blob to mount in the source, or wherever it can be read; give its size."""
    for registry in place.state.registries():
        if not readable(registry):
            continue
        for holder in [*registry.repositories.values(), *registry.drafts.values()]:
            name = f"{registry.name}/{holder.name}".rstrip("/")
            if (not source or source == name) and holder.has_blob(digest):
                return registry.blobs[digest] if digest in place.state.contents else None
    return None


def _check_references(place: Place, manifest: Manifest) -> None:
    blobs = [*manifest.layers, *([] if manifest.config is None else [manifest.config])]
    for blob in blobs:
        if not blob.elsewhere and not place.has_blob(blob.digest):
            raise _unknown(blob)
        if not blob.elsewhere and place.registry.blobs[blob.digest] != blob.size:
            message = f"{blob.digest} does not have {blob.size} bytes"
            raise RegistryRefusal(400, "MANIFEST_INVALID", message)
    for part in manifest.parts:
        if place.repository is None or part.digest not in place.repository.images:
            raise _unknown(part)


def _unknown(descriptor: Descriptor) -> RegistryRefusal:
    return RegistryRefusal(404, "MANIFEST_BLOB_UNKNOWN", f"{descriptor.digest} is not here")
