"""PostgreSQL on the data nodes: one leads, the others follow, certificates instead of passwords.

Debian's package makes and starts a cluster of its own; here it makes none and its units are masked.
What runs is `federation-patroni.service` on /var/lib/postgresql/VERSION/federation. Three steps:

* `founding`, all data nodes together: they agree on who has the data (or makes a new cluster), and
  that one leads. A cluster from before replication is adopted as it is, with its data.
* `data`, one node at a time: the others copy it and follow; what must restart, restarts.
* `schema`: the ledger's migrations, on whichever node leads, over the local socket.
"""

from collections.abc import Mapping

from pyinfra.api import deploy

from deploys.context import NodeContext, Patroni
from deploys.errors import DeployError
from deploys.exporters import WEB, masks, unit_file, web_config, web_path
from deploys.layout import AUTHORITY, CONFIG, LIBRARY, credential, unit_path
from deploys.operations.database import cluster_sql, database, migrated
from deploys.operations.environments import PATRONIS, Environment, environment
from deploys.operations.files import ManagedDirectory, ManagedFile, managed
from deploys.operations.packages import packages
from deploys.operations.replication import claimed, configured, following, founded, led, prepared
from deploys.operations.system_users import SystemUser, system_users
from deploys.operations.units import Unit, units
from deploys.pgbackrest import repositories
from deploys.replication import ETCD, NAMESPACE, PATRONI, SCOPE, archiving, members
from deploys.ship import destination
from deploys.templates import HERE, render
from inventory.model import Node, Role
from ledger import access

VERSION = "15"
BINARIES = f"/usr/lib/postgresql/{VERSION}/bin"
CLUSTERS = f"/var/lib/postgresql/{VERSION}"
DATA = f"{CLUSTERS}/federation"
FOLDER = f"{CONFIG}/postgres"
SOCKETS = "/run/postgresql"
PATRONI_CONFIG = f"{CONFIG}/patroni.yml"
WRAPPER = f"{LIBRARY}/patroni_main.py"
# Before there was replication, PostgreSQL ran under this unit.
SINGLE = "federation-postgres.service"
EXPORTER = "federation-postgres-exporter.service"
OWNER = "fedledger"
METRICS_USER = "fedmetrics"
# Operating system user -> role it may take over the local socket.
LOCAL: Mapping[str, str] = {OWNER: "fedledger", METRICS_USER: "fed_metrics"}
NO_CLUSTER = "# Managed by the federation operator: our cluster is the only one here.\n"
NO_CLUSTER += "create_main_cluster = false\n"


@deploy("Founding")
def founding(context: NodeContext) -> None:
    """Everything PostgreSQL needs, and one node that leads."""
    federation, node = context.federation, context.node
    managed(
        name="PostgreSQL: configuration",
        directories=[ManagedDirectory(path) for path in ("/etc/postgresql-common", FOLDER, WEB)],
        files=[
            ManagedFile("/etc/postgresql-common/createcluster.conf", NO_CLUSTER),
            *configuration(context),
            ManagedFile(WRAPPER, (HERE / "on_node" / "patroni_main.py").read_text()),
            *_unit_files(context),
            web_config(EXPORTER),
        ],
        links=masks(
            [
                "postgresql.service",
                f"postgresql@{VERSION}-main.service",
                "prometheus-postgres-exporter.service",
            ]
        ),
    )
    packages(
        name="PostgreSQL: packages",
        names=[
            f"postgresql-{VERSION}",
            f"postgresql-{VERSION}-pgaudit",
            "prometheus-postgres-exporter",
        ],
    )
    system_users(
        name="PostgreSQL: users",
        owner="data",
        users=[
            SystemUser(OWNER, "Federation ledger's schema owner"),
            SystemUser(METRICS_USER, "Federation database metrics"),
        ],
    )
    managed(
        name="PostgreSQL: folders",
        directories=[ManagedDirectory(CLUSTERS, owner="postgres", group="postgres")],
    )
    environment(
        name="Patroni: environment",
        wanted=patroni_environment(_patroni(context)),
        to=destination(context),
    )
    claimed(
        name="PostgreSQL: founder", federation=federation, node=node, data=DATA, binaries=BINARIES
    )
    configured(name="PostgreSQL: settings of all members", federation=federation, node=node)
    units(
        name="PostgreSQL: no longer alone",
        units=[Unit(SINGLE, enabled=False, running=False)],
    )
    managed(name="PostgreSQL: its old unit", absent=[unit_path(SINGLE)])
    founded(
        name="PostgreSQL: cluster", federation=federation, node=node, data=DATA, binaries=BINARIES
    )
    prepared(
        name="PostgreSQL: roles before anybody leads",
        federation=federation,
        node=node,
        data=DATA,
        binaries=BINARIES,
        sql=cluster_sql(),
    )
    led(name="PostgreSQL: first leader", federation=federation, node=node)
    database(
        name="PostgreSQL: roles and database",
        federation=federation,
        node=node,
        socket=SOCKETS,
        port=federation.ports.postgres,
    )


@deploy("Data")
def data(context: NodeContext) -> None:
    """This node's member of etcd and of the database, running what is on disk."""
    units(name="etcd: up to date", units=[Unit(ETCD)])
    following(name="PostgreSQL: member", federation=context.federation, node=context.node)
    units(name="PostgreSQL: metrics", units=[Unit(EXPORTER)])


@deploy("Schema")
def schema(context: NodeContext) -> None:
    """The ledger's tables, by the schema's owner on the node that leads."""
    migrated(
        name="Ledger: migrations",
        federation=context.federation,
        node=context.node,
        user=OWNER,
        dsn=owner_dsn(context.federation.ports.postgres),
    )


def owner_dsn(port: int, sockets: str = SOCKETS) -> str:
    """How migrations log in: the schema's owner over the local socket."""
    where = f"host={sockets} port={port} dbname={access.DATABASE}"
    return f"{where} user=fedledger application_name=migrations"


def metrics_dsn(port: int, sockets: str = SOCKETS) -> str:
    """How the exporter logs in: a role that reads statistics, over the local socket."""
    where = f"postgresql:///{access.DATABASE}?host={sockets}&port={port}"
    return f"{where}&user=fed_metrics&sslmode=disable"


def configuration(context: NodeContext) -> list[ManagedFile]:
    """The server's files, sized for the node; who may log in comes from the roles in the model."""
    federation = context.federation
    gateways, data = federation.with_role(Role.GATEWAY), members(federation)
    hba = access.hba(
        [node.address for node in gateways],
        federation.network.operator_addresses,
        LOCAL,
        [node.address for node in data],
        [node.address for node in repositories(federation)],
        [node.address for node in federation.guardians],
    )
    ident = access.ident(
        [node.name for node in gateways],
        LOCAL,
        [node.name for node in data],
        [node.name for node in repositories(federation)],
        [node.name for node in federation.guardians],
        federation.operators,
    )
    return [
        ManagedFile(f"{FOLDER}/postgresql.conf", settings(context)),
        ManagedFile(f"{FOLDER}/pg_hba.conf", hba),
        ManagedFile(f"{FOLDER}/pg_ident.conf", ident),
        ManagedFile(PATRONI_CONFIG, patroni_settings(context)),
    ]


def settings(context: NodeContext, key: str | None = None, certificate: str | None = None) -> str:
    """`postgresql.conf`; tests run it against a throwaway cluster elsewhere."""
    node = context.node
    return render(
        "postgresql.conf",
        version=VERSION,
        certificate=certificate or credential(PATRONI, "node.pem"),
        key=key or credential(PATRONI, "tls.key"),
        authority=AUTHORITY,
        shared_buffers_mib=node.limits.postgres_shared_buffers_mib,
        effective_cache_mib=_memory_mib(node) // 2,
        maintenance_mib=min(1024, max(64, _memory_mib(node) // 32)),
    )


def patroni_settings(context: NodeContext) -> str:
    """`patroni.yml`: what is this node's alone; the rest is in etcd (`replication.dynamic`)."""
    federation, node = context.federation, context.node
    return render(
        "patroni.yml",
        scope=SCOPE,
        namespace=NAMESPACE,
        node=node.name,
        address=node.address,
        ports=federation.ports,
        members=[member.address for member in members(federation)],
        callers=[f"{address}/32" for address in federation.network.operator_addresses],
        certificate=credential(PATRONI, "node.pem"),
        authority=AUTHORITY,
        key=credential(PATRONI, "tls.key"),
        data=DATA,
        binaries=BINARIES,
        config=FOLDER,
        sockets=SOCKETS,
        parameters=archiving(federation, node),
    )


def patroni_environment(patroni: Patroni) -> Environment:
    """Patroni's Python environment; its name changes with any of its packages."""
    return Environment(
        folder=PATRONIS,
        name=patroni.name,
        wheels=patroni.wheelhouse,
        imports=("patroni.__main__", "patroni.dcs.etcd3", "psycopg"),
    )


def _patroni(context: NodeContext) -> Patroni:
    if context.patroni is None:
        raise DeployError("a data node needs Patroni, and none was built")
    return context.patroni


def _memory_mib(node: Node) -> int:
    return node.hardware.memory_gib * 1024


def _unit_files(context: NodeContext) -> list[ManagedFile]:
    loaded = [file.path for file in configuration(context)]
    return [
        unit_file(
            PATRONI,
            [*loaded, WRAPPER],
            version=VERSION,
            environment=patroni_environment(_patroni(context)).path,
            wrapper=WRAPPER,
            config=PATRONI_CONFIG,
            clusters=CLUSTERS,
        ),
        unit_file(
            EXPORTER,
            [web_path(EXPORTER)],
            dsn=metrics_dsn(context.federation.ports.postgres),
            address=context.node.address,
            port=context.federation.ports.postgres_exporter,
            web=web_path(EXPORTER),
        ),
    ]
