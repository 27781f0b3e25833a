"""Connections from clients and to engines."""

from prometheus_client import CollectorRegistry, Counter, Gauge

from gateway.metrics.labels import TURNED_AWAY


class ConnectionMetrics:
    """What is open, and what never came to a request."""

    def __init__(self, registry: CollectorRegistry) -> None:
        self.client_connections = Gauge(
            "gateway_client_connections", "Open connections from clients.", registry=registry
        )
        self.client_handshakes = Gauge(
            "gateway_client_handshakes", "Connections in their TLS handshake.", registry=registry
        )
        turned_away = Counter(
            "gateway_connections_turned_away",
            "Connections that never came to a request: too many of them, too many in their "
            "handshake from one source, or a handshake that failed or was never finished.",
            ("reason",),
            registry=registry,
        )
        self._turned_away = {reason: turned_away.labels(reason) for reason in TURNED_AWAY}
        self.upstream_connections = Gauge(
            "gateway_upstream_connections", "Open connections to engines.", registry=registry
        )

    def turned_away(self, reason: str) -> None:
        """Count a connection that was not taken."""
        self._turned_away[reason].inc()
