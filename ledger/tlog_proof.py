"""Inclusion proofs as files: C2SP tlog-proof, checked with public keys alone. Pure.

    c2sp.org/tlog-proof@v1
    extra <base64 of the event's canonical bytes>
    index <sequence number>
    <base64 hash>, from the leaf's sibling up
    <empty line>
    <the checkpoint with the log's signature and the witnesses' cosignatures>

The format leaves `extra` to the application; ours holds the event, so that one file says all. It is
trusted for nothing: what is checked is that the hash of exactly these bytes is in the signed tree.
"""

import base64
import binascii
import re
from dataclasses import dataclass
from typing import Self

from ledger import add_checkpoint, merkle
from ledger.checkpoint import Checkpoint
from ledger.errors import EventInvalid, NoteInvalid, ProofInvalid, RequestInvalid
from ledger.event import MAX_BYTES as MAX_EVENT_BYTES
from ledger.event import Event
from ledger.note import Note
from ledger.policy import Policy, Standing

HEADER = "c2sp.org/tlog-proof@v1"
SUFFIX = ".tlog-proof"
MAX_BYTES = 2 * MAX_EVENT_BYTES + 128 * 1024
MAX_HASHES = 63
_INDEX = re.compile(r"0|[1-9][0-9]{0,18}")


@dataclass(frozen=True)
class Proof:
    """That `event` (its bytes) is number `index` of the tree that `note` signs."""

    event: bytes
    index: int
    hashes: tuple[bytes, ...]
    note: str

    def encode(self) -> bytes:
        """The file."""
        lines = [
            HEADER,
            f"extra {base64.b64encode(self.event).decode()}",
            f"index {self.index}",
            *(base64.b64encode(item).decode() for item in self.hashes),
            "",
        ]
        return ("\n".join(lines) + "\n" + self.note).encode()

    @classmethod
    def parse(cls, content: bytes) -> Self:
        """The proof in a file; raises ProofInvalid saying what is wrong with it."""
        if len(content) > MAX_BYTES:
            raise ProofInvalid(f"the file has {len(content)} bytes, at most {MAX_BYTES}")
        try:
            text = content.decode("utf-8")
        except UnicodeDecodeError as error:
            raise ProofInvalid("the file is no UTF-8") from error
        head, empty, note = text.partition("\n\n")
        lines = head.split("\n")
        if not empty or lines[0] != HEADER:
            raise ProofInvalid(f"the file does not begin with {HEADER}, or is cut")
        if len(lines) < 3 or not lines[1].startswith("extra "):
            raise ProofInvalid("the file holds no event (`extra`)")
        if not lines[2].startswith("index ") or not _INDEX.fullmatch(lines[2][6:]):
            raise ProofInvalid("the file names no index")
        if len(lines) - 3 > MAX_HASHES:
            raise ProofInvalid(f"{len(lines) - 3} hashes, at most {MAX_HASHES}")
        return cls(_event(lines[1][6:]), int(lines[2][6:]), _hashes(lines[3:]), note)


@dataclass(frozen=True)
class Proven:
    """What a proof shows: the event, its number, in how large a tree, and who vouches for it."""

    event: Event
    index: int
    size: int
    root: bytes
    standing: Standing


def check(proof: Proof, policy: Policy) -> Proven:
    """What the proof shows under `policy`; raises ProofInvalid when it shows nothing.

    Nothing is asked of anybody: the policy's keys and the file are all there is.
    """
    try:
        event = Event.parse(proof.event)
        note = Note.parse(proof.note)
        checkpoint = Checkpoint.parse(note.text)
    except (EventInvalid, NoteInvalid) as error:
        raise ProofInvalid(str(error)) from error
    leaf = merkle.leaf_hash(proof.event)
    root = checkpoint.root
    try:
        merkle.verify_inclusion(leaf, proof.index, checkpoint.size, proof.hashes, root)
    except ProofInvalid as error:
        raise ProofInvalid(
            f"the event is not shown to be number {proof.index} of the {checkpoint.size} in the "
            f"signed tree: {error}"
        ) from error
    standing = policy.judge(note)
    if standing.refusal:
        raise ProofInvalid(standing.refusal)
    return Proven(event, proof.index, checkpoint.size, root, standing)


def _event(text: str) -> bytes:
    try:
        event = base64.b64decode(text, validate=True)
    except (binascii.Error, ValueError) as error:
        raise ProofInvalid("the event is no base64") from error
    if base64.b64encode(event).decode() != text:
        raise ProofInvalid("the event is not how base64 writes it")
    return event


def _hashes(lines: list[str]) -> tuple[bytes, ...]:
    try:
        return tuple(add_checkpoint.decode_hash(line.encode()) for line in lines)
    except RequestInvalid as error:
        raise ProofInvalid(str(error)) from error
