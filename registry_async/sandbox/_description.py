"""What a client of any kind needs to use a sandbox, as data and as lines to paste."""

import shlex

from attrs import field, frozen

FORMAT = "registry_async sandbox description"
VERSION = 1


@frozen
class ProjectDescription:
    """Name a project that the user of a sandbox can log in to.

    Attributes:
        id: Its id.
        name: Its name.
        account: The account that it belongs to.
        enabled: Whether it gives tokens.
    """

    id: str
    name: str
    account: str
    enabled: bool


@frozen
class SandboxDescription:
    """Hold what a client of any kind needs. Secrets do not show in its repr.

    Attributes:
        base_url: The base URL of the management API.
        token: An IAM token for it, of the first project.
        registry_host: Host and port of the registry, as they stand in image names; plain HTTP.
        registry_username: The user name with which Docker logs in there.
        registry_password: The password with which Docker logs in there; it opens everything.
        auth_url: The base URL of the Keystone login.
        username: The Keystone user's name.
        password: The Keystone user's password.
        account: The Keystone user's account.
        application_credential_id: The id of an application credential for the first project.
        application_credential_secret: Its secret.
        projects: The projects that the user can log in to.
    """

    base_url: str
    token: str = field(repr=False)
    registry_host: str
    registry_username: str
    registry_password: str = field(repr=False)
    auth_url: str
    username: str
    password: str = field(repr=False)
    account: str
    application_credential_id: str
    application_credential_secret: str = field(repr=False)
    projects: tuple[ProjectDescription, ...]

    def environment(self) -> dict[str, str]:
        """Give the variables that clients read: ours, and those of OpenStack's tools.

        `REGISTRY_TOKEN` is among them, and our client prefers it to a login.
        """
        project = self.projects[0]
        return {
            "REGISTRY_BASE_URL": self.base_url,
            "REGISTRY_TOKEN": self.token,
            "OS_AUTH_URL": self.auth_url,
            "OS_USERNAME": self.username,
            "OS_PASSWORD": self.password,
            "OS_USER_DOMAIN_NAME": self.account,
            "OS_PROJECT_ID": project.id,
            "OS_PROJECT_NAME": project.name,
            "OS_PROJECT_DOMAIN_NAME": project.account,
            "REGISTRY_HOST": self.registry_host,
            "REGISTRY_USERNAME": self.registry_username,
            "REGISTRY_PASSWORD": self.registry_password,
        }

    def logins(self) -> dict[str, str]:
        """Give a line of shell to paste for each of `docker`, `skopeo` and `helm`."""
        host, user = self.registry_host, self.registry_username
        password = shlex.quote(self.registry_password)
        stdin = f"printf %s {password} |"
        return {
            "docker": f"{stdin} docker login {host} --username {user} --password-stdin",
            "skopeo": (
                f"{stdin} skopeo login {host} --tls-verify=false --username {user} --password-stdin"
            ),
            "helm": (
                f"{stdin} helm registry login {host} --plain-http"
                f" --username {user} --password-stdin"
            ),
        }

    def shell(self) -> str:
        """Give shell assignments that can be evaluated, and the logins as comments.

        They are exported, so that programs that the shell starts see them.
        """
        lines = [f"export {name}={shlex.quote(text)}" for name, text in self.environment().items()]
        return "\n".join([*lines, *(f"# {line}" for line in self.logins().values())])

    def to_dict(self) -> dict[str, object]:
        """Give everything as plain data, secrets included, for JSON."""
        return {
            "format": FORMAT,
            "version": VERSION,
            "base_url": self.base_url,
            "token": self.token,
            "registry_host": self.registry_host,
            "registry_username": self.registry_username,
            "registry_password": self.registry_password,
            "auth_url": self.auth_url,
            "username": self.username,
            "password": self.password,
            "account": self.account,
            "application_credential_id": self.application_credential_id,
            "application_credential_secret": self.application_credential_secret,
            "projects": [
                {
                    "id": project.id,
                    "name": project.name,
                    "account": project.account,
                    "enabled": project.enabled,
                }
                for project in self.projects
            ],
            "environment": self.environment(),
            "logins": self.logins(),
        }
