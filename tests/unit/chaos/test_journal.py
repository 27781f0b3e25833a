"""A client's journal says after a crash what it may have sent."""

from pathlib import Path

import pytest

from tests.chaos.journal import Journal, Outcome, parse, read_attempts
from tests.chaos.load import Acks


def test_what_was_written_is_read(tmp_path: Path) -> None:
    with Journal.open(tmp_path, "client1") as journal:
        journal.send(1, {"a": "1", "b": "2"})
        journal.answer(1, Outcome.ACKED)
        journal.send(2, {"c": "3"}, node="one")
        journal.answer(2, Outcome.ACKED, node="one", timeline=4)
        journal.send(3, {"d": "4"})
        journal.answer(3, Outcome.REFUSED, why="Unavailable: disk full")
    first, second, third = read_attempts(tmp_path / "client1.journal")
    assert (first.client, first.batch, first.events) == ("client1", 1, {"a": "1", "b": "2"})
    assert (first.outcome, first.node) == (Outcome.ACKED, None)
    assert first.ended is not None
    assert first.ended >= first.sent
    assert (second.node, second.timeline) == ("one", 4)
    assert (third.outcome, third.why) == (Outcome.REFUSED, "Unavailable: disk full")


def test_a_client_that_died_leaves_the_outcome_unknown(tmp_path: Path) -> None:
    with Journal.open(tmp_path, "client1") as journal:
        journal.send(1, {"a": "1"})
    (attempt,) = read_attempts(tmp_path / "client1.journal")
    assert (attempt.outcome, attempt.ended) == (Outcome.UNKNOWN, None)


def test_sent_again_counts_from_the_first_time_and_by_the_last_answer(tmp_path: Path) -> None:
    with Journal.open(tmp_path, "client1") as journal:
        for outcome in (Outcome.UNKNOWN, Outcome.ACKED):
            journal.send(1, {"a": "1"})
            journal.answer(1, outcome)
    lines = (tmp_path / "client1.journal").read_bytes().split(b"\n")
    (attempt,) = parse("client1", b"\n".join(lines))
    assert attempt.outcome is Outcome.ACKED
    assert f'"at":{attempt.sent}'.encode() in lines[0]
    (again,) = parse("client1", b"\n".join([*lines[:3], b""]))
    assert again.outcome is Outcome.UNKNOWN


def test_a_torn_last_line_is_left_out_and_a_torn_middle_is_not() -> None:
    whole = b'{"at":1.0,"say":"send","batch":1,"events":{"a":"1"}}\n'
    assert len(parse("c", whole + b'{"at":2.0,"say":"ack')) == 1
    with pytest.raises(ValueError, match="Unterminated"):
        parse("c", whole + b'{"at":2.0,"say":"ack\n' + whole)


def test_acknowledgements_are_followed_as_the_journal_grows(tmp_path: Path) -> None:
    acks = Acks(tmp_path / "client1.journal")
    assert acks.read() == []
    with Journal.open(tmp_path, "client1") as journal:
        journal.send(1, {"a": "1"})
        journal.answer(1, Outcome.ACKED)
        journal.send(2, {"b": "1"})
        journal.answer(2, Outcome.UNKNOWN)
    assert len(acks.read()) == 1
    with (tmp_path / "client1.journal").open("ab") as file:
        file.write(b'{"at":99.0,"say":"acked","bat')
        file.flush()
        assert len(acks.read()) == 1
        file.write(b'ch":3}\n')
    assert acks.read()[-1] == 99.0
