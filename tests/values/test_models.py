"""Models are frozen attrs classes that say what their fields hold."""

from __future__ import annotations

from typing import Any, Final

import attrs

from registry_async import models
from registry_async.models import holds_bytes

MODELS: Final[list[type[Any]]] = [
    getattr(models, name) for name in models.__all__ if attrs.has(getattr(models, name))
]


def test_fields_that_hold_bytes_say_so() -> None:
    declared = {
        f"{model.__name__}.{each.name}"
        for model in MODELS
        for each in attrs.fields(model)
        if holds_bytes(each)
    }
    assert declared == {
        "GarbageSize.non_referenced",
        "GarbageSize.total",
        "GarbageSize.untagged",
        "Image.size",
        "Layer.size",
        "Registry.size",
        "Registry.size_limit",
        "Repository.size",
    }


def test_issued_tokens_take_what_tokens_take_in_the_same_order() -> None:
    scope = models.TokenScope(all_registries=True, read_write=False)
    plain = models.Token("id", None, "active", scope, None)
    issued = models.IssuedToken("id", None, "active", scope, None, secret="s")
    assert attrs.asdict(issued) == {**attrs.asdict(plain), "secret": "s"}
    assert {each.name for each in attrs.fields(models.IssuedToken) if each.kw_only} == {"secret"}
