"""Bytes by their digest, in memory or in a directory, and uploads on their way there."""

import hashlib
import io
import uuid
from pathlib import Path
from typing import BinaryIO, Protocol

_PIECE = 1 << 18


class Upload(Protocol):
    """Take the bytes of one blob, a piece at a time."""

    @property
    def size(self) -> int:
        """Bytes that have arrived."""
        ...

    def write(self, piece: bytes) -> None:
        """Append a piece."""
        ...

    def cut(self, size: int) -> None:
        """Forget what lies beyond a size."""
        ...

    def digest(self, algorithm: str) -> str:
        """Give the digest of what has arrived."""
        ...

    def keep(self, digest: str) -> None:
        """Store what has arrived; the upload is used up."""
        ...

    def discard(self) -> None:
        """Forget everything."""
        ...


class Contents(Protocol):
    """Hold bytes by their digest. It does not check digests: who stores has done so."""

    def __contains__(self, digest: str) -> bool: ...

    def begin(self) -> Upload:
        """Begin an upload."""
        ...

    def put(self, digest: str, content: bytes) -> None:
        """Store bytes."""
        ...

    def read(self, digest: str) -> bytes:
        """Give all bytes of something small."""
        ...

    def open(self, digest: str) -> BinaryIO:
        """Open for reading; what is removed meanwhile can be read to its end."""
        ...

    def retain(self, digests: set[str]) -> None:
        """Remove everything but these."""
        ...


class _MemoryUpload:
    def __init__(self, contents: "MemoryContents") -> None:
        self._contents = contents
        self._content = bytearray()

    @property
    def size(self) -> int:
        return len(self._content)

    def write(self, piece: bytes) -> None:
        self._content += piece

    def cut(self, size: int) -> None:
        del self._content[size:]

    def digest(self, algorithm: str) -> str:
        return f"{algorithm}:{hashlib.new(algorithm, self._content).hexdigest()}"

    def keep(self, digest: str) -> None:
        self._contents.put(digest, bytes(self._content))
        self.discard()

    def discard(self) -> None:
        self._content = bytearray()


class MemoryContents:
    """Hold everything in memory."""

    def __init__(self) -> None:
        self._contents: dict[str, bytes] = {}

    def __contains__(self, digest: str) -> bool:
        return digest in self._contents

    def begin(self) -> Upload:
        """Begin an upload."""
        return _MemoryUpload(self)

    def put(self, digest: str, content: bytes) -> None:
        """Store bytes."""
        self._contents.setdefault(digest, content)

    def read(self, digest: str) -> bytes:
        """Give all bytes."""
        return self._contents[digest]

    def open(self, digest: str) -> BinaryIO:
        """Open for reading."""
        return io.BytesIO(self._contents[digest])

    def retain(self, digests: set[str]) -> None:
        """Remove everything but these."""
        self._contents = {key: value for key, value in self._contents.items() if key in digests}


class _Hash(Protocol):
    def update(self, data: bytes, /) -> None: ...

    def hexdigest(self) -> str: ...


class _FileUpload:
    def __init__(self, path: Path, contents: "DirectoryContents") -> None:
        self._path = path
        self._contents = contents
        self.size = 0
        self._hash: _Hash = hashlib.new("sha256")
        self._file: BinaryIO = path.open("w+b")

    def write(self, piece: bytes) -> None:
        self._file.write(piece)
        self._hash.update(piece)
        self.size += len(piece)

    def cut(self, size: int) -> None:
        if size < self.size:
            self._file.truncate(size)
            self._file.seek(size)
            self.size = size
            self._hash = self._reread("sha256")

    def digest(self, algorithm: str) -> str:
        # Hardly anybody uses another algorithm, so that it may cost another reading.
        known = self._hash if algorithm == "sha256" else self._reread(algorithm)
        return f"{algorithm}:{known.hexdigest()}"

    def _reread(self, algorithm: str) -> "_Hash":
        fresh = hashlib.new(algorithm)
        self._file.flush()
        self._file.seek(0)
        while piece := self._file.read(_PIECE):
            fresh.update(piece)
        return fresh

    def keep(self, digest: str) -> None:
        self._file.close()
        path = self._contents.path(digest)
        path.parent.mkdir(parents=True, exist_ok=True)
        self._path.replace(path)

    def discard(self) -> None:
        self._file.close()
        self._path.unlink(missing_ok=True)


class DirectoryContents:
    """Hold each blob in a file of its own, which is complete from the moment it has its name.

    Args:
        directory: Where.
    """

    def __init__(self, directory: Path) -> None:
        self._blobs = directory / "blobs"
        self._uploads = directory / "uploads"

    def prepare(self) -> None:
        """Make the folders, and remove the uploads of an earlier run."""
        for folder in (self._blobs, self._uploads):
            folder.mkdir(parents=True, exist_ok=True)
        for left in self._uploads.iterdir():
            left.unlink()

    def __contains__(self, digest: str) -> bool:
        return self.path(digest).exists()

    def begin(self) -> Upload:
        """Begin an upload."""
        return _FileUpload(self._uploads / uuid.uuid4().hex, self)

    def put(self, digest: str, content: bytes) -> None:
        """Store bytes."""
        if digest not in self:
            upload = self.begin()
            upload.write(content)
            upload.keep(digest)

    def read(self, digest: str) -> bytes:
        """Give all bytes."""
        return self.path(digest).read_bytes()

    def open(self, digest: str) -> BinaryIO:
        """Open for reading."""
        return self.path(digest).open("rb")

    def retain(self, digests: set[str]) -> None:
        """Remove everything but these."""
        kept = {self.path(digest) for digest in digests}
        for path in self._blobs.glob("*/*/*"):
            if path not in kept:
                path.unlink()

    def path(self, digest: str) -> Path:
        """Tell where a blob is, or would be."""
        algorithm, _, encoded = digest.partition(":")
        return self._blobs / algorithm / encoded[:2] / encoded
