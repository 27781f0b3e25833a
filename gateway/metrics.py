"""What Prometheus sees of the gateway. Every label set exists from the start, so that the first
error is a step from 0 and not the birth of a series (which has no rate).
"""

from collections.abc import Iterable

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, generate_latest
from prometheus_client.exposition import CONTENT_TYPE_LATEST

from gateway import routes
from trust.strength import Misuse

ROUTES = (*(route.name for route in routes.ROUTES.values()), "models", "keys", "health", "other")
STATUSES = (
    200,
    400,
    401,
    403,
    404,
    405,
    408,
    409,
    413,
    415,
    422,
    429,
    431,
    499,
    500,
    502,
    503,
    504,
)
AUTH_FAILURES = ("missing", "malformed", "unknown", "wrong_secret", "expired", "revoked")
SOURCES = ("loopback", "private", "public")
UPSTREAM_REASONS = (
    "busy",
    "connect",
    "failed",
    "no_done",
    "not_json",
    "refused",
    "stream_error",
    "timeout",
    "too_large",
)
COMPONENTS = ("ledger", "listener", "upstreams", "spool")
LIMITS = ("requests_minute", "tokens_minute", "concurrent", "tokens_day", "tokens_month")
# The codes of what a request is told that no engine was asked for.
NOT_ROUTED = ("engines_busy", "engines_drained", "ledger_unavailable", "upstream_failed")
TURNED_AWAY = ("connections", "handshakes", "tls")
SPAN_DROPS = ("queue_full", "not_taken")
OUTCOMES = ("answered", "client_gone", "upstream_failed", "timed_out", "refused")
SECONDS = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60, 120, 300, 600)
FAST_SECONDS = (0.0001, 0.00025, 0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.1, 0.5, 1, 5)
COMMIT_SECONDS = (0.0001, 0.00025, 0.0005, 0.001, 0.0025, 0.005, 0.01, 0.05, 0.25, 1, 5)
CONTENT_TYPE = CONTENT_TYPE_LATEST


class GatewayMetrics:
    """All series of one gateway process, in a registry of its own."""

    def __init__(self, upstreams: Iterable[str]) -> None:
        self.registry = registry = CollectorRegistry()
        self.requests = Counter(
            "gateway_requests",
            "Requests by route and status (499: the client left first).",
            ("route", "status"),
            registry=registry,
        )
        self.duration = Histogram(
            "gateway_request_duration_seconds",
            "From the request's head to the answer's last byte.",
            ("route",),
            buckets=SECONDS,
            registry=registry,
        )
        self.first_token = Histogram(
            "gateway_time_to_first_token_seconds",
            "From the request's head to a stream's first event.",
            buckets=SECONDS,
            registry=registry,
        )
        self.tokens = Counter(
            "gateway_tokens",
            "Tokens as engines counted them.",
            ("upstream", "kind"),
            registry=registry,
        )
        self.outcomes = Counter(
            "gateway_outcomes",
            "How relayed requests ended, as the audit has it.",
            ("outcome",),
            registry=registry,
        )
        self.upstream_errors = Counter(
            "gateway_upstream_errors",
            "What engines did wrong.",
            ("upstream", "reason"),
            registry=registry,
        )
        self.upstream_up = Gauge(
            "gateway_upstream_up",
            "Whether the engine answered when last asked.",
            ("upstream",),
            registry=registry,
        )
        self.in_flight = Gauge(
            "gateway_requests_in_flight", "Requests being served.", ("route",), registry=registry
        )
        self.auth_failures = Counter(
            "gateway_auth_failures",
            "Keys turned down, by reason and where they came from.",
            ("reason", "source"),
            registry=registry,
        )
        self._source_backoffs = Counter(
            "gateway_source_backoffs",
            "Keys turned down whose source had to wait already.",
            ("source",),
            registry=registry,
        )
        self.sources = Gauge(
            "gateway_failing_sources",
            "Addresses from which keys were turned down lately.",
            registry=registry,
        )
        self._misuse = Counter(
            "gateway_key_misuse",
            "What working keys tried that they may not.",
            ("kind",),
            registry=registry,
        )
        self.audit_failures = Counter(
            "gateway_audit_failures",
            "Records the spool did not take.",
            ("step",),
            registry=registry,
        )
        self.audit_deferred = Gauge(
            "gateway_audit_deferred",
            "Outcomes that wait in memory for the disk.",
            registry=registry,
        )
        self.limited = Counter(
            "gateway_limited", "Requests refused by a limit.", ("limit",), registry=registry
        )
        self.limits_away = Counter(
            "gateway_limits_away",
            "Requests refused because nobody could be asked about their limits.",
            registry=registry,
        )
        self.limits_lease = Gauge(
            "gateway_limits_lease_seconds",
            "How long shares of limits may be used without another sign of life.",
            registry=registry,
        )
        self.keyring_keys = Gauge("gateway_keyring_keys", "Keys held in memory.", registry=registry)
        self.keyring_age = Gauge(
            "gateway_keyring_age_seconds",
            "How long ago the list of changed keys was read (1e9: never).",
            registry=registry,
        )
        self.spool_unshipped = Gauge(
            "gateway_spool_unshipped_records",
            "Records that are not in the ledger yet.",
            registry=registry,
        )
        self.spool_age = Gauge(
            "gateway_spool_age_seconds", "Age of the oldest of them.", registry=registry
        )
        self.spool_bytes = Gauge(
            "gateway_spool_bytes", "Disk the spool has allocated.", registry=registry
        )
        self.spool_bound = Gauge(
            "gateway_spool_max_bytes",
            "The most it may allocate; beyond it, requests are refused.",
            registry=registry,
        )
        self.spool_takes_requests = Gauge(
            "gateway_spool_takes_requests",
            "Whether there is room for one more request and its end.",
            registry=registry,
        )
        self.spool_lost = Gauge(
            "gateway_spool_lost_requests",
            "Requests whose gateway died before their end, so far.",
            registry=registry,
        )
        self.spool_damaged = Gauge(
            "gateway_spool_damaged",
            "Places in the spool that were found damaged, so far.",
            registry=registry,
        )
        self.spool_set_aside = Gauge(
            "gateway_spool_set_aside_records",
            "Records the ledger refused, kept in files.",
            registry=registry,
        )
        self.spool_shipper_starts = Gauge(
            "gateway_spool_shipper_starts",
            "How often the shipper was started in this run.",
            registry=registry,
        )
        self.spool_commits = Histogram(
            "gateway_spool_commit_seconds",
            "One commit of the spool: write and sync.",
            buckets=COMMIT_SECONDS,
            registry=registry,
        )
        self.spool_records = Counter(
            "gateway_spool_records", "Records made durable.", registry=registry
        )
        self.component_up = Gauge(
            "gateway_component_up",
            "Whether what the gateway needs is there.",
            ("component",),
            registry=registry,
        )
        self.overhead = Histogram(
            "gateway_overhead_seconds",
            "What the gateway itself took of a relayed request: all but waiting for the engine.",
            buckets=FAST_SECONDS,
            registry=registry,
        )
        self.queued = Gauge(
            "gateway_queued_requests",
            "Requests that wait for room in an engine.",
            registry=registry,
        )
        self.queue_duration = Histogram(
            "gateway_queue_duration_seconds",
            "How long those waited that had to.",
            buckets=SECONDS,
            registry=registry,
        )
        self.upstream_retries = Counter(
            "gateway_upstream_retries",
            "Requests tried again elsewhere after this engine failed.",
            ("upstream",),
            registry=registry,
        )
        self.upstream_breaker_open = Gauge(
            "gateway_upstream_breaker_open",
            "1 while the engine's circuit breaker is not closed.",
            ("upstream",),
            registry=registry,
        )
        not_routed = Counter(
            "gateway_not_routed",
            "Requests that no engine was asked for: all full, drained, failing, or not known.",
            ("reason",),
            registry=registry,
        )
        self.not_routed = {reason: not_routed.labels(reason) for reason in NOT_ROUTED}
        self.upstream_drained = Gauge(
            "gateway_upstream_drained",
            "1 while the engine gets no new requests because an operator said so.",
            ("upstream",),
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
        self.tasks = Gauge(
            "gateway_event_loop_tasks", "Tasks in the event loop.", registry=registry
        )
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
        self._initialise()
        self.know(upstreams)

    def know(self, upstreams: Iterable[str]) -> None:
        """Begin all series of these upstreams."""
        for upstream in upstreams:
            self.upstream_up.labels(upstream)
            for kind in ("prompt", "completion"):
                self.token_counts[upstream, kind] = self.tokens.labels(upstream, kind)
            for reason in UPSTREAM_REASONS:
                self.upstream_errors.labels(upstream, reason)
            self.upstream_drained.labels(upstream)
            self.retries[upstream] = self.upstream_retries.labels(upstream)
            self.breaker_open[upstream] = self.upstream_breaker_open.labels(upstream)

    def turned_away(self, reason: str) -> None:
        """Count a connection that was not taken."""
        self._turned_away[reason].inc()

    def request(self, route: str, status: int, seconds: float) -> None:
        """Count a request that is over."""
        child = self._requests.get((route, status))
        if child is None:
            child = self._requests[route, status] = self.requests.labels(route, str(status))
        child.inc()
        self._durations[route].observe(seconds)

    def _initialise(self) -> None:
        # Looking up labels costs more than counting: the children are kept.
        self._requests: dict[tuple[str, int], Counter] = {}
        self._durations = {route: self.duration.labels(route) for route in ROUTES}
        self.in_flight_by_route = {route: self.in_flight.labels(route) for route in ROUTES}
        self.token_counts: dict[tuple[str, str], Counter] = {}
        self.retries: dict[str, Counter] = {}
        self.breaker_open: dict[str, Gauge] = {}
        for route in ROUTES:
            for status in STATUSES:
                self.requests.labels(route, str(status))
        for failure in AUTH_FAILURES:
            for source in SOURCES:
                self.auth_failures.labels(failure, source)
        self.source_backoffs = {name: self._source_backoffs.labels(name) for name in SOURCES}
        self.misuse = {kind: self._misuse.labels(kind.name.lower()) for kind in Misuse}
        for outcome in OUTCOMES:
            self.outcomes.labels(outcome)
        for step in ("run", "intent", "outcome"):
            self.audit_failures.labels(step)
        for limit in LIMITS:
            self.limited.labels(limit)
        for component in COMPONENTS:
            self.component_up.labels(component)

    def spool_committed(self, seconds: float, records: int) -> None:
        """Count a commit."""
        self.spool_commits.observe(seconds)
        self.spool_records.inc(records)

    def text(self) -> bytes:
        """The exposition, in Prometheus's text format."""
        return generate_latest(self.registry)
