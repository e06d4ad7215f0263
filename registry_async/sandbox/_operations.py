"""The operations on registries, repositories and images: from a call to an answer."""

from collections.abc import Callable, Sequence
from typing import Any

from registry_async.sandbox._actions import Removal
from registry_async.sandbox._garbage import measure
from registry_async.sandbox._model import StoredImage, StoredRegistry, StoredRepository
from registry_async.sandbox._requests import Answer, Call, Page
from registry_async.sandbox._times import format_time

_RegistryKey = Callable[[StoredRegistry], Any]
_RepositoryKey = Callable[[StoredRepository], Any]

_REGISTRY_KEYS: dict[str, _RegistryKey] = {
    "name": lambda registry: registry.name,
    "createdAt": lambda registry: registry.created_at,
    "size": lambda registry: registry.size,
}
_REPOSITORY_KEYS: dict[str, _RepositoryKey] = {
    "name": lambda repository: repository.name,
    "updatedAt": lambda repository: repository.updated_at,
    "size": lambda repository: repository.size,
}


def _or_null(items: Sequence[Any]) -> Sequence[Any] | None:
    # A nil slice of Go, which is what an unfilled list is there, becomes null in JSON.
    return items or None


def _bare_array(call: Call, items: Sequence[Any]) -> Answer:
    # v1 answers 204 where v2 would answer with an empty page; the reference does not know of it.
    whole = items or call.settings.dialect == "reference"
    return Answer(200, list(items)) if whole else Answer(204)


# Registries


def _registry_v2(registry: StoredRegistry) -> dict[str, object]:
    return {
        "createdAt": format_time(registry.created_at),
        "id": registry.id,
        "name": registry.name,
        "size": registry.size,
        "status": registry.status,
    }


def _registry_v1(registry: StoredRegistry) -> dict[str, object]:
    percent = round(100 * registry.size / registry.size_limit, 2) if registry.size_limit else 0.0
    return {
        **_registry_v2(registry),
        "sizeLimit": registry.size_limit,
        # Go writes a float without a fraction as an integer.
        "used": int(percent) if percent.is_integer() else percent,
    }


def _matching_registries(call: Call) -> list[StoredRegistry]:
    key = _REGISTRY_KEYS[call.query.choice("sort_field", *_REGISTRY_KEYS, default="name")]
    descending = call.query.descending()
    search = call.query.text("search")
    found = [registry for registry in call.state.registries() if search in registry.name]
    return sorted(found, key=key, reverse=descending)


def list_registries_v1(call: Call) -> Answer:
    """Answer with a bare array of registries, or with 204."""
    found = call.page_v1().of(_matching_registries(call))
    return _bare_array(call, [_registry_v1(registry) for registry in found])


def list_registries(call: Call) -> Answer:
    """Answer with a page of registries; the total does not heed the search."""
    found = call.page().of(_matching_registries(call))
    items = [_registry_v2(registry) for registry in found]
    return Answer(200, {"registries": _or_null(items), "totalCount": len(call.state.registries())})


def create_registry(call: Call) -> Answer:
    """Answer with the registry, which is CREATING however short that lasts."""
    registry = call.actions.create_registry(call.body().text("name"))
    return Answer(201, _registry_v1(registry))


def get_registry(call: Call) -> Answer:
    """Answer with the registry."""
    return Answer(200, _registry_v1(call.state.registry(call.path["registry_id"])))


def delete_registry(call: Call) -> Answer:
    """Begin the deletion."""
    call.actions.delete_registry(call.path["registry_id"])
    return Answer(204)


def list_clusters(call: Call) -> Answer:
    """Answer with the clusters tied to the registry."""
    clusters = [
        {"id": cluster.id, "name": cluster.name, "pool": cluster.pool}
        for cluster in call.state.registry(call.path["registry_id"]).clusters
    ]
    return Answer(200, {"clusters": _or_null(clusters), "totalCount": len(clusters)})


def start_garbage_collection(call: Call) -> Answer:
    """Begin a garbage collection."""
    untagged = call.query.boolean("delete-untagged")
    call.actions.start_collection(call.path["registry_id"], untagged=untagged)
    return Answer(201)


def get_garbage_size(call: Call) -> Answer:
    """Answer with what a collection would free."""
    garbage = measure(call.state.registry(call.path["registry_id"]), call.state.clock())
    return Answer(
        200,
        {
            "sizeNonReferenced": garbage.non_referenced,
            "sizeSummary": garbage.non_referenced + garbage.untagged,
            "sizeUntagged": garbage.untagged,
        },
    )


# Repositories


def _repository(repository: StoredRepository) -> dict[str, object]:
    return {
        "name": repository.name,
        "size": repository.size,
        "type": repository.type,
        "updatedAt": format_time(repository.updated_at),
    }


def _find_repository(call: Call) -> StoredRepository:
    return call.state.repository(call.path["registry_id"], call.path["repository"])


def _listed_repositories(call: Call) -> list[StoredRepository]:
    # What is pushed to the root of a registry has no repository, and is out of this API's reach.
    held = call.state.registry(call.path["registry_id"]).repositories
    return [repository for name, repository in held.items() if name]


def _matching_repositories(
    call: Call, page: Page
) -> tuple[list[StoredRepository], list[object], int]:
    """Give all matches, the page of them as JSON, and the size of the whole registry."""
    field = call.query.choice("sort_field", *_REPOSITORY_KEYS, default="name")
    descending = call.query.descending()
    short = call.query.boolean("short")
    search = call.query.text("search")
    held = _listed_repositories(call)
    found = [repository for repository in held if search in repository.name]
    # Short output is sorted by name, whatever is asked for.
    found.sort(key=_REPOSITORY_KEYS["name" if short else field], reverse=descending)
    items: list[object] = []
    for repository in page.of(found):
        if not short:
            items.append(_repository(repository))
        elif call.settings.short_form == "object":
            items.append({"name": repository.name})
        else:
            items.append(repository.name)
    return found, items, len(held)


def list_repositories_v1(call: Call) -> Answer:
    """Answer with a bare array of repositories or their names, or with 204."""
    return _bare_array(call, _matching_repositories(call, call.page_v1())[1])


def list_repositories(call: Call) -> Answer:
    """Answer with a page of repositories or their names."""
    found, items, total = _matching_repositories(call, call.page())
    return Answer(
        200,
        {"filteredCount": len(found), "repositories": _or_null(items), "totalCount": total},
    )


def get_repository(call: Call) -> Answer:
    """Answer with the repository."""
    return Answer(200, _repository(_find_repository(call)))


def delete_repository(call: Call) -> Answer:
    """Delete the repository."""
    call.actions.delete_repository(call.path["registry_id"], call.path["repository"])
    return Answer(204)


def _removal(removal: Removal) -> dict[str, object]:
    error = {"error": removal.error} if removal.error else {}
    return {"digest": removal.digest, **error, "tags": _or_null(removal.tags)}


def clean_up_repository(call: Call) -> Answer:
    """Remove images and tags in bulk, and tell what went and what did not."""
    body = call.body()
    deleted, failed = call.actions.clean_up(
        call.path["registry_id"],
        call.path["repository"],
        digests=body.texts("digests"),
        tags=body.texts("tags"),
        collect=not (body.flag("disable_gc") if "disable_gc" in body else False),
    )
    return Answer(
        200,
        {
            "deleted": _or_null([_removal(removal) for removal in deleted]),
            "failed": _or_null([_removal(removal) for removal in failed]),
        },
    )


def list_tags(call: Call) -> Answer:
    """Answer with all tags of the repository."""
    return Answer(200, sorted(_find_repository(call).tags))


# Images


def _layers(image: StoredImage) -> list[dict[str, object]]:
    return [{"digest": layer.digest, "size": layer.size} for layer in image.layers]


def _image(image: StoredImage, tags: Sequence[str]) -> dict[str, object]:
    return {
        "architecture": image.architecture,
        "createdAt": format_time(image.created_at),
        "digest": image.digest,
        "layers": _or_null(_layers(image)),
        "mediaType": image.media_type,
        "os": image.os,
        "size": image.size,
        "tags": _or_null(tags),
    }


def _hidden_tags(call: Call, repository: StoredRepository) -> set[str]:
    """Choose the tags that the list of images lacks: those of indexes first, then by name."""
    if not call.settings.hides_tags:
        return set()
    tags = sorted(repository.tags, key=lambda tag: (not repository.tags[tag].references, tag))
    return set(tags[: call.settings.hides_tags])


def _listed_images(call: Call) -> list[tuple[StoredImage, list[str]]]:
    """Give the images that the list shows, each with the tags that it shows.

    An index all of whose tags are hidden is not shown at all.
    """
    repository = _find_repository(call)
    hidden = _hidden_tags(call, repository)
    return [
        (image, [tag for tag in image.tags if tag not in hidden])
        for image in repository.images.values()
        if not (image.references and image.tags and hidden.issuperset(image.tags))
    ]


def list_images_v1(call: Call) -> Answer:
    """Answer with all images in one array, or with 204; there is no paging."""
    return _bare_array(call, [_image(image, tags) for image, tags in _listed_images(call)])


def list_images(call: Call) -> Answer:
    """Answer with a page of images; the search looks at tags and digests."""
    page = call.page()
    search = call.query.text("search")
    held = _listed_images(call)
    found = [
        (image, tags)
        for image, tags in held
        if search in image.digest or any(search in tag for tag in tags)
    ]
    items = [_image(image, tags) for image, tags in page.of(found)]
    return Answer(
        200,
        {"filteredCount": len(found), "images": _or_null(items), "totalCount": len(held)},
    )


def list_layers(call: Call) -> Answer:
    """Answer with the image and its layers; with none for a tag that the list lacks."""
    repository = _find_repository(call)
    reference = call.path["reference"]
    image = call.state.image(repository, reference)
    hidden = reference in _hidden_tags(call, repository)
    layers = [] if hidden else _layers(image)
    if call.go_dialect:
        return Answer(200, layers)
    return Answer(200, {**_image(image, image.tags), "layers": _or_null(layers)})


def delete_manifest(call: Call) -> Answer:
    """Delete the image."""
    call.actions.delete_image(
        call.path["registry_id"], call.path["repository"], call.path["reference"]
    )
    return Answer(204)
