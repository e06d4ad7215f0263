"""Read the body of an answer: whole, decompressed, and within bounds."""

import zlib
from typing import Final

import aiohttp

__all__ = ["ACCEPTED", "CutBodyError", "read", "read_start"]

# The encodings that are asked for, and the window bits by which zlib knows them.
_WINDOWS: Final = {"gzip": 31, "x-gzip": 31, "deflate": 15}
_BARE_DEFLATE: Final = -15
ACCEPTED: Final = "gzip, deflate"


class CutBodyError(Exception):
    """A compressed body ended before its end mark, or is not what its encoding says."""


class _Inflater:
    """Decompress the parts of one body, never to more than is asked for."""

    def __init__(self, encoding: str) -> None:
        self._bits = _WINDOWS[encoding]
        self._deflate = encoding == "deflate"
        self._object = zlib.decompressobj(self._bits)
        self._begun = False
        self._ended = False

    def feed(self, data: bytes, limit: int) -> bytes:
        """Return what comes out, at most a byte more than the limit."""
        out = bytearray()
        while data and len(out) <= limit:
            if self._ended:
                # Another member follows, or padding.
                data = data.lstrip(b"\0")
                if not data:
                    break
                self._object = zlib.decompressobj(self._bits)
                self._ended = False
            elif not self._begun and self._deflate and data[0] & 0xF != 8:
                # Many servers leave the header of zlib out.
                self._object = zlib.decompressobj(_BARE_DEFLATE)
            self._begun = True
            try:
                out += self._object.decompress(data, limit - len(out) + 1)
            except zlib.error:
                raise CutBodyError from None
            self._ended = self._object.eof
            data = self._object.unused_data if self._ended else self._object.unconsumed_tail
        return bytes(out)

    def finish(self) -> None:
        """Raise if the body is not whole."""
        if self._begun and not self._ended:
            raise CutBodyError


def _inflater(response: aiohttp.ClientResponse) -> _Inflater | None:
    encoding = response.headers.get("Content-Encoding", "").strip().lower()
    if encoding in ("", "identity"):
        return None
    if encoding not in _WINDOWS:
        raise CutBodyError
    return _Inflater(encoding)


async def read(response: aiohttp.ClientResponse, limit: int, *, decompressed: bool) -> bytes | None:
    """Return the body, or None (and drop the connection) if it is larger than the limit.

    Args:
        response: The answer.
        limit: The most bytes, decompressed.
        decompressed: Whether the session decompresses bodies by itself.

    Raises:
        CutBodyError: The body is compressed and not whole.
        aiohttp.ClientError: The connection broke.
    """
    inflater = None if decompressed else _inflater(response)
    length = response.content_length
    if length is not None and "Content-Encoding" not in response.headers:
        if length <= limit:
            return await response.read()
        response.close()
        return None
    # There is no length, or it is the compressed one.
    parts: list[bytes] = []
    size = 0
    async for part in response.content.iter_any():
        plain = part if inflater is None else inflater.feed(part, limit - size)
        size += len(plain)
        if size > limit:
            response.close()
            return None
        parts.append(plain)
    if inflater is not None:
        inflater.finish()
    return b"".join(parts)


async def read_start(response: aiohttp.ClientResponse, limit: int, *, decompressed: bool) -> bytes:
    """Return the start of an error's body, or as much of it as arrives.

    The status has arrived, and says more than a body that is cut: a DELETE that found nothing
    must not pass for one whose answer was lost.
    """
    body = bytearray()
    try:
        inflater = None if decompressed else _inflater(response)
        async for part in response.content.iter_any():
            body += part if inflater is None else inflater.feed(part, limit - len(body))
            if len(body) >= limit:
                response.close()
                break
    except (aiohttp.ClientError, OSError, CutBodyError):
        response.close()
    return bytes(body[:limit])
