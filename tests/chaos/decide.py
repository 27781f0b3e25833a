"""Compare what clients were told with what the log holds. Pure.

What must hold, whatever broke (issue 3): every acknowledged event is in the log exactly once, as
the bytes that were sent; what was refused is not there; what is unknown is there or not there, the
same each time it is asked; nobody's event is there; the sequence has no gap; and at no time did two
servers both acknowledge writes.

"Writable" means: a commit there is acknowledged. A primary that was cut off may still say that it
is one, and takes rows it can never acknowledge, because its commits wait for a standby that is
gone. So what is judged are acknowledged writes, by server and timeline.
"""

from collections import Counter
from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass
from itertools import pairwise

from tests.chaos.journal import Attempt, Outcome


@dataclass(frozen=True)
class Entry:
    """One row of the log: its number, its event's id, the SHA-256 of its bytes (hexadecimal)."""

    seq: int
    id: str
    digest: str


@dataclass(frozen=True)
class Violation:
    """A promise that was broken: which, and everything needed to find it again."""

    promise: str
    text: str

    def __str__(self) -> str:
        return f"{self.promise}: {self.text}"


def judge(
    attempts: Sequence[Attempt],
    first: Collection[str],
    settled: Sequence[Entry],
    ours: Iterable[str],
    base: int = 0,
) -> tuple[Violation, ...]:
    """Every broken promise; an empty tuple when all was kept.

    `first` are the ids of the load that were there (in the inbox or the log) once every client had
    ended and no session of theirs was left; `settled` is the log, from number `base` on, after the
    inbox was empty and everything had come to rest; `ours` are the ids of those of its events that
    say they are the load's (others write to the log as well).
    """
    return (
        *lost(attempts, settled),
        *doubled(settled),
        *altered(attempts, settled),
        *refused_yet_there(attempts, settled),
        *wavering(attempts, first, settled),
        *strangers(attempts, ours),
        *gaps(settled, base),
        *two_writers(attempts),
    )


def lost(attempts: Iterable[Attempt], log: Sequence[Entry]) -> list[Violation]:
    """Acknowledged events that are not in the log."""
    there = {entry.id for entry in log}
    return [
        Violation("an acknowledged event is in the log", f"{event} of {_name(attempt)} is missing")
        for attempt in attempts
        if attempt.outcome is Outcome.ACKED
        for event in attempt.events
        if event not in there
    ]


def doubled(log: Iterable[Entry]) -> list[Violation]:
    """Events with more than one number."""
    counted = Counter(entry.id for entry in log)
    return [
        Violation("an event is in the log once", f"{event} is there {times} times")
        for event, times in counted.items()
        if times > 1
    ]


def altered(attempts: Iterable[Attempt], log: Iterable[Entry]) -> list[Violation]:
    """Events whose bytes are not those that were sent."""
    sent = {event: digest for attempt in attempts for event, digest in attempt.events.items()}
    return [
        Violation("an event's bytes are those sent", f"{entry.id} at {entry.seq} has others")
        for entry in log
        if sent.get(entry.id, entry.digest) != entry.digest
    ]


def refused_yet_there(attempts: Iterable[Attempt], log: Iterable[Entry]) -> list[Violation]:
    """Events whose client was told that nothing was done."""
    there = {entry.id for entry in log}
    return [
        Violation("what was refused is not there", f"{event} of {_name(attempt)} ({attempt.why})")
        for attempt in attempts
        if attempt.outcome is Outcome.REFUSED
        for event in attempt.events
        if event in there
    ]


def wavering(
    attempts: Sequence[Attempt], first: Collection[str], settled: Iterable[Entry]
) -> list[Violation]:
    """Events that were there and then gone, or came later, or whose batch is there in part."""
    before, after = set(first), {entry.id for entry in settled}
    found = [
        Violation("what is there stays there", f"{event} was there and is gone")
        for event in sorted(before - after)
    ]
    for attempt in attempts:
        present = [event for event in attempt.events if event in after]
        found += [
            Violation("what is absent stays absent", f"{event} of {_name(attempt)} came later")
            for event in present
            if event not in before
        ]
        if present and len(present) != len(attempt.events):
            text = f"{len(present)} of {len(attempt.events)} events of {_name(attempt)}"
            found.append(Violation("a batch is there as a whole or not at all", text))
    return found


def strangers(attempts: Iterable[Attempt], ours: Iterable[str]) -> list[Violation]:
    """Events in the log that say they are the load's and that no client ever meant to send."""
    sent = {event for attempt in attempts for event in attempt.events}
    return [
        Violation("nothing is in the log that nobody sent", event)
        for event in ours
        if event not in sent
    ]


def gaps(log: Sequence[Entry], base: int = 0) -> list[Violation]:
    """A number from `base` on that is missing or there twice; the first one is named."""
    for expected, entry in enumerate(sorted(log, key=lambda entry: entry.seq), base):
        if entry.seq != expected:
            text = f"where {expected} should be, {entry.seq} is ({entry.id})"
            return [Violation("the sequence has no gap", text)]
    return []


def two_writers(attempts: Iterable[Attempt]) -> list[Violation]:
    """Acknowledged writes that prove two servers writable at once.

    Postgres starts a new timeline at each promotion. So one timeline acknowledged by two servers is
    a split brain; and so is a write that was *sent* to an older timeline's server after a newer
    timeline had already acknowledged one, and was acknowledged too: at the moment it was
    acknowledged, both took writes.
    """
    acked = [
        attempt
        for attempt in attempts
        if attempt.outcome is Outcome.ACKED and attempt.node is not None
    ]
    found: list[Violation] = []
    servers: dict[int, str] = {}
    first_ack: dict[int, float] = {}
    for attempt in acked:
        timeline, node = attempt.timeline or 0, attempt.node or ""
        if servers.setdefault(timeline, node) != node:
            text = f"timeline {timeline} was acknowledged by {servers[timeline]} and {node}"
            found.append(Violation("one server takes writes", text))
        ended = attempt.ended or attempt.sent
        first_ack[timeline] = min(first_ack.get(timeline, ended), ended)
    for attempt in acked:
        timeline = attempt.timeline or 0
        newer = [when for other, when in first_ack.items() if other > timeline]
        if newer and attempt.sent > min(newer):
            text = (
                f"{_name(attempt)} to {attempt.node} on timeline {timeline} was acknowledged, and "
            )
            text += f"sent {attempt.sent - min(newer):.3f} s after a newer timeline took writes"
            found.append(Violation("one server takes writes", text))
    return found


def interruption(acks: Sequence[float], start: float, end: float) -> float:
    """The longest time in seconds without an acknowledgement between `start` and `end`.

    Counted from the last acknowledgement before `start` (a fault may take a moment to bite) to the
    next; if none comes before `end`, it lasts to `end`.
    """
    before = max((ack for ack in acks if ack <= start), default=start)
    inside = sorted(ack for ack in acks if start < ack < end)
    points = [before, *inside, end]
    return max(later - earlier for earlier, later in pairwise(points))


def _name(attempt: Attempt) -> str:
    return f"{attempt.client}'s batch {attempt.batch} (sent at {attempt.sent:.3f})"
