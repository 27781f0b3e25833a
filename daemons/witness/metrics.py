"""The witness's metrics. Every label exists from the start: a counter born on its first error is
invisible to a rate."""

from prometheus_client import CollectorRegistry, Counter, Gauge
from prometheus_client.exposition import generate_latest

from daemons.witness.decide import Kind
from daemons.witness.state import Memory


class WitnessMetrics:
    """Counters of one witness, in a registry of its own."""

    def __init__(self) -> None:
        self.registry = CollectorRegistry()
        self._requests = Counter(
            "witness_requests",
            "Checkpoints shown to this witness, by what became of them.",
            ["result"],
            registry=self.registry,
        )
        for kind in Kind:
            self._requests.labels(kind.value)
        self._failures = self._counter(
            "witness_state_failures", "Checkpoints not cosigned because the state was not written."
        )
        self._callers = self._gauge(
            "witness_callers", "Callers whose signature it asks for; 0: it takes anybody's."
        )
        self._size = self._gauge("witness_log_size", "Events in the largest tree it cosigned.")
        self._generation = self._gauge("witness_generation", "States it has written.")
        self._cosigned = self._gauge(
            "witness_last_cosigned_seconds", "When it last cosigned, in Unix time."
        )
        self._evidence = self._gauge(
            "witness_evidence", "Checkpoints it keeps that show the log misbehaving."
        )

    def judged(self, kind: Kind) -> None:
        """Count one request."""
        self._requests.labels(kind.value).inc()

    def failed(self) -> None:
        """Count one state that could not be written."""
        self._failures.inc()

    def callers(self, number: int) -> None:
        """Show how many callers it knows the keys of."""
        self._callers.set(number)

    def remembered(self, memory: Memory, seconds: float | None = None) -> None:
        """Show the state; `seconds` when it was just cosigned."""
        self._size.set(memory.size)
        self._generation.set(memory.generation)
        if seconds is not None:
            self._cosigned.set(seconds)

    def evidence(self, pieces: int) -> None:
        """Show how much evidence there is."""
        self._evidence.set(pieces)

    def text(self) -> bytes:
        """Prometheus's text."""
        return generate_latest(self.registry)

    def _gauge(self, name: str, text: str) -> Gauge:
        return Gauge(name, text, registry=self.registry)

    def _counter(self, name: str, text: str) -> Counter:
        return Counter(name, text, registry=self.registry)
