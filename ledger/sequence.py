"""Number waiting events and grow the tree over them: what the sequencer does to the database.

A batch is one transaction: the server moves events from the inbox into the log and says their leaf
hashes, the tree is grown here, and tiles, frontier, root and size are stored with it. Whoever does
it says how large the log was; the server lets one at a time through and refuses who is behind
(Superseded). So two that believe they are the sequencer do no harm: one is told.
"""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import datetime

from psycopg.pq import TransactionStatus

from ledger import log, tiles
from ledger.connect import Connection
from ledger.errors import LogBroken
from ledger.merkle import Frontier, leaf_hash
from ledger.queries import QUERIES
from ledger.tiles import Edge, Tile
from ledger.translate import translated


@dataclass(frozen=True)
class Batch:
    """What one transaction did: the tree after it, events numbered, and oddities set aside."""

    edge: Edge
    frontier: Frontier
    numbered: int
    dropped: int = 0
    conflicting: int = 0


@dataclass(frozen=True)
class Waiting:
    """The inbox: when its oldest event came (None: none waits), and their number (to a cap)."""

    oldest: datetime | None
    count: int


async def claim(connection: Connection) -> bool:
    """Take the one lock of the active sequencer, for as long as this session lives; or not."""
    with translated(writing=False):
        row = await (await connection.execute(QUERIES["sequencer_claim"])).fetchone()
    return bool(row and row["claimed"])


@asynccontextmanager
async def snapshot(connection: Connection) -> AsyncIterator[None]:
    """Reads inside see one moment of the database; inside another snapshot, that one's."""
    if connection.info.transaction_status is not TransactionStatus.IDLE:
        yield
        return
    with translated(writing=False):
        async with connection.transaction():
            await connection.execute(QUERIES["snapshot_begin"])
            yield


async def load(connection: Connection) -> Edge:
    """`read_edge` at one moment, and safe to show.

    A server that crashed shows rows whose commit no standby has yet; a tree or a head that is still
    to be lost must not be continued, much less be shown to witnesses. So this returns when another
    server has all that was read.
    """
    async with snapshot(connection):
        edge = await read_edge(connection)
    await replicated(connection)
    return edge


async def read_edge(connection: Connection) -> Edge:
    """The tree's right edge, checked against everything that is stored of it.

    To be called inside a `snapshot`: another sequencer may be at work. Raises LogBroken, saying
    what disagrees: the edge tiles with frontier and root, with the bytes of the last events, or the
    events' numbers with the size.
    """
    state = await log.state(connection)
    wanted = [
        (level, state.size >> tiles.HEIGHT * (level + 1))
        for level, width in enumerate(tiles.widths(state.size))
        if width
    ]
    stored = await log.tiles(connection, wanted)
    try:
        edge = tiles.edge_of(state.size, lambda level, index: stored.get((level, index), b""))
        frontier = Frontier.decode(state.size, state.frontier)
    except ValueError as error:
        raise LogBroken(f"the tree of {state.size} events is not whole: {error}") from error
    if edge.frontier() != frontier:
        raise LogBroken(f"the tiles of the tree of {state.size} events are not of its frontier")
    if frontier.root() != state.root:
        raise LogBroken(f"the frontier of {state.size} events does not have the stored root")
    await _check_rows(connection, edge)
    return edge


async def replicated(connection: Connection) -> None:
    """Wait until all that this session can see is where no single failure loses it."""
    with translated(writing=False):
        await connection.execute(QUERIES["replicated"])


async def _check_rows(connection: Connection, edge: Edge) -> None:
    """The last events' bytes against the last tile; nothing may be numbered beyond the tree."""
    first = edge.size - edge.size % tiles.WIDTH
    with translated(writing=False):
        rows = await (await connection.execute(QUERIES["log_tail"], {"first": first})).fetchall()
    for place, row in enumerate(rows, start=first):
        if row["seq"] != place or place >= edge.size:
            raise LogBroken(f"the log has an event numbered {row['seq']} where {place} should be")
        at = (place - first) * 32
        if edge.partial[0][at : at + 32] != leaf_hash(bytes(row["body"])):
            raise LogBroken(f"event {place} is not the one in the tree")
    if first + len(rows) != edge.size:
        raise LogBroken(f"event {first + len(rows)} is missing: the tree has {edge.size}")


async def advance(connection: Connection, edge: Edge, most: int) -> Batch:
    """Number up to `most` waiting events on top of `edge`; nothing is written when none wait.

    Raises Superseded when the log is not where `edge` says; OutcomeUnknown when the connection went
    during the commit (`load` tells what became of it).
    """
    with translated(writing=True):
        async with connection.transaction():
            cursor = await connection.execute(
                QUERIES["sequence_batch"], {"size": edge.size, "most": most}, binary=True
            )
            row = await cursor.fetchone()
            assert row is not None  # noqa: S101 - a function call is one row
            leaves = bytes(row["leaves"] or b"")
            grown, changed = edge.grow(leaves)
            frontier = grown.frontier()
            if leaves:
                await _seal(connection, frontier, changed)
    return Batch(grown, frontier, grown.size - edge.size, row["dropped"], row["conflicting"])


async def _seal(connection: Connection, frontier: Frontier, changed: tuple[Tile, ...]) -> None:
    await connection.execute(
        QUERIES["seal_batch"],
        {
            "size": frontier.size,
            "frontier": frontier.encode(),
            "root": frontier.root(),
            "levels": [tile.level for tile in changed],
            "indexes": [tile.index for tile in changed],
            "hashes": [tile.hashes for tile in changed],
        },
    )


async def publish(connection: Connection, size: int, root: bytes, note: str) -> bool:
    """Store a signed head; False when there is one of this size. Superseded: the tree has moved."""
    with translated(writing=True):
        cursor = await connection.execute(
            QUERIES["checkpoint_add"], {"size": size, "root": root, "note": note}
        )
        row = await cursor.fetchone()
    return bool(row and row["new"])


async def cosign(connection: Connection, size: int, witness: str, line: str) -> bool:
    """Store a witness's signature line of the checkpoint of `size`; False when it was there."""
    with translated(writing=True):
        cursor = await connection.execute(
            QUERIES["cosignature_add"], {"size": size, "witness": witness, "line": line}
        )
        row = await cursor.fetchone()
    return bool(row and row["new"])


async def waiting(connection: Connection) -> Waiting:
    """How long and how many events wait to be numbered."""
    with translated(writing=False):
        row = await (await connection.execute(QUERIES["inbox_waiting"])).fetchone()
    assert row is not None  # noqa: S101 - aggregates give one row
    return Waiting(row["oldest"], row["count"])


async def any_waiting(connection: Connection) -> bool:
    """Whether there is anything to number: a look that writes nothing and locks nothing."""
    with translated(writing=False):
        row = await (await connection.execute(QUERIES["inbox_any"])).fetchone()
    return bool(row and row["waits"])


async def make_partitions(connection: Connection, months: int) -> tuple[str, ...]:
    """Make the months' partitions up to `months` ahead; the names of the new ones."""
    with translated(writing=True):
        cursor = await connection.execute(QUERIES["partitions_make"], {"months": months})
        row = await cursor.fetchone()
    return tuple(row["made"]) if row else ()
