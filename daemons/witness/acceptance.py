"""Whether a witness may go on from a restored log that is shorter than what it saw: pure.

No request of the network leads here. A person with root on the witness's own machine starts it, in
place of the daemon; whoever has that could write the state by hand as well. What this adds is that
it cannot be done silently, nor for more than the restore took:

* the log's key signed a tree that holds an event giving up exactly what this witness remembers;
* what this witness had seen of the part that is kept is shown to be in that tree unchanged;
* the state goes on from there: one generation further, naming the one before and what was given up.
"""

import json
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Self

from daemons.witness.state import Memory, Restored
from ledger import merkle, tlog_proof
from ledger.checkpoint import Checkpoint
from ledger.errors import EventInvalid, NoteInvalid, ProofInvalid
from ledger.given_up import GivenUp
from ledger.note import Note, VerifierKey
from ledger.policy import NONE, Policy
from ledger.tlog_proof import Proof

MAX_BYTES = 2 * tlog_proof.MAX_BYTES
MAX_RESTORES = 256


class Refused(Exception):
    """The witness stays where it is; the message says why."""


@dataclass(frozen=True)
class Order:
    """What is shown to the witness: that the event is in a signed tree (`proof`), and
    (`consistency`) that this tree continues the last one it saw of the part that is kept."""

    proof: Proof
    consistency: tuple[bytes, ...]

    def encode(self) -> str:
        """For the command's standard input."""
        hashes = [item.hex() for item in self.consistency]
        return json.dumps({"proof": self.proof.encode().decode(), "consistency": hashes})

    @classmethod
    def parse(cls, content: str) -> Self:
        """Raises Refused."""
        try:
            found = json.loads(content)
            hashes = tuple(bytes.fromhex(item) for item in found["consistency"])
            return cls(Proof.parse(found["proof"].encode()), hashes)
        except (ValueError, KeyError, TypeError, AttributeError, ProofInvalid) as error:
            raise Refused(f"not what such an order is: {error}") from error


@dataclass(frozen=True)
class Accepted:
    """What is to be cosigned, and what to remember once it is (but for its note)."""

    checkpoint: Checkpoint
    note: Note
    restored: Restored
    trail: tuple[tuple[int, bytes], ...]


def last_kept(memory: Memory, kept: int) -> tuple[int, bytes]:
    """The largest tree of at most `kept` events that the witness remembers; size 0: none."""
    found = [each for each in memory.trail if each[0] <= kept]
    return found[-1] if found else (0, merkle.EMPTY_ROOT)


def accept(order: Order, name: str, memory: Memory, logs: Sequence[VerifierKey]) -> Accepted:
    """What the witness called `name` may go on from; raises Refused."""
    try:
        shown = tlog_proof.check(order.proof, Policy(tuple(logs), {}, {}, NONE))
        given = GivenUp.of(shown.event)
        note = Note.parse(order.proof.note)
        checkpoint = Checkpoint.parse(note.text)
    except (ProofInvalid, NoteInvalid, EventInvalid) as error:
        raise Refused(str(error)) from error
    own = given.seen.get(name)
    if own is None or (own.size, own.root) != (memory.size, memory.root):
        raise Refused(
            f"the event gives up what {name} saw as {own.size if own else 'nothing'}; it is at "
            f"{memory.size} events, {memory.root.hex()}"
        )
    if shown.index < given.kept.size:
        raise Refused("the event is itself in the part that is kept: it is of another restore")
    if len(memory.restores) >= MAX_RESTORES:
        raise Refused(f"{MAX_RESTORES} restores were accepted already")
    size, root = last_kept(memory, given.kept.size)
    try:
        merkle.verify_consistency(size, checkpoint.size, root, checkpoint.root, order.consistency)
    except ProofInvalid as error:
        raise Refused(
            f"of the {given.kept.size} events that are kept I saw {size}, and they are not shown "
            f"to be in this log: {error}"
        ) from error
    trail = tuple(each for each in memory.trail if each[0] <= given.kept.size)
    restored = Restored(memory.size, memory.root, given.kept.size, shown.index)
    return Accepted(checkpoint, note, restored, trail)
