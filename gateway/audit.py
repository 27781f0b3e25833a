"""The audit of this gateway: an intent before an engine is asked, an outcome before the last byte.

Both writes carry their id and may be repeated, so an answer of Postgres that got lost is asked for
again. An outcome that cannot be written although its request was served waits here (bounded) and is
written when the ledger is back.
"""

import asyncio
import logging
from collections import deque
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from datetime import datetime
from uuid import UUID

from gateway.errors import LedgerAway
from gateway.ledger_client import Ledger
from gateway.metrics import GatewayMetrics
from gateway.seams import Ending, Intent
from ledger.errors import Conflict, LedgerError, OutcomeUnknown, Unavailable
from ledger.requests import Outcome, RequestIntent, RequestOutcome

logger = logging.getLogger("gateway.audit")

# Seconds before each further attempt. An outcome is worth more patience: its request was served.
INTENT_PAUSES = (0.1, 0.4)
OUTCOME_PAUSES = (0.1, 0.4, 1.0, 2.0)
MAX_DEFERRED = 10_000


@dataclass(frozen=True)
class _Deferred:
    """An outcome that waits. Not `certain`: perhaps its row was never opened."""

    id: UUID
    outcome: RequestOutcome
    certain: bool


class LedgerAudit:
    """Writes intents and outcomes, insisting where that is safe (seams.Audit)."""

    def __init__(
        self, ledger: Ledger, metrics: GatewayMetrics, clock: Callable[[], datetime]
    ) -> None:
        self._ledger, self._metrics, self._clock = ledger, metrics, clock
        self._deferred: deque[_Deferred] = deque()
        self.writing: set[asyncio.Task[None]] = set()

    async def open(self, intent: Intent) -> None:
        """See seams.Audit; if it turns out later that it was written after all, it is closed."""
        row = RequestIntent(
            intent.id, intent.key_id, intent.node, intent.model, intent.stream, intent.started_at
        )
        try:
            await _insist(lambda: self._ledger.open_request(row), INTENT_PAUSES)
        except LedgerError as error:
            self._failed("intent", intent.id, error)
            if isinstance(error, OutcomeUnknown):
                self._keep(_Deferred(intent.id, self._refused(intent), certain=False))
            raise LedgerAway from error

    async def complete(self, intent: Intent, ending: Ending) -> None:
        """See seams.Audit."""
        outcome = _row(ending)
        try:
            await asyncio.shield(self._insisting(intent.id, outcome))
        except LedgerError as error:
            self._failed("outcome", intent.id, error)
            raise LedgerAway from error
        self._metrics.outcomes.labels(outcome.outcome.value).inc()

    def defer(self, intent: Intent, ending: Ending) -> None:
        """See seams.Audit; the oldest is given up beyond the bound."""
        self._keep(_Deferred(intent.id, _row(ending), certain=True))

    def _insisting(self, request_id: UUID, outcome: RequestOutcome) -> "asyncio.Task[None]":
        write = _insist(lambda: self._ledger.complete_request(request_id, outcome), OUTCOME_PAUSES)
        task = asyncio.create_task(write)
        self.writing.add(task)
        task.add_done_callback(self.writing.discard)
        return task

    def _refused(self, intent: Intent) -> RequestOutcome:
        now = self._clock()
        waited = round((now - intent.started_at).total_seconds() * 1000)
        return RequestOutcome(Outcome.REFUSED, now, max(0, waited), LedgerAway.status)

    def _keep(self, deferred: "_Deferred") -> None:
        if len(self._deferred) >= MAX_DEFERRED:
            lost = self._deferred.popleft()
            logger.error("outcome given up", extra={"audit_id": str(lost.id)})
        self._deferred.append(deferred)
        self._metrics.audit_deferred.set(len(self._deferred))

    async def flush(self) -> None:
        """Write what was deferred, oldest first; raises LedgerError when the ledger is away."""
        while self._deferred:
            first = self._deferred[0]
            try:
                await self._ledger.complete_request(first.id, first.outcome)
                self._metrics.outcomes.labels(first.outcome.outcome.value).inc()
            except (Unavailable, OutcomeUnknown):
                raise
            except Conflict:
                # A write whose answer was lost had happened after all.
                logger.info("outcome was known already", extra={"audit_id": str(first.id)})
            except LedgerError as error:
                if first.certain:
                    self._failed("outcome", first.id, error)
            if self._deferred and self._deferred[0] is first:
                self._deferred.popleft()
            self._metrics.audit_deferred.set(len(self._deferred))

    def _failed(self, step: str, request_id: UUID, error: LedgerError) -> None:
        self._metrics.audit_failures.labels(step).inc()
        logger.error(
            "audit write failed",
            extra={"step": step, "audit_id": str(request_id), "why": type(error).__name__},
        )


def _row(ending: Ending) -> RequestOutcome:
    return RequestOutcome(*ending[:7])


async def _insist(write: Callable[[], Awaitable[None]], pauses: Sequence[float]) -> None:
    """Write, and again after each pause while the ledger is away; ids make repeats harmless.

    Raises OutcomeUnknown when any attempt may have succeeded, else what the last one raised.
    """
    unknown: OutcomeUnknown | None = None
    for pause in (*pauses, None):
        try:
            await write()
            return
        except OutcomeUnknown as error:
            unknown = error
            if pause is None:
                raise
        except Unavailable as error:
            if pause is None:
                raise unknown or error from error
        await asyncio.sleep(pause)
