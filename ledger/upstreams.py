"""Engines that are drained: taken out of rotation on every gateway, by whom, when and why.

What changes here reaches gateways like a changed key does (see ledger.changes): as the subject
`upstream:NAME` of a version of the keyring.
"""

from dataclasses import dataclass
from datetime import datetime

from ledger.connect import Connection
from ledger.queries import QUERIES
from ledger.translate import translated

SUBJECT = "upstream:"


@dataclass(frozen=True, slots=True)
class Drain:
    """An engine that gets no new requests, and who said so."""

    name: str
    reason: str
    changed_at: datetime
    changed_by: str


async def drained(connection: Connection) -> tuple[Drain, ...]:
    """Every engine that is drained now, by name."""
    with translated(writing=False):
        rows = await (await connection.execute(QUERIES["upstreams_drained"])).fetchall()
    return tuple(Drain(**row) for row in rows)


async def set_drained(
    connection: Connection, name: str, *, drained: bool, reason: str, actor: str
) -> None:
    """Take an engine out of rotation or put it back; saying it again renews the reason.

    Gateways follow within a second. Raises Rejected for a name or reason that is none.
    """
    values = {"name": name, "drained": drained, "reason": reason, "actor": actor}
    with translated(writing=True):
        await connection.execute(QUERIES["upstream_set"], values)
