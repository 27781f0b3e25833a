"""Proofs of possession in the ledger: holders' public keys, and nonces that were used.

A nonce is remembered by every gateway at once and over restarts, because it is a row: the second
insert of the same one finds the first. Whoever cannot ask must take the request for a replay.
"""

from datetime import datetime

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey

from ledger.connect import Connection
from ledger.errors import UnknownKey
from ledger.queries import QUERIES
from ledger.translate import translated


async def public_key(connection: Connection, family: str) -> Ed25519PublicKey | None:
    """What the family's requests are checked with, or None. `family` is its first key's id."""
    with translated(writing=False):
        row = await (await connection.execute(QUERIES["proof_key"], {"family": family})).fetchone()
    return None if row is None else Ed25519PublicKey.from_public_bytes(bytes(row["public_key"]))


async def set_public_key(
    connection: Connection, key_id: str, key: Ed25519PublicKey, *, actor: str
) -> None:
    """Have this public key count for a key, its predecessors and successors; raises UnknownKey."""
    values = {"id": key_id, "public_key": key.public_bytes_raw(), "actor": actor}
    with translated(writing=True):
        row = await (await connection.execute(QUERIES["proof_key_set"], values)).fetchone()
    if row is None:
        raise UnknownKey(f"no key has the id {key_id[:40]!r}")


async def first_use(connection: Connection, family: str, nonce: str, until: datetime) -> bool:
    """Whether the nonce is new, remembering it until then at least.

    True is given once, over all gateways. After OutcomeUnknown nobody knows: take it for used.
    """
    values = {"family": family, "nonce": nonce, "until": until}
    with translated(writing=True):
        row = await (await connection.execute(QUERIES["proof_first_use"], values)).fetchone()
    return row is not None and bool(row["first"])
