"""The audit: one row a request, made from its two events in the log.

No prompt and no answer is ever written here. Events may be sent again: after OutcomeUnknown, send
the same bytes.
"""

from collections.abc import Sequence
from dataclasses import dataclass
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
    tenant: str = "default"
    route: str = "chat_completions"


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
    upstream: str | None = None


@dataclass(frozen=True)
class RequestRecord:
    """A row of the audit; `outcome` is None while the request is open."""

    intent: RequestIntent
    outcome: RequestOutcome | None


async def ship(connection: Connection, bodies: Sequence[bytes]) -> int:
    """Append events of the audit to the log and keep the rows of requests they begin or end, in one
    transaction; how many were new. The same ones again change nothing.

    Raises Conflict when an id was used for other content, Rejected for what is no event of a
    request; then nothing of the call is stored.
    """
    with translated(writing=True):
        cursor = await connection.execute(
            QUERIES["requests_ship"], {"bodies": list(bodies)}, binary=True
        )
        row = await cursor.fetchone()
    return int(row["new"]) if row else 0


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
