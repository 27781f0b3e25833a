"""One round: break something under load, wait for writes, mend it, wait until all is whole.

Then, after the rounds of a fault, stop the load, let everything settle, and judge.
"""

import json
import shutil
import time
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path

from tests.chaos import decide, lookup
from tests.chaos.cluster import Cluster
from tests.chaos.faults import Fault
from tests.chaos.journal import Attempt, Outcome
from tests.chaos.load import Crew

RESUME_SECONDS = 30.0
# How long a round waits for what it then reports as too slow.
PATIENCE_SECONDS = 300.0
WHOLE_SECONDS = 180.0
STEADY_SECONDS = 1.0
HOLD_SECONDS = 1.5


@dataclass(frozen=True)
class Round:
    """What one round cost, in seconds.

    `writes`: the longest time in which no client at all had a write acknowledged; `slowest`: the
    longest time any one client went without; `numbering`: the longest time the log did not grow;
    `whole`: from mending until every member was as before.
    """

    fault: str
    number: int
    primary: str
    writes: float
    slowest: float
    numbering: float
    whole: float


@dataclass
class Evidence:
    """All rounds of one load, and every promise that was broken."""

    run: str
    rounds: list[Round] = field(default_factory=list)
    violations: list[str] = field(default_factory=list)


@dataclass
class Report(Evidence):
    """And what was written meanwhile."""

    acked: int = 0
    unknown: int = 0
    unknown_present: int = 0
    refused: int = 0
    probes: int = 0


@dataclass
class Moments:
    """When a round struck and ended; the figures are read from the journals afterwards."""

    fault: str
    number: int
    primary: str
    struck: float
    ended: float
    whole: float


@dataclass
class Stage:
    """A load on a cluster and the rounds played under it."""

    cluster: Cluster
    load: Crew
    say: Callable[[str], None]
    moments: list[Moments] = field(default_factory=list)
    base: int = 0
    resume_seconds: float = RESUME_SECONDS

    def start(self) -> None:
        """Start the load and wait until every client writes."""
        self.cluster.wait_whole(WHOLE_SECONDS)
        self.base = lookup.size(self.cluster.settings)
        self.growth = lookup.Growth(self.cluster.settings)
        self.growth.start()
        self.load.start()
        assert self.load.wait_acked(time.monotonic(), PATIENCE_SECONDS), "the load does not start"

    def play(self, fault: Fault, number: int) -> None:
        """One round of `fault`."""
        time.sleep(STEADY_SECONDS)
        primary = self.cluster.primary()
        assert primary is not None, "no primary before the round"
        struck = time.monotonic()
        fault.strike(self.cluster, primary, number)
        done = time.monotonic()
        resumed = self.load.wait_acked(done, PATIENCE_SECONDS)
        waited = time.monotonic() - struck
        time.sleep(HOLD_SECONDS)
        fault.mend(self.cluster, primary, number)
        if not resumed:
            self.say(f"{fault.name} {number}: no writes after {waited:.0f} s")
            self.load.wait_acked(time.monotonic(), PATIENCE_SECONDS)
        whole = self.cluster.wait_whole(WHOLE_SECONDS)
        moment = Moments(fault.name, number, primary.name, struck, time.monotonic(), whole)
        self.moments.append(moment)
        self.say(f"{fault.name} {number} ({primary.name}): {self._measured(moment)}")

    def wait_numbered(self) -> None:
        """Wait until every event has its number."""
        settings = self.cluster.settings
        self.cluster.wait(
            lambda: f"{n} events wait for a number" if (n := lookup.waiting(settings)) else "", 60
        )

    def _verify(self) -> list[str]:
        """What `fedctl ledger verify --full` has against the log."""
        try:
            self.cluster.fedctl("ledger", "verify", "--full")
        except AssertionError as error:
            return [f"`fedctl ledger verify` is clean: {error}"]
        return []

    def _measured(self, moment: Moments) -> Round:
        clients = {name: list(acks.read()) for name, acks in self.load.acks.items()}
        everyone = sorted(ack for acks in clients.values() for ack in acks)
        span = (moment.struck, moment.ended)
        return Round(
            moment.fault,
            moment.number,
            moment.primary,
            writes=decide.interruption(everyone, *span),
            slowest=max(decide.interruption(acks, *span) for acks in clients.values()),
            numbering=decide.interruption(self.growth.times(), *span),
            whole=moment.whole,
        )


@dataclass
class Play(Stage):
    """Rounds under the load of the ledger's clients."""

    def finish(self) -> Report:
        """Stop the load, let everything settle, judge."""
        ended = self.load.ended()
        hung = self.load.stop()
        self.growth.stop()
        settings, run = self.cluster.settings, self.load.run
        self.cluster.wait_whole(WHOLE_SECONDS)
        first = lookup.present(settings, run, self.base)
        self.wait_numbered()
        log = lookup.rows(settings, self.base)
        verified = self._verify()
        attempts = self.load.attempts()
        found = decide.judge(attempts, first, log, lookup.ours(settings, run, self.base), self.base)
        report = counted(run, attempts, first)
        report.rounds = [self._measured(moment) for moment in self.moments]
        report.violations = [
            *(str(violation) for violation in found),
            *(f"the process {name} ended by itself" for name in ended),
            *(f"the process {name} did not end within its time" for name in hung),
            *slow(report.rounds, self.resume_seconds),
            *verified,
        ]
        return report


def slow(rounds: Sequence[Round], most_seconds: float) -> list[str]:
    """Rounds in which any client had to wait longer than allowed."""
    return [
        f"writes resume within {most_seconds:.0f} s: {found.fault} round {found.number} took "
        f"{found.slowest:.1f} s"
        for found in rounds
        if found.slowest > most_seconds
    ]


def counted(run: str, attempts: Sequence[Attempt], present: frozenset[str]) -> Report:
    """How many events were acknowledged, refused or unknown, and how many of those are there."""
    report = Report(run)
    for attempt in attempts:
        events = len(attempt.events)
        if attempt.outcome is Outcome.ACKED:
            report.acked += events
            report.probes += attempt.node is not None
        elif attempt.outcome is Outcome.REFUSED:
            report.refused += events
        else:
            report.unknown += events
            report.unknown_present += sum(event in present for event in attempt.events)
    return report


def keep_evidence(report: Evidence, play: Stage, folder: Path) -> Path:
    """Copy journals, report and the nodes' journals where they stay; returns the folder."""
    kept = folder / report.run
    shutil.copytree(play.load.folder, kept, dirs_exist_ok=True)
    (kept / "report.json").write_text(json.dumps(asdict(report), indent=2))
    for node in play.cluster.data:
        text = play.cluster.run(
            node, "journalctl", "--no-pager", "-o", "short-precise", "-n", "20000"
        )
        (kept / f"{node.name}.journal.txt").write_text(text)
    return kept
