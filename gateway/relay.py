"""One relayed request: intent, engine, bytes, outcome. The order is the promise.

The intent is durable before an engine is asked; the outcome is before the client has the last byte
(gateway/delivery.py). Whatever happens in between (the client leaves, the engine dies or hangs or
ends without its end, this gateway is stopped) the audit is completed with what is known by then.

Another engine may be asked as long as the client was sent nothing, and no longer: at most
`routing.retries` times, and never after a timeout, which has cost the client its patience already.
A model that is hedged (`hedging`) may have two asked at once, until one of them answers.
"""

import asyncio
import logging
from collections.abc import Callable, Mapping

from gateway.asking import blames_the_request
from gateway.delivery import Delivery
from gateway.engine import Engine
from gateway.errors import ClientGone, Refused
from gateway.exchange import Exchange
from gateway.hedging import Hedger
from gateway.journal import Journal, Progress
from gateway.metrics import GatewayMetrics
from gateway.prompts import PromptStore
from gateway.relay_settings import Hedging, Limits, Timeouts
from gateway.request import Call, prefix_of, with_model
from gateway.request_log import ids_of
from gateway.routes import Route
from gateway.seams import Admission, Audit, Intent, Principal
from gateway.transport import Transport
from gateway.upstream_errors import EnginesDrained, UpstreamError, UpstreamFailed, UpstreamTimeout
from gateway.upstreams import Upstreams
from gateway.usage import Usage

logger = logging.getLogger("gateway.relay")

# What a path that generates nothing costs in tokens.
COUNTS_NOTHING = Usage(0, 0)


class Relay:
    """Relays calls to engines and keeps the audit of them."""

    def __init__(
        self,
        node: str,
        transport: Transport,
        upstreams: Upstreams,
        audit: Audit,
        admission: Admission,
        metrics: GatewayMetrics,
        timeouts: Timeouts,
        limits: Limits,
        clock: Callable[[], int],
        prompts: PromptStore,
        hedging: Mapping[str, Hedging],
    ) -> None:
        self._prompts = prompts
        self._upstreams = upstreams
        self._admission, self._metrics, self._tokens = admission, metrics, metrics.tokens
        self._journal = Journal(node, audit, metrics, clock)
        self._delivery = Delivery(transport, upstreams, self._journal, metrics, timeouts, limits)
        self._hedger = Hedger(transport, upstreams, metrics, self._count, hedging)

    def configure(self, timeouts: Timeouts, limits: Limits, hedging: Mapping[str, Hedging]) -> None:
        """Take these settings for requests from now on; after the engines' own."""
        self._delivery.configure(timeouts, limits)
        self._hedger.configure(hedging)

    async def run(self, exchange: Exchange, principal: Principal, call: Call, route: Route) -> None:
        """Answer `call`; raises Refused (told to the client by the caller) or ClientGone."""
        model = self._upstreams.resolve(call.model)
        relayed = call if model == call.model else with_model(call, model)
        size, most, answers = len(call.body), call.max_tokens, call.answers
        reservation = self._admission.reserve(principal, model, size, most, answers)
        if reservation is None:
            reservation = await self._admission.admit(principal, model, size, most, answers)
        progress = Progress()
        trace = exchange.trace
        if trace is not None:
            trace.tenant, trace.model, trace.served_model = principal.tenant, call.model, model
            trace.stream, trace.max_tokens = call.stream, call.max_tokens
        try:
            intent = await self._journal.begin(exchange, principal, call, route)
            if principal.prompts is not None:
                progress.keeping = self._prompts.begin(principal, intent.id, call.body)
            await self._served(exchange, intent, relayed, model, route, progress)
        finally:
            usage = progress.usage if route.usage else COUNTS_NOTHING
            reservation.settle(usage if progress.asked else None)
            self._count_tokens(progress)
            if trace is not None:
                trace.usage, trace.first_token_seconds = usage, progress.first_byte

    async def _served(
        self,
        exchange: Exchange,
        intent: Intent,
        call: Call,
        model: str,
        route: Route,
        progress: Progress,
    ) -> None:
        """Ask engines until one answers, and record how it ended, however it ended."""
        tried: list[Engine] = []
        again: UpstreamError | None = None
        prefix = b""
        if len(self._upstreams.engines) > 1 and (size := self._upstreams.routing.affinity_bytes):
            prefix = prefix_of(call, route, size)
        try:
            while True:
                try:
                    engine = self._upstreams.at_once(model, prefix, tried)
                    if engine is None:
                        engine = await self._upstreams.acquire(model, prefix, tried)
                except Refused as error:
                    if again is not None and isinstance(error, (UpstreamFailed, EnginesDrained)):
                        # What the first engines did is what there is to say.
                        raise again from None
                    self._metrics.not_routed[error.code or ""].inc()
                    raise
                progress.engine = engine
                opened = None
                try:
                    if self._hedger.on:
                        opened = await self._hedger.opened(
                            engine, exchange, call, route, tried, progress
                        )
                    await self._delivery.attempt(
                        exchange, intent, call, route, engine, progress, opened
                    )
                    return
                except UpstreamError as error:
                    engine = progress.engine
                    self._count(engine, error, exchange)
                    if exchange.status is not None or not _worth_another(error):
                        raise
                    tried.append(engine)
                    if len(tried) > self._upstreams.routing.retries:
                        raise
                    again = error
                    self._metrics.retries[engine.name].inc()
        except BaseException as error:
            failure = error
        if isinstance(failure, asyncio.CancelledError) and exchange.gone:
            failure = ClientGone()
        try:
            await self._journal.end_badly(exchange, intent, progress, failure)
            raise failure
        finally:
            del failure  # its traceback holds this frame

    def _count(self, engine: Engine, error: UpstreamError, exchange: Exchange) -> None:
        reason = error.reason or "failed"
        if not blames_the_request(error):
            engine.failed(reason)
        self._metrics.upstream_errors.labels(engine.name, reason).inc()
        logger.warning(
            "upstream error",
            extra={
                "upstream": engine.name,
                "reason": reason,
                "why": type(error.__cause__).__name__,
                **ids_of(exchange),
            },
        )

    def _count_tokens(self, progress: Progress) -> None:
        if progress.engine is not None:
            self._tokens[progress.engine.name].add(progress.usage)


def _worth_another(error: UpstreamError) -> bool:
    """Whether another engine may do better: not when the request is to blame, or time is up."""
    return not (blames_the_request(error) or isinstance(error, UpstreamTimeout))
