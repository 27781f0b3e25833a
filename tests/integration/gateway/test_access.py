"""Who gets in: keys, scopes, models, paths; and that nobody learns why not."""

import asyncio
from datetime import UTC, datetime, timedelta
from typing import Any

import aiohttp
import pytest

from ledger import keys
from ledger.connect import connect
from ledger.roles import decide
from tests.integration.gateway.conftest import Rows
from tests.support.gateway import Gateway, refused_from_now
from tests.support.reviews import BY, days_pass, give, take
from tests.support.upstream import MODEL, Engine
from trust import apikeys

BODY = {"model": MODEL, "messages": [{"role": "user", "content": "say 1"}]}
SAME = {
    "error": {
        "message": "Incorrect API key provided.",
        "type": "invalid_request_error",
        "param": None,
        "code": "invalid_api_key",
    }
}


async def ask(
    gateway: Gateway, http: aiohttp.ClientSession, authorization: str | None, **changes: Any
) -> tuple[int, Any]:
    headers = {} if authorization is None else {"Authorization": authorization}
    async with http.post(
        f"{gateway.url}/v1/chat/completions",
        json={**BODY, **changes},
        headers=headers,
        ssl=gateway.client_tls,
    ) as answer:
        return answer.status, await answer.json()


async def revoke(gateway: Gateway, key: str) -> None:
    connection = await connect(gateway.database.settings("operator"))
    async with connection:
        await keys.revoke(connection, apikeys.parse(key).id, reason="test", actor="tests")


async def test_every_key_that_does_not_work_gets_the_same_answer(
    gateway: Gateway, engine: Engine, http: aiohttp.ClientSession, rows: Rows
) -> None:
    good = await gateway.key()
    other = apikeys.generate()
    same_id = apikeys.ApiKey(apikeys.parse(good).id, other.secret).reveal()
    expired = await gateway.key(expires_at=datetime.now(UTC) + timedelta(seconds=1))
    revoked = await gateway.key()
    await revoke(gateway, revoked)
    await asyncio.sleep(1)
    for authorization in (
        None,
        "",
        "Bearer",
        f"Basic {good}",
        good,
        f"Bearer {good}x",
        f"Bearer {other.reveal()}",
        f"Bearer {same_id}",
        f"Bearer {expired}",
        f"Bearer {revoked}",
        "Bearer " + "k" * 20_000,
    ):
        assert await ask(gateway, http, authorization) == (401, SAME), (authorization or "")[:30]
    assert not engine.calls and not await rows()
    assert await ask(gateway, http, f"bearer {good}", user="x") != (401, SAME)
    reasons = {line["reason"] for line in await gateway.until_said("key refused", 11)}
    assert reasons == {"missing", "malformed", "unknown", "wrong_secret", "expired", "revoked"}


async def test_a_revoked_key_stops_working_within_a_second_and_for_good(
    gateway: Gateway, http: aiohttp.ClientSession
) -> None:
    key = await gateway.key()
    assert (await ask(gateway, http, f"Bearer {key}"))[0] == 200
    await revoke(gateway, key)

    async def status() -> int:
        return (await ask(gateway, http, f"Bearer {key}"))[0]

    await refused_from_now(status)
    for _ in range(5):
        assert await ask(gateway, http, f"Bearer {key}") == (401, SAME)
        await asyncio.sleep(0.3)


async def test_revoking_under_load_ends_every_use(
    gateway: Gateway, http: aiohttp.ClientSession
) -> None:
    key = await gateway.key()
    revoked = asyncio.Event()
    late: list[int] = []

    async def hammer() -> None:
        while len(late) < 100:
            after = revoked.is_set()
            status, _ = await ask(gateway, http, f"Bearer {key}")
            assert status in (200, 401)
            if after:
                late.append(status)

    async def end() -> None:
        await asyncio.sleep(0.1)
        await revoke(gateway, key)
        await asyncio.sleep(1)
        revoked.set()

    await asyncio.gather(end(), *(hammer() for _ in range(8)))
    assert late and set(late) == {401}


async def test_a_key_is_good_for_its_models_and_scopes_only(
    gateway: Gateway, engine: Engine, http: aiohttp.ClientSession
) -> None:
    elsewhere = await gateway.key(models=["other-model"])
    status, body = await ask(gateway, http, f"Bearer {elsewhere}")
    assert (status, body["error"]["param"]) == (403, "model")
    scopeless = await gateway.key(scopes=["tokenize"])
    status, body = await ask(gateway, http, f"Bearer {scopeless}")
    assert (status, body["error"]["code"]) == (403, "missing_scope")
    everything = await gateway.key()
    status, body = await ask(gateway, http, f"Bearer {everything}", model="not-there")
    assert (status, body["error"]["code"]) == (404, "model_not_found")
    assert not engine.calls
    async with http.get(
        f"{gateway.url}/v1/models",
        headers={"Authorization": f"Bearer {elsewhere}"},
        ssl=gateway.client_tls,
    ) as answer:
        assert (await answer.json())["data"] == []


async def test_rights_that_change_while_a_key_is_in_use_hold_within_a_second(
    gateway: Gateway, http: aiohttp.ClientSession
) -> None:
    key = await gateway.key()
    subject = f"key:{apikeys.parse(key).id}"
    assert (await ask(gateway, http, f"Bearer {key}"))[0] == 200
    async with await connect(gateway.database.settings("operator")) as operator:
        await take(operator, subject, "scope:inference")
        await asyncio.sleep(1)
        status, body = await ask(gateway, http, f"Bearer {key}")
        assert (status, body["error"]["code"]) == (403, "missing_scope")
        proposal = await give(operator, subject, "scope:inference")
        await asyncio.sleep(1)
        assert (await ask(gateway, http, f"Bearer {key}"))[0] == 403
        days_pass(gateway.database, 3)
        await decide(operator, BY, proposal.number, "approve", None)
    await asyncio.sleep(1)
    assert (await ask(gateway, http, f"Bearer {key}"))[0] == 200


@pytest.mark.parametrize(
    ("method", "path", "status"),
    [
        ("GET", "/", 404),
        ("GET", "/metrics", 404),
        ("GET", "/docs", 404),
        ("POST", "/detokenize", 404),
        ("POST", "/v1/load_lora_adapter", 404),
        ("POST", "/tokenize", 401),
        ("POST", "/v1/completions", 401),
        ("POST", "/v1/unload_lora_adapter", 404),
        ("POST", "/v1//chat/completions", 404),
        ("POST", "/v1/chat/completions/", 404),
        ("POST", "/v1/chat/../../metrics", 404),
        ("GET", "/v1/models/tiny", 404),
        ("GET", "/v1/chat/completions", 405),
        ("DELETE", "/v1/models", 405),
        ("POST", "/health/ready", 405),
        ("GET", "/health/live", 200),
        ("GET", "/health/ready", 200),
        ("GET", "/health", 200),
        ("GET", "/openapi.json", 200),
    ],
)
async def test_paths_are_allowed_one_by_one(
    gateway: Gateway, http: aiohttp.ClientSession, method: str, path: str, status: int
) -> None:
    from yarl import URL

    url = URL(gateway.url + path, encoded=True)
    async with http.request(method, url, ssl=gateway.client_tls) as answer:
        body = await answer.json()
        assert answer.status == status
        assert "X-Request-Id" in answer.headers
    if status >= 400:
        assert set(body["error"]) == {"message", "type", "param", "code"}


async def test_logs_have_ids_and_neither_prompts_nor_keys(
    gateway: Gateway, http: aiohttp.ClientSession
) -> None:
    key = await gateway.key()
    secret_prompt = [{"role": "user", "content": "say 1 my-darkest-secret"}]
    await ask(gateway, http, f"Bearer {key}", messages=secret_prompt)
    await ask(gateway, http, f"Bearer {key[:-1]}x")
    requests = await gateway.until_said("request", 2)
    logged = "\n".join(gateway.lines)
    assert "darkest" not in logged and key[15:40] not in logged
    assert all(line["request_id"] for line in requests)
