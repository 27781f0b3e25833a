"""How much may still be promised. Pure.

Whoever is let in must be able to finish: the room for a request's end is set aside when it begins,
in blocks that are allocated already. So a full disk turns new requests away and fails none that is
under way.

The thread that writes moves `used` and the one that allocates moves `segments`, each by one
assignment, while the event loop reads both. Going on to the next segment moves neither backwards:
at no moment does the room look smaller than it is (it once did, and refused requests).
"""

from typing import Final

from gateway.spool.frame import BLOCK, OVERHEAD_BYTES
from gateway.spool.record import MAX_RECORD_BYTES

# The most a record can take, alone in its frame.
RECORD_ROOM: Final = MAX_RECORD_BYTES + OVERHEAD_BYTES
# A frame is not cut in two: as much may stay unused at the end of a segment, and its head is there.
SEGMENT_LOSS: Final = RECORD_ROOM + BLOCK


class Room:
    """Segments allocated so far, those used up among them; bytes of all of these that are used, and
    what is set aside for requests under way.
    """

    __slots__ = ("open_requests", "segment_bytes", "segments", "usable_bytes", "used", "waiting")

    def __init__(self, segment_bytes: int) -> None:
        self.segment_bytes = segment_bytes
        self.usable_bytes = segment_bytes - SEGMENT_LOSS  # what one segment is counted for
        self.segments = self.used = 0
        self.waiting = 0  # bytes of records that are not durable yet, each with a frame of its own
        self.open_requests = 0

    def wrote(self, taken: int, offset: int) -> None:
        """`taken` segments were begun, and the last of them is written up to `offset`."""
        usable = self.usable_bytes
        self.used = (taken - 1) * usable + min(offset, usable)

    @property
    def free(self) -> int:
        """Bytes nobody was promised."""
        allocated = self.segments * self.usable_bytes - self.used
        return allocated - self.waiting - self.open_requests * RECORD_ROOM

    def admits(self) -> bool:
        """Whether one more request can begin and end."""
        return self.free >= 2 * RECORD_ROOM
