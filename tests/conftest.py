"""Fixtures that every test file may use."""

import gc
import signal

import pytest
from hypothesis import settings

if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
    # Shells start what they run in the background so, and processes started here inherit it:
    # a Ctrl-C would not reach those that it is tried on.
    signal.signal(signal.SIGINT, signal.default_int_handler)

# How long an example takes says more of the machine than of what is tested.
settings.register_profile("untimed", deadline=None)
settings.load_profile("untimed")


@pytest.fixture
def anyio_backend() -> str:
    """Run the async tests on asyncio alone: aiohttp knows no other event loop."""
    return "asyncio"


def pytest_collection_finish() -> None:
    """Have the garbage collections of the tests pass over all that was imported so far."""
    gc.collect()
    gc.freeze()
