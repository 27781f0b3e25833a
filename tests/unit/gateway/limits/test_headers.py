"""What answers say of limits: the tightest of each kind, in OpenAI's names."""

from gateway.limits.headers import headers
from gateway.limits.meters import Calendar, Held, Meter, Rolling
from ledger.quotas import CONCURRENT, REQUESTS_MINUTE, TOKENS_DAY, TOKENS_MINUTE

NOW = 1000.5


def lines(*meters: Meter) -> dict[str, str]:
    text = headers(list(meters), NOW).decode()
    assert text == "" or text.endswith("\r\n")
    return dict(line.split(": ") for line in text.splitlines())


def minute(name: str, limit: int, used: int, others: int = 0) -> Rolling:
    meter = Rolling(name, "token" if name == TOKENS_MINUTE else "request", limit)
    meter.spend(used, NOW)
    meter.others_used = others
    return meter


def test_without_limits_nothing_is_said() -> None:
    assert lines() == {}


def test_requests_at_once_are_nobodys_business() -> None:
    assert lines(Held(CONCURRENT, 3)) == {}


def test_the_tighter_of_key_and_tenant_is_told() -> None:
    key, tenant = minute(REQUESTS_MINUTE, 100, 10), minute(REQUESTS_MINUTE, 500, 430, others=20)
    assert lines(key, tenant) == {
        "x-ratelimit-limit-requests": "500",
        "x-ratelimit-remaining-requests": "50",
        "x-ratelimit-reset-requests": "1m1s",
    }


def test_the_tighter_of_minute_and_day_is_told_and_never_less_than_nothing() -> None:
    day = Calendar(TOKENS_DAY, 1000, "2026-11-21", NOW + 7200)
    day.spend(1001, NOW)
    found = lines(minute(TOKENS_MINUTE, 5000, 5), day, minute(REQUESTS_MINUTE, 7, 0))
    assert found == {
        "x-ratelimit-limit-requests": "7",
        "x-ratelimit-remaining-requests": "7",
        "x-ratelimit-reset-requests": "0s",
        "x-ratelimit-limit-tokens": "1000",
        "x-ratelimit-remaining-tokens": "0",
        "x-ratelimit-reset-tokens": "2h0m0s",
    }
