"""Lay out the sync module: its faces in order, its imports, and ruff's form of the text."""

import ast
import subprocess
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Final

from registry_async._generate_sync.reading import (
    PACKAGE,
    Function,
    Module,
    Origin,
    UnmappedError,
    names_in,
    read_modules,
)
from registry_async._generate_sync.rewriting import Writer
from registry_async._generate_sync.wording import PHRASES, WIDTH

__all__ = ["TARGET", "generate"]

TARGET: Final = "sync.py"

COMMENT: Final = (
    '# Generated from the async classes by "python -m registry_async._generate_sync": change those.'
)
DOCSTRING: Final = "The sync client: the words of the async one, without ``await``."

# Public packages of their own: what is in them is not among the names of the top level.
APART: Final = frozenset({"retention"})


def generate(package: Path) -> str:
    """Return the text of the sync module for the async classes of a package directory.

    Args:
        package: The directory of the package.

    Raises:
        UnmappedError: There is no rule for something in the async classes.
    """
    modules = list(read_modules(package))
    classes = {
        node.name: (module, node)
        for module in modules
        for node in module.tree.body
        if isinstance(node, ast.ClassDef) and node.name.startswith("Async")
    }
    writer = Writer({name: name.removeprefix("Async") for name in classes})
    body: list[ast.stmt] = [writer.face(*classes[name]) for name in _in_order(classes)]
    for module in modules:
        if "._" not in module.name:
            body += [writer.exported(module, each) for each in _mirrored(module, set(classes))]
    if outlived := sorted(set(PHRASES) - writer.phrases):
        raise UnmappedError(f"nothing says any more: {outlived}")
    apart = {
        name.removeprefix("Async")
        for name, (module, _) in classes.items()
        if module.name.removeprefix(f"{PACKAGE}.").partition(".")[0] in APART
    }
    return _laid_out(writer, body, apart)


def _in_order(classes: Mapping[str, tuple[Module, ast.ClassDef]]) -> list[str]:
    """Return the names of the classes, each after those that its annotations name."""
    ordered: list[str] = []

    def add(name: str, above: tuple[str, ...]) -> None:
        if name in ordered or name in above:
            return
        for node in ast.walk(classes[name][1]):
            if isinstance(node, ast.Name) and node.id in classes:
                add(node.id, (*above, name))
        ordered.append(name)

    for name in sorted(classes):
        add(name, ())
    return ordered


def _mirrored(module: Module, classes: set[str]) -> Iterator[Function]:
    """Give the exported functions that are async, or take or give an async class."""
    for node in module.tree.body:
        if isinstance(node, Function) and node.name in module.exported:
            is_async = isinstance(node, ast.AsyncFunctionDef)
            if is_async or names_in(node.args, node.returns) & classes:
                yield node


def _laid_out(writer: Writer, body: list[ast.stmt], apart: set[str]) -> str:
    """Put a module together and have ruff sort its imports and lay it out."""
    if writer.type_variables:
        writer.use("typing", "TypeVar")
    now = [_import(each) for each in sorted(writer.imports, key=repr) if not each.typing_only]
    later = [_import(each) for each in sorted(writer.imports, key=repr) if each.typing_only]
    named = {node.name for node in body if isinstance(node, ast.ClassDef | Function)}
    names = sorted(named - apart)
    head = [f'"""{DOCSTRING}"""', *now]
    if later:
        head += [
            "from typing import TYPE_CHECKING",
            "if TYPE_CHECKING:",
            *(f"  {e}" for e in later),
        ]
    head += [
        f"__all__ = {names}",
        *(f"{n} = TypeVar({n!r})" for n in sorted(writer.type_variables)),
    ]
    tree = ast.parse("\n".join(head))
    tree.body += body
    text = f"{COMMENT}\n{ast.unparse(ast.fix_missing_locations(tree))}\n"
    settings = ["--isolated", "--target-version=py311", f"--line-length={WIDTH}"]
    first_party = f"lint.isort.known-first-party = ['{PACKAGE}']"
    text = _ruff(text, "check", "--fix", "--select=I,RUF022", f"--config={first_party}", *settings)
    return _ruff(text, "format", *settings)


def _import(origin: Origin) -> str:
    if not origin.name:
        return f"import {origin.module}"
    return f"from {origin.module} import {origin.name}"


def _ruff(text: str, *arguments: str) -> str:
    command = [sys.executable, "-m", "ruff", *arguments, "--quiet", "--stdin-filename", TARGET, "-"]
    done = subprocess.run(command, input=text, capture_output=True, encoding="utf-8", check=False)
    if done.returncode:
        raise UnmappedError(f"ruff cannot lay out the sync client: {done.stderr or done.stdout}")
    return done.stdout
