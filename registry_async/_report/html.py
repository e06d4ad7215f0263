"""A report as HTML: a part for notebooks, and a document that needs nothing beside it."""

from registry_async._report.columns import IMAGES, REGISTRIES, REPOSITORIES, shown
from registry_async._report.html_tables import facts, table
from registry_async._report.html_tables import fragment as _fragment
from registry_async._report.rows import ReportContent, garbage_of
from registry_async._report.text import (
    ROWS,
    error_lines,
    labelled,
    largest,
    quota_lines,
    summary_lines,
)
from registry_async._safe_text import html_text
from registry_async._tables import count_of, size_text

__all__ = ["document", "fragment"]


def document(report: ReportContent) -> str:
    """Return a whole document that needs nothing beside it."""
    finished = report.finished_at
    when = "" if finished is None else f" {finished.isoformat(' ', 'minutes')[:16]} UTC"
    return f"""<!DOCTYPE html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>Registry report{when}</title>
<style>body {{ margin: 2em auto; max-width: 84em; padding: 0 1em; color: #222; }}</style>
</head>
<body>
<h2 style="font: 600 1.5em system-ui, sans-serif">Registry report{when}</h2>
{fragment(report)}
</body>
</html>
"""


def fragment(report: ReportContent) -> str:
    """Return what a notebook shows of a report."""
    with_projects = labelled(report)
    parts = [_facts(report), _problems(report), *map(_note, summary_lines(report))]
    if report.registries:
        ranked = sorted(report.registries, key=lambda row: -row.size)
        columns = shown(REGISTRIES, labelled=with_projects)
        parts += ["<h3>Registries</h3>", table(columns, ranked)]
    if report.repositories:
        parts += ["<h3>Repositories</h3>", _repositories(report)]
    for title, images in (
        ("Largest images", report.largest_images),
        ("Oldest images", report.oldest_images),
    ):
        if images:
            rows = table(shown(IMAGES, labelled=with_projects), images)
            parts.append(f"<details><summary>{title}</summary>{rows}</details>")
    return _fragment(parts)


def _note(line: str) -> str:
    return f'<p class="note">{html_text(line)}</p>'


def _facts(report: ReportContent) -> str:
    counts = (
        count_of(report.registry_count, "registry", "registries"),
        count_of(report.repository_count, "repository", "repositories"),
        count_of(report.image_count, "image"),
    )
    figures = [(number, name) for number, _, name in (each.partition(" ") for each in counts)]
    figures.append((f"{report.untagged_count:,}", "untagged"))
    if report.possible_part_count:
        figures.append((f"{report.possible_part_count:,}", "of them maybe parts"))
    figures += [
        (size_text(report.stored_size), "stored"),
        (size_text(report.total_size), "image bytes"),
        (size_text(report.unique_size), "unique bytes"),
    ]
    garbage = garbage_of(report.registries)
    if garbage is not None:
        figures.append((size_text(garbage.non_referenced), "a collection would free"))
    return facts(figures)


def _problems(report: ReportContent) -> str:
    lines = [*quota_lines(report), *error_lines(report)]
    if not lines:
        return ""
    items = "".join(f"<div>{html_text(line)}</div>" for line in lines)
    return f'<div class="problems">{items}</div>'


def _repositories(report: ReportContent) -> str:
    rows, others = largest(report, ROWS)
    columns = shown(REPOSITORIES, labelled=labelled(report))
    rest: list[str] = []
    if others:
        count = count_of(len(others), "other", "others")
        rest = [
            count if column.name == "repository" else column.write(column.sum_of(others))
            for column in columns
        ]
    return table(columns, rows, rest)
