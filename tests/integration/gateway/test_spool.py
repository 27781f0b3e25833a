"""Gateways killed, spools full: what was answered is in the ledger once, and nothing twice."""

import asyncio
import json
import os
import signal
import subprocess
import threading
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import aiohttp
import pytest

from gateway.spool import segment
from tests.integration.gateway.conftest import Starter, upstreams
from tests.support.gateway import Gateway, until
from tests.support.postgres import Server
from tests.support.upstream import MODEL, Engine

# More with FEDERATION_KILLS, by hand.
KILLS = int(os.environ.get("FEDERATION_KILLS", "3"))


def say(text: str, **more: Any) -> dict[str, Any]:
    return {"model": MODEL, "messages": [{"role": "user", "content": text}], **more}


class Clients:
    """Clients that go on whatever happens, and know the ids of requests they got whole."""

    def __init__(self, key: str, count: int = 6) -> None:
        self._headers = {"Authorization": f"Bearer {key}"}
        self._ending = asyncio.Event()
        self.gateways: list[Gateway] = []
        self.whole: set[str] = set()
        self.statuses: Counter[int] = Counter()
        self._number = 0
        self._tasks = [asyncio.create_task(self._work(n)) for n in range(count)]

    async def until_whole(self, more: int) -> None:
        """Wait until so many more answers have come, and for a moment: both shippers work then."""
        wanted = len(self.whole) + more
        async with asyncio.timeout(60):
            while len(self.whole) < wanted:  # noqa: ASYNC110
                await asyncio.sleep(0.02)
        await asyncio.sleep(0.3)

    async def end(self) -> None:
        self._ending.set()
        await asyncio.gather(*self._tasks)

    async def _work(self, number: int) -> None:
        async with aiohttp.ClientSession(timeout=aiohttp.ClientTimeout(total=20)) as http:
            while not self._ending.is_set():
                if not self.gateways:
                    await asyncio.sleep(0.01)
                    continue
                try:
                    await self._ask(http, self.gateways[number % len(self.gateways)])
                except (aiohttp.ClientError, ConnectionError, TimeoutError):
                    await asyncio.sleep(0.02)

    async def _ask(self, http: aiohttp.ClientSession, gateway: Gateway) -> None:
        self._number += 1
        name, stream = f"r-{id(self)}-{self._number}", self._number % 2 == 0
        async with http.post(
            f"{gateway.url}/v1/chat/completions",
            json=say("say 3", stream=stream),
            headers={**self._headers, "X-Request-Id": name},
            ssl=gateway.client_tls,
        ) as answer:
            body = await answer.read()
        self.statuses[answer.status] += 1
        if answer.status == 200 and (b"[DONE]" in body if stream else b"choices" in body):
            self.whole.add(name)


def events(ledger: Server, kind: str) -> list[dict[str, Any]]:
    """Events of a kind, from the inbox or the log (no sequencer runs here)."""
    text = ledger.psql(
        "SELECT convert_from(body, 'UTF8') FROM ledger.inbox "  # noqa: S608 - of this file
        f"WHERE kind = '{kind}' ORDER BY arrival",
        "federation",
    )
    return [json.loads(line) for line in text.splitlines()]


def agree(ledger: Server, whole: set[str]) -> int:
    """Every whole answer has one intent and one end, `answered`; every intent has one end. How many
    requests were lost.
    """
    started = events(ledger, "request.started")
    finished = events(ledger, "request.finished")
    ends = Counter(event["subject"] for event in finished)
    assert set(ends.values()) == {1}
    assert {event["id"] for event in started} == set(ends)
    outcome = {event["subject"]: event["data"]["outcome"] for event in finished}
    named = {event["data"]["request_id"]: outcome[event["id"]] for event in started}
    assert len(named) == len(started)
    assert {named[name] for name in whole} <= {"answered"} and whole <= set(named)
    rows = ledger.psql("SELECT id || ' ' || outcome FROM ledger.requests", "federation")
    assert dict(line.split() for line in rows.splitlines()) == outcome
    return sum(value == "lost" for value in outcome.values())


@pytest.fixture
def empty(ledger: Server) -> Server:
    ledger.fresh_database()
    return ledger


async def test_a_gateway_killed_under_load_loses_and_doubles_nothing(
    folder: Path, empty: Server, engine: Engine
) -> None:
    two = [Gateway(folder, empty, upstreams(engine)) for _ in range(2)]
    for gateway in two:
        await gateway.start()
    clients = Clients(await two[0].key())
    clients.gateways = two
    try:
        for turn in range(KILLS):
            await clients.until_whole(30)
            victim = two[turn % 2]
            clients.gateways = [gateway for gateway in two if gateway is not victim]
            await victim.stop(signal.SIGKILL)
            victim.port, victim._ready = 0, asyncio.Event()
            await victim.start()
            clients.gateways = two
        await clients.until_whole(30)
        await clients.end()
        for gateway in two:
            await gateway.until_shipped()
        assert set(clients.statuses) <= {200, 502, 503}
        lost = agree(empty, clients.whole)
        assert lost <= KILLS * 6
        assert len(events(empty, "gateway.started")) == KILLS + 2
    finally:
        for gateway in two:
            await gateway.stop()


async def test_a_killed_shipper_is_started_again_and_sends_nothing_twice(
    start: Starter, empty: Server
) -> None:
    gateway = await start()
    clients = Clients(await gateway.key())
    clients.gateways = [gateway]
    # What it is started with again is what the gateway runs with, not what the file has become.
    gateway.config.write_text("prot = 1\n")
    for _ in range(2):
        await clients.until_whole(30)

        async def killed() -> bool:
            assert gateway.process is not None
            pids = subprocess.run(  # noqa: ASYNC221
                ["pgrep", "-P", str(gateway.process.pid), "-f", "gateway.shipper"],
                capture_output=True, text=True, check=False,
            ).stdout.split()  # fmt: skip
            for pid in pids:
                os.kill(int(pid), signal.SIGKILL)
            return pids != []

        # A new one is started after a pause, and needs a moment to be the program it is.
        await until(killed)
    await clients.end()
    await gateway.until_shipped()
    assert clients.whole and set(clients.statuses) == {200}
    assert agree(empty, clients.whole) == 0


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    place = tmp_path / "disk"
    place.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", "size=640k,mode=0700", "spool", str(place)]
    if subprocess.run(mount, check=False, capture_output=True).returncode != 0:
        pytest.skip("no right to mount a small disk")
    yield place
    subprocess.run(["umount", "-l", str(place)], check=True)


@contextmanager
def kept_full(disk: Path) -> Iterator[None]:
    """Somebody else takes whatever is free, again and again; it is given back afterwards."""
    ending = threading.Event()

    def fill() -> None:
        with (disk / "more").open("wb", buffering=0) as rest:
            while not ending.wait(0.001):
                with suppress(OSError):
                    while True:
                        rest.write(bytes(4096))

    filling = threading.Thread(target=fill)
    filling.start()
    try:
        yield
    finally:
        ending.set()
        filling.join()
        (disk / "more").unlink()


async def test_a_full_disk_refuses_the_new_finishes_the_old_and_recovers(
    start: Starter,
    engine: Engine,
    empty: Server,
    small_disk: Path,
    http: aiohttp.ClientSession,
) -> None:
    gateway = await start(
        spool={"path": str(small_disk / "spool"), "segment_kib": 64},
        timeouts={"header_read_seconds": 120.0, "upstream_between_bytes_seconds": 600.0},
    )
    key = await gateway.key()
    headers = {"Authorization": f"Bearer {key}"}
    url = f"{gateway.url}/v1/chat/completions"

    async def ask(text: str, **more: Any) -> tuple[int, bytes]:
        async with http.post(
            url, json=say(text, **more), headers=headers, ssl=gateway.client_tls
        ) as answer:
            body = await answer.read()
            if answer.status == 503:
                assert answer.headers["Retry-After"] == "2"
            return answer.status, body

    assert (await ask("say 1"))[0] == 200
    empty.stop()
    try:
        (small_disk / "rest").write_bytes(bytes(300 << 10))
        slow = asyncio.create_task(ask("hold 12", stream=True))
        await engine.until_asked(2)
        answered, refused = 0, 0
        async with asyncio.timeout(90):
            while refused < 20:
                statuses = await asyncio.gather(*(ask("say 1") for _ in range(10)))
                assert {status for status, _ in statuses} <= {200, 503}
                answered += sum(status == 200 for status, _ in statuses)
                said = [body for status, body in statuses if status == 503]
                assert all(b"audit_unavailable" in body for body in said)
                refused += len(said)
                if answered > 1000:
                    raise AssertionError("the disk never filled")
        engine.release()
        status, body = await slow
        assert status == 200 and body.endswith(b"data: [DONE]\n\n")
        # To delete what is shipped the position has to be written first: there is room for it.
        with kept_full(small_disk):
            empty.start()

            async def deleted() -> bool:
                return len(segment.numbers(small_disk / "spool")) == 1

            await until(deleted)
        assert gateway.said("shipper ended") == []
    finally:
        if empty.process is None:
            empty.start()
    async with asyncio.timeout(60):
        while (await ask("say 1"))[0] != 200:  # noqa: ASYNC110
            await asyncio.sleep(0.2)
    async with asyncio.timeout(60):
        while True:
            finished = Counter(
                event["data"]["outcome"] for event in events(empty, "request.finished")
            )
            if finished["answered"] >= answered + 3:
                break
            await asyncio.sleep(0.2)
    assert finished == Counter(answered=answered + 3)
    assert agree(empty, set()) == 0
