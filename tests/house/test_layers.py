"""Imports run downwards only: the package's layers, held to by its syntax trees."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Final, Literal

import pytest

PACKAGE: Final = "registry_async"
ROOT: Final = Path(__file__).parents[2] / PACKAGE

# From the top down. A module may import from its own layer and from those below; within a layer
# the imports must form no circle. Each name stands for a module or for a whole subpackage.
LAYERS: Final = (
    ("", "__main__"),
    ("cli",),
    ("sync", "_generate_sync"),
    ("_sync_support",),
    ("sandbox",),
    ("accounts", "dask", "scanning"),
    ("client",),
    ("retention",),
    ("_scan",),
    ("_report",),
    ("_resources",),
    ("_pagination",),
    # A login is a request: what logs in stands beside what sends, which imports none of it.
    ("_transport", "credentials", "_keystone", "_environment"),
    (
        "retry",
        "_paths",
        "_arguments",
        "_clock",
    ),
    ("_display", "_tables"),
    ("_converter", "_image_pages", "_wire"),
    ("_portal", "_tasks"),
    (
        "models",
        "errors",
        "references",
        "_docker_config",
        "_secrets",
        "_plain",
        "_safe_text",
        "_version",
    ),
)
RANKS: Final = {name: rank for rank, layer in enumerate(reversed(LAYERS)) for name in layer}

# The sandbox stands for the service: what it shared with the client, both could get wrong.
SANDBOX_MAY_IMPORT: Final = frozenset({"models", "errors"})
SENDER: Final = "_transport"
DECIDES_WITHOUT_IO: Final = frozenset(
    {"retry", "_clock", "_paths", "models", "errors", "_converter"}
)
DOES_IO: Final = frozenset({"aiohttp", "asyncio", "http", "requests", "select", "socket", "ssl"})
KNOWS_NOTHING_OF_HTTP: Final = frozenset({"_pagination"})
ABOUT_HTTP: Final = frozenset({"_transport", "credentials", "_keystone", "retry", "_paths"})

When = Literal["module", "function", "typing"]


@dataclass(frozen=True)
class Import:
    """One import: who, what (a dotted name), where in the file, and when it takes place."""

    importer: str
    target: str
    when: When
    line: int
    path: str

    @property
    def inner(self) -> str | None:
        """The target within the package, without the package's name; None if it is outside."""
        if self.target == PACKAGE:
            return ""
        prefix = f"{PACKAGE}."
        return self.target.removeprefix(prefix) if self.target.startswith(prefix) else None

    def __str__(self) -> str:
        return f"{self.path}:{self.line} imports {self.target} ({self.when})"


def top(module: str) -> str:
    """Give the part of a module's name that has a rank."""
    return module.partition(".")[0]


class _Finder(ast.NodeVisitor):
    def __init__(self, module: str, is_package: bool, modules: frozenset[str]) -> None:
        self.found: list[Import] = []
        self._module = module
        self._modules = modules
        full = f"{PACKAGE}.{module}".rstrip(".")
        self._path = f"{full.replace('.', '/')}{'/__init__' if is_package else ''}.py"
        self._base = full if is_package else full.rpartition(".")[0]
        self._when: When = "module"

    def _add(self, node: ast.AST, target: str) -> None:
        line = getattr(node, "lineno", 0)
        self.found.append(Import(self._module, target, self._when, line, self._path))

    def _within(self, when: When, nodes: list[ast.stmt]) -> None:
        before = self._when
        # What a function imports for typing only is for typing only.
        self._when = before if before == "typing" else when
        for node in nodes:
            self.visit(node)
        self._when = before

    def visit_FunctionDef(self, node: ast.FunctionDef) -> None:
        self._within("function", node.body)

    def visit_AsyncFunctionDef(self, node: ast.AsyncFunctionDef) -> None:
        self._within("function", node.body)

    def visit_If(self, node: ast.If) -> None:
        if re.fullmatch(r"(?:\w+\.)?TYPE_CHECKING", ast.unparse(node.test)):
            self._within("typing", node.body)
            self._within(self._when, node.orelse)
        else:
            self.generic_visit(node)

    def visit_Import(self, node: ast.Import) -> None:
        for alias in node.names:
            self._add(node, alias.name)

    def visit_ImportFrom(self, node: ast.ImportFrom) -> None:
        source = node.module or ""
        if node.level:
            base = self._base.split(".")
            source = ".".join([*base[: len(base) - node.level + 1], *filter(None, [source])])
        for alias in node.names:
            # `from package import module` imports the module, whatever it looks like.
            dotted = f"{source}.{alias.name}"
            inner = dotted.removeprefix(f"{PACKAGE}.")
            self._add(node, dotted if inner in self._modules else source)

    def visit_Call(self, node: ast.Call) -> None:
        name = ast.unparse(node.func)
        if name in {"import_module", "importlib.import_module", "__import__"} and node.args:
            argument = node.args[0]
            if isinstance(argument, ast.Constant) and isinstance(argument.value, str):
                self._add(node, argument.value)
        self.generic_visit(node)


def imports_of(
    module: str, source: str, *, is_package: bool, modules: frozenset[str]
) -> list[Import]:
    """Find every import of a module, wherever in it."""
    finder = _Finder(module, is_package, modules)
    finder.visit(ast.parse(source))
    return finder.found


def package_modules() -> dict[str, Path]:
    """Give the package's modules by their names within it."""
    found = {}
    for path in sorted(ROOT.rglob("*.py")):
        parts = path.relative_to(ROOT).with_suffix("").parts
        found[".".join(part for part in parts if part != "__init__")] = path
    return found


def package_imports() -> list[Import]:
    modules = package_modules()
    return [
        found
        for name, path in modules.items()
        for found in imports_of(
            name,
            path.read_text(encoding="utf-8"),
            is_package=path.name == "__init__.py",
            modules=frozenset(modules),
        )
    ]


def violations(imports: list[Import]) -> list[str]:
    """Hold imports to the layers; give those that break a rule, in words."""
    return [f"{found}: {rule}" for found in imports for rule in _broken_rules(found)]


def _broken_rules(found: Import) -> Iterator[str]:
    importer, inner, outer = top(found.importer), found.inner, top(found.target)
    if inner is not None:
        target = top(inner)
        if target not in RANKS or importer not in RANKS:
            yield "a module without a layer"
        elif RANKS[target] > RANKS[importer] and not _asks_for_the_whole_package(found):
            yield "imports run downwards only"
        if importer == "sandbox" and target != "sandbox":
            if found.when == "module" and target not in SANDBOX_MAY_IMPORT:
                yield "the sandbox shares nothing with the client but plain values"
            if found.when != "module" and target not in {"", *SANDBOX_MAY_IMPORT}:
                yield "the sandbox uses the client as a user would"
        if importer in KNOWS_NOTHING_OF_HTTP and target in ABOUT_HTTP:
            yield "paging knows nothing of HTTP"
        return
    if found.when == "typing":
        # Another package's types may be named anywhere; naming them loads nothing.
        return
    if importer == "sandbox":
        if outer == "aiohttp" and found.target not in {"aiohttp", "aiohttp.web"}:
            yield "the sandbox uses aiohttp's server only"
    elif importer != SENDER and outer == "aiohttp":
        yield "one module sends"
    if importer in DECIDES_WITHOUT_IO and outer in DOES_IO:
        yield "this module does no I/O"


def _asks_for_the_whole_package(found: Import) -> bool:
    """A face may use the package as its users do, once it is called."""
    faces = {*LAYERS[0], "cli", "sync", "sandbox"}
    return found.inner == "" and top(found.importer) in faces and found.when != "module"


def circles(imports: list[Import]) -> list[list[str]]:
    """Find modules that need each other, at whatever time each imports the other."""
    graph: dict[str, set[str]] = {}
    for found in imports:
        if found.inner is not None and not _asks_for_the_whole_package(found):
            graph.setdefault(found.importer, set()).add(found.inner)
    done: set[str] = set()
    result: list[list[str]] = []

    def walk(module: str, path: list[str]) -> None:
        if module in path:
            result.append([*path[path.index(module) :], module])
            return
        if module in done:
            return
        for target in sorted(graph.get(module, ())):
            walk(target, [*path, module])
        done.add(module)

    for module in sorted(graph):
        walk(module, [])
    return result


def test_every_module_has_a_layer() -> None:
    unknown = {top(name) for name in package_modules()} - set(RANKS)
    assert unknown == set(), "put these modules into LAYERS, where the design has them"


def test_imports_run_downwards() -> None:
    imports = package_imports()
    # An empty list would pass every rule.
    assert any(found.importer == "client" for found in imports)
    assert violations(imports) == []


def test_no_module_imports_itself_in_a_circle() -> None:
    assert circles(package_imports()) == []


def test_one_module_imports_aiohttps_client() -> None:
    importers = {
        found.importer
        for found in package_imports()
        if top(found.target) == "aiohttp" and found.when != "typing"
    }
    assert {top(name) for name in importers} - {"sandbox"} == {SENDER}


MODULES: Final = frozenset(
    {name for layer in LAYERS for name in layer} | {"sandbox._state", "_resources.images"}
)


@pytest.mark.parametrize(
    ("module", "source"),
    [
        ("models", "from registry_async import client"),
        ("models", "from registry_async.client import AsyncRegistryClient"),
        ("models", "import registry_async.client"),
        ("models", "def f():\n    from registry_async.client import AsyncRegistryClient"),
        ("models", "class C:\n    async def f(self):\n        from . import client"),
        ("models", "try:\n    from .client import X\nexcept ImportError:\n    raise"),
        ("models", "def f():\n    import registry_async"),
        ("models", "import importlib\nimportlib.import_module('registry_async.client')"),
        ("_resources.images", "from ..client import AsyncRegistryClient"),
        ("client", "import aiohttp"),
        ("client", "def f():\n    from aiohttp import ClientTimeout"),
        ("client", "from registry_async import AsyncRegistryClient"),
        ("models", "import typing\nif typing.TYPE_CHECKING:\n    from .client import X"),
        ("client", "if not TYPE_CHECKING:\n    import aiohttp"),
        ("client", "if TYPE_CHECKING:\n    pass\nelse:\n    import aiohttp"),
        ("_paths", "import socket"),
        ("retry", "from asyncio import sleep"),
        ("_pagination", "from registry_async._paths import encode_query"),
        ("sandbox._state", "from registry_async import AsyncRegistryClient"),
        ("sandbox._state", "from registry_async._paths import OPERATIONS"),
        ("sandbox._state", "def f():\n    from registry_async._paths import OPERATIONS"),
        ("sandbox._state", "from .._paths import OPERATIONS"),
        ("sandbox._state", "from aiohttp.client import ClientSession"),
    ],
)
def test_checker_finds_what_breaks_a_rule(module: str, source: str) -> None:
    assert violations(imports_of(module, source, is_package=False, modules=MODULES)) != []


@pytest.mark.parametrize(
    ("module", "source"),
    [
        ("client", "from registry_async.models import Image"),
        ("client", "def f():\n    from registry_async import _transport"),
        ("client", "from typing import TYPE_CHECKING\nif TYPE_CHECKING:\n    import aiohttp"),
        ("_transport", "import aiohttp, asyncio"),
        ("sandbox._state", "from registry_async.models import Image"),
        ("sandbox._state", "from ._state import State\nfrom aiohttp import web"),
        ("sandbox._state", "def client():\n    from registry_async import AsyncRegistryClient"),
        ("_resources.images", "from ._base import Resource\nfrom ..models import Image"),
    ],
)
def test_checker_lets_the_rest_pass(module: str, source: str) -> None:
    imports = imports_of(module, source, is_package=False, modules=MODULES)
    assert imports != []
    assert violations(imports) == []


def test_checker_finds_circles() -> None:
    sources: Mapping[str, str] = {
        "models": "from registry_async.errors import X",
        "errors": "from registry_async import retry",
        "retry": "def f():\n    from registry_async import models\nfrom . import models as m",
    }
    imports = [
        found
        for name, source in sources.items()
        for found in imports_of(name, source, is_package=False, modules=MODULES)
    ]
    assert circles(imports) == [["errors", "retry", "models", "errors"]]
    # An import within a function ties two modules together as well as one that runs at once.
    late = [found for found in imports if found.when == "function" or found.importer != "retry"]
    assert circles(late) == circles(imports)
    assert circles([found for found in imports if found.importer != "retry"]) == []
