"""Data keys in custody: made, read, wrapped anew for a replaced share; and who has which share.

Stored is what two shares open and one does not (`trust.shares`). Each change is one transaction
with its event. What a share is known by is its mark; shares themselves never come here.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, LiteralString

from ledger.connect import Connection, Row
from ledger.content import Keys
from ledger.errors import Superseded, UnknownKey
from ledger.event import Event
from ledger.identifiers import new_id
from ledger.queries import QUERIES
from ledger.translate import translated
from trust.datakeys import DataKey, KeyName, new_data_key
from trust.shares import Holder, Keeper, Share, Wrapped, unwrap, verify, wrap

CONTENT = "content"
"""The class of the ledger's personal content: the only one that rows are sealed under so far."""
FIRST_EPOCH = 1
DRILL = "drill-"
RELEASED = "custody.released"
REPLAYED = "custody.replayed"


@dataclass(frozen=True)
class By:
    """Who does something, where and when: what goes into every event. `now` gives UTC."""

    actor: str
    node: str
    now: Callable[[], datetime] = lambda: datetime.now(UTC)

    def event(self, kind: str, subject: str, **data: Any) -> bytes:
        """The bytes of an event of theirs, as of now."""
        event = Event(
            id=new_id(),
            time=self.now(),
            node=self.node,
            actor=self.actor,
            kind=kind,
            subject=subject,
            data=data,
        )
        return event.canonical()


@dataclass(frozen=True)
class CustodyKey:
    """One tenant's key of a class. `epochs`: those kept, and how many envelopes lie under each."""

    key_id: str
    tenant: str
    object_class: str
    current_epoch: int
    made_at: datetime
    made_by: str
    epochs: Mapping[int, int]


@dataclass(frozen=True)
class ShareRecord:
    """Which share a holder has: the `version`th, known by its mark. `tenant` is '' for all."""

    holder: Holder
    tenant: str
    version: int
    mark: bytes
    made_at: datetime
    made_by: str


def key_id(tenant: str, object_class: str) -> str:
    """What a tenant's key of a class is called everywhere."""
    return f"{tenant}/{object_class}"


def share_tenant(holder: Holder, tenant: str) -> str:
    """Whose share this is: a client's is its tenant's own, the others' are everybody's."""
    return tenant if holder is Holder.CLIENT else ""


async def make(
    connection: Connection, tenant: str, object_class: str, keepers: Sequence[Keeper], by: By
) -> DataKey:
    """A new key of this class, wrapped for all pairs and read back before it is believed.

    Raises Conflict when the tenant has one, Rejected for a tenant or class that is none.
    """
    key = new_data_key(KeyName(key_id(tenant, object_class), FIRST_EPOCH))
    wrapped = wrap(key, keepers).to_bytes()
    verify(Wrapped.from_bytes(wrapped), keepers)
    values = {
        "tenant": tenant,
        "object_class": object_class,
        "wrapped": wrapped,
        "actor": by.actor,
        "body": by.event("custody.made", key.name.id, tenant=tenant, epoch=FIRST_EPOCH),
    }
    with translated(writing=True):
        await connection.execute(QUERIES["custody_make"], values)
    return key


async def list_keys(connection: Connection, tenant: str | None = None) -> tuple[CustodyKey, ...]:
    """Every key there is (of one tenant), by name."""
    rows = await _rows(connection, QUERIES["custody_keys"], tenant=tenant)
    return tuple(
        CustodyKey(**{**row, "epochs": {int(n): m for n, m in sorted(row["epochs"].items())}})
        for row in rows
    )


async def current_epoch(connection: Connection, key: str) -> int:
    """The epoch that is sealed under; raises UnknownKey."""
    rows = await _rows(connection, QUERIES["custody_current"], key=key)
    if not rows:
        raise UnknownKey(f"custody has no key {key[:200]!r}")
    return int(rows[0]["current_epoch"])


async def wrapped_keys(connection: Connection, key: str) -> dict[int, bytes]:
    """What is stored of each epoch that is kept, oldest first."""
    rows = await _rows(connection, QUERIES["custody_epochs"], key=key)
    return {int(row["epoch"]): bytes(row["wrapped"]) for row in rows}


async def open_key(connection: Connection, key: str, keepers: Sequence[Keeper]) -> Keys:
    """The data keys of all epochs, by any two holders. The current one seals.

    Raises UnknownKey, and CustodyError as `trust.shares.unwrap` does.
    """
    current = await current_epoch(connection, key)
    opened: dict[KeyName, DataKey] = {}
    for epoch, blob in (await wrapped_keys(connection, key)).items():
        wrapped = Wrapped.from_bytes(blob)
        if wrapped.name != KeyName(key, epoch):
            raise UnknownKey(f"where {key} epoch {epoch} should be lies {wrapped.name}")
        opened[wrapped.name] = unwrap(wrapped, keepers)
    found = opened.pop(KeyName(key, current), None)
    if found is None:
        raise UnknownKey(f"{key} has no key of its current epoch {current}")
    return Keys(found, opened)


async def put_back(
    connection: Connection, key: str, epoch: int, old: bytes, wrapped: bytes, by: By, holder: Holder
) -> None:
    """Store a key wrapped anew for another share of `holder`; raises Superseded when `old` is not
    what lies there any more."""
    body = by.event("custody.rewrapped", key, epoch=epoch, holder=holder.value)
    values = {"key": key, "epoch": epoch, "old": old, "wrapped": wrapped, "body": body}
    with translated(writing=True):
        cursor = await connection.execute(QUERIES["custody_replace"], values)
        row = await cursor.fetchone()
    if not (row and row["done"]):
        raise Superseded(f"{key} epoch {epoch} was changed by somebody else: run it again")


async def note_share(
    connection: Connection, share: Share, tenant: str, replaces: bytes | None, by: By
) -> bool:
    """Put on record that `holder` has this share now; False when it was.

    Raises Superseded when the one before is not the one of mark `replaces`.
    """
    owner = share_tenant(share.holder, tenant)
    subject = f"{share.holder}:{owner}" if owner else share.holder.value
    mark = share.mark()
    values = {
        "holder": share.holder.value,
        "tenant": owner,
        "mark": mark,
        "replaces": replaces,
        "actor": by.actor,
        "body": by.event(
            "custody.share",
            subject,
            mark=mark.hex(),
            replaces=None if replaces is None else replaces.hex(),
        ),
    }
    with translated(writing=True):
        row = await (await connection.execute(QUERIES["custody_share"], values)).fetchone()
    return bool(row and row["new"])


async def shares(connection: Connection) -> tuple[ShareRecord, ...]:
    """The newest share of every holder."""
    return tuple(
        ShareRecord(**{**row, "holder": Holder(row["holder"]), "mark": bytes(row["mark"])})
        for row in await _rows(connection, QUERIES["custody_shares"])
    )


async def forget(connection: Connection, key: str, by: By) -> None:
    """Take a drill's key away again; raises Rejected for any other key."""
    values = {"key": key, "body": by.event("custody.forgotten", key)}
    with translated(writing=True):
        await connection.execute(QUERIES["custody_forget"], values)


async def releases(connection: Connection, since: datetime) -> tuple[tuple[datetime, str], ...]:
    """When the guardian gave out a half of which key, oldest first."""
    rows = await _rows(connection, QUERIES["custody_releases"], since=since)
    return tuple((row["at"], row["key_id"]) for row in rows)


async def _rows(connection: Connection, query: LiteralString, **values: Any) -> list[Row]:
    with translated(writing=False):
        return await (await connection.execute(query, values)).fetchall()
