"""Shares of limits: what a gateway process asks for, and what it is dealt.

The rule and the arithmetic are in the migration's functions, where they run under one lock; this is
how to call them. docs/explanation/limits.md has the argument why no limit is ever passed.
"""

from collections.abc import Sequence
from dataclasses import asdict, dataclass

from psycopg.types.json import Jsonb

from ledger.connect import Connection
from ledger.queries import QUERIES
from ledger.translate import translated

REQUESTS_MINUTE, TOKENS_MINUTE, CONCURRENT = "requests_minute", "tokens_minute", "concurrent"
TOKENS_DAY, TOKENS_MONTH = "tokens_day", "tokens_month"


@dataclass(frozen=True, slots=True)
class Holder:
    """A gateway process. `place` is where at most one runs at a time (node and worker); it may use
    what it holds for `lease_seconds` after each sign of life; no request of it runs longer than
    `request_seconds`.
    """

    id: str
    place: str
    lease_seconds: float
    request_seconds: float


@dataclass(frozen=True, slots=True)
class Ask:
    """A holder's use of one meter, and the share it wants (see `deal_shares` in the migrations)."""

    subject: str
    meter: str
    period: str
    used: int
    keep: int
    need: int
    want: int
    busy_ms: int = 0
    done: bool = False


@dataclass(frozen=True, slots=True)
class Deal:
    """What one ask came to. `limited_to` None: there is no such limit (any more)."""

    subject: str
    meter: str
    period: str
    limited_to: int | None
    share: int | None
    others_share: int
    others_used: int
    others_busy_ms: int
    short: bool


@dataclass(frozen=True)
class Use:
    """How much of a limit is used, and held by gateways."""

    meter: str
    period: str
    used: int
    held: int


async def keep(connection: Connection, holder: Holder) -> bool:
    """A sign of life. True: the lease had run out, and every share must be asked for again."""
    with translated(writing=True):
        cursor = await connection.execute(
            QUERIES["shares_keep"],
            {
                "holder": holder.id,
                "place": holder.place,
                "lease_seconds": holder.lease_seconds,
                "request_seconds": holder.request_seconds,
            },
        )
        row = await cursor.fetchone()
    return bool(row is None or row["lapsed"])


async def deal(connection: Connection, holder_id: str, asks: Sequence[Ask]) -> tuple[Deal, ...]:
    """Ask for shares, report use, give back; all or nothing.

    Raises Rejected when the holder's lease has run out: keep it first. After OutcomeUnknown ask
    again: a share is set, not added to.
    """
    values = {"holder": holder_id, "asks": Jsonb([asdict(ask) for ask in asks])}
    with translated(writing=True):
        rows = await (await connection.execute(QUERIES["shares_deal"], values)).fetchall()
    return tuple(Deal(**row) for row in rows)


async def end(connection: Connection, holder_id: str) -> None:
    """The holder's requests are over; its shares count only as long as what they were used for."""
    with translated(writing=True):
        await connection.execute(QUERIES["shares_end"], {"holder": holder_id})


async def sweep(connection: Connection) -> int:
    """Remove what no longer counts; how many rows went."""
    with translated(writing=True):
        row = await (await connection.execute(QUERIES["shares_sweep"])).fetchone()
    return int(row["gone"]) if row else 0


async def used(connection: Connection, subject: str) -> tuple[Use, ...]:
    """What a subject used of its limits (the operator's right), as gateways last said."""
    with translated(writing=False):
        rows = await (
            await connection.execute(QUERIES["shares_used"], {"subject": subject})
        ).fetchall()
    return tuple(
        Use(row["meter"], row["period"], int(row["used"]), int(row["held"])) for row in rows
    )
