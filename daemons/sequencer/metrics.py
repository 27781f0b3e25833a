"""What the sequencer tells Prometheus. Every label set exists from the start."""

from collections.abc import Iterable

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, ProcessCollector
from prometheus_client.exposition import generate_latest

PREFIX = "sequencer"
# What can become of a head offered to a witness; see witnesses.Outcome.
OUTCOMES = ("cosigned", "failed", "unauthorized", "refused", "ahead", "rolled_back", "forged")


class SequencerMetrics:
    """One registry; the attributes are set where the things happen."""

    def __init__(self, witnesses: Iterable[str]) -> None:
        self.registry = CollectorRegistry()
        ProcessCollector(namespace=PREFIX, registry=self.registry)
        self.active = self._gauge("active", "1 while this one numbers events.")
        self.broken = self._gauge("broken", "1 while the stored log contradicts itself.")
        self.size = self._gauge("log_size", "Events in the log.")
        self.signed_size = self._gauge("signed_size", "Events under the newest signed head.")
        self.signed_time = self._gauge("signed_time_seconds", "When it was signed, Unix time.")
        self.waiting = self._gauge("inbox_events", "Events that wait to be numbered, to 100,000.")
        self.oldest = self._gauge("inbox_oldest_seconds", "Age of the oldest waiting event.")
        self.sequenced = self._counter("events", "Events numbered by this process.")
        self.dropped = self._counter("dropped", "Repeated events dropped from the inbox.")
        self.conflicts = self._counter("conflicts", "Events set aside: the log has another one.")
        self.errors = self._counter("errors", "Steps that failed and were begun again.")
        self.superseded = self._counter("superseded", "Times another sequencer was at work.")
        self.batch = Histogram(
            f"{PREFIX}_batch_seconds",
            "Time of one batch's transaction.",
            buckets=(0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 10),
            registry=self.registry,
        )
        self.offered = Counter(
            f"{PREFIX}_witness_answers",
            "Answers of witnesses to offered heads.",
            ["witness", "outcome"],
            registry=self.registry,
        )
        self.witnessed = Gauge(
            f"{PREFIX}_witnessed_size",
            "Largest size each witness has cosigned.",
            ["witness"],
            registry=self.registry,
        )
        self.trouble = Gauge(
            f"{PREFIX}_witness_trouble",
            "1 while a witness refuses our heads, is ahead of them, or went back.",
            ["witness"],
            registry=self.registry,
        )
        for name in witnesses:
            self.witnessed.labels(name)
            self.trouble.labels(name)
            for outcome in OUTCOMES:
                self.offered.labels(name, outcome)

    def text(self) -> bytes:
        """The metrics as Prometheus reads them."""
        return generate_latest(self.registry)

    def _gauge(self, name: str, text: str) -> Gauge:
        return Gauge(f"{PREFIX}_{name}", text, registry=self.registry)

    def _counter(self, name: str, text: str) -> Counter:
        return Counter(f"{PREFIX}_{name}", text, registry=self.registry)
