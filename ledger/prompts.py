"""Stored prompts: a tenant's choice, the public half its gateways seal to, and what is kept.

What is kept is personal content like any other (`ledger.content`): sealed, committed to by the
event `request.finished`, erasable. Who seals it cannot open it (`trust.sealing`).
"""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any
from uuid import UUID

from ledger import content, log
from ledger.connect import Connection
from ledger.content import Item
from ledger.custody import By
from ledger.errors import ContentErased, UnknownContent
from ledger.event import Event
from ledger.queries import QUERIES
from ledger.translate import translated

CLASS = "prompts"
SWITCHED, PUBLISHED, OPENED = "tenant.prompts", "custody.published", "prompts.opened"


@dataclass(frozen=True)
class PromptsRecord:
    """A tenant's choice. `published`: gateways have a key to seal to; `epoch` None: no data key;
    `count` and `oldest` are of what is kept now.
    """

    tenant: str
    kept: bool
    days: int
    epoch: int | None
    published: bool
    count: int
    oldest: datetime | None


async def publish(connection: Connection, key: str, epoch: int, vouched: bytes, by: By) -> None:
    """Have the public half of an epoch on record, as `trust.sealing.vouched` gave it."""
    body = by.event(PUBLISHED, key, epoch=epoch)
    values = {"key": key, "epoch": epoch, "vouched": vouched, "body": body}
    with translated(writing=True):
        await connection.execute(QUERIES["prompts_publish"], values)


async def published(connection: Connection, key: str, epoch: int) -> bytes | None:
    """What gateways were given to seal to in this epoch; None: never anything."""
    with translated(writing=False):
        cursor = await connection.execute(
            QUERIES["prompts_published"], {"key": key, "epoch": epoch}
        )
        row = await cursor.fetchone()
    return bytes(row["vouched"]) if row else None


async def switch(connection: Connection, tenant: str, wanted: bool, days: int, by: By) -> None:
    """Keep a tenant's prompts from now on, or no longer; what is kept stays for its `days`.

    Raises Rejected when there is no such tenant, or no key to seal to.
    """
    body = by.event(SWITCHED, f"tenant:{tenant}", kept=wanted, days=days)
    values = {"tenant": tenant, "wanted": wanted, "days": days, "body": body}
    with translated(writing=True):
        await connection.execute(QUERIES["prompts_switch"], values)


async def standing(connection: Connection) -> tuple[PromptsRecord, ...]:
    """Every tenant's choice, by name."""
    with translated(writing=False):
        rows = await (await connection.execute(QUERIES["prompts_standing"])).fetchall()
    return tuple(PromptsRecord(**row) for row in rows)


async def keep(connection: Connection, item: Item) -> bool:
    """Store what a gateway sealed; False when it was there.

    Raises Rejected when the key of its epoch is gone, Conflict for another item of its id.
    """
    return await content.put(connection, QUERIES["prompts_keep"], item)


async def reference(connection: Connection, finished: UUID) -> Mapping[str, Any]:
    """What the event of a request's end says of what was kept of it: see `content.read`.

    Raises UnknownContent, with the reason, when nothing was.
    """
    body = await log.read(connection, finished)
    if body is None:
        raise UnknownContent("the ledger has no end of this request")
    data = Event.parse(body).data
    if "content" not in data:
        why = data.get("not_kept")
        said = f"could not be kept ({why})" if why else "was not to be kept"
        raise UnknownContent(f"the prompt of this request {said}")
    return data


async def erase(connection: Connection, item: UUID, reason: str, by: By) -> bool:
    """Erase what is kept of one request; False when it was erased before."""
    return await content.erase(connection, item, _erasure(item, reason, by))


async def erase_due(connection: Connection, by: By, most: int = 500) -> int:
    """Erase what its tenant's days are over for, at most so many; how many."""
    with translated(writing=False):
        rows = await (await connection.execute(QUERIES["prompts_due"], {"most": most})).fetchall()
    erased = 0
    for row in rows:
        values = {"id": row["id"], "body": _erasure(row["id"], "retention", by).canonical()}
        with translated(writing=True):
            found = await (
                await connection.execute(QUERIES["prompts_erase_due"], values)
            ).fetchone()
        erased += bool(found and found["new"])
    return erased


async def epoch_of(connection: Connection, item: UUID) -> tuple[str, int]:
    """Which data key opens an item: its id and epoch. Raises UnknownContent, ContentErased."""
    with translated(writing=False):
        row = await (await connection.execute(QUERIES["content_show"], {"id": item})).fetchone()
    if row is None:
        raise UnknownContent(f"there is no content {item}")
    if row["envelope"] is None:
        raise ContentErased(f"content {item} was erased ({row['erased_by']})")
    return row["key_id"], row["key_epoch"]


def _erasure(item: UUID, reason: str, by: By) -> Event:
    return Event.parse(by.event(content.ERASED, str(item), content=str(item), reason=reason))
