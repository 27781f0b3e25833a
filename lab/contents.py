"""What makes a copy of the shared root file system one particular node. `files` is pure.

A node starts bare: its name, address, keys, mirrors and resolvers, and nothing of the federation's.
What deploys later change is theirs; these files are written once, when the node is made.
"""

import os
import shutil
from dataclasses import dataclass
from pathlib import Path
from textwrap import dedent
from uuid import uuid4

from inventory.home import Home
from inventory.model import Federation, Node
from lab import archives, rootfs, sources
from lab.identity import ensure_host_key, ensure_operator_key
from lab.names import Names, NodeFolder, folder_of, gateway_of

SSHD = "etc/ssh/sshd_config.d"


@dataclass(frozen=True)
class Inputs:
    """Everything about this computer that ends up in a node's files."""

    operator_key: str
    host_key: str
    host_key_public: str
    machine_id: str
    sources: str
    apt_settings: str
    archives: str


def files(federation: Federation, node: Node, given: Inputs) -> dict[str, tuple[int, str]]:
    """Path below the root -> (mode, content) of every file that is this node's own."""
    network = federation.network
    gateway = gateway_of(federation)
    nameservers = "".join(f"nameserver {server}\n" for server in network.dns_servers)
    found = {
        "etc/machine-id": (0o444, f"{given.machine_id}\n"),
        "etc/hostname": (0o644, f"{node.name}\n"),
        "etc/hosts": (0o644, f"127.0.0.1 localhost\n127.0.1.1 {node.name}\n"),
        "etc/resolv.conf": (0o644, nameservers),
        "etc/systemd/network/10-lab.network": (
            0o644,
            dedent(f"""\
                [Match]
                Name=host0

                [Network]
                Address={node.address}/{network.subnet.prefixlen}
                Gateway={gateway.ip}
                LinkLocalAddressing=no
                IPv6AcceptRA=no
                LLDP=no
                EmitLLDP=no
                """),
        ),
        # Several machines booting at once race for the kernel's shared settings: try again.
        "etc/systemd/system/systemd-sysctl.service.d/lab.conf": (
            0o644,
            "[Service]\nRestart=on-failure\nRestartSec=200ms\n",
        ),
        "etc/ssh/ssh_host_ed25519_key": (0o600, given.host_key),
        "etc/ssh/ssh_host_ed25519_key.pub": (0o644, f"{given.host_key_public}\n"),
        "root/.ssh/authorized_keys": (0o600, f"{given.operator_key}\n"),
        "etc/apt/sources.list.d/debian.sources": (0o644, given.sources),
        "etc/apt/apt.conf.d/50lab": (0o644, given.apt_settings + given.archives),
        archives.SHARE_SCRIPT: (0o755, archives.share_script()),
    }
    if node.ssh.port != 22:
        found[f"{SSHD}/10-lab.conf"] = (0o644, f"Port {node.ssh.port}\n")
    return found


def write(federation: Federation, home: Home, names: Names, node: Node) -> None:
    """Write the node's files into its freshly mounted, never booted root file system."""
    folder = folder_of(home, node)
    public = ensure_host_key(home, node)
    given = Inputs(
        operator_key=ensure_operator_key(federation, home),
        host_key=folder.host_key.read_text(),
        host_key_public=public,
        machine_id=uuid4().hex,
        sources=sources.as_text(sources.of_this_machine()),
        apt_settings=rootfs.apt_settings(),
        archives=archives.apt_settings(names.machine(node)),
    )
    for name, (mode, content) in files(federation, node, given).items():
        _place(folder.mount / name, mode, content)
    (folder.mount / "root/.ssh").chmod(0o700)
    _trust_what_this_computer_trusts(folder)


def _place(path: Path, mode: int, content: str) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.unlink(missing_ok=True)
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, mode)
    with os.fdopen(descriptor, "w") as stream:
        os.fchmod(descriptor, mode)
        stream.write(content)


def _trust_what_this_computer_trusts(folder: NodeFolder) -> None:
    """Certificates that package mirrors may need: a private authority or a filtering proxy."""
    if rootfs.CA_BUNDLE.exists():
        shutil.copyfile(rootfs.CA_BUNDLE, folder.mount / rootfs.CA_BUNDLE.relative_to("/"))
    for certificate in rootfs.LOCAL_CAS.glob("*.crt"):
        target = folder.mount / rootfs.LOCAL_CAS.relative_to("/") / certificate.name
        target.parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(certificate, target)
