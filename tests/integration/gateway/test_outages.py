"""The ledger away, for a moment and for longer: nothing is relayed that cannot be recorded."""

import asyncio
from typing import Any

import aiohttp

from ledger.requests import Outcome
from tests.integration.gateway.conftest import Rows
from tests.support.gateway import Gateway
from tests.support.upstream import MODEL, Engine


def say(text: str, **more: Any) -> dict[str, Any]:
    return {"model": MODEL, "messages": [{"role": "user", "content": text}], **more}


async def ready(gateway: Gateway, http: aiohttp.ClientSession) -> bool:
    async with http.get(f"{gateway.url}/health/ready", ssl=gateway.client_tls) as answer:
        return answer.status == 200


async def until_ready(
    gateway: Gateway, http: aiohttp.ClientSession, state: bool = True, seconds: float = 15
) -> None:
    async with asyncio.timeout(seconds):
        while await ready(gateway, http) is not state:  # noqa: ASYNC110
            await asyncio.sleep(0.05)


async def test_without_a_ledger_nothing_is_relayed_and_it_says_so(
    gateway: Gateway, engine: Engine, key: str, http: aiohttp.ClientSession
) -> None:
    url, headers = f"{gateway.url}/v1/chat/completions", {"Authorization": f"Bearer {key}"}
    gateway.database.stop()
    try:
        async with http.post(url, json=say("say 1"), headers=headers, ssl=gateway.client_tls) as a:
            assert (a.status, a.headers["Retry-After"]) == (503, "2")
            assert (await a.json())["error"]["code"] == "ledger_unavailable"
        await until_ready(gateway, http, False)
        async with http.get(f"{gateway.url}/health", ssl=gateway.client_tls) as a:
            parts = (await a.json())["components"]
            assert parts["ledger"]["status"] == "down" and parts["upstreams"]["status"] == "up"
        # Known to be away: requests do not wait for timeouts any more.
        async with asyncio.timeout(1.5):
            for _ in range(5):
                async with http.post(
                    url, json=say("say 1"), headers=headers, ssl=gateway.client_tls
                ) as a:
                    assert a.status == 503
    finally:
        gateway.database.start()
    assert not engine.calls
    await until_ready(gateway, http)
    async with http.post(url, json=say("say 1"), headers=headers, ssl=gateway.client_tls) as a:
        assert a.status == 200


async def test_a_ledger_that_restarts_quickly_is_found_again_quickly(
    gateway: Gateway, key: str, http: aiohttp.ClientSession
) -> None:
    gateway.database.stop()
    await asyncio.sleep(4)
    gateway.database.start()
    await until_ready(gateway, http, seconds=5)
    assert await gateway.key()


async def test_a_stream_whose_end_cannot_be_recorded_does_not_end_well(
    gateway: Gateway, key: str, http: aiohttp.ClientSession, rows: Rows
) -> None:
    received, broke = b"", False
    async with http.post(
        f"{gateway.url}/v1/chat/completions",
        json=say("pause 0.1 10", stream=True),
        headers={"Authorization": f"Bearer {key}"},
        ssl=gateway.client_tls,
    ) as answer:
        try:
            received += await answer.content.readany()
            gateway.database.stop()
            while part := await answer.content.readany():
                received += part
        except aiohttp.ClientError:
            broke = True
        finally:
            gateway.database.start()
    assert broke and b"[DONE]" not in received and b"ledger_unavailable" in received
    await until_ready(gateway, http)
    async with asyncio.timeout(10):
        while (row := (await rows())[0]).outcome is None:  # noqa: ASYNC110
            await asyncio.sleep(0.1)
    assert row.outcome.outcome is Outcome.REFUSED
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
    for _ in range(2):
        await asyncio.sleep(0.7)
        gateway.database.stop()
        await asyncio.sleep(0.3)
        gateway.database.start()
        await until_ready(gateway, http)
    await asyncio.sleep(0.7)
    ending.set()
    await asyncio.gather(*clients)
    assert whole > 20 and statuses <= {200, 503}
    async with asyncio.timeout(10):
        while int(gateway.database.psql(still_open, "federation")):  # noqa: ASYNC110
            await asyncio.sleep(0.2)
    recorded = int(gateway.database.psql(answered, "federation")) - before
    # More only where the crash took the server's word that it had written.
    assert whole <= recorded <= whole + 2 * len(clients)
