"""Append events and read them back, byte for byte."""

from uuid import UUID

from ledger.connect import Connection
from ledger.event import Event
from ledger.queries import QUERIES
from ledger.translate import translated


async def append(connection: Connection, event: Event) -> bool:
    """Store the event; True when it is new, False when these very bytes were there already.

    Raises EventInvalid before anything is sent, Conflict when the id has other content,
    OutcomeUnknown when the connection went (append the same event again: nothing is doubled).
    """
    body = event.canonical()
    with translated(writing=True):
        cursor = await connection.execute(QUERIES["event_append"], {"body": body})
        row = await cursor.fetchone()
    return bool(row and row["new"])


async def read(connection: Connection, event_id: UUID) -> bytes | None:
    """The exact bytes of one event, or None."""
    with translated(writing=False):
        cursor = await connection.execute(QUERIES["event_show"], {"id": event_id})
        row = await cursor.fetchone()
    return bytes(row["body"]) if row else None


async def latest(
    connection: Connection, limit: int = 50, kind: str | None = None
) -> tuple[Event, ...]:
    """The latest events in order of arrival, newest first, of one kind or of all."""
    with translated(writing=False):
        cursor = await connection.execute(QUERIES["event_list"], {"limit": limit, "kind": kind})
        rows = await cursor.fetchall()
    return tuple(Event.parse(bytes(row["body"])) for row in rows)
