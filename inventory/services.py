"""Which systemd units a Linux node runs, by role: one table for deploys, status and health.

Pure names; how a unit is installed is the deploy's business.
"""

from inventory.model import Federation, Node, Platform, Role

# The machine's own, without which nobody gets in or out.
SYSTEM = ("ssh.service", "nftables.service")
# And knows the time; a lab's machines share the clock of the computer they are on.
CLOCK = "chrony.service"
EVERYWHERE = (
    "federation-node-exporter.service",
    "federation-exporter.service",
    "federation-witness.service",
)
# Beside a database that is backed up.
BACKED_UP = "federation-pgbackrest.service"
BY_ROLE = {
    Role.DATA: (
        "federation-etcd.service",
        "federation-patroni.service",
        "federation-postgres-exporter.service",
        "federation-sequencer.service",
    ),
    Role.BACKUP: ("federation-repository.service",),
    Role.OFFSITE: ("federation-repository.service",),
    Role.INFERENCE: ("federation-inference.service",),
    Role.GATEWAY: ("federation-gateway.service",),
    Role.MONITORING: ("federation-prometheus.service", "federation-alertmanager.service"),
    Role.OPERATOR: ("federation-guardian.service",),
}


def services(node: Node) -> tuple[str, ...]:
    """Our units on `node`, in the order of the roles above; none where systemd does not run."""
    if node.platform is not Platform.DEBIAN:
        return ()
    roles = [unit for role, units in BY_ROLE.items() if node.has(role) for unit in units]
    return (*EVERYWHERE, *roles)


def expected(federation: Federation, node: Node) -> tuple[str, ...]:
    """Every unit that must be active on `node`: ours and the machine's own."""
    ours = services(node)
    if not ours:
        return ()
    if node.has(Role.DATA) and federation.with_role(Role.BACKUP):
        ours = (*ours, BACKED_UP)
    return (*SYSTEM, *ours) if federation.kind == "lab" else (*SYSTEM, CLOCK, *ours)
