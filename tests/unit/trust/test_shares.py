"""2-of-3 custody: one share opens nothing, any two open everything, and nothing passes changed."""

import copy
import dataclasses
import logging
import pickle
from itertools import combinations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.support.known_bytes import known_bytes
from trust import shares
from trust.datakeys import DataKey, KeyName, new_data_key
from trust.errors import (
    BlobUnreadable,
    CustodyError,
    HalfRefused,
    ShareRefused,
    WrappedKeyAltered,
)
from trust.hidden import Hidden, draw
from trust.primitives import encrypt
from trust.shares import PAIRS, Holder, Pair, Share, Wrapped

NAME = KeyName("acme/memory", 3)
RANDOM = known_bytes(5)
THREE = shares.new_shares(RANDOM)
STRANGERS = shares.new_shares(RANDOM)
KEY = new_data_key(NAME, RANDOM)
WRAPPED = shares.wrap(KEY, THREE, RANDOM)
BLOB = WRAPPED.to_bytes()
names = st.builds(
    KeyName,
    st.from_regex(r"[a-z0-9][a-z0-9._/-]{0,127}", fullmatch=True),
    st.integers(1, 2**32 - 1),
)
every_pair = pytest.mark.parametrize("pair", PAIRS, ids=["+".join(pair) for pair in PAIRS])


def of(pair: Pair, three: tuple[Share, ...] = THREE) -> tuple[Share, ...]:
    return tuple(share for share in three if share.holder in pair)


@every_pair
def test_any_two_shares_suffice_in_either_order(pair: Pair) -> None:
    assert shares.unwrap(WRAPPED, of(pair)) == KEY
    assert shares.unwrap(WRAPPED, reversed(of(pair))) == KEY


@pytest.mark.parametrize("share", THREE, ids=[share.holder for share in THREE])
def test_one_share_is_useless(share: Share) -> None:
    """Alone, twice, or beside guesses: zeros, itself for another holder, anybody else's."""
    with pytest.raises(ValueError, match="2 shares of 2 different holders"):
        shares.unwrap(WRAPPED, [share])
    with pytest.raises(ValueError, match="2 shares of 2 different holders"):
        shares.unwrap(WRAPPED, [share, share])
    for holder in set(Holder) - {share.holder}:
        with pytest.raises(ValueError, match="same share"):
            shares.unwrap(WRAPPED, [share, Share(holder, share.secret)])
        for guess in (Hidden(bytes(32)), STRANGERS[0].secret, Hidden(WRAPPED.binding)):
            with pytest.raises(ShareRefused):
                shares.unwrap(WRAPPED, [share, Share(holder, guess)])


@every_pair
@pytest.mark.parametrize("wrong", [0, 1])
def test_a_substituted_share_is_refused_and_its_pair_named(pair: Pair, wrong: int) -> None:
    two = list(of(pair))
    two[wrong] = of(pair, STRANGERS)[wrong]
    with pytest.raises(ShareRefused, match=f"{pair[0]} and {pair[1]} do not open {NAME}") as caught:
        shares.unwrap(WRAPPED, two)
    assert caught.value.pair == pair
    assert caught.value.key == str(NAME)


@every_pair
def test_shares_that_changed_hands_are_refused(pair: Pair) -> None:
    one, other = of(pair)
    with pytest.raises(ShareRefused):
        shares.unwrap(WRAPPED, [Share(one.holder, other.secret), Share(other.holder, one.secret)])


@every_pair
def test_every_changed_byte_is_refused_by_every_pair(pair: Pair) -> None:
    for place in range(len(BLOB)):
        for flip in (0x01, 0x80):
            changed = bytearray(BLOB)
            changed[place] ^= flip
            with pytest.raises(CustodyError):
                shares.unwrap(Wrapped.from_bytes(bytes(changed)), of(pair))


def test_every_cut_and_every_addition_is_unreadable() -> None:
    for end in range(len(BLOB)):
        with pytest.raises(BlobUnreadable):
            Wrapped.from_bytes(BLOB[:end])
    for blob in (BLOB + b"\0", BLOB + BLOB, b"\0" + BLOB, BLOB[1:]):
        with pytest.raises(BlobUnreadable):
            Wrapped.from_bytes(blob)


@every_pair
@pytest.mark.parametrize("order", [(1, 0, 2), (2, 1, 0), (0, 2, 1), (0, 0, 0), (1, 2, 0)])
def test_wraps_in_other_places_are_refused(pair: Pair, order: tuple[int, ...]) -> None:
    moved = dataclasses.replace(WRAPPED, wraps=tuple(WRAPPED.wraps[place] for place in order))
    with pytest.raises((ShareRefused, WrappedKeyAltered)):
        shares.unwrap(moved, of(pair))


@every_pair
@pytest.mark.parametrize("name", [KeyName("acme/memory", 4), KeyName("other/memory", 3)], ids=str)
def test_a_wrap_is_of_its_key_id_and_epoch(pair: Pair, name: KeyName) -> None:
    with pytest.raises(ShareRefused):
        shares.unwrap(dataclasses.replace(WRAPPED, name=name), of(pair))
    with pytest.raises(ShareRefused):
        other = shares.wrap(DataKey(name, KEY.secret), THREE, RANDOM)
        shares.unwrap(dataclasses.replace(other, name=NAME), of(pair))


def test_wraps_of_an_older_copy_cannot_be_mixed_in() -> None:
    """All six wraps open: only the binding tells the copies apart."""
    newer = shares.wrap(KEY, THREE, RANDOM)
    for place, pair in enumerate(PAIRS):
        wraps = list(newer.wraps)
        wraps[place] = WRAPPED.wraps[place]
        for two in combinations(THREE, 2):
            with pytest.raises(WrappedKeyAltered):
                shares.unwrap(dataclasses.replace(newer, wraps=tuple(wraps)), two)
        assert shares.unwrap(newer, of(pair)) == KEY


@every_pair
def test_two_colluding_holders_cannot_give_the_third_another_key(pair: Pair) -> None:
    """They know their pair's key and can make a wrap of any data key; its binding betrays it."""
    evil, nonce = new_data_key(NAME, RANDOM), b"n" * 12
    halves = tuple(share.half(NAME) for share in of(pair))
    forged = nonce + encrypt(
        shares._pair_key(NAME, halves),
        nonce,
        evil.secret.reveal(),
        shares._associated(NAME, halves),
    )
    wraps = list(WRAPPED.wraps)
    wraps[PAIRS.index(pair)] = forged
    mixed = dataclasses.replace(WRAPPED, wraps=tuple(wraps))
    for binding in (WRAPPED.binding, shares._binding(evil, wraps), shares._binding(KEY, wraps)):
        with pytest.raises(WrappedKeyAltered):
            shares.verify(dataclasses.replace(mixed, binding=binding), THREE)


@every_pair
def test_a_lost_share_is_replaced_by_the_other_two(pair: Pair) -> None:
    (lost,) = (share for share in THREE if share.holder not in pair)
    replacement = shares.new_share(lost.holder, RANDOM)
    anew = shares.replace_lost(WRAPPED, of(pair), replacement, RANDOM)
    assert shares.verify(anew, (*of(pair), replacement)) == KEY
    for kept in of(pair):
        with pytest.raises(ShareRefused):
            shares.unwrap(anew, [kept, lost])
        assert shares.unwrap(WRAPPED, [kept, lost]) == KEY  # until the old copy is overwritten


@every_pair
def test_a_replacement_needs_two_genuine_shares(pair: Pair) -> None:
    (lost,) = (share for share in THREE if share.holder not in pair)
    replacement = shares.new_share(lost.holder, RANDOM)
    with pytest.raises(ShareRefused):
        shares.replace_lost(WRAPPED, [of(pair)[0], of(pair, STRANGERS)[1]], replacement, RANDOM)
    with pytest.raises(ValueError, match="3 different holders"):
        shares.replace_lost(WRAPPED, of(pair), of(pair)[0], RANDOM)
    with pytest.raises(ValueError, match="same share"):
        twin = Share(lost.holder, of(pair)[0].secret)
        shares.replace_lost(WRAPPED, of(pair), twin, RANDOM)


def test_a_replacement_that_would_not_open_is_never_returned(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    replacement = shares.new_share(Holder.GUARDIAN, RANDOM)
    real = shares.wrap

    def broken(*arguments: object) -> Wrapped:
        made = real(*arguments)  # type: ignore[arg-type]
        return dataclasses.replace(made, wraps=(*made.wraps[:2], bytes(60)))

    monkeypatch.setattr(shares, "wrap", broken)
    with pytest.raises((ShareRefused, WrappedKeyAltered)):
        shares.replace_lost(WRAPPED, THREE[:2], replacement, RANDOM)


@pytest.mark.parametrize(
    "given_shares", [THREE[:2], (*THREE, THREE[0]), (THREE[0], THREE[0], THREE[1])]
)
def test_a_key_is_wrapped_for_exactly_three_holders(given_shares: tuple[Share, ...]) -> None:
    with pytest.raises(ValueError, match="3 shares of 3 different holders"):
        shares.wrap(KEY, given_shares, RANDOM)


@settings(max_examples=30, deadline=None)
@given(names, st.integers(0))
def test_what_is_written_is_read_back(name: KeyName, seed: int) -> None:
    source = known_bytes(seed)
    three, key = shares.new_shares(source), new_data_key(name, source)
    wrapped = shares.wrap(key, three, source)
    blob = wrapped.to_bytes()
    assert len(blob) == 221 + len(name.id)
    assert Wrapped.from_bytes(blob) == wrapped
    assert shares.verify(wrapped, three) == key


@given(
    st.binary(max_size=300)
    | st.binary(max_size=300).map(lambda rest: shares.MAGIC + rest)
    | st.tuples(st.integers(0, 255), st.binary(min_size=216, max_size=216)).map(
        lambda parts: shares.MAGIC + bytes([parts[0]]) + parts[1]
    )
    | names.map(lambda name: shares.header(shares.MAGIC, name) + bytes(212))
)
def test_a_parser_of_anything_refuses_or_gives_the_same_bytes_back(blob: bytes) -> None:
    try:
        read = Wrapped.from_bytes(blob)
    except BlobUnreadable:
        return
    assert read.to_bytes() == blob
    with pytest.raises(ShareRefused):
        shares.unwrap(read, THREE[:2])


@every_pair
def test_halves_do_for_their_key_what_shares_do(pair: Pair) -> None:
    halves = [share.half(NAME) for share in THREE]
    assert shares.unwrap(WRAPPED, [half for half in halves if half.holder in pair]) == KEY
    assert shares.unwrap(WRAPPED, [of(pair)[0], of(pair)[1].half(NAME)]) == KEY
    assert shares.verify(shares.wrap(KEY, halves, RANDOM), THREE) == KEY


@every_pair
@pytest.mark.parametrize("name", [KeyName("acme/memory", 4), KeyName("acme/other", 3)], ids=str)
def test_a_half_opens_no_other_key_and_no_other_epoch(pair: Pair, name: KeyName) -> None:
    """Whoever was given a half for one key has nothing towards another, relabelled or not."""
    other = shares.wrap(new_data_key(name, RANDOM), THREE, RANDOM)
    own, half = of(pair)[0], of(pair)[1].half(NAME)
    with pytest.raises(HalfRefused, match=f"is for {NAME}, not for {name}"):
        shares.unwrap(other, [own, half])
    with pytest.raises(ShareRefused):
        shares.unwrap(other, [own, dataclasses.replace(half, name=name)])


def test_a_mark_tells_shares_apart_and_nothing_else() -> None:
    marks = [share.mark() for share in (*THREE, *STRANGERS)]
    assert len(set(marks)) == 6
    assert THREE[0].mark() == Share(THREE[0].holder, Hidden(THREE[0].secret.reveal())).mark()
    assert Share(Holder.GATEWAY, THREE[0].secret).mark() != THREE[0].mark()
    for share in THREE:
        assert share.mark() not in share.secret.reveal()


def test_nothing_secret_can_be_printed_logged_or_pickled(caplog: pytest.LogCaptureFixture) -> None:
    secrets = [KEY.secret, *(share.secret for share in THREE)]
    with caplog.at_level(logging.INFO):
        logging.getLogger("t").info("%s %r %s", THREE, KEY, WRAPPED)
    shown = [caplog.text, f"{KEY}{THREE}{WRAPPED!r}", str(dataclasses.asdict(THREE[0]))]
    shown += [f"{secret} {secret!r} {[secret]}" for secret in secrets]
    for secret in secrets:
        value = secret.reveal()
        assert not any(value.hex() in text or repr(value)[2:-1] in text for text in shown)
        assert copy.deepcopy(secret) is copy.copy(secret) is secret
        with pytest.raises(TypeError, match="unhashable"):
            hash(secret)
    for holding in (KEY, *secrets, *THREE):
        for protocol in range(pickle.HIGHEST_PROTOCOL + 1):
            with pytest.raises(TypeError, match="never pickled"):
                pickle.dumps(holding, protocol)
    with pytest.raises(TypeError, match="never pickled"):
        KEY.secret.__getstate__()  # type: ignore[attr-defined]
    assert KEY.secret != KEY.secret.reveal()


def test_a_refusal_tells_no_secret() -> None:
    with pytest.raises(ShareRefused) as caught:
        shares.unwrap(WRAPPED, [THREE[0], STRANGERS[1]])
    for share in (THREE[0], STRANGERS[1]):
        assert share.secret.reveal().hex() not in str(caught.value)
        assert repr(share.secret.reveal())[2:-1] not in repr(caught.value)


def test_randomness_comes_from_outside_and_from_the_system_otherwise() -> None:
    again = known_bytes(5)
    assert shares.new_shares(again) == THREE
    assert shares.new_shares() != shares.new_shares()
    assert new_data_key(NAME) != new_data_key(NAME)
    nonces = {wrap[:12] for _ in range(50) for wrap in shares.wrap(KEY, THREE).wraps}
    assert len(nonces) == 150
    with pytest.raises(ValueError, match="gave 3 bytes"):
        draw(lambda size: b"abc", 32)
    with pytest.raises(ValueError, match="32 bytes"):
        Hidden(b"short")


@pytest.mark.parametrize("identity", ["", "A", "é", "a" * 129, "-a", "a b", "a\n"])
def test_a_key_id_of_another_shape_is_misuse(identity: str) -> None:
    with pytest.raises(ValueError, match="key id"):
        KeyName(identity, 1)


@pytest.mark.parametrize("epoch", [0, -1, 2**32])
def test_an_epoch_out_of_range_is_misuse(epoch: int) -> None:
    with pytest.raises(ValueError, match="epoch"):
        KeyName("a", epoch)


# Computed by a separate script from hmac, hashlib and AESGCM, not by this package.
STORED = (
    "46574b310b61636d652f6d656d6f72790000000700000000000000000000000044722b5f4ff43705edd3bab959"
    "9572a72f5eb232e024a52291bae5fdf58da6af648718a3c1478420c703624a0240421e01010101010101010101"
    "010170be7df828268de331c8362303d10f32a2e8eacac4abb7c85652157eed4fc76e30e42cca1d3a956068bb53"
    "ce63900fc30202020202020202020202021468f5235c3ad2b1c609b9c25db695b6aafa91cabf9d047d8314b14a"
    "d1d678897171ec9cc92928d7643046f62eee3fefc488a00c7bf780c35de867443feb4245a2833d91313bc72cc0"
    "1cb314ad842c0f"
)


def test_a_wrapped_key_of_today_opens_tomorrow() -> None:
    """The stored form, fixed: when this fails, keys in the field do not open any more."""
    three = tuple(Share(holder, Hidden(bytes([n]) * 32)) for n, holder in enumerate(Holder, 1))
    key = DataKey(KeyName("acme/memory", 7), Hidden(bytes(range(32))))
    numbers = iter(range(3))
    blob = shares.wrap(key, three, lambda size: bytes([next(numbers)]) * size).to_bytes()
    assert blob.hex() == STORED
    assert shares.verify(Wrapped.from_bytes(bytes.fromhex(STORED)), three) == key
