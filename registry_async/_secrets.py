"""Keep secrets out of everything that a person or a log may see."""

import html
import json
import re
from collections.abc import Callable, Iterable, Iterator
from functools import wraps
from typing import Any, Final, cast
from urllib.parse import quote, quote_plus

REDACTED: Final = "***"

# A shorter "secret" would blot out ordinary words when it is removed from texts.
_SHORTEST_SCRUBBED: Final = 4
_PERCENT: Final = re.compile("%[0-9A-F]{2}")


class Secret(str):
    """A string that shows only that it is one.

    Local variables are part of what crash reporters collect, so a secret is wrapped as soon as it
    enters the package: its ``repr`` is redacted while the value stays usable as a plain string.
    What is made of it, a slice above all, is a secret, too: reporters cut long texts before they
    show them. ``str()`` and formatting give the plain text.
    """

    __slots__ = ()

    def __repr__(self) -> str:
        return f"'{REDACTED}'"

    def __radd__(self, other: str) -> "Secret":
        return Secret(str(other) + str(self))


class SecretBytes(bytes):
    """Bytes that show only that they are some: the body of a login."""

    __slots__ = ()

    def __repr__(self) -> str:
        return f"b'{REDACTED}'"

    def __radd__(self, other: bytes) -> "SecretBytes":
        return SecretBytes(bytes(other) + bytes(self))


# What tells something about a text, or is its plain form, and what Python needs as it is.
_PLAIN: Final = frozenset(
    {"__bytes__", "__buffer__", "__class__", "__contains__", "__delattr__", "__dir__", "__doc__"}
    | {"__eq__", "__format__", "__ge__", "__getattribute__", "__getnewargs__", "__getstate__"}
    | {"__gt__", "__hash__", "__init__", "__init_subclass__", "__le__", "__len__", "__lt__"}
    | {"__ne__", "__new__", "__reduce__", "__reduce_ex__", "__release_buffer__", "__repr__"}
    | {"__setattr__", "__sizeof__", "__str__", "__subclasshook__", "fromhex", "maketrans"}
)


def _kept_secret(value: Any) -> Any:
    if isinstance(value, str):
        return Secret(value)
    if isinstance(value, bytes):
        return SecretBytes(value)
    if isinstance(value, list):
        return [_kept_secret(each) for each in cast("list[object]", value)]
    if isinstance(value, tuple):
        return tuple(_kept_secret(each) for each in cast("tuple[object, ...]", value))
    return value


def _keep_secrets(kind: type, base: type) -> None:
    """Have every method that gives text, bytes or parts of them give secrets."""

    def keeping(method: Callable[..., Any]) -> Callable[..., Any]:
        @wraps(method)
        def kept(self: Any, *arguments: Any, **named: Any) -> Any:
            return _kept_secret(method(self, *arguments, **named))

        return kept

    for name, method in vars(base).items():
        if name not in _PLAIN and callable(method):
            setattr(kind, name, keeping(method))


_keep_secrets(Secret, str)
_keep_secrets(SecretBytes, bytes)


def header_value(token: str, source: str) -> Secret:
    """Return a token that can travel in a header.

    Args:
        token: The token; its text never shows in the error.
        source: What gave it, for the error.

    Raises:
        ValueError: It is no text, is empty, or holds what a header cannot.
    """
    fits = isinstance(token, str) and token.isascii() and token.isprintable()  # pyright: ignore[reportUnnecessaryIsInstance]
    if not fits or not token or " " in token:
        raise ValueError(f"{source} must be ASCII text without spaces or line breaks, not empty")
    return Secret(token)


def scrub(text: str, secrets: Iterable[str]) -> str:
    """Return the text with every secret replaced, in every form that it is usually written in.

    A text may have been cut inside a secret, so what is left of one at its ends goes, too.
    """
    for secret in secrets:
        if len(secret) >= _SHORTEST_SCRUBBED:
            forms = sorted(set(_forms(str(secret))), key=len, reverse=True)
            for form in forms:
                text = text.replace(form, REDACTED)
            for form in forms:
                text = _scrub_ends(text, form)
    return text


def _scrub_ends(text: str, secret: str) -> str:
    for length in range(min(len(secret), len(text)), _SHORTEST_SCRUBBED - 1, -1):
        if text.endswith(secret[:length]):
            text = text[:-length] + REDACTED
            break
    for length in range(min(len(secret), len(text)), _SHORTEST_SCRUBBED - 1, -1):
        if text.startswith(secret[-length:]):
            text = REDACTED + text[length:]
            break
    return text


def _forms(secret: str) -> Iterator[str]:
    # A service that repeats what it was sent escapes it as its answer's format demands.
    yield secret
    for encode in (quote, quote_plus):
        for safe in ("", "/"):
            encoded = encode(secret, safe=safe)
            yield encoded
            yield _PERCENT.sub(lambda found: found[0].lower(), encoded)
    for escaped in (secret, secret.replace("/", "\\/")):
        for ascii_only in (True, False):
            # Go escapes the characters of HTML, too.
            text = json.dumps(escaped, ensure_ascii=ascii_only)[1:-1].replace("\\\\/", "\\/")
            yield text
            yield text.replace("<", "\\u003c").replace(">", "\\u003e").replace("&", "\\u0026")
    yield html.escape(secret)
    yield html.escape(secret, quote=False)
    yield repr(secret)[1:-1]
    yield repr(secret.encode("utf-8", "replace"))[2:-1]


def hide(value: Any) -> Any:
    """Return the value in a form that does not show itself, where it is text or bytes.

    For arguments that should be a secret and are checked only later.
    """
    if isinstance(value, str):
        return Secret(value)
    return SecretBytes(value) if isinstance(value, bytes | bytearray) else value
