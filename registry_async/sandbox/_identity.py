"""A Keystone v3 just large enough to log in: one account, one user, one project."""

import secrets
import uuid
from collections.abc import Callable, Mapping
from typing import NoReturn, cast

from attrs import field, frozen

from registry_async.sandbox._refusals import Refusal
from registry_async.sandbox._requests import Answer, read_object
from registry_async.sandbox._times import format_time

_SECOND = 1_000_000_000
_SERVICES = {"container-registry": "/v1", "container-registry-v2": "/v2"}
_REGION = "ru-1"
_NOT_AUTHENTICATED = "The request you have made requires authentication."


class KeystoneRefusal(Refusal):
    """Refuse in Keystone's form, which is not the registry's."""

    def body(self) -> dict[str, object]:
        """Give the error with its code and title."""
        titles = {400: "Bad Request", 401: "Unauthorized", 404: "Not Found"}
        title = titles.get(self.status, "Method Not Allowed")
        return {"error": {"code": self.status, "message": self.message, "title": title}}


def _unauthorized() -> KeystoneRefusal:
    challenge = {"WWW-Authenticate": 'Keystone uri="/identity/v3"'}
    return KeystoneRefusal(401, _NOT_AUTHENTICATED, headers=challenge)


@frozen(repr=False)
class Login:
    """Hold what the sandbox's one user logs in with.

    Attributes:
        username: The user's name.
        password: The user's password.
        account: The account number, which is the name of the user's and the project's domain.
        project_name: The project's name.
        project_id: The project's id.
        application_credential_id: The id of the application credential.
        application_credential_secret: Its secret.
    """

    username: str = "sandbox-user"
    password: str = field(factory=lambda: secrets.token_urlsafe(12))
    account: str = "100200"
    project_name: str = "sandbox-project"
    project_id: str = field(factory=lambda: uuid.uuid4().hex)
    application_credential_id: str = field(factory=lambda: uuid.uuid4().hex)
    application_credential_secret: str = field(factory=lambda: secrets.token_urlsafe(24))


@frozen(repr=False)
class _IamToken:
    issued_at: int
    expires_at: int | None
    methods: tuple[str, ...]
    scoped: bool
    audit_id: str


class Identity:
    """Issue IAM tokens and tell which of them are good.

    Args:
        now: Gives the wall-clock time in nanoseconds since 1970.
        token_seconds: How long an issued token lives.
        login: What the one user logs in with.
    """

    def __init__(self, now: Callable[[], int], token_seconds: float, login: Login) -> None:
        self.login = login
        self.token_seconds = token_seconds
        self._now = now
        self._tokens: dict[str, _IamToken] = {}
        self._domain = {"id": uuid.uuid4().hex, "name": login.account}
        self._user_id = uuid.uuid4().hex
        self._role_id = uuid.uuid4().hex

    # For the sandbox and for tests

    def issue(self, token: str | None = None, *, seconds: float | None = None) -> str:
        """Issue a token for the project without a login.

        Args:
            token: The token's text; made up by default.
            seconds: How long it lives; for ever by default.

        Returns:
            The token.
        """
        lives = None if seconds is None else round(seconds * _SECOND)
        return self._issue(("token",), scoped=True, lives=lives, text=token)

    def revoke(self, token: str) -> None:
        """Make a token worthless at once; an unknown one is no error."""
        self._tokens.pop(token, None)

    def revoke_all(self) -> None:
        """Make all tokens worthless at once, as when a user's password is changed."""
        self._tokens.clear()

    def accepts(self, token: str) -> bool:
        """Tell whether a token opens the project's registries now."""
        found = self._living(token)
        return found is not None and found.scoped

    # The HTTP face

    def answer(
        self,
        method: str,
        segments: list[str],
        headers: Mapping[str, str],
        content: bytes,
        origin: str,
    ) -> Answer:
        """Answer a request below `/identity/v3`.

        Args:
            method: The HTTP method.
            segments: The decoded path below `/identity/v3`.
            headers: The request's headers.
            content: The request's body.
            origin: Scheme, host and port of the sandbox, for links.

        Returns:
            The answer.

        Raises:
            KeystoneRefusal: 400, 401, 404 or 405, in Keystone's form.
        """
        if segments in ([], [""]):
            if method != "GET":
                self._refuse_method("GET")
            return Answer(200, self._version(origin))
        if segments != ["auth", "tokens"]:
            raise KeystoneRefusal(404, "The resource could not be found.")
        if method == "POST":
            return self._log_in(content, origin)
        if method not in ("GET", "DELETE"):
            self._refuse_method("GET, POST, DELETE")
        return self._subject(method, headers, origin)

    def _refuse_method(self, allowed: str) -> NoReturn:
        message = "The method is not allowed for the requested URL."
        raise KeystoneRefusal(405, message, headers={"Allow": allowed})

    def _version(self, origin: str) -> dict[str, object]:
        return {
            "version": {
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
        }

    def _log_in(self, content: bytes, origin: str) -> Answer:
        try:
            auth = _member(read_object(content), "auth")
        except KeystoneRefusal:
            raise
        except Refusal as refusal:
            raise KeystoneRefusal(400, refusal.message) from None
        identity = _member(auth, "identity")
        methods = identity.get("methods")
        scope = _member(auth, "scope") if auth.get("scope") is not None else None
        if methods == ["password"]:
            good = self._knows_user(_member(_member(identity, "password"), "user"))
            # Look at the scope even if the password is wrong: a malformed one is a 400 anyway.
            good = self._knows_scope(scope) and good
        elif methods == ["application_credential"]:
            credential = _member(identity, "application_credential")
            given = (_text(credential, "id"), _text(credential, "secret"))
            login = self.login
            # An application credential is bound to its project; Keystone refuses any scope with it.
            good = scope is None and given == (
                login.application_credential_id,
                login.application_credential_secret,
            )
        elif isinstance(methods, list) and methods:
            raise _unauthorized()
        else:
            raise KeystoneRefusal(400, "'methods' is a required property")
        if not good:
            raise _unauthorized()
        method = str(cast(list[object], methods)[0])
        token = self._issue(
            (method,),
            scoped=scope is not None or method == "application_credential",
            lives=round(self.token_seconds * _SECOND),
        )
        body = self._describe(self._tokens[token], origin)
        return Answer(201, body, {"X-Subject-Token": token, "Vary": "X-Auth-Token"})

    def _knows_user(self, user: dict[str, object]) -> bool:
        known = _text(user, "password") == self.login.password
        if "id" in user:
            return known and user["id"] == self._user_id
        return (
            known
            and _text(user, "name") == self.login.username
            and self._knows_domain(_member(user, "domain"))
        )

    def _knows_domain(self, domain: dict[str, object]) -> bool:
        if "id" in domain:
            return domain["id"] == self._domain["id"]
        return _text(domain, "name") == self._domain["name"]

    def _knows_scope(self, scope: dict[str, object] | None) -> bool:
        if scope is None:
            return True
        project = _member(scope, "project")
        if "id" in project:
            return project["id"] == self.login.project_id
        named = _text(project, "name") == self.login.project_name
        return self._knows_domain(_member(project, "domain")) and named

    def _subject(self, method: str, headers: Mapping[str, str], origin: str) -> Answer:
        if self._living(headers.get("X-Auth-Token", "")) is None:
            raise _unauthorized()
        subject = headers.get("X-Subject-Token", "")
        found = self._living(subject)
        if found is None:
            raise KeystoneRefusal(404, "Could not find token.")
        if method == "DELETE":
            self.revoke(subject)
            return Answer(204)
        return Answer(200, self._describe(found, origin), {"X-Subject-Token": subject})

    def _issue(
        self, methods: tuple[str, ...], *, scoped: bool, lives: int | None, text: str | None = None
    ) -> str:
        # The shape of a Fernet token, which is what Keystone gives out.
        token = text or "gAAAAA" + secrets.token_urlsafe(90)
        now = self._now()
        expires_at = None if lives is None else now + lives
        self._tokens[token] = _IamToken(now, expires_at, methods, scoped, secrets.token_urlsafe(16))
        return token

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
                "domain": self._domain,
                "id": self._user_id,
                "name": self.login.username,
                "password_expires_at": None,
            },
            "audit_ids": [token.audit_id],
            "expires_at": "9999-12-31T23:59:59.000000Z"
            if expires_at is None
            else _micro(expires_at),
            "issued_at": _micro(token.issued_at),
        }
        if token.scoped:
            login = self.login
            shown["project"] = {
                "domain": self._domain,
                "id": login.project_id,
                "name": login.project_name,
            }
            shown["is_domain"] = False
            shown["roles"] = [{"id": self._role_id, "name": "member"}]
            shown["catalog"] = [
                _service(type_, f"{origin}/api{version}") for type_, version in _SERVICES.items()
            ] + [_service("identity", f"{origin}/identity/v3")]
        return {"token": shown}


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
    return cast(dict[str, object], value)


def _text(body: dict[str, object], name: str) -> str:
    value = body.get(name)
    if not isinstance(value, str):
        raise KeystoneRefusal(400, f"'{name}' is a required property")
    return value


def _micro(moment: int) -> str:
    # Keystone writes six digits, always, and cuts the rest.
    whole, _, fraction = format_time(moment).rstrip("Z").partition(".")
    return f"{whole}.{fraction[:6]:0<6}Z"
