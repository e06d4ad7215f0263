"""Put docstrings in sync words."""

import ast
import re
import textwrap
from collections.abc import Mapping
from typing import Final

from registry_async._generate_sync.reading import Function, Module

__all__ = ["PHRASES", "WIDTH", "docstring_of"]

WIDTH: Final = 100

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


def docstring_of(module: Module, node: ast.ClassDef | Function) -> tuple[ast.Expr, set[str]]:
    """Return a docstring in sync words, and the phrases of `PHRASES` that it had."""
    text = ast.get_docstring(node, clean=False)
    if text is None:
        module.fail(node, f"{node.name} has no docstring")
    remaining = text
    met: set[str] = set()
    for phrase, replacement in PHRASES.items():
        pattern = re.compile(r"\s+".join(map(re.escape, phrase.split())))
        remaining = pattern.sub("", remaining)
        while found := pattern.search(text):
            met.add(phrase)
            text = _with_sentence(found, replacement)
    for word, replacement in WORDS.items():
        text = re.sub(rf"\b{word}", replacement, text)
        remaining = re.sub(rf"\b{word}", replacement, remaining)
    if foreign := FOREIGN_WORDS.search(remaining):
        module.fail(node, f"the docstring of {node.name} speaks of {foreign[0]!r}")
    if any(len(line) > WIDTH for line in text.splitlines()):
        module.fail(node, f"the docstring of {node.name} gets too wide")
    return ast.Expr(ast.Constant(text)), met


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
