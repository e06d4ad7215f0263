"""References to images, in Docker's grammar, with the parts that this service knows."""

import re
from typing import TYPE_CHECKING, Final, Self

from attrs import field, frozen

from registry_async._plain import PlainData

if TYPE_CHECKING:
    from attrs import Attribute

__all__ = ["ImageReference"]

_LABEL: Final = r"(?:[A-Za-z0-9](?:[A-Za-z0-9-]*[A-Za-z0-9])?)"
_HOST: Final = re.compile(rf"(?:{_LABEL}(?:\.{_LABEL})*|\[[0-9A-Fa-f:]+\])(?::[0-9]+)?")
_COMPONENT: Final = r"[a-z0-9]+(?:(?:\.|_|__|-+)[a-z0-9]+)*"
_NAME: Final = re.compile(_COMPONENT)
_PATH: Final = re.compile(rf"{_COMPONENT}(?:/{_COMPONENT})*")
_TAG: Final = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_.-]{0,127}")
_DIGEST: Final = re.compile(r"[a-z][a-z0-9]*(?:[-_+.][a-z][a-z0-9]*)*:[0-9A-Fa-f]{32,}")
# The digits of the digests whose algorithm says how many there are.
_HEX_DIGITS: Final = {"sha256": 64, "sha384": 96, "sha512": 128}
# Docker's limit on everything between the host and the tag.
_MAX_PATH: Final = 255


def _check_host(_: object, __: "Attribute[str]", value: object) -> None:
    if not isinstance(value, str) or not _HOST.fullmatch(value) or not _names_a_host(value):
        raise ValueError("host must be a host's name or address, with or without a port")


def _check_registry(_: object, __: "Attribute[str]", value: object) -> None:
    if not isinstance(value, str) or not _NAME.fullmatch(value):
        raise ValueError(
            "registry must be lower-case letters and digits, divided by '.', '_', '__' or hyphens"
        )


def _check_repository(_: object, __: "Attribute[str]", value: object) -> None:
    if not isinstance(value, str) or (value and not _PATH.fullmatch(value)):
        raise ValueError(
            "repository must be parts of lower-case letters and digits, divided by slashes"
        )


def _check_tag(_: object, __: "Attribute[str | None]", value: object) -> None:
    if value is not None and not (isinstance(value, str) and _TAG.fullmatch(value)):
        raise ValueError("tag must be 1 to 128 letters, digits, '_', '.' and '-'")


def _check_digest(_: object, __: "Attribute[str | None]", value: object) -> None:
    if value is None:
        return
    if isinstance(value, str) and _DIGEST.fullmatch(value):
        algorithm, _, digits = value.partition(":")
        wanted = _HEX_DIGITS.get(algorithm)
        if wanted is None or (len(digits) == wanted and digits == digits.lower()):
            return
    raise ValueError("digest must be a whole digest such as sha256: and 64 hexadecimal digits")


def _names_a_host(text: str) -> bool:
    """Say whether Docker takes the first part of a reference for a host."""
    return text == "localhost" or text != text.lower() or not {".", ":"}.isdisjoint(text)


@frozen(weakref_slot=False)
class ImageReference(PlainData):
    """A reference to an image, such as ``cr.selcloud.ru/prod/team/app:1.2``.

    ``str()`` gives the text that was parsed.

    Attributes:
        host: The host, with its port where one is named.
        registry: The name of the registry.
        repository: The name of the repository in it; empty for an image at the registry's root.
        tag: The tag; None where none is named.
        digest: The digest; None where none is named.

    Raises:
        ValueError: A part is not what Docker's grammar allows.
    """

    host: str = field(validator=_check_host)
    registry: str = field(validator=_check_registry)
    repository: str = field(validator=_check_repository)
    tag: str | None = field(default=None, validator=_check_tag)
    digest: str | None = field(default=None, validator=_check_digest)

    def __attrs_post_init__(self) -> None:
        if len(self.path) > _MAX_PATH:
            raise ValueError(f"registry and repository must be at most {_MAX_PATH} characters")

    @property
    def path(self) -> str:
        """The registry and the repository: what is between the host and the tag."""
        return f"{self.registry}/{self.repository}" if self.repository else self.registry

    @classmethod
    def parse(cls, text: str) -> Self:
        """Return the reference that a text is.

        Args:
            text: ``host[:port]/registry[/repository][:tag][@digest]``. Nothing is left to guess:
                a text without a host is refused, not taken to be on Docker Hub.

        Raises:
            ValueError: It is no such reference; the message says which part is wrong.
        """
        if not isinstance(text, str):  # pyright: ignore[reportUnnecessaryIsInstance]
            raise ValueError("an image reference must be text")
        name, has_digest, digest = text.partition("@")
        host, slash, rest = name.partition("/")
        if not slash or not _names_a_host(host):
            raise ValueError(
                f"{text!r} is no image reference with a host, such as cr.selcloud.ru/registry/app:1"
            )
        path, has_tag, tag = rest.partition(":")
        registry, has_repository, repository = path.partition("/")
        if has_repository and not repository:
            raise ValueError(f"{text!r} is no image reference: the path ends with a slash")
        try:
            return cls(
                host,
                registry,
                repository,
                tag if has_tag else None,
                digest if has_digest else None,
            )
        except ValueError as error:
            raise ValueError(f"{text!r} is no image reference: {error}") from None

    def __str__(self) -> str:
        tag = "" if self.tag is None else f":{self.tag}"
        digest = "" if self.digest is None else f"@{self.digest}"
        return f"{self.host}/{self.path}{tag}{digest}"
