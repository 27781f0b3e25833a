"""Rubbish from both sides of the relay: nothing crashes, hangs, leaks, or is answered 500.

Every connection must end by itself within the gateway's deadlines. Afterwards everything that was
taken must have been given back: tasks, descriptors, connections to engines, places in the queue,
reservations. What the gateway says of its own tells nothing of an engine, a key or a prompt.
"""

import asyncio
import ssl
from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path
from typing import Any

import aiohttp
import pytest
import pytest_asyncio

from gateway.routes import ROUTES
from ledger.connect import connect
from ledger.limits import Limits, key_subject, set_limits
from tests.integration.gateway.conftest import Starter, upstreams
from tests.integration.gateway.test_operation import say, scrape
from tests.support.fuzz import PROMPT, Fuzz
from tests.support.gateway import Gateway, until
from tests.support.upstream import MODEL, Engine
from trust import apikeys

SEED = 20_261_121
CLIENT_CASES, ENGINE_CASES = 1200, 800
AT_ONCE = 25
PLACES = 40  # requests at once the fuzzed key may have: a reservation that stays is missed
# A client that waits is cut off after half a second of head, body or idling; an engine has 0.5 s
# for its first byte, 0.3 s between two, 4 s in all. A refusal is held for a second (PARTING).
TIMEOUTS = {
    "header_read_seconds": 0.5,
    "body_read_seconds": 0.5,
    "keep_alive_seconds": 1,
    "upstream_first_byte_seconds": 0.5,
    "upstream_between_bytes_seconds": 0.3,
    "upstream_total_seconds": 4,
    "upstream_connect_seconds": 5.0,
}
# For engines that are good: however busy the machine, they are not too slow.
PATIENT = {
    "upstream_first_byte_seconds": 20,
    "upstream_between_bytes_seconds": 20,
    "upstream_total_seconds": 20,
}
# As many connections to the ledger as there will ever be, from the start: descriptors are counted.
POOL = {"pool_min_connections": 2, "pool_max_connections": 2}
END_SECONDS = 30.0
SECRET = "10.9.8.7-srv-models-secret"
IDLE_METRICS = (
    "gateway_queued_requests[]",
    "gateway_client_connections[]",
    "gateway_audit_deferred[]",
    *(f"gateway_requests_in_flight[('route', '{route.name}')]" for route in ROUTES.values()),
)


class RawEngine:
    """Lists one model as an engine does; a completion is answered with `answers()`'s pieces, and
    then the connection is closed, or left hanging.
    """

    def __init__(self, answers: Callable[[], list[bytes]], fuzz: Fuzz) -> None:
        self.answers, self.fuzz = answers, fuzz
        self.port = self.asked = 0
        self._server: asyncio.Server | None = None
        self._serving: set[asyncio.Task[Any]] = set()

    async def start(self) -> None:
        self._server = await asyncio.start_server(self._serve, "127.0.0.1", 0)
        self.port = self._server.sockets[0].getsockname()[1]

    async def stop(self) -> None:
        assert self._server is not None
        self._server.close()
        for task in self._serving:
            task.cancel()
        await asyncio.gather(*self._serving, return_exceptions=True)

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        self._serving.add(task)
        try:
            while head := await reader.readuntil(b"\r\n\r\n"):
                if head.startswith(b"GET"):
                    listing = b'{"data":[{"id":"tiny","max_model_len":4096}]}'
                    writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n" % len(listing))
                    writer.write(listing)
                    continue
                size = int(head.lower().partition(b"content-length: ")[2].partition(b"\r\n")[0])
                await reader.readexactly(size)
                self.asked += 1
                for piece in self.answers():
                    writer.write(piece)
                    await writer.drain()
                    await asyncio.sleep(0)
                ending = self.fuzz.chance.random()
                if ending < 0.6:
                    break
                if ending < 0.7:
                    await asyncio.sleep(6)
                    break
        except (asyncio.IncompleteReadError, ConnectionError, asyncio.CancelledError):
            pass
        finally:
            writer.transport.abort()
            self._serving.discard(task)


async def limited_key(gateway: Gateway) -> str:
    """A key with a bounded number of requests at once, so that a leaked reservation shows."""
    key = await gateway.key(scopes=["inference", "tokenize"])
    connection = await connect(gateway.database.settings("operator"))
    async with connection:
        subject = key_subject(apikeys.parse(key).id)
        await set_limits(connection, subject, Limits(concurrent_requests=PLACES), actor="tests")
    await asyncio.sleep(0.5)
    return key


async def sent(gateway: Gateway, pieces: list[bytes]) -> bytes:
    """Send pieces; everything until the gateway ends the connection, which it must."""
    try:
        reader, writer = await asyncio.open_connection(
            "localhost", gateway.port, ssl=gateway.client_tls
        )
    except (ConnectionError, ssl.SSLError):
        return b""  # on a busy machine also a handshake may take longer than it may
    try:
        async with asyncio.timeout(END_SECONDS):
            try:
                for piece in pieces:
                    writer.write(piece)
                    await writer.drain()
                    await asyncio.sleep(0)
            except (ConnectionError, ssl.SSLError):
                pass
            received = b""
            try:
                while part := await reader.read(65536):
                    received += part
            except (ConnectionError, ssl.SSLError):
                pass
            return received
    finally:
        writer.transport.abort()


def descriptors(gateway: Gateway) -> int:
    assert gateway.process is not None
    return len(list(Path(f"/proc/{gateway.process.pid}/fd").iterdir()))


Idle = Callable[[], Awaitable[None]]


@pytest_asyncio.fixture(loop_scope="session")
async def watched(
    http: aiohttp.ClientSession,
) -> AsyncIterator[Callable[[Gateway], Awaitable[Idle]]]:
    """Remember what an idle gateway holds; what it gives back checks that it is so again."""

    async def remember(gateway: Gateway) -> Idle:
        await asyncio.sleep(0.5)
        before, had = await scrape(gateway, http), descriptors(gateway)

        async def given_back() -> None:
            now: dict[str, float] = {}
            wrong: dict[str, Any] = {}
            # Kept connections to engines go after 3 s.
            for _ in range(300):
                now = await scrape(gateway, http)
                wrong = {name: now[name] for name in IDLE_METRICS if now[name]}
                for name, slack in (("event_loop_tasks", 1), ("upstream_connections", 1)):
                    series = f"gateway_{name}[]"
                    if now[series] > before[series] + slack:
                        wrong[series] = (before[series], now[series])
                if descriptors(gateway) > had + 2:
                    wrong["descriptors"] = (had, descriptors(gateway))
                if not wrong:
                    break
                await asyncio.sleep(0.1)
            assert not wrong, wrong
            assert gateway.process is not None and gateway.process.returncode is None
            assert not gateway.said("fault")
            assert all(line.startswith("{") for line in gateway.lines), gateway.lines

        return given_back

    yield remember


async def in_parallel(count: int, one: Callable[[int], Awaitable[None]]) -> None:
    numbers = iter(range(count))

    async def worker() -> None:
        for number in numbers:
            await one(number)

    await asyncio.gather(*(worker() for _ in range(AT_ONCE)))


async def all_places_free(gateway: Gateway, http: aiohttp.ClientSession, key: str) -> None:
    """As many requests at once as the key may have: each finds its place."""
    body = say("pause 0.5")

    async def ask() -> int:
        async with http.post(
            f"{gateway.url}/v1/chat/completions",
            json=body,
            headers={"Authorization": f"Bearer {key}"},
            ssl=gateway.client_tls,
        ) as answer:
            await answer.read()
            return answer.status

    assert Counter(await asyncio.gather(*(ask() for _ in range(PLACES)))) == {200: PLACES}


async def test_whatever_clients_send_ends_in_time_and_leaves_nothing_behind(
    start: Starter, engine: Engine, http: aiohttp.ClientSession, watched: Any
) -> None:
    gateway = await start(
        timeouts={**TIMEOUTS, **PATIENT, "header_read_seconds": 1, "body_read_seconds": 1},
        aliases={"nick": MODEL},
        ledger=POOL,
    )
    key = await limited_key(gateway)
    idle = await watched(gateway)
    fuzz, statuses = Fuzz(SEED), Counter[bytes]()

    async def case(number: int) -> None:
        request = fuzz.request(
            [*ROUTES, "/v1/models", "/health"], key, ("tiny", "nick")[number % 2]
        )
        answer = await sent(gateway, fuzz.cut(request))
        statuses[answer[9:12]] += 1
        assert not answer.startswith(b"HTTP/1.1 5"), (request[:2000], answer)
        if not answer.startswith(b"HTTP/1.1 200"):
            assert key.encode() not in answer and PROMPT.encode() not in answer
            assert b"Traceback" not in answer

    await in_parallel(CLIENT_CASES, case)
    await idle()
    await all_places_free(gateway, http, key)
    # The chances were fair: many requests were good, and many kinds of wrong were told apart.
    assert statuses[b"200"] > 100 and statuses[b"400"] > 100 and len(statuses) >= 6, statuses
    assert len(engine.calls) > 100


async def test_whatever_engines_answer_ends_in_time_and_leaves_nothing_behind(
    start: Starter, engine: Engine, http: aiohttp.ClientSession, watched: Any
) -> None:
    fuzz = Fuzz(SEED)
    raw = RawEngine(lambda: fuzz.cut(fuzz.answer(SECRET)), fuzz)
    await raw.start()
    engines = [
        {**upstreams(engine)[0], "models": ["good", MODEL]},
        {"name": "raw", "url": f"http://127.0.0.1:{raw.port}", "models": ["bad"]},
    ]
    gateway = await start(
        engines=engines,
        timeouts={**TIMEOUTS, "header_read_seconds": 20, "body_read_seconds": 20},
        routing={"breaker_failures": 1000, "retries": 0},
        ledger=POOL,
    )
    key = await limited_key(gateway)
    idle = await watched(gateway)
    statuses = Counter[bytes]()

    async def case(number: int) -> None:
        stream = number % 2 == 0
        body = b'{"model":"bad","stream":%b,"messages":[]}' % (b"true" if stream else b"false")
        head = b"POST /v1/chat/completions HTTP/1.1\r\nHost: x\r\nConnection: close\r\n"
        head += b"Authorization: Bearer %b\r\nContent-Length: %d\r\n" % (key.encode(), len(body))
        answer = await sent(gateway, [head + b"\r\n" + body])
        statuses[answer[9:12]] += 1
        assert answer.startswith(b"HTTP/1.1 ") and not answer.startswith(b"HTTP/1.1 500"), answer
        shown, _, said = answer.partition(b"\r\n\r\n")
        assert SECRET.encode() not in shown
        if answer[9:12] != b"200":
            assert SECRET.encode() not in said and b"Traceback" not in said
        elif stream and said.endswith(b"0\r\n\r\n"):
            assert b"[DONE]" in said, "an end that no engine sent"

    try:
        await in_parallel(ENGINE_CASES, case)
        await idle()
        await all_places_free(gateway, http, key)
        assert raw.asked > 0.9 * ENGINE_CASES
        assert {b"200", b"502", b"504"} <= set(statuses), statuses
        assert set(statuses) <= {b"200", b"400", b"404", b"502", b"503", b"504"}, statuses
    finally:
        await raw.stop()


@pytest.mark.parametrize("where", ["head", "body", "trickle"])
async def test_slow_clients_are_cut_off_in_time_and_delay_nobody(
    start: Starter, http: aiohttp.ClientSession, watched: Any, where: str
) -> None:
    # (The time for a head is also that for a handshake.)
    gateway = await start(timeouts={**TIMEOUTS, "header_read_seconds": 2})
    key = await gateway.key()
    idle = await watched(gateway)
    first = f"POST /v1/chat/completions HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {key}\r\n"
    begun = first.encode()
    if where != "head":
        begun += b"Content-Length: 100000\r\n\r\n{"
    loop = asyncio.get_running_loop()
    lasted: list[float] = []

    async def slow() -> None:
        try:
            reader, writer = await asyncio.open_connection(
                "localhost", gateway.port, ssl=gateway.client_tls
            )
        except (ConnectionError, ssl.SSLError):
            return  # a busy machine: the handshake was cut off
        began, said = loop.time(), b""
        try:
            writer.write(begun)
            # One byte at a time resets no deadline.
            while not reader.at_eof() and loop.time() - began < END_SECONDS:
                if where != "body":
                    writer.write(b"a")
                try:
                    async with asyncio.timeout(0.05):
                        said += await reader.read(65536)
                except TimeoutError:
                    continue
        except (ConnectionError, ssl.SSLError):
            pass
        finally:
            writer.transport.abort()
        lasted.append(loop.time() - began)
        assert said == b"" or said.startswith(b"HTTP/1.1 408")

    slows = [asyncio.create_task(slow()) for _ in range(60)]
    await asyncio.sleep(0.2)

    async def answered() -> bool:
        try:
            async with http.post(
                f"{gateway.url}/v1/chat/completions",
                json=say("say 1"),
                headers={"Authorization": f"Bearer {key}"},
                ssl=gateway.client_tls,
            ) as answer:
                return answer.status == 200
        except aiohttp.ClientConnectorError:
            return False

    await until(answered)
    await asyncio.gather(*slows)
    # Two seconds, one to hear why, a tick each, and a busy machine: every one was cut off.
    assert lasted and max(lasted) < END_SECONDS
    await idle()
