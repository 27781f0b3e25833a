"""What a witness says it saw, checked before it is held against anybody. Pure.

A witness vouches for the checkpoint it cosigned last (both signatures are verified) and for the
trail of roots before it. What it says is compared with the log by `ledger.verify`; here it is
compared with itself: a witness that once signed for more than it now remembers was rolled back.
"""

import base64
import binascii
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from ledger.checkpoint import opened
from ledger.errors import NoteInvalid, RequestInvalid
from ledger.findings import Anchor, Fault, Finding
from ledger.merkle import HASH_BYTES
from ledger.note import Note, VerifierKey

MAX_TRAIL = 4096


@dataclass(frozen=True)
class Seen:
    """How far a witness was when somebody looked: its key, its size, and which of its states."""

    vkey: str
    size: int
    generation: int
    digest: str


@dataclass(frozen=True)
class Testimony:
    """One witness's word. `size` 0 when it has seen nothing; `cosigned_at` is Unix seconds.

    `callers` are those whose signed requests it takes; none: it takes anybody's.
    """

    witness: str
    seen: Seen
    root: bytes
    cosigned_at: int
    trail: tuple[tuple[int, bytes], ...]
    callers: tuple[str, ...] = ()

    @property
    def place(self) -> str:
        """How findings call it."""
        return f"witness {self.witness}"

    def anchors(self) -> tuple[Anchor, ...]:
        """The roots it vouches for; the newest one the log's key signed too."""
        newest = Anchor(self.place, self.seen.size, self.root, signed=True)
        earlier = (Anchor(self.place, size, root) for size, root in self.trail)
        return (*earlier, newest) if self.seen.size else ()


def read(
    witness: str, key: VerifierKey, log_keys: Sequence[VerifierKey], value: object
) -> Testimony:
    """The testimony in the JSON of a witness's `/state`.

    Raises RequestInvalid for what no witness of ours says, NoteInvalid when its signatures are not
    the log's and its own.
    """
    try:
        found = _mapping(value)
        size, root = _count(found["size"]), _root(found["root"])
        seen = Seen(key.text(), size, _count(found["generation"]), str(found["digest"]))
        trail = tuple((_count(each), _root(other)) for each, other in found["trail"])
        note = str(found["note"])
        callers = tuple(str(each) for each in found.get("callers", ()))
    except (KeyError, TypeError, ValueError) as error:
        raise RequestInvalid(
            f"the witness {witness} does not say what one says: {error}"
        ) from error
    if len(trail) > MAX_TRAIL or any(each >= size for each, _ in trail):
        raise RequestInvalid(f"the trail of the witness {witness} is impossible")
    if not size and not note:
        return Testimony(witness, seen, root, 0, (), callers)
    head = opened(note, log_keys, log_keys[0].name)
    if (head.size, head.root) != (size, root):
        raise NoteInvalid(f"the witness {witness} signed another checkpoint than it says")
    return Testimony(witness, seen, root, _cosigned_at(witness, key, note), trail, callers)


def against(
    testimony: Testimony, remembered: Mapping[str, Seen], cosigned: Mapping[str, int]
) -> list[Finding]:
    """Whether the witness forgot what it knew: by what was seen of it, and by its own signatures.

    `cosigned` is the largest size it signed, by key name, as the log keeps it.
    """
    now = testimony.seen
    name = VerifierKey.parse(now.vkey).name
    signed = cosigned.get(name, 0)
    if signed > now.size:
        text = (
            f"it signed for {signed} events (the log keeps its signature) and now knows of "
            f"{now.size}: its state was rolled back"
        )
        return [Finding(Fault.WITNESS_ROLLED_BACK, testimony.place, text)]
    before = remembered.get(testimony.witness)
    if before is None or before.vkey != now.vkey:
        return []
    if (now.generation, now.size) < (before.generation, before.size) or now.size < before.size:
        text = (
            f"it was at {before.size} events in its state {before.generation} when last asked, and "
            f"is at {now.size} in its state {now.generation}: its state was rolled back"
        )
        return [Finding(Fault.WITNESS_ROLLED_BACK, testimony.place, text)]
    if now.generation == before.generation and now.digest != before.digest:
        text = f"it has two states number {now.generation}: an older one was put back and went on"
        return [Finding(Fault.WITNESS_ROLLED_BACK, testimony.place, text)]
    return []


def _cosigned_at(witness: str, key: VerifierKey, text: str) -> int:
    note = Note.parse(text)
    for signature in note.signatures:
        if (signature.name, signature.key_id) != (key.name, key.key_id):
            continue
        if key.verifies(note.text, signature.signature):
            return signature.timestamp
    raise NoteInvalid(f"what {witness} says is not signed by its pinned key")


def _mapping(value: object) -> Mapping[str, Any]:
    if not isinstance(value, Mapping):
        raise ValueError("not an object")
    return value


def _count(value: object) -> int:
    if type(value) is not int or not 0 <= value < 2**63:
        raise ValueError(f"{value!r:.40} is no count")
    return value


def _root(value: object) -> bytes:
    try:
        root = base64.b64decode(str(value), validate=True)
    except binascii.Error as error:
        raise ValueError("a root is base64") from error
    if len(root) != HASH_BYTES:
        raise ValueError("a root has 32 bytes")
    return root
