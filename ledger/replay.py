"""Grow the log's tree again from its leaves, as fast as Python hashes, and tell its roots. Pure.

Works in blocks of 256 leaves, the width of a tile: what is kept is the leaves of the block that is
not full yet, and the roots of the complete subtrees left of it (`peaks`, the highest first). Memory
does not grow with the log. It shares no code with the sequencer's tree on purpose: what checks a
thing should not be the thing.
"""

import hashlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

BLOCK = 256
BLOCK_HEIGHT = 8
_sha256 = hashlib.sha256
EMPTY_ROOT = _sha256(b"").digest()


@dataclass(frozen=True)
class Peak:
    """The root of a complete subtree of 2**height leaves."""

    height: int
    hash: bytes


@dataclass(frozen=True)
class Node:
    """A node that a tile stores: number `index` of tile level `level`."""

    level: int
    index: int
    hash: bytes


@dataclass(frozen=True)
class Grown:
    """What adding leaves brought: the roots asked for, and the nodes that were completed."""

    roots: tuple[tuple[int, bytes], ...]
    nodes: tuple[Node, ...]


class Replay:
    """The tree so far. Starts empty, or at a whole number of blocks with their peaks."""

    def __init__(self, size: int = 0, peaks: Sequence[Peak] = ()) -> None:
        if size % BLOCK or sum(1 << peak.height for peak in peaks) != size:
            raise ValueError("a replay starts at whole blocks, with exactly their peaks")
        self._peaks = list(peaks)
        self._base = size
        self._open: list[bytes] = []

    @property
    def size(self) -> int:
        """Leaves so far."""
        return self._base + len(self._open)

    @property
    def base(self) -> tuple[int, tuple[Peak, ...]]:
        """Where a later replay can start: the whole blocks so far and their peaks."""
        return self._base, tuple(self._peaks)

    def root(self) -> bytes:
        """The root of the tree as it is."""
        return self._root(self._open)

    def grow(self, leaves: Sequence[bytes], stops: Sequence[int] = ()) -> Grown:
        """Add leaf hashes; `stops` are ascending sizes, each passed now, whose roots are wanted."""
        roots: list[tuple[int, bytes]] = []
        nodes: list[Node] = []
        wanted = iter(stops)
        stop = next(wanted, None)
        place = 0
        while place < len(leaves):
            taken = leaves[place : place + BLOCK - len(self._open)]
            place += len(taken)
            self._open.extend(taken)
            while stop is not None and stop <= self.size:
                if stop <= self._base:
                    raise ValueError(f"the root of {stop} leaves is behind")
                roots.append((stop, self._root(self._open[: stop - self._base])))
                stop = next(wanted, None)
            if len(self._open) == BLOCK:
                nodes.extend(self._close())
        return Grown(tuple(roots), tuple(nodes))

    def _close(self) -> Iterator[Node]:
        """The open block is full: merge it into the peaks."""
        peak = Peak(BLOCK_HEIGHT, complete_root(self._open))
        self._base += BLOCK
        self._open = []
        yield Node(1, self._base // BLOCK - 1, peak.hash)
        while self._peaks and self._peaks[-1].height == peak.height:
            left = self._peaks.pop()
            peak = Peak(peak.height + 1, parent(left.hash, peak.hash))
            if peak.height % BLOCK_HEIGHT == 0:
                index = (self._base >> peak.height) - 1
                yield Node(peak.height // BLOCK_HEIGHT, index, peak.hash)
        self._peaks.append(peak)

    def _root(self, leaves: Sequence[bytes]) -> bytes:
        """The root with only these leaves in the open block."""
        right: bytes | None = None
        end = len(leaves)
        while end:
            # The complete subtrees of the block, the smallest (rightmost) first.
            width = end & -end
            peak = complete_root(leaves[end - width : end])
            right = peak if right is None else parent(peak, right)
            end -= width
        for left in reversed(self._peaks):
            right = left.hash if right is None else parent(left.hash, right)
        return EMPTY_ROOT if right is None else right


def tiles_of_rows(start: int, stop: int) -> list[tuple[int, int]]:
    """The tiles (level, index) that rows [start, stop) are in, of every level, and one above."""
    wanted: dict[tuple[int, int], None] = {}
    level, first, last = 0, start, stop - 1
    # One level above the last: a block that is just full has its hash there already.
    while last >= 0:
        above = -1 if last == 0 else last // BLOCK
        first, last = first // BLOCK, last // BLOCK
        wanted.update(dict.fromkeys((level, index) for index in range(first, last + 1)))
        level, last = level + 1, above
    return list(wanted)


def leaf_hashes(bodies: Sequence[bytes]) -> list[bytes]:
    """RFC 6962 leaf hashes."""
    return [_sha256(b"\x00" + body).digest() for body in bodies]


def parent(left: bytes, right: bytes) -> bytes:
    """RFC 6962's hash of an inner node."""
    return _sha256(b"\x01" + left + right).digest()


def complete_root(hashes: Sequence[bytes]) -> bytes:
    """The root over a power of two of hashes."""
    row = hashes
    while len(row) > 1:
        row = [
            _sha256(b"\x01" + left + right).digest()
            for left, right in zip(row[::2], row[1::2], strict=True)
        ]
    return row[0]
