"""What the lab's things are called on this computer. Pure.

Every name follows from the federation's name and the folder its lab lives in, so a crashed run's
leftovers are found again without any record, and two labs on one computer never share a name.
Linux allows 15 characters for an interface.
"""

import re
from dataclasses import dataclass
from hashlib import sha256
from ipaddress import IPv4Interface
from pathlib import Path

from inventory.home import Home
from inventory.model import Federation, Node
from lab.errors import NotALab

INTERFACE_MAX = 15
MARK_PREFIX = "federation lab "
MACHINE_MAX = INTERFACE_MAX - len("vb-")


@dataclass(frozen=True)
class Names:
    """Names of one lab: its bridge, its nftables tables, its mark of ownership."""

    lab: str
    folder: Path
    tag: str

    @property
    def bridge(self) -> str:
        """The bridge interface: `fed-NAME` when that fits."""
        readable = f"fed-{self.lab}"
        return readable if len(readable) <= INTERFACE_MAX else f"fed-{self.tag}"

    @property
    def table(self) -> str:
        """The nftables table (family inet: NAT; family bridge: cut links)."""
        return f"federation_{self.lab.replace('-', '_')}"

    @property
    def mark(self) -> str:
        """What our bridge and tables carry: no quotes, at most 120 characters."""
        folder = re.sub(r"[^A-Za-z0-9_./-]", "?", str(self.folder))
        return f"{MARK_PREFIX}{self.lab} {self.tag} {folder}"[:120]

    def machine(self, node: Node) -> str:
        """The machine's name, unique on this computer: `TAG-NODE`, at most 12 characters."""
        room = MACHINE_MAX - len(self.tag[:4]) - 1
        short = node.name
        if len(short) > room:
            digest = sha256(node.name.encode()).hexdigest()
            short = node.name[: room - 4].rstrip("-") + digest[:4]
        return f"{self.tag[:4]}-{short}"

    def port(self, node: Node) -> str:
        """The bridge's port to the node (nspawn names it so)."""
        return f"vb-{self.machine(node)}"

    def cgroup(self, node: Node) -> str:
        """The control group, at the top of the tree, that holds everything the node runs."""
        return f"federation-{self.machine(node)}"


@dataclass(frozen=True)
class NodeFolder:
    """The folders and files of one node on this computer."""

    root: Path

    @property
    def mount(self) -> Path:
        """Where the node's merged file system is mounted while it runs."""
        return self.root / "root"

    @property
    def upper(self) -> Path:
        """What the node wrote, over the shared base."""
        return self.root / "upper"

    @property
    def work(self) -> Path:
        """Overlayfs' own scratch folder."""
        return self.root / "work"

    @property
    def base(self) -> Path:
        """A file with the key of the base this node was made from; the node's birth certificate."""
        return self.root / "base"

    @property
    def host_key(self) -> Path:
        """The node's private SSH host key; `.pub` beside it."""
        return self.root / "ssh_host_ed25519_key"

    @property
    def console(self) -> Path:
        """What the machine printed on its console since it last booted."""
        return self.root / "console.log"


def names_of(federation: Federation, home: Home) -> Names:
    """The names of `federation`'s lab in `home`; raises NotALab for a site."""
    if federation.kind != "lab":
        raise NotALab(f"{federation.name} is a {federation.kind}, not a lab: it is never touched")
    folder = home.lab.absolute()
    tag = sha256(f"{federation.name}\0{folder}".encode()).hexdigest()[:8]
    return Names(lab=federation.name, folder=folder, tag=tag)


def folder_of(home: Home, node: Node) -> NodeFolder:
    """Where `node` lives on this computer."""
    return NodeFolder(home.lab.absolute() / node.name)


def gateway_of(federation: Federation) -> IPv4Interface:
    """This computer's end of the bridge: the first operator address, with the subnet's length."""
    network = federation.network
    return IPv4Interface(f"{network.operator_addresses[0]}/{network.subnet.prefixlen}")
