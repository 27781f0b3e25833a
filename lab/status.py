"""How the lab is, as the kernel and the nodes themselves tell it."""

import socket
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from ipaddress import IPv4Address

from inventory.home import Home
from inventory.model import Federation, Node
from lab.errors import CommandFailed, NodeNotRunning
from lab.inside import run_in
from lab.links import cuts
from lab.machine import running
from lab.names import folder_of, names_of

SSH_TIMEOUT_SECONDS = 1.0
SYSTEM_STATE_SECONDS = 5.0


@dataclass(frozen=True)
class NodeStatus:
    """One node as it is now.

    `system` is systemd's word for it (`running`, `degraded`, `starting`...; empty when off);
    `cut` says which cuts in force concern it.
    """

    name: str
    address: IPv4Address
    made: bool
    running: bool
    system: str
    ssh: bool
    cut: tuple[str, ...]

    @property
    def booted(self) -> bool:
        """Whether systemd has finished starting units."""
        return self.system in ("running", "degraded")


def status(
    federation: Federation, home: Home, nodes: Sequence[Node] | None = None
) -> tuple[NodeStatus, ...]:
    """The status of `nodes` (default: all), in order; never waits longer than a few seconds."""
    names_of(federation, home)
    wanted = tuple(nodes if nodes is not None else federation.nodes)
    with ThreadPoolExecutor(max_workers=max(1, len(wanted))) as pool:
        return tuple(pool.map(lambda node: _status(federation, home, node), wanted))


def answers_ssh(node: Node, timeout_seconds: float = SSH_TIMEOUT_SECONDS) -> bool:
    """Whether an SSH server greets us at the node's address."""
    try:
        with socket.create_connection((str(node.address), node.ssh.port), timeout_seconds) as peer:
            peer.settimeout(timeout_seconds)
            return peer.recv(4) == b"SSH-"
    except OSError:
        return False


def system_state(federation: Federation, home: Home, node: Node) -> str:
    """systemd's word for the state of the node; empty when it does not answer."""
    argv = ("systemctl", "is-system-running")
    try:
        done = run_in(federation, home, node, argv, timeout_seconds=SYSTEM_STATE_SECONDS)
    except (NodeNotRunning, CommandFailed):
        return ""
    return done.stdout.strip()


def _status(federation: Federation, home: Home, node: Node) -> NodeStatus:
    alive = running(home, node)
    return NodeStatus(
        name=node.name,
        address=node.address,
        made=folder_of(home, node).base.exists(),
        running=alive,
        system=system_state(federation, home, node) if alive else "",
        ssh=alive and answers_ssh(node),
        cut=tuple("-".join(names) for names in cuts(home) if node.name in names),
    )
