"""Where results go: formats, files that are whole or not there, and standard output."""

import errno
import os
import secrets
import shutil
import stat
import sys
from collections.abc import Callable, Generator, Mapping, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, Literal, TextIO, TypeVar, cast

import click
from attrs import asdict, frozen

from registry_async._safe_text import html_text, json_text, visible, write_csv
from registry_async.cli._ending import DONE, FAILED, USAGE, CommandError, complain, say
from registry_async.cli._framework import settings
from registry_async.cli._table import Column, table_lines

if TYPE_CHECKING:
    from registry_async._plain import PlainData

__all__ = [
    "Target",
    "check_output",
    "opened",
    "output_options",
    "styled",
    "write_item",
    "write_items",
]

F = TypeVar("F", bound=Callable[..., Any])

Format = Literal["table", "json", "jsonl", "csv", "html"]
FORMATS: Final[tuple[Format, ...]] = ("table", "json", "jsonl", "csv", "html")
_ENDINGS: Final[Mapping[str, Format]] = {
    ".json": "json",
    ".jsonl": "jsonl",
    ".ndjson": "jsonl",
    ".csv": "csv",
    ".html": "html",
    ".htm": "html",
}


@frozen
class Target:
    """Where a result goes.

    Attributes:
        format: The format.
        path: The file; None for standard output.
    """

    format: Format
    path: Path | None = None

    @property
    def on_screen(self) -> bool:
        """Whether somebody sees it as it is written."""
        return self.format == "table" and self.path is None


def output_options(*formats: Format, **others: str) -> Callable[[F], F]:
    """Give a command ``--format`` and ``--output``, which reach it as ``target``.

    Args:
        formats: What the command can write; all by default.
        others: Short options for formats, such as ``json="--json"``.
    """
    choices = formats or FORMATS

    def decorate(function: F) -> F:
        function = click.option(
            "--output",
            type=click.Path(path_type=Path),
            metavar="FILE",
            help="Write to a file, whole or not at all; its ending tells the format.",
        )(function)
        for name, option in others.items():
            words = f"Short for --format {name}."
            function = click.option(option, "kind", flag_value=name, help=words)(function)
        return click.option(
            "--format",
            "kind",
            type=click.Choice(choices),
            metavar="FORMAT",
            help=f"How to write it: {', '.join(choices)}; the first by default.",
        )(function)

    return decorate


def target_of(given: Mapping[str, Any], default: Format = "table") -> Target:
    """Return where the result goes, and check that there is a place for it.

    Args:
        given: The arguments of the command.
        default: The format, where neither an option nor the ending of the file tells it.
    """
    output: Path | None = given["output"]
    kind: Format | None = given["kind"]
    if kind is None and output is not None:
        kind = _ENDINGS.get(output.suffix.lower())
    check_output(output)
    return Target(kind or default, output)


def check_output(path: Path | None) -> None:
    """Find out before the work, which may take an hour, whether there is a place for its result."""
    if path is None:
        if sys.stdout is None:
            raise CommandError("standard output is closed: give --output", USAGE)
        return
    if path.is_dir():
        code = errno.EISDIR
    elif not path.exists() and not path.parent.is_dir():
        code = errno.ENOTDIR if path.parent.exists() else errno.ENOENT
    elif not os.access(path.parent if _is_replaced(path) else path, os.W_OK):
        code = errno.EACCES
    else:
        return
    raise OSError(code, os.strerror(code), str(path))


def _is_replaced(path: Path) -> bool:
    # Pipes and devices cannot be replaced; they are written to.
    return not path.exists() or path.is_file()


@contextmanager
def opened(target: Target) -> Generator[TextIO]:
    """Open the place of a result. A file appears when the block has ended well."""
    if target.path is None:
        with _standard_output(target) as file:
            yield file
    elif not _is_replaced(target.path):
        with target.path.open("w", encoding="utf-8", newline="") as file:
            yield file
    else:
        path = target.path.resolve()
        beside = path.with_name(f".{path.name}.{secrets.token_hex(4)}.tmp")
        try:
            with beside.open("x", encoding="utf-8", newline="") as file:
                yield file
            if path.exists():
                beside.chmod(stat.S_IMODE(path.stat().st_mode))
            beside.replace(path)
        except BaseException:
            with suppress(FileNotFoundError):
                beside.unlink()
            raise


@contextmanager
def _standard_output(target: Target) -> Generator[TextIO]:
    # A stand-in for standard output need not have this method.
    reconfigure = getattr(sys.stdout, "reconfigure", None)
    if reconfigure is not None and target.format == "table":
        # A letter that a terminal lacks is no reason to show nothing.
        reconfigure(errors="backslashreplace")
    elif reconfigure is not None:
        # Machines read the same text in every environment.
        reconfigure(encoding="utf-8", newline="")
    try:
        yield sys.stdout
        sys.stdout.flush()
    except BrokenPipeError:
        # The reader has seen enough. Python would complain once more when it exits.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


def styled(file: TextIO) -> bool:
    """Say whether escape sequences are welcome in a stream."""
    return file.isatty() and not os.environ.get("NO_COLOR") and os.environ.get("TERM") != "dumb"


def _width(file: TextIO) -> int | None:
    return shutil.get_terminal_size().columns if file.isatty() else None


def write_items(
    target: Target,
    columns: Sequence[Column],
    items: Sequence[Any],
    *,
    what: str,
    filtered: bool = False,
    labels: Sequence[str | None] | None = None,
) -> int:
    """Write a list, and return the exit code.

    Args:
        target: Where it goes.
        columns: What is shown of an item.
        items: The items.
        what: What they are, such as ``registries``.
        filtered: Whether the caller asked for some of them only; then none is a failure.
        labels: The project of each item, where there are several.
    """
    if not items and filtered:
        return complain(f"no {what} match", FAILED)
    if not items and target.on_screen and not settings().quiet:
        say(f"There are no {what}.")
        return DONE
    rows = list(zip(labels or [None] * len(items), items, strict=True))
    shown = list(columns)
    if labels is not None:
        shown = [Column("project", _first), *(each.of_second() for each in columns)]
        chosen: Sequence[Any] = rows
    else:
        chosen = items
    with opened(target) as file:
        if target.format == "table":
            width = _width(file)
            for line in table_lines(shown, chosen, width=width, bold=styled(file)):
                file.write(f"{line}\n")
        elif target.format == "csv":
            write_csv(
                file,
                [each.name for each in shown],
                ([each.get(item) for each in shown] for item in chosen),
            )
        elif target.format == "html":
            file.write(_html(what, shown, chosen))
        else:
            documents = [_document(item, label, labels is not None) for label, item in rows]
            if target.format == "json":
                file.write(json_text(documents) + "\n")
            else:
                file.writelines(json_text(each, indent=None) + "\n" for each in documents)
    return DONE


def _first(row: tuple[str | None, Any]) -> object:
    return row[0]


def _document(item: Any, label: str | None, labelled: bool) -> object:
    if isinstance(item, str):
        return {"project": label, "name": item} if labelled else item
    from registry_async._plain import PlainData, to_dict

    document = to_dict(item) if isinstance(item, PlainData) else asdict(item)
    return {"project": label, **document} if labelled else document


def write_item(target: Target, columns: Sequence[Column], item: Any, *, what: str) -> int:
    """Write one thing, and return the exit code: a line a field as a table, an object as JSON."""
    from registry_async._plain import to_dict

    if target.format in ("csv", "html"):
        return write_items(target, columns, [item], what=what)
    with opened(target) as file:
        if target.format == "table":
            width = max(len(each.heading) for each in columns)
            for each in columns:
                text = visible(each.text(item))
                file.write(f"{each.heading:{width}}  {text}".rstrip() + "\n")
        else:
            document = to_dict(cast("PlainData", item))
            indent = 2 if target.format == "json" else None
            file.write(json_text(document, indent=indent) + "\n")
    return DONE


_PAGE: Final = """\
<!DOCTYPE html>
<html lang="en"><head><meta charset="utf-8"><title>{title}</title>
<style>
body {{ font: 14px system-ui, sans-serif; margin: 2em; }}
table {{ border-collapse: collapse; }}
th, td {{ padding: 0.3em 0.8em; text-align: left; border-bottom: 1px solid #ddd; }}
td.number, th.number {{ text-align: right; font-variant-numeric: tabular-nums; }}
</style></head><body><h1>{title}</h1><table>
<thead><tr>{head}</tr></thead>
<tbody>
{body}
</tbody></table></body></html>
"""


def _html(what: str, columns: Sequence[Column], items: Sequence[Any]) -> str:
    def cell(tag: str, column: Column, text: str) -> str:
        kind = ' class="number"' if column.is_number else ""
        return f"<{tag}{kind}>{html_text(text)}</{tag}>"

    head = "".join(cell("th", each, each.heading) for each in columns)
    body = "\n".join(
        f"<tr>{''.join(cell('td', each, each.text(item)) for each in columns)}</tr>"
        for item in items
    )
    return _PAGE.format(title=html_text(what.capitalize()), head=head, body=body)
