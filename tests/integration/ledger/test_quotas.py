"""Shares as the real server deals them: as the simulated dealer does, under concurrency, over time.

Time passes here by moving `seen_at` into the past, as the superuser.
"""

import asyncio
import random
import time

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from ledger import quotas
from ledger.connect import Connection, connect
from ledger.errors import Rejected
from ledger.limits import Limits, set_limits, tenant_subject
from ledger.quotas import Ask, Deal, Holder
from tests.support.dealer import Dealer
from tests.support.postgres import Server

SUBJECT = tenant_subject("default")
METERS = [
    ("requests_minute", ""),
    ("tokens_minute", ""),
    ("concurrent", ""),
    ("tokens_day", "2026-11-21"),
    ("tokens_month", "2026-11"),
]
LIMITS = Limits(20, 100, 3, 500, 900)


def holder(name: str, place: str = "", lease: float = 600, request: float = 600) -> Holder:
    return Holder(name, place or name, lease, request)


def ask(meter: int = 1, used: int = 0, need: int = 0, want: int = 0, **more: int) -> Ask:
    name, period = METERS[meter]
    keep = more.get("keep", used)
    need, want = max(used, need), max(used, need, want)
    done = bool(more.get("done", 0))
    return Ask(SUBJECT, name, period, used, keep, need, want, more.get("busy_ms", 0), done)


ASKS = st.builds(
    lambda meter, used, more, extra, held, done: ask(
        meter, used, used + more, used + more + extra, keep=used + held, done=done
    ),
    st.integers(0, 4),
    st.integers(0, 30),
    st.integers(0, 60),
    st.integers(0, 200),
    st.integers(0, 10),
    st.sampled_from([0, 0, 0, 1]),
)
STEPS = st.lists(
    st.tuples(st.integers(0, 2), st.lists(ASKS, max_size=4, unique_by=lambda a: a.meter)),
    max_size=12,
)


def told(deal: Deal) -> tuple[object, ...]:
    """All but how long others are busy, which depends on the clock."""
    return (*(deal.subject, deal.meter, deal.period, deal.limited_to, deal.share),
            deal.others_share, deal.others_used, deal.short)  # fmt: skip


async def limited(server: Server, limits: Limits = LIMITS) -> None:
    async with await connect(server.settings("operator")) as connection:
        await set_limits(connection, SUBJECT, limits, actor="t")


def given_away(server: Server, meter: str = "tokens_minute") -> int:
    return int(
        server.psql(
            f"SELECT coalesce(sum(share), 0) FROM ledger.quota_shares WHERE meter = '{meter}'",  # noqa: S608
            "federation",
        )
    )


def later(server: Server, name: str, seconds: float) -> None:
    server.psql(
        f"UPDATE ledger.quota_holders SET seen_at = seen_at - interval '{seconds} s'"  # noqa: S608
        f" WHERE holder = '{name}'",
        "federation",
    )


@settings(max_examples=40, deadline=None, suppress_health_check=list(HealthCheck), database=None)
@given(STEPS)
def test_the_server_deals_as_the_simulated_dealer(
    database: Server, steps: list[tuple[int, list[Ask]]]
) -> None:
    for table in ("quota_shares", "quota_meters", "quota_holders"):
        database.psql(f"DELETE FROM ledger.{table}", "federation")  # noqa: S608
    asyncio.run(compare(database, steps))


async def compare(server: Server, steps: list[tuple[int, list[Ask]]]) -> None:
    await limited(server)
    simulated = Dealer(time.time)
    for (name, _), limit in zip(METERS, (20, 100, 3, 500, 900), strict=True):
        simulated.limits[SUBJECT, name] = limit
    async with await connect(server.settings("gateway")) as connection:
        for name in "abc":
            assert await quotas.keep(connection, holder(name)) is simulated.keep(holder(name))
        for number, asks in steps:
            real = await quotas.deal(connection, "abc"[number], asks)
            wanted = simulated.deal("abc"[number], asks)
            assert [told(deal) for deal in real] == [told(deal) for deal in wanted]


async def test_many_at_once_are_never_dealt_more_than_there_is(database: Server) -> None:
    await limited(database)
    rng = random.Random(7)  # noqa: S311

    async def gateway(name: str) -> None:
        held = 0
        async with await connect(database.settings("gateway")) as connection:
            await quotas.keep(connection, holder(name))
            for _ in range(40):
                wanted = rng.randrange(0, 60)
                asks = [
                    ask(1, min(held, wanted), wanted, wanted + 20, keep=min(held, wanted)),
                    ask(0, 0, rng.randrange(0, 10), 10),
                ]
                rng.shuffle(asks)
                for deal in await quotas.deal(connection, name, asks):
                    if deal.meter == "tokens_minute":
                        held = deal.share or 0

    async def look() -> None:
        for _ in range(40):
            assert await asyncio.to_thread(given_away, database) <= 100
            await asyncio.sleep(0.01)

    await asyncio.gather(look(), *(gateway(f"g{number}") for number in range(6)))
    assert given_away(database, "requests_minute") <= 20


async def test_a_share_counts_on_after_its_holder_died(
    database: Server, gateway: Connection
) -> None:
    await limited(database)
    for name in "ab":
        await quotas.keep(gateway, holder(name, lease=10, request=200))
    (dealt,) = await quotas.deal(gateway, "a", [ask(1, 0, 100, 100)])
    assert dealt.share == 100
    for seconds, there in ((11, 0), (58, 0), (4, 100)):
        later(database, "a", seconds)
        await quotas.keep(gateway, holder("b", lease=10, request=200))
        (dealt,) = await quotas.deal(gateway, "b", [ask(1, 0, 100, 100)])
        assert dealt.share == there, seconds


async def test_permits_count_as_long_as_a_request_may_run_or_until_a_new_start(
    database: Server, gateway: Connection
) -> None:
    await limited(database)
    for name in "ab":
        await quotas.keep(gateway, holder(name, lease=10, request=200))
    assert (await quotas.deal(gateway, "a", [ask(2, 0, 3, 3)]))[0].share == 3
    later(database, "a", 150)
    assert (await quotas.deal(gateway, "b", [ask(2, 0, 1, 1)]))[0].share == 0
    await quotas.keep(gateway, holder("a2", place="a", lease=10, request=200))
    assert (await quotas.deal(gateway, "b", [ask(2, 0, 1, 1)]))[0].share == 1


async def test_a_draining_process_keeps_its_permits_beside_the_new_one(
    database: Server, gateway: Connection
) -> None:
    await limited(database)
    await quotas.keep(gateway, holder("old", place="p"))
    assert (await quotas.deal(gateway, "old", [ask(2, 0, 3, 3)]))[0].share == 3
    await quotas.keep(gateway, holder("new", place="p"))
    assert (await quotas.deal(gateway, "new", [ask(2, 0, 1, 1)]))[0].share == 0


async def test_a_lapsed_holder_is_dealt_nothing_before_it_shows_itself(
    database: Server, gateway: Connection
) -> None:
    await limited(database)
    assert await quotas.keep(gateway, holder("a", lease=10))
    assert not await quotas.keep(gateway, holder("a", lease=10))
    later(database, "a", 11)
    for name in ("a", "nobody"):
        with pytest.raises(Rejected):
            await quotas.deal(gateway, name, [ask(1, 0, 5, 5)])
    assert await quotas.keep(gateway, holder("a", lease=10))
    assert (await quotas.deal(gateway, "a", [ask(1, 0, 5, 5)]))[0].share == 5


async def test_a_budget_is_kept_once_when_its_end_is_said_twice(
    database: Server, gateway: Connection
) -> None:
    await limited(database)
    for name in "ab":
        await quotas.keep(gateway, holder(name))
    await quotas.deal(gateway, "a", [ask(3, 0, 100, 100)])
    for _ in range(2):
        await quotas.deal(gateway, "a", [ask(3, 70, done=1)])
    (dealt,) = await quotas.deal(gateway, "b", [ask(3, 0, 430, 430)])
    assert (dealt.share, dealt.others_used) == (430, 70)
    (dealt,) = await quotas.deal(gateway, "b", [ask(3, 430, 431, 431)])
    assert dealt.share == 430


async def test_sweeping_takes_what_no_longer_counts_and_nothing_else(
    database: Server, gateway: Connection
) -> None:
    await limited(database)
    await quotas.keep(gateway, holder("a", lease=10, request=10))
    await quotas.keep(gateway, holder("b", lease=10, request=10))
    today = database.psql("SELECT to_char(now() AT TIME ZONE 'UTC', 'YYYY-MM-DD')")
    day = Ask(SUBJECT, "tokens_day", today, 5, 5, 5, 5)
    await quotas.deal(gateway, "a", [ask(1, 0, 5, 5), day])
    await quotas.deal(gateway, "b", [ask(1, 0, 5, 5)])
    assert await quotas.sweep(gateway) == 0
    later(database, "a", 4000)
    assert await quotas.sweep(gateway) == 1
    assert given_away(database) == 5 and given_away(database, "tokens_day") == 5


async def test_a_limit_that_is_lifted_is_dealt_as_none(
    database: Server, gateway: Connection
) -> None:
    await limited(database)
    await quotas.keep(gateway, holder("a"))
    await quotas.deal(gateway, "a", [ask(1, 0, 5, 5)])
    await limited(database, Limits())
    (dealt,) = await quotas.deal(gateway, "a", [ask(1, 0, 5, 5)])
    assert (dealt.limited_to, dealt.share) == (None, None)
    assert given_away(database) == 0
