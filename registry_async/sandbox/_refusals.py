"""What the sandbox refuses, with the status and one of the three error forms of the service."""

from enum import Enum


class ErrorForm(Enum):
    """Name the shapes of an error body that the service uses side by side."""

    TEXT = "error"
    OBJECT = "error object"
    MESSAGE = "message"


class Refusal(Exception):  # noqa: N818 - it is an answer of the service, not a failure of the sandbox
    """End an operation with an error answer.

    Args:
        status: The HTTP status.
        message: What the caller is told.
        form: The shape of the body.
        id: What the error is about; only the object form carries it.
        headers: Headers to add to the answer.
    """

    def __init__(
        self,
        status: int,
        message: str,
        *,
        form: ErrorForm = ErrorForm.TEXT,
        id: str = "",  # noqa: A002 - the service's own word
        headers: dict[str, str] | None = None,
    ) -> None:
        super().__init__(message)
        self.status = status
        self.message = message
        self.form = form
        self.id = id
        self.headers = headers or {}

    def body(self) -> dict[str, object]:
        """Give the error body in this refusal's form."""
        if self.form is ErrorForm.OBJECT:
            return {"error": {"id": self.id, "message": self.message}}
        if self.form is ErrorForm.MESSAGE:
            return {"message": self.message}
        return {"error": self.message}


def bad_request(message: str) -> Refusal:
    """Refuse arguments that the contract does not allow."""
    return Refusal(400, message)


def conflict(message: str) -> Refusal:
    """Refuse what the present state does not allow."""
    return Refusal(409, message)


def registry_not_found() -> Refusal:
    """Say that the project has no such registry."""
    return Refusal(404, "Registry not found.")


def repository_not_found(name: str) -> Refusal:
    """Say that the registry has no such repository."""
    return Refusal(404, "Repository not found.", form=ErrorForm.OBJECT, id=name)


def image_not_found(reference: str) -> Refusal:
    """Say that the repository has no image of this digest or tag."""
    return Refusal(404, "Image not found.", form=ErrorForm.OBJECT, id=reference)


def token_not_found() -> Refusal:
    """Say that the project has no such token."""
    return Refusal(404, "Token not found.")


class RegistryRefusal(Refusal):
    """Refuse in the form of the OCI distribution API, with one of its codes.

    Args:
        status: The HTTP status.
        code: The code, such as `NAME_UNKNOWN`.
        message: What the caller is told.
        headers: Headers to add to the answer.
    """

    def __init__(
        self, status: int, code: str, message: str, *, headers: dict[str, str] | None = None
    ) -> None:
        super().__init__(status, message, headers=headers)
        self.code = code

    def body(self) -> dict[str, object]:
        """Give the one error in the distribution API's form."""
        return {"errors": [{"code": self.code, "message": self.message, "detail": None}]}
