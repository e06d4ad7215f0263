"""Write the sync client from the async classes: ``python -m registry_async._generate_sync``.

Every class of the package whose name begins with ``Async`` gets a sync face, and so does every
exported function that takes or returns one. What a face looks like follows from the syntax tree
alone; whatever the rules below do not cover is an error, not a guess.
"""

import argparse
import ast
import builtins
import re
import sys
import textwrap
from collections.abc import Iterable, Iterator, Mapping
from copy import deepcopy
from difflib import unified_diff
from pathlib import Path
from typing import Final, NoReturn

from attrs import define, field, frozen

__all__ = ["UnmappedError", "generate", "main"]

PACKAGE: Final = "registry_async"
TARGET: Final = "sync.py"
WIDTH: Final = 100

HEADER: Final = '''\
# Generated from the async classes by "python -m registry_async._generate_sync": change those.
"""The sync client: the words of the async one, without ``await``."""
'''

# The hand-written part of a face, for classes that do more than answer calls.
SUPPORT: Final = f"{PACKAGE}._sync_support"
BASES: Final = {
    "AsyncRegistryClient": "BaseClient",
    "AsyncPaginator": "BasePaginator",
    "AsyncScan": "BaseScan",
}
PLAIN_BASE: Final = "Facade"
# The class that users make themselves; the others are made by it.
ROOT: Final = "AsyncRegistryClient"

# What Python calls, and what it calls in sync code, which the hand-written base has. None: the
# sync class needs none, since its lease does what is to be done.
PROTOCOLS: Final[Mapping[str, str | None]] = {
    "__init__": "__init__",
    "__repr__": "__repr__",
    "__aiter__": "__iter__",
    "__anext__": "__next__",
    "__aenter__": "__enter__",
    "__aexit__": "__exit__",
    "__del__": None,
}
CLOSE: Final = ("aclose", "close")

# What keeps an argument out of tracebacks, and what it is wrapped with here.
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
}
WORDS: Final = (
    ("async with", "with"),
    ("async for", "for"),
    ("await ", ""),
    ("aclose()", "close()"),
)
# What must not be left in a docstring, lest it speak of the async client.
FOREIGN_WORDS: Final = re.compile(
    r"\b(async\w*|await\w*|aclose|coroutines?|event loops?|tasks?|Async\w+)\b"
)
_SECTION: Final = re.compile(r"(Args|Attributes|Raises|Returns|Yields):")


class UnmappedError(Exception):
    """There is no rule for something in the async classes."""


# Code as it is laid out


@frozen
class Call:
    """A call in generated code, to be laid out in as many lines as it needs."""

    function: str
    arguments: tuple["str | Call", ...]

    def flat(self) -> str:
        """Return it on one line."""
        inner = ", ".join(each if isinstance(each, str) else each.flat() for each in self.arguments)
        return f"{self.function}({inner})"


def _lay_out(expression: "str | Call", indent: int, before: str = "", after: str = "") -> list[str]:
    """Break an expression as the formatter does: all arguments on a line, or one on each."""
    pad = " " * indent
    flat = expression if isinstance(expression, str) else expression.flat()
    line = f"{pad}{before}{flat}{after}"
    if len(line) <= WIDTH or isinstance(expression, str) or not expression.arguments:
        return [line]
    inner = " " * (indent + 4) + Call("", expression.arguments).flat()[1:-1]
    lines = [f"{pad}{before}{expression.function}("]
    if len(inner) <= WIDTH:
        lines.append(inner)
    else:
        for argument in expression.arguments:
            lines += _lay_out(argument, indent + 4, after=",")
    return [*lines, f"{pad}){after}"]


def _import_lines(imports: Mapping[str, set[str]], indent: int = 0) -> list[str]:
    """Return import statements in sections: the standard library, others, the package."""
    sections: dict[int, list[str]] = {}
    for module in sorted(imports, key=lambda name: (bool(imports[name]), name)):
        top = module.partition(".")[0]
        section = 0 if top in sys.stdlib_module_names else 2 if top == PACKAGE else 1
        lines = sections.setdefault(section, [])
        pad, names = " " * indent, sorted(imports[module], key=_member_order)
        line = f"{pad}from {module} import {', '.join(names)}" if names else f"{pad}import {module}"
        if len(line) > WIDTH:
            lines += [f"{pad}from {module} import ("]
            lines += [*(f"{pad}    {name}," for name in names), f"{pad})"]
        else:
            lines.append(line)
    return "\n\n".join("\n".join(sections[each]) for each in sorted(sections)).splitlines()


def _member_order(name: str) -> tuple[int, str, str]:
    kind = 0 if name.isupper() and len(name) > 1 else 1 if name[0].isupper() else 2
    return kind, name.lower(), name


# What is read


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
    type_variables: set[str] = field(factory=set[str])
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
                case ast.Import():
                    for alias in node.names:
                        self._add(alias, Origin(alias.name, "", typing_only))
                case ast.ImportFrom(module=str(source), level=0):
                    for alias in node.names:
                        self._add(alias, Origin(source, alias.name, typing_only))
                case ast.If(test=ast.Name(id="TYPE_CHECKING")):
                    self._note(node.body, typing_only=True)
                case ast.ClassDef() | ast.FunctionDef() | ast.AsyncFunctionDef():
                    self.origins[node.name] = Origin(self.name, node.name)
                    if isinstance(node, ast.FunctionDef) and _returns_hidden(node):
                        self.hiders.add(node.name)
                case ast.Assign(targets=[ast.Name(id=name)]):
                    self.origins[name] = Origin(self.name, name)
                    if _called(node.value) == "TypeVar":
                        self.type_variables.add(name)
                    if name == "__all__":
                        self.exported.update(ast.literal_eval(node.value))
                case ast.AnnAssign(target=ast.Name(id=name)):
                    self.origins[name] = Origin(self.name, name)
                case _:
                    pass

    def _add(self, alias: ast.alias, origin: Origin) -> None:
        self.origins[alias.asname or alias.name] = origin

    def fail(self, node: ast.AST, problem: str) -> NoReturn:
        """Raise an error that names the place."""
        raise UnmappedError(f"{self.name}:{getattr(node, 'lineno', '?')}: {problem}")


def _called(node: ast.expr) -> str | None:
    return node.func.id if isinstance(node, ast.Call) and isinstance(node.func, ast.Name) else None


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
    known = set(hiders)
    return {
        node.args[0].id
        for node in ast.walk(expression)
        if isinstance(node, ast.Call)
        and _called(node) in known
        and len(node.args) == 1
        and isinstance(node.args[0], ast.Name)
    }


Function = ast.FunctionDef | ast.AsyncFunctionDef


@frozen
class Parameters:
    """The parameters of a function, less ``self`` or ``cls``."""

    texts: tuple[str, ...]
    passed: tuple[str, ...]
    names: tuple[str, ...]


# What is written


@define
class Writer:
    """Writes the faces of the classes and functions that it is given."""

    faces: Mapping[str, str]
    supported: Mapping[str, frozenset[str]]
    imports: dict[str, set[str]] = field(factory=dict[str, set[str]])
    typing_imports: dict[str, set[str]] = field(factory=dict[str, set[str]])
    type_variables: set[str] = field(factory=set[str])
    phrases: set[str] = field(factory=set[str])

    # Names and annotations

    def use(self, origin: Origin) -> None:
        """Import a name."""
        imports = self.typing_imports if origin.typing_only else self.imports
        if origin.typing_only:
            self.imports.setdefault("typing", set()).add("TYPE_CHECKING")
        for module, names in [*self.imports.items(), *self.typing_imports.items()]:
            if origin.name and origin.name in names and module != origin.module:
                raise UnmappedError(f"{origin.name} means {module} and {origin.module}")
        names = imports.setdefault(origin.module, set())
        if origin.name:
            names.add(origin.name)
        elif names:
            raise UnmappedError(f"{origin.module} is imported in two ways")

    def code(self, module: Module, node: ast.expr, *, is_annotation: bool = True) -> str:
        """Return an annotation or a default in sync words, and import what it needs."""
        renamer = _Renamer(self, module, node, is_annotation=is_annotation)
        mapped = renamer.visit(deepcopy(node))
        text = ast.unparse(mapped)
        if '"' in text or "\\" in text:
            module.fail(node, f"a text that is not simple: {text}")
        return text.replace("'", '"')

    def name(self, module: Module, node: ast.AST, name: str) -> str:
        """Return a name in sync words, and import it."""
        if name in self.faces:
            return self.faces[name]
        if name in module.type_variables:
            self.type_variables.add(name)
            return name
        if hasattr(builtins, name) and name not in module.origins:
            return name
        origin = module.origins.get(name)
        if origin is None:
            module.fail(node, f"an unknown name: {name}")
        if origin == Origin("collections.abc", "AsyncIterator"):
            name, origin = "Iterator", Origin("collections.abc", "Iterator")
        elif re.search("async|await", name, re.IGNORECASE):
            module.fail(node, f"an async name without a sync one: {name}")
        elif origin.name not in ("", name):
            module.fail(node, f"an import under another name: {name}")
        self.use(origin)
        return name

    def support(self, name: str) -> str:
        """Import a name of the hand-written part."""
        self.use(Origin(SUPPORT, name))
        return name

    # Docstrings

    def docstring(self, module: Module, node: ast.ClassDef | Function, indent: int) -> list[str]:
        """Return the docstring in sync words."""
        text = ast.get_docstring(node)
        if text is None:
            module.fail(node, f"{node.name} has no docstring")
        lines = self._translate(module, node, text.splitlines(), WIDTH - indent)
        if len(lines) == 1 and len(lines[0]) + 6 <= WIDTH - indent:
            lines = [f'"""{lines[0]}"""']
        else:
            lines = [f'"""{lines[0]}', *lines[1:], '"""']
        pad = " " * indent
        lines = [f"{pad}{line}".rstrip() for line in lines]
        if any(len(line) > WIDTH for line in lines):
            module.fail(node, f"the docstring of {node.name} gets too wide")
        return lines

    def _translate(self, module: Module, node: ast.AST, lines: list[str], width: int) -> list[str]:
        result: list[str] = []
        for unit, is_code in _units(lines):
            if is_code:
                result += [self._sync_words(module, node, line) for line in unit]
                continue
            before = " ".join(line.strip() for line in unit)
            after = self._sync_words(module, node, before)
            if after == before:
                result += unit
                continue
            first = unit[0][: len(unit[0]) - len(unit[0].lstrip())]
            rest = first + ("    " if first else "")
            # The first line of a docstring has its quotes before it.
            room = width - (0 if result else 6)
            result += textwrap.wrap(
                after,
                room,
                initial_indent=first,
                subsequent_indent=rest,
                break_long_words=False,
                break_on_hyphens=False,
            )
        return result

    def _sync_words(self, module: Module, node: ast.AST, text: str) -> str:
        remaining = text
        for phrase, replacement in PHRASES.items():
            if phrase in text:
                self.phrases.add(phrase)
                text = text.replace(phrase, replacement)
                remaining = remaining.replace(phrase, "")
        for word, replacement in WORDS:
            text = text.replace(word, replacement)
            remaining = remaining.replace(word, replacement)
        for name, face in self.faces.items():
            text = re.sub(rf"\b{name}\b", face, text)
            remaining = re.sub(rf"\b{name}\b", face, remaining)
        if foreign := FOREIGN_WORDS.search(remaining):
            module.fail(node, f"a docstring speaks of {foreign[0]!r}: {remaining}")
        return text

    # Functions

    def parameters(self, module: Module, function: Function, *, bound: bool) -> Parameters:
        """Return the parameters of a function in sync words."""
        given = function.args
        if given.vararg or given.kwarg or given.posonlyargs:
            module.fail(function, f"{function.name} has parameters of an unknown kind")
        texts: list[str] = []
        passed: list[str] = []
        names: list[str] = []
        positional = given.args[1:] if bound else given.args
        defaults: list[ast.expr | None] = [None] * len(positional)
        if given.defaults:
            defaults[-len(given.defaults) :] = given.defaults
        for argument, default in zip(positional, defaults, strict=True):
            texts.append(self._parameter(module, function, argument, default))
            passed.append(argument.arg)
            names.append(argument.arg)
        if given.kwonlyargs:
            texts.append("*")
        for argument, default in zip(given.kwonlyargs, given.kw_defaults, strict=True):
            texts.append(self._parameter(module, function, argument, default))
            passed.append(f"{argument.arg}={argument.arg}")
            names.append(argument.arg)
        return Parameters(tuple(texts), tuple(passed), tuple(names))

    def _parameter(
        self, module: Module, function: Function, argument: ast.arg, default: ast.expr | None
    ) -> str:
        if argument.annotation is None:
            module.fail(function, f"{function.name} does not annotate {argument.arg}")
        text = f"{argument.arg}: {self.code(module, argument.annotation)}"
        if default is None:
            return text
        return f"{text} = {self.code(module, default, is_annotation=False)}"

    def head(
        self, function: Function, parameters: Parameters, returns: str, indent: int, first: str
    ) -> list[str]:
        """Return the line or lines up to the colon."""
        texts = (first, *parameters.texts) if first else parameters.texts
        ending = f" -> {returns}:"
        return _lay_out(Call(f"def {function.name}", texts), indent, after=ending)

    def hiding(self, module: Module, function: Function, parameters: Parameters) -> list[str]:
        """Return the statement that keeps the secrets among the arguments from being shown."""
        hidden: set[str] = set()
        for node in ast.walk(function):
            if isinstance(node, ast.Assign):
                targets = {
                    each.id
                    for target in node.targets
                    for each in ast.walk(target)
                    if isinstance(each, ast.Name)
                }
                hidden |= _wrapped(node.value, module.hiders) & targets
        names = [name for name in parameters.names if name in hidden]
        for name in parameters.names:
            if SECRET_NAMES.search(name) and name not in hidden:
                module.fail(function, f"{function.name} does not hide {name}")
        if not names:
            return []
        self.use(Origin(*HIDE))
        wrapped = ", ".join(f"{HIDE[1]}({name})" for name in names)
        return [f"{', '.join(names)} = {wrapped}"]

    def method(self, module: Module, function: Function) -> list[str]:
        """Return a method of a face."""
        kind = self._kind(module, function)
        if any(isinstance(node, ast.Yield | ast.YieldFrom) for node in ast.walk(function)):
            module.fail(function, f"{function.name} is a generator")
        parameters = self.parameters(module, function, bound=True)
        if function.returns is None:
            module.fail(function, f"{function.name} does not say what it returns")
        returns = self.code(module, function.returns)
        lines = [f"    @{kind}"] if kind else []
        first = "cls" if kind == "classmethod" else "self"
        lines += self._rename(self.head(function, parameters, returns, 4, first), function.name)
        if kind == "overload":
            lines[-1] += " ..."
            return lines
        lines += self.docstring(module, function, 8)
        lines += [f"        {line}" for line in self.hiding(module, function, parameters)]
        if function.name == CLOSE[0]:
            return [*lines, "        self._release()"]
        result = self._result(module, function, parameters, kind)
        before = "" if returns == "None" else "return "
        return [*lines, *_lay_out(result, 8, before)]

    def _rename(self, lines: list[str], name: str) -> list[str]:
        if name == CLOSE[0]:
            lines[0] = lines[0].replace(*CLOSE)
        return lines

    def _kind(self, module: Module, function: Function) -> str | None:
        decorators = [ast.unparse(decorator) for decorator in function.decorator_list]
        if not decorators:
            return None
        if len(decorators) > 1 or decorators[0] not in {"property", "classmethod", "overload"}:
            module.fail(function, f"{function.name} has an unknown decorator: {decorators}")
        if isinstance(function, ast.AsyncFunctionDef):
            module.fail(function, f"{function.name} is async under a decorator")
        if decorators[0] == "overload":
            self.use(Origin("typing", "overload"))
        return decorators[0]

    def _result(
        self, module: Module, function: Function, parameters: Parameters, kind: str | None
    ) -> str | Call:
        """Return the expression that a method comes down to."""
        assert function.returns is not None
        if kind == "property":
            self._require_plain(module, function)
            return f"self._async.{function.name}"
        if kind == "classmethod":
            if ast.unparse(function.returns) != "Self":
                module.fail(function, f"{function.name} is a class method and makes no instance")
            maker = f"{self._original(module)}.{function.name}"
            return Call("cls._make", (maker, *parameters.passed))
        if isinstance(function, ast.AsyncFunctionDef):
            self._require_plain(module, function)
            target = f"self._async.{function.name}"
            return Call("self._lease.run", (target, *parameters.passed))
        target = self._target(module, function, f"self._async.{function.name}")
        return self._face(module, function, Call(target, parameters.passed))

    def _target(self, module: Module, function: Function, name: str) -> str:
        """Return what to call; where there are overloads, without a choice among them."""
        same = [
            node
            for node in ast.walk(module.tree)
            if isinstance(node, Function) and node.name == function.name
        ]
        overloaded = any(ast.unparse(each) == "overload" for n in same for each in n.decorator_list)
        return f"{self.support('any_overload')}({name})" if overloaded else name

    def _original(self, module: Module) -> str:
        self.use(module.origins[ROOT])
        return ROOT

    def _require_plain(self, module: Module, function: Function) -> None:
        assert function.returns is not None
        text = ast.unparse(function.returns)
        if re.search(r"\bAsync|\bSelf\b", text):
            module.fail(function, f"{function.name} gives {text}")

    def _face(self, module: Module, function: Function, wrapped: Call) -> Call:
        """Put the face on what a plain method returns."""
        assert function.returns is not None
        makers = {_maker(each) for each in _alternatives(_unquoted(function.returns))}
        maker = makers.pop() if len(makers) == 1 else ""
        if maker == "Self":
            return Call("self._view", (wrapped,))
        if maker == "AsyncIterator":
            return Call(self.support("SyncIterator"), (wrapped, "self._lease"))
        if maker in self.faces:
            return Call(self.faces[maker], (wrapped, "self._lease"))
        return module.fail(
            function, f"{function.name} is not async and gives {ast.unparse(function.returns)}"
        )

    # Classes and exported functions

    def face(self, module: Module, node: ast.ClassDef) -> list[str]:
        """Return the sync class of an async one."""
        if node.decorator_list:
            module.fail(node, f"{node.name} has a decorator")
        base = self.support(BASES.get(node.name, PLAIN_BASE))
        generic = [each for each in map(ast.unparse, node.bases) if each.startswith("Generic[")]
        if generic:
            variable = generic[0].removeprefix("Generic[").removesuffix("]")
            self.name(module, node, variable)
            self.use(Origin("typing", "Generic"))
            bases = f"{base}[{variable}], {generic[0]}"
        elif node.name in BASES:
            bases = base
        else:
            self.use(module.origins[node.name])
            bases = f"{base}[{node.name}]"
        lines = [f"class {self.faces[node.name]}({bases}):", *self.docstring(module, node, 4)]
        for statement in node.body:
            member = self._member(module, node, statement, base)
            if member:
                lines += ["", *member]
        return lines

    def _member(
        self, module: Module, node: ast.ClassDef, statement: ast.stmt, base: str
    ) -> list[str]:
        match statement:
            case ast.Expr(value=ast.Constant(value=str())):
                return []
            case ast.FunctionDef() | ast.AsyncFunctionDef():
                return self._named_member(module, node, statement, base)
            case _:
                return module.fail(statement, f"{node.name} has more than methods")

    def _named_member(
        self, module: Module, node: ast.ClassDef, function: Function, base: str
    ) -> list[str]:
        attributes = self._attributes(module, function)
        if function.name in PROTOCOLS:
            needed = PROTOCOLS[function.name]
            if needed is not None and needed not in self.supported[base]:
                module.fail(function, f"{base} lacks {needed}")
            if attributes:
                module.fail(function, f"{function.name} sets {', '.join(attributes)}")
            is_made = function.name == "__init__" and node.name == ROOT
            return self._constructor(module, function) if is_made else []
        if function.name.startswith("__"):
            module.fail(function, f"{node.name} has an unknown protocol: {function.name}")
        if function.name.startswith("_"):
            return self._setter(function, attributes)
        if attributes:
            module.fail(function, f"{function.name} sets {', '.join(attributes)}")
        return self.method(module, function)

    def _attributes(self, module: Module, function: Function) -> dict[str, str]:
        """Return the public attributes that a method gives to ``self``, with their faces."""
        found: dict[str, str] = {}
        for node in ast.walk(function):
            targets: list[ast.expr] = []
            if isinstance(node, ast.Assign):
                targets = node.targets
            elif isinstance(node, ast.AnnAssign | ast.AugAssign):
                targets = [node.target]
            for target in targets:
                match target:
                    case ast.Attribute(value=ast.Name(id="self"), attr=name) if name[0] != "_":
                        value = node.value if isinstance(node, ast.Assign) else None
                        maker = None if value is None else _called(value)
                        if maker is None or maker not in self.faces:
                            module.fail(node, f"{name} is made of something unknown")
                        found[name] = self.faces[maker]
                    case _:
                        pass
        return found

    def _setter(self, function: Function, attributes: Mapping[str, str]) -> list[str]:
        if not attributes:
            return []
        lines = [f"    def {function.name}(self) -> None:"]
        return lines + [
            f"        self.{name} = {face}(self._async.{name}, self._lease)"
            for name, face in attributes.items()
        ]

    def _constructor(self, module: Module, function: Function) -> list[str]:
        parameters = self.parameters(module, function, bound=True)
        lines = self.head(function, parameters, "None", 4, "self")
        lines += [f"        {line}" for line in self.hiding(module, function, parameters)]
        made = Call(self._original(module), parameters.passed)
        return [*lines, *_lay_out(Call("self._adopt", (made,)), 8)]

    def function(self, module: Module, function: Function) -> list[str]:
        """Return the face of an exported function over several clients."""
        if isinstance(function, ast.AsyncFunctionDef) or function.returns is None:
            module.fail(function, f"{function.name} is no plain function")
        kind = self._kind(module, function)
        if kind not in (None, "overload"):
            module.fail(function, f"{function.name} is a {kind} outside a class")
        parameters = self.parameters(module, function, bound=False)
        lines = [f"@{kind}"] if kind else []
        lines += self.head(function, parameters, self.code(module, function.returns), 0, "")
        if kind:
            lines[-1] += " ..."
            return lines
        lines += self.docstring(module, function, 4)
        several, *others = parameters.names
        if ast.unparse(function.args.args[0].annotation or function) != f"Iterable[{ROOT}]":
            module.fail(function, f"{function.name} does not begin with clients")
        passed = (f"{self.support('unwrap')}(every)", *parameters.passed[1:])
        if len(passed) != len(others) + 1:
            module.fail(function, f"{function.name} has other parameters")
        # By its module, since its own name is the sync function's here.
        package, _, name = module.name.rpartition(".")
        self.use(Origin(package, name))
        wrapped = Call(self._target(module, function, f"{name}.{function.name}"), passed)
        face = self._face(module, function, wrapped)
        result = Call(face.function, (wrapped, f"*{self.support('leases')}(every)"))
        return [*lines, f"    every = list({several})", *_lay_out(result, 4, "return ")]


class _Renamer(ast.NodeTransformer):
    def __init__(
        self, writer: Writer, module: Module, place: ast.expr, *, is_annotation: bool
    ) -> None:
        self._writer = writer
        self._module = module
        self._place = place
        self._is_annotation = is_annotation

    def visit_Name(self, node: ast.Name) -> ast.Name:
        return ast.Name(self._writer.name(self._module, self._place, node.id))

    def visit_Constant(self, node: ast.Constant) -> ast.Constant:
        if not self._is_annotation or not isinstance(node.value, str):
            return node
        inner = ast.parse(node.value, mode="eval").body
        return ast.Constant(ast.unparse(self.visit(inner)))

    def visit_Subscript(self, node: ast.Subscript) -> ast.AST:
        if ast.unparse(node.value) == "Literal":
            self._writer.name(self._module, node, "Literal")
            return node
        return self.generic_visit(node)


def _units(lines: list[str]) -> Iterator[tuple[list[str], bool]]:
    """Part a docstring into paragraphs and entries, which may be wrapped anew, and code."""
    in_section = False
    unit: list[str] = []
    depth = 0
    for line in lines:
        indent = len(line) - len(line.lstrip())
        begins = not line or not unit or indent < depth or (in_section and indent <= 4)
        if begins and unit:
            yield unit, False
            unit = []
        if not line:
            yield [line], True
        elif indent == 0 and _SECTION.fullmatch(line):
            in_section = True
            yield [line], True
        elif indent and not in_section:
            yield [line], True
        else:
            if not unit:
                depth = indent
            unit.append(line)
    if unit:
        yield unit, False


def _unquoted(annotation: ast.expr) -> ast.expr:
    if isinstance(annotation, ast.Constant) and isinstance(annotation.value, str):
        return ast.parse(annotation.value, mode="eval").body
    return annotation


def _alternatives(annotation: ast.expr) -> list[ast.expr]:
    if isinstance(annotation, ast.BinOp) and isinstance(annotation.op, ast.BitOr):
        return [*_alternatives(annotation.left), *_alternatives(annotation.right)]
    return [annotation]


def _maker(annotation: ast.expr) -> str:
    node = annotation.value if isinstance(annotation, ast.Subscript) else annotation
    return node.id if isinstance(node, ast.Name) else ""


# All together


def _modules(package: Path) -> list[Module]:
    """Read the modules that may hold async classes, which the sandbox's are not."""
    left_out = {TARGET, "_sync_support.py", Path(__file__).name, "__init__.py", "__main__.py"}
    paths = [path for path in package.glob("*.py") if path.name not in left_out]
    paths += [path for path in package.glob("_*/*.py") if path.name != "__init__.py"]
    return [
        Module.read(".".join([PACKAGE, *path.relative_to(package).with_suffix("").parts]), path)
        for path in sorted(paths)
    ]


def _supported(package: Path) -> dict[str, frozenset[str]]:
    """Return the methods of the hand-written classes, those that they inherit included."""
    tree = ast.parse((package / "_sync_support.py").read_text(encoding="utf-8"))
    found: dict[str, frozenset[str]] = {}
    for node in tree.body:
        if isinstance(node, ast.ClassDef):
            own = {each.name for each in node.body if isinstance(each, ast.FunctionDef)}
            inherited = [found.get(_maker(base), frozenset[str]()) for base in node.bases]
            found[node.name] = frozenset(own).union(*inherited)
    return found


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

    for name in classes:
        add(name, ())
    return ordered


def generate(package: Path) -> str:
    """Return the text of the sync module for the async classes of a package directory.

    Args:
        package: The directory of the package.

    Raises:
        UnmappedError: There is no rule for something in the async classes.
    """
    modules = _modules(package)
    classes: dict[str, tuple[Module, ast.ClassDef]] = {}
    for module in modules:
        for node in module.tree.body:
            if isinstance(node, ast.ClassDef) and node.name.startswith("Async"):
                classes[node.name] = (module, node)
    faces = {name: name.removeprefix("Async") for name in classes}
    writer = Writer(faces, _supported(package))
    blocks = [writer.face(*classes[name]) for name in _in_order(classes)]
    exported = sorted(faces.values())
    for module in modules:
        for node in module.tree.body:
            if isinstance(node, Function) and node.name in module.exported:
                signature = [node.args, *filter(None, [node.returns])]
                names = {
                    each.id
                    for part in signature
                    for each in ast.walk(part)
                    if isinstance(each, ast.Name)
                }
                if names & set(classes):
                    blocks.append(writer.function(module, node))
                    exported = [*dict.fromkeys([*exported, node.name])]
    if outlived := sorted(set(PHRASES) - writer.phrases):
        raise UnmappedError(f"nothing says any more: {outlived}")
    return _module_text(writer, exported, blocks)


def _module_text(writer: Writer, exported: list[str], blocks: list[list[str]]) -> str:
    if writer.type_variables:
        writer.use(Origin("typing", "TypeVar"))
    lines = [*HEADER.splitlines(), "", *_import_lines(writer.imports)]
    if writer.typing_imports:
        lines += ["", "if TYPE_CHECKING:", *_import_lines(writer.typing_imports, 4)]
    lines += ["", *_all_lines(exported)]
    if writer.type_variables:
        lines += ["", *(f'{name} = TypeVar("{name}")' for name in sorted(writer.type_variables))]
    for block in blocks:
        lines += ["", "", *block]
    return "\n".join(lines) + "\n"


def _all_lines(exported: list[str]) -> list[str]:
    quoted = ", ".join(f'"{name}"' for name in exported)
    line = f"__all__ = [{quoted}]"
    if len(line) <= WIDTH:
        return [line]
    return ["__all__ = [", *(f'    "{name}",' for name in exported), "]"]


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
    package = Path(__file__).parent
    target = package / TARGET
    wanted = generate(package)
    if not check:
        target.write_text(wanted, encoding="utf-8")
        return 0
    present = target.read_text(encoding="utf-8") if target.exists() else ""
    if present == wanted:
        return 0
    difference = unified_diff(
        present.splitlines(),
        wanted.splitlines(),
        f"{TARGET}, as it is",
        "as it should be",
        lineterm="",
    )
    print("\n".join(difference))
    return 1


if __name__ == "__main__":
    sys.exit(main())
