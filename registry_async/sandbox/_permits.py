"""Docker's token login: a registry token's secret becomes a permit for what it opens."""

import base64
import binascii
import secrets
from collections.abc import Callable, Mapping

from attrs import Factory, frozen

from registry_async.sandbox._model import StoredRegistry
from registry_async.sandbox._projects import SandboxProject
from registry_async.sandbox._refusals import RegistryRefusal
from registry_async.sandbox._times import format_time
from registry_async.sandbox._tokens import Scope

TOKEN_PATH = "/v2/token"
USER_NAME = "token"
_SERVICE = "container-registry"
_LIFE_SECONDS = 300
_MOST_PERMITS = 10_000
_WRITING = frozenset({"push", "delete"})


@frozen(repr=False)
class Permit:
    """Hold what somebody logged in with, and for what.

    Attributes:
        project: The project whose registry token it is, and whose registries it opens.
        secret: The secret of the registry token, which is looked at again at every use.
        asked: The actions that were asked for, by repository; `*` stands for all.
        expires_at: When it is over, in nanoseconds since 1970.
        refused: What it was refused for, as repository and action, since nobody asked.
    """

    project: SandboxProject
    secret: str
    asked: Mapping[str, frozenset[str]]
    expires_at: int
    refused: set[tuple[str, str]] = Factory(set[tuple[str, str]])

    def was_asked_for(self, name: str, action: str) -> bool:
        """Tell whether an action on a repository was asked for at the login."""
        return not self.asked.get(name, frozenset[str]()).isdisjoint({action, "*"})


class Permits:
    """Issue permits and check them.

    Args:
        projects: All projects, whose registry tokens decide.
        now: Gives the wall-clock time in nanoseconds since 1970.
    """

    def __init__(self, projects: Mapping[str, SandboxProject], now: Callable[[], int]) -> None:
        self._projects = projects
        self._now = now
        self._permits: dict[str, Permit] = {}

    def issue(self, user: str, secret: str, scopes: list[str]) -> dict[str, object]:
        """Log in, and give what Docker expects of a token service.

        Args:
            user: The user name, which is the same for all.
            secret: The secret of a registry token.
            scopes: What is asked for, such as `repository:registry/app:pull,push`.

        Raises:
            RegistryRefusal: 401 for anybody else, nobody included.
        """
        project = self._project_of(secret) if user == USER_NAME else None
        if project is None:
            raise RegistryRefusal(401, "UNAUTHORIZED", "user name or token is wrong")
        now = self._now()
        if len(self._permits) >= _MOST_PERMITS:
            living = {key: item for key, item in self._permits.items() if item.expires_at > now}
            self._permits = living
        permit = secrets.token_urlsafe(32)
        self._permits[permit] = Permit(
            project, secret, _read_scopes(scopes), now + _LIFE_SECONDS * 1_000_000_000
        )
        return {
            "token": permit,
            "access_token": permit,
            "expires_in": _LIFE_SECONDS,
            "issued_at": format_time(now),
        }

    def find(self, authorization: str) -> tuple[Permit, Scope] | None:
        """Find the permit that a header carries, with what its registry token opens now."""
        kind, _, value = authorization.partition(" ")
        permit = self._permits.get(value.strip()) if kind.lower() == "bearer" else None
        if permit is None or permit.expires_at <= self._now():
            return None
        scope = permit.project.state.tokens.scope_of(permit.secret)
        return None if scope is None else (permit, scope)

    def _project_of(self, secret: str) -> SandboxProject | None:
        for project in self._projects.values():
            # Nobody has a token of a project that nobody has asked for yet.
            if project.is_made and project.state.tokens.scope_of(secret) is not None:
                return project
        return None


def opens(scope: Scope, registry: StoredRegistry | None, action: str) -> bool:
    """Tell whether a registry token's scope lets an action happen in a registry."""
    within = scope.all_registries or (registry is not None and registry.id in scope.registry_ids)
    return within and (scope.read_write or action not in _WRITING)


def check_asked(permit: Permit, name: str, action: str, asked: str) -> None:
    """Refuse what was not asked for at the login.

    Args:
        permit: The permit.
        name: The registry and the repository.
        action: What is to be done there.
        asked: The challenge that tells what to ask for.

    Raises:
        RegistryRefusal: 401 the first time. A client that comes back with the same permit, rather
            than with one that it has asked for, is one of those that heed only a 403.
    """
    if permit.was_asked_for(name, action):
        return
    again = (name, action) in permit.refused
    permit.refused.add((name, action))
    status, code = (403, "DENIED") if again else (401, "UNAUTHORIZED")
    message = f"log in for a {action} to {name}"
    raise RegistryRefusal(status, code, message, headers={"WWW-Authenticate": asked})


def challenge(origin: str, name: str = "", actions: str = "", error: str = "") -> str:
    """Give the header that tells a client where to log in, and for what."""
    scope = f',scope="repository:{name}:{actions}"' if name else ""
    reason = f',error="{error}"' if error else ""
    return f'Bearer realm="{origin}{TOKEN_PATH}",service="{_SERVICE}"{scope}{reason}'


def read_basic(authorization: str) -> tuple[str, str]:
    """Read user name and password from a header; both are empty where there is none."""
    kind, _, value = authorization.partition(" ")
    if kind.lower() != "basic":
        return "", ""
    try:
        user, _, password = base64.b64decode(value, validate=True).decode().partition(":")
    except (binascii.Error, UnicodeDecodeError):
        return "", ""
    return user, password


def _read_scopes(scopes: list[str]) -> dict[str, frozenset[str]]:
    asked: dict[str, frozenset[str]] = {}
    for scope in " ".join(scopes).split():
        kind, _, rest = scope.partition(":")
        name, _, actions = rest.rpartition(":")
        if kind == "repository":
            asked[name] = asked.get(name, frozenset()) | frozenset(actions.split(","))
    return asked
