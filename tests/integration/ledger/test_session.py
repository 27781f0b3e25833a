"""Postgres says COMMIT of a write whose wait for a standby was cancelled; our sessions do not."""

import asyncio
from collections.abc import AsyncIterator

import pytest

from ledger.connect import Connection, borrow, connect, pool
from ledger.errors import OutcomeUnknown
from ledger.translate import translated
from tests.support.alone import END, alone, require_standby, until_waiting  # noqa: F401
from tests.support.postgres import Server

# Something written, so that the commit waits.
WRITE = "SELECT pg_logical_emit_message(true, 'test', 'x')"


@pytest.fixture
async def session(alone: Server) -> AsyncIterator[Connection]:  # noqa: F811
    """A gateway's session at a primary whose standby is gone."""
    async with await connect(alone.settings("gateway")) as connection:
        yield connection


async def write(connection: Connection) -> None:
    with translated(writing=True):
        await connection.execute(WRITE)


async def write_in_transaction(connection: Connection) -> None:
    with translated(writing=True):
        async with connection.transaction():
            await connection.execute(WRITE)


@pytest.mark.parametrize("how", sorted(END))
@pytest.mark.parametrize("act", [write, write_in_transaction])
async def test_a_cut_short_wait_is_an_unknown_outcome(
    alone: Server,  # noqa: F811
    session: Connection,
    act: object,
    how: str,
) -> None:
    attempt = asyncio.create_task(act(session))  # type: ignore[operator]
    await until_waiting(alone)
    alone.psql(END[how])
    with pytest.raises(OutcomeUnknown):
        await attempt


async def test_the_session_goes_on_after_it(alone: Server, session: Connection) -> None:  # noqa: F811
    attempt = asyncio.create_task(write(session))
    await until_waiting(alone)
    alone.psql(END["cancel"])
    with pytest.raises(OutcomeUnknown, match="canceling wait for synchronous replication"):
        await attempt
    require_standby(alone, "")
    await write(session)


async def test_a_pools_sessions_are_such_too(alone: Server) -> None:  # noqa: F811
    async with pool(alone.settings("gateway")) as connections, borrow(connections) as connection:
        attempt = asyncio.create_task(write(connection))
        await until_waiting(alone)
        alone.psql(END["cancel"])
        with pytest.raises(OutcomeUnknown):
            await attempt


async def test_other_notices_pass(database: Server) -> None:
    async with await connect(database.settings("gateway")) as connection:
        await connection.execute("DO $$ BEGIN RAISE WARNING 'beware'; END $$")
        await write(connection)
