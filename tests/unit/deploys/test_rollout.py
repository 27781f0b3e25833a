"""A run's rules, with a crew that answers from a script: nothing changes unless all is well."""

from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from typing import Any, cast

from deploys.crew import Crew
from deploys.node_process import Plan, Run
from deploys.protocol import (
    Event,
    NodeFailed,
    NodeOutcome,
    NodePlanned,
    OperationFinished,
    Outcome,
    Result,
    StageStarted,
    Summary,
)
from deploys.rollout import Rollout
from deploys.sequence import RoleStep, Stage, linux
from tests.ops.contexts import federation

NODES = federation().nodes[:3]
A, B, C = (node.name for node in NODES)
STAGES = (
    Stage("one", (RoleStep("one", lambda _: None, linux),)),
    Stage("two", (RoleStep("two", lambda _: None, linux),)),
)


@dataclass
class ScriptedCrew:
    """Answers each command with the events `script` says; a NodeFailed means the node failed."""

    script: Callable[[str, Any, int], list[Event]]
    asked: list[tuple[Any, tuple[str, ...]]] = field(default_factory=list)
    listeners: list[Callable[[Event], None]] = field(default_factory=list)

    def listen(self, listener: Callable[[Event], None]) -> None:
        self.listeners.append(listener)

    def ask(self, names: Iterable[str], command: Any) -> frozenset[str]:
        names = tuple(names)
        self.asked.append((command, names))
        failed = set()
        for name in names:
            for event in self.script(name, command, len(self.asked)):
                for listener in self.listeners:
                    listener(event)
                if isinstance(event, NodeFailed):
                    failed.add(name)
        return frozenset(failed)


def pending(name: str) -> list[Event]:
    change = OperationFinished(name, "one", "Files", Result.PENDING, 0.0)
    return [change, NodePlanned(name, 1, 0.0)]


def changed(name: str) -> list[Event]:
    return [OperationFinished(name, "one", "Files", Result.CHANGED, 0.0)]


def first_pending_then_done(name: str, command: Any, number: int) -> list[Event]:
    if isinstance(command, Plan):
        return pending(name) if number == 1 else [NodePlanned(name, 0, 0.0)]
    return changed(name)


def run(script: Any, mode: str = "apply") -> tuple[Summary, ScriptedCrew, list[Event]]:
    crew, heard = ScriptedCrew(script), list[Event]()
    rollout = Rollout(cast(Crew, crew), STAGES, NODES, heard.append)
    rollout.plan(mode)
    if mode == "apply":
        rollout.apply()
    return rollout.summary(mode, 0.0), crew, heard


def outcomes(summary: Summary) -> dict[str, str]:
    return {node.node: node.outcome.value for node in summary.nodes}


def test_waves_are_one_node_then_the_others_and_end_with_a_second_look() -> None:
    summary, crew, heard = run(first_pending_then_done)
    assert crew.asked == [
        (Plan(), (A, B, C)),
        (Run(0), (A,)),
        (Run(0), (B, C)),
        (Run(1), (A,)),
        (Run(1), (B, C)),
        (Plan(), (A, B, C)),
    ]
    assert summary.outcome is Outcome.CHANGED
    titles = [(e.stage, e.wave) for e in heard if isinstance(e, StageStarted)]
    assert titles == [("one", 1), ("one", 2), ("two", 1), ("two", 2), ("verify", 1)]
    assert [node.changed for node in summary.nodes] == [2, 2, 2]


def test_nothing_pending_means_nothing_is_run() -> None:
    summary, crew, _ = run(lambda name, command, number: [NodePlanned(name, 0, 0.0)])
    assert crew.asked == [(Plan(), (A, B, C))]
    assert summary.outcome is Outcome.UNCHANGED


def test_a_plan_never_runs_anything() -> None:
    summary, crew, _ = run(first_pending_then_done, "plan")
    assert crew.asked == [(Plan(), (A, B, C))]
    assert summary.outcome is Outcome.PENDING
    assert set(outcomes(summary).values()) == {NodeOutcome.PENDING.value}


def test_one_node_that_does_not_answer_keeps_all_from_changing() -> None:
    def script(name: str, command: Any, number: int) -> list[Event]:
        if name == B:
            return [NodeFailed(B, "down", "no route to host")]
        return first_pending_then_done(name, command, number)

    summary, crew, _ = run(script)
    assert len(crew.asked) == 1
    assert summary.outcome is Outcome.UNREACHABLE
    assert outcomes(summary) == {A: "not started", B: "failed", C: "not started"}
    assert summary.message == f"{B}: no route to host"


def test_the_first_failure_stops_everything() -> None:
    def script(name: str, command: Any, number: int) -> list[Event]:
        if command == Run(0) and name == A:
            return [NodeFailed(A, "operation failed", "disk full\nlong story")]
        return first_pending_then_done(name, command, number)

    summary, crew, _ = run(script)
    assert [command for command, _ in crew.asked] == [Plan(), Run(0)]
    assert summary.outcome is Outcome.FAILED
    assert outcomes(summary) == {A: "failed", B: "not started", C: "not started"}
    assert summary.message == f"{A}: disk full"


def test_a_node_that_had_begun_is_stopped_not_done() -> None:
    def script(name: str, command: Any, number: int) -> list[Event]:
        if command == Run(0) and name == C:
            return [NodeFailed(C, "connection lost", "gone")]
        return first_pending_then_done(name, command, number)

    summary, _, _ = run(script)
    assert summary.outcome is Outcome.UNREACHABLE
    assert outcomes(summary) == {A: "stopped", B: "stopped", C: "failed"}


def test_an_undone_guard_outweighs_other_failures() -> None:
    def script(name: str, command: Any, number: int) -> list[Event]:
        if command == Run(0) and name == B:
            return [NodeFailed(B, "rolled back", "nobody confirmed")]
        if command == Run(0) and name == C:
            return [NodeFailed(C, "operation failed", "other")]
        return first_pending_then_done(name, command, number)

    assert run(script)[0].outcome is Outcome.ROLLED_BACK


def test_an_operation_that_is_never_done_is_named() -> None:
    def script(name: str, command: Any, number: int) -> list[Event]:
        if isinstance(command, Plan):
            return pending(name) if name == A else [NodePlanned(name, 0, 0.0)]
        return changed(name)

    summary, _, _ = run(script)
    assert summary.outcome is Outcome.FAILED
    assert f"{A}: one, Files" in summary.message
