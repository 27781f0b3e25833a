"""One archive for all tests here; each test goes on where the last one left it."""

from collections.abc import Iterator

import pytest

from ledger import migrate
from tests.support.archive import Archive, archive


@pytest.fixture(scope="session")
def running() -> Iterator[Archive]:
    """A migrated server, archiving to two repositories."""
    import asyncio

    with archive() as found:
        found.server.run_cluster_sql()
        asyncio.run(migrate.migrate(found.server.dsn(), "up"))
        yield found
