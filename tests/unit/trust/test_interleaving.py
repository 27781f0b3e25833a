"""Two networks by turns: found when both are in use, never of somebody who moves."""

import math
import random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from trust.interleaving import CHANGES, WINDOW_SECONDS, Interleaving, at_once, used_from

few = settings(max_examples=100)
networks = st.sampled_from("ABC")
# Mostly two networks and short pauses, so that something is found at all.
steps = st.lists(
    st.tuples(st.sampled_from("AB") | networks, st.floats(0, 60) | st.floats(0, 400)), max_size=60
)


def accused(uses: list[tuple[str, float]]) -> list[bool]:
    """Whether each use, so long after the one before it, is found to be one of two at once."""
    track: Interleaving | None = None
    now, found = 1000.0, []
    for network, passed in uses:
        now += passed
        before, track = track, used_from(track, network, now)
        found.append(track is not before and at_once(track))
    return found


def test_turns_are_found_at_the_sixth_change() -> None:
    assert accused([(network, 10) for network in "ABABABA"]) == [False] * 6 + [True]
    assert accused([(network, 10) for network in "AABBBAABBABBAAA"])[-3]
    slow = [(network, WINDOW_SECONDS / 5 + 1) for network in "ABABABABABAB"]
    assert not any(accused(slow))


@pytest.mark.parametrize(
    "path", ["A", "AB", "ABA", "ABABAB", "ABCABCABC", "AABBCCDDEE", "ABCBABABAB"]
)
def test_who_moves_is_not_accused(path: str) -> None:
    assert not any(accused([(network, 1) for network in path]))


@given(steps)
@few
def test_fewer_than_six_changes_in_five_minutes_accuse_nobody(
    uses: list[tuple[str, float]],
) -> None:
    """Whatever is found, six changes between two networks lie within five minutes before it."""
    now, changes, last = 1000.0, list[tuple[float, frozenset[str]]](), None
    for (network, passed), found in zip(uses, accused(uses), strict=True):
        now += passed
        if last is not None and network != last:
            changes.append((now, frozenset((last, network))))
        last = network
        if found:
            latest = changes[-CHANGES:]
            assert len(latest) == CHANGES
            assert len({pair for _, pair in latest}) == 1
            assert now - latest[0][0] <= WINDOW_SECONDS


@pytest.mark.parametrize("size", [3, 4, 20])
def test_a_pool_of_many_networks_is_hardly_ever_accused(size: int) -> None:
    """A client behind a pool that gives each request another address, at random or by turns."""
    rng = random.Random(size)  # noqa: S311
    assert not any(accused([(str(n % size), 1) for n in range(200)]))
    for seconds in (1, 10, 30):
        found = accused([(str(rng.randrange(size)), seconds) for _ in range(10_000)])
        assert sum(found) <= 10


@given(st.lists(st.tuples(networks, st.floats(allow_nan=True)), max_size=40))
@few
def test_any_clock_keeps_one_size_and_needs_its_changes(uses: list[tuple[str, float]]) -> None:
    track: Interleaving | None = None
    for network, when in uses:
        before, track = track, used_from(track, network, when)
        assert len(track.changes) <= CHANGES
        if at_once(track) and track is not before:
            ages = [when - at for at in track.changes]
            assert all(0 <= age <= WINDOW_SECONDS for age in ages if not math.isnan(age))
            assert not math.isnan(when)


@given(steps, st.integers(1, 4))
@few
def test_using_it_again_from_the_same_network_changes_nothing(
    uses: list[tuple[str, float]], times: int
) -> None:
    repeated = [(use, n) for use in uses for n in range(times)]
    doubled = accused([(network, passed if n == 0 else 0.0) for (network, passed), n in repeated])
    assert doubled[::times] == accused(uses)
