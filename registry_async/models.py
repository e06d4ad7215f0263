"""The values that the client gives and takes: frozen, slotted, and ignorant of the wire."""

from collections.abc import Callable, Iterable, Sequence
from datetime import datetime
from enum import StrEnum
from operator import attrgetter
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, Final

from attrs import Attribute, field, frozen

from registry_async._docker_config import DockerAuth, DockerConfig
from registry_async._plain import PlainData

__all__ = [
    "CleanupFailure",
    "CleanupResult",
    "Cluster",
    "DeletedImage",
    "DockerAuth",
    "DockerConfig",
    "GarbageSize",
    "Image",
    "IssuedToken",
    "Layer",
    "Registry",
    "RegistrySortField",
    "RegistryStatus",
    "Repository",
    "RepositorySortField",
    "RepositoryType",
    "ScopeMode",
    "SortOrder",
    "Token",
    "TokenScope",
    "TokenSortField",
    "TokenStatus",
    "TokenTtl",
    "TokenV1",
]


class RegistryStatus(StrEnum):
    """The statuses of a registry seen so far; a new one arrives as a plain string."""

    CREATING = "CREATING"
    ACTIVE = "ACTIVE"
    DELETING = "DELETING"
    GARBAGE_COLLECTION = "GARBAGE_COLLECTION"
    ERROR = "ERROR"


class RepositoryType(StrEnum):
    """The documented kinds of repository; any other arrives as a plain string."""

    HELM_CHART = "helm_chart"


class TokenStatus(StrEnum):
    """The statuses of a token seen so far; a new one arrives as a plain string."""

    ACTIVE = "active"
    EXPIRED = "expired"
    REVOKED = "revoked"
    DELETED = "deleted"


class SortOrder(StrEnum):
    """The direction in which a list is sorted."""

    ASC = "asc"
    DESC = "desc"


class RegistrySortField(StrEnum):
    """What registries can be sorted by."""

    NAME = "name"
    CREATED_AT = "createdAt"
    SIZE = "size"


class RepositorySortField(StrEnum):
    """What repositories can be sorted by."""

    NAME = "name"
    UPDATED_AT = "updatedAt"
    SIZE = "size"


class TokenSortField(StrEnum):
    """What access tokens can be sorted by."""

    NAME = "name"
    CREATED_AT = "createdAt"
    LAST_USED_AT = "lastUsedAt"
    EXPIRES_AT = "expiresAt"


class ScopeMode(StrEnum):
    """The kinds of access that a list of tokens can be narrowed to."""

    READ_ONLY = "ro"
    READ_WRITE = "rw"


class TokenTtl(StrEnum):
    """The lives that a v1 token can have."""

    TWELVE_HOURS = "12h"
    ONE_YEAR = "1y"


# Fields that hold bytes carry this as their metadata, so that tables can show `1.4 GiB`.
BYTES: Final = MappingProxyType({"unit": "bytes"})


def holds_bytes(attribute: "Attribute[Any]") -> bool:
    """Return whether a field of a model holds a number of bytes."""
    return attribute.metadata.get("unit") == BYTES["unit"]


# No weakref slot in any model: on a million images it costs 8 MB that nobody uses.
@frozen(weakref_slot=False)
class Registry(PlainData):
    """A container registry.

    Attributes:
        id: The identifier that every other operation takes.
        name: The name, which is also the first part of image names in it.
        status: A `RegistryStatus`, or the text of one that is not known yet.
        size: The bytes stored.
        created_at: When it was created, in UTC; None when the service has not set it.
        size_limit: The most bytes that it may hold; only v1 answers carry it.
        used: The percentage of ``size_limit`` in use, 0 to 100; only v1 answers carry it.
    """

    id: str
    name: str
    status: RegistryStatus | str
    size: int = field(metadata=BYTES)
    created_at: datetime | None
    size_limit: int | None = field(default=None, metadata=BYTES)
    used: float | None = None


@frozen(weakref_slot=False)
class Repository(PlainData):
    """A repository of images or charts.

    Attributes:
        name: The name within its registry; it may hold slashes.
        size: The bytes stored.
        type: A `RepositoryType`, or the text of another kind.
        updated_at: When it last changed, in UTC.
    """

    name: str
    size: int | None = field(default=None, metadata=BYTES)
    type: RepositoryType | str | None = None
    updated_at: datetime | None = None


@frozen(weakref_slot=False)
class Layer(PlainData):
    """A layer of an image.

    Attributes:
        digest: The digest of its content.
        size: The bytes of its compressed content.
    """

    digest: str
    size: int = field(metadata=BYTES)


class LayersOnDemand(PlainData):
    """Makes an image's layers when they are first looked at.

    An image that was read from a list has nothing in the slot of ``layers`` until then, so that
    Python asks ``__getattr__``. From then on it is a slot like others.

    Attributes:
        undecoded_layers: What holds a digest and a size for each layer: objects that have them as
            attributes, or texts and integers in turns. Images that are made by hand have none.
    """

    __slots__ = ("undecoded_layers",)

    undecoded_layers: Sequence[Any]

    if not TYPE_CHECKING:
        # Type checkers would take every misspelled attribute for one that exists.
        def __getattr__(self, name: str) -> object:
            if name != "layers":
                raise AttributeError(f"{type(self).__name__!r} object has no attribute {name!r}")
            pairs = _pairs(self.undecoded_layers)
            layers = tuple(Layer(digest, size) for digest, size in pairs)
            # This order, since another thread may be here, too. It then finds equal layers.
            object.__setattr__(self, "undecoded_layers", layers)
            object.__setattr__(self, "layers", layers)
            return layers


_DIGEST_AND_SIZE: Final[Callable[[Any], tuple[str, int]]] = attrgetter("digest", "size")


def _pairs(layers: Sequence[Any]) -> Iterable[tuple[str, int]]:
    if layers and isinstance(layers[0], str):
        return zip(layers[::2], layers[1::2], strict=True)
    return map(_DIGEST_AND_SIZE, layers)


def _undecoded(image: "Image") -> Sequence[Any]:
    try:
        return image.undecoded_layers
    except AttributeError:
        # It was made by hand.
        return image.layers


def layer_pairs(image: "Image") -> Iterable[tuple[str, int]]:
    """Return the digest and size of each layer of an image, lowest first, making no objects."""
    return _pairs(_undecoded(image))


def has_layers(image: "Image") -> bool:
    """Return whether an image lists any layers, making no objects."""
    return bool(_undecoded(image))


@frozen(weakref_slot=False)
class Image(LayersOnDemand):
    """An image (a manifest) of a repository.

    Attributes:
        digest: The digest that names it for good.
        tags: The tags that point at it; empty for an untagged image.
        size: The bytes of all its parts.
        created_at: When it was built, in UTC.
        architecture: The processor architecture, such as ``amd64``.
        os: The operating system, such as ``linux``.
        media_type: The media type of the manifest.
        layers: The layers, lowest first.
    """

    digest: str
    tags: tuple[str, ...] = ()
    size: int | None = field(default=None, metadata=BYTES)
    created_at: datetime | None = None
    architecture: str | None = None
    os: str | None = None
    media_type: str | None = None
    layers: tuple[Layer, ...] = ()


@frozen(weakref_slot=False)
class Cluster(PlainData):
    """A Kubernetes cluster that is integrated with a registry.

    Attributes:
        id: The identifier of the cluster.
        name: Its name.
        pool: The pool (location) that it runs in, such as ``ru-9``.
    """

    id: str | None = None
    name: str | None = None
    pool: str | None = None


@frozen(weakref_slot=False)
class GarbageSize(PlainData):
    """The bytes that a garbage collection would free.

    Attributes:
        non_referenced: The bytes in layers that no manifest refers to.
        untagged: The bytes in images without tags.
        total: The sum of the two.
    """

    non_referenced: int = field(metadata=BYTES)
    untagged: int = field(metadata=BYTES)
    total: int = field(metadata=BYTES)


@frozen(weakref_slot=False)
class DeletedImage(PlainData):
    """An image that a cleanup removed.

    Attributes:
        digest: The digest of the image.
        tags: The tags that went with it.
    """

    digest: str | None = None
    tags: tuple[str, ...] = ()


@frozen(weakref_slot=False)
class CleanupFailure(PlainData):
    """An image that a cleanup could not remove.

    Attributes:
        digest: The digest of the image.
        tags: The tags that stay.
        error: Why it stays, in the service's words.
    """

    digest: str | None = None
    tags: tuple[str, ...] = ()
    error: str | None = None


@frozen(weakref_slot=False)
class CleanupResult(PlainData):
    """What a cleanup did. It may have failed in part: look at ``failed``.

    Attributes:
        deleted: What was removed.
        failed: What was not, and why.
    """

    deleted: tuple[DeletedImage, ...] = ()
    failed: tuple[CleanupFailure, ...] = ()


def _as_tuple(registry_ids: "tuple[str, ...] | list[str]") -> tuple[str, ...]:
    if isinstance(registry_ids, str):
        # A bare string is a sequence of letters: each would become a registry of its own.
        raise ValueError("registry_ids must be a sequence of registry ids, not one string")
    return tuple(registry_ids)


@frozen(weakref_slot=False)
class TokenScope(PlainData):
    """What an access token opens.

    Attributes:
        all_registries: Whether it opens every registry of the project.
        read_write: Whether it may push and delete; False is read-only.
        registry_ids: The registries that it opens when ``all_registries`` is False.
    """

    all_registries: bool
    read_write: bool
    registry_ids: tuple[str, ...] = field(default=(), converter=_as_tuple)


def _name_or_none(name: str | None) -> str | None:
    # The service's backend is written in Go, where a text that is not set is an empty one.
    return name or None


@frozen(weakref_slot=False)
class Token(PlainData):
    """An access token (v2), without its secret.

    Attributes:
        id: The identifier that the other operations take; it is not the secret.
        name: The name; None when it has none.
        status: A `TokenStatus`, or the text of one that is not known yet.
        scope: What it opens.
        expires_at: When it ends, in UTC; None means never.
        created_at: When it was created, in UTC.
        last_used_at: When it was last used, in UTC; None means never.
    """

    id: str
    name: str | None = field(converter=_name_or_none)
    status: TokenStatus | str
    scope: TokenScope
    expires_at: datetime | None
    created_at: datetime | None = None
    last_used_at: datetime | None = None


@frozen(weakref_slot=False)
class IssuedToken(Token):
    """An access token (v2) with its secret, which the service shows this once.

    Attributes:
        secret: The password of the user ``token`` for Docker; left out of ``repr``.
    """

    # Not the class: attrs below 25.4 would take the inherited fields by keyword only, too.
    secret: str = field(repr=False, kw_only=True)


@frozen(weakref_slot=False)
class TokenV1(PlainData):
    """An access token of API v1, which is named by its secret.

    Attributes:
        secret: The token itself; left out of ``repr``.
        expires_at: When it ends, in UTC.
    """

    secret: str = field(repr=False)
    expires_at: datetime
