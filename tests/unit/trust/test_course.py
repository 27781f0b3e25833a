"""A key's past is what was known then; its future follows the same rules as its life."""

from hypothesis import given
from hypothesis import strategies as st

from trust import strength
from trust.course import Supposed, as_of, future, past
from trust.parameters import Parameters
from trust.strength import DAY_SECONDS, HOUR_SECONDS, Misuse, State
from trust.tiers import Tier

NOW = 1_800_000_000.0
NEW = strength.issued(NOW, frozenset({"inference"}), Parameters())
Noted = list[tuple[int, Misuse | None]]
events = st.lists(st.tuples(st.integers(0, 200), st.sampled_from([None, *Misuse])), max_size=12)


def lived(noted: Noted) -> State:
    state = NEW
    for hour, kind in noted:
        at = NOW + hour * HOUR_SECONDS
        state = (
            strength.credit(state, at, "inference")
            if kind is None
            else strength.misuse(state, at, kind)
        )
    return state


@given(events, st.integers(0, 250))
def test_as_of_then_is_what_had_been_noted_by_then(noted: Noted, hour: int) -> None:
    moment = NOW + hour * HOUR_SECONDS
    before = lived([each for each in noted if each[0] <= hour])
    assert as_of(lived(noted), moment) == before
    assert strength.strength(as_of(lived(noted), moment), moment) == strength.strength(
        before, moment
    )


def test_the_past_begins_with_the_key_and_ends_now() -> None:
    points = past(lived([(0, None), (100, Misuse.REPLAY)]), NOW + 10 * DAY_SECONDS, 30, 20)
    assert (len(points), points[0][0], points[-1][0]) == (20, NOW, NOW + 10 * DAY_SECONDS)
    assert points[0][1] > 100
    assert min(value for _, value in points) < 60


def test_the_future_of_an_unused_key_is_three_falls() -> None:
    points = list(future(NEW, NOW, 60, Supposed()))
    tiers = [point.tier for point in points]
    assert sorted(tiers, reverse=True) == tiers
    assert set(tiers) == set(Tier)
    worked = list(future(NEW, NOW, 60, Supposed(8, 60)))
    assert {point.tier for point in worked} == {Tier.STRONG}
    hurt = list(future(NEW, NOW, 30, Supposed(8, 30, ((3, Misuse.REPLAY), (3, Misuse.VOLUME)))))
    assert hurt[3 * 24].tier is Tier.WEAK
    assert hurt[-1].tier is Tier.STRONG
