"""PostgreSQL on the data nodes: one leads, the others follow, certificates instead of passwords.

Debian's package makes and starts a cluster of its own; here it makes none and its units are masked.
What runs is `federation-patroni.service` on /var/lib/postgresql/VERSION/federation. Three steps:

* `founding`, all data nodes together: they agree on who has the data (or makes a new cluster), and
  that one leads. A cluster from before replication is adopted as it is, with its data.
* `data`, one node at a time: the others copy it and follow; what must restart, restarts.
* `schema`: the ledger's migrations, on whichever node leads, over the local socket.
"""

from pyinfra.api import deploy

from deploys.context import NodeContext, Patroni
from deploys.database_files import (
    EXPORTER,
    FOLDER,
    METRICS_USER,
    OWNER,
    WRAPPER,
    configuration,
    owner_dsn,
    unit_files,
)
from deploys.errors import DeployError
from deploys.exporters import WEB, masks, web_config
from deploys.layout import unit_path
from deploys.operations.database import cluster_sql, database, migrated
from deploys.operations.environments import PATRONIS, Environment, environment
from deploys.operations.files import ManagedDirectory, ManagedFile, managed
from deploys.operations.packages import packages
from deploys.operations.replication import claimed, configured, following, founded, led, prepared
from deploys.operations.system_users import SystemUser, system_users
from deploys.operations.units import Unit, units
from deploys.postgres import (
    BINARIES,
    CLUSTERS,
    COMMON,
    DATA,
    DEBIAN_UNITS,
    NO_CLUSTER,
    NO_CLUSTER_FILE,
    PACKAGE,
    SOCKETS,
)
from deploys.replication import ETCD
from deploys.ship import destination
from deploys.templates import HERE

# Before there was replication, PostgreSQL ran under this unit.
SINGLE = "federation-postgres.service"
EXPORTER_PACKAGE = "prometheus-postgres-exporter"
PACKAGES = [PACKAGE, f"{PACKAGE}-pgaudit", EXPORTER_PACKAGE]
# What Debian's packages would start by themselves.
MASKED = [*DEBIAN_UNITS, f"{EXPORTER_PACKAGE}.service"]


@deploy("Founding")
def founding(context: NodeContext) -> None:
    """Everything PostgreSQL needs, and one node that leads."""
    _installed(context)
    _agreed(context)
    _led(context)


def _installed(context: NodeContext) -> None:
    """PostgreSQL's and Patroni's files, programs and users; no cluster yet."""
    patronis = patroni_environment(_patroni(context))
    managed(
        name="PostgreSQL: configuration",
        directories=[ManagedDirectory(path) for path in (COMMON, FOLDER, WEB)],
        files=[
            ManagedFile(NO_CLUSTER_FILE, NO_CLUSTER),
            *configuration(context),
            ManagedFile(WRAPPER, (HERE / "on_node" / "patroni_main.py").read_text()),
            *unit_files(context, patronis.path),
            web_config(EXPORTER),
        ],
        links=masks(MASKED),
    )
    packages(name="PostgreSQL: packages", names=PACKAGES)
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
    environment(name="Patroni: environment", wanted=patronis, to=destination(context))


def _agreed(context: NodeContext) -> None:
    """One founder, settings for all members, and no server beside the replicated one."""
    federation, node = context.federation, context.node
    claimed(
        name="PostgreSQL: founder", federation=federation, node=node, data=DATA, binaries=BINARIES
    )
    configured(name="PostgreSQL: settings of all members", federation=federation, node=node)
    units(
        name="PostgreSQL: no longer alone",
        units=[Unit(SINGLE, enabled=False, running=False)],
    )
    managed(name="PostgreSQL: its old unit", absent=[unit_path(SINGLE)])


def _led(context: NodeContext) -> None:
    """A cluster on the founder, its roles before anybody leads it, then its first leader."""
    federation, node = context.federation, context.node
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
