"""Pages of images tell what is in them."""

from __future__ import annotations

from registry_async._image_pages import layer_sizes
from registry_async.models import Image, Layer


def test_layers_of_a_page_are_given_once() -> None:
    shared, own, other = Layer("sha256:aa", 1), Layer("sha256:bb", 2), Layer("sha256:cc", 0)
    images = [Image("a", layers=(shared, own)), Image("b"), Image("c", layers=(shared, other))]
    assert layer_sizes(images) == {"sha256:aa": 1, "sha256:bb": 2, "sha256:cc": 0}
    assert layer_sizes([]) == {}
