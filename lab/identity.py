"""Keys: the operator's, one host key a node, and the file that pins them.

Host keys are made here, before a node first boots, so that no connection ever has to trust a key
on sight. They live beside the node's disk and change only when the node is reset.
"""

import os
from pathlib import Path

from inventory.home import Home
from inventory.model import Federation, Node
from lab.command import run
from lab.names import folder_of
from trust import operator_ssh


def ensure_operator_key(federation: Federation, home: Home) -> str:
    """The operator's public SSH key; the pair is made when there is none.

    The private half is in the operator's store only. Raises StoreError, KeyExposed.
    """
    return operator_ssh.ensure(home, f"operator of {federation.name}")


def ensure_host_key(home: Home, node: Node) -> str:
    """The node's public host key; the pair is made when there is none."""
    key = folder_of(home, node).host_key
    _ensure_key(key, node.name)
    return _public(key)


def pin_host_keys(federation: Federation, home: Home) -> None:
    """Write the keys of all nodes that have one to `home.known_hosts`, by every name they have.

    Lines about hosts outside this federation are kept.
    """
    pins, hosts = [], set()
    for node in federation.nodes:
        hosts |= set(_hosts(federation, node))
        if folder_of(home, node).host_key.exists():
            key = " ".join(_public(folder_of(home, node).host_key).split()[:2])
            pins.append(f"{','.join(_hosts(federation, node))} {key}")
    kept = []
    if home.known_hosts.exists():
        for line in home.known_hosts.read_text().splitlines():
            fields = line.split()
            if fields and not hosts & set(fields[0].split(",")):
                kept.append(line)
    text = "".join(f"{line}\n" for line in [*kept, *pins])
    _write_atomically(home.known_hosts, text, 0o644)


def _hosts(federation: Federation, node: Node) -> tuple[str, ...]:
    hosts = (node.name, federation.fqdn(node), str(node.address))
    if node.ssh.port == 22:
        return hosts
    return tuple(f"[{host}]:{node.ssh.port}" for host in hosts)


def _public(key: Path) -> str:
    return key.with_name(key.name + ".pub").read_text().strip()


def _ensure_key(path: Path, comment: str) -> None:
    public = path.with_name(path.name + ".pub")
    if path.exists() and public.exists():
        return
    path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
    making = path.with_name(f".{path.name}.{os.getpid()}")
    for leftover in (making, making.with_name(making.name + ".pub")):
        leftover.unlink(missing_ok=True)
    run(("ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-C", comment, "-f", str(making)))
    # The public half first: a pair counts as made only when its private half is there.
    making.with_name(making.name + ".pub").rename(public)
    making.rename(path)


def _write_atomically(path: Path, text: str, mode: int) -> None:
    path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
    temporary = path.with_name(f".{path.name}.{os.getpid()}")
    with temporary.open("w") as stream:
        stream.write(text)
        stream.flush()
        os.fsync(stream.fileno())
    temporary.chmod(mode)
    temporary.rename(path)
