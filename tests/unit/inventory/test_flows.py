"""inventory/flows.py: who may talk to whom, as the roles say and no more."""

from ipaddress import IPv4Address

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from inventory.flows import allowed, flows, inbound, outbound
from inventory.load import HERE, load
from inventory.model import Federation, Node, Role
from inventory.sections import Tracing

LAB = load(HERE / "lab.toml")
SITE = load(HERE / "federation.toml")
STRANGER = IPv4Address("203.0.113.77")
FEDERATIONS = st.sampled_from([LAB, SITE])


def one(federation: Federation, role: Role) -> Node:
    return federation.with_role(role)[0]


def test_only_gateways_reach_the_engine_and_monitoring_reads_it() -> None:
    engine = one(LAB, Role.INFERENCE)
    for node in LAB.nodes:
        may = node.has(Role.GATEWAY) or node.has(Role.MONITORING)
        assert allowed(LAB, node.address, engine, LAB.ports.vllm) is may


def test_only_gateways_data_nodes_repositories_guardian_and_operator_reach_the_database() -> None:
    data = one(LAB, Role.DATA)
    for node in LAB.nodes:
        roles = (Role.GATEWAY, Role.DATA, Role.BACKUP, Role.OFFSITE, Role.OPERATOR)
        may = any(map(node.has, roles))
        assert allowed(LAB, node.address, data, LAB.ports.postgres) is may
    operator = LAB.network.operator_addresses[0]
    assert allowed(LAB, operator, data, LAB.ports.postgres)


def test_etcd_is_the_data_nodes_alone_but_for_its_health() -> None:
    data, ports = one(LAB, Role.DATA), LAB.ports
    operator = LAB.network.operator_addresses[0]
    for port in (ports.etcd_client, ports.etcd_peer):
        for node in LAB.nodes:
            assert allowed(LAB, node.address, data, port) is node.has(Role.DATA)
        assert not allowed(LAB, operator, data, port)
    assert allowed(LAB, operator, data, ports.etcd_metrics)
    assert allowed(LAB, operator, data, ports.patroni)


KEEPERS = (Role.BACKUP, Role.OFFSITE)


def test_a_node_backs_up_only_where_there_is_a_repository() -> None:
    data = one(LAB, Role.DATA)
    alone = LAB.model_copy(
        update={
            "nodes": tuple(
                node.model_copy(update={"roles": tuple(r for r in node.roles if r not in KEEPERS)})
                for node in LAB.nodes
            )
        }
    )
    assert not any(allowed(alone, node.address, data, LAB.ports.pgbackrest) for node in alone.nodes)


def test_ssh_is_the_operators_alone() -> None:
    operator = LAB.network.operator_addresses[0]
    for target in LAB.nodes:
        assert allowed(LAB, operator, target, target.ssh.port)
        for source in LAB.nodes:
            assert not allowed(LAB, source.address, target, target.ssh.port)


def test_monitoring_reads_metrics_of_every_node() -> None:
    watcher = one(LAB, Role.MONITORING)
    for target in LAB.nodes:
        for port in (LAB.ports.node_exporter, LAB.ports.federation_exporter):
            assert allowed(LAB, watcher.address, target, port)


def test_clients_reach_gateways_and_nothing_else() -> None:
    for target in LAB.nodes:
        worker = one(LAB, Role.WORKER)
        for _, port in LAB.ports:
            may = target.has(Role.GATEWAY) and port == LAB.ports.gateway
            assert allowed(LAB, worker.address, target, port) is may


def test_a_node_on_another_ssh_port_is_reached_there() -> None:
    node = LAB.nodes[0]
    moved = node.model_copy(update={"ssh": node.ssh.model_copy(update={"port": 2222})})
    federation = LAB.model_copy(update={"nodes": (moved, *LAB.nodes[1:])})
    operator = LAB.network.operator_addresses[0]
    assert allowed(federation, operator, moved, 2222)
    assert not allowed(federation, operator, moved, 22)


@settings(deadline=None)
@given(federation=FEDERATIONS, port=st.integers(1, 65535))
def test_a_stranger_is_admitted_nowhere(federation: Federation, port: int) -> None:
    for target in federation.nodes:
        assert not allowed(federation, STRANGER, target, port)


@settings(deadline=None)
@given(federation=FEDERATIONS)
def test_both_ends_of_a_connection_agree(federation: Federation) -> None:
    """What a source may start is what the target accepts: else one end's firewall hangs it."""
    for source in federation.nodes:
        out = {(t, f.port) for f in outbound(federation, source) for t in f.targets}
        into = {
            (t, f.port)
            for t in federation.nodes
            for f in inbound(federation, t)
            if t != source and f.admits(source.address, t)
        }
        assert out == into


@pytest.mark.parametrize("federation", [LAB, SITE], ids=["lab", "site"])
def test_every_flow_says_why_and_reaches_only_our_nodes(federation: Federation) -> None:
    for flow in flows(federation):
        assert flow.purpose
        assert set(flow.targets) <= set(federation.nodes)


def test_repositories_read_the_databases_and_only_members_reach_repositories() -> None:
    ports = SITE.ports
    keepers = [*SITE.with_role(Role.BACKUP), *SITE.with_role(Role.OFFSITE)]
    assert len(keepers) == 2
    for source in SITE.nodes:
        for data in SITE.with_role(Role.DATA):
            assert allowed(SITE, source.address, data, ports.pgbackrest) is (source in keepers)
        for keeper in keepers:
            may = source in keepers or source.has(Role.DATA)
            assert allowed(SITE, source.address, keeper, ports.pgbackrest_repository) is may


def test_gateways_reach_the_collector_of_spans_and_nobody_else_does() -> None:
    assert not any(allowed(LAB, a.address, b, LAB.ports.otlp) for a in LAB.nodes for b in LAB.nodes)
    named = one(LAB, Role.MONITORING)
    traced = LAB.model_copy(update={"tracing": Tracing(collector=named.name)})
    for source in traced.nodes:
        for target in traced.nodes:
            may = source.has(Role.GATEWAY) and target == named
            assert allowed(traced, source.address, target, traced.ports.otlp) is may


def test_the_operator_asks_gateways_about_their_engines() -> None:
    operator = LAB.network.operator_addresses[0]
    for target in LAB.nodes:
        may = target.has(Role.GATEWAY)
        assert allowed(LAB, operator, target, LAB.ports.gateway_metrics) is may
