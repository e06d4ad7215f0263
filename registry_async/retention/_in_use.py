"""The images that run somewhere, as their users list them."""

import json
from collections.abc import Iterable, Iterator, Mapping
from typing import Final, Self, cast

from attrs import field, frozen

from registry_async._plain import PlainData
from registry_async.references import ImageReference

__all__ = ["InUse"]

_CONTAINERS: Final = frozenset({"containers", "initContainers", "ephemeralContainers"})
_STATUSES: Final = frozenset(
    {"containerStatuses", "initContainerStatuses", "ephemeralContainerStatuses"}
)
# What container runtimes put before the ids of images.
_SCHEMES: Final = ("docker-pullable://", "docker://", "containerd://", "cri-o://")
_DIGEST_PREFIXES: Final = ("sha256:", "sha512:")


def _sorted_references(value: Iterable[ImageReference]) -> tuple[ImageReference, ...]:
    unusable = isinstance(value, str) or not isinstance(value, Iterable)  # pyright: ignore[reportUnnecessaryIsInstance]
    items = [] if unusable else list(value)
    if not all(isinstance(each, ImageReference) for each in items):  # pyright: ignore[reportUnnecessaryIsInstance]
        raise ValueError("references must be ImageReferences; InUse.from_references() takes texts")
    if not items:
        raise ValueError("nothing in it names an image; leave in_use out if you know of none")
    return tuple(sorted(set(items), key=str))


@frozen(weakref_slot=False)
class InUse(PlainData):
    """The images that run somewhere, or may run again: they stay, and their parts.

    A reference protects the image that its tag names when the plan is made or applied, and the
    one that its digest names. ``latest`` is meant where it names neither. The host is not
    compared, nor what a proxy puts before the path. A digest protects in every repository.

    ``a | b`` is what either holds. There is no empty one: "nothing is in use" is never what a
    list means that came out empty.

    Attributes:
        references: The references, sorted, each once.

    Raises:
        ValueError: There is no reference.
    """

    references: tuple[ImageReference, ...] = field(converter=_sorted_references)

    @classmethod
    def from_references(cls, references: Iterable[str | ImageReference]) -> Self:
        """Return the images that references name.

        Args:
            references: Texts such as ``cr.selcloud.ru/prod/team/app:1.2@sha256:…``.

        Raises:
            ValueError: One is no reference with a host, or there is none.
        """
        if isinstance(references, str | ImageReference) or not isinstance(references, Iterable):  # pyright: ignore[reportUnnecessaryIsInstance]
            raise ValueError("references must be a sequence of references, not one")
        found: list[ImageReference] = []
        for index, reference in enumerate(references):
            try:
                found.append(
                    reference
                    if isinstance(reference, ImageReference)
                    else ImageReference.parse(reference)
                )
            except ValueError as error:
                raise ValueError(f"references[{index}]: {error}") from None
        return cls(found)

    @classmethod
    def from_kubernetes(cls, text: str | bytes) -> Self:
        """Return the images that a cluster runs, or may run again.

        Args:
            text: What ``kubectl get pods,deploy,rs,sts,ds,jobs,cronjobs -A -o json`` prints. Init
                and ephemeral containers count, and so do the digests that pods have pulled.
                Names without a host and bare image ids name no registry and are passed over.

        Raises:
            ValueError: It is no such list, something in it cannot be read, or nothing in it
                names an image of a registry.
        """
        try:
            document: object = json.loads(text)
        except (ValueError, RecursionError, TypeError):
            raise ValueError("the list of images in use is not JSON as kubectl prints it") from None
        if not isinstance(document, dict):
            raise ValueError(
                "the list of images in use must be a JSON object, as kubectl prints it"
            )
        metadata = cast("dict[str, object]", document).get("metadata")
        if isinstance(metadata, dict) and cast("dict[str, object]", metadata).get("continue"):
            raise ValueError("metadata.continue: the list of images in use is cut short")
        found: set[ImageReference] = set()
        try:
            for place, image in _images(cast("dict[str, object]", document), ""):
                reference = _reference(image, place)
                if reference is not None:
                    found.add(reference)
        except RecursionError:
            raise ValueError("the list of images in use is nested too deeply") from None
        if not found:
            raise ValueError(
                "nothing in the list of images in use names an image of a registry; "
                "leave in_use out if you know of none"
            )
        return cls(found)

    def __or__(self, other: "InUse") -> "InUse":
        if not isinstance(other, InUse):  # pyright: ignore[reportUnnecessaryIsInstance]
            return NotImplemented
        return InUse((*self.references, *other.references))


def _images(value: object, place: str) -> Iterator[tuple[str, str]]:
    """Find the images of containers, wherever templates put them."""
    if isinstance(value, list):
        for index, item in enumerate(cast("list[object]", value)):
            yield from _images(item, f"{place}[{index}]")
        return
    if not isinstance(value, dict):
        return
    for key, inner in cast("dict[str, object]", value).items():
        where = f"{place}.{key}" if place else key
        if key in _CONTAINERS or key in _STATUSES:
            if inner is None:
                continue
            if not isinstance(inner, list):
                raise ValueError(f"{where}: must be an array")
            for index, item in enumerate(cast("list[object]", inner)):
                yield from _container_images(item, f"{where}[{index}]", status=key in _STATUSES)
        elif key == "volumes":
            yield from _volume_images(inner, where)
        elif key == "items":
            if not isinstance(inner, list):
                raise ValueError(f"{where}: must be an array")
            yield from _images(cast("list[object]", inner), where)
        else:
            yield from _images(inner, where)


def _container_images(value: object, place: str, *, status: bool) -> Iterator[tuple[str, str]]:
    if not isinstance(value, dict):
        raise ValueError(f"{place}: must be an object")
    container = cast("Mapping[str, object]", value)
    for key in ("image", "imageID") if status else ("image",):
        image = container.get(key)
        if image is None or image == "":
            continue
        if not isinstance(image, str):
            raise ValueError(f"{place}.{key}: must be a text")
        yield f"{place}.{key}", image


def _volume_images(value: object, place: str) -> Iterator[tuple[str, str]]:
    # Volumes made of images, which Kubernetes knows since 1.31.
    for index, volume in enumerate(cast("list[object]", value) if isinstance(value, list) else []):
        image = cast("dict[str, object]", volume).get("image") if isinstance(volume, dict) else None
        if isinstance(image, dict):
            reference = cast("dict[str, object]", image).get("reference")
            if reference is not None and not isinstance(reference, str):
                raise ValueError(f"{place}[{index}].image.reference: must be a text")
            if reference:
                yield f"{place}[{index}].image.reference", reference


def _reference(image: str, place: str) -> ImageReference | None:
    text = image.strip()
    for scheme in _SCHEMES:
        text = text.removeprefix(scheme)
    if text.startswith(_DIGEST_PREFIXES):
        return None
    first, slash, _ = text.partition("/")
    if not slash or not (first == "localhost" or not {".", ":"}.isdisjoint(first)):
        return None
    try:
        return ImageReference.parse(text)
    except ValueError as error:
        raise ValueError(f"{place}: {error}") from None
