"""What holds for the replicated database as a whole: where it is, and Patroni's dynamic settings.

Pure. The settings answer these questions:

* When does another node lead? A leader renews its lease every `loop_wait`; after `ttl` without
  that, another may take it. 20 s is the least Patroni accepts, and
  loop_wait + 2 * retry_timeout <= ttl.
* What is acknowledged? With three data nodes a commit waits until one more node has it on disk
  (`synchronous_mode: quorum`), always: `strict` keeps it so when no standby is there, and writes
  wait. Only a node that has every acknowledged write can be elected. One data node alone promises
  what its disk promises.
* What when etcd as a whole fails? `failsafe_mode`: the leader goes on while every member tells it,
  directly, that it still follows; one that does not answer ends its lead.
* What when PostgreSQL crashes? It is started again where it was, for `primary_start_timeout`, then
  another node leads.
"""

from typing import Any

from deploys.layout import AUTHORITY, STATE, credential
from deploys.pgbackrest import archive_command, repositories
from inventory.model import Federation, Node, Role

SCOPE = "ledger"
NAMESPACE = "/federation/"
CONFIG_KEY = f"{NAMESPACE}{SCOPE}/config"
TTL_SECONDS, LOOP_SECONDS, RETRY_SECONDS = 20, 3, 5
PRIMARY_START_SECONDS = 10
PRIMARY_STOP_SECONDS = 20
# What a lost standby may keep the others from removing, before it must be copied anew.
SLOT_WAL_KEEP = "4GB"
ETCD = "federation-etcd.service"
PATRONI = "federation-patroni.service"
ETCD_DATA = f"{STATE}/etcd"
ETCD_JOINING = f"{STATE}/etcd-joining.env"


def members(federation: Federation) -> tuple[Node, ...]:
    """The data nodes, in file order."""
    return federation.with_role(Role.DATA)


def dynamic(federation: Federation) -> dict[str, Any]:
    """Patroni's dynamic configuration: the same for all members, kept in etcd."""
    data = members(federation)
    replicated = len(data) > 1
    return {
        "ttl": TTL_SECONDS,
        "loop_wait": LOOP_SECONDS,
        "retry_timeout": RETRY_SECONDS,
        "maximum_lag_on_failover": 1048576,
        "primary_start_timeout": PRIMARY_START_SECONDS,
        "primary_stop_timeout": PRIMARY_STOP_SECONDS,
        "check_timeline": True,
        "failsafe_mode": replicated,
        "synchronous_mode": "quorum" if replicated else False,
        "synchronous_mode_strict": replicated,
        # Of five, two may be lost: a commit is on three.
        "synchronous_node_count": max(1, (len(data) - 1) // 2),
        "postgresql": {
            "use_pg_rewind": True,
            "use_slots": True,
            "parameters": {
                "max_connections": max(n.limits.postgres_max_connections for n in data),
                "max_wal_senders": 16,
                "max_replication_slots": 16,
                "max_worker_processes": 8,
                "wal_level": "replica",
                "wal_keep_size": "128MB",
                # Data checksums make hint bits visible to pg_rewind already.
                "wal_log_hints": "off",
                "hot_standby": "on",
                "max_slot_wal_keep_size": SLOT_WAL_KEEP,
            },
        },
    }


def archiving(federation: Federation, node: Node) -> dict[str, str]:
    """PostgreSQL's settings for archiving WAL (Patroni's local `parameters`)."""
    del node
    if not repositories(federation):
        return {}
    return {
        "archive_mode": "on",
        "archive_command": archive_command(),
        "archive_timeout": f"{federation.backup.archive_timeout_seconds}s",
    }


def etcd_url(federation: Federation, node: Node) -> str:
    """Where the node's etcd answers its clients."""
    return f"https://{node.address}:{federation.ports.etcd_client}"


def peer_url(federation: Federation, node: Node) -> str:
    """Where the node's etcd answers the other members."""
    return f"https://{node.address}:{federation.ports.etcd_peer}"


def patroni_url(federation: Federation, node: Node) -> str:
    """Where the node's Patroni answers."""
    return f"https://{node.address}:{federation.ports.patroni}"


def identity(unit: str) -> dict[str, str]:
    """Certificate, authority and key with which scripts on a node speak as the running `unit`."""
    return {
        "certificate": credential(unit, "node.pem"),
        "authority": AUTHORITY,
        "key": credential(unit, "tls.key"),
    }
