"""The rules of the fleet lock, without any node."""

import json

import pytest

from fedctl.lock import (
    Answer,
    Claim,
    Record,
    Verdict,
    Word,
    dead,
    decide,
    majority,
    parse_answer,
    parse_record,
)

OURS = Claim("run-1", "ada@desk", "apply", "machine-a", "10@100")
THEIRS = Claim("run-2", "bob@laptop", "up", "machine-b", "20@200")
THIRD = Claim("run-3", "eve@laptop", "up", "machine-c", "30@300")


def granted(number: int) -> dict[str, Answer]:
    return {f"g{n}": Answer(Word.GRANTED, 1000) for n in range(number)}


def held(number: int, claim: Claim = THEIRS) -> dict[str, Answer]:
    record = Record(claim, 900, 1060)
    return {f"{claim.token}-{n}": Answer(Word.HELD, 1000, record) for n in range(number)}


@pytest.mark.parametrize(
    ("answers", "nodes", "verdict"),
    [
        pytest.param(granted(6), 6, Verdict.ACQUIRED, id="every node grants it"),
        pytest.param(granted(4), 6, Verdict.ACQUIRED, id="two nodes are down"),
        pytest.param(granted(3), 6, Verdict.UNREACHABLE, id="half is no majority"),
        pytest.param({}, 6, Verdict.UNREACHABLE, id="nobody answers"),
        pytest.param(granted(4) | held(2), 6, Verdict.ACQUIRED, id="others hold a minority"),
        pytest.param(held(6), 6, Verdict.HELD, id="others hold it"),
        pytest.param(held(4), 6, Verdict.HELD, id="others hold it, two nodes are down"),
        pytest.param(granted(1) | held(3), 6, Verdict.HELD, id="the rest may be theirs too"),
        pytest.param(granted(3) | held(3), 6, Verdict.CONTENDED, id="both ask at once"),
        pytest.param(held(2) | held(2, THIRD) | granted(2), 6, Verdict.CONTENDED, id="three ask"),
        pytest.param(granted(1), 1, Verdict.ACQUIRED, id="a federation of one"),
    ],
)
def test_a_majority_decides(answers: dict[str, Answer], nodes: int, verdict: Verdict) -> None:
    assert decide(answers, nodes).verdict is verdict


def test_two_operators_never_both_acquire() -> None:
    for nodes in range(1, 8):
        for ours in range(nodes + 1):
            mine = decide(granted(ours) | held(nodes - ours), nodes)
            yours = decide(granted(nodes - ours) | held(ours, OURS), nodes)
            assert [mine.verdict, yours.verdict].count(Verdict.ACQUIRED) <= 1


def test_more_than_half() -> None:
    assert [majority(n) for n in (1, 2, 3, 4, 5, 6)] == [1, 2, 2, 3, 3, 4]


def test_a_record_survives_the_way_to_a_node_and_back() -> None:
    claim = Claim("run-1", 'a "quoted" man\n', 'it\'s {odd}: "expires": 5}', "m", "1@2")
    line = f'{claim.head()}, "acquired": 100, "expires": 160}}'
    assert parse_record(line) == Record(claim, 100, 160)


@pytest.mark.parametrize("line", ["", "{}", "[1]", '{"token": "x"}', "null", "no json"])
def test_nonsense_is_no_record(line: str) -> None:
    with pytest.raises(ValueError, match="not a lock record"):
        parse_record(line)


def test_an_answer_is_a_word_a_time_and_perhaps_a_record() -> None:
    record = Record(THEIRS, 900, 960)
    line = f'{THEIRS.head()}, "acquired": 900, "expires": 960}}'
    assert parse_answer(f"held 910\n{line}\n") == Answer(Word.HELD, 910, record)
    assert parse_answer("free 5\n") == Answer(Word.FREE, 5)
    with pytest.raises(ValueError, match="not an answer"):
        parse_answer("sudo: a password is required")


def test_only_a_dead_process_of_this_machine_is_dead() -> None:
    record = Record(THEIRS, 900, 960)
    assert dead(record, "machine-b", frozenset())
    assert not dead(record, "machine-b", frozenset({"20@200"}))
    assert dead(record, "machine-b", frozenset({"20@999"})), "the number was given to another"
    assert not dead(record, "machine-a", frozenset()), "who knows, from another machine"


def test_a_holder_is_told_in_words() -> None:
    holder = Record(THEIRS, 0, 60).holder()
    assert holder.owner == "bob@laptop"
    assert holder.since == "1970-01-01 00:00:00 UTC"
    assert json.loads(json.dumps(holder.__dict__))["until"] == "1970-01-01 00:01:00 UTC"
