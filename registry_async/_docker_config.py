"""Files of Docker: logins, and how they get into a configuration file without loss."""

import base64
import errno
import json
import os
import re
import secrets
import stat
import time
import warnings
from collections.abc import Generator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Final, NoReturn

from attrs import field, frozen

from registry_async._plain import PlainData
from registry_async._secrets import REDACTED, SecretBytes
from registry_async.errors import ConfigurationError

__all__ = ["DockerAuth", "DockerConfig"]

_OWNER_ONLY: Final = 0o600
_OWNER_ONLY_FOLDER: Final = 0o700
# Seconds to wait for another program that saves to the same folder, and between two looks.
_LOCK_TIMEOUT: Final = 30.0
_LOCK_INTERVAL: Final = 0.05
# What Kubernetes takes for names: of secrets, and of namespaces.
_LABEL: Final = r"[a-z0-9](?:[-a-z0-9]*[a-z0-9])?"
_SECRET_NAME: Final = re.compile(rf"(?=.{{1,253}}\Z){_LABEL}(?:\.{_LABEL})*")
_NAMESPACE: Final = re.compile(rf"(?=.{{1,63}}\Z){_LABEL}")


@frozen(weakref_slot=False)
class DockerAuth(PlainData):
    """The login to one registry host; no part of it shows in ``repr``.

    Attributes:
        auth: Base64 of ``username:password``.
        username: The user name, which is ``token`` for this service.
        password: The secret of the token.
    """

    auth: str | None = field(default=None, repr=False)
    username: str | None = field(default=None, repr=False)
    password: str | None = field(default=None, repr=False)


@frozen(weakref_slot=False)
class DockerConfig(PlainData):
    """A Docker configuration with logins, for docker, podman, skopeo and helm.

    Attributes:
        auths: The logins by registry host.
    """

    auths: Mapping[str, DockerAuth]

    def save(self, path: str | Path) -> None:
        """Merge the logins into a Docker configuration file, creating it where there is none.

        Other hosts' logins and unknown settings stay as they are. The file is replaced as a
        whole or not at all, with mode 0600, and never through a symbolic link that leads
        elsewhere than to a regular file of yours. It keeps its owner where that is possible.

        Args:
            path: The file, such as ``~/.docker/config.json`` (``~`` is expanded).

        Raises:
            ConfigurationError: The file cannot be merged into without loss, is not a regular
                file, or stays locked by another program; or a login is of no use, or ``~`` stands
                for nothing.
            OSError: The file cannot be read or written.
        """
        entries = self._entries()
        try:
            expanded = Path(path).expanduser()
        except RuntimeError:
            raise ConfigurationError(f"{path}: there is no home directory for ~") from None
        target = _target(expanded)
        target.parent.mkdir(mode=_OWNER_ONLY_FOLDER, parents=True, exist_ok=True)
        with _locked(target.parent) as alone:
            if alone:
                _remove_leftovers(target)
            config = _read(target)
            config["auths"] = _Secrets(_auths(config, target) | entries)
            _warn_of_helpers(config, entries, target)
            # In ASCII, since escapes in the file may be text that cannot be encoded.
            _replace(target, SecretBytes(json.dumps(config, indent="\t").encode() + b"\n"))

    def to_kubernetes_secret(self, name: str, namespace: str | None = None) -> dict[str, object]:
        """Return the manifest of a secret with which Kubernetes pulls images.

        Write it as JSON or YAML for ``kubectl apply -f``, and name it in ``imagePullSecrets``. It
        holds the logins, in Base64: treat it as what it is.

        Args:
            name: The name of the secret.
            namespace: Its namespace; None leaves that to ``kubectl``.

        Raises:
            ValueError: Kubernetes takes no such name or namespace.
            ConfigurationError: A login is of no use.
        """
        metadata = {"name": _checked(name, _SECRET_NAME, "name")}
        if namespace is not None:
            metadata["namespace"] = _checked(namespace, _NAMESPACE, "namespace")
        content = json.dumps({"auths": self._entries()}, separators=(",", ":")).encode()
        return {
            "apiVersion": "v1",
            "kind": "Secret",
            "metadata": metadata,
            "type": "kubernetes.io/dockerconfigjson",
            "data": {".dockerconfigjson": base64.b64encode(content).decode()},
        }

    def _entries(self) -> dict[str, "_Secrets"]:
        return {host: _entry(host, auth) for host, auth in self.auths.items()}


class _Secrets(dict[str, object]):
    """A part of a configuration, which holds the logins of all hosts and does not show them."""

    def __repr__(self) -> str:
        return f"{{{REDACTED}}}"


def _checked(value: str, pattern: re.Pattern[str], argument: str) -> str:
    if not pattern.fullmatch(value):
        raise ValueError(f"{argument} must be lower-case letters, digits and hyphens")
    return value


def _entry(host: str, auth: DockerAuth) -> _Secrets:
    """Return a login as docker, podman, skopeo and helm read it: they all look at ``auth``."""
    encoded = auth.auth
    if not encoded and auth.username and auth.password:
        encoded = base64.b64encode(f"{auth.username}:{auth.password}".encode()).decode()
    if not encoded:
        raise ConfigurationError(f"the login for {host} has no auth and no password")
    parts = {"auth": encoded, "username": auth.username, "password": auth.password}
    return _Secrets({name: text for name, text in parts.items() if text})


def _target(path: Path) -> Path:
    """Return the file that is really meant, if it is one of the user's own or is still to be."""
    linked = path.is_symlink()
    try:
        target = path.resolve(strict=linked)
        status = target.lstat()
    except FileNotFoundError:
        if linked:
            raise ConfigurationError(f"{path} is a link that leads nowhere") from None
        return path.parent.resolve() / path.name
    except (RuntimeError, OSError) as error:
        # Before Python 3.13 it is a RuntimeError.
        if isinstance(error, OSError) and error.errno != errno.ELOOP:
            raise
        raise ConfigurationError(f"{path} is a link that leads to itself") from None
    if not stat.S_ISREG(status.st_mode):
        raise ConfigurationError(f"{path} is not a regular file")
    if linked and hasattr(os, "getuid") and status.st_uid != os.getuid():
        raise ConfigurationError(f"{path} leads to a file of another user")
    return target


@contextmanager
def _locked(folder: Path) -> Generator[bool]:
    """Keep others who save here waiting, so that none overwrites what another has merged.

    Gives:
        Whether there is a lock. Without one (Windows, some network file systems) the last of two
        who save at the same moment wins.

    Raises:
        ConfigurationError: Another program keeps the lock.
    """
    try:
        import fcntl
    except ImportError:
        yield False
        return
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        deadline = time.monotonic() + _LOCK_TIMEOUT
        locked = False
        while not locked:
            try:
                fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
                locked = True
            except BlockingIOError:
                # Whoever may read the folder may lock it, for as long as they like.
                if time.monotonic() >= deadline:
                    raise ConfigurationError(
                        f"{folder} has been locked by another program for {_LOCK_TIMEOUT:.0f}"
                        " seconds: nothing was saved"
                    ) from None
                time.sleep(_LOCK_INTERVAL)
            except OSError:
                break
        yield locked
    finally:
        os.close(descriptor)


def _temporary(target: Path) -> Path:
    return target.with_name(f".{target.name}.{secrets.token_hex(8)}")


def _remove_leftovers(target: Path) -> None:
    """Remove what a save left behind that was killed: it holds passwords, and nobody knows of it.

    Nobody else writes such a file now, since we hold the lock.
    """
    leftover = re.compile(rf"\.{re.escape(target.name)}\.[0-9a-f]{{16}}")
    for path in target.parent.iterdir():
        if leftover.fullmatch(path.name) and stat.S_ISREG(path.lstat().st_mode):
            with suppress(OSError):
                path.unlink()


class _LossyError(ValueError):
    """Reading and writing this JSON again would lose something."""


def _without_repeats(pairs: list[tuple[str, object]]) -> _Secrets:
    found = _Secrets(pairs)
    if len(found) != len(pairs):
        raise _LossyError
    return found


def _finite(digits: str) -> float:
    found = float(digits)
    if found in (float("inf"), float("-inf")):
        raise _LossyError
    return found


def _no_constant(_: str) -> NoReturn:
    raise _LossyError


def _read(target: Path) -> _Secrets:
    try:
        descriptor = os.open(target, os.O_RDONLY | getattr(os, "O_NOFOLLOW", 0))
    except FileNotFoundError:
        return _Secrets()
    with os.fdopen(descriptor, "rb") as file:
        content = SecretBytes(file.read())
    config: object = None
    problem = "holds no JSON object"
    # Docker itself takes an empty file for an empty configuration.
    try:
        config = (
            json.loads(
                content,
                object_pairs_hook=_without_repeats,
                parse_float=_finite,
                parse_constant=_no_constant,
            )
            if content.strip()
            else _Secrets()
        )
    except _LossyError:
        problem = "names something twice, or holds a number that is none"
    except (ValueError, RecursionError):
        config = None
    if not isinstance(config, _Secrets):
        del config
        raise ConfigurationError(f"{target} {problem}: it is left as it is")
    return config


def _auths(config: _Secrets, target: Path) -> _Secrets:
    auths = config.get("auths")
    if auths is None:
        return _Secrets()
    if not isinstance(auths, _Secrets):
        del auths
        raise ConfigurationError(f"auths in {target} is no object: the file is left as it is")
    return auths


def _warn_of_helpers(config: _Secrets, entries: Mapping[str, object], target: Path) -> None:
    helpers = config.get("credHelpers")
    helped = [host for host in entries if isinstance(helpers, dict) and host in helpers]
    if config.get("credsStore") or helped:
        setting = "credsStore" if config.get("credsStore") else "credHelpers"
        warnings.warn(
            f"{setting} in {target} has docker ask a helper program, not the logins saved there",
            UserWarning,
            stacklevel=3,
        )


def _replace(target: Path, content: SecretBytes) -> None:
    """Put new content in the place of the file, as a whole or not at all."""
    temporary = _temporary(target)
    flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | getattr(os, "O_NOFOLLOW", 0)
    descriptor = os.open(temporary, flags, _OWNER_ONLY)
    try:
        with os.fdopen(descriptor, "wb") as file:
            # The mode was narrowed by the umask, or widened by nobody: said again, to be sure.
            temporary.chmod(_OWNER_ONLY)
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        _keep_owner(target, temporary)
        temporary.replace(target)
    except BaseException:
        with suppress(OSError):
            temporary.unlink()
        raise


def _keep_owner(target: Path, temporary: Path) -> None:
    """Give the new file to the owner of the old one, which only root can."""
    with suppress(FileNotFoundError, PermissionError):
        old, new = target.stat(), temporary.stat()
        if (old.st_uid, old.st_gid) != (new.st_uid, new.st_gid):
            os.chown(temporary, old.st_uid, old.st_gid)
