"""`python -m tests.chaos.watch CONFIG.json`: write to one data node by itself, again and again.

The clients go wherever libpq finds a primary; this goes to one server, whatever it says of itself,
and tries to have a write acknowledged there. What was acknowledged is journaled with the server's
timeline, read in the same transaction: two servers that both acknowledge are found by comparing the
journals (`decide.two_writers`). A commit that waits for a standby is left waiting: cancelling it
would tell the client "done" of a write that no standby has.
"""

import asyncio
import signal
import sys
import time
from contextlib import suppress
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import psycopg
from psycopg import AsyncConnection

from ledger.connect import Settings
from ledger.event import Event
from ledger.identifiers import new_id
from tests.chaos.client import KIND, Config, digest_of
from tests.chaos.journal import Journal, Outcome

CONNECT_SECONDS = 3
# Longer than any server here may take to notice that it is alone; then the connection is dropped.
ANSWER_SECONDS = 20.0
# What Postgres says, as a mere warning after "COMMIT", of a commit that no standby has.
NOT_REPLICATED = "canceling wait for synchronous replication"
WRITE = """
SELECT ledger.append_events(ARRAY[%s::bytea]),
       ('x' || substr(pg_walfile_name(pg_current_wal_insert_lsn()), 1, 8))::bit(32)::int AS timeline
"""


class Watcher:
    """The loop of one server's watcher."""

    def __init__(self, config: Config, journal: Journal, ending: asyncio.Event) -> None:
        self._config, self._journal, self._ending = config, journal, ending
        self._node = config.settings.hosts[0]
        self._notices: list[str] = []
        self._batch = 0

    async def run(self) -> None:
        """Connect, write until it fails, and again, until told to end."""
        while not self._ending.is_set():
            with suppress(psycopg.Error, OSError, TimeoutError):
                await self._session()
            await self._pause(self._config.pause_seconds)

    async def _session(self) -> None:
        dsn = only_this_server(self._config.settings)
        connection = await AsyncConnection.connect(dsn, autocommit=True)
        connection.add_notice_handler(self._note)
        try:
            while not self._ending.is_set():
                cursor = await connection.execute("SELECT pg_is_in_recovery()")
                row = await cursor.fetchone()
                if row and not row[0]:
                    await self._write(connection)
                await self._pause(self._config.pause_seconds)
        finally:
            # Not `close` after a clean exchange only: a hung commit must not be cancelled.
            connection.pgconn.finish()

    async def _write(self, connection: AsyncConnection[Any]) -> None:
        self._batch += 1
        event = self._event()
        body = event.canonical()
        batch, self._notices = self._batch, []
        self._journal.send(batch, {str(event.id): digest_of(body)}, node=self._node)
        query = asyncio.ensure_future(self._query(connection, body))
        done, _ = await asyncio.wait({query}, timeout=ANSWER_SECONDS)
        if not done:
            connection.pgconn.finish()
            query.cancel()
            await asyncio.wait({query})
            self._journal.answer(batch, Outcome.UNKNOWN, why="no answer")
            raise TimeoutError
        try:
            timeline = query.result()
        except psycopg.errors.ReadOnlySqlTransaction as error:
            self._journal.answer(batch, Outcome.REFUSED, why=str(error)[:200])
        except psycopg.Error as error:
            self._journal.answer(batch, Outcome.UNKNOWN, why=str(error)[:200])
            raise
        else:
            if any(NOT_REPLICATED in notice for notice in self._notices):
                self._journal.answer(batch, Outcome.UNKNOWN, why=self._notices[0][:200])
            else:
                self._journal.answer(batch, Outcome.ACKED, node=self._node, timeline=timeline)

    async def _query(self, connection: AsyncConnection[Any], body: bytes) -> int:
        cursor = await connection.execute(WRITE, (body,))
        row = await cursor.fetchone()
        assert row is not None
        return int(row[1])

    def _note(self, diagnostic: psycopg.errors.Diagnostic) -> None:
        self._notices.append(diagnostic.message_primary or "")

    async def _pause(self, seconds: float) -> None:
        with suppress(TimeoutError):
            await asyncio.wait_for(self._ending.wait(), seconds)

    def _event(self) -> Event:
        return Event(
            id=new_id(),
            time=datetime.now(UTC),
            node=self._node,
            actor=self._config.client,
            kind=KIND,
            subject=self._config.run,
            data={"at": time.time()},
        )


def only_this_server(settings: Settings) -> str:
    """The connection string of one server, whatever it says of itself."""
    return psycopg.conninfo.make_conninfo(
        settings.conninfo(), target_session_attrs="any", connect_timeout=CONNECT_SECONDS
    )


async def work(config: Config) -> None:
    """Watch one server until SIGTERM."""
    ending = asyncio.Event()
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, ending.set)
    with Journal.open(config.folder, config.client) as journal:
        await Watcher(config, journal, ending).run()


if __name__ == "__main__":
    asyncio.run(work(Config.model_validate_json(Path(sys.argv[1]).read_bytes())))
