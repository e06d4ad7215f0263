"""How far a failure goes, as plain decisions."""

from __future__ import annotations

from typing import Final

import pytest

from registry_async import (
    AuthenticationError,
    ClientClosedError,
    ConfigurationError,
    ConnectionFailedError,
    NotFoundError,
    PermissionDeniedError,
    RateLimitedError,
    RequestTimeoutError,
    ServerError,
    UnexpectedResponseError,
)
from registry_async._scan.verdicts import (
    Level,
    ProjectTally,
    Question,
    RegistryTally,
    Verdict,
    answer,
    judge,
    next_question,
    question,
)

REFUSED: Final = PermissionDeniedError(403, "no")
MISSING: Final = NotFoundError(404, "no")
SICK: Final = ServerError(500, "sick")
LIMITED: Final = RateLimitedError(429, "slow down")
LEVELS: Final = (Level.REPOSITORY, Level.REGISTRY, Level.PROJECT)


def judged(level: Level, failure: Exception, times: int = 1, *, pages: int = 0) -> Verdict:
    """Give the verdict on the last of several equal failures."""
    project, registry = ProjectTally(pages=pages), RegistryTally()
    for _ in range(times):
        project.note_failure(failure)
        registry.note_failure(failure)
    return judge(level, failure, project, registry)


@pytest.mark.parametrize("level", LEVELS)
@pytest.mark.parametrize(
    "failure", [SICK, UnexpectedResponseError("odd"), LIMITED, ValueError("a name")]
)
def test_most_failures_concern_one_list(level: Level, failure: Exception) -> None:
    assert judged(level, failure) == Verdict(level)


@pytest.mark.parametrize("level", LEVELS)
@pytest.mark.parametrize(
    "failure",
    [
        AuthenticationError(401, "no"),
        ClientClosedError("closed"),
        ConfigurationError("no catalog"),
        OSError("of a vault"),
        RuntimeError("of a hook"),
    ],
)
def test_what_concerns_every_request_closes_the_project(level: Level, failure: Exception) -> None:
    assert judged(level, failure) == Verdict(Level.PROJECT, gives_up=True)


def test_a_refused_list_of_registries_closes_the_project() -> None:
    assert judged(Level.PROJECT, REFUSED) == Verdict(Level.PROJECT, gives_up=True)
    assert question(Level.PROJECT, REFUSED) is None


@pytest.mark.parametrize("level", [Level.REPOSITORY, Level.REGISTRY])
def test_a_refusal_asks_whether_the_project_is_open(level: Level) -> None:
    assert question(level, REFUSED) is Question.PROJECT_OPEN
    closed = Verdict(Level.PROJECT, gives_up=True)
    assert answer(Question.PROJECT_OPEN, REFUSED) == closed
    assert answer(Question.PROJECT_OPEN, AuthenticationError(401, "no")) == closed
    # A question that fails for another reason says nothing.
    for error in (None, SICK, MISSING, LIMITED):
        assert answer(Question.PROJECT_OPEN, error) is None
    assert next_question(Question.PROJECT_OPEN, first_page=True) is None


@pytest.mark.parametrize("times", [1, 19, 20, 1000])
@pytest.mark.parametrize("pages", [0, 1])
@pytest.mark.parametrize("level", [Level.REPOSITORY, Level.REGISTRY])
def test_refusals_never_add_up_to_a_closed_project(level: Level, pages: int, times: int) -> None:
    assert judged(level, REFUSED, times, pages=pages) == Verdict(level)


def test_a_missing_repository_may_be_a_missing_registry_or_an_empty_one() -> None:
    assert judged(Level.REGISTRY, MISSING) == Verdict(Level.REGISTRY, gives_up=True)
    assert question(Level.REGISTRY, MISSING) is None
    assert question(Level.REPOSITORY, MISSING) is Question.REGISTRY_THERE
    gone = Verdict(Level.REGISTRY, gives_up=True)
    assert answer(Question.REGISTRY_THERE, MISSING) == gone
    assert answer(Question.REGISTRY_THERE, None) is None
    assert answer(Question.REGISTRY_THERE, SICK) is None
    assert next_question(Question.REGISTRY_THERE, first_page=True) is Question.REPOSITORY_EMPTY
    # What has given a page has images: it is not empty now.
    assert next_question(Question.REGISTRY_THERE, first_page=False) is None
    assert answer(Question.REPOSITORY_EMPTY, None) == Verdict(Level.NOTHING)
    for error in (MISSING, SICK):
        assert answer(Question.REPOSITORY_EMPTY, error) is None
    assert next_question(Question.REPOSITORY_EMPTY, first_page=True) is None
    assert judged(Level.REPOSITORY, MISSING) == Verdict(Level.REPOSITORY)


@pytest.mark.parametrize("failure", [RequestTimeoutError("late"), ConnectionFailedError("broken")])
def test_a_registry_that_only_costs_time_is_given_up(failure: Exception) -> None:
    assert judged(Level.REPOSITORY, failure, 7) == Verdict(Level.REPOSITORY)
    assert judged(Level.REPOSITORY, failure, 8) == Verdict(Level.REGISTRY, gives_up=True)
    tally = RegistryTally()
    for _ in range(7):
        tally.note_failure(failure)
    tally.note_page()
    tally.note_failure(failure)
    assert judge(Level.REPOSITORY, failure, ProjectTally(), tally) == Verdict(Level.REPOSITORY)


def test_a_project_that_only_says_slow_down_is_given_up() -> None:
    assert judged(Level.REPOSITORY, LIMITED, 2) == Verdict(Level.REPOSITORY)
    assert judged(Level.REPOSITORY, LIMITED, 3) == Verdict(Level.PROJECT, gives_up=True)
    tally = ProjectTally()
    for _ in range(2):
        tally.note_failure(LIMITED)
    tally.note_page()
    tally.note_failure(LIMITED)
    assert judge(Level.REPOSITORY, LIMITED, tally, RegistryTally()) == Verdict(Level.REPOSITORY)
