"""Found, join and run the replicated database: one fact or two and at most one command each.

What one node may do depends on what all agreed on, which is in etcd and read at the moment of
acting: who founds, who leads. A node that is not concerned has nothing to do.
"""

import json
from collections.abc import Generator, Mapping, Sequence
from typing import Any

from pyinfra.api import operation
from pyinfra.context import host

from deploys.changes import announce
from deploys.facts.database import ClusterState
from deploys.facts.replication import Consensus, EtcdMember, PatroniState
from deploys.facts.units import UnitStates
from deploys.operations.units import UNKNOWN
from deploys.protocol import Change
from deploys.replication import (
    CONFIG_KEY,
    ETCD,
    ETCD_DATA,
    ETCD_JOINING,
    NAMESPACE,
    PATRONI,
    dynamic,
    etcd_url,
    identity,
    members,
    patroni_url,
    peer_url,
)
from deploys.script import NodeScript
from inventory.model import Federation, Node

FOUNDER, INITIALIZED, LEADER = "founder", "ledger/initialize", "ledger/leader"
CONFIG = CONFIG_KEY.removeprefix(NAMESPACE)
JOIN_SECONDS = 120
CLAIM_SECONDS = 60
CREATE_SECONDS = 120
# A server that was not stopped cleanly recovers first.
PREPARE_SECONDS = 900
START_SECONDS = 180
# A member copies the whole database when it joins.
COPY_SECONDS = 4 * 3600


def agreed(federation: Federation, node: Node) -> dict[str, str] | None:
    """What the data nodes agreed on; None while this node's etcd cannot be asked."""
    state: dict[str, str] | None = host.get_fact(
        Consensus, url=etcd_url(federation, node), prefix=NAMESPACE, identity=identity(ETCD)
    )
    return state


def leads(federation: Federation, node: Node) -> bool | None:
    """Whether this node leads; None while nobody does, as far as is known here."""
    found = agreed(federation, node)
    if found is None or LEADER not in found:
        return None
    return found[LEADER] == node.name


@operation()
def joined(federation: Federation, node: Node, sealed: Mapping[str, str]) -> Any:
    """Have it said how this node's etcd joins the others'; a member that has its data is one."""
    if host.get_fact(EtcdMember, data=ETCD_DATA)["member"]:
        host.noop("this node is a member")
        return
    announce([Change("join", "etcd")])
    others = [
        {
            "name": other.name,
            "client": etcd_url(federation, other),
            "peer": peer_url(federation, other),
        }
        for other in members(federation)
        if other != node
    ]
    argument = {
        "data": ETCD_DATA,
        "file": ETCD_JOINING,
        "name": node.name,
        "peer": peer_url(federation, node),
        "others": others,
        **sealed,
    }
    yield NodeScript("etcd_join", argument, ["join etcd"], timeout_seconds=JOIN_SECONDS)


@operation()
def claimed(
    federation: Federation, node: Node, data: str, binaries: str
) -> Generator[NodeScript, None, None]:
    """Have the data nodes agree on who founds the database: the one that has it, else the first."""
    found = agreed(federation, node)
    if found is not None and (FOUNDER in found or INITIALIZED in found):
        host.noop("there is a founder")
        return
    announce([Change("agree", "who founds the database")])
    argument = {
        "url": etcd_url(federation, node),
        "prefix": NAMESPACE,
        "node": node.name,
        "order": [member.name for member in members(federation)],
        "data": data,
        "binaries": binaries,
        **identity(ETCD),
    }
    describe = ["agree who founds the database"]
    yield NodeScript("ledger_claim", argument, describe, timeout_seconds=CLAIM_SECONDS)


@operation()
def configured(federation: Federation, node: Node) -> Generator[NodeScript, None, None]:
    """Have Patroni's dynamic settings in etcd, where every member reads them within seconds."""
    wanted = dynamic(federation)
    found = agreed(federation, node)
    present = (found or {}).get(CONFIG)
    if present is not None and json.loads(present) == wanted:
        host.noop("the cluster's settings are as they should be")
        return
    old = json.dumps(json.loads(present), indent=1, sort_keys=True) if present else ""
    new = json.dumps(wanted, indent=1, sort_keys=True)
    announce([Change("update" if present else "create", CONFIG_KEY, _diff(old, new))])
    argument = {
        "url": etcd_url(federation, node),
        "entry": CONFIG_KEY,
        "value": json.dumps(wanted, sort_keys=True),
        **identity(ETCD),
    }
    yield NodeScript("consensus_put", argument, [f"write {CONFIG_KEY}"])


def _diff(old: str, new: str) -> str:
    before, after = old.splitlines(), new.splitlines()
    gone = [f"-{line.strip()}\n" for line in before if line not in after]
    return "".join(gone + [f"+{line.strip()}\n" for line in after if line not in before])


@operation()
def founded(
    federation: Federation, node: Node, data: str, binaries: str
) -> Generator[NodeScript, None, None]:
    """Have a cluster on the founder, with data checksums; an existing one is never touched."""
    found = agreed(federation, node)
    if found is None or INITIALIZED in found or found.get(FOUNDER) != node.name:
        host.noop("not this node's to make")
        return
    state = host.get_fact(ClusterState, data=data)
    if state["version"]:
        host.noop(f"there is a cluster of version {state['version']}")
        return
    announce([Change("create cluster", data)])
    argument = {"binaries": binaries, "data": data}
    describe = [f"create cluster {data}"]
    yield NodeScript("cluster_create", argument, describe, timeout_seconds=CREATE_SECONDS)


@operation()
def prepared(
    federation: Federation, node: Node, data: str, binaries: str, sql: str
) -> Generator[NodeScript, None, None]:
    """Have the roles Patroni logs in as in the founder's cluster, before anybody leads it."""
    found = agreed(federation, node)
    if found is None or INITIALIZED in found or found.get(FOUNDER) != node.name:
        host.noop("not this node's to do")
        return
    announce([Change("run", "ledger/cluster.sql")])
    argument = {"binaries": binaries, "data": data, "sql": sql}
    describe = ["run ledger/cluster.sql"]
    yield NodeScript("cluster_prepare", argument, describe, timeout_seconds=PREPARE_SECONDS)


@operation()
def led(federation: Federation, node: Node) -> Generator[NodeScript, None, None]:
    """Have the founder lead: on it, and only while nobody ever led, Patroni is started."""
    found = agreed(federation, node)
    if found is None or INITIALIZED in found or found.get(FOUNDER) != node.name:
        host.noop("not this node's to do")
        return
    announce([Change("start", PATRONI)])
    yield _run(federation, node, "start", enable=True, reload=True)


@operation()
def following(federation: Federation, node: Node) -> Generator[NodeScript, None, None]:
    """Have Patroni run what is on disk and its PostgreSQL lead or follow.

    A restart waits its turn (the stage is one node at a time) and hands over first when it leads.
    """
    unit = host.get_fact(UnitStates, units=[PATRONI]).get(PATRONI, UNKNOWN)
    state = host.get_fact(
        PatroniState, url=patroni_url(federation, node), identity=identity(PATRONI)
    )
    verb = ""
    if unit["active"] not in ("active", "reloading"):
        verb = "start"
    elif unit["restart_needed"] or (state or {}).get("pending_restart"):
        verb = "restart"
    enable = unit["file"] not in ("enabled", "static")
    if not verb and not enable:
        host.noop("Patroni runs what is on disk")
        return
    changes: Sequence[Change] = [
        *([Change("enable", PATRONI)] if enable else []),
        *([Change(verb, PATRONI)] if verb else []),
    ]
    announce(list(changes))
    yield _run(federation, node, verb or "start", enable=enable, reload=True)


def _run(
    federation: Federation, node: Node, verb: str, *, enable: bool, reload: bool
) -> NodeScript:
    argument = {
        "unit": PATRONI,
        "verb": verb,
        "enable": enable,
        "daemon_reload": reload,
        "url": patroni_url(federation, node),
        "node": node.name,
        "start_seconds": START_SECONDS,
        "copy_seconds": COPY_SECONDS,
        **identity(PATRONI),
    }
    describe = [*([f"enable {PATRONI}"] if enable else []), f"{verb} {PATRONI}"]
    return NodeScript("patroni_run", argument, describe, timeout_seconds=COPY_SECONDS + 300)
