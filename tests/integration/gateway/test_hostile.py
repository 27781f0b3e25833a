"""Input that nobody honest sends. Nothing may hang, leak or answer 5xx."""

import asyncio
import contextlib
import random
import ssl
from typing import Any

import aiohttp
import orjson
import pytest

from tests.integration.gateway.conftest import Starter
from tests.integration.gateway.test_operation import scrape
from tests.support.gateway import Gateway, until
from tests.support.upstream import MODEL, Engine

CHAT = "/v1/chat/completions"


async def raw(gateway: Gateway, payload: bytes, *, seconds: float = 30.0) -> bytes:
    """Send bytes as they are; everything that comes back until the gateway closes."""
    reader, writer = await asyncio.open_connection(
        "localhost", gateway.port, ssl=gateway.client_tls
    )
    try:
        writer.write(payload)
        await writer.drain()
        async with asyncio.timeout(seconds):
            return await reader.read()
    except (ConnectionError, ssl.SSLError):
        return b""
    finally:
        writer.close()


def head(key: str, *lines: str) -> bytes:
    fixed = (f"POST {CHAT} HTTP/1.1", "Host: x", f"Authorization: Bearer {key}")
    return "\r\n".join([*fixed, *lines, "", ""]).encode("latin-1")


MESSAGES = [{"role": "user", "content": "say 1"}]


@pytest.mark.parametrize(
    ("body", "code"),
    [
        (b"", "invalid_json"),
        (b"not json", "invalid_json"),
        (b'{"model": "tiny"', "invalid_json"),
        (b"[1, 2]", "invalid_json"),
        (b'"tiny"', "invalid_json"),
        (b'{"model": "ti\xff\xfeny"}', "invalid_json"),
        (b'{"model": "\\ud800"}', "invalid_json"),
        (b"[" * 100_000, "invalid_json"),
        (b'{"model":"tiny","x":' + b'{"a":' * 50_000, "invalid_json"),
        (b'{"messages": []}', None),
        (b'{"model": null}', None),
        (b'{"model": 7}', "invalid_type"),
        (b'{"model": ["tiny"]}', "invalid_type"),
        (b'{"model": ""}', "invalid_type"),
        (orjson.dumps({"model": "x" * 5000}), "invalid_type"),
        (b'{"model": "tiny\\u0000"}', None),
        (b'{"model": "tiny", "stream": "yes"}', "invalid_type"),
        (b'{"model": "tiny", "stream": 1}', "invalid_type"),
        (b'{"model": "tiny", "Model": "other"}', None),
        ('{"model": "tiny", "\u017ftream": true}'.encode(), None),
    ],
)
async def test_a_body_that_is_no_request_is_400(
    gateway: Gateway, key: str, http: aiohttp.ClientSession, body: bytes, code: str | None
) -> None:
    headers = {"Authorization": f"Bearer {key}", "Content-Type": "application/json"}
    async with http.post(
        gateway.url + CHAT, data=body, headers=headers, ssl=gateway.client_tls
    ) as answer:
        said = await answer.json()
    assert answer.status == 400
    assert said["error"]["code"] == code
    assert "Traceback" not in said["error"]["message"]


@pytest.mark.parametrize("headers", [{"Content-Type": "text/plain"}, {"Content-Encoding": "gzip"}])
async def test_only_plain_json_is_taken(
    gateway: Gateway, key: str, http: aiohttp.ClientSession, headers: dict[str, str]
) -> None:
    sent = {"Authorization": f"Bearer {key}", **headers}
    async with http.post(
        gateway.url + CHAT, data=b'{"model": "tiny"}', headers=sent, ssl=gateway.client_tls
    ) as answer:
        assert answer.status == 415


@pytest.mark.parametrize("chunked", [False, True])
async def test_a_huge_body_is_refused_before_it_is_read(
    gateway: Gateway, key: str, chunked: bool
) -> None:
    size = (1 << 20) + 1
    length = "Transfer-Encoding: chunked" if chunked else f"Content-Length: {1 << 40}"
    body = b"%x\r\n" % size + b"x" * size if chunked else b""
    answer = await raw(gateway, head(key, length) + body)
    # Closing with unread input may reset the connection before the answer is read.
    assert answer == b"" or (answer.startswith(b"HTTP/1.1 413") and b"request_too_large" in answer)


async def test_a_key_of_a_megabyte_is_refused(gateway: Gateway) -> None:
    answer = await raw(gateway, head("k" * (1 << 20), "Content-Length: 2") + b"{}")
    assert answer == b"" or answer.startswith(b"HTTP/1.1 431")


@pytest.mark.parametrize(
    ("payload", "status"),
    [
        (b"GARBAGE\r\n\r\n", b"400"),
        (b"\x16\x03\x01" * 100, b"400"),
        (b"GET / HTTP/1.1\r\nHost: x\r\nA: " + b"a" * 100_000, b"431"),
        (b"GET / HTTP/1.1\r\n" + b"A: b\r\n" * 20_000 + b"\r\n", b"431"),
        (b"GET /" + b"a" * 100_000, b"431"),
        (b"POST / HTTP/1.1\r\nContent-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n", b"400"),
        (b"POST / HTTP/1.1\r\nContent-Length: 5\r\nContent-Length: 6\r\n\r\n", b"400"),
        (b"POST / HTTP/1.1\r\nContent-Length: -1\r\n\r\n", b"400"),
        (b"GET / HTTP/1.1\r\nHost: x\r\n folded\r\nA : b\r\n\r\n", b"400"),
        (b"GET / HTTP/1.1\r\nHost: x\r\nA: b\r\n c\r\n\r\n", b"400"),
        (b"GET / HTTP/1.1\r\nA: b\r\n\r\n", b"400"),
        (b"GET / HTTP/1.1\r\nHost: x\r\nHost: y\r\n\r\n", b"400"),
        (b"GET / HTTP/1.1\r\nHost: x\r\nAuthorization: a\r\nAuthorization: b\r\n\r\n", b"400"),
        (b"POST / HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: gzip, chunked\r\n\r\n", b"400"),
        (b"POST / HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n", b"400"),
        (b"POST / HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: xchunked\r\n\r\n", b"400"),
        (b"POST / HTTP/1.0\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n", b"400"),
        (b"GET / HTTP/1.1\r\nHost: x\r\nConnection: upgrade\r\nUpgrade: h2c\r\n\r\n", b"400"),
        (
            b"GET / HTTP/1.1\r\nHost: x\r\n" + b"".join(b"A%d: b\r\n" % n for n in range(101)),
            b"431",
        ),
        (b"GET / HTTP/1.1\nHost: x\n\n", b"400"),
        (b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", b"400"),
    ],
)
async def test_what_is_no_http_is_refused_in_our_form(
    gateway: Gateway, payload: bytes, status: bytes
) -> None:
    answer = await raw(gateway, payload)
    assert answer.split(b" ")[1] == status
    assert orjson.loads(answer.partition(b"\r\n\r\n")[2])["error"]["message"]


@pytest.mark.parametrize(
    "value",
    ["a b", "a" * 129, "\x80\xff", "a;b", "a\tb", "../x", "", "x\x00y"],
)
async def test_a_request_id_that_is_no_token_is_replaced(
    gateway: Gateway, key: str, engine: Engine, value: str
) -> None:
    line = f"X-Request-Id: {value}"
    length = "Content-Length: 2\r\nConnection: close"
    answer = await raw(gateway, head(key, line, length) + b"{}")
    if answer.startswith(b"HTTP/1.1 400 ") and b"Not an HTTP request" in answer:
        return
    (told,) = [line for line in answer.split(b"\r\n") if line.lower().startswith(b"x-request-id: ")]
    assert told.partition(b": ")[2] != value.encode("latin-1")
    assert len(told) == len("x-request-id: ") + 36


async def test_a_slow_head_and_a_slow_body_are_cut_off(start: Starter) -> None:
    # The other deadline of each is far beyond what `raw` waits for.
    gateway = await start(timeouts={"header_read_seconds": 0.5, "body_read_seconds": 100})
    assert await raw(gateway, b"POST / HTTP/1.1\r\nHost:") == b""
    assert await raw(gateway, b"") == b""
    gateway = await start(timeouts={"header_read_seconds": 100, "body_read_seconds": 0.5})
    answer = await raw(gateway, head(await gateway.key(), "Content-Length: 100") + b"{")
    assert answer.startswith(b"HTTP/1.1 408")


async def test_a_half_closed_client_is_gone(gateway: Gateway, key: str) -> None:
    # TLS has no half-open connections in asyncio: whoever says goodbye is gone.
    reader, writer = await asyncio.open_connection(
        "localhost", gateway.port, ssl=gateway.client_tls
    )
    body = orjson.dumps({"model": MODEL, "messages": MESSAGES})
    writer.write(head(key, f"Content-Length: {len(body) + 5}") + body)
    writer.close()
    assert await reader.read() == b""


async def test_what_is_sent_before_its_turn_is_not_read(gateway: Gateway) -> None:
    live = b"GET /health/live HTTP/1.1\r\nHost: x\r\n\r\n"
    answer = await raw(gateway, live * 3)
    assert answer.count(b"HTTP/1.1 200") == 1
    assert b"connection: close" in answer


async def test_an_upgrade_is_not_taken(gateway: Gateway) -> None:
    upgrade = "Connection: Upgrade, close\r\nUpgrade: websocket\r\nSec-WebSocket-Key: x"
    payload = f"GET /health/live HTTP/1.1\r\nHost: x\r\n{upgrade}\r\n\r\n".encode()
    answer = await raw(gateway, payload)
    assert b"101" not in answer.split(b"\r\n")[0]


async def test_old_tls_is_refused(gateway: Gateway) -> None:
    context = gateway.client_tls
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    context.maximum_version = ssl.TLSVersion.TLSv1_2
    with pytest.raises((ssl.SSLError, ConnectionError)):
        await asyncio.open_connection("localhost", gateway.port, ssl=context)


async def test_more_connections_than_allowed_are_turned_away(
    start: Starter, http: aiohttp.ClientSession
) -> None:
    gateway = await start(limits={"max_connections": 4})
    opened: list[Any] = []

    async def counted(count: int) -> None:
        async def so_many() -> bool:
            return (await scrape(gateway, http))["gateway_client_connections[]"] == count

        await until(so_many)

    try:
        for _ in range(4):
            pair = await asyncio.open_connection("localhost", gateway.port, ssl=gateway.client_tls)
            opened.append(pair)
        await counted(4)
        # Before its handshake: that would cost more than what is refused.
        with pytest.raises(OSError):
            await raw(gateway, b"GET /health/live HTTP/1.1\r\nHost: x\r\n\r\n")
    finally:
        for _, writer in opened:
            writer.close()
    await counted(0)
    request = b"GET /health/live HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n"
    assert (await raw(gateway, request)).startswith(b"HTTP/1.1 200")


async def test_a_client_that_stops_reading_does_not_hold_the_engine(
    start: Starter, engine: Engine
) -> None:
    gateway = await start(timeouts={"client_write_seconds": 0.5})
    body = orjson.dumps(
        {
            "model": MODEL,
            "stream": True,
            "messages": [{"role": "user", "content": "say 1000000"}],
        }
    )
    reader, writer = await asyncio.open_connection(
        "localhost", gateway.port, ssl=gateway.client_tls, limit=1024
    )
    writer.write(head(await gateway.key(), f"Content-Length: {len(body)}") + body)
    await writer.drain()
    async with asyncio.timeout(60):
        while not engine.calls or engine.calls[0].state != "cut":  # noqa: ASYNC110
            await asyncio.sleep(0.05)
    assert reader is not None
    writer.transport.abort()


async def test_chunks_extensions_and_trailers_are_read_and_dropped(
    gateway: Gateway, key: str, engine: Engine
) -> None:
    body = orjson.dumps({"model": MODEL, "messages": MESSAGES})
    first, second = body[:9], body[9:]
    framed = b"%x;name=value\r\n%b\r\n%X\r\n%b\r\n0\r\nAuthorization: Bearer other\r\n\r\n"
    lines = ("Transfer-Encoding: chunked", "Connection: close")
    answer = await raw(
        gateway, head(key, *lines) + framed % (len(first), first, len(second), second)
    )
    assert answer.startswith(b"HTTP/1.1 200")
    assert engine.calls[-1].raw == body


async def test_framing_out_of_proportion_is_cut_off(gateway: Gateway, key: str) -> None:
    flood = b"1;" + b"x" * 90_000 + b"\r\n \r\n"
    answer = await raw(gateway, head(key, "Transfer-Encoding: chunked") + flood * 3)
    assert answer == b"" or answer.startswith(b"HTTP/1.1 400")


async def test_a_wrong_key_is_refused_before_its_body_is_awaited(gateway: Gateway) -> None:
    async with asyncio.timeout(20):  # less than the 30 s that a body may take
        answer = await raw(gateway, head("wrong", "Content-Length: 1000") + b"{")
    assert answer.startswith(b"HTTP/1.1 401") and b"connection: close" in answer


async def test_a_body_is_asked_for_when_the_client_waits_for_that(
    gateway: Gateway, key: str
) -> None:
    body = orjson.dumps({"model": MODEL, "messages": MESSAGES})
    reader, writer = await asyncio.open_connection(
        "localhost", gateway.port, ssl=gateway.client_tls
    )
    writer.write(head(key, f"Content-Length: {len(body)}", "Expect: 100-continue"))
    async with asyncio.timeout(20):
        assert await reader.readuntil(b"\r\n\r\n") == b"HTTP/1.1 100 Continue\r\n\r\n"
        writer.write(body)
        assert (await reader.readline()).startswith(b"HTTP/1.1 200")
    writer.close()


async def test_an_old_client_gets_an_answer_that_ends_with_the_connection(
    gateway: Gateway, key: str
) -> None:
    body = orjson.dumps({"model": MODEL, "stream": True, "messages": MESSAGES})
    lines = head(key, f"Content-Length: {len(body)}").replace(b"HTTP/1.1", b"HTTP/1.0")
    answer = await raw(gateway, lines + body)
    assert b"transfer-encoding" not in answer and answer.endswith(b"data: [DONE]\n\n")


async def test_heads_are_answered_without_bodies(gateway: Gateway) -> None:
    answer = await raw(gateway, b"HEAD /health HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n")
    assert answer.startswith(b"HTTP/1.1 405") and answer.endswith(b"\r\n\r\n")


async def test_random_bytes_never_hurt(gateway: Gateway, key: str) -> None:
    chance = random.Random(7)  # noqa: S311
    whole = head(key, "Content-Length: 40") + b'{"model": "tiny", "messages": [1,2,3]} '
    for _ in range(150):
        bad = bytearray(whole)
        for _ in range(chance.randrange(1, 6)):
            bad[chance.randrange(len(bad))] = chance.randrange(256)
        cut = bytes(bad[: chance.randrange(1, len(bad) + 1)])
        reader, writer = await asyncio.open_connection(
            "localhost", gateway.port, ssl=gateway.client_tls
        )
        writer.write(cut)
        with contextlib.suppress(TimeoutError, ConnectionError, ssl.SSLError):
            async with asyncio.timeout(0.1):
                answer = await reader.read(4096)
                assert b"Traceback" not in answer and not answer.startswith(b"HTTP/1.1 500")
        writer.transport.abort()
    assert not gateway.said("fault")
    live = b"GET /health/live HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n"
    assert (await raw(gateway, live)).startswith(b"HTTP/1.1 200")
