"""Read the event log: its events, its size, its tiles, its signed heads."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from uuid import UUID

from ledger.connect import Connection
from ledger.event import Event
from ledger.queries import QUERIES
from ledger.translate import translated


@dataclass(frozen=True)
class LogState:
    """Where the log ends: events in it, and the tree over them (frontier's hashes joined)."""

    size: int
    frontier: bytes
    root: bytes


@dataclass(frozen=True)
class SignedHead:
    """A stored checkpoint: its size and root, and the note (the log's own signature only)."""

    size: int
    root: bytes
    note: str
    signed_at: datetime


async def read(connection: Connection, event_id: UUID) -> bytes | None:
    """The exact bytes of one event, numbered or still waiting, or None."""
    with translated(writing=False):
        cursor = await connection.execute(QUERIES["event_show"], {"id": event_id})
        row = await cursor.fetchone()
    return bytes(row["body"]) if row else None


async def latest(
    connection: Connection, limit: int = 50, kind: str | None = None
) -> tuple[Event, ...]:
    """The latest events, newest first, of one kind or of all, those that wait included."""
    with translated(writing=False):
        cursor = await connection.execute(QUERIES["event_list"], {"limit": limit, "kind": kind})
        rows = await cursor.fetchall()
    return tuple(Event.parse(bytes(row["body"])) for row in rows)


async def state(connection: Connection) -> LogState:
    """Where the log ends now."""
    with translated(writing=False):
        row = await (await connection.execute(QUERIES["log_state"])).fetchone()
    assert row is not None  # noqa: S101 - the migration puts the row there, triggers keep it
    return LogState(row["size"], bytes(row["frontier"]), bytes(row["root"]))


async def tiles(
    connection: Connection, wanted: Sequence[tuple[int, int]]
) -> dict[tuple[int, int], bytes]:
    """Tiles by level and index, as far as they have grown; those that are not there are absent."""
    with translated(writing=False):
        cursor = await connection.execute(
            QUERIES["tiles_read"],
            {"levels": [level for level, _ in wanted], "indexes": [index for _, index in wanted]},
        )
        rows = await cursor.fetchall()
    return {(row["level"], row["index"]): bytes(row["hashes"]) for row in rows}


async def latest_checkpoint(
    connection: Connection, at_most: int | None = None
) -> SignedHead | None:
    """The signed head of the largest tree (of at most this size), or None before the first."""
    with translated(writing=False):
        cursor = await connection.execute(QUERIES["checkpoint_latest"], {"at_most": at_most})
        row = await cursor.fetchone()
    if row is None:
        return None
    return SignedHead(row["size"], bytes(row["root"]), row["note"], row["signed_at"])


async def cosignatures(connection: Connection, size: int) -> tuple[str, ...]:
    """The signature lines witnesses gave to the checkpoint of this size, each with its newline."""
    with translated(writing=False):
        cursor = await connection.execute(QUERIES["cosignatures_of"], {"size": size})
        rows = await cursor.fetchall()
    return tuple(row["line"] for row in rows)


async def cosigned_size(connection: Connection, witness: str) -> int:
    """The largest size this witness (its key's name) has cosigned, as the log has it, or 0."""
    with translated(writing=False):
        cursor = await connection.execute(QUERIES["cosigned_size"], {"witness": witness})
        row = await cursor.fetchone()
    return int(row["size"]) if row and row["size"] is not None else 0
