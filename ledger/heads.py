"""Where the log says it ends, held against what is there and what was signed. Pure.

The state row is the database's own word: a verification believes none of it, it looks as far as
anything was signed or stored and then says where the row and the events part.
"""

from dataclasses import dataclass

from ledger.findings import Fault, Finding

STATE_GONE = Finding(Fault.STATE, "log_state", "the log's state is gone", 0)


@dataclass(frozen=True)
class Heads:
    """Where the log says it ends: numbered events, tree, its root, highest number, newest head.

    `highest` is the largest number an event has (-1: there is none), `signed` the size of the
    largest checkpoint (0: there is none).
    """

    size: int
    tree_size: int
    root: bytes
    highest: int
    signed: int

    def end(self, signed: int) -> int:
        """How far to look: as far as anything reaches that was stored, or signed by the log."""
        return max(self.tree_size, self.size, self.highest + 1, signed)

    def unsigned(self, signed: int) -> Finding | None:
        """The state row knows fewer events than the log's own key signed."""
        if signed <= self.tree_size:
            return None
        text = f"the log's state says {self.tree_size} events, but {signed} are signed"
        return Finding(Fault.STATE, "log_state", text, self.tree_size)

    def contradicted(self, size: int, root: bytes) -> Finding | None:
        """All `size` events were right and have this root: so must be what the row says of them."""
        if self.highest >= self.tree_size:
            text = f"{self.highest + 1 - self.tree_size} events are numbered past the tree's end"
            return Finding(Fault.EXTRA, f"event {self.tree_size}", text, self.tree_size)
        if self.tree_size == size and self.root != root:
            text = "it holds another root than the events have"
            return Finding(Fault.STATE, "log_state", text)
        return None
