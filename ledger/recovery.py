"""What a restore asks of the database: named points, where an event is, the end of the WAL.

For the superuser over the local socket (points and switches) and for whoever may read the log.
"""

import asyncio
from dataclasses import dataclass
from datetime import datetime

from ledger.connect import Connection
from ledger.queries import QUERIES
from ledger.translate import translated

ARCHIVE_POLL_SECONDS = 0.2


@dataclass(frozen=True)
class Point:
    """A named place in the WAL. `time` is the server's clock then."""

    name: str
    lsn: str
    time: datetime


@dataclass(frozen=True)
class Location:
    """The transaction that first signed a log with an event; `time` is before its commit.

    A restore that ends there has the event, and the rest of the `size` events signed with it.
    """

    seq: int
    size: int
    xid: str
    time: datetime


async def make_point(connection: Connection, name: str) -> Point:
    """Name the current place in the WAL; the superuser's alone."""
    with translated(writing=True):
        row = await (await connection.execute(QUERIES["recovery_point"], {"name": name})).fetchone()
    assert row is not None  # noqa: S101 - the function returns a row
    return Point(name, str(row["lsn"]), row["time"])


async def locate(connection: Connection, seq: int) -> Location | None:
    """Where the event with this number was first signed, or None when it has not been."""
    with translated(writing=False):
        row = await (await connection.execute(QUERIES["recovery_locate"], {"seq": seq})).fetchone()
    return Location(seq, row["size"], str(row["xid"]), row["signed_at"]) if row else None


async def end_segment(connection: Connection, seconds: float) -> tuple[str, bool]:
    """End the WAL segment and wait until it is archived; its name, and whether it was in time."""
    with translated(writing=True):
        row = await (await connection.execute(QUERIES["recovery_switch"])).fetchone()
    assert row is not None  # noqa: S101 - the function returns a row
    segment = str(row["segment"])
    deadline = asyncio.get_running_loop().time() + seconds
    while asyncio.get_running_loop().time() < deadline:
        with translated(writing=False):
            found = await (await connection.execute(QUERIES["recovery_archived"])).fetchone()
        if found and found["segment"] and str(found["segment"])[:24] >= segment:
            return segment, True
        await asyncio.sleep(ARCHIVE_POLL_SECONDS)
    return segment, False


async def count_rows(connection: Connection) -> int:
    """How many events the log's table has, counted one by one."""
    with translated(writing=False):
        row = await (await connection.execute(QUERIES["recovery_rows"])).fetchone()
    return int(row["rows"]) if row else 0


async def takes_writes(connection: Connection) -> bool:
    """Whether this server leads."""
    with translated(writing=False):
        row = await (await connection.execute(QUERIES["recovery_leads"])).fetchone()
    return bool(row and row["leads"])
