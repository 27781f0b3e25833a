"""What the guardian gives out: only what a rule names, and no more in an hour than it may."""

from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from daemons.guardian.decide import WINDOW, Ask, Kind, Policy, Released, Rule, judge
from daemons.guardian.endpoint import ask_of
from trust.datakeys import KeyName

NOW = datetime(2026, 11, 21, 12, tzinfo=UTC)
POLICY = Policy(
    (
        Rule("redfin", ("*",), ("content", "prompts")),
        Rule("operator", ("acme",), ("*",)),
        Rule("greenfin", ("acme", "lab"), ("drill-*",)),
    ),
    tenant_per_hour=3,
    total_per_hour=5,
)


def ask(caller: str = "redfin", key: str = "acme/content") -> Ask:
    return Ask(caller, KeyName(key, 1), "open")


def ago(minutes: float, tenant: str = "acme") -> Released:
    return Released(NOW - timedelta(minutes=minutes), tenant)


@pytest.mark.parametrize(
    ("caller", "key", "allowed"),
    [
        ("redfin", "acme/content", True),
        ("redfin", "lab/prompts", True),
        ("redfin", "acme/memory", False),
        ("redfin", "acme/contents", False),
        ("redfin", "acme/drill-1", False),
        ("operator", "acme/memory", True),
        ("operator", "lab/memory", False),
        ("operator", "acme2/memory", False),
        ("greenfin", "lab/drill-7", True),
        ("greenfin", "lab/drill", False),
        ("greenfin", "lab/content", False),
        ("stranger", "acme/content", False),
        ("", "acme/content", False),
        ("REDFIN", "acme/content", False),
        ("*", "acme/content", False),
    ],
)
def test_only_what_a_rule_names_is_given(caller: str, key: str, allowed: bool) -> None:
    verdict = judge(ask(caller, key), POLICY, (), NOW)
    assert verdict.kind is (Kind.RELEASE if allowed else Kind.NOT_ALLOWED)
    assert verdict.status == (200 if allowed else 403)
    assert key in verdict.reason


def test_without_rules_nobody_gets_anything() -> None:
    assert judge(ask(), Policy((), 10, 10), (), NOW).kind is Kind.NOT_ALLOWED


def test_a_tenants_hour_is_full_and_says_when_there_is_room() -> None:
    past = [ago(50), ago(30), ago(10)]
    verdict = judge(ask(), POLICY, past, NOW)
    assert (verdict.kind, verdict.status, verdict.retry_seconds) == (Kind.TENANT_LIMIT, 429, 600)
    assert "tenant acme" in verdict.reason
    assert judge(ask(key="lab/content"), POLICY, past, NOW).kind is Kind.RELEASE
    later = NOW + timedelta(seconds=verdict.retry_seconds or 0)
    assert judge(ask(), POLICY, past, later).kind is Kind.RELEASE


def test_the_hour_of_all_tenants_is_full() -> None:
    past = [ago(5, f"t{n}") for n in range(5)]
    verdict = judge(ask(), POLICY, past, NOW)
    assert (verdict.kind, verdict.retry_seconds) == (Kind.TOTAL_LIMIT, 55 * 60)


def test_a_clock_that_was_turned_back_gives_nothing_away() -> None:
    past = [ago(-30), ago(-20), ago(-10)]
    assert judge(ask(), POLICY, past, NOW).kind is Kind.TENANT_LIMIT


@settings(max_examples=60, deadline=None)
@given(st.lists(st.tuples(st.integers(0, 600), st.sampled_from(["acme", "lab", "other"]))))
def test_no_hour_ever_holds_more_than_the_limits(asked: list[tuple[int, str]]) -> None:
    """Whoever asks, whenever: each window of an hour ends within both limits."""
    given_out: list[Released] = []
    now = NOW
    for seconds, tenant in asked:
        now += timedelta(seconds=seconds)
        if judge(ask(key=f"{tenant}/content"), POLICY, given_out, now).kind is Kind.RELEASE:
            given_out.append(Released(now, tenant))
        recent = [each for each in given_out if each.at > now - WINDOW]
        assert len(recent) <= POLICY.total_per_hour
        for name in ("acme", "lab", "other"):
            assert sum(each.tenant == name for each in recent) <= POLICY.tenant_per_hour


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"x",
        b"[]",
        b"{}",
        b'{"key":"a/b","epoch":1}',
        b'{"key":"a/b","epoch":1,"purpose":"x","more":1}',
        b'{"key":1,"epoch":1,"purpose":"x"}',
        b'{"key":"a/b","epoch":"1","purpose":"x"}',
        b'{"key":"a/b","epoch":true,"purpose":"x"}',
        b'{"key":"a/b","epoch":0,"purpose":"x"}',
        b'{"key":"a/b","epoch":1,"purpose":""}',
        b'{"key":"a/b","epoch":1,"purpose":"x\\ny"}',
        b'{"key":"ab","epoch":1,"purpose":"x"}',
        b'{"key":"a/","epoch":1,"purpose":"x"}',
        b'{"key":"/b","epoch":1,"purpose":"x"}',
        b'{"key":"a/b/c","epoch":1,"purpose":"x"}',
        b'{"key":"A/b","epoch":1,"purpose":"x"}',
        b"[" * 3000,
    ],
)
def test_what_is_no_request_is_refused(body: bytes) -> None:
    with pytest.raises(ValueError, match=r"[a-z]"):
        ask_of(body, "redfin")


def test_a_request_is_read() -> None:
    found = ask_of(b'{"key":"acme/content","epoch":7,"purpose":"recovery"}', "redfin")
    assert found == Ask("redfin", KeyName("acme/content", 7), "recovery")
    assert (found.tenant, found.object_class) == ("acme", "content")
