"""Fixtures that every test file may use."""

import pytest


@pytest.fixture
def anyio_backend() -> str:
    """Run the async tests on asyncio alone: aiohttp knows no other event loop."""
    return "asyncio"
