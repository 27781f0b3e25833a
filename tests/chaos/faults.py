"""What is broken in a round, and how it is put back. Each acts on a lab, past its network.

A fault knows how to strike and how to mend; when it struck, whether writing went on and what was
lost is for others to see.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from types import MappingProxyType

from inventory.model import Node
from tests.chaos.cluster import Cluster

POSTMASTER = "kill -9 $(head -1 /var/lib/postgresql/15/federation/postmaster.pid)"


@dataclass(frozen=True)
class Fault:
    """One thing that goes wrong. `strike` gets the cluster, the primary and the round's number."""

    name: str
    title: str
    strike: Callable[[Cluster, Node, int], None]
    mend: Callable[[Cluster, Node, int], None]


def _nothing(cluster: Cluster, primary: Node, number: int) -> None:
    """What the federation puts right by itself."""


def kill_postgres(cluster: Cluster, primary: Node, number: int) -> None:
    """SIGKILL to the postmaster of the primary."""
    cluster.shell(primary, POSTMASTER)


def kill_patroni(cluster: Cluster, primary: Node, number: int) -> None:
    """SIGKILL to Patroni beside the primary."""
    cluster.kill_main(primary, "federation-patroni.service")


def kill_sequencer(cluster: Cluster, primary: Node, number: int) -> None:
    """SIGKILL to whichever sequencer numbers events now."""
    cluster.kill_main(cluster.active_sequencer(), "federation-sequencer.service")


def cut_power(cluster: Cluster, primary: Node, number: int) -> None:
    """Every process of the primary's machine ends at once."""
    cluster.kill(primary)


def boot(cluster: Cluster, primary: Node, number: int) -> None:
    """Power comes back."""
    cluster.boot(primary)


def cut_off(cluster: Cluster, primary: Node, number: int) -> None:
    """The primary reaches no other node, and none reaches it; clients still reach all of them."""
    for node in cluster.federation.nodes:
        if node != primary:
            cluster.cut(primary, node)


def heal(cluster: Cluster, primary: Node, number: int) -> None:
    """The network is whole again."""
    cluster.heal()


def lose_etcd(cluster: Cluster, primary: Node, number: int) -> None:
    """One etcd member is gone: each in turn, so that its leader and the primary's own are met."""
    cluster.shell(_member(cluster, number), "systemctl kill -s KILL federation-etcd.service; "
                  "systemctl stop federation-etcd.service")  # fmt: skip


def regain_etcd(cluster: Cluster, primary: Node, number: int) -> None:
    """The member comes back with what it had."""
    cluster.shell(_member(cluster, number), "systemctl start federation-etcd.service")


def switch_over(cluster: Cluster, primary: Node, number: int) -> None:
    """The operator asks for another primary."""
    cluster.fedctl("ledger", "switchover", "--yes")


def _member(cluster: Cluster, number: int) -> Node:
    return cluster.data[number % len(cluster.data)]


FAULTS: Mapping[str, Fault] = MappingProxyType(
    {
        fault.name: fault
        for fault in (
            Fault("postgres", "kill -9 of the primary's Postgres", kill_postgres, _nothing),
            Fault("patroni", "kill -9 of the primary's Patroni", kill_patroni, _nothing),
            Fault("sequencer", "kill -9 of the active sequencer", kill_sequencer, _nothing),
            Fault("power", "power cut of the primary's node", cut_power, boot),
            Fault("cut", "primary cut off from the others", cut_off, heal),
            Fault("etcd", "an etcd member lost", lose_etcd, regain_etcd),
            Fault("switchover", "a planned switchover", switch_over, _nothing),
        )
    }
)
