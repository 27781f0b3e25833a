"""ledger/histories.py: who agrees with the log, up to where, and where the histories part."""

from dataclasses import dataclass, replace

import pytest

from ledger.checkpoint import Checkpoint
from ledger.findings import LAST_VERIFICATION, Anchor, Fault, Finding, Resume
from ledger.histories import Histories, Signed, signed_root
from tests.support.tlog import ORIGIN, MemoryLog, log_key

OURS = {size: bytes([size]) * 32 for size in (10, 20, 30)}
OTHER = b"\xff" * 32
AT_10, AT_20 = Anchor("witness a", 10, OURS[10]), Anchor("witness a", 20, OTHER)
TWO_HISTORIES = Finding(
    Fault.EQUIVOCATION,
    "witness a",
    "the log signed two histories: this one and one witness a saw; they part in events 0 to 19",
    0,
    19,
)


@dataclass(frozen=True)
class Case:
    """What was said of the log, and what of it is another history than OURS."""

    name: str
    checkpoints: tuple[Signed, ...] = ()
    anchors: tuple[Anchor, ...] = ()
    found: tuple[Finding, ...] = ()


CASES = (
    Case(
        "all who said something agree",
        checkpoints=((10, OURS[10]), (30, OURS[30])),
        anchors=(AT_10, Anchor("witness b", 30, OURS[30])),
    ),
    Case(
        "only the first checkpoint that is another one is told",
        checkpoints=((10, OURS[10]), (20, OTHER), (30, OTHER)),
        found=(
            Finding(
                Fault.REWRITTEN,
                "checkpoint of 20 events",
                "the first 20 events are not what the log signed: "
                "something in events 10 to 19 was changed",
                10,
                19,
            ),
        ),
    ),
    Case(
        "a history may part right after its last root that was ours",
        anchors=(AT_10, AT_20),
        found=(
            Finding(
                Fault.REWRITTEN,
                "witness a",
                "the first 20 events are not witness a: something in events 10 to 19 was changed",
                10,
                19,
            ),
        ),
    ),
    Case(
        "what the log's key signed for somebody else is its contradiction",
        anchors=(replace(AT_20, signed=True),),
        found=(TWO_HISTORIES,),
    ),
    Case(
        "another source's word does not bring nearer where a source parted",
        anchors=(Anchor("witness b", 10, OURS[10]), replace(AT_20, signed=True)),
        found=(TWO_HISTORIES,),
    ),
)


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
def test_roots_that_were_reached_are_compared(case: Case) -> None:
    histories = Histories(case.anchors)
    found = histories.compare(OURS, case.checkpoints, histories.anchors(0, 30))
    assert tuple(found) == case.found
    assert histories.rewritten is any(root == OTHER for _, root in case.checkpoints)


def test_roots_that_were_not_reached_are_nobodys_fault() -> None:
    histories = Histories([AT_20])
    assert histories.compare({10: OURS[10]}, [(20, OTHER)], [AT_20]) == []
    assert not histories.rewritten


def test_one_event_is_named_when_it_can_only_be_that_one() -> None:
    anchors = [Anchor("witness a", 10, OURS[10]), Anchor("witness a", 11, OTHER, signed=True)]
    [finding] = Histories(anchors).compare({10: OURS[10], 11: OURS[20]}, [], anchors)
    assert finding.text.endswith("they part in event 10")
    assert (finding.seq, finding.until) == (10, 10)


def test_anchors_are_taken_in_the_order_of_their_sizes_above_one_up_to_another() -> None:
    histories = Histories([AT_20, AT_10], Resume(20, OURS[20], 0, ()))
    assert histories.anchors(0, 20) == [AT_10, AT_20, Anchor(LAST_VERIFICATION, 20, OURS[20])]
    assert histories.anchors(10, 19) == []


def test_the_last_verification_narrows_where_a_checkpoint_parts() -> None:
    histories = Histories([], Resume(20, OURS[20], 10, ()))
    assert histories.begin(30) is None
    [finding] = histories.compare(OURS, [(30, OTHER)], histories.anchors(10, 30))
    # Its anchor at 20 agrees too, but was compared after the checkpoints.
    assert (finding.seq, finding.until) == (10, 29)


def test_a_log_shorter_than_was_verified_is_read_from_its_beginning() -> None:
    histories = Histories([AT_10], Resume(40, OTHER, 0, ()))
    assert histories.begin(30) == Finding(
        Fault.ROLLED_BACK,
        LAST_VERIFICATION,
        "the last verification knows 40 events, the log has 30: an older state was put back, "
        "or its end was cut off at event 30",
        30,
        39,
    )
    assert histories.resume is None
    assert list(histories.earlier()) == []
    assert histories.anchors(0, 50) == [AT_10]


def test_a_source_that_saw_more_is_told_of_once() -> None:
    histories = Histories([Anchor("witness a", 40, OTHER), Anchor("witness a", 50, OTHER), AT_10])
    assert [(f.fault, f.seq, f.until) for f in histories.later(30)] == [(Fault.ROLLED_BACK, 30, 39)]
    assert histories.later(30) == []


@pytest.mark.parametrize(
    ("signed", "fault"), [(True, Fault.EQUIVOCATION), (False, Fault.REWRITTEN)]
)
def test_a_source_without_a_proof_is_not_asked_for_another(signed: bool, fault: Fault) -> None:
    first, second = (replace(anchor, signed=signed) for anchor in (AT_10, AT_20))
    histories = Histories([first, second], Resume(30, OURS[30], 20, ()))
    earlier = histories.earlier()
    assert next(earlier) == first
    finding = histories.inconsistent(first, ValueError("no such tile"))
    assert finding == Finding(
        fault,
        "witness a",
        "it saw another history: no such tile; verify --full says where",
        0,
        9,
    )
    assert list(earlier) == []


def test_a_checkpoint_is_the_logs_when_its_key_signed_just_that() -> None:
    log = MemoryLog.of(5)
    row = {"size": 5, "root": log.root(), "note": log.checkpoint().encode()}
    keys = [log.key.verifier]
    assert signed_root(row, keys) == log.root()
    lies = "its row says another size or root than what was signed (5)"
    assert signed_root(row | {"size": 4}, keys) == Finding(
        Fault.CHECKPOINT, "checkpoint of 4 events", lies
    )
    assert signed_root(row | {"root": OTHER}, keys) == Finding(
        Fault.CHECKPOINT, "checkpoint of 5 events", lies
    )
    stranger = Checkpoint(ORIGIN, 5, log.root()).signed(log_key(2)).encode()
    forged = signed_root(row | {"note": stranger}, keys)
    assert isinstance(forged, Finding)
    assert forged.text.startswith("forged or damaged: ")
