"""Our trees, proofs, checkpoints and cosignatures as three implementations that are not ours see
them: pymerkle (RFC 6962 in Python), metamorphic-log (C2SP in Rust), tlog-scales (C2SP in Python).

They serve tests only. None of them is vouched for by anybody; that all agree is what counts.
"""

from functools import cache

import metamorphic_log
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pymerkle import InmemoryTree
from tlog_scales import signing, tlog

from ledger import merkle
from ledger.note import Note
from ledger.replay import Replay, leaf_hashes
from tests.support.tlog import ORIGIN, MemoryLog, cosigned, log_key, witness_key

LARGEST = 600
LOG = MemoryLog.of(LARGEST)
HASHES = LOG.hashes
PERFECT = merkle.perfect_of(HASHES)
VKEY = LOG.key.verifier.text()
SIZES = st.integers(1, LARGEST)


@cache
def other_tree() -> InmemoryTree:
    tree = InmemoryTree(algorithm="sha256")
    for body in LOG.bodies:
        tree.append_entry(body)
    return tree


@given(st.lists(st.binary(max_size=40), max_size=80))
@settings(max_examples=60)
def test_random_logs_have_the_same_root_everywhere(bodies: list[bytes]) -> None:
    tree = InmemoryTree(algorithm="sha256")
    for body in bodies:
        tree.append_entry(body)
    hashes = leaf_hashes(bodies)
    replay = Replay()
    replay.grow(hashes)
    assert replay.root() == merkle.root(hashes) == tree.get_root()


@given(SIZES)
@settings(max_examples=50)
def test_every_size_of_one_log_has_pymerkles_root(size: int) -> None:
    assert merkle.root(HASHES[:size]) == other_tree().get_root(size)


@given(SIZES, st.data())
@settings(max_examples=80)
def test_inclusion_proofs_are_pymerkles_and_satisfy_the_others(
    size: int, data: st.DataObject
) -> None:
    index = data.draw(st.integers(0, size - 1))
    proof = merkle.inclusion_proof(PERFECT, index, size)
    root = merkle.root(HASHES[:size])
    # pymerkle's path begins with the leaf itself and counts leaves from 1.
    assert other_tree().prove_inclusion(index + 1, size).path[1:] == proof
    metamorphic_log.verify_inclusion(index, size, HASHES[index], proof, root)
    tlog.InclusionProof(index, size, proof).check(HASHES[index], root)


@given(SIZES, st.data())
@settings(max_examples=80)
def test_consistency_proofs_satisfy_the_others(size: int, data: st.DataObject) -> None:
    old = data.draw(st.integers(1, size))
    proof = merkle.consistency_proof(PERFECT, old, size)
    old_root, new_root = merkle.root(HASHES[:old]), merkle.root(HASHES[:size])
    metamorphic_log.verify_consistency(old, size, proof, old_root, new_root)
    tlog.ConsistencyProof(old, size, list(proof)).check(old_root, new_root)


@given(SIZES, st.data())
@settings(max_examples=80)
def test_what_the_others_refuse_we_refuse(size: int, data: st.DataObject) -> None:
    """A proof with one bit turned, for each of the three verifiers."""
    index = data.draw(st.integers(0, size - 1))
    proof = merkle.inclusion_proof(PERFECT, index, size)
    if not proof:
        return
    place, bit = data.draw(st.integers(0, len(proof) - 1)), data.draw(st.integers(0, 255))
    turned = bytearray(proof[place])
    turned[bit // 8] ^= 1 << bit % 8
    bad = [*proof[:place], bytes(turned), *proof[place + 1 :]]
    root = merkle.root(HASHES[:size])
    with pytest.raises(merkle.ProofInvalid):
        merkle.verify_inclusion(HASHES[index], index, size, bad, root)
    with pytest.raises(metamorphic_log.VerifyError):
        metamorphic_log.verify_inclusion(index, size, HASHES[index], bad, root)
    with pytest.raises(tlog.InclusionProofInvalid):
        tlog.InclusionProof(index, size, bad).check(HASHES[index], root)


@pytest.mark.parametrize("size", [0, 1, 255, 256, LARGEST])
def test_our_checkpoints_are_checkpoints_to_the_others(size: int) -> None:
    note = LOG.checkpoint(size)
    head = metamorphic_log.checkpoint_verify(note.encode(), [VKEY])
    assert (head.origin, head.size, head.root) == (ORIGIN, size, LOG.root(size))
    tlog.Checkpoint.from_text(note.encode()).verify(signing.Vkey.from_string(VKEY))


def test_a_forged_checkpoint_is_none_to_the_others_either() -> None:
    forged = MemoryLog(log_key(9), LOG.bodies).checkpoint(9)
    with pytest.raises(metamorphic_log.VerifyError):
        metamorphic_log.checkpoint_verify(forged.encode(), [VKEY])
    grown = LOG.checkpoint(9).encode().replace("\n9\n", "\n10\n")
    with pytest.raises(metamorphic_log.VerifyError):
        metamorphic_log.checkpoint_verify(grown, [VKEY])


def test_our_cosignatures_are_cosignatures_to_another() -> None:
    keys = [witness_key("a", 100), witness_key("b", 101)]
    note = cosigned(LOG.checkpoint(9), keys)
    known = [VKEY, *(key.verifier.text() for key in keys)]
    assert len(verified(note, known)) == 3
    assert len(verified(note, [VKEY, witness_key("a", 200).verifier.text()])) == 1
    later = Note(note.text.replace("\n9\n", "\n10\n"), note.signatures)
    assert verified(later, known) == set()


def test_a_checkpoint_with_cosignatures_is_still_one_to_those_who_know_none() -> None:
    note = cosigned(LOG.checkpoint(9), [witness_key("a")])
    assert metamorphic_log.checkpoint_verify(note.encode(), [VKEY]).size == 9


def test_a_proof_file_holds_what_another_checker_needs() -> None:
    note = LOG.checkpoint(300).encode()
    proof = LOG.inclusion(7, 300)
    metamorphic_log.checkpoint_verify_inclusion(note, [VKEY], 7, HASHES[7], proof)


def verified(note: Note, vkeys: list[str]) -> set[str]:
    """The names of the keys tlog-scales finds to have signed."""
    checkpoint = tlog.Checkpoint.from_text(note.encode())
    keys = signing.VkeySet(*(signing.Vkey.from_string(text) for text in vkeys))
    return {key.name for key, _ in keys.verify(checkpoint.signatures, checkpoint)}
