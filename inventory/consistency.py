"""What must hold between the parts of an inventory, each already valid by itself.

Pure. Every finding names the field as the file spells it, the value and what was expected; all
findings are reported, not only the first.
"""

from collections.abc import Iterator
from typing import TYPE_CHECKING

from inventory.errors import Problem

if TYPE_CHECKING:
    from inventory.model import Federation

# Names that mean something else in certificates, the database's map of names, or selectors.
RESERVED = {
    "localhost": "every machine is that to itself",
    "operator": "that is the common name of a person's certificate, and a role",
    "inference": "that is a role, and selectors could not tell them apart",
    "gateway": "that is a role, and selectors could not tell them apart",
    "data": "that is a role, and selectors could not tell them apart",
    "monitoring": "that is a role, and selectors could not tell them apart",
    "worker": "that is a role, and selectors could not tell them apart",
}


def problems(federation: "Federation") -> tuple[Problem, ...]:
    """Every contradiction in `federation`, in file order."""
    return (
        *_settings(federation),
        *_ports(federation),
        *_addresses(federation),
        *_roles(federation),
    )


def _settings(federation: "Federation") -> Iterator[Problem]:
    if federation.kind == "site":
        if not federation.network.dns_servers:
            yield Problem("network.dns_servers", "[]", "at least one server at a site")
        if not federation.inference.model_path:
            yield Problem("inference.model_path", "''", "an absolute path at a site")
    if federation.operator_user == "root":
        yield Problem("operator_user", "'root'", "a user of its own: root login by SSH is off")


def _ports(federation: "Federation") -> Iterator[Problem]:
    """Two services of ours may meet on one node, so all ports differ, SSH's included."""
    taken: dict[int, str] = {}
    for name, port in federation.ports:
        if port in taken:
            yield Problem(f"ports.{name}", str(port), f"another port than ports.{taken[port]}")
        taken.setdefault(port, name)
    for node in federation.nodes:
        if node.ssh.port in taken:
            field = f"nodes.{node.name}.ssh.port"
            yield Problem(field, str(node.ssh.port), f"not ports.{taken[node.ssh.port]}")


def _addresses(federation: "Federation") -> Iterator[Problem]:
    subnet = federation.network.subnet
    seen: dict[object, str] = {}
    names: set[str] = set()
    for node in federation.nodes:
        field, shown = f"nodes.{node.name}.address", repr(str(node.address))
        if node.name in names:
            yield Problem(f"nodes.{node.name}.name", repr(node.name), "a name no other node has")
        names.add(node.name)
        if node.name in RESERVED:
            wanted = f"not {node.name}: {RESERVED[node.name]}"
            yield Problem(f"nodes.{node.name}", "a node", wanted)
        if node.address in seen:
            yield Problem(field, shown, f"an address other than that of {seen[node.address]}")
        seen.setdefault(node.address, node.name)
        if node.address not in subnet:
            yield Problem(field, shown, f"an address inside network.subnet ({subnet})")
        elif subnet.num_addresses > 2 and node.address in (
            subnet.network_address,
            subnet.broadcast_address,
        ):
            yield Problem(field, shown, f"a host's address, not the first or last of {subnet}")


def _roles(federation: "Federation") -> Iterator[Problem]:
    data: list[str] = []
    for node in federation.nodes:
        field, shown = f"nodes.{node.name}.roles", str([role.value for role in node.roles])
        if len(set(node.roles)) != len(node.roles):
            yield Problem(field, shown, "each role once")
        if "data" in node.roles:
            if data:
                yield Problem(field, shown, f"no second data node beside {data[0]}: no replication")
            data.append(node.name)
        if federation.kind == "lab" and node.platform == "macos":
            field = f"nodes.{node.name}.platform"
            yield Problem(field, "'macos'", "'debian': a lab machine shares this computer's kernel")
