"""Rounds of the gateways: the ledger's, with another load, and judged by request."""

import time
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import cast

from tests.chaos.front import decide
from tests.chaos.front.fleet import Fronts, recorded
from tests.chaos.front.load import LIMITED, Asking
from tests.chaos.journal import Attempt
from tests.chaos.rounds import WHOLE_SECONDS, Evidence, Stage, slow

# How long a killed gateway's connections may still be found broken after it is back.
AFTER_SECONDS = 2.0
LIMIT_A_MINUTE = 30


@dataclass
class FrontReport(Evidence):
    """And what clients were told meanwhile."""

    said: dict[str, int] = field(default_factory=dict)
    requests: int = 0
    streams: int = 0
    recorded: int = 0
    lost: int = 0
    drained_seconds: float = 0.0


@dataclass
class FrontPlay(Stage):
    """A load on the gateways and the rounds played under it."""

    since: datetime = field(default_factory=lambda: datetime.now(UTC) - timedelta(minutes=1))

    @property
    def fronts(self) -> Fronts:
        """The cluster, with its gateways."""
        return cast(Fronts, self.cluster)

    def finish(self) -> FrontReport:
        """Stop the load, let the spools and the log settle, judge."""
        ended, hung = self.load.ended(), self.load.stop()
        self.growth.stop()
        stopped = time.monotonic()
        self.cluster.wait_whole(WHOLE_SECONDS)
        self.cluster.wait(self.fronts.shipped, WHOLE_SECONDS)
        drained = time.monotonic() - stopped
        self.wait_numbered()
        attempts = self.load.attempts()
        records = recorded(self.cluster, self.load.run, self.base, self.since)
        report = self._counted(attempts, records)
        report.drained_seconds = drained
        found = decide.judge(attempts, records, self._killed(), {LIMITED: LIMIT_A_MINUTE})
        report.violations = [
            *map(str, found),
            *(f"the process {name} ended by itself" for name in ended),
            *(f"the process {name} did not end within its time" for name in hung),
            *slow(report.rounds, self.resume_seconds),
            *self._verify(),
        ]
        return report

    def _counted(
        self, attempts: Sequence[Attempt], records: Sequence[decide.Recorded]
    ) -> FrontReport:
        return FrontReport(
            self.load.run,
            rounds=[self._measured(moment) for moment in self.moments],
            said=dict(Counter(map(decide.said, attempts)).most_common()),
            requests=len(attempts),
            streams=sum(attempt.client.startswith("stream") for attempt in attempts),
            recorded=len(records),
            lost=sum("lost" in record.ends for record in records),
        )

    def _killed(self) -> list[decide.Killed]:
        return [
            decide.Killed(
                self.fronts.gateway(moment.number).name,
                moment.struck,
                moment.ended + AFTER_SECONDS,
            )
            for moment in self.moments
            if moment.fault == "gateway"
        ]


def asking(fronts: Fronts, run: str, folder: Path) -> Asking:
    """The load of a run, with keys of its own, not started."""
    limit = ("--limit", f"requests-per-minute={LIMIT_A_MINUTE}")
    return Asking(
        run,
        folder,
        gateways={node.name: f"{fronts.url(node)}/v1" for node in fronts.gateways},
        keys=(fronts.issue(run), fronts.issue(f"{run}-{LIMITED}", *limit)),
        authority=fronts.home.authority / "ca.pem",
        model=fronts.federation.inference.served_model_name,
    )
