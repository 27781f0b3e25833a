"""Move the schema: one lock, one transaction a migration, and a record of what was done.

Two runs at once wait for each other; the second finds nothing left to do. A run that dies leaves
whole migrations only. What to run is decided in `schema`.
"""

from collections.abc import Sequence
from pathlib import Path

import psycopg

from ledger import schema
from ledger.connect import Connection, connect_dsn
from ledger.errors import MigrationBusy, MigrationFailed
from ledger.queries import QUERIES
from ledger.schema import Applied, Direction, Migration, Step
from ledger.translate import translated

LOCK_WAIT_SECONDS = 60


async def applied(connection: Connection) -> tuple[Applied, ...]:
    """What the database says was applied; nothing in a database never migrated."""
    with translated(writing=False):
        there = await (await connection.execute(QUERIES["migrations_exist"])).fetchone()
        if there is None or not there["there"]:
            return ()
        rows = await (await connection.execute(QUERIES["migrations_applied"])).fetchall()
    return tuple(Applied(**row) for row in rows)


async def status(
    dsn: str, folder: Path = schema.FOLDER
) -> tuple[Sequence[Migration], Sequence[Applied]]:
    """The files and what the database holds, without changing or verifying anything."""
    migrations = schema.discover(folder)
    async with await connect_dsn(dsn) as connection:
        return migrations, await applied(connection)


async def migrate(
    dsn: str,
    direction: Direction,
    target: int | None = None,
    folder: Path = schema.FOLDER,
    lock_wait_seconds: int = LOCK_WAIT_SECONDS,
) -> tuple[Step, ...]:
    """Run what `schema.plan` says and return it; empty when there was nothing to do.

    Raises a MigrationError; MigrationFailed leaves the steps before it applied.
    """
    migrations = schema.discover(folder)
    async with await connect_dsn(dsn) as connection:
        await _lock(connection, lock_wait_seconds)
        present = await applied(connection)
        steps = schema.plan(migrations, present, direction, target)
        if steps and not present:
            with translated(writing=True):
                await connection.execute(QUERIES["migrations_create"])
        for step in steps:
            await _run(connection, step)
        return steps


async def _lock(connection: Connection, wait_seconds: int) -> None:
    try:
        with translated(writing=False):
            await connection.execute(
                QUERIES["set_lock_timeout"], {"lock_timeout": f"{wait_seconds}s"}
            )
            await connection.execute(QUERIES["migrations_lock"])
    except Exception as error:
        if isinstance(error.__cause__, psycopg.errors.LockNotAvailable):
            raise MigrationBusy(
                f"another migration run has held the lock for {wait_seconds} s"
            ) from error
        raise


async def _run(connection: Connection, step: Step) -> None:
    migration = step.migration
    try:
        async with connection.transaction():
            await connection.execute(step.half.text)
            if step.direction == "up":
                await connection.execute(
                    QUERIES["migrations_record"],
                    {
                        "version": migration.version,
                        "name": migration.name,
                        "up_sha256": migration.up.sha256,
                        "down_sha256": migration.down.sha256,
                    },
                )
            else:
                await connection.execute(
                    QUERIES["migrations_forget"], {"version": migration.version}
                )
    except psycopg.Error as error:
        if error.sqlstate is None:
            with translated(writing=True):
                raise
        text = str(error).strip()
        raise MigrationFailed(f"{step.half.path.name} was rolled back: {text}") from error
