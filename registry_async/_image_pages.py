"""Pages of images, which scans read by the million: decoded fast, without an object for each layer.

Images are made by hand here, since cattrs would take several times as long. A page that is not
entirely as expected is left to the converter, which decides whether it is right and says what is
not. So the readers here may refuse a page that is right, but must never accept one that the
converter would refuse, nor make anything else of it.

The layers of an image that came from a list become `Layer` objects when somebody looks at them.
Their types are checked before, so that looking never raises. Scans and reports use `layer_sizes`,
`layer_pairs` and `has_layers`, which make no objects; all other fields of an image are plain
attributes.
"""

import json
from collections.abc import Callable, Iterable, Iterator
from functools import cache
from itertools import chain
from typing import TYPE_CHECKING, Any, Final, cast

from registry_async._wire import (
    ListPage,
    Mismatch,
    array,
    count,
    is_deep,
    may_be_deep,
    moments,
    refuse_constant,
    text_has_surrogates,
)
from registry_async.models import Image, LayersOnDemand, has_layers, layer_pairs

if TYPE_CHECKING:
    import msgspec

__all__ = [
    "KEYS",
    "PageReader",
    "has_layers",
    "layer_pairs",
    "layer_sizes",
    "read_with_json",
    "read_with_msgspec",
]

# Reads a page of images, or returns None where the converter shall decide. The key is the name of
# the array on the wire; None where the answer is the array itself.
PageReader = Callable[[bytes, str | None], ListPage[Image] | None]

# The two forms of a list of images: of API v2, and of v1.
KEYS: Final = ("images", None)
# An unknown member lies within at most five others: page, array, image, array, layer.
_ENCLOSING: Final = 5


def layer_sizes(images: Iterable[Image]) -> Iterator[tuple[str, int]]:
    """Return the digest and the size of every layer of some images, for a dict of them.

    Layers that images share come once for each of them.

    Args:
        images: The images, such as those of one page.
    """
    return chain.from_iterable(map(layer_pairs, images))


class _Draft(LayersOnDemand):
    """An image that is being made: it has the same slots, and changes its class in the end.

    The ``__init__`` of a frozen class goes through ``object.__setattr__`` for each field, which
    takes three times as long.
    """

    __slots__ = (
        "architecture",
        "created_at",
        "digest",
        "layers",
        "media_type",
        "os",
        "size",
        "tags",
    )


def read_with_msgspec(body: bytes, key: str | None) -> ListPage[Image] | None:
    """Read a page with msgspec, which checks the types of what it decodes.

    Raises:
        ImportError: msgspec is not installed.
    """
    import msgspec

    # Where msgspec skips a member, it does not look at the text in it. Escapes are rare.
    if b"\\" in body:
        return None
    try:
        if not body.isascii():
            body.decode()
        try:
            page = _decoder(key, known_only=True).decode(body)
            items = page if key is None else page.images
        except msgspec.ValidationError:
            page = _decoder(key, known_only=False).decode(body)
            items = page if key is None else page.images
            if may_be_deep(body, _parts(items or ()) - _ENCLOSING):
                return None
    except (msgspec.MsgspecError, RecursionError, ValueError):
        return None
    try:
        times = moments([item.created_at for item in items or ()])
    except Mismatch:
        return None
    share = _sharing()
    images: list[Image] = []
    for item, created_at in zip(items or (), times, strict=True):
        image: Any = _Draft()
        image.digest = item.digest
        image.tags = item.tags or ()
        image.size = item.size
        image.created_at = created_at
        image.architecture = share(item.architecture, item.architecture)
        image.os = share(item.os, item.os)
        image.media_type = share(item.media_type, item.media_type)
        layers: tuple[Any, ...] = item.layers or ()
        if layers:
            # The lowest layer is that of a base, which many images have. Sharing all layers would
            # take longer than decoding them.
            lowest = share(layers[0], layers[0])
            if lowest is not layers[0]:
                layers = (lowest, *layers[1:])
        image.undecoded_layers = layers
        image.__class__ = Image
        images.append(image)
    if key is None:
        return ListPage(images, None, None)
    return ListPage(images, page.total_count, page.filtered_count)


def _parts(items: Iterable[Any]) -> int:
    """Return how many objects and arrays were read."""
    return sum(
        1 + (item.tags is not None) + (0 if item.layers is None else 1 + len(item.layers))
        for item in items
    )


@cache
def _decoder(key: str | None, *, known_only: bool) -> "msgspec.json.Decoder[Any]":
    """Return what decodes a page.

    Args:
        key: The name of the array on the wire.
        known_only: Whether to refuse members that have no field. A page without such members nests
            no deeper than expected, so that nobody has to look.
    """
    from typing import Annotated

    import msgspec

    # The garbage collector need not walk what cannot be part of a circle.
    class Struct(msgspec.Struct, rename="camel", gc=False, forbid_unknown_fields=known_only):
        pass

    class Layer(msgspec.Struct, frozen=True, gc=False, forbid_unknown_fields=known_only):
        digest: str
        size: int

    class Item(Struct):
        digest: str
        tags: tuple[str, ...] | None = None
        size: int | None = None
        # As text, since msgspec rounds times to microseconds and takes more forms of them.
        created_at: str | None = None
        architecture: str | None = None
        os: str | None = None
        media_type: str | None = None
        layers: tuple[Layer, ...] | None = None

    class Page(Struct):
        images: list[Item] | None = None
        total_count: Annotated[int, msgspec.Meta(ge=0)] | None = None
        filtered_count: Annotated[int, msgspec.Meta(ge=0)] | None = None

    shape: Any = list[Item] | None if key is None else Page
    return msgspec.json.Decoder(shape)


_DECODER: Final = json.JSONDecoder(parse_constant=refuse_constant)


def read_with_json(body: bytes, key: str | None) -> ListPage[Image] | None:
    """Read a page with the standard library. It checks layers and makes none."""
    try:
        text = body.decode()
        document: Any = _DECODER.decode(text)
    except (ValueError, RecursionError):
        return None
    if text_has_surrogates(text):
        return None
    items, total, filtered = document, None, None
    if key is not None:
        if type(document) is not dict:
            return None
        page = cast("dict[str, Any]", document)
        items, total, filtered = page.get(key), page.get("totalCount"), page.get("filteredCount")
    try:
        for number in (total, filtered):
            if number is not None:
                count(number)
        images, parts = _read_items([] if items is None else array(items))
    except (Mismatch, KeyError):
        return None
    if may_be_deep(body, parts - _ENCLOSING) and is_deep(cast(object, document)):
        return None
    return ListPage(images, total, filtered)


def _read_items(items: list[Any]) -> tuple[list[Image], int]:
    """Make images of objects.

    Returns:
        The images, and how many objects and arrays were read.

    Raises:
        Mismatch: Something is not as expected.
        KeyError: Something is not there.
    """
    share = _sharing()
    images: list[Image] = []
    times: list[str | None] = []
    parts = 0
    for item in items:
        # Not `type(item) is not dict`, after which type checkers no longer know the members.
        if item.__class__ is not dict:
            raise Mismatch("an image", "something else")
        get = item.get
        image: Any = _Draft()
        image.digest, image.size = digest, size = item["digest"], get("size")
        if type(digest) is not str or (type(size) is not int and size is not None):
            raise Mismatch("an image", "something else")
        architecture, os, media_type = get("architecture"), get("os"), get("mediaType")
        created_at, tags, layers = get("createdAt"), get("tags"), get("layers")
        for each in (architecture, os, media_type, created_at):
            if type(each) is not str and each is not None:
                raise Mismatch("a string", "something else")
        image.architecture = share(architecture, architecture)
        image.os = share(os, os)
        image.media_type = share(media_type, media_type)
        times.append(created_at)
        image.tags = () if tags is None else tuple(array(tags))
        for each in image.tags:
            if type(each) is not str:
                raise Mismatch("a string", "something else")
        # Digest, size, digest, size: without an object a layer.
        flat: list[Any] = []
        for layer in () if layers is None else array(layers):
            if layer.__class__ is not dict:
                raise Mismatch("a layer", "something else")
            digest, size = layer["digest"], layer["size"]
            if type(digest) is not str or type(size) is not int:
                raise Mismatch("a layer", "something else")
            flat += (digest, size)
        image.undecoded_layers = tuple(flat)
        parts += 1 + (tags is not None) + (layers is not None) + len(flat) // 2
        images.append(image)
    for image, created_at in zip(images, moments(times), strict=True):
        image.created_at = created_at
        image.__class__ = Image
    return images, parts


def _sharing() -> Callable[[Any, Any], Any]:
    """Return what gives a text that is equal to the given one and known already, if there is one.

    Texts that recur are shared within a page, and not beyond: a process that runs for weeks must
    not collect them.
    """
    known: dict[Any, Any] = {}
    return known.setdefault
