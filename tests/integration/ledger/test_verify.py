"""ledger/verify.py on a real database: a good log is found good; every change names its place."""

import asyncio
import json
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

import pytest

from ledger import merkle
from ledger.__main__ import main
from ledger.append import send
from ledger.checkpoint import Checkpoint
from ledger.connect import connect
from ledger.errors import LedgerError
from ledger.findings import Anchor, Fault, Finding, Report
from ledger.note import SignerKey
from ledger.proofs import consistency, inclusion
from ledger.verify import Verification, verify
from tests.support.stored_log import StoredLog, event
from tests.support.tlog import log_key

pytestmark = pytest.mark.postgres


async def look(log: StoredLog, *anchors: Anchor) -> Report:
    return await verify(log.connection, log.keys, anchors=anchors)


def only(report: Report) -> Finding:
    assert len(report.findings) == 1, report.findings
    return report.findings[0]


@pytest.mark.parametrize("counts", [(), (1,), (255,), (256,), (257,), (3, 300, 1, 700)])
async def test_a_good_log_is_found_good(log: StoredLog, counts: tuple[int, ...]) -> None:
    if counts:
        await log.grow(*counts)
    report = await look(log)
    assert report.ok, report.findings
    assert (report.size, report.rows, report.checkpoints) == (sum(counts), log.count, len(counts))
    bodies = [event(n).canonical() for n in range(sum(counts))]
    assert report.root == merkle.root(map(merkle.leaf_hash, bodies))
    assert report.signed_size == sum(counts)


async def test_small_pieces_find_the_same(log: StoredLog) -> None:
    await log.grow(700, 13)
    verification = Verification(log.connection, log.keys, batch_rows=100)
    steps = [progress.done async for progress in verification.run()]
    assert steps == [0, 100, 200, 300, 400, 500, 600, 700, 713]
    assert verification.report.ok
    assert verification.report.checkpoints == 2


async def test_events_that_are_not_signed_yet_are_verified_too(log: StoredLog) -> None:
    await log.grow(10)
    await log.append(5)
    await log.number()
    report = await look(log)
    assert report.ok
    assert (report.size, report.signed_size) == (15, 10)


async def test_events_that_wait_in_the_inbox_are_not_the_logs_yet(log: StoredLog) -> None:
    await log.grow(10)
    await log.append(5)
    report = await look(log)
    assert report.ok
    assert report.size == 10


async def test_the_operator_may_verify(log: StoredLog) -> None:
    await log.grow(300)
    async with await connect(log.server.settings("operator")) as connection:
        assert (await verify(connection, log.keys)).ok


async def test_it_goes_on_where_it_ended_and_reads_no_more_than_it_must(log: StoredLog) -> None:
    await log.grow(700)
    first = await look(log)
    assert first.resume is not None
    await log.grow(400)
    second = await verify(log.connection, log.keys, resume=first.resume)
    assert second.ok, second.findings
    assert (second.start, second.size, second.rows) == (512, 1100, 588)
    assert second.root == (await look(log)).root


@dataclass(frozen=True)
class Attack:
    """What a superuser does with the triggers off, and what is found of it."""

    name: str
    statements: tuple[str, ...]
    fault: Fault
    seq: int | None
    place: str
    words: str = ""


EDIT = (
    "UPDATE ledger.log SET subject = 'thong 40', body = convert_to("
    "replace(convert_from(body, 'UTF8'), 'thing 40\"', 'thong 40\"'), 'UTF8') WHERE seq = 40"
)
ATTACKS = [
    Attack(
        "an event's bytes are edited",
        (EDIT,),
        Fault.EDITED, 40, "event 40",
    ),
    Attack(
        "an event is edited, its hash with it",
        (
            EDIT,
            "UPDATE ledger.log SET leaf_hash = sha256('\\x00'::bytea || body) WHERE seq = 40",
        ),
        Fault.EDITED, 40, "event 40", "changed afterwards",
    ),
    Attack(
        "an event is edited, its hash and its tile with it",
        (
            EDIT,
            "UPDATE ledger.log SET leaf_hash = sha256('\\x00'::bytea || body) WHERE seq = 40",
            "UPDATE ledger.tiles SET hashes = overlay(hashes PLACING (SELECT leaf_hash FROM "
            "ledger.log WHERE seq = 40) FROM 40 * 32 + 1) WHERE (level, index) = (0, 0)",
        ),
        Fault.REWRITTEN, 0, "checkpoint of 100 events",
    ),
    Attack(
        "only what is searched is edited",
        ("UPDATE ledger.log SET actor = 'nobody' WHERE seq = 40",),
        Fault.COLUMNS, 40, "event 40",
    ),
    Attack(
        "an event's stored hash is edited",
        ("UPDATE ledger.log SET leaf_hash = sha256('x') WHERE seq = 40",),
        Fault.EDITED, 40, "event 40", "stored beside",
    ),
    Attack(
        "an event is deleted from the middle",
        ("DELETE FROM ledger.log WHERE seq = 40",),
        Fault.MISSING, 40, "event 40", "event 40 is not there",
    ),
    Attack(
        "many are deleted from the middle",
        ("DELETE FROM ledger.log WHERE seq BETWEEN 300 AND 349",),
        Fault.MISSING, 300, "event 300", "events 300 to 349",
    ),
    Attack(
        "the first event is deleted",
        ("DELETE FROM ledger.log WHERE seq = 0",),
        Fault.MISSING, 0, "event 0",
    ),
    Attack(
        "one is deleted and the others move up",
        (
            "DELETE FROM ledger.log WHERE seq = 40",
            "UPDATE ledger.log SET seq = -seq WHERE seq > 40",
            "UPDATE ledger.log SET seq = -seq - 1 WHERE seq < 0",
        ),
        Fault.REORDERED, 40, "event 40", "was number 41",
    ),
    Attack(
        "two events change places",
        (
            "UPDATE ledger.log SET seq = -1 WHERE seq = 40",
            "UPDATE ledger.log SET seq = 40 WHERE seq = 310",
            "UPDATE ledger.log SET seq = 310 WHERE seq = -1",
        ),
        Fault.REORDERED, 40, "event 40", "was number 310",
    ),
    Attack(
        "the tail is cut off",
        ("DELETE FROM ledger.log WHERE seq >= 600",),
        Fault.CUT, 600, "event 600", "cut off",
    ),
    Attack(
        "the tail is cut off, and the state with it",
        (
            "DELETE FROM ledger.log WHERE seq >= 600",
            "UPDATE ledger.log_state SET size = 600, tree_size = 600",
        ),
        Fault.STATE, 600, "log_state", "700 are signed",
    ),
    Attack(
        "an event is put in without the tree",
        (
            "INSERT INTO ledger.log SELECT 700, gen_random_uuid(), time, node, actor, kind, "
            "subject, trace_id, body, leaf_hash, received_at, received_from, sequenced_at "
            "FROM ledger.log WHERE seq = 5",
        ),
        Fault.EXTRA, 700, "event 700",
    ),
    Attack(
        "a tile is edited",
        ("UPDATE ledger.tiles SET hashes = overlay(hashes PLACING sha256('x') FROM 40 * 32 + 1) "
         "WHERE (level, index) = (0, 0)",),
        Fault.EDITED, 40, "event 40", "do not belong together",
    ),
    Attack(
        "a tile is lost",
        ("DELETE FROM ledger.tiles WHERE (level, index) = (0, 1)",),
        Fault.TILE, 256, "tile 0/1",
    ),
    Attack(
        "an upper tile is edited",
        ("UPDATE ledger.tiles SET hashes = overlay(hashes PLACING sha256('x') FROM 33) "
         "WHERE (level, index) = (1, 0)",),
        Fault.TILE, 256, "tile 1/0",
    ),
    Attack(
        "the state's root is edited",
        ("UPDATE ledger.log_state SET root = sha256('x')",),
        Fault.STATE, None, "log_state",
    ),
    Attack(
        "a checkpoint's root is edited",
        ("UPDATE ledger.checkpoints SET root = sha256('x') WHERE size = 100",),
        Fault.CHECKPOINT, None, "checkpoint of 100 events",
    ),
    Attack(
        "a checkpoint's text is edited",
        ("UPDATE ledger.checkpoints SET note = replace(note, E'\\n100\\n', E'\\n101\\n') "
         "WHERE size = 100",),
        Fault.CHECKPOINT, None, "checkpoint of 100 events", "forged",
    ),
    Attack(
        "a checkpoint is no note at all",
        ("UPDATE ledger.checkpoints SET note = 'x' WHERE size = 700",),
        Fault.CHECKPOINT, None, "checkpoint of 700 events",
    ),
    Attack(
        "a checkpoint is put under another size",
        ("UPDATE ledger.checkpoints SET size = 99 WHERE size = 100",),
        Fault.CHECKPOINT, None, "checkpoint of 99 events",
    ),
]  # fmt: skip


@pytest.mark.parametrize("attack", ATTACKS, ids=[attack.name for attack in ATTACKS])
async def test_what_a_superuser_changes_is_found_and_placed(log: StoredLog, attack: Attack) -> None:
    await log.grow(100, 600)
    await log.run(*attack.statements)
    report = await look(log)
    first = report.first
    assert first is not None
    assert (first.fault, first.seq, first.place) == (attack.fault, attack.seq, attack.place), (
        report.findings
    )
    assert attack.words in first.text
    assert report.resume is None


async def test_a_partition_that_was_dropped_is_named(log: StoredLog) -> None:
    await log.connection.execute("SELECT ledger.make_partitions('2026-06-01'::timestamptz, 0)")
    for month in (6, 7, 8, 9):
        await log.grow(100, moment=datetime(2026, month, 5, tzinfo=UTC))
    assert (await look(log)).ok
    await log.run("DROP TABLE ledger.log_2026_08")
    finding = only(await look(log))
    assert (finding.fault, finding.place) == (Fault.PARTITION, "partition log_2026_08")
    assert (finding.seq, finding.until) == (200, 299)


@pytest.mark.parametrize(("month", "first"), [(6, 0), (9, 300)])
async def test_the_first_and_the_last_partition_are_missed_too(
    log: StoredLog, month: int, first: int
) -> None:
    await log.connection.execute("SELECT ledger.make_partitions('2026-06-01'::timestamptz, 0)")
    for each in (6, 7, 8, 9):
        await log.grow(100, moment=datetime(2026, each, 5, tzinfo=UTC))
    await log.run(f"DROP TABLE ledger.log_2026_{month:02}")
    finding = (await look(log)).first
    assert finding is not None
    assert finding.seq == first


async def test_a_log_rewritten_with_the_stolen_key_is_told_from_what_others_saw(
    log: StoredLog,
) -> None:
    """Everything in the database fits, signatures too: only those who remember can tell."""
    await log.grow(100)
    at_100 = await look(log)
    await log.grow(200)
    honest = await look(log)
    await rewrite(log)
    assert (await look(log)).ok
    saw = [
        Anchor("witness a", 100, at_100.root, signed=True),
        Anchor("witness a", 300, honest.root, signed=True),
    ]
    finding = only(await look(log, *saw))
    assert (finding.fault, finding.place) == (Fault.EQUIVOCATION, "witness a")
    assert (finding.seq, finding.until) == (100, 299)
    remembered = Anchor("the last verification", 300, honest.root)
    finding = only(await look(log, remembered))
    assert (finding.fault, finding.seq) == (Fault.REWRITTEN, 0)
    assert honest.resume is not None
    again = await verify(log.connection, log.keys, resume=honest.resume)
    assert not again.ok


async def rewrite(log: StoredLog) -> None:
    """Another history in which event 150 never was so: the work of a thief of the log's key."""
    await log.run(
        "TRUNCATE ledger.log, ledger.tiles, ledger.checkpoints, ledger.cosignatures",
        "UPDATE ledger.log_state SET size = 0, tree_size = 0, frontier = '', root = sha256('')",
    )
    log.count = 0
    await log.grow(100)
    bodies = [event(n, text="forged" if n == 150 else "").canonical() for n in range(100, 300)]
    await send(log.connection, bodies)
    await log.number()
    await log.sign()


async def test_an_older_log_than_somebody_saw_is_a_rollback(log: StoredLog) -> None:
    await log.grow(100)
    finding = only(await look(log, Anchor("witness a", 120, b"x" * 32)))
    assert (finding.fault, finding.place) == (Fault.ROLLED_BACK, "witness a")
    assert (finding.seq, finding.until) == (100, 119)


async def test_an_older_log_than_was_verified_is_a_rollback(log: StoredLog) -> None:
    await log.grow(300, 300)
    resume = (await look(log)).resume
    await log.run(
        "DELETE FROM ledger.log WHERE seq >= 300",
        "DELETE FROM ledger.checkpoints WHERE size = 600",
        "DELETE FROM ledger.tiles WHERE (level, index) = (0, 2)",
    )
    report = await verify(log.connection, log.keys, resume=resume)
    assert report.first is not None
    assert report.first.seq == 300


async def test_what_agrees_changes_nothing(log: StoredLog) -> None:
    await log.grow(100, 200)
    root = (await look(log)).root
    assert (await look(log, Anchor("witness a", 300, root))).ok
    assert (await look(log, Anchor("witness a", 0, merkle.EMPTY_ROOT))).ok


async def test_whoever_lags_behind_is_compared_without_reading_again(log: StoredLog) -> None:
    await log.grow(100, 500)
    at_100 = Anchor("witness a", 100, root_of(100))
    resume = (await look(log)).resume
    good = await verify(log.connection, log.keys, anchors=[at_100], resume=resume)
    assert good.ok
    other = Anchor("witness a", 100, b"x" * 32, signed=True)
    bad = await verify(log.connection, log.keys, anchors=[other], resume=resume)
    assert only(bad).fault is Fault.EQUIVOCATION


def root_of(size: int) -> bytes:
    return merkle.root(merkle.leaf_hash(event(n).canonical()) for n in range(size))


@pytest.mark.parametrize("forger", [log_key(9), log_key(1, "stranger.example/log")])
async def test_a_checkpoint_of_another_key_is_forged(log: StoredLog, forger: SignerKey) -> None:
    await log.grow(100)
    note = Checkpoint(forger.name, 100, root_of(100)).signed(forger)
    await log.run("UPDATE ledger.checkpoints SET note = %s", values=(note.encode(),))
    finding = only(await look(log))
    assert (finding.fault, finding.place) == (Fault.CHECKPOINT, "checkpoint of 100 events")


async def test_a_forged_checkpoint_of_a_larger_log_hides_nothing(log: StoredLog) -> None:
    await log.grow(100, 50)
    forged = Checkpoint(log.key.name, 10**9, b"x" * 32).signed(log_key(9)).encode()
    statement = "INSERT INTO ledger.checkpoints (size, root, note) VALUES (%s, %s, %s)"
    await log.run(statement, values=(10**9, b"x" * 32, forged))
    report = await look(log)
    assert only(report).fault is Fault.CHECKPOINT
    assert (report.size, report.signed_size) == (150, 150)


async def test_proofs_come_out_of_the_tiles(log: StoredLog) -> None:
    await log.grow(300, 400)
    hashes = [merkle.leaf_hash(event(n).canonical()) for n in range(700)]
    for index, size in ((0, 1), (0, 300), (299, 300), (5, 700), (699, 700), (256, 257)):
        proof = await inclusion(log.connection, index, size)
        merkle.verify_inclusion(hashes[index], index, size, proof, merkle.root(hashes[:size]))
    for old, new in ((0, 700), (1, 700), (300, 700), (256, 512), (700, 700)):
        proof = await consistency(log.connection, old, new)
        roots = merkle.root(hashes[:old]), merkle.root(hashes[:new])
        merkle.verify_consistency(old, new, *roots, proof)
    with pytest.raises(ValueError, match="ends before"):
        await inclusion(log.connection, 5, 100_000)


async def test_keys_of_two_logs_are_refused(log: StoredLog) -> None:
    for keys in ((), (log_key().verifier, log_key(1, "x").verifier)):
        with pytest.raises(ValueError, match="one name"):
            Verification(log.connection, keys)


async def test_a_database_that_goes_away_is_said_so(log: StoredLog) -> None:
    await log.grow(10)
    await log.connection.close()
    with pytest.raises(LedgerError):
        await look(log)


async def test_a_restored_database_is_verified_from_the_command_line(
    log: StoredLog, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    note = await log.grow(300)
    (tmp_path / "vkey").write_text(log.key.verifier.text() + "\n")
    (tmp_path / "checkpoint").write_text(note.encode())
    options = ["--dsn", log.server.dsn(), "--vkey", str(tmp_path / "vkey")]
    wanted = [*options, "--checkpoint", str(tmp_path / "checkpoint")]

    async def run(*argv: str) -> tuple[int, dict[str, object]]:
        code = await asyncio.to_thread(main, argv)
        found: dict[str, object] = json.loads(capsys.readouterr().out)
        return code, found

    code, found = await run("verify", *wanted)
    assert (code, found["ok"], found["events"], found["error"]) == (0, True, 300, None)
    assert found["root"] == root_of(300).hex()
    # An older backup than the checkpoint it should reach.
    later = Checkpoint(log.key.name, 301, root_of(301)).signed(log.key).encode()
    (tmp_path / "checkpoint").write_text(later)
    code, found = await run("verify", *wanted)
    assert (code, found["first_bad"]) == (1, 300)
    # A checkpoint that is none of this log's.
    (tmp_path / "checkpoint").write_text("x")
    assert (await run("verify", *wanted))[0] == 1
    assert (await run("verify", *options[:2], "--vkey", str(tmp_path / "none")))[0] == 1
    await log.run("DELETE FROM ledger.log WHERE seq = 7")
    code, found = await run("verify", *options)
    assert (code, found["first_bad"]) == (1, 7)
