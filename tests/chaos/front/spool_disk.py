"""Put a gateway's spool on a small file system of its own, fill it, free it, and put it back.

As tests.chaos.disk does with a data node's cluster, but without ever closing the gateway's
sockets: systemd holds them over a restart and not over a stop. So what is to be done while the
gateway is not there is an `ExecStartPre` of the restart.
"""

from inventory.model import Node
from tests.chaos.cluster import Cluster
from tests.chaos.front.fleet import GATEWAY

SPOOL = "/var/lib/federation/gateway/spool"
ASIDE = "/var/lib/federation/gateway/spool-aside"
FILLER, FILLING = f"{SPOOL}/filler", "/run/chaos-filling"
CONFIG = "/etc/federation/gateway.toml"
DROP_IN = f"/run/systemd/system/{GATEWAY}.d"
SCRIPT = "/run/chaos-spool.sh"
# What a unit's own commands mount is seen by nobody else.
IN_VIEW = "/usr/bin/nsenter --target 1 --mount --"
# Small segments: with usual ones, an hour of this load goes into what is allocated already.
SEGMENT_KIB, SPARE_KIB = 64, 4096

MOVE = f"""\
set -eu
mountpoint -q {SPOOL} && exit 0
mv --no-target-directory {SPOOL} {ASIDE}; mkdir -m 0700 {SPOOL}
mount -t tmpfs -o size=$(($(du -sk {ASIDE} | cut -f1) + {SPARE_KIB}))k,mode=0700 tmpfs {SPOOL}
cp -a {ASIDE}/. {SPOOL}/
chown fedgateway:fedgateway {SPOOL}
"""
BACK = f"""\
set -eu
mountpoint -q {SPOOL} || exit 0
rm -f {FILLER}; rm -rf {ASIDE}; cp -a {SPOOL} {ASIDE}
umount {SPOOL}; rmdir {SPOOL}; mv {ASIDE} {SPOOL}
"""


def shrink(cluster: Cluster, node: Node) -> None:
    """Give the node's gateway a spool with little to spare, in small segments."""
    settings = f"\\n[spool]\\nsegment_kib = {SEGMENT_KIB}\\n"
    cluster.shell(node, f"cp -a {CONFIG} {CONFIG}.chaos && printf '{settings}' >> {CONFIG}")
    _restart_with(cluster, node, MOVE)


def is_small(cluster: Cluster, node: Node) -> bool:
    """Whether the node's gateway has that spool."""
    return cluster.run(node, "sh", "-c", f"test -e {DROP_IN} && echo small").strip() == "small"


def fill(cluster: Cluster, node: Node) -> None:
    """Take all of the space, and whatever is given back, until `free`."""
    cluster.shell(
        node,
        f"touch {FILLING}; systemd-run --quiet --collect sh -c 'while test -e {FILLING}; "
        f"do cat /dev/zero >> {FILLER}; sleep 0.02; done; rm -f {FILLER}'",
    )


def free(cluster: Cluster, node: Node) -> None:
    """Give the space back."""
    cluster.shell(node, f"rm -f {FILLING}")


def restore(cluster: Cluster, node: Node) -> None:
    """Back on the machine's own disk, with usual segments and all that the spool holds."""
    free(cluster, node)
    cluster.shell(node, f"test ! -e {CONFIG}.chaos || mv {CONFIG}.chaos {CONFIG}")
    _restart_with(cluster, node, BACK)
    cluster.shell(node, f"rm -rf {DROP_IN} {SCRIPT}; systemctl daemon-reload")


def _restart_with(cluster: Cluster, node: Node, script: str) -> None:
    cluster.shell(
        node,
        f"mkdir -p {DROP_IN} && cat > {SCRIPT} <<'END'\n{script}END\n"
        f"printf '[Service]\\nExecStartPre=+{IN_VIEW} /bin/sh {SCRIPT}\\n' "
        f"> {DROP_IN}/chaos.conf && systemctl daemon-reload && systemctl restart {GATEWAY}",
    )
