"""Personal content: kept encrypted beside the log, committed to in it, erasable for good.

An event never holds what a person wrote. It holds a *reference*: the item's id and a commitment,
HMAC-SHA256 of the content under a key drawn for this item alone. Item and key are sealed together
in one envelope (`trust.envelope`). While it is there, the commitment shows that the content is what
the event was about; once it is erased, the key is gone too, and the commitment tells nobody
anything, not even whoever can guess the content. The log is as it was and verifies as before.

Which data key seals is a value handed in (`Keys`): nothing here knows where keys come from.
"""

import hashlib
import hmac
import os
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, LiteralString
from uuid import UUID

from ledger.connect import Connection, Row
from ledger.errors import ContentAltered, ContentErased, UnknownContent
from ledger.event import Event
from ledger.queries import QUERIES
from ledger.translate import translated
from trust import sealing
from trust.datakeys import DataKey, KeyName
from trust.envelope import Place, seal
from trust.errors import CustodyError
from trust.hidden import Random, draw
from trust.primitives import pack
from trust.sealing import SealingKey

TABLE = "ledger.contents"
LABEL = b"federation content v1"
KEY_BYTES = 32
MAX_BYTES = 8 * 1024 * 1024
ERASED = "content.erased"


@dataclass(frozen=True)
class Keys:
    """The data keys at hand: `current` seals, `others` open what earlier ones sealed."""

    current: DataKey
    others: Mapping[KeyName, DataKey] = field(default_factory=dict)

    def named(self, name: KeyName) -> DataKey:
        """The key of this name; raises UnknownContent when it is not at hand."""
        found = self.current if name == self.current.name else self.others.get(name)
        if found is None:
            raise UnknownContent(f"the data key {name} is not at hand")
        return found


@dataclass(frozen=True)
class Item:
    """Content on its way to the side table: what is stored, and what an event may say of it."""

    id: UUID
    commitment: bytes
    key: KeyName
    envelope: bytes = field(repr=False)

    def reference(self) -> dict[str, Any]:
        """What stands in the event's data in the place of the content."""
        return {"content": str(self.id), "commitment": self.commitment.hex()}


def commitment(key: bytes, content_id: UUID, content: bytes) -> bytes:
    """The commitment to `content` as the item `content_id`, under a key of the item's own."""
    return hmac.digest(key, pack(LABEL, content_id.bytes, content), hashlib.sha256)


def sealed(
    content_id: UUID,
    content: bytes,
    key: DataKey,
    *,
    sealed_before: int,
    random: Random = os.urandom,
) -> Item:
    """`content` (at most 8 MiB) as an item. `sealed_before` as `trust.envelope.seal` counts.

    Raises KeyExhausted; ValueError for too much content.
    """
    if len(content) > MAX_BYTES:
        raise ValueError(f"{len(content)} bytes of content, at most {MAX_BYTES}")
    own = draw(random, KEY_BYTES)
    place = Place(TABLE, str(content_id))
    envelope = seal(own + content, key, place, sealed_before=sealed_before, random=random)
    return Item(content_id, commitment(own, content_id, content), key.name, envelope)


def sealed_to(
    content_id: UUID, content: bytes, to: SealingKey, *, random: Random = os.urandom
) -> Item:
    """`content` (at most 8 MiB) as an item that its sealer cannot open; ValueError for more."""
    if len(content) > MAX_BYTES:
        raise ValueError(f"{len(content)} bytes of content, at most {MAX_BYTES}")
    own = draw(random, KEY_BYTES)
    place = Place(TABLE, str(content_id))
    envelope = sealing.seal_to(own + content, to, place, random)
    return Item(content_id, commitment(own, content_id, content), to.name, envelope)


def opened(item: Item, key: DataKey) -> bytes:
    """The content of an item; raises ContentAltered when it is not what was committed to."""
    try:
        inner = sealing.unseal(item.envelope, key, Place(TABLE, str(item.id)))
    except CustodyError as error:
        raise ContentAltered(f"content {item.id}: {error}") from error
    own, content = inner[:KEY_BYTES], inner[KEY_BYTES:]
    if not hmac.compare_digest(commitment(own, item.id, content), item.commitment):
        raise ContentAltered(f"content {item.id} is not what its event committed to")
    return content


async def store(connection: Connection, keys: Keys, content_id: UUID, content: bytes) -> Item:
    """Seal and keep `content`; then append the event with `reference()` in it, in this order.

    The same id again is an error unless nothing was stored before (each sealing has a key of its
    own): after OutcomeUnknown, `keep` the same item again.
    """
    item = await prepare(connection, keys, content_id, content)
    await keep(connection, item)
    return item


async def prepare(connection: Connection, keys: Keys, content_id: UUID, content: bytes) -> Item:
    """Reserve one of the key's envelopes and seal; nothing is stored yet."""
    before = await reserve(connection, keys.current.name, 1)
    return sealed(content_id, content, keys.current, sealed_before=before)


async def reserve(connection: Connection, name: KeyName, wanted: int) -> int:
    """Count `wanted` envelopes of a data key before they are sealed; how many there were before."""
    values = {"key": name.id, "epoch": name.epoch, "wanted": wanted}
    with translated(writing=True):
        row = await (await connection.execute(QUERIES["content_reserve"], values)).fetchone()
    assert row is not None  # noqa: S101 - a function call is one row
    return int(row["before"])


async def keep(connection: Connection, item: Item) -> bool:
    """Store the item; False when this very one was there.

    Raises Superseded when its key has a newer epoch (open the keys and seal anew), Conflict,
    OutcomeUnknown.
    """
    return await put(connection, QUERIES["content_store"], item)


async def put(connection: Connection, query: LiteralString, item: Item) -> bool:
    """Hand an item to one of the ledger's functions that take them; whether it was new."""
    values = {
        "id": item.id,
        "commitment": item.commitment,
        "key": item.key.id,
        "epoch": item.key.epoch,
        "envelope": item.envelope,
    }
    with translated(writing=True):
        row = await (await connection.execute(query, values)).fetchone()
    return bool(row and row["new"])


async def read(connection: Connection, keys: Keys, reference: Mapping[str, Any]) -> bytes:
    """The content an event refers to, and surely that.

    Raises UnknownContent, ContentErased, or ContentAltered when the row is not what the event
    committed to (the event's word counts, not the row's).
    """
    content_id, wanted = _parts(reference)
    row = await _row(connection, content_id)
    if row is None:
        raise UnknownContent(f"there is no content {content_id}")
    if not hmac.compare_digest(bytes(row["commitment"]), wanted):
        raise ContentAltered(f"content {content_id} is not what the event committed to")
    if row["envelope"] is None:
        raise ContentErased(f"content {content_id} was erased ({row['erased_by']})")
    try:
        name = KeyName(row["key_id"], row["key_epoch"])
    except ValueError as error:
        raise ContentAltered(f"content {content_id}: {error}") from error
    item = Item(content_id, wanted, name, bytes(row["envelope"]))
    return opened(item, keys.named(name))


async def erase(connection: Connection, content_id: UUID, event: Event) -> bool:
    """Erase an item and append `event` (of `erasure`), both or neither. False: erased before.

    Raises UnknownContent, Rejected for an event that says something else, OutcomeUnknown.
    """
    values = {"id": content_id, "body": event.canonical()}
    if await _row(connection, content_id) is None:
        raise UnknownContent(f"there is no content {content_id}")
    with translated(writing=True):
        row = await (await connection.execute(QUERIES["content_erase"], values)).fetchone()
    return bool(row and row["new"])


def erasure(content_id: UUID, reason: str, **fields: Any) -> Event:
    """The event of an erasure; `fields` are the event's id, time, node and actor."""
    data = {"content": str(content_id), "reason": reason}
    return Event(kind=ERASED, subject=str(content_id), data=data, **fields)


async def _row(connection: Connection, content_id: UUID) -> Row | None:
    with translated(writing=False):
        cursor = await connection.execute(QUERIES["content_show"], {"id": content_id})
        return await cursor.fetchone()


def _parts(reference: Mapping[str, Any]) -> tuple[UUID, bytes]:
    try:
        return UUID(reference["content"]), bytes.fromhex(reference["commitment"])
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        raise UnknownContent(f"no reference to content: {error!r:.80}") from error
