"""Put a data node's cluster on a small file system of its own, fill it, free it, and put it back.

The file system is in memory (machines of the lab have no block devices) and mounted before Patroni
starts, because a unit sees the mounts there were when it began.
"""

from inventory.model import Node
from tests.chaos.cluster import Cluster

DATA = "/var/lib/postgresql/15/federation"
ASIDE = "/var/lib/postgresql/15/aside"
FILLER = f"{DATA}/filler"
PATRONI = "federation-patroni.service"
# What may still be written after `fill`: some pages, no new segment of WAL (16 MiB).
LEAVE_KIB = 1024


def shrink(cluster: Cluster, node: Node, spare_mib: int) -> None:
    """Give the node's cluster a disk with `spare_mib` to spare; the node must not be primary."""
    cluster.shell(
        node,
        f"systemctl stop {PATRONI} && mv {DATA} {ASIDE} && mkdir -m 0700 {DATA} && "
        f"size=$(($(du -sm {ASIDE} | cut -f1) + {spare_mib})) && "
        f"mount -t tmpfs -o size=${{size}}m,mode=0700 tmpfs {DATA} && "
        f"cp -a {ASIDE}/. {DATA}/ && chown postgres:postgres {DATA} && systemctl start {PATRONI}",
    )


def fill(cluster: Cluster, node: Node) -> None:
    """Take all of the space but a little. The server writes on meanwhile: a new segment of WAL may
    take what was free a moment ago, so that it is looked again.
    """
    cluster.shell(
        node,
        f"for again in $(seq 20); do free=$(df --output=avail -k {DATA} | tail -1); "
        f"test $free -gt {LEAVE_KIB} || exit 0; "
        f"fallocate -l $((free - {LEAVE_KIB}))K {FILLER} && exit 0; rm -f {FILLER}; done; exit 1",
    )


def free(cluster: Cluster, node: Node) -> None:
    """Give the space back."""
    cluster.shell(node, f"rm -f {FILLER}")


def restore(cluster: Cluster, node: Node) -> None:
    """Back on the machine's own disk, with what the cluster holds now."""
    cluster.shell(
        node,
        f"mountpoint -q {DATA} || exit 0; systemctl stop {PATRONI}; rm -f {FILLER}; "
        f"rm -rf {ASIDE} && cp -a {DATA} {ASIDE} && umount {DATA} && rmdir {DATA} && "
        f"mv {ASIDE} {DATA}; systemctl start {PATRONI}",
    )
