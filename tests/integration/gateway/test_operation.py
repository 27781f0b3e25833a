"""Metrics, health, systemd's notifications, and stopping without breaking a stream."""

import asyncio
import signal
import socket
import ssl
from contextlib import suppress
from pathlib import Path
from typing import Any

import aiohttp
import pytest
from prometheus_client.parser import text_string_to_metric_families

from gateway.metrics.labels import ROUTES
from ledger.requests import Outcome, RequestRecord
from tests.integration.gateway.conftest import Rows, Starter
from tests.support.gateway import Gateway, until
from tests.support.upstream import MODEL, PROMPT_TOKENS, Engine


def say(text: str, **more: Any) -> dict[str, Any]:
    return {"model": MODEL, "messages": [{"role": "user", "content": text}], **more}


async def scrape(gateway: Gateway, http: aiohttp.ClientSession) -> dict[str, float]:
    url = f"https://localhost:{gateway.metrics_port}/metrics"
    close = {"Connection": "close"}  # whoever counts connections should not leave any
    async with http.get(url, ssl=gateway.node_tls, headers=close) as answer:
        assert answer.status == 200
        text = await answer.text()
    return {
        f"{s.name}{sorted(s.labels.items())}": s.value
        for family in text_string_to_metric_families(text)
        for s in family.samples
    }


async def test_metrics_want_a_certificate_of_the_federation(
    gateway: Gateway, http: aiohttp.ClientSession
) -> None:
    url = f"https://localhost:{gateway.metrics_port}/metrics"
    with pytest.raises((aiohttp.ClientError, ssl.SSLError)):
        async with http.get(url, ssl=gateway.client_tls) as answer:
            await answer.read()


async def test_metrics_count_what_happened_and_all_series_exist_before(
    start: Starter, http: aiohttp.ClientSession
) -> None:
    gateway = await start()
    before = await scrape(gateway, http)
    for route in ROUTES:
        assert before[f"gateway_requests_total[('route', '{route}'), ('status', '502')]"] == 0
    duration = "gateway_request_duration_seconds_bucket[('le', '10.0'), ('route', 'models')]"
    assert before[duration] == 0
    headers = {"Authorization": f"Bearer {await gateway.key()}"}
    url = f"{gateway.url}/v1/chat/completions"
    for body in (say("say 2"), say("say 2", stream=True), say("status 500")):
        async with http.post(url, json=body, headers=headers, ssl=gateway.client_tls) as answer:
            await answer.read()
    async with http.post(url, json=say("say 1"), ssl=gateway.client_tls) as answer:
        assert answer.status == 401
    after = await scrape(gateway, http)
    route = "('route', 'chat_completions')"
    assert after[f"gateway_requests_total[{route}, ('status', '200')]"] == 2
    assert after[f"gateway_requests_total[{route}, ('status', '401')]"] == 1
    assert after[f"gateway_requests_total[{route}, ('status', '502')]"] == 1
    tokens = "gateway_tokens_total[('kind', '{}'), ('upstream', 'engine')]"
    assert after[tokens.format("prompt")] == 2 * PROMPT_TOKENS
    assert after[tokens.format("completion")] == 4
    assert after["gateway_time_to_first_token_seconds_count[]"] == 1
    own_ms = after["gateway_overhead_seconds_sum[]"] * 1000
    assert own_ms % 1 > 1e-6, "the loop's clock counts whole milliseconds, and most requests fewer"
    refused = "gateway_auth_failures_total[('reason', 'missing'), ('source', 'loopback')]"
    assert after[refused] == 1
    failed = "gateway_upstream_errors_total[('reason', 'failed'), ('upstream', 'engine')]"
    assert after[failed] == 1
    assert after[f"gateway_requests_in_flight[{route}]"] == 0
    born = {name for name in after if name not in before and "_created" not in name}
    assert born == set()


async def test_systemd_hears_ready_watchdog_and_stopping(start: Starter, tmp_path: Path) -> None:
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as systemd:
        systemd.bind(str(tmp_path / "notify"))
        systemd.setblocking(False)
        heard: list[str] = []

        async def alive() -> bool:
            with suppress(BlockingIOError):
                while True:
                    heard.append(systemd.recv(4096).decode())
            return heard.count("WATCHDOG=1") >= 3

        gateway = await start(notify=systemd)
        await until(alive)
        assert await gateway.stop() == 0
        await alive()
    # The watchdog may be first by a breath: it starts with the loop.
    assert any(message.startswith("READY=1") for message in heard)
    assert heard[-1].startswith(("STOPPING=1", "WATCHDOG=1"))
    assert any(message.startswith("STOPPING=1") for message in heard)


async def left_to_ship(gateway: Gateway, rows: Rows) -> RequestRecord:
    """The last request. A gateway that stops gives its shipper a second; on a busy machine the
    next run ships what is left."""
    if not await rows():
        gateway.port, gateway._ready = 0, asyncio.Event()
        await gateway.start()
    return (await rows())[0]


async def test_a_stream_under_way_finishes_while_the_gateway_stops(
    start: Starter, engine: Engine, http: aiohttp.ClientSession, rows: Rows
) -> None:
    gateway = await start()
    async with http.post(
        f"{gateway.url}/v1/chat/completions",
        json=say("hold 15", stream=True),
        headers={"Authorization": f"Bearer {await gateway.key()}"},
        ssl=gateway.client_tls,
    ) as answer:
        received = await answer.content.readany()
        stopping = asyncio.create_task(gateway.stop())

        async def nobody_new_is_taken() -> bool:
            close = {"Connection": "close"}
            url = f"{gateway.url}/health/live"
            try:
                async with http.get(url, ssl=gateway.client_tls, headers=close):
                    return False
            except aiohttp.ClientConnectorError:
                return True

        await until(nobody_new_is_taken)
        assert (await scrape(gateway, http))["gateway_draining[]"] == 1
        engine.release()
        received += await answer.content.read()
    assert received.endswith(b"data: [DONE]\n\n") and received.count(b"word") == 15
    assert await stopping == 0
    assert (await left_to_ship(gateway, rows)).outcome is not None


async def test_a_stream_that_outlasts_the_drain_is_cut_and_recorded(
    start: Starter, http: aiohttp.ClientSession, rows: Rows
) -> None:
    gateway = await start(timeouts={"drain_seconds": 1})
    received, broke = b"", False
    async with http.post(
        f"{gateway.url}/v1/chat/completions",
        json=say("pause 0.2 100", stream=True),
        headers={"Authorization": f"Bearer {await gateway.key()}"},
        ssl=gateway.client_tls,
    ) as answer:
        received = await answer.content.readany()
        stopping = asyncio.create_task(gateway.stop())
        try:
            while part := await answer.content.readany():
                received += part
        except aiohttp.ClientError:
            broke = True
    assert broke and b"gateway_stopping" in received and b"[DONE]" not in received
    assert await stopping == 0
    outcome = (await left_to_ship(gateway, rows)).outcome
    assert outcome is not None and (outcome.outcome, outcome.status) == (Outcome.REFUSED, 200)


async def test_an_interrupt_is_a_drain_too(start: Starter) -> None:
    gateway = await start()
    assert await gateway.stop(signal.SIGINT) == 0


async def test_a_wrong_configuration_is_said_in_one_line(tmp_path: Path) -> None:
    (tmp_path / "gateway.toml").write_text('node = "x"\nprot = 1\n')
    import sys

    process = await asyncio.create_subprocess_exec(
        sys.executable,
        "-m",
        "gateway",
        "--config",
        str(tmp_path / "gateway.toml"),
        stderr=asyncio.subprocess.PIPE,
    )
    _, said = await process.communicate()
    assert process.returncode == 78
    assert b"prot = 1" in said and b"Traceback" not in said


async def test_one_hung_engine_delays_nobody_else(
    start: Starter, engine: Engine, http: aiohttp.ClientSession
) -> None:
    gateway = await start()
    headers = {"Authorization": f"Bearer {await gateway.key()}"}
    url = f"{gateway.url}/v1/chat/completions"

    async def ask(text: str, **more: Any) -> int:
        async with http.post(
            url, json=say(text, **more), headers=headers, ssl=gateway.client_tls
        ) as answer:
            await answer.read()
            return answer.status

    hanging = [asyncio.create_task(ask("hang 0", stream=True)) for _ in range(20)]
    await engine.until_asked(20)
    async with asyncio.timeout(30):
        assert await asyncio.gather(*(ask("say 1") for _ in range(10))) == [200] * 10
    for task in hanging:
        task.cancel()
    await asyncio.gather(*hanging, return_exceptions=True)
