"""Which operation a request means, told from the path as it arrived.

A path is split before it is decoded, so that a slash in a repository's name, which arrives as %2F,
stays inside its segment.
"""

import re
from collections.abc import Callable
from typing import NamedTuple
from urllib.parse import unquote

from registry_async.sandbox import _operations as ops
from registry_async.sandbox import _token_operations as tokens
from registry_async.sandbox._refusals import ErrorForm, Refusal
from registry_async.sandbox._requests import Answer, Call

Operation = Callable[[Call], Answer]

_BAD_ESCAPE = re.compile(r"%(?![0-9A-Fa-f]{2})")

_REGISTRY = "/v1/registries/{registry_id}"
_REPOSITORY = _REGISTRY + "/repositories/{repository}"
_TOKEN = "/v2/tokens/{token_id}"

# Template -> method -> (operationId of the contract, function).
ROUTES: dict[str, dict[str, tuple[str, Operation]]] = {
    "/v1/registries": {
        "GET": ("listRegistriesV1", ops.list_registries_v1),
        "POST": ("createRegistry", ops.create_registry),
    },
    _REGISTRY: {
        "GET": ("getRegistry", ops.get_registry),
        "DELETE": ("deleteRegistry", ops.delete_registry),
    },
    _REGISTRY + "/clusters": {"GET": ("listClusters", ops.list_clusters)},
    _REGISTRY + "/garbage-collection": {
        "POST": ("startGarbageCollection", ops.start_garbage_collection)
    },
    _REGISTRY + "/garbage-collection/size": {"GET": ("getGarbageSize", ops.get_garbage_size)},
    _REGISTRY + "/repositories": {"GET": ("listRepositoriesV1", ops.list_repositories_v1)},
    _REPOSITORY: {
        "GET": ("getRepository", ops.get_repository),
        "DELETE": ("deleteRepository", ops.delete_repository),
    },
    _REPOSITORY + "/cleanup": {"POST": ("cleanupRepository", ops.clean_up_repository)},
    _REPOSITORY + "/images": {"GET": ("listImagesV1", ops.list_images_v1)},
    _REPOSITORY + "/tags": {"GET": ("listTags", ops.list_tags)},
    _REPOSITORY + "/{reference}": {
        "GET": ("listLayers", ops.list_layers),
        "DELETE": ("deleteManifest", ops.delete_manifest),
    },
    "/v1/token": {"POST": ("createTokenV1", tokens.create_token_v1)},
    "/v1/token/{token}": {
        "GET": ("getTokenV1", tokens.get_token_v1),
        "DELETE": ("revokeTokenV1", tokens.revoke_token_v1),
    },
    "/v1/token/{token}/refresh": {"POST": ("refreshTokenV1", tokens.refresh_token_v1)},
    "/v2/registries": {"GET": ("listRegistries", ops.list_registries)},
    "/v2/registries/{registry_id}/repositories": {
        "GET": ("listRepositories", ops.list_repositories)
    },
    "/v2/registries/{registry_id}/repositories/{repository}/images": {
        "GET": ("listImages", ops.list_images)
    },
    "/v2/tokens": {
        "GET": ("listTokens", tokens.list_tokens),
        "POST": ("createToken", tokens.create_token),
    },
    _TOKEN: {
        "GET": ("getToken", tokens.get_token),
        "PATCH": ("updateToken", tokens.update_token),
        "DELETE": ("deleteToken", tokens.delete_token),
    },
    _TOKEN + "/refresh": {"POST": ("refreshToken", tokens.refresh_token)},
    _TOKEN + "/regenerate": {"POST": ("regenerateToken", tokens.regenerate_token)},
    _TOKEN + "/revoke": {"POST": ("revokeToken", tokens.revoke_token)},
}


class Match(NamedTuple):
    """Name the operation that a request means, with its path parameters."""

    operation_id: str
    operation: Operation
    path: dict[str, str]


def _literal_first(template: str) -> list[bool]:
    # `{repository}/images` goes before `{repository}/{reference}`, as OpenAPI has it.
    return [part.startswith("{") for part in template.split("/")]


_BY_LENGTH: dict[int, list[tuple[list[str], str]]] = {}
for _template in sorted(ROUTES, key=_literal_first):
    _parts = _template.split("/")
    _BY_LENGTH.setdefault(len(_parts), []).append((_parts, _template))


def split_path(raw_path: str) -> list[str]:
    """Split a path at its slashes, then decode each segment.

    Args:
        raw_path: The path as it arrived, below the base URL, without the query.

    Returns:
        The segments; the first is empty, as a path begins with a slash.

    Raises:
        Refusal: 400 if an escape is broken or is not UTF-8.
    """
    if _BAD_ESCAPE.search(raw_path):
        raise Refusal(400, "Path has a broken escape.", form=ErrorForm.MESSAGE)
    try:
        return [unquote(part, errors="strict") for part in raw_path.split("/")]
    except UnicodeDecodeError:
        raise Refusal(400, "Path is not valid UTF-8.", form=ErrorForm.MESSAGE) from None


def match(method: str, segments: list[str]) -> Match:
    """Find the operation of a path below the base URL.

    Args:
        method: The HTTP method.
        segments: The decoded segments of the path; the first is empty.

    Returns:
        The operation and its path parameters.

    Raises:
        Refusal: 404 for an unknown path, 405 for a method that the path does not have.
    """
    for parts, template in _BY_LENGTH.get(len(segments), ()):
        path: dict[str, str] = {}
        for part, segment in zip(parts, segments, strict=True):
            if part.startswith("{") and segment:
                path[part[1:-1]] = segment
            elif part != segment:
                break
        else:
            methods = ROUTES[template]
            if method not in methods:
                allow = {"Allow": ", ".join(methods)}
                message = f"Method {method} is not allowed."
                raise Refusal(405, message, form=ErrorForm.MESSAGE, headers=allow)
            return Match(*methods[method], path)
    raise Refusal(404, "Page not found.", form=ErrorForm.MESSAGE)
