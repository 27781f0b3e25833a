"""`make bench-ledger`: how fast the event log is, beside plain INSERTs of the same bytes.

Everything in one run, on one server with fsync and synchronous_commit on: the ceiling and the log
by turns (medians, and the ratio within each round), the log at half its rate, a full verification,
and five million events to see whether anything grows. Writes docs/benchmarks/ledger.md.
"""

import asyncio
import os
import statistics
import sys
import tempfile
import time
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

import psutil
import psycopg

from ledger.connect import connect
from ledger.verify import verify
from tests.bench.ledger_world import (
    BODY_BYTES,
    DURABLE,
    KEY,
    Load,
    insert_plainly,
    percentile,
    sequencing,
    until_signed,
    write,
)  # fmt: skip
from tests.bench.machine import machine
from tests.support.postgres import Server, throwaway

PAGE = Path(__file__).with_name("ledger_page.md")
RESULT = Path(__file__).parents[2] / "docs" / "benchmarks" / "ledger.md"
WRITERS = 2
BATCH = 500
ROUNDS = int(os.environ.get("BENCH_ROUNDS", "5"))
ROUND_EVENTS = int(os.environ.get("BENCH_EVENTS", "200000"))
HALF_SECONDS, HALF_ROUNDS = 20.0, 3
TOTAL_EVENTS = int(os.environ.get("BENCH_TOTAL", "5000000"))
STEP_EVENTS = 250_000


@dataclass(frozen=True)
class Sample:
    """At so many events: megabytes of the sequencer, of the database's folder, of the inbox."""

    events: int
    sequencer: float
    database: float
    inbox: float


@dataclass(frozen=True)
class Spell:
    """At half load: events a second, seconds of each append, seconds until events were signed."""

    rate: float
    appends: list[float]
    signed: list[float]

    def append(self, part: float) -> float:
        """Milliseconds within which this part of the appends was done."""
        return percentile(self.appends, part) * 1000


def main() -> int:
    """Run everything and write the page."""
    begun = time.monotonic()
    # On the disk that /var is on: /tmp may be memory.
    tempfile.tempdir = os.environ.get("BENCH_FOLDER", "/var/tmp")
    with throwaway(DURABLE) as server, tempfile.TemporaryDirectory() as folder:
        server.fresh_database()
        with sequencing(server, Path(folder)) as daemon:
            values = _rounds(server)
            values |= _half_load(server, float(values["rate_number"]))
            values |= asyncio.run(_verified(server))
            values |= _memory(server, daemon)
    values |= {
        "when": f"{datetime.now(UTC):%Y-%m-%d %H:%M} UTC",
        "machine": f"{machine()}, {os.cpu_count()} cores, "
        f"{psutil.virtual_memory().total / 2**30:.0f} GiB, load "
        f"{os.getloadavg()[2]:.1f} over the last 15 minutes",
        "minutes": f"{(time.monotonic() - begun) / 60:.0f}",
        "body": str(BODY_BYTES), "writers": str(WRITERS), "batch": str(BATCH),
        "rounds": str(ROUNDS), "round_events": f"{ROUND_EVENTS:,}",
    }  # fmt: skip
    RESULT.write_text(PAGE.read_text().format(**values))
    sys.stdout.write(RESULT.read_text())
    return 0


def _say(text: str) -> None:
    sys.stderr.write(f"{datetime.now(UTC):%H:%M:%S} {text}\n")


def _size(server: Server) -> int:
    with psycopg.connect(server.dsn("postgres")) as connection:
        row = connection.execute("SELECT size FROM ledger.log_state").fetchone()
    return int(row[0]) if row else 0


def _rounds(server: Server) -> dict[str, str]:
    """The ceiling and the log by turns, in changing order."""
    plain, ours, rows = [], [], []
    for n in range(ROUNDS):
        for kind in ("plain", "log") if n % 2 else ("log", "plain"):
            if kind == "plain":
                plain.append(insert_plainly(server.dsn("postgres"), ROUND_EVENTS, BATCH, WRITERS))
            else:
                ours.append(_end_to_end(server, ROUND_EVENTS))
        rows.append(
            f"| {n + 1} | {plain[-1]:,.0f} | {ours[-1]:,.0f} | {ours[-1] / plain[-1]:.2f} |"
        )
        _say(f"round {n + 1}: plain {plain[-1]:,.0f}/s, log {ours[-1]:,.0f}/s")
    ratios = [mine / ceiling for mine, ceiling in zip(ours, plain, strict=True)]
    return {
        "round_rows": "\n".join(rows),
        "ceiling": f"{statistics.median(plain):,.0f}",
        "rate": f"{statistics.median(ours):,.0f}",
        "rate_number": str(statistics.median(ours)),
        "ratio": f"{statistics.median(ratios):.2f}",
    }


def _end_to_end(server: Server, events: int) -> float:
    """Events a second from the first append to the checkpoint that covers the last one."""
    before = _size(server)
    wrote = write(server.settings("gateway"), Load(BATCH, count=events // WRITERS), WRITERS)
    count = sum(each.events for each in wrote)
    done = until_signed(server.dsn("postgres"), before + count)
    return count / (done - min(each.began for each in wrote))


def _half_load(server: Server, rate: float) -> dict[str, str]:
    """Spells of appends at half the rate, from when each was due; and until they are signed."""
    spells = [_half_load_spell(server, rate) for _ in range(HALF_ROUNDS)]
    rows = []
    for n, spell in enumerate(spells):
        rows.append(
            f"| {n + 1} | {spell.rate:,.0f} | {spell.append(0.5):.1f} | {spell.append(0.99):.1f} | "
            f"{max(spell.appends) * 1000:.0f} | {percentile(spell.signed, 0.5):.2f} | "
            f"{percentile(spell.signed, 0.99):.2f} |"
        )
        _say(f"half load, spell {n + 1}: append p99 {spell.append(0.99):.1f} ms")
    return {
        "half_wanted": f"{rate / 2:,.0f}",
        "half_seconds": f"{HALF_SECONDS:.0f}",
        "half_rows": "\n".join(rows),
        "half_rate": f"{statistics.median(s.rate for s in spells):,.0f}",
        "p50": f"{statistics.median(s.append(0.5) for s in spells):.1f}",
        "p99": f"{statistics.median(s.append(0.99) for s in spells):.1f}",
        "worst": f"{statistics.median(max(s.appends) * 1000 for s in spells):.0f}",
        "signed_p50": f"{statistics.median(percentile(s.signed, 0.5) for s in spells):.2f}",
        "signed_p99": f"{statistics.median(percentile(s.signed, 0.99) for s in spells):.2f}",
    }


def _half_load_spell(server: Server, rate: float) -> Spell:
    before = _size(server)
    load = Load(BATCH, rate=rate / 2 / WRITERS, seconds=HALF_SECONDS)
    wrote = write(server.settings("gateway"), load, WRITERS)
    count = sum(each.events for each in wrote)
    until_signed(server.dsn("postgres"), before + count)
    with psycopg.connect(server.dsn("postgres")) as connection:
        signed = [
            float(row[0])
            for row in connection.execute(
                "SELECT extract(epoch FROM (SELECT c.signed_at FROM ledger.checkpoints c"
                " WHERE c.size > l.seq ORDER BY c.size LIMIT 1) - l.received_at)"
                " FROM ledger.log l WHERE l.seq >= %s AND l.seq %% 50 = 0",
                [before],
            )
        ]
    span = max(each.ended for each in wrote) - min(each.began for each in wrote)
    latencies = [seconds for each in wrote for seconds in each.latencies]
    return Spell(count / span, latencies, signed)


async def _verified(server: Server) -> dict[str, str]:
    """Every byte of the log so far, rebuilt and compared by one process."""
    begun = time.monotonic()
    async with await connect(server.settings("operator")) as connection:
        report = await verify(connection, [KEY.verifier])
    seconds = time.monotonic() - begun
    if report.findings:
        raise AssertionError(f"the log does not verify: {report.findings[0]}")
    count = _size(server)
    _say(f"verified {count:,} events in {seconds:.1f} s: {count / seconds:,.0f}/s")
    return {
        "verified": f"{count:,}",
        "verify_seconds": f"{seconds:.1f}",
        "verify_rate": f"{count / seconds:,.0f}",
    }


def _memory(server: Server, daemon: psutil.Process) -> dict[str, str]:
    """Grow the log to five million events and look at what else grows."""
    samples = [_sample(server, daemon)]
    begun, first = time.monotonic(), samples[0].events
    while samples[-1].events < TOTAL_EVENTS:
        _end_to_end(server, min(STEP_EVENTS, TOTAL_EVENTS - samples[-1].events))
        samples.append(_sample(server, daemon))
        _say(str(samples[-1]))
    seconds = time.monotonic() - begun
    step = max(1, len(samples) // 8)
    shown = [*samples[:-1:step], samples[-1]]
    grown = samples[-1].events - first
    return {
        "total": f"{samples[-1].events:,}",
        "grown_rate": f"{grown / seconds:,.0f}",
        "grown_seconds": f"{seconds:.0f}",
        "memory_rows": "\n".join(
            f"| {s.events:,} | {s.sequencer:.0f} | {s.inbox:.0f} | {s.database:,.0f} | "
            f"{s.database * 2**20 / max(1, s.events):,.0f} |"
            for s in shown
        ),
    }


def _sample(server: Server, daemon: psutil.Process) -> Sample:
    with psycopg.connect(server.dsn("postgres")) as connection:
        row = connection.execute(
            "SELECT s.size, pg_database_size('federation'), pg_total_relation_size('ledger.inbox')"
            " FROM ledger.log_state s"
        ).fetchone()
    assert row is not None
    memory = daemon.memory_info().rss
    return Sample(int(row[0]), memory / 2**20, row[1] / 2**20, row[2] / 2**20)


if __name__ == "__main__":
    sys.exit(main())
