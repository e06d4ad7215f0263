"""Images made by hand, in the OCI layout that skopeo copies from."""

from __future__ import annotations

import gzip
import hashlib
import io
import json
import random
import tarfile
from dataclasses import dataclass
from pathlib import Path
from typing import Any

_MANIFEST = "application/vnd.oci.image.manifest.v1+json"
_CONFIG = "application/vnd.oci.image.config.v1+json"
_LAYER = "application/vnd.oci.image.layer.v1.tar+gzip"


@dataclass(frozen=True)
class OciImage:
    """An image in an OCI layout directory.

    Args:
        directory: The layout's directory.
        tag: The name that the layout's index gives it.
        digest: The digest of its manifest.
        layer_digests: The digests of its layers, lowest first.
    """

    directory: Path
    tag: str
    digest: str
    layer_digests: tuple[str, ...]


def write_image(directory: Path, tag: str, *, seed: int = 0) -> OciImage:
    """Write an image of two layers; the first is the same whatever the seed."""
    blobs = directory / "blobs" / "sha256"
    blobs.mkdir(parents=True)

    def blob(data: bytes) -> dict[str, Any]:
        digest = hashlib.sha256(data).hexdigest()
        (blobs / digest).write_bytes(data)
        return {"digest": f"sha256:{digest}", "size": len(data)}

    archives = [_tar("base.bin", _noise(0)), _tar("app.bin", _noise(1 + seed))]
    layers = [{"mediaType": _LAYER} | blob(gzip.compress(raw, mtime=0)) for raw in archives]
    config = {
        "created": "2024-01-01T00:00:00Z",
        "architecture": "amd64",
        "os": "linux",
        "config": {"Cmd": ["/app"]},
        "rootfs": {
            "type": "layers",
            "diff_ids": [f"sha256:{hashlib.sha256(raw).hexdigest()}" for raw in archives],
        },
    }
    manifest = {
        "schemaVersion": 2,
        "mediaType": _MANIFEST,
        "config": {"mediaType": _CONFIG} | blob(json.dumps(config).encode()),
        "layers": layers,
    }
    entry = {"mediaType": _MANIFEST} | blob(json.dumps(manifest).encode())
    named = entry | {"annotations": {"org.opencontainers.image.ref.name": tag}}
    index = {"schemaVersion": 2, "manifests": [named]}
    (directory / "index.json").write_text(json.dumps(index), encoding="utf-8")
    (directory / "oci-layout").write_text('{"imageLayoutVersion": "1.0.0"}', encoding="utf-8")
    return OciImage(directory, tag, entry["digest"], tuple(layer["digest"] for layer in layers))


def _tar(name: str, content: bytes) -> bytes:
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w", format=tarfile.PAX_FORMAT) as archive:
        member = tarfile.TarInfo(name)
        member.size = len(content)
        member.mode = 0o644
        archive.addfile(member, io.BytesIO(content))
    return buffer.getvalue()


def _noise(seed: int) -> bytes:
    return random.Random(seed).randbytes(64 * 1024)
