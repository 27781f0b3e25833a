"""Which engine serves which model, and which engines are there: asked every few seconds.

A model is an upstream's because the configuration says so or, where it names none, because the
engine lists it. Engines that are down stay routable for models they are configured for: the client
then hears 502 (try again), not 404 (no such model).
"""

import asyncio
import logging
from dataclasses import dataclass, field
from typing import Any

import orjson

from gateway.errors import NotFound, UpstreamError, UpstreamFailed
from gateway.metrics import GatewayMetrics
from gateway.seams import Principal
from gateway.settings import Upstream
from gateway.transport import Transport

logger = logging.getLogger("gateway.upstreams")

MAX_LISTING_BYTES = 1 << 20
# What a client may know of a model; vLLM's own entries also tell paths on its disk.
SHOWN = ("id", "object", "created", "owned_by", "max_model_len")


@dataclass
class Engine:
    """One upstream and what it last said: None in `up` before it was asked."""

    config: Upstream
    up: bool | None = None
    listed: dict[str, dict[str, Any]] = field(default_factory=dict)

    def serves(self, model: str) -> bool:
        """Whether requests for `model` may go here."""
        return model in self.config.models if self.config.models else model in self.listed

    @property
    def chat_url(self) -> str:
        """Where chat completions are asked."""
        return self.config.url.rstrip("/") + "/v1/chat/completions"

    @property
    def models_url(self) -> str:
        """Where the engine lists its models."""
        return self.config.url.rstrip("/") + "/v1/models"


class Upstreams:
    """All engines of this gateway."""

    def __init__(
        self,
        configs: tuple[Upstream, ...],
        transport: Transport,
        metrics: GatewayMetrics,
        health_seconds: float,
    ) -> None:
        self.engines = tuple(Engine(config) for config in configs)
        self._transport, self._metrics = transport, metrics
        self._health_seconds = health_seconds

    @property
    def any_up(self) -> bool:
        """Whether at least one engine answers."""
        return any(engine.up for engine in self.engines)

    def choose(self, model: str) -> Engine:
        """The engine for `model`: the first that is up, else the first that would serve it.

        Raises NotFound for a model nobody serves.
        """
        serving = [engine for engine in self.engines if engine.serves(model)]
        if not serving:
            raise NotFound(
                f"The model {model!r} does not exist.", param="model", code="model_not_found"
            )
        return next((engine for engine in serving if engine.up), serving[0])

    def models(self, principal: Principal) -> list[dict[str, Any]]:
        """What engines that are up list, as far as the key may use it; each model once."""
        found: dict[str, dict[str, Any]] = {}
        for engine in self.engines:
            for name, entry in engine.listed.items():
                if engine.up and engine.serves(name) and principal.may_use(name):
                    found.setdefault(name, entry)
        return list(found.values())

    def context_of(self, model: str) -> int | None:
        """How long prompt and answer of `model` can be together, in tokens, where engines tell."""
        known = [engine.listed.get(model, {}).get("max_model_len") for engine in self.engines]
        lengths = [value for value in known if isinstance(value, int) and value > 0]
        return max(lengths, default=None)

    async def look(self) -> None:
        """Ask every engine once, all at the same time; failures are states, not errors."""
        await asyncio.gather(*(self._look_at(engine) for engine in self.engines))
        self._metrics.component_up.labels("upstreams").set(self.any_up)

    async def _look_at(self, engine: Engine) -> None:
        was = engine.up
        try:
            body = await self._transport.get(
                engine.models_url, self._health_seconds, MAX_LISTING_BYTES
            )
            engine.listed = read_listing(body)
            engine.up = True
        except UpstreamError as error:
            engine.up = False
            if was is not False:
                why = type(error.__cause__ or error).__name__
                logger.warning("upstream down", extra={"upstream": engine.config.name, "why": why})
        if engine.up and not was:
            logger.info("upstream up", extra={"upstream": engine.config.name})
        self._metrics.upstream_up.labels(engine.config.name).set(engine.up)


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
        entry["id"]: {key: entry[key] for key in SHOWN if key in entry}
        for entry in data
        if isinstance(entry, dict) and isinstance(entry.get("id"), str)
    }
