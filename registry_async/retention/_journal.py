"""The journal of a run: what was sent and what became of it, on disk before anything goes on."""

import json
import os
from collections.abc import Mapping
from importlib import import_module
from pathlib import Path
from types import TracebackType
from typing import Any, BinaryIO, Final, Self, cast

from anyio import to_thread
from attrs import define, field

from registry_async.errors import RetentionRefusedError
from registry_async.retention._snapshot import Manifest

try:
    import fcntl
except ImportError:  # Windows has locks of its own
    fcntl = None  # type: ignore[assignment]

__all__ = ["Journal", "JournalState", "Place", "SentImage"]

FORMAT: Final = "registry_async.RetentionJournal"
VERSION: Final = 1

# A repository: the id of its registry, and its name.
Place = tuple[str, str]


@define(eq=False)
class SentImage:
    """An image that was sent for deletion, and what is to be known of it once it is gone.

    Attributes:
        digest: The digest.
        parts: The parts of its manifest.
        layers: The bytes of its layers, by digest.
    """

    digest: str
    parts: tuple[str, ...] = ()
    layers: Mapping[str, int] = field(factory=dict[str, int])

    @property
    def manifest(self) -> Manifest:
        """The manifest that it was, for what follows it."""
        return Manifest(self.digest, "", self.parts)


@define(eq=False)
class JournalState:
    """What a run has done so far.

    Attributes:
        deleted: What was deleted, by repository and digest.
        failed: What the service refused to delete, and why.
        doubtful: What was sent and whose fate is not known.
        unexpected: What was deleted though nobody asked for it.
        collected: The ids of the registries whose collection was started.
    """

    deleted: dict[Place, dict[str, SentImage]] = field(factory=dict[Place, dict[str, SentImage]])
    failed: dict[Place, dict[str, str]] = field(factory=dict[Place, dict[str, str]])
    doubtful: dict[Place, dict[str, SentImage]] = field(factory=dict[Place, dict[str, SentImage]])
    unexpected: list[dict[str, Any]] = field(factory=list[dict[str, Any]])
    collected: set[str] = field(factory=set[str])

    def take(self, event: Mapping[str, Any]) -> None:
        """Take what the journal says next."""
        kind = event["event"]
        if kind == "collecting":
            self.collected.add(event["registry_id"])
            return
        if kind == "unexpected":
            self.unexpected.append(dict(event))
            return
        place: Place = (event["registry_id"], event["repository"])
        doubtful = self.doubtful.setdefault(place, {})
        if kind == "sending":
            for image in event["images"]:
                doubtful[image["digest"]] = SentImage(
                    image["digest"], tuple(image["parts"]), dict(image["layers"])
                )
        elif kind == "settled":
            for digest in event["deleted"]:
                sent = doubtful.pop(digest, None) or SentImage(digest)
                self.deleted.setdefault(place, {})[digest] = sent
            for digest, error in event["failed"].items():
                doubtful.pop(digest, None)
                self.failed.setdefault(place, {})[digest] = error
            for digest in event["still_there"]:
                doubtful.pop(digest, None)
        else:
            raise ValueError(kind)


class Journal:
    """A journal, on disk or, without a path, in memory alone.

    Each line is a JSON object. The first names the format, the version and the plan. ``sending``
    is written before a batch is sent, ``settled`` when its fate is known.

    Args:
        path: The file; None for none.
        plan_id: The id of the plan.
    """

    def __init__(self, path: str | os.PathLike[str] | None, plan_id: str) -> None:
        self.state = JournalState()
        self._path = None if path is None else Path(path)
        self._plan_id = plan_id
        self._file: BinaryIO | None = None

    async def __aenter__(self) -> Self:
        await to_thread.run_sync(self._open)
        return self

    async def __aexit__(
        self,
        exc_type: type[BaseException] | None,
        exc_value: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.close()

    def close(self) -> None:
        """Give the lock back and close the file."""
        file, self._file = self._file, None
        if file is not None:
            file.close()

    async def record(self, event: str, **details: Any) -> None:
        """Write an event, and return when it is on disk."""
        entry = {"event": event, **details}
        self.state.take(entry)
        if self._file is not None:
            await to_thread.run_sync(self._write, entry)

    def _open(self) -> None:
        if self._path is None:
            return
        # Opened for appending, so that a file that is no journal stays as it is.
        file = self._path.open("ab+")
        try:
            _lock(file, self._path)
            file.seek(0)
            whole = self._replay(file.read())
            if whole is None:
                self._file = file
                self._write({"format": FORMAT, "version": VERSION, "plan": self._plan_id})
                _sync_folder(self._path)
                return
            # A torn last line was never acted upon; what follows must begin a line of its own.
            file.truncate(whole)
        except BaseException:
            self._file = None
            file.close()
            raise
        self._file = file

    def _replay(self, content: bytes) -> int | None:
        """Take what the file says; return the bytes of its whole lines, or None if it is new."""
        if not content:
            return None
        lines = content.split(b"\n")
        # After the last line break there is nothing, or a line that was torn.
        whole = len(content) - len(lines.pop())
        if not lines:
            if _begins_a_journal(content):
                # Torn in its very first line, before anything was sent.
                self._path_of_new()
                return None
            raise self._refusal("is no journal of a retention run, and is left as it is")
        head = _parse(lines[0])
        if head is None or head.get("format") != FORMAT:
            raise self._refusal("is no journal of a retention run, and is left as it is")
        if head.get("version") != VERSION or isinstance(head.get("version"), bool):
            raise self._refusal(f"is a journal of another version than {VERSION}")
        if head.get("plan") != self._plan_id:
            raise self._refusal("is the journal of another plan")
        for number, line in enumerate(lines[1:], 2):
            event = _parse(line)
            try:
                if event is None:
                    raise ValueError("no JSON object")
                self.state.take(event)
            except (ValueError, KeyError, TypeError, AttributeError):
                raise self._refusal(f"cannot be read: line {number} is none of a journal") from None
        return whole

    def _path_of_new(self) -> None:
        if self._path is not None:
            os.truncate(self._path, 0)

    def _refusal(self, problem: str) -> RetentionRefusedError:
        return RetentionRefusedError(f"{self._path} {problem}")

    def _write(self, entry: Mapping[str, Any]) -> None:
        file = self._file
        if file is None:
            return
        file.write(json.dumps(entry, separators=(",", ":")).encode() + b"\n")
        file.flush()
        os.fsync(file.fileno())


def _begins_a_journal(content: bytes) -> bool:
    return b'{"format":"registry_async.RetentionJournal"'.startswith(content[:44])


def _parse(line: bytes) -> dict[str, Any] | None:
    try:
        found: object = json.loads(line)
    except (ValueError, RecursionError):
        return None
    return cast("dict[str, Any]", found) if isinstance(found, dict) else None


def _lock(file: BinaryIO, path: Path) -> None:
    held = RetentionRefusedError(f"{path} is in use by another run")
    try:
        if fcntl is not None:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        else:
            msvcrt: Any = import_module("msvcrt")
            # A byte far beyond the end: the lock is a sign, and keeps nobody from reading.
            file.seek(1 << 40)
            msvcrt.locking(file.fileno(), msvcrt.LK_NBLCK, 1)
    except OSError:
        raise held from None


def _sync_folder(path: Path) -> None:
    """Make sure that a new file is found after a crash of the machine."""
    if os.name != "posix":
        return
    folder = os.open(path.parent, os.O_RDONLY)
    try:
        os.fsync(folder)
    finally:
        os.close(folder)
