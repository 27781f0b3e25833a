"""Migrations on a real server: there and back, together, torn in the middle, tampered with."""

import asyncio
import json
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from ledger import schema
from ledger.connect import Connection, connect_dsn
from ledger.errors import (
    LedgerError,
    MigrationBusy,
    MigrationFailed,
    MigrationTampered,
    MigrationUnknown,
    Unavailable,
)
from ledger.migrate import applied, migrate, status
from ledger.queries import QUERIES
from tests.support.postgres import Server

LATEST = len(schema.discover())

# Everything a migration can make, as text: relations, columns, constraints, indexes, triggers,
# functions with their bodies and settings, and who may do what with each of them.
CATALOG = """
SELECT 'relation', relname, relkind::text, relacl::text, reloptions::text
  FROM pg_class WHERE relnamespace = to_regnamespace('ledger')
UNION ALL SELECT 'column', attrelid::regclass::text || '.' || attname,
  format_type(atttypid, atttypmod), attacl::text,
  concat(attnotnull, attidentity, attgenerated, pg_get_expr(adbin, adrelid))
  FROM pg_attribute JOIN pg_class c ON c.oid = attrelid
  LEFT JOIN pg_attrdef ON adrelid = attrelid AND adnum = attnum
  WHERE relnamespace = to_regnamespace('ledger') AND attnum > 0 AND NOT attisdropped
UNION ALL SELECT 'constraint', conname, conrelid::regclass::text, pg_get_constraintdef(oid), NULL
  FROM pg_constraint WHERE connamespace = to_regnamespace('ledger')
UNION ALL SELECT 'index', indexrelid::regclass::text, pg_get_indexdef(indexrelid), NULL, NULL
  FROM pg_index JOIN pg_class c ON c.oid = indexrelid
  WHERE relnamespace = to_regnamespace('ledger')
UNION ALL SELECT 'trigger', tgname, pg_get_triggerdef(t.oid), tgenabled::text, NULL
  FROM pg_trigger t JOIN pg_class c ON c.oid = tgrelid
  WHERE relnamespace = to_regnamespace('ledger') AND NOT tgisinternal
UNION ALL SELECT 'function', oid::regprocedure::text, prosrc, proacl::text,
  concat(prosecdef, proconfig)
  FROM pg_proc WHERE pronamespace = to_regnamespace('ledger')
UNION ALL SELECT 'schema', nspname, nspacl::text, NULL, NULL
  FROM pg_namespace WHERE nspname = 'ledger'
UNION ALL SELECT 'comment', objoid::regclass::text || objsubid, description, NULL, NULL
  FROM pg_description JOIN pg_class c ON c.oid = objoid
  WHERE relnamespace = to_regnamespace('ledger')
ORDER BY 1, 2, 3, 4
"""


@pytest.fixture
def empty(postgres: Server) -> Server:
    """The server with a `federation` nobody has migrated yet."""
    if postgres.process is None:
        postgres.start()
    postgres.empty_database()
    return postgres


@pytest.fixture
def files(tmp_path: Path) -> Path:
    """A copy of our migrations that a test may spoil."""
    return Path(shutil.copytree(schema.FOLDER, tmp_path / "migrations"))


def catalog(server: Server) -> list[str]:
    return server.psql(CATALOG, "federation").splitlines()


async def at(server: Server) -> int:
    async with await connect_dsn(server.dsn()) as connection:
        return len(await applied(connection))


async def test_up_applies_all_once(empty: Server) -> None:
    steps = await migrate(empty.dsn(), "up")
    assert [step.migration.version for step in steps] == list(range(1, LATEST + 1))
    assert await migrate(empty.dsn(), "up") == ()
    assert await at(empty) == LATEST


async def test_every_step_back_undoes_exactly_its_step_forward(empty: Server) -> None:
    await migrate(empty.dsn(), "up", 0)
    states = []
    for version in range(1, LATEST + 1):
        await migrate(empty.dsn(), "up", version)
        states.append(catalog(empty))
    assert len(states[-1]) > 50
    for version in range(LATEST - 1, 0, -1):
        await migrate(empty.dsn(), "down", version)
        assert catalog(empty) == states[version - 1]
    await migrate(empty.dsn(), "down", 0)
    assert not [
        line for line in catalog(empty) if "migrations" not in line and "|ledger|" not in line
    ]
    await migrate(empty.dsn(), "up")
    assert catalog(empty) == states[-1]


async def test_two_runs_at_once_take_turns(empty: Server) -> None:
    runs = await asyncio.gather(*(migrate(empty.dsn(), "up") for _ in range(4)))
    assert sorted(len(steps) for steps in runs) == [0, 0, 0, LATEST]
    assert await at(empty) == LATEST


async def test_a_run_that_waits_too_long_says_so(empty: Server) -> None:
    async with await connect_dsn(empty.dsn()) as holder:
        await holder.execute(QUERIES["migrations_lock"])
        with pytest.raises(MigrationBusy, match="1 s"):
            await migrate(empty.dsn(), "up", lock_wait_seconds=1)
    assert len(await migrate(empty.dsn(), "up")) == LATEST


async def test_a_failing_migration_leaves_those_before_it_and_nothing_of_itself(
    empty: Server, files: Path
) -> None:
    number = f"{LATEST + 1:04}"
    (files / f"{number}_bad.up.sql").write_text(
        "CREATE TABLE ledger.halfway (x int); SELECT 1 / 0; CREATE TABLE ledger.other (x int);"
    )
    (files / f"{number}_bad.down.sql").write_text("SELECT 1;")
    with pytest.raises(MigrationFailed, match=rf"{number}_bad.up.sql was rolled back: division"):
        await migrate(empty.dsn(), "up", folder=files)
    assert await at(empty) == LATEST
    assert not [line for line in catalog(empty) if "halfway" in line]


@pytest.mark.parametrize("half", ["up", "down"])
async def test_a_changed_applied_file_stops_both_directions(
    database: Server, files: Path, half: str
) -> None:
    path = files / f"0002_requests.{half}.sql"
    path.write_text(path.read_text() + "\n-- an innocent comment\n")
    before = catalog(database)
    for direction in ("up", "down"):
        with pytest.raises(MigrationTampered) as caught:
            await migrate(database.dsn(), direction, folder=files)  # type: ignore[arg-type]
        error = caught.value
        assert error.path == path
        assert error.recorded in str(error)
        assert error.found in str(error)
        assert error.recorded != error.found
    assert catalog(database) == before


async def test_a_database_ahead_of_the_files_is_left_alone(database: Server, files: Path) -> None:
    for migration in schema.discover(files)[-1:]:
        migration.up.path.unlink()
        migration.down.path.unlink()
    with pytest.raises(MigrationUnknown, match="use the release that applied it"):
        await migrate(database.dsn(), "up", folder=files)


async def test_a_run_killed_in_the_middle_leaves_whole_migrations(
    empty: Server, files: Path
) -> None:
    number = f"{LATEST + 1:04}"
    (files / f"{number}_slow.up.sql").write_text(
        "CREATE TABLE ledger.slow (x int); SELECT pg_sleep(60);"
    )
    (files / f"{number}_slow.down.sql").write_text("DROP TABLE ledger.slow;")
    arguments = ["-m", "ledger", "up", "--dsn", empty.dsn(), "--migrations", str(files)]
    process = await asyncio.create_subprocess_exec(sys.executable, *arguments)
    await asleep(empty)
    process.kill()
    await process.wait()
    empty.psql("SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE usename = 'fedledger'")
    assert await at(empty) == LATEST
    assert not [line for line in catalog(empty) if "slow" in line]
    assert await migrate(empty.dsn(), "up") == ()


async def asleep(server: Server) -> None:
    """Wait until the slow migration is under way."""
    running = "SELECT count(*) FROM pg_stat_activity WHERE wait_event = 'PgSleep'"
    for _ in range(600):
        if server.psql(running) == "1":
            return
        await asyncio.sleep(0.05)
    pytest.fail("the slow migration never began")


async def test_a_server_that_dies_in_the_middle_is_no_success(empty: Server, files: Path) -> None:
    number = f"{LATEST + 1:04}"
    (files / f"{number}_slow.up.sql").write_text("SELECT pg_sleep(60);")
    (files / f"{number}_slow.down.sql").write_text("SELECT 1;")
    run = asyncio.create_task(migrate(empty.dsn(), "up", folder=files))
    await asleep(empty)
    empty.stop()
    try:
        with pytest.raises(LedgerError):
            await run
    finally:
        empty.start()
    assert await at(empty) == LATEST


async def test_status_changes_nothing_in_an_empty_database(empty: Server) -> None:
    migrations, present = await status(empty.dsn())
    assert (len(migrations), len(present)) == (LATEST, 0)
    assert catalog(empty) == []


async def test_the_gateways_role_cannot_migrate(database: Server, gateway: Connection) -> None:
    with pytest.raises((Unavailable, LedgerError)):
        await migrate(database.settings("gateway").conninfo(), "down")
    assert await at(database) == LATEST


def command(*arguments: str) -> tuple[int, dict[str, object], str]:
    done = subprocess.run(
        [sys.executable, "-m", "ledger", *arguments], capture_output=True, text=True, check=False
    )
    return done.returncode, json.loads(done.stdout), done.stderr


def test_the_command_prints_json_whatever_happens(empty: Server, files: Path) -> None:
    code, answer, _ = command("status", "--dsn", empty.dsn())
    assert (code, answer["version"], answer["latest"]) == (0, 0, LATEST)
    assert answer["pending"] == [f"{m.version:04}_{m.name}" for m in schema.discover()]
    code, answer, _ = command("up", "--dsn", empty.dsn())
    assert (code, len(answer["done"])) == (0, LATEST)  # type: ignore[arg-type]
    code, answer, _ = command("up", "--dsn", empty.dsn())
    assert (code, answer) == (0, {"done": [], "error": None})
    (files / "0001_api_keys.up.sql").write_text("SELECT 1")
    for verb in ("status", "up"):
        code, answer, said = command(verb, "--dsn", empty.dsn(), "--migrations", str(files))
        assert code == 1
        assert answer["error"]["kind"] == "MigrationTampered"  # type: ignore[index]
        assert "0001_api_keys.up.sql was changed after it was applied" in said
    code, answer, _ = command("down", "--to", "0", "--dsn", empty.dsn())
    assert (code, len(answer["done"])) == (0, LATEST)  # type: ignore[arg-type]
    code, answer, _ = command("up", "--dsn", "host=/nowhere dbname=x")
    assert (code, answer["error"]["kind"]) == (1, "Unavailable")  # type: ignore[index]
