"""The sync client beside the async one: the same words, any thread, any loop, no secret shown."""

from __future__ import annotations

import asyncio
import gc
import inspect
import re
import threading
import traceback
import warnings
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from pathlib import Path
from typing import Any, Final

import pytest

import registry_async
from registry_async import (
    AsyncOpenProjects,
    AsyncPaginator,
    AsyncRegistryClient,
    AsyncScan,
    ClientClosedError,
    ConfigurationError,
    ContainerRegistryError,
    NotFoundError,
    OpenProjects,
    Paginator,
    Registry,
    RegistryClient,
    RetryPolicy,
    Scan,
    ServerError,
    StaticToken,
    sync,
)
from registry_async import _resources as resources
from registry_async.sandbox import Sandbox
from tests.support.faults import Behaviour, FaultServer, Hang, Reply
from tests.support.wire import SeenRequest, in_thread

PAIRS: Final[tuple[tuple[type, type], ...]] = (
    (AsyncRegistryClient, RegistryClient),
    (AsyncPaginator, Paginator),
    (AsyncScan, Scan),
    (AsyncOpenProjects, OpenProjects),
    (resources.AsyncRegistries, sync.Registries),
    (resources.AsyncRepositories, sync.Repositories),
    (resources.AsyncImages, sync.Images),
    (resources.AsyncTokens, sync.Tokens),
    (resources.AsyncTokensV1, sync.TokensV1),
)
PROTOCOLS: Final = {
    "__aenter__": "__enter__",
    "__aexit__": "__exit__",
    "__aiter__": "__iter__",
    "__anext__": "__next__",
}
# What only notebooks and scripts have a use for.
SYNC_ONLY: Final[dict[type, set[str]]] = {Paginator: {"to_dataframe"}}
# Sentences in which the two differ, by how they begin.
DIFFERENT: Final = ("One client may be used by many", "A session", "Called after each page")
EMPTY: Final = Reply.json({"registries": [], "totalCount": 0})


@pytest.fixture(scope="module")
def sandbox() -> Iterator[Sandbox]:
    with Sandbox() as running:
        yield running


def public(owner: type) -> set[str]:
    return {name for name in dir(owner) if not name.startswith("_")}


def members() -> list[tuple[str, Any, Any]]:
    found: list[tuple[str, Any, Any]] = []
    for asynchronous, synchronous in PAIRS:
        found.append((asynchronous.__name__, asynchronous, synchronous))
        for name in sorted(public(asynchronous)):
            twin = "close" if name == "aclose" else name
            found.append(
                (
                    f"{asynchronous.__name__}.{name}",
                    inspect.getattr_static(asynchronous, name),
                    inspect.getattr_static(synchronous, twin),
                )
            )
    found.append(("scan", registry_async.scan, sync.scan))
    return found


MEMBERS: Final = members()


def function_of(member: Any) -> Any:
    if isinstance(member, property):
        return member.fget
    if isinstance(member, classmethod):
        return member.__func__
    return vars(member)["__init__"] if isinstance(member, type) else member


# Parity


def test_every_async_class_has_its_twin() -> None:
    named = {
        name
        for module in (registry_async, resources)
        for name in module.__all__
        if name.startswith("Async")
    }
    assert named == {asynchronous.__name__ for asynchronous, _ in PAIRS}
    assert len(MEMBERS) > 45


@pytest.mark.parametrize(
    ("asynchronous", "synchronous"), PAIRS, ids=lambda each: str(each.__name__)
)
def test_both_have_the_same_words(asynchronous: type, synchronous: type) -> None:
    wanted = {"close" if name == "aclose" else name for name in public(asynchronous)}
    assert public(synchronous) - SYNC_ONLY.get(synchronous, set()) == wanted
    for name, twin in PROTOCOLS.items():
        assert hasattr(asynchronous, name) == hasattr(synchronous, twin) or name == "__anext__"


def resources_of(client: type) -> dict[str, str]:
    return {
        name: inspect.signature(function_of(member)).return_annotation.__name__
        for name, member in inspect.getmembers(client)
        if isinstance(member, property) and name != "label"
    }


def test_both_have_the_same_resources(sandbox: Sandbox) -> None:
    named = resources_of(AsyncRegistryClient)
    assert {name: f"Async{face}" for name, face in resources_of(RegistryClient).items()} == named
    assert named
    mine = sandbox.sync_client()
    theirs = sandbox.client()
    for name in named:
        assert f"Async{type(getattr(mine, name)).__name__}" == type(getattr(theirs, name)).__name__
        # Whoever replaces a method in a test finds it replaced.
        assert getattr(mine, name) is getattr(mine, name)
        assert getattr(mine, name) is not getattr(sandbox.sync_client(), name)


# Users make the client alone; of the other classes only the methods are theirs.
CALLABLE: Final = [
    each for each in MEMBERS if each[1] is AsyncRegistryClient or not isinstance(each[1], type)
]


@pytest.mark.parametrize(("name", "theirs", "mine"), CALLABLE, ids=[each[0] for each in CALLABLE])
def test_signatures_agree(name: str, theirs: Any, mine: Any) -> None:
    assert type(mine) is type(theirs)
    theirs, mine = function_of(theirs), function_of(mine)
    assert not inspect.iscoroutinefunction(mine)
    wanted, got = inspect.signature(theirs), inspect.signature(mine)
    assert [(each.name, each.kind, each.default) for each in got.parameters.values()] == [
        (each.name, each.kind, each.default) for each in wanted.parameters.values()
    ]
    for parameter in got.parameters.values():
        twin = wanted.parameters[parameter.name]
        assert plain(parameter.annotation) == plain(twin.annotation)
    assert plain(got.return_annotation) == plain(wanted.return_annotation)
    assert "Async" not in str(got)
    if wanted.return_annotation is not inspect.Signature.empty:
        assert got.return_annotation is not Any


def plain(annotation: object) -> str:
    """Write an annotation without saying which client it belongs to."""
    text = annotation if isinstance(annotation, str) else repr(annotation)
    if isinstance(annotation, type):
        text = annotation.__qualname__
    text = re.sub(r"[\w.]+\.(\w+)", r"\1", text)
    return re.sub(r"\bAsync(\w)", r"\1", text)


@pytest.mark.parametrize(("name", "theirs", "mine"), MEMBERS, ids=[each[0] for each in MEMBERS])
def test_docstrings_agree_in_sync_words(name: str, theirs: Any, mine: Any) -> None:
    del name
    wanted, got = inspect.getdoc(theirs), inspect.getdoc(mine)
    assert wanted is not None
    assert got is not None
    for word in ("async", "await", "aclose", "Async", "coroutine"):
        assert word not in got
    assert all(len(line) <= 100 for line in got.splitlines())
    assert sentences(got) == sentences(wanted)


def sentences(text: str) -> list[str]:
    for word, replacement in (
        ("async with", "with"),
        ("async for", "for"),
        ("aclose", "close"),
        ("await ", ""),
    ):
        text = text.replace(word, replacement)
    text = re.sub(r"\bAsync(\w)", r"\1", text)
    parts = re.split(r"(?<=[.:])\s+", " ".join(text.split()))
    kept = []
    for part in parts:
        if part.startswith(DIFFERENT):
            kept.append("…")
        elif not part.startswith("It cannot use the client."):
            kept.append(part)
    return kept


def test_the_async_words_about_loops_are_not_those_of_the_sync_client() -> None:
    text = inspect.getdoc(RegistryClient) or ""
    assert "many threads at once" in " ".join(text.split())
    assert "tasks" not in text


# Threads and loops


def test_sixteen_threads_share_one_client(sandbox: Sandbox) -> None:
    with sandbox.sync_client(max_connections=4) as client:
        registries = client.registries.list().collect()
        barrier = threading.Barrier(16)

        def work(number: int) -> list[list[str]]:
            barrier.wait(timeout=30)
            seen = []
            for turn in range(5):
                registry = registries[(number + turn) % len(registries)]
                assert client.registries.get(registry.id).id == registry.id
                page_size = 1 + (number + turn) % 3
                names = client.repositories.list_names(registry.id, page_size=page_size)
                seen.append([registry.id, *names])
            return seen

        with ThreadPoolExecutor(16) as pool:
            results = list(pool.map(work, range(16)))
        wanted = {
            registry.id: client.repositories.list_names(registry.id).collect()
            for registry in registries
        }
        for rows in results:
            for registry_id, *names in rows:
                assert names == wanted[registry_id]
        assert sum(each.name == "registry_async" for each in threading.enumerate()) == 1


def test_a_client_made_in_one_thread_works_in_another(sandbox: Sandbox) -> None:
    with ThreadPoolExecutor(1) as pool:
        client = pool.submit(sandbox.sync_client).result()
        first = pool.submit(client.registries.list().first).result()
    assert client.registries.list().first() == first
    thread = threading.Thread(target=client.close)
    thread.start()
    thread.join()
    with pytest.raises(ClientClosedError):
        client.registries.list().first()


def test_it_works_where_a_loop_runs_already(sandbox: Sandbox) -> None:
    async def cell() -> list[str]:
        # Blocking is what the user of a notebook asks for.
        with sandbox.sync_client() as client:
            return [registry.name for registry in client.registries.list()]

    names = asyncio.run(cell())
    with sandbox.sync_client() as client:
        assert names == [registry.name for registry in client.registries.list()]
    assert names


def test_closing_ends_calls_of_other_threads() -> None:
    with in_thread(FaultServer(Hang())) as (server, portal), ThreadPoolExecutor(1) as pool:
        client = RegistryClient(token="t", base_url=server.base_url)
        call = pool.submit(client.registries.get, "slow")
        portal.call(server.wait_for_requests, 1)
        client.close()
        with pytest.raises(ClientClosedError):
            call.result(timeout=30)
        portal.call(server.client_left.wait)


def test_a_callback_on_the_loop_is_told_that_it_cannot_call(sandbox: Sandbox) -> None:
    problems: list[str] = []

    def ask(_: object) -> None:
        try:
            client.registries.list().first()
        except RuntimeError as error:
            problems.append(str(error))

    with sandbox.sync_client() as client, client.scan(on_progress=ask) as scan:
        list(scan)
    assert problems
    assert "RegistryClient" in problems[0]


def test_a_generator_left_open_holds_nothing(sandbox: Sandbox) -> None:
    with sandbox.sync_client() as client:
        for _ in client.registries.list(page_size=1):
            break
        for _ in client.registries.list(page_size=1).pages():
            break
        with client.scan() as scan:
            for _ in scan:
                break
        assert not scan.complete
        assert client.registries.list().count() > 1


def test_a_list_goes_on_after_an_error() -> None:
    def page(request: SeenRequest) -> Behaviour:
        if request.index == 1:
            return Reply.json({"error": "no"}, 500)
        number = min(request.index, 1) + max(0, request.index - 2)
        item = {
            "id": str(number),
            "name": f"registry-{number}",
            "status": "ACTIVE",
            "size": 1,
            "createdAt": "2025-01-02T03:04:05Z",
        }
        return Reply.json({"registries": [item], "totalCount": 3})

    with in_thread(FaultServer(handler=page)) as (server, _):
        once = RetryPolicy(attempts=1)
        with RegistryClient(token="t", base_url=server.base_url, retry=once) as client:
            registries = iter(client.registries.list(page_size=1))
            assert next(registries).id == "0"
            with pytest.raises(ServerError):
                next(registries)
            # Were it over, a list with a hole would look whole.
            assert [registry.id for registry in registries] == ["1", "2"]


def test_threads_share_an_iteration_and_nothing_is_lost(sandbox: Sandbox) -> None:
    with sandbox.sync_client() as client, ThreadPoolExecutor(8) as pool:

        def share(items: Iterable[Any]) -> list[Any]:
            parts = pool.map(lambda _: list(items), range(8))
            return [item for part in parts for item in part]

        wanted = client.registries.list().collect()
        listed = share(iter(client.registries.list(page_size=1)))
        assert sorted(each.id for each in listed) == sorted(each.id for each in wanted)
        pages = share(client.registries.list(page_size=1).pages())
        assert sorted(page.offset for page in pages) == list(range(len(wanted)))
        with client.scan() as scan:
            alone = sorted(
                (each.registry.id, each.repository.name, each.image.digest) for each in scan
            )
        with client.scan(page_size=2, concurrency=4) as scan:
            found = share(scan)
        assert scan.complete
        assert (
            sorted((each.registry.id, each.repository.name, each.image.digest) for each in found)
            == alone
        )


def test_a_scan_may_outlive_its_client(sandbox: Sandbox) -> None:
    for others in (0, 1):
        with ExitStack() as exits:
            for _ in range(others):
                exits.enter_context(sandbox.sync_client()).registries.list().first()
            client = sandbox.sync_client()
            with client.scan(page_size=1) as scan:
                next(scan)
                client.close()
                with pytest.raises(ClientClosedError):
                    list(scan)
            assert not scan.complete


def test_a_class_of_ones_own_is_made_from_the_environment_as_by_itself(
    sandbox: Sandbox, monkeypatch: pytest.MonkeyPatch
) -> None:
    class Special(RegistryClient):
        def __init__(self, *args: Any, **options: Any) -> None:
            super().__init__(*args, **options)
            self.made = True

    monkeypatch.setenv("REGISTRY_TOKEN", sandbox.token)
    with Special.from_env(base_url=sandbox.base_url, label="mine") as client:
        assert client.made
        assert client.label == "mine"
        assert client.with_options(timeout=3).registries.list().first() is not None


def test_stop_iteration_of_the_users_own_stays_what_it_is(sandbox: Sandbox) -> None:
    class Odd:
        async def get_token(self, session: object) -> str:
            raise StopIteration("odd")

        def invalidate(self, token: str) -> None:
            raise NotImplementedError

    with (
        sandbox.sync_client(credentials=Odd(), retry=RetryPolicy(attempts=1)) as client,
        pytest.raises(RuntimeError, match="StopIteration"),
    ):
        # Not an end of the list, which is what a stray StopIteration would look like.
        list(client.registries.list())


# Collection and closing


def test_an_unclosed_client_warns_with_its_name_when_it_is_collected(sandbox: Sandbox) -> None:
    client = sandbox.sync_client()
    client.registries.list().first()
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        del client
        gc.collect()
    (warning,) = caught
    assert warning.category is ResourceWarning
    assert str(warning.message) == "unclosed RegistryClient: use 'with' or close()"


@pytest.mark.parametrize("use", [False, True])
def test_a_closed_client_is_collected_in_silence(sandbox: Sandbox, use: bool) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        client = sandbox.sync_client()
        if use:
            client.registries.list().first()
        client.close()
        del client
        unused = sandbox.sync_client()
        del unused
        gc.collect()


def test_what_a_client_gave_outlives_its_name(sandbox: Sandbox) -> None:
    paginator = sandbox.sync_client().registries.list()
    assert paginator.first() is not None
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        gc.collect()
        assert caught == []
        del paginator
        gc.collect()
    assert len(caught) == 1


def test_a_scan_outside_its_block_says_so(sandbox: Sandbox) -> None:
    with sandbox.sync_client() as client:
        scan = client.scan()
        with pytest.raises(RuntimeError, match="block"):
            next(scan)
        with scan:
            next(scan)
        with pytest.raises(RuntimeError, match="block"):
            list(scan.batches())


def test_a_half_made_client_can_be_shown() -> None:
    with pytest.raises(ConfigurationError) as caught:
        RegistryClient()
    shown = traceback.TracebackException.from_exception(caught.value, capture_locals=True)
    assert "<RegistryClient, not set up>" in "".join(shown.format())


def test_reprs_are_short(sandbox: Sandbox) -> None:
    with sandbox.sync_client(label="mine") as client:
        assert repr(client) == f"<RegistryClient 'mine' of {sandbox.base_url}>"
        assert repr(client.images) == f"<Images of {sandbox.base_url}>"
        assert repr(client.registries.list()) == "Paginator[Registry](page_size=100, offset=0)"
        assert repr(client.scan()) == "<Scan of 0 images and 0 errors>"


# Iteration crosses the threads once a page


def test_a_page_is_one_call(sandbox: Sandbox, monkeypatch: pytest.MonkeyPatch) -> None:
    crossings = 0
    with sandbox.sync_client() as client:
        lease = client._lease  # pyright: ignore[reportPrivateUsage]
        run = lease.run

        def counted(function: Callable[..., Any], *args: Any, **kwargs: Any) -> Any:
            nonlocal crossings
            crossings += 1
            return run(function, *args, **kwargs)

        monkeypatch.setattr(lease, "run", counted)
        registry = max(client.registries.list(), key=lambda registry: registry.size)
        repositories = list(client.repositories.list(registry.id, page_size=3))
        pages = -(-len(repositories) // 3)
        # The registries came in one page; at the end of a list, one crossing finds that out.
        assert crossings == (1 + 1) + (pages + 1)
        crossings = 0
        with client.scan(page_size=2) as scan:
            images = len(list(scan))
        assert crossings < images


# Tracebacks


def frames(error: BaseException) -> list[str]:
    return [frame.filename for frame in traceback.extract_tb(error.__traceback__)]


def test_an_error_of_the_service_has_a_short_traceback(sandbox: Sandbox) -> None:
    with sandbox.sync_client() as client:
        with pytest.raises(NotFoundError) as caught:
            client.registries.get("no-such")
        extracted = traceback.extract_tb(caught.value.__traceback__)
    names = [Path(frame.filename).name for frame in extracted]
    assert names == [Path(__file__).name, "sync.py", "_portal.py"]


def test_a_traceback_keeps_the_frames_of_a_callers_own_code(sandbox: Sandbox) -> None:
    class Broken:
        async def get_token(self, session: object) -> str:
            raise ConfigurationError("no token today")

        def invalidate(self, token: str) -> None:
            raise NotImplementedError

    with RegistryClient(Broken(), base_url=sandbox.base_url) as client:
        with pytest.raises(ConfigurationError) as caught:
            client.registries.get("id")
        names = [frame.name for frame in traceback.extract_tb(caught.value.__traceback__)]
    assert names[-1] == "get_token"


def test_a_traceback_begins_with_the_users_line_and_has_no_plumbing(sandbox: Sandbox) -> None:
    with sandbox.sync_client() as client:
        with pytest.raises(NotFoundError) as caught:
            client.registries.get("missing")  # the user's line
        extracted = traceback.extract_tb(caught.value.__traceback__)
        assert extracted[0].line is not None
        assert extracted[0].line.endswith("# the user's line")
        files = [frame.filename.replace("\\", "/").rpartition("/")[2] for frame in extracted]
        assert files[1] == "sync.py"
        assert files.count("_portal.py") <= 1
        for library in ("asyncio", "anyio", "aiohttp", "concurrent"):
            assert not any(f"/{library}/" in frame.filename for frame in extracted)
        assert len(extracted) <= 9
        # Nothing piles up when the same call fails again.
        with pytest.raises(NotFoundError) as again:
            client.registries.get("missing")
        assert len(frames(again.value)) == len(extracted)
        assert caught.value.__context__ is None
        assert caught.value.__cause__ is None


# Secrets

CANARY: Final = "canary-7f3a9c1e5b8d"


def refuse(request: SeenRequest) -> Behaviour:
    return Reply.json({"error": "no"}, 404)


Make = Callable[..., RegistryClient]

ACTS: Final[dict[str, Callable[[Make], object]]] = {
    "the token of a call": lambda make: make(token=CANARY).registries.get("1"),
    "tokens_v1.get": lambda make: make(token="t").tokens_v1.get(CANARY),
    "tokens_v1.refresh": lambda make: make(token="t").tokens_v1.refresh(CANARY),
    "tokens_v1.revoke": lambda make: make(token="t").tokens_v1.revoke(CANARY),
    "a path by hand": lambda make: make(token="t").request("GET", f"/v1/token/{CANARY}"),
    "a token that cannot be sent": lambda make: make(token=f"{CANARY}\n"),
    "a token and credentials": lambda make: make(StaticToken(CANARY), token=CANARY),
    "a token in the place of the credentials": lambda make: make(CANARY),
    "a password in the base URL": lambda make: make(
        token="t", base_url=f"http://me:{CANARY}@127.0.0.1/api"
    ),
    "a page": lambda make: list(make(token=CANARY).registries.list()),
    "a scan": lambda make: make(token=CANARY).scan_report(on_error="raise"),
}


@pytest.mark.parametrize("what", ACTS)
def test_no_frame_of_ours_shows_a_secret(what: str) -> None:
    with in_thread(FaultServer(handler=refuse)) as (server, _), ExitStack() as exits:

        def make(*args: Any, **options: Any) -> RegistryClient:
            options = {"retry": RetryPolicy(attempts=1), "base_url": server.base_url, **options}
            return exits.enter_context(RegistryClient(*args, **options))

        with pytest.raises((ContainerRegistryError, ValueError)) as caught:
            ACTS[what](make)
        # The frames above the package's are the user's own: they hold what the user wrote there.
        package = str(Path(sync.__file__).parent)
        steps = caught.value.__traceback__
        while steps is not None and not steps.tb_frame.f_code.co_filename.startswith(package):
            steps = steps.tb_next
        assert steps is not None, "the call never reached the client"
        shown = "".join(
            traceback.TracebackException(
                type(caught.value), caught.value, steps, capture_locals=True
            ).format()
        )
    assert package in shown
    assert CANARY not in shown


def test_the_secret_reaches_the_service_all_the_same() -> None:
    with in_thread(FaultServer(handler=refuse)) as (server, _):
        with (
            RegistryClient(token=CANARY, base_url=server.base_url) as client,
            pytest.raises(NotFoundError),
        ):
            client.tokens_v1.get(CANARY)
        (request,) = server.requests
    assert request.header("x-auth-token") == CANARY
    assert request.raw_path.endswith(f"/{CANARY}")


def test_names_are_there_on_first_use() -> None:
    for name in ("Paginator", "RegistryClient", "Scan"):
        assert getattr(registry_async, name) is getattr(sync, name)
        assert name in registry_async.__all__
    with pytest.raises(AttributeError, match="no attribute 'RegistryKlient'"):
        _ = registry_async.RegistryKlient  # type: ignore[attr-defined]


def test_items_have_their_types(sandbox: Sandbox) -> None:
    with sandbox.sync_client() as client:
        assert all(isinstance(each, Registry) for each in client.registries.list())
