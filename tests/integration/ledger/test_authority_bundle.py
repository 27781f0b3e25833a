"""While one authority succeeds another, PostgreSQL and libpq take what either of them signed."""

import asyncio
import shutil
import time
from datetime import UTC, datetime
from pathlib import Path

from ledger.connect import Settings, connect
from ledger.errors import LedgerError
from tests.support.postgres import Server
from trust import files
from trust.authority import Authority
from trust.in_memory import lend
from trust.succession import Succession

SECONDS = 60


async def gets_in(settings: Settings) -> bool:
    try:
        async with await connect(settings):
            return True
    except LedgerError:
        return False


async def until(settings: Settings, wanted: bool) -> None:
    """The server reads its files anew a moment after it is told to."""
    deadline = time.monotonic() + SECONDS
    while await gets_in(settings) is not wanted:
        assert time.monotonic() < deadline, "the server did not follow"
        await asyncio.sleep(0.1)


async def test_a_server_takes_clients_of_both_and_clients_a_server_of_either(
    database: Server, tmp_path: Path
) -> None:
    shutil.copytree(database.authority.folder, tmp_path / "ca")
    turn = Succession(tmp_path / "ca", files.PlainKey(tmp_path / "ca" / "ca.key"))
    turn.begin(datetime.now(UTC))
    turn.switch()
    both = Authority.open(tmp_path / "ca")
    # libpq takes them out of memory.
    pair = both.issue_client("operator", datetime.now(UTC))
    key, certificate = (lend("operator", content) for content in pair)
    old = database.settings("operator")
    new = database.settings("operator", sslcert=certificate, sslkey=key)
    bundle = database.root / "ca.pem"
    before = bundle.read_bytes()
    assert await gets_in(old) and not await gets_in(new)
    try:
        # The new one first, as nodes have it then: the server's own certificate is of the second.
        bundle.write_bytes(both.ca_pem)
        database.psql("SELECT pg_reload_conf()")
        await until(new, True)
        assert await gets_in(old)
    finally:
        bundle.write_bytes(before)
        database.psql("SELECT pg_reload_conf()")
    await until(new, False)
    assert await gets_in(old)
