"""What the OCI distribution API says: manifests, challenges and errors. Nothing is sent here."""

import json
import re
from collections.abc import Callable, Mapping
from hashlib import new
from typing import Final, cast
from urllib.parse import urlencode, urlsplit, urlunsplit

from attrs import frozen

from registry_async._paths import is_loopback
from registry_async.errors import UnexpectedResponseError
from registry_async.retention._snapshot import Manifest

__all__ = [
    "ACCEPT",
    "Challenge",
    "parse_challenge",
    "parse_manifest",
    "parse_token",
    "realm_problem",
    "says_unknown",
]

_TYPES: Final = (
    "application/vnd.oci.image.index.v1+json",
    "application/vnd.oci.image.manifest.v1+json",
    "application/vnd.docker.distribution.manifest.list.v2+json",
    "application/vnd.docker.distribution.manifest.v2+json",
)
ACCEPT: Final = ", ".join(_TYPES)

_UNKNOWN: Final = frozenset({"MANIFEST_UNKNOWN", "NAME_UNKNOWN", "NOT_FOUND"})
_SCHEME: Final = re.compile(r"\s*(basic|bearer)(?:\s+|$)", re.IGNORECASE)
_PARAMETER: Final = re.compile(r'\s*([a-z_]+)\s*=\s*(?:"((?:[^"\\]|\\.)*)"|([^\s,"]+))\s*,?', re.I)


@frozen
class Challenge:
    """The kind of login that a registry asks for.

    Attributes:
        realm: Where tokens are given; None for a plain user name and password.
        service: The registry's name there.
        scope: What a token is asked for.
    """

    realm: str | None
    service: str | None = None
    scope: str | None = None

    def url(self, scope: str) -> str:
        """Return where to ask for a token."""
        parts = urlsplit(self.realm or "")
        query = {"service": self.service or "", "scope": self.scope or scope}
        more = urlencode({name: value for name, value in query.items() if value})
        joined = f"{parts.query}&{more}" if parts.query else more
        return urlunsplit((parts.scheme, parts.netloc, parts.path, joined, ""))


def parse_challenge(header: str | None) -> Challenge | None:
    """Return what a 401 asks for; None where it asks for nothing that is known."""
    match = _SCHEME.match(header or "")
    if header is None or match is None:
        return None
    if match[1].lower() == "basic":
        return Challenge(None)
    found: dict[str, str] = {}
    position = match.end()
    while parameter := _PARAMETER.match(header, position):
        quoted = parameter[2]
        value = parameter[3] if quoted is None else re.sub(r"\\(.)", r"\1", quoted)
        found.setdefault(parameter[1].lower(), value)
        position = parameter.end()
    realm = found.get("realm")
    return Challenge(realm, found.get("service"), found.get("scope")) if realm else None


def realm_problem(realm: str, hosts: frozenset[str], *, with_password: bool) -> str | None:
    """Return why a password must not go to a realm; None where it may."""
    try:
        parts = urlsplit(realm)
        host = parts.hostname or ""
    except ValueError:
        return "the registry names a login that is no URL"
    if parts.scheme not in ("http", "https") or not host or parts.username is not None:
        return "the registry names a login that is no URL of http or https"
    if host not in hosts:
        return (
            f"the registry wants to be logged in to at {host}: name it in auth_hosts= to allow it"
        )
    if with_password and parts.scheme == "http" and not is_loopback(realm):
        return f"the registry wants a password over plain http, at {host}"
    return None


def parse_token(body: bytes) -> str | None:
    """Return the token that a token service gave."""
    found = _object(body)
    for name in ("token", "access_token"):
        token = None if found is None else found.get(name)
        if isinstance(token, str) and token and token.isascii() and token.isprintable():
            return token
    return None


def says_unknown(body: str) -> bool:
    """Say whether a 404 is the registry's own word that there is no such manifest."""
    found = _object(body)
    errors = None if found is None else found.get("errors")
    if not isinstance(errors, list):
        return False
    entries = cast("list[object]", errors)
    return any(
        isinstance(each, dict) and cast("dict[str, object]", each).get("code") in _UNKNOWN
        for each in entries
    )


def parse_manifest(
    body: bytes, headers: Mapping[str, str], reference: str, method: str, url: str
) -> Manifest:
    """Return what a manifest says of others.

    Args:
        body: The manifest, byte for byte.
        headers: The headers of the answer.
        reference: The digest or the tag that was asked for.
        method: The method of the request.
        url: The URL of the request.

    Raises:
        UnexpectedResponseError: It is not what was asked for, or no manifest.
    """

    def wrong(problem: str, path: str = "") -> UnexpectedResponseError:
        return UnexpectedResponseError(problem, method, url, path=path)

    named = headers.get("Docker-Content-Digest")
    wanted = reference if ":" in reference else (named or "sha256:")
    algorithm = wanted.partition(":")[0]
    if algorithm not in ("sha256", "sha384", "sha512"):
        raise wrong("the digest is of an algorithm that cannot be checked")
    digest = f"{algorithm}:{new(algorithm, body).hexdigest()}"
    if ":" in reference and digest != reference:
        raise wrong("the manifest does not hash to the digest that was asked for")
    if named is not None and named.partition(":")[0] == algorithm and named != digest:
        raise wrong("the manifest does not hash to the digest that the registry names")
    document = _object(body)
    if document is None:
        raise wrong("the manifest is no JSON object")
    media_type = document.get("mediaType") or headers.get("Content-Type", "").partition(";")[0]
    if not isinstance(media_type, str):
        raise wrong("must be a string", "mediaType")
    parts: list[str] = []
    manifests = document.get("manifests")
    if manifests is not None:
        if not isinstance(manifests, list):
            raise wrong("must be an array", "manifests")
        for index, entry in enumerate(cast("list[object]", manifests)):
            parts.append(_digest_of(entry, f"manifests[{index}]", wrong))
    subject = document.get("subject")
    return Manifest(
        digest,
        media_type.strip(),
        tuple(parts),
        None if subject is None else _digest_of(subject, "subject", wrong),
    )


def _digest_of(entry: object, path: str, wrong: Callable[[str, str], Exception]) -> str:
    digest = cast("dict[str, object]", entry).get("digest") if isinstance(entry, dict) else None
    if not isinstance(digest, str) or ":" not in digest:
        raise wrong("must name a digest", path)
    return digest


def _object(text: bytes | str) -> dict[str, object] | None:
    try:
        found: object = json.loads(text)
    except (ValueError, RecursionError):
        return None
    return cast("dict[str, object]", found) if isinstance(found, dict) else None
