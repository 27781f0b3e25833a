"""A log's signed head: the body of a C2SP tlog-checkpoint. Pure.

Three lines (origin, size, root hash in base64) and, if somebody insists, extension lines. The
signatures are the note's (`ledger.note`).
"""

import base64
import re
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Self

from ledger.errors import NoteInvalid
from ledger.merkle import HASH_BYTES
from ledger.note import Note, SignerKey, VerifierKey

_SIZE = re.compile(r"0|[1-9][0-9]{0,18}")


@dataclass(frozen=True)
class Checkpoint:
    """A tree head: which log, how many leaves, their root."""

    origin: str
    size: int
    root: bytes
    extensions: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        lines = (self.origin, *self.extensions)
        if any(not line or "\n" in line for line in lines):
            raise NoteInvalid("a checkpoint's lines are not empty")
        if self.size < 0 or len(self.root) != HASH_BYTES:
            raise NoteInvalid("a checkpoint has a size from 0 and a root of 32 bytes")

    def text(self) -> str:
        """The note's text."""
        encoded = base64.b64encode(self.root).decode()
        lines = [self.origin, str(self.size), encoded, *self.extensions]
        return "".join(f"{line}\n" for line in lines)

    @classmethod
    def parse(cls, text: str) -> Self:
        """From a note's text; raises NoteInvalid unless it is exactly a checkpoint's."""
        origin, *rest = text.removesuffix("\n").split("\n")
        if len(rest) < 2 or not _SIZE.fullmatch(rest[0]):
            raise NoteInvalid("not a checkpoint: origin, size, root")
        try:
            root = base64.b64decode(rest[1], validate=True)
        except ValueError as error:
            raise NoteInvalid("a checkpoint's root is base64") from error
        found = cls(origin, int(rest[0]), root, tuple(rest[2:]))
        if found.text() != text:
            raise NoteInvalid("the checkpoint is not written as it should be")
        return found

    def signed(self, key: SignerKey) -> Note:
        """This head, signed by the log."""
        text = self.text()
        return Note(text, (key.sign(text),))


def opened(encoded: str | bytes, keys: Iterable[VerifierKey], origin: str) -> Checkpoint:
    """The head in a note signed by one of `keys` at least, of the log `origin`.

    Raises NoteInvalid: not a note, not theirs, not a checkpoint, or of another log.
    """
    note = Note.parse(encoded)
    note.verified(keys)
    found = Checkpoint.parse(note.text)
    if found.origin != origin:
        raise NoteInvalid(f"the checkpoint is of {found.origin!r:.80}, not {origin}")
    return found


def origin_of(name: str, domain: str) -> str:
    """The origin line of a federation's log, which is also the name of its key."""
    return f"{name}.{domain}/ledger"
