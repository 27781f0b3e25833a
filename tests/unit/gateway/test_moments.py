"""Moments in nanoseconds, and as text, are those of datetime."""

from datetime import UTC, datetime, timedelta, timezone

from hypothesis import given
from hypothesis import strategies as st

from gateway.moments import datetime_of, nanoseconds_of, text_of

TIMES = st.integers(0, 2**62 // 1000).map(lambda microseconds: datetime_of(microseconds * 1000))


@given(TIMES)
def test_the_text_is_that_of_the_datetime_with_six_digits(time: datetime) -> None:
    plain = time.replace(tzinfo=None)
    assert text_of(nanoseconds_of(time)) == plain.isoformat(timespec="microseconds")


@given(TIMES, st.integers(0, 999))
def test_there_and_back_is_the_same_to_the_microsecond(time: datetime, more: int) -> None:
    assert datetime_of(nanoseconds_of(time) + more) == time


def test_a_zone_elsewhere_is_the_same_moment() -> None:
    here = datetime(2026, 11, 21, 5, 0, 0, 7, UTC)
    there = here.astimezone(timezone(timedelta(hours=2)))
    assert nanoseconds_of(there) == nanoseconds_of(here) == 1_795_237_200_000_007_000
    assert text_of(nanoseconds_of(there)) == "2026-11-21T05:00:00.000007"
