"""Call what the caller wrote: credentials and hooks.

Some exceptions are signals of Python itself: raised by the caller's code inside a read of ours,
`StopAsyncIteration` would end a list early and silently, and `GeneratorExit` or `CancelledError`
would end a task as if somebody had ended it. Here they become plain errors, at the place where
the caller's code is called.
"""

import asyncio
from types import TracebackType

__all__ = ["CallersCode"]

_ENDS_AN_ITERATION = (StopIteration, StopAsyncIteration)
_ENDS_A_TASK = (asyncio.CancelledError, GeneratorExit)


class CallersCode:
    """Let no exception out of the block that Python would take for a signal.

    Every other exception, `KeyboardInterrupt` and `SystemExit` included, leaves as it is.

    Args:
        name: What is called, for the error.
    """

    def __init__(self, name: str) -> None:
        self._name = name
        self._task: asyncio.Task[object] | None = None

    def __enter__(self) -> None:
        self._task = _running_task()

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        if isinstance(error, _ENDS_AN_ITERATION) or (
            isinstance(error, _ENDS_A_TASK) and not self._is_ended_by_others(error)
        ):
            raise RuntimeError(f"{self._name} raised {type(error).__name__}") from error

    def _is_ended_by_others(self, error: BaseException) -> bool:
        if isinstance(error, GeneratorExit):
            # A coroutine that is closed from outside is no longer a step of its task.
            return self._task is None or _running_task() is not self._task
        return self._task is None or self._task.cancelling() > 0


def _running_task() -> "asyncio.Task[object] | None":
    try:
        return asyncio.current_task()
    except RuntimeError:
        return None
