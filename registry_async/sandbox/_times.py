"""Wall-clock times as the service writes them: RFC 3339, UTC, nine fractional digits."""

import re
from datetime import UTC, datetime, timedelta

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_SECOND = 1_000_000_000
_RFC3339 = re.compile(
    r"(\d{4})-(\d{2})-(\d{2})[Tt](\d{2}):(\d{2}):(\d{2})(?:\.(\d+))?(?:[Zz]|([+-])(\d{2}):(\d{2}))",
    re.ASCII,
)

# What a Go backend writes for a time that nobody set.
ZERO_TIME = "0001-01-01T00:00:00Z"


def nanoseconds(moment: datetime) -> int:
    """Give the nanoseconds between 1970 and an aware datetime."""
    since = moment - _EPOCH
    return (since.days * 86_400 + since.seconds) * _SECOND + since.microseconds * 1_000


def parse_time(text: str) -> int:
    """Read an RFC 3339 time into nanoseconds since 1970.

    Args:
        text: The time, with any offset and any number of fractional digits (nine are kept).

    Returns:
        Nanoseconds since 1970, negative before it.

    Raises:
        ValueError: If it is not a time, or lies outside the years 1 to 9999 in UTC.
    """
    match = _RFC3339.fullmatch(text)
    if match is None:
        raise ValueError(f"not an RFC 3339 time: {text!r}")
    year, month, day, hour, minute, second = (int(part) for part in match.group(1, 2, 3, 4, 5, 6))
    fraction = int((match[7] or "").ljust(9, "0")[:9])
    offset = timedelta(hours=int(match[9] or 0), minutes=int(match[10] or 0))
    if offset >= timedelta(hours=24) or int(match[10] or 0) > 59:
        raise ValueError(f"not an RFC 3339 offset: {text!r}")
    local = datetime(year, month, day, hour, minute, second, tzinfo=UTC)
    try:
        moment = local + offset if match[8] == "-" else local - offset
    except OverflowError as error:
        raise ValueError(f"outside the years 1 to 9999: {text!r}") from error
    return nanoseconds(moment) + fraction


def format_time(moment: int) -> str:
    """Write nanoseconds since 1970 as Go does: no trailing zeros, no point without a fraction."""
    seconds, fraction = divmod(moment, _SECOND)
    whole = (_EPOCH + timedelta(seconds=seconds)).replace(tzinfo=None).isoformat()
    return f"{whole}.{fraction:09d}".rstrip("0").rstrip(".") + "Z"
