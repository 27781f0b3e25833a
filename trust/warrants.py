"""A warrant: halves of two holders for the epochs of one rotation, given to the guardian for it.

Whoever has a warrant and the guardian's share opens the data keys of those epochs, and no other
key: halves tell nothing of the shares they come from (`trust.shares`). So a guardian that is to
seal content anew while no person is there holds, for as long as it takes, what it would need two
shares for. On its disk a warrant is encrypted under a key derived from the guardian's share.
"""

import json
import os
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from trust.datakeys import KeyName
from trust.errors import BlobUnreadable, HalfRefused
from trust.hidden import Hidden, Random, draw
from trust.primitives import NONCE_BYTES, InvalidTag, decrypt, encrypt, hkdf, pack
from trust.shares import Half, Holder, Keeper, Share

LABEL = b"federation warrant v1"
HOLDERS = (Holder.CLIENT, Holder.GATEWAY)
MAX_EPOCHS = 16
FIELDS = frozenset({"key", "old", "new", "halves"})


@dataclass(frozen=True)
class HalfSet:
    """A holder's halves for some data keys: stands in for the share, for these only."""

    holder: Holder
    halves: Mapping[KeyName, Half] = field(repr=False)

    def half(self, name: KeyName) -> Half:
        """The half for this data key; HalfRefused for any other."""
        if name not in self.halves:
            raise HalfRefused(f"the warrant has no half of the {self.holder} for {name}")
        return self.halves[name]


@dataclass(frozen=True)
class Warrant:
    """To seal anew under epoch `new` what lies under `old` and before."""

    key_id: str
    old: int
    new: int
    keepers: tuple[HalfSet, ...]

    @property
    def epochs(self) -> list[int]:
        """The epochs that it has halves for, oldest first."""
        return sorted(name.epoch for name in self.keepers[0].halves)

    def to_bytes(self) -> bytes:
        """As it is sent. Secret: it opens these data keys for whoever has a third half."""
        halves = {
            keeper.holder.value: {
                str(name.epoch): half.secret.reveal().hex() for name, half in keeper.halves.items()
            }
            for keeper in self.keepers
        }
        return json.dumps(
            {"key": self.key_id, "old": self.old, "new": self.new, "halves": halves}
        ).encode()


def issue(
    key_id: str, old: int, new: int, epochs: Iterable[int], keepers: Sequence[Keeper]
) -> Warrant:
    """A warrant by the client's and the gateway's share. ValueError when those are not given."""
    names = [KeyName(key_id, epoch) for epoch in sorted({*epochs, old, new})]
    given = {keeper.holder: keeper for keeper in keepers}
    if not set(HOLDERS) <= set(given):
        raise ValueError("a warrant is of the client's and the gateway's halves")
    sets = tuple(
        HalfSet(holder, {name: given[holder].half(name) for name in names}) for holder in HOLDERS
    )
    return Warrant(key_id, old, new, sets)


def read(content: bytes) -> Warrant:
    """The warrant in what `to_bytes` gave; raises BlobUnreadable, which tells nothing of it."""
    try:
        found = json.loads(content)
        if not isinstance(found, dict) or set(found) != FIELDS:
            raise ValueError
        key, old, new = found["key"], found["old"], found["new"]
        if not isinstance(key, str) or type(old) is not int or type(new) is not int or old >= new:
            raise ValueError
        keepers = tuple(_halves(key, holder, found["halves"][holder.value]) for holder in HOLDERS)
        epochs = {name.epoch for name in keepers[0].halves}
        same = epochs == {name.epoch for name in keepers[1].halves}
        if not same or not {old, new} <= epochs or len(epochs) > MAX_EPOCHS:
            raise ValueError
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError):
        raise BlobUnreadable("no warrant") from None
    return Warrant(key, old, new, keepers)


def closed(warrant: Warrant, share: Share, random: Random = os.urandom) -> bytes:
    """The warrant as the guardian keeps it: opens with its share only, as this key's warrant."""
    nonce = draw(random, NONCE_BYTES)
    return nonce + encrypt(_key(share), nonce, warrant.to_bytes(), _bound(warrant.key_id))


def opened(blob: bytes, key_id: str, share: Share) -> Warrant:
    """What `closed` was given; raises BlobUnreadable."""
    nonce, ciphertext = blob[:NONCE_BYTES], blob[NONCE_BYTES:]
    try:
        content = decrypt(_key(share), nonce, ciphertext, _bound(key_id))
    except (InvalidTag, ValueError) as error:
        raise BlobUnreadable(f"no warrant for {key_id} of this guardian's") from error
    return read(content)


def _halves(key: str, holder: Holder, found: Mapping[str, Any]) -> HalfSet:
    halves = {}
    for epoch, text in found.items():
        name = KeyName(key, int(epoch))
        halves[name] = Half(holder, name, Hidden(bytes.fromhex(text)))
    return HalfSet(holder, halves)


def _key(share: Share) -> bytes:
    return hkdf(share.secret.reveal(), pack(LABEL, share.holder.encode("ascii")))


def _bound(key_id: str) -> bytes:
    return pack(LABEL, key_id.encode("ascii"))
