"""A small Keystone v3: logins of every kind with every scope, tokens, projects and the catalog."""

import secrets
import uuid
from collections.abc import Callable, Mapping
from typing import Final, NoReturn, cast

from attrs import frozen

from registry_async.sandbox._directory import (
    Account,
    ApplicationCredential,
    Directory,
    IamProject,
    IamUser,
    Login,
)
from registry_async.sandbox._refusals import Refusal
from registry_async.sandbox._requests import Answer, read_object
from registry_async.sandbox._times import format_time

_SECOND: Final = 1_000_000_000
_SERVICES: Final = {"container-registry": "/v1", "container-registry-v2": "/v2"}
_REGION: Final = "ru-1"
_NOT_AUTHENTICATED: Final = "The request you have made requires authentication."
_ROLE: Final = {"id": uuid.uuid5(uuid.NAMESPACE_URL, "member").hex, "name": "member"}
_TITLES: Final = {400: "Bad Request", 401: "Unauthorized", 403: "Forbidden", 404: "Not Found"}


class KeystoneRefusal(Refusal):
    """Refuse in Keystone's form, which is not the registry's."""

    def body(self) -> dict[str, object]:
        """Give the error with its code and title."""
        title = _TITLES.get(self.status, "Method Not Allowed")
        return {"error": {"code": self.status, "message": self.message, "title": title}}


def _unauthorized() -> KeystoneRefusal:
    challenge = {"WWW-Authenticate": 'Keystone uri="/identity/v3"'}
    return KeystoneRefusal(401, _NOT_AUTHENTICATED, headers=challenge)


@frozen(repr=False)
class _IamToken:
    user: IamUser
    issued_at: int
    expires_at: int | None
    methods: tuple[str, ...]
    scope: IamProject | Account | None
    audit_id: str
    credential: ApplicationCredential | None = None


class Identity:
    """Issue IAM tokens and tell which of them are good.

    Args:
        now: Gives the wall-clock time in nanoseconds since 1970.
        token_seconds: How long an issued token lives.
        login: What the first user logs in with.

    Attributes:
        login: What the first user logs in with.
        directory: The accounts, projects, users and application credentials.
        token_seconds: How long an issued token lives.
    """

    def __init__(self, now: Callable[[], int], token_seconds: float, login: Login) -> None:
        self.login = login
        self.directory = Directory(login)
        self.token_seconds = token_seconds
        self._now = now
        self._tokens: dict[str, _IamToken] = {}

    # For the sandbox and for tests

    def issue(
        self,
        token: str | None = None,
        *,
        seconds: float | None = None,
        project: IamProject | None = None,
    ) -> str:
        """Issue a token of the first user for a project, without a login.

        Args:
            token: The token's text; made up by default.
            seconds: How long it lives; for ever by default.
            project: The project; the first one by default.

        Returns:
            The token.
        """
        expires_at = None if seconds is None else self._now() + round(seconds * _SECOND)
        scope = project or self.directory.first_project
        return self._issue(self.directory.first_user, ("token",), scope, expires_at, text=token)

    def revoke(self, token: str) -> None:
        """Make a token worthless at once; an unknown one is no error."""
        self._tokens.pop(token, None)

    def revoke_all(self) -> None:
        """Make all tokens worthless at once, as when a user's password is changed."""
        self._tokens.clear()

    def accepts(self, token: str) -> bool:
        """Tell whether a token opens a project's registries now."""
        return self.project_of(token) is not None

    def project_of(self, token: str) -> str | None:
        """Give the id of the project whose registries a token opens now, if it opens any."""
        found = self._living(token)
        if found is None or not isinstance(found.scope, IamProject) or not found.scope.enabled:
            return None
        return found.scope.id

    # The HTTP face

    def answer(
        self,
        method: str,
        segments: list[str],
        headers: Mapping[str, str],
        content: bytes,
        origin: str,
    ) -> Answer:
        """Answer a request below `/identity`.

        Args:
            method: The HTTP method.
            segments: The decoded path below `/identity`.
            headers: The request's headers.
            content: The request's body.
            origin: Scheme, host and port of the sandbox, for links.

        Returns:
            The answer.

        Raises:
            KeystoneRefusal: 400, 401, 403, 404 or 405, in Keystone's form.
        """
        path = "/".join(segments).rstrip("/")
        if path in ("", "v3"):
            _allow(method, "GET")
            return _versions(origin) if not path else Answer(200, {"version": _version(origin)})
        if path == "v3/auth/tokens":
            _allow(method, "GET", "HEAD", "POST", "DELETE")
            if method == "POST":
                return self._log_in(content, origin)
            return self._subject(method, headers, origin)
        if path == "v3/auth/projects":
            _allow(method, "GET")
            return self._list_projects(self._caller(headers), origin)
        if path == "v3/auth/catalog":
            _allow(method, "GET")
            if self._caller(headers).scope is None:
                raise KeystoneRefusal(403, "An unscoped token has no catalog.")
            links = {"self": f"{origin}/identity/v3/auth/catalog"}
            return Answer(200, {"catalog": _catalog(origin), "links": links})
        raise KeystoneRefusal(404, "The resource could not be found.")

    def _log_in(self, content: bytes, origin: str) -> Answer:
        try:
            auth = _member(read_object(content), "auth")
        except KeystoneRefusal:
            raise
        except Refusal as refusal:
            raise KeystoneRefusal(400, refusal.message) from None
        identity = _member(auth, "identity")
        methods = identity.get("methods")
        scope = auth.get("scope")
        if methods == ["password"]:
            user = self._user_of_password(_member(_member(identity, "password"), "user"))
            shown: tuple[str, ...] = ("password",)
            expires_at: int | None = self._end()
        elif methods == ["token"]:
            old = self._living(_text(_member(identity, "token"), "id"))
            # A credential's token stays with its project.
            usable = old is not None and old.credential is None
            user = old.user if old is not None and usable else None
            shown = ("token", *(old.methods if old is not None else ()))
            # A token that is made of another one dies with it.
            expires_at = None if old is None else old.expires_at
        elif methods == ["application_credential"]:
            return self._log_in_with_credential(
                _member(identity, "application_credential"), scope, origin
            )
        elif isinstance(methods, list) and methods:
            raise _unauthorized()
        else:
            raise KeystoneRefusal(400, "'methods' is a required property")
        # Look at the scope even if the password is wrong: a malformed one is a 400 anyway.
        found, known = self._scope(scope, user)
        if user is None or not known:
            raise _unauthorized()
        token = self._issue(user, tuple(dict.fromkeys(shown)), found, expires_at)
        return self._issued(token, origin)

    def _log_in_with_credential(
        self, given: dict[str, object], scope: object, origin: str
    ) -> Answer:
        secret = _text(given, "secret")
        if "id" in given:
            credential = self.directory.find_credential(id=_text(given, "id"))
        else:
            name, owner = _text(given, "name"), self._find_user(_member(given, "user"))
            credential = self.directory.find_credential(name=name, user=owner) if owner else None
        # An application credential is bound to its project; Keystone refuses any scope with it.
        if credential is None or scope is not None or credential.secret != secret:
            raise _unauthorized()
        if not credential.project.enabled:
            raise _unauthorized()
        token = self._issue(
            credential.user,
            ("application_credential",),
            credential.project,
            self._end(),
            credential=credential,
        )
        return self._issued(token, origin)

    def _user_of_password(self, user: dict[str, object]) -> IamUser | None:
        password = _text(user, "password")
        found = self._find_user(user)
        return found if found is not None and found.password == password else None

    def _find_user(self, user: dict[str, object]) -> IamUser | None:
        if "id" in user:
            return self.directory.find_user(id=_text(user, "id"))
        name, account = _text(user, "name"), self._find_account(_member(user, "domain"))
        return self.directory.find_user(name=name, account=account) if account else None

    def _find_account(self, domain: dict[str, object]) -> Account | None:
        if "id" in domain:
            return self.directory.find_account(id=_text(domain, "id"))
        return self.directory.find_account(name=_text(domain, "name"))

    def _scope(
        self, scope: object, user: IamUser | None
    ) -> tuple[IamProject | Account | None, bool]:
        """Give what a token is to be scoped to, and whether the user may have that."""
        if scope is None:
            default = user.default_project_id if user is not None else None
            project = self.directory.find_project(id=default) if default else None
            # A default project that gives no token is passed over.
            return (project if project is not None and project.enabled else None), True
        if scope == "unscoped":
            return None, True
        if not isinstance(scope, dict):
            raise KeystoneRefusal(400, "'scope' is not of type 'object'")
        wanted = cast("dict[str, object]", scope)
        if "unscoped" in wanted:
            return None, True
        if "domain" in wanted:
            account = self._find_account(_member(wanted, "domain"))
            return account, user is not None and account is user.account
        if "system" in wanted:
            return None, False
        project_wanted = _member(wanted, "project")
        if "id" in project_wanted:
            project = self.directory.find_project(id=_text(project_wanted, "id"))
        else:
            name = _text(project_wanted, "name")
            account = self._find_account(_member(project_wanted, "domain"))
            project = self.directory.find_project(name=name, account=account) if account else None
        may = project is not None and user is not None and project.id in user.projects
        return project, may and project is not None and project.enabled

    def _list_projects(self, caller: _IamToken, origin: str) -> Answer:
        base = f"{origin}/identity/v3"
        projects: list[dict[str, object]] = [
            {
                "id": project.id,
                "name": project.name,
                "domain_id": project.account.id,
                "description": "",
                "enabled": project.enabled,
                "parent_id": project.account.id,
                "is_domain": False,
                "tags": [],
                "options": {},
                "links": {"self": f"{base}/projects/{project.id}"},
            }
            for project in self.directory.projects_of(caller.user)
        ]
        links = {"next": None, "previous": None, "self": f"{base}/auth/projects"}
        return Answer(200, {"projects": projects, "links": links})

    def _caller(self, headers: Mapping[str, str]) -> _IamToken:
        caller = self._living(headers.get("X-Auth-Token", ""))
        if caller is None:
            raise _unauthorized()
        return caller

    def _subject(self, method: str, headers: Mapping[str, str], origin: str) -> Answer:
        self._caller(headers)
        subject = headers.get("X-Subject-Token", "")
        found = self._living(subject)
        if found is None:
            raise KeystoneRefusal(404, "Could not find token.")
        if method == "DELETE":
            self.revoke(subject)
            return Answer(204)
        return Answer(200, self._describe(found, origin), {"X-Subject-Token": subject})

    def _end(self) -> int:
        return self._now() + round(self.token_seconds * _SECOND)

    def _issue(
        self,
        user: IamUser,
        methods: tuple[str, ...],
        scope: IamProject | Account | None,
        expires_at: int | None,
        *,
        text: str | None = None,
        credential: ApplicationCredential | None = None,
    ) -> str:
        # The shape of a Fernet token, which is what Keystone gives out.
        token = text or "gAAAAA" + secrets.token_urlsafe(90)
        audit_id = secrets.token_urlsafe(16)
        self._tokens[token] = _IamToken(
            user, self._now(), expires_at, methods, scope, audit_id, credential
        )
        return token

    def _issued(self, token: str, origin: str) -> Answer:
        body = self._describe(self._tokens[token], origin)
        return Answer(201, body, {"X-Subject-Token": token, "Vary": "X-Auth-Token"})

    def _living(self, token: str) -> _IamToken | None:
        found = self._tokens.get(token)
        if found is None or (found.expires_at is not None and self._now() >= found.expires_at):
            return None
        return found

    def _describe(self, token: _IamToken, origin: str) -> dict[str, object]:
        expires_at = token.expires_at
        shown: dict[str, object] = {
            "methods": list(token.methods),
            "user": {
                "domain": token.user.account.shown(),
                "id": token.user.id,
                "name": token.user.name,
                "password_expires_at": None,
            },
            "audit_ids": [token.audit_id],
            "expires_at": "9999-12-31T23:59:59.000000Z"
            if expires_at is None
            else _micro(expires_at),
            "issued_at": _micro(token.issued_at),
        }
        scope = token.scope
        if isinstance(scope, IamProject):
            account = scope.account.shown()
            shown["project"] = {"domain": account, "id": scope.id, "name": scope.name}
            shown["is_domain"] = False
        elif scope is not None:
            shown["domain"] = scope.shown()
        if scope is not None:
            shown["roles"] = [_ROLE]
            shown["catalog"] = _catalog(origin)
        if token.credential is not None:
            shown["application_credential"] = {
                "id": token.credential.id,
                "name": token.credential.name,
                "restricted": True,
            }
        return {"token": shown}


def _allow(method: str, *allowed: str) -> None:
    if method not in allowed:
        _refuse_method(", ".join(allowed))


def _refuse_method(allowed: str) -> NoReturn:
    message = "The method is not allowed for the requested URL."
    raise KeystoneRefusal(405, message, headers={"Allow": allowed})


def _versions(origin: str) -> Answer:
    # Keystone answers so below its version: "multiple choices", though there is one.
    return Answer(300, {"versions": {"values": [_version(origin)]}})


def _version(origin: str) -> dict[str, object]:
    return {
        "id": "v3.14",
        "status": "stable",
        "updated": "2020-04-07T00:00:00Z",
        "links": [{"rel": "self", "href": f"{origin}/identity/v3/"}],
        "media-types": [
            {
                "base": "application/json",
                "type": "application/vnd.openstack.identity-v3+json",
            }
        ],
    }


def _catalog(origin: str) -> list[dict[str, object]]:
    own = [_service(type_, f"{origin}/api{version}") for type_, version in _SERVICES.items()]
    return [*own, _service("identity", f"{origin}/identity/v3")]


def _service(type_: str, url: str) -> dict[str, object]:
    endpoint = {
        "id": uuid.uuid5(uuid.NAMESPACE_URL, url).hex,
        "interface": "public",
        "region": _REGION,
        "region_id": _REGION,
        "url": url,
    }
    id_ = uuid.uuid5(uuid.NAMESPACE_URL, type_).hex
    return {"endpoints": [endpoint], "id": id_, "name": type_, "type": type_}


def _member(body: dict[str, object], name: str) -> dict[str, object]:
    value = body.get(name)
    if not isinstance(value, dict):
        raise KeystoneRefusal(400, f"'{name}' is a required property")
    return cast("dict[str, object]", value)


def _text(body: dict[str, object], name: str) -> str:
    value = body.get(name)
    if not isinstance(value, str):
        raise KeystoneRefusal(400, f"'{name}' is a required property")
    return value


def _micro(moment: int) -> str:
    # Keystone writes six digits, always, and cuts the rest.
    whole, _, fraction = format_time(moment).rstrip("Z").partition(".")
    return f"{whole}.{fraction[:6]:0<6}Z"
