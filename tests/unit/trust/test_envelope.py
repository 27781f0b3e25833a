"""Envelopes: opened in their place, under their key, unchanged, or not at all."""

from dataclasses import replace

import pytest
from cryptography.hazmat.primitives.ciphers import Cipher
from cryptography.hazmat.primitives.ciphers.algorithms import AES
from cryptography.hazmat.primitives.ciphers.modes import ECB
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.support.known_bytes import known_bytes
from trust import envelope
from trust.datakeys import DataKey, KeyName, new_data_key
from trust.envelope import Place, seal, unseal
from trust.errors import BlobUnreadable, CustodyError, EnvelopeRefused, KeyExhausted
from trust.hidden import Hidden
from trust.primitives import decrypt

RANDOM = known_bytes(6)
NAME = KeyName("acme/memory", 3)
KEY, OTHER = new_data_key(NAME, RANDOM), new_data_key(NAME, RANDOM)
PLACE = Place("bodies", "0199-77")
CONTENT = b"what nobody else may read"
SEALED = seal(CONTENT, KEY, PLACE, sealed_before=0, random=RANDOM)
texts = st.text(min_size=1, max_size=20)


@settings(max_examples=50, deadline=None)
@given(st.binary(max_size=2000), texts, texts, st.binary(min_size=32, max_size=32))
def test_what_is_sealed_opens(content: bytes, table: str, row: str, secret: bytes) -> None:
    key, place = DataKey(NAME, Hidden(secret)), Place(table, row)
    sealed = seal(content, key, place, sealed_before=7, random=RANDOM)
    assert unseal(sealed, key, place) == content
    assert envelope.key_name(sealed) == NAME
    assert len(sealed) == len(content) + 80


def test_every_changed_byte_is_refused() -> None:
    for place in range(len(SEALED)):
        for flip in (0x01, 0x80, 0xFF):
            changed = bytearray(SEALED)
            changed[place] ^= flip
            with pytest.raises(CustodyError):
                unseal(bytes(changed), KEY, PLACE)


def test_every_cut_and_addition_is_refused() -> None:
    for end in range(len(SEALED)):
        with pytest.raises(CustodyError):
            unseal(SEALED[:end], KEY, PLACE)
    for changed in (SEALED + b"\0", SEALED + SEALED, b"\0" + SEALED):
        with pytest.raises(CustodyError):
            unseal(changed, KEY, PLACE)


@pytest.mark.parametrize(
    ("key", "place"),
    [
        (KEY, Place("bodies", "0199-78")),
        (KEY, Place("prompts", "0199-77")),
        (KEY, Place("bodies0", "199-77")),
        (KEY, Place("0199-77", "bodies")),
        (OTHER, PLACE),
        (replace(KEY, name=KeyName("acme/memory", 2)), PLACE),
        (replace(KEY, name=KeyName("acme/memory", 4)), PLACE),
        (replace(KEY, name=KeyName("acme/prompts", 3)), PLACE),
        (replace(KEY, name=KeyName("other/memory", 3)), PLACE),
    ],
    ids=[
        "another row",
        "another table",
        "a character moved from row to table",
        "row and table swapped",
        "another key of the same name",
        "an older epoch",
        "a newer epoch",
        "another class of objects",
        "another tenant",
    ],
)
def test_an_envelope_is_of_one_key_and_place(key: DataKey, place: Place) -> None:
    with pytest.raises(EnvelopeRefused) as caught:
        unseal(SEALED, key, place)
    assert KEY.secret.reveal().hex() not in str(caught.value)
    # Whoever writes another name over it does not get further.
    relabelled = envelope.header(envelope.MAGIC, key.name) + SEALED[20:]
    with pytest.raises(EnvelopeRefused):
        unseal(relabelled, key, place)


@settings(max_examples=50, deadline=None)
@given(texts, texts, texts, texts)
def test_two_places_are_never_taken_for_each_other(a: str, b: str, c: str, d: str) -> None:
    sealed = seal(b"", KEY, Place(a, b), sealed_before=0, random=RANDOM)
    if (a, b) == (c, d):
        assert unseal(sealed, KEY, Place(c, d)) == b""
    else:
        with pytest.raises(EnvelopeRefused):
            unseal(sealed, KEY, Place(c, d))


@given(
    st.binary(max_size=200)
    | st.binary(max_size=200).map(lambda rest: envelope.MAGIC + rest)
    | st.binary(max_size=200).map(lambda rest: envelope.header(envelope.MAGIC, NAME) + rest)
)
def test_anything_else_is_refused(blob: bytes) -> None:
    with pytest.raises((BlobUnreadable, EnvelopeRefused)):
        unseal(blob, KEY, PLACE)


def test_parts_of_two_envelopes_do_not_make_a_third() -> None:
    one = seal(CONTENT, KEY, PLACE, sealed_before=0, random=RANDOM)
    other = seal(CONTENT[::-1], KEY, PLACE, sealed_before=1, random=RANDOM)
    edges = (20, 52, 64, len(one))  # header, commitment, nonce, ciphertext
    for start, end in ((20, 52), (52, 64), (64, len(one)), (20, 64), (52, edges[-1])):
        mixed = one[:start] + other[start:end] + one[end:]
        with pytest.raises(EnvelopeRefused):
            unseal(mixed, KEY, PLACE)


def test_the_commitment_refuses_before_anything_is_decrypted(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(envelope, "decrypt", lambda *_: pytest.fail("decrypted"))
    for key, place in ((OTHER, PLACE), (KEY, Place("bodies", "1"))):
        with pytest.raises(EnvelopeRefused):
            unseal(SEALED, key, place)


def test_bytes_that_open_under_two_keys_in_aes_gcm_open_under_one_here() -> None:
    """The attack of Albertini et al.: two known keys, one block solved for, one tag for both."""
    nonce = b"n" * 12
    associated = envelope._bound_to(NAME, PLACE)
    keys = [envelope._content_key(key) for key in (KEY, OTHER)]
    ciphertext = both_open(keys[0], keys[1], nonce, associated)
    one, other = (decrypt(key, nonce, ciphertext, associated) for key in keys)
    assert one != other  # AES-GCM alone is content with both
    accepted = []
    for committed in (KEY, OTHER):
        commitment = envelope._commitment(committed, PLACE, nonce)
        blob = envelope.header(envelope.MAGIC, NAME) + commitment + nonce + ciphertext
        for key in (KEY, OTHER):
            try:
                accepted.append((committed is key, unseal(blob, key, PLACE)))
            except EnvelopeRefused:
                assert committed is not key
    assert accepted == [(True, one), (True, other)]


@pytest.mark.parametrize("count", [2**32 - 1, 2**32, 2**64])
def test_a_key_seals_fewer_than_two_to_the_32(count: int) -> None:
    with pytest.raises(KeyExhausted, match="acme/memory epoch 3"):
        seal(b"", KEY, PLACE, sealed_before=count, random=RANDOM)
    assert seal(b"", KEY, PLACE, sealed_before=2**32 - 2, random=RANDOM)


def test_misuse_is_an_error_of_the_caller(monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(ValueError, match="fewer than no"):
        seal(b"", KEY, PLACE, sealed_before=-1)
    with pytest.raises(ValueError, match="gave 11 bytes"):
        seal(b"", KEY, PLACE, sealed_before=0, random=lambda size: b"x" * 11)
    monkeypatch.setattr(envelope, "MAX_CONTENT_BYTES", 3)
    with pytest.raises(ValueError, match="4 bytes of content, at most 3"):
        seal(b"1234", KEY, PLACE, sealed_before=0)
    for table, row in (("", "1"), ("bodies", "")):
        with pytest.raises(ValueError, match="table and a row"):
            Place(table, row)


def test_the_same_content_never_looks_the_same() -> None:
    blobs = {seal(CONTENT, KEY, PLACE, sealed_before=count) for count in range(100)}
    assert len({blob[20:52] for blob in blobs}) == len({blob[52:64] for blob in blobs}) == 100


def test_an_envelope_is_sealed_anew_and_twice_is_once() -> None:
    new = new_data_key(KeyName(NAME.id, 4), RANDOM)
    moved = envelope.reseal(SEALED, KEY, new, PLACE, sealed_before=0, random=RANDOM)
    assert unseal(moved, new, PLACE) == CONTENT
    assert envelope.reseal(moved, KEY, new, PLACE, sealed_before=1, random=RANDOM) == moved
    with pytest.raises(EnvelopeRefused):
        unseal(moved, KEY, PLACE)
    for wrong in (moved[:-1] + b"\0", SEALED[:-1] + b"\0"):
        with pytest.raises(EnvelopeRefused):
            envelope.reseal(wrong, KEY, new, PLACE, sealed_before=0, random=RANDOM)
    with pytest.raises(KeyExhausted):
        envelope.reseal(SEALED, KEY, new, PLACE, sealed_before=2**32, random=RANDOM)


def test_an_envelope_of_today_opens_tomorrow() -> None:
    """The stored form, fixed; made by hmac, hashlib and AESGCM, not by this package."""
    key = DataKey(KeyName("acme/memory", 7), Hidden(bytes(range(32))))
    stored = bytes.fromhex(STORED)
    assert seal(b"hello", key, PLACE, sealed_before=0, random=lambda size: b"n" * size) == stored
    assert unseal(stored, key, PLACE) == b"hello"


def both_open(first: bytes, second: bytes, nonce: bytes, associated: bytes) -> bytes:
    """Ciphertext and tag that AES-GCM accepts under both keys (16 free bytes, 16 solved for)."""
    free = b"f" * 16
    lengths = (8 * len(associated)).to_bytes(8, "big") + (8 * 32).to_bytes(8, "big")
    padded = associated + bytes(-len(associated) % 16)
    hashes, sums = [], []
    for key in (first, second):
        h = block(key, bytes(16))
        known = ghash(h, padded + free + bytes(16) + lengths)
        hashes.append(h)
        sums.append(known ^ block(key, nonce + b"\0\0\0\1"))
    difference = multiply(hashes[0], hashes[0]) ^ multiply(hashes[1], hashes[1])
    solved = multiply(sums[0] ^ sums[1], inverse(difference))
    tag = sums[0] ^ multiply(solved, multiply(hashes[0], hashes[0]))
    return free + solved.to_bytes(16, "big") + tag.to_bytes(16, "big")


def block(key: bytes, text: bytes) -> int:
    """One block of AES."""
    encryptor = Cipher(AES(key), ECB()).encryptor()  # noqa: S305
    return int.from_bytes(encryptor.update(text), "big")


def ghash(h: int, text: bytes) -> int:
    """GHASH of whole blocks (SP 800-38D, 6.4)."""
    total = 0
    for start in range(0, len(text), 16):
        total = multiply(total ^ int.from_bytes(text[start : start + 16], "big"), h)
    return total


def multiply(one: int, other: int) -> int:
    """The product in GCM's field of 2**128 elements (SP 800-38D, 6.3)."""
    product = 0
    for place in reversed(range(128)):
        if one >> place & 1:
            product ^= other
        other = other >> 1 ^ (0xE1 << 120 if other & 1 else 0)
    return product


def inverse(value: int) -> int:
    """value**(2**128 - 2)."""
    result, power = 1 << 127, value
    for _ in range(127):
        power = multiply(power, power)
        result = multiply(result, power)
    return result


STORED = (
    "464556310b61636d652f6d656d6f727900000007e8a95747ab6688ddd36cc2c9a3744e43fdfed4e49e92994dfc"
    "074d913e757e696e6e6e6e6e6e6e6e6e6e6e6ea9270ea1fb2f60e6d8db09d123c021c7c413556252"
)
