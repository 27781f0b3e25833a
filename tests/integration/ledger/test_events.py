"""Events on a real server: exact bytes, once, whatever is repeated or cut off."""

import asyncio
import hashlib
from datetime import UTC, datetime
from typing import Any

import pytest

from ledger.connect import Connection, connect
from ledger.errors import Conflict, EventInvalid, Forbidden, OutcomeUnknown, Rejected
from ledger.event import Event
from ledger.events import append, latest, read
from ledger.identifiers import new_id
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


async def test_the_bytes_come_back_exactly(operator: Connection) -> None:
    made = event()
    assert await append(operator, made)
    assert await read(operator, made.id) == made.canonical()
    assert await read(operator, new_id()) is None
    assert [found.canonical() for found in await latest(operator)] == [made.canonical()]


async def test_the_columns_are_what_the_bytes_say(operator: Connection) -> None:
    made = event(trace_id=None)
    await append(operator, made)
    row = await (await operator.execute("SELECT * FROM ledger.events")).fetchone()
    assert row is not None
    assert (row["id"], row["time"], row["node"]) == (made.id, NOW, "anode")
    assert (row["actor"], row["kind"], row["subject"]) == ("alice@desk", "deploy.applied", "bnode")
    assert row["data"] == {"b": [1, 1.5e-7, 'é\u2028"\\/', None, True], "a": {"": 10**21}}
    assert row["trace_id"] is None
    assert row["recorded_by"] == "fed_operator"
    assert bytes(row["sha256"]) == hashlib.sha256(made.canonical()).digest()


async def test_appending_again_adds_nothing(operator: Connection) -> None:
    made = event()
    assert [await append(operator, made) for _ in range(3)] == [True, False, False]
    assert len(await latest(operator)) == 1


async def test_another_event_of_the_same_id_is_a_conflict(operator: Connection) -> None:
    made = event()
    await append(operator, made)
    with pytest.raises(Conflict, match="appended before with other content"):
        await append(operator, event(id=made.id, data={}))
    assert await read(operator, made.id) == made.canonical()


async def test_two_appends_of_one_event_at_once_are_one(database: Server) -> None:
    made = event()

    async def one() -> bool:
        async with await connect(database.settings("operator")) as connection:
            return await append(connection, made)

    assert sorted(await asyncio.gather(*(one() for _ in range(6)))) == [False] * 5 + [True]


async def test_latest_is_newest_first_and_of_one_kind(operator: Connection) -> None:
    made = [event(kind=f"test.k{n % 2}") for n in range(6)]
    for each in made:
        await append(operator, each)
    assert [found.id for found in await latest(operator, 3)] == [e.id for e in made[:2:-1]]
    odd = await latest(operator, kind="test.k1")
    assert [found.id for found in odd] == [made[5].id, made[3].id, made[1].id]


async def test_what_is_no_event_never_reaches_the_server(operator: Connection) -> None:
    with pytest.raises(EventInvalid):
        await append(operator, event(data={"x": float("nan")}))
    assert await latest(operator) == ()


@pytest.mark.parametrize(
    "body",
    [b"", b"\xff", b"[]", b"{}", b'{"id":"7"}', b'{"id":null,"time":"now"}', b"[" * 20000],
    ids=["empty", "no UTF-8", "a list", "nothing", "a short id", "no id", "brackets"],
)
async def test_bytes_that_bypass_our_python_are_refused_too(
    operator: Connection, body: bytes
) -> None:
    with pytest.raises(Exception, match=r".") as caught:
        await operator.execute("SELECT ledger.append_event(%s)", [body])
    assert type(caught.value).__module__.startswith("psycopg")
    assert await latest(operator) == ()


async def test_an_event_too_large_is_refused_by_the_server_too(operator: Connection) -> None:
    body = event().canonical().replace(b'"a":{', b'"a":{"x":"' + b"y" * 262_144 + b'",')
    with pytest.raises(Exception, match="check constraint"):
        await operator.execute("SELECT ledger.append_event(%s)", [body])


async def test_a_gateway_neither_appends_nor_reads(gateway: Connection) -> None:
    with pytest.raises(Forbidden):
        await append(gateway, event())
    with pytest.raises(Forbidden):
        await latest(gateway)


async def test_a_connection_lost_while_appending_is_an_unknown_outcome(
    operator: Connection, superuser: Connection, database: Server
) -> None:
    """The commit is under way (waiting for a lock) when the session is ended by force."""
    made = event()
    async with superuser.transaction():
        await superuser.execute("LOCK TABLE ledger.events IN EXCLUSIVE MODE")
        attempt = asyncio.create_task(append(operator, made))
        await asyncio.sleep(0.3)
        await superuser.execute(
            "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE usename = 'fed_operator'"
        )
        with pytest.raises(OutcomeUnknown, match="the answer to a write never came"):
            await attempt
    async with await connect(database.settings("operator")) as connection:
        assert await append(connection, made)
        assert not await append(connection, made)


async def test_a_server_killed_while_appending_never_tells_a_lie(database: Server) -> None:
    """Every append that was acknowledged is there; every other one may be repeated."""
    acknowledged, unknown = [], []

    async def work() -> None:
        async with await connect(database.settings("operator")) as connection:
            while True:
                made = event()
                try:
                    await append(connection, made)
                except OutcomeUnknown:
                    unknown.append(made)
                    return
                acknowledged.append(made)

    workers = [asyncio.create_task(work()) for _ in range(3)]
    await asyncio.sleep(0.5)
    database.stop()
    await asyncio.gather(*workers)
    database.start()
    assert acknowledged
    assert len(unknown) == 3
    async with await connect(database.settings("operator")) as connection:
        for made in acknowledged:
            assert await read(connection, made.id) == made.canonical()
        for made in unknown:
            await append(connection, made)
            assert await read(connection, made.id) == made.canonical()


async def test_a_wrong_answer_is_a_rejection_not_a_crash(operator: Connection) -> None:
    """Our event, forced past our checks: the server's refusal is Rejected."""
    made = event()
    object.__setattr__(made, "canonical", lambda: b"\xff\x00")
    with pytest.raises(Rejected):
        await append(operator, made)
