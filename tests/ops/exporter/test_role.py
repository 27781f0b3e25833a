"""The exporter role against a simulated node, with and without a graphics card."""

import tomllib
from pathlib import Path

import pytest

from daemons.exporter.settings import ExporterSettings
from deploys.roles.exporter import CONFIG_FILE, UNIT, exporter
from inventory.model import Role
from tests.ops.contexts import context
from tests.ops.harness import SimulatedNode, apply, plan
from tests.ops.played import with_users


@pytest.fixture
def node() -> SimulatedNode:
    return with_users(SimulatedNode())


def test_a_bare_node_gets_an_exporter_and_then_nothing(tmp_path: Path, node: SimulatedNode) -> None:
    where = context(tmp_path)
    assert apply(exporter, where, node) == [
        f"create {CONFIG_FILE}",
        f"create /etc/systemd/system/{UNIT}",
        "create /etc/sysusers.d/federation-exporter.conf",
        "create user fedexporter",
        f"enable {UNIT}",
        f"start {UNIT}",
    ]
    assert apply(exporter, where, node) == []
    assert plan(exporter, where, node) == {}


def test_the_daemon_accepts_its_settings(tmp_path: Path, node: SimulatedNode) -> None:
    where = context(tmp_path)
    apply(exporter, where, node)
    read = ExporterSettings.parse(tomllib.loads(node.text(CONFIG_FILE)))
    assert read.addresses == (where.node.address,)
    assert read.port == where.federation.ports.federation_exporter


def test_only_a_node_with_a_graphics_card_opens_its_devices(
    tmp_path: Path, node: SimulatedNode
) -> None:
    apply(exporter, context(tmp_path, role=Role.MONITORING, file="federation.toml"), node)
    assert "nvidia" not in node.text(f"/etc/systemd/system/{UNIT}")
    apply(exporter, context(tmp_path, role=Role.INFERENCE, file="federation.toml"), node)
    assert "DeviceAllow=char-nvidia rw" in node.text(f"/etc/systemd/system/{UNIT}")
