"""Write logins into a Docker configuration file, losing nothing that is in it."""

import base64
import errno
import json
import os
import secrets
import stat
import warnings
from collections.abc import Generator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING, Final

from registry_async._secrets import REDACTED, SecretBytes
from registry_async.errors import ConfigurationError

if TYPE_CHECKING:
    from registry_async.models import DockerAuth

_OWNER_ONLY: Final = 0o600
_OWNER_ONLY_FOLDER: Final = 0o700


class _Config(dict[str, object]):
    """A part of a configuration, which holds the logins of all hosts and does not show them."""

    def __repr__(self) -> str:
        return f"{{{REDACTED}}}"


def save(auths: Mapping[str, "DockerAuth"], path: Path) -> None:
    """Merge logins into a Docker configuration file.

    Args:
        auths: The logins by registry host.
        path: The file; ``~`` is expanded.

    Raises:
        ConfigurationError: A login is of no use, or the file is not one that can be merged into.
        OSError: The file cannot be read or written.
    """
    entries = {host: _entry(host, auth) for host, auth in auths.items()}
    target = _target(path.expanduser())
    target.parent.mkdir(mode=_OWNER_ONLY_FOLDER, parents=True, exist_ok=True)
    with _locked(target.parent):
        config = _read(target)
        config["auths"] = _Config(_auths(config, target) | entries)
        _warn_of_helpers(config, entries, target)
        # In ASCII, since what a file may hold in escapes need not be text that can be encoded.
        _replace(target, SecretBytes(json.dumps(config, indent="\t").encode() + b"\n"))


def _entry(host: str, auth: "DockerAuth") -> _Config:
    """Return a login as docker, podman, skopeo and helm read it: they all look at ``auth``."""
    encoded = auth.auth
    if not encoded and auth.username and auth.password:
        encoded = base64.b64encode(f"{auth.username}:{auth.password}".encode()).decode()
    if not encoded:
        raise ConfigurationError(f"the login for {host} has no auth and no password")
    parts = {"auth": encoded, "username": auth.username, "password": auth.password}
    return _Config({name: text for name, text in parts.items() if text})


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
def _locked(folder: Path) -> Generator[None]:
    """Keep others who save here waiting, so that none overwrites what another has merged."""
    try:
        import fcntl
    except ImportError:
        # Without such locks (Windows), the last of two at the same moment wins.
        yield
        return
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        # Some network file systems know no locks; there, too, the last one wins.
        with suppress(OSError):
            fcntl.flock(descriptor, fcntl.LOCK_EX)
        yield
    finally:
        os.close(descriptor)


def _read(target: Path) -> _Config:
    try:
        descriptor = os.open(target, os.O_RDONLY | getattr(os, "O_NOFOLLOW", 0))
    except FileNotFoundError:
        return _Config()
    with os.fdopen(descriptor, "rb") as file:
        content = SecretBytes(file.read())
    config: object = None
    # Docker itself takes an empty file for an empty configuration.
    with suppress(ValueError, RecursionError):
        config = json.loads(content, object_hook=_Config) if content.strip() else _Config()
    if not isinstance(config, _Config):
        del config
        raise ConfigurationError(f"{target} holds no JSON object: it is left as it is")
    return config


def _auths(config: _Config, target: Path) -> _Config:
    auths = config.get("auths")
    if auths is None:
        return _Config()
    if not isinstance(auths, _Config):
        del auths
        raise ConfigurationError(f"auths in {target} is no object: the file is left as it is")
    return auths


def _warn_of_helpers(config: _Config, entries: Mapping[str, object], target: Path) -> None:
    helpers = config.get("credHelpers")
    helped = [host for host in entries if isinstance(helpers, dict) and host in helpers]
    if config.get("credsStore") or helped:
        setting = "credsStore" if config.get("credsStore") else "credHelpers"
        warnings.warn(
            f"{setting} in {target} has docker ask a helper program, not the logins saved there",
            UserWarning,
            stacklevel=4,
        )


def _replace(target: Path, content: SecretBytes) -> None:
    """Put new content in the place of the file, as a whole or not at all."""
    temporary = target.with_name(f".{target.name}.{secrets.token_hex(8)}")
    flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | getattr(os, "O_NOFOLLOW", 0)
    descriptor = os.open(temporary, flags, _OWNER_ONLY)
    try:
        with os.fdopen(descriptor, "wb") as file:
            # The mode was narrowed by the umask, or widened by nobody: said again, to be sure.
            temporary.chmod(_OWNER_ONLY)
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        temporary.replace(target)
    except BaseException:
        with suppress(OSError):
            temporary.unlink()
        raise
