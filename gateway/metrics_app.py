"""`/metrics` on the private port, where TLS has already asked for our certificate."""

from gateway.exchange import Exchange
from gateway.metrics import CONTENT_TYPE, GatewayMetrics


class MetricsApp:
    """One path."""

    def __init__(self, metrics: GatewayMetrics) -> None:
        self._metrics = metrics

    async def __call__(self, exchange: Exchange) -> None:
        """Answer one request."""
        if exchange.path == "/metrics" and exchange.method == "GET":
            kind = (b"content-type", CONTENT_TYPE.encode())
            await exchange.send_whole(200, self._metrics.text(), (kind,))
        else:
            await exchange.send_whole(404, b"not found\n", ((b"content-type", b"text/plain"),))
