"""One run from beginning to end: look everywhere, then change in waves, then look again.

Rules: nothing changes unless every node answered; a wave is one node, then the others; the first
failure stops everything that has not begun; the last look must find nothing left to do.
"""

import time
from collections.abc import Callable
from dataclasses import dataclass

from deploys.crew import Crew
from deploys.errors import UNREACHABLE, FailureKind
from deploys.node_process import Plan, Run
from deploys.protocol import (
    Event,
    NodeFailed,
    NodeOutcome,
    NodePlanned,
    NodeSummary,
    OperationFinished,
    Outcome,
    Result,
    RoleFinished,
    RunStarted,
    StageFinished,
    StageStarted,
    Summary,
)
from deploys.sequence import Stage
from inventory.model import Node

VERIFY = "verify"


@dataclass
class _Tally:
    """What has been heard about one node."""

    changed: int = 0
    unchanged: int = 0
    pending: int = 0
    begun: bool = False
    failure: str = ""
    message: str = ""


class Rollout:
    """Commands the crew and keeps count of what it says."""

    def __init__(
        self,
        crew: Crew,
        stages: tuple[Stage, ...],
        nodes: tuple[Node, ...],
        emit: Callable[[Event], None],
    ) -> None:
        self._crew = crew
        self._stages = stages
        self._nodes = nodes
        self._emit = emit
        self._tallies = {node.name: _Tally() for node in nodes}
        self._left_over: list[str] = []
        self._verified = False
        crew.listen(self._hear)

    def plan(self, mode: str) -> None:
        """Ask every node at once what its roles would change."""
        names = tuple(node.name for node in self._nodes)
        self._emit(RunStarted(mode, names, tuple(stage.title for stage in self._stages)))
        self._crew.ask(names, Plan())

    def apply(self) -> None:
        """Run the stages in waves, if every node answered and something is pending."""
        tallies = self._tallies.values()
        if any(tally.failure for tally in tallies) or not any(tally.pending for tally in tallies):
            return
        for tally in tallies:
            tally.unchanged = 0
        for number, stage in enumerate(self._stages):
            for wave, nodes in enumerate(stage.waves(self._nodes), 1):
                if not self._wave(number, wave, nodes):
                    return
        self._verify()

    def _wave(self, number: int, wave: int, nodes: tuple[Node, ...]) -> bool:
        title, begun = self._stages[number].title, time.monotonic()
        names = tuple(node.name for node in nodes)
        for name in names:
            self._tallies[name].begun = True
        self._emit(StageStarted(title, wave, names))
        failed = self._crew.ask(names, Run(number))
        self._emit(StageFinished(title, wave, not failed, time.monotonic() - begun))
        return not failed

    def _verify(self) -> None:
        """A second look: what is pending now would be pending for ever."""
        for tally in self._tallies.values():
            tally.pending = 0
        names, begun = tuple(self._tallies), time.monotonic()
        self._emit(StageStarted(VERIFY, 1, names))
        kept = {name: tally.unchanged for name, tally in self._tallies.items()}
        self._left_over = []
        failed = self._crew.ask(names, Plan())
        self._verified = True
        for name, unchanged in kept.items():
            self._tallies[name].unchanged = unchanged
        succeeded = not failed and not self._left_over
        self._emit(StageFinished(VERIFY, 1, succeeded, time.monotonic() - begun))

    def _hear(self, event: Event) -> None:
        if isinstance(event, NodeFailed):
            tally = self._tallies[event.node]
            tally.failure, tally.message = event.failure, event.message
        elif isinstance(event, NodePlanned):
            self._tallies[event.node].pending = event.pending
        elif isinstance(event, RoleFinished):
            self._tallies[event.node].unchanged += event.unchanged
        elif isinstance(event, OperationFinished):
            if event.result is Result.CHANGED:
                self._tallies[event.node].changed += 1
            elif event.result is Result.PENDING:
                what = ", ".join(map(str, event.changes)) or event.message
                self._left_over.append(
                    f"{event.node}: {event.role}, {event.operation}: {what[:200]}"
                )

    def summary(self, mode: str, elapsed: float) -> Summary:
        """How the run ended."""
        outcome, message = self._outcome(mode)
        nodes = tuple(self._node_summary(name, mode, outcome) for name in self._tallies)
        return Summary(mode, outcome, message, elapsed, nodes)

    def interrupted(self, mode: str, elapsed: float) -> Summary:
        """How the run ended when somebody stopped it."""
        nodes = tuple(self._node_summary(name, mode, Outcome.INTERRUPTED) for name in self._tallies)
        return Summary(mode, Outcome.INTERRUPTED, "interrupted", elapsed, nodes)

    def _outcome(self, mode: str) -> tuple[Outcome, str]:
        failed = {name: tally for name, tally in self._tallies.items() if tally.failure}
        message = "; ".join(
            f"{name}: {_first_line(tally.message)}" for name, tally in failed.items()
        )
        kinds = {FailureKind(tally.failure) for tally in failed.values()}
        if FailureKind.ROLLBACK_FAILED in kinds:
            return Outcome.ROLLBACK_FAILED, message
        if FailureKind.ROLLED_BACK in kinds:
            return Outcome.ROLLED_BACK, message
        if kinds - UNREACHABLE:
            return Outcome.FAILED, message
        if kinds:
            return Outcome.UNREACHABLE, message
        if mode == "plan":
            pending = sum(tally.pending for tally in self._tallies.values())
            return (Outcome.PENDING if pending else Outcome.UNCHANGED), ""
        if any(tally.begun for tally in self._tallies.values()):
            if self._verified and self._left_over:
                what = "\n".join(self._left_over)
                return Outcome.FAILED, f"applied, but these operations are never done:\n{what}"
            return Outcome.CHANGED, ""
        return Outcome.UNCHANGED, ""

    def _node_summary(self, name: str, mode: str, outcome: Outcome) -> NodeSummary:
        tally = self._tallies[name]
        if tally.failure:
            word = NodeOutcome.FAILED
        elif mode == "plan":
            word = NodeOutcome.PENDING if tally.pending else NodeOutcome.UNCHANGED
        elif outcome not in (Outcome.CHANGED, Outcome.UNCHANGED) and not self._verified:
            word = NodeOutcome.STOPPED if tally.begun else NodeOutcome.NOT_STARTED
        else:
            word = NodeOutcome.CHANGED if tally.changed else NodeOutcome.UNCHANGED
        return NodeSummary(
            name,
            word,
            tally.changed,
            tally.unchanged,
            tally.pending,
            tally.failure,
            tally.message,
        )


def _first_line(text: str) -> str:
    return text.split("\n", 1)[0]
