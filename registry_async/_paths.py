"""Where the operations of the service live, and how their paths are put together. No I/O."""

from collections.abc import Mapping
from typing import Final
from urllib.parse import SplitResult, quote, unquote, urlsplit, urlunsplit

from attrs import frozen

from registry_async._arguments import QueryValue, check_text
from registry_async._secrets import Secret

DEFAULT_BASE_URL: Final = "https://cr.selcloud.ru/api"
# In the place of a base URL: the one that the Keystone catalog lists.
CATALOG: Final = "catalog"


@frozen
class Operation:
    """An operation of the service.

    Attributes:
        method: The HTTP method.
        template: The path below the base URL, with its parameters in braces.
    """

    method: str
    template: str


_REGISTRY: Final = "/v1/registries/{registry_id}"
_REPOSITORY: Final = _REGISTRY + "/repositories/{repository}"

# A path that turns out to be wrong is a change of one line here.
OPERATIONS: Final[Mapping[str, Operation]] = {
    "listRegistriesV1": Operation("GET", "/v1/registries"),
    "createRegistry": Operation("POST", "/v1/registries"),
    "getRegistry": Operation("GET", _REGISTRY),
    "deleteRegistry": Operation("DELETE", _REGISTRY),
    "listClusters": Operation("GET", _REGISTRY + "/clusters"),
    "startGarbageCollection": Operation("POST", _REGISTRY + "/garbage-collection"),
    "getGarbageSize": Operation("GET", _REGISTRY + "/garbage-collection/size"),
    "listRepositoriesV1": Operation("GET", _REGISTRY + "/repositories"),
    "getRepository": Operation("GET", _REPOSITORY),
    "deleteRepository": Operation("DELETE", _REPOSITORY),
    "cleanupRepository": Operation("POST", _REPOSITORY + "/cleanup"),
    "listImagesV1": Operation("GET", _REPOSITORY + "/images"),
    "listTags": Operation("GET", _REPOSITORY + "/tags"),
    "listLayers": Operation("GET", _REPOSITORY + "/{reference}"),
    "deleteManifest": Operation("DELETE", _REPOSITORY + "/{reference}"),
    "createTokenV1": Operation("POST", "/v1/token"),
    "getTokenV1": Operation("GET", "/v1/token/{token}"),
    "revokeTokenV1": Operation("DELETE", "/v1/token/{token}"),
    "refreshTokenV1": Operation("POST", "/v1/token/{token}/refresh"),
    "listRegistries": Operation("GET", "/v2/registries"),
    "listRepositories": Operation("GET", "/v2/registries/{registry_id}/repositories"),
    "listImages": Operation("GET", "/v2/registries/{registry_id}/repositories/{repository}/images"),
    "listTokens": Operation("GET", "/v2/tokens"),
    "createToken": Operation("POST", "/v2/tokens"),
    "getToken": Operation("GET", "/v2/tokens/{token_id}"),
    "updateToken": Operation("PATCH", "/v2/tokens/{token_id}"),
    "deleteToken": Operation("DELETE", "/v2/tokens/{token_id}"),
    "refreshToken": Operation("POST", "/v2/tokens/{token_id}/refresh"),
    "regenerateToken": Operation("POST", "/v2/tokens/{token_id}/regenerate"),
    "revokeToken": Operation("POST", "/v2/tokens/{token_id}/revoke"),
}

# Names of things below a repository: a manifest of this name could not be told from them.
_RESERVED_REFERENCES: Final = frozenset({"cleanup", "images", "tags"})


def encode_segment(value: str, argument: str) -> str:
    """Return a path parameter percent-encoded as one segment.

    A server, or a proxy before it, may decode a segment before it takes the path apart. So what
    would then lead elsewhere is refused: empty parts and dot segments, encoded ones included.

    Args:
        value: The parameter as the user gave it.
        argument: The name of the argument, for the error.

    Raises:
        ValueError: The value cannot travel as one segment that names what the user meant.
    """
    check_text(value, argument)
    # Found elsewhere and raised here: the parameter may be a secret, and no frame of a traceback
    # is to hold a copy of it.
    problem = _segment_problem(value)
    if problem is not None:
        raise ValueError(f"{argument} must not {problem}")
    return quote(value, safe="")


def _segment_problem(value: str) -> str | None:
    if not value:
        return "be empty"
    decoded = value
    while True:
        parts = decoded.replace("\\", "/").split("/")
        if "" in parts:
            return "have an empty part between slashes"
        if "." in parts or ".." in parts:
            return "be or contain a '.' or '..' segment"
        further = unquote(decoded)
        if further == decoded:
            return None
        decoded = further


def operation_path(operation: Operation, parameters: Mapping[str, str]) -> str:
    """Return the encoded path of an operation below the base URL.

    Raises:
        ValueError: A parameter cannot travel as one path segment.
    """
    encoded = {name: encode_segment(value, name) for name, value in parameters.items()}
    if parameters.get("reference") in _RESERVED_REFERENCES:
        raise ValueError(
            f"reference must not be one of {', '.join(sorted(_RESERVED_REFERENCES))}: "
            "the service would take it for another operation"
        )
    path = operation.template.format_map(encoded)
    # A path that was made of a secret is one.
    secret = any(isinstance(value, Secret) for value in parameters.values())
    return Secret(path) if secret else path


def relative_path(path: str, argument: str = "path") -> str:
    """Return a path that was put together elsewhere, safe to send.

    What is percent-encoded stays so; what needs to be is encoded.

    Args:
        path: The path, below the base URL unless it is its own.
        argument: The name of the argument, for the error.

    Raises:
        ValueError: It leads out of the base URL, is a whole URL, or holds a query or a fragment.
    """
    check_text(path, argument)
    scheme, separator, _ = path.partition("://")
    if separator and "/" not in scheme:
        raise ValueError(
            f"{argument} must be the part below the base URL, such as /v2/registries, "
            "not a whole URL"
        )
    if "?" in path or "#" in path:
        raise ValueError(f"{argument} must not hold a query or a fragment: use params")
    for segment in path.removeprefix("/").split("/"):
        encode_segment(unquote(segment), argument)
    return "/" + quote(path.removeprefix("/"), safe="/%:@!$&'()*+,;=~-._")


def encode_query(parameters: Mapping[str, QueryValue]) -> str:
    """Return a query string without its question mark; None leaves a parameter out."""
    return "&".join(
        f"{quote(name, safe='')}={_query_text(value)}"
        for name, value in parameters.items()
        if value is not None
    )


def _query_text(value: str | int) -> str:
    if isinstance(value, str):
        return quote(value, safe="")
    # A bool is an int, and the service writes it in lower case.
    return str(value).lower()


def normalize_base_url(url: str, argument: str = "base_url") -> str:
    """Return a base URL without a trailing slash or API version.

    The catalog of the provider lists the service as two URLs that end in ``/v1`` and ``/v2``
    and share their base, so either form is taken.

    Raises:
        ValueError: It is not an absolute http or https URL, or carries what a base URL cannot.
    """
    check_text(url, argument)
    problem: str | None = None
    parts = _split(url)
    host = parts.hostname if parts else None
    if parts is None:
        problem = "be a valid URL"
    elif parts.scheme not in ("http", "https") or not host or " " in parts.netloc:
        problem = "be an absolute http:// or https:// URL"
    elif parts.username is not None or parts.password is not None:
        problem = "not contain a user name or password"
    elif parts.query or parts.fragment:
        problem = "not contain a query or a fragment"
    if problem is not None or parts is None:
        # The password that it must not contain shows in no traceback.
        del url, parts
        raise ValueError(f"{argument} must {problem}")
    path = "/".join(part for part in parts.path.split("/") if part)
    if path:
        path = relative_path(path, argument).removeprefix("/")
    for version in ("v1", "v2"):
        if path == version or path.endswith("/" + version):
            path = path[: -len(version)].rstrip("/")
            break
    base = urlunsplit((parts.scheme, parts.netloc, "/" + path if path else "", "", ""))
    # It may have come as a secret, and holds none.
    return str(base)


def _split(url: str) -> SplitResult | None:
    """Return the parts of a URL, or None if it is none."""
    try:
        parts = urlsplit(url.strip())
        # Whether it is a number shows only when it is asked for.
        _ = parts.port
    except ValueError:
        return None
    return parts


def is_loopback(url: str) -> bool:
    """Say whether a URL leads to this very machine."""
    host = urlsplit(url).hostname or ""
    return (
        host == "localhost"
        or host.endswith(".localhost")
        or host == "::1"
        or (host.startswith("127.") and all(part.isdigit() for part in host.split(".")))
    )
