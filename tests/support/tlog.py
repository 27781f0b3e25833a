"""Logs, keys and witnesses in memory, for tests of what is signed and proven about a log."""

from collections.abc import Sequence
from dataclasses import dataclass, field

from ledger import merkle
from ledger.checkpoint import Checkpoint
from ledger.note import Kind, Note, SignerKey

ORIGIN = "test.fed.example/ledger"
TIME = 1_780_000_000


def log_key(seed: int = 1, name: str = ORIGIN) -> SignerKey:
    """A log's key, the same one for the same seed."""
    return SignerKey(name, Kind.ED25519, bytes([seed]) * 32)


def witness_key(name: str, seed: int = 100) -> SignerKey:
    """A witness's key."""
    return SignerKey(f"{name}.fed.example/witness", Kind.COSIGNATURE_ED25519, bytes([seed]) * 32)


@dataclass
class MemoryLog:
    """A log's leaves (their bytes) and its key; everything is computed anew each time."""

    key: SignerKey = field(default_factory=log_key)
    bodies: list[bytes] = field(default_factory=list)

    @classmethod
    def of(cls, count: int, prefix: str = "event", key: SignerKey | None = None) -> "MemoryLog":
        """A log of made-up leaves."""
        return cls(key or log_key(), [f"{prefix} {n}".encode() for n in range(count)])

    @property
    def hashes(self) -> list[bytes]:
        """Leaf hashes."""
        return [merkle.leaf_hash(body) for body in self.bodies]

    def root(self, size: int | None = None) -> bytes:
        """The root of the first `size` leaves."""
        return merkle.root(self.hashes[:size])

    def checkpoint(self, size: int | None = None) -> Note:
        """The signed head of the first `size` leaves."""
        count = len(self.bodies) if size is None else size
        return Checkpoint(self.key.name, count, self.root(count)).signed(self.key)

    def consistency(self, old: int, new: int) -> list[bytes]:
        """That `new` leaves begin with `old`."""
        return merkle.consistency_proof(merkle.perfect_of(self.hashes), old, new)

    def inclusion(self, index: int, size: int) -> list[bytes]:
        """That leaf `index` is one of `size`."""
        return merkle.inclusion_proof(merkle.perfect_of(self.hashes), index, size)


def cosigned(note: Note, keys: Sequence[SignerKey], time: int = TIME) -> Note:
    """`note` with cosignatures."""
    return Note(note.text, (*note.signatures, *(key.sign(note.text, time) for key in keys)))
