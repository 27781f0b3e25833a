"""What the private port serves, where TLS has already asked for a certificate of the federation."""

import orjson

from gateway.exchange import Exchange
from gateway.metrics import CONTENT_TYPE, GatewayMetrics
from gateway.upstreams import Upstreams

PATHS = ("/metrics", "/upstreams")


class MetricsApp:
    """`/metrics` for Prometheus, and `/upstreams`, this gateway's view of its engines."""

    def __init__(self, metrics: GatewayMetrics, upstreams: Upstreams, node: str) -> None:
        self._metrics, self._upstreams, self._node = metrics, upstreams, node

    async def __call__(self, exchange: Exchange) -> None:
        """Answer one request; its connection calls it."""
        try:
            await self._answer(exchange)
        finally:
            exchange.over()

    async def _answer(self, exchange: Exchange) -> None:
        if exchange.method != "GET" or exchange.path not in PATHS:
            await exchange.send_whole(404, b"not found\n", b"content-type: text/plain\r\n")
        elif exchange.path == "/metrics":
            kind = f"content-type: {CONTENT_TYPE}\r\n".encode()
            await exchange.send_whole(200, self._metrics.text(), kind)
        else:
            report = {
                "node": self._node,
                "knows_drains": self._upstreams.knows_drains,
                "upstreams": self._upstreams.report(),
            }
            await exchange.send_whole(200, orjson.dumps(report))
