"""The files of a member of the database: PostgreSQL's, Patroni's, their units, who may log in."""

from collections.abc import Mapping

from deploys.context import NodeContext
from deploys.exporters import unit_file, web_path
from deploys.layout import AUTHORITY, CONFIG, LIBRARY, credential
from deploys.operations.files import ManagedFile
from deploys.pgbackrest import repositories
from deploys.postgres import BINARIES, CLUSTERS, DATA, SOCKETS, VERSION
from deploys.replication import NAMESPACE, PATRONI, SCOPE, archiving, members
from deploys.templates import render
from inventory.model import Node, Role
from ledger import access

FOLDER = f"{CONFIG}/postgres"
PATRONI_CONFIG = f"{CONFIG}/patroni.yml"
WRAPPER = f"{LIBRARY}/patroni_main.py"
EXPORTER = "federation-postgres-exporter.service"
OWNER = "fedledger"
METRICS_USER = "fedmetrics"
# Operating system user -> role it may take over the local socket.
LOCAL: Mapping[str, str] = {OWNER: "fedledger", METRICS_USER: "fed_metrics"}


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


def unit_files(context: NodeContext, environment: str) -> list[ManagedFile]:
    """Patroni's unit, run from the Python environment in a folder, and the exporter's."""
    loaded = [file.path for file in configuration(context)]
    return [
        unit_file(
            PATRONI,
            [*loaded, WRAPPER],
            version=VERSION,
            environment=environment,
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


def _memory_mib(node: Node) -> int:
    return node.hardware.memory_gib * 1024
