"""A gateway process between a real PostgreSQL and a small engine, all over TLS."""

from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path
from typing import Any

import aiohttp
import pytest

from ledger.connect import connect
from ledger.requests import RequestRecord, latest_requests
from tests.support.gateway import Gateway, write_node_files
from tests.support.postgres import Server, database, postgres  # noqa: F401
from tests.support.upstream import Engine
from trust.tls import server_context

Starter = Callable[..., Awaitable[Gateway]]
Rows = Callable[[], Awaitable[tuple[RequestRecord, ...]]]


@pytest.fixture
async def engine(tmp_path: Path, database: Server) -> AsyncIterator[Engine]:  # noqa: F811
    """A running engine that wants certificates of the federation."""
    write_node_files(tmp_path, database, "gateway")
    engine = Engine()
    await engine.start(engine_tls(tmp_path, database))
    yield engine
    await engine.stop()


def engine_tls(folder: Path, database: Server) -> Any:  # noqa: F811
    """The engine's TLS: nobody without our certificate gets in."""
    return server_context(folder / "node.pem", folder / "tls.key", database.root / "ca.pem")


@pytest.fixture
async def start(tmp_path: Path, database: Server, engine: Engine) -> AsyncIterator[Starter]:  # noqa: F811
    """Start a gateway with changed settings: `await start(limits={"max_body_bytes": 2048})`."""
    started: list[Gateway] = []

    async def starter(notify: Any = None, **changes: Any) -> Gateway:
        upstreams = [{"name": "engine", "url": f"https://localhost:{engine.port}"}]
        gateway = Gateway(tmp_path, database, upstreams, changes, notify=notify)
        started.append(gateway)
        await gateway.start()
        return gateway

    yield starter
    for gateway in started:
        await gateway.stop()


@pytest.fixture
async def gateway(start: Starter) -> Gateway:
    """A gateway with usual settings."""
    return await start()


@pytest.fixture
async def http() -> AsyncIterator[aiohttp.ClientSession]:
    """A plain client, for what the official one would never send."""
    async with aiohttp.ClientSession(timeout=aiohttp.ClientTimeout(total=30)) as session:
        yield session


@pytest.fixture
def rows(database: Server) -> Rows:  # noqa: F811
    """The audit, newest first, as the operator reads it."""

    async def read() -> tuple[RequestRecord, ...]:
        connection = await connect(database.settings("operator"))
        async with connection:
            return await latest_requests(connection)

    return read
