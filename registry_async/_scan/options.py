"""The options of a scan: their types, their defaults, and what makes sense."""

import re
from collections.abc import Callable, Iterable
from fnmatch import translate
from math import isfinite
from typing import Any, Final, Literal, TypedDict

from attrs import frozen

from registry_async._arguments import check_count
from registry_async._pagination import DEFAULT_PAGE_SIZE
from registry_async._scan.results import ScanProgress

__all__ = ["DEFAULT_CONCURRENCY", "Patterns", "ScanOptions", "ScanSettings"]

Pattern = str | re.Pattern[str]
Patterns = Pattern | Iterable[Pattern]

DEFAULT_CONCURRENCY: Final = 32


class ScanSettings(TypedDict, total=False):
    """The keywords that all kinds of scans take."""

    concurrency: int
    registries: str | Iterable[str] | None
    repository: Patterns | None
    tags: Patterns | bool | None
    page_size: int
    max_rate: float | None
    on_error: Literal["record", "raise"]
    on_progress: Callable[[ScanProgress], object] | None
    progress: bool


@frozen(kw_only=True)
class ScanOptions:
    """The options of a scan, checked.

    Attributes:
        concurrency: The most requests in flight at once.
        page_size: The items to ask for in one page.
        images: Whether images are read, or repositories only.
        registries: The names and ids of the registries to read; None for all.
        matches_repository: Says by its name whether a repository is read; None for all.
        matches_tags: Says by its tags whether an image is given; None for all.
        max_rate: The most requests in a second.
        raises: Whether the first failure ends the scan.
        on_progress: What to call after each page.
        progress: Whether to show a progress bar.
    """

    concurrency: int = DEFAULT_CONCURRENCY
    page_size: int = DEFAULT_PAGE_SIZE
    images: bool = True
    registries: frozenset[str] | None = None
    matches_repository: Callable[[str], bool] | None = None
    matches_tags: Callable[[tuple[str, ...]], bool] | None = None
    max_rate: float | None = None
    raises: bool = False
    on_progress: Callable[[ScanProgress], object] | None = None
    progress: bool = False

    @classmethod
    def check(
        cls,
        *,
        registries: str | Iterable[str] | None,
        repository: Patterns | None,
        images: bool,
        tags: Patterns | bool | None,
        on_error: str,
        **others: Any,
    ) -> "ScanOptions":
        """Check the keywords of a scan.

        Raises:
            ValueError: One of them makes no sense.
        """
        if on_error not in ("record", "raise"):
            raise ValueError("on_error must be 'record' or 'raise'")
        if tags is not None and not images:
            raise ValueError("tags are looked at in images: they make no sense with images=False")
        check_count(others["concurrency"], "concurrency", minimum=1)
        check_count(others["page_size"], "page_size", minimum=1)
        _check_rate(others["max_rate"])
        return cls(
            images=images,
            registries=_names(registries),
            matches_repository=None if repository is None else _matcher(repository, "repository"),
            matches_tags=_tags_matcher(tags),
            raises=on_error == "raise",
            **others,
        )


def _check_rate(rate: float | None) -> None:
    if rate is None:
        return
    number = isinstance(rate, int | float) and not isinstance(rate, bool)  # pyright: ignore[reportUnnecessaryIsInstance]
    if not number or not isfinite(rate) or rate <= 0:
        raise ValueError("max_rate must be requests per second, more than 0")


def _names(registries: str | Iterable[str] | None) -> frozenset[str] | None:
    if registries is None:
        return None
    names = {registries} if isinstance(registries, str) else _all(registries)
    if not names or not all(isinstance(name, str) and name for name in names):
        raise ValueError("registries must be names or ids, at least one")
    return frozenset(names)


def _all(values: Any) -> list[Any]:
    """Return what can be iterated as a list, and anything else as the only item of one."""
    return list(values) if isinstance(values, Iterable) else [values]  # pyright: ignore[reportUnknownArgumentType]


def _matcher(patterns: Patterns, argument: str) -> Callable[[str], bool]:
    several = [patterns] if isinstance(patterns, str | re.Pattern) else _all(patterns)
    searches: list[Callable[[str], object]] = []
    for pattern in several:
        if isinstance(pattern, re.Pattern):
            if not isinstance(pattern.pattern, str):  # pyright: ignore[reportUnknownMemberType]
                raise ValueError(f"{argument} must be a pattern for text, not for bytes")
            searches.append(pattern.search)  # pyright: ignore[reportUnknownMemberType, reportUnknownArgumentType]
        elif isinstance(pattern, str) and pattern:
            searches.append(re.compile(translate(pattern)).match)
        else:
            raise ValueError(
                f"{argument} must be text with wildcards, a compiled pattern, or several of these,"
                f" not {pattern!r}"
            )
    if not searches:
        raise ValueError(f"{argument} must be at least one pattern")
    return lambda name: any(search(name) is not None for search in searches)


def _tags_matcher(tags: Patterns | bool | None) -> Callable[[tuple[str, ...]], bool] | None:
    if tags is None:
        return None
    if isinstance(tags, bool):
        return bool if tags else (lambda found: not found)
    matches = _matcher(tags, "tags")
    return lambda found: any(matches(tag) for tag in found)
