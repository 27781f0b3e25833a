"""Our tree beside the RFC's own words, over random trees; and proofs that are not quite right."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ledger import merkle
from ledger.errors import ProofInvalid
from ledger.merkle import Frontier, leaf_hash, perfect_of
from tests.unit.ledger import rfc6962

LEAVES = [f"leaf {n}".encode() for n in range(70)]
HASHES = [leaf_hash(leaf) for leaf in LEAVES]
sizes = st.integers(min_value=1, max_value=70)


@given(st.lists(st.binary(max_size=20), max_size=70))
def test_roots_are_the_rfcs(leaves: list[bytes]) -> None:
    assert merkle.root(map(leaf_hash, leaves)) == rfc6962.mth(leaves)


def test_the_known_answers_of_certificate_transparency() -> None:
    """From the reference implementation's test vectors."""
    leaves = ["", "00", "10", "2021", "3031", "40414243", "5051525354555657", "606162636465666768696a6b6c6d6e6f"]  # noqa: E501  # fmt: skip
    roots = {
        0: "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855",
        1: "6e340b9cffb37a989ca544e6bb780a2c78901d3fb33738768511a30617afa01d",
        3: "aeb6bcfe274b70a14fb067a5e5578264db0fa9b51af5e0ba159158f329e06e77",
        8: "5dc9da79a70659a9ad559cb701ded9a2ab9d823aad2f4960cfe370eff4604328",
    }
    hashes = [leaf_hash(bytes.fromhex(leaf)) for leaf in leaves]
    for size, root in roots.items():
        assert merkle.root(hashes[:size]).hex() == root


@given(st.lists(st.integers(min_value=0, max_value=30), max_size=6))
def test_a_frontier_grows_to_the_same_root_however_leaves_arrive(steps: list[int]) -> None:
    frontier, size = Frontier(), 0
    for step in steps:
        hashes = [leaf_hash(str(n).encode()) for n in range(size, size + step)]
        frontier, size = frontier.append(hashes), size + step
    assert frontier.root() == rfc6962.mth([str(n).encode() for n in range(size)])
    assert Frontier.decode(size, frontier.encode()) == frontier


@pytest.mark.parametrize(("size", "stored"), [(1, b""), (3, b"x" * 32), (0, b"x" * 32), (1, b"x")])
def test_a_frontier_that_does_not_fit_its_size_is_refused(size: int, stored: bytes) -> None:
    with pytest.raises(ValueError, match=r"frontier|whole number"):
        Frontier.decode(size, stored)


@given(sizes, st.data())
def test_inclusion_proofs_are_the_rfcs_and_verify(size: int, data: st.DataObject) -> None:
    index = data.draw(st.integers(min_value=0, max_value=size - 1))
    proof = merkle.inclusion_proof(perfect_of(HASHES), index, size)
    assert proof == rfc6962.path(index, LEAVES[:size])
    merkle.verify_inclusion(HASHES[index], index, size, proof, rfc6962.mth(LEAVES[:size]))


@given(sizes, st.data())
def test_consistency_proofs_are_the_rfcs_and_verify(new: int, data: st.DataObject) -> None:
    old = data.draw(st.integers(min_value=0, max_value=new))
    proof = merkle.consistency_proof(perfect_of(HASHES), old, new)
    assert proof == (rfc6962.proof(old, LEAVES[:new]) if old else [])
    old_root, new_root = rfc6962.mth(LEAVES[:old]), rfc6962.mth(LEAVES[:new])
    merkle.verify_consistency(old, new, old_root, new_root, proof)


def spoil(proof: list[bytes], how: int, at: int) -> list[bytes]:
    place = at % max(1, len(proof))
    if how == 0:
        return [*proof, b"\0" * 32]
    if how == 1:
        return proof[:place] + proof[place + 1 :]
    if how == 2:
        flipped = bytes([proof[place][0] ^ 1]) + proof[place][1:]
        return [*proof[:place], flipped, *proof[place + 1 :]]
    return proof[::-1]


@given(sizes, st.integers(0, 3), st.integers(0, 70), st.data())
def test_a_spoilt_inclusion_proof_never_verifies(
    size: int, how: int, at: int, data: st.DataObject
) -> None:
    index = data.draw(st.integers(min_value=0, max_value=size - 1))
    root = rfc6962.mth(LEAVES[:size])
    proof = merkle.inclusion_proof(perfect_of(HASHES), index, size)
    if how == 0 or proof:
        spoilt = spoil(proof, how, at)
        if spoilt != proof:
            with pytest.raises(ProofInvalid):
                merkle.verify_inclusion(HASHES[index], index, size, spoilt, root)
    other = (index + 1) % size
    if other != index:
        with pytest.raises(ProofInvalid):
            merkle.verify_inclusion(HASHES[index], other, size, proof, root)
        with pytest.raises(ProofInvalid):
            merkle.verify_inclusion(HASHES[other], index, size, proof, root)


@given(sizes, st.integers(0, 3), st.integers(0, 70), st.data())
def test_a_spoilt_consistency_proof_never_verifies(
    new: int, how: int, at: int, data: st.DataObject
) -> None:
    old = data.draw(st.integers(min_value=0, max_value=new))
    old_root, new_root = rfc6962.mth(LEAVES[:old]), rfc6962.mth(LEAVES[:new])
    proof = merkle.consistency_proof(perfect_of(HASHES), old, new)
    if how == 0 or proof:
        spoilt = spoil(proof, how, at)
        if spoilt != proof:
            with pytest.raises(ProofInvalid):
                merkle.verify_consistency(old, new, old_root, new_root, spoilt)
    for roots in ((b"\0" * 32, new_root), (old_root, b"\0" * 32)):
        if old or roots[0] != old_root:
            with pytest.raises(ProofInvalid):
                merkle.verify_consistency(old, new, *roots, proof)


def test_sizes_and_places_that_cannot_be_are_refused() -> None:
    for index, size in ((0, 0), (1, 1), (-1, 5), (5, 5)):
        with pytest.raises(ValueError, match="has no leaf"):
            merkle.inclusion_proof(perfect_of(HASHES), index, size)
        with pytest.raises(ProofInvalid, match="has no leaf"):
            merkle.verify_inclusion(HASHES[0], index, size, [], HASHES[0])
    for old, new in ((2, 1), (-1, 1)):
        with pytest.raises(ValueError, match="was never"):
            merkle.consistency_proof(perfect_of(HASHES), old, new)
        with pytest.raises(ProofInvalid, match="was never"):
            merkle.verify_consistency(old, new, HASHES[0], HASHES[0], [])
    with pytest.raises(ProofInvalid, match="32 bytes"):
        merkle.verify_inclusion(b"short", 0, 1, [], b"short")
