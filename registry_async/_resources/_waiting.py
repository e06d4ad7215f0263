"""Wait for statuses, and for garbage collections to get out of the way."""

from collections.abc import Awaitable, Callable
from math import isfinite
from typing import TYPE_CHECKING, Final, TypeVar

from attrs import evolve

from registry_async._resources._base import Resource, decoder_of
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

if TYPE_CHECKING:
    from registry_async._transport import Transport

T = TypeVar("T")

# The time that the provider's Terraform provider waits for a registry, and how often it asks.
WAIT_TIMEOUT: Final = 600.0
POLL_INTERVAL: Final = 1.0

_INTERVAL_GROWTH: Final = 1.5
_LONGEST_INTERVAL: Final = 10.0
# While a collection runs, the service refuses deletes with 409, and at times with these.
_COLLECTION_FAILURES: Final = frozenset({500, 503})
# A look that fails so tells nothing of what is looked at.
_BLIND: Final = (ConnectionFailedError, RateLimitedError, RequestTimeoutError, ServerError)
# The seconds that the last look may take, which begins when the time is up.
_LAST_LOOK: Final = 5.0


def check_seconds(value: float, argument: str) -> float:
    """Return the value if it is a finite number of seconds that is not negative.

    Raises:
        ValueError: It is not.
    """
    number = isinstance(value, int | float) and not isinstance(value, bool)  # pyright: ignore[reportUnnecessaryIsInstance]
    if not number or not isfinite(value) or value < 0:
        raise ValueError(f"{argument} must be a finite number of seconds, 0 or more")
    return float(value)


class Pauses:
    """Pauses of growing length between looks at something, until the time is up.

    Args:
        transport: Whose clock is used.
        timeout: The seconds from now after which the time is up.
        first: The seconds of the first pause.
    """

    def __init__(
        self, transport: "Transport", timeout: float, first: float = POLL_INTERVAL
    ) -> None:
        self._transport = transport
        self._clock = transport.clock
        self._start = self._clock.monotonic()
        self._timeout = timeout
        self._pause = first
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

    def watch(self) -> "RegistryWatch":
        """Return what looks at registries in the time that is left, repeats included."""
        retry = self._transport.retry
        left = max(self._timeout - self.waited, _LAST_LOOK)
        if retry.total_timeout is not None:
            left = min(left, retry.total_timeout)
        return RegistryWatch(self._transport.with_options(None, evolve(retry, total_timeout=left)))

    async def look(self, registry_id: str) -> Registry:
        """Return the registry as it is now.

        Raises:
            WaitTimeoutError: The look failed, and the time is up.
            ContainerRegistryError: It failed before that.
        """
        failure: Exception
        try:
            return await self.watch().get(registry_id)
        except _BLIND as error:
            if self.waited < self._timeout:
                raise
            failure = error
        raise WaitTimeoutError(
            f"nothing was seen of registry {registry_id} when {self._timeout:g} s were over"
        ) from failure


class RegistryWatch(Resource):
    """Looks at one registry, for those who wait."""

    async def get(self, registry_id: str) -> Registry:
        """Return the registry as it is now (operation ``getRegistry``)."""
        return await self._fetch(decoder_of(Registry), "getRegistry", {"registry_id": registry_id})

    async def collecting(self, registry_id: str) -> bool:
        """Say whether a garbage collection runs; a registry that is gone has none."""
        try:
            registry = await self.get(registry_id)
        except NotFoundError:
            return False
        return registry.status == RegistryStatus.GARBAGE_COLLECTION


async def outlast_collection(
    transport: "Transport",
    registry_id: str,
    send: Callable[[], Awaitable[T]],
    conflict_timeout: float,
    *,
    removes: bool,
) -> T:
    """Send a request, again and again while a running garbage collection is what refuses it.

    Args:
        transport: What the registry is looked at through.
        registry_id: The registry that the request works on.
        send: Send the request.
        conflict_timeout: The most seconds to wait; with 0 the first refusal is final.
        removes: Whether the request names what it removes, so that it may be sent again even
            when a failure leaves open whether it was carried out.

    Raises:
        ConflictError: The refusal has another cause, or the time is up.
    """
    if not check_seconds(conflict_timeout, "conflict_timeout"):
        return await send()
    pauses = Pauses(transport, conflict_timeout)
    refused_by_collection = False
    failure: ConflictError | ServerError
    while True:
        try:
            return await send()
        except (ConflictError, ServerError) as error:
            failure = error
        conflict = isinstance(failure, ConflictError)
        if not conflict and not (removes and failure.status in _COLLECTION_FAILURES):
            break
        try:
            collecting = await pauses.watch().collecting(registry_id)
        except _BLIND:
            # Nothing is learned from a look that fails; the refusal itself says more.
            collecting = conflict
        except PermissionDeniedError:
            break
        # A collection may end between the refusal and the look: that refusal is still its own.
        if not collecting and not (
            conflict and (refused_by_collection or "garbage" in failure.message.lower())
        ):
            break
        refused_by_collection = collecting
        if not await pauses.pause():
            break
    raise failure
