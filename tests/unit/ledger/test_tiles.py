"""Tiles that grow in any steps hold the RFC's tree, and give back every part of it."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ledger import merkle, tiles
from ledger.merkle import leaf_hash, perfect_of
from ledger.tiles import Edge, Tile

COUNT = 66_000  # more than one full tile at level 1
HASHES = [leaf_hash(n.to_bytes(4, "big")) for n in range(COUNT)]


def grown(steps: list[int]) -> tuple[Edge, dict[tuple[int, int], bytes]]:
    edge, stored, at = Edge(), dict[tuple[int, int], bytes](), 0
    for step in steps:
        edge, changed = edge.grow(b"".join(HASHES[at : at + step]))
        for tile in changed:
            before = stored.get((tile.level, tile.index), b"")
            assert tile.hashes.startswith(before)
            assert len(tile.hashes) > len(before)
            stored[tile.level, tile.index] = tile.hashes
        at += step
    return edge, stored


@settings(max_examples=40)
@given(st.lists(st.integers(min_value=0, max_value=700), max_size=8))
def test_any_steps_lead_to_the_same_tree(steps: list[int]) -> None:
    edge, stored = grown(steps)
    size = sum(steps)
    assert edge.size == size
    assert edge.frontier() == merkle.Frontier().append(HASHES[:size])
    assert stored == grown([size])[1]
    reread = tiles.edge_of(size, lambda level, index: stored.get((level, index), b""))
    assert reread == edge


def test_a_tree_of_70000_has_the_tiles_the_specification_counts() -> None:
    hashes = b"".join(leaf_hash(n.to_bytes(4, "big")) for n in range(70_000))
    edge, changed = Edge().grow(hashes)
    widths = {(tile.level, tile.index): len(tile.hashes) // 32 for tile in changed}
    full = [place for place, width in widths.items() if width == 256]
    assert len([level for level, _ in full if level == 0]) == 273
    assert widths[0, 273] == 112
    assert widths[1, 0] == 256
    assert widths[1, 1] == 17
    assert widths[2, 0] == 1
    assert len(changed) == 273 + 1 + 1 + 1 + 1
    assert tiles.widths(70_000) == [112, 17, 1]
    assert edge.frontier().root() == merkle.root(merkle.split(hashes))


def test_a_tree_of_256_is_a_full_tile_and_one_above() -> None:
    edge, changed = Edge().grow(b"".join(HASHES[:256]))
    assert changed == (
        Tile(0, 0, b"".join(HASHES[:256])),
        Tile(1, 0, merkle.root(HASHES[:256])),
    )
    assert edge.partial == (b"", merkle.root(HASHES[:256]))


@settings(max_examples=60, deadline=None)
@given(st.data())
def test_proofs_out_of_tiles_are_those_out_of_leaves(data: st.DataObject) -> None:
    size = data.draw(st.sampled_from([1, 2, 255, 256, 257, 511, 512, 700, 1300]))
    _, stored = grown([1300])
    index = data.draw(st.integers(0, size - 1))
    old = data.draw(st.integers(0, size))
    perfect = tiles.perfect_in(lambda level, at: stored[level, at])
    plain = perfect_of(HASHES)
    assert merkle.inclusion_proof(perfect, index, size) == merkle.inclusion_proof(
        plain, index, size
    )
    assert merkle.consistency_proof(perfect, old, size) == merkle.consistency_proof(
        plain, old, size
    )


def test_a_proof_across_a_full_upper_tile_verifies() -> None:
    _, stored = grown([COUNT])
    perfect = tiles.perfect_in(lambda level, at: stored[level, at])
    root = merkle.range_hash(perfect, (0, COUNT))
    for index in (0, 65_535, 65_536, COUNT - 1):
        proof = merkle.inclusion_proof(perfect, index, COUNT)
        merkle.verify_inclusion(HASHES[index], index, COUNT, proof, root)


@pytest.mark.parametrize(
    ("size", "partial"), [(1, ()), (0, (b"x" * 32,)), (256, (b"",)), (2, (b"x" * 32,))]
)
def test_edges_that_do_not_fit_their_size_are_refused(
    size: int, partial: tuple[bytes, ...]
) -> None:
    with pytest.raises(ValueError, match="not the edge tiles"):
        Edge(size, partial)


def test_a_tile_that_ends_too_soon_is_no_part_of_a_proof() -> None:
    perfect = tiles.perfect_in(lambda _level, _index: HASHES[0])
    with pytest.raises(ValueError, match="tile 0/0 ends before hash 2"):
        perfect(1, 1)
