"""What a log sends to a witness and what it answers: the bodies of C2SP tlog-witness. Pure.

    old 20852014
    <base64 hash of the consistency proof>, one a line, 63 at most
    <empty line>
    <the checkpoint, a signed note>

Bytes in, typed request out, or RequestInvalid: whoever can reach a witness may send anything.
"""

import base64
import binascii
import re
from dataclasses import dataclass
from typing import Self

from ledger.errors import RequestInvalid

PATH = "/add-checkpoint"
SIZE_TYPE = "text/x.tlog.size"
MAX_BYTES = 64 * 1024
MAX_PROOF = 63
HASH_BYTES = 32
_NUMBER = re.compile(rb"0|[1-9][0-9]{0,18}")
_HASH = re.compile(rb"[A-Za-z0-9+/]{43}=")


@dataclass(frozen=True)
class Request:
    """A checkpoint (`note`, its exact bytes) and the proof that it continues the tree of `old`."""

    old: int
    proof: tuple[bytes, ...]
    note: bytes

    def encode(self) -> bytes:
        """The body of the request."""
        lines = [b"old %d" % self.old, *(base64.b64encode(item) for item in self.proof), b""]
        return b"\n".join(lines) + b"\n" + self.note

    @classmethod
    def parse(cls, body: bytes) -> Self:
        """The request in `body`; raises RequestInvalid saying what is wrong with it."""
        if len(body) > MAX_BYTES:
            raise RequestInvalid(f"the request has {len(body)} bytes, at most {MAX_BYTES}")
        head, empty, note = body.partition(b"\n\n")
        if not empty:
            raise RequestInvalid("no empty line between the proof and the checkpoint")
        first, *hashes = head.split(b"\n")
        if not first.startswith(b"old ") or not _NUMBER.fullmatch(first[4:]):
            raise RequestInvalid("the first line is not `old` and a size")
        if len(hashes) > MAX_PROOF:
            raise RequestInvalid(f"{len(hashes)} hashes in the proof, at most {MAX_PROOF}")
        return cls(int(first[4:]), tuple(decode_hash(item) for item in hashes), note)


def decode_hash(line: bytes) -> bytes:
    """The hash in one base64 line; RequestInvalid unless it is exactly how that is written."""
    if not _HASH.fullmatch(line):
        raise RequestInvalid("a line of the proof is no SHA-256 in base64")
    try:
        value = base64.b64decode(line, validate=True)
    except binascii.Error as error:  # pragma: no cover - the pattern admits nothing it refuses
        raise RequestInvalid("a line of the proof is no base64") from error
    if base64.b64encode(value) != line:
        raise RequestInvalid("a line of the proof is not how base64 writes that hash")
    return value


def size_in(body: bytes) -> int:
    """The size a witness says it is at (the body of its 409); raises RequestInvalid."""
    if not body.endswith(b"\n") or not _NUMBER.fullmatch(body[:-1]):
        raise RequestInvalid("a conflict without the witness's size")
    return int(body[:-1])
