"""The node exporter's role against a simulated node, and its command line against systemd."""

import shutil
import subprocess
from pathlib import Path

import pytest

from deploys.roles.node_exporter import COLLECTORS, UNIT, node_exporter
from tests.ops.contexts import context
from tests.ops.harness import SimulatedNode, apply, plan
from tests.ops.played import with_users


@pytest.fixture
def node() -> SimulatedNode:
    return with_users(SimulatedNode())


def test_a_bare_node_gets_it_and_then_nothing(tmp_path: Path, node: SimulatedNode) -> None:
    where = context(tmp_path)
    assert plan(node_exporter, where, node)
    assert apply(node_exporter, where, node) == [
        "create /etc/federation/web/",
        "create /etc/federation/web/federation-node-exporter.yml",
        f"create /etc/systemd/system/{UNIT}",
        "create /etc/systemd/system/prometheus-node-exporter.service",
        "install prometheus-node-exporter",
        "create /etc/sysusers.d/federation-node-exporter.conf",
        "create user fednode",
        "create /var/lib/federation/textfile/",
        f"enable {UNIT}",
        f"start {UNIT}",
    ]
    assert apply(node_exporter, where, node) == []
    assert plan(node_exporter, where, node) == {}


def test_only_a_certificate_of_ours_gets_an_answer(tmp_path: Path, node: SimulatedNode) -> None:
    apply(node_exporter, context(tmp_path), node)
    web = node.text("/etc/federation/web/federation-node-exporter.yml")
    assert "client_auth_type: RequireAndVerifyClientCert" in web
    assert "min_version: TLS13" in web


def test_it_listens_on_the_nodes_own_address(tmp_path: Path, node: SimulatedNode) -> None:
    where = context(tmp_path)
    apply(node_exporter, where, node)
    unit = node.text(f"/etc/systemd/system/{UNIT}")
    port = where.federation.ports.node_exporter
    assert f"--web.listen-address={where.node.address}:{port}" in unit


@pytest.mark.programs
def test_the_exporter_knows_every_collector() -> None:
    program = "prometheus-node-exporter"
    assert shutil.which(program), "run python -m tests.support.requirements"
    known = subprocess.run([program, "--help"], capture_output=True, text=True, check=False)
    for name in COLLECTORS:
        assert f"--collector.{name} " in known.stdout + known.stderr, name
