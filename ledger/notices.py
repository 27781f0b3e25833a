"""Notices of keys in the ledger: the outbox that a webhook is served from.

A notice is put in the transaction of its event, so that there is none without the other. Whoever
sends one takes it first, for a bounded time; a sender that dies has it taken by another one later.
So a notice arrives at least once, and its id tells a receiver that it has it already. Of one key
the next one waits for the one before; between keys there is no order. All times are the database's.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from uuid import UUID

from ledger.connect import Connection
from ledger.queries import QUERIES
from ledger.translate import translated

PENDING, DELIVERED, GIVEN_UP = "pending", "delivered", "given_up"
STATES = (PENDING, DELIVERED, GIVEN_UP)
MAX_ERROR = 200
GIVE_UP_AT_ONCE = 1000


@dataclass(frozen=True)
class Notice:
    """One message: `id` is its event's, `body` the exact bytes that are signed and sent."""

    id: UUID
    key_id: str
    kind: str
    body: bytes


@dataclass(frozen=True)
class Taken:
    """A notice that is ours to send now; `attempts` counts this one."""

    notice: Notice
    attempts: int


@dataclass(frozen=True)
class Lost:
    """A notice that was given up, and what the last attempt came to."""

    id: UUID
    key_id: str
    kind: str
    attempts: int
    last_error: str | None


@dataclass(frozen=True)
class Figures:
    """How the outbox stands. `given_up`: within a day; `oldest_seconds`: how long the oldest
    pending one has waited; `wait_seconds`: until the next is due, None when none is pending.
    """

    pending: int = 0
    given_up: int = 0
    oldest_seconds: float = 0.0
    wait_seconds: float | None = None


@dataclass(frozen=True)
class NoticeRecord:
    """What people are shown of a notice; never its text."""

    id: UUID
    key_id: str
    kind: str
    state: str
    made_at: datetime
    attempts: int
    next_at: datetime
    tried_by: str | None
    last_error: str | None
    settled_at: datetime | None


async def put(connection: Connection, notices: Sequence[Notice]) -> None:
    """Have these delivered, in the caller's transaction."""
    values = {
        "ids": [each.id for each in notices],
        "keys": [each.key_id for each in notices],
        "kinds": [each.kind for each in notices],
        "bodies": [each.body for each in notices],
    }
    with translated(writing=True):
        await connection.execute(QUERIES["notice_put"], values)


async def take(
    connection: Connection, node: str, limit: int, lease: timedelta
) -> tuple[Taken, ...]:
    """At most `limit` that are due, the oldest first; nobody else takes them until `lease` ends."""
    values = {"node": node, "limit": limit, "lease_seconds": lease.total_seconds()}
    with translated(writing=True):
        rows = await (await connection.execute(QUERIES["notice_take"], values)).fetchall()
    return tuple(
        Taken(Notice(row["id"], row["key_id"], row["kind"], bytes(row["body"])), row["attempts"])
        for row in sorted(rows, key=lambda row: int(row["seq"]))
    )


async def delivered(connection: Connection, notice_id: UUID) -> None:
    """Somebody took it."""
    with translated(writing=True):
        await connection.execute(QUERIES["notice_delivered"], {"id": notice_id})


async def later(connection: Connection, taken: Taken, pause: timedelta, error: str) -> None:
    """It was not taken: again after `pause`. `error` is shown to people."""
    values = {
        "id": taken.notice.id,
        "attempts": taken.attempts,
        "pause_seconds": pause.total_seconds(),
        "error": error[:MAX_ERROR],
    }
    with translated(writing=True):
        await connection.execute(QUERIES["notice_later"], values)


async def give_up(connection: Connection, oldest: timedelta) -> tuple[Lost, ...]:
    """Give up what was made longer ago than `oldest`, in the caller's transaction; at most 1000."""
    values = {"oldest_seconds": oldest.total_seconds(), "limit": GIVE_UP_AT_ONCE}
    with translated(writing=True):
        rows = await (await connection.execute(QUERIES["notice_give_up"], values)).fetchall()
    return tuple(
        Lost(row["id"], row["key_id"], row["kind"], row["attempts"], row["last_error"])
        for row in sorted(rows, key=lambda row: int(row["seq"]))
    )


async def forget(connection: Connection, kept: timedelta) -> None:
    """Forget what was settled longer ago than `kept`."""
    values = {"kept_seconds": kept.total_seconds()}
    with translated(writing=True):
        await connection.execute(QUERIES["notice_forget"], values)


async def figures(connection: Connection) -> Figures:
    """How the outbox stands now."""
    with translated(writing=False):
        row = await (await connection.execute(QUERIES["notice_figures"])).fetchone()
    return Figures() if row is None else Figures(**row)


async def listed(
    connection: Connection, states: Sequence[str], limit: int, only: UUID | None = None
) -> tuple[NoticeRecord, ...]:
    """The newest notices in these states, the newest first; of one id when it is given."""
    values = {"states": list(states), "limit": limit, "only": only}
    with translated(writing=False):
        rows = await (await connection.execute(QUERIES["notice_list"], values)).fetchall()
    return tuple(NoticeRecord(**row) for row in rows)
