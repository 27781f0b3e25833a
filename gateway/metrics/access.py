"""Series of keys and limits: who was turned down, and what the gateway knows of keys."""

from prometheus_client import CollectorRegistry, Counter, Gauge

from gateway.metrics.labels import AUTH_FAILURES, LIMITS, SOURCES
from trust.strength import Misuse


class AccessMetrics:
    """See the module."""

    def __init__(self, registry: CollectorRegistry) -> None:
        self.auth_failures = Counter(
            "gateway_auth_failures",
            "Keys turned down, by reason and where they came from.",
            ("reason", "source"),
            registry=registry,
        )
        source_backoffs = Counter(
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
        misuse = Counter(
            "gateway_key_misuse",
            "What working keys did that they may not, as far as it is found here.",
            ("kind",),
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
        self.source_backoffs = {name: source_backoffs.labels(name) for name in SOURCES}
        self.misuse = {kind: misuse.labels(kind.name.lower()) for kind in Misuse}
        for failure in AUTH_FAILURES:
            for source in SOURCES:
                self.auth_failures.labels(failure, source)
        for limit in LIMITS:
            self.limited.labels(limit)
