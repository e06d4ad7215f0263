"""The event-loop thread under the sync client: threads, interrupts, forks and exits."""

import asyncio
import contextlib
import contextvars
import gc
import os
import signal
import subprocess
import sys
import threading
import traceback
import warnings
import weakref
from collections.abc import AsyncIterator, Awaitable, Iterator
from pathlib import Path
from typing import Final

import anyio
import pytest

from registry_async import _portal
from registry_async._portal import Lease
from registry_async.errors import ClientClosedError

SCRIPTS: Final = Path(__file__).parent / "portal_scripts"
# Guards against hanging for ever; nothing is expected to take nearly as long, in seconds.
HANG: Final = 120
THREADS: Final = 16

color: contextvars.ContextVar[str] = contextvars.ContextVar("color", default="none")


class Client:
    """What a lease belongs to."""


class Resource:
    """Something on the loop that has to be cleaned up."""

    def __init__(self) -> None:
        self.cleaned = threading.Event()
        self.times = 0

    async def clean(self) -> None:
        self.times += 1
        await asyncio.sleep(0)
        self.cleaned.set()


async def nothing() -> None: ...


async def answer() -> int:
    return 42


async def thread_id() -> int:
    return threading.get_ident()


@pytest.fixture
def lease() -> Iterator[Lease]:
    lease = Lease(Client(), nothing)
    yield lease
    lease.close()


def loop_threads() -> list[threading.Thread]:
    return [thread for thread in threading.enumerate() if thread.name == "registry_async"]


# ------------------------------------------------------------------------------ calls and results


def test_a_call_returns_what_the_coroutine_returns(lease: Lease) -> None:
    async def join(left: str, *, right: str) -> str:
        await asyncio.sleep(0)
        return left + right

    assert lease.run(join, "a", right="b") == "ab"


def test_the_thread_lives_from_the_first_call_to_the_last_close() -> None:
    first, second = Lease(Client(), nothing), Lease(Client(), nothing)
    assert loop_threads() == []
    one = first.run(thread_id)
    assert second.run(thread_id) == one
    assert len(loop_threads()) == 1
    first.close()
    assert second.run(thread_id) == one
    second.close()
    assert loop_threads() == []


def test_a_new_lease_starts_the_thread_again() -> None:
    for _ in range(2):
        lease = Lease(Client(), nothing)
        assert lease.run(answer) == 42
        lease.close()


def test_a_thousand_leases_leave_no_thread() -> None:
    before = threading.active_count()
    for _ in range(1000):
        lease = Lease(Client(), nothing)
        assert lease.run(answer) == 42
        lease.close()
    assert threading.active_count() == before


def test_many_threads_run_at_once_on_one_lease(lease: Lease) -> None:
    # Nobody goes on before all are there, so calls that waited for each other would not end.
    arrived = 0
    complete: list[asyncio.Event] = []

    async def meet(number: int) -> tuple[int, int]:
        nonlocal arrived
        arrived += 1
        if not complete:
            complete.append(asyncio.Event())
        if arrived == THREADS:
            complete[0].set()
        await complete[0].wait()
        return number, threading.get_ident()

    results: list[tuple[int, int]] = []
    threads = [
        threading.Thread(target=lambda number=number: results.append(lease.run(meet, number)))
        for number in range(THREADS)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(number for number, _ in results) == list(range(THREADS))
    assert len({ident for _, ident in results}) == 1


@pytest.mark.anyio
async def test_it_works_where_an_event_loop_runs(lease: Lease) -> None:
    assert lease.run(answer) == 42
    assert lease.run(thread_id) != threading.get_ident()


def test_a_call_from_its_own_loop_is_refused(lease: Lease) -> None:
    other = Lease(Client(), nothing)

    async def call() -> None:
        for inner in (lease, other):
            with pytest.raises(RuntimeError, match=r"Client was called on its own event loop"):
                inner.run(answer)
            with pytest.raises(RuntimeError, match=r"Client was called on its own event loop"):
                inner.close()

    lease.run(call)
    assert lease.run(answer) == 42
    assert other.run(answer) == 42
    other.close()


def test_context_variables_of_the_caller_are_seen(lease: Lease) -> None:
    async def look() -> str:
        seen = color.get()
        color.set("changed")
        await asyncio.sleep(0)
        return seen

    token = color.set("red")
    assert lease.run(look) == "red"
    assert color.get() == "red"
    color.reset(token)
    assert lease.run(look) == "none"


# ------------------------------------------------------------------------------------- exceptions


@pytest.mark.parametrize(
    "error",
    [
        ValueError("wrong"),
        StopAsyncIteration("the end"),
        TimeoutError(),
        SystemExit(3),
        KeyboardInterrupt(),
        GeneratorExit(),
        asyncio.CancelledError(),
        ExceptionGroup("several", [ValueError("one")]),
    ],
    ids=lambda error: type(error).__name__,
)
def test_the_exception_is_the_very_one_that_was_raised(lease: Lease, error: BaseException) -> None:
    async def fail() -> None:
        await asyncio.sleep(0)
        raise error

    with pytest.raises(type(error)) as caught:
        lease.run(fail)
    assert caught.value is error
    assert caught.value.__context__ is None
    assert lease.run(answer) == 42


def test_stop_iteration_crosses_the_thread(lease: Lease) -> None:
    error = StopIteration("value")

    def fail() -> Awaitable[None]:
        raise error

    with pytest.raises(StopIteration) as caught:
        lease.run(fail)
    assert caught.value is error


def test_an_async_iterator_ends_as_it_does_where_it_is_awaited(lease: Lease) -> None:
    async def count() -> AsyncIterator[int]:
        yield 1
        yield 2

    iterator = count()
    assert [lease.run(iterator.__anext__), lease.run(iterator.__anext__)] == [1, 2]
    with pytest.raises(StopAsyncIteration):
        lease.run(iterator.__anext__)


def test_async_generators_that_were_left_are_closed_with_the_loop() -> None:
    closed: list[str] = []

    async def count() -> AsyncIterator[int]:
        try:
            yield 1
            yield 2
        finally:
            await asyncio.sleep(0)
            closed.append("closed")

    lease = Lease(Client(), nothing)
    iterator = count()
    assert lease.run(iterator.__anext__) == 1
    lease.close()
    assert closed == ["closed"]


def test_tracebacks_show_the_caller_and_the_coroutine_and_no_plumbing(lease: Lease) -> None:
    async def innermost() -> None:
        await asyncio.sleep(0)
        raise ValueError("wrong")

    async def outer() -> None:
        with anyio.CancelScope():
            await asyncio.wait_for(innermost(), timeout=None)

    def user() -> None:
        lease.run(outer)

    with pytest.raises(ValueError, match="wrong") as caught:
        user()
    names = [frame.name for frame in traceback.extract_tb(caught.value.__traceback__)]
    assert names[1:] == ["user", "run", "outer", "innermost"]


def test_frames_of_the_portal_keep_no_arguments(lease: Lease) -> None:
    async def fail(secret: str, *, other: str) -> None:
        del secret, other
        raise ValueError("wrong")

    with pytest.raises(ValueError, match="wrong") as caught:
        lease.run(fail, "canary-1", other="canary-2")
    summary = traceback.TracebackException.from_exception(caught.value, capture_locals=True)
    shown = [
        repr(frame.locals) for frame in summary.stack if Path(frame.filename).name == "_portal.py"
    ]
    assert len(shown) == 1
    assert "canary" not in shown[0]


def test_an_exception_is_no_part_of_a_cycle(lease: Lease) -> None:
    class Local:
        pass

    seen: list[weakref.ref[Local]] = []

    async def fail() -> None:
        local = Local()
        seen.append(weakref.ref(local))
        await asyncio.sleep(0)
        raise ValueError("wrong")

    gc.disable()
    try:
        with contextlib.suppress(ValueError):
            lease.run(fail)
        # The loop lets go of the call before it takes the next one.
        lease.run(nothing)
        assert seen[0]() is None
    finally:
        gc.enable()


# ---------------------------------------------------------------------------------------- closing


def test_close_runs_the_cleanup_once_and_on_the_loop() -> None:
    resource = Resource()
    lease = Lease(Client(), resource.clean)
    lease.run(nothing)
    lease.close()
    assert resource.cleaned.is_set()
    lease.close()
    assert resource.times == 1


def test_close_of_an_unused_lease_runs_nothing() -> None:
    resource = Resource()
    lease = Lease(Client(), resource.clean)
    lease.close()
    assert resource.times == 0
    assert loop_threads() == []
    with pytest.raises(ClientClosedError, match="the Client is closed"):
        lease.run(answer)


def test_a_closed_lease_refuses_calls() -> None:
    lease = Lease(Client(), nothing)
    lease.run(nothing)
    lease.close()
    with pytest.raises(ClientClosedError, match="the Client is closed"):
        lease.run(answer)


def test_an_error_of_the_cleanup_is_raised_and_the_lease_is_closed_all_the_same() -> None:
    async def fail() -> None:
        raise OSError("cannot close")

    lease = Lease(Client(), fail)
    lease.run(nothing)
    with pytest.raises(OSError, match="cannot close"):
        lease.close()
    lease.close()
    assert loop_threads() == []


def test_closing_the_last_lease_ends_calls_of_other_threads() -> None:
    lease = Lease(Client(), nothing)
    started = threading.Event()
    seen: list[str] = []

    async def endless() -> None:
        started.set()
        try:
            await asyncio.Event().wait()
        finally:
            await asyncio.sleep(0)
            seen.append("cleaned up")

    def call() -> None:
        try:
            lease.run(endless)
        except ClientClosedError as error:
            seen.append(str(error))

    thread = threading.Thread(target=call)
    thread.start()
    started.wait()
    lease.close()
    thread.join()
    assert seen == ["cleaned up", "the Client was closed during the call"]


def test_many_threads_may_close_at_once() -> None:
    for _ in range(20):
        resource = Resource()
        lease = Lease(Client(), resource.clean)
        lease.run(nothing)
        threads = [threading.Thread(target=lease.close) for _ in range(THREADS)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert resource.times == 1
    assert loop_threads() == []


def test_calls_and_closes_of_many_threads_lose_nobody() -> None:
    def work() -> None:
        for _ in range(50):
            lease = Lease(Client(), nothing)
            assert lease.run(answer) == 42
            lease.close()

    threads = [threading.Thread(target=work) for _ in range(THREADS)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert loop_threads() == []


def test_a_call_that_refuses_to_end_does_not_keep_its_caller(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(_portal, "_PATIENCE", 0.1)
    lease = Lease(Client(), nothing)
    started = threading.Event()
    seen: list[str] = []

    async def stubborn() -> None:
        started.set()
        while True:
            with contextlib.suppress(asyncio.CancelledError):
                await asyncio.Event().wait()

    def call() -> None:
        try:
            lease.run(stubborn)
        except ClientClosedError as error:
            seen.append(str(error))

    thread = threading.Thread(target=call)
    thread.start()
    started.wait()
    lease.close()
    thread.join()
    assert seen == ["the Client was closed during the call"]


def test_a_call_that_meets_a_close_ends_in_one_way_or_the_other(
    caplog: pytest.LogCaptureFixture,
) -> None:
    for _ in range(30):
        lease = Lease(Client(), nothing)
        calling = threading.Barrier(5)

        def call(lease: Lease = lease, calling: threading.Barrier = calling) -> None:
            lease.run(nothing)
            calling.wait()
            with contextlib.suppress(ClientClosedError):
                while True:
                    assert lease.run(answer) == 42

        threads = [threading.Thread(target=call) for _ in range(4)]
        for thread in threads:
            thread.start()
        calling.wait()
        lease.close()
        for thread in threads:
            thread.join()
    assert loop_threads() == []
    # Nor does a call begin on a loop that is about to be closed.
    assert caplog.messages == []


def test_the_threads_of_the_loops_executor_end_with_it() -> None:
    before = threading.active_count()
    lease = Lease(Client(), nothing)

    async def elsewhere() -> int:
        return await asyncio.get_running_loop().run_in_executor(None, threading.get_ident)

    assert lease.run(elsewhere) != lease.run(thread_id)
    lease.close()
    assert threading.active_count() == before


def test_a_loop_that_was_stopped_from_within_ends_calls_and_is_replaced() -> None:
    lease = Lease(Client(), nothing)

    async def stop() -> None:
        asyncio.get_running_loop().stop()
        await asyncio.Event().wait()

    with pytest.raises(ClientClosedError):
        lease.run(stop)
    with pytest.raises(ClientClosedError):
        lease.run(answer)
    lease.close()
    other = Lease(Client(), nothing)
    assert other.run(answer) == 42
    other.close()


# ------------------------------------------------------------------------------------- collection


def test_a_collected_lease_is_warned_of_and_cleaned_up_and_the_thread_ends() -> None:
    resource = Resource()
    lease = Lease(Client(), resource.clean)
    lease.run(nothing)
    (thread,) = loop_threads()
    with pytest.warns(ResourceWarning, match="unclosed Client"):
        del lease
    assert resource.cleaned.wait(HANG)
    thread.join(HANG)
    assert not thread.is_alive()


def test_a_lease_in_a_cycle_is_cleaned_up() -> None:
    resource = Resource()
    client = Client()
    lease = Lease(client, resource.clean)
    vars(client).update(lease=lease, client=client)
    lease.run(nothing)
    (thread,) = loop_threads()
    del client, lease
    with pytest.warns(ResourceWarning, match="unclosed Client"):
        gc.collect()
    assert resource.cleaned.wait(HANG)
    thread.join(HANG)
    assert not thread.is_alive()


def test_a_lease_may_be_collected_on_the_loop(lease: Lease) -> None:
    times = 0
    cleaned: list[asyncio.Event] = []

    async def clean() -> None:
        nonlocal times
        times += 1
        cleaned[0].set()

    leases = [Lease(Client(), clean)]
    leases[0].run(nothing)

    async def drop() -> None:
        cleaned.append(asyncio.Event())
        with warnings.catch_warnings(record=True) as caught:
            warnings.simplefilter("always")
            leases.clear()
            gc.collect()
        assert [str(warning.message) for warning in caught if "Client" in str(warning.message)]
        await cleaned[0].wait()

    lease.run(drop)
    assert times == 1


def test_an_unused_lease_is_collected_without_a_word() -> None:
    resource = Resource()
    lease = Lease(Client(), resource.clean)
    del lease
    gc.collect()
    assert resource.times == 0


# -------------------------------------------------------------- processes: interrupts, forks, exits


def start(script: str, *arguments: str) -> "subprocess.Popen[str]":
    return subprocess.Popen(
        [sys.executable, "-X", "dev", "-W", "error", SCRIPTS / f"{script}.py", *arguments],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env={**os.environ, "PYTHONPATH": str(SCRIPTS.parents[2])},
        start_new_session=True,
    )


def run(script: str, *arguments: str) -> tuple[list[str], str]:
    """Return what the script printed, once it has ended well."""
    with start(script, *arguments) as process:
        try:
            output, errors = process.communicate(timeout=HANG)
        except subprocess.TimeoutExpired:
            # Forked children would keep the pipes open.
            os.killpg(process.pid, signal.SIGKILL)
            raise
    assert process.returncode == 0, errors
    return output.splitlines(), errors


def interrupt(kind: str, patience: int, times: int) -> list[str]:
    """Send interrupts, each when the one before was seen, and return what the script printed."""
    lines: list[str] = []
    # The second one comes when the coroutine is being cancelled.
    triggers = ["running", "cancelled", "interrupt 2"][:times]
    with start("interrupted", kind, str(patience)) as process:
        guard = threading.Timer(HANG, process.kill)
        guard.start()
        try:
            assert process.stdout is not None
            for line in map(str.strip, process.stdout):
                lines.append(line)
                if triggers and line == triggers[0]:
                    del triggers[0]
                    process.send_signal(signal.SIGINT)
            errors = process.communicate()[1]
        finally:
            guard.cancel()
    assert process.returncode == 0, errors
    assert errors == ""
    return lines


@pytest.mark.parametrize("kind", ["KeyboardInterrupt", "Stop"])
def test_an_interrupt_cancels_the_call_and_comes_after_its_cleanup(kind: str) -> None:
    assert interrupt(kind, patience=1, times=1) == [
        "running",
        "interrupt 1",
        "cancelled",
        "cleaned up",
        f"raised {kind}",
        "main run",
        "answer 42",
    ]


def test_a_second_interrupt_changes_nothing() -> None:
    assert interrupt("KeyboardInterrupt", patience=2, times=2) == [
        "running",
        "interrupt 1",
        "cancelled",
        "interrupt 2",
        "cleaned up",
        "raised KeyboardInterrupt",
        "main run",
        "answer 42",
    ]


def test_a_third_interrupt_gets_out_of_a_call_that_refuses_to_end() -> None:
    assert interrupt("KeyboardInterrupt", patience=4, times=3) == [
        "running",
        "interrupt 1",
        "cancelled",
        "interrupt 2",
        "interrupt 3",
        "raised KeyboardInterrupt",
        "main run",
        "cleaned up",
        "answer 42",
    ]


def test_interrupts_at_any_moment_do_no_harm() -> None:
    assert run("interrupted_anywhere") == (["unharmed"], "")


def test_a_forked_child_has_a_thread_of_its_own_and_leaves_the_parents_alone() -> None:
    assert run("forked") == (
        [
            (
                "this Client was used before the fork and works in the parent process only: "
                "make a new Client in the child"
            ),
            "collected: True",
            r"child: b'alive\n'",
            "closed",
            "child: 1 thread",
            "child ended with 7",
            r"parent: b'alive\n'",
            "closed",
        ],
        "",
    )


def test_a_fork_while_other_threads_are_at_work_does_not_hang_the_child() -> None:
    assert run("forked_at_work") == (["{7}"], "")


@pytest.mark.parametrize(
    ("situation", "output"),
    [
        ("unused", []),
        ("used", ["cleaned"]),
        ("several", ["cleaned", "cleaned"]),
        ("in_cycle", ["cleaned"]),
        ("collected", ["cleaned"]),
        ("executor_used", ["cleaned"]),
        ("call_in_daemon_thread", ["cleaned"]),
        ("calls_in_daemon_threads", ["cleaned"]),
        ("thread_outlives_main", ["42", "cleaned"]),
        ("cleanup_without_end", []),
        ("cleanup_that_refuses", []),
        ("loop_blocked", []),
    ],
)
def test_the_interpreter_exits_without_a_close(situation: str, output: list[str]) -> None:
    assert run("exited", situation) == (output, "")


def test_a_collected_lease_is_cleaned_up_where_warnings_are_errors() -> None:
    output, errors = run("collected")
    assert output == ["cleaned"]
    assert "ResourceWarning: unclosed Client" in errors
