"""Data keys: a secret, and the name it is known by everywhere.

A key's id says whose and for what (`acme/memory`: one tenant, one class of objects); its epoch
counts its rotations from 1. Both are public. Every stored form begins with them.
"""

import os
import re
from dataclasses import dataclass

from trust.errors import BlobUnreadable
from trust.hidden import Hidden, Random, draw_secret
from trust.primitives import pack

MAX_EPOCH = 2**32 - 1
EPOCH_BYTES, MAGIC_BYTES = 4, 4
_ID = re.compile(r"[a-z0-9][a-z0-9._/-]{0,127}")


@dataclass(frozen=True)
class KeyName:
    """Which key: its id (lower case, digits and `._/-`, at most 128) and its epoch (from 1).

    Raises ValueError for a name of another shape.
    """

    id: str
    epoch: int

    def __post_init__(self) -> None:
        if not _ID.fullmatch(self.id):
            raise ValueError("a key id is 1 to 128 of a-z, 0-9 and . _ / -")
        if not 1 <= self.epoch <= MAX_EPOCH:
            raise ValueError(f"an epoch is 1 to {MAX_EPOCH}, not {self.epoch}")

    def __str__(self) -> str:
        return f"{self.id} epoch {self.epoch}"

    def fields(self) -> tuple[bytes, bytes]:
        """Id and epoch as they go into associated data and key derivation."""
        return self.id.encode("ascii"), self.epoch.to_bytes(EPOCH_BYTES, "big")


@dataclass(frozen=True)
class DataKey:
    """A key that content is encrypted under. `repr` shows its name only."""

    name: KeyName
    secret: Hidden


def new_data_key(name: KeyName, random: Random = os.urandom) -> DataKey:
    """A fresh key of this name, related to no other."""
    return DataKey(name, draw_secret(random))


def header(magic: bytes, name: KeyName) -> bytes:
    """What a stored form begins with: four bytes of kind and version, id after length, epoch."""
    identity, epoch = name.fields()
    return magic + bytes([len(identity)]) + identity + epoch


def split_header(magic: bytes, blob: bytes) -> tuple[KeyName, bytes]:
    """The name at the start of `blob`, and the rest. Raises BlobUnreadable."""
    start = MAGIC_BYTES + 1
    if blob[:MAGIC_BYTES] != magic or len(blob) < start:
        raise BlobUnreadable(f"does not begin with {magic.decode('ascii')}")
    end = start + blob[MAGIC_BYTES]
    identity, epoch = blob[start:end], blob[end : end + EPOCH_BYTES]
    if len(epoch) != EPOCH_BYTES:
        raise BlobUnreadable("cut within its header")
    try:
        name = KeyName(identity.decode("ascii"), int.from_bytes(epoch, "big"))
    except ValueError as error:  # UnicodeDecodeError is one
        raise BlobUnreadable("its header names no key") from error
    return name, blob[end + EPOCH_BYTES :]


def context(label: bytes, name: KeyName, *fields: bytes) -> bytes:
    """Associated data or HKDF info: what it is for, which key, and what else it is bound to."""
    return pack(label, *name.fields(), *fields)
