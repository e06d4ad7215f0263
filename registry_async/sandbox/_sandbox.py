"""The sandbox itself: it listens on loopback, and hands what arrives to the operations."""

import asyncio
import contextlib
import ipaddress
import socket
import threading
import time
from collections.abc import Awaitable, Callable
from concurrent.futures import Future
from datetime import datetime
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Any, Literal
from urllib.parse import quote

from aiohttp import web

from registry_async.sandbox._actions import Actions, Rules
from registry_async.sandbox._description import ProjectDescription, SandboxDescription
from registry_async.sandbox._directory import Login
from registry_async.sandbox._faults import Faults
from registry_async.sandbox._identity import Identity
from registry_async.sandbox._permits import USER_NAME
from registry_async.sandbox._projects import SandboxProject
from registry_async.sandbox._records import RequestRecord
from registry_async.sandbox._requests import Settings
from registry_async.sandbox._seed import sow
from registry_async.sandbox._service import API_PATH, IDENTITY_PATH, Server, Service
from registry_async.sandbox._state import State
from registry_async.sandbox._storage import Storage

if TYPE_CHECKING:
    from typing import Self

    from registry_async import AsyncRegistryClient, RegistryClient

# Requests that are held on purpose must not hold the end of the sandbox.
_SHUTDOWN_SECONDS = 0.25
# An account whose project the first user has a role in.
_OTHER_ACCOUNT = "100300"


class Sandbox:
    """Run the whole service in this process, on loopback, with its state in memory.

    It is a context manager of both kinds: `async with` serves from the loop that runs, `with` from
    a thread of its own. Time is looked at when a request comes, never waited for: a test
    that passes its own clock decides when a registry becomes ACTIVE.

    Args:
        seed: True fills it with believable data, False leaves it empty, a number fills
            it with other data of the same kind; equal numbers give equal data.
        data: A directory in which everything is kept, and from which it is there again when the
            sandbox is started anew; the seed is for a directory without data. Without it,
            everything is kept in memory.
        host: A loopback address.
        port: The port; 0 lets the system choose.
        token: The IAM token to accept; made up by default.
        clock: Gives seconds; moves statuses and the expiry of tokens.
        start_time: The wall-clock time, aware, at which the clock starts; now by default.
        create_seconds: How long a new registry is CREATING.
        delete_seconds: How long a deleted registry is DELETING.
        collection_seconds: How long a garbage collection runs.
        token_seconds: How long an IAM token from the Keystone login lives.
        max_limit: The largest page that lists give, whatever is asked for; no cap by default.
        short_form: What a list with `short=true` holds: bare `string`s, or an `object` each with
            only a name.
        dialect: How layers and empty v1 lists are answered, and expirations read: `reference`
            follows the API reference (`[]` for an empty list, where the service sends 204), `go`
            what the provider's Go client expects (a bare array of layers; an expiration without
            its wrapper), `auto` speaks `go` to that client alone.
        guards_parts: Whether an image that an index refers to is kept from being deleted. The
            service may not, and False is how a test finds out what is lost then.
        hides_tags: How many tags of each repository the list of images lacks, while the list of
            tags has them: those of indexes first, whose images are then not listed at all.
        v1_unpaged: Whether a v1 list without `limit` gives everything, rather than ten items.
        corrupting_gc: Whether what is pushed while a collection runs loses its layers when it
            ends, which the provider warns of.
        login: What the Keystone login takes; made up by default.
        sleep: Waits for seconds when a fault has latency.
        keep_requests: How many of the last requests `requests` holds.

    Attributes:
        faults: What shall go wrong: `faults.add(status=503, times=2)`.
        identity: The IAM tokens: `identity.issue`, `identity.revoke`.
        projects: All projects by their ids, the first one included; `add_project` adds one. With
            data to begin with, there are a second and a disabled project in the account, and one
            of another account, all of them open to the first user.
        login: What the Keystone login takes: `login.username`, `login.password`, and so on.
        token: An IAM token that is accepted and does not expire.

    Raises:
        ValueError: If the host is not a loopback address.
    """

    def __init__(
        self,
        *,
        seed: bool | int = True,
        data: str | Path | None = None,
        host: str = "127.0.0.1",
        port: int = 0,
        token: str | None = None,
        clock: Callable[[], float] = time.monotonic,
        start_time: datetime | None = None,
        create_seconds: float = 1.0,
        delete_seconds: float = 1.0,
        collection_seconds: float = 2.0,
        token_seconds: float = 86_400.0,
        max_limit: int | None = None,
        short_form: Literal["string", "object"] = "string",
        dialect: Literal["auto", "reference", "go"] = "auto",
        guards_parts: bool = True,
        hides_tags: int = 0,
        v1_unpaged: bool = False,
        corrupting_gc: bool = False,
        login: Login | None = None,
        sleep: Callable[[float], Awaitable[None]] = asyncio.sleep,
        keep_requests: int = 10_000,
    ) -> None:
        self._host = _check_loopback(host)
        self._port = port
        self._data = None if data is None else Path(data).expanduser()
        self._seed = seed
        self._stores: list[tuple[Storage, State]] = []
        first_store = self._storage("first")
        # Time and lock, which all projects share, are those of the first one's state.
        self._first_state = State(
            clock=clock,
            start_time=start_time,
            random_seed=int(seed),
            contents=None if first_store is None else first_store.contents,
        )
        self._rules = Rules(
            create_seconds=create_seconds,
            delete_seconds=delete_seconds,
            collection_seconds=collection_seconds,
            guards_parts=guards_parts,
            corrupting_gc=corrupting_gc,
        )
        self.faults = Faults(max_limit)
        self.identity = Identity(self._first_state.now, token_seconds, login or Login())
        self.login = self.identity.login
        self.token = self.identity.issue(token)
        first = self.identity.directory.first_project
        first_seed = None if seed is False else int(seed)
        self.projects = {
            first.id: SandboxProject(
                first, lambda: self._fill(self._first_state, first_store, first_seed)
            )
        }
        self._first_project = self.projects[first.id]
        self._service = Service(
            self._first_state,
            self.projects,
            self.identity,
            self.faults,
            Settings(short_form, dialect, hides_tags, v1_unpaged),
            sleep=sleep,
            keep_requests=keep_requests,
            save=self._save,
        )
        self._runner: web.ServerRunner | None = None
        self._socket: socket.socket
        self._origin: str | None = None
        self._registry_password: str | None = None
        self._thread: threading.Thread | None = None
        self._stop: Callable[[], object] | None = None
        if seed is not False:
            self.add_project("sandbox-staging", seed=int(seed) + 1)
            self.add_project("sandbox-retired", enabled=False)
            self.add_project("partner-project", account=_OTHER_ACCOUNT, seed=int(seed) + 2)

    @property
    def state(self) -> State:
        """The data of the first project: arrange it with `add_registry`, `push_image`."""
        return self._first_project.state

    # What a client needs

    @property
    def origin(self) -> str:
        """Scheme, host and port of the running sandbox.

        Raises:
            RuntimeError: If it is not running.
        """
        if self._origin is None:
            raise RuntimeError("the sandbox is not running: enter it with `with` or `async with`")
        return self._origin

    @property
    def base_url(self) -> str:
        """The base URL of the registry API; ends in `/api`."""
        return self.origin + API_PATH

    @property
    def auth_url(self) -> str:
        """The base URL of the Keystone login; ends in `/identity/v3`."""
        return f"{self.origin}{IDENTITY_PATH}/v3"

    @property
    def registry_host(self) -> str:
        """Host and port, as they stand in image names and in Docker's configuration."""
        return self.origin.partition("://")[2]

    @property
    def registry_password(self) -> str:
        """The password with which Docker logs in, as the user `token`; it opens everything."""
        if self._registry_password is None:
            with self._first_state.lock:
                self._registry_password = self.state.tokens.create_v1("1y").secret
                self._save()
        return self._registry_password

    def describe(self) -> SandboxDescription:
        """Tell what a client of any kind needs.

        Raises:
            RuntimeError: If it is not running.
        """
        login = self.login
        return SandboxDescription(
            base_url=self.base_url,
            token=self.token,
            registry_host=self.registry_host,
            registry_username=USER_NAME,
            registry_password=self.registry_password,
            auth_url=self.auth_url,
            username=login.username,
            password=login.password,
            account=login.account,
            application_credential_id=login.application_credential_id,
            application_credential_secret=login.application_credential_secret,
            projects=tuple(
                ProjectDescription(item.id, item.name, item.account, item.enabled)
                for item in self.projects.values()
            ),
        )

    def client(self, **options: Any) -> "AsyncRegistryClient":
        """Make an async client of this sandbox.

        Args:
            **options: What `registry_async.AsyncRegistryClient` takes; credentials oust the token.

        Returns:
            The client, to be closed by the caller.
        """
        from registry_async import AsyncRegistryClient

        return AsyncRegistryClient(**self._client_options(options))

    def sync_client(self, **options: Any) -> "RegistryClient":
        """Make a sync client of this sandbox.

        Args:
            **options: What `registry_async.RegistryClient` takes; credentials oust the token.

        Returns:
            The client, to be closed by the caller.
        """
        from registry_async import RegistryClient

        return RegistryClient(**self._client_options(options))

    def _client_options(self, options: dict[str, Any]) -> dict[str, Any]:
        access = {} if "credentials" in options else {"token": self.token}
        return {"base_url": self.base_url, **access, **options}

    def add_project(
        self,
        name: str,
        *,
        account: str | None = None,
        enabled: bool = True,
        seed: int | None = None,
    ) -> SandboxProject:
        """Add a project that the first user has a role in.

        Args:
            name: Its name.
            account: The account that it belongs to; the first user's by default.
            enabled: Whether it gives tokens.
            seed: What its data is made from; None leaves it empty.

        Returns:
            The project, for its `state`.
        """
        with self._first_state.lock:
            directory = self.identity.directory
            iam = directory.add_project(
                name,
                directory.account(account or self.login.account),
                directory.first_user,
                enabled=enabled,
            )
            # Ids of registries are unique among projects, so no two projects share a seed.
            number = len(self.projects) * 1_000_003
            store = self._storage(f"{account or self.login.account}-{name}")
            state = self._first_state.sibling(
                random_seed=number + (seed or 0),
                contents=None if store is None else store.contents,
            )
            project = SandboxProject(iam, lambda: self._fill(state, store, seed))
            self.projects[iam.id] = project
            return project

    # What a test looks at

    @property
    def requests(self) -> tuple[RequestRecord, ...]:
        """The last requests that arrived, in order, those to the Keystone login included."""
        with self._first_state.lock:
            return self._service.records.all()

    def clear_requests(self) -> None:
        """Forget the requests that arrived."""
        with self._first_state.lock:
            self._service.records.clear()

    # Its life

    async def __aenter__(self) -> "Self":
        await self._start()
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        await self._finish()

    def __enter__(self) -> "Self":
        if self._thread is not None or self._origin is not None:
            raise RuntimeError("the sandbox is running already")
        ready: Future[Callable[[], object]] = Future()
        self._thread = threading.Thread(
            target=lambda: asyncio.run(self._serve(ready)), name="registry-sandbox", daemon=True
        )
        self._thread.start()
        try:
            self._stop = ready.result()
        except BaseException:
            # Either the start failed, or this thread was interrupted while the other was starting.
            if not ready.cancel() and ready.exception() is None:
                ready.result()()
            self._thread.join()
            self._thread = None
            raise
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        if self._thread is None or self._stop is None:
            raise RuntimeError("the sandbox was not entered with `with`")
        self._stop()
        self._thread.join()
        self._thread = self._stop = None

    async def _serve(self, ready: "Future[Callable[[], object]]") -> None:
        """Run in the thread of a sandbox that was entered without a loop."""
        loop = asyncio.get_running_loop()
        stopped = asyncio.Event()
        if not ready.set_running_or_notify_cancel():
            return
        try:
            await self._start()
        except Exception as error:  # noqa: BLE001 - the entering thread raises it
            ready.set_exception(error)
            return
        try:
            ready.set_result(lambda: loop.call_soon_threadsafe(stopped.set))
            await stopped.wait()
        finally:
            await self._finish()

    async def _start(self) -> None:
        if self._runner is not None:
            raise RuntimeError("the sandbox is running already")
        # What is held already is taken hold of again; the rest is when it is first asked for.
        for store, _ in self._stores:
            store.open()
        try:
            # Data take long enough to hold up the loop that the sandbox is started from.
            await asyncio.to_thread(self._make_data)
            await self._listen()
        except BaseException:
            self._close_stores()
            raise

    async def _listen(self) -> None:
        server = Server(self._service.handle, handler_cancellation=True, access_log=None)
        family = socket.AF_INET6 if ":" in self._host else socket.AF_INET
        self._socket = socket.create_server((self._host, self._port), family=family)
        runner = web.ServerRunner(server, shutdown_timeout=_SHUTDOWN_SECONDS)
        await runner.setup()
        await web.SockSite(runner, self._socket).start()
        self._runner = runner
        host, port = self._socket.getsockname()[:2]
        self._origin = f"http://[{host}]:{port}" if ":" in host else f"http://{host}:{port}"
        self._service.origin = self._origin

    async def _finish(self) -> None:
        if self._runner is None:
            return
        runner, self._runner = self._runner, None
        # asyncio takes a few turns between accepting a connection and telling the server of it. If
        # the server is closed meanwhile, the connection is left behind half made and unclosed.
        with contextlib.suppress(NotImplementedError):  # a proactor loop has no readers
            asyncio.get_running_loop().remove_reader(self._socket)
        try:
            for _ in range(3):
                await asyncio.sleep(0)
        finally:
            await runner.cleanup()
            self._origin = None
            self._service.end()
            self._save()
            self._close_stores()

    # What it keeps

    def _storage(self, folder: str) -> Storage | None:
        return None if self._data is None else Storage(self._data / quote(folder, safe=""))

    def _make_data(self) -> None:
        """Make the first project's data; of all projects, where tokens may be in a directory."""
        for project in list(self.projects.values()):
            if self._data is not None or project is self._first_project:
                project.state  # noqa: B018 - it is made when it is asked for

    def _fill(self, state: State, store: Storage | None, seed: int | None) -> tuple[State, Actions]:
        """Begin with what is in the directory, or else with a seed."""
        actions = Actions(state, self._rules)
        found = False
        if store is not None:
            store.open()
            self._stores.append((store, state))
            found = store.load(state, actions)
        if seed is not None and not found:
            sow(state)
        return state, actions

    def _save(self) -> None:
        with self._first_state.lock:
            for store, state in self._stores:
                store.save(state)

    def _close_stores(self) -> None:
        for store, _ in self._stores:
            store.close()


def _check_loopback(host: str) -> str:
    address = "127.0.0.1" if host == "localhost" else host
    try:
        loopback = ipaddress.ip_address(address).is_loopback
    except ValueError:
        loopback = False
    if not loopback:
        raise ValueError(
            f"host must be a loopback address such as 127.0.0.1, not {host!r}: "
            "the sandbox is for this machine alone"
        )
    return address
