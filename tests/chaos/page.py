"""The figures of a game day, as a table and as a page. Pure but for the date on the page."""

import math
import os
from collections.abc import Callable, Sequence
from datetime import UTC, datetime

from tests.chaos.faults import FAULTS
from tests.chaos.rounds import RESUME_SECONDS, Report, Round

HEAD = """\
| fault | rounds | no write acknowledged, s: least | median | p95 | most | any one client, most | \
log did not grow, most | all members back after mending, median |
|---|---|---|---|---|---|---|---|---|
"""


def percentile(values: Sequence[float], share: float) -> float:
    """The smallest value that at least `share` of all do not exceed (nearest rank)."""
    ordered = sorted(values)
    return ordered[max(0, math.ceil(share * len(ordered)) - 1)]


def table(reports: Sequence[Report]) -> str:
    """One row a fault, and what was counted over all of them."""
    rounds: dict[str, list[Round]] = {}
    for report in reports:
        for found in report.rounds:
            rounds.setdefault(found.fault, []).append(found)
    rows = "".join(_row(name, found) for name, found in rounds.items())
    return f"{HEAD}{rows}\n{_counts(reports)}"


def _row(name: str, rounds: Sequence[Round]) -> str:
    def of(what: Callable[[Round], float], share: float) -> str:
        return f"{percentile([what(found) for found in rounds], share):.1f}"

    figures = [of(lambda r: r.writes, share) for share in (0.0, 0.5, 0.95, 1.0)]
    figures += [of(lambda r: r.slowest, 1.0), of(lambda r: r.numbering, 1.0)]
    figures += [of(lambda r: r.whole, 0.5)]
    return f"| {FAULTS[name].title} | {len(rounds)} | {' | '.join(figures)} |\n"


def _counts(reports: Sequence[Report]) -> str:
    acked, unknown = sum(r.acked for r in reports), sum(r.unknown for r in reports)
    present, refused = sum(r.unknown_present for r in reports), sum(r.refused for r in reports)
    probes = sum(r.probes for r in reports)
    broken = sum(len(r.violations) for r in reports)
    return (
        f"{acked:,} events acknowledged ({probes:,} of them written to one server by itself), "
        f"{unknown:,} unknown to their writer ({present:,} of those are in the log), "
        f"{refused:,} refused. Promises broken: {broken}.\n"
    )


def page(reports: Sequence[Report], machine: str) -> str:
    """The table with what it means and where it was measured."""
    return f"""\
# What faults cost those who write to the ledger

`make game-day`, {datetime.now(UTC):%Y-%m-%d}, {machine}, {os.cpu_count()} cores: all machines of
the lab and the clients share this one computer.

Four client processes append batches of five events through `ledger/append.py`; beside them one
process for each data node writes to that node alone. After each fault's rounds every journal is
compared with the log, and `fedctl ledger verify --full` rebuilds the tree. Writing must go on
within {RESUME_SECONDS:.0f} s for every client.

{table(reports)}
p95 is by nearest rank: of ten rounds or fewer it is the worst. The lease of a dead primary lasts
20 s (the least Patroni accepts): after a power cut or a cut network, what is left of it must pass.
A power cut here ends all processes; the page cache survives, so it says nothing of fsync.
"""
