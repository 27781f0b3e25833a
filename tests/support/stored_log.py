"""A log in a real database, grown and signed by the sequencer's own functions."""

from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from uuid import UUID

import pytest_asyncio

from ledger import sequence
from ledger.append import send
from ledger.checkpoint import Checkpoint
from ledger.connect import Connection, connect_dsn
from ledger.event import Event
from ledger.identifiers import uuid7
from ledger.note import Note, SignerKey, VerifierKey
from ledger.sequence import Batch
from tests.support.postgres import Server
from tests.support.tlog import log_key

START = datetime(2026, 9, 10, 12, 0, tzinfo=UTC)
BATCH = 1000


def event_id(n: int, moment: datetime = START) -> UUID:
    """The id of made-up event `n`."""
    return uuid7(int(moment.timestamp() * 1000) + n, n)


def event(n: int, moment: datetime = START, text: str = "") -> Event:
    """A made-up event."""
    return Event(
        id=event_id(n, moment),
        time=moment,
        node="redfin",
        actor=f"actor-{n % 3}",
        kind=("test.one", "test.two")[n % 2],
        subject=f"thing {n}",
        data={"n": n, "text": text},
    )


@dataclass
class StoredLog:
    """The log behind `connection` (of the superuser), signed by `key`."""

    server: Server
    connection: Connection
    key: SignerKey
    count: int = 0

    @property
    def keys(self) -> tuple[VerifierKey, ...]:
        """What verifiers know the log by."""
        return (self.key.verifier,)

    async def append(self, count: int, moment: datetime = START) -> None:
        """Append made-up events; nothing is numbered yet."""
        bodies = [event(self.count + n, moment).canonical() for n in range(count)]
        for at in range(0, len(bodies), BATCH):
            await send(self.connection, bodies[at : at + BATCH])
        self.count += count

    async def number(self) -> Batch:
        """Number everything that waits."""
        edge = await sequence.load(self.connection)
        while True:
            batch = await sequence.advance(self.connection, edge, BATCH)
            if not batch.numbered:
                return batch
            edge = batch.edge

    async def sign(self) -> Note:
        """Sign the log as it is."""
        edge = await sequence.load(self.connection)
        head = Checkpoint(self.key.name, edge.size, edge.frontier().root())
        note = head.signed(self.key)
        await sequence.publish(self.connection, head.size, head.root, note.encode())
        return note

    async def grow(self, *counts: int, moment: datetime = START) -> Note:
        """Append, number and sign so many events, once for each of `counts`."""
        note = None
        for count in counts:
            await self.append(count, moment)
            await self.number()
            note = await self.sign()
        assert note is not None
        return note

    async def run(self, *statements: str, values: Sequence[object] = ()) -> None:
        """Statements of a superuser who has switched the triggers off."""
        async with self.connection.transaction():
            await self.connection.execute("SET LOCAL session_replication_role = replica")
            for statement in statements:
                await self.connection.execute(statement.encode(), values or None)


async def open_log(server: Server, key: SignerKey | None = None) -> StoredLog:
    """The log in a fresh database."""
    connection = await connect_dsn(server.dsn("postgres"))
    return StoredLog(server, connection, key or log_key())


@pytest_asyncio.fixture
async def log(database: Server) -> AsyncIterator[StoredLog]:
    """An empty log in a fresh database; a conftest imports this name."""
    opened = await open_log(database)
    try:
        yield opened
    finally:
        await opened.connection.close()
