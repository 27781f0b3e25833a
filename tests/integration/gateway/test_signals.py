"""What a stolen key looks like, at a real gateway: two places at once, a signed request again."""

from collections.abc import AsyncIterator
from datetime import UTC, datetime

import aiohttp
import pytest_asyncio

from tests.integration.gateway.conftest import Starter
from tests.integration.gateway.test_key_life import BODY, history, own
from tests.support.gateway import Gateway, until
from trust import apikeys, strength
from trust.strength import Misuse

SITES = {"here": ["127.0.1.0/24", "127.0.3.0/24"], "there": ["127.0.2.0/24"]}


@pytest_asyncio.fixture(loop_scope="session")
async def places() -> AsyncIterator[list[aiohttp.ClientSession]]:
    """Clients at two addresses of one site, and at another site's."""
    sessions = [
        aiohttp.ClientSession(connector=aiohttp.TCPConnector(local_addr=(address, 0)))
        for address in ("127.0.1.1", "127.0.3.1", "127.0.2.1")
    ]
    yield sessions
    for session in sessions:
        await session.close()


async def asked(gateway: Gateway, http: aiohttp.ClientSession, key: str) -> int:
    async with http.post(
        gateway.url + "/v1/chat/completions",
        json=BODY,
        headers={"Authorization": f"Bearer {key}"},
        ssl=gateway.client_tls,
    ) as answer:
        await answer.read()
        return answer.status


async def weighing(gateway: Gateway, key: str) -> dict[Misuse, float]:
    state = (await history(gateway, key)).state
    weighed = strength.weighed_misuses(state, datetime.now(UTC).timestamp())
    return {kind: points for kind, points in weighed if points}


async def test_a_key_in_use_at_two_places_by_turns_is_noted_once_and_a_moving_one_is_not(
    start: Starter, http: aiohttp.ClientSession, places: list[aiohttp.ClientSession]
) -> None:
    # A busy machine's ledger is slow, not away.
    gateway = await start(keys={"sites": SITES}, ledger={"acquire_timeout_seconds": 20})
    here, also_here, there = places
    stolen, moving, guessed, first = [await gateway.key() for _ in range(4)]

    async def serves() -> bool:
        return await asked(gateway, http, first) == 200

    await until(serves)
    other = apikeys.ApiKey(apikeys.parse(guessed).id, apikeys.generate().secret).reveal()
    for _ in range(4):
        assert await asked(gateway, here, moving) == await asked(gateway, also_here, moving) == 200
        # Whoever only knows a key's id puts it nowhere.
        assert await asked(gateway, here, guessed) == 200
        assert await asked(gateway, there, other) == 401
    for session in (there, here, there):
        assert await asked(gateway, session, moving) == 200
    for _ in range(4):
        assert await asked(gateway, here, stolen) == await asked(gateway, there, stolen) == 200

    async def noted() -> bool:
        return bool(await weighing(gateway, stolen))

    await until(noted)
    points = await weighing(gateway, stolen)
    assert set(points) == {Misuse.DISTANT_SOURCES}
    assert points[Misuse.DISTANT_SOURCES] <= 2 * Misuse.DISTANT_SOURCES.points  # a period may end
    assert await weighing(gateway, moving) == await weighing(gateway, guessed) == {}
    shown = await own(gateway, http, stolen)
    assert set(shown["misuse"]) == {"distant_sources"}
    assert "two distant sources at once" in shown["explanation"]
    assert "history is too young (0 of 24 hours" in shown["explanation"]
