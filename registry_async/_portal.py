"""The event-loop thread under the sync client: one for all sync clients of a process."""

import asyncio
import atexit
import contextvars
import os
import threading
import warnings
import weakref
from collections.abc import Awaitable, Callable, Coroutine
from typing import Any, Final, Generic, ParamSpec, TypeVar

__all__ = ["Lease"]

P = ParamSpec("P")
T = TypeVar("T")

# At the exit of the interpreter, connections are closed in good order if that takes no longer.
_EXIT_PATIENCE: Final = 5.0


class _Call(Generic[T]):
    """One coroutine on the loop, and the thread that waits for it."""

    def __init__(self, start: Callable[[], Awaitable[T]]) -> None:
        self._start = start
        self._context = contextvars.copy_context()
        self._task: asyncio.Task[None] | None = None
        self._cancelled = False
        self._result: T
        self._error: BaseException | None = None
        # A bare lock is the cheapest thing that a thread can wait for, and Ctrl-C interrupts it.
        self._done = threading.Lock()
        self._done.acquire()

    def begin(self, loop: asyncio.AbstractEventLoop) -> None:
        """Start the coroutine; on the loop's thread."""
        self._task = loop.create_task(self._drive(), context=self._context)

    async def _drive(self) -> None:
        try:
            if self._cancelled:
                raise asyncio.CancelledError
            self._result = await self._start()
        except BaseException as error:  # noqa: BLE001 - it belongs to the thread that waits
            self._error = error
        finally:
            self._done.release()

    def cancel(self) -> None:
        """Cancel the coroutine; on the loop's thread."""
        self._cancelled = True
        if self._task is not None:
            self._task.cancel()

    def wait(self, loop: asyncio.AbstractEventLoop) -> T:
        """Wait for the end and return the result; on the thread that called."""
        try:
            self._done.acquire()
        except BaseException:
            loop.call_soon_threadsafe(self.cancel)
            self._wait_for_end()
            raise
        error, self._error = self._error, None
        if error is None:
            return self._result
        try:
            # Without the frame of `_drive`: it says nothing to anyone.
            traceback = error.__traceback__
            raise error.with_traceback(traceback.tb_next if traceback is not None else None)
        finally:
            del error

    def _wait_for_end(self) -> None:
        # A second Ctrl-C changes nothing: the coroutine is being cancelled, and its end is what
        # makes the client fit for use again.
        while True:
            try:
                self._done.acquire()
            except KeyboardInterrupt:
                continue
            return


class _LoopThread:
    """A thread that runs an event loop until it is told to stop."""

    def __init__(self) -> None:
        self.pid = os.getpid()
        self.leases = 0
        self.loop = asyncio.new_event_loop()
        self.thread = threading.Thread(target=self._run, name="registry_async", daemon=True)
        self.thread.start()

    def _run(self) -> None:
        asyncio.set_event_loop(self.loop)
        try:
            self.loop.run_forever()
        finally:
            tasks = asyncio.all_tasks(self.loop)
            for task in tasks:
                task.cancel()
            if tasks:
                self.loop.run_until_complete(asyncio.gather(*tasks, return_exceptions=True))
            self.loop.run_until_complete(self.loop.shutdown_asyncgens())
            self.loop.run_until_complete(self.loop.shutdown_default_executor())
            asyncio.set_event_loop(None)
            self.loop.close()

    def stop(self, timeout: float | None = None) -> None:
        """Stop the loop; wait for the thread's end unless that would be waiting for oneself."""
        self.loop.call_soon_threadsafe(self.loop.stop)
        if threading.current_thread() is not self.thread:
            self.thread.join(timeout)


class _Portal:
    """The one loop thread of this process, and who leases it."""

    def __init__(self) -> None:
        self.lock = threading.RLock()
        self.current: _LoopThread | None = None
        self.open: weakref.WeakSet[Lease] = weakref.WeakSet()

    def acquire(self) -> _LoopThread:
        """Return the loop thread, started if there is none, with one lease more on it."""
        with self.lock:
            if self.current is None:
                self.current = _LoopThread()
            self.current.leases += 1
            return self.current

    def release(self, thread: _LoopThread, timeout: float | None = None) -> None:
        """Take one lease back; the last one stops the thread."""
        with self.lock:
            thread.leases -= 1
            last = thread.leases == 0
            if last and self.current is thread:
                self.current = None
        if last:
            thread.stop(timeout)

    def forget(self) -> None:
        """Begin anew in a forked child, where the thread does not exist."""
        self.__init__()  # type: ignore[misc]

    def close(self) -> None:
        """Close what is left open at the exit of the interpreter, without a warning."""
        for lease in list(self.open):
            lease.close(_EXIT_PATIENCE)


# The one piece of module-level state in the package: what serves a whole process is one for it.
_portal: Final = _Portal()
atexit.register(_portal.close)
if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_portal.forget)


class Lease:
    """The right to run coroutines on the loop thread, which lives as long as anyone has it.

    Args:
        owner: The object whose life the lease has; used in a warning when it is collected
            without having been closed.
        cleanup: What to run on the loop at the end.
    """

    def __init__(self, owner: object, cleanup: Callable[[], Coroutine[Any, Any, None]]) -> None:
        self._name = type(owner).__name__
        self._cleanup = cleanup
        self._thread: _LoopThread | None = None
        self._pid = os.getpid()
        self._closed = False
        self._lock = threading.Lock()
        self._finalizer: weakref.finalize[Any, Any] | None = None

    def run(self, function: Callable[P, Awaitable[T]], *args: P.args, **kwargs: P.kwargs) -> T:
        """Run a coroutine function on the loop and return what it returns.

        Ctrl-C cancels it, waits until it has ended, and is raised then.

        Raises:
            RuntimeError: It is called on the loop's own thread, or in a forked child.
        """
        thread = self._enter()
        call = _Call(lambda: function(*args, **kwargs))
        thread.loop.call_soon_threadsafe(call.begin, thread.loop)
        return call.wait(thread.loop)

    def _enter(self) -> _LoopThread:
        if self._pid != os.getpid():
            raise RuntimeError(
                f"this {self._name} was made before the fork: make a new one in the child process"
            )
        thread = self._thread
        if thread is None:
            with self._lock:
                thread = self._thread
                if thread is None:
                    thread = self._thread = _portal.acquire()
                    _portal.open.add(self)
                    self._finalizer = weakref.finalize(
                        self, _collected, self._name, self._pid, thread, self._cleanup
                    )
                    self._finalizer.atexit = False
        if threading.current_thread() is thread.thread:
            raise RuntimeError(f"a {self._name} cannot be used from its own event loop")
        return thread

    def close(self, timeout: float | None = None) -> None:
        """Run the cleanup and give the lease back; twice is the same as once."""
        if self._closed or self._pid != os.getpid():
            return
        self._closed = True
        if self._finalizer is None or not self._finalizer.detach():
            return
        thread = self._thread
        assert thread is not None
        _portal.open.discard(self)
        try:
            self.run(self._bounded_cleanup, timeout)
        finally:
            _portal.release(thread, timeout)

    async def _bounded_cleanup(self, timeout: float | None) -> None:
        try:
            async with asyncio.timeout(timeout):
                await self._cleanup()
        except TimeoutError:
            return


def _collected(
    name: str, pid: int, thread: _LoopThread, cleanup: Callable[[], Coroutine[Any, Any, None]]
) -> None:
    """Clean up after a lease that was collected; never waits, as it may run anywhere."""
    if pid != os.getpid():
        return
    warnings.warn(f"unclosed {name}: use 'with' or close()", ResourceWarning, stacklevel=2)

    async def finish() -> None:
        try:
            await cleanup()
        finally:
            _portal.release(thread)

    def begin() -> None:
        # Held by the thread: the loop itself holds its tasks weakly.
        tasks.add(thread.loop.create_task(finish()))

    tasks: set[asyncio.Task[None]] = set()
    thread.loop.call_soon_threadsafe(begin)
