"""Uploads of blobs that go on: each by its id, until it is finished, cancelled or forgotten."""

import asyncio
import re
import uuid
from collections.abc import Callable

from attrs import Factory, define

from registry_async.sandbox._contents import Contents, Upload
from registry_async.sandbox._refusals import RegistryRefusal

_LIFE_SECONDS = 3_600.0
_RANGE = re.compile(r"(?:bytes )?(\d{1,18})-(\d{1,18})(?:/.*)?", re.ASCII)


@define(eq=False)
class Session:
    """Hold one upload.

    Attributes:
        id: Its id, which is part of its address.
        name: The registry and the repository that it belongs to.
        upload: The bytes that have arrived.
        touched_at: When something last happened, in seconds of the sandbox's clock.
        lock: Held by the one request that may append.
    """

    id: str
    name: str
    upload: Upload
    touched_at: float
    lock: asyncio.Lock = Factory(asyncio.Lock)

    @property
    def location(self) -> str:
        """Where the upload goes on."""
        return f"/v2/{self.name}/blobs/uploads/{self.id}"

    @property
    def headers(self) -> dict[str, str]:
        """Where the upload stands."""
        return {
            "Location": self.location,
            # An upload without a byte says so, as there is no other way to write it.
            "Range": f"0-{max(self.upload.size - 1, 0)}",
            "Docker-Upload-UUID": self.id,
        }

    def check_range(self, content_range: str | None, content_length: int | None) -> None:
        """Make sure that a chunk begins where the last one ended.

        Args:
            content_range: The header `Content-Range`; None means the chunk that is next.
            content_length: The header `Content-Length`; None where the client does not know.

        Raises:
            RegistryRefusal: 416 for a chunk out of order, 400 for a range that is none.
        """
        if content_range is None:
            return
        match = _RANGE.fullmatch(content_range)
        if match is None or int(match[2]) < int(match[1]):
            raise RegistryRefusal(400, "BLOB_UPLOAD_INVALID", "Content-Range is malformed")
        first, last = int(match[1]), int(match[2])
        if first != self.upload.size:
            message = f"chunk begins at {first}, but {self.upload.size} bytes are here"
            raise RegistryRefusal(416, "BLOB_UPLOAD_INVALID", message, headers=self.headers)
        if content_length is not None and content_length != last - first + 1:
            raise RegistryRefusal(400, "SIZE_INVALID", "Content-Range and Content-Length differ")


class Uploads:
    """Hold the uploads that go on.

    Args:
        clock: Gives seconds; an upload that nobody goes on with is forgotten after an hour.
    """

    def __init__(self, clock: Callable[[], float]) -> None:
        self._clock = clock
        self._sessions: dict[str, Session] = {}

    def begin(self, name: str, contents: Contents) -> Session:
        """Begin an upload to a repository, whose bytes go to the contents."""
        now = self._clock()
        for old in list(self._sessions.values()):
            if now - old.touched_at > _LIFE_SECONDS and not old.lock.locked():
                self.cancel(old)
        session = Session(str(uuid.uuid4()), name, contents.begin(), now)
        self._sessions[session.id] = session
        return session

    def get(self, name: str, session_id: str) -> Session:
        """Find an upload, or refuse with 404."""
        session = self._sessions.get(session_id)
        if session is None or session.name != name:
            raise RegistryRefusal(404, "BLOB_UPLOAD_UNKNOWN", "there is no such upload")
        session.touched_at = self._clock()
        return session

    def finish(self, session: Session, digest: str) -> int:
        """Store what an upload has brought, and give its size.

        Raises:
            RegistryRefusal: 400 if it has another digest; the upload is lost then.
        """
        del self._sessions[session.id]
        upload = session.upload
        if upload.digest(digest.partition(":")[0]) != digest:
            upload.discard()
            raise RegistryRefusal(400, "DIGEST_INVALID", "content does not have this digest")
        size = upload.size
        upload.keep(digest)
        return size

    def cancel(self, session: Session) -> None:
        """Forget an upload."""
        self._sessions.pop(session.id, None)
        session.upload.discard()

    def cancel_all(self) -> None:
        """Forget all uploads."""
        for session in list(self._sessions.values()):
            self.cancel(session)
