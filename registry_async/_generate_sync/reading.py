"""Read the package: the modules that may hold async classes, and the names in them."""

import ast
import re
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Final, NoReturn

from attrs import define, field, frozen

__all__ = [
    "PACKAGE",
    "Function",
    "Module",
    "Origin",
    "UnmappedError",
    "head",
    "names_in",
    "read_modules",
    "wrapped_names",
]

PACKAGE: Final = "registry_async"

# Rooms above the sync client or beside it. They hold none of the classes that it mirrors.
LEFT_OUT: Final = frozenset(
    {"__init__", "__main__", "_generate_sync", "_sync_support", "cli", "sandbox", "sync"}
)
# Functions that keep an argument out of tracebacks.
HIDERS: Final = frozenset({"hide", "Secret"})

Function = ast.FunctionDef | ast.AsyncFunctionDef


class UnmappedError(Exception):
    """There is no rule for something in the async classes."""


@frozen
class Origin:
    """Where a name comes from.

    Attributes:
        module: The module.
        name: Its name there; empty when the module itself is meant.
        typing_only: Whether it is imported for type checkers only.
    """

    module: str
    name: str
    typing_only: bool = False


@define
class Module:
    """A module of the package and the names in it."""

    name: str
    tree: ast.Module
    origins: dict[str, Origin] = field(factory=dict[str, Origin])
    exported: set[str] = field(factory=set[str])
    hiders: set[str] = field(factory=lambda: set(HIDERS))

    @classmethod
    def read(cls, name: str, path: Path) -> "Module":
        """Read a module of the package."""
        module = cls(name, ast.parse(path.read_text(encoding="utf-8"), str(path)))
        module._note(module.tree.body, typing_only=False)
        return module

    def _note(self, statements: Iterable[ast.stmt], *, typing_only: bool) -> None:
        for node in statements:
            match node:
                case ast.Import(names=aliases):
                    for alias in aliases:
                        name = alias.asname or alias.name
                        self.origins[name] = Origin(alias.name, "", typing_only)
                case ast.ImportFrom(module=str(source), names=aliases, level=0):
                    for alias in aliases:
                        name = alias.asname or alias.name
                        self.origins[name] = Origin(source, alias.name, typing_only)
                case ast.If(test=ast.Name(id="TYPE_CHECKING"), body=body):
                    self._note(body, typing_only=True)
                case ast.ClassDef(name=name) | ast.AsyncFunctionDef(name=name):
                    self.origins[name] = Origin(self.name, name)
                case ast.FunctionDef(name=name):
                    self.origins[name] = Origin(self.name, name)
                    if _returns_hidden(node):
                        self.hiders.add(name)
                case ast.Assign(targets=[ast.Name(id="__all__")], value=value):
                    self.exported.update(ast.literal_eval(value))
                case ast.Assign(targets=[ast.Name(id=name)], value=ast.Call(func=maker)):
                    is_variable = ast.unparse(maker) == "TypeVar"
                    self.origins[name] = Origin("" if is_variable else self.name, name)
                case ast.Assign(targets=[ast.Name(id=name)]):
                    self.origins[name] = Origin(self.name, name)
                case ast.AnnAssign(target=ast.Name(id=name)):
                    self.origins[name] = Origin(self.name, name)
                case _:
                    pass

    def fail(self, node: ast.AST, problem: str) -> NoReturn:
        """Raise an error that names the place."""
        raise UnmappedError(f"{self.name}:{getattr(node, 'lineno', '?')}: {problem}")


def _returns_hidden(function: ast.FunctionDef) -> bool:
    """Say whether a function wraps its one argument as a secret, and returns it."""
    names = [argument.arg for argument in function.args.args]
    returned = [node.value for node in ast.walk(function) if isinstance(node, ast.Return)]
    return (
        len(names) == 1
        and bool(returned)
        and all(
            value is not None and names[0] in wrapped_names(value, HIDERS) for value in returned
        )
    )


def wrapped_names(expression: ast.expr, hiders: Iterable[str]) -> set[str]:
    """Return the names that an expression wraps as secrets."""
    found: set[str] = set()
    for node in ast.walk(expression):
        match node:
            case ast.Call(func=ast.Name(id=hider), args=[ast.Name(id=name)]) if hider in hiders:
                found.add(name)
            case _:
                pass
    return found


def read_modules(package: Path) -> Iterator[Module]:
    """Read the modules that may hold async classes, in whatever folder."""
    for path in sorted(package.rglob("*.py")):
        parts = path.relative_to(package).with_suffix("").parts
        if not LEFT_OUT & set(parts):
            yield Module.read(".".join([PACKAGE, *parts]), path)


def head(annotation: ast.expr) -> str:
    """Return the name that an annotation begins with: ``Page`` of ``Page[T]``."""
    node = annotation.value if isinstance(annotation, ast.Subscript) else annotation
    return node.id if isinstance(node, ast.Name) else ""


def names_in(*nodes: ast.AST | None) -> set[str]:
    """Return all names in trees, those in quoted annotations included."""
    found: set[str] = set()
    for node in (each for tree in nodes if tree is not None for each in ast.walk(tree)):
        if isinstance(node, ast.Name):
            found.add(node.id)
        elif isinstance(node, ast.Constant) and isinstance(node.value, str):
            found.update(re.findall(r"\w+", node.value))
    return found
