"""Envelopes: content encrypted so that it opens in one place, under one key, unchanged.

Invariant: an envelope opens under the data key, table and row it was sealed for, or not at all.

AES-256-GCM alone promises that nobody without the key can change content, but not that one
ciphertext opens under one key only: whoever knows two keys can make bytes that open, differently,
under both (Albertini, Duong, Gueron, Kölbl, Luykx, Schmieg, "How to Abuse and Fix Authenticated
Encryption Without Key Commitment", USENIX Security 2022). Their generic fix is used here: from the
data key HKDF derives an encryption key and, separately, a commitment that is stored and compared
before anything is decrypted. Ours is derived from the nonce and the place as well, so that it
commits to all of them: "full commitment" in the words of RFC 9771.

Layout: "FEV1", key id after its length, epoch (4 bytes), commitment (32), nonce (12), ciphertext
with tag. Table and row are not in it: they are where the envelope lies, and come from the caller.
It leaves to others which data key is current, and how many envelopes a key has sealed.
"""

import hmac
import os
from dataclasses import dataclass

from trust.datakeys import DataKey, KeyName, context, header, split_header
from trust.errors import BlobUnreadable, EnvelopeRefused, KeyExhausted
from trust.hidden import Random, draw
from trust.primitives import NONCE_BYTES, TAG_BYTES, InvalidTag, decrypt, encrypt, hkdf

MAGIC = b"FEV1"
PLACE_LABEL, KEY_LABEL, COMMITMENT_LABEL = (
    b"federation envelope v1",
    b"federation envelope key v1",
    b"federation envelope commitment v1",
)
COMMITMENT_BYTES = 32
MAX_CONTENT_BYTES = 2**30
MAX_ENVELOPES = 2**32 - 1
"""Envelopes a key may seal: with fewer than 2**32 random nonces of 96 bits, the chance that any two
are equal stays below 2**-33 (NIST SP 800-38D, 8.3)."""


@dataclass(frozen=True)
class Place:
    """Where an envelope lies: a table and the id of a row. ValueError when either is empty."""

    table: str
    row: str

    def __post_init__(self) -> None:
        if not self.table or not self.row:
            raise ValueError("an envelope lies in a table and a row")


def seal(
    content: bytes, key: DataKey, place: Place, *, sealed_before: int, random: Random = os.urandom
) -> bytes:
    """`content` (at most 1 GiB) in an envelope for `place`, under `key`.

    `sealed_before` is how many envelopes this key has sealed so far, or any higher number: the
    caller counts, and reserves numbers *before* sealing, so that a crash never counts too few.
    Raises KeyExhausted at MAX_ENVELOPES, and ValueError for a negative count or too much content.
    """
    if sealed_before < 0:
        raise ValueError("a key cannot have sealed fewer than no envelopes")
    if sealed_before >= MAX_ENVELOPES:
        raise KeyExhausted(f"{key.name} has sealed {sealed_before} envelopes; rotate it")
    if len(content) > MAX_CONTENT_BYTES:
        raise ValueError(f"{len(content)} bytes of content, at most {MAX_CONTENT_BYTES}")
    nonce = draw(random, NONCE_BYTES)
    ciphertext = encrypt(_content_key(key), nonce, content, _bound_to(key.name, place))
    return header(MAGIC, key.name) + _commitment(key, place, nonce) + nonce + ciphertext


def unseal(envelope: bytes, key: DataKey, place: Place) -> bytes:
    """The content of an envelope that was sealed under `key` for `place`.

    Raises BlobUnreadable for bytes that are no envelope, and EnvelopeRefused for one of another
    key, epoch, table or row, or one that was changed.
    """
    name, commitment, nonce, ciphertext = _parts(envelope)
    if name != key.name:
        raise EnvelopeRefused(f"sealed under {name}, not under {key.name}")
    if not hmac.compare_digest(_commitment(key, place, nonce), commitment):
        raise EnvelopeRefused(f"not sealed under this {name} for this row of {place.table}")
    try:
        return decrypt(_content_key(key), nonce, ciphertext, _bound_to(name, place))
    except InvalidTag as error:
        raise EnvelopeRefused(f"changed since it was sealed under {name}") from error


def reseal(
    envelope: bytes,
    old: DataKey,
    new: DataKey,
    place: Place,
    *,
    sealed_before: int,
    random: Random = os.urandom,
) -> bytes:
    """The same content under `new`, opened again before it is returned.

    An envelope that is under `new` already is returned as it is, once it has opened: a background
    job that was interrupted can start anywhere. Raises as `seal` and `unseal` do.
    """
    if key_name(envelope) == new.name:
        unseal(envelope, new, place)
        return envelope
    content = unseal(envelope, old, place)
    moved = seal(content, new, place, sealed_before=sealed_before, random=random)
    if not hmac.compare_digest(unseal(moved, new, place), content):
        raise EnvelopeRefused(f"sealed anew under {new.name}, it opens to other content")
    return moved


def key_name(envelope: bytes) -> KeyName:
    """The key an envelope says it is under: to find that key by, and to believe only once it opens.

    Raises BlobUnreadable for bytes that are no envelope.
    """
    return _parts(envelope)[0]


def _parts(envelope: bytes) -> tuple[KeyName, bytes, bytes, bytes]:
    name, rest = split_header(MAGIC, envelope)
    if len(rest) < COMMITMENT_BYTES + NONCE_BYTES + TAG_BYTES:
        raise BlobUnreadable("cut: too short for an envelope")
    commitment, rest = rest[:COMMITMENT_BYTES], rest[COMMITMENT_BYTES:]
    return name, commitment, rest[:NONCE_BYTES], rest[NONCE_BYTES:]


def _bound_to(name: KeyName, place: Place) -> bytes:
    return context(PLACE_LABEL, name, place.table.encode(), place.row.encode())


def _content_key(key: DataKey) -> bytes:
    return hkdf(key.secret.reveal(), context(KEY_LABEL, key.name))


def _commitment(key: DataKey, place: Place, nonce: bytes) -> bytes:
    place_fields = (place.table.encode(), place.row.encode())
    info = context(COMMITMENT_LABEL, key.name, *place_fields, nonce)
    return hkdf(key.secret.reveal(), info, COMMITMENT_BYTES)
