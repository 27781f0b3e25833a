"""Keys that services make on their nodes, as the operator knows them: one pinned public key a node.

The private key never leaves its node. Its public half (a vkey) is read back once and pinned in the
operator's home, `FOLDER/NODE.vkey`: from then on another key on that node is refused, unless the
node was rebuilt, which retires the pin (`fedctl bootstrap`).
"""

import os
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

from deploys.layout import CONFIG
from inventory.home import Home
from inventory.model import Federation, Node
from ledger.note import Kind, VerifierKey

SUFFIX = ".vkey"


@dataclass(frozen=True)
class NodeKeys:
    """The keys of one service, a key for each node that runs it: who uses it (`owner`, a word), the
    name of its credential, its C2SP type, and the `folder` of pins in the operator's home.
    """

    owner: str
    credential: str
    kind: Kind
    folder: str

    @property
    def sealed(self) -> str:
        """Where the private key is on its node, encrypted to that machine."""
        return f"{CONFIG}/credentials/{self.credential}"

    def name(self, federation: Federation, node: Node) -> str:
        """What the key of `node` calls itself."""
        return f"{federation.fqdn(node)}/{self.owner}"

    def vkey(self, federation: Federation, node: Node, public: bytes) -> str:
        """The vkey text for the node's 32 public bytes; raises NoteInvalid."""
        return VerifierKey(self.name(federation, node), self.kind, public).text()

    def pinned(self, home: Home, node: Node) -> str:
        """The pinned vkey of `node`, or nothing."""
        try:
            return self.path(home, node).read_text().strip()
        except FileNotFoundError:
            return ""

    def public(self, home: Home, node: Node) -> str:
        """The pinned key's 32 bytes as hex, or nothing; raises NoteInvalid."""
        text = self.pinned(home, node)
        return VerifierKey.parse(text).public.hex() if text else ""

    def pin(self, home: Home, node: Node, vkey: str) -> None:
        """Pin a key for a node that has none; raises FileExistsError when it has another one."""
        path = self.path(home, node)
        path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        temporary = path.with_name(f".{path.name}.{os.getpid()}")
        temporary.write_text(vkey + "\n")
        try:
            path.hardlink_to(temporary)
        except FileExistsError:
            if self.pinned(home, node) != vkey:
                raise
        finally:
            temporary.unlink()

    def retire(self, home: Home, node: Node, now: datetime) -> bool:
        """Take the pin back, because the node was rebuilt; whether there was one.

        The old key is kept beside it: what it signed may still have to be checked.
        """
        path = self.path(home, node)
        try:
            path.rename(path.with_name(f"{node.name}.retired-{now:%Y%m%dT%H%M%S}{SUFFIX}"))
        except FileNotFoundError:
            return False
        return True

    def path(self, home: Home, node: Node) -> Path:
        """Where the key of `node` is pinned."""
        return home.root / self.folder / f"{node.name}{SUFFIX}"


WITNESS = NodeKeys("witness", "witness-key", Kind.COSIGNATURE_ED25519, "witnesses")
# What a sequencer signs its requests to witnesses with (decision 35).
SEQUENCER = NodeKeys("sequencer", "sequencer-signing", Kind.ED25519, "sequencers")
NODE_KEYS = (WITNESS, SEQUENCER)
