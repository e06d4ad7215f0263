"""A report as a picture: the repositories that store most, and the ages of images."""

from collections import Counter
from collections.abc import Mapping, Sequence
from io import BytesIO
from types import MethodType
from typing import TYPE_CHECKING, Any, Final, cast

from registry_async._report.rows import ReportContent, RepositoryTotals
from registry_async._report.text import registry_name
from registry_async._safe_text import visible
from registry_async._tables import UNITS, count_of, size_text
from registry_async.errors import ConfigurationError

if TYPE_CHECKING:
    from matplotlib.figure import Figure

__all__ = ["figure"]

# How many repositories have a bar.
_BARS: Final = 20
_TAGGED: Final = "#4477aa"
_PARTS: Final = "#ccbb44"
_UNTAGGED: Final = "#ee8866"
# More months than this are drawn as years.
_MONTHS: Final = 36
_YEARS: Final = 20
_AGE_LABELS: Final = 4
# Bars and ticks beyond this many units would be too much for what draws them.
_MOST: Final = 10**12


def figure(report: ReportContent) -> "Figure":
    """Draw image bytes by repository beside ages of images.

    Raises:
        ConfigurationError: matplotlib is not installed.
    """
    try:
        from matplotlib.figure import Figure
    except ImportError:
        raise ConfigurationError(
            "a plot needs matplotlib: pip install 'registry-async[plot]'"
        ) from None
    ranked = sorted(
        report.repositories,
        key=lambda row: (-row.total_size, row.client_label or "", row.registry, row.repository),
    )
    shown, rest = ranked[:_BARS], ranked[_BARS:]
    # Made without pyplot, which would keep every figure of the process alive. matplotlib's types
    # leave much open; Any says so once.
    drawn: Any = Figure(figsize=(12, max(3.2, 1.6 + 0.3 * len(shown))), layout="constrained")
    sizes, ages = drawn.subplots(1, 2, width_ratios=[3, 2])
    _draw_sizes(sizes, shown, rest)
    _draw_ages(ages, report)
    # Notebooks know figures only once pyplot was imported.
    drawn._repr_png_ = MethodType(_png, drawn)
    return cast("Figure", drawn)


def _png(drawn: Any) -> bytes:
    file = BytesIO()
    drawn.savefig(file, format="png")
    return file.getvalue()


def _shorten(text: str, length: int) -> str:
    # Fonts lack most of what is not ASCII; names in registries hold nothing else.
    text = visible(text).encode("ascii", "backslashreplace").decode()
    if len(text) <= length:
        return text
    half = (length - 3) // 2
    return f"{text[:half]}...{text[-half:]}"


def _draw_sizes(
    axes: Any, shown: Sequence[RepositoryTotals], rest: Sequence[RepositoryTotals]
) -> None:
    from matplotlib.ticker import MaxNLocator

    axes.set_title("Image bytes by repository, shared layers counted each time", loc="left")
    if not shown:
        _draw_nothing(axes)
        return
    # Round ticks are round in the unit that they are written in.
    unit = size_text(shown[0].total_size).partition(" ")[2]
    scale = 1024 ** UNITS.index(unit)
    labels = [_shorten(f"{registry_name(row, '/')}/{row.repository}", 44) for row in shown]
    places = range(len(shown))
    ends = [0.0] * len(shown)
    for color, label, values in (
        (_TAGGED, "tagged", [row.total_size - row.untagged_size for row in shown]),
        (_PARTS, "untagged, maybe parts", [row.possible_part_size for row in shown]),
        (_UNTAGGED, "untagged", [row.untagged_size - row.possible_part_size for row in shown]),
    ):
        widths = [_scaled(value, scale) for value in values]
        if any(widths) or label == "tagged":
            axes.barh(places, widths, left=ends, color=color, label=label)
        ends = [end + width for end, width in zip(ends, widths, strict=True)]
    axes.set_yticks(places, labels, parse_math=False)
    # The largest on top; few bars are not to look like walls.
    axes.set_ylim(max(len(shown), 5) - 0.5, -0.6)
    axes.xaxis.set_major_locator(MaxNLocator(6, steps=[1, 2, 5, 10]))
    axes.xaxis.set_major_formatter(f"{{x:g}} {unit}")
    axes.spines[["top", "right"]].set_visible(False)
    if any(row.untagged_size for row in shown):
        axes.legend(loc="upper center", bbox_to_anchor=(0.5, -0.08), ncols=3, frameon=False)
    if rest:
        # As a bar they would dwarf all others.
        size = size_text(sum(row.total_size for row in rest))
        axes.set_xlabel(f"and {count_of(len(rest), 'other')}, {size} together", loc="left")


def _scaled(size: int, scale: int) -> float:
    """Return a size in its unit. What no registry holds is drawn as a very long bar."""
    if abs(size) <= _MOST * scale:
        return size / scale
    return float(_MOST if size > 0 else -_MOST)


def _draw_ages(axes: Any, report: ReportContent) -> None:
    from matplotlib.ticker import MaxNLocator

    axes.set_title("Images by when they were built", loc="left")
    if not report.images_by_month:
        _draw_nothing(axes)
        return
    labels, counts = _ages(report.images_by_month)
    axes.bar(range(len(labels)), counts, color=_TAGGED, width=0.9)
    axes.set_xlim(-0.5, max(len(labels), 8) - 0.5)
    step = -(-len(labels) // _AGE_LABELS)
    axes.set_xticks(range(0, len(labels), step), labels[::step])
    axes.yaxis.set_major_locator(MaxNLocator(integer=True))
    axes.set_ylabel("images")
    axes.spines[["top", "right"]].set_visible(False)


def _ages(months: Mapping[str, int]) -> tuple[list[str], list[int]]:
    """Return bars without gaps: months, or years where there are many months."""
    numbers = {int(month[:4]) * 12 + int(month[5:]) - 1: count for month, count in months.items()}
    first, last = min(numbers), max(numbers)
    if last - first < _MONTHS:
        every = range(first, last + 1)
        return (
            [f"{number // 12}-{number % 12 + 1:02}" for number in every],
            [numbers.get(number, 0) for number in every],
        )
    years: Counter[int] = Counter()
    for number, count in numbers.items():
        years[number // 12] += count
    # A clock that was wrong once must not squeeze all others into one bar.
    oldest = max(min(years), max(years) - _YEARS + 1)
    early = sum(count for year, count in years.items() if year < oldest)
    every = range(oldest, max(years) + 1)
    bars = [(str(year), years[year]) for year in every]
    if early:
        bars.insert(0, ("older", early))
    return [label for label, _ in bars], [count for _, count in bars]


def _draw_nothing(axes: Any) -> None:
    axes.set_axis_off()
    axes.text(0.5, 0.5, "nothing", ha="center", va="center", color="gray", transform=axes.transAxes)
