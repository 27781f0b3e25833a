"""Appending on a real server: exact bytes, once, whatever is repeated, raced or cut off."""

import asyncio
import random
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from ledger.append import append, append_bytes, batches, send
from ledger.connect import Connection, connect, pool
from ledger.errors import (
    Conflict,
    EventInvalid,
    Forbidden,
    OutcomeUnknown,
    Rejected,
    Unavailable,
)
from ledger.event import Event
from ledger.identifiers import new_id, uuid7
from ledger.log import latest, read
from ledger.merkle import leaf_hash
from ledger.sequence import advance, load
from ledger.tiles import Edge
from tests.support.postgres import Server

NOW = datetime(2026, 5, 4, 3, 2, 1, 987654, tzinfo=UTC)


def event(**changes: Any) -> Event:
    fields: dict[str, Any] = {
        "id": new_id(),
        "time": NOW,
        "node": "anode",
        "actor": "alice@desk",
        "kind": "deploy.applied",
        "subject": "bnode",
        "data": {"b": [1, 1.5e-7, 'é\u2028"\\/', None, True], "a": {"": 1e21}},
        "trace_id": "0af7651916cd43dd8448eb211c80319c",
    }
    return Event(**(fields | changes))


def bodies(events: Sequence[Event]) -> list[bytes]:
    return [each.canonical() for each in events]


async def rows(connection: Connection, sql: str) -> list[dict[str, Any]]:
    return await (await connection.execute(sql)).fetchall()


async def sequence_all(server: Server, most: int = 1000) -> Edge:
    async with await connect(server.settings("sequencer")) as connection:
        edge = await load(connection)
        while (batch := await advance(connection, edge, most)).numbered:
            edge = batch.edge
        return edge


@pytest.mark.parametrize("sequenced", [False, True], ids=["waiting", "in the log"])
async def test_the_bytes_come_back_exactly(
    database: Server, operator: Connection, sequenced: bool
) -> None:
    made = event()
    assert await send(operator, bodies([made])) == 1
    if sequenced:
        await sequence_all(database)
    assert await read(operator, made.id) == made.canonical()
    assert await read(operator, new_id()) is None
    assert [found.canonical() for found in await latest(operator)] == [made.canonical()]


async def test_the_columns_are_what_the_bytes_say(database: Server, operator: Connection) -> None:
    made = event(trace_id=None)
    await send(operator, bodies([made]))
    waiting = (await rows(operator, "SELECT * FROM ledger.inbox"))[0]
    await sequence_all(database)
    numbered = (await rows(operator, "SELECT * FROM ledger.log"))[0]
    for row in (waiting, numbered):
        assert (row["id"], row["time"], row["node"]) == (made.id, NOW, "anode")
        assert (row["actor"], row["kind"]) == ("alice@desk", "deploy.applied")
        assert (row["subject"], row["trace_id"]) == ("bnode", None)
        assert row["received_from"] == "fed_operator"
        assert bytes(row["leaf_hash"]) == leaf_hash(made.canonical())
    assert numbered["seq"] == 0
    assert numbered["received_at"] == waiting["received_at"] <= numbered["sequenced_at"]
    assert await rows(operator, "SELECT FROM ledger.inbox") == []


@pytest.mark.parametrize("sequenced", [False, True], ids=["waiting", "in the log"])
async def test_appending_again_adds_nothing(
    database: Server, operator: Connection, sequenced: bool
) -> None:
    made = [event() for _ in range(3)]
    assert await send(operator, bodies(made)) == 3
    if sequenced:
        await sequence_all(database)
    assert await send(operator, bodies(made)) == 0
    assert await send(operator, bodies([event(), *made, event()])) == 2
    assert await send(operator, bodies([made[0], made[0]])) == 0
    assert len(await latest(operator)) == 5
    assert (await sequence_all(database)).size == 5


async def test_one_event_twice_in_one_call_is_one(database: Server, operator: Connection) -> None:
    made = event()
    assert await send(operator, bodies([made, made, event()])) == 2
    assert (await sequence_all(database)).size == 2


async def test_an_append_of_nothing_does_nothing(operator: Connection, database: Server) -> None:
    assert await send(operator, []) == 0
    assert await append(database.settings("operator"), []) == 0


@pytest.mark.parametrize("sequenced", [False, True], ids=["waiting", "in the log"])
async def test_another_event_of_the_same_id_is_a_conflict(
    database: Server, operator: Connection, sequenced: bool
) -> None:
    made, other = event(), event()
    await send(operator, bodies([made]))
    if sequenced:
        await sequence_all(database)
    with pytest.raises(Conflict, match="appended before with other content"):
        await send(operator, bodies([other, event(id=made.id, data={})]))
    assert await read(operator, made.id) == made.canonical()
    assert await read(operator, other.id) is None
    assert (await sequence_all(database)).size == 1


async def test_two_events_of_one_id_in_one_call_are_a_conflict(operator: Connection) -> None:
    made = event()
    with pytest.raises(Conflict):
        await send(operator, bodies([made, event(id=made.id, data={})]))
    assert await latest(operator) == ()


async def test_appends_of_one_event_at_once_are_one(database: Server) -> None:
    made = [event() for _ in range(5)]

    async def one() -> int:
        async with await connect(database.settings("operator")) as connection:
            return await send(connection, bodies(made))

    assert sorted(await asyncio.gather(*(one() for _ in range(6)))) == [0] * 5 + [5]


async def test_appends_of_the_same_events_in_crossed_orders_all_end_well(database: Server) -> None:
    settings = database.settings("operator")
    for _ in range(4):  # the server breaks a circle of waiting; the library sends again
        made = [event() for _ in range(300)]
        new = await asyncio.gather(append(settings, made), append(settings, made[::-1]))
        assert sum(new) == 300


async def test_retries_that_race_the_sequencer_are_never_doubled(database: Server) -> None:
    """Each event is appended several times while its first copy moves from inbox to log."""
    made = [event() for _ in range(600)]
    done = asyncio.Event()

    async def sequencing() -> Edge:
        async with await connect(database.settings("sequencer")) as connection:
            edge = await load(connection)
            while True:
                last = done.is_set()
                edge = (await advance(connection, edge, 7)).edge
                if last and edge.size == len(made):
                    return edge

    async def writing(seed: int) -> int:
        new, shuffled = 0, random.Random(seed).sample(made, len(made))  # noqa: S311
        async with await connect(database.settings("gateway")) as connection:
            for at in range(0, len(made), 5):
                new += await send(connection, bodies(shuffled[at : at + 5]))
        return new

    sequencer = asyncio.create_task(sequencing())
    assert sum(await asyncio.gather(*(writing(seed) for seed in range(4)))) == len(made)
    done.set()
    assert (await asyncio.wait_for(sequencer, 120)).size == len(made)
    async with await connect(database.settings("operator")) as connection:
        found = await rows(connection, "SELECT seq, id FROM ledger.log ORDER BY seq")
        assert [row["seq"] for row in found] == list(range(len(made)))
        assert {row["id"] for row in found} == {each.id for each in made}
        assert await rows(connection, "SELECT FROM ledger.conflicts") == []


async def test_an_append_that_returned_is_numbered_before_one_that_begins(
    database: Server,
) -> None:
    """Also when its id says otherwise: clocks differ, the order of acknowledgements does not."""
    made = [event(id=uuid7(1_790_000_000_000 - n * 1000, n)) for n in range(12)]
    async with await connect(database.settings("gateway")) as connection:
        for each in made[:6]:
            await send(connection, bodies([each]))
        await sequence_all(database, 4)
        await send(connection, bodies(made[6:]))
    await sequence_all(database, 4)
    async with await connect(database.settings("operator")) as connection:
        found = await rows(connection, "SELECT id FROM ledger.log ORDER BY seq")
    assert [row["id"] for row in found] == [each.id for each in made]


async def test_a_commit_that_comes_late_is_not_passed_over(
    database: Server, operator: Connection, superuser: Connection
) -> None:
    """A writer draws its arrivals, then takes its time; others are sequenced meanwhile."""
    late, others = event(), [event() for _ in range(9)]
    async with operator.transaction():
        await operator.execute("SELECT ledger.append_events(%s)", [bodies([late])])
        async with await connect(database.settings("gateway")) as quick:
            for each in others:
                await send(quick, bodies([each]))
                assert (await sequence_all(database)).size == others.index(each) + 1
        floor = await rows(superuser, "SELECT inbox_floor AS f FROM ledger.log_state")
    assert (await sequence_all(database)).size == 10
    await send(operator, bodies([event()]))
    assert (await sequence_all(database)).size == 11
    await send(operator, bodies([event()]))
    assert (await sequence_all(database)).size == 12
    risen = await rows(superuser, "SELECT inbox_floor AS f FROM ledger.log_state")
    assert risen[0]["f"] > floor[0]["f"]


async def test_latest_is_newest_first_and_of_one_kind(
    database: Server, operator: Connection
) -> None:
    made = [event(kind=f"test.k{n % 2}") for n in range(6)]
    await send(operator, bodies(made[:4]))
    await sequence_all(database)
    await send(operator, bodies(made[4:]))
    assert [found.id for found in await latest(operator, 3)] == [e.id for e in made[:2:-1]]
    odd = await latest(operator, kind="test.k1")
    assert [found.id for found in odd] == [made[5].id, made[3].id, made[1].id]


async def test_what_is_no_event_never_reaches_the_server(
    database: Server, operator: Connection
) -> None:
    with pytest.raises(EventInvalid):
        await append(database.settings("operator"), [event(), event(data={"x": float("nan")})])
    assert await latest(operator) == ()


GOOD = event().canonical()
GOOD_ID = str(Event.parse(GOOD).id).encode()
BROKEN = {
    "empty": b"",
    "no UTF-8": b"\xff",
    "a list": b"[]",
    "nothing in it": b"{}",
    "a short id": b'{"id":"7"}',
    "no id": b'{"id":null,"time":"now"}',
    "brackets": b"[" * 20000,
    "no node": GOOD.replace(b'"node":"anode",', b""),
    "no data": GOOD.replace(b'"data"', b'"date"'),
    "data that is a list": GOOD.replace(b'"data":{', b'"data":[],"date":{'),
    "an id of version 4": GOOD.replace(GOOD_ID, b"ffffffff-0000-4000-8000-000000000000"),
    "a time that is none": GOOD.replace(b"2026-05-04T03", b"2026-99-04T03"),
    "too large": GOOD.replace(b'"a":{', b'"a":{"x":"' + b"y" * 262_144 + b'",'),
}  # fmt: skip


@pytest.mark.parametrize("body", BROKEN.values(), ids=BROKEN)
async def test_bytes_that_bypass_our_python_are_refused_too(
    operator: Connection, body: bytes
) -> None:
    with pytest.raises(Exception, match=r".") as caught:
        await operator.execute("SELECT ledger.append_events(%s)", [[GOOD, body]])
    assert type(caught.value).__module__.startswith("psycopg")
    assert await latest(operator) == ()


async def test_a_null_among_the_events_refuses_them_all(operator: Connection) -> None:
    with pytest.raises(Exception, match=r"violates check|null value|an event has"):
        await operator.execute("SELECT ledger.append_events(ARRAY[%s, NULL]::bytea[])", [GOOD])
    assert await latest(operator) == ()


async def test_an_event_of_any_time_is_storable(database: Server, operator: Connection) -> None:
    """Months without a partition go to log_other, and still have one primary key."""
    moments = [0, 1, 1_000_000_000_000, int(NOW.timestamp() * 1000), (1 << 48) - 1]
    made = [event(id=uuid7(moment, 5)) for moment in moments]
    assert await send(operator, bodies(made)) == len(made)
    assert (await sequence_all(database)).size == len(made)
    assert await send(operator, bodies(made)) == 0
    with pytest.raises(Conflict):
        await send(operator, bodies([event(id=made[0].id, data={"other": 1})]))
    other = await rows(operator, "SELECT FROM ledger.log_other")
    assert len(other) >= 4


async def test_a_month_that_went_elsewhere_stays_there(
    database: Server, operator: Connection, superuser: Connection
) -> None:
    far = datetime.now(UTC) + timedelta(days=31 * 8)
    made = event(id=uuid7(int(far.timestamp() * 1000), 5))
    await send(operator, bodies([made]))
    await sequence_all(database)
    new = await rows(superuser, "SELECT ledger.make_partitions(now(), 12) AS made")
    assert f"log_{far:%Y_%m}" not in new[0]["made"]
    wanted = await rows(
        superuser,
        "SELECT 'log_' || to_char((now() AT TIME ZONE 'UTC') + make_interval(months => n),"
        " 'YYYY_MM') AS name FROM generate_series(0, 12) n"
        " EXCEPT SELECT relname FROM pg_class WHERE relkind = 'r'",
    )
    assert [row["name"] for row in wanted] == [f"log_{far:%Y_%m}"]
    assert await read(operator, made.id) == made.canonical()
    again = await rows(superuser, "SELECT ledger.make_partitions(now(), 12) AS made")
    assert again[0]["made"] == []


async def test_a_gateway_appends_and_reads_nothing(gateway: Connection) -> None:
    assert await send(gateway, bodies([event()])) == 1
    with pytest.raises(Forbidden):
        await latest(gateway)


async def test_batches_keep_order_and_limits() -> None:
    made = [bytes([n % 250]) * 10_000 for n in range(3000)]
    pieces = list(batches(made))
    assert [body for piece in pieces for body in piece] == made
    assert max(sum(map(len, piece)) for piece in pieces) <= 4 * 1024 * 1024
    assert [len(piece) for piece in batches([b"x"] * 2500)] == [1000, 1000, 500]
    assert list(batches([])) == []
    assert list(batches([b"x" * 5_000_000])) == [[b"x" * 5_000_000]]


async def test_one_try_over_a_lost_connection_is_an_unknown_outcome(
    database: Server, operator: Connection, superuser: Connection
) -> None:
    """The insert waits for a lock when the session is ended by force."""
    waiting = "SELECT count(*) FROM pg_stat_activity WHERE wait_event_type = 'Lock'"
    async with superuser.transaction():
        await superuser.execute("LOCK TABLE ledger.inbox IN EXCLUSIVE MODE")
        attempt = asyncio.create_task(send(operator, bodies([event()])))
        async with asyncio.timeout(60):
            while database.psql(waiting) == "0":  # noqa: ASYNC110
                await asyncio.sleep(0.05)
        await end_sessions(superuser)
        with pytest.raises(OutcomeUnknown, match="the answer to a write never came"):
            await attempt


async def end_sessions(superuser: Connection) -> None:
    await superuser.execute(
        "SELECT pg_terminate_backend(pid) FROM pg_stat_activity"
        " WHERE usename IN ('fed_operator', 'fed_gateway')"
    )


async def test_append_over_lost_connections_comes_to_a_definite_answer(
    database: Server, superuser: Connection
) -> None:
    made = [event() for _ in range(3000)]
    work = asyncio.create_task(append(database.settings("operator"), made))
    for _ in range(40):
        await asyncio.sleep(0.01)
        await end_sessions(superuser)
    await work
    assert (await sequence_all(database)).size == len(made)
    async with await connect(database.settings("operator")) as connection:
        found = await rows(connection, "SELECT id FROM ledger.log ORDER BY seq")
    assert [row["id"] for row in found] == [each.id for each in made]


async def test_append_waits_for_a_server_that_comes_back(database: Server) -> None:
    made = [event()]
    database.stop()
    work = asyncio.create_task(append(database.settings("operator"), made))
    await asyncio.sleep(0.5)
    assert not work.done()
    database.start()
    assert await work == 1


async def test_append_gives_up_in_time_and_says_what_it_knows(
    database: Server, superuser: Connection
) -> None:
    async with superuser.transaction():
        await superuser.execute("LOCK TABLE ledger.inbox IN EXCLUSIVE MODE")
        with pytest.raises(OutcomeUnknown, match="gave up appending 1 events"):
            await append(database.settings("operator"), [event()], give_up_seconds=0.5)
    database.stop()
    with pytest.raises(Unavailable, match="gave up appending 2 events"):
        await append(database.settings("operator"), [event(), event()], give_up_seconds=0.5)
    with pytest.raises(Unavailable, match="cannot connect"):
        await append(database.settings("operator"), [event()], wait_for_server=False)


async def test_append_takes_a_pool_and_bytes(database: Server) -> None:
    made = [event() for _ in range(4)]
    async with pool(database.settings("gateway")) as connections:
        counts = await asyncio.gather(*(append_bytes(connections, bodies(made)) for _ in range(4)))
    assert sorted(counts) == [0, 0, 0, 4]


async def test_a_server_killed_while_appending_never_tells_a_lie(database: Server) -> None:
    """Every append that was acknowledged is there; every other one is, once repeated."""
    acknowledged, unknown = [], []
    begun: set[int] = set()

    async def work(number: int) -> None:
        async with await connect(database.settings("operator")) as connection:
            while True:
                made = event()
                try:
                    await send(connection, bodies([made]))
                except OutcomeUnknown:
                    unknown.append(made)
                    return
                acknowledged.append(made)
                begun.add(number)

    workers = [asyncio.create_task(work(number)) for number in range(3)]
    async with asyncio.timeout(60):
        while len(begun) < 3:  # noqa: ASYNC110
            await asyncio.sleep(0.05)
    database.stop()
    await asyncio.gather(*workers)
    database.start()
    assert len(unknown) == 3
    async with await connect(database.settings("operator")) as connection:
        for made in acknowledged:
            assert await read(connection, made.id) == made.canonical()
    await append(database.settings("operator"), unknown)
    await sequence_all(database)
    async with await connect(database.settings("operator")) as connection:
        found = await rows(connection, "SELECT id FROM ledger.log")
    assert len(found) == len(acknowledged) + len(unknown)


async def test_a_repeated_append_makes_the_first_ones_commit_durable(
    database: Server, operator: Connection
) -> None:
    """Its transaction writes to the log of the server, so that its commit waits for standbys too:
    the first writer's wait may have been cut short, and then nothing else vouches for the rows."""
    made = event()
    await send(operator, bodies([made]))
    before = database.psql("SELECT pg_current_wal_insert_lsn()")
    await send(operator, bodies([made]))
    await operator.execute("SELECT 1")
    wrote = database.psql(f"SELECT pg_current_wal_insert_lsn() > '{before}'::pg_lsn")
    assert wrote == "t"


async def test_a_wrong_answer_is_a_rejection_not_a_crash(operator: Connection) -> None:
    """Our event, forced past our checks: the server's refusal is Rejected."""
    with pytest.raises(Rejected):
        await send(operator, [b"\xff\x00"])
