"""Hedging: a second engine of the same model is asked when the first says nothing for a while.

Off unless a model's settings turn it on; then the first engine to answer well is relayed, and the
other is let go of at once, its connection closed as when a client leaves. Nothing was sent to the
client by then, so no request is answered twice. A refusal of the request itself (the engine's own
4xx) counts as an answer; any other error waits for the engine that is still out. When all fail, a
timeout counts most: the client's patience is spent, and nobody else is asked.

How many hedges there may be is bounded, so that engines that are all slow are not asked twice as
much: `Budget` is a token bucket like that of gRPC's retry throttling (gRFC A6), filled by requests
and emptied by hedges (Dean and Barroso, The Tail at Scale, CACM 56(2), 2013: of 2 to 5 % of them);
and an engine is a second one only where it has room nobody waits for (`routing.spare`).

Who wins is decided here; asking, and reading what follows, is the transport's and the relay's.
"""

import asyncio
import logging
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from typing import Literal, NamedTuple

from gateway.asking import blames_the_request, is_plain_success, refusal_in, request_for
from gateway.engine import Engine
from gateway.exchange import Exchange
from gateway.journal import Progress
from gateway.metrics import GatewayMetrics
from gateway.relay_settings import Hedging
from gateway.request import Call
from gateway.request_log import ids_of
from gateway.response import Response
from gateway.routes import Route
from gateway.tracing import CANCELLED, Attempt
from gateway.transport import Transport
from gateway.upstream_errors import UpstreamError, UpstreamTimeout
from gateway.upstreams import Upstreams

logger = logging.getLogger("gateway.hedging")

# Tokens of the bucket: whole numbers, so that 5 % of 20 requests are 1 hedge and not 0.9999.
HEDGE_COSTS = 1000
# The most hedges in a row. At a share of 5 % the bucket remembers the last 100 requests.
BURST = 5

State = Literal["out", "answered", "refused", "timed_out", "failed"]


@dataclass(frozen=True, slots=True)
class Budget:
    """How many hedges may still be sent. Of any n requests in a row, no more than
    `BURST + share * n` are hedged. `earned` is what one request adds, in tokens.
    """

    earned: int
    tokens: int = HEDGE_COSTS

    @classmethod
    def of(cls, share: float) -> "Budget":
        """For a share of requests, 0.001 to 1."""
        return cls(round(share * HEDGE_COSTS))

    def asked(self) -> "Budget":
        """One more request."""
        return Budget(self.earned, min(self.tokens + self.earned, BURST * HEDGE_COSTS))

    @property
    def allows(self) -> bool:
        """Whether a hedge may be sent."""
        return self.tokens >= HEDGE_COSTS

    def hedged(self) -> "Budget":
        """A hedge was sent; only where `allows` said so."""
        return Budget(self.earned, self.tokens - HEDGE_COSTS)


def decided(states: Sequence[State]) -> int | None:
    """Which of the engines that were asked, at least one, ends the race; None: it goes on. Pure."""
    for state in ("answered", "refused"):
        if state in states:
            return states.index(state)
    if "out" in states:
        return None
    return states.index("timed_out") if "timed_out" in states else len(states) - 1


class Opened(NamedTuple):
    """An engine that has begun to answer well. Whoever has this releases engine and response."""

    engine: Engine
    response: Response
    attempt: Attempt | None


class _Leg:
    """One engine that was asked; `response` from its head on."""

    __slots__ = ("attempt", "engine", "response", "task")

    def __init__(self, engine: Engine, attempt: Attempt | None) -> None:
        self.engine, self.attempt = engine, attempt
        self.response: Response | None = None
        self.task: asyncio.Task[None]

    @property
    def error(self) -> UpstreamError | None:
        """What its engine did wrong; raises what is nobody's but ours."""
        error = self.task.exception() if self.task.done() else None
        if error is not None and not isinstance(error, UpstreamError):
            raise error
        return error

    @property
    def state(self) -> State:
        """How far it is."""
        error = self.error
        if error is None:
            return "answered" if self.task.done() else "out"
        if blames_the_request(error):
            return "refused"
        return "timed_out" if isinstance(error, UpstreamTimeout) else "failed"


class Hedger:
    """Asks engines for requests of models that are hedged. `blame` is told of each engine that
    failed, but for the one whose error is raised."""

    def __init__(
        self,
        transport: Transport,
        upstreams: Upstreams,
        metrics: GatewayMetrics,
        blame: Callable[[Engine, UpstreamError, Exchange], None],
        terms: Mapping[str, Hedging],
    ) -> None:
        self._transport, self._upstreams = transport, upstreams
        self._metrics, self._blame = metrics, blame
        self._budgets: dict[str, Budget] = {}
        self.configure(terms)

    def configure(self, terms: Mapping[str, Hedging]) -> None:
        """Take these settings, by model, for requests from now on."""
        for model, value in terms.items():
            fresh, known = Budget.of(value.max_share), self._budgets.get(model)
            if known is None or known.earned != fresh.earned:
                self._budgets[model] = fresh
            if sum(engine.may_serve(model) for engine in self._upstreams.engines) < 2:
                logger.warning("hedging needs a second engine", extra={"model": model})
        self._metrics.know_hedges(terms)
        self._terms, self.on = dict(terms), bool(terms)

    async def opened(
        self,
        engine: Engine,
        exchange: Exchange,
        call: Call,
        route: Route,
        tried: list[Engine],
        progress: Progress,
    ) -> Opened | None:
        """Ask `engine`, whose room is taken, and perhaps another; None, with nothing done, when
        requests like this are not hedged.

        Raises UpstreamError, with nothing left to release. `progress.engine` is whose answer or
        error it is, and any other that was asked is added to `tried`.
        """
        after = self._after(call)
        if after is None:
            return None
        self._budgets[call.model] = self._budgets[call.model].asked()
        progress.asked, began = True, exchange.elapsed_seconds
        legs = [self._ask(engine, exchange, call, route)]
        ahead: _Leg | None = None
        try:
            await asyncio.wait([legs[0].task], timeout=after)
            if legs[0].state == "out":
                second = self._second(call.model, (*tried, engine))
                if second is not None:
                    legs.append(self._ask(second, exchange, call, route, hedge=True))
            while (number := decided([leg.state for leg in legs])) is None:
                out = [leg.task for leg in legs if not leg.task.done()]
                await asyncio.wait(out, return_when=asyncio.FIRST_COMPLETED)
            ahead = legs[number]
            progress.engine = ahead.engine
        finally:
            progress.waited += exchange.elapsed_seconds - began
            for leg in legs:
                if leg is not ahead:
                    tried.append(leg.engine)
                    self._leave(leg, exchange)
            if len(legs) > 1:
                self._tell(call.model, legs, ahead, exchange)
        return self._taken(ahead)

    def _after(self, call: Call) -> float | None:
        """How long its first engine may say nothing, in seconds; None: it is not hedged."""
        terms = self._terms.get(call.model)
        if terms is None:
            return None
        return terms.after_seconds if call.stream else terms.whole_after_seconds

    def _ask(
        self, engine: Engine, exchange: Exchange, call: Call, route: Route, *, hedge: bool = False
    ) -> _Leg:
        trace = exchange.trace
        leg = _Leg(engine, None if trace is None else trace.attempt(engine.name, hedge=hedge))
        leg.task = asyncio.create_task(self._until_it_answers(leg, exchange, call, route))
        return leg

    async def _until_it_answers(
        self, leg: _Leg, exchange: Exchange, call: Call, route: Route
    ) -> None:
        """Returns when there is an answer, or of a stream its first bytes. Raises UpstreamError."""
        request = request_for(exchange, leg.engine, route, leg.attempt, call.body)
        response = leg.response = await self._transport.ask(
            leg.engine.target, request, stream=call.stream
        )
        if not is_plain_success(response):
            raise await refusal_in(response)
        if call.stream:
            # Engines send the head at once and the first event when they have thought.
            await response.begun(self._transport.bounds.upstream_first_byte_seconds)

    def _second(self, model: str, tried: Sequence[Engine]) -> Engine | None:
        """Another engine, whose room is then taken; None when there is none, or no hedge left."""
        budget = self._budgets[model]
        engine = self._upstreams.spare(model, tried) if budget.allows else None
        if engine is not None:
            self._budgets[model] = budget.hedged()
        else:
            reason = "no_engine" if budget.allows else "over_share"
            self._metrics.hedges[model, reason].inc()
        return engine

    def _leave(self, leg: _Leg, exchange: Exchange) -> None:
        """Let go of an engine at once: what it was doing stops, and its room is free."""
        error = self._settle(leg)
        if error is not None:
            self._blame(leg.engine, error, exchange)

    def _taken(self, leg: _Leg) -> Opened:
        """What the race ended with; raises its error."""
        if leg.error is None and leg.response is not None:
            return Opened(leg.engine, leg.response, leg.attempt)
        error = self._settle(leg)
        assert error is not None  # noqa: S101 - it is over, and did not answer
        raise error

    def _settle(self, leg: _Leg) -> UpstreamError | None:
        over = leg.task.done()
        leg.task.cancel()
        error = None
        with suppress(Exception, asyncio.CancelledError):
            error = leg.error
        if leg.attempt is not None:
            leg.attempt.status = None if leg.response is None else leg.response.status
            leg.attempt.error = CANCELLED if error is None else error.reason
            leg.attempt.end()
        if leg.response is not None and over:
            leg.response.release()
        elif leg.response is not None:
            # Not to be used again: its task has yet to leave it.
            leg.response.abort()
        failed = None if error is None else not blames_the_request(error)
        self._upstreams.release(leg.engine, failed=failed)
        return error

    def _tell(
        self, model: str, legs: Sequence[_Leg], ahead: _Leg | None, exchange: Exchange
    ) -> None:
        """Count and log a hedge that is over."""
        if ahead is None:
            result = "cancelled"
        elif ahead.state in ("answered", "refused"):
            result = "first" if ahead is legs[0] else "second"
        else:
            result = "failed"
        self._metrics.hedges[model, result].inc()
        first, second = (leg.engine.name for leg in legs)
        logger.info(
            "hedged",
            extra={"upstream": first, "second": second, "result": result, **ids_of(exchange)},
        )
