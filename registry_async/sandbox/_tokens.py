"""Registry tokens of both versions: what Docker logs in with, not what the API is called with."""

import base64
import secrets
import uuid
from collections.abc import Callable
from typing import Literal, NamedTuple

from attrs import define, field

from registry_async.sandbox._refusals import Refusal, bad_request, conflict, token_not_found

_SECOND = 1_000_000_000
_TTL_SECONDS = {"12h": 12 * 3600, "1y": 365 * 24 * 3600}


class Scope(NamedTuple):
    """Say what a token opens."""

    all_registries: bool
    read_write: bool
    registry_ids: tuple[str, ...]


# A v1 token opens everything.
_EVERYTHING = Scope(all_registries=True, read_write=True, registry_ids=())


@define(eq=False)
class StoredToken:
    """Hold a v2 token. Times are nanoseconds since 1970; no `expires_at` means for ever."""

    id: str
    secret: str = field(repr=False)
    name: str
    scope: Scope
    created_at: int
    expires_at: int | None
    last_used_at: int | None = None
    revoked: bool = False

    def status(self, now: int) -> Literal["active", "expired", "revoked"]:
        """Give the status at a time."""
        if self.revoked:
            return "revoked"
        if self.expires_at is not None and now >= self.expires_at:
            return "expired"
        return "active"


@define(eq=False)
class StoredTokenV1:
    """Hold a v1 token, which is known by its secret alone."""

    secret: str = field(repr=False)
    life_seconds: int
    expires_at: int


class Tokens:
    """Hold the registry tokens of the project.

    Args:
        now: Gives the wall-clock time in nanoseconds since 1970.
    """

    def __init__(self, now: Callable[[], int]) -> None:
        self._now = now
        self._tokens: dict[str, StoredToken] = {}
        self._v1: dict[str, StoredTokenV1] = {}

    def all(self) -> list[StoredToken]:
        """Give the v2 tokens, revoked and expired ones too, the oldest first."""
        return list(self._tokens.values())

    def create(self, name: str, scope: Scope, expires_at: int | None) -> StoredToken:
        """Make a v2 token."""
        token = StoredToken(str(uuid.uuid4()), _new_secret(), name, scope, self._now(), expires_at)
        self._tokens[token.id] = token
        return token

    def restore(self, token: StoredToken) -> None:
        """Put back a v2 token that was saved."""
        self._tokens[token.id] = token

    def restore_v1(self, token: StoredTokenV1) -> None:
        """Put back a v1 token that was saved."""
        self._v1[token.secret] = token

    def all_v1(self) -> list[StoredTokenV1]:
        """Give the v1 tokens, expired ones too."""
        return list(self._v1.values())

    def get(self, token_id: str) -> StoredToken:
        """Find a v2 token by its id, or refuse with 404."""
        try:
            return self._tokens[token_id]
        except KeyError:
            raise token_not_found() from None

    def refresh(self, token_id: str, expires_at: int | None) -> StoredToken:
        """Give a v2 token a new end; its secret stays. A revoked token is refused with 409."""
        token = self.get(token_id)
        if token.revoked:
            raise conflict("Token is revoked.")
        token.expires_at = expires_at
        return token

    def regenerate(self, token_id: str, expires_at: int | None) -> StoredToken:
        """Give a v2 token a new secret; the old one is dead."""
        token = self.refresh(token_id, expires_at)
        token.secret = _new_secret()
        return token

    def delete(self, token_id: str) -> None:
        """Remove a v2 token from the list."""
        del self._tokens[self.get(token_id).id]

    def create_v1(self, ttl: str) -> StoredTokenV1:
        """Make a v1 token that lives `12h` or `1y`."""
        life = _TTL_SECONDS[ttl]
        token = StoredTokenV1(str(uuid.uuid4()), life, self._now() + life * _SECOND)
        self._v1[token.secret] = token
        return token

    def get_v1(self, secret: str) -> StoredTokenV1:
        """Find a living v1 token, or refuse with 404."""
        token = self._v1.get(secret)
        if token is None or token.expires_at <= self._now():
            raise token_not_found()
        return token

    def refresh_v1(self, secret: str) -> StoredTokenV1:
        """Start the life of a v1 token anew; 400 for what cannot be one, 404 for an unknown one."""
        _check_v1(secret)
        token = self.get_v1(secret)
        token.expires_at = self._now() + token.life_seconds * _SECOND
        return token

    def revoke_v1(self, secret: str) -> None:
        """End a v1 token; the service knows no 404 here, an unknown token is invalid (400)."""
        _check_v1(secret)
        if self._v1.pop(secret, None) is None:
            raise _invalid_token()

    def scope_of(self, secret: str) -> Scope | None:
        """Tell what a secret opens now, as Docker is told when it logs in.

        Args:
            secret: What is given as the password.

        Returns:
            The scope of its token; None if there is no such token, or none that is active. The
            time of use of a v2 token is noted.
        """
        now = self._now()
        if secret in self._v1:
            return _EVERYTHING if self._v1[secret].expires_at > now else None
        for token in self._tokens.values():
            if token.secret == secret and token.status(now) == "active":
                token.last_used_at = now
                return token.scope
        return None


def docker_config(host: str, secret: str) -> dict[str, object]:
    """Give the Docker configuration that logs in at a host with a secret."""
    auth = base64.b64encode(f"token:{secret}".encode()).decode()
    return {"auths": {host: {"auth": auth, "username": "token", "password": secret}}}


def _new_secret() -> str:
    return "CRg" + secrets.token_hex(24)


def _check_v1(secret: str) -> None:
    try:
        uuid.UUID(secret)
    except ValueError:
        raise _invalid_token() from None


def _invalid_token() -> Refusal:
    return bad_request("Invalid or malformed token.")
