"""What a scan gives: images, repositories, errors and progress. Plain values."""

from attrs import field, frozen

from registry_async.models import Image, Registry, Repository

__all__ = ["ScanError", "ScanProgress", "ScannedImage", "ScannedRepository"]


@frozen(weakref_slot=False)
class ScannedImage:
    """An image that a scan found.

    Attributes:
        client_label: The label of the client that found it.
        registry: The registry that it is in.
        repository: The repository that it is in.
        image: The image.
    """

    client_label: str | None
    registry: Registry
    repository: Repository
    image: Image


@frozen(weakref_slot=False)
class ScannedRepository:
    """A repository that a scan with ``images=False`` found.

    Attributes:
        client_label: The label of the client that found it.
        registry: The registry that it is in.
        repository: The repository.
        image: Always None.
    """

    client_label: str | None
    registry: Registry
    repository: Repository
    image: None = field(default=None, init=False, repr=False)


@frozen(weakref_slot=False)
class ScanError:
    """Something that a scan could not read. What was read of it before is in the results.

    Attributes:
        client_label: The label of the client that asked.
        registry: The registry; None when the project's list of registries could not be read, or
            the whole project was given up.
        repository: The repository; None when the list of repositories could not be read, or the
            whole registry was given up.
        error: What went wrong. Of an `ApiError`, just the start of the body is kept.
    """

    client_label: str | None
    registry: Registry | None
    repository: Repository | None
    error: Exception


@frozen(weakref_slot=False)
class ScanProgress:
    """How far a scan has come.

    Attributes:
        registries_found: The registries to be read, as far as known.
        registries_read: Those of them that are done with.
        repositories_found: The repositories to be read, as far as known.
        repositories_read: Those of them that are done with.
        images: The images found.
        requests: The requests sent, but for repeats of the client's own.
        errors: The errors recorded.
    """

    registries_found: int
    registries_read: int
    repositories_found: int
    repositories_read: int
    images: int
    requests: int
    errors: int
