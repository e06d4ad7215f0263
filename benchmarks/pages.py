"""The service's answers as registries have them: digests, layers that images share, tags, times.

Speed on made-up data is made up, too: a digest that is repeated where registries have different
ones makes every pool of equal parts look like magic. So every image has a base, one of a few, and
layers of its own. How many of its layers are those of its base is the *mix*; the rest, and the
image, have digests that occur nowhere else.

A page is a template in which the first digits of those digests are replaced by the page's own
number, scrambled, so that a page costs the server next to nothing.
"""

import json
import random
import re
from functools import lru_cache
from hashlib import sha256
from typing import Final

from attrs import frozen

LAYERS: Final = 8
BASES: Final = 20
# How many of an image's layers are those of its base.
MIXES: Final = (0, 3, 5, 8)
USUAL: Final = 3
_MARK: Final = "@@@@@@@@"
# Odd, so that different numbers of pages stay different in 32 bits.
_SCRAMBLE: Final = 2_654_435_761
_IMAGES: Final = re.compile(
    rb"/registries/registry-(\d+)/repositories/team-\d+%2F\D+-(\d+)/images$"
)
_REPOSITORIES: Final = re.compile(rb"/registries/registry-\d+/repositories$")
_MEDIA_TYPES: Final = (
    "application/vnd.oci.image.manifest.v1+json",
    "application/vnd.docker.distribution.manifest.v2+json",
)
_NOUNS: Final = ("api", "web", "worker", "migrations", "gateway", "billing", "search")


def _digest(text: str) -> str:
    return sha256(text.encode()).hexdigest()


def _layer_size(rng: random.Random) -> int:
    return int(10 ** rng.uniform(2, 8))


@lru_cache
def _bases() -> list[list[dict[str, object]]]:
    rng = random.Random("bases")
    return [
        [
            {"digest": f"sha256:{_digest(f'base {base} {place}')}", "size": _layer_size(rng)}
            for place in range(LAYERS)
        ]
        for base in range(BASES)
    ]


def _own_digest(text: str) -> str:
    return f"sha256:{_MARK}{_digest(text)[len(_MARK) :]}"


def _time(rng: random.Random) -> str:
    day = f"{rng.randint(2021, 2025)}-{rng.randint(1, 12):02}-{rng.randint(1, 28):02}"
    clock = f"{rng.randrange(24):02}:{rng.randrange(60):02}:{rng.randrange(60):02}"
    return f"{day}T{clock}.{rng.randrange(10**9):09}Z"


def _tags(rng: random.Random) -> list[str]:
    names = [
        f"v{rng.randrange(9)}.{rng.randrange(30)}.{rng.randrange(30)}",
        f"main-{rng.getrandbits(32):08x}",
        f"pr-{rng.randrange(10_000)}",
    ]
    rng.shuffle(names)
    # A third of the images has lost its tags to newer ones.
    return names[: rng.choices((0, 1, 2, 3), (33, 47, 15, 5))[0]]


def _image(number: int, shared: int, rng: random.Random) -> dict[str, object]:
    layers = _bases()[rng.randrange(BASES)][:shared] + [
        {"digest": _own_digest(f"layer {number} {place}"), "size": _layer_size(rng)}
        for place in range(shared, LAYERS)
    ]
    return {
        "architecture": rng.choices(("amd64", "arm64"), (9, 1))[0],
        "createdAt": _time(rng),
        "digest": _own_digest(f"image {number}"),
        "layers": layers,
        "mediaType": rng.choices(_MEDIA_TYPES, (7, 3))[0],
        "os": "linux",
        "size": sum(int(str(layer["size"])) for layer in layers) + rng.randint(2_000, 12_000),
        "tags": _tags(rng),
    }


def repository_name(number: int) -> str:
    """Return the name of a repository."""
    return f"team-{number % 7}/{_NOUNS[number % len(_NOUNS)]}-{number}"


@frozen
class Shape:
    """What a service has.

    Attributes:
        registries: How many registries there are.
        repositories: How many repositories each registry has.
        images: How many images a repository has that is not empty.
        shared: How many of an image's layers are those of its base.
        filled: One repository of this many has images; the others are empty.
    """

    registries: int = 1
    repositories: int = 1
    images: int = 1000
    shared: int = USUAL
    filled: int = 1

    @property
    def total(self) -> int:
        """How many images there are."""
        return self.registries * -(-self.repositories // self.filled) * self.images


class Pages:
    """The answers of a service, rendered when they are first asked for."""

    def __init__(self, shape: Shape) -> None:
        self.shape = shape
        self._answered = 0
        self._templates: dict[tuple[int, int], bytes] = {}

    def answer(self, target: bytes) -> bytes:
        """Return the body for a request target."""
        path, _, query = target.partition(b"?")
        if path.endswith(b"/api/requests"):
            return json.dumps(self._answered).encode()
        self._answered += 1
        numbers = dict(pair.split(b"=", 1) for pair in query.split(b"&") if b"=" in pair)
        limit, offset = int(numbers.get(b"limit", 10)), int(numbers.get(b"offset", 0))
        images = _IMAGES.search(path)
        if images:
            return self._images(int(images[1]), int(images[2]), limit, offset)
        if _REPOSITORIES.search(path):
            return self._repositories(limit, offset)
        if not path.endswith(b"/registries"):
            return b'{"error": {"message": "there is nothing at this path"}}'
        return self._registries(limit, offset, bare=path.endswith(b"/v1/registries"))

    def _images(self, registry: int, repository: int, limit: int, offset: int) -> bytes:
        shape = self.shape
        total = 0 if repository % shape.filled else shape.images
        count = max(0, min(limit, total - offset))
        if (count, total) not in self._templates:
            rng = random.Random(count)
            images = [_image(number, shape.shared, rng) for number in range(count)]
            self._templates[count, total] = _page("images", images, total)
        place = (registry * shape.repositories + repository) * shape.images + offset
        mark = b"%08x" % (place * _SCRAMBLE % 2**32)
        return self._templates[count, total].replace(_MARK.encode(), mark)

    def _repositories(self, limit: int, offset: int) -> bytes:
        shape = self.shape
        items: list[dict[str, object]] = [
            {
                "name": repository_name(number),
                "size": 0 if number % shape.filled else 1_000_000 + number,
                "type": "docker",
                "updatedAt": _time(random.Random(number)),
            }
            for number in range(offset, min(offset + limit, shape.repositories))
        ]
        return _page("repositories", items, shape.repositories)

    def _registries(self, limit: int, offset: int, *, bare: bool) -> bytes:
        items: list[dict[str, object]] = [
            {
                "createdAt": _time(random.Random(number)),
                "id": f"registry-{number}",
                "name": f"registry-{number}",
                "size": 1_000_000 + number,
                "status": "ACTIVE",
            }
            for number in range(offset, min(offset + limit, self.shape.registries))
        ]
        if bare:
            return json.dumps(items).encode()
        return _page("registries", items, self.shape.registries)


def image_bodies(count: int, *, shared: int = USUAL, page: int = 100) -> list[bytes]:
    """Return different pages of images of one repository."""
    pages = Pages(Shape(images=count * page, shared=shared))
    path = b"/api/v2/registries/registry-0/repositories/team-0%%2Fapi-0/images?limit=%d&offset=%d"
    return [pages.answer(path % (page, number * page)) for number in range(count)]


def _page(name: str, items: list[dict[str, object]], total: int) -> bytes:
    page = {name: items, "totalCount": total, "filteredCount": total}
    if name == "registries":
        del page["filteredCount"]
    return json.dumps(page, separators=(",", ":")).encode()
