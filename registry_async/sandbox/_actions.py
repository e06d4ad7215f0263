"""What the service does to registries, repositories and images, by its rules and in its time.

Nothing runs in the background. A state that takes time (creating, deleting, collecting garbage) is
a moment on the clock, and `Actions.settle` carries out what is due whenever somebody looks.
"""

from collections.abc import Sequence
from typing import NamedTuple

from attrs import frozen

from registry_async.sandbox._garbage import collect, in_use
from registry_async.sandbox._model import StoredImage, StoredRegistry, StoredRepository
from registry_async.sandbox._refusals import bad_request, conflict
from registry_async.sandbox._state import State

MAX_REGISTRIES = 100
_NAME_SYMBOLS = frozenset("abcdefghijklmnopqrstuvwxyz0123456789-")
_PART = "Image is referenced by another manifest"


class Removal(NamedTuple):
    """Tell what a cleanup did to one image: the tags that went, or why nothing did."""

    digest: str
    tags: list[str]
    error: str = ""


@frozen
class Rules:
    """Say how long things take, and how hard the service is.

    Attributes:
        create_seconds: How long a new registry is CREATING.
        delete_seconds: How long a deleted registry is DELETING.
        collection_seconds: How long a garbage collection runs.
        guards_parts: Whether an image that an index refers to is kept from being deleted.
        corrupting_gc: Whether what is pushed during a collection loses its layers.
    """

    create_seconds: float = 1.0
    delete_seconds: float = 1.0
    collection_seconds: float = 2.0
    guards_parts: bool = True
    corrupting_gc: bool = False


class Actions:
    """Change a state as the service does; call it under the state's lock.

    Args:
        state: The state.
        rules: How long things take, and how hard the service is.
    """

    def __init__(self, state: State, rules: Rules) -> None:
        self._state = state
        self._rules = rules
        self._moving: dict[str, StoredRegistry] = {}

    def settle(self) -> None:
        """Carry out what has become due since the last look."""
        now = self._state.clock()
        for registry in list(self._moving.values()):
            if registry.creating_until is not None and now >= registry.creating_until:
                registry.creating_until = None
            if registry.collecting_until is not None and now >= registry.collecting_until:
                registry.collecting_until = None
                collect(registry, now)
                self._state.drop_unused_contents()
            if registry.deleting_until is not None and now >= registry.deleting_until:
                self._state.forget(registry)
                self._state.drop_unused_contents()
                del self._moving[registry.id]
            elif registry.true_status == "ACTIVE":
                del self._moving[registry.id]

    def resume(self, registry: StoredRegistry, status: str) -> None:
        """Go on with a registry that was saved: what took time then is over now."""
        now = self._state.clock()
        if status == "GARBAGE_COLLECTION":
            registry.collecting_until = now
        elif status == "DELETING":
            registry.deleting_until = now
        self._moving[registry.id] = registry

    def create_registry(self, name: str) -> StoredRegistry:
        """Make a registry that is CREATING for a while.

        Args:
            name: Its name.

        Returns:
            The registry.

        Raises:
            Refusal: 400 for a name against the rules, 409 for one that is taken or one too many.
        """
        _check_registry_name(name)
        if self._state.registry_named(name) is not None:
            raise conflict("Registry with this name already exists.")
        if len(self._state.registries()) >= MAX_REGISTRIES:
            raise conflict(f"Quota exceeded: a project holds at most {MAX_REGISTRIES} registries.")
        registry = self._state.add_registry(name)
        registry.creating_until = self._state.clock() + self._rules.create_seconds
        self._moving[registry.id] = registry
        return registry

    def delete_registry(self, registry_id: str) -> None:
        """Begin to delete a registry; asking again while it goes changes nothing."""
        registry = self._state.registry(registry_id)
        if registry.deleting_until is None:
            refuse_if_busy(registry)
            registry.deleting_until = self._state.clock() + self._rules.delete_seconds
            registry.changed = True
            self._moving[registry.id] = registry

    def start_collection(self, registry_id: str, *, untagged: bool) -> None:
        """Begin a garbage collection; what it frees is gone when it ends."""
        registry = self._state.registry(registry_id)
        _refuse_if_no_collection_may_start(registry)
        registry.collecting_until = self._state.clock() + self._rules.collection_seconds
        registry.collects_untagged = untagged
        registry.changed = True
        registry.kept_by_collection = in_use(registry) if self._rules.corrupting_gc else None
        self._moving[registry.id] = registry

    def delete_repository(self, registry_id: str, name: str) -> None:
        """Delete a repository with all its images; their layers become garbage."""
        registry = self._state.registry(registry_id)
        refuse_if_busy(registry)
        self._state.repository(registry_id, name)
        del registry.repositories[name]
        registry.changed = True

    def delete_image(self, registry_id: str, name: str, digest: str) -> None:
        """Delete a manifest and every tag of it.

        Args:
            registry_id: The registry.
            name: The repository.
            digest: The digest; a tag is refused.

        Raises:
            Refusal: 400 for a tag, 404 if there is no such image, 409 during a collection or if an
                index refers to the image.
        """
        refuse_if_busy(self._state.registry(registry_id))
        repository = self._state.repository(registry_id, name)
        if ":" not in digest:
            raise bad_request("Invalid digest: an image is deleted by its digest, not by a tag.")
        image = self._state.image(repository, digest)
        if self._is_guarded(repository, image):
            raise conflict(_PART)
        repository.remove(image)
        repository.updated_at = self._state.now()

    def delete_tag(self, repository: StoredRepository, tag: str) -> bool:
        """Delete a tag and leave its image; tell whether there was one."""
        refuse_if_busy(repository.registry)
        repository.updated_at = self._state.now()
        return repository.untag(tag) is not None

    def clean_up(
        self,
        registry_id: str,
        name: str,
        *,
        digests: Sequence[str],
        tags: Sequence[str],
        collect: bool,
    ) -> tuple[list[Removal], list[Removal]]:
        """Remove images and tags in bulk, as far as possible.

        An index and the images that it refers to may go together, in whatever order they are named.

        Args:
            registry_id: The registry.
            name: The repository.
            digests: Images to remove with all their tags.
            tags: Tags to remove; their images stay.
            collect: Start a garbage collection afterwards.

        Returns:
            What was removed, and what was not.
        """
        registry = self._state.registry(registry_id)
        if collect:
            _refuse_if_no_collection_may_start(registry)
        else:
            refuse_if_busy(registry)
        repository = self._state.repository(registry_id, name)
        removed: dict[str, Removal] = {}
        failed: list[Removal] = []
        for tag in dict.fromkeys(tags):
            image = repository.untag(tag)
            if image is None:
                failed.append(Removal("", [tag], "Tag not found"))
            else:
                removed.setdefault(image.digest, Removal(image.digest, [])).tags.append(tag)
        pending: list[StoredImage] = []
        for digest in dict.fromkeys(digests):
            image = repository.images.get(digest)
            if image is None:
                failed.append(Removal(digest, [], "Image not found"))
            else:
                pending.append(image)
        while free := [image for image in pending if not self._is_guarded(repository, image)]:
            for image in free:
                removal = removed.setdefault(image.digest, Removal(image.digest, []))
                removal.tags.extend(image.tags)
                repository.remove(image)
                pending.remove(image)
        failed += [Removal(image.digest, list(image.tags), _PART) for image in pending]
        if removed:
            repository.updated_at = self._state.now()
        if collect:
            self.start_collection(registry_id, untagged=False)
        return list(removed.values()), failed

    def _is_guarded(self, repository: StoredRepository, image: StoredImage) -> bool:
        return self._rules.guards_parts and repository.is_part(image.digest)


def refuse_if_busy(registry: StoredRegistry) -> None:
    """Refuse with 409 what a collection or the registry's deletion does not allow."""
    # A status that a test has set counts as if it were true.
    if registry.collecting_until is not None or registry.status == "GARBAGE_COLLECTION":
        raise conflict("Garbage collection is in progress.")
    if registry.status == "DELETING":
        raise conflict("Registry is being deleted.")


def _refuse_if_no_collection_may_start(registry: StoredRegistry) -> None:
    refuse_if_busy(registry)
    if registry.status == "CREATING":
        raise conflict("Registry is being created.")


def _check_registry_name(name: str) -> None:
    # Written out rather than as the contract's pattern: a slip in one shows in the other.
    if not 1 <= len(name) <= 20:
        raise bad_request("Registry name must have 1 to 20 characters.")
    if not set(name) <= _NAME_SYMBOLS:
        raise bad_request("Registry name may hold lower-case letters, digits and hyphens only.")
    if not "a" <= name[0] <= "z" or name[-1] == "-":
        raise bad_request("Registry name must start with a letter and end with a letter or digit.")
