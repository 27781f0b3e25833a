"""What `make bench-ledger` runs: a durable server, a sequencer, and writers in their own processes.

Settings are those of deploys/templates/postgresql.conf but for the size of memory: fsync and
synchronous_commit are on, writers and sequencer connect by TLS with certificates, events go in
through `append_events`.
"""

import asyncio
import multiprocessing
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import psutil
import psycopg

from ledger.append import send
from ledger.connect import Settings, connect
from ledger.event import Event
from ledger.identifiers import Sequence as Identifiers
from tests.support import sequencer
from tests.support.postgres import Server
from tests.support.tlog import log_key

BODY_BYTES = 500
DURABLE = """
fsync = on
full_page_writes = on
synchronous_commit = on
autovacuum = on
autovacuum_naptime = '10s'
shared_buffers = '1GB'
max_wal_size = '2GB'
min_wal_size = '128MB'
checkpoint_timeout = '15min'
wal_compression = on
"""
ROOT = Path(__file__).parents[2]


class Maker:
    """Makes the canonical bytes of events, each of its own id, as fast as Python can."""

    def __init__(self, writer: int) -> None:
        self._ids = Identifiers()
        first = self._ids.next()
        plain = Event.parse(_body(first, writer, ""))
        padding = "x" * (BODY_BYTES - len(plain.canonical()))
        self._parts = _body(first, writer, padding).split(str(first).encode())

    def bodies(self, count: int) -> list[bytes]:
        """So many events; canonical, since only the id differs."""
        before, after = self._parts
        return [b"%s%s%s" % (before, str(self._ids.next()).encode(), after) for _ in range(count)]


def _body(first: Any, writer: int, padding: str) -> bytes:
    from datetime import UTC, datetime

    return Event(
        id=first,
        time=datetime.now(UTC),
        node=f"node{writer}",
        actor="bench@desk",
        kind="gateway.request.completed",
        subject="key 0123456789a",
        data={"model": "small", "status": 200, "tokens": {"in": 812, "out": 344}, "text": padding},
        trace_id="0af7651916cd43dd8448eb211c80319c",
    ).canonical()


@dataclass(frozen=True)
class Load:
    """What each writer does: batches of `batch` events, `count` of them, or paced for `seconds`.

    `rate` is events a second of this writer; 0 is as fast as they are acknowledged.
    """

    batch: int
    count: int = 0
    rate: float = 0.0
    seconds: float = 0.0


@dataclass(frozen=True)
class Wrote:
    """What a writer did: events acknowledged, and each append's time, from when it was due."""

    events: int
    began: float
    ended: float
    latencies: tuple[float, ...]


def write(settings: Settings, load: Load, writers: int) -> list[Wrote]:
    """Run the writers at once, each a process with one connection, and wait for them."""
    context = multiprocessing.get_context("spawn")
    start = context.Barrier(writers)
    results = context.Queue()
    children = [
        context.Process(target=_writer, args=(settings, load, n, start, results))
        for n in range(writers)
    ]
    for child in children:
        child.start()
    found = [results.get(timeout=900) for _ in children]
    for child in children:
        child.join()
    return found


def _writer(settings: Settings, load: Load, number: int, start: Any, results: Any) -> None:
    results.put(asyncio.run(_write(settings, load, number, start)))


async def _write(settings: Settings, load: Load, number: int, start: Any) -> Wrote:
    maker, latencies, events = Maker(number), [], 0
    async with await connect(settings) as connection:
        start.wait()
        began = due = time.monotonic()
        while (load.count and events < load.count) or time.monotonic() - began < load.seconds:
            bodies = maker.bodies(load.batch)
            if load.rate:
                # Due by the clock, not by the last answer: a stall counts for all it held up.
                due += load.batch / load.rate
                await asyncio.sleep(max(0.0, due - time.monotonic()))
            else:
                due = time.monotonic()
            await send(connection, bodies)
            latencies.append(time.monotonic() - due)
            events += load.batch
        return Wrote(events, began, time.monotonic(), tuple(latencies))


def insert_plainly(dsn: str, events: int, batch: int, writers: int) -> float:
    """The ceiling: the same bytes by multi-row INSERTs into a table of nothing else; events/s."""
    with psycopg.connect(dsn, autocommit=True) as connection:
        connection.execute("DROP TABLE IF EXISTS public.plain")
        connection.execute("CREATE TABLE public.plain (body bytea)")
    context = multiprocessing.get_context("spawn")
    start, results = context.Barrier(writers), context.Queue()
    children = [
        context.Process(target=_inserter, args=(dsn, events // writers, batch, n, start, results))
        for n in range(writers)
    ]
    for child in children:
        child.start()
    spans = [results.get(timeout=900) for _ in children]
    for child in children:
        child.join()
    with psycopg.connect(dsn, autocommit=True) as connection:
        connection.execute("DROP TABLE public.plain")
    return events / (max(end for _, end in spans) - min(begin for begin, _ in spans))


def _inserter(dsn: str, events: int, batch: int, number: int, start: Any, results: Any) -> None:
    maker = Maker(number)
    statement = "INSERT INTO public.plain VALUES " + ", ".join(["(%b)"] * batch)  # noqa: S608
    with psycopg.connect(dsn, autocommit=True) as connection:
        start.wait()
        began = time.monotonic()
        for _ in range(events // batch):
            connection.execute(statement.encode(), maker.bodies(batch))
        results.put((began, time.monotonic()))


@contextmanager
def sequencing(server: Server, folder: Path) -> Iterator[psutil.Process]:
    """The daemon as a process of its own, with its settings as they are by default."""
    defaults = ("poll_seconds", "checkpoint_seconds", "claim_seconds", "retry_seconds")
    plain = sequencer.settings(server, folder)
    fields = {name: type(plain).model_fields[name].default for name in defaults}
    path = folder / "sequencer.toml"
    path.write_text(sequencer.toml(plain.model_dump(mode="json") | fields))
    with (folder / "log.txt").open("ab") as log:
        child = subprocess.Popen(
            [sys.executable, "-m", "daemons.sequencer", "--config", path],
            cwd=ROOT, env=dict(os.environ), stderr=log,
        )  # fmt: skip
    try:
        yield psutil.Process(child.pid)
    finally:
        child.send_signal(signal.SIGTERM)
        child.wait(60)


def until_signed(dsn: str, size: int, timeout_seconds: float = 600) -> float:
    """Wait until a checkpoint covers `size` events; the monotonic time at which it was seen."""
    deadline = time.monotonic() + timeout_seconds
    with psycopg.connect(dsn, autocommit=True) as connection:
        while time.monotonic() < deadline:
            row = connection.execute("SELECT max(size) FROM ledger.checkpoints").fetchone()
            if row and row[0] is not None and row[0] >= size:
                return time.monotonic()
            time.sleep(0.02)
    raise TimeoutError(f"no checkpoint of {size} events within {timeout_seconds} s")


def percentile(values: Sequence[float], share: float) -> float:
    """The value that `share` of them do not exceed."""
    ordered = sorted(values)
    return ordered[min(len(ordered) - 1, int(share * len(ordered)))]


KEY = log_key()
