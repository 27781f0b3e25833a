"""Load and judge on one real server, killed under them: nothing is lost, and lies are found."""

import os
import signal
import time

import pytest

from tests.chaos import decide, lookup
from tests.chaos.journal import Attempt, Outcome
from tests.chaos.load import Load
from tests.support.fleet import wait_for
from tests.support.postgres import Server

pytestmark = [pytest.mark.postgres, pytest.mark.usefixtures("numbered")]
SUPERUSER = "SET session_replication_role = replica; SET ROLE NONE; "


def crash(server: Server) -> None:
    """kill -9 the postmaster; its backends notice and go."""
    assert server.process is not None
    os.kill(server.process.pid, signal.SIGKILL)
    server.process.wait()
    server.process = None
    wait_for(lambda: not (server.data / "postmaster.pid").exists() or _start(server), 90, "restart")


def _start(server: Server) -> bool:
    """Start again; False while the old backends still hold the shared memory."""
    try:
        server.start()
    except RuntimeError:
        server.process = None
        return False
    return True


def settled(
    server: Server, load: Load
) -> tuple[list[Attempt], frozenset[str], tuple[decide.Entry, ...]]:
    """Stop the load and wait until everything has a number."""
    assert load.ended() == []
    assert load.stop() == []
    settings = server.settings("operator")
    first = lookup.present(settings, load.run)
    wait_for(lambda: lookup.waiting(settings) == 0, 90, "everything numbered")
    return list(load.attempts()), first, lookup.rows(settings)


def found(server: Server, load: Load, base: int = 0) -> list[str]:
    attempts, first, log = settled(server, load)
    ours = lookup.ours(server.settings("operator"), load.run)
    return [str(violation) for violation in decide.judge(attempts, first, log, ours, base)]


@pytest.fixture
def running(database: Server, load: Load) -> Load:
    """The load under way."""
    load.start()
    assert load.wait_acked(time.monotonic(), 90)
    return load


def test_a_server_killed_twice_loses_nothing_it_acknowledged(
    database: Server, running: Load
) -> None:
    for _ in range(2):
        size = lookup.size(database.settings("operator"))
        wait_for(lambda: lookup.size(database.settings("operator")) > size + 50, 90, "events")  # noqa: B023
        crash(database)
        assert running.wait_acked(time.monotonic(), 90)
    attempts, first, log = settled(database, running)
    ours = lookup.ours(database.settings("operator"), running.run)
    assert decide.judge(attempts, first, log, ours) == ()
    outcomes = {attempt.outcome for attempt in attempts}
    assert Outcome.ACKED in outcomes
    watched = [attempt for attempt in attempts if attempt.node == "localhost"]
    assert {a.timeline for a in watched if a.outcome is Outcome.ACKED} == {1}
    assert len(log) > 100


@pytest.mark.parametrize(
    ("sql", "promise"),
    [
        ("DELETE FROM ledger.log WHERE seq = 40", "an acknowledged event is in the log"),
        ("UPDATE ledger.log SET seq = 1000000 WHERE seq = 40", "the sequence has no gap"),
        (
            "UPDATE ledger.log SET body = body || ' ' WHERE seq = 40",
            "an event's bytes are those sent",
        ),
    ],
)
def test_what_a_superuser_does_to_the_log_is_found(
    database: Server, running: Load, sql: str, promise: str
) -> None:
    wait_for(lambda: lookup.size(database.settings("operator")) > 50, 90, "some events")
    database.psql(SUPERUSER + sql, "federation")
    texts = found(database, running)
    assert any(text.startswith(promise) for text in texts), texts


def test_a_second_writable_server_is_found(database: Server, load: Load) -> None:
    """The server under another name takes the second one's part: one timeline, two that write."""
    other = database.settings("operator", hosts=("127.0.0.1",))
    load.servers = {**load.servers, "127.0.0.1": other}
    load.start()
    both = ("watch-localhost", "watch-127.0.0.1")
    paths = [load.folder / f"{name}.journal" for name in both]
    wait_for(lambda: all(p.exists() and b"acked" in p.read_bytes() for p in paths), 90, "writes")
    texts = found(database, load)
    assert texts
    assert all("timeline 1 was acknowledged by" in text for text in texts), texts
