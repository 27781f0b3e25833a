"""Clients that connect and never finish their TLS handshake take nothing that others need."""

import asyncio
from contextlib import suppress
from pathlib import Path

import aiohttp

from tests.integration.gateway.conftest import Starter
from tests.integration.gateway.test_operation import scrape
from tests.support.gateway import Gateway

MOST = 3
TURNED_AWAY = "gateway_connections_turned_away_total[('reason', '{}')]"
Pair = tuple[asyncio.StreamReader, asyncio.StreamWriter]


def descriptors(gateway: Gateway) -> int:
    assert gateway.process is not None
    return len(list(Path(f"/proc/{gateway.process.pid}/fd").iterdir()))


async def health(gateway: Gateway, http: aiohttp.ClientSession) -> int:
    close = {"Connection": "close"}
    async with http.get(
        f"{gateway.url}/health/live", ssl=gateway.client_tls, headers=close
    ) as answer:
        return answer.status


async def silent(gateway: Gateway, first: bytes = b"") -> Pair:
    reader, writer = await asyncio.open_connection("127.0.0.1", gateway.port)
    writer.write(first)
    return reader, writer


async def closed(reader: asyncio.StreamReader) -> bool:
    """Wait until the gateway closes; False when it said something before."""
    async with asyncio.timeout(60):
        with suppress(ConnectionError):
            return await reader.read() == b""
        return True


async def test_half_open_handshakes_are_few_per_source(
    start: Starter, http: aiohttp.ClientSession
) -> None:
    gateway = await start(
        timeouts={"handshake_seconds": 300.0}, limits={"max_handshakes_per_source": MOST}
    )
    # Nothing at all, the beginning of a record, and nothing again.
    held = [await silent(gateway, first) for first in (b"", b"\x16\x03\x01", b"")]
    one_more = await silent(gateway)
    assert await closed(one_more[0])
    found = await scrape(gateway, http)
    assert found["gateway_client_handshakes[]"] == MOST
    assert found[TURNED_AWAY.format("handshakes")] == 1
    held[0][1].close()
    async with asyncio.timeout(60):
        while (await scrape(gateway, http))["gateway_client_handshakes[]"] == MOST:  # noqa: ASYNC110
            await asyncio.sleep(0.05)
    # A place is free, and the next client has it.
    assert await health(gateway, http) == 200
    for _, writer in (*held, one_more):
        writer.close()


async def test_a_handshake_that_is_never_finished_ends_and_leaves_nothing(
    start: Starter, http: aiohttp.ClientSession
) -> None:
    gateway = await start(timeouts={"handshake_seconds": 1.0})
    before = descriptors(gateway)
    held = [await silent(gateway, first) for first in (b"", b"\x16\x03\x01", b"")]
    assert all([await closed(reader) for reader, _ in held])
    for _, writer in held:
        writer.close()
    async with asyncio.timeout(60):
        # Our own handshake has no more than the second, either.
        found: dict[str, float] = {}
        while not found or found["gateway_client_handshakes[]"]:
            with suppress(aiohttp.ClientError):
                found = await scrape(gateway, http)
        while descriptors(gateway) > before:  # noqa: ASYNC110
            await asyncio.sleep(0.05)
    assert found[TURNED_AWAY.format("tls")] == 3


async def test_handshakes_count_as_connections(start: Starter) -> None:
    gateway = await start(timeouts={"handshake_seconds": 60.0}, limits={"max_connections": 2})
    held = [await asyncio.open_connection("127.0.0.1", gateway.port) for _ in range(2)]
    reader, writer = await asyncio.open_connection("127.0.0.1", gateway.port)
    async with asyncio.timeout(20):
        assert await reader.read() == b""
    for _, other in (*held, (reader, writer)):
        other.close()
