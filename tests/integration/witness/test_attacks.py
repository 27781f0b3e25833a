"""Attacks on the log, each found by `verify` or refused by a witness, naming the place.

Everything is real: PostgreSQL, the sequencer as a process, two witnesses as processes, the same
verification `fedctl ledger verify` runs. The attacker is a superuser of the database who switches
triggers off; where it says so, one who has stolen the log's key as well.
"""

import asyncio
import shutil
import subprocess
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

import pytest
import pytest_asyncio

from daemons.sequencer.settings import SequencerSettings
from daemons.witness.shell import STATE
from fedctl.log_access import LogAccess
from fedctl.log_verify import Verified, verify_log
from ledger import merkle
from ledger.add_checkpoint import Request
from ledger.append import send
from ledger.checkpoint import Checkpoint
from ledger.connect import connect_dsn
from ledger.findings import Fault, Finding
from ledger.note import SignerKey
from tests.support.postgres import Server
from tests.support.sequencer import process, settings
from tests.support.stored_log import StoredLog, event
from tests.support.tlog import MemoryLog, log_key
from tests.support.witnesses import RunningWitness, witness_size

pytestmark = [pytest.mark.postgres, pytest.mark.timeout(180)]
WAIT_SECONDS = 120


@dataclass
class World:
    """A log under way: its database, its sequencer's settings, its witnesses, its operator."""

    server: Server
    log: StoredLog
    sequencer: SequencerSettings
    witnesses: tuple[RunningWitness, ...]
    access: LogAccess

    @asynccontextmanager
    async def sequencing(self) -> AsyncIterator[None]:
        """With the sequencer running."""
        async with process(self.sequencer):
            yield

    async def write(self, count: int, moment: datetime | None = None) -> None:
        """Append events, and wait until both witnesses have cosigned all of them."""
        await self.log.append(count, *([moment] if moment else []))
        await self.cosigned(self.log.count)

    async def cosigned(self, size: int) -> None:
        """Wait until the log keeps both witnesses' cosignatures of this size."""
        query = b"SELECT count(*) AS n FROM ledger.cosignatures WHERE size >= %s"
        async with asyncio.timeout(WAIT_SECONDS):
            while True:
                cursor = await self.log.connection.execute(query, (size,))
                row = await cursor.fetchone()
                if row and row["n"] >= len(self.witnesses):
                    return
                await asyncio.sleep(0.05)

    async def verify(self, *, full: bool = True) -> Verified:
        """What `fedctl ledger verify` finds."""
        return await verify_log(
            self.access, full=full, with_witnesses=True, tell=lambda progress: None
        )


@pytest_asyncio.fixture
async def world(
    database: Server,
    log: StoredLog,
    witnesses: tuple[RunningWitness, ...],
    tmp_path: Path,
) -> AsyncIterator[World]:
    known = [
        {
            "name": each.name,
            "url": f"https://localhost:{each.port}",
            "address": "127.0.0.1",
            "vkey": each.key.verifier.text(),
        }
        for each in witnesses
    ]
    clients = database.root / "clients"
    access = LogAccess(
        settings=database.settings("operator"),
        log=log.key.verifier,
        witnesses=tuple(each.known for each in witnesses),
        memory=tmp_path / "ledger-verified.json",
        authority=database.root / "ca.pem",
        certificate=clients / "operator.pem",
        key=clients / "operator.key",
    )
    sequencer = settings(database, tmp_path / "sequencer", witnesses=known)
    yield World(database, log, sequencer, witnesses, access)


def first(done: Verified) -> Finding:
    found = done.report.first
    assert found is not None
    return found


async def test_a_log_nobody_touched_is_clean(world: World) -> None:
    async with world.sequencing():
        await world.write(300)
        await world.write(40)
        done = await world.verify()
    assert done.report.ok, done.report.findings
    assert (done.report.size, len(done.said), done.silent) == (340, 2, {})
    assert {each.seen.size for each in done.said} == {340}


async def test_a_log_that_grows_while_it_is_verified_is_clean(world: World) -> None:
    """Witnesses sign on while they are asked: nobody has to hold still."""
    async with world.sequencing():
        await world.write(50)
        writing = asyncio.create_task(keep_writing(world))
        for _ in range(12):
            done = await world.verify()
            assert done.report.ok, done.report.findings
        writing.cancel()
        await asyncio.gather(writing, return_exceptions=True)
    assert done.report.size > 60


async def keep_writing(world: World) -> None:
    async with await connect_dsn(world.server.dsn("postgres")) as connection:
        for n in range(100, 100_000, 5):
            await send(connection, [event(n + each).canonical() for each in range(5)])
            await asyncio.sleep(0.02)


@dataclass(frozen=True)
class Case:
    """One attack: what the superuser does, and what is found."""

    name: str
    statements: tuple[str, ...]
    fault: Fault
    seq: int
    place: str


EDIT = (
    "UPDATE ledger.log SET subject = 'thong 40', body = convert_to("
    "replace(convert_from(body, 'UTF8'), 'thing 40\"', 'thong 40\"'), 'UTF8') WHERE seq = 40"
)
REHASH = "UPDATE ledger.log SET leaf_hash = sha256('\\x00'::bytea || body) WHERE seq = 40"
CASES = [
    Case("a row is edited", (EDIT,), Fault.EDITED, 40, "event 40"),
    Case("a row is edited with its hash", (EDIT, REHASH), Fault.EDITED, 40, "event 40"),
    Case(
        "a row is deleted from the middle",
        ("DELETE FROM ledger.log WHERE seq = 150",),
        Fault.MISSING, 150, "event 150",
    ),
    Case(
        "the tail is cut",
        ("DELETE FROM ledger.log WHERE seq >= 290",),
        Fault.CUT, 290, "event 290",
    ),
    Case(
        "a partition is dropped",
        ("DROP TABLE ledger.log_2026_08",),
        Fault.PARTITION, 100, "partition log_2026_08",
    ),
]  # fmt: skip


@pytest.mark.parametrize("case", CASES, ids=[case.name for case in CASES])
async def test_what_a_superuser_does_to_the_rows_is_found(world: World, case: Case) -> None:
    await world.log.connection.execute(
        "SELECT ledger.make_partitions('2026-07-01'::timestamptz, 0)"
    )
    async with world.sequencing():
        for month in (7, 8, 9):
            await world.write(100, datetime(2026, month, 5, tzinfo=UTC))
        assert (await world.verify()).report.ok
        await world.log.run(*case.statements)
        for full in (True, False):
            found = first(await world.verify(full=full))
            assert (found.fault, found.place, found.seq) == (case.fault, case.place, case.seq)
            if case.seq < 256:
                # Quick begins at the block the last one ended in: the rest is --full's.
                break


async def test_a_tail_cut_so_that_everything_fits_is_missed_by_the_witnesses(world: World) -> None:
    """The whole log is put back by hand to its first 300 events, signatures and all."""
    async with world.sequencing():
        await world.write(300)
        async with await connect_dsn(world.server.dsn("postgres")) as connection:
            cursor = await connection.execute(b"SELECT * FROM ledger.log_state")
            before = await cursor.fetchone()
            cursor = await connection.execute(b"SELECT level, index, hashes FROM ledger.tiles")
            tiles = await cursor.fetchall()
        await world.write(200)
    assert before is not None
    await world.log.run(
        "DELETE FROM ledger.log WHERE seq >= 300",
        "DELETE FROM ledger.cosignatures WHERE size > 300",
        "DELETE FROM ledger.checkpoints WHERE size > 300",
        "TRUNCATE ledger.tiles",
    )
    put = "INSERT INTO ledger.tiles (level, index, hashes) VALUES (%s, %s, %s)"
    for tile in tiles:
        await world.log.run(put, values=(tile["level"], tile["index"], tile["hashes"]))
    await world.log.run(
        "UPDATE ledger.log_state SET size = 300, tree_size = 300, frontier = %s, root = %s",
        values=(before["frontier"], before["root"]),
    )
    done = await world.verify()
    assert {(f.fault, f.place, f.seq, f.until) for f in done.report.findings} == {
        (Fault.ROLLED_BACK, "witness red", 300, 499),
        (Fault.ROLLED_BACK, "witness blue", 300, 499),
    }


async def test_an_old_backup_put_back_as_if_current_is_found_and_refused(world: World) -> None:
    server = world.server
    async with world.sequencing():
        await world.write(300)
    await world.log.connection.close()
    # Not in a thread: the server ends with the thread that started it.
    backup = copy_cluster(server)
    try:
        world.log.connection = await connect_dsn(server.dsn("postgres"))
        async with world.sequencing():
            await world.write(200)
        assert (await world.verify()).report.ok
        await world.log.connection.close()
        put_back(server, backup)
    finally:
        shutil.rmtree(backup, ignore_errors=True)
    world.log.connection = await connect_dsn(server.dsn("postgres"))
    # As it is: both witnesses and the operator know more.
    done = await world.verify()
    assert {(f.fault, f.seq) for f in done.report.findings} == {(Fault.ROLLED_BACK, 300)}
    assert len(done.report.findings) == 3
    # Goes on as if nothing had been: the witnesses do not.
    world.log.count = 600
    async with world.sequencing():
        await world.log.append(250)
        await numbered(world, 550)
        await refused(world, "inconsistent")
    assert all(each.memory["size"] == 500 for each in world.witnesses)
    assert all(each.evidence for each in world.witnesses)
    done = await world.verify()
    assert {f.fault for f in done.report.findings} == {Fault.EQUIVOCATION, Fault.REWRITTEN}
    found = first(done)
    # Between what witnesses saw last before and what they saw after.
    assert found.seq is not None
    assert found.seq <= 300 <= (found.until or 0)


def copy_cluster(server: Server) -> Path:
    """A copy of the data folder, taken while the server is down."""
    backup = server.root / "backup"
    server.stop("fast")
    subprocess.run(["cp", "-a", server.data, backup], check=True)
    server.start()
    return backup


def put_back(server: Server, backup: Path) -> None:
    """The older data folder in the place of the newer."""
    server.stop("fast")
    shutil.rmtree(server.data)
    subprocess.run(["cp", "-a", backup, server.data], check=True)
    server.start()


async def numbered(world: World, size: int) -> None:
    """Wait until the sequencer has signed a head of this size."""
    query = b"SELECT max(size) AS n FROM ledger.checkpoints"
    async with asyncio.timeout(WAIT_SECONDS):
        while True:
            row = await (await world.log.connection.execute(query)).fetchone()
            if row and (row["n"] or 0) >= size:
                return
            await asyncio.sleep(0.05)


async def refused(world: World, result: str) -> None:
    """Wait until every witness has refused a head in this way."""
    sample = f'witness_requests_total{{result="{result}"}} '

    def counts(each: RunningWitness) -> float:
        text = each.ask("GET", "/metrics")[1].decode()
        return float(text.split(sample, 1)[1].split("\n", 1)[0])

    async with asyncio.timeout(WAIT_SECONDS):
        for each in world.witnesses:
            while not await asyncio.to_thread(counts, each):  # noqa: ASYNC110
                await asyncio.sleep(0.1)


async def test_two_histories_shown_to_two_witnesses_are_found(world: World) -> None:
    """A thief of the log's key shows red the log, and blue, which was away, one of his own."""
    red, blue = world.witnesses
    async with world.sequencing():
        await world.write(100)
        blue.stop()
        await world.log.append(200)
        await red_has(red, 300)
    forged = fork(world, 100, 300)
    blue.start()
    shown = Request(100, tuple(forged.consistency(100, 300)), forged.checkpoint().encode().encode())
    assert blue.add(shown)[0] == 200
    # Red saw the other one: it refuses this, and keeps it.
    assert red.add(shown)[0] == 409
    assert red.evidence[0]["found"] == "equivocation"
    done = await world.verify()
    assert first(done).fault is Fault.EQUIVOCATION
    assert (first(done).place, first(done).seq, first(done).until) == ("witness blue", 100, 299)
    assert [f.place for f in done.report.findings] == ["witness blue"]
    # And blue does not take the true one back.
    async with world.sequencing():
        await world.log.append(10)
        await numbered(world, 310)
        await asyncio.to_thread(until_evidence, blue)
    assert witness_size(blue) == 300


async def red_has(red: RunningWitness, size: int) -> None:
    async with asyncio.timeout(WAIT_SECONDS):
        while await asyncio.to_thread(witness_size, red) < size:  # noqa: ASYNC110
            await asyncio.sleep(0.05)


def until_evidence(witness: RunningWitness) -> None:
    for _ in range(600):
        if witness.evidence:
            return
        time.sleep(0.1)
    raise AssertionError(f"the witness {witness.name} kept no evidence")


def fork(world: World, same: int, size: int) -> MemoryLog:
    """Another history with the first `same` events in common, signed with the stolen key."""
    bodies = [event(n).canonical() for n in range(same)]
    bodies += [event(n, text="forged").canonical() for n in range(same, size)]
    return MemoryLog(world.log.key, bodies)


@pytest.mark.parametrize("thief", [log_key(9), log_key(1, "stranger.example/log")])
async def test_a_checkpoint_forged_with_another_key_is_found_and_refused(
    world: World, thief: SignerKey
) -> None:
    async with world.sequencing():
        await world.write(120)
    forged = fork(world, 60, 120)
    note = Checkpoint(thief.name, 120, forged.root()).signed(thief).encode()
    for each in world.witnesses:
        proof = tuple(forged.consistency(120, 120))
        assert each.add(Request(120, proof, note.encode()))[0] in (403, 404)
    await world.log.run("UPDATE ledger.checkpoints SET note = %s WHERE size = 120", values=(note,))
    found = first(await world.verify())
    assert (found.fault, found.place) == (Fault.CHECKPOINT, "checkpoint of 120 events")


async def test_a_checkpoint_that_was_tampered_with_is_found(world: World) -> None:
    async with world.sequencing():
        await world.write(120)
    await world.log.run(
        "UPDATE ledger.checkpoints SET root = sha256('x'), note = replace(note, "
        "encode(root, 'base64'), encode(sha256('x'), 'base64')) WHERE size = 120"
    )
    found = first(await world.verify())
    assert (found.fault, found.place) == (Fault.CHECKPOINT, "checkpoint of 120 events")


async def test_a_cosignature_that_was_forged_is_found(world: World) -> None:
    async with world.sequencing():
        await world.write(120)
    blue = world.witnesses[1]
    line = blue.key.sign("another\n1\n\n", 1).line()
    await world.log.run(
        "UPDATE ledger.cosignatures SET line = %s WHERE size = 120 AND witness = %s",
        values=(line, blue.key.name),
    )
    [found] = (await world.verify()).report.findings
    assert (found.fault, blue.key.name in found.place) == (Fault.WITNESS, True)


@pytest.mark.parametrize("covered_up", [False, True])
async def test_a_witness_whose_state_was_rolled_back_is_named(
    world: World, tmp_path: Path, covered_up: bool
) -> None:
    """By its own signatures in the log; where those are deleted too, by the operator's memory."""
    red = world.witnesses[0]
    async with world.sequencing():
        await world.write(100)
        shutil.copy(red.state / STATE, tmp_path / "old")
        await world.write(100)
    assert (await world.verify()).report.ok
    red.stop()
    shutil.copy(tmp_path / "old", red.state / STATE)
    red.start()
    if covered_up:
        await world.log.run("DELETE FROM ledger.cosignatures WHERE size > 100")
    [found] = (await world.verify()).report.findings
    assert (found.fault, found.place) == (Fault.WITNESS_ROLLED_BACK, "witness red")
    assert ("it signed for 200" in found.text) is not covered_up


async def test_a_witness_that_lost_its_state_is_named(world: World) -> None:
    red = world.witnesses[0]
    async with world.sequencing():
        await world.write(100)
    red.stop()
    (red.state / STATE).unlink()
    red.start()
    [found] = (await world.verify()).report.findings
    assert (found.fault, found.place) == (Fault.WITNESS_ROLLED_BACK, "witness red")


async def test_a_whole_history_rewritten_with_the_stolen_key_is_found(world: World) -> None:
    """Rows, tiles, state and heads all fit, freshly signed: only memories outside do not."""
    async with world.sequencing():
        await world.write(100)
        await world.write(200)
    await world.log.run(
        "TRUNCATE ledger.log, ledger.tiles, ledger.checkpoints, ledger.cosignatures",
        "UPDATE ledger.log_state SET size = 0, tree_size = 0, frontier = '', root = sha256('')",
    )
    forged = fork(world, 150, 300)
    for at in range(0, 300, 100):
        await send(world.log.connection, forged.bodies[at : at + 100])
    await world.log.number()
    await world.log.sign()
    done = await world.verify()
    assert {f.fault for f in done.report.findings} == {Fault.EQUIVOCATION}
    assert {f.place for f in done.report.findings} == {"witness red", "witness blue"}
    # Each saw the first 100 events, which are still the same, and then 300.
    assert (first(done).seq, first(done).until) == (100, 299)
    assert done.report.root == merkle.root(map(merkle.leaf_hash, forged.bodies))
