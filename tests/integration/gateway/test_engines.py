"""Several engines: retries, queue, breaker, aliases, other paths; and engines that send rubbish."""

import asyncio
import contextlib
import random
import signal
from collections.abc import AsyncIterator
from typing import Any

import aiohttp
import pytest
import pytest_asyncio

from ledger.requests import Outcome
from tests.integration.gateway.conftest import Rows, Starter, upstreams
from tests.support.gateway import Gateway, until
from tests.support.upstream import MODEL, PROMPT_TOKENS, Engine

CHAT = "/v1/chat/completions"


def say(text: str, **more: Any) -> dict[str, Any]:
    return {"model": MODEL, "messages": [{"role": "user", "content": text}], **more}


async def ask(
    gateway: Gateway, http: aiohttp.ClientSession, key: str, body: Any, path: str = CHAT
) -> tuple[int, bytes, Any]:
    async with http.post(
        gateway.url + path,
        json=body,
        headers={"Authorization": f"Bearer {key}"},
        ssl=gateway.client_tls,
    ) as answer:
        return answer.status, await answer.read(), answer.headers


@pytest_asyncio.fixture(loop_scope="session")
async def second() -> AsyncIterator[Engine]:
    """Another engine, in clear on loopback."""
    engine = Engine()
    await engine.start()
    yield engine
    await engine.stop()


def both(engine: Engine, other: Engine, **changes: Any) -> list[dict[str, Any]]:
    plain = {"name": "second", "url": f"http://127.0.0.1:{other.port}", **changes}
    return [{**upstreams(engine)[0], **changes}, plain]


async def test_an_engine_that_fails_is_replaced_by_another(
    start: Starter, engine: Engine, second: Engine, http: aiohttp.ClientSession, rows: Rows
) -> None:
    gateway = await start(engines=both(engine, second, models=[MODEL]))
    key = await gateway.key()
    await second.stop()
    for stream in (False, True) * 4:
        status, _, _ = await ask(gateway, http, key, say("say 1", stream=stream))
        assert status == 200
    assert {row.outcome.outcome for row in await rows() if row.outcome} == {Outcome.ANSWERED}
    assert len(engine.calls) == 8


async def test_every_engine_is_asked_once_and_no_more(
    start: Starter, engine: Engine, second: Engine, http: aiohttp.ClientSession, rows: Rows
) -> None:
    gateway = await start(engines=both(engine, second), routing={"retries": 5})
    status, _, _ = await ask(gateway, http, await gateway.key(), say("status 500"))
    assert status == 502 and (len(engine.calls), len(second.calls)) == (1, 1)
    engine.calls.clear()
    status, _, _ = await ask(gateway, http, await gateway.key(), say("status 400"))
    assert status == 400 and len(engine.calls) + len(second.calls) == 2
    assert len(await rows()) == 2


async def test_who_finds_all_engines_full_waits_or_hears_429(
    start: Starter, engine: Engine, http: aiohttp.ClientSession
) -> None:
    one = [{**upstreams(engine)[0], "max_concurrent": 1}]
    gateway = await start(engines=one, routing={"max_queued": 1, "queue_seconds": 60})
    key = await gateway.key()
    asked = [asyncio.create_task(ask(gateway, http, key, say("hold 1"))) for _ in range(3)]
    # One is at the engine, one waits for that, and one was told to come back: only then go on.
    await asyncio.wait(asked, return_when=asyncio.FIRST_COMPLETED)
    await engine.until_asked(1)
    engine.release()
    await engine.until_asked(2)
    engine.release()
    answers = await asyncio.gather(*asked)
    assert sorted(status for status, _, _ in answers) == [200, 200, 429]
    (full,) = [(body, headers) for status, body, headers in answers if status == 429]
    assert b"engines_busy" in full[0] and full[1]["Retry-After"] == "2"


async def test_a_wait_that_is_too_long_ends(
    start: Starter, engine: Engine, http: aiohttp.ClientSession
) -> None:
    one = [{**upstreams(engine)[0], "max_concurrent": 1}]
    gateway = await start(engines=one, routing={"queue_seconds": 0.3})
    key = await gateway.key()
    hanging = asyncio.create_task(ask(gateway, http, key, say("hang")))
    await engine.until_asked(1)
    assert (await ask(gateway, http, key, say("say 1")))[0] == 429
    hanging.cancel()
    await asyncio.gather(hanging, return_exceptions=True)


async def test_a_breaker_opens_and_closes(
    start: Starter, engine: Engine, http: aiohttp.ClientSession
) -> None:
    routing = {"breaker_failures": 3, "breaker_open_seconds": 3}
    gateway = await start(routing=routing)
    key = await gateway.key()
    for _ in range(5):
        assert (await ask(gateway, http, key, say("status 500")))[0] == 502
    assert len(engine.calls) == 3

    async def closed() -> bool:
        return (await ask(gateway, http, key, say("say 1")))[0] == 200

    await until(closed)
    assert (await ask(gateway, http, key, say("say 1")))[0] == 200
    assert (await ask(gateway, http, key, say("say 1")))[0] == 200


@pytest.mark.parametrize("asked", [True, False])
async def test_usage_is_known_here_and_told_to_those_who_asked(
    gateway: Gateway, http: aiohttp.ClientSession, rows: Rows, asked: bool
) -> None:
    more = {"stream_options": {"include_usage": True}} if asked else {}
    body = say("say 3", stream=True, **more)
    _, received, _ = await ask(gateway, http, await gateway.key(), body)
    assert (b'"usage"' in received) is asked and received.endswith(b"data: [DONE]\n\n")
    (row,) = await rows()
    assert row.outcome is not None
    assert (row.outcome.prompt_tokens, row.outcome.completion_tokens) == (PROMPT_TOKENS, 3)


@pytest.mark.parametrize(
    ("path", "body", "tokens"),
    [
        ("/v1/completions", {"prompt": "x"}, (None, None)),
        ("/v1/embeddings", {"input": "x"}, (3, None)),
        ("/v1/responses", {"input": "x", "stream": True}, (5, 2)),
        ("/v1/messages", {"messages": [], "max_tokens": 3, "stream": True}, (5, 2)),
        ("/tokenize", {"prompt": "x"}, (None, None)),
    ],
)
async def test_every_path_of_the_interface_is_relayed(
    gateway: Gateway,
    http: aiohttp.ClientSession,
    rows: Rows,
    path: str,
    body: dict[str, Any],
    tokens: tuple[int | None, int | None],
) -> None:
    key = await gateway.key(scopes=["inference", "tokenize"])
    status, received, _ = await ask(gateway, http, key, {"model": MODEL, **body}, path)
    assert status == 200 and received
    (row,) = await rows()
    assert row.outcome is not None and row.outcome.outcome is Outcome.ANSWERED
    assert (row.outcome.prompt_tokens, row.outcome.completion_tokens) == tokens


async def test_tokenize_wants_a_scope_of_its_own(
    gateway: Gateway, http: aiohttp.ClientSession
) -> None:
    body = {"model": MODEL, "prompt": "x"}
    status, said, _ = await ask(gateway, http, await gateway.key(), body, "/tokenize")
    assert status == 403 and b"missing_scope" in said


async def test_settings_are_taken_anew_without_a_restart(
    start: Starter, engine: Engine, http: aiohttp.ClientSession
) -> None:
    gateway = await start()
    key, file = await gateway.key(), gateway.config
    assert (await ask(gateway, http, key, {**say("say 1"), "model": "gpt"}))[0] == 404
    # The shipper reads the same file as it starts, and must have before it is made wrong.
    await gateway.until_shipped()
    before = file.read_text()
    file.write_text(
        before + f'\n[aliases]\ngpt = "{MODEL}"\n'
        if "[aliases]" not in before
        else before.replace("[aliases]\n", f'[aliases]\ngpt = "{MODEL}"\n')
    )
    assert gateway.process is not None
    gateway.process.send_signal(signal.SIGHUP)
    await gateway.until_said("reloaded")
    assert (await ask(gateway, http, key, {**say("say 1"), "model": "gpt"}))[0] == 200
    assert engine.calls[-1].body["model"] == MODEL
    file.write_text("nonsense = 1\n")
    gateway.process.send_signal(signal.SIGHUP)
    await gateway.until_said("reload refused")
    assert (await ask(gateway, http, key, {**say("say 1"), "model": "gpt"}))[0] == 200


ANSWER = (
    b'HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: 13\r\n\r\n{"object": 1}'
)
RUBBISH = [
    b"",
    b"\x00" * 100,
    b"HTTP/1.1 200 OK\r\n",
    b"HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\n{}",
    b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\nTransfer-Encoding: chunked\r\n\r\n{}",
    b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\nContent-Length: 3\r\n\r\n{}",
    b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n",
    b"HTTP/1.1 200 OK\r\nA: " + b"x" * 100_000 + b"\r\n\r\n",
    b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: x\r\nConnection: upgrade\r\n\r\n",
    b"HTTP/1.1 302 Found\r\nLocation: http://10.0.0.1/\r\nContent-Length: 0\r\n\r\n",
    b"HTTP/1.1 200 OK\r\nContent-Encoding: gzip\r\nContent-Length: 2\r\n\r\n{}",
    b"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 500 X\r\nContent-Length: 0\r\n\r\n",
]


async def test_an_engine_that_sends_rubbish_is_a_clear_502(
    start: Starter, http: aiohttp.ClientSession
) -> None:
    chance = random.Random(7)  # noqa: S311
    mutated = []
    for _ in range(60):
        bad = bytearray(ANSWER)
        for _ in range(chance.randrange(1, 9)):
            bad[chance.randrange(len(bad))] = chance.randrange(256)
        mutated.append(bytes(bad))
    current = b""

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        writer.write(current)
        await writer.drain()
        writer.close()

    server = await asyncio.start_server(serve, "127.0.0.1", 0)
    port = server.sockets[0].getsockname()[1]
    one = [{"name": "bad", "url": f"http://127.0.0.1:{port}", "models": [MODEL]}]
    gateway = await start(
        engines=one, routing={"breaker_failures": 1000}, timeouts={"upstream_total_seconds": 3}
    )
    key = await gateway.key()
    for current in (*RUBBISH, *mutated):
        for stream in (False, True):
            status, body, _ = await ask_bluntly(gateway, http, key, say("x", stream=stream))
            assert status in (200, 400, 404, 502, 503, 504), current
            assert current not in RUBBISH or status == 502, current
            assert b"Traceback" not in body and b"10.0.0.1" not in body
            assert not (stream and body.endswith(b"[DONE]\n\n"))
    assert not gateway.said("fault")
    server.close()


async def ask_bluntly(
    gateway: Gateway, http: aiohttp.ClientSession, key: str, body: Any
) -> tuple[int, bytes, Any]:
    """An answer that breaks off counts as what came of it."""
    try:
        return await ask(gateway, http, key, body)
    except aiohttp.ClientPayloadError:
        return 200, b"", None


async def test_bytes_after_an_answer_are_never_the_next_ones(
    start: Starter, http: aiohttp.ClientSession
) -> None:
    """An engine that answers twice (or is made to) must not answer somebody else's request.

    What it says twice comes while nobody asks: had the next request been sent on this connection
    already, HTTP/1.1 could not tell its answer from this one. So looks at its health answer once.
    """
    dropped = asyncio.Event()

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        asked = False
        with contextlib.suppress(asyncio.IncompleteReadError, ConnectionError):
            while True:
                head = await reader.readuntil(b"\r\n\r\n")
                length = head.lower().partition(b"content-length: ")[2].split(b"\r\n")[0]
                await reader.readexactly(int(length or b"0"))
                writer.write(ANSWER)
                await writer.drain()
                if head.startswith(b"POST"):
                    asked = True
                    await asyncio.sleep(0.05)
                    writer.write(ANSWER.replace(b"object", b"stolen"))
        writer.close()
        if asked:
            dropped.set()

    server = await asyncio.start_server(serve, "127.0.0.1", 0)
    port = server.sockets[0].getsockname()[1]
    one = [{"name": "twice", "url": f"http://127.0.0.1:{port}", "models": [MODEL]}]
    gateway = await start(engines=one)
    key = await gateway.key()
    for _ in range(5):
        status, body, _ = await ask(gateway, http, key, say("x"))
        assert status == 200 and b"stolen" not in body
        async with asyncio.timeout(30):
            await dropped.wait()
        dropped.clear()
    server.close()
