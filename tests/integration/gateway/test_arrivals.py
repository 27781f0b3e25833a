"""Clients that connect and never finish their TLS handshake take nothing that others need."""

import asyncio
from pathlib import Path

import aiohttp

from tests.integration.gateway.conftest import Starter
from tests.integration.gateway.test_operation import scrape
from tests.support.gateway import Gateway

MOST = 3


def descriptors(gateway: Gateway) -> int:
    assert gateway.process is not None
    return len(list(Path(f"/proc/{gateway.process.pid}/fd").iterdir()))


async def health(gateway: Gateway, http: aiohttp.ClientSession) -> int:
    close = {"Connection": "close"}
    async with http.get(
        f"{gateway.url}/health/live", ssl=gateway.client_tls, headers=close
    ) as answer:
        return answer.status


async def test_half_open_handshakes_are_few_per_source_and_end(
    start: Starter, http: aiohttp.ClientSession
) -> None:
    gateway = await start(
        timeouts={"handshake_seconds": 3.0}, limits={"max_handshakes_per_source": MOST}
    )
    assert await health(gateway, http) == 200
    before = descriptors(gateway)

    async def silent(first: bytes = b"") -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
        reader, writer = await asyncio.open_connection("127.0.0.1", gateway.port)
        writer.write(first)
        return reader, writer

    # Nothing at all, the beginning of a record, and a client that knocks again and again.
    held = [await silent(first) for first in (b"", b"\x16\x03\x01", b"")]
    one_more = await silent()
    async with asyncio.timeout(20):
        assert await one_more[0].read() == b""
    found = await scrape(gateway, http)
    assert found["gateway_client_handshakes[]"] == MOST
    turned_away = "gateway_connections_turned_away_total[('reason', '{}')]"
    assert found[turned_away.format("handshakes")] == 1
    async with asyncio.timeout(20):
        assert [await reader.read() for reader, _ in held] == [b""] * MOST
    assert await health(gateway, http) == 200
    found = await scrape(gateway, http)
    assert found["gateway_client_handshakes[]"] == 0
    assert found[turned_away.format("tls")] == MOST
    for _, writer in (*held, one_more):
        writer.close()
    async with asyncio.timeout(20):
        while descriptors(gateway) > before:  # noqa: ASYNC110
            await asyncio.sleep(0.05)


async def test_handshakes_count_as_connections(start: Starter) -> None:
    gateway = await start(timeouts={"handshake_seconds": 60.0}, limits={"max_connections": 2})
    held = [await asyncio.open_connection("127.0.0.1", gateway.port) for _ in range(2)]
    reader, writer = await asyncio.open_connection("127.0.0.1", gateway.port)
    async with asyncio.timeout(20):
        assert await reader.read() == b""
    for _, other in (*held, (reader, writer)):
        other.close()
