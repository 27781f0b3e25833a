"""What a deploy run says on stdout: one JSON object a line, one frozen dataclass a kind.

These lines are all that a running deploy tells `fedctl`. The module imports neither pyinfra nor the
model. Durations are seconds since the thing started; names are the inventory's. Secrets never
appear: the Change of a secret file has no diff.
"""

import json
from dataclasses import asdict, dataclass, field, fields
from enum import StrEnum
from typing import Any, ClassVar, cast


class Outcome(StrEnum):
    """How a whole run ended; `fedctl/exits.py` turns the word into an exit code."""

    UNCHANGED = "unchanged"
    CHANGED = "changed"
    PENDING = "pending"
    FAILED = "failed"
    UNREACHABLE = "unreachable"
    ROLLED_BACK = "rolled back"
    ROLLBACK_FAILED = "rollback failed"
    INTERRUPTED = "interrupted"


class NodeOutcome(StrEnum):
    """How the run ended for one node."""

    UNCHANGED = "unchanged"
    CHANGED = "changed"
    PENDING = "pending"
    FAILED = "failed"
    NOT_STARTED = "not started"
    STOPPED = "stopped"


class Result(StrEnum):
    """How one operation ended (or, while planning, would)."""

    CHANGED = "changed"
    UNCHANGED = "unchanged"
    PENDING = "pending"
    FAILED = "failed"


@dataclass(frozen=True)
class Change:
    """One thing that changes: `action` is a verb, `subject` a path, unit or package."""

    action: str
    subject: str
    diff: str = ""

    def __str__(self) -> str:
        return f"{self.action} {self.subject}"


@dataclass(frozen=True)
class Event:
    """Base of what a run says."""

    kind: ClassVar[str] = ""


@dataclass(frozen=True)
class RunStarted(Event):
    """The run begins; `stages` are the titles it will go through, in order."""

    kind: ClassVar[str] = "run started"
    mode: str
    nodes: tuple[str, ...]
    stages: tuple[str, ...]


@dataclass(frozen=True)
class NodeConnected(Event):
    """An SSH session with the node; `bare` when it is not enrolled yet."""

    kind: ClassVar[str] = "node connected"
    node: str
    user: str
    bare: bool
    elapsed: float


@dataclass(frozen=True)
class NodeFailed(Event):
    """The node is out of this run; `failure` is a `deploys.errors.FailureKind`."""

    kind: ClassVar[str] = "node failed"
    node: str
    failure: str
    message: str


@dataclass(frozen=True)
class NodePlanned(Event):
    """The node's planning pass ended with this many operations pending."""

    kind: ClassVar[str] = "node planned"
    node: str
    pending: int
    elapsed: float


@dataclass(frozen=True)
class StageStarted(Event):
    """A stage begins on some nodes at once; `wave` counts from 1."""

    kind: ClassVar[str] = "stage started"
    stage: str
    wave: int
    nodes: tuple[str, ...]


@dataclass(frozen=True)
class StageFinished(Event):
    """Every node of the wave ended, well or not."""

    kind: ClassVar[str] = "stage finished"
    stage: str
    wave: int
    succeeded: bool
    elapsed: float


@dataclass(frozen=True)
class RoleStarted(Event):
    """A role's operations begin on a node."""

    kind: ClassVar[str] = "role started"
    node: str
    role: str


@dataclass(frozen=True)
class RoleFinished(Event):
    """A role's operations ended on a node without a failure."""

    kind: ClassVar[str] = "role finished"
    node: str
    role: str
    changed: int
    unchanged: int
    elapsed: float


@dataclass(frozen=True)
class OperationStarted(Event):
    """An operation is about to run its commands."""

    kind: ClassVar[str] = "operation started"
    node: str
    role: str
    operation: str


@dataclass(frozen=True)
class OperationFinished(Event):
    """An operation ended; `message` says why it failed."""

    kind: ClassVar[str] = "operation finished"
    node: str
    role: str
    operation: str
    result: Result
    elapsed: float
    changes: tuple[Change, ...] = ()
    message: str = ""


@dataclass(frozen=True)
class GuardArmed(Event):
    """The node will put the old state back by itself unless a new connection confirms in time."""

    kind: ClassVar[str] = "guard armed"
    node: str
    guard: str
    seconds: int


@dataclass(frozen=True)
class GuardConfirmed(Event):
    """A new connection worked; the new state stays."""

    kind: ClassVar[str] = "guard confirmed"
    node: str
    guard: str
    elapsed: float


@dataclass(frozen=True)
class GuardUndone(Event):
    """The node put the old state back; `healthy` when it answers again."""

    kind: ClassVar[str] = "guard undone"
    node: str
    guard: str
    healthy: bool
    message: str
    elapsed: float


@dataclass(frozen=True)
class NodeSummary:
    """How one node fared, for the last event."""

    node: str
    outcome: NodeOutcome
    changed: int = 0
    unchanged: int = 0
    pending: int = 0
    failure: str = ""
    message: str = ""


@dataclass(frozen=True)
class Summary(Event):
    """The last event of every run, an interrupted one included."""

    kind: ClassVar[str] = "summary"
    mode: str
    outcome: Outcome
    message: str
    elapsed: float
    nodes: tuple[NodeSummary, ...] = field(default=())


_KINDS: dict[str, type[Event]] = {cls.kind: cls for cls in Event.__subclasses__()}


def encode(event: Event) -> str:
    """The event as one line of JSON, without the line's end."""
    return json.dumps({"event": event.kind, **asdict(event)}, ensure_ascii=False)


def decode(line: str) -> Event:
    """The event a line holds; raises ValueError for anything else."""
    data = json.loads(line)
    if not isinstance(data, dict) or data.get("event") not in _KINDS:
        raise ValueError(f"not a deploy event: {line[:200]!r}")
    cls = _KINDS[data.pop("event")]
    known = {f.name for f in fields(cls)}
    if unknown := set(data) - known:
        raise ValueError(f"{cls.kind}: unknown fields {sorted(unknown)}")
    try:
        return cls(**{name: _value(cls, name, value) for name, value in data.items()})
    except TypeError as error:
        raise ValueError(f"{cls.kind}: {error}") from error


def _value(cls: type[Event], name: str, value: Any) -> Any:
    if name == "outcome":
        return Outcome(value)
    if name == "result":
        return Result(value)
    if name == "changes":
        return tuple(Change(**cast(dict[str, str], item)) for item in value)
    if cls is Summary and name == "nodes":
        return tuple(
            NodeSummary(**{**item, "outcome": NodeOutcome(item["outcome"])}) for item in value
        )
    return tuple(value) if isinstance(value, list) else value
