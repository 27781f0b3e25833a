"""The ledger away, for a moment and for longer: the record is local, and shipped afterwards."""

import asyncio
import os
import signal
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from typing import Any

import aiohttp
import pytest

from gateway.ledger_client import PooledLedger, WatchedLedger
from gateway.ledger_limits import LedgerLimits
from gateway.metrics import GatewayMetrics
from ledger.connect import pool
from ledger.errors import OutcomeUnknown
from ledger.quotas import Holder
from ledger.requests import Outcome
from tests.integration.gateway.conftest import Rows
from tests.support.gateway import Gateway, until
from tests.support.postgres import Server
from tests.support.upstream import MODEL, Engine
from trust.apikeys import Pepper, new_pepper_text


def say(text: str, **more: Any) -> dict[str, Any]:
    return {"model": MODEL, "messages": [{"role": "user", "content": text}], **more}


async def ready(gateway: Gateway, http: aiohttp.ClientSession) -> bool:
    """Ready, and with the ledger there: a gateway that has seen it once is ready without it too."""
    async with http.get(f"{gateway.url}/health", ssl=gateway.client_tls) as answer:
        parts = (await answer.json())["components"]
        return answer.status == 200 and parts["ledger"]["status"] == "up"


async def until_ready(
    gateway: Gateway, http: aiohttp.ClientSession, state: bool = True, seconds: float = 60
) -> None:
    async with asyncio.timeout(seconds):
        while await ready(gateway, http) is not state:  # noqa: ASYNC110
            await asyncio.sleep(0.05)


async def test_without_a_ledger_known_keys_go_on_and_everything_is_shipped_afterwards(
    gateway: Gateway, engine: Engine, key: str, http: aiohttp.ClientSession, rows: Rows
) -> None:
    url, headers = f"{gateway.url}/v1/chat/completions", {"Authorization": f"Bearer {key}"}
    stranger = await gateway.key()

    async def ask(shown: dict[str, str], stream: bool = False) -> int:
        async with http.post(
            url, json=say("say 3", stream=stream), headers=shown, ssl=gateway.client_tls
        ) as answer:
            await answer.read()
            return answer.status

    assert await ask(headers) == 200
    gateway.database.stop()
    try:
        asked = [await ask(headers, stream) for stream in (True, False) * 10]
        assert set(asked) == {200}
        # A key this gateway has never seen cannot be checked.
        assert await ask({"Authorization": f"Bearer {stranger}"}) == 503
        async with http.get(f"{gateway.url}/health", ssl=gateway.client_tls) as a:
            assert a.status == 200
            parts = (await a.json())["components"]
            assert parts["spool"]["status"] == "up"
    finally:
        gateway.database.start()
    await until_ready(gateway, http)
    found = await rows()
    assert len(found) == 21
    assert {row.outcome.outcome for row in found if row.outcome} == {Outcome.ANSWERED}


async def test_a_ledger_that_restarts_quickly_is_found_again_quickly(
    gateway: Gateway, key: str, http: aiohttp.ClientSession
) -> None:
    gateway.database.stop()
    await asyncio.sleep(4)
    gateway.database.start()
    # A pool's own attempts would by now be far more than that apart.
    await until_ready(gateway, http, seconds=10)
    assert await gateway.key()


async def test_a_stream_ends_well_while_the_ledger_is_away(
    gateway: Gateway, key: str, http: aiohttp.ClientSession, rows: Rows
) -> None:
    received = b""
    async with http.post(
        f"{gateway.url}/v1/chat/completions",
        json=say("pause 0.1 10", stream=True),
        headers={"Authorization": f"Bearer {key}"},
        ssl=gateway.client_tls,
    ) as answer:
        received += await answer.content.readany()
        gateway.database.stop()
        try:
            received += await answer.content.read()
        finally:
            gateway.database.start()
    assert received.endswith(b"data: [DONE]\n\n")
    await until_ready(gateway, http)
    row = (await rows())[0]
    assert row.outcome is not None and row.outcome.outcome is Outcome.ANSWERED
    assert (row.outcome.status, row.outcome.completion_tokens) == (200, 10)


async def test_every_answered_request_is_recorded_while_the_ledger_crashes_under_load(
    gateway: Gateway, key: str, http: aiohttp.ClientSession
) -> None:
    """Whatever clients got whole, the audit calls answered; and no row stays open."""
    url, headers = f"{gateway.url}/v1/chat/completions", {"Authorization": f"Bearer {key}"}
    answered = "SELECT count(*) FROM ledger.requests WHERE outcome = 'answered'"
    still_open = "SELECT count(*) FROM ledger.requests WHERE completed_at IS NULL"
    before = int(gateway.database.psql(answered, "federation"))
    whole, statuses, ending = 0, set[int](), asyncio.Event()

    async def client(stream: bool) -> None:
        nonlocal whole
        while not ending.is_set():
            try:
                async with http.post(
                    url, json=say("say 3", stream=stream), headers=headers, ssl=gateway.client_tls
                ) as answer:
                    body = await answer.read()
                statuses.add(answer.status)
                complete = b"[DONE]" in body if stream else b"choices" in body
                whole += answer.status == 200 and complete
            except aiohttp.ClientPayloadError:
                continue

    clients = [asyncio.create_task(client(stream)) for stream in (True, False) * 4]

    async def more_whole() -> None:
        wanted = whole + 20

        async def enough() -> bool:
            return whole >= wanted

        await until(enough, 60)

    for _ in range(2):
        await more_whole()
        gateway.database.stop()
        await asyncio.sleep(0.3)
        gateway.database.start()
        await until_ready(gateway, http)
    await more_whole()
    ending.set()
    await asyncio.gather(*clients)
    assert statuses <= {200, 503}
    await gateway.until_shipped()
    assert gateway.database.psql(still_open, "federation") == "0"
    assert int(gateway.database.psql(answered, "federation")) - before == whole


@contextmanager
def hung(server: Server) -> Iterator[None]:
    """The server's processes stand still: connections stay open, and nothing is answered."""
    assert server.process is not None
    parent = str(server.process.pid)
    children = subprocess.run(
        ["pgrep", "-P", parent], capture_output=True, text=True, check=False
    ).stdout.split()
    pids = [int(pid) for pid in (parent, *children)]
    for pid in pids:
        os.kill(pid, signal.SIGSTOP)
    try:
        yield
    finally:
        for pid in pids:
            with suppress(ProcessLookupError):
                os.kill(pid, signal.SIGCONT)


async def test_a_ledger_that_hangs_is_waited_for_no_longer_than_was_said(ledger: Server) -> None:
    """A statement that is cancelled in it is not given up by its library for ten seconds more."""
    async with pool(ledger.settings("gateway"), maximum=1) as connections:
        watched = WatchedLedger(PooledLedger(connections, 1.0), GatewayMetrics([]))
        holder = Holder("gateway/test", "gateway", 60, 60)
        limits = LedgerLimits(connections, holder, watched, 1.0, Pepper.parse(new_pepper_text()))
        assert (await limits.find_many(["nobody"]))[1] == ()
        with hung(ledger):
            begun = time.monotonic()
            with pytest.raises(OutcomeUnknown):
                await limits.find_many(["nobody"])
            waited = time.monotonic() - begun
        assert waited < 5
