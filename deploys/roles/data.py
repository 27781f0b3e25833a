"""PostgreSQL on the data node: our cluster, certificates instead of passwords, the ledger's schema.

Debian's package makes and starts a cluster of its own; here it makes none and its units are masked.
What runs is `federation-postgres.service` on /var/lib/postgresql/VERSION/federation. Roles and
database come from `ledger/cluster.sql`, tables from the ledger's migrations, both over the local
socket: no remote login can create either.
"""

from collections.abc import Mapping

from pyinfra.api import deploy

from deploys.context import NodeContext
from deploys.exporters import WEB, masks, unit_file, web_config, web_path
from deploys.layout import AUTHORITY, CERTIFICATE, CONFIG, credential
from deploys.operations.database import cluster, database, migrated
from deploys.operations.files import ManagedDirectory, ManagedFile, managed
from deploys.operations.packages import packages
from deploys.operations.system_users import SystemUser, system_users
from deploys.operations.units import Unit, units
from deploys.templates import render
from inventory.model import Node, Role
from ledger import access

VERSION = "15"
BINARIES = f"/usr/lib/postgresql/{VERSION}/bin"
DATA = f"/var/lib/postgresql/{VERSION}/federation"
FOLDER = f"{CONFIG}/postgres"
SOCKETS = "/run/postgresql"
UNIT = "federation-postgres.service"
EXPORTER = "federation-postgres-exporter.service"
OWNER = "fedledger"
METRICS_USER = "fedmetrics"
# Operating system user -> role it may take over the local socket.
LOCAL: Mapping[str, str] = {OWNER: "fedledger", METRICS_USER: "fed_metrics"}
NO_CLUSTER = "# Managed by the federation operator: our cluster is the only one here.\n"
NO_CLUSTER += "create_main_cluster = false\n"


@deploy("Data")
def data(context: NodeContext) -> None:
    """The database, its roles and its schema."""
    port = context.federation.ports.postgres
    managed(
        name="PostgreSQL: configuration",
        directories=[ManagedDirectory(path) for path in ("/etc/postgresql-common", FOLDER, WEB)],
        files=[
            ManagedFile("/etc/postgresql-common/createcluster.conf", NO_CLUSTER),
            *configuration(context),
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
        names=[f"postgresql-{VERSION}", "prometheus-postgres-exporter"],
    )
    system_users(
        name="PostgreSQL: users",
        owner="data",
        users=[
            SystemUser(OWNER, "Federation ledger's schema owner"),
            SystemUser(METRICS_USER, "Federation database metrics"),
        ],
    )
    cluster(name="PostgreSQL: cluster", binaries=BINARIES, data=DATA)
    units(name="PostgreSQL: server", units=[Unit(UNIT)])
    database(name="PostgreSQL: roles and database", socket=SOCKETS, port=port)
    migrated(name="Ledger: migrations", user=OWNER, dsn=owner_dsn(port))
    units(name="PostgreSQL: metrics", units=[Unit(EXPORTER)])


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
    gateways = context.federation.with_role(Role.GATEWAY)
    members = context.federation.with_role(Role.DATA)
    operators = context.federation.network.operator_addresses
    return [
        ManagedFile(f"{FOLDER}/postgresql.conf", settings(context)),
        ManagedFile(
            f"{FOLDER}/pg_hba.conf",
            access.hba(
                [node.address for node in gateways],
                operators,
                LOCAL,
                [node.address for node in members],
            ),
        ),
        ManagedFile(
            f"{FOLDER}/pg_ident.conf",
            access.ident([node.name for node in gateways], LOCAL, [node.name for node in members]),
        ),
    ]


def settings(
    context: NodeContext, data: str = DATA, config: str = FOLDER, key: str | None = None
) -> str:
    """`postgresql.conf`; tests run it against a throwaway cluster elsewhere."""
    node = context.node
    return render(
        "postgresql.conf",
        version=VERSION,
        data=data,
        config=config,
        address=node.address,
        port=context.federation.ports.postgres,
        certificate=CERTIFICATE,
        key=key or credential(UNIT, "tls.key"),
        authority=AUTHORITY,
        max_connections=node.limits.postgres_max_connections,
        shared_buffers_mib=node.limits.postgres_shared_buffers_mib,
        effective_cache_mib=_memory_mib(node) // 2,
        maintenance_mib=min(1024, max(64, _memory_mib(node) // 32)),
    )


def _memory_mib(node: Node) -> int:
    return node.hardware.memory_gib * 1024


def _unit_files(context: NodeContext) -> list[ManagedFile]:
    paths = [file.path for file in configuration(context)]
    return [
        unit_file(UNIT, paths, version=VERSION, binaries=BINARIES, config=FOLDER, data=DATA),
        unit_file(
            EXPORTER,
            [web_path(EXPORTER)],
            dsn=metrics_dsn(context.federation.ports.postgres),
            address=context.node.address,
            port=context.federation.ports.postgres_exporter,
            web=web_path(EXPORTER),
        ),
    ]
