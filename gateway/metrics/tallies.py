"""Counters and histograms for the path of every request: plain numbers, made series when asked.

The client library's own take a lock for each step, which costs ten times the adding. Everything
here belongs to the event loop's thread, where counting and scraping both happen.
"""

from collections.abc import Iterable, Sequence
from math import inf

from prometheus_client import CollectorRegistry
from prometheus_client.core import (
    CounterMetricFamily,
    GaugeMetricFamily,
    HistogramMetricFamily,
    Metric,
)
from prometheus_client.registry import Collector


class Tally:
    """One number."""

    __slots__ = ("value",)

    def __init__(self) -> None:
        self.value = 0

    def inc(self, amount: int = 1) -> None:
        """Add."""
        self.value += amount

    def dec(self) -> None:
        """One less; for what goes both ways."""
        self.value -= 1


class Spread:
    """Observations by size: how many lie at or below each bound, and their sum."""

    __slots__ = ("_bounds", "counts", "sum")

    def __init__(self, bounds: Sequence[float]) -> None:
        self._bounds = tuple([float(bound) for bound in bounds])
        # One more than bounds: what lies above all of them.
        self.counts = [0] * (len(self._bounds) + 1)
        self.sum = 0.0

    def observe(self, value: float) -> None:
        """Note one."""
        at = 0
        for bound in self._bounds:  # most are small: found sooner than by halving
            if value <= bound:
                break
            at += 1
        self.counts[at] += 1
        self.sum += value

    def buckets(self) -> list[tuple[str, float]]:
        """As Prometheus has them: each bound with the count of all at or below it."""
        found, below = [], 0
        for bound, count in zip((*self._bounds, inf), self.counts, strict=True):
            below += count
            found.append(("+Inf" if bound == inf else repr(bound), float(below)))
        return found


class Tallies(Collector):
    """A family of numbers, one for each set of label values; each is 0 until it is counted."""

    def __init__(
        self,
        name: str,
        documentation: str,
        labels: Sequence[str],
        registry: CollectorRegistry,
        *,
        gauge: bool = False,
    ) -> None:
        self._name, self._documentation, self._labels = name, documentation, tuple(labels)
        self._kind = GaugeMetricFamily if gauge else CounterMetricFamily
        self._children: dict[tuple[str, ...], Tally] = {}
        registry.register(self)

    def labels(self, *values: str) -> Tally:
        """The number for these label values, the same one each time."""
        return self._children.setdefault(values, Tally())

    def collect(self) -> Iterable[Metric]:
        """See prometheus_client."""
        family = self._kind(self._name, self._documentation, labels=self._labels)
        for values, child in self._children.items():
            family.add_metric(values, child.value)
        return (family,)


class Spreads(Collector):
    """A family of histograms, one for each set of label values."""

    def __init__(
        self,
        name: str,
        documentation: str,
        labels: Sequence[str],
        bounds: Sequence[float],
        registry: CollectorRegistry,
    ) -> None:
        self._name, self._documentation, self._labels = name, documentation, tuple(labels)
        self._bounds = bounds
        self._children: dict[tuple[str, ...], Spread] = {}
        registry.register(self)

    def labels(self, *values: str) -> Spread:
        """The histogram for these label values, the same one each time."""
        return self._children.setdefault(values, Spread(self._bounds))

    def collect(self) -> Iterable[Metric]:
        """See prometheus_client."""
        family = HistogramMetricFamily(self._name, self._documentation, labels=self._labels)
        for values, child in self._children.items():
            family.add_metric(values, child.buckets(), child.sum)
        return (family,)
