"""An append that no standby has is not acknowledged, however Postgres presents it."""

import asyncio
import os
import signal
from datetime import UTC, datetime

import pytest

from ledger import log
from ledger.append import append
from ledger.connect import connect
from ledger.errors import LedgerError, OutcomeUnknown
from ledger.event import Event
from ledger.identifiers import new_id
from tests.support.alone import END, require_standby, until_waiting
from tests.support.postgres import Server

pytestmark = pytest.mark.postgres
PATIENCE_SECONDS = 1.5


def event() -> Event:
    """Some event."""
    now = datetime.now(UTC)
    return Event(new_id(), now, "anode", "alice", "test.done", "something", {})


async def test_an_append_is_not_acknowledged(alone: Server) -> None:
    with pytest.raises(OutcomeUnknown):
        await append(alone.settings("operator"), [event()], give_up_seconds=PATIENCE_SECONDS)


@pytest.mark.parametrize("how", sorted(END))
async def test_a_wait_that_is_ended_from_outside_is_no_acknowledgement(
    alone: Server, how: str
) -> None:
    """Postgres says COMMIT with a mere warning when the wait is cancelled."""
    made = event()
    attempt = asyncio.create_task(
        append(alone.settings("operator"), [made], give_up_seconds=2 * PATIENCE_SECONDS)
    )
    await until_waiting(alone)
    alone.psql(END[how])
    with pytest.raises(OutcomeUnknown):
        await attempt


async def test_what_is_seen_after_a_crash_is_not_acknowledged_either(alone: Server) -> None:
    """Recovery makes the commit visible: appending it again must still wait for a standby."""
    made, settings = event(), alone.settings("operator")
    attempt = asyncio.create_task(append(settings, [made], give_up_seconds=60))
    await until_waiting(alone)
    attempt.cancel()
    with pytest.raises((asyncio.CancelledError, LedgerError)):
        await attempt
    assert alone.process is not None
    os.kill(alone.process.pid, signal.SIGQUIT)
    alone.process.wait()
    alone.start()
    async with await connect(settings) as connection:
        assert await log.read(connection, made.id) == made.canonical()
    with pytest.raises(OutcomeUnknown):
        await append(settings, [made], give_up_seconds=PATIENCE_SECONDS)
    require_standby(alone, "")
    assert await append(settings, [made], give_up_seconds=10) == 0
