"""Key strength: bounded, order-free, blind to whoever lacks the secret, and final once revoked."""

import ast
import inspect
import math
import random
from dataclasses import fields, replace
from itertools import pairwise
from typing import Any, get_type_hints

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from pydantic import SecretBytes

from trust import (
    apikeys,
    explained,
    interleaving,
    parameters,
    strength,
    tiers,
    traces,
    volume,
)
from trust.errors import InvalidApiKey
from trust.parameters import Parameters
from trust.strength import DAY_SECONDS, HOUR_SECONDS, LATEST_SECONDS, Misuse, State
from trust.tiers import ALLOWANCES, NOTHING, Tier

NOW = 1_800_000_000.0
SCOPES = frozenset({"chat", "council", "models"})
NEW = strength.issued(NOW, SCOPES, Parameters())
KEY = apikeys.new_key(bytes(range(40)))
PEPPER = apikeys.Pepper.parse("cd" * 32)

any_time = st.floats(0, LATEST_SECONDS) | st.floats(NOW - 40 * DAY_SECONDS, NOW + 40 * DAY_SECONDS)
scopes = st.sampled_from(sorted(SCOPES))
few = settings(max_examples=50)
uses = st.lists(st.tuples(any_time, scopes | st.sampled_from(Misuse)), max_size=25)


def after(state: State, events: list[tuple[float, Any]]) -> State:
    for when, what in events:
        act = strength.misuse if isinstance(what, Misuse) else strength.credit
        state = act(state, when, what)
    return state


# Whoever has no secret


class Door:
    """The way in as a gateway has it: strength hears only of secrets that were found right."""

    def __init__(self) -> None:
        self.state = NEW
        self.stored = apikeys.digest(KEY.secret, PEPPER)

    def request(self, text: str, when: float, scope: str) -> bool:
        try:
            key = apikeys.parse(text)
        except InvalidApiKey:
            return False
        if key.id != KEY.id or not apikeys.matches(key, self.stored, PEPPER):
            return False
        granted = scope in self.state.scopes
        self.state = (
            strength.credit(self.state, when, scope)
            if granted
            else strength.misuse(self.state, when, Misuse.FORBIDDEN_SCOPE)
        )
        return granted


guesses = st.binary(min_size=32, max_size=32).filter(
    lambda secret: secret != KEY.secret.get_secret_value()
)
texts = st.text(max_size=70) | guesses.map(
    lambda secret: replace(KEY, secret=SecretBytes(secret)).reveal()
)


@given(st.lists(st.tuples(texts, any_time, scopes | st.just("admin")), max_size=20))
@few
def test_nobody_without_the_secret_changes_a_key_or_its_holders_success(
    attempts: list[tuple[str, float, str]],
) -> None:
    door, untouched = Door(), Door()
    for text, when, scope in attempts:
        assert not door.request(text, when, scope)
    assert door.state == untouched.state
    later = NOW + DAY_SECONDS
    assert door.request(KEY.reveal(), later, "chat") == untouched.request(
        KEY.reveal(), later, "chat"
    )
    assert door.state == untouched.state


def test_the_interface_has_no_way_in_for_a_failed_secret() -> None:
    """Whoever adds a function that changes a state must come here and say whose act it is."""
    returns_a_state = {
        name
        for name, function in inspect.getmembers(strength, inspect.isfunction)
        if function.__module__ == strength.__name__
        and not name.startswith("_")
        and get_type_hints(function).get("return") is State
    }
    verified, owner_or_time = {"credit", "misuse"}, {"issued", "successor", "revoke", "settle"}
    assert returns_a_state == verified | owner_or_time
    assert {kind.name for kind in Misuse} == {
        "FORBIDDEN_SCOPE",
        "FORBIDDEN_MODEL",
        "VOLUME",
        "REPLAY",
        "DISTANT_SOURCES",
    }


@pytest.mark.parametrize("kind", ["failed_secret", "FORBIDDEN_SCOPE", None, 1])
def test_only_the_listed_kinds_are_misuse(kind: Any) -> None:
    with pytest.raises(ValueError):
        strength.misuse(NEW, NOW, kind)


def test_work_under_a_scope_that_was_not_granted_is_never_credited() -> None:
    with pytest.raises(ValueError):
        strength.credit(NEW, NOW, "admin")


def test_it_is_pure() -> None:
    """No module of it can reach a clock, a file, a socket or randomness."""
    for module in (strength, tiers, traces, explained, parameters, volume, interleaving):
        for node in ast.walk(ast.parse(inspect.getsource(module))):
            names = [a.name for a in node.names] if isinstance(node, ast.Import) else []
            names += [str(node.module)] if isinstance(node, ast.ImportFrom) else []
            for name in names:
                assert name.startswith("trust.") or name in {
                    "math",
                    "dataclasses",
                    "enum",
                    "functools",
                    "itertools",
                    "typing",
                }, name


# Bounds


@given(uses, any_time)
@few
def test_strength_is_in_bounds_after_any_uses_at_any_clock(
    events: list[tuple[float, Any]], when: float
) -> None:
    state = after(NEW, events)
    for one in (state, strength.settle(state, when), strength.successor(state, when)):
        assert 1.0 <= strength.strength(one, when) <= 150.0
        assert 0.0 <= strength.usage(one, when) <= 1.0
        assert 0.0 <= strength.misuse_points(one, when) <= 14.0
        assert one.tier in Tier


@pytest.mark.long
def test_a_million_uses_at_any_clock_stay_in_bounds_and_in_the_same_size() -> None:
    """Twenty an hour for nearly six years, with a clock that is lost every thousand uses: it goes
    back, leaps, stands at its first or last second. A state never grows.
    """
    rng = random.Random(5)  # noqa: S311
    lost = [0.0, LATEST_SECONDS, NOW - 40 * DAY_SECONDS, NOW + 400 * DAY_SECONDS, NOW + 9e9]
    state, now = NEW, NOW
    for use in range(1_000_000):
        now = NOW + use * 180
        when = rng.choice(lost) if use % 1000 == 999 else now
        state = strength.credit(state, when, "chat")
        if use % 1000 in (998, 999):
            for moment in (when, now, *lost):
                assert 1.0 <= strength.strength(state, moment) <= 150.0
            assert all(trace.mask.bit_length() <= 28 * 24 for trace in state.credits)
            state = strength.settle(state, now)
    assert strength.strength(state, now) < 150.0


def test_a_thief_cannot_bank_strength_by_using_a_key_harder() -> None:
    """However much it was used, a key left alone is dormant before two months have passed."""
    events = [(NOW + hour * HOUR_SECONDS, s) for hour in range(24 * 28) for s in SCOPES]
    state, end = after(NEW, events), NOW + 28 * DAY_SECONDS
    assert strength.settle(state, end + 50 * DAY_SECONDS).tier is Tier.DORMANT


@pytest.mark.parametrize("when", [math.nan, math.inf, -math.inf, -1.0, 1e300])
def test_what_is_no_time_is_refused_everywhere(when: float) -> None:
    for call in (
        lambda: strength.issued(when, SCOPES, Parameters()),
        lambda: strength.credit(NEW, when, "chat"),
        lambda: strength.misuse(NEW, when, Misuse.REPLAY),
        lambda: strength.strength(NEW, when),
        lambda: strength.settle(NEW, when),
        lambda: strength.successor(NEW, when),
        lambda: explained.explain(NEW, when),
    ):
        with pytest.raises(ValueError):
            call()


def test_a_clock_that_leapt_a_century_is_mended_and_makes_no_key_young_for_ever() -> None:
    century = NOW + 100 * 365 * DAY_SECONDS
    leapt = strength.credit(strength.settle(NEW, century), century, "chat")
    leapt = strength.misuse(leapt, century, Misuse.REPLAY)
    back = strength.settle(leapt, NOW + HOUR_SECONDS)
    assert strength.idle_days(back, NOW + DAY_SECONDS) > 0.9
    assert strength.misuse_points(back, NOW + HOUR_SECONDS) == pytest.approx(3)
    assert strength.settle(back, NOW + 60 * DAY_SECONDS).tier is Tier.DORMANT
    used = strength.settle(strength.credit(back, NOW + 2 * DAY_SECONDS, "chat"), NOW)
    assert strength.idle_days(used, NOW + 2 * DAY_SECONDS) < 2.1


# Order and repetition


@given(uses, st.data(), any_time)
@few
def test_credits_and_misuses_commute(
    events: list[tuple[float, Any]], data: st.DataObject, when: float
) -> None:
    shuffled = data.draw(st.permutations(events))
    one, other = after(NEW, events), after(NEW, shuffled)
    assert one == other
    assert strength.strength(one, when) == strength.strength(other, when)


@given(uses)
@few
def test_reporting_twice_is_reporting_once(events: list[tuple[float, Any]]) -> None:
    once = after(NEW, events)
    assert after(once, events) == once
    assert after(NEW, [event for event in events for _ in range(2)]) == once


@given(st.floats(0, 3599.9), st.floats(0, 3599.9), scopes)
def test_an_hour_credits_a_scope_once_and_costs_nothing_after(
    first: float, second: float, scope: str
) -> None:
    state = strength.credit(NEW, NOW + first, scope)
    assert strength.credit(state, NOW + second, scope) is state


@given(any_time, st.sampled_from(Misuse), st.floats(0, 1))
def test_a_kind_counts_once_in_its_period(when: float, kind: Misuse, part: float) -> None:
    period = kind.period_hours * HOUR_SECONDS
    first = when // period * period
    once = strength.misuse(NEW, first, kind)
    last = min(LATEST_SECONDS, first + part * (period - 1))
    assert strength.misuse(once, last, kind) is once
    assert strength.counted_hour(kind, last) * HOUR_SECONDS == first


@given(uses, any_time)
@few
def test_settling_twice_is_settling_once(events: list[tuple[float, Any]], when: float) -> None:
    settled = strength.settle(after(NEW, events), when)
    assert strength.settle(settled, when) == settled


# Direction


@given(
    st.lists(st.tuples(st.floats(0, 30), scopes), max_size=20),
    st.floats(0, 400),
    st.floats(0, 400),
)
def test_an_idle_key_only_gets_weaker(
    used: list[tuple[float, str]], first: float, second: float
) -> None:
    state = after(NEW, [(NOW + day * DAY_SECONDS, scope) for day, scope in used])
    early, late = sorted((NOW + 31 * DAY_SECONDS + days * DAY_SECONDS) for days in (first, second))
    assert strength.strength(state, late) <= strength.strength(state, early)


@given(uses, st.floats(NOW, NOW + 90 * DAY_SECONDS), st.sampled_from(Misuse), st.floats(0, 90))
@few
def test_misuse_only_weakens_now_and_later(
    events: list[tuple[float, Any]], when: float, kind: Misuse, days: float
) -> None:
    events = [event for event in events if event[0] <= when]
    state, later = after(NEW, events), when + days * DAY_SECONDS
    worse = strength.misuse(state, when, kind)
    assert strength.strength(worse, later) <= strength.strength(state, later)
    assert strength.settle(worse, later).tier <= strength.settle(state, later).tier


@given(uses, st.floats(NOW, NOW + 90 * DAY_SECONDS), scopes, st.floats(0, 90))
@few
def test_a_credit_never_weakens(
    events: list[tuple[float, Any]], when: float, scope: str, days: float
) -> None:
    events = [event for event in events if event[0] <= when]
    state, later = after(NEW, events), when + days * DAY_SECONDS
    better = strength.credit(state, when, scope)
    assert strength.strength(better, later) >= strength.strength(state, later) - 1e-9


def test_misuse_fades_and_the_key_recovers_by_rest() -> None:
    bad = after(NEW, [(NOW, Misuse.REPLAY), (NOW, Misuse.DISTANT_SOURCES)])
    assert strength.settle(bad, NOW).tier is Tier.DORMANT
    bad = strength.settle(bad, NOW)
    held = []
    for day in range(16):
        now = NOW + day * DAY_SECONDS
        bad = strength.settle(strength.credit(bad, now, "chat"), now)
        held.append(bad.tier)
    assert held[0] is Tier.DORMANT
    assert held == sorted(held)
    assert held[-1] is Tier.STRONG


# Tiers


def test_an_unused_key_is_dormant_after_a_month_and_a_half_and_not_before_a_month() -> None:
    held = {day: strength.settle(NEW, NOW + day * DAY_SECONDS).tier for day in (5, 15, 30, 40, 47)}
    assert held == {
        5: Tier.STRONG,
        15: Tier.NORMAL,
        30: Tier.WEAK,
        40: Tier.WEAK,
        47: Tier.DORMANT,
    }


@given(
    st.sampled_from(Tier),
    st.sampled_from([20.0, 40.0, 70.0]),
    st.lists(st.floats(-1, 1), max_size=50),
)
def test_hysteresis_does_not_flap(held: Tier, line: float, trembling: list[float]) -> None:
    """A strength that trembles by one around any line of a tier changes the tier at most once."""
    seen = []
    for step in trembling:
        after_look = tiers.next_tier(
            held, line + step, falls_below=(20.0, 40.0, 70.0), rises_at=1.25
        )
        seen += [after_look] if after_look != held else []
        held = after_look
    falls_and_rises = [b > a for a, b in pairwise(seen)]
    assert falls_and_rises == sorted(falls_and_rises, reverse=True)
    assert len(seen) <= 3


@given(st.lists(st.floats(0, 20), min_size=1, max_size=40), uses)
@few
def test_a_tier_rises_one_step_a_day_at_most(
    gaps_hours: list[float], events: list[tuple[float, Any]]
) -> None:
    state, now, changes = strength.settle(after(NEW, events), NOW), NOW, []
    for gap in gaps_hours:
        now += gap * HOUR_SECONDS
        state = strength.credit(state, now, "chat")
        before, state = state.tier, strength.settle(state, now)
        changes.append((now, state.tier - before))
    rises = [when for when, change in changes if change > 0]
    assert all(change <= 1 for _, change in changes)
    assert all(b - a >= DAY_SECONDS - 1 for a, b in pairwise(rises))


def test_every_tier_can_rotate_itself_and_none_knows_of_verification_or_age() -> None:
    assert set(ALLOWANCES) == set(Tier)
    assert all(one.may_rotate_itself and one.works for one in ALLOWANCES.values())
    assert {field.name for field in fields(NOTHING)} == {
        "rate_fraction",
        "scopes",
        "lease_seconds",
        "step_up",
        "may_rotate_itself",
    }
    rates = [ALLOWANCES[tier].rate_fraction for tier in sorted(Tier)]
    assert rates == sorted(rates)
    assert max(rates) <= 1


@given(uses, any_time, st.integers(0, 25))
@few
def test_a_revoked_key_never_works_again_in_any_interleaving(
    events: list[tuple[float, Any]], when: float, place: int
) -> None:
    state = strength.revoke(after(NEW, events[:place]))
    state = strength.settle(after(state, events[place:]), when)
    assert state.revoked
    assert strength.allowance(state) is NOTHING
    assert not NOTHING.works
    assert not NOTHING.may_rotate_itself
    with pytest.raises(ValueError):
        strength.successor(state, when)


# Rotation


@given(uses, st.floats(NOW, NOW + 200 * DAY_SECONDS))
@example(
    [(NOW - 1_022_400.0, Misuse.FORBIDDEN_MODEL), (NOW + 10_800.0, Misuse.FORBIDDEN_MODEL)], NOW
)
@few
def test_a_successor_inherits_at_most_half_and_every_misuse(
    events: list[tuple[float, Any]], when: float
) -> None:
    state = strength.settle(after(NEW, events), when)
    young, had = strength.successor(state, when), strength.strength(state, when)
    assert strength.strength(young, when) <= max(1.0, had / 2 + 1e-9)
    assert young.misuses == strength.settle(state, when).misuses
    assert strength.usage(young, when) == 0


def test_a_key_that_was_forgotten_comes_back_by_rotation_after_days_and_never_at_once() -> None:
    then = NOW + 100 * DAY_SECONDS
    young = strength.successor(strength.settle(NEW, then), then)
    held = []
    for day in range(21):
        young = strength.settle(young, then + day * DAY_SECONDS)
        held.append(young.tier)
    assert held[:4] == [Tier.DORMANT] * 4
    assert held[-1] == Tier.NORMAL


# Parameters and words


@pytest.mark.parametrize(
    "wrong",
    [
        {"decay_per_day": math.nan},
        {"decay_per_day": -0.1},
        {"decay_per_day": 0.1},
        {"rises_at": 1.0},
        {"falls_below": (40.0, 20.0, 70.0)},
        {"falls_below": (20.0, 40.0, 90.0)},
        {"max_strength": 90.0},
        {"usage_half_life_days": 1e9},
        {"version": 0},
    ],
)
def test_parameters_that_make_no_sense_are_refused(wrong: dict[str, Any]) -> None:
    with pytest.raises(ValueError):
        Parameters(**wrong)


def test_too_many_scopes_are_refused() -> None:
    with pytest.raises(ValueError):
        strength.issued(NOW, frozenset(str(n) for n in range(17)), Parameters())


def test_the_explanation_names_what_weighs() -> None:
    bad = strength.settle(after(NEW, [(NOW, "chat"), (NOW, Misuse.REPLAY)]), NOW)
    text = explained.explain(bad, NOW)
    assert text.startswith("This key is normal: strength 42 of at most 150")
    assert "a signed request sent twice" in text
    assert "misuse and probation fade with time" in text
    idle = strength.settle(NEW, NOW + 60 * DAY_SECONDS)
    text = explained.explain(idle, NOW + 60 * DAY_SECONDS)
    assert "Never used; issued 60.0 days ago" in text
    assert "signed proof of possession" in text
    assert "revoked" in explained.explain(strength.revoke(NEW), NOW)
    assert "probation" in explained.explain(strength.successor(NEW, NOW), NOW)
