"""How gateways hear of changes: a connection that listens, and the list of what changed.

A notification only says "look"; what is believed is the list. Versions become visible in their
order and without a gap (the keyring's row is locked by whoever changes something), so a reader that
has seen version n has missed nothing up to n, also after it was away.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import psycopg
from psycopg import AsyncConnection, Notify

from ledger.connect import Connection
from ledger.errors import Unavailable
from ledger.queries import QUERIES
from ledger.translate import translated

KEYRING, QUOTA = "fed_keyring", "fed_quota"


@dataclass(frozen=True)
class Changes:
    """What changed between two versions. `subjects` None: too much to list, so everything may
    have.
    """

    version: int
    subjects: frozenset[str] | None


async def listen(connection: Connection) -> None:
    """Make this connection hear of both kinds of changes."""
    with translated(writing=False):
        await connection.execute(QUERIES["listen_keyring"])
        await connection.execute(QUERIES["listen_quota"])


async def since(connection: Connection, version: int) -> Changes:
    """What changed since `version`."""
    with translated(writing=False):
        cursor = await connection.execute(QUERIES["keyring_changes"], {"since": version})
        rows = await cursor.fetchall()
    if not rows:
        raise Unavailable("the ledger has no keyring")
    current, oldest = int(rows[0]["current"]), rows[0]["oldest"]
    missed = current < version or (current > version and (oldest is None or oldest > version + 1))
    if missed:
        # Too long ago for the list, or another database than before.
        return Changes(current, None)
    return Changes(current, frozenset(row["subject"] for row in rows if row["subject"]))


async def notifications(connection: Connection, seconds: float) -> Sequence[tuple[str, str]]:
    """What came within `seconds`, as (channel, payload); returns at once after the first.

    Raises Unavailable when the connection is gone.
    """
    raw: AsyncConnection[Any] = connection
    heard: list[Notify] = []
    try:
        async for notify in raw.notifies(timeout=seconds, stop_after=1):
            heard.append(notify)  # noqa: PERF401 - kept when the connection fails afterwards
    except psycopg.Error as error:
        raise Unavailable("the connection that listens is gone") from error
    return [(notify.channel, notify.payload) for notify in heard]
