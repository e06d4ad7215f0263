"""The layers of a report, each once: how many bytes they are, and how they are saved."""

import struct
from base64 import b64decode, b64encode
from collections.abc import Collection, Iterable, Iterator, Mapping
from hashlib import blake2b
from itertools import chain
from typing import Final

__all__ = ["LIMIT", "Layers", "bounded"]

# Sizes beyond this make no sense. They count as this much, so that sums stay numbers that Python
# writes as text.
LIMIT: Final = 10**1000

_PREFIX: Final = "sha256:"
_LENGTH: Final = len(_PREFIX) + 64
# Layers by their whole digests, until there are enough to shorten them all at once.
_PENDING: Final = 20_000
# A key and a size. Signed: a size that makes no sense, such as -1, is no reason to lose a report.
_PACKED: Final = struct.Struct("<16sq")
_SMALLEST: Final = -(2**63)
_LARGEST: Final = 2**63 - 1


def bounded(size: int) -> int:
    """Return a size within the limits of what makes sense."""
    return max(-LIMIT, min(size, LIMIT))


class Layers:
    """The size of each layer by a short form of its digest.

    Of each digest 128 bits are kept, in which no two agree by chance: as bytes they take a third
    of the memory of the text, and of the space in JSON. Many are shortened at once, which is
    several times as fast as one by one.
    """

    def __init__(self, sizes: dict[bytes, int] | None = None) -> None:
        self._sizes: dict[bytes, int] = {} if sizes is None else sizes
        self._pending: dict[str, int] = {}

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Layers) and self.sizes == other.sizes

    __hash__ = None  # type: ignore[assignment]

    def __repr__(self) -> str:
        return f"<{len(self.sizes)} layers>"

    @property
    def sizes(self) -> dict[bytes, int]:
        """The sizes by the short forms of digests."""
        if self._pending:
            sizes: Collection[int] = self._pending.values()
            if max(sizes) > LIMIT or min(sizes) < -LIMIT:
                sizes = [bounded(size) for size in sizes]
            self._sizes.update(zip(_shortened(list(self._pending)), sizes, strict=True))
            self._pending = {}
        return self._sizes

    def add(self, sizes: Mapping[str, int] | Iterable[tuple[str, int]]) -> None:
        """Add layers: digests and their sizes."""
        self._pending.update(sizes)
        if len(self._pending) > _PENDING:
            _ = self.sizes

    def total(self) -> int:
        """Return the bytes of all layers."""
        return sum(self.sizes.values())

    @classmethod
    def merged(cls, several: "Iterable[Layers]") -> "Layers":
        """Return the layers of several, each once."""
        sizes: dict[bytes, int] = {}
        for each in several:
            sizes.update(each.sizes)
        return cls(sizes)

    def pack(self) -> tuple[str, dict[str, int]]:
        """Return the layers for JSON.

        Returns:
            Base64 of 24 bytes for each layer: 16 that stand for its digest, and its size as a
            signed little-endian integer. And, by their 16 bytes as hexadecimal digits, the sizes
            that do not fit in there.
        """
        packed: list[bytes] = []
        large: dict[str, int] = {}
        for key, size in sorted(self.sizes.items()):
            if _SMALLEST <= size <= _LARGEST:
                packed.append(_PACKED.pack(key, size))
            else:
                large[key.hex()] = size
        return b64encode(b"".join(packed)).decode(), large

    @classmethod
    def unpack(cls, packed: str, large: Mapping[str, int]) -> "Layers":
        """Read what `pack` gave.

        Raises:
            ValueError: It is none of that.
        """
        sizes: dict[bytes, int] = {}
        try:
            sizes.update(_PACKED.iter_unpack(b64decode(packed, validate=True)))
        except struct.error:
            raise ValueError("the layers are cut short") from None
        for digits, size in large.items():
            key = bytes.fromhex(digits)
            if len(key) != 16 or abs(size) > LIMIT:
                raise ValueError("a large layer has no key of 16 bytes, or a size out of range")
            sizes[key] = size
        return cls(sizes)


def _shortened(digests: list[str]) -> Iterator[bytes]:
    """Return 128 bits of each digest: the two halves of a SHA-256, one over the other."""
    joined = "".join(digests)
    count = len(digests)
    # Only where all have the usual form are they at regular distances in the joined text.
    usual = set(map(len, digests)) == {_LENGTH} and all(
        joined[place::_LENGTH] == letter * count for place, letter in enumerate(_PREFIX)
    )
    try:
        packed = bytes.fromhex(joined.replace(_PREFIX, "")) if usual else b""
    except ValueError:
        packed = b""
    if len(packed) != 32 * count:
        return map(_short, digests)
    # As one number, so that the halves of all digests are put over each other in one step.
    number = int.from_bytes(packed)
    folded = (number ^ (number >> 128)).to_bytes(len(packed))
    return chain.from_iterable(struct.iter_unpack("16x16s", folded))


def _short(digest: str) -> bytes:
    if digest.startswith(_PREFIX) and len(digest) == _LENGTH:
        try:
            packed = bytes.fromhex(digest[len(_PREFIX) :])
        except ValueError:
            # No hexadecimal digits: a digest that the service made up.
            packed = b""
        if len(packed) == 32:
            halves = int.from_bytes(packed[:16]) ^ int.from_bytes(packed[16:])
            return halves.to_bytes(16)
    return blake2b(digest.encode("utf-8", "surrogatepass"), digest_size=16).digest()
