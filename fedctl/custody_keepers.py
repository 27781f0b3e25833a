"""Who answers for each of the three shares: what was given, held against what is on record.

A keeper is a share in hand (a card, or the operator's copy of the guardian's) or the guardian asked
over the network. Nothing here reads the ledger or opens a key.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Protocol

from fedctl.custody_cards import checked, missing, record_of
from fedctl.errors import WrongCard
from ledger.custody import ShareRecord
from trust.errors import ShareRefused
from trust.shares import HOLDERS, Holder, Keeper, Share, Wrapped, new_share, unwrap, verify

Given = Mapping[Holder, Keeper]


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
class Three:
    """A keeper for every holder, and those shares of them that are new and need a card."""

    by_holder: Mapping[Holder, Keeper]
    fresh: tuple[Share, ...]

    @property
    def keepers(self) -> tuple[Keeper, ...]:
        """All three, in the order of their holders."""
        return tuple(self.by_holder.values())

    @property
    def shares(self) -> tuple[Share, ...]:
        """Those of them that are in hand."""
        return tuple(each for each in self.keepers if isinstance(each, Share))


def all_three(
    records: Sequence[ShareRecord], tenant: str, given: Given, cards: NewCards, own: Keeper
) -> Three:
    """Who was given, whose card lies there, the guardian's `own`; else a share nobody has yet.

    Raises WrongCard for a share that is on record and was not given, and for one that is not the
    one on record.
    """
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
        keeper = known(keeper or new_share(holder), records, tenant)
        if isinstance(keeper, Share) and record is None and holder not in given:
            fresh.append(keeper)
        three[holder] = keeper
    return Three(three, tuple(fresh))


def known(keeper: Keeper, records: Sequence[ShareRecord], tenant: str) -> Keeper:
    """The keeper; raises WrongCard for a share in hand that is not the one on record."""
    return checked(keeper, records, tenant) if isinstance(keeper, Share) else keeper


def mark_of(records: Sequence[ShareRecord], share: Share, tenant: str) -> bytes | None:
    """The mark on record of this share's holder; None before the first."""
    record = record_of(records, share.holder, tenant)
    return None if record is None else record.mark


def kept(
    given: Sequence[Keeper], records: Sequence[ShareRecord], lost: Holder, tenant: str
) -> tuple[Keeper, ...]:
    """The two that are left for this tenant's keys; raises WrongCard when one is not given."""
    found: list[Keeper] = []
    for holder in missing([lost]):
        record = record_of(records, holder, tenant)
        right = [each for each in given if each.holder is holder and _fits(each, record)]
        if not right:
            wanted = f" (mark {record.mark.hex()})" if record else ""
            raise WrongCard(
                f"the {holder}'s share{wanted} is needed for the keys of {tenant}",
                "give its card with --share FILE; with two shares lost there is no way back",
            )
        found.append(right[0])
    return tuple(found)


def _fits(keeper: Keeper, record: ShareRecord | None) -> bool:
    return not isinstance(keeper, Share) or record is None or keeper.mark() == record.mark


def all_pairs_open(wrapped: Wrapped, three: Sequence[Keeper]) -> bool:
    """Whether any two of these open the key."""
    try:
        verify(wrapped, three)
    except ShareRefused:
        return False
    return True


def pair_opens(wrapped: Wrapped, pair: tuple[Keeper, Keeper]) -> bool:
    """Whether these two open the key."""
    try:
        unwrap(wrapped, pair)
    except ShareRefused:
        return False
    return True
