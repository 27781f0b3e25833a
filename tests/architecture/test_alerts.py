"""Every metric of ours that a rule uses is exported: an alert on a misspelt name never fires."""

import re
from datetime import UTC, datetime
from pathlib import Path

import yaml  # type: ignore[import-untyped]

from daemons.backup.decide import Backup, Figures, Info, exposition
from daemons.exporter.decide import Snapshot, UnitState, metrics
from daemons.guardian.decide import Kind
from daemons.guardian.metrics import GuardianMetrics
from daemons.key_decay import shell as key_decay
from daemons.restore_test import decide as tests
from daemons.sequencer.metrics import SequencerMetrics
from daemons.witness.metrics import WitnessMetrics
from gateway.metrics import GatewayMetrics

DISK = {"disk_size_bytes": 1, "disk_free_bytes": 1}
TEMPLATES = Path(__file__).parents[2] / "deploys" / "templates"
METRIC = re.compile(r"\b(gateway_[a-z_]+)")


def expressions() -> str:
    """Every rule's expression, in one text."""
    found = []
    for name in ("alerts.yml", "recording.yml"):
        for group in yaml.safe_load((TEMPLATES / name).read_text())["groups"]:
            found += [rule["expr"] for rule in group["rules"]]
    return "\n".join(found)


def jobs() -> str:
    """What jobs leave for node_exporter."""
    moment = datetime(2026, 1, 1, tzinfo=UTC)
    backup = Backup("x", "full", moment, moment, 1, 1, "0/1", "0/2", "0" * 24, error=False)
    info = Info((backup,), "0" * 24, "ok")
    figures = Figures(1, info, 1.0, 1.0, job_good=True, checksum_errors=0, **DISK)
    return (
        exposition(figures)
        + tests.exposition(tests.Measured(1, 1.0), 1.0)
        + key_decay.exposition(key_decay.Result())
    )


def test_every_gateway_metric_in_a_rule_is_exported() -> None:
    text = GatewayMetrics(["engine"]).text().decode()
    exported = set(re.findall(r"^(gateway_[a-z_]+)", text, re.MULTILINE))
    used = set(METRIC.findall(expressions()))
    assert used
    assert used <= exported


def test_every_federation_metric_in_a_rule_is_exported() -> None:
    snapshot = Snapshot("1.0.0", 1.0, (UnitState("a.service", True, 1.0, 1),), ())
    exported = {sample.name for metric in metrics(snapshot) for sample in metric.samples}
    exported |= set(re.findall(r"^(federation_[a-z_]+)", jobs(), re.MULTILINE))
    used = set(re.findall(r"\b(federation_[a-z_]+)", expressions()))
    assert used
    assert used <= exported


def test_every_sequencer_metric_in_a_rule_is_exported() -> None:
    text = SequencerMetrics(["anode"]).text().decode()
    exported = set(re.findall(r"^(sequencer_[a-z_]+)", text, re.MULTILINE))
    used = set(re.findall(r"\b(sequencer_[a-z_]+)", expressions()))
    assert used
    assert used <= exported


def test_every_witness_metric_in_a_rule_is_exported() -> None:
    exported = set(re.findall(r"^(witness_[a-z_]+)", WitnessMetrics().text().decode(), re.M))
    used = set(re.findall(r"(?<![a-z_])(witness_[a-z_]+)", expressions()))
    assert used
    assert used <= exported


def test_every_guardian_metric_in_a_rule_is_exported() -> None:
    exported = set(re.findall(r"^(guardian_[a-z_]+)", GuardianMetrics().text().decode(), re.M))
    used = set(re.findall(r"(?<![a-z_])(guardian_[a-z_]+)", expressions()))
    assert used
    assert used <= exported
    results = set(re.findall(r'result=~?"([a-z_|]+)"', expressions()))
    assert {word for each in results for word in each.split("|")} >= {Kind.NOT_ALLOWED.value}


def test_labels_a_rule_selects_by_exist() -> None:
    text = GatewayMetrics(["engine"]).text().decode()
    assert 'gateway_requests_total{route="health",status="502"} 0.0' in text
    assert re.search(r'gateway_request_duration_seconds_bucket\{le="10\.0",route=', text)


def test_recorded_series_are_recorded() -> None:
    rules = yaml.safe_load((TEMPLATES / "recording.yml").read_text())["groups"]
    recorded = {rule["record"] for group in rules for rule in group["rules"]}
    used = set(re.findall(r"\b([a-z]+:[a-z_0-9:]+)", expressions()))
    assert used <= recorded


def test_every_alert_is_documented() -> None:
    page = (TEMPLATES.parents[1] / "docs" / "reference" / "monitoring.md").read_text()
    groups = yaml.safe_load((TEMPLATES / "alerts.yml").read_text())["groups"]
    for alert in (rule["alert"] for group in groups for rule in group["rules"]):
        assert re.search(rf"^\|.*\b{alert}\b.*\|", page, re.MULTILINE), alert
