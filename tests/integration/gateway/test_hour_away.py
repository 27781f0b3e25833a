"""Postgres away for an hour: no request fails, the spool stays in its bound, all arrives once.

The hour is in the records, not in the clock: some are made by real requests while the database is
down, the rest (what 3 requests a second make in an hour) are written to the same spool through its
own interface, which is as fast as the disk.
"""

import asyncio
import os
import time
from collections.abc import Iterator
from pathlib import Path
from statistics import median

import aiohttp
import pytest

from gateway.seams import Ending, Intent
from gateway.spool import shipped
from gateway.spool.record import finished, started
from gateway.spool.room import RECORD_ROOM
from gateway.spool.writer import Spool
from ledger.identifiers import new_text
from ledger.requests import Outcome
from tests.integration.gateway.conftest import Starter
from tests.integration.gateway.test_spool import say
from tests.support.gateway import Gateway, until
from tests.support.postgres import Server

# 60,000 by hand: 21 s on two busy cores, 16 s with these.
RECORDS = int(os.environ.get("FEDERATION_HOUR_RECORDS", "20000"))
ASKED = 300
TOGETHER = 100
SEGMENT_KIB, MAX_MIB = 2048, 128
# A request beside the shipper's catching up; a busy machine is no reason to fail.
SLOWEST_MEDIAN_SECONDS = 0.5
COUNTS = """
SELECT count(*) || ' ' || count(DISTINCT body) || ' ' || count(DISTINCT id)
FROM ledger.inbox WHERE kind = 'request.{kind}'
"""
ROWS = "SELECT count(*) FROM ledger.requests WHERE outcome = 'answered'"


@pytest.fixture
def empty(ledger: Server) -> Iterator[Server]:
    """The module's server with nothing in it; running afterwards."""
    ledger.fresh_database()
    yield ledger
    if ledger.process is None:
        ledger.start()


async def spool_metric(gateway: Gateway, http: aiohttp.ClientSession, name: str) -> float:
    """What the gateway's metric `gateway_spool_<name>` says."""
    url = f"https://localhost:{gateway.metrics_port}/metrics"
    async with http.get(url, ssl=gateway.node_tls) as answer:
        text = await answer.text()
    (line,) = [line for line in text.splitlines() if line.startswith(f"gateway_spool_{name} ")]
    return float(line.split()[1])


async def ask(gateway: Gateway, http: aiohttp.ClientSession, key: str, stream: bool) -> float:
    """How long a request took, which must be answered."""
    begun = time.monotonic()
    async with http.post(
        f"{gateway.url}/v1/chat/completions",
        json=say("say 3", stream=stream),
        headers={"Authorization": f"Bearer {key}"},
        ssl=gateway.client_tls,
    ) as answer:
        body = await answer.read()
    assert answer.status == 200 and (b"[DONE]" in body or not stream), body
    return time.monotonic() - begun


async def write_requests(folder: Path, count: int, node: str) -> None:
    """So many answered requests, as a gateway writes them."""
    spool = Spool(folder, segment_bytes=SEGMENT_KIB << 10, max_bytes=MAX_MIB << 20,
                  shipped=shipped.load(folder).at)  # fmt: skip
    now = time.time_ns()
    ending = Ending(Outcome.ANSWERED, now, 10, 200, 5, 3, 5, "engine")
    try:
        for begin in range(0, count, TOGETHER):
            size = min(TOGETHER, count - begin)
            intents = [
                Intent(new_text(), "key", "default", node, "chat_completions", "m", False, now,
                       f"hour-{begin + place}", None) for place in range(size)
            ]  # fmt: skip
            while spool.room.free < 4 * size * RECORD_ROOM:
                spool.tend()
                await asyncio.sleep(0.001)
            await asyncio.gather(*(spool.begin(started(intent)) for intent in intents))
            await asyncio.gather(*(spool.end(finished(intent, ending)) for intent in intents))
    finally:
        await spool.close()


async def test_an_hour_without_the_ledger_costs_nobody_a_request_and_no_record(
    start: Starter, empty: Server, http: aiohttp.ClientSession
) -> None:
    gateway = await start(spool={"segment_kib": SEGMENT_KIB, "max_mib": MAX_MIB})
    key = await gateway.key()
    await ask(gateway, http, key, stream=False)
    await gateway.until_shipped()
    empty.stop()
    for stream in (True, False) * (ASKED // 20):
        await asyncio.gather(*(ask(gateway, http, key, stream) for _ in range(10)))

    async def alarmed() -> bool:
        waiting = await spool_metric(gateway, http, "unshipped_records") >= 2 * ASKED
        return waiting and await spool_metric(gateway, http, "age_seconds") > 0

    await until(alarmed)
    await gateway.stop()
    requests = RECORDS // 2 - ASKED
    await write_requests(gateway.spool, requests, gateway.name)
    empty.start()
    await gateway.start_again()
    assert await spool_metric(gateway, http, "bytes") < MAX_MIB << 20
    assert await spool_metric(gateway, http, "takes_requests") == 1
    seconds = [await ask(gateway, http, key, stream) for stream in (True, False) * 10]
    assert median(seconds) < SLOWEST_MEDIAN_SECONDS, seconds
    await gateway.until_shipped(120)
    total = 1 + ASKED + requests + len(seconds)
    for kind in ("started", "finished"):
        counted = empty.psql(COUNTS.format(kind=kind), "federation").split()
        assert counted == [str(total)] * 3, kind
    assert empty.psql(ROWS, "federation") == str(total)

    async def quiet() -> bool:
        return await spool_metric(gateway, http, "unshipped_records") == 0

    await until(quiet)
