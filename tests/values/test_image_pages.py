"""Pages of images tell what is in them."""

from __future__ import annotations

import copy
import json
import pickle
import sys
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any, Final

import attrs
import pytest

from registry_async._converter import ListDecoder, make_list_decoder
from registry_async._image_pages import has_layers, layer_pairs, layer_sizes
from registry_async.models import Image, Layer

READERS: Final = {name: make_list_decoder(name) for name in ("json", "msgspec")}
LAYERS: Final = (Layer("sha256:bb", 1), Layer("sha256:cc", 2), Layer("sha256:dd", 0))
EXPECTED: Final = Image("sha256:aa", ("v1",), 3, None, "amd64", "linux", "x/y", LAYERS)
BODY: Final = json.dumps(
    [
        {
            "digest": "sha256:aa",
            "tags": ["v1"],
            "size": 3,
            "architecture": "amd64",
            "os": "linux",
            "mediaType": "x/y",
            "layers": [{"digest": each.digest, "size": each.size} for each in LAYERS],
        }
    ]
).encode()


@pytest.fixture(params=sorted(READERS))
def image(request: pytest.FixtureRequest) -> Image:
    """Give an image of a list whose layers nobody has looked at."""
    (found,) = READERS[request.param](BODY, Image, key=None).items
    return found


USES: Final[dict[str, Callable[[Image], Any]]] = {
    "layers": lambda image: image.layers,
    "equality": lambda image: image == EXPECTED and image == EXPECTED,
    "hash": hash,
    "repr": repr,
    "asdict": attrs.asdict,
    "astuple": attrs.astuple,
    "evolve": lambda image: attrs.evolve(image, size=5),
    "copy": copy.copy,
    "deepcopy": copy.deepcopy,
    "pickle": lambda image: pickle.loads(pickle.dumps(image)),
    "sizes": lambda image: dict(layer_sizes([image])),
    "pairs": lambda image: list(layer_pairs(image)),
    "whether": has_layers,
}


@pytest.mark.parametrize("first", USES)
def test_an_image_of_a_list_is_like_one_made_by_hand(image: Image, first: str) -> None:
    # Whatever is done first finds the layers, and so does everything after it.
    for use in (USES[first], *USES.values()):
        assert use(image) == use(EXPECTED)
    assert image.layers is image.layers
    assert all(type(layer) is Layer for layer in image.layers)


def test_an_image_of_a_list_is_frozen(image: Image) -> None:
    for _ in range(2):
        for name in ("layers", "size", "other"):
            with pytest.raises(attrs.exceptions.FrozenInstanceError):
                setattr(image, name, None)
        with pytest.raises(attrs.exceptions.FrozenInstanceError):
            del image.layers
        assert image.layers == LAYERS


def test_names_that_an_image_lacks_are_missed(image: Image) -> None:
    for each in (image, EXPECTED, Image.__new__(Image)):
        with pytest.raises(AttributeError, match="typo"):
            each.typo  # type: ignore[attr-defined]  # noqa: B018
    with pytest.raises(AttributeError):
        Image.__new__(Image).layers  # noqa: B018


def test_threads_that_look_at_layers_together_find_them_all() -> None:
    body = json.dumps(json.loads(BODY) * 200).encode()
    interval = sys.getswitchinterval()
    sys.setswitchinterval(1e-6)
    try:
        for reader in READERS.values():
            images = reader(body, Image, key=None).items
            with ThreadPoolExecutor(4) as pool:
                looks = [
                    pool.submit(lambda: [each.layers for each in images])  # noqa: B023
                    for _ in range(4)
                ]
                assert all(look.result() == [LAYERS] * 200 for look in looks)
    finally:
        sys.setswitchinterval(interval)


def test_layers_of_a_page_are_given_once() -> None:
    shared, own, other = Layer("sha256:aa", 1), Layer("sha256:bb", 2), Layer("sha256:cc", 0)
    images = [Image("a", layers=(shared, own)), Image("b"), Image("c", layers=(shared, other))]
    assert dict(layer_sizes(images)) == {"sha256:aa": 1, "sha256:bb": 2, "sha256:cc": 0}
    assert dict(layer_sizes([])) == {}


@pytest.mark.parametrize("reader", READERS.values(), ids=READERS)
def test_an_image_without_layers_is_known_without_looking(reader: ListDecoder) -> None:
    body = b'[{"digest": "a"}, {"digest": "a", "layers": null}, {"digest": "a", "layers": []}]'
    for image in (*reader(body, Image, key=None).items, Image("a")):
        assert not has_layers(image)
        assert list(layer_pairs(image)) == []
        assert image.layers == ()
