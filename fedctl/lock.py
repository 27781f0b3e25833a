"""Who may change the fleet: the rules of the fleet lock. Pure.

Safety: two operators never both hold it, because each needs more than half of the same set of
nodes and a node grants it to one at a time. Liveness: a record expires unless renewed, by the
node's own clock; one whose process is known to be dead (same machine) is taken over at once.
What a node keeps is one line of JSON; `expires` is its last member, since a shell reads it.
"""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from enum import StrEnum

from fedctl.errors import Holder

LEASE_SECONDS = 60
HEARTBEAT_SECONDS = 15


@dataclass(frozen=True)
class Claim:
    """What an operator asks nodes to record. `token` is the run's secret-free unique id.

    `process` is pid and start time, `machine` an id of the computer: together they tell a later
    run on the same computer whether this one still lives.
    """

    token: str
    owner: str
    reason: str
    machine: str
    process: str

    def head(self) -> str:
        """The record's JSON without its times and closing brace; the node adds those."""
        value = {
            "token": self.token,
            "owner": self.owner,
            "reason": self.reason,
            "machine": self.machine,
            "process": self.process,
        }
        return json.dumps(value)[:-1]


@dataclass(frozen=True)
class Record:
    """What a node keeps: a claim and two times (seconds since the epoch, by the node's clock)."""

    claim: Claim
    acquired: int
    expires: int

    def holder(self) -> Holder:
        """The record in words."""
        return Holder(
            self.claim.owner,
            self.claim.reason,
            self.claim.token,
            _iso(self.acquired),
            _iso(self.expires),
        )


class Word(StrEnum):
    """A node's first word."""

    GRANTED = "granted"
    TAKEN = "taken"
    HELD = "held"
    FREE = "free"
    RELEASED = "released"
    LOST = "lost"


@dataclass(frozen=True)
class Answer:
    """What one node said. `record` is the one in force (or, for `taken`, the one replaced)."""

    word: Word
    now: int
    record: Record | None = None


class Verdict(StrEnum):
    """What the answers of all nodes mean together."""

    ACQUIRED = "acquired"
    HELD = "held"
    CONTENDED = "contended"
    UNREACHABLE = "unreachable"


@dataclass(frozen=True)
class Decision:
    """A verdict, why, and whose record stands in the way."""

    verdict: Verdict
    reason: str
    record: Record | None = None


def majority(nodes: int) -> int:
    """How many of `nodes` are more than half."""
    return nodes // 2 + 1


def decide(answers: Mapping[str, Answer], nodes: int) -> Decision:
    """What the answers of the nodes that could be asked mean, out of `nodes` altogether."""
    granted = [name for name, a in answers.items() if a.word in (Word.GRANTED, Word.TAKEN)]
    held = {name: a.record for name, a in answers.items() if a.word is Word.HELD and a.record}
    needed = majority(nodes)
    if len(granted) >= needed:
        return Decision(Verdict.ACQUIRED, f"{len(granted)} of {nodes} nodes granted it")
    if held:
        records = list(held.values())
        counts = {r.claim.token: _count(records, r.claim.token) for r in records}
        token, most = max(counts.items(), key=lambda item: item[1])
        record = next(r for r in records if r.claim.token == token)
        out_of_reach = nodes - len(answers)
        if most + out_of_reach >= needed:
            return Decision(Verdict.HELD, f"held on {most} nodes", record)
        return Decision(Verdict.CONTENDED, "several operators ask at the same moment", record)
    return Decision(Verdict.UNREACHABLE, f"{len(answers)} of {nodes} nodes can be reached")


def dead(record: Record, machine: str, living: frozenset[str]) -> bool:
    """Whether the record's process was on this `machine` and is not among the `living` ones."""
    return record.claim.machine == machine and record.claim.process not in living


def parse_answer(text: str) -> Answer:
    """What the node's script printed: word and time on one line, then perhaps a record.

    Raises ValueError for anything else.
    """
    first, _, rest = text.strip().partition("\n")
    word, _, now = first.partition(" ")
    record = parse_record(rest) if rest.strip() else None
    try:
        return Answer(Word(word), int(now), record)
    except ValueError as error:
        raise ValueError(f"not an answer of the lock script: {first[:200]!r}") from error


def parse_record(line: str) -> Record:
    """A record as a node keeps it; raises ValueError."""
    try:
        value = json.loads(line)
        acquired, expires = int(value.pop("acquired")), int(value.pop("expires"))
        claim = Claim(**{name: str(item) for name, item in value.items()})
    except (KeyError, TypeError, AttributeError, ValueError) as error:
        raise ValueError(f"not a lock record: {line[:200]!r}") from error
    return Record(claim, acquired, expires)


def _count(records: list[Record], token: str) -> int:
    return sum(record.claim.token == token for record in records)


def _iso(moment: int) -> str:
    return datetime.fromtimestamp(moment, UTC).strftime("%Y-%m-%d %H:%M:%S UTC")
