"""How long an hour's turn over 100,000 keys takes, on a real PostgreSQL; what it touches.

Keys of every age up to two months, a third of them in use this very hour: what was settled an hour
ago is settled again now, as the timer does. Roles, TLS and the daemon's own code; the server's
fsync is off, as in the tests, and its WAL waits for no standby.
"""

import asyncio
import time
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

from daemons.key_decay.decide import decide
from daemons.key_decay.shell import settle_due
from ledger.connect import Connection, connect
from ledger.key_strength import KeyHistory, hour_of
from tests.support.postgres import Server, throwaway
from trust import strength
from trust.parameters import Parameters

KEYS = 100_000
AGES = 60 * 24  # hours
ROUNDS = 5
FILL_KEYS = (
    "INSERT INTO ledger.api_keys (id, name, digest, pepper_version, scopes, created_by)"  # noqa: S608
    " SELECT lpad(n::text, 11, '0'), 'bench', sha256(n::text::bytea), 1, '{inference}', 'bench'"
    f" FROM generate_series(1, {KEYS}) AS n"
)


@dataclass(frozen=True)
class Turn:
    """One turn: keys in all, looked at, rows changed, events written, seconds."""

    keys: int
    looked_at: int
    changed: int
    events: int
    seconds: float


def measure() -> list[Turn]:
    """The turns of the next hours, then one with nothing due."""
    with throwaway() as server:
        server.fresh_database()
        now = datetime.now(UTC)
        fill(server, now)
        return asyncio.run(_turns(server, now))


def fill(server: Server, now: datetime) -> None:
    """The keys, as the turn of an hour ago left them; those in use have worked all week."""
    server.psql(FILL_KEYS, "federation")
    server.psql(
        "INSERT INTO ledger.key_traces (key_id, what, newest_hour, hours)"  # noqa: S608
        f" SELECT lpad(n::text, 11, '0'), 'scope:inference', {hour_of(now)},"
        " (repeat('1', 8) || repeat('0', 664))::bit varying"
        f" FROM generate_series(1, {KEYS}) AS n WHERE n % 3 = 0",
        "federation",
    )
    rows = []
    for age in range(AGES):
        kept = decide(_unused(now - timedelta(hours=age)), now).settled
        days = "NULL" if kept.warned_dormant is None else str(kept.warned_dormant)
        value = strength.strength(kept.state, now.timestamp())
        rows.append(
            f"({age},{int(kept.state.tier)},{value:.3f},"
            f"{kept.unchanged_until.timestamp():.0f},{days})"
        )
    server.psql(
        "SET session_replication_role = replica;"  # noqa: S608
        " UPDATE ledger.key_strength AS s SET tier = g.tier, strength = g.strength,"
        " unchanged_until = CASE WHEN s.key_id::bigint % 3 = 0"
        "     THEN now() + interval '9 days' ELSE to_timestamp(g.until) END,"
        f" warned_dormant = g.warned, issued_at = '{now.isoformat()}'::timestamptz"
        "     - g.age * interval '1 hour'"
        f" FROM (VALUES {', '.join(rows)}) AS g (age, tier, strength, until, warned)"
        f" WHERE s.key_id::bigint % {AGES} = g.age;"
        " UPDATE ledger.key_strength SET tier = 3 WHERE key_id::bigint % 3 = 0;",
        "federation",
    )
    server.psql("VACUUM ANALYZE", "federation")


def _unused(issued_at: datetime) -> KeyHistory:
    state = strength.issued(issued_at.timestamp(), frozenset({"inference"}), Parameters())
    return KeyHistory(
        "0" * 11, "bench", "default", "0" * 11, None, None, False, state,
        issued_at + timedelta(days=365), False, issued_at, issued_at,
    )  # fmt: skip


async def _turns(server: Server, now: datetime) -> list[Turn]:
    async with await connect(server.settings("sequencer", user="fed_keys")) as connection:
        turns = [
            await _turn(server, connection, now + timedelta(hours=hour))
            for hour in range(1, ROUNDS + 1)
        ]
        return [*turns, await _turn(server, connection, now + timedelta(hours=ROUNDS))]


async def _turn(server: Server, connection: Connection, moment: datetime) -> Turn:
    before = int(server.psql("SELECT txid_current()", "federation"))
    began = time.perf_counter()
    result = await settle_due(connection, "bench", 500, lambda: moment)
    seconds = time.perf_counter() - began
    changed = server.psql(
        f"SELECT count(*) FROM ledger.key_strength WHERE xmin::text::bigint > {before}",  # noqa: S608
        "federation",
    )
    return Turn(KEYS, result.looked_at, int(changed), len(result.notices), seconds)


def table(turns: list[Turn]) -> str:
    """The turns as rows of Markdown."""
    return "\n".join(
        f"| {number} | {turn.looked_at:,} | {turn.changed:,} | {turn.events:,} | "
        f"{turn.seconds * 1000:,.0f} |"
        for number, turn in enumerate(turns, start=1)
    )
