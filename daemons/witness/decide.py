"""Whether to cosign a checkpoint: pure.

Invariant: of all checkpoints a witness ever cosigned, each continues every one before it. So it
cosigns only what continues the largest it has seen, never a smaller one, never a second root for
one size, whoever asks and however often. That is C2SP tlog-witness, in its order of checks.

A checkpoint that the log's own key signed and that does not continue what was cosigned is no
mistake of the sender's but of the log: it is kept as evidence. Who sent it, and whether they may,
is `door`'s question, before this one.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum

from daemons.witness.state import Memory
from ledger import merkle
from ledger.add_checkpoint import Request
from ledger.checkpoint import Checkpoint
from ledger.errors import NoteInvalid, ProofInvalid
from ledger.note import Note, VerifierKey


class Kind(StrEnum):
    """What becomes of a request; the word is the label of its metric."""

    COSIGN = "cosigned"
    MALFORMED = "malformed"
    UNKNOWN_LOG = "unknown_log"
    NOT_SIGNED = "not_signed"
    BAD_OLD_SIZE = "bad_old_size"
    STALE = "stale"
    EQUIVOCATION = "equivocation"
    INCONSISTENT = "inconsistent"
    UNSIGNED = "unsigned"
    UNKNOWN_CALLER = "unknown_caller"
    REPLAYED = "replayed"


STATUS = {
    Kind.COSIGN: 200,
    Kind.MALFORMED: 400,
    Kind.UNKNOWN_LOG: 404,
    Kind.NOT_SIGNED: 403,
    Kind.BAD_OLD_SIZE: 400,
    Kind.STALE: 409,
    Kind.EQUIVOCATION: 409,
    Kind.INCONSISTENT: 422,
    Kind.UNSIGNED: 401,
    Kind.UNKNOWN_CALLER: 401,
    Kind.REPLAYED: 401,
}
EVIDENCE = frozenset({Kind.EQUIVOCATION, Kind.INCONSISTENT})


@dataclass(frozen=True)
class Verdict:
    """What to do and why. `checkpoint` and `text` (what is to be signed) are set to cosign."""

    kind: Kind
    reason: str
    checkpoint: Checkpoint | None = None
    text: str = ""

    @property
    def status(self) -> int:
        """The HTTP status C2SP tlog-witness has for this, or 401: not signed as it must be."""
        return STATUS[self.kind]


def judge(request: Request, memory: Memory, logs: Sequence[VerifierKey]) -> Verdict:
    """What to do with `request`, given what was cosigned before and the keys of the log."""
    try:
        note = Note.parse(request.note)
        checkpoint = Checkpoint.parse(note.text)
    except NoteInvalid as error:
        return Verdict(Kind.MALFORMED, f"no checkpoint: {error}")
    known = [key for key in logs if key.name == checkpoint.origin]
    if not known:
        return Verdict(Kind.UNKNOWN_LOG, f"{checkpoint.origin!r:.120} is not the log I watch")
    try:
        note.verified(known)
    except NoteInvalid as error:
        return Verdict(Kind.NOT_SIGNED, f"the log's key did not sign this checkpoint: {error}")
    return _history(request, checkpoint, note.text, memory)


def _history(request: Request, checkpoint: Checkpoint, text: str, memory: Memory) -> Verdict:
    """The log signed it: does it continue what I have seen?"""
    size, seen = checkpoint.size, memory.size
    if size == seen and checkpoint.root != memory.root:
        return Verdict(
            Kind.EQUIVOCATION,
            f"the log signed two roots for {size} events: {memory.root.hex()} and "
            f"{checkpoint.root.hex()}",
        )
    if request.old > size:
        return Verdict(Kind.BAD_OLD_SIZE, f"old {request.old} is above the checkpoint's {size}")
    if request.old != seen:
        return Verdict(Kind.STALE, f"I am at {seen}, not at {request.old}")
    try:
        merkle.verify_consistency(seen, size, memory.root, checkpoint.root, request.proof)
    except ProofInvalid as error:
        return Verdict(
            Kind.INCONSISTENT,
            f"the tree of {size} events is not shown to continue the {seen} I cosigned: {error}",
        )
    return Verdict(Kind.COSIGN, f"{seen} -> {size}", checkpoint, text)
