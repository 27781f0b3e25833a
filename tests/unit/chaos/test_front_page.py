"""The gateways' page: what was counted is in the table, fault by fault."""

from dataclasses import replace

from tests.chaos.front.page import page, table
from tests.chaos.front.rounds import FrontReport
from tests.chaos.rounds import Round

ROUNDS = [Round("gateway", number, "a", 0.5 * number, 6.0, 0.4, 1.0) for number in (1, 2, 3)]
REPORT = FrontReport(
    "run", rounds=ROUNDS, said={"answered": 10, "connection broken": 2}, requests=12, recorded=11,
    lost=1, drained_seconds=0.4,
)  # fmt: skip


def test_a_row_has_the_counts_and_the_silence_of_a_fault() -> None:
    text = table([REPORT])
    assert "| kill -9 of a gateway | 3 | 12 | 10 | 1.0 | 1.5 | 6.0 | 0.4 | 1 |" in text
    assert "| kill -9 of a gateway | 10 answered, 2 connection broken |" in text
    assert (
        "12 requests, 10 answered, 11 recorded, 2 connections broken. Promises broken: 0." in text
    )


def test_the_page_names_the_machine_and_what_was_broken() -> None:
    broken = replace(REPORT, violations=["limits hold: ..."])
    assert "a machine" in page([broken], "a machine")
    assert "Promises broken: 1." in page([broken], "a machine")
