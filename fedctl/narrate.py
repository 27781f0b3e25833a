"""A deploy's events as people read them: waves as phases, changes as lines.

Pure but for the output it is given. `Narrator` also counts what `--json` reports.
"""

from collections.abc import Callable, Sequence
from contextlib import ExitStack

from rich.text import Text

from deploys.protocol import (
    Event,
    GuardArmed,
    GuardConfirmed,
    GuardUndone,
    NodeConnected,
    NodeFailed,
    OperationFinished,
    Result,
    StageFinished,
    StageStarted,
    Summary,
)
from fedctl.progress import ShownProgress

INTERESTING = (Result.CHANGED, Result.FAILED)
# Changes of one operation told on a line; the run's log has them all.
SHOWN_CHANGES = 3


class Narrator:
    """Tells a run's events through a progress; call it with each event."""

    def __init__(
        self, progress: ShownProgress, log: Callable[[str], None], *, quiet: bool = False
    ) -> None:
        self._progress, self._log, self._quiet = progress, log, quiet
        self._stage = ExitStack()
        self._failed: set[str] = set()
        self.pending: list[OperationFinished] = []

    def __call__(self, event: Event) -> None:
        """Tell one event."""
        if isinstance(event, StageStarted):
            self.close()
            self._stage.enter_context(self._progress.phase(stage_title(event)))
        elif isinstance(event, StageFinished):
            self._end_stage(event)
        elif isinstance(event, OperationFinished):
            self._operation(event)
        elif isinstance(event, NodeFailed) and event.node in self._failed:
            return  # the operation was told, and the run ends with the whole message
        elif text := line_of(event):
            self._progress.note(text)

    def close(self) -> None:
        """End a phase that no event ended (the run was stopped)."""
        self._stage.close()
        self._stage = ExitStack()

    def _end_stage(self, event: StageFinished) -> None:
        if event.succeeded:
            self.close()
            return
        stage, self._stage = self._stage, ExitStack()
        failed = _StageFailed()
        stage.__exit__(_StageFailed, failed, None)

    def _operation(self, event: OperationFinished) -> None:
        if event.result in INTERESTING:
            self._progress.note(f"{event.node}: {in_short(event)}")
            if len(event.changes) > SHOWN_CHANGES:
                self._log("\n".join(f"{event.node}: {change}" for change in event.changes))
        if event.result is Result.FAILED:
            self._failed.add(event.node)
        if event.result is not Result.PENDING:
            return
        self.pending.append(event)
        for change in () if self._quiet else event.changes:
            if change.diff:
                self._log(f"{event.node} {event.role}: {change}\n{change.diff}")


class _StageFailed(Exception):
    """Marks a phase failed."""


def stage_title(event: StageStarted) -> str:
    """`gateway, first on redfin`, `base on 5 nodes`."""
    many = len(event.nodes) > 2
    return f"{event.stage} on {f'{len(event.nodes)} nodes' if many else ' and '.join(event.nodes)}"


def in_short(event: OperationFinished) -> str:
    """`changed create /a, create /b, create /c and 9 more`."""
    shown = ", ".join(map(str, event.changes[:SHOWN_CHANGES])) or event.operation
    more = len(event.changes) - SHOWN_CHANGES
    return f"{event.result.value} {shown}" + (f" and {more} more" if more > 0 else "")


def line_of(event: Event) -> str:
    """An event in one line; empty for those that are no news."""
    if isinstance(event, NodeConnected) and event.bare:
        return f"{event.node}: bare, connected as {event.user}"
    if isinstance(event, NodeFailed):
        return f"{event.node}: {event.failure}"
    if isinstance(event, GuardArmed):
        return f"{event.node}: {event.guard} undoes itself in {event.seconds} s unless confirmed"
    if isinstance(event, GuardConfirmed):
        return f"{event.node}: {event.guard} confirmed by a new connection"
    if isinstance(event, GuardUndone):
        state = "healthy again" if event.healthy else "NOT answering"
        return f"{event.node}: {event.guard} was undone, the node is {state}: {event.message}"
    return ""


def pending_lines(pending: Sequence[OperationFinished], nodes: Sequence[str]) -> list[Text]:
    """What `plan` shows: per node (in this order) and role, each change, its diff below it."""
    lines: list[Text] = []
    place = ("", "")
    for event in sorted(pending, key=lambda e: nodes.index(e.node)):
        if (event.node, event.role) != place:
            place = (event.node, event.role)
            lines.append(Text.assemble((event.node, "bold"), f"  {event.role}"))
        changes = event.changes or ()
        if not changes:
            lines.append(Text.assemble("  ~ ", event.operation))
        for change in changes:
            lines.append(Text.assemble(("  ~ ", "yellow"), str(change)))
            lines += [_diff_line(line) for line in change.diff.splitlines()]
    return lines


def _diff_line(line: str) -> Text:
    style = ""
    if line.startswith("+") and not line.startswith("+++"):
        style = "green"
    elif line.startswith("-") and not line.startswith("---"):
        style = "red"
    return Text(f"      {line}", style=style)


def node_rows(summary: Summary) -> list[tuple[str, str, str, str, str]]:
    """Rows for a table: node, outcome, changed, unchanged, message."""
    return [
        (
            node.node,
            node.outcome.value,
            str(node.changed or node.pending or 0),
            str(node.unchanged),
            node.message.partition("\n")[0],
        )
        for node in summary.nodes
    ]
