"""The judgement of a federation's health: what is well, what is not, and that silence never is."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest

from inventory.load import HERE, load
from inventory.model import Role
from inventory.services import expected
from runbooks.health import Health, Severity, evaluate
from runbooks.observe import Disk, Observation, UnitState, unreachable

NOW = datetime(2026, 1, 1, 12, 0, tzinfo=UTC)
LAB = load(HERE / "lab.toml")
NODE = LAB.with_role(Role.GATEWAY)[0]


def well(name: str) -> Observation:
    """A node with nothing to complain about."""
    return Observation(
        node=name,
        clock=NOW,
        uptime_seconds=1000.0,
        load=0.1,
        memory_total_kib=1000,
        memory_available_kib=500,
        disks=(("/", Disk(100, 50)),),
        certificate_not_after=NOW + timedelta(days=29),
        release="1",
        units=tuple(
            UnitState(unit, "loaded", "active", "running", "enabled")
            for unit in expected(LAB, LAB.node(name))
        ),
    )


def judge(changed: Observation | None) -> Health:
    """The health of a lab where all is well but for `changed` (None: NODE said nothing)."""
    seen = {node.name: well(node.name) for node in LAB.nodes}
    if changed is None:
        del seen[NODE.name]
    else:
        seen[NODE.name] = changed
    return evaluate(LAB, seen, NOW)


def with_unit(name: str, **state: object) -> Observation:
    """NODE with one unit in another state."""
    found = well(NODE.name)
    units = tuple(
        replace(unit, **state) if unit.name == name else unit  # type: ignore[arg-type]
        for unit in found.units
    )
    return replace(found, units=units)


def test_a_federation_that_is_well_has_no_findings() -> None:
    health = judge(well(NODE.name))
    assert health.healthy
    assert health.findings == ()
    assert health.reason == f"all {len(LAB.nodes)} nodes are well"


GATEWAY = "federation-gateway.service"
CRITICAL = {
    "a node that does not answer": unreachable(NODE.name, "no route to host"),
    "a node nobody looked at": None,
    "a service that is not installed": replace(well(NODE.name), units=()),
    "a service systemd does not know": with_unit(GATEWAY, load="not-found"),
    "a service that stopped": with_unit(GATEWAY, active="inactive", sub="dead"),
    "a service that failed": with_unit(GATEWAY, active="failed", sub="failed"),
    "a service that keeps starting": with_unit(GATEWAY, active="activating", sub="auto-restart"),
    "no firewall": with_unit("nftables.service", active="inactive", sub="dead"),
    "an expired certificate": replace(well(NODE.name), certificate_not_after=NOW),
    "no certificate": replace(well(NODE.name), certificate_not_after=None),
    "a full disk": replace(well(NODE.name), disks=(("/", Disk(1000, 20)),)),
    "a disk nobody could measure": replace(well(NODE.name), disks=()),
    "no release": replace(well(NODE.name), release=None),
    "an unknown clock": replace(well(NODE.name), clock=None),
}


@pytest.mark.parametrize("case", CRITICAL)
def test_it_is_not_well_with(case: str) -> None:
    health = judge(CRITICAL[case])
    assert not health.healthy
    assert all(finding.node == NODE.name for finding in health.findings)
    assert health.of(NODE.name)[0].severity is Severity.CRITICAL
    assert NODE.name in health.reason


WARNING = {
    "a certificate with nine days left": (
        replace(well(NODE.name), certificate_not_after=NOW + timedelta(days=9)),
        "certificate ends in 9 days",
    ),
    "a certificate with hours left": (
        replace(well(NODE.name), certificate_not_after=NOW + timedelta(hours=5)),
        "certificate ends in 5 hours",
    ),
    "a disk that fills up": (
        replace(well(NODE.name), disks=(("/", Disk(1000, 80)),)),
        "/ is filling up (8% free)",
    ),
    "little memory": (
        replace(well(NODE.name), memory_available_kib=40),
        "memory is short (4% available)",
    ),
    "a clock that is off": (
        replace(well(NODE.name), clock=NOW - timedelta(seconds=90)),
        "clock is off by -90 s",
    ),
    "an old release": (
        replace(well(NODE.name), release="0"),
        "release is 0, most nodes have 1",
    ),
    "a reboot that is due": (
        replace(well(NODE.name), reboot_required=True),
        "machine wants a reboot after an upgrade",
    ),
    "a service systemd had to restart": (
        with_unit(GATEWAY, restarts=4),
        f"{GATEWAY} was restarted by systemd 4 times since its last start",
    ),
    "somebody else's failed unit": (
        replace(
            well(NODE.name),
            units=(
                *well(NODE.name).units,
                UnitState("cron.service", "loaded", "failed", "failed"),
            ),
        ),
        "cron.service failed",
    ),
}


@pytest.mark.parametrize("case", WARNING)
def test_it_warns_of(case: str) -> None:
    changed, words = WARNING[case]
    health = judge(changed)
    assert health.healthy
    assert [str(finding) for finding in health.findings] == [f"{NODE.name}: {words}"]


def test_the_worst_comes_first() -> None:
    both = replace(with_unit(GATEWAY, active="failed"), reboot_required=True, release="0")
    severities = [finding.severity for finding in judge(both).findings]
    assert severities == sorted(severities, key=[Severity.CRITICAL, Severity.WARNING].index)
    assert len(severities) == 3


def test_only_the_chosen_nodes_are_judged() -> None:
    other = next(node for node in LAB.nodes if node != NODE)
    health = evaluate(LAB, {other.name: well(other.name)}, NOW, [other])
    assert health.healthy
    assert health.nodes == (other.name,)


def test_a_mac_is_well_when_it_answers() -> None:
    site = load(HERE / "federation.toml")
    mac = next(node for node in site.nodes if node.has(Role.WORKER))
    assert evaluate(site, {mac.name: Observation(mac.name, clock=NOW)}, NOW, [mac]).healthy
    assert not evaluate(site, {}, NOW, [mac]).healthy
