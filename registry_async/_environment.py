"""Credentials from variables and from ``clouds.yaml``, as OpenStack's own tools understand them."""

import json
import os
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Final, TypeVar, cast

from attrs import field, frozen

from registry_async._keystone import (
    DEFAULT_AUTH_URL,
    Domain,
    KeystoneApplicationCredential,
    KeystoneCredentials,
    KeystonePassword,
    KeystoneToken,
    ProjectScope,
    normalize_auth_url,
)
from registry_async._paths import CATALOG, DEFAULT_BASE_URL, normalize_base_url
from registry_async._secrets import Secret, header_value, hide
from registry_async.credentials import Credentials, StaticToken
from registry_async.errors import ConfigurationError

__all__ = ["credentials_from_cloud", "credentials_from_env"]

# The words of `OS_AUTH_TYPE` and `auth_type` that name a way to log in that we have.
_PASSWORD: Final = frozenset({"password", "v3password"})
_TOKEN: Final = frozenset({"token", "v3token"})
_APPLICATION: Final = frozenset({"v3applicationcredential"})

# Other names of a setting, the strongest first, as OpenStack's loader ranks them.
_NAMES: Final[Mapping[str, tuple[str, ...]]] = {
    "username": ("username", "user_name"),
    "project_id": ("project_id", "tenant_id"),
    "project_name": ("project_name", "tenant_name"),
    "token": ("token", "auth_token"),
    "auth_type": ("auth_type", "auth_plugin"),
}
# Spaces around them may be part of them.
_VERBATIM: Final = frozenset({"password", "application_credential_secret"})
# Variables that choose a cloud, and are no part of one.
_SELECTORS: Final = frozenset({"OS_CLOUD", "OS_CLOUD_NAME"})
_ENVIRONMENT_CLOUD: Final = "envvars"
# The provider's Terraform documentation names the project so.
_TERRAFORM_PROJECT: Final = "INFRA_PROJECT_ID"


K = TypeVar("K")
V = TypeVar("V")


@frozen
class Configuration:
    """What was found.

    Attributes:
        credentials: The credentials.
        ca_file: The file of CA certificates to trust, where one is named.
    """

    credentials: Credentials
    ca_file: str | None = None


def credentials_from_env(*, project: bool = True) -> Credentials:
    """Return the credentials that the environment holds, as `from_env()` of the clients does.

    The first of these counts: ``REGISTRY_TOKEN``; the cloud of ``clouds.yaml`` that ``OS_CLOUD``
    names; what ``OS_AUTH_TYPE`` names; ``OS_TOKEN``; an application credential
    (``OS_APPLICATION_CREDENTIAL_ID``, or ``_NAME`` with the user, and ``_SECRET``); a user
    (``OS_USERNAME`` with ``OS_USER_DOMAIN_NAME``, or ``OS_USER_ID``, and ``OS_PASSWORD``) with
    ``OS_PROJECT_ID`` or ``OS_PROJECT_NAME``. An empty variable counts as unset. ``OS_AUTH_URL``
    names another Keystone.

    Args:
        project: Whether the credentials are of the one project that is named. With False they
            serve the whole account, for `list_projects` and `open_projects`.

    Raises:
        ConfigurationError: No set is whole, or a setting cannot be used; the message names it.
    """
    return read_environment(os.environ, project=project).credentials


def credentials_from_cloud(name: str, *, project: bool = True) -> Credentials:
    """Return the credentials of a cloud of ``clouds.yaml``, as `from_cloud()` does (extra clouds).

    The file is the one that ``OS_CLIENT_CONFIG_FILE`` names, or else the first ``clouds.yaml``,
    ``.yml`` or ``.json`` in the working directory, ``~/.config/openstack`` or ``/etc/openstack``;
    ``secure.yaml`` beside these is merged into it.

    Args:
        name: The name of the cloud.
        project: Whether the credentials are of the one project that is named. With False they
            serve the whole account, for `list_projects` and `open_projects`.

    Raises:
        ConfigurationError: There is no such file or cloud, or a setting cannot be used; the
            message names file, cloud and key.
    """
    return read_cloud(name, os.environ, project=project).credentials


def named_url(base_url: str | None) -> str:
    """Return the base URL that is given, or that the environment names, or the provider's.

    Raises:
        ConfigurationError: What the environment names is no URL of a service.
    """
    if base_url is not None:
        return base_url
    named = hide(os.environ.get("REGISTRY_BASE_URL", "").strip())
    if not named or named == CATALOG:
        return named or DEFAULT_BASE_URL
    problem: str
    try:
        return normalize_base_url(named, "REGISTRY_BASE_URL")
    except ValueError as error:
        problem = str(error)
    raise ConfigurationError(problem)


def read_environment(environ: Mapping[str, str], *, project: bool = True) -> Configuration:
    """Return what the variables name: a token, a cloud of a file, or a login."""
    # Tracebacks show local variables, and this one holds every secret of the environment.
    environ = _Quiet(environ)
    cloud = environ.get("OS_CLOUD", "").strip()
    own = environ.get("OS_CLOUD_NAME", "").strip() or _ENVIRONMENT_CLOUD
    token = Secret(environ.get("REGISTRY_TOKEN", "").strip())
    if token and project:
        return Configuration(_static(token, "REGISTRY_TOKEN"), environ.get("OS_CACERT") or None)
    if cloud and cloud != own:
        return read_cloud(cloud, environ, project=project)
    return _Settings.of_variables(environ).configuration(project=project)


def read_cloud(name: str, environ: Mapping[str, str], *, project: bool = True) -> Configuration:
    """Return what a cloud of ``clouds.yaml`` holds."""
    if not isinstance(name, str) or not name:  # pyright: ignore[reportUnnecessaryIsInstance]
        raise ValueError("the name of a cloud must be a string that is not empty")
    return _Settings.of_cloud(name, _Quiet(environ)).configuration(project=project)


def _static(token: Secret, source: str) -> StaticToken:
    problem: str
    try:
        return StaticToken(header_value(token, source))
    except ValueError as error:
        problem = str(error)
    raise ConfigurationError(f"the environment's credentials cannot be used: {problem}")


class _Quiet(dict[K, V]):
    """A mapping that does not show what is in it."""

    def __repr__(self) -> str:
        return "{***}"


@frozen(repr=False)
class _Settings:
    """Settings under one set of names, with where each came from.

    Attributes:
        values: The settings by OpenStack's names for them, such as ``auth_url``.
        sources: How the user calls each of them, where that is not told by `pattern`.
        pattern: How the user calls a setting that is missing.
        where: Where the settings come from, in words.
    """

    values: Mapping[str, Secret]
    pattern: str
    where: str
    sources: Mapping[str, str] = field(factory=dict[str, str])

    @classmethod
    def of_variables(cls, environ: Mapping[str, str]) -> "_Settings":
        given = _Quiet(
            (name.removeprefix("OS_").lower(), value)
            for name, value in environ.items()
            if name.startswith("OS_") and name not in _SELECTORS and value.strip()
        )
        named = {key: f"OS_{key.upper()}" for key in given}
        values, sources = _ranked(given, named)
        project = environ.get(_TERRAFORM_PROJECT, "").strip()
        if project and not {"project_id", "project_name"} & set(values):
            values["project_id"] = Secret(project)
            sources["project_id"] = _TERRAFORM_PROJECT
        return cls(values, "OS_{}", "the environment", sources)

    @classmethod
    def of_cloud(cls, name: str, environ: Mapping[str, str]) -> "_Settings":
        path, cloud = _find_cloud(name, environ)
        where = f"cloud {name!r} of {path}"
        for key in ("profile", "cloud"):
            if key in cloud:
                raise ConfigurationError(
                    f"{where}: {key} names a profile of a public vendor, which are not known here:"
                    " write its settings into the cloud"
                )
        auth = cloud.get("auth", {})
        if not isinstance(auth, dict):
            raise ConfigurationError(f"{where}: auth must be a mapping")
        given = _Quiet[str, str]()
        named: dict[str, str] = {}
        # What stands beside `auth` wins over what stands in it.
        for prefix, section in (("auth.", cast("dict[object, object]", auth)), ("", cloud)):
            for raw, value in section.items():
                key = str(raw).replace("-", "_")
                if isinstance(value, str | int | float) and not isinstance(value, bool):
                    text = Secret(value)
                    if text.strip():
                        given[key] = text
                        named[key] = f"{where}: {prefix}{raw}"
        values, sources = _ranked(given, named)
        return cls(values, f"{where}: auth.{{}}", where, sources)

    def configuration(self, *, project: bool) -> Configuration:
        """Return the credentials that the settings describe.

        Raises:
            ConfigurationError: They are not whole, or one of them cannot be used.
        """
        problem: str
        try:
            credentials = self._credentials(project=project)
        except ValueError as error:
            problem = str(error)
        else:
            ca_file = self._text("cacert")
            if isinstance(credentials, KeystoneCredentials) and ca_file is not None:
                credentials.ca_file = ca_file
            return Configuration(credentials, ca_file)
        raise ConfigurationError(f"the credentials of {self.where} cannot be used: {problem}")

    def _credentials(self, *, project: bool) -> Credentials:
        kind = self._kind()
        auth_url = normalize_auth_url(
            self.values.get("auth_url", Secret(DEFAULT_AUTH_URL)), self.source("auth_url")
        )
        if kind in _APPLICATION:
            if not project:
                raise ConfigurationError(
                    f"{self.where} names an application credential, which is bound to one project:"
                    " a whole account needs a user"
                )
            return self._application_credential(auth_url)
        if kind in _TOKEN:
            return self._exchanged_token(auth_url, project=project)
        self._complain(project=project)
        return KeystonePassword.of(
            user=self._user(),
            password=self.values["password"],
            scope=self._scope() if project else None,
            auth_url=auth_url,
        )

    def _kind(self) -> str:
        """Return which way to log in the settings ask for."""
        kind = self._text("auth_type")
        if kind is None:
            if "token" in self.values:
                return "token"
            named = {"application_credential_id", "application_credential_name"} & set(self.values)
            whole = bool(named) and "application_credential_secret" in self.values
            return "v3applicationcredential" if whole else "password"
        kind = kind.lower()
        if kind not in _PASSWORD | _TOKEN | _APPLICATION:
            known = ", ".join(sorted(_PASSWORD | _TOKEN | _APPLICATION))
            raise ConfigurationError(
                f"{self.source('auth_type')} names a way to log in that is not known here; known:"
                f" {known}"
            )
        return kind

    def _application_credential(self, auth_url: str) -> Credentials:
        get = self._text
        missing = [
            name
            for name, there in {
                "application_credential_id": get("application_credential_id")
                or get("application_credential_name"),
                "application_credential_secret": get("application_credential_secret"),
            }.items()
            if not there
        ]
        if missing:
            raise ConfigurationError(
                f"credentials are incomplete: {self._listed(missing)} missing for an application"
                " credential"
            )
        identified = get("application_credential_id") is not None
        if not identified and not self._has_user():
            raise ConfigurationError(
                "credentials are incomplete: an application credential by name needs its user:"
                f" {self._listed(['user_id'])}, or {self._listed(['username', 'user_domain_name'])}"
            )
        return KeystoneApplicationCredential.of(
            id=get("application_credential_id"),
            name=None if identified else get("application_credential_name"),
            user=None if identified else self._user(),
            secret=self.values["application_credential_secret"],
            auth_url=auth_url,
        )

    def _exchanged_token(self, auth_url: str, *, project: bool) -> Credentials:
        token = self.values.get("token")
        if token is None:
            raise ConfigurationError(
                f"credentials are incomplete: {self._listed(['token'])} missing beside"
                f" {self.source('auth_type')}"
            )
        token = header_value(token, self.source("token"))
        scope = self._scope() if project else None
        # Without a way to log in, a token is what it is: of the project that it was made for.
        if project and (scope is None or "auth_type" not in self.values):
            return StaticToken(token)
        return KeystoneToken(token, scope, auth_url)

    def _has_user(self) -> bool:
        named = "username" in self.values and self._domain("user") is not None
        return "user_id" in self.values or named

    def _user(self) -> Mapping[str, object]:
        user_id = self._text("user_id")
        if user_id is not None:
            return {"id": user_id}
        domain = self._domain("user")
        name = self._text("username")
        if domain is None or name is None:
            raise ConfigurationError(
                f"credentials are incomplete: {self._listed(['username', 'user_domain_name'])}"
            )
        return {"name": name, "domain": domain}

    def _scope(self) -> ProjectScope | None:
        project_id, name = self._text("project_id"), self._text("project_name")
        if project_id is not None:
            return {"project": {"id": project_id}}
        if name is None:
            return None
        # A project's account is the user's unless another one is named.
        domain = self._domain("project") or self._domain("user")
        if domain is None:
            raise ConfigurationError(
                "credentials are incomplete: a project by name needs its account:"
                f" {self._listed(['project_domain_name'])}"
            )
        return {"project": {"name": name, "domain": domain}}

    def _domain(self, of: str) -> Domain | None:
        """Return the account of the user or of the project, by id or by name."""
        for prefix in (f"{of}_", "", "default_"):
            for kind in ("id", "name"):
                value = self._text(f"{prefix}domain_{kind}")
                if value is not None:
                    return {kind: value}
        return None

    def _complain(self, *, project: bool) -> None:
        """Raise an error that names what a login with a password lacks, if it lacks anything."""
        has_user_id = "user_id" in self.values
        needed: dict[str, bool] = {}
        if not has_user_id:
            needed[self._listed(["username"])] = "username" in self.values
        needed[self._listed(["password"])] = "password" in self.values
        if not has_user_id:
            domain = f"{self._listed(['user_domain_name'])} (or {self._listed(['domain_name'])})"
            needed[domain] = self._domain("user") is not None
        if project:
            either = f"{self._listed(['project_id'])} or {self._listed(['project_name'])}"
            needed[either] = bool({"project_id", "project_name"} & set(self.values))
        begun = {
            "OS_APPLICATION_CREDENTIAL_ID": "application_credential_id",
            "OS_APPLICATION_CREDENTIAL_SECRET": "application_credential_secret",
        }
        parts: list[str] = []
        if any(key in self.values for key in begun.values()):
            parts.append(_lack({self._listed([key]): key in self.values for key in begun.values()}))
        if not all(needed.values()) and (any(needed.values()) or has_user_id):
            if has_user_id:
                needed = {self.source("user_id"): True, **needed}
            parts.append(_lack(needed))
        if all(needed.values()):
            return
        if parts:
            raise ConfigurationError("credentials are incomplete: " + "; ".join(parts))
        if self.pattern != "OS_{}":
            raise ConfigurationError(f"no credentials: {_lack(needed)} in {self.where}")
        raise ConfigurationError(
            "no credentials: set REGISTRY_TOKEN, or OS_CLOUD, or OS_APPLICATION_CREDENTIAL_ID and"
            " OS_APPLICATION_CREDENTIAL_SECRET, or OS_USERNAME, OS_PASSWORD, OS_USER_DOMAIN_NAME"
            + (" and OS_PROJECT_ID or OS_PROJECT_NAME" if project else "")
        )

    def _text(self, key: str) -> str | None:
        value = self.values.get(key)
        return None if value is None else str(value)

    def source(self, key: str) -> str:
        """Return how the user calls a setting."""
        return self.sources.get(key) or self._listed([key])

    def _listed(self, keys: list[str]) -> str:
        upper = self.pattern == "OS_{}"
        return ", ".join(self.pattern.format(key.upper() if upper else key) for key in keys)


def _ranked(
    given: Mapping[str, str], named: Mapping[str, str]
) -> tuple[dict[str, Secret], dict[str, str]]:
    """Return the settings under their first names, and how the user called them."""
    values: dict[str, Secret] = {}
    sources: dict[str, str] = {}
    others = {name for names in _NAMES.values() for name in names[1:]}
    for key in given:
        if key not in others:
            values[key], sources[key] = Secret(given[key]), named[key]
    for key, names in _NAMES.items():
        found = next((name for name in names if name in given), None)
        if found is not None:
            values[key], sources[key] = Secret(given[found]), named[found]
    stripped = {
        key: value if key in _VERBATIM else Secret(value.strip()) for key, value in values.items()
    }
    return stripped, sources


def _lack(needed: Mapping[str, bool]) -> str:
    missing = ", ".join(name for name, there in needed.items() if not there)
    there = ", ".join(name for name, there in needed.items() if there)
    return f"{missing} missing beside {there}" if there else f"{missing} missing"


# -- files


def _find_cloud(name: str, environ: Mapping[str, str]) -> tuple[Path, Mapping[object, object]]:
    """Return the settings of a cloud, secrets merged in, and the file that has it."""
    path, document = _first_file("clouds", "OS_CLIENT_CONFIG_FILE", environ)
    if path is None:
        raise ConfigurationError(
            f"there is no clouds.yaml for the cloud {name!r}: looked for OS_CLIENT_CONFIG_FILE, and"
            f" in {', '.join(str(folder) for folder in _folders(environ))}"
        )
    clouds = _clouds(path, document)
    secure_path, secure = _first_file("secure", "OS_CLIENT_SECURE_FILE", environ)
    secrets: Mapping[object, object] = {}
    if secure_path is not None:
        secrets = _clouds(secure_path, secure)
    if name not in clouds and name not in secrets:
        known = ", ".join(sorted(repr(str(one)) for one in clouds))
        raise ConfigurationError(f"{path} has no cloud {name!r}; it has {known or 'none'}")
    merged = _merge(_mapping(clouds.get(name), path, name), _mapping(secrets.get(name), path, name))
    return path, merged


def _mapping(value: object, path: Path, name: str) -> Mapping[object, object]:
    if value is None:
        return {}
    if not isinstance(value, dict):
        raise ConfigurationError(f"cloud {name!r} of {path} must be a mapping")
    return cast("Mapping[object, object]", value)


def _clouds(path: Path, document: object) -> Mapping[object, object]:
    clouds = cast("Mapping[object, object]", document).get("clouds") if document else None
    if not isinstance(clouds, dict):
        raise ConfigurationError(f"{path} has no mapping named clouds")
    return cast("Mapping[object, object]", clouds)


def _merge(
    below: Mapping[object, object], above: Mapping[object, object]
) -> Mapping[object, object]:
    merged = _Quiet(below)
    for key, value in above.items():
        old = merged.get(key)
        if isinstance(old, dict) and isinstance(value, dict):
            value = _merge(
                cast("Mapping[object, object]", old), cast("Mapping[object, object]", value)
            )
        merged[key] = value
    return merged


def _folders(environ: Mapping[str, str]) -> Iterator[Path]:
    """Give the folders that OpenStack's tools look into, in their order."""
    yield Path.cwd()
    home = environ.get("SNAP_REAL_HOME") or environ.get("HOME") or str(Path.home())
    config = environ.get("XDG_CONFIG_HOME", "").strip()
    if config:
        yield Path(config) / "openstack"
    yield Path(home) / ".config" / "openstack"
    for folder in environ.get("XDG_CONFIG_DIRS", "").split(":") or ():
        if folder:
            yield Path(folder) / "openstack"
    yield Path("/etc/xdg/openstack")
    yield Path("/etc/openstack")


def _first_file(
    stem: str, variable: str, environ: Mapping[str, str]
) -> tuple[Path | None, Mapping[object, object]]:
    """Return the first file of this name that there is, and what it holds."""
    named = environ.get(variable, "").strip()
    paths = [Path(named)] if named else []
    paths += [
        folder / f"{stem}{ending}"
        for folder in _folders(environ)
        for ending in (".yaml", ".yml", ".json")
    ]
    for path in paths:
        try:
            text = path.read_text(encoding="utf-8")
        except FileNotFoundError:
            continue
        except NotADirectoryError:
            continue
        except OSError as error:
            raise ConfigurationError(f"{path} cannot be read: {error.strerror}") from None
        except ValueError:
            raise ConfigurationError(f"{path} is not UTF-8 text") from None
        return path, _parse(path, Secret(text))
    return None, {}


def _parse(path: Path, text: Secret) -> Mapping[object, object]:
    """Return what a file holds; its text, which has passwords in it, shows in no error."""
    problem: str
    try:
        document = json.loads(text) if path.suffix == ".json" else _parse_yaml(path, text)
    except ValueError as error:
        line = getattr(error, "lineno", None)
        problem = f"{path} is not JSON" + (f": line {line}" if line else "")
    else:
        if isinstance(document, dict):
            return cast("Mapping[object, object]", _quiet(cast("object", document)))
        del document
        problem = f"{path} must be a mapping with clouds in it"
    raise ConfigurationError(problem)


def _quiet(value: object) -> object:
    """Return what a file holds in a form that shows none of it."""
    if isinstance(value, dict):
        members = cast("dict[object, object]", value).items()
        return _Quiet((key, _quiet(member)) for key, member in members)
    return Secret(value) if isinstance(value, str) else value


def _parse_yaml(path: Path, text: Secret) -> object:
    try:
        import yaml
    except ImportError:
        raise ConfigurationError(
            f"{path} needs the extra: pip install 'registry-async[clouds]'"
        ) from None
    problem: str
    try:
        document: object = yaml.safe_load(str(text))
    except yaml.MarkedYAMLError as error:
        # The rest of its text quotes the file.
        mark = error.problem_mark
        problem = f"{path} is not YAML" + (f": line {mark.line + 1}" if mark else "")
    except yaml.YAMLError:
        problem = f"{path} is not YAML"
    else:
        return document
    raise ConfigurationError(problem)
