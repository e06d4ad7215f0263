"""The commands about reports that scans have written."""

import sys
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import attrs
import click

from registry_async._safe_text import json_text, visible_lines
from registry_async.cli._ending import DONE, checking
from registry_async.cli._framework import Group
from registry_async.cli._output import opened, output_options, target_of
from registry_async.cli._scan import write_report

if TYPE_CHECKING:
    from registry_async._report import ScanReport

_FILE: Final = click.Path(exists=True, dir_okay=False, allow_dash=True, path_type=Path)

report: Final = Group("report", help="Show and compare the reports that scan --format json writes.")


def _load(path: Path) -> "ScanReport":
    from registry_async._report import ScanReport

    data = sys.stdin.buffer.read() if str(path) == "-" else path.read_bytes()
    with checking(path):
        return ScanReport.from_json(data)


def _plain(owner: object, attribute: object, value: object) -> object:
    return value.isoformat() if isinstance(value, datetime) else value


@report.command("show")
@click.argument("file", type=_FILE)
@output_options()
def show(file: Path, **given: Any) -> int:
    """Show a report in another format; - is standard input."""
    target = target_of(given)
    write_report(_load(file), target)
    return DONE


@report.command("diff")
@click.argument("before", type=_FILE)
@click.argument("after", type=_FILE)
@output_options("table", "json", "html")
def diff(before: Path, after: Path, **given: Any) -> int:
    """Show what changed from one report to a later one."""
    target = target_of(given)
    changes = _load(after).diff(_load(before))
    with opened(target) as out:
        match target.format:
            case "json":
                out.write(json_text(attrs.asdict(changes, value_serializer=_plain)) + "\n")
            case "html":
                body = changes._repr_html_()  # pyright: ignore[reportPrivateUsage]
                head = '<!DOCTYPE html>\n<html lang="en"><head><meta charset="utf-8">'
                out.write(f"{head}<title>Changes</title></head><body>{body}</body></html>\n")
            case _:
                out.write(visible_lines(str(changes)) + "\n")
    return DONE
