"""The registries of one project: a token opens those of its own project, and no others."""

from collections.abc import Callable

from registry_async.sandbox._actions import Actions, Rules
from registry_async.sandbox._directory import IamProject
from registry_async.sandbox._state import State


class SandboxProject:
    """Hold the registries of one project; they are made when somebody first asks for them.

    Args:
        iam: The project as Keystone knows it.
        rules: How long things take, and how hard the service is.
        make_state: Makes the project's data.
    """

    def __init__(self, iam: IamProject, rules: Rules, make_state: Callable[[], State]) -> None:
        self.iam = iam
        self._rules = rules
        self._make_state = make_state
        self._state: State | None = None
        self._actions: Actions | None = None

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
        if self._state is None:
            self._state = self._make_state()
        return self._state

    @property
    def actions(self) -> Actions:
        """What the service does to the project's data."""
        if self._actions is None:
            self._actions = Actions(self.state, self._rules)
        return self._actions
