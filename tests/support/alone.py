"""A server whose standby is gone: its commits are on one machine only, and must not count as done.

from tests.support.alone import alone  # noqa: F401  (in a conftest.py, with postgres's)
"""

import asyncio
from collections.abc import Iterator

import pytest

from tests.support.fleet import wait_for
from tests.support.postgres import Server

WAITING = "SELECT count(*) FROM pg_stat_activity WHERE wait_event = 'SyncRep'"
END = {
    "cancel": "SELECT pg_cancel_backend(pid) FROM pg_stat_activity WHERE wait_event = 'SyncRep'",
    "end": "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE wait_event = 'SyncRep'",
}


def require_standby(server: Server, name: str) -> None:
    """Commits wait for the standby of this name, or, with an empty one, for none."""
    server.psql(f"ALTER SYSTEM SET synchronous_standby_names = '{name}'")
    server.psql("SELECT pg_reload_conf()")
    shown = "SELECT current_setting('synchronous_standby_names')"
    wait_for(lambda: server.psql(shown) == name, 60, "the setting")
    # The checkpointer tells the others; until it has, commits do not wait.
    server.psql("CHECKPOINT")


async def until_waiting(server: Server) -> None:
    """Wait until a commit waits for the standby."""
    for _ in range(600):
        if server.psql(WAITING) != "0":
            return
        await asyncio.sleep(0.05)
    raise AssertionError("no commit waits")


@pytest.fixture
def alone(database: Server) -> Iterator[Server]:
    """A primary whose only standby is gone."""
    require_standby(database, "gone")
    yield database
    require_standby(database, "")
