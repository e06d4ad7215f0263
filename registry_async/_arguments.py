"""Checks of what callers pass in: a bad argument is a ValueError before anything is sent."""

import re
from collections.abc import Callable, Iterable, Mapping
from datetime import datetime
from enum import StrEnum
from math import isfinite
from typing import Final, Literal

from registry_async.models import TokenScope
from registry_async.retry import RetryEvent, RetryPolicy

# What a type checker lets callers write in place of the enums, so that a typo is a type error.
ApiVersion = Literal[1, 2]
RegistrySort = Literal["name", "created_at", "createdAt", "size"]
RepositorySort = Literal["name", "updated_at", "updatedAt", "size"]
NameSort = Literal["name"]
TokenSort = Literal[
    "name", "created_at", "createdAt", "last_used_at", "lastUsedAt", "expires_at", "expiresAt"
]
SortDirection = Literal["asc", "desc"]
AccessMode = Literal["ro", "rw"]
TokenLife = Literal["12h", "1y"]

QueryValue = str | int | bool | None

# Control characters, which would end up in logs and headers, and what has no UTF-8 form.
_UNSENDABLE: Final = re.compile("[\x00-\x1f\x7f\ud800-\udfff]")
# The service's own rule, less the length: it accepts longer names than it documents.
_REGISTRY_NAME: Final = re.compile(r"[a-z]([a-z0-9-]*[a-z0-9])?")
# As the OCI image specification writes digests.
_DIGEST: Final = re.compile(r"[a-z0-9]+([+._-][a-z0-9]+)*:[A-Za-z0-9=_-]+")


def check_text(value: str, argument: str) -> str:
    """Return the value if it is text that can be sent.

    Raises:
        ValueError: It is no string, or holds control characters or lone surrogates.
    """
    # Callers without a type checker pass None and numbers, which would be sent as their text.
    if not isinstance(value, str):  # pyright: ignore[reportUnnecessaryIsInstance]
        raise ValueError(f"{argument} must be a string, not {type(value).__name__}")
    if _UNSENDABLE.search(value):
        raise ValueError(f"{argument} must not contain control characters or lone surrogates")
    return value


def check_filled(value: str, argument: str) -> str:
    """Return the value if it is text that can be sent and is not empty.

    Raises:
        ValueError: It is not.
    """
    if not check_text(value, argument):
        raise ValueError(f"{argument} must not be empty")
    return value


def check_texts(values: Iterable[str], argument: str) -> list[str]:
    """Return a list of texts that can be sent, none of them empty.

    Raises:
        ValueError: It is one string, or no iterable, or one of its items cannot be sent.
    """
    # A bare string is an iterable of letters, each of which would name something.
    if isinstance(values, str) or not isinstance(values, Iterable):  # pyright: ignore[reportUnnecessaryIsInstance]
        raise ValueError(f"{argument} must be a sequence of strings, not {type(values).__name__}")
    texts = [check_text(value, argument) for value in values]
    if "" in texts:
        raise ValueError(f"{argument} must not contain an empty string")
    return texts


def check_flag(value: bool, argument: str) -> bool:
    """Return the value if it is a bool: the text ``"false"`` would mean yes.

    Raises:
        ValueError: It is neither True nor False.
    """
    if not isinstance(value, bool):  # pyright: ignore[reportUnnecessaryIsInstance]
        raise ValueError(f"{argument} must be True or False, not {type(value).__name__}")
    return value


def check_count(value: int, argument: str, *, minimum: int) -> int:
    """Return the value if it is an integer of at least the minimum.

    Raises:
        ValueError: It is not.
    """
    if not isinstance(value, int) or isinstance(value, bool) or value < minimum:  # pyright: ignore[reportUnnecessaryIsInstance]
        raise ValueError(f"{argument} must be an integer of at least {minimum}")
    return value


def check_seconds(value: float, argument: str) -> float:
    """Return the value if it is a finite number of seconds that is not negative.

    Raises:
        ValueError: It is not.
    """
    number = isinstance(value, int | float) and not isinstance(value, bool)  # pyright: ignore[reportUnnecessaryIsInstance]
    if not number or not isfinite(value) or value < 0:
        raise ValueError(f"{argument} must be a finite number of seconds, 0 or more")
    return float(value)


def check_interval(value: float, argument: str) -> float:
    """Return the value if it is a finite number of seconds above 0.

    Raises:
        ValueError: It is not.
    """
    if not check_seconds(value, argument):
        raise ValueError(f"{argument} must be more than 0 seconds")
    return float(value)


def check_choice(value: str | None, choices: type[StrEnum], argument: str) -> str | None:
    """Return the text of one of an enum's values.

    Raises:
        ValueError: It is none of them.
    """
    if value is None:
        return None
    try:
        return choices(value).value
    except ValueError:
        allowed = ", ".join(member.value for member in choices)
    raise ValueError(f"{argument} must be one of {allowed}")


def check_sort_field(value: str | None, choices: type[StrEnum]) -> str | None:
    """Return the service's word for what to sort by; a model's own name for it will do.

    Raises:
        ValueError: The service does not sort by it.
    """
    if value is None:
        return None
    # The members are called as the models' fields are, in capitals.
    fields = {name.lower(): member.value for name, member in choices.__members__.items()}
    if value in fields:
        return fields[value]
    try:
        return choices(value).value
    except ValueError:
        allowed = ", ".join(fields)
    raise ValueError(f"sort_field must be one of {allowed}")


def check_search(value: str | None) -> str | None:
    """Return what to search for; an empty text is no filter.

    Raises:
        ValueError: It cannot be sent.
    """
    return None if value is None else check_text(value, "search") or None


def check_api_version(api_version: ApiVersion) -> ApiVersion:
    """Return the version of the API whose list is asked for.

    Raises:
        ValueError: It is neither 1 nor 2.
    """
    if isinstance(api_version, bool) or api_version not in (1, 2):  # pyright: ignore[reportUnnecessaryIsInstance]
        raise ValueError("api_version must be 1 or 2")
    return api_version


def check_registry_name(name: str) -> str:
    """Return the name if its letters are those of a registry's; the service judges its length.

    Raises:
        ValueError: No registry can have this name.
    """
    if not _REGISTRY_NAME.fullmatch(check_text(name, "name")):
        raise ValueError(
            "name must be lower-case Latin letters, digits and hyphens, "
            "start with a letter and end with a letter or digit"
        )
    return name


def check_digest(value: str, argument: str, advice: str) -> str:
    """Return the value if it is written as a digest is.

    Args:
        value: What should be a digest.
        argument: The name of the argument, for the error.
        advice: What to do with a tag instead.

    Raises:
        ValueError: It is no digest.
    """
    if not _DIGEST.fullmatch(check_text(value, argument)):
        raise ValueError(f"{argument} must be a digest such as sha256:…, not {value!r}: {advice}")
    return value


def check_end(expires_at: datetime | None) -> datetime | None:
    """Return the end of a token's life if it names one moment, or None for no end.

    Raises:
        ValueError: It is no datetime, or has no time zone.
    """
    if expires_at is None:
        return None
    if not isinstance(expires_at, datetime):  # pyright: ignore[reportUnnecessaryIsInstance]
        raise ValueError("expires_at must be a datetime, or None for a token that never expires")
    if expires_at.utcoffset() is None:
        raise ValueError("expires_at must have a time zone: its hour would be a guess otherwise")
    return expires_at


def check_scope(scope: TokenScope) -> TokenScope:
    """Return the scope of a token if it opens something and says clearly what.

    Raises:
        ValueError: It does not.
    """
    if not isinstance(scope, TokenScope):  # pyright: ignore[reportUnnecessaryIsInstance]
        raise ValueError("scope must be a TokenScope")
    check_flag(scope.all_registries, "scope.all_registries")
    check_flag(scope.read_write, "scope.read_write")
    for registry_id in scope.registry_ids:
        if not check_text(registry_id, "scope.registry_ids"):
            raise ValueError("scope.registry_ids must not contain an empty id")
    if not scope.all_registries and not scope.registry_ids:
        raise ValueError("scope.registry_ids must name a registry unless all_registries is True")
    return scope


def check_retry(retry: RetryPolicy) -> RetryPolicy:
    """Return the value if it is a policy of repeats.

    Raises:
        ValueError: It is none.
    """
    if not isinstance(retry, RetryPolicy):  # pyright: ignore[reportUnnecessaryIsInstance]
        raise ValueError("retry must be a RetryPolicy")
    return retry


def check_hook(
    on_retry: Callable[[RetryEvent], object] | None,
) -> Callable[[RetryEvent], object] | None:
    """Return the value if it can be called before each repeat.

    Raises:
        ValueError: It cannot.
    """
    if on_retry is not None and not callable(on_retry):
        raise ValueError("on_retry must be a function that takes a RetryEvent")
    return on_retry


def check_agent(user_agent: str) -> str:
    """Return the name of an application if it can travel in a header.

    Raises:
        ValueError: It cannot.
    """
    if not check_text(user_agent, "user_agent").isascii():
        raise ValueError("user_agent must be ASCII text")
    return user_agent


def check_method(method: str) -> str:
    """Return an HTTP method in capitals.

    Raises:
        ValueError: It is none.
    """
    if not isinstance(method, str) or not method.isascii() or not method.isalpha():  # pyright: ignore[reportUnnecessaryIsInstance]
        raise ValueError("method must be an HTTP method such as GET")
    return method.upper()


def check_params(params: Mapping[str, QueryValue] | None) -> Mapping[str, QueryValue]:
    """Return the parameters of a query that can be sent.

    Raises:
        ValueError: A name or a value cannot be sent.
    """
    if params is not None and not isinstance(params, Mapping):  # pyright: ignore[reportUnnecessaryIsInstance]
        raise ValueError("params must be a mapping of names to values")
    for name, value in (params or {}).items():
        check_text(name, "params")
        if isinstance(value, str):
            check_text(value, f"params[{name!r}]")
        elif value is not None and not isinstance(value, int):  # pyright: ignore[reportUnnecessaryIsInstance]
            raise ValueError(f"params[{name!r}] must be text, an integer, a bool or None")
    return params or {}
