"""What answers about keys take at a real gateway: of keys that do not work, and about oneself.

One gateway process with everything on, a small engine, a real PostgreSQL, all over TLS, one
connection. `GET /v1/keys/self` and the rotation are asked once of each of some keys (a gateway
answers either once a second for a key), first with few others in the ledger, then with 100,000.
"""

import asyncio
import itertools
import random
import statistics
import tempfile
import time
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from functools import partial
from pathlib import Path
from typing import Any

import aiohttp

from ledger import keys
from ledger.connect import connect
from tests.bench.key_decay import FILL_KEYS
from tests.support.gateway import Gateway, until, write_node_files
from tests.support.medians import p_value
from tests.support.postgres import Server, throwaway
from tests.support.upstream import Engine
from trust import apikeys
from trust.tls import server_context

ROUNDS = 400
ASKED = 60


@dataclass(frozen=True)
class Answers:
    """Seconds by what was shown, then of each own question with few keys and with many."""

    refusals: dict[str, list[float]]
    own: dict[str, tuple[list[float], list[float]]]


def measure() -> Answers:
    """All of it, on a server of its own."""
    with throwaway() as server, tempfile.TemporaryDirectory() as folder:
        server.fresh_database()
        return asyncio.run(_measured(server, Path(folder)))


async def _measured(server: Server, folder: Path) -> Answers:
    write_node_files(folder, server, "gateway")
    tls = server_context(folder / "node.pem", folder / "tls.key", server.root / "ca.pem")
    engine = Engine(tls=tls)
    await engine.start()
    upstream = {"name": "engine", "url": f"https://localhost:{engine.port}"}
    # A busy machine's ledger is slow, not away.
    patient = {"ledger": {"acquire_timeout_seconds": 20}}
    gateway = Gateway(folder, server, [upstream], patient)
    await gateway.start()
    connector = aiohttp.TCPConnector(ssl=gateway.client_tls, limit=1)
    try:
        async with aiohttp.ClientSession(connector=connector) as http:
            refusals = await _refusals(gateway, http)
            few = await _own(gateway, http)
            server.psql(FILL_KEYS, "federation")
            server.psql("VACUUM ANALYZE", "federation")
            many = await _own(gateway, http)
    finally:
        await gateway.stop()
        await engine.stop()
    return Answers(refusals, {name: (few[name], many[name]) for name in few})


async def _refusals(gateway: Gateway, http: aiohttp.ClientSession) -> dict[str, list[float]]:
    good, revoked = await gateway.key(), await gateway.key()
    await until(partial(_served, gateway, http, good))
    wrong = apikeys.ApiKey(apikeys.parse(good).id, apikeys.generate().secret).reveal()
    expired = await gateway.key(expires_at=datetime.now(UTC) + timedelta(seconds=1))
    async with await connect(gateway.database.settings("operator")) as connection:
        await keys.revoke(connection, apikeys.parse(revoked).id, reason="x", actor="x")
    await asyncio.sleep(1)
    shown = {
        "unknown id": apikeys.generate().reveal(), "wrong secret": wrong, "expired": expired,
        "revoked": revoked,
    }  # fmt: skip
    found: dict[str, list[float]] = {name: [] for name in shown}
    rng = random.Random(3)  # noqa: S311
    for _ in range(ROUNDS):
        for name in rng.sample(list(shown), len(shown)):
            found[name].append(await _asked(gateway, http, shown[name], "GET", "/v1/models", 401))
    return found


async def _served(gateway: Gateway, http: aiohttp.ClientSession, key: str) -> bool:
    """Whether it has found its ledger and its engine."""
    try:
        await _asked(gateway, http, key, "GET", "/v1/models", 200)
    except RuntimeError:
        return False
    return True


async def _own(gateway: Gateway, http: aiohttp.ClientSession) -> dict[str, list[float]]:
    made = [await gateway.key() for _ in range(ASKED)]
    for key in made:
        await _asked(gateway, http, key, "GET", "/v1/models", 200)
    looks = [await _asked(gateway, http, key, "GET", "/v1/keys/self", 200) for key in made]
    await asyncio.sleep(1)
    turns = [await _asked(gateway, http, key, "POST", "/v1/keys/self/rotate", 200) for key in made]
    return {"GET /v1/keys/self": looks, "POST /v1/keys/self/rotate": turns}


async def _asked(
    gateway: Gateway, http: aiohttp.ClientSession, key: str, method: str, path: str, status: int
) -> float:
    body: dict[str, Any] = {"json": {}} if method == "POST" else {}
    began = time.perf_counter()
    async with http.request(
        method, gateway.url + path, headers={"Authorization": f"Bearer {key}"}, **body
    ) as answer:
        text = await answer.text()
    if answer.status != status:
        raise RuntimeError(f"{method} {path}: {answer.status} {text[:200]}")
    return time.perf_counter() - began


def refusals_table(answers: Answers) -> str:
    """What each kind of wrong key takes, as rows of Markdown."""
    return "\n".join(
        f"| {name} | {len(seconds)} | {_spread(seconds)} |"
        for name, seconds in answers.refusals.items()
    )


def least_p(answers: Answers) -> tuple[float, str]:
    """The smallest p of all pairs, and which pair it is."""
    rng = random.Random(5)  # noqa: S311
    pairs = itertools.combinations(answers.refusals.items(), 2)
    return min(
        (p_value(one, other, rng), f"{name} and {second}") for (name, one), (second, other) in pairs
    )


def own_table(answers: Answers) -> str:
    """What a key's questions about itself take, as rows of Markdown."""
    return "\n".join(
        f"| `{name}` | {_spread(few)} | {_spread(many)} |"
        for name, (few, many) in answers.own.items()
    )


def _spread(seconds: Iterable[float]) -> str:
    cuts = statistics.quantiles(seconds, n=20)
    return " | ".join(f"{cuts[at] * 1000:.1f}" for at in (0, 9, 18))
