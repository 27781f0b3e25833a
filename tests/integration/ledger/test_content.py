"""Personal content on a real database: out of the log, erasable, and the log verifies all along."""

from collections.abc import AsyncIterator
from dataclasses import dataclass, replace
from typing import Any

import pytest
import pytest_asyncio

from ledger import content
from ledger.append import send
from ledger.connect import Connection, connect
from ledger.content import ERASED, Keys, erasure
from ledger.errors import (
    Conflict,
    ContentAltered,
    ContentErased,
    Forbidden,
    Rejected,
    UnknownContent,
)
from ledger.event import Event
from ledger.identifiers import new_id
from ledger.log import latest
from ledger.verify import verify
from tests.support.postgres import Server
from tests.support.stored_log import START, StoredLog, open_log
from trust.datakeys import KeyName, new_data_key

pytestmark = pytest.mark.postgres
SAID = b"I think that I have the flu"
WHO: dict[str, Any] = {"time": START, "node": "redfin", "actor": "operator"}


@dataclass
class World:
    """A log, the operator's and a gateway's connections, the data keys."""

    log: StoredLog
    operator: Connection
    gateway: Connection
    keys: Keys

    async def say(self, said: bytes = SAID) -> tuple[Event, dict[str, Any]]:
        """What a gateway does: keep the content, then log an event that refers to it."""
        item = await content.store(self.gateway, self.keys, new_id(), said)
        event = Event(
            id=new_id(), kind="message.said", subject="thread 7", data=item.reference(), **WHO
        )
        await content_log(self, event)
        return event, item.reference()

    async def forget(self, reference: dict[str, Any]) -> bool:
        """Erase it, as the operator."""
        found = content._parts(reference)[0]
        event = erasure(found, "asked to", id=new_id(), **WHO)
        return await content.erase(self.operator, found, event)


async def content_log(world: World, event: Event) -> None:
    await send(world.gateway, [event.canonical()])
    await world.log.number()
    await world.log.sign()


@pytest_asyncio.fixture
async def world(database: Server) -> AsyncIterator[World]:
    log = await open_log(database)
    keys = Keys(new_data_key(KeyName("lab/content", 1)))
    async with (
        log.connection,
        await connect(database.settings("operator")) as operator,
        await connect(database.settings("gateway")) as gateway,
    ):
        yield World(log, operator, gateway, keys)


async def stored_bytes(world: World) -> bytes:
    """Everything the database holds of events and content, as a superuser reads it."""
    rows = b""
    for query in (
        b"SELECT body AS b FROM ledger.log",
        b"SELECT envelope AS b FROM ledger.contents WHERE envelope IS NOT NULL",
        b"SELECT body AS b FROM ledger.inbox",
    ):
        cursor = await world.log.connection.execute(query)
        rows += b"".join(bytes(row["b"]) for row in await cursor.fetchall())
    return rows


async def test_what_was_said_is_read_back_and_is_nowhere_in_clear(world: World) -> None:
    _, reference = await world.say()
    assert await content.read(world.operator, world.keys, reference) == SAID
    assert b"flu" not in await stored_bytes(world)


async def test_erased_content_is_gone_its_event_stays_and_the_log_verifies(world: World) -> None:
    event, reference = await world.say()
    _, kept = await world.say(b"something else")
    before = await verify(world.log.connection, world.log.keys)
    assert before.ok
    assert await world.forget(reference)
    await world.log.number()
    await world.log.sign()
    after = await verify(world.log.connection, world.log.keys)
    assert after.ok, after.findings
    assert (before.size, after.size) == (2, 3)
    with pytest.raises(ContentErased):
        await content.read(world.operator, world.keys, reference)
    assert await content.read(world.operator, world.keys, kept) == b"something else"
    # The erasure is an event itself, and the event that referred to the content is as it was.
    newest, *others = await latest(world.operator, 10)
    assert (newest.kind, newest.data["content"]) == (ERASED, reference["content"])
    assert event in others
    cursor = await world.log.connection.execute(
        b"SELECT envelope, erased_by FROM ledger.contents WHERE id = %s", (reference["content"],)
    )
    row = await cursor.fetchone()
    assert row == {"envelope": None, "erased_by": newest.id}


async def test_vacuum_takes_the_erased_bytes_off_the_disk(world: World) -> None:
    _, reference = await world.say(b"Z" * 4000)
    connection = world.log.connection
    cursor = await connection.execute(b"SELECT substr(envelope, 200, 64) AS b FROM ledger.contents")
    row = await cursor.fetchone()
    assert row is not None
    piece = bytes(row["b"])
    assert await on_disk(world, piece)
    assert await world.forget(reference)
    await connection.execute(b"VACUUM (FULL) ledger.contents")
    await connection.execute(b"CHECKPOINT")
    assert not await on_disk(world, piece)


async def on_disk(world: World, piece: bytes) -> bool:
    """Whether the table's files (its long values included) hold these bytes."""
    connection = world.log.connection
    await connection.execute(b"CHECKPOINT")
    cursor = await connection.execute(
        b"SELECT pg_relation_filepath('ledger.contents') AS a, pg_relation_filepath("
        b"(SELECT reltoastrelid FROM pg_class WHERE oid = 'ledger.contents'::regclass)) AS b"
    )
    row = await cursor.fetchone()
    assert row is not None
    files = [world.log.server.data / path for path in row.values() if path]
    return any(piece in path.read_bytes() for path in files)


async def test_erasing_again_changes_nothing_and_writes_nothing(world: World) -> None:
    _, reference = await world.say()
    assert await world.forget(reference)
    count = len(await latest(world.operator, 50))
    assert not await world.forget(reference)
    assert len(await latest(world.operator, 50)) == count


async def test_an_erasure_without_its_event_is_refused_and_erases_nothing(world: World) -> None:
    _, reference = await world.say()
    found = content._parts(reference)[0]
    good = erasure(found, "asked to", id=new_id(), **WHO)
    for wrong in (
        replace(good, kind="content.kept"),
        replace(good, data={"content": str(new_id())}),
    ):
        with pytest.raises(Rejected):
            await content.erase(world.operator, found, wrong)
    assert await content.read(world.operator, world.keys, reference) == SAID
    with pytest.raises(UnknownContent):
        missing = new_id()
        event = erasure(missing, "x", id=new_id(), **WHO)
        await content.erase(world.operator, missing, event)


async def test_a_gateway_keeps_content_and_can_neither_read_nor_erase_it(world: World) -> None:
    _, reference = await world.say()
    found = content._parts(reference)[0]
    with pytest.raises(Forbidden):
        await content.read(world.gateway, world.keys, reference)
    event = erasure(found, "x", id=new_id(), **WHO)
    for statement in (
        b"SELECT ledger.erase_content(%s, %s)",
        b"UPDATE ledger.contents SET envelope = NULL WHERE id = %s OR %s IS NULL",
        b"DELETE FROM ledger.contents WHERE id = %s OR %s IS NULL",
    ):
        with pytest.raises(Exception, match="permission denied"):
            await world.gateway.execute(statement, (found, event.canonical()))


async def test_not_even_the_owner_changes_or_drops_content(world: World) -> None:
    await world.say()
    for statement in (
        b"UPDATE ledger.contents SET envelope = 'x'",
        b"UPDATE ledger.contents SET commitment = sha256('x')",
        b"DELETE FROM ledger.contents",
        b"TRUNCATE ledger.contents",
    ):
        with pytest.raises(Exception, match="refused"):
            await world.log.connection.execute(statement)


async def test_the_same_item_is_kept_once_and_another_of_its_id_never(world: World) -> None:
    found = new_id()
    item = await content.prepare(world.gateway, world.keys, found, SAID)
    assert await content.keep(world.gateway, item)
    assert not await content.keep(world.gateway, item)
    with pytest.raises(Conflict):
        await content.store(world.gateway, world.keys, found, SAID)


async def test_what_a_superuser_exchanges_is_noticed(world: World) -> None:
    _, first = await world.say(b"first")
    _, second = await world.say(b"second")
    swap = (
        "UPDATE ledger.contents AS a SET envelope = b.envelope FROM ledger.contents AS b "
        "WHERE a.id <> b.id"
    )
    await world.log.run(swap)
    for reference in (first, second):
        with pytest.raises(ContentAltered):
            await content.read(world.operator, world.keys, reference)
    await world.log.run("UPDATE ledger.contents SET commitment = sha256('x')")
    with pytest.raises(ContentAltered):
        await content.read(world.operator, world.keys, first)


async def test_envelopes_are_counted_before_they_are_sealed(world: World) -> None:
    for _ in range(3):
        await world.say()
    await content.prepare(world.gateway, world.keys, new_id(), b"never kept")
    cursor = await world.operator.execute(b"SELECT sealed FROM ledger.content_keys")
    assert [row["sealed"] for row in await cursor.fetchall()] == [4]


async def test_a_data_key_that_is_not_at_hand_is_said_so(world: World) -> None:
    _, reference = await world.say()
    newer = Keys(new_data_key(KeyName("lab/content", 2)))
    with pytest.raises(UnknownContent, match="epoch 1 is not at hand"):
        await content.read(world.operator, newer, reference)
    both = Keys(newer.current, {world.keys.current.name: world.keys.current})
    assert await content.read(world.operator, both, reference) == SAID


@pytest.mark.parametrize(
    "reference", [{}, {"content": "x", "commitment": ""}, {"content": 1, "commitment": 2}]
)
async def test_a_reference_that_is_none_is_refused(world: World, reference: dict[str, Any]) -> None:
    with pytest.raises(UnknownContent):
        await content.read(world.operator, world.keys, reference)
