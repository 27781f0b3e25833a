"""Spans at a real collector: whose they are, what they say, and what happens when it is away."""

import asyncio
import json
import time
from collections.abc import Iterator
from typing import Any

import aiohttp
import pytest

from gateway.metrics.labels import SPAN_DROPS
from gateway.span_export import EXPORT_SECONDS
from tests.integration.gateway.conftest import Rows, Starter
from tests.integration.gateway.test_operation import say, scrape
from tests.support.collector import Collector, Span
from tests.support.gateway import Gateway
from tests.support.upstream import MODEL, PROMPT_TOKENS, Engine

TRACE, CLIENTS_SPAN = "4bf92f3577b34da6a3ce929d0e0e4736", "00f067aa0ba902b7"
PARENT = f"00-{TRACE}-{CLIENTS_SPAN}-01"
SERVER, CLIENT, ERROR = 2, 3, 2


@pytest.fixture
def collector() -> Iterator[Collector]:
    collector = Collector()
    collector.start()
    yield collector
    collector.stop()


async def ask(
    gateway: Gateway, http: aiohttp.ClientSession, key: str, text: str, **more: Any
) -> tuple[int, bytes]:
    headers = {"Authorization": f"Bearer {key}", **more.pop("headers", {})}
    async with http.post(
        f"{gateway.url}/v1/chat/completions",
        json=say(text, **more),
        headers=headers,
        ssl=gateway.client_tls,
    ) as answer:
        try:
            return answer.status, await answer.read()
        except aiohttp.ClientPayloadError:
            return answer.status, b""


async def spans(collector: Collector, count: int) -> list[Span]:
    return await asyncio.to_thread(collector.until, count)


async def test_a_request_is_traced_from_its_client_to_its_engine(
    start: Starter, engine: Engine, http: aiohttp.ClientSession, collector: Collector, rows: Rows
) -> None:
    gateway = await start(tracing={"endpoint": collector.endpoint}, aliases={"nick": MODEL})
    key = await gateway.key()
    headers = {"traceparent": PARENT, "X-Request-Id": "mine"}
    for stream in (False, True):
        more = {"stream": stream, "model": "nick", "max_tokens": 9}
        assert (await ask(gateway, http, key, "say 4", headers=headers, **more))[0] == 200
    found = await spans(collector, 4)
    for request, attempt, call in zip(found[::2], found[1::2], engine.calls, strict=True):
        assert (request.kind, request.trace_id, request.parent_id) == (SERVER, TRACE, CLIENTS_SPAN)
        assert (attempt.kind, attempt.trace_id, attempt.parent_id) == (
            CLIENT,
            TRACE,
            request.span_id,
        )
        assert call.headers["traceparent"] == f"00-{TRACE}-{attempt.span_id}-01"
        assert request.name == "POST /v1/chat/completions" and attempt.name == f"chat {MODEL}"
        said = request.attributes
        assert said["gen_ai.usage.input_tokens"] == PROMPT_TOKENS
        assert said["gen_ai.usage.output_tokens"] == 4
        assert (said["gen_ai.request.model"], said["http.response.status_code"]) == ("nick", 200)
        assert said["federation.request.id"] == "mine" and "error.type" not in said
        assert attempt.attributes["gen_ai.request.model"] == MODEL
        assert attempt.attributes["gen_ai.request.max_tokens"] == 9
        assert attempt.attributes["federation.upstream"] == "engine"
        assert request.resource["service.name"] == "federation-gateway"
        assert 0 < attempt.seconds <= request.seconds < 10
    assert [s.attributes["federation.stream"] for s in found[::2]] == [False, True]
    assert len(await rows()) == 2
    asked = "SELECT string_agg(DISTINCT trace_id, ' ') FROM ledger.requests WHERE trace_id > ''"
    assert gateway.database.psql(asked, "federation") == TRACE
    lines = await gateway.until_said("request", 2)
    assert {(line["request_id"], line["trace_id"]) for line in lines} == {("mine", TRACE)}


async def test_without_a_clients_trace_one_is_begun_and_failures_have_their_type(
    start: Starter, engine: Engine, http: aiohttp.ClientSession, collector: Collector
) -> None:
    gateway = await start(tracing={"endpoint": collector.endpoint})
    key = await gateway.key()
    assert (await ask(gateway, http, key, "status 500"))[0] == 502
    refused, attempt = await spans(collector, 2)
    assert (refused.parent_id, refused.status, attempt.status) == ("", ERROR, ERROR)
    assert refused.attributes["error.type"] == "upstream_failed"
    assert (attempt.attributes["error.type"], attempt.attributes["http.response.status_code"]) == (
        "failed",
        500,
    )
    assert engine.calls[-1].headers["traceparent"][3:35] == refused.trace_id
    [line] = await gateway.until_said("upstream error")
    assert line["trace_id"] == refused.trace_id and line["request_id"]
    await ask(gateway, http, key, "die 2", stream=True)
    broken, _ = (await spans(collector, 4))[2:]
    assert broken.attributes["http.response.status_code"] == 200 and broken.status == ERROR
    assert (await ask(gateway, http, "wrong", "say 1"))[0] == 401
    nobody = (await spans(collector, 5))[4]
    assert nobody.attributes["error.type"] == "invalid_api_key"
    assert "gen_ai.request.model" not in nobody.attributes


async def test_no_prompt_no_answer_no_key_and_no_address_is_in_a_span(
    start: Starter, http: aiohttp.ClientSession, collector: Collector
) -> None:
    gateway = await start(tracing={"endpoint": collector.endpoint})
    key = await gateway.key()
    for text, more in (("say 1 secret", {}), ("die 1", {"stream": True}), ("status 400", {})):
        await ask(gateway, http, key, text, user="secret-user", **more)
    await ask(gateway, http, key, "say 1", model="secret-model")
    await spans(collector, 7)
    said = b"".join(collector.raw)
    for hidden in (b"secret", key.encode(), key.split("_")[1].encode(), b"word", b"localhost"):
        assert hidden not in said, hidden
    logged = "\n".join(gateway.lines)
    assert "secret" not in logged and key not in logged
    assert all(isinstance(json.loads(line), dict) for line in gateway.lines)


async def test_the_ratio_none_and_health_checks_are_not_traced(
    start: Starter, engine: Engine, http: aiohttp.ClientSession, collector: Collector
) -> None:
    gateway = await start(tracing={"endpoint": collector.endpoint, "sample_ratio": 0.0})
    key = await gateway.key()
    assert (await ask(gateway, http, key, "say 1", headers={"traceparent": PARENT}))[0] == 200
    assert engine.calls[-1].headers["traceparent"] == PARENT
    other = await start(tracing={"endpoint": collector.endpoint})
    async with http.get(f"{other.url}/health/live", ssl=other.client_tls) as answer:
        assert answer.status == 200
    async with http.get(f"{other.url}/nothing", ssl=other.client_tls) as answer:
        assert answer.status == 404
    await gateway.stop()
    await other.stop()
    assert collector.spans == []


async def test_a_collector_that_is_away_costs_no_request_and_is_counted(
    start: Starter, http: aiohttp.ClientSession, collector: Collector
) -> None:
    collector.stop()
    gateway = await start(tracing={"endpoint": collector.endpoint, "max_queued": 5})
    key = await gateway.key()
    reasons = [f"gateway_spans_dropped_total[('reason', '{r}')]" for r in SPAN_DROPS]
    async with asyncio.timeout(90):
        while not all([(await scrape(gateway, http))[reason] for reason in reasons]):
            for _ in range(10):
                asked = time.monotonic()
                assert (await ask(gateway, http, key, "say 1"))[0] == 200
                # Less than the exporter itself waits for a collector.
                assert time.monotonic() - asked < EXPORT_SECONDS
    assert len(await gateway.until_said("collector takes no spans")) == 1
    collector.start()
    await ask(gateway, http, key, "say 1")
    await spans(collector, 2)
    assert await gateway.stop() == 0


async def test_what_waits_is_sent_when_the_gateway_stops(
    start: Starter, http: aiohttp.ClientSession, collector: Collector
) -> None:
    gateway = await start(tracing={"endpoint": collector.endpoint})
    assert (await ask(gateway, http, await gateway.key(), "say 1"))[0] == 200
    assert await gateway.stop() == 0
    assert len(collector.spans) == 2
