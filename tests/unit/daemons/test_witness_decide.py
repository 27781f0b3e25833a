"""daemons/witness: what it cosigns, what it refuses, and that no order of requests fools it."""

import base64
from dataclasses import replace
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from daemons.witness.decide import Kind, judge
from daemons.witness.state import DENSE, TRAIL_LENGTH, Memory, StateInvalid, thinned
from ledger import merkle
from ledger.add_checkpoint import MAX_BYTES, Request, size_in
from ledger.checkpoint import Checkpoint
from ledger.errors import RequestInvalid
from tests.support.tlog import ORIGIN, MemoryLog, log_key, witness_key

LOG = MemoryLog.of(20)
KEYS = (LOG.key.verifier,)


def request(log: MemoryLog, old: int, new: int) -> Request:
    return Request(old, tuple(log.consistency(old, new)), log.checkpoint(new).encode().encode())


def memory(log: MemoryLog, size: int) -> Memory:
    fresh = Memory.fresh(ORIGIN)
    if size == 0:
        return fresh
    return fresh.after(Checkpoint(ORIGIN, size, log.root(size)), "note")


OTHER = MemoryLog.of(20, "other")
FORGED = MemoryLog(log_key(9), LOG.bodies)
STRANGER = MemoryLog(log_key(1, "stranger.example/log"), LOG.bodies)
FORK = MemoryLog(LOG.key, [*LOG.bodies[:5], *OTHER.bodies[5:]])

CASES = [
    ("the first checkpoint is trusted on first use", LOG, 0, 0, 7, Kind.COSIGN, 200),
    ("a log that grew is cosigned", LOG, 7, 7, 12, Kind.COSIGN, 200),
    ("the same checkpoint again is cosigned again", LOG, 7, 7, 7, Kind.COSIGN, 200),
    ("an empty log is cosigned", LOG, 0, 0, 0, Kind.COSIGN, 200),
    ("a smaller checkpoint is refused", LOG, 12, 7, 7, Kind.STALE, 409),
    ("a smaller one with my size as old is refused", LOG, 12, 12, 7, Kind.BAD_OLD_SIZE, 400),
    ("an old size that is not mine is refused", LOG, 7, 3, 12, Kind.STALE, 409),
    ("an old size of zero is told where I am", LOG, 7, 0, 12, Kind.STALE, 409),
    ("another root for the same size is a lie", FORK, 7, 7, 7, Kind.EQUIVOCATION, 409),
    ("another root is a lie, whatever old says", FORK, 7, 0, 7, Kind.EQUIVOCATION, 409),
    ("a fork that grew does not continue mine", FORK, 7, 7, 12, Kind.INCONSISTENT, 422),
    ("another key's signature is nothing", FORGED, 7, 7, 12, Kind.NOT_SIGNED, 403),
    ("another log is unknown", STRANGER, 7, 7, 12, Kind.UNKNOWN_LOG, 404),
]  # fmt: skip


@pytest.mark.parametrize(
    ("log", "seen", "old", "new", "kind", "status"),
    [case[1:] for case in CASES],
    ids=[case[0] for case in CASES],
)
def test_a_request_is_judged(
    log: MemoryLog, seen: int, old: int, new: int, kind: Kind, status: int
) -> None:
    proof = tuple(log.consistency(old, new)) if old <= new else ()
    asked = Request(old, proof, log.checkpoint(new).encode().encode())
    verdict = judge(asked, memory(LOG, seen), KEYS)
    assert (verdict.kind, verdict.status) == (kind, status), verdict.reason
    assert verdict.reason


def test_a_proof_that_is_cut_turned_or_from_elsewhere_is_refused() -> None:
    good = request(LOG, 7, 12)
    for proof in ((), good.proof[:-1], good.proof[::-1], (*good.proof, good.proof[0])):
        verdict = judge(replace(good, proof=proof), memory(LOG, 7), KEYS)
        assert verdict.kind is Kind.INCONSISTENT


def test_a_first_checkpoint_needs_no_proof_and_bears_none() -> None:
    asked = Request(0, (merkle.EMPTY_ROOT,), LOG.checkpoint(7).encode().encode())
    assert judge(asked, memory(LOG, 0), KEYS).kind is Kind.INCONSISTENT


def test_other_signatures_on_the_checkpoint_change_nothing() -> None:
    note = LOG.checkpoint(12)
    extra = witness_key("someone").sign(note.text, 1)
    shown = replace(note, signatures=(extra, *note.signatures)).encode().encode()
    asked = replace(request(LOG, 7, 12), note=shown)
    assert judge(asked, memory(LOG, 7), KEYS).kind is Kind.COSIGN


def test_while_the_log_changes_its_key_either_is_good() -> None:
    new = log_key(2)
    keys = (LOG.key.verifier, new.verifier)
    for key in (LOG.key, new):
        log = MemoryLog(key, LOG.bodies)
        assert judge(request(log, 7, 12), memory(LOG, 7), keys).kind is Kind.COSIGN


MOVES = st.lists(
    st.tuples(st.sampled_from([0, 1, 2]), st.integers(0, 20), st.integers(0, 20)), max_size=25
)


@given(MOVES)
def test_whatever_is_asked_each_cosigned_tree_continues_all_before(
    moves: list[tuple[int, int, int]],
) -> None:
    """The invariant: a log with three histories never gets two that part past what was cosigned."""
    logs = (LOG, FORK, OTHER)
    state, signed = memory(LOG, 0), [(0, merkle.EMPTY_ROOT)]
    for which, a, b in moves:
        log = logs[which]
        old, new = min(a, b), max(a, b)
        verdict = judge(request(log, old, new), state, KEYS)
        if verdict.kind is not Kind.COSIGN:
            continue
        assert verdict.checkpoint is not None
        state = state.after(verdict.checkpoint, "note")
        signed.append((state.size, state.root))
        assert all(merkle.root(log.hashes[:size]) == root for size, root in signed)
        assert [size for size, _ in signed] == sorted(size for size, _ in signed)


@given(st.binary(max_size=400))
def test_no_bytes_break_the_parser_of_requests(body: bytes) -> None:
    try:
        found = Request.parse(body)
    except RequestInvalid as error:
        assert str(error)
        return
    assert found.encode() == body


@given(st.binary(max_size=300), st.integers(0, 9), st.integers(0, 9))
def test_no_note_breaks_the_judge(note: bytes, old: int, seen: int) -> None:
    verdict = judge(Request(old, (), note), memory(LOG, seen), KEYS)
    assert verdict.kind is not Kind.COSIGN


@given(st.data())
def test_no_changed_byte_of_a_good_request_is_cosigned_as_something_else(
    data: st.DataObject,
) -> None:
    good = request(LOG, 7, 12).encode()
    place = data.draw(st.integers(0, len(good) - 1))
    changed = good[:place] + bytes([data.draw(st.integers(0, 255))]) + good[place + 1 :]
    try:
        verdict = judge(Request.parse(changed), memory(LOG, 7), KEYS)
    except RequestInvalid:
        return
    if verdict.kind is Kind.COSIGN:
        assert verdict.text == LOG.checkpoint(12).text


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"old 1",
        b"old 01\n\nx",
        b"old -1\n\nx",
        b"old 99999999999999999999\n\nx",
        b"old 1\nAAAA\n\nx",
        b"old 1\n" + base64.b64encode(bytes(31)) + b"\n\nx",
        b"new 1\n\nx",
        b"old 1\n" + (base64.b64encode(bytes(32)) + b"\n") * 64 + b"\nx",
        b"old 1\n\n" + b"x" * MAX_BYTES,
        # Unused bits set: the same hash written another way.
        b"old 1\n" + b"A" * 42 + b"B=\n\nx",
    ],
)
def test_a_malformed_request_is_refused(body: bytes) -> None:
    with pytest.raises(RequestInvalid):
        Request.parse(body)


def test_the_size_in_a_conflict_is_read_strictly() -> None:
    assert size_in(b"20852014\n") == 20852014
    for body in (b"", b"1", b"01\n", b"-1\n", b"1\n\n", b"x\n", b"1 \n"):
        with pytest.raises(RequestInvalid):
            size_in(body)


def test_a_state_is_read_back_and_chained() -> None:
    first = memory(LOG, 3)
    second = first.after(Checkpoint(ORIGIN, 9, LOG.root(9)), "another")
    assert Memory.decode(second.encode()) == second
    assert (second.generation, second.previous) == (2, first.digest())
    assert second.trail == ((3, LOG.root(3)),)


@given(st.data())
def test_a_damaged_state_is_never_read_as_another(data: st.DataObject) -> None:
    content = memory(LOG, 9).encode()
    place = data.draw(st.integers(0, len(content) - 1))
    byte = data.draw(st.integers(0, 255))
    damaged = content[:place] + bytes([byte]) + content[place + 1 :]
    try:
        found = Memory.decode(damaged)
    except StateInvalid:
        return
    # What can be read is what was written, but for the value that was changed.
    assert found.encode() == damaged


@given(st.binary(max_size=200))
def test_no_bytes_break_the_parser_of_states(content: bytes) -> None:
    with pytest.raises(StateInvalid):
        Memory.decode(content)


def test_the_trail_stays_short_keeps_the_newest_and_reaches_far_back() -> None:
    trail: tuple[tuple[int, bytes], ...] = ()
    for size in range(1, 5000):
        trail = thinned((*trail, (size, b"")))
    sizes = [size for size, _ in trail]
    assert len(sizes) == TRAIL_LENGTH
    assert sizes[0] == 1
    assert sizes[-DENSE:] == list(range(5000 - DENSE, 5000))
    ages = [5000 - size for size in sizes]
    gaps = [later - earlier for earlier, later in pairwise(sizes)]
    assert all(gap <= max(2, age // 4) for gap, age in zip(gaps, ages[:-1], strict=True))
