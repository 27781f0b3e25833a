"""Keys on a real server: shown once, found at once, revoked for ever."""

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from gateway.lookups import AT_ONCE
from ledger.connect import Connection
from ledger.errors import Conflict, Forbidden, OutcomeUnknown, Rejected, UnknownKey
from ledger.key_strength import rotate, show
from ledger.keys import find, issue, list_keys, revoke
from ledger.pepper_uses import PepperUse, pepper_uses
from ledger.queries import QUERIES
from tests.support.postgres import Server
from trust import apikeys
from trust.apikeys import ApiKey, Pepper

PEPPER = Pepper.parse("ef" * 32, 3)


async def make(connection: Connection, **changes: object) -> ApiKey:
    values: dict[str, object] = {
        "name": "alice's desk",
        "scopes": ("inference",),
        "models": None,
        "expires_at": None,
        "actor": "alice",
    }
    key, _ = await issue(connection, PEPPER, **(values | changes))  # type: ignore[arg-type]
    return key


async def make_many(owner: Connection, number: int) -> None:
    """Keys of numbers from 1 on, by the shortest way there is."""
    await owner.execute(
        "INSERT INTO ledger.api_keys (id, name, digest, pepper_version, scopes, created_by)"
        " SELECT lpad(n::text, 11, '0'), 'x', sha256(n::text::bytea), 1, '{inference}', 'x'"
        " FROM generate_series(1, %(number)s) AS n",
        {"number": number},
    )


def steps(plan: dict[str, Any]) -> Iterator[dict[str, Any]]:
    """A plan's node and all below it."""
    yield plan
    for below in plan.get("Plans", ()):
        yield from steps(below)


async def test_an_issued_key_is_recognised_by_the_gateway(
    operator: Connection, gateway: Connection
) -> None:
    end = datetime.now(UTC) + timedelta(days=1)
    key = await make(
        operator, models=["small", "big"], scopes=["inference", "tokenize"], expires_at=end
    )
    presented = apikeys.parse(key.reveal())
    found = await find(gateway, presented.id)
    assert found is not None
    assert apikeys.matches(presented, found.digest, PEPPER)
    assert found.pepper_version == 3
    assert found.scopes == {"inference", "tokenize"}
    assert found.models == {"small", "big"}
    assert found.expires_at == end
    assert found.state(datetime.now(UTC)) == "active"
    assert await find(gateway, "0" * 11) is None


async def test_the_database_holds_nothing_that_opens_anything(
    operator: Connection, database: Server
) -> None:
    key = await make(operator)
    secret = key.secret.get_secret_value()
    rows = database.psql("SELECT k::text, convert_to(k::text, 'UTF8') FROM ledger.api_keys k",
                         "federation")  # fmt: skip
    assert key.id in rows
    for trace in (key.reveal()[16:59], secret.hex(), "ef" * 8):
        assert trace not in rows


async def test_lists_show_no_digest(operator: Connection) -> None:
    await make(operator)
    (record,) = await list_keys(operator)
    assert "digest" not in repr(record)
    assert (record.name, record.scopes, record.created_by) == (
        "alice's desk",
        ("inference",),
        "alice",
    )


async def test_revoking_is_final_and_its_first_reason_stays(
    operator: Connection, gateway: Connection
) -> None:
    key = await make(operator)
    first = await revoke(operator, key.id, reason="laptop stolen", actor="bob")
    again = await revoke(operator, key.id, reason="something else", actor="eve")
    assert again == first
    assert (first.revoked_by, first.revoked_reason) == ("bob", "laptop stolen")
    assert first.revoked_at is not None
    found = await find(gateway, key.id)
    assert found is not None
    assert found.state(datetime.now(UTC)) == "revoked"
    assert len(await list_keys(operator)) == 1


async def test_revoking_a_key_that_never_was_is_an_error(operator: Connection) -> None:
    for identity in ("0" * 11, "", "x" * 1000, "'; DROP TABLE ledger.api_keys; --"):
        with pytest.raises(UnknownKey):
            await revoke(operator, identity, reason="x", actor="x")


REFUSED = {
    "no name": {"name": ""},
    "a name of a novel": {"name": "x" * 121},
    "no scope": {"scopes": ()},
    "a list of no models": {"models": ()},
    "an end in the past": {"expires_at": datetime(2020, 1, 1, tzinfo=UTC)},
    "nobody": {"actor": ""},
    "NUL": {"name": "a\0b"},
}


@pytest.mark.parametrize("case", REFUSED)
async def test_the_table_refuses(operator: Connection, case: str) -> None:
    with pytest.raises(Rejected):
        await make(operator, **REFUSED[case])
    assert await list_keys(operator) == ()


async def test_the_same_key_twice_is_a_conflict(operator: Connection) -> None:
    key = await make(operator)
    with pytest.raises(Conflict):
        await make(operator, key=key)


async def test_a_gateway_issues_and_revokes_nothing(
    gateway: Connection, operator: Connection
) -> None:
    key = await make(operator)
    with pytest.raises(Forbidden):
        await make(gateway)
    with pytest.raises(Forbidden):
        await revoke(gateway, key.id, reason="x", actor="x")


async def test_finding_a_key_is_one_indexed_lookup(operator: Connection, owner: Connection) -> None:
    await make_many(owner, 20_000)
    await owner.execute("ANALYZE ledger.api_keys")
    plan = await owner.execute("EXPLAIN " + QUERIES["key_find"], {"id": "00000012345"})
    lines = [str(row["QUERY PLAN"]) for row in await plan.fetchall()]
    text = "\n".join(lines)
    assert "Index Scan using api_keys_pkey" in text, lines
    assert "Index Scan using key_strength_pkey" in text, lines
    assert "Seq Scan" not in text, lines


@pytest.mark.parametrize("analyzed", [False, True])
async def test_what_a_gateway_asks_is_cheap_on_paper(owner: Connection, analyzed: bool) -> None:
    # A server that compiles what it takes for dear spends 0.25 s on a query of 2 ms.
    compiled_from = await owner.execute("SELECT boot_val::float AS cost FROM pg_settings"
                                        " WHERE name = 'jit_above_cost'")  # fmt: skip
    [limit] = [row["cost"] for row in await compiled_from.fetchall()]
    await make_many(owner, 4000)
    if analyzed:
        await owner.execute("ANALYZE")
    for number in (1, 5, AT_ONCE):
        ids = [f"{n:011}" for n in range(1, number + 1)]
        asked = await owner.execute("EXPLAIN (FORMAT JSON) " + QUERIES["keys_find"], {"ids": ids})
        [row] = await asked.fetchall()
        root = row["QUERY PLAN"][0]["Plan"]
        assert root["Total Cost"] < limit / 50, (number, root["Total Cost"])
        # Of very many at once, reading the whole table may be the quickest way.
        read_whole = {n.get("Relation Name") for n in steps(root) if n["Node Type"] == "Seq Scan"}
        assert number == AT_ONCE or not read_whole & {"api_keys", "key_strength"}, (number, root)


async def test_a_server_that_dies_while_issuing_leaves_the_outcome_unknown(
    operator: Connection, database: Server
) -> None:
    database.stop()
    try:
        with pytest.raises(OutcomeUnknown):
            await make(operator)
    finally:
        database.start()


async def test_only_keys_that_work_hold_a_pepper(operator: Connection) -> None:
    soon, later = (datetime.now(UTC) + timedelta(days=days) for days in (1, 9))
    for end in (None, soon, later):
        await make(operator, expires_at=end)
    revoked, replaced = await make(operator), await make(operator, expires_at=soon)
    await revoke(operator, revoked.id, reason="x", actor="x")
    newer, _ = await rotate(
        operator, Pepper.parse("cd" * 32, 4), await show(operator, replaced.id),
        overlap=timedelta(0), actor="x", node="x", now=datetime.now(UTC),
    )  # fmt: skip
    old, new = await pepper_uses(operator)
    assert (old.version, old.live, len(old.examples)) == (3, 3, 3)
    assert not {revoked.id, replaced.id} & set(old.examples)
    assert old.last_end is not None and old.last_end > later
    assert (new.version, new.live, new.last_end, new.examples) == (4, 1, soon, (newer.id,))
    await revoke(operator, newer.id, reason="x", actor="x")
    assert (await pepper_uses(operator))[1] == PepperUse(4, 0, None, ())
