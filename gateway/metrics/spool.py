"""Series of the durable record: commits, what waits for the ledger, what is left of the disk."""

from prometheus_client import CollectorRegistry, Counter, Gauge

from gateway.metrics.counts import CommitCounts
from gateway.metrics.labels import COMMIT_SECONDS, OUTCOMES, PROMPT_RESULTS
from gateway.metrics.tallies import Spreads, Tallies


class SpoolMetrics:
    """See the module."""

    def __init__(self, registry: CollectorRegistry) -> None:
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
        outcomes = Tallies(
            "gateway_outcomes",
            "How relayed requests ended, as the audit has it.",
            ("outcome",),
            registry,
        )
        self.ended = {outcome: outcomes.labels(outcome.value) for outcome in OUTCOMES}
        prompts = Tallies(
            "gateway_prompts",
            "Requests of tenants that have prompts stored: kept, or why not.",
            ("result",),
            registry,
        )
        self.prompts = {result: prompts.labels(result) for result in PROMPT_RESULTS}
        self.prompts_waiting = Gauge(
            "gateway_prompts_waiting_bytes",
            "Disk that sealed prompts take until the ledger has them.",
            registry=registry,
        )
        commits = Spreads(
            "gateway_spool_commit_seconds",
            "One commit of the spool: write and sync.",
            (),
            COMMIT_SECONDS,
            registry,
        )
        records = Tallies("gateway_spool_records", "Records made durable.", (), registry)
        self.commits = CommitCounts(commits.labels(), records.labels())
        for step in ("run", "intent", "outcome"):
            self.audit_failures.labels(step)
