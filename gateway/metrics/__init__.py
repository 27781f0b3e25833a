"""What Prometheus sees of the gateway. Every label set exists from the start, so that the first
error is a step from 0 and not the birth of a series (which has no rate).

`labels` what labels say; `tallies` and `counts` counting on the path of every request; the rest are
the series, by what they are about, put together here.
"""

from collections.abc import Iterable

from prometheus_client import CollectorRegistry, Counter, Gauge, generate_latest
from prometheus_client.exposition import CONTENT_TYPE_LATEST

from gateway.compiled import is_compiled
from gateway.metrics.access import AccessMetrics
from gateway.metrics.connections import ConnectionMetrics
from gateway.metrics.counts import RouteCounts
from gateway.metrics.engines import EngineMetrics
from gateway.metrics.labels import COMPONENTS, FAST_SECONDS, ROUTES, SECONDS, SPAN_DROPS, STATUSES
from gateway.metrics.spool import SpoolMetrics
from gateway.metrics.tallies import Spreads, Tallies

CONTENT_TYPE = CONTENT_TYPE_LATEST


class GatewayMetrics(AccessMetrics, ConnectionMetrics, EngineMetrics, SpoolMetrics):
    """All series of one gateway process, in a registry of its own."""

    def __init__(self, upstreams: Iterable[str]) -> None:
        self.registry = registry = CollectorRegistry()
        AccessMetrics.__init__(self, registry)
        ConnectionMetrics.__init__(self, registry)
        EngineMetrics.__init__(self, registry)
        SpoolMetrics.__init__(self, registry)
        self._of_requests(registry)
        self._of_the_process(registry)
        self.know(upstreams)

    def _of_requests(self, registry: CollectorRegistry) -> None:
        requests = Tallies(
            "gateway_requests",
            "Requests by route and status (499: the client left first).",
            ("route", "status"),
            registry,
        )
        durations = Spreads(
            "gateway_request_duration_seconds",
            "From the request's head to the answer's last byte.",
            ("route",),
            SECONDS,
            registry,
        )
        in_flight = Tallies(
            "gateway_requests_in_flight", "Requests being served.", ("route",), registry, gauge=True
        )
        self.routes = {
            route: RouteCounts(route, STATUSES, requests, durations, in_flight) for route in ROUTES
        }
        first_token = Spreads(
            "gateway_time_to_first_token_seconds",
            "From the request's head to a stream's first event.",
            (),
            SECONDS,
            registry,
        )
        self.first_token = first_token.labels()
        overhead = Spreads(
            "gateway_overhead_seconds",
            "What the gateway itself took of a relayed request: all but waiting for the engine.",
            (),
            FAST_SECONDS,
            registry,
        )
        self.overhead = overhead.labels()

    def _of_the_process(self, registry: CollectorRegistry) -> None:
        self.component_up = Gauge(
            "gateway_component_up",
            "Whether what the gateway needs is there.",
            ("component",),
            registry=registry,
        )
        self.spans_exported = Counter(
            "gateway_spans_exported", "Spans the collector took.", registry=registry
        )
        dropped = Counter(
            "gateway_spans_dropped",
            "Spans nobody will see, by reason.",
            ("reason",),
            registry=registry,
        )
        self.spans_dropped = {reason: dropped.labels(reason) for reason in SPAN_DROPS}
        self.draining = Gauge(
            "gateway_draining", "1 from the signal to stop until the end.", registry=registry
        )
        Gauge(
            "gateway_compiled",
            "1 where a request's path runs compiled, 0 where it is interpreted.",
            registry=registry,
        ).set(is_compiled())
        self.tasks = Gauge(
            "gateway_event_loop_tasks", "Tasks in the event loop.", registry=registry
        )
        for component in COMPONENTS:
            self.component_up.labels(component)

    def text(self) -> bytes:
        """The exposition, in Prometheus's text format."""
        return generate_latest(self.registry)
