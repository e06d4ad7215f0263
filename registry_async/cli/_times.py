"""When tokens end, as people write it."""

import re
from datetime import UTC, datetime, timedelta
from typing import Any, Final

import click
from attrs import frozen

__all__ = ["END", "End"]

_SPAN: Final = re.compile(r"(\d{1,5})([hdwy])")
_HOURS: Final = {"h": 1, "d": 24, "w": 24 * 7, "y": 24 * 365}


@frozen
class End:
    """When a token ends.

    Attributes:
        at: The time; None for never.
    """

    at: datetime | None


class _End(click.ParamType["End"]):
    name = "time"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> End:
        if isinstance(value, End):
            return value
        text = str(value).strip()
        if text == "never":
            return End(None)
        if span := _SPAN.fullmatch(text):
            hours = int(span[1]) * _HOURS[span[2]]
            return End(datetime.now(UTC).replace(microsecond=0) + timedelta(hours=hours))
        try:
            moment = datetime.fromisoformat(text)
        except ValueError:
            self.fail(f"{text!r} is no time: write 90d, 2030-01-31, 2030-01-31T12:00Z or never")
        if len(text) <= len("2030-01-31"):
            moment = moment.replace(tzinfo=UTC)
        if moment.utcoffset() is None:
            self.fail(f"{text!r} has no time zone: add Z for UTC")
        return End(moment)


END: Final = _End()
