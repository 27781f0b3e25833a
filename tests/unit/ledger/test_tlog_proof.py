"""ledger/tlog_proof.py: one file proves one event with public keys alone, or proves nothing."""

import base64
from dataclasses import replace
from datetime import UTC, datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ledger.errors import ProofInvalid
from ledger.event import Event
from ledger.identifiers import uuid7
from ledger.policy import Policy
from ledger.tlog_proof import HEADER, MAX_BYTES, Proof, check
from tests.support.tlog import TIME, MemoryLog, cosigned, log_key, witness_key


def event(n: int) -> Event:
    moment = datetime.fromtimestamp(TIME, UTC)
    return Event(uuid7(TIME * 1000 + n, n), moment, "n", "me", "test.done", f"thing {n}", {"n": n})


LOG = MemoryLog(log_key(), [event(n).canonical() for n in range(11)])
KEYS = {name: witness_key(name, 100 + n) for n, name in enumerate("abc")}
POLICY = Policy.of(LOG.key.verifier, {name: key.verifier for name, key in KEYS.items()})


def proof(index: int = 4, size: int = 11, witnesses: str = "ab") -> Proof:
    note = cosigned(LOG.checkpoint(size), [KEYS[name] for name in witnesses])
    hashes = tuple(LOG.inclusion(index, size))
    return Proof(LOG.bodies[index], index, hashes, note.encode())


@given(st.integers(0, 10), st.integers(1, 11))
def test_every_event_is_proven_in_every_tree_that_has_it(index: int, size: int) -> None:
    if index >= size:
        return
    file = proof(index, size).encode()
    assert Proof.parse(file).encode() == file
    shown = check(Proof.parse(file), POLICY)
    assert (shown.index, shown.size, shown.event) == (index, size, event(index))
    assert shown.standing.cosigned == {"a": TIME, "b": TIME}


def test_the_file_is_what_c2sp_says() -> None:
    lines = proof().encode().decode().split("\n")
    assert lines[0] == HEADER == "c2sp.org/tlog-proof@v1"
    assert lines[1] == "extra " + base64.b64encode(LOG.bodies[4]).decode()
    assert lines[2] == "index 4"
    assert [base64.b64decode(line) for line in lines[3:7]] == LOG.inclusion(4, 11)
    assert lines[7:10] == ["", LOG.key.name, "11"]


GOOD = proof()
FORGED = MemoryLog(log_key(9), LOG.bodies)
WRONG = [
    ("another event's bytes", replace(GOOD, event=LOG.bodies[5])),
    ("an event that was changed", replace(GOOD, event=GOOD.event.replace(b"me", b"ME", 1))),
    ("another number", replace(GOOD, index=5)),
    ("a number past the tree", replace(GOOD, index=11)),
    ("a hash missing", replace(GOOD, hashes=GOOD.hashes[:-1])),
    ("a hash too many", replace(GOOD, hashes=(*GOOD.hashes, GOOD.hashes[0]))),
    ("hashes in another order", replace(GOOD, hashes=GOOD.hashes[::-1])),
    ("another tree's checkpoint", replace(GOOD, note=proof(4, 9).note)),
    ("a checkpoint with another root", replace(GOOD, note=GOOD.note.replace("\n11\n", "\n12\n"))),
    ("a checkpoint somebody else signed", replace(GOOD, note=FORGED.checkpoint().encode())),
    ("no checkpoint", replace(GOOD, note="")),
    ("too few witnesses", proof(witnesses="a")),
    ("no witness", proof(witnesses="")),
    ("bytes that are no event", replace(GOOD, event=b"{}")),
]


@pytest.mark.parametrize("wrong", [case[1] for case in WRONG], ids=[case[0] for case in WRONG])
def test_a_proof_of_something_else_is_refused(wrong: Proof) -> None:
    with pytest.raises(ProofInvalid):
        check(Proof.parse(wrong.encode()), POLICY)


def test_leaves_that_are_no_events_prove_nothing() -> None:
    log = MemoryLog.of(3)
    shown = Proof(log.bodies[1], 1, tuple(log.inclusion(1, 3)), log.checkpoint().encode())
    with pytest.raises(ProofInvalid, match="JSON"):
        check(shown, Policy.of(log.key.verifier, {}))


@given(st.data())
def test_no_changed_byte_proves_another_event(data: st.DataObject) -> None:
    file = GOOD.encode()
    place = data.draw(st.integers(0, len(file) - 1))
    changed = file[:place] + bytes([data.draw(st.integers(0, 255))]) + file[place + 1 :]
    try:
        shown = check(Proof.parse(changed), POLICY)
    except ProofInvalid:
        return
    assert (shown.index, shown.event) == (4, event(4))


@given(st.binary(max_size=300))
def test_no_bytes_break_the_parser(content: bytes) -> None:
    with pytest.raises(ProofInvalid):
        Proof.parse(content)


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"x" * (MAX_BYTES + 1),
        HEADER.encode(),
        f"{HEADER}\nindex 1\n\nnote".encode(),
        f"{HEADER}\nextra AA=\nindex 1\n\nnote".encode(),
        f"{HEADER}\nextra AB==\nindex 1\n\nnote".encode(),
        f"{HEADER}\nextra AA==\nindex 01\n\nnote".encode(),
        f"{HEADER}\nextra AA==\nindex 1\nshort\n\nnote".encode(),
        f"{HEADER}\nextra AA==\nindex 1\n{'A' * 43}=\n".encode(),
        (f"{HEADER}\nextra AA==\nindex 1\n" + f"{'A' * 43}=\n" * 64 + "\nnote").encode(),
    ],
)
def test_a_file_that_is_not_exactly_a_proof_is_refused(content: bytes) -> None:
    with pytest.raises(ProofInvalid):
        Proof.parse(content)
