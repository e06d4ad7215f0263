"""Accounts, projects, users and application credentials: what Keystone knows but for tokens."""

import secrets
import uuid
from collections.abc import Iterator

from attrs import define, field, frozen


@frozen(repr=False)
class Login:
    """Hold what the sandbox's first user logs in with.

    Attributes:
        username: The user's name.
        password: The user's password.
        account: The account number, which is the name of the user's and the project's domain.
        project_name: The project's name.
        project_id: The project's id.
        application_credential_id: The id of the application credential.
        application_credential_secret: Its secret.
        application_credential_name: Its name.
        user_id: The user's id.
    """

    username: str = "sandbox-user"
    password: str = field(factory=lambda: secrets.token_urlsafe(12))
    account: str = "100200"
    project_name: str = "sandbox-project"
    project_id: str = field(factory=lambda: uuid.uuid4().hex)
    application_credential_id: str = field(factory=lambda: uuid.uuid4().hex)
    application_credential_secret: str = field(factory=lambda: secrets.token_urlsafe(24))
    application_credential_name: str = "sandbox-credential"
    user_id: str = field(factory=lambda: uuid.uuid4().hex)


@frozen
class Account:
    """Hold an account, which Keystone calls a domain; its name is a number."""

    name: str
    id: str = field(factory=lambda: uuid.uuid4().hex)

    def shown(self) -> dict[str, object]:
        """Give it as tokens show it."""
        return {"id": self.id, "name": self.name}


@define
class IamProject:
    """Hold a project of an account; a disabled one gives no token."""

    name: str
    account: Account
    enabled: bool = True
    id: str = field(factory=lambda: uuid.uuid4().hex)


@define(repr=False)
class IamUser:
    """Hold a user of an account, with the projects that the user has a role in."""

    name: str
    password: str
    account: Account
    projects: set[str] = field(factory=set[str])
    default_project_id: str | None = None
    id: str = field(factory=lambda: uuid.uuid4().hex)


@frozen(repr=False)
class ApplicationCredential:
    """Hold a credential of a user, which is bound to one project."""

    id: str
    name: str
    secret: str
    user: IamUser
    project: IamProject


class Directory:
    """Know accounts, projects, users and application credentials, and find them.

    Args:
        login: The first user, with the first project and its application credential.
    """

    def __init__(self, login: Login) -> None:
        self._accounts: dict[str, Account] = {}
        self._projects: dict[str, IamProject] = {}
        self._users: dict[str, IamUser] = {}
        self._credentials: list[ApplicationCredential] = []
        account = self.account(login.account)
        self.first_project = self.add_project(login.project_name, account, id=login.project_id)
        self.first_user = self.add_user(
            login.username, login.password, account, self.first_project, id=login.user_id
        )
        self._credentials.append(
            ApplicationCredential(
                login.application_credential_id,
                login.application_credential_name,
                login.application_credential_secret,
                self.first_user,
                self.first_project,
            )
        )

    def account(self, name: str) -> Account:
        """Give the account of a name, made where there is none yet."""
        return self._accounts.setdefault(name, Account(name))

    def add_project(
        self,
        name: str,
        account: Account,
        *users: IamUser,
        enabled: bool = True,
        id: str | None = None,  # noqa: A002
    ) -> IamProject:
        """Add a project that some users have a role in."""
        project = IamProject(name, account, enabled, id or uuid.uuid4().hex)
        self._projects[project.id] = project
        for user in users:
            user.projects.add(project.id)
        return project

    def add_user(
        self,
        name: str,
        password: str,
        account: Account,
        *projects: IamProject,
        id: str | None = None,  # noqa: A002
    ) -> IamUser:
        """Add a user with a role in some projects, of whatever account."""
        roles = {project.id for project in projects}
        user = IamUser(name, password, account, roles, id=id or uuid.uuid4().hex)
        self._users[user.id] = user
        return user

    def find_account(self, *, id: str | None = None, name: str | None = None) -> Account | None:  # noqa: A002
        """Give the account of an id or of a name, if there is one."""
        if id is not None:
            return next((one for one in self._accounts.values() if one.id == id), None)
        return None if name is None else self._accounts.get(name)

    def find_project(
        self,
        *,
        id: str | None = None,  # noqa: A002
        name: str | None = None,
        account: Account | None = None,
    ) -> IamProject | None:
        """Give the project of an id, or of a name in an account, if there is one."""
        if id is not None:
            return self._projects.get(id)
        for project in self._projects.values():
            if project.name == name and project.account is account:
                return project
        return None

    def find_user(
        self,
        *,
        id: str | None = None,  # noqa: A002
        name: str | None = None,
        account: Account | None = None,
    ) -> IamUser | None:
        """Give the user of an id, or of a name in an account, if there is one."""
        if id is not None:
            return self._users.get(id)
        for user in self._users.values():
            if user.name == name and user.account is account:
                return user
        return None

    def find_credential(
        self,
        *,
        id: str | None = None,  # noqa: A002
        name: str | None = None,
        user: IamUser | None = None,
    ) -> ApplicationCredential | None:
        """Give the application credential of an id, or of a name and a user, if there is one."""
        for credential in self._credentials:
            if credential.id == id or (
                id is None and credential.name == name and credential.user is user
            ):
                return credential
        return None

    def projects_of(self, user: IamUser) -> Iterator[IamProject]:
        """Give the projects that a user has a role in, disabled ones included."""
        return (project for project in self._projects.values() if project.id in user.projects)
