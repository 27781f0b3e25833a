"""Who may talk to whom, on which port: derived from roles, used by firewalls and by their tests.

Pure. A flow is one sentence ("gateways may open connections to inference nodes on 8000"); a node's
rules are the flows it is an end of. Whatever no flow names is dropped, in both directions.
"""

from dataclasses import dataclass
from ipaddress import IPv4Address, IPv4Network

from inventory.model import Federation, Node, Platform, Role


@dataclass(frozen=True)
class Flow:
    """Connections `sources` may open to `port` (TCP) of `targets`; `purpose` says why."""

    purpose: str
    port: int
    sources: tuple[IPv4Address | IPv4Network, ...]
    targets: tuple[Node, ...]

    def admits(self, source: IPv4Address, target: Node) -> bool:
        """Whether this flow lets `source` connect to `target`."""
        if target not in self.targets:
            return False
        return any(
            source in end if isinstance(end, IPv4Network) else source == end for end in self.sources
        )


def flows(federation: Federation) -> tuple[Flow, ...]:
    """Every permitted TCP connection between machines, as the roles require it."""
    ports, nodes = federation.ports, federation.nodes
    operator = federation.network.operator_addresses
    gateways = federation.with_role(Role.GATEWAY)
    data = federation.with_role(Role.DATA)
    inference = federation.with_role(Role.INFERENCE)
    monitoring = federation.with_role(Role.MONITORING)
    collectors = tuple(node for node in nodes if node.name == federation.tracing.collector)
    watchers = _addresses(monitoring)
    members = _addresses(data)
    witnesses = federation.on(Platform.DEBIAN) if data else ()
    guardians = federation.guardians
    repositories = (*federation.with_role(Role.BACKUP), *federation.with_role(Role.OFFSITE))
    backed_up = data if repositories else ()
    clients: tuple[IPv4Address | IPv4Network, ...] = (
        *operator,
        *federation.network.client_networks,
    )
    ssh_ports = sorted({node.ssh.port for node in nodes})
    return (
        *(
            Flow("operator: SSH", port, operator, tuple(n for n in nodes if n.ssh.port == port))
            for port in ssh_ports
        ),
        Flow("clients: the OpenAI API", ports.gateway, (*clients, *watchers), gateways),
        Flow("gateway: spans", ports.otlp, _addresses(gateways), collectors),
        Flow("gateway: inference", ports.vllm, _addresses(gateways), inference),
        Flow(
            "gateway, operator, data, backup and guardian: SQL",
            ports.postgres,
            (
                *_addresses(gateways),
                *operator,
                *members,
                *_addresses((*repositories, *guardians)),
            ),
            data,
        ),
        Flow("data: etcd members", ports.etcd_peer, members, data),
        Flow("data: etcd clients", ports.etcd_client, members, data),
        Flow("data and operator: Patroni", ports.patroni, (*members, *operator, *watchers), data),
        Flow("operator and monitoring: etcd", ports.etcd_metrics, (*operator, *watchers), data),
        Flow(
            "data and operator: witnesses",
            ports.witness,
            (*members, *operator, *watchers),
            witnesses,
        ),
        Flow(
            "gateway and operator: the guardian",
            ports.guardian,
            (*_addresses(gateways), *operator, *watchers),
            guardians,
        ),
        Flow("monitoring: sequencer metrics", ports.sequencer, watchers, data),
        # A repository reads from the database's machines; they, and its restore test, from it.
        Flow("backup: databases", ports.pgbackrest, _addresses(repositories), backed_up),
        Flow(
            "data: repositories",
            ports.pgbackrest_repository,
            _addresses(tuple(n for n in nodes if n in backed_up or n in repositories)),
            repositories,
        ),
        Flow("monitoring: machine metrics", ports.node_exporter, watchers, nodes),
        Flow("monitoring: federation metrics", ports.federation_exporter, watchers, nodes),
        Flow(
            "operator and monitoring: gateways' private port",
            ports.gateway_metrics,
            (*operator, *watchers),
            gateways,
        ),
        Flow("monitoring: engine metrics", ports.vllm, watchers, inference),
        Flow("monitoring: SQL metrics", ports.postgres_exporter, watchers, data),
        Flow("operator: Prometheus", ports.prometheus, (*operator, *watchers), monitoring),
        Flow("operator: Alertmanager", ports.alertmanager, (*operator, *watchers), monitoring),
    )


def allowed(federation: Federation, source: IPv4Address, target: Node, port: int) -> bool:
    """Whether some flow lets `source` open a TCP connection to `port` of `target`."""
    return any(flow.port == port and flow.admits(source, target) for flow in flows(federation))


def inbound(federation: Federation, node: Node) -> tuple[Flow, ...]:
    """The flows that end at `node`."""
    return tuple(flow for flow in flows(federation) if node in flow.targets and flow.sources)


def outbound(federation: Federation, node: Node) -> tuple[Flow, ...]:
    """The flows that `node` may start, with itself removed from their targets."""
    found = []
    for flow in flows(federation):
        targets = tuple(t for t in flow.targets if t != node and flow.admits(node.address, t))
        if targets:
            found.append(Flow(flow.purpose, flow.port, (node.address,), targets))
    return tuple(found)


def _addresses(nodes: tuple[Node, ...]) -> tuple[IPv4Address, ...]:
    return tuple(node.address for node in nodes)
