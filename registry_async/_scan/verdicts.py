"""How far a failure goes: what to ask the service about it, and what to give up. It sends nothing.

A list is read for a repository (its images), a registry (its repositories) or a project (its
registries). A failure of one list is recorded for what the list belongs to, unless it puts a
whole registry or project out of reach: then that is given up, with one error for all of it.
Refusals never add up to that, however many there are: each asks whether the project is still open,
and only an answer that says no closes it.
"""

from enum import Enum, IntEnum, auto
from typing import Final

from attrs import define, frozen

from registry_async.errors import (
    AuthenticationError,
    ClientClosedError,
    ConfigurationError,
    ConnectionFailedError,
    ContainerRegistryError,
    NotFoundError,
    PermissionDeniedError,
    RateLimitedError,
    RequestTimeoutError,
)

__all__ = [
    "Level",
    "ProjectTally",
    "Question",
    "RegistryTally",
    "Verdict",
    "answer",
    "judge",
    "next_question",
    "question",
]

# Failures in a row, each as long as a time limit, after which a registry is given up.
_SLOW_FAILURES: Final = 8
# Pages in a row that are given up because of a limit on requests, after which the project is.
_LIMITS: Final = 3


class Level(IntEnum):
    """What a list belongs to, and what is given up."""

    NOTHING = auto()
    REPOSITORY = auto()
    REGISTRY = auto()
    PROJECT = auto()


class Question(Enum):
    """Something to ask the service, whose answer tells how far a failure goes."""

    PROJECT_OPEN = auto()
    """Does the token still open the project?"""
    REGISTRY_THERE = auto()
    """Is the registry still there?"""
    REPOSITORY_EMPTY = auto()
    """Is the repository still there, and without tags, as one that was never pushed to?"""


@define
class RegistryTally:
    """What has happened in one registry so far.

    Attributes:
        slow_failures: How many requests in a row have cost a time limit.
    """

    slow_failures: int = 0

    def note_page(self) -> None:
        """Count a page that came."""
        self.slow_failures = 0

    def note_failure(self, failure: Exception) -> None:
        """Count a failure."""
        if isinstance(failure, RequestTimeoutError | ConnectionFailedError):
            self.slow_failures += 1


@define
class ProjectTally:
    """What has happened in one project so far.

    Attributes:
        pages: The pages of repositories and images that came.
        limits: How many pages in a row were given up because of a limit on requests.
    """

    pages: int = 0
    limits: int = 0

    def note_page(self) -> None:
        """Count a page of repositories or images that came."""
        self.pages += 1
        self.limits = 0

    def note_failure(self, failure: Exception) -> None:
        """Count a failure."""
        if isinstance(failure, RateLimitedError):
            self.limits += 1


@frozen
class Verdict:
    """What becomes of a failure.

    Attributes:
        level: What the failure is recorded for; NOTHING if it is none.
        gives_up: True if all of that is given up, False if only the one list is.
    """

    level: Level
    gives_up: bool = False


def question(level: Level, failure: Exception) -> Question | None:
    """Return what to ask the service to learn how far a failure goes.

    Args:
        level: What the list belongs to that could not be read.
        failure: The failure.
    """
    if level is Level.PROJECT:
        return None
    if isinstance(failure, PermissionDeniedError):
        return Question.PROJECT_OPEN
    if isinstance(failure, NotFoundError) and level is Level.REPOSITORY:
        return Question.REGISTRY_THERE
    return None


def answer(asked: Question, error: Exception | None) -> Verdict | None:
    """Return the verdict that an answer of the service leads to; None if it leads to none.

    Args:
        asked: What was asked.
        error: What the question met with; None if it was answered.
    """
    refused = isinstance(error, AuthenticationError | PermissionDeniedError)
    if asked is Question.PROJECT_OPEN and refused:
        return Verdict(Level.PROJECT, gives_up=True)
    if asked is Question.REGISTRY_THERE and isinstance(error, NotFoundError):
        return Verdict(Level.REGISTRY, gives_up=True)
    if asked is Question.REPOSITORY_EMPTY and error is None:
        return Verdict(Level.NOTHING)
    return None


def next_question(asked: Question, *, first_page: bool) -> Question | None:
    """Return what to ask after a question that led to no verdict.

    Args:
        asked: What was asked.
        first_page: Whether it is the first page of the list that was not found.
    """
    # A repository that has given a page has images.
    if asked is Question.REGISTRY_THERE and first_page:
        return Question.REPOSITORY_EMPTY
    return None


def judge(
    level: Level, failure: Exception, project: ProjectTally, registry: RegistryTally
) -> Verdict:
    """Return what becomes of a failure.

    Args:
        level: What the list belongs to that could not be read.
        failure: The failure, counted in both tallies already.
        project: What has happened in the project so far.
        registry: What has happened in the registry so far.
    """
    refused = isinstance(failure, PermissionDeniedError)
    if (
        _concerns_all_requests(failure)
        or (refused and level is Level.PROJECT)
        or project.limits >= _LIMITS
    ):
        return Verdict(Level.PROJECT, gives_up=True)
    if level is Level.REGISTRY and isinstance(failure, NotFoundError):
        return Verdict(Level.REGISTRY, gives_up=True)
    if level is not Level.PROJECT and registry.slow_failures >= _SLOW_FAILURES:
        return Verdict(Level.REGISTRY, gives_up=True)
    return Verdict(level)


def _concerns_all_requests(failure: Exception) -> bool:
    known = isinstance(failure, ContainerRegistryError | ValueError)
    # Anything else is raised by credentials or hooks of the caller's.
    return not known or isinstance(
        failure, AuthenticationError | ClientClosedError | ConfigurationError
    )
