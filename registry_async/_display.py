"""What people see of lists: tables, data frames and progress bars."""

from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from typing import Protocol, TypeVar

from registry_async.errors import ConfigurationError

T = TypeVar("T")


class ResultList(list[T]):
    """A list that knows what it holds, even when it is empty."""

    def __init__(self, item_type: type[T], items: Iterable[T] = ()) -> None:
        super().__init__(items)
        self.item_type = item_type


class Bar(Protocol):
    """A progress bar."""

    def update(self, *, completed: int, total: int | None = None) -> None:
        """Show how far it has come."""
        ...


@contextmanager
def progress_bar(description: str, *, total: int | None = None) -> Iterator[Bar]:
    """Show a progress bar on standard error (extra ``progress``)."""
    raise ConfigurationError("a progress bar needs: pip install 'registry-async[progress]'")
    yield
