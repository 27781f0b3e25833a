"""Sealing without being able to open: content encrypted to a data key's public half.

Invariant: whoever only seals (the gateway) holds nothing that opens what was sealed, by itself or
by anybody else, before or after; what opens it is the data key, which takes two shares of three.

From a data key HKDF derives an X25519 private key; its public half is the *sealing key*. For each
object a fresh content key is drawn, the content is put under it in an envelope (`trust.envelope`,
key-committing, bound to table, row, key and epoch), and the content key is encrypted to the
sealing key by HPKE (RFC 9180: DHKEM(X25519, HKDF-SHA256), HKDF-SHA256, AES-256-GCM; base mode),
with the same place in its `info`. A content key seals one envelope, so nothing has to be counted.

A public key in a database is worth what vouches for it: whoever can write there could put their
own. So the federation's authority signs which key id and epoch it is for (`vouched`), and a sealer
believes nothing else (`sealing_key`). Base mode does not say who sealed: anybody may.

Layout of a sealed object: "FSE1", key id after its length, epoch (4 bytes), the encrypted content
key (80), the envelope. Of a vouched key: "FSK1", the same header, public key (32), signature.
"""

import os
from dataclasses import dataclass

from cryptography import x509
from cryptography.exceptions import InvalidSignature, UnsupportedAlgorithm
from cryptography.exceptions import InvalidTag as HpkeRefused
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey, X25519PublicKey
from cryptography.hazmat.primitives.hpke import AEAD, KDF, KEM, Suite

from trust import envelope
from trust.authority import Authority
from trust.datakeys import DataKey, KeyName, context, header, split_header
from trust.envelope import Place
from trust.errors import BlobUnreadable, EnvelopeRefused, SealingKeyRefused
from trust.hidden import SECRET_BYTES, Hidden, Random, draw_secret
from trust.primitives import TAG_BYTES, hkdf

MAGIC, KEY_MAGIC = b"FSE1", b"FSK1"
PRIVATE_LABEL, WRAP_LABEL, VOUCH_LABEL = (
    b"federation sealing private v1",
    b"federation sealed content key v1",
    b"federation sealing key v1",
)
SUITE = Suite(KEM.X25519, KDF.HKDF_SHA256, AEAD.AES_256_GCM)
PUBLIC_BYTES = 32
WRAPPED_BYTES = PUBLIC_BYTES + SECRET_BYTES + TAG_BYTES


@dataclass(frozen=True)
class SealingKey:
    """The public half of a data key, vouched for: seals, and opens nothing."""

    name: KeyName
    public: bytes


def vouched(key: DataKey, authority: Authority) -> bytes:
    """The public half of `key` with the authority's word for which key and epoch it is."""
    public = _private(key).public_key().public_bytes_raw()
    signature = authority.key.sign(_statement(key.name, public), ec.ECDSA(hashes.SHA256()))
    return header(KEY_MAGIC, key.name) + public + signature


def sealing_key(blob: bytes, name: str, authority_pem: bytes) -> SealingKey:
    """The sealing key of the data key id `name` in `blob`, as an authority vouches for it.

    `authority_pem`: those that are trusted (two, while one succeeds the other). Raises
    SealingKeyRefused for any other authority, key id, or bytes.
    """
    try:
        found, rest = split_header(KEY_MAGIC, blob)
        trusted = [c.public_key() for c in x509.load_pem_x509_certificates(authority_pem)]
    except (BlobUnreadable, ValueError) as error:
        raise SealingKeyRefused(f"no sealing key of {name}: {error}") from error
    public, signature = rest[:PUBLIC_BYTES], rest[PUBLIC_BYTES:]
    if found.id != name:
        raise SealingKeyRefused(f"a sealing key of {found}, not of {name}")
    if not any(_signed(key, signature, _statement(found, public)) for key in trusted):
        raise SealingKeyRefused(f"no authority that is trusted vouches for this key of {found}")
    return SealingKey(found, public)


def seal_to(content: bytes, to: SealingKey, place: Place, random: Random = os.urandom) -> bytes:
    """`content` (at most 1 GiB), sealed for `place`, to be opened with the data key of `to`."""
    once = DataKey(to.name, draw_secret(random))
    public = X25519PublicKey.from_public_bytes(to.public)
    wrapped = SUITE.encrypt(once.secret.reveal(), public, info=_info(to.name, place))
    body = envelope.seal(content, once, place, sealed_before=0, random=random)
    return header(MAGIC, to.name) + wrapped + body


def unseal(blob: bytes, key: DataKey, place: Place) -> bytes:
    """The content of an envelope or a sealed object, by its data key and for its place.

    Raises BlobUnreadable for bytes that are neither, EnvelopeRefused for another key, epoch, table
    or row, and for anything that was changed.
    """
    if not blob.startswith(MAGIC):
        return envelope.unseal(blob, key, place)
    name, rest = split_header(MAGIC, blob)
    if name != key.name:
        raise EnvelopeRefused(f"sealed under {name}, not under {key.name}")
    if len(rest) < WRAPPED_BYTES:
        raise BlobUnreadable("cut: too short for a sealed object")
    wrapped, body = rest[:WRAPPED_BYTES], rest[WRAPPED_BYTES:]
    try:
        secret = SUITE.decrypt(wrapped, _private(key), info=_info(name, place))
    except (HpkeRefused, ValueError) as error:
        raise EnvelopeRefused(f"not sealed to this {name} for this row of {place.table}") from error
    return envelope.unseal(body, DataKey(name, Hidden(secret)), place)


def reseal(blob: bytes, old: DataKey, new: DataKey, place: Place, *, sealed_before: int) -> bytes:
    """The same content in an envelope under `new`, opened again before it is returned.

    As `envelope.reseal`; a sealed object becomes an ordinary envelope by it.
    """
    if not blob.startswith(MAGIC):
        return envelope.reseal(blob, old, new, place, sealed_before=sealed_before)
    content = unseal(blob, old, place)
    moved = envelope.seal(content, new, place, sealed_before=sealed_before)
    if envelope.unseal(moved, new, place) != content:
        raise EnvelopeRefused(f"sealed anew under {new.name}, it opens to other content")
    return moved


def _signed(authority: object, signature: bytes, statement: bytes) -> bool:
    if not isinstance(authority, ec.EllipticCurvePublicKey):
        return False
    try:
        authority.verify(signature, statement, ec.ECDSA(hashes.SHA256()))
    except (InvalidSignature, UnsupportedAlgorithm):
        return False
    return True


def _private(key: DataKey) -> X25519PrivateKey:
    secret = hkdf(key.secret.reveal(), context(PRIVATE_LABEL, key.name))
    return X25519PrivateKey.from_private_bytes(secret)


def _info(name: KeyName, place: Place) -> bytes:
    return context(WRAP_LABEL, name, place.table.encode(), place.row.encode())


def _statement(name: KeyName, public: bytes) -> bytes:
    return context(VOUCH_LABEL, name, public)
