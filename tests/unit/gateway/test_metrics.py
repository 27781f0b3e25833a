"""Tallies are what the client library would have made of the same numbers."""

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, generate_latest

from gateway.metrics import GatewayMetrics
from gateway.metrics.tallies import Spreads, Tallies

BOUNDS = (0.1, 0.25, 1)
SEEN = (0.05, 0.1, 0.10001, 0.25, 1, 1.5, 700.0)


def shown(registry: CollectorRegistry) -> list[str]:
    lines = generate_latest(registry).decode().splitlines()
    # The library also tells when each series was made, in series of their own.
    return [line for line in lines if "_created" not in line]


def test_counters_gauges_and_histograms_are_exposed_as_the_librarys_own() -> None:
    ours, theirs = CollectorRegistry(), CollectorRegistry()
    hits = Tallies("hits", "Hits.", ("route", "status"), ours)
    same_hits = Counter("hits", "Hits.", ("route", "status"), registry=theirs)
    now = Tallies("now", "Now.", ("route",), ours, gauge=True)
    same_now = Gauge("now", "Now.", ("route",), registry=theirs)
    took = Spreads("took", "Took.", ("route",), BOUNDS, ours)
    same_took = Histogram("took", "Took.", ("route",), buckets=BOUNDS, registry=theirs)
    for route in ("a", "b"):
        hits.labels(route, "200").inc()
        hits.labels(route, "200").inc(3)
        same_hits.labels(route, "200").inc(4)
        now.labels(route).inc()
        now.labels(route).inc()
        now.labels(route).dec()
        same_now.labels(route).set(1)
        same_took.labels(route)
        took.labels(route)
    for seconds in SEEN:
        took.labels("a").observe(seconds)
        same_took.labels("a").observe(seconds)
    assert shown(ours) == shown(theirs)


def test_a_family_without_labels_is_there_from_the_start() -> None:
    registry = CollectorRegistry()
    Spreads("took", "Took.", (), BOUNDS, registry).labels()
    Tallies("hits", "Hits.", (), registry).labels()
    assert registry.get_sample_value("took_bucket", {"le": "+Inf"}) == 0
    assert registry.get_sample_value("hits_total") == 0


def test_a_status_that_nobody_foresaw_is_counted_too() -> None:
    metrics = GatewayMetrics(["engine"])
    metrics.routes["other"].over(418, 0.2)
    metrics.routes["other"].over(418, 0.2)
    labels = {"route": "other", "status": "418"}
    assert metrics.registry.get_sample_value("gateway_requests_total", labels) == 2
