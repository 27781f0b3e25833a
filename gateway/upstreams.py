"""The engines: which serves which model, which are there, how busy they are, and whose turn it is.

A model is an upstream's because the configuration says so or, where it names none, because the
engine lists it. Engines that are down stay routable for models they are configured for: the client
then hears 502 (try again), not 404 (no such model). What is decided is in `routing`; here is what
it is decided on, and the bounded queue of those who wait for room.
"""

import asyncio
import logging
from collections import deque
from collections.abc import Callable, Collection, Mapping, Sequence
from datetime import UTC, datetime
from typing import Any

import orjson

from gateway.engine import Engine
from gateway.errors import (
    EnginesDrained,
    LedgerAway,
    NotFound,
    QueueFull,
    Refused,
    UpstreamError,
    UpstreamFailed,
)
from gateway.metrics import GatewayMetrics
from gateway.routing import Candidate, choose, spare
from gateway.seams import Principal
from gateway.settings import Routing, Upstream
from gateway.transport import Transport
from ledger.upstreams import Drain

logger = logging.getLogger("gateway.upstreams")

MAX_LISTING_BYTES = 1 << 20
# What a client may know of a model; vLLM's own entries also tell paths on its disk.
SHOWN = ("id", "object", "created", "owned_by", "max_model_len")
PLAIN = (str, int, float)  # what is nested may be nested too deeply to be written again


class _Waiting:
    """A request in the queue: which engines would do, and its turn."""

    __slots__ = ("model", "prefix", "tried", "turn")

    def __init__(
        self, model: str, prefix: bytes, tried: Collection[Engine], turn: asyncio.Future[Engine]
    ) -> None:
        self.model, self.prefix, self.tried, self.turn = model, prefix, tried, turn


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
        self._queues: dict[str, deque[_Waiting]] = {}
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
        self._apply_drains()

    def drain(self, drains: Sequence[Drain]) -> None:
        """These engines are drained, all others are not; those who wait are dealt with anew."""
        self._drains = {drain.name: drain for drain in drains}
        self._apply_drains()
        self._next()

    @property
    def any_up(self) -> bool:
        """Whether at least one engine answers, and is not drained."""
        return any(engine.up and not engine.drained for engine in self.engines)

    @property
    def queued(self) -> int:
        """Requests that wait for room."""
        return sum(map(len, self._queues.values()))

    def offers(self, model: str) -> bool:
        """Whether any engine serves what clients call this."""
        real = self.aliases.get(model, model)
        return any(engine.serves(real) for engine in self.engines)

    @property
    def knows_drains(self) -> bool:
        """Whether the ledger has said which engines are drained."""
        return self._drains is not None

    def report(self) -> list[dict[str, Any]]:
        """What operators are told of each engine."""
        return [
            engine.report(
                sum(len(line) for model, line in self._queues.items() if engine.serves(model))
            )
            for engine in self.engines
        ]

    def resolve(self, model: str) -> str:
        """The model behind an alias, or `model` itself; raises NotFound when nobody serves it."""
        if not self.offers(model):
            raise NotFound(
                f"The model {model!r} does not exist.", param="model", code="model_not_found"
            )
        return self.aliases.get(model, model)

    async def acquire(self, model: str, prefix: bytes, tried: Collection[Engine] = ()) -> Engine:
        """An engine with room for one more request, which is now taken: `release` it.

        Waits for its turn at most `queue_seconds`. Raises QueueFull, UpstreamFailed.
        """
        waiting = self._queues.get(model)
        if not waiting:
            engine = self._choose(model, prefix, tried)
            if engine is not None:
                return self._take(engine)
            waiting = self._queues.setdefault(model, deque())
        if len(waiting) >= self.routing.max_queued:
            raise QueueFull
        entry = _Waiting(model, prefix, tried, self._loop.create_future())
        waiting.append(entry)
        self._metrics.queued.set(self.queued)
        began = self._loop.time()
        try:
            async with asyncio.timeout(self.routing.queue_seconds):
                return await entry.turn
        except BaseException as error:
            # Its turn may have come in the same moment: the room is the next one's.
            if entry.turn.done() and not entry.turn.cancelled() and not entry.turn.exception():
                self.release(entry.turn.result(), failed=None)
            if isinstance(error, TimeoutError):
                raise QueueFull from None
            raise
        finally:
            if entry in waiting:
                waiting.remove(entry)
            # Others may have begun another line meanwhile: that one is theirs.
            if not waiting and self._queues.get(model) is waiting:
                del self._queues[model]
            self._metrics.queued.set(self.queued)
            self._metrics.queue_duration.observe(self._loop.time() - began)

    def spare(self, model: str, tried: Collection[Engine]) -> Engine | None:
        """An engine for a hedge, with room that nobody waits for and that is now taken: `release`
        it. None when there is none; never waits."""
        serving = [engine for engine in self.engines if engine.serves(model)]
        index = spare(
            [
                Candidate(
                    name=engine.name,
                    load=engine.active,
                    room=engine.active < engine.config.max_concurrent
                    and not any(map(engine.serves, self._queues)),
                    up=engine.up is not False,
                    allowed=engine.breaker.opened_at is None,
                    drained=engine.drained,
                    tried=engine in tried,
                )
                for engine in serving
            ]
        )
        return None if index is None else self._take(serving[index])

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
            self._next()

    def models(self, principal: Principal) -> list[dict[str, Any]]:
        """What engines that are up list, as far as the key may use it; each model once."""
        found: dict[str, dict[str, Any]] = {}
        for engine in self.engines:
            for name, entry in engine.listed.items():
                if engine.up and engine.serves(name) and principal.may_use(name):
                    found.setdefault(name, entry)
        for alias, real in self.aliases.items():
            for engine in self.engines:
                if engine.up and engine.serves(real) and principal.may_use(alias):
                    entry = engine.listed.get(real, {"object": "model"})
                    found.setdefault(alias, {**entry, "id": alias})
        return list(found.values())

    def context_of(self, model: str) -> int | None:
        """How long prompt and answer of `model` can be together, in tokens, where engines tell."""
        real = self.aliases.get(model, model)
        known = [engine.listed.get(real, {}).get("max_model_len") for engine in self.engines]
        lengths = [value for value in known if isinstance(value, int) and value > 0]
        return max(lengths, default=None)

    def _choose(self, model: str, prefix: bytes, tried: Collection[Engine]) -> Engine | None:
        """The engine whose turn it is, None when all are full; raises UpstreamFailed."""
        now = self._loop.time()
        serving = [engine for engine in self.engines if engine.serves(model)]
        if len(serving) == 1 and not tried:
            (engine,) = serving
            closed = engine.breaker.opened_at is None and not engine.drained
            if closed and engine.active < engine.config.max_concurrent:
                return engine
        candidates = [
            Candidate(
                name=engine.name,
                load=engine.active,
                room=engine.active < engine.config.max_concurrent,
                up=engine.up is not False,
                allowed=engine.breaker.allows(now),
                drained=engine.drained,
                tried=engine in tried,
            )
            for engine in serving
        ]
        choice = choose(candidates, prefix, self.routing.affinity_slack)
        if choice.hopeless:
            raise self._hopeless(serving)
        return None if choice.index is None else serving[choice.index]

    def _hopeless(self, serving: Sequence[Engine]) -> Refused:
        """Why none of those that serve a model can be asked."""
        if self._drains is None:
            return LedgerAway()
        if serving and all(engine.drained for engine in serving):
            return EnginesDrained()
        return UpstreamFailed("No engine can take this request now. Try again.")

    def _take(self, engine: Engine) -> Engine:
        engine.active += 1
        engine.breaker = engine.breaker.asked(self._loop.time())
        return engine

    def _next(self) -> None:
        """Give room that has become free to those who wait for it, first come first served."""
        for model, waiting in tuple(self._queues.items()):
            while waiting:
                entry = waiting[0]
                if not entry.turn.done():
                    try:
                        engine = self._choose(model, entry.prefix, entry.tried)
                    except Refused as error:
                        entry.turn.set_exception(error)
                    else:
                        if engine is None:
                            break
                        entry.turn.set_result(self._take(engine))
                waiting.popleft()

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
        was = engine.up
        try:
            body = await self._transport.get(
                engine.target, "/v1/models", self._health_seconds, MAX_LISTING_BYTES
            )
            engine.listed = read_listing(body)
            engine.up = True
        except UpstreamError as error:
            engine.up = False
            why = type(error.__cause__ or error).__name__
            engine.failed(f"{error.reason or 'failed'} ({why}) when last looked at")
            if was is not False:
                logger.warning("upstream down", extra={"upstream": engine.name, "why": why})
        if engine.up and not was:
            logger.info("upstream up", extra={"upstream": engine.name})
            if was is False:
                # It was away and is back: it need not prove itself once more.
                engine.breaker = engine.breaker.succeeded()
        if engine.up is not was:
            engine.changed()
        self._metrics.upstream_up.labels(engine.name).set(engine.up)


def read_listing(body: bytes) -> dict[str, dict[str, Any]]:
    """The models in an answer of `/v1/models`, by name; raises UpstreamFailed when it is none."""
    try:
        value = orjson.loads(body)
    except orjson.JSONDecodeError:
        raise UpstreamFailed(reason="not_json") from None
    data = value.get("data") if isinstance(value, dict) else None
    if not isinstance(data, list):
        raise UpstreamFailed(reason="not_json")
    return {
        entry["id"]: {key: entry[key] for key in SHOWN if isinstance(entry.get(key), PLAIN)}
        for entry in data
        if isinstance(entry, dict) and isinstance(entry.get("id"), str)
    }
