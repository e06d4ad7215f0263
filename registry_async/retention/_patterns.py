"""Patterns and versions in texts: what fits, and what comes before what."""

import re
from collections.abc import Callable
from fnmatch import translate
from functools import lru_cache
from typing import Final

__all__ = [
    "Version",
    "check_digest",
    "check_glob",
    "check_regex",
    "fits_glob",
    "fits_regex",
    "signature_subject",
    "version_of",
]

# The three numbers decide first, then whether it is a release, then the parts of a pre-release.
Version = tuple[int, int, int, int, tuple[tuple[int, int, str], ...]]

_DIGEST: Final = re.compile(r"[a-z0-9]+(?:[+._-][a-z0-9]+)*:[A-Za-z0-9=_-]+")
_SIGNATURE: Final = re.compile(r"sha256-([0-9a-f]+)(?:\.(?:sig|att|sbom))?")
_NUMBER: Final = r"(0|[1-9][0-9]*)"
_PART: Final = r"(?:0|[1-9][0-9]*|[0-9]*[A-Za-z-][0-9A-Za-z-]*)"
_VERSION: Final = re.compile(
    rf"v?{_NUMBER}\.{_NUMBER}\.{_NUMBER}(?:-({_PART}(?:\.{_PART})*))?"
    # A tag cannot hold the plus sign of build metadata, so Helm writes an underscore.
    r"(?:[+_][0-9A-Za-z-]+(?:\.[0-9A-Za-z-]+)*)?"
)


def check_digest(text: str) -> None:
    """Refuse a text that cannot be a digest.

    Raises:
        ValueError: It is none.
    """
    if not _DIGEST.fullmatch(text):
        raise ValueError(f"{text!r} is no digest such as sha256:…")


def check_glob(text: str) -> None:
    """Refuse a glob that cannot be.

    Raises:
        ValueError: A bracket is left open, or holds a range that ends before it begins.
    """
    rest = text
    while (start := rest.find("[")) >= 0:
        inner = start + 1 + rest[start + 1 :].startswith("!")
        # A bracket right at the beginning is one of the characters, not the end of them.
        end = rest.find("]", inner + 1)
        if end < 0:
            raise ValueError(f"{text!r} has a [ without its ]")
        characters = rest[inner:end]
        for before, after in re.findall(r"(.)-(.)", characters, re.DOTALL):
            if before > after:
                raise ValueError(f"{text!r} has a range {before}-{after} that is empty")
        rest = rest[end + 1 :]


def check_regex(text: str) -> None:
    """Refuse a regular expression that cannot be.

    Raises:
        ValueError: It does not compile.
    """
    try:
        re.compile(text)
    except (re.error, OverflowError, RecursionError) as error:
        raise ValueError(f"{text!r} is no regular expression: {error}") from None


@lru_cache(maxsize=1024)
def fits_glob(glob: str) -> Callable[[str], "re.Match[str] | None"]:
    """Return what tells whether a glob fits a whole text, case-sensitively."""
    return re.compile(translate(glob)).fullmatch


@lru_cache(maxsize=1024)
def fits_regex(pattern: str) -> Callable[[str], "re.Match[str] | None"]:
    """Return what tells whether a regular expression fits a whole text."""
    return re.compile(pattern).fullmatch


def signature_subject(tag: str) -> str | None:
    """Return the digest that a signature's tag names; None for other tags."""
    match = _SIGNATURE.fullmatch(tag) if tag.startswith("sha256-") else None
    return None if match is None else f"sha256:{match[1]}"


def version_of(tag: str) -> Version | None:
    """Return what a tag's version is compared by; None where the tag is no version.

    Build metadata makes no difference, as semantic versioning has it.
    """
    match = _VERSION.fullmatch(tag)
    if match is None:
        return None
    try:
        numbers = int(match[1]), int(match[2]), int(match[3])
        if match[4] is None:
            return (*numbers, 1, ())
        # Numbers come before words, and are compared as numbers.
        parts = tuple(
            (0, int(part), "") if part.isdigit() else (1, 0, part) for part in match[4].split(".")
        )
    except ValueError:
        # More digits than Python converts: no version that anybody released.
        return None
    return (*numbers, 0, parts)
