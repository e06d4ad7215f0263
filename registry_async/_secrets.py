"""Keep secrets out of everything that a person or a log may see."""

import html
import json
import re
from collections.abc import Iterable, Iterator
from typing import Any, Final
from urllib.parse import quote, quote_plus

REDACTED: Final = "***"

# A shorter "secret" would blot out ordinary words when it is removed from texts.
_SHORTEST_SCRUBBED: Final = 4
_PERCENT: Final = re.compile("%[0-9A-F]{2}")


class Secret(str):
    """A string that shows only that it is one.

    Local variables are part of what crash reporters collect, so a secret is wrapped as soon as it
    enters the package: its ``repr`` is redacted while the value stays usable as a plain string.
    """

    __slots__ = ()

    def __repr__(self) -> str:
        return f"'{REDACTED}'"


def scrub(text: str, secrets: Iterable[str]) -> str:
    """Return the text with every secret replaced, in every form that it is usually written in."""
    for secret in secrets:
        if len(secret) >= _SHORTEST_SCRUBBED:
            for form in sorted(set(_forms(str(secret))), key=len, reverse=True):
                text = text.replace(form, REDACTED)
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


class SecretBytes(bytes):
    """Bytes that show only that they are some: the body of a login."""

    __slots__ = ()

    def __repr__(self) -> str:
        return f"b'{REDACTED}'"
