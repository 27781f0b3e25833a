"""The federation's witnesses as the operator knows them: one pinned public key for each node.

A witness's private key is made on its node and never leaves it. Its public half (a vkey) is read
back once and pinned in the operator's home, `witnesses/NODE.vkey`: from then on another key on that
node is refused, unless the node was rebuilt, which retires the pin (`fedctl bootstrap`).
"""

import os
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

from inventory.home import Home
from inventory.model import Federation, Node, Platform
from ledger.note import Kind, VerifierKey

CREDENTIAL = "witness-key"
SUFFIX = ".vkey"


@dataclass(frozen=True)
class Witness:
    """One witness: the node it is on, where it listens, and its pinned key as text."""

    node: str
    host: str
    address: str
    port: int
    vkey: str


def key_name(federation: Federation, node: Node) -> str:
    """What the witness of `node` calls itself in its signatures."""
    return f"{federation.fqdn(node)}/witness"


def vkey_of(federation: Federation, node: Node, public: bytes) -> str:
    """The vkey text for the node's 32 public bytes; raises NoteInvalid."""
    key = VerifierKey(key_name(federation, node), Kind.COSIGNATURE_ED25519, public)
    return key.text()


def nodes_of(federation: Federation) -> tuple[Node, ...]:
    """The nodes that run a witness."""
    return federation.on(Platform.DEBIAN)


def witnesses(federation: Federation, home: Home) -> tuple[Witness, ...]:
    """The witnesses whose keys are pinned, in the inventory's order."""
    return tuple(
        Witness(
            node.name,
            federation.fqdn(node),
            str(node.address),
            federation.ports.witness,
            pinned(home, node),
        )
        for node in nodes_of(federation)
        if pinned(home, node)
    )


def pinned(home: Home, node: Node) -> str:
    """The pinned vkey of the witness on `node`, or nothing."""
    try:
        return _path(home, node).read_text().strip()
    except FileNotFoundError:
        return ""


def pin(home: Home, node: Node, vkey: str) -> None:
    """Pin a key for a node that has none; raises FileExistsError when it has another one."""
    path = _path(home, node)
    path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    temporary = path.with_name(f".{path.name}.{os.getpid()}")
    temporary.write_text(vkey + "\n")
    try:
        path.hardlink_to(temporary)
    except FileExistsError:
        if pinned(home, node) != vkey:
            raise
    finally:
        temporary.unlink()


def retire(home: Home, node: Node, now: datetime) -> bool:
    """Take the pin back, because the node was rebuilt; whether there was one.

    The old key is kept beside it: it made cosignatures that are still in the log.
    """
    path = _path(home, node)
    try:
        path.rename(path.with_name(f"{node.name}.retired-{now:%Y%m%dT%H%M%S}{SUFFIX}"))
    except FileNotFoundError:
        return False
    return True


def _path(home: Home, node: Node) -> Path:
    return home.root / "witnesses" / f"{node.name}{SUFFIX}"
