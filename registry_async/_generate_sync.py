"""Write the sync client from the async classes: ``python -m registry_async._generate_sync``.

Every class of the package whose name begins with ``Async`` gets a sync face, and so does every
function of a public module that is async, or takes or gives such a class. Syntax trees become
syntax trees, and ruff lays them out. What no rule covers is an error, not a guess.
"""

import argparse
import ast
import builtins
import re
import subprocess
import sys
import textwrap
from collections.abc import Iterable, Iterator, Mapping
from copy import deepcopy
from difflib import unified_diff
from pathlib import Path
from typing import Final, NoReturn

from attrs import define, field, frozen

from registry_async import _sync_support

__all__ = ["UnmappedError", "generate", "main"]

PACKAGE: Final = "registry_async"
TARGET: Final = "sync.py"
WIDTH: Final = 100

COMMENT: Final = (
    '# Generated from the async classes by "python -m registry_async._generate_sync": change those.'
)
DOCSTRING: Final = "The sync client: the words of the async one, without ``await``."

# Rooms above the sync client or beside it. They hold none of the classes that it mirrors.
LEFT_OUT: Final = frozenset(
    {"__init__", "__main__", "_generate_sync", "_sync_support", "cli", "sandbox", "sync"}
)

# Public packages of their own: what is in them is not among the names of the top level.
APART: Final = frozenset({"retention"})

# The hand-written part of a face, for classes that do more than answer calls.
SUPPORT: Final = _sync_support.__name__
BASES: Final = {
    "AsyncRegistryClient": "BaseClient",
    "AsyncPaginator": "BasePaginator",
    "AsyncOpenProjects": "BaseOpenProjects",
    "AsyncScan": "BaseScan",
}
PLAIN_BASE: Final = "Facade"
# The class that users make themselves; the others are made by it.
ROOT: Final = "AsyncRegistryClient"

# What Python calls on async objects, and what the hand-written base has for sync code. None: the
# sync class needs none, since its lease of the loop does what is to be done.
PROTOCOLS: Final[Mapping[str, str | None]] = {
    "__init__": "__init__",
    "__repr__": "__repr__",
    "__aiter__": "__iter__",
    "__anext__": "__next__",
    "__aenter__": "__enter__",
    "__aexit__": "__exit__",
    "__del__": None,
}
# The method that users make an instance with.
MADE: Final = ("__init__", ROOT)
DECORATORS: Final = frozenset({"property", "classmethod", "overload"})

# Functions that keep an argument out of tracebacks, and the one that generated code calls.
HIDERS: Final = frozenset({"hide", "Secret"})
HIDE: Final = (f"{PACKAGE}._secrets", "hide")
# Arguments of these names are secrets wherever they appear.
SECRET_NAMES: Final = re.compile("(^|_)(token|secret|password|credentials)$")

# Sentences that are true of one client only. Each must occur, or it has outlived its original.
PHRASES: Final[Mapping[str, str]] = {
    "One client may be used by many tasks at once, and in one event loop after the other.": (
        "One client may be used by many threads at once, and where an event loop runs already, "
        "as in notebooks."
    ),
    "A session of yours, which is used with all its settings and never closed.": (
        "A session that belongs to the event loop of the sync clients, which is used with all "
        "its settings and never closed."
    ),
    "Called after each page with a `ScanProgress`.": (
        "Called after each page with a `ScanProgress`, on another thread. It cannot use the client."
    ),
    "Called after each batch with a `RetentionProgress`.": (
        "Called after each batch with a `RetentionProgress`, on another thread. It cannot use the "
        "client."
    ),
}
WORDS: Final = {
    "async with": "with",
    "async for": "for",
    "await ": "",
    "aclose": "close",
    "Async(?=[A-Z])": "",
}
# Words that a docstring of the sync client must not use: they speak of the async one.
FOREIGN_WORDS: Final = re.compile(
    r"\b(async\w*|await\w*|aclose|coroutines?|event loops?|tasks?|Async\w+)\b"
)

Function = ast.FunctionDef | ast.AsyncFunctionDef


class UnmappedError(Exception):
    """There is no rule for something in the async classes."""


# Reading


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
        and all(value is not None and names[0] in _wrapped(value, HIDERS) for value in returned)
    )


def _wrapped(expression: ast.expr, hiders: Iterable[str]) -> set[str]:
    """Return the names that an expression wraps as secrets."""
    found: set[str] = set()
    for node in ast.walk(expression):
        match node:
            case ast.Call(func=ast.Name(id=hider), args=[ast.Name(id=name)]) if hider in hiders:
                found.add(name)
            case _:
                pass
    return found


def _modules(package: Path) -> Iterator[Module]:
    """Read the modules that may hold async classes, in whatever folder."""
    for path in sorted(package.rglob("*.py")):
        parts = path.relative_to(package).with_suffix("").parts
        if not LEFT_OUT & set(parts):
            yield Module.read(".".join([PACKAGE, *parts]), path)


def _head(annotation: ast.expr) -> str:
    """Return the name that an annotation begins with: ``Page`` of ``Page[T]``."""
    node = annotation.value if isinstance(annotation, ast.Subscript) else annotation
    return node.id if isinstance(node, ast.Name) else ""


def _quoted(annotation: ast.expr | None) -> str:
    """Return what a quoted annotation says."""
    is_text = isinstance(annotation, ast.Constant) and isinstance(annotation.value, str)
    return str(annotation.value) if is_text and isinstance(annotation, ast.Constant) else ""


def _names(*nodes: ast.AST | None) -> set[str]:
    """Return all names in trees, those in quoted annotations included."""
    found: set[str] = set()
    for node in (each for tree in nodes if tree is not None for each in ast.walk(tree)):
        if isinstance(node, ast.Name):
            found.add(node.id)
        elif isinstance(node, ast.Constant) and isinstance(node.value, str):
            found.update(re.findall(r"\w+", node.value))
    return found


# Writing


@define
class Writer:
    """Makes the faces of classes and functions, and keeps what they import.

    Attributes:
        faces: The names of the sync classes by those of the async ones.
    """

    faces: Mapping[str, str]
    imports: set[Origin] = field(factory=set[Origin])
    type_variables: set[str] = field(factory=set[str])
    phrases: set[str] = field(factory=set[str])

    def use(self, module: str, name: str, *, typing_only: bool = False) -> str:
        """Import a name, and return it."""
        for other in self.imports:
            if name and other.name == name and other.module != module:
                raise UnmappedError(f"{name} means {other.module} and {module}")
        self.imports.add(Origin(module, name, typing_only))
        return name

    def name(self, module: Module, node: ast.AST, name: str) -> str:
        """Return a name in sync words, and import it."""
        if name in self.faces:
            return self.faces[name]
        origin = module.origins.get(name)
        if origin is None:
            return name if hasattr(builtins, name) else module.fail(node, f"unknown name: {name}")
        if not origin.module:
            self.type_variables.add(name)
            return name
        if origin == Origin("collections.abc", "AsyncIterator"):
            return self.use("collections.abc", "Iterator")
        if re.search("async|await", name, re.IGNORECASE):
            module.fail(node, f"an async name without a sync one: {name}")
        if origin.name not in ("", name):
            module.fail(node, f"an import under another name: {name}")
        self.use(origin.module, origin.name, typing_only=origin.typing_only)
        return name

    def docstring(self, module: Module, node: ast.ClassDef | Function) -> ast.Expr:
        """Return the docstring in sync words."""
        text = ast.get_docstring(node, clean=False)
        if text is None:
            module.fail(node, f"{node.name} has no docstring")
        remaining = text
        for phrase, replacement in PHRASES.items():
            pattern = re.compile(r"\s+".join(map(re.escape, phrase.split())))
            remaining = pattern.sub("", remaining)
            while found := pattern.search(text):
                self.phrases.add(phrase)
                text = _with_sentence(found, replacement)
        for word, replacement in WORDS.items():
            text = re.sub(rf"\b{word}", replacement, text)
            remaining = re.sub(rf"\b{word}", replacement, remaining)
        if foreign := FOREIGN_WORDS.search(remaining):
            module.fail(node, f"the docstring of {node.name} speaks of {foreign[0]!r}")
        if any(len(line) > WIDTH for line in text.splitlines()):
            module.fail(node, f"the docstring of {node.name} gets too wide")
        return ast.Expr(ast.Constant(text))

    def signature(
        self, module: Module, function: Function, *, bound: bool
    ) -> tuple[ast.FunctionDef, list[str]]:
        """Return a function in sync words, without a body, and what passes its arguments on."""
        given = deepcopy(function.args)
        kinds = [ast.unparse(decorator) for decorator in function.decorator_list]
        if len(kinds) > 1 or not DECORATORS.issuperset(kinds):
            module.fail(function, f"{function.name} has an unknown decorator: {kinds}")
        if kinds and isinstance(function, ast.AsyncFunctionDef):
            module.fail(function, f"{function.name} is async under a decorator")
        if any(isinstance(node, ast.Yield | ast.YieldFrom) for node in ast.walk(function)):
            module.fail(function, f"{function.name} is a generator")
        if given.vararg or given.posonlyargs:
            module.fail(function, f"{function.name} has parameters of an unknown kind")
        positional = given.args[1:] if bound else given.args
        options = [given.kwarg] if given.kwarg else []
        for argument in [*positional, *given.kwonlyargs, *options]:
            if argument.annotation is None:
                module.fail(function, f"{function.name} does not annotate {argument.arg}")
            argument.annotation = self.mapped(module, argument.annotation)
            if argument is given.kwarg and _head(argument.annotation) != "Unpack":
                module.fail(function, f"{function.name} has parameters of an unknown kind")
        given.defaults = [self.mapped(module, each, quoted=False) for each in given.defaults]
        given.kw_defaults = [
            None if each is None else self.mapped(module, each, quoted=False)
            for each in given.kw_defaults
        ]
        returns = function.returns
        if returns is None and function.name != "__init__":
            module.fail(function, f"{function.name} does not say what it returns")
        if kinds == ["overload"]:
            self.use("typing", "overload")
        (made,) = ast.parse("".join(f"@{kind}\n" for kind in kinds) + "def _() -> None: ...").body
        assert isinstance(made, ast.FunctionDef)
        made.name = "close" if function.name == "aclose" else function.name
        made.args = given
        if returns is not None:
            made.returns = self.mapped(module, returns)
        passed = [argument.arg for argument in positional]
        passed += [f"{argument.arg}={argument.arg}" for argument in given.kwonlyargs]
        passed += [f"**{argument.arg}" for argument in options]
        return made, passed

    def mapped(self, module: Module, node: ast.expr, *, quoted: bool = True) -> ast.expr:
        """Return an annotation, or a default, in sync words, and import what it needs."""
        mapped: ast.expr = _Renamer(self, module, quoted=quoted).visit(deepcopy(node))
        return mapped

    def body(self, module: Module, function: Function, code: str) -> list[ast.stmt]:
        """Return the docstring, the hiding of secrets, and one line of code."""
        hidden: set[str] = set()
        for node in ast.walk(function):
            match node:
                case ast.Assign(targets=targets, value=value):
                    hidden |= _wrapped(value, module.hiders) & _names(*targets)
                case _:
                    pass
        arguments = [each.arg for each in [*function.args.args, *function.args.kwonlyargs]]
        for name in arguments:
            if SECRET_NAMES.search(name) and name not in hidden:
                module.fail(function, f"{function.name} does not hide {name}")
        names = [name for name in arguments if name in hidden]
        if names:
            wrapped = ", ".join(f"{self.use(*HIDE)}({name})" for name in names)
            code = f"{', '.join(names)} = {wrapped}\n{code}"
        statements = ast.parse(code).body
        if function.name == "__init__":
            return statements
        return [self.docstring(module, function), *statements]

    # Classes

    def face(self, module: Module, node: ast.ClassDef) -> ast.ClassDef:
        """Return the sync class of an async one."""
        if node.decorator_list:
            module.fail(node, f"{node.name} has a decorator")
        base = self.use(SUPPORT, BASES.get(node.name, PLAIN_BASE))
        bases = base
        if variables := [each for each in node.bases if _head(each) == "Generic"]:
            generic = ast.unparse(self.mapped(module, variables[0]))
            bases = f"{generic.replace('Generic', base)}, {generic}"
        elif node.name not in BASES:
            bases = f"{base}[{self.use(module.name, node.name)}]"
        body: list[ast.stmt] = [self.docstring(module, node)]
        for statement in node.body[1:]:
            if not isinstance(statement, Function):
                module.fail(statement, f"{node.name} has more than methods")
            body += self._member(module, node, statement)
        (made,) = ast.parse(f"class {self.faces[node.name]}({bases}): ...").body
        assert isinstance(made, ast.ClassDef)
        made.body = body
        return made

    def _member(self, module: Module, node: ast.ClassDef, function: Function) -> list[ast.stmt]:
        base, name = BASES.get(node.name, PLAIN_BASE), function.name
        for each in ast.walk(function):
            match each:
                case ast.Attribute(ast.Name("self"), attr, ast.Store()) if attr[0] != "_":
                    module.fail(each, f"{name} sets {attr}, which the sync class would lack")
                case _:
                    pass
        if name in PROTOCOLS:
            needed = PROTOCOLS[name]
            if needed is not None and not hasattr(getattr(_sync_support, base), needed):
                module.fail(function, f"{base} lacks {needed}")
            if name == "__aenter__" and _head(function.returns or ast.Constant(None)) != "Self":
                return [self._entering(module, function)]
            return [self._method(module, node, function)] if (name, node.name) == MADE else []
        if name.startswith("__"):
            module.fail(function, f"{node.name} has an unknown protocol: {name}")
        return [] if name.startswith("_") else [self._method(module, node, function)]

    def _method(self, module: Module, node: ast.ClassDef, function: Function) -> ast.stmt:
        made, passed = self.signature(module, function, bound=True)
        kind = ast.unparse(made.decorator_list[0]) if made.decorator_list else ""
        if kind == "overload":
            return made
        name, arguments = function.name, ", ".join(passed)
        target = self._without_overloads(node.body, name, f"self._async.{name}")
        if name == "__init__":
            self.use(module.name, ROOT)
            code = f"self._adopt({ROOT}({arguments}))"
        elif name == "aclose":
            code = "self._release()"
        elif kind == "classmethod":
            if made.returns is None or _head(made.returns) != "Self":
                module.fail(function, f"{name} is a class method and makes no instance")
            self.use(module.name, node.name)
            code = f"return cls._make({', '.join([f'{node.name}.{name}', *passed])})"
        elif isinstance(function, ast.AsyncFunctionDef) or kind == "property":
            code = self._plain(module, function, target, passed)
        else:
            code = self._faced(module, function, f"{target}({arguments})", "self._lease")
        made.body = self.body(module, function, code)
        return made

    def _entering(self, module: Module, function: Function) -> ast.stmt:
        """Return the method that gives the faces of what a context manager opens."""
        made, _ = self.signature(module, function, bound=True)
        made.name = "__enter__"
        opened = sorted(_names(function.returns) & set(self.faces))
        if len(opened) != 1:
            module.fail(function, "entering gives neither the object itself nor async ones")
        made.body = ast.parse(f"return self._entered({self.faces[opened[0]]})").body
        return made

    def _plain(self, module: Module, function: Function, target: str, passed: list[str]) -> str:
        """Return the code for a coroutine function, or for a property."""
        special = sorted(_names(function.returns) & {*self.faces, "Self", "AsyncIterator"})
        if isinstance(function, ast.FunctionDef):
            if len(special) == 1 and special[0] in self.faces:
                return f"return self._resource({self.faces[special[0]]}, {target})"
            if not special:
                return f"return {target}"
        if special or function.returns is None:
            module.fail(function, f"{function.name} gives {', '.join(special)}")
        run = f"self._lease.run({', '.join([target, *passed])})"
        return run if ast.unparse(function.returns) == "None" else f"return {run}"

    def _faced(self, module: Module, function: Function, call: str, lease: str) -> str:
        """Return the code that puts the face on what a plain function returns."""
        match sorted(_names(function.returns) & {*self.faces, "Self", "AsyncIterator"}):
            case ["Self"]:
                return f"return self._view({call})"
            case ["AsyncIterator"]:
                return f"return {self.use(SUPPORT, 'SyncIterator')}({call}, {lease})"
            case [name]:
                return f"return {self.faces[name]}({call}, {lease})"
            case _:
                returns = ast.unparse(function.returns or ast.Constant(None))
                return module.fail(function, f"{function.name} is not async and gives {returns}")

    def _without_overloads(self, siblings: list[ast.stmt], name: str, target: str) -> str:
        """Return what to call: where there are overloads, without a choice among them."""
        same = [node for node in siblings if isinstance(node, Function) and node.name == name]
        return f"{self.use(SUPPORT, 'any_overload')}({target})" if len(same) > 1 else target

    # Functions

    def exported(self, module: Module, function: Function) -> ast.FunctionDef:
        """Return the face of an exported function."""
        made, passed = self.signature(module, function, bound=False)
        if made.decorator_list:
            if ast.unparse(made.decorator_list[0]) != "overload":
                module.fail(function, f"{function.name} has a decorator outside a class")
            return made
        # By its module, since its own name is the sync function's here.
        place = self.use(*module.name.rsplit(".", 1))
        target = f"{place}.{function.name}"
        if isinstance(function, ast.AsyncFunctionDef):
            assert function.returns is not None
            if wrong := _names(function.args, function.returns) & set(self.faces):
                module.fail(function, f"{function.name} is async and has to do with {min(wrong)}")
            run = self.use(SUPPORT, "run_alone")
            made.body = self.body(module, function, f"return {run}({', '.join([target, *passed])})")
            return made
        opened = _head(function.returns or ast.Constant(None)) or _quoted(function.returns)
        if BASES.get(opened) == "BaseOpenProjects":
            call = f"{target}({', '.join(passed)})"
            made.body = self.body(module, function, f"return {self.faces[opened]}({call})")
            return made
        first = function.args.args[0] if function.args.args else None
        if first is None or ast.unparse(first.annotation or first) != f"Iterable[{ROOT}]":
            module.fail(function, f"{function.name} does not begin with clients")
        target = self._without_overloads(module.tree.body, function.name, target)
        unwrap, leases = self.use(SUPPORT, "unwrap"), self.use(SUPPORT, "leases")
        call = f"{target}({', '.join([f'{unwrap}(every)', *passed[1:]])})"
        code = self._faced(module, function, call, f"*{leases}(every)")
        made.body = self.body(module, function, f"every = list({first.arg})\n{code}")
        return made


class _Renamer(ast.NodeTransformer):
    """Puts an annotation or a default in sync words."""

    def __init__(self, writer: Writer, module: Module, *, quoted: bool) -> None:
        self._writer = writer
        self._module = module
        self._quoted = quoted

    def visit_Name(self, node: ast.Name) -> ast.Name:
        return ast.Name(self._writer.name(self._module, node, node.id))

    def visit_Constant(self, node: ast.Constant) -> ast.Constant:
        if not self._quoted or not isinstance(node.value, str):
            return node
        return ast.Constant(ast.unparse(self.visit(ast.parse(node.value, mode="eval").body)))

    def visit_Subscript(self, node: ast.Subscript) -> ast.AST:
        if _head(node) == "Literal":
            self._writer.name(self._module, node, "Literal")
            return node
        return self.generic_visit(node)


def _with_sentence(found: re.Match[str], replacement: str) -> str:
    """Put another sentence into a docstring, and wrap what follows it in the paragraph."""
    text, start, end = found.string, found.start(), found.end()
    line = text[text.rfind("\n", 0, start) + 1 : start]
    margin = line[: len(line) - len(line.lstrip())]
    if re.match(r"\s+\w+: ", line):
        # What explains an argument hangs below its name.
        margin += "    "
    rest = re.compile(rf"[^\n]*(\n{margin}\S[^\n]*)*").match(text, end)
    assert rest is not None
    filled = textwrap.fill(
        f"{replacement}{' '.join(['', *rest[0].split()])}",
        WIDTH,
        initial_indent=" " * len(line),
        subsequent_indent=margin,
    )
    return text[:start] + filled.lstrip() + text[rest.end() :]


# All together


def generate(package: Path) -> str:
    """Return the text of the sync module for the async classes of a package directory.

    Args:
        package: The directory of the package.

    Raises:
        UnmappedError: There is no rule for something in the async classes.
    """
    modules = list(_modules(package))
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
            if is_async or _names(node.args, node.returns) & classes:
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


def main(arguments: list[str] | None = None) -> int:
    """Write the sync module, or compare it with what is there.

    Args:
        arguments: The words of the command line.

    Returns:
        The exit code: with ``--check`` 1 when the file is out of date.
    """
    parser = argparse.ArgumentParser(
        prog=f"python -m {PACKAGE}._generate_sync",
        description="Write the sync client from the async classes.",
    )
    parser.add_argument(
        "--check", action="store_true", help="write nothing; fail if the file is out of date"
    )
    check = parser.parse_args(arguments).check
    target = Path(__file__).with_name(TARGET)
    wanted = generate(target.parent)
    if not check:
        target.write_text(wanted, encoding="utf-8")
        return 0
    present = target.read_text(encoding="utf-8") if target.exists() else ""
    names = f"{TARGET}, as it is", "as it should be"
    difference = unified_diff(present.splitlines(), wanted.splitlines(), *names, lineterm="")
    print("\n".join(difference), end="")
    return int(present != wanted)


if __name__ == "__main__":
    sys.exit(main())
