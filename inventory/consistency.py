"""What must hold between the parts of an inventory, each already valid by itself.

Pure. Every finding names the field as the file spells it, the value and what was expected; all
findings are reported, not only the first.
"""

from collections.abc import Iterator
from typing import TYPE_CHECKING

from inventory.errors import Problem
from inventory.sites import overlapping

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
    "backup": "that is a role, and selectors could not tell them apart",
    "offsite": "that is a role, and selectors could not tell them apart",
    "worker": "that is a role, and selectors could not tell them apart",
}
# A majority decides who leads, and every commit is on one more node than the one that leads.
DATA_NODES = (1, 3, 5)
# What only a Debian machine can do.
LINUX_ONLY = ("data", "backup", "offsite")


def problems(federation: "Federation") -> tuple[Problem, ...]:
    """Every contradiction in `federation`, in file order."""
    return (
        *_settings(federation),
        *_ports(federation),
        *_addresses(federation),
        *_roles(federation),
        *_data(federation),
        *_repositories(federation),
    )


def doubts(federation: "Federation") -> tuple[str, ...]:
    """What is no contradiction, and yet does nothing: one sentence each."""
    engines = [node for node in federation.nodes if "inference" in node.roles]
    if federation.inference.hedged and len(engines) < 2:
        return (
            "inference.hedge_after_seconds does nothing: there is no second node with the role "
            "inference that could be asked",
        )
    return ()


def _settings(federation: "Federation") -> Iterator[Problem]:
    if federation.kind == "site":
        if not federation.network.dns_servers:
            yield Problem("network.dns_servers", "[]", "at least one server at a site")
        if not federation.inference.model_path:
            yield Problem("inference.model_path", "''", "an absolute path at a site")
    together = overlapping(federation.network.sites)
    if together is not None:
        yield Problem("network.sites", together, "networks that no two sites share")
    collector = federation.tracing.collector
    if collector and collector not in {node.name for node in federation.nodes}:
        yield Problem("tracing.collector", repr(collector), "the name of a node, or nothing")
    if "operator" in federation.operators or len({*federation.operators}) < len(
        federation.operators
    ):
        yield Problem(
            "operators", repr(list(federation.operators)), "each name once, and not 'operator'"
        )
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
    for node in federation.nodes:
        field, shown = f"nodes.{node.name}.roles", str([role.value for role in node.roles])
        if len(set(node.roles)) != len(node.roles):
            yield Problem(field, shown, "each role once")
        for role in LINUX_ONLY:
            if role in node.roles and node.platform == "macos":
                yield Problem(
                    field, shown, f"no {role} on macOS: it needs systemd and Debian's own packages"
                )
        if federation.kind == "lab" and node.platform == "macos":
            field = f"nodes.{node.name}.platform"
            yield Problem(field, "'macos'", "'debian': a lab machine shares this computer's kernel")


def _data(federation: "Federation") -> Iterator[Problem]:
    """Two members have no majority without each other; four bear no more losses than three."""
    names = [node.name for node in federation.nodes if "data" in node.roles]
    if not names or len(names) in DATA_NODES:
        return
    if len(names) == 2:
        why = "of two, losing either leaves no majority, so nobody may write"
    else:
        why = "an even number bears no more losses than one less, and five bear two"
    wanted = f"1, 3 or 5 nodes with the role data: {why}"
    yield Problem("nodes", f"data on {', '.join(names)}", wanted)


def _repositories(federation: "Federation") -> Iterator[Problem]:
    """One backup repository, and its copy on another machine."""
    having = {
        role: [node.name for node in federation.nodes if role in node.roles]
        for role in ("backup", "offsite")
    }
    for role, names in having.items():
        if len(names) > 1:
            yield Problem(
                "nodes", f"{role} on {', '.join(names)}", f"one node with the role {role}"
            )
    backup, offsite = having["backup"], having["offsite"]
    if offsite and not backup:
        yield Problem(
            "nodes", f"offsite on {offsite[0]}", "a node with the role backup to copy from"
        )
    if backup and not any("data" in node.roles for node in federation.nodes):
        yield Problem("nodes", f"backup on {backup[0]}", "a node with the role data to back up")
    if set(backup) & set(offsite):
        wanted = "backup and offsite on two nodes: a copy beside the original is lost with it"
        yield Problem("nodes", f"backup and offsite on {backup[0]}", wanted)
