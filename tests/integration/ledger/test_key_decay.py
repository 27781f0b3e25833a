"""The key decay on a real server: its own process, its own role, its events.

What becomes of the notices is in `test_key_notices`.
"""

import asyncio
import json
from datetime import UTC, datetime, timedelta
from typing import Any

from daemons.key_decay.decide import TIER_CHANGED
from daemons.key_decay.shell import exposition, settle_due
from ledger import key_strength, keys
from ledger.connect import Connection, connect
from ledger.key_strength import hour_of, misused, note
from ledger.roles import decide
from tests.support.postgres import Server
from tests.support.reviews import BY, days_pass, give
from trust.apikeys import Pepper
from trust.strength import Misuse
from trust.tiers import Tier

PEPPER = Pepper.parse("ab" * 32)


async def make(operator: Connection, **changes: Any) -> str:
    values = {"name": "alice", "scopes": ["inference"], "models": None, "expires_at": None}
    key, _ = await keys.issue(operator, PEPPER, actor="t", **(values | changes))
    return key.id


def age(database: Server, days: int, where: str = "true") -> None:
    """Let days pass for keys: all their times go back, as if written then."""
    back = f"interval '{days} days'"
    database.psql(
        "SET session_replication_role = replica;"  # noqa: S608
        f"UPDATE ledger.key_strength SET issued_at = issued_at - {back},"
        f" tier_since = tier_since - {back}, ends_at = ends_at - {back},"
        f" unchanged_until = unchanged_until - {back} WHERE {where};"
        f"UPDATE ledger.key_traces SET newest_hour = newest_hour - 24 * {days} WHERE {where}",
        "federation",
    )


async def settled(database: Server, batch: int = 500, day: float = 0) -> list[tuple[str, str]]:
    """One run, `day` days from now; what it said."""
    clock = lambda: datetime.now(UTC) + timedelta(days=day)  # noqa: E731
    async with await connect(database.settings("sequencer", user="fed_keys")) as connection:
        result = await settle_due(connection, "anode", batch, clock)
    return [(notice.key_id, notice.kind) for notice in result.notices]


def events(database: Server) -> list[dict[str, Any]]:
    rows = database.psql(
        "SELECT convert_from(body, 'UTF8') FROM ledger.inbox ORDER BY arrival", "federation"
    )
    return [json.loads(line) for line in rows.splitlines()]


async def test_a_run_tells_monitoring_of_proposals_that_wait(
    operator: Connection, database: Server
) -> None:
    async def figures() -> tuple[float, float]:
        async with await connect(database.settings("sequencer", user="fed_keys")) as connection:
            text = exposition(await settle_due(connection, "anode", 500))
        told = dict(
            line.split() for line in text.splitlines() if line.startswith("federation_role")
        )
        prefix = "federation_role_proposals"
        return float(told[f"{prefix}_waiting"]), float(told[f"{prefix}_oldest_seconds"])

    assert await figures() == (0, 0)
    first = await give(operator, f"key:{await make(operator)}")
    days_pass(database, 2)
    await give(operator, f"key:{await make(operator)}")
    number, oldest = await figures()
    assert number == 2 and 2 * 86400 <= oldest < 2 * 86400 + 300
    await decide(operator, BY, first.number, "reject", "nobody asked")
    number, oldest = await figures()
    assert number == 1 and 0 < oldest < 300
    # What has lapsed waits for nobody.
    days_pass(database, 14)
    assert await figures() == (0, 0)


async def test_a_run_touches_only_keys_that_change(
    operator: Connection, gateway: Connection, database: Server
) -> None:
    quiet, misusing, old = [await make(operator) for _ in range(3)]
    assert await settled(database) == []
    assert await settled(database) == []
    row = "SELECT xmin::text FROM ledger.key_strength WHERE key_id = "
    before = database.psql(f"{row} '{quiet}'", "federation")
    hour = hour_of(datetime.now(UTC))
    kinds = (Misuse.FORBIDDEN_SCOPE, Misuse.FORBIDDEN_MODEL)
    await note(gateway, [(misusing, misused(kind), hour) for kind in kinds])
    age(database, 12, f"key_id = '{old}'")
    found = await settled(database)
    assert sorted(found) == sorted([(misusing, TIER_CHANGED), (old, TIER_CHANGED)])
    assert database.psql(f"{row} '{quiet}'", "federation") == before
    assert (await keys.show(operator, misusing)).tier is Tier.NORMAL
    told = [event for event in events(database) if event["kind"] == TIER_CHANGED]
    assert {event["subject"] for event in told} == {f"key:{misusing}", f"key:{old}"}
    assert {event["actor"] for event in told} == {"federation-key-decay"}
    assert await settled(database) == []


async def test_runs_at_once_share_the_work_and_say_everything_once(
    operator: Connection, database: Server
) -> None:
    made = {await make(operator) for _ in range(30)}
    await settled(database)
    age(database, 12)
    found = await asyncio.gather(*(settled(database, batch=4) for _ in range(3)))
    found.append(await settled(database))
    said = [key_id for run in found for key_id, kind in run if kind == TIER_CHANGED]
    assert sorted(said) == sorted(made)
    assert len(events(database)) == 30


async def test_a_gateway_hears_of_a_tier_and_of_nothing_that_stayed(
    operator: Connection, gateway: Connection, database: Server
) -> None:
    key = await make(operator)
    version, _ = await keys.find_many(gateway, [key])
    await settled(database)
    assert (await keys.find_many(gateway, [key]))[0] == version
    age(database, 30)
    await settled(database)
    later, (verifier,) = await keys.find_many(gateway, [key])
    assert (later, verifier.tier) == (version + 1, Tier.WEAK)


async def test_a_key_that_works_again_rises_by_itself(
    operator: Connection, gateway: Connection, database: Server
) -> None:
    key = await make(operator)
    age(database, 30)
    await settled(database)
    now = datetime.now(UTC)
    await note(gateway, [(key, key_strength.worked("inference"), hour_of(now))])
    assert await settled(database, day=0.5) == []
    rises = [await settled(database, day=day) for day in (1.1, 1.2, 2.2)]
    assert rises == [[(key, TIER_CHANGED)], [], [(key, TIER_CHANGED)]]
    assert (await keys.show(operator, key)).tier is Tier.STRONG
