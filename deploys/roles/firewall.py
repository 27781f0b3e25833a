"""The firewall of a Linux node: nftables, closed in both directions but for the inventory's flows.

The rules are in `firewall_rules`. Here they are checked, loaded under a guard that undoes a
lock-out by itself, loaded at every boot before the network, and put back when touched by hand.
"""

from pyinfra.api import deploy

from deploys.context import NodeContext
from deploys.firewall_rules import PATH, TABLE, rules
from deploys.operations.files import ManagedDirectory, ManagedFile, managed
from deploys.operations.firewall import ruleset_loaded
from deploys.operations.guard import guarded
from deploys.operations.units import Unit, units
from deploys.templates import render

RUNTIME = "/run/federation"
RECORD = f"{RUNTIME}/firewall"
RECORDER = "/usr/local/lib/federation/firewall-loaded"
DROP_IN = "/etc/systemd/system/nftables.service.d"
# Not through systemctl: the undo may run early in the boot, when waiting for a unit would deadlock.
LOAD = f"nft -f {PATH} && {RECORDER}"


@deploy("Firewall")
def firewall(context: NodeContext) -> None:
    """Only what a role needs may arrive or leave."""
    managed(
        name="Firewall: loading at boot",
        directories=[ManagedDirectory("/usr/local/lib/federation"), ManagedDirectory(DROP_IN)],
        files=[
            ManagedFile(
                RECORDER,
                render("firewall-loaded", path=PATH, folder=RUNTIME, table=TABLE, record=RECORD),
                mode=0o755,
            ),
            ManagedFile(
                f"{DROP_IN}/federation.conf",
                render("nftables.service.d.conf", recorder=RECORDER, table=TABLE),
            ),
        ],
    )
    guarded(
        name="Firewall: rules",
        guard="firewall",
        files=[ManagedFile(PATH, rules(context.federation, context.node), mode=0o755)],
        check=f"nft -c -f {PATH}",
        apply=LOAD,
    )
    ruleset_loaded(name="Firewall: loaded", path=PATH, table=TABLE, record=RECORD, load=LOAD)
    units(name="Firewall: service", units=[Unit("nftables.service")])
