"""How many hedges there may be, and which of two engines ends a race."""

from typing import get_args

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.hedging import BURST, HEDGE_COSTS, Budget, State, decided

states = st.lists(st.sampled_from(get_args(State)), min_size=1, max_size=3)


@given(st.integers(1, 1000), st.lists(st.booleans(), max_size=400), st.data())
def test_of_any_requests_in_a_row_no_more_than_the_share_is_hedged(
    earned: int, slow: list[bool], data: st.DataObject
) -> None:
    budget, hedged = Budget(earned), []
    for is_slow in slow:
        budget = budget.asked()
        hedged.append(is_slow and budget.allows)
        if hedged[-1]:
            budget = budget.hedged()
        assert 0 <= budget.tokens <= BURST * HEDGE_COSTS
    begin = data.draw(st.integers(0, len(slow)))
    end = data.draw(st.integers(begin, len(slow)))
    assert sum(hedged[begin:end]) * HEDGE_COSTS <= BURST * HEDGE_COSTS + earned * (end - begin)


@given(st.floats(0.001, 1))
def test_a_share_of_the_requests_is_hedged_when_all_are_slow(share: float) -> None:
    budget, hedged, count = Budget.of(share), 0, 2000
    for _ in range(count):
        budget = budget.asked()
        if budget.allows:
            budget, hedged = budget.hedged(), hedged + 1
    # The share is kept to a thousandth, and there is one hedge to begin with.
    assert abs(hedged - share * count) <= 0.0005 * count + 2


def test_a_share_of_one_in_twenty_is_exactly_that() -> None:
    budget = Budget.of(0.05).hedged()
    for _ in range(19):
        budget = budget.asked()
    assert not budget.allows and budget.asked().allows


@given(states)
def test_whoever_answers_wins_and_nobody_is_given_up_while_one_is_out(found: list[State]) -> None:
    number = decided(found)
    if "answered" in found:
        assert number is not None and found[number] == "answered"
    elif "refused" in found:
        assert number is not None and found[number] == "refused"
    elif "out" in found:
        assert number is None
    else:
        assert number is not None
        # A timeout is told before any other failure: nobody else is asked after one.
        assert ("timed_out" in found) is (found[number] == "timed_out")


@pytest.mark.parametrize(
    ("found", "number"),
    [
        (["answered", "answered"], 0),
        (["failed", "out"], None),
        (["out", "refused"], 1),
        (["refused", "answered"], 1),
        (["failed", "failed"], 1),
        (["timed_out", "failed"], 0),
        (["timed_out"], 0),
    ],
)
def test_races_end_so(found: list[State], number: int | None) -> None:
    assert decided(found) == number
