"""What is to be shipped next: the spool read in order, every byte checked on the way.

Reading decides nothing twice: from the same position and the same files come the same events, so a
shipper that dies anywhere sends what it may have sent before, byte for byte.

Nothing is passed over in silence. Where sound frames end before they should, and where a number is
missing, an event says so in the ledger, and the file is kept.
"""

import logging
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from pathlib import Path
from uuid import UUID

import orjson

from gateway.spool import frame, segment
from gateway.spool.mark import Point
from gateway.spool.record import DAMAGED, FINISHED, RUN, STARTED, lost, notice
from gateway.spool.recovery import good_part

logger = logging.getLogger("gateway.shipper")

# Whole blocks, and as long as the longest frame: what is not taken now is read again.
PIECE_BYTES = frame.MAX_BYTES
HEAD_BYTES = 4096


@dataclass(frozen=True)
class Progress:
    """How far the spool is in the ledger. `at`: the next byte, and the last record read; `open`:
    requests that were begun and not ended by then, by their ids as events write them, with their
    keys.
    """

    at: Point = field(default_factory=Point)
    open: dict[str, str] = field(default_factory=dict)
    lost: int = 0
    damaged: int = 0


@dataclass(frozen=True)
class Batch:
    """Events to send in this order, and where the spool stands when they are in the ledger.

    `damaged` are segments in which something was wrong.
    """

    events: tuple[bytes, ...]
    then: Progress
    damaged: tuple[int, ...] = ()


class Reader:
    """Reads batches from a folder. `breathe` is called after each frame: what is read may be a lot,
    and the processor somebody else's.
    """

    def __init__(
        self, folder: Path, node: str, breathe: Callable[[], object] = lambda: None
    ) -> None:
        self._folder, self._node, self._breathe = folder, node, breathe

    def batch(self, progress: Progress, mark: Point, limit: int) -> Batch:
        """About `limit` events after `progress`, up to `mark` at most; raises OSError."""
        step = _Step(progress, self._node)
        while len(step.events) < limit and self._advance(step, mark, limit):
            pass
        return Batch(tuple(step.events), step.progress(), tuple(sorted(step.damaged)))

    def _advance(self, step: "_Step", mark: Point, limit: int) -> bool:
        """Read on in one segment, or go to the next; False at the end of what may be read."""
        present = [n for n in segment.numbers(self._folder) if n >= step.at.segment]
        if not present or present[0] > mark.segment:
            return False
        number = present[0]
        if number > step.at.segment:
            step.at = Point(number, 0, step.at.sequence)
            return True
        if number == mark.segment:
            return self._read(step, mark.offset, limit)
        if self._read(step, self._end_of(number, present[1:]), limit):
            return True
        if len(present) == 1:
            return False
        step.at = Point(present[1], 0, step.at.sequence)
        return True

    def _end_of(self, number: int, later: list[int]) -> int:
        """Where a segment's good part ends: the next one's head says so. Without its word, where
        sound frames end.
        """
        if later and later[0] == number + 1:
            said = segment.head_of(segment.read(self._folder, later[0], 0, HEAD_BYTES), later[0])
            if said is not None:
                return said[0].previous_end
        return good_part(segment.read(self._folder, number), number)[0]

    def _read(self, step: "_Step", end: int, limit: int) -> bool:
        """Take frames from where `step` is, a piece of the file at a time; False: none are left."""
        number, base = step.at.segment, step.at.offset
        if base >= end:
            return False
        start = base - base % frame.BLOCK
        piece = segment.read(self._folder, number, start, min(end - start, PIECE_BYTES))
        for found in frame.walk(piece, base - start, number):
            step.take(found, start, self._changed)
            self._breathe()
            if len(step.events) >= limit:
                return True
        if step.at.offset == base:
            # A piece holds the longest frame: there is no sound one here, though there was.
            rest = segment.read(self._folder, number, start, end - start)
            then = frame.find(rest, base - start, number, step.at.sequence)
            until = end if then is None else start + then.begin
            step.damage(until, then, self._changed())
        return True

    def _changed(self) -> datetime:
        """A time for what has none: this folder's own, which does not move while it is read."""
        return datetime.fromtimestamp(int((self._folder / "lock").stat().st_mtime), UTC)


class _Step:
    """One batch in the making."""

    def __init__(self, progress: Progress, node: str) -> None:
        self.at, self._node = progress.at, node
        self.open = dict(progress.open)
        self.events: list[bytes] = []
        self.lost, self.damages = progress.lost, progress.damaged
        self.damaged: set[int] = set()

    def progress(self) -> Progress:
        """Where this batch leads."""
        return Progress(self.at, self.open, self.lost, self.damages)

    def take(self, found: frame.Frame, base: int, changed: Callable[[], datetime]) -> None:
        """The records of a sound frame; `base` is what its offsets count from."""
        expected = self.at.sequence + 1
        if found.sequence > expected and self.at.sequence:
            place = base + found.begin
            self._notice(place, place, found.sequence - expected, changed())
        first = base + found.begin == 0 and segment.Head.decode(found) is not None
        for record in found.records[1:] if first else found.records:
            self._record(record)
        self.at = Point(found.segment, base + found.end, max(found.last, self.at.sequence))

    def damage(self, until: int, then: frame.Frame | None, at: datetime) -> None:
        """Go on behind what does not check, and say so."""
        missing = 0 if then is None else max(0, then.sequence - self.at.sequence - 1)
        self._notice(self.at.offset, until, missing, at)
        sequence = self.at.sequence + missing
        self.at = replace(self.at, offset=until, sequence=sequence)

    def _notice(self, begin: int, end: int, missing: int, at: datetime) -> None:
        number = self.at.segment
        data = {"segment": number, "from": begin, "to": end, "records_missing": missing}
        logger.error("spool damaged", extra=data)
        self.events.append(notice(DAMAGED, at, self._node, f"spool/{number}", data))
        self.damaged.add(number)
        self.damages += 1

    def _record(self, record: bytes) -> None:
        event = orjson.loads(record)
        kind = event["kind"]
        if kind == STARTED:
            self.open[event["id"]] = event["data"]["key_id"]
        elif kind == FINISHED:
            self.open.pop(event["subject"], None)
        elif kind == RUN:
            at = datetime.fromisoformat(event["time"])
            for request, key in sorted(self.open.items()):
                self.events.append(lost(UUID(request), key, event["node"], at))
            self.lost += len(self.open)
            self.open.clear()
        self.events.append(record)
