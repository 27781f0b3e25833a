"""The Merkle tree of RFC 6962 section 2.1 over SHA-256: roots, proofs, verification. Pure.

A leaf's hash is SHA-256(0x00 || bytes), a node's SHA-256(0x01 || left || right), so that no leaf
can be taken for a node. A tree of n leaves splits at the largest power of two below n; what it
needs to be continued is its *frontier*: the roots of the perfect subtrees that make it up, from the
left, one for each bit set in n.

Proofs are made of hashes of ranges of leaves. Where those come from (a list, stored tiles) is the
caller's: `Perfect` gives the root of the perfect subtree of 2**height leaves at an index. Verifying
needs nothing but the proof (RFC 9162 sections 2.1.3.2 and 2.1.4.2) and raises ProofInvalid.
"""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from hashlib import sha256
from typing import Self

from ledger.errors import ProofInvalid

HASH_BYTES = 32
EMPTY_ROOT = sha256(b"").digest()

# (height, index) -> the hash over leaves [index << height, (index + 1) << height)
Perfect = Callable[[int, int], bytes]
Range = tuple[int, int]


def leaf_hash(body: bytes) -> bytes:
    """The hash of one leaf's bytes."""
    return sha256(b"\x00" + body).digest()


def node_hash(left: bytes, right: bytes) -> bytes:
    """The hash of an inner node."""
    return sha256(b"\x01" + left + right).digest()


@dataclass(frozen=True)
class Frontier:
    """A tree's size and the roots of its perfect subtrees, largest first."""

    size: int = 0
    hashes: tuple[bytes, ...] = ()

    def __post_init__(self) -> None:
        if self.size < 0 or len(self.hashes) != self.size.bit_count():
            raise ValueError(f"{len(self.hashes)} hashes are no frontier of {self.size} leaves")
        if any(len(each) != HASH_BYTES for each in self.hashes):
            raise ValueError(f"a hash has {HASH_BYTES} bytes")

    def append(self, leaf_hashes: Iterable[bytes]) -> Self:
        """The frontier with these leaves' hashes added."""
        size, stack = self.size, list(self.hashes)
        for node in leaf_hashes:
            bits = size
            while bits & 1:
                node = sha256(b"\x01" + stack.pop() + node).digest()
                bits >>= 1
            stack.append(node)
            size += 1
        return type(self)(size, tuple(stack))

    def root(self) -> bytes:
        """The root of the whole tree."""
        return fold(self.hashes)

    def encode(self) -> bytes:
        """The hashes one after the other, as they are stored."""
        return b"".join(self.hashes)

    @classmethod
    def decode(cls, size: int, stored: bytes) -> Self:
        """Back from `encode`; ValueError when the bytes do not fit the size."""
        return cls(size, tuple(split(stored)))


def fold(hashes: Sequence[bytes]) -> bytes:
    """The root over perfect subtrees, largest first; of none, the empty tree's."""
    if not hashes:
        return EMPTY_ROOT
    node = hashes[-1]
    for left in reversed(hashes[:-1]):
        node = node_hash(left, node)
    return node


def split(joined: bytes) -> list[bytes]:
    """Hashes stored one after the other; ValueError for a piece of one."""
    if len(joined) % HASH_BYTES:
        raise ValueError(f"{len(joined)} bytes are no whole number of hashes")
    return [joined[at : at + HASH_BYTES] for at in range(0, len(joined), HASH_BYTES)]


def root(leaf_hashes: Iterable[bytes]) -> bytes:
    """The root over leaves given by their hashes."""
    return Frontier().append(leaf_hashes).root()


def perfect_of(leaf_hashes: Sequence[bytes]) -> Perfect:
    """Subtrees' roots from all leaves' hashes: for tests and small trees."""

    def perfect(height: int, index: int) -> bytes:
        return root(leaf_hashes[index << height : (index + 1) << height])

    return perfect


def inclusion_ranges(index: int, size: int) -> list[Range]:
    """Whose hashes prove leaf `index` in a tree of `size`, lowest first (RFC 6962, 2.1.1)."""
    if not 0 <= index < size:
        raise ValueError(f"a tree of {size} has no leaf {index}")
    found: list[Range] = []
    low, high = 0, size
    while high - low > 1:
        middle = low + _split_of(high - low)
        if index < middle:
            found.append((middle, high))
            high = middle
        else:
            found.append((low, middle))
            low = middle
    return found[::-1]


def consistency_ranges(old: int, new: int) -> list[Range]:
    """Whose hashes prove that `new` leaves begin with `old` ones (RFC 6962, 2.1.2)."""
    if not 0 <= old <= new:
        raise ValueError(f"a tree of {new} was never one of {old}")
    if old in (0, new):
        return []
    found: list[Range] = []
    low, high, whole = 0, new, True
    while old != high:
        middle = low + _split_of(high - low)
        if old <= middle:
            found.append((middle, high))
            high = middle
        else:
            found.append((low, middle))
            low, whole = middle, False
    if not whole:
        found.append((low, high))
    return found[::-1]


def range_hash(perfect: Perfect, span: Range) -> bytes:
    """The hash over leaves [start, end) as RFC 6962's recursion meets them."""
    low, high = span
    pieces = []
    while low < high:
        height = (high - low).bit_length() - 1
        pieces.append(perfect(height, low >> height))
        low += 1 << height
    return fold(pieces)


def inclusion_proof(perfect: Perfect, index: int, size: int) -> list[bytes]:
    """The audit path of leaf `index` in the tree of the first `size` leaves."""
    return [range_hash(perfect, span) for span in inclusion_ranges(index, size)]


def consistency_proof(perfect: Perfect, old: int, new: int) -> list[bytes]:
    """That the tree of `new` leaves begins with the one of `old`; empty when old is 0 or new."""
    return [range_hash(perfect, span) for span in consistency_ranges(old, new)]


def verify_inclusion(
    leaf: bytes, index: int, size: int, proof: Sequence[bytes], expected_root: bytes
) -> None:
    """That the leaf of hash `leaf` is number `index` of the `size` under `expected_root`."""
    if not 0 <= index < size:
        raise ProofInvalid(f"a tree of {size} has no leaf {index}")
    _check_hashes(leaf, *proof)
    first, second, node = index, size - 1, leaf
    for sibling in proof:
        if second == 0:
            raise ProofInvalid("the inclusion proof is too long")
        if first & 1 or first == second:
            node = node_hash(sibling, node)
            while not first & 1 and first:
                first, second = first >> 1, second >> 1
        else:
            node = node_hash(node, sibling)
        first, second = first >> 1, second >> 1
    if second != 0:
        raise ProofInvalid("the inclusion proof is too short")
    if node != expected_root:
        raise ProofInvalid(f"the proof of leaf {index} leads to another root")


def verify_consistency(
    old: int, new: int, old_root: bytes, new_root: bytes, proof: Sequence[bytes]
) -> None:
    """That the tree of `new` leaves under `new_root` begins with that of `old` under `old_root`."""
    if not 0 <= old <= new:
        raise ProofInvalid(f"a tree of {new} was never one of {old}")
    _check_hashes(old_root, new_root, *proof)
    if old in (0, new):
        if proof:
            raise ProofInvalid("no proof is needed from the empty or the same tree")
        if old == 0 and old_root != EMPTY_ROOT:
            raise ProofInvalid("the empty tree has another root")
        if old == new and old_root != new_root:
            raise ProofInvalid(f"two different trees of {new} leaves")
        return
    rest = list(proof) if old & (old - 1) else [old_root, *proof]
    if not rest:
        raise ProofInvalid("the consistency proof is too short")
    first, second = old - 1, new - 1
    while first & 1:
        first, second = first >> 1, second >> 1
    older = newer = rest[0]
    for sibling in rest[1:]:
        if second == 0:
            raise ProofInvalid("the consistency proof is too long")
        if first & 1 or first == second:
            older, newer = node_hash(sibling, older), node_hash(sibling, newer)
            while not first & 1 and first:
                first, second = first >> 1, second >> 1
        else:
            newer = node_hash(newer, sibling)
        first, second = first >> 1, second >> 1
    if second != 0:
        raise ProofInvalid("the consistency proof is too short")
    if older != old_root:
        raise ProofInvalid(f"the tree of {old} leaves was another one")
    if newer != new_root:
        raise ProofInvalid(f"the proof leads to another root of {new} leaves")


def _split_of(count: int) -> int:
    """The largest power of two below `count` (at least 2)."""
    return 1 << (count - 1).bit_length() - 1


def _check_hashes(*hashes: bytes) -> None:
    if any(len(each) != HASH_BYTES for each in hashes):
        raise ProofInvalid(f"a hash has {HASH_BYTES} bytes")
