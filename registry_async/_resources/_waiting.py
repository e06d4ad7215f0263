"""Wait for statuses, and for garbage collections to get out of the way."""

from collections.abc import Awaitable, Callable
from typing import TYPE_CHECKING, Final, TypeVar

from attrs import evolve

from registry_async._arguments import check_interval, check_seconds
from registry_async._resources._calls import call, decode_response, decoder_of
from registry_async.errors import (
    ConflictError,
    ConnectionFailedError,
    NotFoundError,
    PermissionDeniedError,
    RateLimitedError,
    RequestTimeoutError,
    ServerError,
    WaitTimeoutError,
)
from registry_async.models import Registry, RegistryStatus
from registry_async.retry import CollectionPatience

if TYPE_CHECKING:
    from registry_async._transport.exchange import Transport

T = TypeVar("T")

# The time that the provider's Terraform provider waits for a registry, and how often it asks.
WAIT_TIMEOUT: Final = 600.0
POLL_INTERVAL: Final = 1.0

_INTERVAL_GROWTH: Final = 1.5
_LONGEST_INTERVAL: Final = 10.0
# Failures of a status check that say nothing about the registry.
_UNTELLING: Final = (ConnectionFailedError, RateLimitedError, RequestTimeoutError, ServerError)
# Extra seconds allowed for the final status check after the deadline.
_LAST_LOOK: Final = 5.0


class Pauses:
    """Pauses of growing length between looks at a registry, until the time is up.

    Args:
        transport: What the registry is looked at through; its clock is used.
        timeout: The seconds from now after which the time is up.
        first: The seconds of the first pause.

    Raises:
        ValueError: The seconds make no sense.
    """

    def __init__(
        self, transport: "Transport", timeout: float, first: float = POLL_INTERVAL
    ) -> None:
        self._transport = transport
        self._clock = transport.clock
        self._start = self._clock.monotonic()
        self._timeout = check_seconds(timeout, "timeout")
        self._pause = check_interval(first, "poll_interval")
        self._longest = max(first, _LONGEST_INTERVAL)

    @property
    def waited(self) -> float:
        """The seconds since the start."""
        return self._clock.monotonic() - self._start

    async def pause(self) -> bool:
        """Wait, at most until the time is up; False, at once, when it was up already."""
        left = self._timeout - self.waited
        if left <= 0:
            return False
        await self._clock.sleep(min(self._pause, left))
        self._pause = min(self._pause * _INTERVAL_GROWTH, self._longest)
        return True

    async def look(self, registry_id: str) -> Registry:
        """Return the registry as it is now.

        Raises:
            WaitTimeoutError: The look failed, and the time is up.
            ContainerRegistryError: It failed before that.
        """
        failure: Exception
        try:
            return await self._get(registry_id)
        except _UNTELLING as error:
            if self.waited < self._timeout:
                raise
            failure = error
        raise WaitTimeoutError(
            f"nothing was seen of registry {registry_id} when {self._timeout:g} s were over"
        ) from failure

    async def collecting(self, registry_id: str) -> bool | None:
        """Say whether a garbage collection runs; None where the look failed and tells nothing.

        A registry that is gone has no collection.
        """
        try:
            registry = await self._get(registry_id)
        except NotFoundError:
            return False
        except _UNTELLING:
            return None
        return registry.status == RegistryStatus.GARBAGE_COLLECTION

    async def _get(self, registry_id: str) -> Registry:
        """Get the registry in the time that is left, repeats included."""
        retry = self._transport.retry
        left = max(self._timeout - self.waited, _LAST_LOOK)
        if retry.total_timeout is not None:
            left = min(left, retry.total_timeout)
        transport = self._transport.with_options(None, evolve(retry, total_timeout=left))
        response = await call(transport, "getRegistry", {"registry_id": registry_id})
        return decode_response(decoder_of(Registry), response)


async def outlast_collection(
    transport: "Transport",
    registry_id: str,
    send: Callable[[], Awaitable[T]],
    conflict_timeout: float,
    *,
    repeatable: bool,
) -> T:
    """Send a request, again and again while a running garbage collection is what refuses it.

    Args:
        transport: What the registry is looked at through.
        registry_id: The registry that the request works on.
        send: Send the request.
        conflict_timeout: The most seconds to wait; with 0 the first refusal is final.
        repeatable: Whether the request may be sent again after an answer that leaves open
            whether it was carried out.

    Raises:
        ConflictError: The refusal has another cause, or the time is up.
    """
    if not check_seconds(conflict_timeout, "conflict_timeout"):
        return await send()
    pauses = Pauses(transport, conflict_timeout)
    patience = CollectionPatience(repeatable)
    failure: ConflictError | ServerError
    while True:
        try:
            return await send()
        except (ConflictError, ServerError) as error:
            failure = error
        if not patience.worth_a_look(failure.status):
            break
        try:
            collecting = await pauses.collecting(registry_id)
        except PermissionDeniedError:
            break
        if not patience.waits(failure.status, failure.message, collecting=collecting):
            break
        if not await pauses.pause():
            break
    raise failure
