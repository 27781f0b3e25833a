"""Proof keys and nonces on a real server: a nonce is new once, for as long as it could count."""

import asyncio
from datetime import UTC, datetime, timedelta
from secrets import token_hex

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from ledger import possession
from ledger.connect import Connection, connect, connect_dsn
from ledger.errors import LedgerError, UnknownKey
from ledger.keys import issue, show
from tests.support.postgres import Server
from trust.apikeys import Pepper

PEPPER = Pepper.parse("cd" * 32)


def soon(seconds: float = 70) -> datetime:
    return datetime.now(UTC) + timedelta(seconds=seconds)


async def key_of(connection: Connection) -> str:
    values = {"name": "x", "scopes": ["inference"], "models": None, "expires_at": None}
    _, record = await issue(connection, PEPPER, actor="t", **values)  # type: ignore[arg-type]
    return (await show(connection, record.id)).id


async def test_the_newest_public_key_counts_and_older_ones_stay(database: Server) -> None:
    first, second = (Ed25519PrivateKey.generate().public_key() for _ in range(2))
    async with await connect(database.settings("operator")) as connection:
        key = await key_of(connection)
        assert await possession.public_key(connection, key) is None
        await possession.set_public_key(connection, key, first, actor="a")
        await possession.set_public_key(connection, key, second, actor="b")
        found = await possession.public_key(connection, key)
        assert found is not None and found.public_bytes_raw() == second.public_bytes_raw()
        with pytest.raises(UnknownKey):
            await possession.set_public_key(connection, "0" * 11, first, actor="a")
    async with await connect_dsn(database.dsn("fedledger")) as connection:
        rows = await (await connection.execute("SELECT set_by FROM ledger.proof_keys")).fetchall()
        assert sorted(row["set_by"] for row in rows) == ["a", "b"]


async def test_of_many_at_once_one_is_first(database: Server) -> None:
    nonce, until = token_hex(16), soon()

    async def use() -> list[bool]:
        async with await connect(database.settings("gateway")) as connection:
            return [await possession.first_use(connection, "f", nonce, until) for _ in range(5)]

    answers = [
        answer for some in await asyncio.gather(*(use() for _ in range(6))) for answer in some
    ]
    assert answers.count(True) == 1


async def test_a_nonce_is_of_its_family(database: Server) -> None:
    nonce = token_hex(16)
    async with await connect(database.settings("gateway")) as connection:
        for family in ("f", "g"):
            assert await possession.first_use(connection, family, nonce, soon())


async def test_nonces_of_no_use_any_more_go_and_are_never_new_again(database: Server) -> None:
    nonce = token_hex(16)
    async with await connect_dsn(database.dsn("fedledger")) as owner:
        await owner.execute(
            "INSERT INTO ledger.proof_nonces SELECT 'old', lpad(n::text, 16, '0'),"
            " now() - interval '11 minutes' FROM generate_series(1, 250) AS n"
        )
        async with await connect(database.settings("gateway")) as connection:
            assert not await possession.first_use(connection, "f", nonce, soon(-601))
            assert not await possession.first_use(connection, "f", nonce, soon(3600))
            for _ in range(3):
                assert await possession.first_use(connection, "f", token_hex(16), soon())
        left = "SELECT count(*) AS n FROM ledger.proof_nonces WHERE family = 'old'"
        row = await (await owner.execute(left)).fetchone()
        assert row is not None and row["n"] == 0


async def test_a_nonce_of_another_length_is_refused(database: Server) -> None:
    async with await connect(database.settings("gateway")) as connection:
        for nonce in ("short", "x" * 65):
            with pytest.raises(LedgerError):
                await possession.first_use(connection, "f", nonce, soon())
