"""Every project of an account: which there are, and a client for each."""

import json
from collections.abc import Callable, Iterable, Sequence
from contextlib import AsyncExitStack
from fnmatch import fnmatchcase
from types import TracebackType
from typing import TYPE_CHECKING, TypedDict, Unpack, cast

from attrs import evolve, frozen

from registry_async._arguments import check_texts
from registry_async._clock import Clock
from registry_async._keystone import KeystoneCredentials, KeystoneProject
from registry_async._secrets import hide
from registry_async.client import AsyncRegistryClient
from registry_async.credentials import Credentials
from registry_async.errors import ConfigurationError, UnexpectedResponseError
from registry_async.retry import RetryEvent, RetryPolicy

if TYPE_CHECKING:
    from pathlib import Path
    from ssl import SSLContext

    from aiohttp import ClientSession, ClientTimeout, TraceConfig

__all__ = ["AsyncOpenProjects", "Project", "list_projects", "open_projects"]


class ClientOptions(TypedDict, total=False):
    """The keywords that `AsyncRegistryClient` takes and that all clients of an account share."""

    base_url: str
    session: "ClientSession | None"
    timeout: "float | ClientTimeout"
    retry: RetryPolicy | None
    max_connections: int
    user_agent: str | None
    ssl: "SSLContext | str | Path | None"
    trace_configs: "Iterable[TraceConfig]"
    max_response_size: int
    clock: Clock | None
    on_retry: Callable[[RetryEvent], object] | None


@frozen
class Project:
    """A project that a user has a role in.

    Attributes:
        id: The project's id.
        name: Its name, which is unique in its account.
        enabled: Whether it gives tokens.
        domain_id: The id of the account (the domain) that it belongs to.
    """

    id: str
    name: str
    enabled: bool
    domain_id: str


async def list_projects(
    credentials: Credentials, **options: Unpack[ClientOptions]
) -> tuple[Project, ...]:
    """List the projects that a user has a role in, disabled ones included.

    They may belong to several accounts.

    Args:
        credentials: Those of a whole account: `KeystonePassword` without a project, or
            ``credentials_from_env(project=False)``.
        **options: Options of `AsyncRegistryClient`.

    Raises:
        ConfigurationError: The credentials serve no whole account.
        AuthenticationError: Keystone refused the login.
        ContainerRegistryError: The request failed otherwise.
    """
    credentials = hide(credentials)
    account = account_credentials(credentials)
    async with AsyncRegistryClient(account, **options) as client:
        return await _list(client, account)


def open_projects(
    credentials: Credentials,
    projects: str | Iterable[str] | None = None,
    **options: Unpack[ClientOptions],
) -> "AsyncOpenProjects":
    """Give one client for each project of an account, on shared connections.

    Each client is labelled with its project's name, or with ``name (id)`` where two projects have
    one name, so that ``scan(clients)`` tells them apart. There is one login for the account, and
    one token a project, which is fetched when its client first needs it: a project that refuses
    is a failure in the scan, and no end of it.

    Args:
        credentials: Those of a whole account: `KeystonePassword` without a project, or
            ``credentials_from_env(project=False)``.
        projects: Which projects: ids, or names with wildcards (``team-*``). All that are enabled
            by default.
        **options: Options of `AsyncRegistryClient`.

    Returns:
        A context manager. Entering it gives the clients; leaving it closes them.

    Raises:
        ValueError: An argument makes no sense.
        ConfigurationError: The credentials serve no whole account. Also when it is entered: a
            pattern fits no project, or only disabled ones.
    """
    credentials = hide(credentials)
    account = account_credentials(credentials)
    return AsyncOpenProjects(account, project_patterns(projects), options)


class AsyncOpenProjects:
    """The clients of an account's projects, for use with ``async with``."""

    def __init__(
        self,
        credentials: KeystoneCredentials,
        patterns: Sequence[str] | None,
        options: ClientOptions,
    ) -> None:
        self._credentials = credentials
        self._patterns = patterns
        self._options = options
        self._stack = AsyncExitStack()

    async def __aenter__(self) -> tuple[AsyncRegistryClient, ...]:
        async with AsyncExitStack() as stack:
            # It holds the connections of all, and is handed to nobody.
            owner = await stack.enter_async_context(
                AsyncRegistryClient(self._credentials, **self._options)
            )
            every = await _list(owner, self._credentials)
            chosen = choose_projects(every, self._patterns)
            clients = tuple(
                owner._for_project(KeystoneProject(self._credentials, project.id), label)  # pyright: ignore[reportPrivateUsage]
                for project, label in zip(chosen, labels_of(chosen), strict=True)
            )
            self._stack = stack.pop_all()
        return clients

    async def __aexit__(
        self,
        exc_type: type[BaseException] | None,
        exc_value: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        await self.aclose()

    async def aclose(self) -> None:
        """Close the clients; it may be called twice."""
        await self._stack.aclose()


def choose_projects(
    projects: Sequence[Project], patterns: Sequence[str] | None
) -> tuple[Project, ...]:
    """Return the projects that some patterns fit, in the order of the list.

    Args:
        projects: All projects.
        patterns: Ids, or names with wildcards; None for all that are enabled.

    Raises:
        ConfigurationError: A pattern fits none, or only disabled ones.
    """
    if patterns is None:
        return tuple(project for project in projects if project.enabled)
    chosen: set[str] = set()
    for pattern in patterns:
        fitting = [
            project
            for project in projects
            if project.id == pattern or fnmatchcase(project.name, pattern)
        ]
        enabled = {project.id for project in fitting if project.enabled}
        if not fitting:
            raise ConfigurationError(f"no project fits {pattern!r}")
        if not enabled:
            raise ConfigurationError(f"the project that {pattern!r} fits is disabled")
        chosen |= enabled
    return tuple(project for project in projects if project.id in chosen)


def labels_of(projects: Sequence[Project]) -> tuple[str, ...]:
    """Return a label for each project: its name, with the id where names repeat."""
    names = [project.name for project in projects]
    return tuple(
        project.name if names.count(project.name) == 1 else f"{project.name} ({project.id})"
        for project in projects
    )


def account_credentials(credentials: Credentials) -> KeystoneCredentials:
    """Return credentials that serve a whole account.

    Raises:
        ConfigurationError: They do not.
    """
    if not isinstance(credentials, KeystoneCredentials):
        raise ConfigurationError(
            "the projects of an account need a Keystone login, such as KeystonePassword without a"
            " project"
        )
    if not credentials.serves_account:
        raise ConfigurationError(
            "these credentials are of one project: leave the project out, or use"
            " credentials_from_env(project=False)"
        )
    return credentials


def project_patterns(projects: str | Iterable[str] | None) -> list[str] | None:
    if projects is None:
        return None
    patterns = check_texts([projects] if isinstance(projects, str) else projects, "projects")
    if not patterns:
        raise ValueError("projects must be ids or names, at least one")
    return patterns


async def _list(
    client: AsyncRegistryClient, credentials: KeystoneCredentials
) -> tuple[Project, ...]:
    transport = evolve(
        client._transport,  # pyright: ignore[reportPrivateUsage]
        base_url=credentials.auth_url,
        authorizer=credentials.whole_account(),
    )
    response = await transport.send("GET", "/auth/projects")
    try:
        document: object = json.loads(response.body)
    except (ValueError, RecursionError):
        document = None

    def wrong(path: str, wanted: str) -> UnexpectedResponseError:
        return UnexpectedResponseError(
            f"expected {wanted}", response.method, response.url, path=path, status=response.status
        )

    listed = _member(document, "projects")
    if not isinstance(listed, list):
        raise wrong("projects", "an array")
    if _member(_member(document, "links"), "next") is not None:
        raise wrong("links.next", "all projects in one answer")
    projects: list[Project] = []
    for index, item in enumerate(cast("list[object]", listed)):
        texts = [_member(item, name) for name in ("id", "name", "domain_id")]
        enabled = _member(item, "enabled")
        for name, value in zip(("id", "name", "domain_id"), texts, strict=True):
            if not isinstance(value, str):
                raise wrong(f"projects[{index}].{name}", "a string")
        if not isinstance(enabled, bool):
            raise wrong(f"projects[{index}].enabled", "a boolean")
        id_, name, domain_id = cast("list[str]", texts)
        projects.append(Project(id_, name, enabled, domain_id))
    return tuple(projects)


def _member(value: object, name: str) -> object:
    return cast("dict[str, object]", value).get(name) if isinstance(value, dict) else None
