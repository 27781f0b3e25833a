"""Engines drained and enabled: by the ledger, on every gateway, over restarts and outages."""

import asyncio
import time
from collections.abc import AsyncIterator
from typing import Any

import aiohttp
import pytest
import pytest_asyncio

from fedctl.engines import Engine as Seen
from fedctl.engines_client import look_at
from ledger import upstreams
from ledger.connect import connect
from ledger.errors import Rejected
from ledger.requests import Outcome
from tests.integration.gateway.conftest import Rows, Starter
from tests.integration.gateway.test_operation import scrape
from tests.support.gateway import Gateway
from tests.support.postgres import Server
from tests.support.upstream import MODEL, Engine


def body(text: str, **more: Any) -> dict[str, Any]:
    return {"model": MODEL, "messages": [{"role": "user", "content": text}], **more}


async def ask(
    gateway: Gateway, http: aiohttp.ClientSession, key: str, text: str
) -> tuple[int, Any]:
    async with http.post(
        f"{gateway.url}/v1/chat/completions",
        json=body(text),
        headers={"Authorization": f"Bearer {key}"},
        ssl=gateway.client_tls,
    ) as answer:
        return answer.status, await answer.json()


async def turn(ledger: Server, name: str, *, drained: bool) -> None:
    async with await connect(ledger.settings("operator")) as connection:
        await upstreams.set_drained(connection, name, drained=drained, reason="disk", actor="ada")


async def seen(gateway: Gateway) -> dict[str, Seen]:
    """What `fedctl upstream list` asks for, with its own client."""
    view = await asyncio.to_thread(
        look_at, gateway.name, "localhost", gateway.metrics_port, gateway.node_tls
    )
    return {engine.name: engine for engine in view.engines}


async def until(gateway: Gateway, name: str, state: str, seconds: float = 30) -> None:
    end = time.monotonic() + seconds
    while (await seen(gateway))[name].state != state:
        assert time.monotonic() < end, (await seen(gateway))[name]
        await asyncio.sleep(0.02)


@pytest.fixture
def both_engines() -> list[Engine]:
    """The engines of `two`."""
    return [Engine(), Engine()]


@pytest_asyncio.fixture(loop_scope="session")
async def two(ledger: Server, both_engines: list[Engine]) -> AsyncIterator[list[dict[str, Any]]]:
    """Two plain engines, and nothing drained before and after."""
    for engine in both_engines:
        await engine.start()
    yield [
        {"name": name, "url": f"http://127.0.0.1:{engine.port}"}
        for name, engine in zip(("one", "two"), both_engines, strict=True)
    ]
    for name, engine in zip(("one", "two"), both_engines, strict=True):
        await turn(ledger, name, drained=False)
        await engine.stop()


async def test_both_gateways_follow_within_a_second_and_what_runs_finishes(
    start: Starter,
    both_engines: list[Engine],
    two: list[dict[str, Any]],
    http: aiohttp.ClientSession,
    ledger: Server,
) -> None:
    # With affinity a prompt's own digest says who is asked; without, the first of equals.
    settings = {"engines": two, "routing": {"affinity_bytes": 0}}
    first, second = await start(**settings), await start(**settings)
    key = await first.key()
    running = asyncio.create_task(ask(first, http, key, "hold 1"))
    await both_engines[0].until_asked(1)
    took = []
    # A busy machine may be late with one of them, and a look at an engine takes its own time.
    while not took or (min(took) >= 1.0 and len(took) < 5):
        await turn(ledger, "one", drained=False)
        await until(second, "one", "healthy")
        began = time.monotonic()
        await turn(ledger, "one", drained=True)
        await asyncio.gather(until(first, "one", "draining"), until(second, "one", "drained"))
        took.append(time.monotonic() - began)
    assert min(took) < 1.0, took
    for gateway in (first, second):
        for _ in range(6):
            assert (await ask(gateway, http, key, "say 1"))[0] == 200
    states = await seen(first)
    assert (states["one"].running, states["one"].drained_by) == (1, "ada")
    both_engines[0].release()
    assert (await running)[0] == 200
    await until(first, "one", "drained")
    await turn(ledger, "one", drained=False)
    await asyncio.gather(until(first, "one", "healthy"), until(second, "one", "healthy"))


async def test_with_its_only_engine_drained_a_model_is_a_clear_503(
    start: Starter, engine: Engine, http: aiohttp.ClientSession, ledger: Server, rows: Rows
) -> None:
    gateway = await start()
    key = await gateway.key()
    assert (await ask(gateway, http, key, "say 1"))[0] == 200
    await turn(ledger, "engine", drained=True)
    try:
        await until(gateway, "engine", "drained")
        status, said = await ask(gateway, http, key, "say 1")
        assert (status, said["error"]["code"]) == (503, "engines_drained")
        counted = "gateway_not_routed_total[('reason', 'engines_drained')]"
        assert (await scrape(gateway, http))[counted] == 1
        async with http.get(f"{gateway.url}/health/ready", ssl=gateway.client_tls) as answer:
            assert answer.status == 503
        async with http.get(f"{gateway.url}/health", ssl=gateway.client_tls) as answer:
            engines = (await answer.json())["components"]["upstreams"]["engines"]
        assert engines == {"engine": "drained"}
    finally:
        await turn(ledger, "engine", drained=False)
    await until(gateway, "engine", "healthy")
    assert len(engine.calls) == 1
    outcomes = [row.outcome.outcome for row in await rows() if row.outcome is not None]
    assert outcomes == [Outcome.REFUSED, Outcome.ANSWERED]


async def test_a_restarted_gateway_sends_a_drained_engine_nothing(
    start: Starter, two: list[dict[str, Any]], http: aiohttp.ClientSession, ledger: Server
) -> None:
    await turn(ledger, "one", drained=True)
    gateway = await start(engines=two)
    key = await gateway.key()
    assert (await seen(gateway))["one"].state == "drained"
    await gateway.stop()
    gateway.port = 0
    gateway._ready.clear()
    await gateway.start()
    assert (await seen(gateway))["one"].state == "drained"
    assert (await ask(gateway, http, key, "say 1"))[0] == 200
    assert (await seen(gateway))["one"].running == 0


async def test_with_postgres_away_what_is_drained_stays_so_and_nothing_new_can_be(
    start: Starter, two: list[dict[str, Any]], http: aiohttp.ClientSession, ledger: Server
) -> None:
    await turn(ledger, "one", drained=True)
    gateway = await start(engines=two)
    key = await gateway.key()
    assert (await ask(gateway, http, key, "say 1"))[0] == 200
    ledger.stop()
    try:
        assert (await ask(gateway, http, key, "say 1"))[0] == 200
        assert (await seen(gateway))["one"].state == "drained"
        restarted = await start(engines=two)
        view = await seen(restarted)
        # Nobody could say who is drained: nothing is sent anywhere until the ledger is back.
        assert {engine.state for engine in view.values()} == {"drained"}
        status, said = await ask(restarted, http, key, "say 1")
        assert (status, said["error"]["code"]) == (503, "ledger_unavailable")
    finally:
        ledger.start()
    await until(restarted, "two", "healthy")
    assert (await seen(restarted))["one"].state == "drained"


async def test_a_failing_engine_says_what_it_did(
    start: Starter, two: list[dict[str, Any]], http: aiohttp.ClientSession, ledger: Server
) -> None:
    gateway = await start(engines=two, routing={"retries": 0, "breaker_failures": 1})
    key = await gateway.key()
    assert (await ask(gateway, http, key, "status 500"))[0] == 502
    one = (await seen(gateway))["one"]
    assert (one.state, one.failed_why) == ("breaker_open", "failed")
    assert (await ask(gateway, http, key, "status 400"))[0] == 400
    assert (await seen(gateway))["two"].failed_why is None


async def test_the_ledger_refuses_names_that_are_none(ledger: Server) -> None:
    for name in ("", "Red Fin", "a" * 80, "x;DROP"):
        with pytest.raises(Rejected):
            await turn(ledger, name, drained=True)


async def test_the_engines_are_for_holders_of_a_certificate_only(
    gateway: Gateway, http: aiohttp.ClientSession
) -> None:
    async with http.get(f"{gateway.url}/upstreams", ssl=gateway.client_tls) as answer:
        assert answer.status == 404
    url = f"https://localhost:{gateway.metrics_port}/upstreams"
    with pytest.raises(aiohttp.ClientError):
        async with http.get(url, ssl=gateway.client_tls) as answer:
            await answer.read()
