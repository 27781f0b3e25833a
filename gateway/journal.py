"""What the audit is told of one request: an intent, and one ending, whatever happens."""

import asyncio
import logging
from collections.abc import Callable

from gateway.engine import Engine
from gateway.errors import ClientGone, Refused
from gateway.exchange import Exchange
from gateway.metrics import GatewayMetrics
from gateway.prompts import Keeping
from gateway.request import Call
from gateway.request_log import ids_of
from gateway.routes import Route
from gateway.seams import Audit, Ending, Intent, Principal
from gateway.spool.errors import SpoolError
from gateway.upstream_errors import EnginesDrained, QueueFull, UpstreamError, UpstreamTimeout
from gateway.usage import NOT_SAID
from ledger.requests import Outcome

logger = logging.getLogger("gateway.relay")


class Progress:
    """What is known of a request so far. Durations are in seconds."""

    __slots__ = ("asked", "engine", "first_byte", "keeping", "recorded", "usage", "waited")

    def __init__(self) -> None:
        self.usage = NOT_SAID
        self.engine: Engine | None = None
        self.first_byte: float | None = None
        self.asked = self.recorded = False
        self.keeping: Keeping | None = None  # when its tenant has prompts stored
        self.waited = 0.0  # for engines and for clients that read slowly


class Journal:
    """Makes intents and endings of what is known, and the audit durable with them."""

    def __init__(
        self, node: str, audit: Audit, metrics: GatewayMetrics, clock: Callable[[], int]
    ) -> None:
        """`clock`: nanoseconds since 1970."""
        self._node, self._audit, self._clock = node, audit, clock
        self._overhead = metrics.overhead

    async def begin(
        self, exchange: Exchange, principal: Principal, call: Call, route: Route
    ) -> Intent:
        """Make the intent durable; raises Refused, and then nothing may be relayed."""
        parent = exchange.traceparent
        intent = Intent(
            exchange.id,
            principal.key_id,
            principal.tenant,
            self._node,
            route.name,
            call.model,
            call.stream,
            self._clock(),
            exchange.request_id,
            None if parent is None else parent[3:35],
        )
        written = self._audit.open(intent)
        try:
            await written
        except asyncio.CancelledError:
            self._audit.abandon(intent, None, written)
            raise
        except SpoolError as error:
            raise self._audit.refusal("intent", error) from error
        return intent

    async def end(
        self,
        exchange: Exchange,
        intent: Intent,
        progress: Progress,
        outcome: Outcome,
        status: int | None,
    ) -> None:
        """Make the ending durable; raises Refused, with the ending kept for later."""
        engine, first = progress.engine, progress.first_byte
        ending = Ending(
            outcome,
            self._clock(),
            _milliseconds(exchange.elapsed_seconds),
            status,
            progress.usage.prompt_tokens,
            progress.usage.completion_tokens,
            None if first is None else _milliseconds(first),
            None if engine is None else engine.name,
        )
        if progress.keeping is not None:
            await self._keep_prompt(intent, progress.keeping, progress, ending)
        progress.recorded = True
        written = self._audit.complete(intent, ending)
        try:
            await written
        except asyncio.CancelledError:
            # Whoever asked has gone; the record goes on to the disk, or waits for it.
            self._audit.abandon(intent, ending, written)
            raise
        except SpoolError as error:
            refusal = self._audit.refusal("outcome", error)
            if outcome is Outcome.ANSWERED:
                # The client will not get the end of its answer: say what it does get.
                ending.outcome = Outcome.REFUSED
                ending.status = exchange.status or refusal.status
            self._audit.defer(intent, ending)
            raise refusal from error
        self._audit.ended(outcome)
        self._overhead.observe(max(0.0, exchange.elapsed_seconds - progress.waited))

    async def _keep_prompt(
        self, intent: Intent, keeping: Keeping, progress: Progress, ending: Ending
    ) -> None:
        """Have the ending say what was kept of the request's prompt and answer."""
        try:
            ending.prompt = await keeping.store()
        except asyncio.CancelledError:
            if ending.outcome is not Outcome.ANSWERED:
                # Stopped while it was being recorded: nobody comes back to this ending.
                progress.recorded = True
                self._audit.defer(intent, ending)
            raise

    async def end_badly(
        self, exchange: Exchange, intent: Intent, progress: Progress, error: BaseException
    ) -> None:
        """The same for what ended with an error, unless that is recorded already."""
        if progress.recorded:
            return
        status = exchange.status
        if status is None and isinstance(error, Refused):
            status = error.status
        try:
            await self.end(exchange, intent, progress, outcome_of(error), status)
        except Refused:
            logger.warning(
                "outcome waits for the disk", extra={"audit_id": intent.id, **ids_of(exchange)}
            )


def _milliseconds(seconds: float) -> int:
    return int(seconds * 1000 + 0.5)


def outcome_of(error: BaseException) -> Outcome:
    """How the audit calls what ended a request before its answer was whole."""
    if isinstance(error, ClientGone):
        return Outcome.CLIENT_GONE
    if isinstance(error, UpstreamTimeout):
        return Outcome.TIMED_OUT
    if isinstance(error, UpstreamError) and not isinstance(error, (QueueFull, EnginesDrained)):
        return Outcome.UPSTREAM_FAILED
    # Ours: no room, stopped by drain's end, or a fault of this program.
    return Outcome.REFUSED
