"""Signed heads: the newest one must be of this tree before another is signed.

A head is signed from what the database has committed, stored, and shown to witnesses only once its
own commit is durable: a head whose tree a failover could still lose never leaves the process.
"""

from dataclasses import dataclass

from ledger import log, tiles
from ledger.checkpoint import Checkpoint, opened
from ledger.connect import Connection
from ledger.errors import LogBroken, NoteInvalid
from ledger.merkle import Frontier
from ledger.note import SignerKey
from ledger.sequence import publish
from ledger.tiles import Edge


@dataclass(frozen=True)
class Head:
    """A stored checkpoint: the log's size and root, and the note with the log's signature."""

    size: int
    root: bytes
    note: str


async def newest(connection: Connection, edge: Edge, key: SignerKey) -> Head | None:
    """The newest stored head, checked: ours, and of a tree that this one continues.

    Raises LogBroken. None: nothing was signed yet.
    """
    stored = await log.latest_checkpoint(connection)
    if stored is None:
        return None
    try:
        found = opened(stored.note, [key.verifier], key.name)
    except NoteInvalid as error:
        raise LogBroken(f"the checkpoint of {stored.size} events is not ours: {error}") from error
    if (found.size, found.root) != (stored.size, stored.root):
        raise LogBroken(f"the checkpoint of {stored.size} events says something else than its row")
    if found.size > edge.size:
        raise LogBroken(
            f"a head of {found.size} events was signed, but the log ends at {edge.size}: "
            "events are gone, or an old copy was put in place"
        )
    if await root_at(connection, found.size) != found.root:
        raise LogBroken(f"the first {found.size} events are not those that were signed")
    return Head(found.size, found.root, stored.note)


async def root_at(connection: Connection, size: int) -> bytes:
    """The root of the first `size` events, out of the stored tiles; raises LogBroken."""
    levels = enumerate(tiles.widths(size))
    wanted = [(level, size >> tiles.HEIGHT * (level + 1)) for level, width in levels if width]
    stored = await log.tiles(connection, wanted)
    try:
        edge = tiles.edge_of(size, lambda level, index: stored.get((level, index), b""))
    except ValueError as error:
        raise LogBroken(f"the tree of {size} events is not whole: {error}") from error
    return edge.frontier().root()


async def sign(connection: Connection, frontier: Frontier, key: SignerKey) -> Head:
    """Sign the tree as it is and store that; raises Superseded when it is not so any more."""
    root = frontier.root()
    note = Checkpoint(key.name, frontier.size, root).signed(key).encode()
    await publish(connection, frontier.size, root, note)
    return Head(frontier.size, root, note)
