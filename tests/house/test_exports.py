"""What the package gives to the world, and what it does not do while it is imported."""

from __future__ import annotations

import ast
import inspect
import subprocess
import sys
import tomllib
from importlib import import_module
from importlib.metadata import version
from pathlib import Path
from typing import Final

import pytest

import registry_async

HEAVY: Final = (
    "aiohttp",
    "rich",
    "pandas",
    "matplotlib",
    "distributed",
    "numpy",
    "msgspec",
    "orjson",
)


def test_the_public_names_are_sorted_and_there() -> None:
    names = list(registry_async.__all__)
    assert names == sorted(names)
    assert len(names) == len(set(names))
    for name in names:
        assert getattr(registry_async, name) is not None


def test_nothing_public_is_left_out() -> None:
    public = {
        name
        for name, value in vars(registry_async).items()
        if not name.startswith("_")
        and str(getattr(value, "__module__", "")).startswith("registry_async")
    }
    assert public <= set(registry_async.__all__)
    # The others are imported when somebody asks for them.
    for name in set(registry_async.__all__) - public - {"__version__"}:
        assert getattr(registry_async, name).__module__.startswith("registry_async")


def test_a_star_import_gives_exactly_the_public_names() -> None:
    namespace: dict[str, object] = {}
    exec("from registry_async import *", namespace)
    del namespace["__builtins__"]
    assert set(namespace) == set(registry_async.__all__)


@pytest.mark.parametrize(
    "name",
    [
        "AsyncRegistryClient",
        "RegistryClient",
        "AsyncPaginator",
        "Paginator",
        "Page",
        "RetryPolicy",
        "StaticToken",
        "KeystonePassword",
        "KeystoneApplicationCredential",
        "scan",
        "ScannedImage",
        "ScanError",
        "ScanReport",
        "ContainerRegistryError",
        "ApiError",
        "WaitTimeoutError",
        "Registry",
        "Repository",
        "Image",
        "Layer",
        "Cluster",
        "GarbageSize",
        "CleanupResult",
        "Token",
        "IssuedToken",
        "TokenScope",
        "TokenV1",
        "DockerConfig",
        "DockerAuth",
        "RegistryStatus",
        "RepositoryType",
        "TokenStatus",
        "SortOrder",
    ],
)
def test_what_users_type_is_there(name: str) -> None:
    assert name in registry_async.__all__


def test_type_checkers_see_the_names_that_there_are() -> None:
    tree = ast.parse(Path(registry_async.__file__).read_text(encoding="utf-8"))
    starred, named = set[str](), set[str]()
    for node in ast.walk(tree):
        if isinstance(node, ast.ImportFrom) and (node.module or "").startswith("registry_async"):
            names = {alias.asname or "*" for alias in node.names}
            if names == {"*"}:
                starred.add(str(node.module))
            else:
                named |= names
    seen = {name for module in starred for name in import_module(module).__all__}
    assert seen | named == set(registry_async.__all__)
    assert seen & named == set()


def test_the_generator_is_in_no_wheel() -> None:
    root = Path(registry_async.__file__).parents[1]
    target = tomllib.loads((root / "pyproject.toml").read_text())["tool"]["hatch"]["build"]
    excluded = target["targets"]["wheel"]["exclude"]
    assert "registry_async/_generate_sync" in excluded
    assert all((root / path).exists() for path in excluded)


def test_every_public_name_is_documented() -> None:
    for name in registry_async.__all__:
        value = getattr(registry_async, name)
        if not isinstance(value, type) and not callable(value):
            continue
        lines = (inspect.getdoc(value) or "").splitlines()
        assert lines, name
        assert lines[0].endswith("."), f"{name}: {lines[0]}"
        if isinstance(value, type):
            for method, member in vars(value).items():
                if not method.startswith("_") and (
                    inspect.isfunction(member) or isinstance(member, property | classmethod)
                ):
                    assert inspect.getdoc(member), f"{name}.{method}"


@pytest.mark.parametrize("module", ["registry_async", "registry_async.errors"])
def test_an_import_does_not_pay_for_what_it_may_not_need(module: str) -> None:
    program = f"import sys, {module}; print(*(n for n in {HEAVY!r} if n in sys.modules))"
    done = subprocess.run(
        [sys.executable, "-X", "dev", "-W", "error", "-c", program],
        capture_output=True,
        text=True,
        timeout=60,
        check=True,
    )
    assert (done.stdout.strip(), done.stderr) == ("", "")


@pytest.mark.parametrize("module", ["errors", "models", "retry", "sandbox"])
def test_a_module_loads_no_more_than_it_needs(module: str) -> None:
    program = (
        f"import sys; from registry_async import {module}\n"
        f"print({module}.__name__, 'registry_async.sync' in sys.modules)"
    )
    done = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, timeout=60, check=True
    )
    assert done.stdout.split() == [f"registry_async.{module}", "False"]


def test_the_version_is_that_of_the_distribution() -> None:
    assert registry_async.__version__ == version("registry-async")


def test_an_unknown_name_is_an_attribute_error() -> None:
    with pytest.raises(AttributeError, match="nonsense"):
        _ = registry_async.nonsense  # type: ignore[attr-defined]
