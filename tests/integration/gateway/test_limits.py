"""Limits over two gateways and a real PostgreSQL: never passed, whoever dies; changes are heard."""

import asyncio
import signal
import time
from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path
from typing import Any

import aiohttp
import pytest
import pytest_asyncio

from ledger.connect import connect
from ledger.limits import Limits, key_subject, set_limits
from tests.integration.gateway.conftest import upstreams
from tests.support.gateway import Gateway
from tests.support.postgres import Server
from tests.support.upstream import MODEL, Engine
from trust import apikeys

Pair = tuple[Gateway, Gateway]
Ask = Callable[..., Awaitable[tuple[int, Any, Any]]]


@pytest_asyncio.fixture(loop_scope="session")
async def pair(tmp_path: Path, ledger: Server, engine: Engine, folder: Path) -> AsyncIterator[Pair]:
    """Two gateways with one pepper."""
    second = tmp_path / "second"
    second.mkdir()
    for file in ("node.pem", "tls.key", "key-pepper"):
        (second / file).write_bytes((folder / file).read_bytes())
        (second / file).chmod(0o600)
    both = (
        Gateway(folder, ledger, upstreams(engine), {"quotas": {"worker": 1}}),
        Gateway(second, ledger, upstreams(engine), {"quotas": {"worker": 2}}),
    )
    for gateway in both:
        await gateway.start()
    yield both
    for gateway in both:
        await gateway.stop()


async def limited(gateway: Gateway, limits: Limits, **changes: Any) -> str:
    key = await gateway.key(**changes)
    connection = await connect(gateway.database.settings("operator"))
    async with connection:
        await set_limits(connection, key_subject(apikeys.parse(key).id), limits, actor="tests")
    return key


@pytest.fixture
def ask(http: aiohttp.ClientSession) -> Ask:
    async def asking(gateway: Gateway, key: str, **changes: Any) -> tuple[int, Any, Any]:
        body = {
            "model": MODEL,
            "messages": [{"role": "user", "content": "say 5"}],
            "max_tokens": 5,
            **changes,
        }
        async with http.post(
            f"{gateway.url}/v1/chat/completions",
            json=body,
            headers={"Authorization": f"Bearer {key}"},
            ssl=gateway.client_tls,
        ) as answer:
            return answer.status, await answer.json(), answer.headers

    return asking


async def test_100_clients_on_1000_tokens_never_pass_them_though_a_gateway_dies(
    pair: Pair, ask: Ask
) -> None:
    key = await limited(pair[0], Limits(tokens_per_minute=1000))
    spent: list[int] = []
    statuses: Counter[int] = Counter()
    end = time.monotonic() + 6

    async def client(number: int) -> None:
        gateway = pair[number % 2]
        while time.monotonic() < end:
            try:
                status, body, _ = await ask(gateway, key)
            except aiohttp.ClientError:
                gateway = pair[1]
                continue
            statuses[status] += 1
            if status == 200:
                spent.append(body["usage"]["prompt_tokens"] + body["usage"]["completion_tokens"])
            await asyncio.sleep(0.05)

    async def kill() -> None:
        await asyncio.sleep(0.05)
        await pair[0].stop(signal.SIGKILL)

    await asyncio.gather(kill(), *(client(number) for number in range(100)))
    assert len(spent) > 20
    assert set(statuses) == {200, 429}
    assert 0 < sum(spent) <= 1000
