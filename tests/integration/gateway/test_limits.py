"""Limits over two gateways and a real PostgreSQL: never passed, whoever dies; changes are heard."""

import asyncio
import signal
import time
from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from functools import partial
from pathlib import Path
from typing import Any

import aiohttp
import pytest
import pytest_asyncio

from ledger import keys, tenants
from ledger.connect import connect
from ledger.limits import Limits, key_subject, set_limits, tenant_subject
from tests.integration.gateway.conftest import upstreams
from tests.support.gateway import Gateway, refused_from_now, until
from tests.support.postgres import Server
from tests.support.upstream import MODEL, Engine
from trust import apikeys

Pair = tuple[Gateway, Gateway]
Ask = Callable[..., Awaitable[tuple[int, Any, Any]]]


@asynccontextmanager
async def two(
    folder: Path, second: Path, ledger: Server, engine: Engine, first_worker: int
) -> AsyncIterator[Pair]:
    """Two gateways with one pepper; `second` is the second one's empty folder."""
    for file in ("node.pem", "tls.key", "key-pepper"):
        (second / file).write_bytes((folder / file).read_bytes())
        (second / file).chmod(0o600)
    both = tuple(
        # A share that takes long on a busy machine is waited for, longer than by default.
        Gateway(node, ledger, upstreams(engine), {"quotas": {"worker": n, "patience_seconds": 20}})
        for n, node in enumerate((folder, second), first_worker)
    )
    assert len(both) == 2
    try:
        for gateway in both:
            await gateway.start()
        yield both
    finally:
        for gateway in both:
            await gateway.stop()


@pytest_asyncio.fixture(scope="module", loop_scope="session")
async def pair(
    folder: Path, ledger: Server, running_engine: Engine, tmp_path_factory: pytest.TempPathFactory
) -> AsyncIterator[Pair]:
    """The module's two gateways; no test kills them."""
    second = tmp_path_factory.mktemp("second")
    async with two(folder, second, ledger, running_engine, 1) as both:
        yield both


async def limited(gateway: Gateway, limits: Limits, **changes: Any) -> str:
    key = await gateway.key(**changes)
    connection = await connect(gateway.database.settings("operator"))
    async with connection:
        await set_limits(connection, key_subject(apikeys.parse(key).id), limits, actor="tests")
    return key


@pytest.fixture
def ask(http: aiohttp.ClientSession) -> Ask:
    async def asking(gateway: Gateway, key: str, **changes: Any) -> tuple[int, Any, Any]:
        body = {
            "model": MODEL,
            "messages": [{"role": "user", "content": "say 5"}],
            "max_tokens": 5,
            **changes,
        }
        async with http.post(
            f"{gateway.url}/v1/chat/completions",
            json=body,
            headers={"Authorization": f"Bearer {key}"},
            ssl=gateway.client_tls,
        ) as answer:
            return answer.status, await answer.json(), answer.headers

    return asking


async def test_100_clients_on_1000_tokens_never_pass_them_though_a_gateway_dies(
    folder: Path, ledger: Server, running_engine: Engine, tmp_path: Path, ask: Ask
) -> None:
    async with two(folder, tmp_path, ledger, running_engine, 3) as mortal:
        await hundred_clients(mortal, ask)


async def hundred_clients(pair: Pair, ask: Ask) -> None:
    key = await limited(pair[0], Limits(tokens_per_minute=1000))
    spent: list[int] = []
    statuses: Counter[int] = Counter()
    ended = asyncio.Event()

    async def client(number: int) -> None:
        gateway = pair[number % 2]
        while not ended.is_set():
            try:
                status, body, _ = await ask(gateway, key)
            except aiohttp.ClientError:
                gateway = pair[1]
                continue
            statuses[status] += 1
            if status == 200:
                spent.append(body["usage"]["prompt_tokens"] + body["usage"]["completion_tokens"])
            await asyncio.sleep(0.05)

    async def kill() -> None:
        async def many_were_answered() -> bool:
            return len(spent) > 20

        await until(many_were_answered)
        await pair[0].stop(signal.SIGKILL)
        await asyncio.sleep(5)
        ended.set()

    await asyncio.gather(kill(), *(client(number) for number in range(100)))
    assert set(statuses) == {200, 429}
    assert 0 < sum(spent) <= 1000


async def test_a_limit_is_used_up_fully_and_what_others_hold_is_recalled(
    pair: Pair, ask: Ask
) -> None:
    key = await limited(pair[0], Limits(requests_per_minute=30))
    answered = 0
    async with asyncio.timeout(50):  # before the first ones are a minute old
        for number in range(20):
            answered += (await ask(pair[number % 2], key))[0] == 200
        while answered < 30:
            status, _, headers = await ask(pair[1], key)
            answered += status == 200
            if status == 429:
                # The other one has not heard yet that its rest is wanted.
                assert headers["Retry-After"] == "1"
                await asyncio.sleep(1)
        for number in range(30):
            assert (await ask(pair[number % 2], key))[0] == 429


async def test_requests_at_once_are_counted_over_both_gateways(
    pair: Pair, engine: Engine, ask: Ask
) -> None:
    key = await limited(pair[0], Limits(concurrent_requests=4))
    held = {"messages": [{"role": "user", "content": "hold 5"}]}
    asked = [asyncio.create_task(ask(pair[number % 2], key, **held)) for number in range(12)]

    async def all_but_four_are_over() -> bool:
        return sum(task.done() for task in asked) == 8

    await until(all_but_four_are_over)
    await engine.until_asked(4)
    engine.release()
    statuses = Counter(status for status, _, _ in await asyncio.gather(*asked))
    assert statuses == {200: 4, 429: 8}

    # What the other gateway has just freed is back soon, as a refusal says.
    async def freed() -> bool:
        status, _, headers = await ask(pair[0], key)
        assert status == 200 or headers["Retry-After"] == "1"
        return status == 200

    await until(freed)


async def test_every_answer_says_what_is_left_and_a_refusal_when_to_come_back(
    pair: Pair, ask: Ask, http: aiohttp.ClientSession
) -> None:
    key = await limited(pair[0], Limits(requests_per_minute=2, tokens_per_day=10_000))
    seen = []
    for _ in range(3):
        status, body, headers = await ask(pair[0], key)
        seen.append((status, headers["x-ratelimit-remaining-requests"]))
        assert headers["x-ratelimit-limit-requests"] == "2"
        assert headers["x-ratelimit-limit-tokens"] == "10000"
    assert seen == [(200, "1"), (200, "0"), (429, "0")]
    assert body["error"]["code"] == "rate_limit_exceeded" and "key" not in str(headers).lower()
    assert 1 <= int(headers["Retry-After"]) <= 61
    async with http.get(
        f"{pair[0].url}/v1/models",
        headers={"Authorization": f"Bearer {key}"},
        ssl=pair[0].client_tls,
    ) as answer:
        assert (answer.status, answer.headers["x-ratelimit-remaining-requests"]) == (200, "0")


async def test_a_budget_refuses_in_its_own_words_and_too_much_at_once_in_others(
    pair: Pair, ask: Ask
) -> None:
    key = await limited(pair[0], Limits(tokens_per_month=250))
    status, body, headers = await ask(pair[0], key, max_tokens=300)
    assert (status, body["error"]["code"]) == (429, "request_exceeds_limit")
    assert "Retry-After" not in headers and headers["x-should-retry"] == "false"
    while (answer := await ask(pair[0], key))[0] == 200:
        pass
    status, body, headers = answer
    assert (status, body["error"]["code"]) == (429, "insufficient_quota")
    assert int(headers["Retry-After"]) >= 1 and headers["x-should-retry"] == "false"


async def test_refused_requests_cost_nothing(pair: Pair, ask: Ask) -> None:
    key = await limited(pair[0], Limits(requests_per_minute=5))
    for _ in range(10):
        assert (await ask(pair[0], key, model="not-there"))[0] == 404
    assert [(await ask(pair[0], key))[0] for _ in range(6)] == [200] * 5 + [429]


async def test_limits_change_while_they_are_in_use(pair: Pair, ask: Ask) -> None:
    key = await limited(pair[0], Limits(requests_per_minute=1000))
    for gateway in pair:
        assert (await ask(gateway, key))[0] == 200
    subject = key_subject(apikeys.parse(key).id)
    connection = await connect(pair[0].database.settings("operator"))
    async with connection:
        await set_limits(connection, subject, Limits(requests_per_minute=3), actor="tests")
        await asyncio.sleep(1)
        statuses = [(await ask(pair[number % 2], key))[0] for number in range(6)]
        assert statuses.count(200) == 1
        await set_limits(connection, subject, Limits(), actor="tests")
    await asyncio.sleep(1)
    for gateway in pair:
        assert (await ask(gateway, key))[0] == 200


async def test_a_revocation_reaches_both_gateways_within_a_second(pair: Pair, ask: Ask) -> None:
    for _ in range(3):
        key = await pair[0].key()
        for gateway in pair:
            assert (await ask(gateway, key))[0] == 200
        connection = await connect(pair[0].database.settings("operator"))
        async with connection:
            await keys.revoke(connection, apikeys.parse(key).id, reason="t", actor="t")

        async def status(gateway: Gateway, key: str) -> int:
            return (await ask(gateway, key))[0]

        await asyncio.gather(*(refused_from_now(partial(status, gateway, key)) for gateway in pair))
        assert (await ask(pair[0], key))[0] == 401


async def test_a_revocation_holds_within_the_lease_when_nobody_listens(
    pair: Pair, ask: Ask
) -> None:
    key = await pair[0].key()
    for gateway in pair:
        assert (await ask(gateway, key))[0] == 200
    server = pair[0].database
    listening = (
        "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE usename = 'fed_gateway'"
    )
    connection = await connect(server.settings("operator"))
    async with connection:
        # Connections of gateways are cut again and again, listeners' first of all.
        ends = time.monotonic() + 2
        await keys.revoke(connection, apikeys.parse(key).id, reason="t", actor="t")
        began = time.monotonic()
        cut = 0
        while time.monotonic() < ends or cut <= 2:
            server.psql(listening + " AND query LIKE '%keyring%'")
            late = time.monotonic() - began > 1
            statuses = [(await ask(gateway, key))[0] for gateway in pair]
            cut += 1
            assert not late or set(statuses) <= {401, 503}, statuses


async def test_tenants_share_nothing(pair: Pair, ask: Ask) -> None:
    connection = await connect(pair[0].database.settings("operator"))
    async with connection:
        for name in ("red", "blue"):
            await tenants.create(connection, name, models=None, actor="t")
            await set_limits(
                connection, tenant_subject(name), Limits(requests_per_minute=4), actor="t"
            )
        red = [await pair[0].key(tenant="red") for _ in range(2)]
        blue = await pair[0].key(tenant="blue")
        # Two keys of one tenant draw on one limit; the other tenant's is untouched.
        drawn = [(await ask(pair[number % 2], red[number % 2]))[0] for number in range(8)]
        assert drawn.count(200) == 4 and drawn.count(429) == 4
        assert [(await ask(pair[number % 2], blue))[0] for number in range(4)] == [200] * 4
        listed = await keys.list_keys(connection, "red")
        assert {record.id for record in listed} == {apikeys.parse(key).id for key in red}
        assert [record.id for record in await keys.list_keys(connection, "blue")] == [
            apikeys.parse(blue).id
        ]


async def test_a_tenants_models_bound_those_of_its_keys(pair: Pair, ask: Ask) -> None:
    connection = await connect(pair[0].database.settings("operator"))
    async with connection:
        await tenants.create(connection, "narrow", models=["other"], actor="t")
    for models in (None, [MODEL], [MODEL, "other"]):
        key = await pair[0].key(tenant="narrow", models=models)
        status, body, _ = await ask(pair[0], key)
        assert (status, body["error"]["param"]) == (403, "model")


async def test_without_the_ledger_what_is_leased_is_served_and_then_it_says_so(
    pair: Pair, ask: Ask
) -> None:
    key = await limited(pair[0], Limits(requests_per_minute=10))
    free = await pair[0].key()
    assert (await ask(pair[0], key))[0] == 200 and (await ask(pair[0], free))[0] == 200
    pair[0].database.stop()
    try:
        statuses = [(await ask(pair[0], key)) for _ in range(10)]
        codes = {body["error"]["code"] for status, body, _ in statuses if status != 200}
        assert codes <= {"limits_unavailable", "rate_limit_exceeded", "ledger_unavailable"}
        assert {status for status, _, _ in statuses} <= {200, 429, 503}
        assert statuses[-1][0] in (429, 503)
    finally:
        pair[0].database.start()
