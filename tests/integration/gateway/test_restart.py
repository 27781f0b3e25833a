"""A restart of a gateway fails nobody: clients here never try twice, and every request is answered.

The test does what systemd does for the unit (tests/support/systemd.py): it holds the sockets while
no gateway runs, and passes them on to the next.
"""

import asyncio
from collections import Counter
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import aiohttp
import pytest
import pytest_asyncio

from tests.integration.gateway.conftest import upstreams
from tests.support.gateway import Gateway
from tests.support.postgres import Server
from tests.support.systemd import Systemd
from tests.support.upstream import MODEL, Engine

RESTARTS = 3
SCRAPERS = {"scraping, kept": True, "scraping, new": False}
PATIENCE = aiohttp.ClientTimeout(total=200)


def say(text: str, **more: Any) -> dict[str, Any]:
    return {"model": MODEL, "messages": [{"role": "user", "content": text}], **more}


@pytest_asyncio.fixture(loop_scope="session")
async def systemd(tmp_path: Path) -> AsyncIterator[Systemd]:
    systemd = Systemd(tmp_path / "notify")
    yield systemd
    systemd.close()


@pytest_asyncio.fixture(loop_scope="session")
async def held(
    folder: Path, ledger: Server, engine: Engine, systemd: Systemd
) -> AsyncIterator[Gateway]:
    """A gateway whose sockets outlive it."""
    # Patient with a busy machine: what is tested is the restart.
    patient = {
        "timeouts": {"settle_seconds": 60, "handshake_seconds": 60, "linger_seconds": 0.5},
        "ledger": {"acquire_timeout_seconds": 30, "statement_timeout_seconds": 30},
    }
    gateway = Gateway(folder, ledger, upstreams(engine), patient, systemd=systemd)
    await gateway.start()
    yield gateway
    await gateway.stop()


class Load:
    """Clients of all kinds. What went wrong is in `failures`, as text; nothing is tried again."""

    def __init__(self, gateway: Gateway, key: str) -> None:
        self._gateway, self._headers = gateway, {"Authorization": f"Bearer {key}"}
        self.failures: list[str] = []
        self.answered: Counter[str] = Counter()
        self._ending = asyncio.Event()
        kinds = {
            "kept": (True, say("say 2"), 0.05),
            "kept, thinking": (True, say("say 2"), 0.2),
            "kept, streaming": (True, say("pause 0.05 10", stream=True), 0.02),
            "new": (False, say("say 2"), 0.1),
            "new, streaming": (False, say("pause 0.02 10", stream=True), 0.1),
        }
        self.names = {*kinds, *SCRAPERS}
        work = [self._ask(name, *kind) for name, kind in kinds.items()]
        work += [self._scrape(name) for name in SCRAPERS]
        self._tasks = [asyncio.create_task(one) for one in work]

    async def end(self) -> None:
        self._ending.set()
        await asyncio.gather(*self._tasks)

    async def _ask(self, name: str, kept: bool, body: dict[str, Any], pause: float) -> None:
        url = f"{self._gateway.url}/v1/chat/completions"

        async def once(http: aiohttp.ClientSession) -> None:
            async with http.post(url, json=body, headers=self._headers) as answer:
                text = await answer.read()
            whole = b"[DONE]" in text if "stream" in body else b"choices" in text
            if answer.status != 200 or not whole:
                raise aiohttp.ClientError(f"{answer.status} {text[-200:]!r}")

        await self._repeat(name, once, kept, pause, self._gateway.client_tls)

    async def _scrape(self, name: str) -> None:
        url = f"https://localhost:{self._gateway.metrics_port}/metrics"

        async def once(http: aiohttp.ClientSession) -> None:
            async with http.get(url) as answer:
                assert b"gateway_draining" in await answer.read()

        await self._repeat(name, once, SCRAPERS[name], 0.2, self._gateway.node_tls)

    async def _repeat(self, name: str, once: Any, kept: bool, pause: float, tls: Any) -> None:
        def client() -> aiohttp.ClientSession:
            connector = aiohttp.TCPConnector(ssl=tls, force_close=not kept)
            return aiohttp.ClientSession(timeout=PATIENCE, connector=connector)

        async with client() as http:
            while not self._ending.is_set():
                try:
                    await once(http)
                    self.answered[name] += 1
                except (aiohttp.ClientError, OSError, AssertionError) as error:
                    self.failures.append(f"{name}: {error!r}")
                await asyncio.sleep(pause)

    async def until_more(self, count: int = 2, seconds: float = 120) -> None:
        """Wait until every client has been answered so many times more."""
        before = self.answered.copy()
        async with asyncio.timeout(seconds):
            while any(self.answered[n] < before[n] + count for n in self.names):  # noqa: ASYNC110
                await asyncio.sleep(0.02)


@pytest.mark.timeout(400)
async def test_a_restart_under_load_fails_no_request(held: Gateway, ledger: Server) -> None:
    load = Load(held, await held.key())
    await load.until_more()
    for _ in range(RESTARTS):
        assert await held.stop() == 0
        # The sockets are open, and nobody is behind them.
        late = await asyncio.open_connection("localhost", held.port)
        late[1].close()
        await held.start_again()
        await load.until_more()
    await load.end()
    assert load.failures == []
    await held.until_shipped()
    whole = sum(count for name, count in load.answered.items() if name not in SCRAPERS)
    answered = "SELECT count(*) FROM ledger.requests WHERE outcome = 'answered'"
    assert int(ledger.psql(answered, "federation")) == whole
