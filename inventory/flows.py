"""Who may talk to whom, on which port: derived from roles, used by firewalls and by their tests.

Pure. A flow is one sentence ("gateways may open connections to inference nodes on 8000"); a node's
rules are the flows it is an end of. Whatever no flow names is dropped, in both directions.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from ipaddress import IPv4Address, IPv4Network

from inventory.model import Federation, Node, Platform, Role

Address = IPv4Address | IPv4Network


@dataclass(frozen=True)
class Flow:
    """Connections `sources` may open to `port` (TCP) of `targets`; `purpose` says why."""

    purpose: str
    port: int
    sources: tuple[Address, ...]
    targets: tuple[Node, ...]

    def admits(self, source: IPv4Address, target: Node) -> bool:
        """Whether this flow lets `source` connect to `target`."""
        if target not in self.targets:
            return False
        return any(
            source in end if isinstance(end, IPv4Network) else source == end for end in self.sources
        )


@dataclass(frozen=True)
class Ends:
    """Who a federation's connections begin and end at, as its roles say."""

    operator: tuple[IPv4Address, ...]
    clients: tuple[Address, ...]
    gateways: tuple[Node, ...]
    inference: tuple[Node, ...]
    data: tuple[Node, ...]
    repositories: tuple[Node, ...]
    guardians: tuple[Node, ...]
    monitoring: tuple[Node, ...]

    @classmethod
    def of(cls, federation: Federation) -> "Ends":
        """Those of this federation."""
        network = federation.network
        return cls(
            operator=network.operator_addresses,
            clients=(*network.operator_addresses, *network.client_networks),
            gateways=federation.with_role(Role.GATEWAY),
            inference=federation.with_role(Role.INFERENCE),
            data=federation.with_role(Role.DATA),
            repositories=(*federation.with_role(Role.BACKUP), *federation.with_role(Role.OFFSITE)),
            guardians=federation.guardians,
            monitoring=federation.with_role(Role.MONITORING),
        )

    @property
    def watchers(self) -> tuple[IPv4Address, ...]:
        """Where metrics are read from."""
        return _addresses(self.monitoring)

    @property
    def overseers(self) -> tuple[IPv4Address, ...]:
        """Who may look at nearly everything: the operator, and monitoring."""
        return (*self.operator, *self.watchers)


def flows(federation: Federation) -> tuple[Flow, ...]:
    """Every permitted TCP connection between machines, as the roles require it."""
    ends = Ends.of(federation)
    return (
        *_requests(federation, ends),
        *_database(federation, ends),
        *_backups(federation, ends),
        *_watching(federation, ends),
    )


def _requests(federation: Federation, ends: Ends) -> Iterator[Flow]:
    """The operator's way in, and a request's way through a gateway to the engine."""
    ports, nodes = federation.ports, federation.nodes
    for port in sorted({node.ssh.port for node in nodes}):
        targets = tuple(node for node in nodes if node.ssh.port == port)
        yield Flow("operator: SSH", port, ends.operator, targets)
    callers = (*ends.clients, *ends.watchers)
    gateways = _addresses(ends.gateways)
    collectors = tuple(node for node in nodes if node.name == federation.tracing.collector)
    yield Flow("clients: the OpenAI API", ports.gateway, callers, ends.gateways)
    yield Flow("gateway: spans", ports.otlp, gateways, collectors)
    yield Flow("gateway: inference", ports.vllm, gateways, ends.inference)


def _database(federation: Federation, ends: Ends) -> Iterator[Flow]:
    """SQL, what keeps the members together, and who vouches for the log and its keys."""
    ports, data = federation.ports, ends.data
    members, gateways = _addresses(data), _addresses(ends.gateways)
    others = _addresses((*ends.repositories, *ends.guardians))
    callers = (*gateways, *ends.operator, *members, *others)
    lookers = (*members, *ends.overseers)
    witnesses = federation.on(Platform.DEBIAN) if data else ()
    askers = (*gateways, *ends.overseers)
    yield Flow("gateway, operator, data, backup and guardian: SQL", ports.postgres, callers, data)
    yield Flow("data: etcd members", ports.etcd_peer, members, data)
    yield Flow("data: etcd clients", ports.etcd_client, members, data)
    yield Flow("data and operator: Patroni", ports.patroni, lookers, data)
    yield Flow("operator and monitoring: etcd", ports.etcd_metrics, ends.overseers, data)
    yield Flow("data and operator: witnesses", ports.witness, lookers, witnesses)
    yield Flow("gateway and operator: the guardian", ports.guardian, askers, ends.guardians)
    yield Flow("monitoring: sequencer metrics", ports.sequencer, ends.watchers, data)


def _backups(federation: Federation, ends: Ends) -> Iterator[Flow]:
    """A repository reads from the database's machines; they, and its restore test, from it."""
    ports, repositories = federation.ports, ends.repositories
    backed_up = ends.data if repositories else ()
    readers = tuple(n for n in federation.nodes if n in backed_up or n in repositories)
    yield Flow("backup: databases", ports.pgbackrest, _addresses(repositories), backed_up)
    yield Flow("data: repositories", ports.pgbackrest_repository, _addresses(readers), repositories)


def _watching(federation: Federation, ends: Ends) -> Iterator[Flow]:
    """Metrics of every machine and service, and where they are looked at."""
    ports, nodes, gateways = federation.ports, federation.nodes, ends.gateways
    watchers, overseers = ends.watchers, ends.overseers
    private = "operator and monitoring: gateways' private port"
    yield Flow("monitoring: machine metrics", ports.node_exporter, watchers, nodes)
    yield Flow("monitoring: federation metrics", ports.federation_exporter, watchers, nodes)
    yield Flow(private, ports.gateway_metrics, overseers, gateways)
    yield Flow("monitoring: engine metrics", ports.vllm, watchers, ends.inference)
    yield Flow("monitoring: SQL metrics", ports.postgres_exporter, watchers, ends.data)
    yield Flow("operator: Prometheus", ports.prometheus, overseers, ends.monitoring)
    yield Flow("operator: Alertmanager", ports.alertmanager, overseers, ends.monitoring)


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
