"""The audit on a real server: intent, then outcome, once; repeated safely, never rewritten."""

import asyncio
from collections.abc import AsyncIterator
from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest
import pytest_asyncio

from ledger.connect import Connection, connect
from ledger.errors import Conflict, Forbidden, Rejected
from ledger.identifiers import new_id
from ledger.keys import issue
from ledger.requests import (
    Outcome,
    RequestIntent,
    RequestOutcome,
    RequestRecord,
    find_request,
    latest_requests,
    ship,
)
from ledger.usage import usage
from tests.support.audit import request_events
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
        scopes=["inference"],
        models=None,
        expires_at=None,
        actor="t",
    )
    yield RequestIntent(new_id(), key.id, "anode", "small", True, NOW)


async def test_a_request_is_open_then_complete(
    gateway: Connection, operator: Connection, intent: RequestIntent
) -> None:
    begin, end = request_events(intent, ANSWERED)
    assert await ship(gateway, [begin]) == 1
    assert await find_request(operator, intent.id) == RequestRecord(intent, None)
    assert await ship(gateway, [end]) == 1
    assert await latest_requests(operator) == (RequestRecord(intent, ANSWERED),)


@pytest.mark.parametrize("twice", [(0,), (1,), (0, 1), (1, 0)])
async def test_events_sent_again_change_nothing(
    gateway: Connection, operator: Connection, intent: RequestIntent, twice: tuple[int, ...]
) -> None:
    both = request_events(intent, ANSWERED)
    assert await ship(gateway, both) == 2
    assert await ship(gateway, [both[place] for place in twice]) == 0
    assert await latest_requests(operator) == (RequestRecord(intent, ANSWERED),)


async def test_one_call_ends_what_was_begun_before_and_keeps_what_is_whole_or_open(
    gateway: Connection, operator: Connection, intent: RequestIntent
) -> None:
    earlier, whole, still_open = (
        [replace(intent, id=new_id()) for _ in range(300)] for _ in range(3)
    )
    for begun in (earlier[:200], earlier[200:]):
        await ship(gateway, [request_events(one, ANSWERED)[0] for one in begun])
    events = [
        *(event for one in whole for event in request_events(one, ANSWERED)),
        *(request_events(one, ANSWERED)[1] for one in earlier),
        *(request_events(one, None)[0] for one in still_open),
    ]
    assert await ship(gateway, events) == 1200
    found = {row.intent.id: row.outcome for row in await latest_requests(operator, 1000)}
    assert found == {one.id: ANSWERED for one in (*earlier, *whole)} | {
        one.id: None for one in still_open
    }


async def test_a_beginning_sent_again_with_its_end_is_completed(
    gateway: Connection, operator: Connection, intent: RequestIntent
) -> None:
    both = request_events(intent, ANSWERED)
    await ship(gateway, both[:1])
    assert await ship(gateway, both) == 1
    assert await latest_requests(operator) == (RequestRecord(intent, ANSWERED),)


async def test_two_ends_of_one_request_are_a_conflict_and_nothing_of_the_call_stays(
    gateway: Connection, operator: Connection, intent: RequestIntent
) -> None:
    await ship(gateway, request_events(intent, ANSWERED))
    other = replace(intent, id=new_id())
    ends = request_events(intent, replace(ANSWERED, outcome=Outcome.LOST))[1:]
    with pytest.raises(Conflict):
        await ship(gateway, [*request_events(other, ANSWERED), *ends])
    assert await latest_requests(operator) == (RequestRecord(intent, ANSWERED),)


async def test_an_end_without_its_beginning_is_in_the_log_and_makes_no_row(
    gateway: Connection, operator: Connection, intent: RequestIntent
) -> None:
    assert await ship(gateway, request_events(intent, ANSWERED)[1:]) == 1
    assert await find_request(operator, intent.id) is None


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"[]",
        b"{}",
        b"\xff",
        b'{"kind":"request.started"}',
        b'{"id":"x","kind":"request.started"}',
    ],
)
async def test_what_is_no_event_is_refused(gateway: Connection, body: bytes) -> None:
    with pytest.raises(Rejected):
        await ship(gateway, [body])


async def test_roles_keep_to_their_part(
    gateway: Connection, operator: Connection, intent: RequestIntent
) -> None:
    with pytest.raises(Forbidden):
        await ship(operator, request_events(intent, ANSWERED))
    await ship(gateway, request_events(intent, ANSWERED))
    with pytest.raises(Forbidden):
        await find_request(gateway, intent.id)
    with pytest.raises(Forbidden):
        await usage(gateway)


async def test_two_shippers_at_once_with_the_same_and_with_crossed_requests(
    database: Server, operator: Connection, intent: RequestIntent
) -> None:
    async def one(name: str, events: list[bytes]) -> int:
        async with await connect(database.settings(name)) as connection:
            return await ship(connection, events)

    for _ in range(5):  # of a circle of waiting, one round shows half of the times
        pairs = [request_events(replace(intent, id=new_id()), ANSWERED) for _ in range(100)]
        forth = [event for pair in pairs for event in pair]
        back = [event for pair in reversed(pairs) for event in pair]
        new = await asyncio.gather(
            one("gateway", forth), one("gateway2", forth), one("gateway2", back)
        )
        assert sum(new) == 200
    assert len(await latest_requests(operator, 1000)) == 500


async def test_usage_is_summed_by_tenant_key_and_model(
    gateway: Connection, operator: Connection, intent: RequestIntent
) -> None:
    for model, tenant in (("small", "default"), ("small", "default"), ("large", "other")):
        row = replace(intent, id=new_id(), model=model, tenant=tenant)
        await ship(gateway, request_events(row, ANSWERED))
    await ship(gateway, request_events(replace(intent, id=new_id()), None))
    found = await usage(operator)
    assert [(u.tenant, u.model, u.requests, u.answered, u.open) for u in found] == [
        ("default", "small", 3, 2, 1),
        ("other", "large", 1, 1, 0),
    ]
    assert (found[0].prompt_tokens, found[0].completion_tokens) == (34, 84)
    assert found[0].key_name == "x"
    assert [u.model for u in await usage(operator, tenant="other")] == ["large"]
    assert await usage(operator, tenant="nobody") == ()
    assert len(await usage(operator, key=intent.key_id)) == 2
    assert await usage(operator, since=NOW + timedelta(seconds=1)) == ()
