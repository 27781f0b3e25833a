"""The figures of a gateways' game day, as a table and as a page. Pure but for the page's date."""

import os
from collections import Counter
from collections.abc import Sequence
from datetime import UTC, datetime

from tests.chaos.front.faults import FRONT_FAULTS
from tests.chaos.front.rounds import LIMIT_A_MINUTE, FrontReport
from tests.chaos.page import percentile

HEAD = """\
| fault | rounds | requests | answered | no answer to anybody, s: median | most | any one client, \
most | ledger complete after the load, s | `lost` |
|---|---|---|---|---|---|---|---|---|
"""


def table(reports: Sequence[FrontReport]) -> str:
    """One row a fault, what was told to clients by fault, and what was counted over all."""
    rows = "".join(map(_row, reports))
    said = "".join(f"| {_title(report)} | {_said(report)} |\n" for report in reports)
    return (
        f"{HEAD}{rows}\n| fault | what clients were told |\n|---|---|\n{said}\n{_counts(reports)}"
    )


def _title(report: FrontReport) -> str:
    return FRONT_FAULTS[report.rounds[0].fault].title


def _row(report: FrontReport) -> str:
    silent = [found.writes for found in report.rounds]
    one = max(found.slowest for found in report.rounds)
    figures = [f"{value:.1f}" for value in (percentile(silent, 0.5), max(silent), one)]
    counts = [len(report.rounds), report.requests, report.said.get("answered", 0)]
    shown = [*map(str, counts), *figures, f"{report.drained_seconds:.1f}", str(report.lost)]
    return f"| {_title(report)} | {' | '.join(shown)} |\n"


def _said(report: FrontReport) -> str:
    return ", ".join(f"{count} {what}" for what, count in report.said.items())


def _counts(reports: Sequence[FrontReport]) -> str:
    total = Counter[str]()
    for report in reports:
        total.update(report.said)
    requests, recorded = (sum(values) for values in zip(
        *((report.requests, report.recorded) for report in reports), strict=True
    ))  # fmt: skip
    broken = sum(len(report.violations) for report in reports)
    return (
        f"{requests:,} requests, {total['answered']:,} answered, {recorded:,} recorded, "
        f"{total['connection broken']:,} connections broken. Promises broken: {broken}.\n"
    )


def page(reports: Sequence[FrontReport], machine: str) -> str:
    """The table with what it means and where it was measured."""
    return f"""\
# What faults cost the clients of the gateways

`make game-day-gateway`, {datetime.now(UTC):%Y-%m-%d}, {machine}, {os.cpu_count()} cores: all
machines of the lab, real vLLM on the CPU and the clients share this one computer.

At each of the two gateways one client streams, one does not, and one asks beyond its key's limit of
{LIMIT_A_MINUTE} requests a minute (it is what the 429 below are from; it does not count as "any one
client"). No client tries a request again. After each fault's rounds the spools are waited for, and
every client's journal is compared with the log by request id:

* every request that was answered has one intent and one end, `answered`, and no other request has;
* every intent has one end; a stream that was told of an error, or broke, is not `answered`;
* what failed was a clear 429, 502, 503 or 504, or an error event in a stream that had begun;
* a connection broke without a word only while its own gateway was killed: the client's library
  raises (a reset, or a body that ends too soon), and the ledger says `lost`, or `answered` where
  the end was on disk and the last bytes were still on their way;
* the limit held in every sixty seconds.

{table(reports)}
"""
