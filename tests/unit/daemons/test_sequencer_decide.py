"""What the active sequencer does next, as a table of cases."""

from dataclasses import replace

import pytest

from daemons.sequencer.decide import Kind, Rules, View, next_step

RULES = Rules(checkpoint=1.0, partitions=3600.0, poll=0.05)
IDLE = View(now=100.0, size=5, signed=5, signed_at=99.5, partitions_at=50.0, more=False)

CASES = {
    "partitions come first, whatever else waits": (
        replace(IDLE, partitions_at=None, size=9, more=True),
        Kind.PARTITIONS,
    ),
    "partitions are looked at again after their interval": (
        replace(IDLE, now=3651.0, signed_at=3650.9),
        Kind.PARTITIONS,
    ),
    "a head is signed before more is numbered": (
        replace(IDLE, size=9, signed_at=98.9, more=True),
        Kind.SIGN,
    ),
    "what was numbered before we were active is signed at once": (
        replace(IDLE, size=9, signed_at=None, more=True),
        Kind.SIGN,
    ),
    "within the second after a signature more is numbered": (
        replace(IDLE, size=9, more=True),
        Kind.SEQUENCE,
    ),
    "nobody has looked: look": (replace(IDLE, more=None), Kind.SEQUENCE),
    "nothing waits": (IDLE, Kind.WAIT),
    "nothing new is never signed": (replace(IDLE, signed_at=1.0), Kind.WAIT),
    "an empty log is not signed": (
        replace(IDLE, size=0, signed=0, signed_at=None),
        Kind.WAIT,
    ),
}


@pytest.mark.parametrize("case", CASES)
def test_the_next_step(case: str) -> None:
    view, expected = CASES[case]
    assert next_step(view, RULES).kind is expected


def test_a_wait_ends_when_a_signature_is_due() -> None:
    decision = next_step(replace(IDLE, size=9, signed_at=99.02), RULES)
    assert decision.kind is Kind.WAIT
    assert decision.seconds == pytest.approx(0.02)
    assert next_step(IDLE, RULES).seconds == RULES.poll
