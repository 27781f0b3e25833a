"""pyinfra's hosts and groups, built from the typed inventory.

The runner gives each host its groups; people who want pyinfra's own command line for a look around
use `pyinfra deploys.inventory_groups:groups fact server.Uptime` (the inventory is the one
`FEDERATION_INVENTORY` names). Changing things that way is unwise: there is no lock, no guard is
confirmed, and nobody records it.
"""

from typing import Any

from inventory.home import Home, home_of
from inventory.load import load
from inventory.model import Federation, Node
from trust.operator_ssh import lent_path

ALL = "federation"
Hosts = list[tuple[str, dict[str, Any]]]


def groups_of(node: Node) -> tuple[str, ...]:
    """The groups a node is in: all of the federation, its platform, its roles."""
    return (ALL, node.platform.value, *(role.value for role in node.roles))


def groups(federation: Federation | None = None) -> dict[str, tuple[Hosts, dict[str, Any]]]:
    """Group name -> its hosts with how to connect to them, in the shape pyinfra's CLI takes."""
    federation = federation or load()
    home = home_of(federation.name)
    found: dict[str, tuple[Hosts, dict[str, Any]]] = {}
    for node in federation.nodes:
        host = (node.name, connection(federation, node, home))
        for group in groups_of(node):
            found.setdefault(group, ([], {}))[0].append(host)
    return found


def connection(federation: Federation, node: Node, home: Home) -> dict[str, Any]:
    """Host data for pyinfra's SSH connector: only pinned host keys, only the operator's key.

    The key's path is this process's own, in memory. Raises StoreError, KeyExposed.
    """
    return {
        "ssh_hostname": str(node.address),
        "ssh_port": node.ssh.port,
        "ssh_user": federation.operator_user,
        "ssh_key": str(lent_path(home)),
        "ssh_allow_agent": False,
        "ssh_look_for_keys": False,
        "ssh_known_hosts_file": str(home.known_hosts),
        "ssh_strict_host_key_checking": "yes",
        "_sudo": True,
    }
