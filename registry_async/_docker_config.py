"""Write logins into a Docker configuration file, losing nothing that is in it."""

import base64
import json
import os
import secrets
import stat
import warnings
from collections.abc import Generator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING, Final, cast

from registry_async._secrets import Secret
from registry_async.errors import ConfigurationError

if TYPE_CHECKING:
    from registry_async.models import DockerAuth

_OWNER_ONLY: Final = 0o600
_OWNER_ONLY_FOLDER: Final = 0o700

Config = dict[str, object]


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
        config["auths"] = {**_auths(config, target), **entries}
        _warn_of_helpers(config, entries, target)
        _replace(target, json.dumps(config, indent="\t", ensure_ascii=False).encode() + b"\n")


def _entry(host: str, auth: "DockerAuth") -> dict[str, str]:
    """Return a login as docker, podman, skopeo and helm read it: they all look at ``auth``."""
    encoded = auth.auth
    if not encoded and auth.username and auth.password:
        pair = SecretPair(auth.username, auth.password)
        encoded = pair.encode()
    if not encoded:
        raise ConfigurationError(f"the login for {host} has no auth and no password")
    entry = {"auth": encoded, "username": auth.username, "password": auth.password}
    return {name: Secret(value) for name, value in entry.items() if value}


class SecretPair:
    """A user name and a password on their way into one field."""

    def __init__(self, username: str, password: str) -> None:
        self._text = Secret(f"{username}:{password}")

    def encode(self) -> Secret:
        """Return them as the ``auth`` field has them."""
        return Secret(base64.b64encode(self._text.encode()).decode())


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
    except RuntimeError:
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
        fcntl.flock(descriptor, fcntl.LOCK_EX)
        yield
    finally:
        os.close(descriptor)


def _read(target: Path) -> Config:
    try:
        descriptor = os.open(target, os.O_RDONLY | getattr(os, "O_NOFOLLOW", 0))
    except FileNotFoundError:
        return {}
    with os.fdopen(descriptor, "rb") as file:
        content = file.read()
    config: object = None
    # Docker itself takes an empty file for an empty configuration.
    with suppress(ValueError, RecursionError):
        config = json.loads(content) if content.strip() else {}
    del content
    if not isinstance(config, dict):
        raise ConfigurationError(f"{target} holds no JSON object: it is left as it is")
    return cast(Config, config)


def _auths(config: Config, target: Path) -> Config:
    auths = config.get("auths")
    if auths is None:
        return {}
    if not isinstance(auths, dict):
        raise ConfigurationError(f"auths in {target} is no object: the file is left as it is")
    return cast(Config, auths)


def _warn_of_helpers(config: Config, entries: Mapping[str, object], target: Path) -> None:
    helpers = config.get("credHelpers")
    helped = [host for host in entries if isinstance(helpers, dict) and host in helpers]
    if config.get("credsStore") or helped:
        setting = "credsStore" if config.get("credsStore") else "credHelpers"
        warnings.warn(
            f"{setting} in {target} has docker ask a helper program, not the logins saved there",
            UserWarning,
            stacklevel=4,
        )


def _replace(target: Path, content: bytes) -> None:
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
