"""seams.Audit over the spool: durable here before anything goes on, in the ledger soon after.

An ending that the disk did not take waits in memory and is written as soon as it does; the room for
it is set aside. What this process can no longer write when it dies, the next one's first record
ends: the shipper closes what was open before it as `lost`.
"""

import asyncio
import logging
from collections.abc import Callable

from gateway.errors import AuditAway, BadRequest
from gateway.metrics import GatewayMetrics
from gateway.moments import datetime_of
from gateway.seams import Ending, Intent, Written
from gateway.spool.errors import SpoolError
from gateway.spool.record import finished, run, started
from gateway.spool.writer import Spool
from ledger.requests import Outcome

logger = logging.getLogger("gateway.audit")

TEND_SECONDS = 0.5


class SpoolAudit:
    """Writes intents and endings to the spool (seams.Audit)."""

    def __init__(
        self, spool: Spool, metrics: GatewayMetrics, node: str, clock: Callable[[], int]
    ) -> None:
        self._spool, self._metrics, self._ended = spool, metrics, metrics.ended
        self._node, self._clock = node, clock
        self._deferred: dict[str, tuple[bytes, Outcome]] = {}
        self._begun = False

    @property
    def takes_requests(self) -> bool:
        """Whether an intent written now would find room."""
        return self._begun and self._spool.room.admits()

    async def start(self) -> None:
        """Say that a run begins; without room, requests are refused until it could be said."""
        try:
            await self._spool.note(run(self._node, datetime_of(self._clock())))
            self._begun = True
        except SpoolError as error:
            self.refusal("run", error)

    def open(self, intent: Intent) -> Written:
        """See seams.Audit."""
        try:
            record = started(intent)
        except ValueError as error:
            raise BadRequest("The model's name cannot be recorded.", param="model") from error
        try:
            if not self._begun:
                raise SpoolError("the run has not begun")
            return self._spool.begin(record)
        except SpoolError as error:
            raise self.refusal("intent", error) from error

    def complete(self, intent: Intent, ending: Ending) -> Written:
        """See seams.Audit."""
        return self._spool.end(finished(intent, ending))

    def refusal(self, step: str, error: Exception) -> AuditAway:
        """See seams.Audit."""
        self._metrics.audit_failures.labels(step).inc()
        logger.warning("audit write failed", extra={"step": step, "why": type(error).__name__})
        return AuditAway()

    def abandon(self, intent: Intent, ending: Ending | None, written: Written) -> None:
        """See seams.Audit."""
        if ending is None:
            # Stopped while it was being written: it will be there, and nothing came of it.
            now = self._clock()
            waited = max(0, round((now - intent.started_ns) / 1_000_000))
            gone = Ending(Outcome.CLIENT_GONE, now, waited)
            self._spool.inherit(written, lambda kept: self.defer(intent, gone) if kept else None)
            return
        last = ending
        self._spool.inherit(
            written,
            lambda kept: self.ended(last.outcome) if kept else self.defer(intent, last),
        )

    def ended(self, outcome: Outcome) -> None:
        """See seams.Audit."""
        self._ended[outcome].inc()

    def defer(self, intent: Intent, ending: Ending) -> None:
        """See seams.Audit."""
        self._deferred[intent.id] = (finished(intent, ending), ending.outcome)
        self._metrics.audit_deferred.set(len(self._deferred))

    async def tend(self) -> None:
        """What is to be done every half second: room, the run's beginning, endings that wait."""
        self._spool.tend()
        if not self._begun and self._spool.room.admits():
            await self.start()
        for request_id, (record, outcome) in list(self._deferred.items()):
            try:
                await self._spool.end(record)
            except SpoolError as error:
                self.refusal("outcome", error)
                break
            del self._deferred[request_id]
            self.ended(outcome)
        self._metrics.audit_deferred.set(len(self._deferred))

    async def keep_tending(self) -> None:
        """Tend until cancelled."""
        while True:
            await asyncio.sleep(TEND_SECONDS)
            await self.tend()

    async def close(self) -> None:
        """Write what waits, and let go of the folder."""
        await self.tend()
        await self._spool.close()
