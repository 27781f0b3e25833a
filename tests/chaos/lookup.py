"""What the log holds, asked with the operator's rights: SQL of the tests, to judge ours with."""

import threading
import time
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass, field

import psycopg

from ledger.connect import Settings
from tests.chaos.client import KIND
from tests.chaos.decide import Entry
from tests.chaos.watch import only_this_server

ROWS = (
    "SELECT seq, id::text, encode(sha256(body), 'hex') FROM ledger.log WHERE seq >= %s ORDER BY seq"
)
OURS = "SELECT id::text FROM ledger.log WHERE seq >= %s AND kind = %s AND subject = %s"
WAITING = "SELECT id::text FROM ledger.inbox WHERE kind = %s AND subject = %s"
SIZE = "SELECT size FROM ledger.log_state"
POLL_SECONDS = 0.1


def rows(settings: Settings, base: int = 0) -> tuple[Entry, ...]:
    """The log from number `base` on."""
    with psycopg.connect(settings.conninfo()) as connection:
        return tuple(Entry(*row) for row in connection.execute(ROWS, (base,)))


def ours(settings: Settings, run: str, base: int = 0) -> frozenset[str]:
    """The ids of those events from `base` on that say they are of the load `run`."""
    with psycopg.connect(settings.conninfo()) as connection:
        return frozenset(row[0] for row in connection.execute(OURS, (base, KIND, run)))


def present(settings: Settings, run: str, base: int = 0) -> frozenset[str]:
    """The ids of the load `run` that are there, numbered or still waiting, in one snapshot."""
    with psycopg.connect(settings.conninfo()) as connection:
        connection.isolation_level = psycopg.IsolationLevel.REPEATABLE_READ
        numbered = [row[0] for row in connection.execute(OURS, (base, KIND, run))]
        waiting = [row[0] for row in connection.execute(WAITING, (KIND, run))]
    return frozenset([*numbered, *waiting])


def size(settings: Settings) -> int:
    """How many events are numbered."""
    with psycopg.connect(settings.conninfo()) as connection:
        row = connection.execute(SIZE).fetchone()
    assert row is not None
    return int(row[0])


def waiting(settings: Settings) -> int:
    """How many events wait for a number."""
    with psycopg.connect(settings.conninfo()) as connection:
        row = connection.execute("SELECT count(*) FROM ledger.inbox").fetchone()
    assert row is not None
    return int(row[0])


def in_recovery(settings: Settings) -> bool | None:
    """What the one server in `settings` says of itself; None when it does not answer."""
    try:
        with psycopg.connect(only_this_server(settings)) as connection:
            row = connection.execute("SELECT pg_is_in_recovery()").fetchone()
    except psycopg.Error:
        return None
    return bool(row and row[0])


@dataclass
class Growth:
    """A thread that notes when the log grew, as often as it can look."""

    settings: Settings
    seen: list[float] = field(default_factory=list)
    _ending: threading.Event = field(default_factory=threading.Event)
    _thread: threading.Thread | None = None

    def start(self) -> None:
        """Begin to look."""
        self._thread = threading.Thread(target=self._run, daemon=True)
        self._thread.start()

    def stop(self) -> None:
        """Look no more."""
        self._ending.set()
        if self._thread is not None:
            self._thread.join(timeout=60)

    def times(self) -> Sequence[float]:
        """When it was found larger than before, in seconds of the monotonic clock."""
        return tuple(self.seen)

    def _run(self) -> None:
        last = -1
        while not self._ending.is_set():
            with (
                suppress(psycopg.Error),
                psycopg.connect(self._dsn(), autocommit=True) as connection,
            ):
                while not self._ending.wait(POLL_SECONDS):
                    row = connection.execute(SIZE).fetchone()
                    if row and row[0] > last:
                        last = row[0]
                        self.seen.append(time.monotonic())
            self._ending.wait(POLL_SECONDS)

    def _dsn(self) -> str:
        return psycopg.conninfo.make_conninfo(
            self.settings.conninfo(), tcp_user_timeout=5000, options="-c statement_timeout=2000"
        )
