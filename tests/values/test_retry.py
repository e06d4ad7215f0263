"""The decision to ask again, as a table: no I/O, no clock."""

from __future__ import annotations

import math
from datetime import UTC, datetime
from typing import Any, Final

import pytest
from hypothesis import given
from hypothesis import strategies as st

from registry_async import RetryPolicy, SystemClock
from registry_async.retry import (
    Attempts,
    CollectionPatience,
    Delivery,
    Outcome,
    RateLimitPatience,
    RetryBudget,
    answer_was_lost,
    parse_retry_after,
)
from tests.support.faults import retry_after_forms

NOW: Final = 1_800_000_000.0
METHODS: Final = ("GET", "HEAD", "DELETE", "PUT", "POST", "PATCH")
IDEMPOTENT: Final = ("GET", "HEAD", "DELETE", "PUT")


def wait(
    policy: RetryPolicy, method: str = "GET", outcome: Outcome | int = 503, **given_: Any
) -> float | None:
    values: dict[str, Any] = {"attempt": 1, "elapsed": 0.0, "chance": 1.0, **given_}
    return policy.delay(method, outcome, **values)


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize(
    ("outcome", "repeated"),
    [
        (Outcome.NOT_SENT, METHODS),
        (Outcome.LOST, IDEMPOTENT),
        (429, METHODS),
        (502, IDEMPOTENT),
        (503, IDEMPOTENT),
        (504, IDEMPOTENT),
        (400, ()),
        (401, ()),
        (403, ()),
        (404, ()),
        (408, ()),
        (409, ()),
        (500, ()),
        (501, ()),
    ],
)
def test_what_is_repeated(method: str, outcome: Outcome | int, repeated: tuple[str, ...]) -> None:
    assert (wait(RetryPolicy(), method, outcome) is not None) is (method in repeated)


def test_statuses_can_be_chosen() -> None:
    policy = RetryPolicy(statuses=(500,))
    assert wait(policy, outcome=500) is not None
    assert wait(policy, outcome=503) is None
    assert wait(policy, "POST", 500) is None
    assert wait(policy, "POST", 429) is None
    assert wait(RetryPolicy(statuses=[429]), "POST", 429) is not None


@pytest.mark.parametrize("attempts", [1, 2, 5])
def test_attempts_count_the_first(attempts: int) -> None:
    policy = RetryPolicy(attempts=attempts)
    decisions = [wait(policy, attempt=attempt) for attempt in range(1, attempts + 3)]
    assert [decision is not None for decision in decisions] == [True] * (attempts - 1) + [False] * 3


def test_waits_grow_up_to_the_longest() -> None:
    policy = RetryPolicy(attempts=20, base_delay=0.5, max_delay=30)
    waits = [wait(policy, attempt=attempt) for attempt in range(1, 10)]
    assert waits == [0.5, 1, 2, 4, 8, 16, 30, 30, 30]
    assert wait(RetryPolicy(attempts=10**9), attempt=10**8) == 30


@given(chance=st.floats(0, 1), attempt=st.integers(1, 1000))
def test_jitter_spreads_waits_over_all_of_their_length(chance: float, attempt: int) -> None:
    policy = RetryPolicy(attempts=2000)
    full = wait(policy, attempt=attempt)
    assert full is not None
    assert wait(policy, attempt=attempt, chance=chance) == pytest.approx(chance * full)


@pytest.mark.parametrize(
    ("asked", "waited"),
    [(0.5, 0.5), (7, 7), (30, 30), (31, 30), (1e300, 30), (0, 1.0), (None, 1.0)],
)
def test_what_the_service_asks_for_is_kept_within_bounds(
    asked: float | None, waited: float
) -> None:
    policy = RetryPolicy(base_delay=1, max_delay=30)
    assert wait(policy, retry_after=asked) == waited


@given(
    elapsed=st.floats(0, 100),
    asked=st.one_of(st.none(), st.floats(0, 1e6)),
    chance=st.floats(0, 1),
    total=st.floats(0, 60),
)
def test_no_wait_goes_beyond_the_total_timeout(
    elapsed: float, asked: float | None, chance: float, total: float
) -> None:
    policy = RetryPolicy(total_timeout=total)
    delay = wait(policy, elapsed=elapsed, retry_after=asked, chance=chance)
    assert delay is None or elapsed + delay < total


@pytest.mark.parametrize(
    "options",
    [
        {"attempts": 0},
        {"attempts": -1},
        {"attempts": True},
        {"attempts": 1.5},
        {"attempts": "3"},
        {"base_delay": -1},
        {"base_delay": math.nan},
        {"base_delay": "1"},
        {"max_delay": math.inf},
        {"max_delay": None},
        {"total_timeout": -0.1},
        {"total_timeout": True},
        {"statuses": (200,)},
        {"statuses": (600,)},
        {"statuses": ("503",)},
        {"statuses": 503},
        {"statuses": "503"},
        {"statuses": None},
    ],
)
def test_policies_that_make_no_sense_are_refused(options: dict[str, Any]) -> None:
    (name,) = options
    with pytest.raises(ValueError, match=name):
        RetryPolicy(**options)


def test_a_policy_is_a_value() -> None:
    assert RetryPolicy() == RetryPolicy(
        attempts=4,
        base_delay=0.5,
        max_delay=30,
        total_timeout=None,
        statuses=(429, 502, 503, 504),
    )
    assert hash(RetryPolicy()) == hash(RetryPolicy())
    with pytest.raises(TypeError):
        RetryPolicy(3)  # type: ignore[call-arg]


@pytest.mark.parametrize(
    ("outcome", "lost"),
    [
        (Outcome.LOST, True),
        (Outcome.NOT_SENT, False),
        (502, True),
        (504, True),
        (503, False),
        (429, False),
        (500, False),
    ],
)
def test_which_answers_leave_open_what_happened(outcome: Outcome | int, lost: bool) -> None:
    assert answer_was_lost(outcome) is lost


# -- Retry-After

FORMS: Final = retry_after_forms(datetime.fromtimestamp(NOW, UTC))
YEAR: Final = 86400.0 * 365


@pytest.mark.parametrize(
    ("form", "seconds"),
    [
        ("seconds", 2),
        ("zero", 0),
        ("padded", 3),
        ("fraction", 1.5),
        ("negative", None),
        ("nan", None),
        ("inf", None),
        ("exponent", None),
        ("huge", 1e20),
        ("date", 2),
        ("past date", 0),
        ("far date", YEAR),
        ("date out of range", None),
        ("text", None),
        ("empty", None),
        ("non-ASCII digits", None),
    ],
)
def test_every_form_of_retry_after(form: str, seconds: float | None) -> None:
    assert parse_retry_after(FORMS[form], NOW) == seconds


def test_every_form_is_tried() -> None:
    mark: Any = next(iter(test_every_form_of_retry_after.pytestmark))  # type: ignore[attr-defined]
    assert {form for form, _ in mark.args[1]} == set(FORMS)


def test_no_retry_after_is_none() -> None:
    assert parse_retry_after(None, NOW) is None


@given(
    value=st.one_of(
        st.text(max_size=40),
        st.from_regex(r"[0-9.²\u0661+-]{0,12}", fullmatch=True),
        st.from_regex(r"(Mon|Tue), [0-9]{1,3} (Jan|Feb|Xyz) [0-9]{1,6} [0-9:]{0,9}( GMT| \+9999)?"),
    )
)
def test_no_retry_after_does_harm(value: str) -> None:
    seconds = parse_retry_after(value, NOW)
    assert seconds is None or 0 <= seconds < math.inf
    delay = wait(RetryPolicy(), retry_after=seconds)
    assert delay is not None
    assert 0 <= delay <= 30


# -- the budget


def test_the_first_hundred_retries_of_ten_seconds_are_free() -> None:
    budget = RetryBudget()
    assert all(budget.take(NOW) for _ in range(100))
    assert not budget.take(NOW)
    assert not budget.take(NOW + 9.99)
    assert budget.take(NOW + 10)


@given(steps=st.lists(st.tuples(st.floats(0, 3), st.booleans()), max_size=400))
def test_none_of_the_first_hundred_in_any_ten_seconds_is_refused(
    steps: list[tuple[float, bool]],
) -> None:
    budget, now = RetryBudget(), NOW
    taken: list[float] = []
    for pause, request in steps:
        now += pause
        if request:
            budget.record_request(now)
        granted = budget.take(now)
        recent = sum(moment > now - 10 for moment in taken)
        assert granted or recent >= 100
        if granted:
            taken.append(now)


def test_retries_may_be_a_fifth_of_many_requests() -> None:
    budget = RetryBudget()
    for _ in range(5000):
        budget.record_request(NOW)
    assert sum(budget.take(NOW + 1) for _ in range(5000)) == 1000


def test_old_requests_earn_no_retries() -> None:
    budget = RetryBudget()
    for second in range(50):
        for _ in range(1000):
            budget.record_request(NOW + second)
    assert sum(budget.take(NOW + 100) for _ in range(5000)) == 100


def test_the_budget_stays_small_however_much_is_sent() -> None:
    budget = RetryBudget()
    for number in range(100_000):
        budget.record_request(NOW + number / 1000)
        budget.take(NOW + number / 1000)
    assert len(budget._retries) <= 2_300
    assert len(budget._requests) <= 12


@pytest.mark.anyio
async def test_the_system_clock_is_one() -> None:
    clock = SystemClock()
    before = clock.monotonic()
    await clock.sleep(0)
    assert clock.monotonic() >= before
    assert 0 <= clock.random() <= 1
    assert clock.time() > 1_700_000_000


# -- one request


def attempts(method: str = "DELETE", policy: RetryPolicy | None = None) -> Attempts:
    return Attempts(policy or RetryPolicy(), method, Delivery(), started=10.0)


def test_a_delete_that_finds_nothing_has_succeeded_once_an_answer_was_lost() -> None:
    course = attempts()
    assert course.succeeded(204)
    assert not course.succeeded(404)
    assert course.pause(503, now=10, chance=1, retry_after=None) is not None
    assert not course.succeeded(404)
    assert course.pause(Outcome.LOST, now=10, chance=1, retry_after=None) is not None
    assert course.succeeded(404)
    assert not course.succeeded(400)


def test_a_get_that_finds_nothing_has_not_succeeded() -> None:
    course = attempts("GET")
    course.pause(Outcome.LOST, now=10, chance=1, retry_after=None)
    assert not course.succeeded(404)


def test_a_new_token_is_tried_once() -> None:
    course = attempts()
    assert not course.wants_new_token(403)
    assert [course.wants_new_token(401) for _ in range(3)] == [True, False, False]


def test_the_first_attempt_is_never_too_late() -> None:
    course = attempts(policy=RetryPolicy(total_timeout=5))
    assert not course.out_of_time(100)
    course.number = 2
    assert [course.out_of_time(now) for now in (10, 14.9, 15)] == [False, False, True]


# -- operations that a garbage collection refuses


@pytest.mark.parametrize(
    ("status", "repeatable", "looked_at"),
    [
        (409, False, True),
        (409, True, True),
        (500, True, True),
        (503, True, True),
        (500, False, False),
        (503, False, False),
        (502, True, False),
        (404, True, False),
    ],
)
def test_what_a_collection_may_have_refused(status: int, repeatable: bool, looked_at: bool) -> None:
    assert CollectionPatience(repeatable).worth_a_look(status) is looked_at


@pytest.mark.parametrize("status", [409, 500, 503])
def test_a_collection_that_runs_is_waited_out(status: int) -> None:
    assert CollectionPatience(True).waits(status, "busy", collecting=True)


@pytest.mark.parametrize(
    ("status", "message", "collecting", "waits"),
    [
        (409, "busy", False, False),
        (409, "Garbage collection is running", False, True),
        (409, "busy", None, True),
        (500, "garbage", False, False),
        (503, "busy", None, False),
    ],
)
def test_what_a_refusal_without_a_collection_means(
    status: int, message: str, collecting: bool | None, waits: bool
) -> None:
    assert CollectionPatience(True).waits(status, message, collecting=collecting) is waits


def test_a_collection_may_end_between_refusal_and_look() -> None:
    patience = CollectionPatience(True)
    assert patience.waits(409, "busy", collecting=True)
    assert patience.waits(409, "busy", collecting=False)
    assert not patience.waits(409, "busy", collecting=False)


# -- pages that are refused for being too many


def test_a_page_that_is_refused_three_times_in_a_row_is_given_up() -> None:
    patience = RateLimitPatience()
    assert [patience.pause(7, others_succeeded=False) for _ in range(3)] == [7, 7, None]


def test_a_page_is_not_given_up_while_others_get_through() -> None:
    patience = RateLimitPatience()
    for _ in range(5):
        assert patience.pause(None, others_succeeded=False) == 1
        assert patience.pause(1000, others_succeeded=True) == 30
