"""The audit: one row a request, its intent before it is relayed, its outcome once afterwards.

No prompt and no answer is ever written here. Both writes may be repeated with the same values:
after OutcomeUnknown, send the same thing again.
"""

from dataclasses import asdict, dataclass
from datetime import datetime
from enum import StrEnum
from uuid import UUID

from ledger.connect import Connection, Row
from ledger.queries import QUERIES
from ledger.translate import translated


class Outcome(StrEnum):
    """How a request ended."""

    ANSWERED = "answered"  # the client has the whole answer
    CLIENT_GONE = "client_gone"  # the client left before the end
    UPSTREAM_FAILED = "upstream_failed"  # the engine refused, broke off or could not be reached
    TIMED_OUT = "timed_out"  # the engine was too slow
    REFUSED = "refused"  # the gateway turned it down after it knew the key
    LOST = "lost"  # the gateway died in between; written by whoever found the open row


@dataclass(frozen=True)
class RequestIntent:
    """What is known before a request is relayed. `id` is a UUID version 7."""

    id: UUID
    key_id: str
    node: str
    model: str
    stream: bool
    started_at: datetime


@dataclass(frozen=True)
class RequestOutcome:
    """How it ended. `status` is the HTTP status sent to the client, None when none was; tokens are
    the engine's count, None when it did not say; durations are whole milliseconds since the start.
    """

    outcome: Outcome
    completed_at: datetime
    duration_ms: int
    status: int | None = None
    prompt_tokens: int | None = None
    completion_tokens: int | None = None
    first_byte_ms: int | None = None


@dataclass(frozen=True)
class RequestRecord:
    """A row of the audit; `outcome` is None while the request is open."""

    intent: RequestIntent
    outcome: RequestOutcome | None


async def open_request(connection: Connection, intent: RequestIntent) -> bool:
    """Write the intent; False when exactly this one was there already.

    Raises Conflict when the id was used for another request, Rejected for an unknown key.
    """
    with translated(writing=True):
        cursor = await connection.execute(QUERIES["request_open"], asdict(intent))
        row = await cursor.fetchone()
    return bool(row and row["new"])


async def complete_request(
    connection: Connection, request_id: UUID, outcome: RequestOutcome
) -> bool:
    """Write how a request ended; False when it was completed in exactly this way before.

    Raises Conflict when it ended differently, Rejected when it was never opened.
    """
    values = {**asdict(outcome), "id": request_id, "outcome": outcome.outcome.value}
    with translated(writing=True):
        cursor = await connection.execute(QUERIES["request_complete"], values)
        row = await cursor.fetchone()
    return bool(row and row["new"])


async def find_request(connection: Connection, request_id: UUID) -> RequestRecord | None:
    """One row of the audit (the operator's right), or None."""
    with translated(writing=False):
        cursor = await connection.execute(QUERIES["request_show"], {"id": request_id})
        row = await cursor.fetchone()
    return _record(row) if row else None


async def latest_requests(connection: Connection, limit: int = 50) -> tuple[RequestRecord, ...]:
    """The latest rows of the audit (the operator's right), newest first."""
    with translated(writing=False):
        cursor = await connection.execute(QUERIES["request_list"], {"limit": limit})
        rows = await cursor.fetchall()
    return tuple(_record(row) for row in rows)


def _record(row: Row) -> RequestRecord:
    intent = RequestIntent(**{name: row[name] for name in RequestIntent.__dataclass_fields__})
    if row["completed_at"] is None:
        return RequestRecord(intent, None)
    values = {name: row[name] for name in RequestOutcome.__dataclass_fields__}
    return RequestRecord(intent, RequestOutcome(**{**values, "outcome": Outcome(row["outcome"])}))
