"""The audit on a real server: intent, then outcome, once; repeated safely, never rewritten."""

import asyncio
from collections.abc import AsyncIterator
from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest
import pytest_asyncio

from ledger.connect import Connection, borrow, connect, pool
from ledger.errors import Conflict, Forbidden, OutcomeUnknown, Rejected, Unavailable
from ledger.identifiers import new_id
from ledger.keys import issue
from ledger.requests import (
    Outcome,
    RequestIntent,
    RequestOutcome,
    RequestRecord,
    complete_request,
    find_request,
    latest_requests,
    open_request,
)
from tests.support.postgres import Server
from trust.apikeys import Pepper

NOW = datetime(2026, 5, 4, 3, 2, 1, 5, tzinfo=UTC)
ANSWERED = RequestOutcome(
    Outcome.ANSWERED, NOW + timedelta(seconds=2), 2000, 200, 17, 42, first_byte_ms=130
)


@pytest_asyncio.fixture
async def intent(operator: Connection) -> AsyncIterator[RequestIntent]:
    key, _ = await issue(
        operator,
        Pepper.parse("ab" * 32),
        name="x",
        scopes=["chat"],
        models=None,
        expires_at=None,
        actor="t",
    )
    yield RequestIntent(new_id(), key.id, "anode", "small", True, NOW)


async def test_a_request_is_open_then_complete(
    gateway: Connection, operator: Connection, intent: RequestIntent
) -> None:
    assert await open_request(gateway, intent)
    assert await find_request(operator, intent.id) == RequestRecord(intent, None)
    assert await complete_request(gateway, intent.id, ANSWERED)
    assert await latest_requests(operator) == (RequestRecord(intent, ANSWERED),)


async def test_both_steps_may_be_repeated(gateway: Connection, intent: RequestIntent) -> None:
    assert await open_request(gateway, intent)
    assert not await open_request(gateway, intent)
    assert await complete_request(gateway, intent.id, ANSWERED)
    assert not await complete_request(gateway, intent.id, ANSWERED)
    assert not await open_request(gateway, intent)


async def test_a_repetition_with_other_content_is_a_conflict(
    gateway: Connection, operator: Connection, intent: RequestIntent
) -> None:
    await open_request(gateway, intent)
    with pytest.raises(Conflict, match="opened before with other content"):
        await open_request(gateway, replace(intent, model="other"))
    await complete_request(gateway, intent.id, ANSWERED)
    for changed in (
        replace(ANSWERED, completion_tokens=1),
        replace(ANSWERED, completion_tokens=None),
        replace(ANSWERED, outcome=Outcome.LOST),
        replace(ANSWERED, completed_at=NOW),
    ):
        with pytest.raises(Conflict, match="completed before in another way"):
            await complete_request(gateway, intent.id, changed)
    record = await find_request(operator, intent.id)
    assert record == RequestRecord(intent, ANSWERED)


async def test_what_was_never_opened_cannot_be_completed(gateway: Connection) -> None:
    with pytest.raises(Rejected, match="was never opened"):
        await complete_request(gateway, new_id(), ANSWERED)


async def test_two_gateways_completing_at_once_write_one_outcome(
    database: Server, gateway: Connection, operator: Connection, intent: RequestIntent
) -> None:
    await open_request(gateway, intent)
    lost = RequestOutcome(Outcome.LOST, NOW, 0)
    async with await connect(database.settings("gateway2")) as other:
        answers = await asyncio.gather(
            complete_request(gateway, intent.id, ANSWERED),
            complete_request(other, intent.id, lost),
            return_exceptions=True,
        )
    assert sorted(type(answer).__name__ for answer in answers) == ["Conflict", "bool"]
    record = await find_request(operator, intent.id)
    assert record is not None
    assert record.outcome == (ANSWERED if answers[0] is True else lost)


@pytest.mark.parametrize(
    "changes",
    [
        {"key_id": "0" * 11},
        {"key_id": "'; --"},
        {"node": ""},
        {"model": "m" * 201},
        {"model": "a\0b"},
    ],
)
async def test_intents_the_table_refuses(
    gateway: Connection, intent: RequestIntent, changes: dict[str, str]
) -> None:
    with pytest.raises(Rejected):
        await open_request(gateway, replace(intent, **changes))


@pytest.mark.parametrize(
    "changes",
    [
        {"status": 42},
        {"status": 70000},
        {"prompt_tokens": -1},
        {"completion_tokens": 2**40},
        {"duration_ms": -5},
    ],
)
async def test_outcomes_the_table_refuses(
    gateway: Connection, intent: RequestIntent, changes: dict[str, int]
) -> None:
    await open_request(gateway, intent)
    with pytest.raises(Rejected):
        await complete_request(gateway, intent.id, replace(ANSWERED, **changes))
    assert await complete_request(gateway, intent.id, ANSWERED)


async def test_roles_keep_to_their_part(
    gateway: Connection, operator: Connection, intent: RequestIntent
) -> None:
    with pytest.raises(Forbidden):
        await open_request(operator, intent)
    await open_request(gateway, intent)
    with pytest.raises(Forbidden):
        await find_request(gateway, intent.id)
    with pytest.raises(Forbidden):
        await complete_request(operator, intent.id, ANSWERED)


async def test_after_an_outage_the_same_row_is_sent_again(
    database: Server, operator: Connection, intent: RequestIntent
) -> None:
    """OutcomeUnknown is resolved by repeating: one row, whatever had happened."""
    async with pool(database.settings("gateway"), wait_seconds=2) as connections:
        async with borrow(connections) as connection:
            await open_request(connection, intent)
            database.stop()
            with pytest.raises(OutcomeUnknown):
                await complete_request(connection, intent.id, ANSWERED)
        with pytest.raises(Unavailable):
            async with borrow(connections):
                pass
        database.start()
        async with borrow(connections) as connection:
            assert not await open_request(connection, intent)
            assert await complete_request(connection, intent.id, ANSWERED)


async def test_two_hundred_requests_through_a_pool(
    database: Server, operator: Connection, intent: RequestIntent
) -> None:
    async def one() -> None:
        mine = replace(intent, id=new_id())
        async with borrow(connections) as connection:
            await open_request(connection, mine)
        async with borrow(connections) as connection:
            await complete_request(connection, mine.id, ANSWERED)

    async with pool(database.settings("gateway"), maximum=4) as connections:
        await asyncio.gather(*(one() for _ in range(200)))
    records = await latest_requests(operator, 1000)
    assert len(records) == 200
    assert all(record.outcome == ANSWERED for record in records)
