"""Background tasks of one caller: what they raise is raised to that caller."""

import asyncio
from collections.abc import Awaitable, Callable
from typing import Protocol, TypeVar

import anyio

__all__ = ["Ask", "Workers", "iteration_safe"]

T = TypeVar("T")


class Ask(Protocol):
    """Sends one request of a larger work when its turn comes, and returns what it gives."""

    async def __call__(self, request: Callable[[], Awaitable[T]], /) -> T: ...


def iteration_safe(error: BaseException) -> BaseException:
    """Return an error that can be raised to a caller who iterates.

    Credentials, hooks and callbacks of the caller run inside our reads. A ``StopIteration`` or
    ``StopAsyncIteration`` of theirs would be taken for the end of what is iterated.
    """
    if not isinstance(error, StopIteration | StopAsyncIteration):
        return error
    kind = type(error).__name__
    safe = RuntimeError(f"{kind} was raised by credentials, a hook or a callback")
    safe.__cause__ = error
    return safe


class Workers:
    """Tasks that run side by side for one caller and end together.

    The first exception of any kind ends all of them and is kept in `failure`. None leaves its
    task: asyncio lets a ``KeyboardInterrupt`` or ``SystemExit`` of a task end the event loop, and
    with it whatever else runs there.
    """

    def __init__(self) -> None:
        self.failure: BaseException | None = None
        self._tasks: set[asyncio.Task[None]] = set()
        self._stopping = False

    def start(self, work: Callable[[], Awaitable[None]]) -> None:
        """Run a coroutine function in a task of its own."""
        task = asyncio.get_running_loop().create_task(self._guard(work))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _guard(self, work: Callable[[], Awaitable[None]]) -> None:
        try:
            await work()
        except BaseException as error:  # noqa: BLE001 - it is raised to the caller
            # A cancellation that is not ours was raised by what the task ran, and counts.
            if not self._stopping:
                self.failure = iteration_safe(error)
                self.stop()

    def stop(self) -> None:
        """Cancel all tasks. It does not wait, and may be called at any time."""
        self._stopping = True
        for task in self._tasks:
            if not task.get_loop().is_closed():
                task.cancel()

    async def wait(self) -> None:
        """Wait until all tasks have ended; a cancellation ends them first.

        Raises:
            BaseException: What the first of them to fail raised.
        """
        try:
            while self._tasks:
                await asyncio.wait(self._tasks)
        finally:
            await self.end()
        if self.failure is not None:
            failure, self.failure = self.failure, None
            try:
                raise failure
            finally:
                # The error's traceback holds this frame, which must not hold the error.
                del failure

    async def end(self) -> None:
        """Cancel all tasks and wait until they have ended."""
        self.stop()
        with anyio.CancelScope(shield=True):
            while self._tasks:
                await asyncio.wait(self._tasks)
