"""A full disk under a real server: a clear refusal, nothing corrupted, and space mends it."""

import os
import shutil
import subprocess
import tempfile
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path

import pytest

from ledger import migrate, sequence
from ledger.append import append
from ledger.connect import connect
from ledger.errors import LedgerError, OutcomeUnknown, Unavailable
from ledger.event import Event
from ledger.identifiers import new_id
from tests.chaos import lookup
from tests.support.postgres import Server, make

pytestmark = [
    pytest.mark.postgres,
    pytest.mark.skipif(os.geteuid() != 0, reason="mounts a small file system: needs root"),
]
# What initdb and a few segments of WAL need, and not much more.
DISK_MIB, WAL_MIB = 200, 64
AMPLE = "x" * 3000


def event() -> Event:
    """An event that takes up some room."""
    return Event(new_id(), datetime.now(UTC), "anode", "alice", "test.done", "it", {"x": AMPLE})


@pytest.fixture
def small() -> Iterator[Path]:
    """A file system of a few megabytes, where the server's own user gets to."""
    folder = Path(tempfile.mkdtemp(prefix="fedpg-full-"))
    mount(folder, DISK_MIB)
    folder.chmod(0o755)
    yield folder
    subprocess.run(["umount", "-R", "-l", str(folder)], check=True)
    folder.rmdir()


@pytest.fixture
async def server(small: Path) -> "Iterator[Server]":  # type: ignore[misc]
    """A server on it, migrated."""
    server = make(small / "server")
    server.start()
    server.run_cluster_sql()
    await migrate.migrate(server.dsn(), "up")
    yield server
    server.stop()


def mount(folder: Path, mebibytes: int) -> None:
    """A file system in memory at `folder`."""
    size = f"size={mebibytes}m,mode=0755"
    subprocess.run(["mount", "-t", "tmpfs", "-o", size, "tmpfs", str(folder)], check=True)


def move_wal(server: Server) -> Path:
    """Put the server's WAL on a smaller file system of its own; the server is stopped after."""
    server.stop("fast")
    wal, beside = server.data / "pg_wal", server.root / "wal"
    wal.rename(beside)
    wal.mkdir()
    mount(wal, WAL_MIB)
    shutil.chown(wal, "postgres", "postgres")
    wal.chmod(0o700)
    subprocess.run(["cp", "-a", f"{beside}/.", str(wal)], check=True)
    return wal


def fill(folder: Path, leave_kib: int) -> Path:
    """Take all of the file system that holds `folder` but `leave_kib`; returns what takes it."""
    filler = folder / "filler"
    with filler.open("wb") as file:
        os.posix_fallocate(file.fileno(), 0, shutil.disk_usage(folder).free - leave_kib * 1024)
    return filler


async def append_until_refused(server: Server) -> tuple[list[Event], list[Event], LedgerError]:
    """Append until it fails: what was acknowledged, what was not, and why not."""
    acked: list[Event] = []
    while True:
        events = [event() for _ in range(50)]
        try:
            await append(server.settings("operator"), events, give_up_seconds=4.0)
        except LedgerError as error:
            return acked, events, error
        acked += events


async def all_numbered(server: Server) -> None:
    """Number everything that waits."""
    async with await connect(server.settings("sequencer")) as connection:
        edge = await sequence.load(connection)
        while (await sequence.waiting(connection)).count:
            edge = (await sequence.advance(connection, edge, 1000)).edge


async def check(server: Server, acked: list[Event]) -> None:
    """Every acknowledged event is there once; the server's own check finds every page sound."""
    await all_numbered(server)
    numbered = [entry.id for entry in lookup.rows(server.settings("operator"))]
    assert len(numbered) == len(set(numbered))
    assert {str(event.id) for event in acked} <= set(numbered)
    server.psql("CREATE EXTENSION IF NOT EXISTS amcheck", "federation")
    server.psql(
        "SELECT bt_index_check(c.oid, true) FROM pg_class c JOIN pg_am a ON a.oid = c.relam "
        "JOIN pg_index i ON i.indexrelid = c.oid "
        "WHERE a.amname = 'btree' AND c.relnamespace = 'ledger'::regnamespace AND c.relkind = 'i'",
        "federation",
    )


async def test_data_that_no_longer_fits_is_refused_with_the_reason(
    server: Server, small: Path
) -> None:
    filler = fill(small, leave_kib=2048)
    acked, refused, error = await append_until_refused(server)
    assert acked
    assert isinstance(error, Unavailable)
    assert "No space left on device" in str(error)
    assert server.process is not None
    assert server.process.poll() is None, "the server goes on, and answers readers"
    filler.unlink()
    assert await append(server.settings("operator"), refused, give_up_seconds=60) == len(refused)
    await check(server, acked + refused)


async def test_wal_that_no_longer_fits_stops_the_server_and_loses_nothing(
    server: Server, small: Path
) -> None:
    """pg_wal alone is full: Postgres cannot go on at all, which is an unknown outcome."""
    wal = move_wal(server)
    server.start()
    filler = fill(wal, leave_kib=64)
    acked, unsure, error = await append_until_refused(server)
    assert isinstance(error, OutcomeUnknown | Unavailable)
    assert "No space left on device" in server.log
    filler.unlink()
    if server.process is None or server.process.poll() is not None:
        server.start()
    assert await append(server.settings("operator"), unsure, give_up_seconds=60) in (0, 50)
    await check(server, acked + unsure)
