"""Chat completions through the whole gateway, with the official client and with a plain one."""

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import openai
import pytest
import pytest_asyncio

from ledger.requests import Outcome
from tests.integration.gateway.conftest import Rows, upstreams
from tests.support.gateway import Gateway, until
from tests.support.postgres import Server
from tests.support.upstream import MODEL, PROMPT_TOKENS, Engine


def client(gateway: Gateway, key: str) -> openai.AsyncOpenAI:
    http = openai.DefaultAsyncHttpxClient(verify=gateway.client_tls)
    return openai.AsyncOpenAI(
        base_url=f"{gateway.url}/v1", api_key=key, http_client=http, max_retries=0
    )


def say(text: str, **more: Any) -> dict[str, Any]:
    return {"model": MODEL, "messages": [{"role": "user", "content": text}], **more}


async def test_the_official_client_gets_a_whole_answer(
    gateway: Gateway, engine: Engine, rows: Rows
) -> None:
    async with client(gateway, await gateway.key()) as ai:
        answer = await ai.chat.completions.create(**say("say 3"))
    assert answer.choices[0].message.content == "word word word "
    (row,) = await rows()
    assert row.intent.model == MODEL and not row.intent.stream
    assert row.outcome is not None
    assert (row.outcome.outcome, row.outcome.status) == (Outcome.ANSWERED, 200)
    assert (row.outcome.prompt_tokens, row.outcome.completion_tokens) == (PROMPT_TOKENS, 3)
    assert "authorization" not in engine.calls[0].headers


async def test_the_official_client_streams(gateway: Gateway, rows: Rows) -> None:
    async with client(gateway, await gateway.key()) as ai:
        stream = await ai.chat.completions.create(**say("say 4", stream=True))
        words = [c.choices[0].delta.content async for c in stream if c.choices]
    assert words == ["word0 ", "word1 ", "word2 ", "word3 "]
    (row,) = await rows()
    assert row.intent.stream and row.outcome is not None
    assert row.outcome.outcome is Outcome.ANSWERED
    assert row.outcome.completion_tokens == 4
    assert row.outcome.first_byte_ms is not None


async def test_a_stream_in_single_bytes_arrives_whole(gateway: Gateway) -> None:
    async with client(gateway, await gateway.key()) as ai:
        stream = await ai.chat.completions.create(**say("split 2", stream=True))
        assert len([c async for c in stream if c.choices]) == 2


async def test_models_are_what_engines_list_and_nothing_of_their_disks(gateway: Gateway) -> None:
    async with client(gateway, await gateway.key()) as ai:
        (model,) = (await ai.models.list()).data
    assert model.id == MODEL
    assert "secret" not in model.model_dump_json()


async def test_the_body_is_relayed_byte_for_byte(
    gateway: Gateway, engine: Engine, http: Any
) -> None:
    raw = b'{ "model":"tiny",\n "messages":[{"role":"user","content":"say 1"}], "x_new": 1e2 }'
    headers = {"Authorization": f"Bearer {await gateway.key()}", "Content-Type": "application/json"}
    sent = {**headers, "X-Request-Id": "abc-1", "traceparent": f"00-{'a' * 32}-{'b' * 16}-01"}
    async with http.post(
        f"{gateway.url}/v1/chat/completions", data=raw, headers=sent, ssl=gateway.client_tls
    ) as answer:
        assert answer.status == 200
        assert answer.headers["X-Request-Id"] == "abc-1"
        assert "Server" not in answer.headers
    (call,) = engine.calls
    assert call.raw == raw
    assert call.headers["x-request-id"] == "abc-1"
    assert call.headers["traceparent"] == sent["traceparent"]


# These engines fail on purpose, one test after another.
FORGIVING = {"routing": {"breaker_failures": 1000}}
# Long enough for an engine that does answer, however busy the machine.
IMPATIENT = {
    "upstream_first_byte_seconds": 1.5,
    "upstream_between_bytes_seconds": 1.5,
    "upstream_total_seconds": 3.0,
}


@pytest_asyncio.fixture(scope="module", loop_scope="session")
async def forgiving(folder: Path, ledger: Server, running_engine: Engine) -> AsyncIterator[Gateway]:
    """A gateway that asks an engine again whatever it did, and bounds its events."""
    changes = {"limits": {"max_event_bytes": 100_000}, **FORGIVING}
    gateway = Gateway(folder, ledger, upstreams(running_engine), changes)
    await gateway.start()
    yield gateway
    await gateway.stop()


@pytest_asyncio.fixture(scope="module", loop_scope="session")
async def impatient(folder: Path, ledger: Server, running_engine: Engine) -> AsyncIterator[Gateway]:
    """The same, and it waits for engines a moment only."""
    changes = {"timeouts": IMPATIENT, **FORGIVING}
    gateway = Gateway(folder, ledger, upstreams(running_engine), changes)
    await gateway.start()
    yield gateway
    await gateway.stop()


@pytest.mark.parametrize("stream", [False, True])
@pytest.mark.parametrize(
    ("script", "status", "outcome"),
    [
        ("status 400", 400, Outcome.UPSTREAM_FAILED),
        ("status 404", 404, Outcome.UPSTREAM_FAILED),
        ("status 401", 502, Outcome.UPSTREAM_FAILED),
        ("status 500", 502, Outcome.UPSTREAM_FAILED),
        ("status 503", 503, Outcome.UPSTREAM_FAILED),
        ("garbage", 502, Outcome.UPSTREAM_FAILED),
        ("die 0", 502, Outcome.UPSTREAM_FAILED),
        ("hang 0", 504, Outcome.TIMED_OUT),
    ],
)
async def test_an_engine_that_fails_before_answering_is_a_clear_status(
    forgiving: Gateway,
    impatient: Gateway,
    rows: Rows,
    script: str,
    status: int,
    outcome: Outcome,
    stream: bool,
) -> None:
    gateway = impatient if script.startswith("hang") else forgiving
    async with client(gateway, await gateway.key()) as ai:
        with pytest.raises(openai.APIStatusError) as caught:
            await ai.chat.completions.create(**say(script, stream=stream))
    assert caught.value.status_code == status
    assert set(caught.value.response.json()["error"]) >= {"message", "type", "code"}
    assert str(gateway.port) not in caught.value.response.text
    (row,) = await rows()
    assert row.outcome is not None
    assert (row.outcome.outcome, row.outcome.status) == (outcome, status)


@pytest.mark.parametrize(
    ("script", "outcome", "reason"),
    [
        ("die 3", Outcome.UPSTREAM_FAILED, None),
        ("no-done 3", Outcome.UPSTREAM_FAILED, "no_done"),
        ("hang 3", Outcome.TIMED_OUT, "timeout"),
    ],
)
async def test_a_stream_that_breaks_never_looks_complete(
    forgiving: Gateway,
    impatient: Gateway,
    rows: Rows,
    http: Any,
    script: str,
    outcome: Outcome,
    reason: str | None,
) -> None:
    gateway = impatient if script.startswith("hang") else forgiving
    gateway.lines.clear()
    headers = {"Authorization": f"Bearer {await gateway.key()}"}
    received = b""
    with pytest.raises(Exception, match=r"[Pp]ayload|closed|disconnect"):
        async with http.post(
            f"{gateway.url}/v1/chat/completions",
            json=say(script, stream=True),
            headers=headers,
            ssl=gateway.client_tls,
        ) as answer:
            assert answer.status == 200
            while part := await answer.content.readany():
                received += part
    assert received.count(b"word") == 3
    assert b'"error"' in received and b"[DONE]" not in received
    (row,) = await rows()
    assert row.outcome is not None
    assert (row.outcome.outcome, row.outcome.status) == (outcome, 200)
    if reason:
        (line,) = await gateway.until_said("upstream error")
        assert line["reason"] == reason


async def test_the_official_client_raises_for_a_broken_stream(gateway: Gateway) -> None:
    async with client(gateway, await gateway.key()) as ai:
        stream = await ai.chat.completions.create(**say("die 2", stream=True))
        with pytest.raises(openai.APIError):
            async for _ in stream:
                pass


async def test_an_error_inside_a_stream_is_no_clean_end(
    gateway: Gateway, http: Any, rows: Rows
) -> None:
    received, headers = b"", {"Authorization": f"Bearer {await gateway.key()}"}
    with pytest.raises(Exception, match=r"[Pp]ayload|closed|disconnect"):
        async with http.post(
            f"{gateway.url}/v1/chat/completions",
            json=say("error 2", stream=True),
            headers=headers,
            ssl=gateway.client_tls,
        ) as answer:
            while part := await answer.content.readany():
                received += part
    assert b"engine fault" in received and b"[DONE]" not in received


async def test_an_error_inside_a_stream_is_a_failure(gateway: Gateway, rows: Rows) -> None:
    async with client(gateway, await gateway.key()) as ai:
        stream = await ai.chat.completions.create(**say("error 2", stream=True))
        with pytest.raises(openai.APIError):
            async for _ in stream:
                pass
    (row,) = await rows()
    assert row.outcome is not None and row.outcome.outcome is Outcome.UPSTREAM_FAILED


async def test_an_endless_event_is_cut(forgiving: Gateway, rows: Rows) -> None:
    async with client(forgiving, await forgiving.key()) as ai:
        with pytest.raises(openai.APIStatusError, match="too large"):
            await ai.chat.completions.create(**say("huge", stream=True))
    (row,) = await rows()
    assert row.outcome is not None and row.outcome.status == 502


@pytest.mark.parametrize(("stream", "script"), [(True, "pause 0.1 1000"), (False, "hang")])
async def test_a_client_that_leaves_cancels_the_engine_at_once(
    gateway: Gateway, engine: Engine, rows: Rows, http: Any, stream: bool, script: str
) -> None:
    headers = {"Authorization": f"Bearer {await gateway.key()}"}
    request = asyncio.create_task(
        http.post(
            f"{gateway.url}/v1/chat/completions",
            json=say(script, stream=stream),
            headers=headers,
            ssl=gateway.client_tls,
        )
    )

    async def cut() -> bool:
        return engine.calls[0].state == "cut"

    async def recorded() -> bool:
        (row,) = await rows()
        return row.outcome is not None and row.outcome.outcome is Outcome.CLIENT_GONE

    await engine.until_asked(1)
    if stream:
        (await request).close()
    request.cancel()
    await until(cut)
    await until(recorded)


async def test_a_dead_engine_is_502_and_comes_back(gateway: Gateway, engine: Engine) -> None:
    key = await gateway.key()
    await engine.stop()
    async with client(gateway, key) as ai:
        with pytest.raises(openai.InternalServerError) as caught:
            await ai.chat.completions.create(**say("say 1"))
        assert caught.value.status_code == 502
        await engine.start()
        answer = await ai.chat.completions.create(**say("say 1"))
    assert answer.choices[0].message.content == "word "
