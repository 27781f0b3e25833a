"""A key that a pass skips has not changed its tier."""

from hypothesis import given, settings
from hypothesis import strategies as st

from trust import strength
from trust.forecast import dormant_at, unchanged_until
from trust.parameters import Parameters
from trust.strength import DAY_SECONDS, HOUR_SECONDS, Misuse, State
from trust.tiers import Tier

NOW = 1_800_000_000.0
NEW = strength.issued(NOW, frozenset({"chat"}), Parameters())

days = st.floats(0, 60)


def lived(used: list[float], misused: list[tuple[float, Misuse]]) -> State:
    state = NEW
    for day in used:
        state = strength.credit(state, NOW + day * DAY_SECONDS, "chat")
    for day, kind in misused:
        state = strength.misuse(state, NOW + day * DAY_SECONDS, kind)
    return state


@given(
    st.lists(days, max_size=10),
    st.lists(st.tuples(days, st.sampled_from(Misuse)), max_size=4),
    st.floats(60, 120),
    st.booleans(),
    st.floats(0, 1),
)
@settings(max_examples=60)
def test_no_tier_changes_before_the_forecast(
    used: list[float],
    misused: list[tuple[float, Misuse]],
    day: float,
    rotated: bool,
    part: float,
) -> None:
    now = NOW + day * DAY_SECONDS
    state = strength.settle(lived(used, misused), now)
    state = strength.successor(state, now) if rotated else state
    until = unchanged_until(state, now)
    assert until >= now
    for when in (now + part * (until - now), until):
        assert strength.settle(state, when).tier == state.tier


def test_an_unused_key_is_read_a_few_times_in_its_life() -> None:
    """Not once an hour for 46 days: the forecast is as near as the hour when there is no misuse."""
    state, now, looks = NEW, NOW, 0
    while state.tier is not Tier.DORMANT:
        now = unchanged_until(state, now) + HOUR_SECONDS
        state, looks = strength.settle(state, now), looks + 1
    assert looks <= 6
    assert unchanged_until(state, now) > now + 300 * DAY_SECONDS


def test_a_revoked_key_need_not_be_read_again() -> None:
    assert unchanged_until(strength.revoke(NEW), NOW) > NOW + 300 * DAY_SECONDS


@given(
    st.lists(days, max_size=6),
    st.lists(st.tuples(days, st.sampled_from(Misuse)), max_size=4),
    st.floats(60, 100),
    st.booleans(),
)
@settings(max_examples=40, deadline=None)
def test_a_key_is_dormant_from_the_hour_that_was_foretold(
    used: list[float], misused: list[tuple[float, Misuse]], day: float, rotated: bool
) -> None:
    """Looked at every hour from now on, it is dormant then and was not before."""
    now = NOW + day * DAY_SECONDS
    state = strength.settle(lived(used, misused), now)
    state = strength.successor(state, now) if rotated else state
    foretold = dormant_at(state, now)
    if state.tier is Tier.DORMANT:
        assert foretold is None
        return
    assert foretold is not None
    for hour in range(80 * 24):
        when = now + hour * HOUR_SECONDS
        found = strength.settle(state, when)
        if found.tier is Tier.DORMANT:
            assert when == foretold
            return
        # Only falls matter here: a key that rises in between is dormant no sooner.
        state = found if found.tier < state.tier else state
    raise AssertionError("never dormant")
