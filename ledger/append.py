"""Append events to the log: durable when it returns, exactly once whatever is lost on the way.

A connection that goes in the middle of an append leaves it unknown whether the events are there.
They are sent again, over a new connection, until the server says so: an event is known by its id,
so that nothing is doubled, and the server vouches for those that were there already too.

Each call of the server is one transaction; many events are sent in several.
"""

import asyncio
import random
from collections.abc import AsyncIterator, Callable, Iterator, Sequence
from contextlib import AbstractAsyncContextManager, asynccontextmanager

from ledger.connect import Connection, Pool, Settings, borrow, connect
from ledger.errors import OutcomeUnknown, Unavailable
from ledger.event import Event
from ledger.queries import QUERIES
from ledger.translate import translated

BATCH_EVENTS = 1000
BATCH_BYTES = 4 * 1024 * 1024
GIVE_UP_SECONDS = 60.0
FIRST_PAUSE_SECONDS = 0.05
LONGEST_PAUSE_SECONDS = 0.5

Source = Callable[[], AbstractAsyncContextManager[Connection]]


async def append(
    connections: Pool | Settings | Source,
    events: Sequence[Event],
    *,
    give_up_seconds: float = GIVE_UP_SECONDS,
    wait_for_server: bool = True,
) -> int:
    """Append `events`, in their order; how many were not there already.

    Raises EventInvalid before anything is sent; Conflict when the log has another event of an id
    (nothing of that transaction is stored); Rejected or Forbidden; Unavailable when no server took
    them in time and none can have (at once without `wait_for_server`); OutcomeUnknown when time ran
    out and they may be there.
    """
    bodies = [event.canonical() for event in events]
    return await append_bytes(
        connections, bodies, give_up_seconds=give_up_seconds, wait_for_server=wait_for_server
    )


async def append_bytes(
    connections: Pool | Settings | Source,
    bodies: Sequence[bytes],
    *,
    give_up_seconds: float = GIVE_UP_SECONDS,
    wait_for_server: bool = True,
) -> int:
    """`append` for events that are canonical bytes already (of `Event.canonical`, unchecked)."""
    source = _source(connections)
    deadline = asyncio.get_running_loop().time() + give_up_seconds
    new = 0
    for batch in batches(bodies):
        new += await _until_definite(source, batch, deadline, wait_for_server=wait_for_server)
    return new


async def send(connection: Connection, bodies: Sequence[bytes]) -> int:
    """One transaction over one connection, tried once; OutcomeUnknown when it was cut off."""
    with translated(writing=True):
        cursor = await connection.execute(
            QUERIES["events_append"], {"bodies": list(bodies)}, binary=True
        )
        row = await cursor.fetchone()
    return int(row["new"]) if row else 0


def batches(bodies: Sequence[bytes]) -> Iterator[list[bytes]]:
    """Pieces that fit one transaction, in order."""
    batch: list[bytes] = []
    size = 0
    for body in bodies:
        if batch and (len(batch) >= BATCH_EVENTS or size + len(body) > BATCH_BYTES):
            yield batch
            batch, size = [], 0
        batch.append(body)
        size += len(body)
    if batch:
        yield batch


async def _until_definite(
    source: Source, batch: list[bytes], deadline: float, *, wait_for_server: bool
) -> int:
    pause, unknown = FIRST_PAUSE_SECONDS, False
    loop = asyncio.get_running_loop()
    while True:
        try:
            async with asyncio.timeout_at(deadline), source() as connection:
                return await send(connection, batch)
        except (OutcomeUnknown, TimeoutError) as error:
            unknown, last = True, str(error)
        except Unavailable as error:
            if not (wait_for_server or unknown):
                raise
            last = str(error)
        if loop.time() + pause >= deadline:
            kind = OutcomeUnknown if unknown else Unavailable
            raise kind(f"gave up appending {len(batch)} events: {last or 'no answer in time'}")
        await asyncio.sleep(pause * (0.5 + random.random() / 2))  # noqa: S311 - only spreads load
        pause = min(LONGEST_PAUSE_SECONDS, pause * 2)


def _source(connections: Pool | Settings | Source) -> Source:
    if isinstance(connections, Settings):
        settings = connections

        @asynccontextmanager
        async def fresh() -> AsyncIterator[Connection]:
            async with await connect(settings) as connection:
                yield connection

        return fresh
    if callable(connections):
        return connections
    pool = connections
    return lambda: borrow(pool)
