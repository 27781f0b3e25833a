"""`fedctl ledger ...` on a real log with real witnesses, as a person types it."""

import asyncio
import json
from collections.abc import Callable
from pathlib import Path

import pytest

from deploys.log_key import vkey_path
from deploys.node_keys import WITNESS
from fedctl.log_access import LogAccess
from inventory.load import load
from ledger.policy import Policy
from tests.support.postgres import Server
from tests.support.stored_log import StoredLog, event_id
from tests.support.witnesses import RunningWitness, offer
from tests.unit.fedctl.fakes import LAB, Stage

pytestmark = pytest.mark.postgres
Fedctl = Callable[..., int]


def access(server: Server, log: StoredLog, folder: Path, *known: RunningWitness) -> LogAccess:
    """How the operator reaches this test's log."""
    clients = server.root / "clients"
    return LogAccess(
        settings=server.settings("operator"),
        log=log.key.verifier,
        witnesses=tuple(each.known for each in known),
        memory=folder / "ledger-verified.json",
        authority=server.root / "ca.pem",
        certificate=clients / "operator.pem",
        key=clients / "operator.key",
    )


@pytest.fixture
def stage(
    database: Server,
    log: StoredLog,
    witnesses: tuple[RunningWitness, ...],
    tmp_path: Path,
) -> Stage:
    folder = tmp_path / "operator"
    folder.mkdir()
    made = Stage(folder)
    made.access = access(database, log, folder, *witnesses)
    return made


async def fedctl(stage: Stage, *argv: str) -> int:
    """Run a command, in a thread: it has an event loop of its own."""
    return await asyncio.to_thread(stage.fedctl, "ledger", *argv)


def answer(stage: Stage) -> dict[str, object]:
    found: dict[str, object] = json.loads(stage.out.getvalue())
    return found


async def grown(log: StoredLog, witnesses: tuple[RunningWitness, ...], *counts: int) -> None:
    for count in counts:
        note = await log.grow(count)
        for each in witnesses:
            assert await offer(log.connection, each, note) == 200


async def test_a_good_log_is_verified_and_remembered(
    stage: Stage, log: StoredLog, witnesses: tuple[RunningWitness, ...]
) -> None:
    await grown(log, witnesses, 300, 400)
    assert await fedctl(stage, "verify") == 0
    assert "700 events verified" in stage.out.getvalue()
    assert "witness red: 700 events" in stage.out.getvalue()
    # They were told no sequencer's key.
    assert "the witnesses on red, blue take checkpoints from whoever" in stage.err.getvalue()
    await grown(log, witnesses, 50)
    assert await fedctl(stage, "verify", "--json") == 0
    found = answer(stage)
    assert (found["ok"], found["quick"], found["from"], found["rows_read"]) == (
        True,
        True,
        512,
        238,
    )
    assert await fedctl(stage, "verify", "--full", "--json") == 0
    assert (answer(stage)["quick"], answer(stage)["rows_read"]) == (False, 750)


async def test_too_few_witnesses_are_no_pass(
    stage: Stage, log: StoredLog, witnesses: tuple[RunningWitness, ...]
) -> None:
    await grown(log, witnesses, 20)
    witnesses[0].stop()
    assert await fedctl(stage, "verify") == 6
    assert "2 are needed" in stage.err.getvalue()
    assert "the witness on red was not heard" in stage.err.getvalue()
    assert await fedctl(stage, "verify", "--no-witnesses") == 0


async def test_what_was_found_is_shown_and_exits_1(
    stage: Stage, log: StoredLog, witnesses: tuple[RunningWitness, ...]
) -> None:
    await grown(log, witnesses, 300)
    await log.run("DELETE FROM ledger.log WHERE seq = 17")
    assert await fedctl(stage, "verify", "--json") == 1
    assert answer(stage)["first_bad"] == 17
    assert await fedctl(stage, "verify") == 1
    assert "event 17" in stage.out.getvalue()
    assert "verify-the-ledger.md" in stage.err.getvalue()
    assert stage.access is not None
    assert not stage.access.memory.exists()


async def test_a_memory_that_cannot_be_read_costs_a_full_verification(
    stage: Stage, log: StoredLog, witnesses: tuple[RunningWitness, ...]
) -> None:
    await grown(log, witnesses, 300)
    assert stage.access is not None
    stage.access.memory.write_bytes(b"{}")
    assert await fedctl(stage, "verify", "--json") == 0
    assert answer(stage)["rows_read"] == 300
    assert "everything was verified" in stage.err.getvalue()


async def test_a_proof_is_written_and_checked_without_any_machine(
    stage: Stage,
    log: StoredLog,
    witnesses: tuple[RunningWitness, ...],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.chdir(tmp_path)
    await grown(log, witnesses, 300, 200)
    assert await fedctl(stage, "proof", str(event_id(42)), "--json") == 0
    file = tmp_path / f"{event_id(42)}.tlog-proof"
    assert answer(stage)["file"] == file.name
    assert await fedctl(stage, "proof", "42", "-o", str(tmp_path / "by-number")) == 0
    assert (tmp_path / "by-number").read_bytes() == file.read_bytes()
    # From here on nothing answers any more.
    for each in witnesses:
        each.stop()
    policy = tmp_path / "policy"
    assert stage.access is not None
    policy.write_text(stage.access.policy.text())
    stage.access = None
    assert await fedctl(stage, "check-proof", str(file), "--policy", str(policy), "--json") == 0
    found = answer(stage)
    assert (found["seq"], found["size"]) == (42, 500)
    assert isinstance(found["event"], dict)
    assert found["event"]["subject"] == "thing 42"
    assert isinstance(found["cosigned"], dict)
    assert set(found["cosigned"]) == {"red", "blue"}
    assert await fedctl(stage, "check-proof", str(file), "--policy", str(policy)) == 0
    assert "event 42 of 500" in stage.err.getvalue()
    changed = tmp_path / "changed"
    changed.write_bytes(file.read_bytes().replace(b"index 42", b"index 43"))
    assert await fedctl(stage, "check-proof", str(changed), "--policy", str(policy)) == 1
    assert "not shown to be number 43" in stage.err.getvalue()


async def test_the_federations_own_keys_are_the_default_policy(
    stage: Stage, log: StoredLog, witnesses: tuple[RunningWitness, ...], tmp_path: Path
) -> None:
    await grown(log, witnesses, 10)
    proof = tmp_path / "p"
    assert await fedctl(stage, "proof", "3", "-o", str(proof)) == 0
    assert await fedctl(stage, "check-proof", str(proof)) == 1
    assert "made by the first `fedctl apply`" in stage.err.getvalue()
    home = stage.home
    home.root.mkdir(parents=True)
    vkey_path(home).write_text(log.key.verifier.text() + "\n")
    for node, each in zip(load(LAB).nodes, witnesses, strict=False):
        WITNESS.pin(home, node, each.key.verifier.text())
    assert await fedctl(stage, "check-proof", str(proof)) == 0
    assert await fedctl(stage, "policy") == 0
    policy = Policy.parse(stage.out.getvalue())
    assert (policy.logs, len(policy.witnesses)) == ((log.key.verifier,), 2)


async def test_what_too_few_cosigned_is_not_proven(
    stage: Stage, log: StoredLog, witnesses: tuple[RunningWitness, ...], tmp_path: Path
) -> None:
    await grown(log, witnesses[:1], 10)
    assert await fedctl(stage, "proof", "3", "-o", str(tmp_path / "p")) == 1
    assert "not the policy's quorum (2 of red, blue)" in stage.err.getvalue()
    assert not (tmp_path / "p").exists()


async def test_an_event_that_is_not_there_is_said_so(stage: Stage, log: StoredLog) -> None:
    await log.grow(3)
    for name in ("3", str(event_id(99))):
        assert await fedctl(stage, "show", name) == 2
        assert "the log has no event" in stage.err.getvalue()
    for name in ("-1", "x", "9" * 30):
        assert await fedctl(stage, "show", "--", name) == 2


async def test_events_are_looked_at_and_searched(stage: Stage, log: StoredLog) -> None:
    await log.grow(30)
    assert await fedctl(stage, "tail", "-n", "2") == 0
    lines = stage.out.getvalue().splitlines()
    assert [line.split()[0] for line in lines] == ["28", "29"]
    assert await fedctl(stage, "tail", "-n", "3", "--json") == 0
    found = [json.loads(line) for line in stage.out.getvalue().splitlines()]
    assert [each["seq"] for each in found] == [27, 28, 29]
    assert await fedctl(stage, "show", "5", "--json") == 0
    assert answer(stage)["seq"] == 5
    cases = [
        (("--kind", "test"), 30),
        (("--kind", "test.one"), 15),
        (("--kind", "test.o"), 0),
        (("--subject", "thing 2"), 11),
        (("--actor", "actor-1"), 10),
        (("--actor", "actor-1", "--kind", "test.two"), 5),
        (("--node", "redfin"), 30),
        (("--node", "bluefin"), 0),
        (("--since", "2026-09-10"), 30),
        (("--since", "2026-09-10T12:00:01Z"), 0),
        (("--until", "2026-09-10T12:00:00"), 0),
        (("--until", "2026-09-11"), 30),
        (("--subject", "%"), 0),
        (("--actor", "' OR 1=1 --"), 0),
    ]
    for options, count in cases:
        assert await fedctl(stage, "search", *options, "--json") == 0
        assert len(stage.out.getvalue().splitlines()) == count, options
    assert await fedctl(stage, "search", "--since", "yesterday") == 2


async def test_tail_follows(stage: Stage, log: StoredLog) -> None:
    await log.grow(5)
    following = asyncio.create_task(asyncio.to_thread(stage.fedctl, "ledger", "tail", "-f"))
    for _ in range(600):
        await asyncio.sleep(0.1)
        if "thing 4" in stage.out.getvalue():
            break
    await log.grow(7)
    for _ in range(600):
        await asyncio.sleep(0.1)
        if "thing 11" in stage.out.getvalue():
            break
    # Its connection going is what ends it here.
    log.server.psql(
        "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE usename = 'fed_operator'"
    )
    assert await following == 6
    assert [line.split()[0] for line in stage.out.getvalue().splitlines()] == [
        str(n) for n in range(12)
    ]
