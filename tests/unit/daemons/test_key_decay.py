"""One key's turn: tiers, warnings once each, the end; and never a look that comes too late."""

import json
from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from daemons.key_decay.decide import (
    ENDED,
    SOONEST,
    TIER_CHANGED,
    WILL_BE_DORMANT,
    WILL_END,
    Decision,
    decide,
)
from daemons.key_decay.message import LONGEST_PAUSE, message, pause_after
from daemons.key_decay.settings import KeyDecaySettings
from ledger.event import Event
from ledger.identifiers import new_id
from ledger.key_strength import NEVER, KeyHistory
from trust import strength
from trust.parameters import Parameters
from trust.strength import DAY_SECONDS, Misuse
from trust.tiers import Tier

EVENT = Event(
    new_id(), datetime(2026, 1, 1, tzinfo=UTC), "n", "a", "key.ended", "key:x", {"why": "age"}
)
START = datetime(2026, 1, 1, tzinfo=UTC)
DAY = timedelta(days=1)
NEW = strength.issued(START.timestamp(), frozenset({"inference"}), Parameters())


def key(**changes: object) -> KeyHistory:
    values: dict[str, object] = {
        "key_id": "0123456789a", "name": "alice", "tenant": "default", "family": "0123456789a",
        "replaces": None, "replaced_by": None, "self_made": False, "state": NEW,
        "ends_at": START + 365 * DAY, "overlap": False, "settled_at": START,
        "unchanged_until": START,
    }  # fmt: skip
    return KeyHistory(**{**values, **changes})  # type: ignore[arg-type]


def after(history: KeyHistory, decision: Decision) -> KeyHistory:
    kept = decision.settled
    return replace(
        history, state=kept.state, unchanged_until=kept.unchanged_until,
        warned_dormant=kept.warned_dormant, warned_end=kept.warned_end,
    )  # fmt: skip


def life(history: KeyHistory, until: datetime) -> list[tuple[datetime, str, dict[str, object]]]:
    """What an hourly pass says of a key that nobody uses."""
    told, now = [], START
    while now < until:
        if now >= history.unchanged_until:
            decision = decide(history, now)
            told += [(now, notice.kind, notice.data) for notice in decision.notices]
            history = after(history, decision)
        now += timedelta(hours=1)
    return told


def test_an_unused_key_is_warned_twice_falls_three_times_and_ends_with_two_more_warnings() -> None:
    told = life(key(), START + 400 * DAY)
    assert [kind for _, kind, _ in told] == [
        TIER_CHANGED, TIER_CHANGED, WILL_BE_DORMANT, WILL_BE_DORMANT, TIER_CHANGED,
        WILL_END, WILL_END, ENDED,
    ]  # fmt: skip
    tiers = [data["to"] for _, kind, data in told if kind == TIER_CHANGED]
    assert tiers == ["normal", "weak", "dormant"]
    days = [(when - START) / DAY for when, _, _ in told]
    dormant = days[4]
    assert dormant == pytest.approx(46.5, abs=0.2)
    assert [dormant - day for day in days[2:4]] == pytest.approx([7, 1], abs=0.1)
    assert days[5:] == pytest.approx([358, 364, 365], abs=0.05)


def test_an_hourly_pass_finds_each_change_within_the_hour_whatever_it_skips() -> None:
    """The same events at the same hours as for a key that is looked at every hour."""
    history, told = key(), []
    for hour in range(24 * 60):
        now = START + timedelta(hours=hour)
        decision = decide(history, now)
        told += [(now, notice.kind) for notice in decision.notices]
        history = after(history, decision)
    skipped = [(when, kind) for when, kind, _ in life(key(), START + 60 * DAY)]
    assert skipped == told
    assert len(told) == 5


def test_who_uses_the_key_again_is_warned_again_next_time() -> None:
    worn = key(state=strength.settle(NEW, (START + 45 * DAY).timestamp()))
    first = decide(worn, START + 45 * DAY)
    assert WILL_BE_DORMANT in {notice.kind for notice in first.notices}
    used = strength.credit(first.settled.state, (START + 45 * DAY).timestamp(), "inference")
    calm = decide(replace(after(worn, first), state=used), START + 45 * DAY)
    assert calm.settled.warned_dormant is None
    assert calm.notices == ()


def test_a_replaced_key_is_warned_of_its_overlaps_end() -> None:
    old = key(ends_at=START + 7 * DAY, overlap=True, replaced_by="b")
    told = life(old, START + 8 * DAY)
    assert [(kind, data["why"]) for _, kind, data in told] == [
        (WILL_END, "overlap"), (WILL_END, "overlap"), (ENDED, "overlap"),
    ]  # fmt: skip


def test_misuse_is_named_as_the_cause() -> None:
    state = NEW
    for kind in (Misuse.FORBIDDEN_MODEL, Misuse.FORBIDDEN_SCOPE):
        state = strength.misuse(state, START.timestamp(), kind)
    (notice,) = decide(key(state=state), START).notices
    assert notice.data["misuse"] == [Misuse.FORBIDDEN_SCOPE.value, Misuse.FORBIDDEN_MODEL.value]
    assert "fell from strong to normal after" in notice.text


def test_a_revoked_or_ended_key_is_never_looked_at_again() -> None:
    gone = decide(key(state=strength.revoke(NEW)), START)
    assert (gone.settled.unchanged_until, gone.notices) == (NEVER, ())
    ended = key(ends_at=START)
    first = decide(ended, START)
    assert (first.settled.unchanged_until, first.settled.warned_end) == (NEVER, 0)
    assert [notice.kind for notice in first.notices] == [ENDED]
    assert decide(after(ended, first), START).notices == ()


@given(
    st.lists(st.floats(0, 80), max_size=6),
    st.lists(st.tuples(st.floats(0, 80), st.sampled_from(Misuse)), max_size=4),
    st.floats(0, 100),
    st.sampled_from(Tier),
    st.sampled_from([None, 1, 7]),
    st.sampled_from([None, 0, 1, 7]),
)
@settings(max_examples=100)
def test_a_turn_taken_again_says_nothing_new(
    used: list[float],
    misused: list[tuple[float, Misuse]],
    day: float,
    tier: Tier,
    warned_dormant: int | None,
    warned_end: int | None,
) -> None:
    state = replace(NEW, tier=tier)
    for when in used:
        state = strength.credit(state, START.timestamp() + when * DAY_SECONDS, "inference")
    for when, kind in misused:
        state = strength.misuse(state, START.timestamp() + when * DAY_SECONDS, kind)
    now = START + day * DAY
    history = key(
        state=state, ends_at=START + 90 * DAY, warned_dormant=warned_dormant, warned_end=warned_end
    )
    decision = decide(history, now)
    assert decision.settled.unchanged_until >= now + SOONEST
    again = decide(after(history, decision), now)
    assert [notice for notice in again.notices if notice.kind != TIER_CHANGED] == []
    assert again.settled.state == decision.settled.state


@pytest.mark.parametrize(
    ("url", "fine"),
    [
        ("https://hooks.example/x", True),
        ("http://127.0.0.1:9/x", True),
        ("http://hooks.example/x", False),
        ("https://user:secret@hooks.example/x", False),
        ("ftp://hooks.example", False),
        ("https://", False),
    ],
)
def test_a_webhook_is_private(url: str, fine: bool) -> None:
    values = {"node": "n", "hosts": ("h",), "addresses": ("1.2.3.4",), "webhook_url": url}
    if fine:
        assert KeyDecaySettings(**values).webhook_url == url
    else:
        with pytest.raises(ValueError, match="webhook_url"):
            KeyDecaySettings(**values)


def test_a_message_is_its_event_and_a_text_for_people() -> None:
    told = message(EVENT, "x", "key x (alice) has ended")
    assert (told.id, told.kind, told.key_id) == (EVENT.id, "key.ended", "x")
    assert json.loads(told.body) == {
        "type": "key.ended",
        "timestamp": "2026-01-01T00:00:00+00:00",
        "data": {
            "why": "age",
            "key": "x",
            "text": "key x (alice) has ended",
            "source": "federation-key-decay@n",
        },
    }


@given(st.integers(0, 10**6), st.floats(0, 1))
def test_pauses_double_up_to_a_bound_and_chance_takes_half_at_most(
    attempts: int, chance: float
) -> None:
    longest = pause_after(attempts, 0)
    assert timedelta(seconds=5) <= longest <= LONGEST_PAUSE
    assert longest / 2 <= pause_after(attempts, chance) <= longest
    assert pause_after(attempts + 1, 0) == min(2 * longest, LONGEST_PAUSE) or attempts == 0


def test_the_pauses_of_the_how_to() -> None:
    assert [pause_after(n, 0).total_seconds() for n in (1, 2, 3)] == [5, 10, 20]
