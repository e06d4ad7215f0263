"""Benchmarks measure data as registries have it: what is repeated in it is what the mix says."""

from __future__ import annotations

import json
import re
from collections import Counter
from itertools import chain
from typing import Any

import pytest

from benchmarks.pages import BASES, LAYERS, MIXES, Pages, Shape, image_bodies

DIGEST = re.compile(r"sha256:[0-9a-f]{64}")
TIME = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{9}Z")


def images(shared: int, pages: int = 5) -> list[Any]:
    bodies = image_bodies(pages, shared=shared)
    return list(chain.from_iterable(json.loads(body)["images"] for body in bodies))


def layers(image: Any) -> list[str]:
    return [layer["digest"] for layer in image["layers"]]


@pytest.mark.parametrize("shared", MIXES)
def test_no_digest_is_twice_in_an_image(shared: int) -> None:
    for image in images(shared):
        digests = [image["digest"], *layers(image)]
        assert len(digests) == LAYERS + 1
        assert len(set(digests)) == len(digests)
        assert all(DIGEST.fullmatch(digest) for digest in digests)


@pytest.mark.parametrize("shared", MIXES)
def test_the_share_of_repeats_is_what_the_mix_says(shared: int) -> None:
    found = images(shared)
    counts = Counter(chain.from_iterable(layers(image) for image in found))
    repeated = {digest: count for digest, count in counts.items() if count > 1}
    assert len(repeated) == BASES * shared
    assert sum(repeated.values()) == len(found) * shared
    assert len(counts) == len(found) * (LAYERS - shared) + BASES * shared


def test_images_occur_once_in_the_whole_service() -> None:
    pages = Pages(Shape(registries=2, repositories=3, images=150))
    digests: list[str] = []
    names = [
        repository["name"].replace("/", "%2F")
        for repository in json.loads(pages.answer(b"/api/v2/registries/registry-0/repositories"))[
            "repositories"
        ]
    ]
    for registry in range(2):
        for name in names:
            for offset in (0, 100):
                target = f"/api/v2/registries/registry-{registry}/repositories/{name}/images"
                body = pages.answer(f"{target}?limit=100&offset={offset}".encode())
                digests += [image["digest"] for image in json.loads(body)["images"]]
    assert len(digests) == len(set(digests)) == pages.shape.total == 900


def test_images_look_like_those_of_a_registry() -> None:
    found = images(3, pages=1)
    assert all(TIME.fullmatch(image["createdAt"]) for image in found)
    assert len({image["createdAt"] for image in found}) == len(found)
    assert len({image["size"] for image in found}) == len(found)
    assert {len(image["tags"]) for image in found} == {0, 1, 2, 3}
    assert 20 <= sum(not image["tags"] for image in found) <= 45
    assert all(image["size"] > sum(layer["size"] for layer in image["layers"]) for image in found)


def test_most_repositories_may_be_empty() -> None:
    pages = Pages(Shape(repositories=20, images=5, filled=10))
    totals = []
    for number in range(20):
        noun = ("api", "web", "worker", "migrations", "gateway", "billing", "search")[number % 7]
        target = f"/api/v2/registries/registry-0/repositories/team-{number % 7}%2F{noun}-{number}"
        totals.append(json.loads(pages.answer(f"{target}/images".encode()))["totalCount"])
    assert (sum(totals), pages.shape.total) == (10, 10)
