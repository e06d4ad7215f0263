"""A state in a directory, so that what was pushed is there when the sandbox starts again."""

import json
import os
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from registry_async.sandbox._actions import Actions
from registry_async.sandbox._contents import DirectoryContents
from registry_async.sandbox._model import (
    StoredCluster,
    StoredImage,
    StoredLayer,
    StoredRegistry,
    StoredRepository,
)
from registry_async.sandbox._state import State
from registry_async.sandbox._tokens import Scope, StoredToken, StoredTokenV1

FORMAT = "registry_async sandbox"
VERSION = 1


class Storage:
    """Keep a state in a directory: bytes in a file each, and what they are in one for a registry.

    A file is written beside its place and then renamed, so that a sandbox that is killed leaves
    whole files. Statuses that take time are over when it starts again.

    Args:
        directory: Where; made if it is not there, for its owner alone, as tokens are in it.
    """

    def __init__(self, directory: str | Path) -> None:
        self.directory = Path(directory).expanduser()
        self.contents = DirectoryContents(self.directory)
        self._registries = self.directory / "registries"
        self._tokens = self.directory / "tokens.json"
        self._saved_tokens = ""
        self._lock: int | None = None

    def open(self) -> None:
        """Take hold of the directory.

        Raises:
            RuntimeError: If another sandbox has it.
        """
        for folder in (self.directory.parent, self.directory):
            folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        self._registries.mkdir(exist_ok=True)
        self._lock = _lock(self.directory / "lock")
        self.contents.prepare()

    def close(self) -> None:
        """Let go of the directory."""
        if self._lock is not None:
            os.close(self._lock)
            self._lock = None

    def load(self, state: State, actions: Actions) -> bool:
        """Put into a state what is in the directory, and tell whether anything was.

        Raises:
            ValueError: If a file in it is no file of ours, or of another version.
        """
        files = sorted(self._registries.glob("*.json"))
        loaded = [_read_registry(_read(path)) for path in files]
        for registry, moving in sorted(loaded, key=lambda pair: pair[0].created_at):
            state.restore(registry)
            actions.resume(registry, moving)
        if self._tokens.exists():
            _read_tokens(_read(self._tokens), state)
        with state.lock:
            actions.settle()
            state.drop_unused_contents()
        return bool(files) or self._tokens.exists()

    def save(self, state: State) -> None:
        """Write what has changed; call it under the state's lock."""
        registries = state.registries()
        for registry in registries:
            if registry.changed:
                _write(self._path(registry), _write_registry(registry))
                registry.changed = False
        for left in {*self._registries.glob("*.json")} - {self._path(item) for item in registries}:
            left.unlink()
        tokens = json.dumps(_write_tokens(state))
        if tokens != self._saved_tokens:
            _write(self._tokens, tokens)
            self._saved_tokens = tokens

    def _path(self, registry: StoredRegistry) -> Path:
        return self._registries / f"{registry.id}.json"


def _lock(path: Path) -> int:
    descriptor = os.open(path, os.O_CREAT | os.O_RDWR, 0o600)
    if sys.platform != "win32":
        import fcntl

        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            os.close(descriptor)
            raise RuntimeError(f"another sandbox keeps its data in {path.parent}") from None
    return descriptor


def _read(path: Path) -> dict[str, Any]:
    try:
        body: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
        known = (body["format"], body["version"])
    except (ValueError, TypeError, KeyError):
        raise ValueError(f"{path} is no file of the sandbox") from None
    if known != (FORMAT, VERSION):
        raise ValueError(f"{path} was not written by this version of the sandbox")
    return body


def _write(path: Path, text: str) -> None:
    beside = path.with_suffix(".new")
    descriptor = os.open(beside, os.O_CREAT | os.O_WRONLY | os.O_TRUNC, 0o600)
    with os.fdopen(descriptor, "w", encoding="utf-8") as file:
        file.write(text)
    beside.replace(path)


def _write_registry(registry: StoredRegistry) -> str:
    repositories = [(False, item) for item in registry.repositories.values()]
    repositories += [(True, item) for item in registry.drafts.values()]
    kept = registry.kept_by_collection
    body = {
        "format": FORMAT,
        "version": VERSION,
        "id": registry.id,
        "name": registry.name,
        "created_at": registry.created_at,
        "size_limit": registry.size_limit,
        "clusters": [[item.id, item.name, item.pool] for item in registry.clusters],
        "blobs": registry.blobs,
        "moving": registry.true_status,
        "collects_untagged": registry.collects_untagged,
        "kept_by_collection": None if kept is None else sorted(kept),
        "repositories": [
            {
                "name": repository.name,
                "draft": is_draft,
                "type": repository.type,
                "updated_at": repository.updated_at,
                "links": sorted(repository.links),
                "images": [_write_image(image) for image in repository.images.values()],
            }
            for is_draft, repository in repositories
        ],
    }
    return json.dumps(body, separators=(",", ":"))


def _write_image(image: StoredImage) -> dict[str, object]:
    return {
        "digest": image.digest,
        "tags": image.tags,
        "layers": image.layers,
        "size": image.size,
        "created_at": image.created_at,
        "architecture": image.architecture,
        "os": image.os,
        "media_type": image.media_type,
        "references": image.references,
        "config": image.config,
        "subject": image.subject,
        "artifact_type": image.artifact_type,
        "annotations": image.annotations,
        "manifest_size": image.manifest_size,
    }


def _read_registry(body: Mapping[str, Any]) -> tuple[StoredRegistry, str]:
    kept = body["kept_by_collection"]
    registry = StoredRegistry(
        body["id"],
        body["name"],
        body["created_at"],
        body["size_limit"],
        clusters=[StoredCluster(*item) for item in body["clusters"]],
        collects_untagged=body["collects_untagged"],
        kept_by_collection=None if kept is None else frozenset(kept),
    )
    for item in body["repositories"]:
        repository = StoredRepository(item["name"], item["type"], registry, item["updated_at"])
        for image in item["images"]:
            repository.put(_read_image(image), image["tags"])
        repository.links = set(item["links"])
        where = registry.drafts if item["draft"] else registry.repositories
        where[repository.name] = repository
    registry.blobs = dict(body["blobs"])
    registry.size = sum(registry.blobs.values())
    registry.changed = False
    return registry, body["moving"]


def _read_image(body: Mapping[str, Any]) -> StoredImage:
    named: dict[str, Any] = {key: value for key, value in body.items() if key != "tags"}
    config = body["config"]
    named["layers"] = tuple(StoredLayer(*layer) for layer in body["layers"])
    named["references"] = tuple(body["references"])
    named["config"] = None if config is None else StoredLayer(*config)
    return StoredImage(**named)


def _write_tokens(state: State) -> dict[str, object]:
    return {
        "format": FORMAT,
        "version": VERSION,
        "v2": [
            [
                token.id,
                token.secret,
                token.name,
                token.scope,
                token.created_at,
                token.expires_at,
                token.last_used_at,
                token.revoked,
            ]
            for token in state.tokens.all()
        ],
        "v1": [
            [token.secret, token.life_seconds, token.expires_at] for token in state.tokens.all_v1()
        ],
    }


def _read_tokens(body: Mapping[str, Any], state: State) -> None:
    for id_, secret, name, scope, *rest in body["v2"]:
        all_registries, read_write, registry_ids = scope
        opened = Scope(all_registries, read_write, tuple(registry_ids))
        state.tokens.restore(StoredToken(id_, secret, name, opened, *rest))
    for item in body["v1"]:
        state.tokens.restore_v1(StoredTokenV1(*item))
