"""The pinned host keys, `home.known_hosts`: who may write there, and when.

A key gets in from the inventory (`ssh.host_key`), from the lab's own record, or because a person
named its fingerprint. Nothing is ever trusted on sight.
"""

import base64
import hashlib
import hmac
import os
from pathlib import Path

import paramiko

from deploys.errors import FailureKind, Unreachable
from fedctl.errors import FedctlError
from inventory.home import Home
from inventory.model import Federation, Node

DIAL_SECONDS = 8.0


def hosts_of(federation: Federation, node: Node) -> tuple[str, ...]:
    """The names a node's key is pinned under."""
    names = (node.name, federation.fqdn(node), str(node.address))
    if node.ssh.port == 22:
        return names
    return tuple(f"[{name}]:{node.ssh.port}" for name in names)


def pinned(federation: Federation, home: Home, node: Node) -> tuple[str, ...]:
    """Keys (`type base64`) pinned for the node."""
    names = set(hosts_of(federation, node))
    return tuple(
        " ".join(line.split()[1:3])
        for line in _lines(home.known_hosts)
        if names & set(line.split()[0].split(","))
    )


def pin(federation: Federation, home: Home, node: Node, key: str) -> None:
    """Make `key` (`type base64`) the only one accepted from the node; others' lines are kept."""
    names = hosts_of(federation, node)
    kept = [
        line for line in _lines(home.known_hosts)
        if not set(names) & set(line.split()[0].split(","))
    ]  # fmt: skip
    text = "".join(f"{line}\n" for line in [*kept, f"{','.join(names)} {key}"])
    home.known_hosts.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    temporary = home.known_hosts.with_name(f".known_hosts.{os.getpid()}")
    temporary.write_text(text)
    temporary.replace(home.known_hosts)


def pin_from_inventory(federation: Federation, home: Home) -> tuple[str, ...]:
    """Pin the keys that the inventory states; names of nodes whose pin this changed."""
    changed = []
    for node in federation.nodes:
        key = node.ssh.host_key
        if key is not None and pinned(federation, home, node) != (key,):
            pin(federation, home, node, key)
            changed.append(node.name)
    return tuple(changed)


def pin_fingerprint(federation: Federation, home: Home, node: Node, wanted: str) -> str:
    """Pin the key the node shows, if it has this fingerprint; returns the key.

    Raises Unreachable, FedctlError when the fingerprint is another one.
    """
    shown = offered(node)
    found = fingerprint(shown)
    if not hmac.compare_digest(found, normal(wanted)):
        raise FedctlError(
            f"{node.name} shows a host key with the fingerprint {found}, not {normal(wanted)}",
            "read it on the machine's console: ssh-keygen -lf /etc/ssh/ssh_host_ed25519_key.pub",
        )
    pin(federation, home, node, shown)
    return shown


def offered(node: Node) -> str:
    """The host key (`type base64`) the node shows to anybody; raises Unreachable."""
    try:
        transport = paramiko.Transport((str(node.address), node.ssh.port))
    except (OSError, paramiko.SSHException) as error:
        raise Unreachable(FailureKind.DOWN, f"{node.name} ({node.address}): {error}") from error
    try:
        options = transport.get_security_options()
        first = ("ssh-ed25519", "ecdsa-sha2-nistp256")
        options.key_types = (*first, *(t for t in options.key_types if t not in first))
        transport.start_client(timeout=DIAL_SECONDS)
        key = transport.get_remote_server_key()
    except (OSError, EOFError, paramiko.SSHException) as error:
        raise Unreachable(FailureKind.DOWN, f"{node.name} ({node.address}): {error}") from error
    finally:
        transport.close()
    return f"{key.get_name()} {key.get_base64()}"


def fingerprint(key: str) -> str:
    """`SHA256:...` of a key (`type base64`), as ssh-keygen prints it."""
    digest = hashlib.sha256(base64.b64decode(key.split()[1])).digest()
    return "SHA256:" + base64.b64encode(digest).decode().rstrip("=")


def normal(text: str) -> str:
    """A fingerprint as people paste it, with its prefix and without padding."""
    text = text.strip().rstrip("=")
    return text if text.startswith("SHA256:") else f"SHA256:{text}"


def _lines(path: Path) -> list[str]:
    try:
        return [line for line in path.read_text().splitlines() if line.strip()]
    except FileNotFoundError:
        return []
