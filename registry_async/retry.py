"""Whether something is asked again, and after how long. Decisions only.

Nothing here sends, sleeps or reads a clock, so each decision is a plain call. Whoever repeats
something asks here:

- `RetryPolicy` and `Attempts`: one request, by the transport;
- `CollectionPatience`: an operation that a running garbage collection refuses, by the operations;
- `RateLimitPatience`: a page whose request was refused with 429 to the end, by scans;
- `SendingGate`: when any request of a client may go out, which a scan decides for all of them.
"""

import math
from collections import deque
from collections.abc import Iterable
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from enum import Enum, auto
from typing import TYPE_CHECKING, ClassVar, Final, Protocol

from attrs import define, field, frozen
from attrs.validators import optional

from registry_async._clock import Clock, SystemClock
from registry_async.errors import ContainerRegistryError

if TYPE_CHECKING:
    from attrs import Attribute

__all__ = ["Clock", "RetryEvent", "RetryPolicy", "SystemClock"]

_IDEMPOTENT: Final = frozenset({"GET", "HEAD", "OPTIONS", "PUT", "DELETE"})
_UNAUTHORIZED: Final = 401
_NOT_FOUND: Final = 404
_CONFLICT: Final = 409
_RATE_LIMITED: Final = 429
# While a collection runs, the service refuses deletes with 409, and at times with these.
_COLLECTION_FAILURES: Final = frozenset({500, 503})
# Answers of a gateway that has lost touch with the service: the request may have been carried out.
_ANSWER_LOST: Final = frozenset({502, 504})


class Outcome(Enum):
    """How an attempt ended that brought no answer."""

    NOT_SENT = auto()
    """No connection was made, so the service cannot have carried the request out."""
    LOST = auto()
    """The connection broke or time ran out: the service may have carried the request out."""


def _check_attempts(_: object, attribute: "Attribute[int]", value: int) -> None:
    if not isinstance(value, int) or isinstance(value, bool) or value < 1:  # pyright: ignore[reportUnnecessaryIsInstance]
        raise ValueError(f"{attribute.name} must be an integer of at least 1")


def _check_seconds(_: object, attribute: "Attribute[float]", value: float) -> None:
    number = isinstance(value, int | float) and not isinstance(value, bool)  # pyright: ignore[reportUnnecessaryIsInstance]
    if not number or not math.isfinite(value) or value < 0:
        raise ValueError(f"{attribute.name} must be a finite number of seconds, 0 or more")


def _as_statuses(statuses: Iterable[int]) -> tuple[int, ...]:
    try:
        return tuple(statuses)
    except TypeError:
        raise ValueError("statuses must be HTTP statuses from 400 to 599") from None


def _check_statuses(
    _: object, attribute: "Attribute[tuple[int, ...]]", value: tuple[int, ...]
) -> None:
    if any(not isinstance(status, int) or not 400 <= status <= 599 for status in value):  # pyright: ignore[reportUnnecessaryIsInstance]
        raise ValueError(f"{attribute.name} must be HTTP statuses from 400 to 599")


@frozen(kw_only=True)
class RetryPolicy:
    """How often, and after how long, a failed request is sent again.

    GET and DELETE are repeated after connection failures, timeouts and the given statuses.
    POST and PATCH are repeated only when they cannot have been carried out: when no connection
    was made, or the service answered 429.

    Args:
        attempts: How often a request is sent at most, the first time included.
        base_delay: The seconds that the first wait takes at most; each further one may take
            twice as long (exponential back-off with full jitter).
        max_delay: The most seconds that any wait takes, one that the service asks for included.
        total_timeout: The seconds after which no further attempt begins or goes on, counted
            from the first; None for no such limit.
        statuses: The HTTP statuses after which a request is repeated.

    Raises:
        ValueError: A number makes no sense.
    """

    attempts: int = field(default=4, validator=_check_attempts)
    base_delay: float = field(default=0.5, validator=_check_seconds)
    max_delay: float = field(default=30.0, validator=_check_seconds)
    total_timeout: float | None = field(default=None, validator=optional(_check_seconds))
    statuses: tuple[int, ...] = field(
        default=(429, 502, 503, 504), converter=_as_statuses, validator=_check_statuses
    )

    def delay(
        self,
        method: str,
        outcome: Outcome | int,
        *,
        attempt: int,
        elapsed: float,
        chance: float,
        retry_after: float | None = None,
    ) -> float | None:
        """Return the seconds to wait before the next attempt, or None when there is to be none.

        Args:
            method: The HTTP method.
            outcome: How this attempt ended: an `Outcome`, or the HTTP status of the answer.
            attempt: Which attempt it was; the first is 1.
            elapsed: The seconds since the first attempt was sent.
            chance: A number from 0 to 1 that spreads the waits.
            retry_after: The seconds that the service asked to wait, if it did.
        """
        if attempt >= self.attempts or not self._may_repeat(method, outcome):
            return None
        if retry_after is not None and retry_after > 0:
            delay = min(retry_after, self.max_delay)
        else:
            # The exponent is capped where every delay has long reached max_delay.
            delay = chance * min(self.max_delay, self.base_delay * 2 ** min(attempt - 1, 60))
        if self.total_timeout is not None and elapsed + delay >= self.total_timeout:
            return None
        return delay

    def _may_repeat(self, method: str, outcome: Outcome | int) -> bool:
        if outcome is Outcome.NOT_SENT:
            return True
        if outcome is Outcome.LOST:
            return method in _IDEMPOTENT
        return outcome in self.statuses and (method in _IDEMPOTENT or outcome == _RATE_LIMITED)


@frozen
class RetryEvent:
    """A request that is about to be repeated, as data for logs and metrics (``on_retry=``).

    Attributes:
        method: The HTTP method.
        url: The URL, with secrets redacted.
        attempt: The attempt that failed; the first is 1.
        delay: The seconds that are waited before the next one.
        status: The HTTP status, or None where no answer came.
        error: What would have been raised if it were not repeated.
    """

    method: str
    url: str
    attempt: int
    delay: float
    status: int | None
    error: ContainerRegistryError


@define
class Delivery:
    """What is known of a change that may take several requests to ask for.

    Attributes:
        may_have_happened: Whether an answer was lost, so that it may have been carried out.
    """

    may_have_happened: bool = False


def answer_was_lost(outcome: Outcome | int) -> bool:
    """Say whether the service may have carried out a request that ended so."""
    return outcome is Outcome.LOST or outcome in _ANSWER_LOST


@define
class Attempts:
    """The attempts of one request: how many there were, and whether another one follows.

    Attributes:
        policy: The rules.
        method: The method by whose rules the request is repeated.
        delivery: What is known of the change that the request asks for.
        started: When the first attempt was sent, in seconds of the monotonic clock.
        number: The attempt that is made now; the first is 1.
        renewed: Whether a new token was asked for.
    """

    policy: RetryPolicy
    method: str
    delivery: Delivery
    started: float
    number: int = 1
    renewed: bool = False

    @property
    def is_idempotent(self) -> bool:
        """Whether being carried out twice does no harm."""
        return self.method in _IDEMPOTENT

    def out_of_time(self, now: float) -> bool:
        """Say whether the time for all attempts is up, so that no further one begins."""
        total = self.policy.total_timeout
        return self.number > 1 and total is not None and now - self.started >= total

    def succeeded(self, status: int) -> bool:
        """Say whether an answer means that what was asked for has been done.

        That holds for a DELETE that finds nothing, once an answer to it was lost.
        """
        gone = status == _NOT_FOUND and self.method == "DELETE"
        return 200 <= status < 300 or (gone and self.delivery.may_have_happened)

    def wants_new_token(self, status: int) -> bool:
        """Say whether a new token is to be tried, which is done once; it counts as tried then."""
        if status != _UNAUTHORIZED or self.renewed:
            return False
        self.renewed = True
        return True

    def pause(
        self, outcome: Outcome | int, *, now: float, chance: float, retry_after: float | None
    ) -> float | None:
        """Return the seconds before the next attempt, or None if this one was the last.

        Args:
            outcome: How this attempt ended.
            now: The time, in seconds of the monotonic clock.
            chance: A number from 0 to 1 that spreads the waits.
            retry_after: The seconds that the service asked to wait, if it did.
        """
        if answer_was_lost(outcome):
            self.delivery.may_have_happened = True
        return self.policy.delay(
            self.method,
            outcome,
            attempt=self.number,
            elapsed=now - self.started,
            chance=chance,
            retry_after=retry_after,
        )


@define
class CollectionPatience:
    """Whether an operation waits until a running garbage collection no longer refuses it.

    After a refusal, ask `worth_a_look`; if it is, look at the registry and ask `waits`.

    Attributes:
        repeatable: Whether the operation may be sent again after an answer that leaves open
            whether it was carried out: a DELETE, or a cleanup that names digests only.
    """

    repeatable: bool
    _collecting: bool = False

    def worth_a_look(self, status: int) -> bool:
        """Say whether a running collection can be the reason of such a refusal."""
        return status == _CONFLICT or (self.repeatable and status in _COLLECTION_FAILURES)

    def waits(self, status: int, message: str, *, collecting: bool | None) -> bool:
        """Say whether to wait and send the operation again.

        Args:
            status: The HTTP status of the refusal.
            message: The service's own words.
            collecting: Whether the registry was seen collecting after the refusal; None where
                the look failed and tells nothing.
        """
        conflict = status == _CONFLICT
        if collecting is None:
            # The refusal itself says more than a look that failed.
            collecting = conflict
        # A collection may end between the refusal and the look: that refusal is still its own.
        ended = conflict and (self._collecting or "garbage" in message.lower())
        self._collecting = collecting
        return collecting or ended


@define
class RateLimitPatience:
    """Whether a page is asked for again after its request was refused with 429 to the end.

    A page has one of these. As long as other pages of the same client get through, this one
    will, too; so only refusals in a row without any success count.
    """

    TRIES: ClassVar[int] = 3
    DEFAULT_PAUSE: ClassVar[float] = 1.0
    LONGEST_PAUSE: ClassVar[float] = 30.0

    _refusals: int = 0

    def pause(self, retry_after: float | None, *, others_succeeded: bool) -> float | None:
        """Return the seconds for which the client is left alone, or None to give the page up.

        Args:
            retry_after: The seconds that the service asked to wait, if it did.
            others_succeeded: Whether the client got any other page since this one was asked for.
        """
        self._refusals = 0 if others_succeeded else self._refusals + 1
        if self._refusals >= self.TRIES:
            return None
        return min(retry_after or self.DEFAULT_PAUSE, self.LONGEST_PAUSE)


class SendingGate(Protocol):
    """When the requests of a client may go out, whatever asks for them: a scan's pace.

    The transport asks right before each attempt, repeats and logins included, when it holds a
    place in the pool. It gives the place back while it waits, and asks again afterwards, so that
    a pause that began meanwhile holds for requests that were already waiting.
    """

    def take(self, now: float) -> float:
        """Take a turn and return 0, or return the seconds after which to ask again.

        Args:
            now: The time, in seconds of the monotonic clock.
        """
        ...

    def pause(self, now: float, seconds: float) -> None:
        """Note that the service asked with ``Retry-After`` to be left alone.

        Args:
            now: The time, in seconds of the monotonic clock.
            seconds: For how long, at most the policy's ``max_delay``.
        """
        ...


def parse_retry_after(value: str | None, now: float) -> float | None:
    """Return the seconds that a Retry-After header asks to wait.

    Args:
        value: The header: seconds, or an HTTP date.
        now: The Unix time in seconds.

    Returns:
        Seconds, 0 for a date that has passed; None for a header that is absent or makes no
        sense (negative, ``nan``, ``inf``, other text).
    """
    if value is None:
        return None
    text = value.strip()
    whole, _, fraction = text.partition(".")
    # Other scripts have digits that float() does not know.
    if text.isascii() and whole.isdigit() and (not fraction or fraction.isdigit()):
        # Digits beyond what a float can hold mean "very long" all the same.
        return float(text) if len(whole) < 300 else 1e300
    try:
        moment = parsedate_to_datetime(text)
        if moment.tzinfo is None:
            moment = moment.replace(tzinfo=UTC)
        return max(0.0, (moment - datetime.fromtimestamp(now, UTC)).total_seconds())
    except (ValueError, OverflowError, TypeError, IndexError):
        return None


class RetryBudget:
    """Keep many concurrent requests from storming a service that is sick.

    The first retries of any ten seconds are free. Beyond them, retries may make up a fifth of
    the requests of that time: a service that fails one request in twenty is retried without
    end, one that fails them all is left alone.
    """

    WINDOW: Final = 10.0
    FREE: Final = 100
    SHARE: Final = 0.2

    def __init__(self) -> None:
        self._retries: deque[float] = deque()
        # Requests are counted by the second: only their rough number matters, at any rate.
        self._requests: deque[list[float]] = deque()
        self._request_count = 0.0

    def record_request(self, now: float) -> None:
        """Count one request that is about to be sent for the first time."""
        if self._requests and now - self._requests[-1][0] < 1.0:
            self._requests[-1][1] += 1
        else:
            self._forget(now)
            self._requests.append([now, 1])
        self._request_count += 1

    def take(self, now: float) -> bool:
        """Take one retry from the budget; False when it is used up."""
        self._forget(now)
        if len(self._retries) >= max(self.FREE, self.SHARE * self._request_count):
            return False
        self._retries.append(now)
        return True

    def _forget(self, now: float) -> None:
        while self._retries and now - self._retries[0] >= self.WINDOW:
            self._retries.popleft()
        while self._requests and now - self._requests[0][0] >= self.WINDOW:
            self._request_count -= self._requests.popleft()[1]
