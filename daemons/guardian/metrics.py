"""What the guardian tells Prometheus. No label names a tenant or a key."""

from prometheus_client import CollectorRegistry, Counter, Gauge, generate_latest

from daemons.guardian.decide import Kind


class GuardianMetrics:
    """Its own registry, so that two guardians in one process do not mix."""

    def __init__(self) -> None:
        self.registry = CollectorRegistry()
        self._requests = Counter(
            "guardian_requests", "Requests, by result.", ("result",), registry=self.registry
        )
        for kind in Kind:
            self._requests.labels(kind.value)
        self._last = Gauge(
            "guardian_last_release_seconds",
            "When it last gave out a half, in Unix time.",
            registry=self.registry,
        )
        self._ready = Gauge(
            "guardian_ready",
            "1 when it knows from the ledger what it gave out in the last hour.",
            registry=self.registry,
        )

        self._erased = Counter(
            "guardian_prompts_erased",
            "Stored prompts erased because their days were over.",
            registry=self.registry,
        )
        self._upkeep = Gauge(
            "guardian_upkeep_last_success_seconds",
            "When it last went through what is due, in Unix time.",
            registry=self.registry,
        )

        self._warrants = Gauge(
            "guardian_warrants",
            "Rotations whose content it is to seal anew.",
            registry=self.registry,
        )
        self._resealed = Counter(
            "guardian_resealed", "Envelopes it sealed anew.", registry=self.registry
        )
        self._rewrap_failures = Counter(
            "guardian_rewrap_failures",
            "Times that sealing anew stopped short, to be tried again.",
            registry=self.registry,
        )

    def warrants(self, number: int) -> None:
        """Show how many rotations it works on."""
        self._warrants.set(number)

    def resealed(self) -> None:
        """Count one envelope."""
        self._resealed.inc()

    def rewrap_failed(self) -> None:
        """Count an attempt that came to nothing."""
        self._rewrap_failures.inc()

    def kept_up(self, erased: int, seconds: float) -> None:
        """Count what one round of upkeep erased, and when it ended."""
        self._erased.inc(erased)
        self._upkeep.set(seconds)

    def judged(self, kind: Kind) -> None:
        """Count one request."""
        self._requests.labels(kind.value).inc()

    def released(self, seconds: float) -> None:
        """Show when the last release was."""
        self._last.set(seconds)

    def ready(self) -> None:
        """Show that it knows its past."""
        self._ready.set(1)

    def text(self) -> bytes:
        """Prometheus's text."""
        return generate_latest(self.registry)
