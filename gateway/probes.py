"""Active health: asking an engine for its models says whether it is there, and what it serves."""

import logging

from gateway.engine import Engine
from gateway.listing import read_listing
from gateway.metrics import GatewayMetrics
from gateway.transport import Transport
from gateway.upstream_errors import UpstreamError

logger = logging.getLogger("gateway.upstreams")

MAX_LISTING_BYTES = 1 << 20


async def probe(
    engine: Engine, transport: Transport, metrics: GatewayMetrics, seconds: float
) -> None:
    """Ask `engine` once, for `seconds` at most, and note in it what it said. A failure is a state,
    not an error."""
    was = engine.up
    try:
        body = await transport.get(engine.target, "/v1/models", seconds, MAX_LISTING_BYTES)
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
    metrics.upstream_up.labels(engine.name).set(engine.up)
