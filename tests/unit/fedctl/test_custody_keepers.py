"""fedctl/custody_keepers.py: who answers for each share, and what is refused in their place."""

from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

import pytest

from fedctl.custody_cards import Cards
from fedctl.custody_keepers import all_pairs_open, all_three, kept, known, mark_of, pair_opens
from fedctl.errors import WrongCard
from ledger.custody import ShareRecord
from tests.support.known_bytes import known_bytes
from trust.datakeys import KeyName, new_data_key
from trust.shares import HOLDERS, Half, Holder, Keeper, Share, new_share, new_shares, wrap

NOW = datetime(2026, 11, 21, tzinfo=UTC)
THREE = new_shares(known_bytes(21))
CLIENT, GATEWAY, GUARDIAN = THREE
STRANGER = new_share(Holder.GATEWAY, known_bytes(22))
RECORDS = (
    ShareRecord(Holder.CLIENT, "acme", 1, CLIENT.mark(), NOW, "ada"),
    ShareRecord(Holder.GATEWAY, "", 1, GATEWAY.mark(), NOW, "ada"),
    ShareRecord(Holder.GUARDIAN, "", 1, GUARDIAN.mark(), NOW, "ada"),
)


@dataclass(frozen=True)
class Remote:
    """A keeper whose share is not in hand, as the guardian over the network is."""

    share: Share

    @property
    def holder(self) -> Holder:
        """Whose share it has."""
        return self.share.holder

    def half(self, name: KeyName) -> Half:
        """What it gives for one key."""
        return self.share.half(name)


@pytest.fixture
def cards(tmp_path: Path) -> Cards:
    return Cards(tmp_path / "cards", "lab")


def test_the_first_time_all_but_the_guardians_own_are_new(cards: Cards) -> None:
    three = all_three([], "acme", {}, cards, GUARDIAN)
    assert tuple(three.by_holder) == HOLDERS
    assert three.keepers[2] is GUARDIAN
    assert three.shares == three.keepers == three.fresh
    assert len({share.mark() for share in three.shares} | {each.mark() for each in THREE}) == 5


def test_cards_of_a_run_that_was_cut_off_are_used_again(cards: Cards) -> None:
    cards.write(CLIENT, "acme", NOW)
    three = all_three([], "acme", {}, cards, GUARDIAN)
    assert three.by_holder[Holder.CLIENT] == CLIENT
    assert CLIENT in three.fresh


def test_who_was_given_needs_no_card(cards: Cards) -> None:
    given: dict[Holder, Keeper] = {share.holder: share for share in (CLIENT, GATEWAY)}
    given[Holder.GUARDIAN] = Remote(GUARDIAN)
    three = all_three(RECORDS, "acme", given, cards, GUARDIAN)
    assert three.keepers == (CLIENT, GATEWAY, Remote(GUARDIAN))
    assert three.shares == (CLIENT, GATEWAY)
    assert three.fresh == ()


def test_another_tenants_client_is_new_beside_the_shares_on_record(cards: Cards) -> None:
    three = all_three(RECORDS, "other", {Holder.GATEWAY: GATEWAY}, cards, GUARDIAN)
    assert three.keepers[1:] == (GATEWAY, GUARDIAN)
    assert [share.holder for share in three.fresh] == [Holder.CLIENT]


def test_a_share_on_record_is_needed_and_no_other_one(cards: Cards) -> None:
    with pytest.raises(WrongCard, match="the client has a share since 2026-11-21") as refused:
        all_three(RECORDS, "acme", {}, cards, GUARDIAN)
    assert CLIENT.mark().hex() in str(refused.value)
    given = {Holder.CLIENT: CLIENT, Holder.GATEWAY: STRANGER}
    with pytest.raises(WrongCard, match="this card of the gateway has the mark"):
        all_three(RECORDS, "acme", given, cards, GUARDIAN)


def test_only_a_share_in_hand_can_be_held_against_the_record() -> None:
    with pytest.raises(WrongCard, match="on record is"):
        known(STRANGER, RECORDS, "acme")
    asked = Remote(STRANGER)
    assert known(asked, RECORDS, "acme") is asked
    assert mark_of(RECORDS, STRANGER, "acme") == GATEWAY.mark()
    assert mark_of(RECORDS, CLIENT, "other") is None


def test_of_several_cards_the_two_on_record_are_left() -> None:
    given = [STRANGER, GATEWAY, GUARDIAN, CLIENT]
    assert kept(given, RECORDS, Holder.CLIENT, "acme") == (GATEWAY, GUARDIAN)
    assert kept([CLIENT, Remote(GUARDIAN)], RECORDS, Holder.GATEWAY, "acme") == (
        CLIENT,
        Remote(GUARDIAN),
    )


def test_with_two_shares_lost_there_is_no_way_back() -> None:
    with pytest.raises(WrongCard, match=r"the gateway's share .* needed for the keys of acme"):
        kept([STRANGER, GUARDIAN], RECORDS, Holder.CLIENT, "acme")


def test_a_key_opens_for_any_two_of_those_it_is_wrapped_for() -> None:
    random = known_bytes(23)
    wrapped = wrap(new_data_key(KeyName("acme/content", 1), random), THREE, random)
    assert all_pairs_open(wrapped, THREE)
    assert pair_opens(wrapped, (CLIENT, GUARDIAN))
    assert not all_pairs_open(wrapped, (CLIENT, STRANGER, GUARDIAN))
    assert not pair_opens(wrapped, (CLIENT, STRANGER))
