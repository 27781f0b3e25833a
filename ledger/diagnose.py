"""What is behind the first wrong row of a verification: asked once, so it may take a moment.

A row and the tree's own record of it disagree. Which of the two is right is told by the next signed
root: when the tree with the recorded hash has it, the row was changed after it was sequenced.
"""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import LiteralString

from ledger.checkpoint import opened
from ledger.connect import Connection, Row
from ledger.errors import NoteInvalid
from ledger.findings import Fault, Finding
from ledger.identifiers import milliseconds_of
from ledger.log import tiles
from ledger.note import VerifierKey
from ledger.proofs import range_hashes
from ledger.queries import QUERIES
from ledger.replay import BLOCK
from ledger.translate import translated

_MONTH = re.compile(r"log_(\d{4})_(\d{2})")
HASH_BYTES = 32


@dataclass(frozen=True)
class Bad:
    """The first wrong row: its number, the way it is wrong, the leaf or node hash it should have.

    `detail` is the column or tile that shows it.
    """

    seq: int
    fault: Fault
    hash: bytes
    detail: str = ""


async def explain(connection: Connection, keys: Sequence[VerifierKey], bad: Bad) -> list[Finding]:
    """What is wrong at `bad`, in words. Raises LedgerError when the database cannot be asked."""
    place = f"event {bad.seq}"
    if bad.fault is Fault.COLUMNS:
        text = "the columns that are searched say something else than its bytes"
        return [Finding(bad.fault, place, text, bad.seq, bad.seq)]
    if bad.fault is Fault.EXTRA:
        return [Finding(bad.fault, place, "its number is taken twice", bad.seq, bad.seq)]
    if bad.fault is Fault.MISSING:
        row = await _one(connection, QUERIES["verify_next_row"], start=bad.seq)
        return await missing(connection, bad.seq, row["seq"] if row else bad.seq + 1)
    if bad.fault is Fault.TILE:
        text = f"tile {bad.detail} does not hold the hash of the events from {bad.seq} on"
        return [Finding(bad.fault, f"tile {bad.detail}", text, bad.seq)]
    if bad.detail == "leaf_hash":
        text = "its bytes do not have the hash that is stored beside them"
        return [Finding(bad.fault, place, text, bad.seq, bad.seq)]
    return [await _row_or_tile(connection, keys, bad)]


async def missing(connection: Connection, start: int, end: int) -> list[Finding]:
    """Events [start, end) are not there: deleted, cut off, or gone with their partition."""
    before = await _one(connection, QUERIES["verify_row_before"], start=start)
    following = await _one(connection, QUERIES["verify_next_row"], start=start)
    # Whoever began in the middle may have met a gap that began earlier.
    first = before["seq"] + 1 if before else 0
    last = following["seq"] - 1 if following else end - 1
    shown = f"event {first} is" if first == last else f"events {first} to {last} are"
    gone = await _partitions_gone(connection, before, following)
    if gone:
        text = f"{shown} not there, and no partition {', '.join(gone)}: it was dropped"
        return [Finding(Fault.PARTITION, f"partition {gone[0]}", text, first, last)]
    if following is None:
        text = f"{shown} signed and not there: the end of the log was cut off"
        return [Finding(Fault.CUT, f"event {first}", text, first, last)]
    return [Finding(Fault.MISSING, f"event {first}", f"{shown} not there: deleted", first, last)]


async def _row_or_tile(connection: Connection, keys: Sequence[VerifierKey], bad: Bad) -> Finding:
    """Row and tile disagree: see which of the two the next signed root is made of."""
    tile = (await tiles(connection, [(0, bad.seq // BLOCK)])).get((0, bad.seq // BLOCK), b"")
    at = bad.seq % BLOCK * HASH_BYTES
    place = f"event {bad.seq}"
    if len(tile) < at + HASH_BYTES:
        text = f"tile 0/{bad.seq // BLOCK} ends before it"
        return Finding(Fault.TILE, f"tile 0/{bad.seq // BLOCK}", text, bad.seq)
    if await _tiles_are_signed(connection, keys, bad.seq):
        elsewhere = await _one(connection, QUERIES["verify_leaf_elsewhere"], leaf=bad.hash)
        if elsewhere is not None:
            other = elsewhere["index"] * BLOCK + (elsewhere["at"] - 1) // HASH_BYTES
            text = f"the event that was number {other} is in its place: the order was changed"
            return Finding(Fault.REORDERED, place, text, bad.seq, bad.seq)
        text = "its bytes are not those whose hash was signed: it was changed afterwards"
        return Finding(Fault.EDITED, place, text, bad.seq, bad.seq)
    text = "its bytes, the tree's hash of it and the next signed root do not belong together"
    return Finding(Fault.EDITED, place, text, bad.seq, bad.seq)


async def _tiles_are_signed(connection: Connection, keys: Sequence[VerifierKey], seq: int) -> bool:
    """Whether the tiles, up to the next good checkpoint after event `seq`, have its root."""
    above = seq
    while (
        row := await _one(connection, QUERIES["verify_next_checkpoint"], above=above)
    ) is not None:
        try:
            head = opened(row["note"], keys, keys[0].name)
        except NoteInvalid:
            above = row["size"]
            continue
        try:
            return await root_of_tiles(connection, head.size) == head.root
        except ValueError:
            return False
    return False


async def root_of_tiles(connection: Connection, size: int) -> bytes:
    """The root of the first `size` events as the tiles have it; ValueError when some are gone."""
    return (await range_hashes(connection, [(0, size)]))[0]


async def _partitions_gone(
    connection: Connection, before: Row | None, following: Row | None
) -> list[str]:
    """Holes in the row of monthly partitions, as far as the events beside a gap allow.

    Partitions are made month after month, so a hole between two of them was one.
    """
    with translated(writing=False):
        rows = await (await connection.execute(QUERIES["verify_partitions"])).fetchall()
    months = sorted(row["name"] for row in rows if _MONTH.fullmatch(row["name"]))
    if not months:
        return []
    low = max(months[0], _partition(before)) if before else months[0]
    high = min(months[-1], _partition(following)) if following else months[-1]
    found, name = [], low
    while name < high:
        if name not in months:
            found.append(name)
        name = _next(name)
    return found


def _partition(row: Row) -> str:
    """The partition an event's id belongs to."""
    moment = datetime.fromtimestamp(milliseconds_of(row["id"]) / 1000, UTC)
    return f"log_{moment:%Y_%m}"


def _next(name: str) -> str:
    match = _MONTH.fullmatch(name)
    assert match is not None  # noqa: S101 - made by _partition or matched before
    year, month = int(match[1]), int(match[2])
    return f"log_{year + month // 12:04}_{month % 12 + 1:02}"


async def _one(connection: Connection, query: LiteralString, **values: object) -> Row | None:
    with translated(writing=False):
        return await (await connection.execute(query, values)).fetchone()
