"""What only a whole process can show of the sync client: Ctrl-C, fork, exit, threads that stay."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import textwrap
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Final

import pytest

from registry_async.sandbox import Sandbox
from tests.support.faults import Behaviour, FaultServer, Hang, Reply
from tests.support.wire import SeenRequest, in_thread

# From Python 3.12 on, every fork of a process with threads is warned of.
STRICT: Final = (
    "-X",
    "dev",
    "-W",
    "error",
    "-W",
    "ignore:This process:DeprecationWarning",
)
TIME_LIMIT: Final = 60
EMPTY: Final = Reply.json({"registries": [], "totalCount": 0})
REGISTRIES: Final = Reply.json(
    {
        "registries": [
            {
                "id": "1",
                "name": "one",
                "status": "ACTIVE",
                "size": 1,
                "createdAt": "2025-01-02T03:04:05Z",
            }
        ],
        "totalCount": 1,
    }
)
HEAD: Final = """
import os, sys, threading
from registry_async import *
from registry_async import sync

def make(**options):
    return RegistryClient(token=sys.argv[2], base_url=sys.argv[1], **options)

def say(text):
    # In one write: a parent and its child speak through the same pipe.
    os.write(1, f"{text}\\n".encode())
"""


def start(program: str, base_url: str, token: str = "t") -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, *STRICT, "-c", HEAD + textwrap.dedent(program), base_url, token],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def end(process: subprocess.Popen[str]) -> str:
    """Wait for the process to end well, and give what it said."""
    try:
        output, errors = process.communicate(timeout=TIME_LIMIT)
    except subprocess.TimeoutExpired:
        process.kill()
        output, errors = process.communicate()
        pytest.fail(f"it hung after {output!r}: {errors}")
    assert (process.returncode, errors) == (0, ""), output
    return output


def run(program: str, sandbox: Sandbox) -> str:
    return end(start(program, sandbox.base_url, sandbox.token))


@contextmanager
def sandbox_of(registries: int = 1) -> Iterator[Sandbox]:
    with Sandbox(seed=False) as sandbox:
        for number in range(registries):
            registry = sandbox.state.add_registry(f"registry-{number}")
            for name in ("app", "team/app"):
                sandbox.state.add_image(
                    sandbox.state.add_repository(registry, name), tags=["latest"]
                )
        yield sandbox


INTERRUPTED: Final = {
    "a call": "client.registries.get('slow')",
    "a page": "list(client.registries.list())",
    "a collection": "client.registries.list().collect()",
    "a scan": """
    with client.scan() as scan:
        list(scan)
    """,
    "a report": "client.scan_report()",
    "a request by hand": "client.request('GET', '/v2/registries')",
    "a back-off": "client.with_options(retry=RetryPolicy(base_delay=30)).registries.get('gone')",
}


@pytest.mark.parametrize("what", INTERRUPTED)
def test_ctrl_c_ends_the_request_and_leaves_the_client_usable(what: str) -> None:
    def handler(request: SeenRequest) -> Behaviour:
        if request.index:
            return EMPTY
        return Reply(503) if "gone" in request.target else Hang()

    body = textwrap.indent(textwrap.dedent(INTERRUPTED[what]).strip(), " " * 8)
    program = f"""
client = make()
def act():
    try:
{body}
    except KeyboardInterrupt:
        return "interrupted"
    return "went on"
say(act())
say(client.registries.list().count())
client.close()
"""
    with in_thread(FaultServer(handler=handler)) as (server, portal):
        process = start(program, server.base_url)
        portal.call(server.wait_for_requests, 1)
        process.send_signal(signal.SIGINT)
        if what != "a back-off":
            # The server sees the request go away, while the program still runs.
            portal.call(server.client_left.wait)
        assert end(process).splitlines() == ["interrupted", "0"]


def test_ctrl_c_that_nobody_catches_ends_the_program_with_a_short_traceback() -> None:
    program = """
with make() as client:
    client.registries.get("slow")
"""
    with in_thread(FaultServer(Hang())) as (server, portal):
        process = start(program, server.base_url)
        portal.call(server.wait_for_requests, 1)
        process.send_signal(signal.SIGINT)
        portal.call(server.client_left.wait)
        _, errors = process.communicate(timeout=TIME_LIMIT)
    assert process.returncode in (-signal.SIGINT, 1)
    lines = errors.splitlines()
    assert lines[-1] == "KeyboardInterrupt"
    frames = [line for line in lines if line.startswith("  File ")]
    assert 'File "<string>"' in frames[0]
    # The user's line, the method, and the wait: nothing of the event loop.
    assert len(frames) <= 5
    assert not any(library in errors for library in ("asyncio", "aiohttp", "anyio"))


@pytest.mark.skipif(not hasattr(os, "fork"), reason="no fork here")
def test_a_forked_child_is_told_what_to_do_and_its_own_client_works() -> None:
    program = """
client = make()
assert client.registries.list().count() == 2
pid = os.fork()
if pid == 0:
    for attempt in (client.registries.list().first, client.scan().__enter__):
        try:
            attempt()
        except RuntimeError as error:
            say(str(error))
    client.close()
    with make() as mine:
        say(f"child {len(mine.registries.list().collect())}")
    sys.exit(0)
assert os.waitpid(pid, 0)[1] == 0
say(f"parent {client.registries.list().count()}")
client.close()
"""
    with sandbox_of(2) as sandbox:
        lines = run(program, sandbox).splitlines()
    assert len(lines) == 4
    for line in lines[:2]:
        assert "fork" in line
        assert "make a new RegistryClient" in line
    assert lines[2:] == ["child 2", "parent 2"]


@pytest.mark.skipif(not hasattr(os, "fork"), reason="no fork here")
def test_a_child_that_ends_without_a_word_does_not_disturb_the_parent() -> None:
    program = """
client = make()
client.registries.list().count()
for _ in range(5):
    pid = os.fork()
    if pid == 0:
        sys.exit(0)
    assert os.waitpid(pid, 0)[1] == 0
    assert client.registries.list().count() == 1
client.close()
say("fine")
"""
    with sandbox_of() as sandbox:
        assert run(program, sandbox) == "fine\n"


@pytest.mark.skipif(not hasattr(os, "fork"), reason="no fork here")
def test_a_client_that_was_not_used_yet_works_in_the_child() -> None:
    program = """
client = make()
pid = os.fork()
say(f"{'child' if pid == 0 else 'parent'} {client.registries.list().count()}")
client.close()
if pid:
    assert os.waitpid(pid, 0)[1] == 0
"""
    with sandbox_of() as sandbox:
        assert sorted(run(program, sandbox).splitlines()) == ["child 1", "parent 1"]


@pytest.mark.skipif(not hasattr(os, "fork"), reason="no fork here")
def test_workers_of_a_pool_make_clients_of_their_own() -> None:
    program = """
import multiprocessing

def count(_):
    with make() as client:
        return client.registries.list().count()

with make() as client:
    client.registries.list().count()
    context = multiprocessing.get_context("fork")
    with context.Pool(2) as pool:
        say(sum(pool.map(count, range(6))))
"""
    with sandbox_of(3) as sandbox:
        assert run(program, sandbox) == "18\n"


EXITS: Final = {
    "unused": "client = make()",
    "used and forgotten": "client = make()\nsay(client.registries.list().count())",
    "in a module's namespace": """
import types
holder = types.ModuleType("holder")
sys.modules["holder"] = holder
holder.client = make()
say(holder.client.registries.list().count())
""",
    "within with": """
with make() as client:
    client.registries.list().count()
    sys.exit(0)
""",
    "in the middle of a list": """
client = make()
items = iter(client.registries.list(page_size=1))
next(items)
""",
    "in the middle of a scan": """
client = make()
scan = client.scan(concurrency=2, page_size=1)
scan.__enter__()
next(scan.batches())
""",
    "in a thread": """
client = make()
thread = threading.Thread(target=lambda: client.registries.list().count())
thread.start()
thread.join()
""",
    "in a generator that was left": """
def found():
    with make() as client, client.scan(page_size=1) as scan:
        yield from scan
left = found()
next(left)
""",
    "in the middle of a daemon thread's calls": """
client = make()
called = threading.Event()
def work():
    while True:
        client.registries.list().count()
        called.set()
threading.Thread(target=work, daemon=True).start()
called.wait()
""",
    "two clients": "for each in (clients := [make(), make()]): each.registries.list().count()",
    "in an exit handler": """
import atexit
client = make()
atexit.register(lambda: say(client.registries.list().count()))
client.registries.list().count()
""",
}


@pytest.mark.parametrize("how", EXITS)
def test_the_interpreter_ends_in_silence_without_close(how: str) -> None:
    with sandbox_of(3) as sandbox:
        run(EXITS[how], sandbox)


def test_the_interpreter_ends_while_a_thread_waits_for_an_answer() -> None:
    program = """
client = make()
threading.Thread(target=lambda: client.registries.get("slow"), daemon=True).start()
sys.stdin.readline()
"""
    with in_thread(FaultServer(Hang())) as (server, portal):
        process = subprocess.Popen(
            [sys.executable, "-c", HEAD + program, server.base_url, "t"],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        portal.call(server.wait_for_requests, 1)
        process.communicate("\n", timeout=TIME_LIMIT)
        assert process.returncode == 0
        portal.call(server.client_left.wait)


def test_a_thousand_clients_leave_no_thread_and_no_connection_behind() -> None:
    program = """
def sockets():
    return sum(os.readlink(f"/proc/self/fd/{fd}").startswith("socket")
               for fd in os.listdir("/proc/self/fd") if os.path.exists(f"/proc/self/fd/{fd}"))

most = 0
for number in range(1000):
    with make() as client:
        if number % 10 == 0:
            client.registries.list(page_size=1).first()
    most = max(most, threading.active_count())
say(most)
say([thread.name for thread in threading.enumerate()])
if sys.platform == "linux":
    assert sockets() == 0, sockets()

kept = [make() for _ in range(1000)]
for client in kept[::50]:
    client.registries.list(page_size=1).first()
say(threading.active_count())
for client in kept:
    client.close()
say(threading.active_count())
"""
    with sandbox_of() as sandbox:
        lines = run(program, sandbox).splitlines()
    # One thread while the client is used, and at most one more of asyncio's own for look-ups.
    assert int(lines[0]) <= 3
    assert lines[1] == "['MainThread']"
    assert int(lines[2]) <= 3
    assert lines[3] == "1"


def test_a_collected_client_warns_with_its_name_and_lets_go_of_the_thread() -> None:
    program = """
import gc, warnings
with warnings.catch_warnings(record=True) as caught:
    warnings.simplefilter("always")
    client = make()
    client.registries.list().count()
    thread, = (each for each in threading.enumerate() if each.name == "registry_async")
    del client
    gc.collect()
    thread.join()
say([f"{type(each.message).__name__}: {each.message}" for each in caught])
"""
    with sandbox_of() as sandbox:
        output = run(program, sandbox)
    assert output == "[\"ResourceWarning: unclosed RegistryClient: use 'with' or close()\"]\n"


@pytest.mark.parametrize(
    "call",
    [
        "client.registries.list().count()",
        "client.registries.list().collect()",
        "client.scan_report()",
        "client.tokens.list().first()",
    ],
)
def test_a_fork_during_the_first_call_finds_no_import_under_way(call: str) -> None:
    # An import that another thread has begun never ends in a forked child, and who needs the
    # module there hangs. So the loop's thread imports nothing.
    program = f"""
    client = make()

    class Finder:
        def find_spec(self, name, path=None, target=None):
            if threading.current_thread() is not threading.main_thread():
                say(f"imports {{name}}")

    sys.meta_path.insert(0, Finder())
    {call}
    say("called")
    client.close()
    """
    with sandbox_of() as sandbox:
        assert run(program, sandbox).splitlines() == ["called"]


@pytest.mark.xfail(strict=False, reason="the second signal may come before the scan has ended")
def test_a_second_ctrl_c_while_leaving_a_scan_does_not_leave_it_running() -> None:
    # The callback holds up the loop, so that the interrupt comes before the scan's end has begun
    # there. It goes on when the main thread waits again.
    program = """
    import signal

    main = threading.main_thread().ident
    held, leaving, interrupted, waits = (threading.Event() for _ in range(4))

    def interrupt(number, frame):
        interrupted.set()
        raise KeyboardInterrupt

    def look(number, frame):
        if interrupted.is_set() and frame.f_code.co_name == "wait":
            waits.set()

    signal.signal(signal.SIGINT, interrupt)
    signal.signal(signal.SIGUSR1, look)

    def hold_up(progress):
        held.set()
        if leaving.wait(30) and not interrupted.is_set():
            signal.pthread_kill(main, signal.SIGINT)
            while not waits.wait(0.01):
                signal.pthread_kill(main, signal.SIGUSR1)

    def count():
        try:
            next(scan)
        except RuntimeError as error:
            say("ended" if "block" in str(error) else str(error))

    client = make()
    scan = client.scan(concurrency=2, page_size=1, on_progress=hold_up)
    try:
        with scan:
            threading.Thread(target=count, daemon=True).start()
            held.wait(30)
            leaving.set()
    except KeyboardInterrupt:
        say("interrupted")
    async def tasks():
        import asyncio
        return len([task for task in asyncio.all_tasks() if "Workers" in str(task.get_coro())])
    say(client._lease.run(tasks))
    client.close()
    """
    with sandbox_of(registries=20) as sandbox:
        assert sorted(run(program, sandbox).splitlines()) == ["0", "ended", "interrupted"]
        lists = [record for record in sandbox.requests if "repositories" in record.raw_path]
        assert len(lists) <= 4
