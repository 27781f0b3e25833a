"""Proofs out of what is stored: consistency and inclusion, and the witnesses' last signatures."""

from collections.abc import Sequence

from ledger import merkle
from ledger.connect import Connection
from ledger.errors import NoteInvalid
from ledger.findings import Fault, Finding
from ledger.log import tiles
from ledger.note import Note, Signature, VerifierKey
from ledger.queries import QUERIES
from ledger.replay import BLOCK
from ledger.tiles import HEIGHT, perfect_in
from ledger.translate import translated


async def consistency(connection: Connection, old: int, new: int) -> list[bytes]:
    """A consistency proof out of the stored tiles; ValueError when tiles are missing."""
    return await range_hashes(connection, merkle.consistency_ranges(old, new))


async def inclusion(connection: Connection, index: int, size: int) -> list[bytes]:
    """An inclusion proof out of the stored tiles; ValueError when tiles are missing."""
    return await range_hashes(connection, merkle.inclusion_ranges(index, size))


async def range_hashes(connection: Connection, spans: Sequence[merkle.Range]) -> list[bytes]:
    """The roots over ranges of leaves out of the stored tiles; ValueError when some are missing."""
    stored = await tiles(connection, list(tiles_of(spans)))
    perfect = perfect_in(lambda level, index: stored.get((level, index), b""))
    return [merkle.range_hash(perfect, span) for span in spans]


def tiles_of(spans: Sequence[merkle.Range]) -> set[tuple[int, int]]:
    """The tiles that the hashes of these ranges are read from."""
    wanted: set[tuple[int, int]] = set()

    def note(height: int, index: int) -> bytes:
        level, inner = divmod(height, HEIGHT)
        wanted.add((level, (index << inner) // BLOCK))
        return merkle.EMPTY_ROOT

    for span in spans:
        merkle.range_hash(note, span)
    return wanted


async def cosigned(
    connection: Connection, witness_keys: Sequence[VerifierKey]
) -> tuple[dict[str, int], list[Finding]]:
    """The largest size each witness signed, by key name, as the log keeps it; forgeries found.

    Ask before the witnesses are asked: they go on signing meanwhile.
    """
    found: dict[str, int] = {}
    forged: list[Finding] = []
    for key in witness_keys:
        with translated(writing=False):
            cursor = await connection.execute(QUERIES["verify_cosigned"], {"witness": key.name})
            row = await cursor.fetchone()
        if row is None:
            continue
        try:
            signature = Signature.parse(row["line"].removesuffix("\n"))
            text = Note.parse(row["note"]).text
        except NoteInvalid:
            continue
        # Of an earlier key of this name: nobody can hold that against the present one.
        if signature.key_id != key.key_id:
            continue
        if key.verifies(text, signature.signature):
            found[key.name] = row["size"]
        else:
            place = f"cosignature of {key.name} on {row['size']} events"
            forged.append(Finding(Fault.WITNESS, place, "it is not that witness's: forged"))
    return found, forged
