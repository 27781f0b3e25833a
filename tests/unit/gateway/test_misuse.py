"""Misuse on its way to the ledger: once an hour, kept while nobody takes it."""

from collections.abc import Sequence

import pytest

from gateway.metrics import GatewayMetrics
from gateway.misuse import MisuseNotes
from ledger.errors import Unavailable
from ledger.key_strength import Use
from trust.strength import Misuse


class Ledger:
    def __init__(self) -> None:
        self.taken: list[Use] = []
        self.away = False

    async def note(self, uses: Sequence[Use]) -> int:
        if self.away:
            raise Unavailable("gone")
        self.taken += uses
        return len(uses)


async def test_a_kind_counts_once_an_hour_and_waits_for_the_ledger() -> None:
    ledger, clock = Ledger(), [3600.0]
    metrics = GatewayMetrics(())
    notes = MisuseNotes(ledger.note, metrics, lambda: clock[0])
    for _ in range(1000):
        notes.note("a", Misuse.FORBIDDEN_MODEL)
        notes.note("a", Misuse.FORBIDDEN_SCOPE)
    ledger.away = True
    with pytest.raises(Unavailable):
        await notes.flush()
    ledger.away = False
    await notes.flush()
    await notes.flush()
    assert ledger.taken == [
        ("a", "misuse:FORBIDDEN_MODEL", 1),
        ("a", "misuse:FORBIDDEN_SCOPE", 1),
    ]
    clock[0] = 7200.0
    notes.note("a", Misuse.FORBIDDEN_MODEL)
    await notes.stop()
    assert ledger.taken[2:] == [("a", "misuse:FORBIDDEN_MODEL", 2)]
    counted = metrics.registry.get_sample_value(
        "gateway_key_misuse_total", {"kind": "forbidden_model"}
    )
    assert counted == 1001


async def test_what_may_last_counts_once_in_its_longer_period() -> None:
    ledger, clock = Ledger(), [0.0]
    notes = MisuseNotes(ledger.note, GatewayMetrics(()), lambda: clock[0])
    for hour in range(12):
        clock[0] = hour * 3600.0
        notes.note("a", Misuse.DISTANT_SOURCES)
    await notes.flush()
    # The ledger keeps an hour once, however often it is told.
    assert set(ledger.taken) == {("a", "misuse:DISTANT_SOURCES", hour) for hour in (0, 6)}
