"""`/metrics` on the private port, where TLS has already asked for our certificate."""

from gateway.exchange import Receive, Scope, Send
from gateway.metrics import CONTENT_TYPE, GatewayMetrics


class MetricsApp:
    """An ASGI application with one path."""

    def __init__(self, metrics: GatewayMetrics) -> None:
        self._metrics = metrics

    async def __call__(self, scope: Scope, _receive: Receive, send: Send) -> None:
        """Answer one request."""
        found = scope["type"] == "http" and scope["path"] == "/metrics"
        body = self._metrics.text() if found else b"not found\n"
        headers = [
            (b"content-type", CONTENT_TYPE.encode() if found else b"text/plain"),
            (b"content-length", str(len(body)).encode()),
        ]
        status = 200 if found else 404
        await send({"type": "http.response.start", "status": status, "headers": headers})
        await send({"type": "http.response.body", "body": body})
