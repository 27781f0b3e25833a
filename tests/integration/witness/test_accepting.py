"""After a restore that lost events: what a person may accept, what nobody can, and what is left."""

import json
import shutil
import subprocess
import sys

import pytest

from daemons.witness.acceptance import Order
from daemons.witness.shell import RESTORES, STATE
from fedctl import accepting
from fedctl.errors import ChecksFailed, Refused
from fedctl.restores import Restore
from ledger.add_checkpoint import Request
from ledger.append import send
from ledger.checkpoint import Checkpoint
from ledger.connect import connect_dsn
from ledger.event import Event
from ledger.given_up import KIND, Extent, GivenUp
from ledger.identifiers import new_id
from ledger.merkle import EMPTY_ROOT
from tests.integration.witness.test_attacks import (
    World,
    copy_cluster,
    numbered,
    put_back,
    refused,
    world,
)
from tests.support.daemon_process import REPOSITORY
from tests.support.stored_log import START
from tests.support.witnesses import RunningWitness

__all__ = ["world"]
pytestmark = [pytest.mark.postgres, pytest.mark.timeout(240)]
KEPT, LOST = 300, 200


def run_command(each: RunningWitness, order: Order) -> "subprocess.CompletedProcess[str]":
    """What a person with root on the witness's machine runs."""
    argv = [sys.executable, "-m", "daemons.witness", "accept-restore"]
    return subprocess.run(
        [*argv, f"--config={each.folder}/witness.toml"],
        input=order.encode(), capture_output=True, text=True, cwd=REPOSITORY, check=False,
    )  # fmt: skip


async def gone_back(world: World) -> Restore:
    """The log as it was at KEPT events, after witnesses and operator had seen LOST more."""
    async with world.sequencing():
        await world.write(KEPT)
    root = (await world.verify()).report.root
    await world.log.connection.close()
    backup = copy_cluster(world.server)
    try:
        world.log.connection = await connect_dsn(world.server.dsn("postgres"))
        async with world.sequencing():
            await world.write(LOST)
        assert (await world.verify()).report.ok
        await world.log.connection.close()
        put_back(world.server, backup)
    finally:
        shutil.rmtree(backup, ignore_errors=True)
    world.log.connection = await connect_dsn(world.server.dsn("postgres"))
    world.log.count = 2 * (KEPT + LOST)
    return Restore("run-1", START.isoformat(), "latest", "a", KEPT, root.hex())


def said_so(given: GivenUp) -> Event:
    """The event `fedctl` appends."""
    return Event(new_id(), START, "here", "somebody", KIND, "events", given.data())


async def test_a_restore_is_accepted_by_a_person_and_by_nobody_else(world: World) -> None:
    restore = await gone_back(world)
    assert not (await world.verify()).report.ok
    with pytest.raises(Refused, match="no restore was made"):
        accepting.refuse_without_restore(None)
    with pytest.raises(ChecksFailed, match="not only what the restore"):
        await accepting.look(world.access, Restore(**{**restore.__dict__, "root": "00" * 32}))
    async with world.sequencing():
        # It goes on past where the witnesses were: they refuse, and keep what they are shown.
        await world.log.append(LOST + 50)
        await numbered(world, KEPT + LOST + 50)
        await refused(world, "inconsistent")
        apart = await accepting.look(world.access, restore)
        assert {each.witness for each in apart.witnesses} == {"red", "blue"}
        assert apart.remembered is not None
        given = apart.given_up(restore, "the disks are gone")
        assert given.events == LOST
        event = said_so(given)
        await send(world.log.connection, [event.canonical()])
        proof, logged = await accepting.signed(world.access, event.id)
        for each, said in zip(world.witnesses, sorted_as(world, apart), strict=True):
            held = each.memory
            order = await accepting.order_for(world.access, proof, said, KEPT)
            done = run_command(each, order)
            assert (done.returncode, each.memory) == (1, held)
            assert "is in use" in done.stderr
            each.stop()
            bare = run_command(each, Order(proof, ()))
            assert (bare.returncode, each.memory) == (1, held), "unproven"
            done = run_command(each, order)
            assert done.returncode == 0, done.stderr
            again = run_command(each, order)
            assert again.returncode == 1 and "it is at" in again.stderr
            each.start()
            left_behind(each, held, logged.seq)
        assert accepting.remember(world.access, apart, restore)
        assert (await world.verify(full=True)).report.ok
        # The sequencer, which was told all along that they are ahead, has them cosign again.
        await world.log.append(20)
        await world.cosigned(KEPT + LOST + 71)
    done = await world.verify()
    assert done.report.ok and {each.seen.size for each in done.said} == {KEPT + LOST + 71}
    assert not (await accepting.look(world.access, restore)).anybody


def sorted_as(world: World, apart: accepting.Apart) -> list[accepting.Testimony]:
    """What the witnesses said, in the order of the processes."""
    said = {each.witness: each for each in apart.witnesses}
    return [said[each.name] for each in world.witnesses]


def left_behind(each: RunningWitness, held: dict[str, object], seq: int) -> None:
    """The witness's own record: the state it gave up, with the checkpoint it had cosigned."""
    folder = each.state / RESTORES / str(held["generation"])
    assert json.loads((folder / STATE).read_bytes()) == held
    assert (folder / "accepted.tlog-proof").read_bytes().startswith(b"c2sp.org/tlog-proof@v1")
    assert len(list(folder.glob("*.json"))) >= 2, "what it held against the log is kept there"
    assert each.evidence == []
    [restored] = each.memory["restores"]
    assert (restored[0], restored[2], restored[3]) == (KEPT + LOST, KEPT, seq)
    assert each.memory["generation"] == int(str(held["generation"])) + 1


async def test_a_restore_does_not_explain_a_changed_event(world: World) -> None:
    restore = await gone_back(world)
    await world.log.run("UPDATE ledger.log SET body = body || ' ' WHERE seq = 7")
    with pytest.raises(ChecksFailed, match="event 7"):
        await accepting.look(world.access, restore)


async def test_whoever_has_the_database_and_the_logs_key_cannot_take_a_witness_back(
    world: World,
) -> None:
    """They may write the event, sign and show what they like: no witness is asked this way."""
    async with world.sequencing():
        await world.write(KEPT)
        root = (await world.verify()).report.root
        seen = {each.key.name: Extent(KEPT, root) for each in world.witnesses}
        given = GivenUp(Extent(0, EMPTY_ROOT), seen, "trust me", "run-1")
        await send(world.log.connection, [said_so(given).canonical()])
        await world.cosigned(KEPT + 1)
        held = [each.memory for each in world.witnesses]
    key = world.log.key
    for size in (0, 100, KEPT, KEPT + 1):
        note = Checkpoint(key.name, size, EMPTY_ROOT if not size else b"x" * 32).signed(key)
        for each in world.witnesses:
            for old in {0, size, KEPT + 1}:
                status, _, _ = each.add(Request(old, (), note.encode().encode()))
                assert status in (400, 409, 422)
    for each in world.witnesses:
        for path in ("/accept-restore", "/state", "/checkpoint"):
            assert each.ask("POST", path, b"{}")[0] in (404, 405)
    assert [each.memory for each in world.witnesses] == held
