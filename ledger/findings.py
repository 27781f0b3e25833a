"""What a verification can find, and what it needs to know beforehand: values only.

A finding names a place: the first event it is about, or a range when the stored bytes alone cannot
say more closely where history was changed.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum

from ledger.replay import Peak

# The source of what the operator remembers himself.
LAST_VERIFICATION = "the last verification"


class Fault(StrEnum):
    """Kinds of findings."""

    EDITED = "edited"
    REORDERED = "reordered"
    COLUMNS = "columns"
    MISSING = "missing"
    PARTITION = "partition_dropped"
    CUT = "cut"
    EXTRA = "extra"
    TILE = "tile"
    STATE = "state"
    CHECKPOINT = "checkpoint"
    REWRITTEN = "rewritten"
    ROLLED_BACK = "rolled_back"
    EQUIVOCATION = "equivocation"
    WITNESS = "witness"
    WITNESS_ROLLED_BACK = "witness_rolled_back"


@dataclass(frozen=True)
class Finding:
    """Something wrong. `place` is the event, partition, tile, checkpoint or witness it is at.

    `seq` is the first event concerned (None: no event is), `until` the last one that may be.
    """

    fault: Fault
    place: str
    text: str
    seq: int | None = None
    until: int | None = None

    def __str__(self) -> str:
        return f"{self.place}: {self.text}"


@dataclass(frozen=True)
class Anchor:
    """A root somebody else vouches for: after `size` events it was `root`, says `source`.

    `signed` when the log's own key signed just that, so that another root is its contradiction.
    """

    source: str
    size: int
    root: bytes
    signed: bool = False


@dataclass(frozen=True)
class Resume:
    """Where an earlier verification of this log ended well: nothing before is read again.

    `peaks` are those of the first `base` events (whole blocks), from `Replay.base`.
    """

    size: int
    root: bytes
    base: int
    peaks: tuple[Peak, ...]


@dataclass(frozen=True)
class Progress:
    """How far the verification is: events checked up to number `done`, of `end`."""

    done: int
    end: int


@dataclass
class Report:
    """How a verification ended. `size` events from `start` on were checked; `root` is theirs.

    `signed_size` is the newest checkpoint's; `resume` is set when all is well.
    """

    start: int = 0
    size: int = 0
    end: int = 0
    root: bytes = b""
    signed_size: int = 0
    checkpoints: int = 0
    rows: int = 0
    note: str = ""
    findings: list[Finding] = field(default_factory=list)
    resume: Resume | None = None

    @property
    def ok(self) -> bool:
        """Whether nothing was found."""
        return not self.findings

    @property
    def first(self) -> Finding | None:
        """The finding with the lowest event; one about no event comes last."""
        if not self.findings:
            return None
        return min(self.findings, key=lambda f: (f.seq is None, f.seq or 0))

    def value(self) -> Mapping[str, object]:
        """As JSON."""
        first = self.first
        return {
            "ok": self.ok,
            "first_bad": first.seq if first else None,
            "findings": [
                finding.__dict__ | {"fault": finding.fault.value} for finding in self.findings
            ],
            "from": self.start,
            "events": self.size,
            "rows_read": self.rows,
            "root": self.root.hex(),
            "signed_events": self.signed_size,
            "checkpoints": self.checkpoints,
            "checkpoint": self.note,
        }
