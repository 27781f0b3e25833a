"""The table says what was measured."""

import pytest

from tests.chaos.page import percentile, table
from tests.chaos.rounds import Report, Round, counted, slow
from tests.unit.chaos.test_decide import ATTEMPTS


def rounds(*seconds: float) -> list[Round]:
    return [Round("power", n, "one", s, s + 1, s + 2, 5.0) for n, s in enumerate(seconds, 1)]


@pytest.mark.parametrize(
    ("share", "expected"), [(0.0, 1.0), (0.5, 5.0), (0.9, 9.0), (0.95, 10.0), (1.0, 10.0)]
)
def test_percentiles_are_values_that_were_measured(share: float, expected: float) -> None:
    assert percentile([float(n) for n in range(10, 0, -1)], share) == expected


def test_one_row_a_fault() -> None:
    text = table([Report("a", rounds=rounds(3.0, 1.0, 2.0), acked=1200, violations=["x"])])
    row = "| power cut of the primary's node | 3 | 1.0 | 2.0 | 3.0 | 3.0 | 4.0 | 5.0 | 5.0 |"
    assert row in text
    assert "1,200 events acknowledged" in text
    assert "Promises broken: 1." in text


def test_a_client_that_waits_too_long_is_a_broken_promise() -> None:
    (text,) = slow(rounds(10.0, 29.5, 28.9), 30.0)
    assert text == "writes resume within 30 s: power round 2 took 30.5 s"


def test_what_was_written_is_counted_by_what_the_writer_heard() -> None:
    report = counted("run", ATTEMPTS, frozenset({"a", "b", "c", "d", "g", "h"}))
    assert (report.acked, report.unknown, report.unknown_present) == (4, 3, 2)
    assert (report.refused, report.probes) == (1, 2)
