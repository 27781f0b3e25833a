"""ledger/replay.py: RFC 6962 roots however leaves arrive, and the nodes that tiles hold."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ledger import merkle
from ledger.replay import BLOCK, Peak, Replay, complete_root, leaf_hashes, tiles_of_rows

LEAVES = leaf_hashes([f"leaf {n}".encode() for n in range(1500)])
SIZES = st.integers(0, len(LEAVES))


def test_leaves_and_nodes_are_hashed_as_the_other_module_does() -> None:
    assert leaf_hashes([b"", b"x"]) == [merkle.leaf_hash(b""), merkle.leaf_hash(b"x")]
    assert complete_root(LEAVES[:4]) == merkle.root(LEAVES[:4])
    assert Replay().root() == merkle.EMPTY_ROOT


@given(st.lists(st.integers(1, 700), max_size=6))
def test_however_leaves_arrive_the_roots_are_the_same(pieces: list[int]) -> None:
    replay, at = Replay(), 0
    for piece in pieces:
        taken = LEAVES[at : at + piece]
        replay.grow(taken)
        at += len(taken)
        assert replay.size == at
        assert replay.root() == merkle.root(LEAVES[:at])


@given(st.sets(SIZES.filter(bool), max_size=8), SIZES)
def test_every_root_asked_for_on_the_way_is_told(stops: set[int], size: int) -> None:
    wanted = sorted(stop for stop in stops if stop <= size)
    grown = Replay().grow(LEAVES[:size], wanted)
    assert grown.roots == tuple((stop, merkle.root(LEAVES[:stop])) for stop in wanted)


def test_the_nodes_of_tiles_are_told_when_they_are_complete() -> None:
    grown = Replay().grow(LEAVES)
    assert [(node.level, node.index) for node in grown.nodes] == [(1, n) for n in range(5)]
    for node in grown.nodes:
        first = node.index * BLOCK
        assert node.hash == merkle.root(LEAVES[first : first + BLOCK])
    tall = Replay(255 * BLOCK, [Peak(8 + n, LEAVES[n]) for n in reversed(range(8))])
    levels = [node.level for node in tall.grow(LEAVES[:BLOCK]).nodes]
    assert levels == [1, 2]
    assert len(tall.base[1]) == 1


@given(SIZES)
def test_it_goes_on_from_where_it_was(size: int) -> None:
    first = Replay()
    first.grow(LEAVES[:size])
    base, peaks = first.base
    again = Replay(base, peaks)
    again.grow(LEAVES[base:])
    assert again.root() == merkle.root(LEAVES)


def test_it_does_not_start_where_it_cannot() -> None:
    for size, peaks in ((1, ()), (256, ()), (512, (Peak(8, b""),)), (0, (Peak(8, b""),))):
        with pytest.raises(ValueError, match="whole blocks"):
            Replay(size, peaks)


def test_a_root_that_is_behind_is_refused() -> None:
    replay = Replay()
    replay.grow(LEAVES[:300])
    with pytest.raises(ValueError, match="behind"):
        replay.grow(LEAVES[300:310], [100])


@pytest.mark.parametrize(
    ("rows", "tiles"),
    [
        ((0, 0), []),
        ((0, 1), [(0, 0)]),
        ((255, 256), [(0, 0), (1, 0)]),
        ((256, 512), [(0, 1), (1, 0), (2, 0)]),
        ((70_000, 70_001), [(0, 273), (1, 1), (2, 0), (3, 0)]),
    ],
)
def test_the_tiles_of_rows_are_those_of_every_level_and_of_one_above(
    rows: tuple[int, int], tiles: list[tuple[int, int]]
) -> None:
    assert tiles_of_rows(*rows) == tiles


@given(SIZES, st.integers(1, 700))
def test_whatever_rows_complete_is_in_their_tiles(start: int, count: int) -> None:
    replay = Replay()
    replay.grow(LEAVES[:start])
    leaves = LEAVES[start : start + count]
    held = tiles_of_rows(start, start + len(leaves))
    for node in replay.grow(leaves).nodes:
        assert (node.level, node.index // BLOCK) in held
