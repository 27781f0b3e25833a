"""Signed requests at real gateways: a dormant key's holder is served, a replay nowhere."""

import secrets
from collections.abc import AsyncIterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import aiohttp
import orjson
import pytest
import pytest_asyncio
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from ledger import possession
from ledger.connect import connect
from tests.integration.gateway.test_key_life import history, settle_to
from tests.integration.gateway.test_limits import Pair, two
from tests.support.gateway import Gateway, until
from tests.support.postgres import Server
from tests.support.upstream import MODEL, Engine
from trust import apikeys, strength
from trust.http_signatures import Request, sign
from trust.strength import Misuse
from trust.tiers import Tier

PATH = "/v1/chat/completions"
BODY = orjson.dumps({"model": MODEL, "messages": [{"role": "user", "content": "say 1"}]})


@pytest_asyncio.fixture(loop_scope="session")
async def pair(folder: Path, ledger: Server, engine: Engine, tmp_path: Path) -> AsyncIterator[Pair]:
    async with two(folder, tmp_path, ledger, engine, 21) as both:
        yield both


@pytest.fixture
def holder() -> Ed25519PrivateKey:
    """Who holds the private half of a proof key."""
    return Ed25519PrivateKey.generate()


def signed(gateway: Gateway, key: str, holder: Ed25519PrivateKey) -> dict[str, str]:
    """A request's header fields; its Host is what was signed, wherever it is sent."""
    request = Request("POST", f"{gateway.url}{PATH}", BODY)
    nonce = secrets.token_hex(16)
    fields = sign(request, apikeys.parse(key).id, holder, nonce, datetime.now(UTC))
    return {**fields, "Host": f"localhost:{gateway.port}"}


async def send(
    gateway: Gateway, http: aiohttp.ClientSession, key: str, fields: dict[str, str]
) -> tuple[int, Any]:
    headers = {"Authorization": f"Bearer {key}", "Content-Type": "application/json", **fields}
    async with http.post(
        gateway.url + PATH, data=BODY, headers=headers, ssl=gateway.client_tls
    ) as answer:
        return answer.status, (await answer.json()).get("error", {}).get("code")


async def test_a_dormant_keys_holder_is_served_once_for_each_signature(
    pair: Pair, http: aiohttp.ClientSession, ledger: Server, holder: Ed25519PrivateKey
) -> None:
    first, second = pair
    key = await first.key()
    await settle_to(first, key, Tier.DORMANT)
    assert await send(first, http, key, {}) == (403, "key_too_weak")
    assert await send(first, http, key, signed(first, key, holder)) == (403, "proof_refused")
    async with await connect(ledger.settings("operator")) as connection:
        await possession.set_public_key(
            connection, apikeys.parse(key).id, holder.public_key(), actor="tests"
        )
    fields = signed(first, key, holder)
    assert await send(first, http, key, fields) == (200, None)
    for gateway in pair:
        assert await send(gateway, http, key, fields) == (403, "proof_refused")

    async def counted() -> bool:
        state = (await history(first, key)).state
        weighed = strength.weighed_misuses(state, datetime.now(UTC).timestamp())
        return {kind for kind, points in weighed if points} == {Misuse.REPLAY}

    await until(counted)
    thief = signed(second, key, Ed25519PrivateKey.generate())
    assert await send(second, http, key, thief) == (403, "proof_refused")
    assert await send(second, http, key, signed(second, key, holder)) == (200, None)
    # Started again it knows no more than the ledger does; that suffices.
    await first.stop()
    first = Gateway(first.folder, ledger, first.upstreams, first.changes)
    await first.start()
    try:
        assert await send(first, http, key, fields) == (403, "proof_refused")
        assert await send(first, http, key, signed(first, key, holder)) == (200, None)
    finally:
        await first.stop()
