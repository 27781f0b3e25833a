"""What `fedctl custody` does, each verb one coroutine over one connection. No terminal here."""

import secrets
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from itertools import combinations
from pathlib import Path
from typing import Protocol

from fedctl.custody_access import CustodyAccess
from fedctl.custody_cards import checked, missing, record_of
from fedctl.errors import FedctlError, WrongCard
from fedctl.guardian_client import RemoteGuardian
from ledger import custody, prompts
from ledger.connect import Connection, connect
from ledger.custody import DRILL, CustodyKey, ShareRecord
from ledger.custody_rotation import Rotation, Standing, plan_for, standing
from ledger.errors import UnknownKey
from trust import warrants
from trust.datakeys import KeyName
from trust.envelope import Place, seal, unseal
from trust.errors import ShareRefused
from trust.printed import printed, read_card
from trust.rotation import Decision, Kind
from trust.shares import (
    HOLDERS,
    Holder,
    Keeper,
    Share,
    Wrapped,
    new_share,
    replace_lost,
    unwrap,
    verify,
)

Given = Mapping[Holder, Keeper]
Note = Callable[[str], None]


class NewCards(Protocol):
    """Where new shares are kept, and those of an earlier run are found (custody_cards.Cards)."""

    def path(self, holder: Holder, tenant: str) -> Path:
        """Where the share is, or would be."""
        ...

    def read(self, holder: Holder, tenant: str) -> Share | None:
        """The share that is there."""
        ...

    def write(self, share: Share, tenant: str, now: datetime) -> Path:
        """Keep a share; raises WrongCard for another one in its place."""
        ...


@dataclass(frozen=True)
class Overview:
    """All there is: keys, whose shares, and rotations by key."""

    keys: tuple[CustodyKey, ...]
    shares: tuple[ShareRecord, ...]
    rotations: Mapping[str, Standing]


@dataclass(frozen=True)
class Rehearsed:
    """The loss of one holder's share, rehearsed in `seconds`."""

    lost: Holder
    seconds: float
    opened: int
    real_cards: tuple[Holder, ...]


async def overview(access: CustodyAccess, tenant: str | None) -> Overview:
    """Look; raises LedgerError."""
    async with await connect(access.settings) as connection:
        keys = await custody.list_keys(connection, tenant)
        rotations = {key.key_id: await standing(connection, key.key_id) for key in keys}
        return Overview(
            keys,
            await custody.shares(connection),
            {key: found for key, found in rotations.items() if found is not None},
        )


async def init(
    access: CustodyAccess, tenant: str, classes: Sequence[str], given: Given, cards: NewCards
) -> tuple[list[Path], list[str]]:
    """Cards for holders that have no share yet, and a key for each class that has none.

    Which cards were written and which keys made; nothing of either when all is there. May be run
    again after it was cut off: cards that are in the folder are used. Raises FedctlError.
    """
    async with await connect(access.settings) as connection:
        records = await custody.shares(connection)
        present = {key.object_class for key in await custody.list_keys(connection, tenant)}
        wanted = [each for each in classes if each not in present]
        if not wanted:
            return [], []
        own = given.get(Holder.GUARDIAN) or access.own_guardian()
        three, fresh = _three(records, tenant, given, cards, own)
        written = [cards.write(share, tenant, access.by.now()) for share in fresh]
        for share in three.values():
            if isinstance(share, Share):
                await custody.note_share(connection, share, tenant, _mark(records, share, tenant),
                                         access.by)  # fmt: skip
        made = []
        for each in wanted:
            key = await custody.make(connection, tenant, each, tuple(three.values()), access.by)
            stored = (await custody.wrapped_keys(connection, key.name.id))[key.name.epoch]
            if verify(Wrapped.from_bytes(stored), tuple(three.values())) != key:
                raise FedctlError(f"{key.name} does not open as it was made")
            if each == prompts.CLASS:
                await prompts.publish(
                    connection, key.name.id, key.name.epoch, access.vouch(key), access.by
                )
            made.append(key.name.id)
        return written, made


def _three(
    records: Sequence[ShareRecord], tenant: str, given: Given, cards: NewCards, own: Keeper
) -> tuple[dict[Holder, Keeper], list[Share]]:
    """All three holders, and those shares of them that are new and need a card."""
    three: dict[Holder, Keeper] = {}
    fresh = []
    for holder in HOLDERS:
        keeper = given.get(holder) or cards.read(holder, tenant)
        if keeper is None and holder is own.holder:
            keeper = own
        record = record_of(records, holder, tenant)
        if keeper is None and record is not None:
            raise WrongCard(
                f"the {holder} has a share since {record.made_at:%Y-%m-%d} (mark "
                f"{record.mark.hex()}), and it is needed",
                "give its card with --share FILE; the guardian can be asked with --guardian",
            )
        if keeper is None:
            keeper = new_share(holder)
        if isinstance(keeper, Share):
            checked(keeper, records, tenant)
            if record is None and holder not in given:
                fresh.append(keeper)
        three[holder] = keeper
    return three, fresh


def _mark(records: Sequence[ShareRecord], share: Share, tenant: str) -> bytes | None:
    record = record_of(records, share.holder, tenant)
    return None if record is None else record.mark


async def rotation(
    access: CustodyAccess, key: str, given: Given, stepped: Note | None, *, wait: bool = False
) -> tuple[Rotation, Decision]:
    """Rotate a key, or (without `stepped`) say what comes next. Raises FedctlError, LedgerError.

    Content is sealed anew by a guardian that was given in place of its card, in the background
    (the decision is ACT then), unless this is to `wait` for it.
    """
    tenant = key.partition("/")[0]
    async with await connect(access.settings) as connection:
        plan = await plan_for(connection, key)
        records = await custody.shares(connection)
        keepers = [_known(given[holder], records, tenant) for holder in HOLDERS if holder in given]
        run = Rotation(
            connection,
            plan,
            keepers,
            access.by,
            access.oldest_backup(),
            stepped or (lambda _: None),
            access.vouch if key.endswith(f"/{prompts.CLASS}") else None,
        )
        if stepped is None:
            return run, await run.decide()
        lacking = missing(given)
        if lacking:
            raise WrongCard(
                f"a new data key is wrapped for all three shares: {', '.join(lacking)} is missing",
                "give each card with --share FILE; the guardian can be asked with --guardian",
            )
        guardian = given[Holder.GUARDIAN]
        run.background = isinstance(guardian, RemoteGuardian) and not wait
        decision = await run.run()
        if decision.kind is Kind.ACT and isinstance(guardian, RemoteGuardian):
            epochs = await custody.wrapped_keys(connection, key)
            plan, two = run.plan, [given[holder] for holder in warrants.HOLDERS]
            guardian.rewrap(warrants.issue(key, plan.old, plan.new, epochs, two))
        return run, decision


async def recover(
    access: CustodyAccess,
    lost: Holder,
    tenant: str | None,
    given: Sequence[Keeper],
    cards: NewCards,
    note: Note,
) -> tuple[Path, list[str]]:
    """Wrap every key of the lost share anew, for a new one with a card of its own.

    Its card, and the keys that were wrapped anew (those of an earlier run that was cut off are
    not). Raises FedctlError, CustodyError, LedgerError; run again, it goes on.
    """
    owner = tenant if lost is Holder.CLIENT and tenant else ""
    async with await connect(access.settings) as connection:
        records = await custody.shares(connection)
        record = record_of(records, lost, owner)
        if record is None:
            raise FedctlError(f"the {lost} has no share on record", "see: fedctl custody status")
        keys = await custody.list_keys(connection, owner or None)
        kept = {key.tenant: _kept(given, records, lost, key.tenant) for key in keys}
        replacement = cards.read(lost, owner) or new_share(lost)
        if replacement.mark() == record.mark and not await _unfinished(
            connection, keys, kept, replacement
        ):
            raise WrongCard(
                f"{cards.path(lost, owner)} is the card that is on record",
                "nothing is lost, or name an empty folder with --cards",
            )
        # The card is on disk before anything depends on it.
        path = cards.write(replacement, owner, access.by.now())
        if lost is Holder.GUARDIAN:
            access.keep_guardian(replacement)
        await custody.note_share(connection, replacement, owner, record.mark, access.by)
        done = []
        for key in keys:
            for epoch, stored in (await custody.wrapped_keys(connection, key.key_id)).items():
                wrapped = Wrapped.from_bytes(stored)
                if _opens(wrapped, (*kept[key.tenant], replacement)):
                    continue
                anew = replace_lost(wrapped, kept[key.tenant], replacement).to_bytes()
                await custody.put_back(connection, key.key_id, epoch, stored, anew, access.by, lost)
                done.append(str(wrapped.name))
                note(f"{wrapped.name} is wrapped for the new share")
        return path, done


def _kept(
    given: Sequence[Keeper], records: Sequence[ShareRecord], lost: Holder, tenant: str
) -> tuple[Keeper, ...]:
    """The two that are left for this tenant's keys."""
    kept: list[Keeper] = []
    for holder in missing([lost]):
        record = record_of(records, holder, tenant)
        found = [each for each in given if each.holder is holder]
        right = [
            each
            for each in found
            if not isinstance(each, Share) or record is None or each.mark() == record.mark
        ]
        if not right:
            wanted = f" (mark {record.mark.hex()})" if record else ""
            raise WrongCard(
                f"the {holder}'s share{wanted} is needed for the keys of {tenant}",
                "give its card with --share FILE; with two shares lost there is no way back",
            )
        kept.append(right[0])
    return tuple(kept)


async def _unfinished(
    connection: Connection,
    keys: Sequence[CustodyKey],
    kept: Mapping[str, tuple[Keeper, ...]],
    replacement: Share,
) -> bool:
    """Whether some key is still wrapped for the share before."""
    for key in keys:
        for stored in (await custody.wrapped_keys(connection, key.key_id)).values():
            if not _opens(Wrapped.from_bytes(stored), (*kept[key.tenant], replacement)):
                return True
    return False


def _opens(wrapped: Wrapped, three: Sequence[Keeper]) -> bool:
    try:
        verify(wrapped, three)
    except ShareRefused:
        return False
    return True


def _known(keeper: Keeper, records: Sequence[ShareRecord], tenant: str) -> Keeper:
    return checked(keeper, records, tenant) if isinstance(keeper, Share) else keeper


async def drill(access: CustodyAccess, tenant: str, given: Given, note: Note) -> list[Rehearsed]:
    """Lose each share in turn, on a key made for it, and get the content back by the other two.

    Given cards are used (and so proven); shares that are not given are made up.
    """
    async with await connect(access.settings) as connection:
        records = await custody.shares(connection)
        three = {
            holder: _known(given[holder], records, tenant) if holder in given else new_share(holder)
            for holder in HOLDERS
        }
        found = []
        for lost in HOLDERS:
            found.append(await _rehearse(access, connection, tenant, lost, three, tuple(given)))
            note(f"lost and replaced the {lost}'s share in {found[-1].seconds * 1000:.0f} ms")
        return found


async def _rehearse(
    access: CustodyAccess,
    connection: Connection,
    tenant: str,
    lost: Holder,
    three: Given,
    real: tuple[Holder, ...],
) -> Rehearsed:
    said, place = secrets.token_bytes(64), Place("drill", "1")
    key = await custody.make(
        connection, tenant, f"{DRILL}{secrets.token_hex(6)}", tuple(three.values()), access.by
    )
    try:
        envelope = seal(said, key, place, sealed_before=0)
        began = time.monotonic()
        kept = tuple(three[holder] for holder in missing([lost]))
        # As a person would: a new share, its card written, read out and typed in again.
        new = read_card(printed(new_share(lost)))
        stored = await _stored(connection, key.name)
        anew = replace_lost(Wrapped.from_bytes(stored), kept, new).to_bytes()
        await custody.put_back(
            connection, key.name.id, key.name.epoch, stored, anew, access.by, lost
        )
        read = Wrapped.from_bytes(await _stored(connection, key.name))
        opened = 0
        for pair in combinations((*kept, new), 2):
            if unseal(envelope, unwrap(read, pair), place) != said:
                raise FedctlError(f"without the {lost}'s share other content came back")
            opened += 1
        seconds = time.monotonic() - began
        for keeper in kept:
            if _pair_opens(read, (keeper, three[lost])):
                raise FedctlError(f"the lost share of the {lost} still opens what is stored")
        return Rehearsed(lost, seconds, opened, real)
    finally:
        await custody.forget(connection, key.name.id, access.by)


async def _stored(connection: Connection, name: KeyName) -> bytes:
    found = (await custody.wrapped_keys(connection, name.id)).get(name.epoch)
    if found is None:
        raise UnknownKey(f"{name} is not stored")
    return found


def _pair_opens(wrapped: Wrapped, pair: tuple[Keeper, Keeper]) -> bool:
    try:
        unwrap(wrapped, pair)
    except ShareRefused:
        return False
    return True
