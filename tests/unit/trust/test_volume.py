"""What is far outside a key's own history: never for the young, the small or the steady."""

import math
import random

from hypothesis import given, settings
from hypothesis import strategies as st

from trust.volume import (
    FLOOR_REQUESTS,
    LEAST_HOURS,
    MEMORY_HOURS,
    WINDOW_HOURS,
    Volume,
    counting,
    in_words,
    is_unusual,
    most_usual,
)

NOW = 500_000
few = settings(max_examples=60)
counts = st.integers(1, 10**9)
hours = st.integers(NOW, NOW + WINDOW_HOURS - 1)
work = st.lists(st.tuples(hours, counts), max_size=30)
any_hour = st.integers(-10, 2**31) | st.integers(NOW - 60, NOW + 60)


def worked(history: list[int], volume: Volume | None = None, begins: int = NOW) -> Volume:
    """A key that made so many requests in each hour from `begins` on, then rested for a day."""
    volume = volume or Volume()
    for hour, number in enumerate(history, start=begins):
        if number:
            volume = counting(volume, hour, number, hour)
    # The first request after a day brings what was before it into the history.
    end = begins + len(history) + WINDOW_HOURS
    return counting(volume, end, 0, end)


def grown(*numbers: int, usual: int = 200, days: int = 5) -> list[bool]:
    """Whether each hour of sudden work after days of the usual is unusual at its end."""
    volume, begins = worked([usual] * 24 * days), NOW + 24 * days + WINDOW_HOURS
    found = []
    for hour, number in enumerate(numbers, start=begins):
        volume = counting(volume, hour, number, hour)
        found.append(is_unusual(volume, hour))
    return found


@given(work, st.data())
@few
def test_counts_commute_within_a_day(
    given_work: list[tuple[int, int]], data: st.DataObject
) -> None:
    before = worked([30] * 40, begins=NOW - 200)
    this_hour = NOW + WINDOW_HOURS
    ends = [before, before]
    for place, order in enumerate((given_work, data.draw(st.permutations(given_work)))):
        for hour, number in order:
            ends[place] = counting(ends[place], hour, number, this_hour)
    later = [counting(end, NOW + 100, 1, NOW + 100) for end in ends]
    # What had left the window by the last of them is the same too, once all of it has.
    assert later[0] == later[1]


@given(st.lists(st.tuples(any_hour, counts, any_hour.filter(lambda hour: hour >= 0)), max_size=30))
@few
def test_a_history_has_one_size_and_finite_numbers_at_any_clock(
    uses: list[tuple[int, int, int]],
) -> None:
    volume = Volume()
    for hour, number, clock in uses:
        volume = counting(volume, hour, number, clock)
        assert len(volume.counts) == WINDOW_HOURS
        assert 0 <= volume.hours <= MEMORY_HOURS
        assert math.isfinite(volume.mean) and math.isfinite(volume.variance)
        assert volume.mean >= 0 and volume.variance >= 0


@given(st.lists(counts, max_size=LEAST_HOURS - 1), counts)
@few
def test_a_young_key_is_never_accused(history: list[int], burst: int) -> None:
    volume = worked(history)
    assert most_usual(volume) is None
    hour = volume.newest_hour
    assert not is_unusual(counting(volume, hour, burst, hour), hour)
    assert "too young" in in_words(volume)


@given(st.lists(st.integers(0, FLOOR_REQUESTS), max_size=200))
@few
def test_a_small_key_is_never_accused_however_it_grows(history: list[int]) -> None:
    volume = Volume()
    for hour, number in enumerate(history, start=NOW):
        volume = counting(volume, hour, number, hour)
        assert not is_unusual(volume, hour)


@given(st.integers(1, 10**6), st.integers(30, 200), st.floats(0, 4))
@few
def test_four_times_the_usual_is_not_far_outside(usual: int, n: int, times: float) -> None:
    volume = worked([usual] * n)
    hour = volume.newest_hour
    assert not is_unusual(counting(volume, hour, int(usual * times), hour), hour)


def test_what_is_far_outside_is_found_the_same_hour_and_the_next_days() -> None:
    found = grown(*[3000] * 24 * 7)
    assert all(found[:48])
    assert not any(found[-24:])
    assert grown(800, 700, 801, 5000) == [False, False, True, True]


def test_who_grows_is_usual_again_after_some_days() -> None:
    """Eight times as much, in office hours: three working days are accused, and no more."""
    volume, accused = worked([200] * 80), set()
    for day in range(10, 30):
        for hour in range(NOW + 24 * day, NOW + 24 * day + 8):
            volume = counting(volume, hour, 1600, hour)
            if is_unusual(volume, hour):
                accused.add(day)
    assert accused == {10, 11, 12}


def test_heavy_tailed_honest_work_is_hardly_ever_accused() -> None:
    """Hours of lognormal size (sigma 1, median 200), two years of working days."""
    rng, volume, accused = random.Random(3), Volume(), set()  # noqa: S311
    for day in range(500):
        for hour in range(NOW + 24 * day, NOW + 24 * day + 8):
            volume = counting(volume, hour, int(rng.lognormvariate(math.log(200), 1)), hour)
            if is_unusual(volume, hour):
                accused.add(day)
    assert len(accused) <= 20  # days of 500


def test_a_clock_that_leapt_is_mended_and_what_comes_too_late_is_passed_over() -> None:
    leapt = counting(Volume(), NOW + 10**6, 5, NOW + 10**6)
    back = counting(leapt, NOW, 7, NOW)
    assert (back.newest_hour, back.counts[0]) == (NOW, 12)
    assert counting(back, NOW + 3, 9, NOW) is back
    assert counting(back, NOW - WINDOW_HOURS, 9, NOW) is back
    assert counting(back, NOW - WINDOW_HOURS + 1, 9, NOW).counts[-1] == 9


def test_it_says_what_is_usual() -> None:
    text = in_words(worked([200] * 40))
    assert text == (
        "In an hour of work it usually makes 200 requests (deviation 0); more than 800 would count "
        "as misuse."
    )
