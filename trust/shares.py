"""2-of-3 custody: a data key wrapped for each pair of client, gateway and guardian.

Invariant: one share alone opens nothing, any two open everything, and a pair that opens a wrapped
key gets *the* key, never another one.

From a share HKDF derives a *half* for each data key's name; a holder hands out halves, never the
share, and a half is of no use for any other key or epoch. Each of the three pairs has a
key-encryption key of its own, HKDF-SHA256(half_i || half_j), bound to the same name; each wrap is
AES-256-GCM under it. Why not Shamir: there a substituted share silently gives a wrong key, while
here it fails its tag, and the pair is known by name.

`binding` covers all three wraps under the data key itself. So a pair notices damage to a wrap it
does not use, on the day it happens and not on the day that wrap is needed, and nobody can prepare
wraps that open to different keys for different pairs (AES-GCM alone does not commit to its key).

It replaces a *lost* share, whose finder has only one of two. A *stolen* one that met another calls
for a new epoch (`rotation`): the same key wrapped again is still the key they may have seen.
"""

import hmac
import os
from collections.abc import Iterable
from dataclasses import dataclass, field
from enum import StrEnum
from itertools import combinations
from typing import Protocol

from trust.datakeys import DataKey, KeyName, context, header, split_header
from trust.errors import BlobUnreadable, HalfRefused, ShareRefused, WrappedKeyAltered
from trust.hidden import SECRET_BYTES, Hidden, Random, draw, draw_secret
from trust.primitives import NONCE_BYTES, TAG_BYTES, InvalidTag, decrypt, encrypt, hkdf, pack

MAGIC = b"FWK1"
WRAP_LABEL, BINDING_LABEL = b"federation wrap v1", b"federation wrap binding v1"
HALF_LABEL, MARK_LABEL = b"federation half v1", b"federation share mark v1"
MARK_BYTES = 8
WRAP_BYTES = NONCE_BYTES + SECRET_BYTES + TAG_BYTES
BINDING_BYTES = 32


class Holder(StrEnum):
    """Who keeps a share. The order is part of every stored wrap: never change it."""

    CLIENT = "client"
    GATEWAY = "gateway"
    GUARDIAN = "guardian"


Pair = tuple[Holder, Holder]
HOLDERS = tuple(Holder)
PAIRS: tuple[Pair, ...] = tuple(combinations(HOLDERS, 2))


class Keeper(Protocol):
    """Whoever can give a holder's half for a data key: the share itself, or somebody who has it."""

    @property
    def holder(self) -> Holder:
        """Whose half it gives."""
        ...

    def half(self, name: KeyName) -> "Half":
        """The half for this data key. Raises CustodyError when it is not to be had."""
        ...


@dataclass(frozen=True)
class Half:
    """What a holder gives towards one data key. Tells nothing of its share or of other halves."""

    holder: Holder
    name: KeyName
    secret: Hidden

    def half(self, name: KeyName) -> "Half":
        """Itself; HalfRefused for any other data key."""
        if name != self.name:
            raise HalfRefused(f"the {self.holder}'s half is for {self.name}, not for {name}")
        return self


@dataclass(frozen=True)
class Share:
    """One holder's 256 random bits. Useless without another holder's."""

    holder: Holder
    secret: Hidden

    def half(self, name: KeyName) -> Half:
        """This share's half for the data key of this name."""
        info = context(HALF_LABEL, name, self.holder.encode("ascii"))
        return Half(self.holder, name, Hidden(hkdf(self.secret.reveal(), info)))

    def mark(self) -> bytes:
        """Eight bytes that tell this share from any other, and nothing else: to know a card by."""
        info = pack(MARK_LABEL, self.holder.encode("ascii"))
        return hkdf(self.secret.reveal(), info, MARK_BYTES)


@dataclass(frozen=True)
class Wrapped:
    """A data key, wrapped for each of PAIRS (nonce, then ciphertext). Nothing in it is secret."""

    name: KeyName
    wraps: tuple[bytes, ...] = field(repr=False)
    binding: bytes = field(repr=False)

    def to_bytes(self) -> bytes:
        """The one stored form: header, three wraps, binding; 221 bytes and the key id."""
        return header(MAGIC, self.name) + b"".join(self.wraps) + self.binding

    @classmethod
    def from_bytes(cls, blob: bytes) -> "Wrapped":
        """What `to_bytes` gave; raises BlobUnreadable for any other length or shape.

        It reads and does not believe: whether the bytes are genuine is for `unwrap` to find.
        """
        name, rest = split_header(MAGIC, blob)
        if len(rest) != len(PAIRS) * WRAP_BYTES + BINDING_BYTES:
            raise BlobUnreadable(f"a wrapped key does not have {len(blob)} bytes")
        starts = range(0, len(PAIRS) * WRAP_BYTES, WRAP_BYTES)
        wraps = tuple(rest[start : start + WRAP_BYTES] for start in starts)
        return cls(name, wraps, rest[-BINDING_BYTES:])


def new_share(holder: Holder, random: Random = os.urandom) -> Share:
    """A fresh share for this holder."""
    return Share(holder, draw_secret(random))


def new_shares(random: Random = os.urandom) -> tuple[Share, ...]:
    """Three fresh, unrelated shares, in the order of HOLDERS."""
    return tuple(new_share(holder, random) for holder in HOLDERS)


def wrap(key: DataKey, keepers: Iterable[Keeper], random: Random = os.urandom) -> Wrapped:
    """`key` wrapped for each pair of the three. ValueError when they are not three."""
    three = _distinct(key.name, keepers, len(HOLDERS))
    wraps = []
    for pair in combinations(three, 2):
        nonce = draw(random, NONCE_BYTES)
        associated = _associated(key.name, pair)
        wraps.append(
            nonce + encrypt(_pair_key(key.name, pair), nonce, key.secret.reveal(), associated)
        )
    return Wrapped(key.name, tuple(wraps), _binding(key, wraps))


def unwrap(wrapped: Wrapped, keepers: Iterable[Keeper]) -> DataKey:
    """The data key, by any two of different holders (ValueError for other than two).

    Raises ShareRefused, naming the pair, when one share is not the one it was wrapped for or this
    pair's wrap was changed, and WrappedKeyAltered when anything else in it was.
    """
    pair = _distinct(wrapped.name, keepers, 2)
    holders = (pair[0].holder, pair[1].holder)
    stored = wrapped.wraps[PAIRS.index(holders)]
    nonce, ciphertext = stored[:NONCE_BYTES], stored[NONCE_BYTES:]
    try:
        secret = decrypt(
            _pair_key(wrapped.name, pair), nonce, ciphertext, _associated(wrapped.name, pair)
        )
    except InvalidTag as error:
        raise ShareRefused(holders, str(wrapped.name)) from error
    key = DataKey(wrapped.name, Hidden(secret))
    if not hmac.compare_digest(_binding(key, wrapped.wraps), wrapped.binding):
        raise WrappedKeyAltered(f"{wrapped.name}: opened, but its other wraps are not its own")
    return key


def verify(wrapped: Wrapped, keepers: Iterable[Keeper]) -> DataKey:
    """The data key, after each of the three pairs gave it. Raises as `unwrap` does."""
    three = _distinct(wrapped.name, keepers, len(HOLDERS))
    keys = [unwrap(wrapped, pair) for pair in combinations(three, 2)]
    if any(key != keys[0] for key in keys):
        # The binding already excludes it; believed only after looking.
        raise WrappedKeyAltered(f"{wrapped.name}: its pairs open to different keys")
    return keys[0]


def replace_lost(
    wrapped: Wrapped, kept: Iterable[Keeper], replacement: Keeper, random: Random = os.urandom
) -> Wrapped:
    """The same data key, wrapped with `replacement` in place of the third holder's share.

    Verified before it is returned, from its stored form and by all three pairs: the caller may
    then overwrite the old one. Raises as `unwrap` does, and ValueError unless the three shares
    have three different holders and secrets.
    """
    two = tuple(kept)
    key = unwrap(wrapped, two)
    three = _distinct(wrapped.name, (*two, replacement), len(HOLDERS))
    candidate = wrap(key, three, random)
    if verify(Wrapped.from_bytes(candidate.to_bytes()), three) != key:
        raise WrappedKeyAltered(f"{wrapped.name}: wrapped anew, it opens to another key")
    return candidate


def _distinct(name: KeyName, keepers: Iterable[Keeper], count: int) -> tuple[Half, ...]:
    """The halves in the order of HOLDERS; ValueError unless holders and shares all differ."""
    ordered = tuple(sorted(keepers, key=lambda each: HOLDERS.index(each.holder)))
    if len(ordered) != count or len({each.holder for each in ordered}) != count:
        raise ValueError(f"it takes {count} shares of {count} different holders")
    shares = [each for each in ordered if isinstance(each, Share)]
    if any(one.secret == other.secret for one, other in combinations(shares, 2)):
        raise ValueError("two holders have the same share: each could act as the other")
    return tuple(each.half(name) for each in ordered)


def _pair_key(name: KeyName, pair: tuple[Half, ...]) -> bytes:
    # Both halves have exactly 32 bytes, so their concatenation reads in one way only.
    joined = pair[0].secret.reveal() + pair[1].secret.reveal()
    return hkdf(joined, _associated(name, pair))


def _associated(name: KeyName, pair: tuple[Half, ...]) -> bytes:
    return context(WRAP_LABEL, name, *(half.holder.encode("ascii") for half in pair))


def _binding(key: DataKey, wraps: Iterable[bytes]) -> bytes:
    return hkdf(key.secret.reveal(), context(BINDING_LABEL, key.name, *wraps), BINDING_BYTES)
