"""Series of the engines: whether they are there, what they do wrong, how long their queue is."""

from collections.abc import Iterable

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram

from gateway.metrics.counts import TokenCounts
from gateway.metrics.labels import HEDGES, NOT_ROUTED, SECONDS, UPSTREAM_REASONS
from gateway.metrics.tallies import Tallies

KINDS = ("prompt", "completion")


class EngineMetrics:
    """See the module."""

    def __init__(self, registry: CollectorRegistry) -> None:
        self._tokens = Tallies(
            "gateway_tokens", "Tokens as engines counted them.", ("upstream", "kind"), registry
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
        self._hedges = Counter(
            "gateway_hedges",
            "Requests whose engine was slow: which engine's answer was taken, or why no second one "
            "was asked.",
            ("model", "result"),
            registry=registry,
        )
        self.hedges: dict[tuple[str, str], Counter] = {}
        self.tokens: dict[str, TokenCounts] = {}
        self.retries: dict[str, Counter] = {}
        self.breaker_open: dict[str, Gauge] = {}

    def know(self, upstreams: Iterable[str]) -> None:
        """Begin all series of these upstreams."""
        for upstream in upstreams:
            self.upstream_up.labels(upstream)
            prompt, completion = (self._tokens.labels(upstream, k) for k in KINDS)
            self.tokens[upstream] = TokenCounts(prompt, completion)
            for reason in UPSTREAM_REASONS:
                self.upstream_errors.labels(upstream, reason)
            self.upstream_drained.labels(upstream)
            self.retries[upstream] = self.upstream_retries.labels(upstream)
            self.breaker_open[upstream] = self.upstream_breaker_open.labels(upstream)

    def know_hedges(self, models: Iterable[str]) -> None:
        """Begin all series of these models, which are hedged."""
        for model in models:
            for result in HEDGES:
                self.hedges[model, result] = self._hedges.labels(model, result)
