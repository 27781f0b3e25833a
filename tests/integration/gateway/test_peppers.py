"""A rotation of the pepper at a real gateway: both versions work, the newest makes new keys.

One test: what it needs is a gateway that starts twice.
"""

from pathlib import Path

import aiohttp

from ledger import keys
from ledger.connect import connect
from ledger.pepper_uses import pepper_uses
from tests.integration.gateway.conftest import upstreams
from tests.support.gateway import Gateway
from tests.support.postgres import Server
from tests.support.upstream import Engine
from trust import apikeys
from trust.apikeys import Pepper
from trust.peppers import Peppers


async def ask(
    gateway: Gateway, http: aiohttp.ClientSession, key: str, path: str
) -> tuple[int, str]:
    """The status, and the new key where one was asked for."""
    ask, body = (http.post, {"json": {}}) if path.endswith("rotate") else (http.get, {})
    headers = {"Authorization": f"Bearer {key}"}
    async with ask(gateway.url + path, headers=headers, ssl=gateway.client_tls, **body) as answer:
        return answer.status, str((await answer.json()).get("key", ""))


async def issue(ledger: Server, pepper: Pepper) -> str:
    async with await connect(ledger.settings("operator")) as connection:
        key, _ = await keys.issue(
            connection, pepper, name="x", scopes=["inference"], models=None, expires_at=None,
            actor="tests",
        )  # fmt: skip
        return key.reveal()


async def live(ledger: Server) -> dict[int, int]:
    async with await connect(ledger.settings("operator")) as connection:
        return {use.version: use.live for use in await pepper_uses(connection)}


async def test_keys_of_both_peppers_work_until_the_old_one_is_dropped(
    folder: Path, ledger: Server, engine: Engine, http: aiohttp.ClientSession
) -> None:
    file = folder / "key-pepper"
    one = Peppers.parse(file.read_text())
    both = one.with_new().with_current(2)
    file.write_text(both.text())
    first, second = await issue(ledger, one.current), await issue(ledger, one.current)
    third = await issue(ledger, both.current)
    gateway = Gateway(folder, ledger, upstreams(engine))
    await gateway.start()
    try:
        said, fourth = await ask(gateway, http, first, "/v1/keys/self/rotate")
        assert said == 200
        for key in (second, third, fourth):
            assert (await ask(gateway, http, key, "/v1/keys/self"))[0] == 200
        assert await live(ledger) == {1: 2, 2: 2}
        async with await connect(ledger.settings("operator")) as connection:
            # A key that is revoked takes its successor along.
            await keys.revoke(connection, apikeys.parse(first).id, reason="old", actor="tests")
        assert await live(ledger) == {1: 1, 2: 1}
        await gateway.stop()

        file.write_text(both.without(1).text())
        await gateway.start_again()
        shown = [await ask(gateway, http, key, "/v1/keys/self") for key in (second, third)]
        assert [status for status, _ in shown] == [401, 200]
        await gateway.until_said("key under a pepper that is not here")
    finally:
        await gateway.stop()
