"""Check a piece of the log row by row against what the tree has of it. Pure, and the inner loop.

The first wrong row is told, and in which way it is wrong; why is `ledger.diagnose`'s question.
"""

from collections.abc import Mapping, Sequence
from typing import Any

import orjson

from ledger.diagnose import Bad
from ledger.findings import Fault
from ledger.merkle import HASH_BYTES
from ledger.replay import BLOCK, Grown

Stored = Mapping[tuple[int, int], bytes]


def first_bad(
    start: int,
    rows: Sequence[Mapping[str, Any]],
    bodies: Sequence[bytes],
    hashes: Sequence[bytes],
    stored: Stored,
) -> Bad | None:
    """The first row that is not the one that should be there, and in which way."""
    numbers = [row["seq"] for row in rows]
    whole = len(rows)
    if numbers != list(range(start, start + whole)):
        whole = next(n for n, number in enumerate(numbers) if number != start + n)
    wrong = _against_tiles(start, hashes[:whole], stored)
    limit = whole if wrong is None else wrong - start
    for n in range(limit):
        if rows[n]["leaf_hash"] != hashes[n]:
            return Bad(start + n, Fault.EDITED, hashes[n], "leaf_hash")
        if _columns(bodies[n]) != rows[n]["columns"]:
            return Bad(start + n, Fault.COLUMNS, hashes[n])
    if wrong is not None:
        return Bad(wrong, Fault.EDITED, hashes[wrong - start])
    if whole < len(rows):
        twice = numbers[whole] < start + whole
        return Bad(start + whole, Fault.EXTRA if twice else Fault.MISSING, b"")
    return None


def _against_tiles(start: int, hashes: Sequence[bytes], stored: Stored) -> int | None:
    """The number of the first leaf that is not what its tile has."""
    place = 0
    while place < len(hashes):
        seq = start + place
        within = seq % BLOCK
        piece = hashes[place : place + BLOCK - within]
        tile = stored.get((0, seq // BLOCK), b"")
        if tile[within * HASH_BYTES : (within + len(piece)) * HASH_BYTES] != b"".join(piece):
            for n, leaf in enumerate(piece):
                at = (within + n) * HASH_BYTES
                if tile[at : at + HASH_BYTES] != leaf:
                    return seq + n
        place += len(piece)
    return None


def _columns(body: bytes) -> str:
    """What the searched columns of an event with this body must say."""
    try:
        event = orjson.loads(body)
        return (
            f"{event['id']}\n{event['time']}\n{event['node']}\n{event['actor']}\n"
            f"{event['kind']}\n{event['subject']}\n{event['trace_id'] or ''}"
        )
    except (ValueError, KeyError, TypeError):
        return ""


def bad_node(grown: Grown, stored: Stored) -> Bad | None:
    """The first inner node that is not what its tile has."""
    for node in grown.nodes:
        index, within = divmod(node.index, BLOCK)
        tile = stored.get((node.level, index))
        at = within * HASH_BYTES
        if tile is None or tile[at : at + HASH_BYTES] != node.hash:
            seq = node.index << (8 * node.level)
            return Bad(seq, Fault.TILE, node.hash, f"{node.level}/{index}")
    return None
