"""The registries of one project: a token opens those of its own project, and no others."""

from collections.abc import Callable

from registry_async.sandbox._actions import Actions
from registry_async.sandbox._directory import IamProject
from registry_async.sandbox._state import State


class SandboxProject:
    """Hold the registries of one project; they are made when somebody first asks for them.

    Args:
        iam: The project as Keystone knows it.
        make: Makes the project's data, and what the service does to them.
    """

    def __init__(self, iam: IamProject, make: Callable[[], tuple[State, Actions]]) -> None:
        self.iam = iam
        self._make = make
        self._made: tuple[State, Actions] | None = None

    def __repr__(self) -> str:
        return f"<SandboxProject {self.name!r} of account {self.account}>"

    @property
    def id(self) -> str:
        """The project's id."""
        return self.iam.id

    @property
    def name(self) -> str:
        """The project's name."""
        return self.iam.name

    @property
    def account(self) -> str:
        """The account that the project belongs to."""
        return self.iam.account.name

    @property
    def enabled(self) -> bool:
        """Whether the project gives tokens; set it to disable the project."""
        return self.iam.enabled

    @enabled.setter
    def enabled(self, value: bool) -> None:
        self.iam.enabled = value

    @property
    def state(self) -> State:
        """The project's data."""
        return self._parts[0]

    @property
    def actions(self) -> Actions:
        """What the service does to the project's data."""
        return self._parts[1]

    @property
    def is_made(self) -> bool:
        """Whether somebody has asked for the project's data."""
        return self._made is not None

    @property
    def _parts(self) -> tuple[State, Actions]:
        if self._made is None:
            self._made = self._make()
        return self._made
