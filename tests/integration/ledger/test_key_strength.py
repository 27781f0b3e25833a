"""Key strength on a real server: bits noted by SQL are those of trust.traces, in any order."""

import asyncio
import json
import random
from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from ledger import key_strength, keys, limits, quotas
from ledger.connect import Connection, connect
from ledger.errors import Conflict, Forbidden, Rejected
from ledger.key_strength import KeyHistory, Settled, hour_of, misused, note, rotate, show, worked
from ledger.requests import Outcome, RequestIntent, RequestOutcome, ship
from tests.support.audit import request_events
from tests.support.postgres import Server
from trust import strength
from trust.apikeys import ApiKey, Pepper
from trust.parameters import Parameters
from trust.strength import HOUR_SECONDS, Misuse
from trust.tiers import ALLOWANCES, Tier
from trust.traces import Trace

PEPPER = Pepper.parse("ab" * 32)
SCOPES = ("inference", "tokenize")
USAGE_HOURS = Parameters().usage_window_hours
MISUSE_HOURS = Parameters().misuse_window_hours


async def make(operator: Connection, **changes: object) -> ApiKey:
    values: dict[str, object] = {
        "name": "alice", "scopes": SCOPES, "models": None, "expires_at": None, "actor": "tests",
    }  # fmt: skip
    key, _ = await keys.issue(operator, PEPPER, **(values | changes))  # type: ignore[arg-type]
    return key


async def settle_to(database: Server, key_id: str, tier: Tier) -> None:
    """What the daemon does when a key has fallen."""
    async with await connect(database.settings("sequencer", user="fed_keys")) as connection:
        history = await show(connection, key_id)
        state = replace(history.state, tier=tier)
        now = datetime.now(UTC)
        async with connection.transaction():
            await key_strength.save(
                connection, [Settled(key_id, state, now + timedelta(days=1), None, None)], now
            )


async def rotated(
    connection: Connection, key_id: str, overlap: timedelta = timedelta(days=1)
) -> tuple[ApiKey, KeyHistory]:
    history = await show(connection, key_id)
    key, _ = await rotate(
        connection, PEPPER, history, overlap=overlap, actor="tests", node="n", now=datetime.now(UTC)
    )
    return key, await show(connection, key.id)


async def test_a_new_key_has_the_state_that_the_formula_gives_it(operator: Connection) -> None:
    key = await make(operator)
    history = await show(operator, key.id)
    fresh = strength.issued(history.state.issued_seconds, frozenset(SCOPES), Parameters())
    assert history.state == fresh
    assert history.ends_at - datetime.now(UTC) > timedelta(days=364)
    (record,) = await keys.list_keys(operator)
    assert (record.tier, record.strength) == (Tier.STRONG, 100.0)
    assert record.expires_at == history.ends_at


async def test_the_stored_tiers_and_parameters_are_those_of_the_code(operator: Connection) -> None:
    rows = await (await operator.execute("SELECT * FROM ledger.tiers ORDER BY tier")).fetchall()
    assert {Tier(row["tier"]): float(row["rate_fraction"]) for row in rows} == {
        tier: allowance.rate_fraction for tier, allowance in ALLOWANCES.items()
    }
    assert [row["name"] for row in rows] == [tier.name.lower() for tier in Tier]
    for row in rows[:3]:
        assert row["assumed_requests_per_minute"] == round(600 * float(row["rate_fraction"]))
    row = await (await operator.execute("SELECT value FROM ledger.key_parameters")).fetchone()
    assert row is not None
    value = dict(row["value"])
    assert Parameters(**{**value, "falls_below": tuple(value["falls_below"])}) == Parameters()


async def test_bits_are_those_of_a_trace_in_any_order(
    operator: Connection, gateway: Connection
) -> None:
    """Random hours, inside the window and out of it, noted in random batches, twice."""
    key, now = await make(operator), hour_of(datetime.now(UTC))
    rng = random.Random(5)  # noqa: S311
    hours = [now - rng.randrange(2 * USAGE_HOURS) for _ in range(300)] + [now, now + 1, now + 2]
    uses = [(key.id, worked("inference"), hour) for hour in hours] * 2
    rng.shuffle(uses)
    for start in range(0, len(uses), 50):
        await note(gateway, uses[start : start + 50])
    expected = Trace()
    # The server passes over what is too old by its clock; a trace alone cannot know that.
    for hour in sorted(hour for hour in hours if hour > now - USAGE_HOURS):
        expected = expected.noting(hour, USAGE_HOURS)
    history = await show(operator, key.id)
    found = history.state.credits[SCOPES.index("inference")]
    window = (1 << (USAGE_HOURS - 3)) - 1
    assert (found.newest_hour, found.mask & window) == (
        expected.newest_hour,
        expected.mask & window,
    )
    assert await note(gateway, uses) == 0


async def test_noting_is_idempotent_and_commutes_under_concurrency(
    operator: Connection, database: Server
) -> None:
    """Six gateways note overlapping uses of four keys at once, in orders of their own."""
    made = [await make(operator) for _ in range(4)]
    now = hour_of(datetime.now(UTC))
    whats = [worked(scope) for scope in SCOPES] + [misused(kind) for kind in Misuse]
    uses = [(key.id, what, now - back) for key in made for what in whats for back in range(8)]

    async def gateway(seed: int) -> int:
        rng, mine = random.Random(seed), list(uses)  # noqa: S311
        rng.shuffle(mine)
        new = 0
        async with await connect(database.settings("gateway")) as connection:
            for start in range(0, len(mine), 7):
                new += await note(connection, mine[start : start + 7])
        return new

    counted = await asyncio.gather(*(gateway(seed) for seed in range(6)))
    assert sum(counted) == len(uses)
    for key in made:
        state = (await show(operator, key.id)).state
        assert {trace.mask for trace in (*state.credits, *state.misuses)} == {0xFF}
        assert {trace.newest_hour for trace in (*state.credits, *state.misuses)} == {now}


@settings(max_examples=25, deadline=None, suppress_health_check=list(HealthCheck))
@given(
    st.lists(
        st.tuples(st.integers(0, 3 * MISUSE_HOURS), st.sampled_from(list(Misuse))), max_size=12
    )
)
def test_the_database_and_the_formula_agree(
    database: Server, found: list[tuple[int, Misuse]]
) -> None:
    """The strength of what SQL kept is the strength of what trust.strength would have kept."""

    async def run() -> None:
        async with (
            await connect(database.settings("operator")) as operator,
            await connect(database.settings("gateway")) as gateway,
        ):
            key, now = await make(operator), datetime.now(UTC)
            state = (await show(operator, key.id)).state
            for back, kind in found:
                hour = hour_of(now) - back
                moment = float(hour * HOUR_SECONDS)
                counted = strength.counted_hour(kind, moment)
                await note(gateway, [(key.id, misused(kind), counted)])
                state = strength.misuse(state, moment, kind)
            stored = (await show(operator, key.id)).state
            moment = now.timestamp()
            assert strength.misuse_points(stored, moment) == pytest.approx(
                strength.misuse_points(state, moment)
            )
            assert strength.strength(stored, moment) == pytest.approx(
                strength.strength(state, moment)
            )

    asyncio.run(run())


async def test_what_no_key_did_is_noted_of_none(operator: Connection, gateway: Connection) -> None:
    key, gone = await make(operator), await make(operator)
    await keys.revoke(operator, gone.id, reason="x", actor="x")
    now = hour_of(datetime.now(UTC))
    strange = [
        ("0" * 11, worked("inference"), now),
        (gone.id, worked("inference"), now),
        (key.id, worked("inference"), now + 3),
        (key.id, worked("inference"), now - 10_000),
        (key.id, worked("inference"), -1),
    ]
    assert await note(gateway, strange) == 0
    with pytest.raises(Rejected):
        await note(gateway, [(key.id, "something else", now)])
    with pytest.raises(Forbidden):
        await note(operator, [(key.id, worked("inference"), now)])


async def test_only_what_may_change_a_tier_makes_a_key_due(
    operator: Connection, gateway: Connection, database: Server
) -> None:
    strong, weak = await make(operator), await make(operator)
    await settle_to(database, strong.id, Tier.STRONG)
    await settle_to(database, weak.id, Tier.WEAK)
    now = datetime.now(UTC)

    async def waiting() -> set[str]:
        rows = await (await operator.execute(
            "SELECT key_id FROM ledger.key_strength WHERE unchanged_until <= clock_timestamp()"
        )).fetchall()  # fmt: skip
        return {row["key_id"] for row in rows}

    assert await waiting() == set()
    await note(gateway, [(strong.id, worked("inference"), hour_of(now))])
    assert await waiting() == set()
    await note(gateway, [(weak.id, worked("inference"), hour_of(now))])
    assert await waiting() == {weak.id}
    await note(gateway, [(strong.id, misused(Misuse.FORBIDDEN_MODEL), hour_of(now))])
    assert await waiting() == {strong.id, weak.id}


@pytest.mark.parametrize("at_once", [False, True])
async def test_answered_requests_are_credited_once_by_the_audit(
    operator: Connection, gateway: Connection, at_once: bool
) -> None:
    """Two gateways ship the same hour, again and again; failed requests are worth nothing."""
    key, now = await make(operator), datetime.now(UTC)

    async def shipped(route: str, outcome: Outcome) -> None:
        intent = RequestIntent(
            id=key_strength.new_id(), key_id=key.id, node="n", model="m", stream=False,
            started_at=now, route=route,
        )  # fmt: skip
        end = RequestOutcome(outcome, now, 5, status=200)
        bodies = request_events(intent, end)
        for part in (bodies,) if at_once else (bodies[:1], bodies[1:]):
            await ship(gateway, part)
        await ship(gateway, bodies)

    for outcome in set(Outcome) - {Outcome.ANSWERED, Outcome.LOST}:
        await shipped("chat_completions", outcome)
    assert strength.usage((await show(operator, key.id)).state, now.timestamp()) == 0
    for _ in range(3):
        await shipped("embeddings", Outcome.ANSWERED)
    inference, tokenize = (await show(operator, key.id)).state.credits
    assert (inference, tokenize) == (Trace(hour_of(now), 1), Trace())
    await shipped("tokenize", Outcome.ANSWERED)
    inference, tokenize = (await show(operator, key.id)).state.credits
    assert (inference, tokenize) == (Trace(hour_of(now), 1), Trace(hour_of(now), 1))


# Tiers and limits


async def test_a_tier_narrows_limits_at_the_next_look(
    operator: Connection, gateway: Connection, database: Server
) -> None:
    key, free = await make(operator), await make(operator)
    wanted = limits.Limits(100, 1000, 5, 50_000, None)
    await limits.set_limits(operator, f"key:{key.id}", wanted, actor="x")

    async def seen(key_id: str) -> tuple[int, keys.Verifier]:
        version, (verifier,) = await keys.find_many(gateway, [key_id])
        return version, verifier

    version, verifier = await seen(key.id)
    assert (verifier.tier, verifier.limits) == (Tier.STRONG, wanted)
    assert (await seen(free.id))[1].limits == limits.UNLIMITED
    await settle_to(database, key.id, Tier.WEAK)
    await settle_to(database, free.id, Tier.WEAK)
    later, verifier = await seen(key.id)
    assert later > version
    assert verifier.tier is Tier.WEAK
    assert verifier.limits == limits.Limits(10, 100, 1, 50_000, None)
    assert (await seen(free.id))[1].limits == limits.Limits(requests_per_minute=60)
    # The same is dealt: no gateway can hold more than the tier leaves.
    holder = quotas.Holder("h", "n/0", 60, 60)
    await quotas.keep(gateway, holder)
    asks = [quotas.Ask(f"key:{key.id}", "requests_minute", "", 0, 0, 100, 100, 0)]
    (deal,) = await quotas.deal(gateway, "h", asks)
    assert deal.limited_to == 10
    # What people set stays what they set.
    assert await limits.show_limits(operator, f"key:{key.id}") == wanted


# Rotation


async def test_a_successor_has_the_rights_and_at_most_half_the_strength(
    operator: Connection, gateway: Connection
) -> None:
    end = datetime.now(UTC) + timedelta(days=100)
    old = await make(operator, models=["m"], expires_at=end)
    hour = hour_of(datetime.now(UTC))
    await note(gateway, [(old.id, misused(Misuse.FORBIDDEN_MODEL), hour)])
    before = await show(operator, old.id)
    key, after = await rotated(gateway, old.id)
    now = datetime.now(UTC).timestamp()
    assert strength.strength(after.state, now) <= strength.strength(before.state, now) / 2 + 0.01
    assert after.state.misuses == before.state.misuses
    assert after.state.tier <= before.state.tier
    assert (after.replaces, after.family, after.self_made) == (old.id, old.id, True)
    assert after.ends_at == before.ends_at == end
    record = await keys.show(operator, key.id)
    first = await keys.show(operator, old.id)
    assert (record.scopes, record.models, record.tenant) == (
        first.scopes,
        first.models,
        first.tenant,
    )
    assert record.created_by == f"key:{old.id}"
    assert first.replaced_by == key.id
    assert first.expires_at is not None
    assert first.expires_at < datetime.now(UTC) + timedelta(days=1, minutes=1)
    row = await (await operator.execute("SELECT body FROM ledger.inbox")).fetchone()
    assert row is not None
    event = json.loads(row["body"])
    assert (event["kind"], event["subject"]) == ("key.rotated", f"key:{old.id}")
    assert key.reveal()[-40:] not in row["body"].decode()


async def test_a_holder_gets_no_more_time_and_an_operator_may_give_it(
    operator: Connection, gateway: Connection, database: Server
) -> None:
    first, second = await make(operator), await make(operator)
    for key in (first, second):
        database.psql(
            "UPDATE ledger.key_strength SET ends_at = now() + interval '9 days'"  # noqa: S608
            f" WHERE key_id = '{key.id}'",
            "federation",
        )
    _, by_itself = await rotated(gateway, first.id)
    assert by_itself.ends_at < datetime.now(UTC) + timedelta(days=10)
    _, given_more = await rotated(operator, second.id)
    assert given_more.ends_at > datetime.now(UTC) + timedelta(days=364)
    with pytest.raises(RuntimeError, match="no longer than it was given"):
        database.psql("UPDATE ledger.key_strength SET ends_at = ends_at + interval '1 s'",
                      "federation")  # fmt: skip


async def test_a_key_is_replaced_once_and_not_in_a_chain_within_the_hour(
    operator: Connection, gateway: Connection, database: Server
) -> None:
    old = await make(operator)

    async def attempt() -> ApiKey | None:
        async with await connect(database.settings("gateway")) as connection:
            try:
                return (await rotated(connection, old.id))[0]
            except Conflict:
                return None

    made = [key for key in await asyncio.gather(*(attempt() for _ in range(5))) if key]
    assert len(made) == 1
    with pytest.raises(Conflict):
        await rotated(gateway, made[0].id)
    # The operator is not slowed down.
    await rotated(operator, made[0].id)


async def test_a_family_shares_its_limits(operator: Connection, gateway: Connection) -> None:
    old = await make(operator)
    await limits.set_limits(operator, f"key:{old.id}", limits.Limits(7), actor="x")
    key, _ = await rotated(operator, old.id)
    version, found = await keys.find_many(gateway, [old.id, key.id])
    assert {verifier.family for verifier in found} == {old.id}
    # The stronger of both decides: the old one is strong, and works for another day.
    assert {verifier.limits for verifier in found} == {limits.Limits(7)}
    await limits.set_limits(operator, f"key:{key.id}", limits.Limits(8), actor="x")
    rows = await (await operator.execute(
        "SELECT subject FROM ledger.keyring_changes WHERE version > %s", (version,)
    )).fetchall()  # fmt: skip
    assert {row["subject"] for row in rows} == {f"key:{old.id}", f"key:{key.id}"}
    assert await limits.show_limits(operator, f"key:{old.id}") == limits.Limits(8)


async def test_revoking_takes_what_the_key_made_of_itself_and_nothing_else(
    operator: Connection, gateway: Connection
) -> None:
    stolen, tended = await make(operator), await make(operator)
    thief, _ = await rotated(gateway, stolen.id)
    renewed, _ = await rotated(operator, tended.id)
    for key in (stolen, tended):
        await keys.revoke(operator, key.id, reason="lost", actor="bob")
    assert (await keys.show(operator, thief.id)).revoked_reason == f"made by {stolen.id}: lost"
    assert (await keys.show(operator, renewed.id)).revoked_at is None
    for key in (stolen, thief):
        with pytest.raises(ValueError, match="no successor"):
            await rotated(gateway, key.id)


async def test_revoking_and_rotating_at_once_leaves_no_key_alive(
    operator: Connection, database: Server
) -> None:
    """Whichever comes first: the key and what it made of itself are revoked in the end."""
    for _ in range(20):
        old = await make(operator)

        async def rotating(key_id: str = old.id) -> None:
            async with await connect(database.settings("gateway")) as connection:
                try:
                    await rotated(connection, key_id)
                except (Rejected, ValueError):
                    return

        await asyncio.gather(
            rotating(), keys.revoke(operator, old.id, reason="lost", actor="bob"), rotating()
        )
        for record in await keys.list_keys(operator):
            assert record.revoked_at is not None, record


async def test_the_daemon_may_settle_and_nothing_else(
    operator: Connection, database: Server
) -> None:
    key = await make(operator)
    async with await connect(database.settings("sequencer", user="fed_keys")) as connection:
        for forbidden in (
            "UPDATE ledger.key_strength SET ends_at = now()",
            "UPDATE ledger.key_strength SET family = 'x'",
            "UPDATE ledger.key_traces SET newest_hour = 0",
            "SELECT digest FROM ledger.api_keys",
            "UPDATE ledger.api_keys SET revoked_at = now()",
            "DELETE FROM ledger.key_strength",
            f"SELECT ledger.note_key_uses('{{{key.id}}}', '{{scope:inference}}', '{{1}}')",
        ):
            with pytest.raises(Exception, match=r"denied|refused"):
                await connection.execute(forbidden)  # type: ignore[call-overload]
