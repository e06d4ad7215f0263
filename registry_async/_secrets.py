"""Keep secrets out of everything that a person or a log may see."""

from collections.abc import Iterable
from typing import Final
from urllib.parse import quote

REDACTED: Final = "***"

# A shorter "secret" would blot out ordinary words when it is removed from texts.
_SHORTEST_SCRUBBED: Final = 4


class Secret(str):
    """A string that shows only that it is one.

    Local variables are part of what crash reporters collect, so a secret is wrapped as soon as it
    enters the package: its ``repr`` is redacted while the value stays usable as a plain string.
    """

    __slots__ = ()

    def __repr__(self) -> str:
        return f"'{REDACTED}'"


def scrub(text: str, secrets: Iterable[str]) -> str:
    """Return the text with every secret replaced, in its plain and its percent-encoded form."""
    for secret in secrets:
        if len(secret) >= _SHORTEST_SCRUBBED:
            for form in (secret, quote(secret, safe="")):
                text = text.replace(form, REDACTED)
    return text


class SecretBytes(bytes):
    """Bytes that show only that they are some: the body of a login."""

    __slots__ = ()

    def __repr__(self) -> str:
        return f"b'{REDACTED}'"
