"""How records lie in a segment: one frame a commit, checked as a whole. Pure.

A frame is a header of 32 bytes, then its records, each a length (4 bytes) and its bytes, then
zeros up to the next block, a multiple of 512, where the next frame begins:

    magic "FSP1" | payload bytes u32 | segment u32 | sequence u64 | SHA-256 of all that, first 12

The sequence is the first record's number; records are numbered through all segments without a gap.
No two frames share a block: what is durable is never written again, not even its sector.

Releases before wrote zeros up to a multiple of 8 only. Both are read: a frame's end is the next
block when there are zeros up to it, else the next multiple of 8, where such a release's next frame
is. (And such a release reads what this one writes: it takes the zeros for damage, says so, and
goes on at the next frame.) Offsets count from a block's begin, or blocks could not be told.

A commit is one write of one frame, and the next begins only when it is on disk. So a frame that
does not check with nothing good behind it is one whose commit never came back (a torn tail, owed
to nobody); with a later frame behind it, something that was durable has been damaged since.
Segment and sequence are part of what is checked: no frame is taken for another.
"""

import hashlib
import struct
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Final

MAGIC: Final = b"FSP1"
MAX_PAYLOAD: Final = 1 << 20
BLOCK: Final = 512
_ALIGNMENT: Final = 8  # of every frame ever written
DIGEST_BYTES: Final = 12
_FIELDS: Final = struct.Struct("<4sIIQ")
_LENGTH: Final = struct.Struct("<I")
_LENGTH_BYTES: Final = 4
_ZEROS: Final = bytes(BLOCK)
HEADER_BYTES: Final = _FIELDS.size + DIGEST_BYTES
# What a record costs beside its own bytes, when it is alone in its frame.
OVERHEAD_BYTES: Final = HEADER_BYTES + _LENGTH_BYTES + BLOCK - 1
# The longest frame.
MAX_BYTES: Final = (HEADER_BYTES + MAX_PAYLOAD + BLOCK - 1) // BLOCK * BLOCK

Buffer = bytes | bytearray | memoryview


@dataclass(frozen=True, slots=True)
class Frame:
    """What one commit wrote. `sequence` is its first record's number; `begin` and `end` are offsets
    in its segment.
    """

    segment: int
    sequence: int
    begin: int
    end: int
    records: tuple[bytes, ...]

    @property
    def last(self) -> int:
        """Its last record's number."""
        return self.sequence + len(self.records) - 1


def cost(record_bytes: int) -> int:
    """Bytes a record takes within a frame."""
    return _LENGTH_BYTES + record_bytes


def encode(segment: int, sequence: int, records: Sequence[bytes]) -> bytes:
    """One frame, whole blocks; ValueError when `records` are none, or more than a frame holds."""
    size = 0
    parts: list[bytes] = []
    for record in records:
        length = len(record)
        parts.append(length.to_bytes(4, "little"))
        parts.append(record)
        size += _LENGTH_BYTES + length
    if not 0 < size <= MAX_PAYLOAD:
        raise ValueError(f"{size} bytes of records do not fit into a frame")
    place = segment.to_bytes(4, "little") + sequence.to_bytes(8, "little")
    fields = b"".join((MAGIC, size.to_bytes(4, "little"), place))
    payload = b"".join(parts)
    digest = hashlib.sha256(fields + payload).digest()[:DIGEST_BYTES]
    return b"".join((fields, digest, payload, _ZEROS[: -(HEADER_BYTES + size) % BLOCK]))


def decode(buffer: Buffer, offset: int, segment: int) -> Frame | None:
    """The frame at `offset` of `segment`'s bytes; None when there is no whole and sound one."""
    begin = offset + HEADER_BYTES
    if begin > len(buffer):
        return None
    magic, size, found, sequence = _FIELDS.unpack_from(buffer, offset)
    end = begin + size
    if magic != MAGIC or found != segment or not 0 < size <= MAX_PAYLOAD or end > len(buffer):
        return None
    payload = bytes(buffer[begin:end])
    fields = bytes(buffer[offset : offset + _FIELDS.size])
    digest = bytes(buffer[offset + _FIELDS.size : begin])
    if hashlib.sha256(fields + payload).digest()[:DIGEST_BYTES] != digest:
        return None
    records = _records(payload)
    if records is None:
        return None
    return Frame(segment, sequence, offset, _padded(buffer, end), records)


def walk(buffer: Buffer, offset: int, segment: int) -> Iterator[Frame]:
    """Sound frames one after another from `offset`, up to the first that is none."""
    while (frame := decode(buffer, offset, segment)) is not None:
        yield frame
        offset = frame.end


def find(buffer: Buffer, offset: int, segment: int, beyond: int) -> Frame | None:
    """The first sound frame from `offset` on whose sequence is greater than `beyond`."""
    whole = bytes(buffer)
    place = whole.find(MAGIC, offset)
    while place >= 0:
        if place % _ALIGNMENT == 0:
            frame = decode(whole, place, segment)
            if frame is not None and frame.sequence > beyond:
                return frame
        place = whole.find(MAGIC, place + 1)
    return None


def _padded(buffer: Buffer, end: int) -> int:
    """Where the next frame begins, behind one whose records end at `end`."""
    padding = bytes(buffer[end : end + -end % BLOCK])
    if padding.count(0) == len(padding):
        return end + len(padding)
    return end + -end % _ALIGNMENT


def _records(payload: bytes) -> tuple[bytes, ...] | None:
    records, offset = [], 0
    while offset < len(payload):
        if offset + _LENGTH_BYTES > len(payload):
            return None
        (size,) = _LENGTH.unpack_from(payload, offset)
        offset += _LENGTH_BYTES
        if offset + size > len(payload):
            return None
        records.append(payload[offset : offset + size])
        offset += size
    return tuple(records)
