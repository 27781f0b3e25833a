"""Plan and apply, as every command that deploys uses them."""

from dataclasses import dataclass
from typing import Any

from deploys.errors import FailureKind
from deploys.protocol import Event, NodeSummary, OperationFinished, Outcome, Summary
from fedctl.advice import common
from fedctl.deploy import Order
from fedctl.errors import RunEnded
from fedctl.narrate import Narrator
from fedctl.work import Work

GOOD = frozenset({Outcome.UNCHANGED, Outcome.CHANGED})


@dataclass(frozen=True)
class Deployed:
    """A deploy's summary and the operations that a plan found pending."""

    summary: Summary
    pending: tuple[OperationFinished, ...]


def deploy(
    work: Work, mode: str, limit: tuple[str, ...] = (), stages: tuple[str, ...] = ()
) -> Deployed:
    """Run one deploy to its end and tell what happens. Whether that was good is the caller's."""
    app, run = work.app, work.run
    narrator = Narrator(work.progress, run.log, quiet=mode == "plan")

    def hear(event: Event) -> None:
        run.event({"event": event.kind, **event.__dict__})
        narrator(event)

    order = Order(mode, app.inventory_path, limit, stages)
    try:
        summary = app.parts.run_deploy(order, hear, run.folder / "deploy.log", work.stopper)
    finally:
        narrator.close()
    run.event({"event": summary.kind, **summary.__dict__})
    work.facts["outcome"] = summary.outcome.value
    work.facts["nodes"] = node_values(work, summary)
    return Deployed(summary, tuple(narrator.pending))


def require_success(work: Work, summary: Summary) -> None:
    """Raises RunEnded for anything but `changed` and `unchanged`."""
    if summary.outcome in GOOD:
        return
    if summary.outcome is Outcome.INTERRUPTED and not work.stopper.reason:
        raise KeyboardInterrupt
    failed = [node for node in summary.nodes if node.failure]
    message = "\n".join(map(_failure, failed)) or summary.message or summary.outcome.value
    if summary.outcome is Outcome.ROLLED_BACK:
        message = f"the change was undone, the nodes are as they were before\n{message}"
    elif summary.outcome is Outcome.ROLLBACK_FAILED:
        message = f"the change could not be undone: a node does not answer\n{message}"
    advice = common(FailureKind(node.failure) for node in failed)
    log = f"everything that happened: fedctl runs show {work.run.id}"
    raise RunEnded(summary.outcome, message, f"{advice}; {log}" if advice else log)


def node_values(work: Work, summary: Summary) -> list[dict[str, Any]]:
    """What `--json` says about each node."""
    federation = work.app.federation
    return [
        {
            "name": node.node,
            "address": str(federation.node(node.node).address),
            "roles": [role.value for role in federation.node(node.node).roles],
            "outcome": node.outcome.value,
            "changed": node.changed,
            "unchanged": node.unchanged,
            "pending": node.pending,
            **({"failure": node.failure, "message": node.message} if node.failure else {}),
        }
        for node in summary.nodes
    ]


def in_words(summary: Summary) -> str:
    """`23 changes on 2 nodes` or `nothing to change`."""
    changed = [node for node in summary.nodes if node.changed]
    if not changed:
        return "nothing to change"
    total = sum(node.changed for node in changed)
    return f"{count(total, 'change')} on {count(len(changed), 'node')}"


def count(number: int, noun: str) -> str:
    """`1 node`, `2 nodes`."""
    return f"{number} {noun}" if number == 1 else f"{number} {noun}s"


def _failure(node: NodeSummary) -> str:
    """What is wrong with a node: its name, the kind, and the message without repeating either."""
    text = node.message.removeprefix(f"{node.node}: ")
    if text.startswith(node.node):
        return text if node.failure in text else f"{text} ({node.failure})"
    return f"{node.node}: {node.failure}: {text}"
