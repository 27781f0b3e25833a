"""Sources of failed keys: backoff that grows, drains, and is nobody else's business."""

import pytest

from gateway.sources import LONGEST_SECONDS, MOST_SOURCES, Sources, source_of


def test_a_burst_is_free_and_then_waiting_doubles() -> None:
    sources = Sources(burst=10, per_minute=60)
    assert [sources.failed("10.0.0.1", 0.0) for _ in range(10)] == [0] * 10
    waits, now = [], 0.0
    for _ in range(12):
        wait = sources.failed("10.0.0.1", now)
        while wait == 0:
            wait = sources.failed("10.0.0.1", now)
        waits.append(wait)
        now += wait
    assert waits[:4] == [3, 5, 9, 17]
    assert max(waits) == LONGEST_SECONDS + 1 == waits[-1]


def test_who_waits_is_forgotten_and_others_never_waited() -> None:
    sources = Sources(burst=10, per_minute=60)
    for _ in range(50):
        sources.failed("10.0.0.1", 0.0)
    assert sources.failed("10.0.0.1", 1.0) > 0
    assert sources.failed("10.0.0.2", 1.0) == 0
    assert sources.failed("10.0.0.1", 60.0) == 0


def test_one_mistake_a_second_never_waits() -> None:
    sources = Sources(burst=10, per_minute=60)
    assert not any(sources.failed("10.0.0.1", float(second)) for second in range(10_000))


def test_memory_is_bounded_and_a_clock_that_goes_back_frees_nobody() -> None:
    sources = Sources(burst=1, per_minute=60)
    for number in range(MOST_SOURCES + 500):
        sources.failed(f"10.{number >> 16}.{number >> 8 & 255}.{number & 255}", 0.0)
    assert len(sources) == MOST_SOURCES
    for _ in range(5):
        sources.failed("1.1.1.1", 100.0)
    assert sources.failed("1.1.1.1", 50.0) > 0


@pytest.mark.parametrize(
    ("client", "source"),
    [
        ("10.0.0.1", "10.0.0.1"),
        ("::ffff:10.0.0.1", "10.0.0.1"),
        ("2001:db8:1:2:3:4:5:6", "2001:db8:1:2::"),
        ("2001:db8:1:2:ffff::1", "2001:db8:1:2::"),
        (None, "?"),
        ("unix", "?"),
    ],
)
def test_a_source_is_an_address_or_a_network_of_one_subscriber(
    client: str | None, source: str
) -> None:
    assert source_of(client) == source
