"""API keys: one spelling each, refused cheaply when wrong, silent about their secret."""

import time
import traceback

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import SecretBytes

from trust import apikeys
from trust.errors import InvalidApiKey, InvalidPepper

PEPPER = apikeys.Pepper.parse("ab" * 32)
randomness = st.binary(min_size=40, max_size=40)


@given(randomness)
def test_a_key_survives_being_written_down(random_bytes: bytes) -> None:
    key = apikeys.new_key(random_bytes)
    text = key.reveal()
    assert len(text) == apikeys.KEY_CHARS == 65
    assert text.startswith(f"fed_{key.id}_")
    assert apikeys.parse(text) == key


@given(randomness, st.integers(0, 64), st.characters())
def test_one_wrong_character_is_always_noticed(
    random_bytes: bytes, place: int, character: str
) -> None:
    text = apikeys.new_key(random_bytes).reveal()
    changed = text[:place] + character + text[place + 1 :]
    if changed != text:
        with pytest.raises(InvalidApiKey):
            apikeys.parse(changed)


@given(randomness, st.integers(0, 63))
def test_two_swapped_characters_are_noticed(random_bytes: bytes, place: int) -> None:
    text = apikeys.new_key(random_bytes).reveal()
    swapped = text[:place] + text[place + 1] + text[place] + text[place + 2 :]
    if swapped != text:
        with pytest.raises(InvalidApiKey):
            apikeys.parse(swapped)


@given(st.text(max_size=200))
def test_other_text_is_refused_and_not_repeated(text: str) -> None:
    with pytest.raises(InvalidApiKey) as caught:
        apikeys.parse(text)
    if len(text) > 12:
        assert text not in str(caught.value)


def test_a_second_spelling_of_the_same_number_is_refused() -> None:
    """43 characters reach beyond 256 bits: a value past the end must not wrap around."""
    body = "fed_" + "0" * 11 + "_" + "z" * 43
    with pytest.raises(InvalidApiKey, match="out of range"):
        apikeys.parse(body + apikeys._checksum(body))
    body = "fed_" + "z" * 11 + "_" + "0" * 43
    with pytest.raises(InvalidApiKey, match="out of range"):
        apikeys.parse(body + apikeys._checksum(body))


@pytest.mark.parametrize(
    "hostile",
    ["", "fed_", "x" * 50_000_000, "fed_" * 1_000_000, "\0" * 65, "٣" * 65, "fed_" + "é" * 61],
    ids=["empty", "prefix", "50 MB", "prefixes", "zeros", "Arabic digits", "accents"],
)
def test_hostile_input_of_any_size_is_refused_at_once(hostile: str) -> None:
    took = []
    for _ in range(5):  # the machine may do something else in the middle of one
        start = time.perf_counter()
        with pytest.raises(InvalidApiKey):
            apikeys.parse(hostile)
        took.append(time.perf_counter() - start)
    assert min(took) < 0.05


def test_nothing_that_can_be_printed_shows_the_secret() -> None:
    key = apikeys.generate()
    secret = key.reveal().split("_")[2]
    raw = key.secret.get_secret_value()
    for shown in (repr(key), str(key), f"{key}", repr(PEPPER), repr(key.secret)):
        assert secret not in shown
        assert raw.hex() not in shown
        assert repr(raw)[2:-1] not in shown
        assert "ab" * 8 not in shown
    try:
        apikeys.parse(key.reveal()[:-1] + "-")
    except InvalidApiKey as error:
        assert secret not in "".join(traceback.format_exception_only(error))


def test_generated_keys_differ() -> None:
    keys = [apikeys.generate() for _ in range(1000)]
    assert len({key.id for key in keys}) == len({key.reveal() for key in keys}) == 1000


@given(randomness, randomness)
def test_a_digest_matches_its_own_secret_only(one: bytes, other: bytes) -> None:
    key, different = apikeys.new_key(one), apikeys.new_key(other)
    stored = apikeys.digest(key.secret, PEPPER)
    assert len(stored) == 32
    assert apikeys.matches(key, stored, PEPPER)
    assert apikeys.matches(different, stored, PEPPER) == (one[8:] == other[8:])
    assert not apikeys.matches(key, stored, apikeys.Pepper(2, SecretBytes(b"x" * 32)))
    assert not apikeys.matches(key, stored[:-1], PEPPER)
    assert not apikeys.matches(key, b"", PEPPER)


def test_a_digest_is_hmac_sha256() -> None:
    """A known answer, computed independently with `openssl dgst -sha256 -mac HMAC`."""
    pepper = apikeys.Pepper(1, SecretBytes(bytes(range(32))))
    expected = "5201dee544210f3b38773955af1120a4773a49e366cedeb3034d1227a22cea0b"
    assert apikeys.digest(SecretBytes(b"s" * 32), pepper).hex() == expected


@pytest.mark.parametrize("text", ["", "ab" * 31, "ab" * 33, "zz" * 32, "ab" * 31 + "\n\n  "])
def test_a_pepper_of_another_shape_is_refused_and_not_repeated(text: str) -> None:
    with pytest.raises(InvalidPepper) as caught:
        apikeys.Pepper.parse(text)
    assert not text or text not in str(caught.value)


def test_a_new_peppers_text_is_a_pepper() -> None:
    text = apikeys.new_pepper_text()
    assert apikeys.Pepper.parse(f"{text}\n", 7).version == 7
    assert apikeys.new_pepper_text() != text


@pytest.mark.parametrize("size", [0, 39, 41])
def test_a_key_is_made_of_forty_bytes(size: int) -> None:
    with pytest.raises(ValueError, match="40 random bytes"):
        apikeys.new_key(b"x" * size)
