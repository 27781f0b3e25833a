"""HKDF-SHA256, AES-256-GCM and one encoding: the only three things custody is made of.

Thin on purpose, so that published test vectors run through the very functions that are used.
Which key, nonce and associated data belong together is decided by `shares` and `envelope`.
"""

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.hkdf import HKDF

KEY_BYTES, NONCE_BYTES, TAG_BYTES = 32, 12, 16

__all__ = [
    "KEY_BYTES",
    "NONCE_BYTES",
    "TAG_BYTES",
    "InvalidTag",
    "decrypt",
    "encrypt",
    "hkdf",
    "pack",
    "unpack",
]


def pack(*fields: bytes) -> bytes:
    """The fields, each after its length (4 bytes, big-endian).

    No two different lists of fields give the same bytes, so ("ab", "c") is never taken for
    ("a", "bc") in associated data.
    """
    return b"".join(len(field).to_bytes(4, "big") + field for field in fields)


def unpack(packed: bytes) -> tuple[bytes, ...]:
    """The fields that `pack` joined; ValueError for what it cannot have given."""
    fields = []
    while packed:
        end = 4 + int.from_bytes(packed[:4], "big")
        if len(packed) < max(4, end):
            raise ValueError("cut within a field")
        fields.append(packed[4:end])
        packed = packed[end:]
    return tuple(fields)


def hkdf(secret: bytes, info: bytes, length: int = KEY_BYTES, salt: bytes | None = None) -> bytes:
    """HKDF-SHA256 (RFC 5869): `length` bytes that only a holder of `secret` can compute.

    Without a salt, as here: every secret given to it is already 256 uniform random bits or more.
    """
    return HKDF(algorithm=SHA256(), length=length, salt=salt, info=info).derive(secret)


def encrypt(key: bytes, nonce: bytes, content: bytes, associated: bytes) -> bytes:
    """AES-256-GCM (NIST SP 800-38D): the ciphertext, then its 16-byte tag."""
    _check(key, nonce)
    return AESGCM(key).encrypt(nonce, content, associated)


def decrypt(key: bytes, nonce: bytes, ciphertext: bytes, associated: bytes) -> bytes:
    """What `encrypt` was given; InvalidTag when any of the four is another."""
    _check(key, nonce)
    return AESGCM(key).decrypt(nonce, ciphertext, associated)


def _check(key: bytes, nonce: bytes) -> None:
    # The library would take AES-128 keys and nonces of other lengths without a word.
    if len(key) != KEY_BYTES or len(nonce) != NONCE_BYTES:
        raise ValueError(f"a key has {KEY_BYTES} bytes and a nonce {NONCE_BYTES}")
