"""An append that no standby has is not acknowledged, however Postgres presents it."""

import asyncio
from datetime import UTC, datetime

import pytest

from ledger import log, sequence
from ledger.append import append
from ledger.connect import connect
from ledger.errors import LedgerError, OutcomeUnknown, Unavailable
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


def crash(server: Server) -> None:
    """An immediate shutdown, and a start that has to recover."""
    server.stop("immediate")
    server.start()


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
        append(alone.settings("operator"), [made], give_up_seconds=3 * PATIENCE_SECONDS)
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
    crash(alone)
    async with await connect(settings) as connection:
        assert await log.read(connection, made.id) == made.canonical()
    with pytest.raises(OutcomeUnknown):
        await append(settings, [made], give_up_seconds=PATIENCE_SECONDS)
    require_standby(alone, "")
    assert await append(settings, [made], give_up_seconds=60) == 0


async def test_a_tree_that_no_standby_has_is_not_continued_or_shown(alone: Server) -> None:
    """A crash shows the sequencer batches that nobody was told of, and that may still be lost."""
    require_standby(alone, "")
    made, settings = event(), alone.settings("sequencer")
    await append(alone.settings("operator"), [made])
    require_standby(alone, "gone")
    async with await connect(settings) as connection:
        # The check waits for a standby; that it does is what this test is about.
        loading = asyncio.create_task(sequence.load(connection))
        await until_waiting(alone)
        crash(alone)
        with pytest.raises(Unavailable):
            await loading
    async with await connect(settings) as connection:
        loading = asyncio.create_task(sequence.load(connection))
        done, _ = await asyncio.wait({loading}, timeout=PATIENCE_SECONDS)
        assert not done
        require_standby(alone, "")
        assert (await sequence.advance(connection, await loading, 10)).numbered == 1
