"""What `fedctl custody recover|drill` do: a share is lost, in earnest or rehearsed. No terminal.

Either way a new share takes the lost one's place by the two that are left, and every key is wrapped
anew for it; what was lost opens nothing that is stored then.
"""

import secrets
import time
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from dataclasses import dataclass
from itertools import combinations
from pathlib import Path

from fedctl.custody_access import CustodyAccess
from fedctl.custody_cards import missing, record_of
from fedctl.custody_keepers import Given, NewCards, all_pairs_open, kept, known, pair_opens
from fedctl.errors import FedctlError, WrongCard
from ledger import custody
from ledger.connect import Connection, connect
from ledger.custody import DRILL, CustodyKey
from ledger.errors import UnknownKey
from trust.datakeys import KeyName
from trust.envelope import Place, seal, unseal
from trust.printed import printed, read_card
from trust.shares import (
    HOLDERS,
    Holder,
    Keeper,
    Share,
    Wrapped,
    new_share,
    replace_lost,
    unwrap,
)

Note = Callable[[str], None]
# The two that are left, by tenant.
Kept = Mapping[str, tuple[Keeper, ...]]


@dataclass(frozen=True)
class Behind:
    """A key that is wrapped for the share before: as it is stored, and the two that open it."""

    key_id: str
    epoch: int
    stored: bytes
    kept: tuple[Keeper, ...]


@dataclass(frozen=True)
class Rehearsed:
    """The loss of one holder's share, rehearsed in `seconds`."""

    lost: Holder
    seconds: float
    opened: int
    real_cards: tuple[Holder, ...]


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
        left = {key.tenant: kept(given, records, lost, key.tenant) for key in keys}
        replacement = cards.read(lost, owner) or new_share(lost)
        on_record = replacement.mark() == record.mark
        if on_record and not await anext(_behind(connection, keys, left, replacement), None):
            raise WrongCard(
                f"{cards.path(lost, owner)} is the card that is on record",
                "nothing is lost, or name an empty folder with --cards",
            )
        # The card is on disk before anything depends on it.
        path = cards.write(replacement, owner, access.by.now())
        if lost is Holder.GUARDIAN:
            access.keep_guardian(replacement)
        await custody.note_share(connection, replacement, owner, record.mark, access.by)
        return path, [
            await _wrap_anew(access, connection, each, replacement, note)
            async for each in _behind(connection, keys, left, replacement)
        ]


async def _behind(
    connection: Connection, keys: Sequence[CustodyKey], left: Kept, replacement: Share
) -> AsyncIterator[Behind]:
    """The keys that the new share does not open yet, each read when it is its turn."""
    for key in keys:
        kept_of_key = left[key.tenant]
        for epoch, stored in (await custody.wrapped_keys(connection, key.key_id)).items():
            if not all_pairs_open(Wrapped.from_bytes(stored), (*kept_of_key, replacement)):
                yield Behind(key.key_id, epoch, stored, kept_of_key)


async def _wrap_anew(
    access: CustodyAccess, connection: Connection, behind: Behind, replacement: Share, note: Note
) -> str:
    wrapped = Wrapped.from_bytes(behind.stored)
    anew = replace_lost(wrapped, behind.kept, replacement).to_bytes()
    await custody.put_back(
        connection, behind.key_id, behind.epoch, behind.stored, anew, access.by, replacement.holder
    )
    note(f"{wrapped.name} is wrapped for the new share")
    return str(wrapped.name)


async def drill(access: CustodyAccess, tenant: str, given: Given, note: Note) -> list[Rehearsed]:
    """Lose each share in turn, on a key made for it, and get the content back by the other two.

    Given cards are used (and so proven); shares that are not given are made up.
    """
    async with await connect(access.settings) as connection:
        records = await custody.shares(connection)
        three = {
            holder: known(given[holder], records, tenant) if holder in given else new_share(holder)
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
    key = await custody.make(
        connection, tenant, f"{DRILL}{secrets.token_hex(6)}", tuple(three.values()), access.by
    )
    try:
        said, place = secrets.token_bytes(64), Place("drill", "1")
        envelope = seal(said, key, place, sealed_before=0)
        began = time.monotonic()
        left = tuple(three[holder] for holder in missing([lost]))
        new, read = await _replaced(access, connection, key.name, lost, left)
        opened = 0
        for pair in combinations((*left, new), 2):
            if unseal(envelope, unwrap(read, pair), place) != said:
                raise FedctlError(f"without the {lost}'s share other content came back")
            opened += 1
        seconds = time.monotonic() - began
        for keeper in left:
            if pair_opens(read, (keeper, three[lost])):
                raise FedctlError(f"the lost share of the {lost} still opens what is stored")
        return Rehearsed(lost, seconds, opened, real)
    finally:
        await custody.forget(connection, key.name.id, access.by)


async def _replaced(
    access: CustodyAccess,
    connection: Connection,
    name: KeyName,
    lost: Holder,
    left: tuple[Keeper, ...],
) -> tuple[Share, Wrapped]:
    """The share in the lost one's place, and the key as it is stored for it."""
    # As a person would: a new share, its card written, read out and typed in again.
    new = read_card(printed(new_share(lost)))
    stored = await _stored(connection, name)
    anew = replace_lost(Wrapped.from_bytes(stored), left, new).to_bytes()
    await custody.put_back(connection, name.id, name.epoch, stored, anew, access.by, lost)
    return new, Wrapped.from_bytes(await _stored(connection, name))


async def _stored(connection: Connection, name: KeyName) -> bytes:
    found = (await custody.wrapped_keys(connection, name.id)).get(name.epoch)
    if found is None:
        raise UnknownKey(f"{name} is not stored")
    return found
