"""Turn answers that are not successes into errors: readable, bounded, and free of secrets."""

import json
import re
from collections.abc import Iterable, Mapping, Sequence
from typing import Final

from registry_async._secrets import scrub
from registry_async._transport.messages import Answer, Request, Response
from registry_async.errors import (
    ApiError,
    AuthenticationError,
    ContainerRegistryError,
    UnexpectedResponseError,
    error_class,
)
from registry_async.retry import parse_retry_after

_KEPT_BODY: Final = 4096
_KEPT_MESSAGE: Final = 500
_EXCERPT: Final = 100
_READ_EXCERPT: Final = 4096
_HTML_HINT: Final = (
    ". A page for people answered: does the base URL lack its path, such as /api, or is there"
    " a login page in front of the service?"
)
_REASONS: Final[Mapping[int, str]] = {
    400: "the request was refused as wrong",
    401: "the token or the login was refused",
    403: "the token does not open this",
    404: "not found",
    409: "conflicts with the state of the resource",
    429: "too many requests",
    500: "the service failed",
    502: "a gateway found no working service",
    503: "the service is unavailable",
    504: "a gateway waited too long for the service",
}
# They would steer the terminal that shows a message.
_CONTROL: Final = re.compile("[\x00-\x1f\x7f-\x9f]")
# Gateways and services name their request identifiers differently.
_REQUEST_ID_HEADERS: Final = ("X-Request-Id", "X-Openstack-Request-Id", "X-Correlation-Id")


def error_of(
    request: Request, answer: Answer, secrets: Sequence[str], now: float
) -> ContainerRegistryError:
    """Return the error that an answer outside of 200 to 299 stands for.

    Args:
        request: What was sent.
        answer: What came.
        secrets: What must not show in the error, even where the answer repeats it.
        now: The Unix time in seconds, against which a Retry-After date is read.
    """
    if answer.status >= 400:
        return _api_error(
            answer.status,
            answer.headers,
            answer.body,
            method=request.method,
            url=request.shown,
            secrets=secrets,
            now=now,
        )
    problem = "no final answer"
    if answer.status >= 300:
        problem = "redirects are not followed"
        target = answer.headers.get("Location")
        if target:
            problem += f"; this one leads to {_excerpt(target, secrets)}"
    return UnexpectedResponseError(problem, request.method, request.shown, status=answer.status)


def is_html(answer: Answer | Response) -> bool:
    """Say whether an answer is a page for people: a gateway's, or one of a wrong base URL."""
    return "html" in answer.headers.get("Content-Type", "").lower() and bool(answer.body.strip())


def not_json(response: Response) -> UnexpectedResponseError:
    """Return the error for an answer that should be JSON and is not: it says what came."""
    kind = response.headers.get("Content-Type", "").partition(";")[0].strip()
    start = _excerpt(response.body[:_READ_EXCERPT].decode("utf-8", "replace"), response.secrets)
    came = f"{_excerpt(kind, response.secrets)} came: " if kind else "it begins with "
    hint = _HTML_HINT if is_html(response) else ""
    return UnexpectedResponseError(
        f"the answer is not JSON; {came}{start!r}{hint}",
        response.method,
        response.url,
        status=response.status,
    )


def _excerpt(text: str, secrets: Sequence[str]) -> str:
    # Scrubbed before it is cut, so that no part of a secret is left at the edge.
    line = " ".join(scrub(text, secrets).split())
    return line if len(line) <= _EXCERPT else line[:_EXCERPT] + "…"


def _api_error(
    status: int,
    headers: Mapping[str, str],
    body: bytes,
    *,
    method: str,
    url: str,
    secrets: Iterable[str],
    now: float,
) -> ApiError:
    """Return the error that an answer of status 400 or above stands for.

    Args:
        status: The HTTP status.
        headers: The headers of the answer, in a mapping that ignores case.
        body: As much of the body as was read.
        method: The HTTP method of the request.
        url: The URL of the request, already redacted.
        secrets: What must not show in the error, even where the answer repeats it.
        now: The Unix time in seconds, against which a Retry-After date is read.
    """
    known = tuple(secrets)
    # Scrubbed before it is cut, so that no part of a secret is left at the edge.
    text = scrub(body.decode("utf-8", "replace"), known)
    # Once more in what was unescaped; a lone surrogate, too, would be an error in whoever prints.
    found = _message(text, headers.get("Content-Type", ""))
    message = scrub(found, known).encode("utf-8", "replace").decode()
    request_id = next((headers[name] for name in _REQUEST_ID_HEADERS if headers.get(name)), None)
    fields = (
        status,
        message or _reason(status, headers, body),
        method,
        url,
        scrub(request_id, known)[:_KEPT_MESSAGE] if request_id else None,
        text.encode("utf-8", "replace")[:_KEPT_BODY].decode("utf-8", "ignore"),
    )
    error = error_class(status)(
        *fields, retry_after=parse_retry_after(headers.get("Retry-After"), now)
    )
    challenge = headers.get("WWW-Authenticate")
    if isinstance(error, AuthenticationError) and challenge is not None:
        error.challenge = scrub(challenge, known)
    return error


def _reason(status: int, headers: Mapping[str, str], body: bytes) -> str:
    if status == 404 and is_html(Answer(status, headers, body)):
        return "a page for people was not found: does the base URL lack its path, such as /api?"
    return _REASONS.get(status, f"HTTP status {status}")


def _message(text: str, content_type: str) -> str:
    """Find the message in the forms that are in use; other short texts are messages themselves."""
    found: object = None
    try:
        document: object = json.loads(text)
    except (ValueError, RecursionError):
        stripped = text.strip()
        markup = "html" in content_type.lower() or stripped.startswith("<")
        found = None if markup else stripped
    else:
        if isinstance(document, dict):
            error: object = document.get("error")  # pyright: ignore[reportUnknownMemberType, reportUnknownVariableType]
            found = error.get("message") if isinstance(error, dict) else error  # pyright: ignore[reportUnknownMemberType, reportUnknownVariableType]
            found = found or document.get("message")  # pyright: ignore[reportUnknownMemberType, reportUnknownVariableType]
    if not isinstance(found, str):
        return ""
    line = _CONTROL.sub("", " ".join(found.split()))
    return line if len(line) <= _KEPT_MESSAGE else line[: _KEPT_MESSAGE - 1] + "…"
