"""The event-loop thread under the sync client: one for all sync clients of a process.

A sync client holds a `Lease`. The thread starts with the first call of the first lease and ends
with the last lease. What must not be torn apart by Ctrl-C (to give back a lease, to stop the
loop) happens on the loop's thread, where Python never raises it.
"""

import asyncio
import atexit
import contextlib
import math
import os
import sys
import threading
import warnings
import weakref
from collections.abc import Awaitable, Callable
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from importlib import import_module
from types import TracebackType
from typing import Any, Final, Generic, ParamSpec, TypeAlias, TypeVar, cast

from registry_async.errors import ClientClosedError, ContainerRegistryError

__all__ = ["Cleaning", "Lease"]

P = ParamSpec("P")
T = TypeVar("T")

Cleanup: TypeAlias = Callable[[], Awaitable[None]]

# How many seconds the end of the interpreter, or of a thread, may take where nobody could
# interrupt it. Connections close much faster.
_PATIENCE: Final = 5.0
# How many seconds a wait lasts before it begins anew. Windows does not interrupt a wait for a
# lock, and elsewhere a signal that comes just before the wait begins is not seen within it.
_WAIT: Final = 0.1 if sys.platform == "win32" else 0.5
_NOTHING: Final = object()
_PLUMBING: Final = frozenset({"asyncio", "anyio", "concurrent"})
_PACKAGE: Final = __name__.partition(".")[0]


class Cleaning(Generic[P, T]):
    """A coroutine function that Ctrl-C does not cancel, since it ends what others began.

    Args:
        function: The coroutine function.
    """

    def __init__(self, function: Callable[P, Awaitable[T]]) -> None:
        self._function = function

    def __call__(self, *args: P.args, **kwargs: P.kwargs) -> Awaitable[T]:
        return self._function(*args, **kwargs)


class _Call:
    """One coroutine on the loop, and what it came to."""

    __slots__ = ("_cancelling", "_cleans", "_done", "_start", "_task", "error", "result", "thread")

    def __init__(
        self, thread: "_LoopThread", start: Callable[[], Awaitable[object]], cleans: bool
    ) -> None:
        self.result: object = _NOTHING
        self.error: BaseException | None = None
        # A bare lock is the cheapest thing that a thread can wait for.
        self._done = threading.Lock()
        self._done.acquire()
        self.thread = thread
        self._start: Callable[[], Awaitable[object]] | None = start
        self._task: asyncio.Task[None] | None = None
        self._cleans = cleans
        self._cancelling = False

    def begin(self) -> None:
        """Start the coroutine, unless it was; on the loop's thread."""
        if self.thread.closing:
            self.end()
            return
        if self._start is None or self._task is not None:
            return
        self._task = self.thread.loop.create_task(self._drive())
        # A task that is cancelled before its first step runs nothing of the coroutine, so the
        # waiting thread is not woken from there.
        self._task.add_done_callback(self.end)

    async def _drive(self) -> None:
        start, self._start = self._start, None
        assert start is not None
        try:
            self.result = await start()
        except BaseException as error:  # noqa: BLE001 - it belongs to the thread that waits
            # Neither a task nor a future could carry every exception: StopIteration is refused,
            # SystemExit would end the loop. Nobody asks for the one of a call that was given up.
            if not self._cancelling:
                self.error = error
        # Now rather than in the task's callback, so that the other thread wakes up meanwhile.
        self.end()

    def cancel(self) -> None:
        """Cancel the coroutine; on the loop's thread."""
        if self._cancelling:
            return
        self._cancelling = True
        if self._task is None:
            # Callbacks run in order: the interrupt came before `begin` was even scheduled.
            self.end()
        else:
            self._task.cancel()

    def end(self, _: object = None) -> None:
        """Wake the thread that waits; on the loop's thread."""
        # The weak references of asyncio to the task are not to be called in a thread that can be
        # interrupted.
        self._task = None
        if self in self.thread.calls:
            self.thread.calls.discard(self)
            self._done.release()

    def wait(self) -> None:
        """Wait for the end; on the thread that called."""
        while not self._done.acquire(True, _WAIT):
            continue

    def abandon(self) -> None:
        """Cancel the coroutine and wait for its end; on the thread that called."""
        if self._cleans and self._start is not None:
            # The interrupt came before the call was registered, or before it has begun.
            self.thread.submit(self)
        # Not even registered when the interrupt came, or ended: there is nothing to wait for.
        if self in self.thread.calls:
            if not self._cleans and not self._cancelling:
                self.thread.schedule(self.cancel)
            self.wait()


class _LoopThread:
    """A thread that runs an event loop until nobody leases it any more.

    It refers to all that lives on the loop. In a forked child, where the thread is gone, its
    stack keeps all of that from being collected: connections that are closed there would be
    taken out of the parent's selector, too.
    """

    def __init__(self) -> None:
        self.pid = os.getpid()
        self.closing = False
        self.calls: set[_Call] = set()
        self.leases: dict[object, Cleanup] = {}
        self._cleaning: set[asyncio.Task[None]] = set()
        self.loop = asyncio.new_event_loop()
        # The loop's own way of ending its executor starts a thread, which Python 3.12 refuses
        # at the exit of the interpreter.
        self._executor = ThreadPoolExecutor(thread_name_prefix="registry_async")
        self.loop.set_default_executor(self._executor)
        # Only what runs for this package waits here: in debug mode, that a page took long to
        # decode on a slow machine is no news for standard error.
        self.loop.slow_callback_duration = math.inf
        self._thread = threading.Thread(target=self._run, name="registry_async", daemon=True)
        try:
            self._thread.start()
        except RuntimeError:
            self.loop.close()
            raise
        except BaseException:
            self.loop.call_soon_threadsafe(self.loop.stop)
            raise

        self.ident = self._thread.ident

    def submit(self, call: _Call) -> bool:
        """Start a call; returns False when the loop is about to end."""
        with _portal.lock:
            if self.closing:
                return False
            self.calls.add(call)
            self.loop.call_soon_threadsafe(call.begin)
            return True

    def schedule(self, function: Callable[..., object], *args: object) -> None:
        """Have a function called on the loop, unless that is about to end and sees to all."""
        with _portal.lock:
            if not self.closing:
                self.loop.call_soon_threadsafe(function, *args)

    def join(self, timeout: float) -> None:
        """Wait for the thread's end."""
        self._thread.join(timeout)

    def finish(self, token: object, timeout: float | None) -> "asyncio.Task[None] | None":
        """Clean up after a lease and give it back; on the loop's thread."""
        cleanup = self.leases.pop(token, None)
        if cleanup is None:
            return None
        task = self.loop.create_task(_clean(cleanup, timeout))
        self._cleaning.add(task)
        task.add_done_callback(self._finished)
        return task

    def _finished(self, task: asyncio.Task[None]) -> None:
        self._cleaning.discard(task)
        with _portal.lock:
            if not self.leases and not self._cleaning:
                self._refuse()
                self.loop.stop()

    def finish_all(self) -> None:
        """Clean up after all leases at the interpreter's exit; on the loop's thread."""
        self._refuse()
        for token in list(self.leases):
            self.finish(token, _PATIENCE)
        if not self._cleaning:
            self.loop.stop()

    def _refuse(self) -> None:
        with _portal.lock:
            self.closing = True
            _portal.forget(self)

    def _run(self) -> None:
        try:
            self.loop.run_forever()
        finally:
            self._refuse()
            try:
                self.loop.run_until_complete(self._shut_down())
                self._executor.shutdown(cancel_futures=True)
            finally:
                self.loop.close()
                for call in list(self.calls):
                    call.end()

    async def _shut_down(self) -> None:
        tasks = asyncio.all_tasks() - {asyncio.current_task()}
        for task in tasks:
            task.cancel()
        if tasks:
            await asyncio.wait(tasks, timeout=_PATIENCE)
        await self.loop.shutdown_asyncgens()


async def _clean(cleanup: Cleanup, timeout: float | None) -> None:
    with contextlib.suppress(TimeoutError):
        async with asyncio.timeout(timeout):
            await cleanup()


class _Portal:
    """The one loop thread of this process."""

    def __init__(self) -> None:
        # The garbage collector and signal handlers may call in while this thread has it.
        self.lock = threading.RLock()
        self._thread: _LoopThread | None = None
        self._exiting = False

    def thread(self) -> _LoopThread:
        """Return the thread, started if there is none; under the lock."""
        if self._thread is None:
            self.end_daemon()
            self._thread = _LoopThread()
        return self._thread

    def forget(self, thread: _LoopThread) -> None:
        """Have the next lease start another thread; under the lock."""
        if self._thread is thread:
            self._thread = None

    def begin_anew(self) -> None:
        """Forget the parent's thread, and a lock that another of its threads had, in a child."""
        self.lock = threading.RLock()
        self._thread = None
        self._exiting = False

    def end_daemon(self) -> None:
        """End the calling thread if it is a daemon thread and the interpreter exits.

        Python stops such threads without a word wherever they are. One that learnt of a closed
        client instead would tell standard error.
        """
        if self._exiting and threading.current_thread().daemon:
            raise SystemExit

    def exit(self) -> None:
        """End the thread at the interpreter's exit, in good order if that takes no longer."""
        self._exiting = True
        thread = self._thread
        if thread is not None:
            thread.schedule(thread.finish_all)
            thread.join(2 * _PATIENCE)


# anyio loads its backend when it is first used, which would be on the loop's thread. A process that
# is forked at that moment leaves its child with an import that never ends.
import_module("anyio._backends._asyncio")

# The one piece of module-level state in the package: what serves a whole process is one for it.
_portal: Final = _Portal()
atexit.register(_portal.exit)
if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_portal.begin_anew)


class Lease:
    """The right to run coroutines on the loop's thread, which lives as long as anyone has it.

    Many threads may use one lease at once, whether or not they run event loops of their own.

    Args:
        owner: The object whose life the lease has. It is not kept: errors and warnings name its
            class.
        cleanup: What to run on the loop when the lease is closed or collected, or when the
            interpreter exits: once, and only if the lease was used. It must not refer to the
            owner, which would then never be collected.
    """

    def __init__(self, owner: object, cleanup: Cleanup) -> None:
        self._name = type(owner).__name__
        self._cleanup = cleanup
        self._closed = False
        self._thread: _LoopThread | None = None
        self._token = object()
        self._finalizer: weakref.finalize[Any, Any] | None = None

    def run(self, function: Callable[P, Awaitable[T]], /, *args: P.args, **kwargs: P.kwargs) -> T:
        """Run a coroutine function on the loop and return what it returns.

        It runs with the context variables of the caller. Ctrl-C cancels it (unless it is wrapped
        as `Cleaning`), waits until it has ended and is raised then; a second one changes nothing,
        a third one stops waiting.

        Raises:
            ClientClosedError: The lease was closed.
            RuntimeError: This is the loop's own thread, or a forked child of the process that
                used the lease.
        """
        thread = self._enter()
        call = _Call(thread, partial(function, *args, **kwargs), isinstance(function, Cleaning))
        # This frame is part of tracebacks, and arguments may be secrets.
        del function, args, kwargs
        error: BaseException | None
        try:
            if thread.submit(call):
                call.wait()
            error, call.error = call.error, None
        except BaseException as interrupt:  # noqa: BLE001 - raised below
            error = interrupt
            # The first interrupt cancels the call, the second one may be impatience. Whoever
            # insists gets out even where a coroutine does not let itself be cancelled. No loop
            # and no call between: these could be interrupted where nothing catches it.
            try:
                call.abandon()
            except BaseException as second:  # noqa: BLE001 - the first of a kind is raised
                error = error if second.__class__ is error.__class__ else second
                try:
                    call.abandon()
                except BaseException as third:  # noqa: BLE001 - the first of a kind is raised
                    error = error if third.__class__ is error.__class__ else third
        if error is None and call.result is not _NOTHING:
            return cast(T, call.result)
        if error is None or (thread.closing and isinstance(error, asyncio.CancelledError)):
            error = ClientClosedError(f"the {self._name} was closed during the call")
        if isinstance(error, ClientClosedError):
            _portal.end_daemon()
        try:
            is_ours = isinstance(error, ContainerRegistryError)
            raise error.with_traceback(_trimmed(error.__traceback__, is_ours=is_ours))
        finally:
            # The error refers to this frame, which must not refer to the error.
            del error, call

    def check_open(self) -> None:
        """Raise `ClientClosedError` if the lease was closed."""
        if self._closed:
            raise ClientClosedError(f"the {self._name} is closed")

    def close(self) -> None:
        """Run the cleanup and give the lease back; twice is the same as once.

        The last lease ends the thread. In a forked child nothing happens.

        Raises:
            RuntimeError: This is the loop's own thread.
        """
        with _portal.lock:
            thread = self._thread
            if thread is None:
                self._closed = True
        if self._closed or thread is None or thread.pid != os.getpid():
            return
        try:
            # Another thread may be closing it, too, or the interpreter may be exiting.
            with contextlib.suppress(ClientClosedError):
                self.run(self._finish, thread)
        finally:
            if thread.closing:
                thread.join(_PATIENCE)

    async def _finish(self, thread: _LoopThread) -> None:
        self._closed = True
        if self._finalizer is not None:
            self._finalizer.detach()
        task = thread.finish(self._token, None)
        if task is not None:
            await task

    def _enter(self) -> _LoopThread:
        thread = self._thread
        if thread is None or self._closed:
            thread = self._start()
        if thread.pid != os.getpid():
            raise RuntimeError(
                f"this {self._name} was used before the fork and works in the parent process "
                f"only: make a new {self._name} in the child"
            )
        if thread.ident == threading.get_ident():
            raise RuntimeError(
                f"the {self._name} was called on its own event loop, which would wait for itself "
                f"for ever: await the async client there"
            )
        return thread

    def _start(self) -> _LoopThread:
        with _portal.lock:
            if self._closed:
                raise ClientClosedError(f"the {self._name} is closed")
            if self._thread is None:
                thread = _portal.thread()
                self._finalizer = weakref.finalize(
                    self, _collected, self._name, thread, self._token
                )
                self._finalizer.atexit = False
                thread.leases[self._token] = self._cleanup
                self._thread = thread
            return self._thread


def _collected(name: str, thread: _LoopThread, token: object) -> None:
    """Have the loop clean up after a lease.

    The garbage collector calls this in any thread, whatever that is doing and whichever lock it
    has: nothing here waits.
    """
    if thread.closing or thread.pid != os.getpid():
        return
    # First of all: where warnings are errors, nothing comes after the warning. The loop is closed
    # only if the interpreter exits at this moment.
    with contextlib.suppress(RuntimeError):
        thread.loop.call_soon_threadsafe(thread.finish, token, _PATIENCE)
    warnings.warn(f"unclosed {name}: use 'with' or close()", ResourceWarning, stacklevel=2)


def _trimmed(traceback: TracebackType | None, *, is_ours: bool) -> TracebackType | None:
    """Return a traceback without the frames that carry calls across the threads.

    Args:
        traceback: The traceback.
        is_ours: Whether the error is one that the package raises on purpose. How it came to that
            says nothing to users: the package's own frames go, too, and those of others stay.
    """
    hidden = {*_PLUMBING, _PACKAGE} if is_ours else _PLUMBING
    steps: list[TracebackType] = []
    while traceback is not None:
        module: str = traceback.tb_frame.f_globals.get("__name__", "")
        if module != __name__ and module.partition(".")[0] not in hidden:
            steps.append(traceback)
        traceback = traceback.tb_next
    trimmed = None
    for step in reversed(steps):
        # An interrupt may strike in bytecode that belongs to no line: the line is None then.
        line = step.tb_lineno or step.tb_frame.f_code.co_firstlineno
        trimmed = TracebackType(trimmed, step.tb_frame, step.tb_lasti, line)
    return trimmed
