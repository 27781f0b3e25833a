"""Do what `decide` says: hold the lock, number, sign, make partitions; begin again after failures.

One connection carries the lock and all the work, so that losing it loses the lock. Whatever went
wrong, the tree is loaded and checked anew before anything is numbered: a commit whose answer never
came is then either there or not. A log that contradicts itself is not continued; it is looked at
again after a while, since a person may repair it.
"""

import asyncio
import logging
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime

from daemons.sequencer import head
from daemons.sequencer.decide import Kind, Rules, View, next_step
from daemons.sequencer.head import Head
from daemons.sequencer.metrics import SequencerMetrics
from daemons.sequencer.settings import SequencerSettings
from ledger import sequence
from ledger.connect import Connection, connect
from ledger.connect import Settings as LedgerSettings
from ledger.errors import LedgerError, LogBroken, Superseded
from ledger.merkle import Frontier
from ledger.note import SignerKey
from ledger.tiles import Edge

LOG = logging.getLogger(__name__)
INBOX_METRICS_SECONDS = 5.0
COMPLAINT_SECONDS = 30.0
FEWER = 4


@dataclass
class Progress:
    """Where the active sequencer is; times are of the monotonic clock."""

    edge: Edge
    frontier: Frontier
    signed: int
    signed_at: float | None = None
    partitions_at: float | None = None
    more: bool | None = None
    inbox_at: float | None = field(default=None)


class Sequencer:
    """One sequencer; `publish` is told every new head (and the stored one on becoming active)."""

    def __init__(
        self,
        settings: SequencerSettings,
        ledger: LedgerSettings,
        key: SignerKey,
        metrics: SequencerMetrics,
        publish: Callable[[Head | None], None],
    ) -> None:
        self._settings, self._ledger, self._key = settings, ledger, key
        self._metrics, self._publish = metrics, publish
        self._rules = Rules(
            settings.checkpoint_seconds, settings.partitions_check_seconds, settings.poll_seconds
        )
        self._stop = asyncio.Event()
        self._said, self._said_at = "", 0.0
        # Fewer after a failure: a batch of very large events can outlast its statement's time.
        self._most = settings.batch_events

    def stop(self) -> None:
        """End after the step under way, with what was numbered signed."""
        self._stop.set()

    async def run(self) -> None:
        """Until `stop`: wait for the lock, work while it is held, begin again when it is lost."""
        while not self._stop.is_set():
            pause = self._settings.retry_seconds
            try:
                async with await connect(self._ledger) as connection:
                    if await self._claimed(connection):
                        await self._lead(connection)
            except LogBroken as error:
                self._metrics.broken.set(1)
                LOG.error("the log is not continued: %s", error)
                pause = self._settings.broken_seconds
            except Superseded as error:
                self._metrics.superseded.inc()
                LOG.warning("%s", error)
            except LedgerError as error:
                self._metrics.errors.inc()
                self._most = max(1, self._most // FEWER)
                self._complain(error)
            finally:
                self._metrics.active.set(0)
                self._publish(None)
            await self._pause(pause)

    def _complain(self, error: LedgerError) -> None:
        """Say what went wrong, once a while for as long as it is of the same kind."""
        now, kind = time.monotonic(), type(error).__name__
        if kind != self._said or now - self._said_at >= COMPLAINT_SECONDS:
            self._said, self._said_at = kind, now
            LOG.warning("begin again: %s: %s", kind, " ".join(str(error).split()))

    async def _claimed(self, connection: Connection) -> bool:
        """Wait for the lock; False when asked to stop meanwhile."""
        waited = False
        while not self._stop.is_set():
            if await sequence.claim(connection):
                LOG.info("active: the lock is ours")
                return True
            if not waited:
                LOG.info("another sequencer is active; waiting for its lock")
                waited = True
            await self._pause(self._settings.claim_seconds)
        return False

    async def _lead(self, connection: Connection) -> None:
        async with sequence.snapshot(connection):
            edge = await sequence.read_edge(connection)
            stored = await head.newest(connection, edge, self._key)
        await sequence.replicated(connection)
        self._metrics.broken.set(0)
        self._metrics.active.set(1)
        self._said = ""
        progress = Progress(edge, edge.frontier(), stored.size if stored else 0)
        self._metrics.size.set(edge.size)
        self._metrics.signed_size.set(progress.signed)
        LOG.info("the log has %d events, %d of them signed", edge.size, progress.signed)
        self._publish(stored)
        while not self._stop.is_set():
            await self._step(connection, progress)
        if progress.edge.size > progress.signed:
            await self._sign(connection, progress)

    async def _step(self, connection: Connection, progress: Progress) -> None:
        now = time.monotonic()
        view = View(now, progress.edge.size, progress.signed, progress.signed_at,
                    progress.partitions_at, progress.more)  # fmt: skip
        decision = next_step(view, self._rules)
        LOG.debug("%s: %s", decision.kind.value, decision.reason)
        if decision.kind is Kind.PARTITIONS:
            progress.partitions_at = now
            await self._partitions(connection)
        elif decision.kind is Kind.SIGN:
            await self._sign(connection, progress)
        elif decision.kind is Kind.SEQUENCE:
            await self._sequence(connection, progress)
        else:
            await self._pause(decision.seconds)
            progress.more = None
        if progress.inbox_at is None or now - progress.inbox_at >= INBOX_METRICS_SECONDS:
            progress.inbox_at = now
            await self._measure_inbox(connection)

    async def _sequence(self, connection: Connection, progress: Progress) -> None:
        if progress.more is None and not await sequence.any_waiting(connection):
            progress.more = False
            return
        begun = time.monotonic()
        most = self._most
        batch = await sequence.advance(connection, progress.edge, most)
        self._most = min(self._settings.batch_events, most * 2)
        self._metrics.batch.observe(time.monotonic() - begun)
        progress.edge, progress.frontier = batch.edge, batch.frontier
        # A batch that was not full has emptied the inbox: let the next one gather.
        odd = batch.dropped + batch.conflicting
        progress.more = batch.numbered >= most or odd > 0
        self._metrics.size.set(batch.edge.size)
        self._metrics.sequenced.inc(batch.numbered)
        if odd:
            self._metrics.dropped.inc(batch.dropped)
            self._metrics.conflicts.inc(batch.conflicting)
            LOG.error(
                "the inbox was written past its function: %d repeated events dropped, "
                "%d contradicting ones kept in ledger.conflicts",
                batch.dropped,
                batch.conflicting,
            )

    async def _sign(self, connection: Connection, progress: Progress) -> None:
        begun = time.monotonic()
        signed = await head.sign(connection, progress.frontier, self._key)
        progress.signed, progress.signed_at = signed.size, begun
        self._metrics.signed_size.set(signed.size)
        self._metrics.signed_time.set(time.time())
        self._publish(signed)

    async def _partitions(self, connection: Connection) -> None:
        try:
            made = await sequence.make_partitions(
                connection, self._settings.partitions_ahead_months
            )
        except LedgerError as error:
            # Months are made long ahead: one that waits for a lock is made next time.
            self._metrics.errors.inc()
            LOG.warning("partitions are not made yet: %s", error)
            if connection.closed or connection.broken:
                raise
            return
        if made:
            LOG.info("partitions made ahead: %s", ", ".join(made))

    async def _measure_inbox(self, connection: Connection) -> None:
        found = await sequence.waiting(connection)
        age = (datetime.now(UTC) - found.oldest).total_seconds() if found.oldest else 0.0
        self._metrics.waiting.set(found.count)
        self._metrics.oldest.set(max(0.0, age))

    async def _pause(self, seconds: float) -> None:
        try:
            async with asyncio.timeout(seconds):
                await self._stop.wait()
        except TimeoutError:
            return
