"""Published vectors run through our wrappers; the encoding never says two things at once."""

from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from trust import primitives

KEY, NONCE = b"k" * 32, b"n" * 12
CONTENT = bytes.fromhex(
    "d9313225f88406e5a55909c5aff5269a86a7a9531534f7da2e4c303d8a318a72"
    "1c3c0c95956809532fcf0e2449a6b525b16aedf5aa0de657ba637b39"
)


def test_hkdf_gives_the_answers_of_rfc_5869() -> None:
    """Appendix A, cases 1 and 3 (SHA-256, with and without salt and info)."""
    secret, salt = b"\x0b" * 22, bytes(range(13))
    info = bytes(range(0xF0, 0xFA))
    assert primitives.hkdf(secret, info, 42, salt).hex() == (
        "3cb25f25faacd57a90434f64d0362f2a2d2d0a90cf1a5a4c5db02d56ecc4c5bf34007208d5b887185865"
    )
    assert primitives.hkdf(secret, b"", 42).hex() == (
        "8da4e775a563c18f715f802a063c5a31b8a11f5c5ee1879ec3454e5f3c738d2d9d201395faa4b61a96c8"
    )


def test_aes_256_gcm_gives_the_answer_of_its_specification() -> None:
    """McGrew and Viega, The Galois/Counter Mode of Operation, test case 16."""
    key = bytes.fromhex("feffe9928665731c6d6a8f9467308308" * 2)
    nonce = bytes.fromhex("cafebabefacedbaddecaf888")
    associated = bytes.fromhex("feedfacedeadbeeffeedfacedeadbeefabaddad2")
    sealed = primitives.encrypt(key, nonce, CONTENT, associated)
    assert sealed.hex() == (
        "522dc1f099567d07f47f37a32a84427d643a8cdcbfe5c0c97598a2bd2555d1aa"
        "8cb08e48590dbb3da7b08b1056828838c5f61e6393ba7a0abcc9f662"
        "76fc6ece0f4e1768cddf8853bb2d551b"
    )
    assert primitives.decrypt(key, nonce, sealed, associated) == CONTENT


@pytest.mark.parametrize(
    ("key", "nonce", "associated", "place"),
    [
        (b"K" + KEY[1:], NONCE, b"a", 0),
        (KEY, b"N" + NONCE[1:], b"a", 0),
        (KEY, NONCE, b"b", 0),
        *((KEY, NONCE, b"a", place) for place in range(1, 5 + primitives.TAG_BYTES)),
    ],
)
def test_anything_changed_is_refused(
    key: bytes, nonce: bytes, associated: bytes, place: int
) -> None:
    sealed = bytearray(primitives.encrypt(KEY, NONCE, b"hello", b"a"))
    if place:
        sealed[place] ^= 1
    with pytest.raises(primitives.InvalidTag):
        primitives.decrypt(key, nonce, bytes(sealed), associated)


@pytest.mark.parametrize(("key", "nonce"), [(b"k" * 16, NONCE), (KEY, b"n" * 16), (b"", NONCE)])
def test_weaker_sizes_are_misuse(key: bytes, nonce: bytes) -> None:
    with pytest.raises(ValueError, match="32 bytes"):
        primitives.encrypt(key, nonce, b"", b"")
    with pytest.raises(ValueError, match="32 bytes"):
        primitives.decrypt(key, nonce, b"x" * 16, b"")


@given(st.lists(st.binary(max_size=6), max_size=4), st.lists(st.binary(max_size=6), max_size=4))
def test_different_fields_are_different_bytes(one: list[bytes], other: list[bytes]) -> None:
    assert (primitives.pack(*one) == primitives.pack(*other)) == (one == other)


def test_fields_do_not_run_into_each_other() -> None:
    alike = [(b"ab", b"c"), (b"a", b"bc"), (b"abc",), (b"abc", b""), (b"", b"abc")]
    packed = sorted(primitives.pack(*fields) for fields in alike)
    assert all(one != other for one, other in pairwise(packed))
