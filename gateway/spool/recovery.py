"""What the run before this one left behind: where its last sound frame ends, and what follows.

Only the writer's own question is answered here: which number and sequence come next, and where the
good part of the last segment ends. Whether anything older is damaged is found by the shipper, which
reads every byte on its way to the ledger.
"""

from dataclasses import dataclass
from pathlib import Path

from gateway.spool import frame, segment


@dataclass(frozen=True, slots=True)
class Tail:
    """Where to go on: the next segment's number and sequence, and the end of the one before."""

    next_segment: int
    next_sequence: int
    previous_end: int


def tail(folder: Path, shipped_segment: int, shipped_sequence: int) -> Tail:
    """Read the last segment; raises OSError.

    A segment that was only begun (its first frame never became durable) counts as ending at 0: the
    one before it is looked at too, for the sequence. What was shipped and deleted is known by the
    shipper's position, so that numbers are never used twice.
    """
    present = segment.numbers(folder)
    end, sequence = 0, shipped_sequence
    for place, number in enumerate(reversed(present)):
        good_end, last = good_part(segment.read(folder, number), number)
        end = good_end if place == 0 else end
        sequence = max(sequence, last)
        if last:
            break
    last_number = max([*present, shipped_segment])
    if not present or present[-1] < last_number:
        end = 0
    return Tail(last_number + 1, sequence + 1, end)


def good_part(buffer: bytes, number: int) -> tuple[int, int]:
    """Where a last segment's good part ends, and the greatest sequence in it (0: none).

    Damage in the middle does not end it: whatever is sound behind it was durable, and counts.
    """
    end, last = 0, 0
    while True:
        for found in frame.walk(buffer, end, number):
            end, last = found.end, found.last
        later = frame.find(buffer, end, number, last)
        if later is None:
            return end, last
        end, last = later.end, later.last
