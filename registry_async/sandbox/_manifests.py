"""Manifests as bytes: what a pushed one says, and how new ones are written."""

import hashlib
import json
import re
from collections.abc import Iterable, Mapping
from typing import Any, NoReturn, cast

from attrs import frozen

from registry_async.sandbox._model import INDEX_MEDIA_TYPE, StoredLayer
from registry_async.sandbox._times import parse_time

OCI_IMAGE = "application/vnd.oci.image.manifest.v1+json"
OCI_INDEX = INDEX_MEDIA_TYPE
OCI_CONFIG = "application/vnd.oci.image.config.v1+json"
DOCKER_IMAGE = "application/vnd.docker.distribution.manifest.v2+json"
DOCKER_LIST = "application/vnd.docker.distribution.manifest.list.v2+json"
DOCKER_CONFIG = "application/vnd.docker.container.image.v1+json"
HELM_CONFIG = "application/vnd.cncf.helm.config.v1+json"
_INDEXES = frozenset({OCI_INDEX, DOCKER_LIST})
_IMAGES = frozenset({OCI_IMAGE, DOCKER_IMAGE})

# In the media types of layers that a licence keeps from being distributed.
_ELSEWHERE = ("nondistributable", "foreign")
_CREATED = "org.opencontainers.image.created"
_DIGEST = re.compile(r"sha256:[0-9a-f]{64}|sha512:[0-9a-f]{128}", re.ASCII)


class ManifestError(ValueError):
    """Say what is wrong with a manifest."""


@frozen
class Descriptor:
    """Name some content, as manifests do.

    Attributes:
        media_type: Its media type.
        digest: Its digest.
        size: Its size in bytes.
        elsewhere: Whether it may be kept somewhere else, as layers under a licence are.
    """

    media_type: str
    digest: str
    size: int
    elsewhere: bool = False

    @property
    def blob(self) -> StoredLayer:
        """The content's digest and size."""
        return StoredLayer(self.digest, self.size)


@frozen
class Manifest:
    """Hold what the bytes of a manifest say.

    Attributes:
        media_type: Its media type.
        config: The configuration; None for an index.
        layers: The layers, in order.
        parts: The manifests that an index refers to, in order.
        subject: The digest of the manifest that this one is about.
        artifact_type: Its own word, or the media type of its configuration.
        annotations: Its annotations.
    """

    media_type: str
    config: Descriptor | None
    layers: tuple[Descriptor, ...]
    parts: tuple[Descriptor, ...]
    subject: str | None
    artifact_type: str
    annotations: Mapping[str, str]

    @property
    def annotated_time(self) -> int | None:
        """When it was built, in nanoseconds since 1970, if its annotations say so."""
        return read_time(self.annotations.get(_CREATED))


@frozen
class ImageFacts:
    """Hold what a configuration says of an image; a configuration of another kind says nothing."""

    architecture: str = ""
    os: str = ""
    created_at: int | None = None


def is_digest(text: str) -> bool:
    """Tell whether a text is a digest, of a kind that is known here."""
    return _DIGEST.fullmatch(text) is not None


def digest_of(content: bytes, algorithm: str = "sha256") -> str:
    """Give the digest of some content."""
    return f"{algorithm}:{hashlib.new(algorithm, content).hexdigest()}"


def read_manifest(content: bytes, media_type: str) -> Manifest:
    """Read a manifest.

    Args:
        content: Its bytes.
        media_type: What it was sent as; empty where that was not said.

    Returns:
        What it says.

    Raises:
        ManifestError: If it is no manifest of a kind that is known, or not a whole one.
    """
    try:
        members = json.loads(content)
    except (ValueError, RecursionError):
        raise ManifestError("manifest is not valid JSON") from None
    body = _object(members, "manifest")
    named = _text(body, "mediaType")
    if named and media_type and named != media_type:
        raise ManifestError(f"manifest says {named}, but was sent as {media_type}")
    kind = media_type or named
    if body.get("schemaVersion") != 2:
        raise ManifestError("schemaVersion must be 2")
    subject = body.get("subject")
    annotations = _object(body.get("annotations") or {}, "annotations")
    if not all(isinstance(value, str) for value in annotations.values()):
        raise ManifestError("annotations must be texts")
    artifact_type = _text(body, "artifactType")
    config: Descriptor | None = None
    layers: tuple[Descriptor, ...] = ()
    parts: tuple[Descriptor, ...] = ()
    if kind in _INDEXES:
        parts = _descriptors(body, "manifests")
    elif kind in _IMAGES:
        config = _descriptor(body.get("config"), "config")
        layers = _descriptors(body, "layers")
        artifact_type = artifact_type or config.media_type
    else:
        raise ManifestError(f"media type {kind or 'missing'} is not supported")
    return Manifest(
        media_type=kind,
        config=config,
        layers=layers,
        parts=parts,
        subject=None if subject is None else _descriptor(subject, "subject").digest,
        artifact_type=artifact_type,
        annotations=cast(dict[str, str], annotations),
    )


def read_config(content: bytes, media_type: str) -> ImageFacts:
    """Read what a configuration says of its image; never fails, as nothing depends on it."""
    if media_type not in (OCI_CONFIG, DOCKER_CONFIG):
        return ImageFacts()
    try:
        body = json.loads(content)
    except (ValueError, RecursionError):
        return ImageFacts()
    if not isinstance(body, dict):
        return ImageFacts()
    members = cast(dict[str, object], body)
    architecture, system = members.get("architecture"), members.get("os")
    return ImageFacts(
        architecture=architecture if isinstance(architecture, str) else "",
        os=system if isinstance(system, str) else "",
        created_at=read_time(members.get("created")),
    )


def read_time(value: object) -> int | None:
    """Read an RFC 3339 time into nanoseconds since 1970; None for anything else."""
    try:
        return parse_time(value) if isinstance(value, str) else None
    except ValueError:
        return None


def write_json(value: object) -> bytes:
    """Write JSON as it goes into manifests and configurations: always the same bytes."""
    return json.dumps(value, separators=(",", ":"), ensure_ascii=False).encode()


def write_image(
    media_type: str,
    config: Descriptor,
    layers: Iterable[Descriptor],
    *,
    subject: Descriptor | None = None,
    artifact_type: str = "",
    annotations: Mapping[str, str] | None = None,
) -> bytes:
    """Write the manifest of an image or an artifact."""
    body: dict[str, Any] = {
        "schemaVersion": 2,
        "mediaType": media_type,
        **({"artifactType": artifact_type} if artifact_type else {}),
        "config": _written(config),
        "layers": [_written(layer) for layer in layers],
        **({} if subject is None else {"subject": _written(subject)}),
        **({"annotations": dict(annotations)} if annotations else {}),
    }
    return write_json(body)


def write_index(
    parts: Iterable[tuple[Descriptor, str, str]], *, annotations: Mapping[str, str] | None = None
) -> bytes:
    """Write an index of parts, each with its architecture and its system."""
    manifests: list[dict[str, Any]] = [
        {**_written(part), "platform": {"architecture": architecture, "os": system}}
        for part, architecture, system in parts
    ]
    body: dict[str, Any] = {
        "schemaVersion": 2,
        "mediaType": OCI_INDEX,
        "manifests": manifests,
        **({"annotations": dict(annotations)} if annotations else {}),
    }
    return write_json(body)


def _written(descriptor: Descriptor) -> dict[str, object]:
    return {
        "mediaType": descriptor.media_type,
        "digest": descriptor.digest,
        "size": descriptor.size,
    }


def _object(value: object, name: str) -> dict[str, object]:
    return cast(dict[str, object], value) if isinstance(value, dict) else _refuse(name, "an object")


def _text(body: dict[str, object], name: str) -> str:
    value = body.get(name)
    if value is None:
        return ""
    return value if isinstance(value, str) else _refuse(name, "a text")


def _descriptors(body: dict[str, object], name: str) -> tuple[Descriptor, ...]:
    value = body.get(name)
    if not isinstance(value, list):
        _refuse(name, "an array")
    items = cast(list[object], value)
    return tuple(_descriptor(item, f"{name}[{number}]") for number, item in enumerate(items))


def _descriptor(value: object, name: str) -> Descriptor:
    body = _object(value, name)
    digest, size = body.get("digest"), body.get("size")
    if not isinstance(digest, str) or not is_digest(digest):
        _refuse(f"{name}.digest", "a digest")
    if not isinstance(size, int) or isinstance(size, bool) or size < 0:
        _refuse(f"{name}.size", "a size")
    media_type = _text(body, "mediaType")
    elsewhere = bool(body.get("urls")) or any(word in media_type for word in _ELSEWHERE)
    return Descriptor(media_type, digest, size, elsewhere)


def _refuse(name: str, wanted: str) -> NoReturn:
    raise ManifestError(f"{name} must be {wanted}")
