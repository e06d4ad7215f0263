"""What went wrong, in words and attributes that a program can use."""

from __future__ import annotations

import copy
import json
import pickle
from collections.abc import Callable
from typing import Any, Final

import pytest

import registry_async
from registry_async import (
    ApiError,
    AsyncRegistryClient,
    AuthenticationError,
    BadRequestError,
    ClientClosedError,
    ConfigurationError,
    ConflictError,
    ConnectionFailedError,
    ContainerRegistryError,
    NotFoundError,
    PermissionDeniedError,
    RateLimitedError,
    RegistryNotFoundError,
    RequestError,
    RequestTimeoutError,
    RetentionRefusedError,
    RetryPolicy,
    ServerError,
    UnexpectedResponseError,
    WaitFailedError,
    WaitTimeoutError,
)
from tests.support.faults import FaultServer, Reply

STATUSES: Final[dict[int, type[ApiError]]] = {
    400: BadRequestError,
    401: AuthenticationError,
    403: PermissionDeniedError,
    404: NotFoundError,
    409: ConflictError,
    429: RateLimitedError,
    402: ApiError,
    405: ApiError,
    410: ApiError,
    418: ApiError,
    422: ApiError,
    499: ApiError,
    500: ServerError,
    501: ServerError,
    502: ServerError,
    503: ServerError,
    504: ServerError,
    507: ServerError,
    599: ServerError,
}


REGISTRY_ID: Final = "888af692-c646-4b76-a234-81ca9b5bcafe"


async def error_of(reply: Reply) -> ApiError:
    """Give the error that one answer becomes."""
    async with (
        FaultServer(reply) as server,
        AsyncRegistryClient(
            token="t", base_url=server.base_url, retry=RetryPolicy(attempts=1)
        ) as client,
    ):
        with pytest.raises(ApiError) as caught:
            await client.registries.get(REGISTRY_ID)
        assert caught.value.url == f"{server.base_url}/v1/registries/{REGISTRY_ID}"
        return caught.value


@pytest.mark.anyio
@pytest.mark.parametrize("status", STATUSES)
async def test_each_status_has_its_class(status: int) -> None:
    error = await error_of(Reply.json({"error": "No."}, status))
    assert type(error) is STATUSES[status]
    assert (error.status, error.message, error.method) == (status, "No.", "GET")
    assert str(error) == f"GET {error.url}: {status} No."
    assert error.request_id is None
    assert error.__cause__ is None
    assert error.__context__ is None


@pytest.mark.anyio
@pytest.mark.parametrize(
    "form",
    [
        {"error": "Registry not found."},
        {"error": {"id": "x", "message": "Registry not found."}},
        {"message": "Registry not found."},
        {"error": None, "message": "Registry not found."},
        {"error": {"code": 404, "message": "Registry\n  not found.", "title": "Not Found"}},
    ],
)
async def test_the_message_is_found_in_every_form(form: dict[str, Any]) -> None:
    error = await error_of(Reply.json(form, 404))
    assert error.message == "Registry not found."
    assert json.loads(error.body) == form


@pytest.mark.anyio
@pytest.mark.parametrize(
    ("body", "content_type"),
    [
        (b"", ""),
        (b"<html><body>Bad gateway</body></html>", "text/html"),
        (b"<!DOCTYPE html><p>oops", ""),
        (b'{"error": 5}', "application/json"),
        (b'{"error": {"message": []}}', "application/json"),
        (b"[1, 2]", "application/json"),
        (b'""', "application/json"),
        (b"null", "application/json"),
        (b"[" * 100_000, "application/json"),
    ],
)
async def test_without_a_message_there_are_words_for_the_status(
    body: bytes, content_type: str
) -> None:
    headers = {"Content-Type": content_type} if content_type else {}
    error = await error_of(Reply(502, body, headers))
    assert error.status == 502
    if body.startswith(b"[["):
        assert len(error.message) <= 500
    else:
        assert error.message == "a gateway found no working service"
    assert error.body == body.decode()[:4096]


@pytest.mark.anyio
async def test_a_short_text_is_its_own_message() -> None:
    error = await error_of(Reply(503, b" upstream \n unavailable ", {"Content-Type": "text/plain"}))
    assert error.message == "upstream unavailable"


@pytest.mark.anyio
@pytest.mark.parametrize(
    "body",
    [b"\x1b[2Jre\x00fus\x9b\xc2\x9bed\x07", b'{"error": "\\u001b[2Jre\\u0000fus\\u009bed\\u0007"}'],
)
async def test_a_message_does_not_steer_the_terminal(body: bytes) -> None:
    error = await error_of(Reply(400, body))
    assert error.message.replace("\ufffd", "") == "[2Jrefused"
    assert "\x1b" not in str(error)


@pytest.mark.anyio
async def test_long_messages_and_bodies_are_cut() -> None:
    error = await error_of(Reply.json({"error": "é" * 10_000}, 400))
    assert len(error.message) == 500
    assert error.message.endswith("…")
    assert len(error.body.encode()) <= 4096
    error = await error_of(Reply(400, "é".encode() * 10_000))
    assert error.body == "é" * 2048


@pytest.mark.anyio
@pytest.mark.parametrize("body", [b"\xff\xfe broken", b'{"error": "\\ud800 half"}', b"\x1b[31mred"])
async def test_any_message_can_be_printed(body: bytes) -> None:
    error = await error_of(Reply(400, body))
    for text in (str(error), repr(error), error.message, error.body):
        text.encode()


@pytest.mark.anyio
@pytest.mark.parametrize("name", ["X-Request-Id", "x-openstack-request-id", "X-CORRELATION-ID"])
async def test_the_request_id_is_kept(name: str) -> None:
    error = await error_of(Reply.json({"error": "No."}, 500, headers={name: "req-1"}))
    assert error.request_id == "req-1"
    assert str(error).endswith("500 No. (request id req-1)")


@pytest.mark.anyio
async def test_a_rate_limit_carries_its_wait() -> None:
    error = await error_of(Reply(429, headers={"Retry-After": "5"}))
    assert isinstance(error, RateLimitedError)
    assert error.retry_after == 5
    error = await error_of(Reply(429))
    assert isinstance(error, RateLimitedError)
    assert error.retry_after is None


# -- errors as values

ERRORS: Final[list[ContainerRegistryError]] = [
    ContainerRegistryError("base"),
    ConfigurationError("no credentials"),
    ClientClosedError("the client is closed"),
    RequestError("failed", "GET", "https://x/y"),
    RetentionRefusedError("the plan is of another service"),
    RegistryNotFoundError("prod"),
    ConnectionFailedError("cannot connect", "GET", "https://x/y"),
    RequestTimeoutError("no answer", "GET", "https://x/y"),
    UnexpectedResponseError("expected text", "GET", "https://x", path="images[3].size", status=200),
    WaitTimeoutError("not ACTIVE in time"),
    WaitFailedError("went to ERROR", "ERROR"),
    RateLimitedError(429, "slow down", "GET", "https://x", "req-1", "{}", retry_after=2.5),
    *(
        kind(status, "No.", "DELETE", "https://x/y", "req-1", '{"error": "No."}')
        for status, kind in STATUSES.items()
    ),
    NotFoundError(404, "bare"),
]

Copy = Callable[[ContainerRegistryError], ContainerRegistryError]


def by_pickle(protocol: int) -> Copy:
    def copied(error: ContainerRegistryError) -> ContainerRegistryError:
        twin: ContainerRegistryError = pickle.loads(pickle.dumps(error, protocol))
        return twin

    return copied


COPIES: Final[dict[str, Copy]] = {
    "copy": copy.copy,
    "deepcopy": copy.deepcopy,
    **{f"pickle {number}": by_pickle(number) for number in range(pickle.HIGHEST_PROTOCOL + 1)},
}


@pytest.mark.parametrize("how", COPIES)
@pytest.mark.parametrize("error", ERRORS, ids=lambda error: type(error).__name__)
def test_errors_survive_copying(error: ContainerRegistryError, how: str) -> None:
    error.add_note("while scanning prod")
    twin = COPIES[how](error)
    assert twin is not error
    assert type(twin) is type(error)
    assert (str(twin), repr(twin), twin.args) == (str(error), repr(error), error.args)
    assert vars(twin) == vars(error)
    del error.__notes__


def test_every_error_of_the_package_is_tried() -> None:
    public = {
        value
        for value in vars(registry_async).values()
        if isinstance(value, type) and issubclass(value, BaseException)
    }
    assert {type(error) for error in ERRORS} == public


def test_one_base_catches_all() -> None:
    for error in ERRORS:
        assert isinstance(error, ContainerRegistryError)
    for kind in STATUSES.values():
        assert issubclass(kind, ApiError)
    assert issubclass(ClientClosedError, RuntimeError)
    assert not issubclass(ApiError, OSError)


def test_errors_about_one_request_have_a_base() -> None:
    for kind in (ApiError, ConnectionFailedError, RequestTimeoutError, UnexpectedResponseError):
        assert issubclass(kind, RequestError)
    for other in (ConfigurationError, ClientClosedError, RetentionRefusedError, WaitTimeoutError):
        assert not issubclass(other, RequestError)


def test_a_registry_that_is_not_there_is_not_a_404_of_the_service() -> None:
    error = RegistryNotFoundError("prod")
    assert isinstance(error, NotFoundError)
    assert (error.name, error.status) == ("prod", 404)
    assert str(error) == "no registry is named 'prod'"


def test_what_errors_say() -> None:
    error = UnexpectedResponseError(
        "expected an integer, found a string", "GET", "https://x/y", path="images[3].size"
    )
    assert str(error) == (
        "GET https://x/y: expected an integer, found a string (at images[3].size)"
    )
    assert str(NotFoundError(404, "no such thing")) == "404 no such thing"
    assert str(ConnectionFailedError("refused")) == "refused"
