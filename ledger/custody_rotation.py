"""Rotate a data key in the database: look, decide (`trust.rotation`), act, save, look again.

Whoever runs it may die anywhere: the plan and all keys are in the database, and the next run goes
on from what it finds. What was opened by all pairs is remembered by this run only.

Writers of content need no asking: the database refuses it under an epoch that is not current, so
once an epoch is current nobody seals under an older one. Gateways' prompts it takes as long as the
key of their epoch is there, which stays for SPOOLED longer. A backup may hold old envelopes if it
began before the last of them was sealed anew.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from typing import LiteralString
from uuid import UUID

from ledger import custody, prompts
from ledger.connect import Connection, Row
from ledger.content import TABLE, reserve
from ledger.custody import By
from ledger.errors import LedgerError, Superseded, UnknownKey
from ledger.queries import QUERIES
from ledger.translate import translated
from trust import rotation
from trust.datakeys import DataKey, KeyName, new_data_key
from trust.envelope import Place
from trust.errors import CustodyError
from trust.rotation import (
    Decision,
    DropKey,
    Kind,
    OpenWithAllPairs,
    Phase,
    Plan,
    Reseal,
    Seen,
    SetCurrent,
    Stored,
    StoreNewKey,
)
from trust.sealing import reseal
from trust.shares import Keeper, Wrapped, unwrap, verify, wrap

NO_BACKUP = datetime.max.replace(tzinfo=UTC)
"""For `oldest_backup`: nothing can be restored, so no backup holds anything."""


SPOOLED = timedelta(days=7)
"""How long a sealed prompt may lie in a gateway's spool, counted from when no other was left of its
epoch: far longer than gateways serve without the ledger, and than alarms about spools are borne."""


def _nobody(what: str) -> None:
    """Nobody listens."""
    del what


@dataclass(frozen=True)
class Standing:
    """The newest rotation of a key. `rewrapped_at`: since when no old envelope is left."""

    plan: Plan
    began_at: datetime
    saved_at: datetime
    rewrapped_at: datetime | None


async def standing(connection: Connection, key: str) -> Standing | None:
    """How far the newest rotation of a key is; None when it was never rotated."""
    row = await _row(connection, QUERIES["custody_rotation"], key=key)
    if row is None:
        return None
    plan = Plan(key, row["old_epoch"], row["new_epoch"], Phase(row["phase"]), row["attempts"])
    return Standing(plan, row["began_at"], row["saved_at"], row["rewrapped_at"])


async def plan_for(connection: Connection, key: str) -> Plan:
    """The rotation under way, or the plan of a new one from the current epoch; changes nothing.

    Raises UnknownKey.
    """
    current = await custody.current_epoch(connection, key)
    found = await standing(connection, key)
    if found is not None and found.plan.phase is not Phase.DONE:
        return found.plan
    return Plan(key, current, current + 1)


@dataclass
class Rotation:
    """One run over one key. `keepers` are all three holders; `oldest_backup` is when the oldest
    backup that may still be restored began, None when that is not known.

    `stepped` hears of every change that was made; tests crash there. `vouch` gives the public half
    of a new data key, for keys that gateways seal to. In the `background` means that somebody else
    is to seal anew: the run ends before.
    """

    connection: Connection
    plan: Plan
    keepers: Sequence[Keeper]
    by: By
    oldest_backup: datetime | None
    stepped: Callable[[str], None] = _nobody
    vouch: Callable[[DataKey], bytes] | None = None
    background: bool = False
    _opened: bytes | None = field(default=None, repr=False)
    _broken: bytes | None = field(default=None, repr=False)
    _keys: dict[int, DataKey] = field(default_factory=dict, repr=False)

    async def run(self) -> Decision:
        """Go on until it is done, waits or needs a person. Raises LedgerError and CustodyError."""
        while True:
            decision = await self.decide()
            if decision.kind in (Kind.WAIT, Kind.HALT, Kind.DONE):
                return decision
            if self.background and isinstance(decision.action, Reseal):
                return decision
            if decision.action is not None:
                await self._act(decision.action)
            if decision.plan != self.plan or decision.kind is Kind.ADVANCE:
                await self._save(decision.plan)

    async def decide(self) -> Decision:
        """What comes next; changes nothing."""
        return rotation.decide(self.plan, await self._look())

    async def _look(self) -> Seen:
        plan = self.plan
        current = await custody.current_epoch(self.connection, plan.key_id)
        # Writers first, then envelopes, then backups: the order that trust.rotation asks for. Old
        # envelopes count from every epoch before, so that none is left behind for good.
        stored = await custody.wrapped_keys(self.connection, plan.key_id)
        counted = await _row(
            self.connection, QUERIES["custody_count"], key=plan.key_id, epoch=plan.old
        )
        found = await standing(self.connection, plan.key_id)
        return Seen(
            current=current,
            new_key=self._state_of(stored.get(plan.new)),
            old_key_present=plan.old in stored,
            oldest_writer=await self._oldest_writer(current, found),
            oldest_backup=self._backup_epoch(found),
            old_envelopes=counted["envelopes"] if counted else None,
        )

    async def _oldest_writer(self, current: int, found: Standing | None) -> int:
        """A gateway seals prompts without asking, and what it sealed may lie in its spool while the
        ledger is away from it: the epoch before counts as in use until long after."""
        plan = self.plan
        if await prompts.published(self.connection, plan.key_id, plan.old) is None:
            return current
        since = None if found is None else found.rewrapped_at
        passed = since is not None and self.by.now() - since > SPOOLED
        return current if passed else min(current, plan.old)

    def _state_of(self, blob: bytes | None) -> Stored:
        if blob is None:
            return Stored.ABSENT
        if blob == self._broken:
            return Stored.BROKEN
        return Stored.OPENS if blob == self._opened else Stored.UNTESTED

    def _backup_epoch(self, found: Standing | None) -> int | None:
        if self.oldest_backup is None or found is None:
            return None
        if self.oldest_backup == NO_BACKUP:
            return self.plan.new
        since = found.rewrapped_at
        return self.plan.new if since is not None and self.oldest_backup > since else self.plan.old

    async def _act(self, action: rotation.Action) -> None:
        match action:
            case StoreNewKey(epoch):
                await self._store(epoch)
            case OpenWithAllPairs(epoch):
                await self._open(epoch)
            case SetCurrent(old, new):
                if self.vouch is not None and new in self._keys:
                    # First: gateways shall never find an epoch current that they cannot seal to.
                    blob = self.vouch(self._keys[new])
                    await prompts.publish(self.connection, self.plan.key_id, new, blob, self.by)
                await self._change(
                    QUERIES["custody_set_current"], "custody.current", new, old=old, new=new
                )
            case Reseal(old, new, limit):
                await self._reseal(old, new, limit)
            case DropKey(epoch):
                await self._change(QUERIES["custody_drop"], "custody.dropped", epoch)

    async def _store(self, epoch: int) -> None:
        key = new_data_key(KeyName(self.plan.key_id, epoch))
        blob = wrap(key, self.keepers).to_bytes()
        await self._change(QUERIES["custody_store"], "custody.stored", epoch, wrapped=blob)

    async def _open(self, epoch: int) -> None:
        blob = (await custody.wrapped_keys(self.connection, self.plan.key_id)).get(epoch, b"")
        try:
            key = verify(Wrapped.from_bytes(blob), self.keepers)
            if key.name != KeyName(self.plan.key_id, epoch):
                raise UnknownKey(
                    f"where {self.plan.key_id} epoch {epoch} should be lies {key.name}"
                )
        except (CustodyError, UnknownKey):
            self._broken = blob
            return
        self._opened, self._keys[epoch] = blob, key

    async def _change(self, query: LiteralString, kind: str, epoch: int, **values: object) -> None:
        body = self.by.event(kind, self.plan.key_id, epoch=epoch)
        with translated(writing=True):
            await self.connection.execute(
                query, {"key": self.plan.key_id, "epoch": epoch, "body": body, **values}
            )
        self.stepped(kind)

    async def _reseal(self, old: int, new: int, limit: int) -> None:
        rows = await self._batch(old, limit)
        if not rows:
            return
        seals = await reserve(self.connection, KeyName(self.plan.key_id, new), len(rows))
        for place, row in enumerate(rows):
            envelope = reseal(
                bytes(row["envelope"]),
                await self._key(row["key_epoch"]),
                await self._key(new),
                Place(TABLE, str(row["id"])),
                sealed_before=seals + place,
            )
            await self._move(row["id"], bytes(row["envelope"]), new, envelope)
            self.stepped("custody.resealed")

    async def _move(self, item: UUID, old: bytes, new: int, envelope: bytes) -> None:
        values = {"id": item, "key": self.plan.key_id, "old": old, "epoch": new}
        with translated(writing=True):
            # False: it was erased or moved meanwhile. The next look counts what is left.
            await self.connection.execute(
                QUERIES["custody_reseal"], {**values, "envelope": envelope}
            )

    async def _batch(self, epoch: int, limit: int) -> list[Row]:
        values = {"key": self.plan.key_id, "epoch": epoch, "limit": limit}
        with translated(writing=False):
            cursor = await self.connection.execute(QUERIES["custody_batch"], values)
            return await cursor.fetchall()

    async def _key(self, epoch: int) -> DataKey:
        if epoch not in self._keys:
            stored = await custody.wrapped_keys(self.connection, self.plan.key_id)
            if epoch not in stored:
                raise LedgerError(f"{self.plan.key_id} has envelopes of epoch {epoch}, and no key")
            wrapped = Wrapped.from_bytes(stored[epoch])
            if wrapped.name != KeyName(self.plan.key_id, epoch):
                raise Superseded(f"{self.plan.key_id} epoch {epoch} is stored as {wrapped.name}")
            self._keys[epoch] = unwrap(wrapped, tuple(self.keepers)[:2])
        return self._keys[epoch]

    async def _save(self, plan: Plan) -> None:
        values = {
            "key": plan.key_id,
            "old": plan.old,
            "new": plan.new,
            "phase": plan.phase.value,
            "attempts": plan.attempts,
            "actor": self.by.actor,
        }
        with translated(writing=True):
            await self.connection.execute(QUERIES["custody_save"], values)
        self.plan = replace(plan)
        self.stepped(f"saved {plan.phase}")


async def _row(connection: Connection, query: LiteralString, **values: object) -> Row | None:
    with translated(writing=False):
        return await (await connection.execute(query, values)).fetchone()
