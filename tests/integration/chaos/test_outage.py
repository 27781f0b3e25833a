"""A server that was away longer than a pool is patient is used again as soon as it is back."""

import asyncio
import time
from datetime import UTC, datetime

import pytest

from ledger.append import append
from ledger.connect import pool
from ledger.event import Event
from ledger.identifiers import new_id
from tests.support.postgres import Server

pytestmark = pytest.mark.postgres


def event() -> Event:
    """Some event."""
    return Event(new_id(), datetime.now(UTC), "anode", "alice", "test.done", "something", {})


@pytest.mark.parametrize("away_seconds", [1.5, 8.0])
async def test_writing_goes_on_at_once_after_an_outage(
    database: Server, away_seconds: float
) -> None:
    async with pool(database.settings("operator"), minimum=1, maximum=1) as connections:
        await append(connections, [event()])
        database.stop()
        waiting = asyncio.create_task(append(connections, [event()]))
        await asyncio.sleep(away_seconds)
        # Not in a thread: the server ends with the thread that started it.
        database.start()
        begun = time.monotonic()
        assert await waiting == 1
        # A pool's own next attempt would be 1.5 or 7 seconds away, on top of a busy machine's.
        assert time.monotonic() - begun < 5
