"""Is the federation well? A pure judgement of what its nodes said about themselves.

Invariant: missing data is never a pass. A node nobody looked at, a certificate nobody could read, a
unit systemd does not know: each is a finding. Thresholds are those of the alert rules
(`deploys/templates/alerts.yml`), so that `fedctl status` and an alert agree.

Used by `fedctl status` and `doctor`, after `up`, and after an undone change.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import StrEnum

from inventory.model import Federation, Node, Platform
from inventory.services import expected
from runbooks.observe import Observation, UnitState

CERTIFICATE_WARNING = timedelta(days=10)
DISK_WARNING, DISK_CRITICAL = 0.10, 0.03
MEMORY_WARNING = 0.05
CLOCK_WARNING = timedelta(seconds=5)
RESTARTS_WARNING = 3


class Severity(StrEnum):
    """How bad a finding is."""

    CRITICAL = "critical"
    WARNING = "warning"


@dataclass(frozen=True)
class Finding:
    """One thing that is not as it should be, and what to do about it."""

    severity: Severity
    node: str
    subject: str
    reason: str
    advice: str = ""

    def __str__(self) -> str:
        return f"{self.node}: {self.subject} {self.reason}"


@dataclass(frozen=True)
class Health:
    """The judgement: every finding, worst first. `nodes` are those that were to be looked at."""

    nodes: tuple[str, ...]
    findings: tuple[Finding, ...]

    @property
    def healthy(self) -> bool:
        """Nothing critical. Warnings are work for today, not a reason to undo a change."""
        return not any(finding.severity is Severity.CRITICAL for finding in self.findings)

    @property
    def reason(self) -> str:
        """One line for a log or a summary."""
        if not self.findings:
            return f"all {len(self.nodes)} nodes are well"
        first = str(self.findings[0])
        return first if len(self.findings) == 1 else f"{first} (and {len(self.findings) - 1} more)"

    def of(self, node: str) -> tuple[Finding, ...]:
        """The findings about one node."""
        return tuple(finding for finding in self.findings if finding.node == node)


def evaluate(
    federation: Federation,
    observations: Mapping[str, Observation],
    now: datetime,
    nodes: Sequence[Node] | None = None,
) -> Health:
    """Judge `nodes` (default: all) by what each said at about `now` (UTC, the operator's clock)."""
    chosen = tuple(federation.nodes if nodes is None else nodes)
    findings = []
    for node in chosen:
        found = observations.get(node.name, Observation(node.name, problem="was not looked at"))
        findings += list(_node(federation, node, found, now))
    findings += list(_releases(chosen, observations))
    findings.sort(key=lambda finding: finding.severity is Severity.WARNING)
    return Health(tuple(node.name for node in chosen), tuple(findings))


def _node(
    federation: Federation, node: Node, seen: Observation, now: datetime
) -> Iterator[Finding]:
    if seen.problem:
        advice = seen.advice or "is it on, and on the network?"
        yield _critical(node, "machine", seen.problem, advice)
        return
    if node.platform is not Platform.DEBIAN:
        return
    yield from _units(federation, node, seen)
    yield from _certificate(node, seen, now)
    yield from _machine(node, seen, now)
    if seen.release is None:
        yield _critical(node, "release", "is not installed", f"fedctl apply --limit {node.name}")


def _units(federation: Federation, node: Node, seen: Observation) -> Iterator[Finding]:
    must = expected(federation, node)
    for name in must:
        unit = seen.unit(name)
        if unit is None or unit.load == "not-found":
            advice = f"fedctl apply --limit {node.name}"
            yield _critical(node, name, "is not installed", advice)
        elif not _runs(unit):
            yield _critical(node, name, f"is {unit.active} ({unit.sub})", _logs(node, name))
        elif unit.restarts >= RESTARTS_WARNING:
            reason = f"was restarted by systemd {unit.restarts} times since its last start"
            yield _warning(node, name, reason, _logs(node, name))
    for unit in seen.units:
        if unit.active == "failed" and unit.name not in must:
            yield _warning(node, unit.name, "failed", _logs(node, unit.name))


def _runs(unit: UnitState) -> bool:
    # A oneshot that stays active after its work (nftables) has the sub-state "exited".
    return unit.active in ("active", "reloading")


def _certificate(node: Node, seen: Observation, now: datetime) -> Iterator[Finding]:
    advice = f"fedctl certs renew {node.name}"
    if seen.certificate_not_after is None:
        yield _critical(node, "certificate", "is missing or unreadable", advice)
        return
    left = seen.certificate_not_after - now
    if left <= timedelta(0):
        yield _critical(node, "certificate", "has expired", advice)
    elif left < CERTIFICATE_WARNING:
        yield _warning(node, "certificate", f"ends in {_days(left)}", advice)


def _machine(node: Node, seen: Observation, now: datetime) -> Iterator[Finding]:
    if not seen.disks:
        yield _critical(node, "disks", "could not be measured")
    for path, disk in seen.disks:
        if disk.free < DISK_CRITICAL:
            yield _critical(node, path, f"is full ({disk.free:.0%} free)", "make room")
        elif disk.free < DISK_WARNING:
            yield _warning(node, path, f"is filling up ({disk.free:.0%} free)", "make room")
    total, available = seen.memory_total_kib, seen.memory_available_kib
    if total and available is not None and available / total < MEMORY_WARNING:
        yield _warning(node, "memory", f"is short ({available / total:.0%} available)")
    if seen.clock is None:
        yield _critical(node, "clock", "could not be read")
    elif abs(seen.clock - now) > CLOCK_WARNING:
        off = (seen.clock - now).total_seconds()
        yield _warning(node, "clock", f"is off by {off:+.0f} s", "is chrony in step?")
    if seen.reboot_required:
        yield _warning(node, "machine", "wants a reboot after an upgrade", "reboot when it suits")


def _releases(nodes: Sequence[Node], seen: Mapping[str, Observation]) -> Iterator[Finding]:
    """Nodes that run another release than most do."""
    held = {
        node: release
        for node in nodes
        if node.name in seen and (release := seen[node.name].release) is not None
    }
    versions = list(held.values())
    if len(set(versions)) < 2:
        return
    usual = max(sorted(set(versions)), key=versions.count)
    for node, version in held.items():
        if version != usual:
            reason = f"is {version}, most nodes have {usual}"
            yield _warning(node, "release", reason, "fedctl apply")


def _critical(node: Node, subject: str, reason: str, advice: str = "") -> Finding:
    return Finding(Severity.CRITICAL, node.name, subject, reason, advice)


def _warning(node: Node, subject: str, reason: str, advice: str = "") -> Finding:
    return Finding(Severity.WARNING, node.name, subject, reason, advice)


def _logs(node: Node, unit: str) -> str:
    return f"fedctl logs {unit} --on {node.name}"


def _days(left: timedelta) -> str:
    return f"{left.days} days" if left.days > 1 else f"{left.total_seconds() / 3600:.0f} hours"
