"""Which versions of the pepper keys use: what decides whether one can be retired."""

from dataclasses import dataclass
from datetime import datetime

from ledger.connect import Connection
from ledger.queries import QUERIES
from ledger.translate import translated


@dataclass(frozen=True)
class PepperUse:
    """A version of the pepper: how many working keys have it, when the last of them ends (None
    without any), and the ids of the first twenty.
    """

    version: int
    live: int
    last_end: datetime | None
    examples: tuple[str, ...]


async def pepper_uses(connection: Connection) -> tuple[PepperUse, ...]:
    """Every version of the pepper that any key ever had, rising; by the server's clock."""
    with translated(writing=False):
        rows = await (await connection.execute(QUERIES["key_peppers"])).fetchall()
    return tuple(PepperUse(**{**row, "examples": tuple(row["examples"])}) for row in rows)
