"""How much may still be promised. Pure.

Whoever is let in must be able to finish: the room for a request's end is set aside when it begins,
in blocks that are allocated already. So a full disk turns new requests away and fails none that is
under way.
"""

from dataclasses import dataclass

from gateway.spool.frame import OVERHEAD_BYTES
from gateway.spool.record import MAX_RECORD_BYTES

# The most a record can take, alone in its frame.
RECORD_ROOM = MAX_RECORD_BYTES + OVERHEAD_BYTES
# A frame is not cut in two: as much may stay unused at the end of a segment, and its head is there.
SEGMENT_LOSS = RECORD_ROOM + 256


@dataclass(slots=True)
class Room:
    """Bytes in the segment that is written to and in the one allocated after it, and what of both
    is set aside for requests under way.
    """

    segment_bytes: int
    left: int = 0
    has_spare: bool = False
    waiting: int = 0  # bytes of records that are not written yet, each with a frame of its own
    open_requests: int = 0

    @property
    def free(self) -> int:
        """Bytes nobody was promised."""
        spare = self.segment_bytes - SEGMENT_LOSS if self.has_spare else 0
        allocated = max(0, self.left - SEGMENT_LOSS) + spare
        return allocated - self.waiting - self.open_requests * RECORD_ROOM

    def admits(self) -> bool:
        """Whether one more request can begin and end."""
        return self.free >= 2 * RECORD_ROOM
