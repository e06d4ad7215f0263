"""The errors that users see. None of them holds a secret; all of them pickle and copy."""

from collections.abc import Mapping
from typing import Any

from registry_async._safe_text import visible_lines

__all__ = [
    "ApiError",
    "AuthenticationError",
    "BadRequestError",
    "ClientClosedError",
    "ConfigurationError",
    "ConflictError",
    "ConnectionFailedError",
    "ContainerRegistryError",
    "NotFoundError",
    "PermissionDeniedError",
    "RateLimitedError",
    "RegistryNotFoundError",
    "RequestError",
    "RequestTimeoutError",
    "RetentionRefusedError",
    "ServerError",
    "UnexpectedResponseError",
    "WaitFailedError",
    "WaitTimeoutError",
]


def _rebuild(
    kind: type["ContainerRegistryError"], args: tuple[object, ...], state: Mapping[str, Any]
) -> "ContainerRegistryError":
    # Constructors of subclasses take different arguments, which Exception's own way of
    # pickling would call with `args`.
    error = kind.__new__(kind, *args)
    error.args = args
    error.__dict__.update(state)
    return error


class ContainerRegistryError(Exception):
    """The base of every error of this package."""

    def __reduce__(self) -> tuple[object, ...]:
        return _rebuild, (type(self), self.args, dict(self.__dict__))


class ConfigurationError(ContainerRegistryError):
    """The client is not set up well enough to send anything: the message says what to set."""


class ClientClosedError(ContainerRegistryError, RuntimeError):
    """The client was used after it was closed."""


class RequestError(ContainerRegistryError):
    """One request failed: the base of the errors of answers, connections and time limits.

    Attributes:
        method: The HTTP method.
        url: The URL, with secrets redacted.
        attempts: How often it was sent.
        seconds: The time that all attempts took.
        may_have_happened: Whether the service may have carried out what must not be carried out
            twice, so that it was not sent again: look before you repeat it.
    """

    def __init__(self, message: str, method: str = "", url: str = "") -> None:
        super().__init__(message)
        self.message = message
        self.method = method
        self.url = url
        self.attempts = 1
        self.seconds = 0.0
        self.may_have_happened = False

    def _circumstances(self) -> str:
        """Return what else helps to judge it, to be put after the message."""
        text = "; it may have been carried out all the same" if self.may_have_happened else ""
        if self.attempts > 1:
            text += f" (tried {self.attempts} times in {self.seconds:.1f} s)"
        return text

    def __str__(self) -> str:
        where = f"{self.method} {self.url}".strip()
        text = f"{where}: {self.message}" if where else self.message
        return visible_lines(text + self._circumstances())


class ConnectionFailedError(RequestError):
    """No connection could be made, or it broke before the answer was whole."""


class RequestTimeoutError(RequestError):
    """The answer did not arrive within the time limit of the client."""


class UnexpectedResponseError(RequestError):
    """The answer is not what the contract says: not JSON, a wrong type, a redirect.

    Attributes:
        path: Where in the answer, such as ``images[3].layers[0].size``; empty for the whole.
        status: The HTTP status, where there is one.
    """

    def __init__(
        self,
        message: str,
        method: str = "",
        url: str = "",
        *,
        path: str = "",
        status: int | None = None,
    ) -> None:
        super().__init__(message, method, url)
        self.path = path
        self.status = status

    def __str__(self) -> str:
        text = super().__str__()
        return f"{text} (at {visible_lines(self.path)})" if self.path else text


class RetentionRefusedError(ContainerRegistryError):
    """A retention plan is refused as a whole, before anything is sent: the message says why."""


class WaitTimeoutError(ContainerRegistryError):
    """A status that was waited for did not come in time."""


class WaitFailedError(ContainerRegistryError):
    """A status came from which the one that was waited for cannot be reached.

    Attributes:
        status: The status that ended the wait.
    """

    def __init__(self, message: str, status: str) -> None:
        super().__init__(message)
        self.status = status


class ApiError(RequestError):
    """The service refused the request or failed.

    Attributes:
        status: The HTTP status.
        message: The service's own words, or a readable stand-in.
        method: The HTTP method.
        url: The URL, with secrets redacted.
        request_id: The service's identifier of the request, where it sends one.
        body: The answer's body as text, cut to 4 kB, with secrets redacted.
        hint: What to do about it, where that is known; empty otherwise.
        retry_after: The seconds after which the service wants to be asked again, if it said so.
    """

    hint: str = ""

    def __init__(
        self,
        status: int,
        message: str,
        method: str = "",
        url: str = "",
        request_id: str | None = None,
        body: str = "",
        *,
        retry_after: float | None = None,
    ) -> None:
        super().__init__(message, method, url)
        self.status = status
        self.request_id = request_id
        self.body = body
        self.retry_after = retry_after

    def __str__(self) -> str:
        where = f"{self.method} {self.url}: " if self.method or self.url else ""
        request_id = f" (request id {self.request_id})" if self.request_id else ""
        hint = f"; {self.hint}" if self.hint else ""
        text = f"{where}{self.status} {self.message}{request_id}{self._circumstances()}{hint}"
        return visible_lines(text)


class BadRequestError(ApiError):
    """The service found the request wrong (400)."""


class AuthenticationError(ApiError):
    """The token or the login was refused (401).

    Attributes:
        challenge: How the server wants to be logged in to: its ``WWW-Authenticate`` header.
    """

    challenge: str | None = None


class PermissionDeniedError(ApiError):
    """The token does not open this (403)."""


class NotFoundError(ApiError):
    """There is no such thing (404)."""


class RegistryNotFoundError(NotFoundError):
    """No registry of the project has this name.

    The service answered with a list that lacks the name, so there is no request to point at.
    ``status`` is 404 as for every `NotFoundError`.

    Attributes:
        name: The name that was looked for.
    """

    def __init__(self, name: str) -> None:
        super().__init__(404, f"no registry is named {name!r}")
        self.name = name

    def __str__(self) -> str:
        return visible_lines(self.message)


class ConflictError(ApiError):
    """The state of the resource forbids it, such as a running garbage collection (409)."""


class RateLimitedError(ApiError):
    """Too many requests (429); ``retry_after`` says when to ask again, if the service did."""


class ServerError(ApiError):
    """The service or a gateway in front of it failed (5xx)."""


_BY_STATUS: Mapping[int, type[ApiError]] = {
    400: BadRequestError,
    401: AuthenticationError,
    403: PermissionDeniedError,
    404: NotFoundError,
    409: ConflictError,
    429: RateLimitedError,
}


def error_class(status: int) -> type[ApiError]:
    """Return the class of error that stands for an HTTP status of 400 and above."""
    return _BY_STATUS.get(status, ServerError if status >= 500 else ApiError)
