"""What the active sequencer does next: pure.

The order is the promise: partitions are there before events need them, the head is signed when a
second has passed since the last signature and the log has grown, and only then more is numbered, so
that a flood of events delays no checkpoint by more than one batch.
"""

from dataclasses import dataclass
from enum import Enum


class Kind(Enum):
    """The steps there are."""

    PARTITIONS = "partitions"
    SIGN = "sign"
    SEQUENCE = "sequence"
    WAIT = "wait"


@dataclass(frozen=True)
class View:
    """What is known. Times are seconds of one monotonic clock; None: not since we are active.

    `signed` is the size of the newest checkpoint, 0 before the first. `more` says that events wait,
    as far as anybody has looked since the last step; None: nobody has.
    """

    now: float
    size: int
    signed: int
    signed_at: float | None
    partitions_at: float | None
    more: bool | None


@dataclass(frozen=True)
class Rules:
    """Intervals in seconds."""

    checkpoint: float
    partitions: float
    poll: float


@dataclass(frozen=True)
class Decision:
    """One step, why, and for WAIT how long (seconds)."""

    kind: Kind
    reason: str
    seconds: float = 0.0


def next_step(view: View, rules: Rules) -> Decision:
    """The next step of an active sequencer."""
    if view.partitions_at is None or view.now - view.partitions_at >= rules.partitions:
        return Decision(Kind.PARTITIONS, "partitions were not looked at for a while")
    unsigned = view.size > view.signed
    due = view.signed_at is None or view.now - view.signed_at >= rules.checkpoint
    if unsigned and due:
        return Decision(Kind.SIGN, f"{view.size - view.signed} events are not under a signed head")
    if view.more is not False:
        return Decision(Kind.SEQUENCE, "events may wait")
    pause = rules.poll
    if unsigned and view.signed_at is not None:
        pause = min(pause, view.signed_at + rules.checkpoint - view.now)
    return Decision(Kind.WAIT, "nothing waits", pause)
