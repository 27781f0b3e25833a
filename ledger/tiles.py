"""The tree in C2SP tlog-tiles of height 8: how it grows, and how any subtree is read back. Pure.

A tile holds up to 256 hashes: at level 0 leaf hashes, above them roots of full tiles of the level
below. All but the rightmost of each level are full; those *edge* tiles are all one needs to go on,
and hold the tree's frontier.
"""

from collections.abc import Callable
from dataclasses import dataclass
from hashlib import sha256
from typing import Self

from ledger.merkle import HASH_BYTES, Frontier, Perfect, split

HEIGHT = 8
WIDTH = 1 << HEIGHT
FULL_BYTES = WIDTH * HASH_BYTES
LEVELS = 8

# (level, index) -> the tile's bytes, full or as far as it has grown
Stored = Callable[[int, int], bytes]


@dataclass(frozen=True)
class Tile:
    """One tile: its level, its index in the level, its hashes one after the other."""

    level: int
    index: int
    hashes: bytes


@dataclass(frozen=True)
class Edge:
    """The right edge of a tree of `size` leaves: each level's partial tile, from level 0 up."""

    size: int = 0
    partial: tuple[bytes, ...] = ()

    def __post_init__(self) -> None:
        if [len(each) // HASH_BYTES for each in self.partial] != widths(self.size):
            raise ValueError(f"these are not the edge tiles of a tree of {self.size}")

    def grow(self, leaf_hashes: bytes) -> tuple[Self, tuple[Tile, ...]]:
        """The edge after more leaves (their hashes, joined) and every tile that changed."""
        size = self.size + len(leaf_hashes) // HASH_BYTES
        changed: list[Tile] = []
        partial: list[bytes] = []
        arriving, level = leaf_hashes, 0
        while arriving or level < len(self.partial):
            before = self.partial[level] if level < len(self.partial) else b""
            content = before + arriving
            index = self.size >> HEIGHT * (level + 1)
            rising, at = [], 0
            while len(content) - at >= FULL_BYTES:
                full = content[at : at + FULL_BYTES]
                changed.append(Tile(level, index, full))
                rising.append(subtree(full))
                index, at = index + 1, at + FULL_BYTES
            rest = content[at:]
            if rest and arriving:
                changed.append(Tile(level, index, rest))
            partial.append(rest)
            arriving, level = b"".join(rising), level + 1
        return type(self)(size, tuple(partial)), tuple(changed)

    def frontier(self) -> Frontier:
        """The tree's frontier, read out of the edge tiles."""
        hashes: list[bytes] = []
        for tile in reversed(self.partial):
            at = 0
            for bit in reversed(range(HEIGHT)):
                if len(tile) // HASH_BYTES >> bit & 1:
                    end = at + (HASH_BYTES << bit)
                    hashes.append(subtree(tile[at:end]))
                    at = end
        return Frontier(self.size, tuple(hashes))


def widths(size: int) -> list[int]:
    """How many hashes each level's partial tile has, from level 0 up (0: there is none)."""
    found = []
    while size:
        found.append(size % WIDTH)
        size >>= HEIGHT
    return found


def edge_of(size: int, stored: Stored) -> Edge:
    """The edge of the tree of `size` leaves out of stored tiles, which may have grown further."""
    partial = []
    for level, width in enumerate(widths(size)):
        index = size >> HEIGHT * (level + 1)
        partial.append(stored(level, index)[: width * HASH_BYTES] if width else b"")
    return Edge(size, tuple(partial))


def perfect_in(stored: Stored) -> Perfect:
    """Any perfect subtree's root out of stored tiles: one tile is read for each."""

    def perfect(height: int, index: int) -> bytes:
        level, inner = divmod(height, HEIGHT)
        first = index << inner
        tile = stored(level, first >> HEIGHT)
        at = first % WIDTH * HASH_BYTES
        found = tile[at : at + (HASH_BYTES << inner)]
        if len(found) != HASH_BYTES << inner:
            raise ValueError(f"tile {level}/{first >> HEIGHT} ends before hash {first % WIDTH}")
        return subtree(found)

    return perfect


def subtree(joined: bytes) -> bytes:
    """The root over a power of two of joined hashes (unchecked: this is the sequencer's loop)."""
    hashes = split(joined)
    while len(hashes) > 1:
        hashes = [
            sha256(b"\x01" + hashes[at] + hashes[at + 1]).digest()
            for at in range(0, len(hashes), 2)
        ]
    return hashes[0]
