"""Read the log for people: what came last, one event, and those that match. Nothing is written."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from uuid import UUID

from ledger.checkpoint import Checkpoint
from ledger.connect import Connection, Row
from ledger.errors import NoteInvalid, ProofInvalid
from ledger.event import Event
from ledger.note import Note, Signature
from ledger.policy import Policy
from ledger.proofs import inclusion
from ledger.queries import QUERIES
from ledger.tlog_proof import Proof, check
from ledger.translate import translated

CHECKPOINTS_TRIED = 50


@dataclass(frozen=True)
class Logged:
    """An event in the log: its number and when it got it. The bytes are what was signed."""

    seq: int
    sequenced_at: datetime
    body: bytes

    @property
    def event(self) -> Event:
        """The event; raises EventInvalid for bytes that are none."""
        return Event.parse(self.body)


@dataclass(frozen=True)
class Filter:
    """What to look for; None admits everything. `kind` means a kind and those below it
    (`deploy`: deploy.applied too), `subject` a part of it; times are UTC."""

    kind: str | None = None
    subject: str | None = None
    actor: str | None = None
    node: str | None = None
    since: datetime | None = None
    until: datetime | None = None


async def matching(connection: Connection, wanted: Filter, *, limit: int) -> list[Logged]:
    """The newest `limit` events that match, oldest first."""
    values = {**wanted.__dict__, "limit": limit, "above": -1}
    with translated(writing=False):
        cursor = await connection.execute(QUERIES["log_matching"], values)
        rows = await cursor.fetchall()
    return [_logged(row) for row in reversed(rows)]


async def following(
    connection: Connection, wanted: Filter, *, above: int, limit: int = 1000
) -> list[Logged]:
    """The next `limit` events numbered above `above` that match, oldest first."""
    values = {**wanted.__dict__, "limit": limit, "above": above}
    with translated(writing=False):
        cursor = await connection.execute(QUERIES["log_following"], values)
        rows = await cursor.fetchall()
    return [_logged(row) for row in rows]


async def find(connection: Connection, wanted: UUID | int) -> Logged | None:
    """One event by its id or its number."""
    seq = wanted if isinstance(wanted, int) else None
    event_id = wanted if isinstance(wanted, UUID) else None
    with translated(writing=False):
        cursor = await connection.execute(
            QUERIES["log_by_number"] if event_id is None else QUERIES["log_by_id"],
            {"seq": seq, "id": event_id},
        )
        row = await cursor.fetchone()
    return _logged(row) if row else None


async def prove(connection: Connection, found: Logged, policy: Policy) -> Proof:
    """A proof of the event in the newest checkpoint that satisfies `policy`.

    Raises ProofInvalid when there is none yet, or when what is stored proves nothing.
    """
    with translated(writing=False):
        cursor = await connection.execute(
            QUERIES["checkpoints_with_cosignatures"],
            {"above": found.seq, "limit": CHECKPOINTS_TRIED},
        )
        rows = await cursor.fetchall()
    refusal = "no checkpoint covers it yet"
    for row in rows:
        try:
            note = _with_lines(row["note"], row["lines"] or ())
            standing = policy.judge(note)
            size = Checkpoint.parse(note.text).size
        except NoteInvalid as error:
            refusal = str(error)
            continue
        if standing.refusal:
            refusal = standing.refusal
            continue
        return await _proof(connection, found, size, note, policy)
    raise ProofInvalid(f"event {found.seq} cannot be proven: {refusal}")


async def _proof(
    connection: Connection, found: Logged, size: int, note: Note, policy: Policy
) -> Proof:
    try:
        hashes = await inclusion(connection, found.seq, size)
    except ValueError as error:
        raise ProofInvalid(f"event {found.seq} cannot be proven: {error}") from error
    proof = Proof(found.body, found.seq, tuple(hashes), note.encode())
    # Nothing leaves here that its reader would refuse.
    check(proof, policy)
    return proof


def _with_lines(note: str, lines: Sequence[str]) -> Note:
    own = Note.parse(note)
    added = tuple(Signature.parse(line.removesuffix("\n")) for line in lines)
    return Note(own.text, (*own.signatures, *added))


def _logged(row: Row) -> Logged:
    return Logged(row["seq"], row["sequenced_at"], bytes(row["body"]))
