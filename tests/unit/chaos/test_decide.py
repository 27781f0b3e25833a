"""The judge can say no: every promise broken on purpose, in a history otherwise in order."""

from dataclasses import replace

import pytest

from tests.chaos.decide import Entry, interruption, judge
from tests.chaos.journal import Attempt, Outcome

ACKED, UNKNOWN, REFUSED = Outcome.ACKED, Outcome.UNKNOWN, Outcome.REFUSED


def attempt(batch: int, outcome: Outcome, *events: str, **more: object) -> Attempt:
    digests = {event: f"digest of {event}" for event in events}
    values = {"sent": float(batch), "ended": batch + 0.5, **more}
    return Attempt("client1", batch, digests, outcome=outcome, **values)  # type: ignore[arg-type]


def log(*events: str, base: int = 0) -> list[Entry]:
    return [Entry(base + seq, event, f"digest of {event}") for seq, event in enumerate(events)]


ATTEMPTS = [
    attempt(1, ACKED, "a", "b"),
    attempt(2, UNKNOWN, "c", "d"),
    attempt(3, UNKNOWN, "e", ended=None),
    attempt(4, REFUSED, "f", why="Unavailable"),
    attempt(5, ACKED, "g", node="one", timeline=1),
    attempt(6, ACKED, "h", node="two", timeline=2),
]
THERE = ("a", "b", "c", "d", "g", "foreign", "h")


def found(
    attempts: list[Attempt] = ATTEMPTS,
    settled: list[Entry] | None = None,
    first: tuple[str, ...] | None = None,
    base: int = 0,
) -> list[str]:
    """The promises found broken."""
    settled = log(*THERE) if settled is None else settled
    ours = [entry.id for entry in settled if entry.id != "foreign"]
    violations = judge(attempts, ours if first is None else first, settled, ours, base)
    return [str(violation) for violation in violations]


def test_a_history_in_order_is_found_in_order() -> None:
    assert found() == []
    assert found(settled=log(*THERE, base=700), base=700) == []


@pytest.mark.parametrize("there", [(), ("e",)])
def test_what_is_unknown_may_be_there_or_not(there: tuple[str, ...]) -> None:
    assert found(settled=log(*THERE, *there)) == []


def test_a_lost_acknowledgement() -> None:
    (text, part) = found(settled=log("b", "c", "d", "g", "h"))
    assert part.startswith("a batch is there as a whole")
    assert text.startswith("an acknowledged event is in the log: a of client1's batch 1 ")


def test_a_lost_acknowledgement_of_the_watcher() -> None:
    (text,) = found(settled=log("a", "b", "c", "d", "h"))
    assert "g of client1's batch 5" in text


def test_an_event_with_two_numbers() -> None:
    (text,) = found(settled=log(*THERE, "a"))
    assert text == "an event is in the log once: a is there 2 times"


def test_other_bytes_than_those_sent() -> None:
    settled = log(*THERE)
    settled[1] = replace(settled[1], digest="something else")
    (text,) = found(settled=settled)
    assert text == "an event's bytes are those sent: b at 1 has others"


def test_an_event_that_was_refused_and_is_there() -> None:
    (text,) = found(settled=log(*THERE, "f"))
    assert text.startswith("what was refused is not there: f ")
    assert "Unavailable" in text


def test_an_unknown_event_that_was_there_and_went() -> None:
    texts = found(first=(*THERE[:5], "h", "e"))
    assert texts == ["what is there stays there: e was there and is gone"]


def test_an_unknown_event_that_came_after_it_was_said_to_be_absent() -> None:
    (text,) = found(settled=log(*THERE, "e"), first=("a", "b", "c", "d", "g", "h"))
    assert text.startswith("what is absent stays absent: e ")


def test_half_of_a_batch() -> None:
    (text,) = found(settled=log("a", "b", "c", "g", "h"))
    assert text.startswith("a batch is there as a whole or not at all: 1 of 2 events")


def test_an_event_nobody_sent() -> None:
    (text,) = found(settled=log(*THERE, "nobody's"))
    assert text == "nothing is in the log that nobody sent: nobody's"


@pytest.mark.parametrize(
    ("place", "named"), [(0, "where 0 should be, 1 is"), (3, "where 3 should")]
)
def test_a_gap(place: int, named: str) -> None:
    settled = log("x1", "x2", "x3", "x4", *THERE)
    attempts = [*ATTEMPTS, attempt(9, UNKNOWN, "x1"), attempt(10, UNKNOWN, "x2")]
    attempts += [attempt(11, UNKNOWN, "x3"), attempt(12, UNKNOWN, "x4")]
    assert found(attempts, settled) == []
    first = tuple(entry.id for entry in settled if entry.seq != place and entry.id != "foreign")
    del settled[place]
    (text,) = found(attempts, settled, first)
    assert named in text


def test_a_number_given_twice() -> None:
    settled = log(*THERE)
    settled[4] = replace(settled[4], seq=3)
    (text,) = found(settled=settled)
    assert text.startswith("the sequence has no gap: where 4 should be, 3 is")


def test_two_servers_that_acknowledge_on_one_timeline() -> None:
    attempts = [*ATTEMPTS[:5], attempt(6, ACKED, "h", node="two", timeline=1)]
    (text,) = found(attempts)
    assert text == "one server takes writes: timeline 1 was acknowledged by one and two"


def test_an_old_primary_that_acknowledges_after_a_new_one_did() -> None:
    late = attempt(7, ACKED, "late", node="one", timeline=1)
    (text,) = found([*ATTEMPTS, late], log(*THERE, "late"))
    assert "batch 7 (sent at 7.000) to one on timeline 1 was acknowledged" in text
    assert "sent 0.500 s after a newer timeline took writes" in text


def test_an_old_primary_whose_writes_nobody_acknowledges_is_no_second_one() -> None:
    late = attempt(7, UNKNOWN, "late", node="one", timeline=1)
    assert found([*ATTEMPTS, late]) == []


def test_a_write_under_way_while_the_primary_changes_proves_nothing() -> None:
    """Sent to the old primary before the new one took writes: it may have been first."""
    between = attempt(5, ACKED, "g", node="one", timeline=1, sent=5.0, ended=6.9)
    assert found([*ATTEMPTS[:4], between, ATTEMPTS[5]]) == []


@pytest.mark.parametrize(
    ("acks", "seconds"),
    [
        ([], 10.0),
        ([19.0], 9.0),
        ([9.0, 9.9, 15.0, 15.5, 19.9], 5.1),
        ([9.0, 15.0, 15.5, 19.9, 30.0], 6.0),
        ([9.9, 10.1, 10.2], 9.8),
    ],
)
def test_how_long_writing_was_interrupted(acks: list[float], seconds: float) -> None:
    assert interruption(acks, 10.0, 20.0) == pytest.approx(seconds)
