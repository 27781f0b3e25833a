"""Sealed objects: opened by the data key in their place, by nothing their sealer has, or not."""

from datetime import UTC, datetime
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.support.known_bytes import known_bytes
from trust import envelope, sealing
from trust.authority import Authority
from trust.datakeys import DataKey, KeyName, new_data_key
from trust.envelope import Place
from trust.errors import BlobUnreadable, CustodyError, EnvelopeRefused, SealingKeyRefused
from trust.hidden import Hidden
from trust.sealing import reseal, seal_to, sealing_key, unseal, vouched

RANDOM = known_bytes(9)
NAME = KeyName("acme/prompts", 3)
KEY, OTHER = new_data_key(NAME, RANDOM), new_data_key(NAME, RANDOM)
NEXT = new_data_key(KeyName("acme/prompts", 4), RANDOM)
PLACE = Place("ledger.contents", "0199-77")
CONTENT = b"what I asked and what it said"


@pytest.fixture(scope="module")
def authority(tmp_path_factory: pytest.TempPathFactory) -> Authority:
    return Authority.create(tmp_path_factory.mktemp("ca"), "test", datetime.now(UTC))


@pytest.fixture(scope="module")
def to(authority: Authority) -> sealing.SealingKey:
    return sealing_key(vouched(KEY, authority), NAME.id, authority.ca_pem)


@settings(max_examples=25, deadline=None)
@given(content=st.binary(max_size=500), secret=st.binary(min_size=32, max_size=32))
def test_what_is_sealed_opens_with_the_data_key(
    authority: Authority, content: bytes, secret: bytes
) -> None:
    key = DataKey(NAME, Hidden(secret))
    found = sealing_key(vouched(key, authority), NAME.id, authority.ca_pem)
    sealed = seal_to(content, found, PLACE)
    assert unseal(sealed, key, PLACE) == content


def test_the_same_content_twice_has_nothing_in_common_but_its_header(
    to: sealing.SealingKey,
) -> None:
    one, two = seal_to(CONTENT, to, PLACE), seal_to(CONTENT, to, PLACE)
    for secret in (CONTENT, KEY.secret.reveal()):
        assert secret not in one and secret not in to.public
    head = len(one) - len(one.removeprefix(b"FSE1" + bytes([12]) + b"acme/prompts"))
    assert one[:head] == two[:head]
    assert one[head + 4 : head + 84] != two[head + 4 : head + 84]


def test_every_changed_byte_and_every_cut_is_refused(to: sealing.SealingKey) -> None:
    sealed = seal_to(CONTENT, to, PLACE)
    for place in range(len(sealed)):
        changed = bytearray(sealed)
        changed[place] ^= 0x01
        with pytest.raises(CustodyError):
            unseal(bytes(changed), KEY, PLACE)
        with pytest.raises(CustodyError):
            unseal(sealed[:place], KEY, PLACE)
    with pytest.raises(CustodyError):
        unseal(sealed + b"\0", KEY, PLACE)


@pytest.mark.parametrize(
    ("key", "place"),
    [
        (OTHER, PLACE),
        (NEXT, PLACE),
        (DataKey(KeyName("evil/prompts", 3), KEY.secret), PLACE),
        (KEY, Place("ledger.contents", "0199-78")),
        (KEY, Place("other", "0199-77")),
    ],
)
def test_another_key_epoch_tenant_table_or_row_is_refused(
    to: sealing.SealingKey, key: DataKey, place: Place
) -> None:
    with pytest.raises(EnvelopeRefused):
        unseal(seal_to(CONTENT, to, PLACE), key, place)


def test_only_what_the_authority_vouches_for_is_believed(
    authority: Authority, tmp_path: Path
) -> None:
    good = vouched(KEY, authority)
    stranger = Authority.create(tmp_path / "other", "test", datetime.now(UTC))
    substituted = bytearray(good)
    substituted[-100] ^= 1
    for blob, name in (
        (vouched(KEY, stranger), NAME.id),  # somebody who can write to the database
        (good, "evil/prompts"),  # another tenant's
        (bytes(substituted), NAME.id),
        (good[:20], NAME.id),
        (good[:-1], NAME.id),
        (b"", NAME.id),
    ):
        with pytest.raises(SealingKeyRefused):
            sealing_key(blob, name, authority.ca_pem)
    with pytest.raises(SealingKeyRefused):
        sealing_key(good, NAME.id, b"no certificate")
    assert sealing_key(good, NAME.id, authority.ca_pem).name == NAME
    # While one authority succeeds another both are trusted.
    assert sealing_key(good, NAME.id, stranger.ca_pem + authority.ca_pem).name == NAME


def test_it_moves_to_the_next_epoch_as_an_envelope(to: sealing.SealingKey) -> None:
    sealed = seal_to(CONTENT, to, PLACE)
    moved = reseal(sealed, KEY, NEXT, PLACE, sealed_before=0)
    assert envelope.key_name(moved) == NEXT.name
    assert unseal(moved, NEXT, PLACE) == envelope.unseal(moved, NEXT, PLACE) == CONTENT
    assert reseal(moved, KEY, NEXT, PLACE, sealed_before=1) == moved
    with pytest.raises(EnvelopeRefused):
        reseal(sealed, OTHER, NEXT, PLACE, sealed_before=0)


def test_an_envelope_is_no_sealed_object_and_the_other_way_round(to: sealing.SealingKey) -> None:
    with pytest.raises(BlobUnreadable):
        envelope.unseal(seal_to(CONTENT, to, PLACE), KEY, PLACE)
    sealed = envelope.seal(CONTENT, KEY, PLACE, sealed_before=0)
    assert unseal(sealed, KEY, PLACE) == CONTENT
