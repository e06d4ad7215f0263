"""A fixture with a running sandbox, for the tests of those who use registry_async.

Switch it on in `conftest.py`:

    pytest_plugins = ["registry_async.sandbox.pytest_plugin"]

and ask for it in a test, sync or async:

    def test_cleaner(registry_sandbox):
        clean(base_url=registry_sandbox.base_url, token=registry_sandbox.token)

    @pytest.mark.registry_sandbox(seed=False, max_limit=7)
    async def test_empty(registry_sandbox): ...
"""

from collections.abc import Iterator
from typing import Any, cast

import pytest

from registry_async.sandbox._sandbox import Sandbox

_MARKER = "registry_sandbox"


def pytest_configure(config: pytest.Config) -> None:
    """Make the marker known, so that `--strict-markers` accepts it."""
    config.addinivalue_line(
        "markers", f"{_MARKER}(**options): what the Sandbox of this test is made with"
    )


@pytest.fixture
def registry_sandbox(request: pytest.FixtureRequest) -> Iterator[Sandbox]:
    """Run a sandbox of its own for one test, in a thread of its own.

    Args:
        request: The test; its marker `registry_sandbox` gives the sandbox's options.

    Yields:
        The running sandbox.
    """
    item = cast(pytest.Item, request.node)  # pyright: ignore[reportUnknownMemberType]
    marker = item.get_closest_marker(_MARKER)
    options: dict[str, Any] = dict(marker.kwargs) if marker else {}
    with Sandbox(**options) as sandbox:
        yield sandbox
