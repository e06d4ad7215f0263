"""Rewrite async classes and functions as sync ones: syntax trees become syntax trees."""

import ast
import builtins
import re
from collections.abc import Mapping
from copy import deepcopy
from typing import Final

from attrs import define, field, frozen

from registry_async import _sync_support
from registry_async._generate_sync.reading import (
    PACKAGE,
    Function,
    Module,
    Origin,
    UnmappedError,
    head,
    names_in,
    wrapped_names,
)
from registry_async._generate_sync.wording import docstring_of

__all__ = ["Writer"]

# The module of the hand-written parts of faces.
SUPPORT: Final = _sync_support.__name__


@frozen
class Base:
    """The hand-written part of a face.

    Attributes:
        name: The base class in the support module.
        made_by_users: Whether users call the class. Exported functions may take several instances.
        own_lease: Whether a face takes a lease of the event loop for itself, which nobody gives it.
    """

    name: str
    made_by_users: bool = False
    own_lease: bool = False


# For classes that do more than answer calls.
BASES: Final = {
    "AsyncRegistryClient": Base("BaseClient", made_by_users=True),
    "AsyncPaginator": Base("BasePaginator"),
    "AsyncOpenProjects": Base("BaseOpenProjects", own_lease=True),
    "AsyncScan": Base("BaseScan"),
}
PLAIN_BASE: Final = Base("Facade")

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
# What the base has for a class whose entering gives other async objects than itself.
ENTERED: Final = "_entered"
DECORATORS: Final = frozenset({"property", "classmethod", "overload"})

# What generated code keeps an argument out of tracebacks with.
HIDE: Final = (f"{PACKAGE}._secrets", "hide")
# Arguments of these names are secrets wherever they appear.
SECRET_NAMES: Final = re.compile("(^|_)(token|secret|password|credentials)$")


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
            if argument is given.kwarg and head(argument.annotation) != "Unpack":
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

    def _docstring(self, module: Module, node: ast.ClassDef | Function) -> ast.Expr:
        made, phrases = docstring_of(module, node)
        self.phrases |= phrases
        return made

    def body(self, module: Module, function: Function, code: str) -> list[ast.stmt]:
        """Return the docstring, the hiding of secrets, and one line of code."""
        hidden: set[str] = set()
        for node in ast.walk(function):
            match node:
                case ast.Assign(targets=targets, value=value):
                    hidden |= wrapped_names(value, module.hiders) & names_in(*targets)
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
        return [self._docstring(module, function), *statements]

    def face(self, module: Module, node: ast.ClassDef) -> ast.ClassDef:
        """Return the sync class of an async one."""
        if node.decorator_list:
            module.fail(node, f"{node.name} has a decorator")
        base = self.use(SUPPORT, BASES.get(node.name, PLAIN_BASE).name)
        bases = base
        if variables := [each for each in node.bases if head(each) == "Generic"]:
            generic = ast.unparse(self.mapped(module, variables[0]))
            bases = f"{generic.replace('Generic', base)}, {generic}"
        elif node.name not in BASES:
            bases = f"{base}[{self.use(module.name, node.name)}]"
        body: list[ast.stmt] = [self._docstring(module, node)]
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
            opened = self._faced_names(function) if name == "__aenter__" else []
            needed = ENTERED if opened else PROTOCOLS[name]
            if needed is not None and not hasattr(getattr(_sync_support, base.name), needed):
                module.fail(function, f"{base.name} lacks {needed}")
            if opened:
                return [self._entering(module, function, opened)]
            is_made = name == "__init__" and base.made_by_users
            return [self._method(module, node, function)] if is_made else []
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
            code = f"self._adopt({self.use(module.name, node.name)}({arguments}))"
        elif name == "aclose":
            code = "self._release()"
        elif kind == "classmethod":
            if made.returns is None or head(made.returns) != "Self":
                module.fail(function, f"{name} is a class method and makes no instance")
            self.use(module.name, node.name)
            code = f"return cls._make({', '.join([f'{node.name}.{name}', *passed])})"
        elif isinstance(function, ast.AsyncFunctionDef) or kind == "property":
            code = self._plain(module, function, target, passed)
        else:
            code = self._faced(module, function, f"{target}({arguments})", "self._lease")
        made.body = self.body(module, function, code)
        return made

    def _entering(self, module: Module, function: Function, opened: list[str]) -> ast.stmt:
        """Return the method that gives the faces of what a context manager opens."""
        made, _ = self.signature(module, function, bound=True)
        made.name = "__enter__"
        if len(opened) != 1:
            module.fail(function, f"entering gives {', '.join(opened)}")
        made.body = ast.parse(f"return self.{ENTERED}({self.faces[opened[0]]})").body
        return made

    def _plain(self, module: Module, function: Function, target: str, passed: list[str]) -> str:
        """Return the code for a coroutine function, or for a property."""
        special = sorted(names_in(function.returns) & {*self.faces, "Self", "AsyncIterator"})
        if isinstance(function, ast.FunctionDef):
            if len(special) == 1 and special[0] in self.faces:
                return f"return self._resource({self.faces[special[0]]}, {target})"
            if not special:
                return f"return {target}"
        if special or function.returns is None:
            module.fail(function, f"{function.name} gives {', '.join(special)}")
        run = f"self._lease.run({', '.join([target, *passed])})"
        return run if ast.unparse(function.returns) == "None" else f"return {run}"

    def _faced_names(self, function: Function) -> list[str]:
        """Return the async classes that a function gives."""
        return sorted(names_in(function.returns) & set(self.faces))

    def _faced(self, module: Module, function: Function, call: str, lease: str) -> str:
        """Return the code that puts the face on what a plain function returns."""
        match sorted(names_in(function.returns) & {*self.faces, "Self", "AsyncIterator"}):
            case ["Self"]:
                return f"return self._view({call})"
            case ["AsyncIterator"]:
                return f"return {self.use(SUPPORT, 'SyncIterator')}({call}, {lease})"
            case [name]:
                has_own = BASES.get(name, PLAIN_BASE).own_lease
                return f"return {self.faces[name]}({call if has_own else f'{call}, {lease}'})"
            case _:
                returns = ast.unparse(function.returns or ast.Constant(None))
                return module.fail(function, f"{function.name} is not async and gives {returns}")

    def _without_overloads(self, siblings: list[ast.stmt], name: str, target: str) -> str:
        """Return what to call: where there are overloads, without a choice among them."""
        same = [node for node in siblings if isinstance(node, Function) and node.name == name]
        return f"{self.use(SUPPORT, 'any_overload')}({target})" if len(same) > 1 else target

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
            if wrong := names_in(function.args, function.returns) & set(self.faces):
                module.fail(function, f"{function.name} is async and has to do with {min(wrong)}")
            run = self.use(SUPPORT, "run_alone")
            made.body = self.body(module, function, f"return {run}({', '.join([target, *passed])})")
            return made
        target = self._without_overloads(module.tree.body, function.name, target)
        given = self._faced_names(function)
        if given and all(BASES.get(name, PLAIN_BASE).own_lease for name in given):
            code = self._faced(module, function, f"{target}({', '.join(passed)})", "")
        else:
            several = _iterated(function)
            if several is None:
                module.fail(function, f"{function.name} does not begin with clients")
            unwrap, leases = self.use(SUPPORT, "unwrap"), self.use(SUPPORT, "leases")
            call = f"{target}({', '.join([f'{unwrap}(every)', *passed[1:]])})"
            code = self._faced(module, function, call, f"*{leases}(every)")
            code = f"every = list({several})\n{code}"
        made.body = self.body(module, function, code)
        return made


def _iterated(function: Function) -> str | None:
    """Return the name of the first argument if it is several instances that users made."""
    match function.args.args:
        case [
            ast.arg(name, ast.Subscript(ast.Name("Iterable"), ast.Name(held))),
            *_,
        ] if BASES.get(held, PLAIN_BASE).made_by_users:
            return name
        case _:
            return None


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
        if head(node) == "Literal":
            self._writer.name(self._module, node, "Literal")
            return node
        return self.generic_visit(node)
