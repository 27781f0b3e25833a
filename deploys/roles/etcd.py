"""etcd on the data nodes: three members that agree on who leads the database.

Debian's program under our unit, every connection with certificates on both sides. A first start
needs a majority, so all data nodes go through this together; a member that lost its data joins
anew, in place of the one it was. What etcd knows can be made again from the nodes: nothing of value
is only there.
"""

from pyinfra.api import deploy

from deploys.context import NodeContext
from deploys.exporters import masks, unit_file
from deploys.layout import AUTHORITY, CERTIFICATE, SEALED_KEY, STATE, credential
from deploys.operations.files import ManagedDirectory, ManagedFile, managed
from deploys.operations.packages import packages
from deploys.operations.replication import joined
from deploys.operations.system_users import SystemUser, system_users
from deploys.operations.units import Unit, units
from deploys.replication import ETCD, ETCD_DATA, ETCD_JOINING

USER = "fedetcd"
# A member that hears nothing for that long asks for votes; ten heartbeats, as etcd advises.
HEARTBEAT_MS, ELECTION_MS = 100, 1000
START_SECONDS = 150
SEALED = {"certificate": CERTIFICATE, "authority": AUTHORITY, "key": SEALED_KEY}


@deploy("etcd")
def etcd(context: NodeContext) -> None:
    """A member that answers; whether it runs what is on disk is the data role's to see to."""
    managed(
        name="etcd: configuration",
        directories=[ManagedDirectory(STATE)],
        files=[unit(context)],
        links=masks(["etcd.service"]),
    )
    packages(name="etcd: packages", names=["etcd-server", "etcd-client"])
    system_users(name="etcd: user", owner="etcd", users=[SystemUser(USER, "Federation consensus")])
    joined(name="etcd: membership", federation=context.federation, node=context.node, sealed=SEALED)
    units(name="etcd: running", units=[Unit(ETCD, restart=False)], timeout_seconds=START_SECONDS)


def unit(context: NodeContext) -> ManagedFile:
    """The unit: everything etcd is told, but for how it joined."""
    return unit_file(
        ETCD,
        node=context.node.name,
        address=context.node.address,
        ports=context.federation.ports,
        data=ETCD_DATA,
        joining=ETCD_JOINING,
        token=f"{context.federation.name}.{context.federation.domain}",
        certificate=credential(ETCD, "node.pem"),
        authority=AUTHORITY,
        key=credential(ETCD, "tls.key"),
        heartbeat_ms=HEARTBEAT_MS,
        election_ms=ELECTION_MS,
    )
