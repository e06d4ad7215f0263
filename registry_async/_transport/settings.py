"""Check where a client sends to, and whom it trusts there, before anything is sent."""

import ssl
import warnings
from pathlib import Path

from registry_async._paths import CATALOG, is_loopback, normalize_base_url
from registry_async._transport.authorization import Authorizer
from registry_async.errors import ConfigurationError

__all__ = ["service_url", "tls_context"]


def service_url(base_url: str, authorizer: Authorizer) -> str | None:
    """Return the URL of the service, or None for the one that the catalog will list.

    Raises:
        ConfigurationError: The catalog is asked for, and the credentials know none.
        ValueError: It is no base URL.
    """
    if authorizer.login_url is not None:
        _warn_of_clear_text(authorizer.login_url, "password")
    if base_url == CATALOG:
        if authorizer.login_url is None:
            raise ConfigurationError(
                'base_url="catalog" needs Keystone credentials: no others know the catalog'
            )
        return None
    url = normalize_base_url(base_url)
    _warn_of_clear_text(url, "token")
    return url


def _warn_of_clear_text(url: str, what: str) -> None:
    if url.startswith("http://") and not is_loopback(url):
        warnings.warn(
            f"{url} is plain HTTP: the {what} travels in the clear", UserWarning, stacklevel=4
        )


def tls_context(setting: ssl.SSLContext | str | Path | None) -> ssl.SSLContext | None:
    """Return TLS settings that trust the CA certificates of a file besides the system's.

    Raises:
        ValueError: There are no certificates in the file, or it cannot be read.
    """
    if setting is None or isinstance(setting, ssl.SSLContext):
        return setting
    problem = "ssl must be an SSLContext or the path of a file of CA certificates in PEM form"
    if not isinstance(setting, str | Path):  # pyright: ignore[reportUnnecessaryIsInstance]
        raise ValueError(problem)
    context = ssl.create_default_context()
    try:
        context.load_verify_locations(cafile=setting)
    except ssl.SSLError as error:
        raise ValueError(f"{problem}; {setting} holds none") from error
    except OSError as error:
        raise ValueError(f"{problem}; {setting}: {error.strerror}") from error
    return context
