"""The engines: which serves which model, which are there, how busy they are, and whose turn it is.

A model is an upstream's because the configuration says so or, where it names none, because the
engine lists it. Engines that are down stay routable for models they are configured for: the client
then hears 502 (try again), not 404 (no such model). What is decided is in `routing`; here is what
it is decided on. Those who wait for room are in `waiting`.
"""

import asyncio
import logging
from collections.abc import Callable, Collection, Mapping, Sequence
from datetime import UTC, datetime
from functools import partial
from typing import Any

from gateway.engine import Engine
from gateway.errors import LedgerAway, NotFound, Refused
from gateway.listing import longest_context, models_for, serving
from gateway.metrics import GatewayMetrics
from gateway.probes import probe
from gateway.relay_settings import Routing, Upstream
from gateway.routing import Candidate, choose, spare
from gateway.seams import Principal
from gateway.transport import Transport
from gateway.upstream_errors import EnginesDrained, UpstreamFailed
from gateway.waiting import WaitingRoom
from ledger.upstreams import Drain

logger = logging.getLogger("gateway.upstreams")


class Upstreams:
    """All engines of this gateway."""

    def __init__(
        self,
        configs: tuple[Upstream, ...],
        aliases: Mapping[str, str],
        routing: Routing,
        transport: Transport,
        metrics: GatewayMetrics,
        health_seconds: float,
        clock: Callable[[], datetime] = lambda: datetime.now(UTC),
        drains: Sequence[Drain] | None = (),
    ) -> None:
        self._transport, self._metrics = transport, metrics
        self._health_seconds, self._clock = health_seconds, clock
        # None: nobody could say yet who is drained, so everybody counts as drained.
        self._drains = None if drains is None else {drain.name: drain for drain in drains}
        self._loop = transport.loop
        self._waiting = WaitingRoom(
            self._loop, metrics, self._choose, self._take, partial(self.release, failed=None)
        )
        self._queues = self._waiting.queues
        self.engines: tuple[Engine, ...] = ()
        self.configure(configs, aliases, routing)

    def configure(
        self, configs: tuple[Upstream, ...], aliases: Mapping[str, str], routing: Routing
    ) -> None:
        """Take these settings from now on; engines that stay keep what is known of them."""
        known = {engine.config: engine for engine in self.engines}
        self.aliases, self.routing = dict(aliases), routing
        unknown = self._drains is None
        self.engines = tuple(
            known.get(config) or Engine(config, routing, self._clock, drained=unknown)
            for config in configs
        )
        self._take_stock()
        self._apply_drains()

    def drain(self, drains: Sequence[Drain]) -> None:
        """These engines are drained, all others are not; those who wait are dealt with anew."""
        self._drains = {drain.name: drain for drain in drains}
        self._apply_drains()
        self._waiting.serve()

    @property
    def any_up(self) -> bool:
        """Whether at least one engine answers, and is not drained."""
        return any(engine.up and not engine.drained for engine in self.engines)

    @property
    def queued(self) -> int:
        """Requests that wait for room."""
        return self._waiting.count

    def offers(self, model: str) -> bool:
        """Whether any engine serves what clients call this."""
        return self.aliases.get(model, model) in self._serving

    @property
    def knows_drains(self) -> bool:
        """Whether the ledger has said which engines are drained."""
        return self._drains is not None

    def report(self) -> list[dict[str, Any]]:
        """What operators are told of each engine."""
        return [engine.report(self._waiting.count_for(engine)) for engine in self.engines]

    def resolve(self, model: str) -> str:
        """The model behind an alias, or `model` itself; raises NotFound when nobody serves it."""
        real = self.aliases.get(model, model)
        if real not in self._serving:
            raise NotFound(
                f"The model {model!r} does not exist.", param="model", code="model_not_found"
            )
        return real

    async def acquire(self, model: str, prefix: bytes, tried: Collection[Engine] = ()) -> Engine:
        """An engine with room for one more request, which is now taken: `release` it.

        Waits for its turn at most `queue_seconds`. Raises QueueFull, UpstreamFailed.
        """
        engine = self.at_once(model, prefix, tried)
        if engine is None:
            engine = await self._waiting.wait(model, prefix, tried, self.routing)
        return engine

    def at_once(self, model: str, prefix: bytes, tried: Collection[Engine]) -> Engine | None:
        """As `acquire`, where no waiting is needed; None where it is."""
        if self._queues and self._queues.get(model):
            return None
        engine = self._choose(model, prefix, tried)
        return None if engine is None else self._take(engine)

    def spare(self, model: str, tried: Collection[Engine]) -> Engine | None:
        """An engine for a hedge, with room that nobody waits for and that is now taken: `release`
        it. None when there is none; never waits."""
        able = self._serving.get(model, ())
        index = spare(
            [
                Candidate(
                    name=engine.name,
                    load=engine.active,
                    room=engine.has_room and not self._waiting.count_for(engine),
                    up=engine.up is not False,
                    allowed=engine.breaker.opened_at is None,
                    drained=engine.drained,
                    tried=engine in tried,
                )
                for engine in able
            ]
        )
        return None if index is None else self._take(able[index])

    def release(self, engine: Engine, *, failed: bool | None) -> None:
        """The request is over. `failed`: whether the engine is to blame; None: it does not tell."""
        engine.active -= 1
        before = engine.breaker
        if failed is None:
            engine.breaker = before.undecided()
        elif failed:
            engine.breaker = before.failed(self._loop.time())
        else:
            engine.breaker = before.succeeded()
        if engine.breaker is not before:
            self._metrics.breaker_open[engine.name].set(engine.breaker.opened_at is not None)
            if (before.opened_at is None) != (engine.breaker.opened_at is None):
                state = "open" if before.opened_at is None else "closed"
                engine.changed()
                logger.warning("breaker", extra={"upstream": engine.name, "state": state})
        if self._queues:
            self._waiting.serve()

    def models(self, principal: Principal) -> list[dict[str, Any]]:
        """What engines that are up list, as far as the key may use it; each model once."""
        return models_for(principal, self.engines, self.aliases)

    def context_of(self, model: str) -> int | None:
        """How long prompt and answer of `model` can be together, in tokens, where engines tell."""
        return self._contexts.get(self.aliases.get(model, model))

    def _choose(self, model: str, prefix: bytes, tried: Collection[Engine]) -> Engine | None:
        """The engine whose turn it is, None when all are full; raises UpstreamFailed."""
        able = self._serving.get(model, ())
        if len(able) == 1 and not tried:
            only = able[0]
            if only.breaker.opened_at is None and not only.drained and only.has_room:
                return only
        now = self._loop.time()
        candidates = [
            Candidate(
                name=engine.name,
                load=engine.active,
                room=engine.has_room,
                up=engine.up is not False,
                allowed=engine.breaker.allows(now),
                drained=engine.drained,
                tried=engine in tried,
            )
            for engine in able
        ]
        choice = choose(candidates, prefix, self.routing.affinity_slack)
        if choice.hopeless:
            raise self._hopeless(able)
        return None if choice.index is None else able[choice.index]

    def _hopeless(self, able: Sequence[Engine]) -> Refused:
        """Why none of those that serve a model can be asked."""
        if self._drains is None:
            return LedgerAway()
        if able and all(engine.drained for engine in able):
            return EnginesDrained()
        return UpstreamFailed("No engine can take this request now. Try again.")

    def _take(self, engine: Engine) -> Engine:
        engine.active += 1
        if engine.breaker.opened_at is not None:
            engine.breaker = engine.breaker.asked(self._loop.time())
        return engine

    def _take_stock(self) -> None:
        """Note who serves what, for all requests until an engine says otherwise."""
        self._serving = serving(self.engines)
        self._contexts = {name: longest_context(name, self.engines) for name in self._serving}

    def _apply_drains(self) -> None:
        for engine in self.engines:
            drain = None if self._drains is None else self._drains.get(engine.name)
            drained = self._drains is None or drain is not None
            if drained != engine.drained:
                engine.changed()
            if (drain is None) != (engine.drain is None):
                state = "enabled" if drain is None else "drained"
                logger.info("rotation", extra={"upstream": engine.name, "state": state})
            engine.drain, engine.drained = drain, drained
            self._metrics.upstream_drained.labels(engine.name).set(drained)
        self._metrics.component_up.labels("upstreams").set(self.any_up)

    async def look(self) -> None:
        """Ask every engine once, all at the same time; failures are states, not errors."""
        await asyncio.gather(*(self._look_at(engine) for engine in self.engines))
        self._metrics.component_up.labels("upstreams").set(self.any_up)

    async def _look_at(self, engine: Engine) -> None:
        await probe(engine, self._transport, self._metrics, self._health_seconds)
        self._take_stock()
