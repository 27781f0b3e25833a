"""Moments on a request's path: nanoseconds since 1970 (`time.time_ns`), text when written.

A datetime is an object for each, and its text is made anew each time; of a moment's text all but
the microseconds stands for a second.
"""

from datetime import UTC, datetime, timedelta
from typing import Final

_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)


class _Last:
    """The second written last, and its text: replaced together, so that threads may share it."""

    __slots__ = ("second",)

    def __init__(self) -> None:
        self.second: tuple[int, str] = (-1, "")


_LAST: Final = _Last()


def text_of(nanoseconds: int) -> str:
    """Its day and time of day in UTC, always with six digits: `2026-11-21T05:00:00.012345`."""
    microseconds = nanoseconds // 1000
    seconds = microseconds // 1_000_000
    known, text = _LAST.second
    if seconds != known:
        text = datetime.fromtimestamp(seconds, UTC).strftime("%Y-%m-%dT%H:%M:%S")
        _LAST.second = seconds, text
    # The digits of a million more are those of the rest, with the zeros in front.
    return f"{text}.{str(microseconds - seconds * 1_000_000 + 1_000_000)[1:]}"


def nanoseconds_of(time: datetime) -> int:
    """The same moment as `time`, which has a zone."""
    return (time - _EPOCH) // timedelta(microseconds=1) * 1000


def datetime_of(nanoseconds: int) -> datetime:
    """The same moment as a datetime in UTC, to the microsecond."""
    return _EPOCH + timedelta(microseconds=nanoseconds // 1000)
