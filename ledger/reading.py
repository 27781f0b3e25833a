"""Read the log for a verification: what it says of itself, its rows in pieces, its checkpoints.

Nothing is judged here. Every call raises LedgerError when the database cannot be read.
"""

from typing import LiteralString

from ledger.connect import Connection, Row
from ledger.heads import Heads
from ledger.log import tiles
from ledger.queries import QUERIES
from ledger.replay import tiles_of_rows
from ledger.translate import translated

BATCH_ROWS = 16_384
BATCH_BYTES = 16 * 1024 * 1024


class LogReader:
    """The stored log over one connection, at most `batch_rows` rows at once."""

    def __init__(self, connection: Connection, batch_rows: int = BATCH_ROWS) -> None:
        self.connection = connection
        self._rows_at_once = batch_rows

    async def heads(self) -> Heads | None:
        """Where the log says it ends; None when its state row is gone."""
        with translated(writing=False):
            row = await (await self.connection.execute(QUERIES["verify_heads"])).fetchone()
        if row is None:
            return None
        highest = -1 if row["highest"] is None else row["highest"]
        return Heads(row["size"], row["tree_size"], bytes(row["root"]), highest, row["signed"] or 0)

    async def rows(self, start: int, stop: int) -> list[Row]:
        """Events from number `start` on, before `stop`: a piece of BATCH_BYTES, or one event."""
        if start >= stop:
            return []
        return await self._all(
            QUERIES["verify_rows"],
            start=start,
            stop=stop,
            most=self._rows_at_once,
            bytes=BATCH_BYTES,
        )

    async def tiles(self, start: int, stop: int) -> dict[tuple[int, int], bytes]:
        """The tiles that rows [start, stop) are in, of every level."""
        return await tiles(self.connection, tiles_of_rows(start, stop))

    async def checkpoints(self, above: int, upto: int) -> list[Row]:
        """The checkpoints of sizes in (above, upto], in order; their signatures are unchecked."""
        found: list[Row] = []
        while above < upto:
            rows = await self._all(
                QUERIES["verify_checkpoints"], above=above, upto=upto, most=self._rows_at_once
            )
            found += rows
            if len(rows) < self._rows_at_once:
                break
            above = rows[-1]["size"]
        return found

    async def checkpoint_above(self, size: int) -> Row | None:
        """The smallest checkpoint of more than `size` events."""
        return await self._one(QUERIES["verify_next_checkpoint"], above=size)

    async def checkpoint_at_most(self, size: int) -> Row | None:
        """The largest checkpoint of at most `size` events."""
        return await self._one(QUERIES["checkpoint_latest"], at_most=size)

    async def _all(self, query: LiteralString, **values: object) -> list[Row]:
        with translated(writing=False):
            cursor = await self.connection.execute(query, values, binary=True)
            return await cursor.fetchall()

    async def _one(self, query: LiteralString, **values: object) -> Row | None:
        rows = await self._all(query, **values)
        return rows[0] if rows else None
