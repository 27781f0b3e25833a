"""Volumes on a real server: counted once whoever ships how often, by the rules of trust.volume."""

import asyncio
import random
from dataclasses import asdict
from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from ledger import keys
from ledger.connect import Connection, connect, connect_dsn
from ledger.identifiers import new_id
from ledger.key_strength import hour_of, misused_lately, rotate, show
from ledger.requests import Outcome, RequestIntent, RequestOutcome, ship
from tests.support.audit import request_events
from tests.support.postgres import Server
from trust import volume
from trust.apikeys import Pepper
from trust.strength import Misuse, weighed_misuses
from trust.volume import FLOOR_REQUESTS, Volume, counting

PEPPER = Pepper.parse("ab" * 32)
NOW = 500_000
STEP = (
    "SELECT newest_hour, counts, hours, mean, variance FROM ledger.volume_counting("
    "%(newest_hour)s, %(counts)s::bigint[], %(hours)s, %(mean)s::float8, %(variance)s::float8,"
    " %(hour)s, %(number)s::bigint, %(clock)s)"
)


async def make(operator: Connection) -> str:
    key, _ = await keys.issue(
        operator, PEPPER, name="a", scopes=["inference"], models=None, expires_at=None, actor="t"
    )
    return key.id


def events(key_id: str, outcome: Outcome = Outcome.ANSWERED, back: int = 0) -> list[bytes]:
    """One request of so many hours ago, as a gateway ships it."""
    now = datetime.now(UTC) - timedelta(hours=back)
    intent = RequestIntent(new_id(), key_id, "n", "m", False, now)
    return request_events(intent, RequestOutcome(outcome, now, 5, status=200))


def grown_up(database: Server, key_id: str, mean: float = 10) -> None:
    """A history of forty hours of work, older than a day."""
    database.psql(
        "INSERT INTO ledger.key_volumes (family, newest_hour, hours, mean, variance)"  # noqa: S608
        f" VALUES ('{key_id}', {hour_of(datetime.now(UTC)) - 30}, 40, {mean}, 4)",
        "federation",
    )


async def accused(connection: Connection, key_id: str) -> dict[Misuse, float]:
    state = (await show(connection, key_id)).state
    weighed = weighed_misuses(state, datetime.now(UTC).timestamp())
    return {kind: points for kind, points in weighed if points}


uses = st.lists(
    st.tuples(
        st.integers(NOW, NOW + 60) | st.integers(-3, 2**31 - 1),
        st.integers(1, 5000),
        st.integers(NOW, NOW + 60) | st.integers(0, 2**31 - 10),
    ),
    max_size=12,
)
histories = st.builds(
    Volume,
    st.integers(NOW - 60, NOW + 60),
    st.lists(st.integers(0, 3000), min_size=24, max_size=24).map(tuple),
    st.integers(0, 64),
    st.floats(0, 1e6),
    st.floats(0, 1e9),
)


@settings(max_examples=40, deadline=None, suppress_health_check=list(HealthCheck))
@given(histories, uses)
def test_the_database_counts_as_the_rules_say(
    database: Server, begun: Volume, found: list[tuple[int, int, int]]
) -> None:
    async def run() -> None:
        expected = begun
        async with await connect_dsn(database.dsn()) as owner:
            for hour, number, clock in found:
                values = {**asdict(expected), "counts": list(expected.counts)}
                cursor = await owner.execute(
                    STEP, {**values, "hour": hour, "number": number, "clock": clock}
                )
                row = await cursor.fetchone()
                assert row is not None
                expected = counting(expected, hour, number, clock)
                kept = Volume(
                    row["newest_hour"], tuple(row["counts"]), row["hours"], row["mean"],
                    row["variance"],
                )  # fmt: skip
                assert (kept.newest_hour, kept.counts, kept.hours) == (
                    expected.newest_hour,
                    expected.counts,
                    expected.hours,
                )
                assert kept.mean == pytest.approx(expected.mean)
                assert kept.variance == pytest.approx(expected.variance)

    asyncio.run(run())


async def test_the_limit_is_the_rules(owner: Connection) -> None:
    for hours, mean, variance in ((23, 1e6, 1.0), (24, 10.0, 4.0), (64, 500.0, 10_000.0)):
        cursor = await owner.execute(
            "SELECT ledger.volume_most_usual(%s, %s::float8, %s::float8) AS most",
            [hours, mean, variance],
        )
        row = await cursor.fetchone()
        assert row is not None
        assert row["most"] == volume.most_usual(Volume(0, (), hours, mean, variance))


async def test_requests_count_once_from_any_gateway_and_only_what_an_engine_did(
    operator: Connection, database: Server
) -> None:
    """Four gateways ship the requests of three keys, each batch twice, in orders of their own."""
    made = [await make(operator) for _ in range(3)]
    before = hour_of(datetime.now(UTC))
    sent = {
        gateway: [
            events(key, outcome, back)
            for key in made
            for outcome in set(Outcome) - {Outcome.LOST}
            for back in (0, 1, 2)
            for _ in range(2)
        ]
        for gateway in range(4)
    }

    async def gateway(number: int) -> None:
        mine = sent[number]
        random.Random(number).shuffle(mine)  # noqa: S311
        async with await connect(database.settings("gateway")) as connection:
            for start in range(0, len(mine), 10):
                batch = [body for request in mine[start : start + 10] for body in request]
                await ship(connection, batch)
                await ship(connection, batch)

    await asyncio.gather(*(gateway(number) for number in sent))
    for key in made:
        found = (await show(operator, key)).volume
        # Two of the outcomes are an engine's work; the hour may have turned meanwhile.
        assert sum(found.counts) == 4 * 2 * 3 * 2
        if hour_of(datetime.now(UTC)) == before:
            assert found.counts[:4] == (16, 16, 16, 0)
        assert await accused(operator, key) == {}


async def test_what_is_far_outside_is_misuse_once_a_day_of_the_key_that_did_it(
    operator: Connection, gateway: Connection, database: Server
) -> None:
    old, bystander, young = [await make(operator) for _ in range(3)]
    for key in (old, bystander):
        grown_up(database, key)
    fresh, _ = await rotate(
        operator, PEPPER, await show(operator, old), overlap=timedelta(days=1), actor="t", node="n",
        now=datetime.now(UTC),
    )  # fmt: skip
    usual = [*events(old), *events(bystander)]
    await ship(gateway, usual)
    much = {
        key: [body for _ in range(FLOOR_REQUESTS) for body in events(key)]
        for key in (fresh.id, young)
    }
    await ship(gateway, much[young])
    await ship(gateway, much[fresh.id][:FLOOR_REQUESTS])
    assert await accused(operator, fresh.id) == {}
    for _ in range(3):
        await ship(gateway, much[fresh.id])
        await ship(gateway, events(fresh.id))
    points = await accused(operator, fresh.id)
    days = 1 + (points.get(Misuse.VOLUME, 0) > Misuse.VOLUME.points)  # it may be midnight
    assert set(points) == {Misuse.VOLUME}
    assert points[Misuse.VOLUME] <= days * Misuse.VOLUME.points
    for key in (old, bystander, young):
        assert await accused(operator, key) == {}
    assert (await misused_lately(operator, datetime.now(UTC)))[Misuse.VOLUME] == 1
    assert (await misused_lately(operator, datetime.now(UTC)))[Misuse.REPLAY] == 0
    due = database.psql(
        "SELECT key_id FROM ledger.key_strength WHERE misuse = 0 AND"  # noqa: S608
        f" unchanged_until <= clock_timestamp() AND key_id = '{fresh.id}'",
        "federation",
    )
    assert due.strip() == fresh.id
