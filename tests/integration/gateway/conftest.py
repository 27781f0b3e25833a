"""A gateway process between a real PostgreSQL and a small engine, all over TLS.

One process, one engine and one database serve all tests of a module (`gateway`, `engine`): starting
them takes seconds. A test that needs other settings starts its own gateway (`start`). `rows` is the
audit since the test began, and `gateway.lines` the log since then.
"""

from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path
from typing import Any

import aiohttp
import pytest
import pytest_asyncio

from ledger.connect import connect
from ledger.requests import RequestRecord, latest_requests
from tests.support.gateway import Gateway, spools_in_use, until_shipped, write_node_files
from tests.support.postgres import Server, postgres  # noqa: F401
from tests.support.upstream import Engine
from trust.tls import server_context

Starter = Callable[..., Awaitable[Gateway]]
Rows = Callable[[], Awaitable[tuple[RequestRecord, ...]]]
HERE = Path(__file__).parent


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """All tests here share one event loop with the fixtures that outlive them."""
    for item in items:
        if HERE in item.path.parents:
            item.add_marker(pytest.mark.asyncio(loop_scope="session"), append=False)


@pytest.fixture(scope="module")
def ledger(postgres: Server) -> Server:  # noqa: F811
    """The session's server, with a fresh database for this module."""
    if postgres.process is None or postgres.process.poll() is not None:
        postgres.start()
    postgres.fresh_database()
    return postgres


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory, ledger: Server) -> Path:
    """The node's files."""
    folder = tmp_path_factory.mktemp("node")
    write_node_files(folder, ledger, "gateway")
    return folder


@pytest_asyncio.fixture(scope="module", loop_scope="session")
async def running_engine(folder: Path, ledger: Server) -> AsyncIterator[Engine]:
    """An engine that wants certificates of the federation."""
    tls = server_context(folder / "node.pem", folder / "tls.key", ledger.root / "ca.pem")
    engine = Engine(tls=tls)
    await engine.start()
    yield engine
    await engine.stop()


@pytest.fixture
def engine(running_engine: Engine) -> Engine:
    """The module's engine, with nothing asked of it yet."""
    running_engine.release()
    running_engine.calls.clear()
    return running_engine


@pytest_asyncio.fixture(scope="module", loop_scope="session")
async def running_gateway(
    folder: Path, ledger: Server, running_engine: Engine
) -> AsyncIterator[Gateway]:
    """The module's gateway, with usual settings."""
    gateway = Gateway(folder, ledger, upstreams(running_engine))
    await gateway.start()
    yield gateway
    await gateway.stop()


@pytest.fixture
def gateway(running_gateway: Gateway, engine: Engine) -> Gateway:
    """The module's gateway, with nothing logged yet."""
    running_gateway.lines.clear()
    return running_gateway


@pytest_asyncio.fixture(loop_scope="session")
async def key(gateway: Gateway) -> str:
    """A working key."""
    return await gateway.key()


@pytest_asyncio.fixture(loop_scope="session")
async def start(folder: Path, ledger: Server, engine: Engine) -> AsyncIterator[Starter]:
    """Start a gateway with changed settings: `await start(limits={"max_body_bytes": 2048})`."""
    started: list[Gateway] = []

    async def starter(notify: Any = None, engines: Any = None, **changes: Any) -> Gateway:
        chosen = engines or upstreams(engine)
        gateway = Gateway(folder, ledger, chosen, changes, notify=notify)
        started.append(gateway)
        await gateway.start()
        return gateway

    yield starter
    for gateway in started:
        await gateway.stop()


@pytest_asyncio.fixture(loop_scope="session")
async def http() -> AsyncIterator[aiohttp.ClientSession]:
    """A plain client, for what the official one would never send."""
    async with aiohttp.ClientSession(timeout=aiohttp.ClientTimeout(total=120)) as session:
        yield session


@pytest_asyncio.fixture(loop_scope="session")
async def rows(ledger: Server, folder: Path) -> Rows:
    """The audit since this test began, newest first, as the operator reads it; what the gateways
    have written by now is waited for.
    """

    async def everything() -> tuple[RequestRecord, ...]:
        for spool in spools_in_use(folder):
            await until_shipped(spool)
        connection = await connect(ledger.settings("operator"))
        async with connection:
            return await latest_requests(connection)

    before = {row.intent.id for row in await everything()}

    async def since() -> tuple[RequestRecord, ...]:
        return tuple(row for row in await everything() if row.intent.id not in before)

    return since


def upstreams(engine: Engine) -> list[dict[str, Any]]:
    """The gateway's configuration of `engine`."""
    return [{"name": "engine", "url": f"https://localhost:{engine.port}"}]
