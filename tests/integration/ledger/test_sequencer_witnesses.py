"""Heads offered to witnesses over mutual TLS: real ones, dead, slow, ahead, forgetful, forging."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

from aiohttp import web

from daemons.witness.main import Witness, application
from daemons.witness.shell import Store
from ledger.append import append_bytes
from ledger.connect import connect_dsn
from ledger.note import Kind, Note, SignerKey
from tests.support import sequencer
from tests.support.gateway import write_node_files
from tests.support.postgres import Server
from tests.support.signers import signer_of
from tests.support.stored_log import event
from tests.support.tlog import MemoryLog, log_key, witness_key
from tests.support.witnesses import make_witness, running, witness_size
from trust.tls import server_context

# Whoever waited for such a witness would be later than any test waits for the good one.
PATIENCE_SECONDS = 50.0
Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]


@asynccontextmanager
async def served(server: Server, folder: Path, app: web.Application) -> AsyncIterator[int]:
    """The application over TLS, for holders of a certificate; its port."""
    folder.mkdir(parents=True, exist_ok=True)  # noqa: ASYNC240
    write_node_files(folder, server, folder.name)
    context = server_context(folder / "node.pem", folder / "tls.key", server.root / "ca.pem")
    runner = web.AppRunner(app, shutdown_timeout=0.1)
    await runner.setup()
    try:
        site = web.TCPSite(runner, "127.0.0.1", 0, ssl_context=context)
        await site.start()
        yield runner.addresses[0][1]
    finally:
        await runner.cleanup()


@asynccontextmanager
async def witnessing(
    server: Server, folder: Path, seed: int, witness: Witness | None = None
) -> AsyncIterator[dict[str, Any]]:
    """A real witness; its section of the sequencer's settings."""
    key = witness_key(folder.name, seed)
    folder.mkdir(parents=True, exist_ok=True)  # noqa: ASYNC240
    log = log_key().verifier
    found = witness or Witness(key, (log,), Store(folder, log.name))
    async with served(server, folder, application(found)) as port:
        yield section(folder.name, port, key)


@asynccontextmanager
async def pretending(
    server: Server, folder: Path, answer: Handler
) -> AsyncIterator[dict[str, Any]]:
    """Something that is asked like a witness."""
    app = web.Application()
    app.router.add_post("/add-checkpoint", answer)
    async with served(server, folder, app) as port:
        yield section(folder.name, port, witness_key(folder.name, 77))


def section(name: str, port: int, key: SignerKey) -> dict[str, Any]:
    return {
        "name": name,
        "url": f"https://localhost:{port}",
        "address": "127.0.0.1",
        "vkey": key.verifier.text(),
    }


async def grow(server: Server, start: int, stop: int) -> None:
    made = [event(n).canonical() for n in range(start, stop)]
    await append_bytes(server.settings("operator"), made)


def witnessed(name: str) -> str:
    return f'witnessed_size{{witness="{name}"}}'


def trouble(name: str) -> str:
    return f'witness_trouble{{witness="{name}"}}'


async def test_every_head_is_cosigned_and_kept(database: Server, tmp_path: Path) -> None:
    async with (
        witnessing(database, tmp_path / "one", 11) as one,
        witnessing(database, tmp_path / "two", 12) as two,
    ):
        plain = sequencer.settings(database, tmp_path / "s", witnesses=[one, two])
        async with sequencer.running(plain) as daemon:
            for at in (0, 3, 300, 700):
                await grow(database, at, {0: 3, 3: 300, 300: 700, 700: 701}[at])
                size = {0: 3, 3: 300, 300: 700, 700: 701}[at]
                await daemon.until(witnessed("one"), size)
                await daemon.until(witnessed("two"), size)
            shown = await daemon.metrics()
            assert shown[trouble("one")] == shown[trouble("two")] == 0
        async with await connect_dsn(database.dsn("postgres")) as connection:
            cursor = await connection.execute(
                "SELECT k.note, c.line FROM ledger.cosignatures c JOIN ledger.checkpoints k"
                " USING (size) WHERE size = 701"
            )
            rows = await cursor.fetchall()
    assert len(rows) == 2
    keys = [witness_key("one", 11).verifier, witness_key("two", 12).verifier]
    both = Note.parse(rows[0]["note"] + "".join(row["line"] for row in rows))
    assert set(both.verified([*keys, log_key().verifier])) == {*keys, log_key().verifier}


async def test_a_restarted_sequencer_goes_on_where_the_witness_is(
    database: Server, tmp_path: Path
) -> None:
    async with witnessing(database, tmp_path / "one", 11) as one:
        plain = sequencer.settings(database, tmp_path / "s", witnesses=[one])
        for at in (0, 50):
            async with sequencer.running(plain) as daemon:
                await grow(database, at, at + 50)
                await daemon.until(witnessed("one"), at + 50)
        async with await connect_dsn(database.dsn("postgres")) as connection:
            # The log has lost what it knew of the witness: it asks.
            await connection.execute("SET session_replication_role = replica")
            await connection.execute("DELETE FROM ledger.cosignatures")
        async with sequencer.running(plain) as daemon:
            await daemon.until(witnessed("one"), 100)
            await grow(database, 100, 101)
            await daemon.until(witnessed("one"), 101)
            assert (await daemon.metrics())[trouble("one")] == 0


async def test_dead_slow_and_babbling_witnesses_delay_nobody(
    database: Server, tmp_path: Path
) -> None:
    async def never(request: web.Request) -> web.StreamResponse:
        await asyncio.sleep(60)
        raise web.HTTPBadGateway

    async def babble(request: web.Request) -> web.StreamResponse:
        answer = web.StreamResponse()
        await answer.prepare(request)
        while True:
            await answer.write(b"x" * 65536)

    dead = section("dead", 1, witness_key("dead", 5))
    async with (
        witnessing(database, tmp_path / "good", 11) as good,
        pretending(database, tmp_path / "slow", never) as slow,
        pretending(database, tmp_path / "babbler", babble) as babbler,
    ):
        plain = sequencer.settings(
            database,
            tmp_path / "s",
            witnesses=[dead, slow, babbler, good],
            witness_timeout_seconds=PATIENCE_SECONDS,
        )
        async with sequencer.running(plain) as daemon:
            for n in range(10):
                await grow(database, n * 10, n * 10 + 10)
                await daemon.until(witnessed("good"), n * 10 + 10, seconds=30)
            shown = await daemon.metrics()
    assert shown['witness_answers_total{outcome="failed",witness="dead"}'] >= 1
    assert shown[witnessed("slow")] == shown[witnessed("babbler")] == 0


async def test_a_witness_that_has_seen_more_than_there_is_raises_an_alarm(
    database: Server, tmp_path: Path
) -> None:
    """An old copy of the database was put in place: the log is shorter than what was cosigned."""
    async with witnessing(database, tmp_path / "one", 11) as one:
        plain = sequencer.settings(database, tmp_path / "s", witnesses=[one])
        async with sequencer.running(plain) as daemon:
            await grow(database, 0, 30)
            await daemon.until(witnessed("one"), 30)
        database.fresh_database()
        async with sequencer.running(plain) as daemon:
            await grow(database, 0, 20)
            await daemon.until(trouble("one"), 1)
            shown = await daemon.metrics()
            assert shown['witness_answers_total{outcome="ahead",witness="one"}'] >= 1
            assert shown["signed_size"] == 20


async def test_a_witness_of_another_history_raises_an_alarm(
    database: Server, tmp_path: Path
) -> None:
    folder = tmp_path / "one"
    folder.mkdir()
    other = MemoryLog.of(7)
    witness = Witness(witness_key("one", 11), (log_key().verifier,), Store(folder, log_key().name))
    old = b"old 0\n\n" + other.checkpoint().encode().encode()
    assert (await witness.add(old))[0] == 200
    async with witnessing(database, folder, 11, witness) as one:
        plain = sequencer.settings(database, tmp_path / "s", witnesses=[one])
        async with sequencer.running(plain) as daemon:
            await grow(database, 0, 20)
            await daemon.until(trouble("one"), 1)
            assert (await daemon.metrics())[witnessed("one")] == 0


async def test_a_witness_that_went_back_is_noticed(database: Server, tmp_path: Path) -> None:
    folder = tmp_path / "one"
    async with witnessing(database, folder, 11) as one:
        plain = sequencer.settings(database, tmp_path / "s", witnesses=[one])
        async with sequencer.running(plain) as daemon:
            await grow(database, 0, 20)
            await daemon.until(witnessed("one"), 20)
    (folder / "state.json").unlink()
    async with witnessing(database, folder, 11) as one:
        plain = sequencer.settings(database, tmp_path / "s2", witnesses=[one])
        async with sequencer.running(plain) as daemon:
            await grow(database, 20, 40)
            await daemon.until(trouble("one"), 1)
            await daemon.until(witnessed("one"), 40)
            shown = await daemon.metrics()
            assert shown['witness_answers_total{outcome="rolled_back",witness="one"}'] == 1
            assert shown[trouble("one")] == 1, "it is said until somebody has looked"


async def test_a_forged_cosignature_is_not_kept(database: Server, tmp_path: Path) -> None:
    async def forge(request: web.Request) -> web.StreamResponse:
        body = await request.read()
        text = body.partition(b"\n\n")[2].decode().rpartition("\n\n")[0] + "\n"
        # The right name, by somebody else's key: the id is made to match, the signature cannot be.
        key = witness_key("forger", 78)
        forged = key.sign(text, 5)
        real = witness_key("forger", 77).verifier.key_id
        line = type(forged)(forged.name, real, forged.signature).line()
        return web.Response(text=line)

    async with pretending(database, tmp_path / "forger", forge) as forger:
        plain = sequencer.settings(database, tmp_path / "s", witnesses=[forger])
        async with sequencer.running(plain) as daemon:
            await grow(database, 0, 20)
            await daemon.until(trouble("forger"), 1)
            assert (await daemon.metrics())[witnessed("forger")] == 0


async def test_a_sequencer_signs_its_requests_and_one_that_does_not_is_counted(
    database: Server, tmp_path: Path
) -> None:
    """A witness that knows its callers; a sequencer without a key, then one with its own."""
    witness = make_witness(database, tmp_path / "w", "w", (log_key().verifier,))
    witness.takes(signer_of("sequencer", 5))
    known = section("w", witness.port, witness.key)
    own = tmp_path / "sequencer-signing"
    own.write_text(SignerKey("sequencer.fed.example/sequencer", Kind.ED25519, b"\5" * 32).text())
    with running(witness):
        plain = sequencer.settings(database, tmp_path / "s", witnesses=[known])
        async with sequencer.running(plain) as daemon:
            await grow(database, 0, 3)
            await daemon.until('witness_answers_total{outcome="unauthorized",witness="w"}', 1)
            shown = await daemon.metrics()
            # No contradiction of the log, and the log goes on.
            assert (shown[trouble("w")], shown[witnessed("w")], shown["signed_size"]) == (0, 0, 3)
        signing = plain.model_copy(update={"signing_key_path": own})
        async with sequencer.process(signing):
            async with asyncio.timeout(90):
                while witness_size(witness) < 3:  # noqa: ASYNC110
                    await asyncio.sleep(0.1)
        assert witness.memory["size"] == 3
