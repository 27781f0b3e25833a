"""API keys: `fed_<id>_<secret><checksum>`, always 65 characters.

`id` (64 random bits) is public and finds the row; `secret` (256 random bits) is shown once and kept
by the server only as HMAC-SHA256 under a pepper that is not in the database, so a stolen table
cannot be used nor be searched. The checksum (CRC-32 of everything before it) lets any tool refuse a
misspelt or cut key, and scanners recognise a leaked one, without asking a server; it protects
nothing else. Numbers are fixed-width base62, so that a key has exactly one spelling.
"""

import hashlib
import hmac
import re
import secrets
from dataclasses import dataclass
from zlib import crc32

from pydantic import SecretBytes

from trust.errors import InvalidApiKey, InvalidPepper

PREFIX = "fed"
ALPHABET = "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz"
ID_BYTES, SECRET_BYTES, PEPPER_BYTES = 8, 32, 32
ID_CHARS, SECRET_CHARS, CHECKSUM_CHARS = 11, 43, 6
KEY_CHARS = len(PREFIX) + 1 + ID_CHARS + 1 + SECRET_CHARS + CHECKSUM_CHARS
RANDOM_BYTES = ID_BYTES + SECRET_BYTES

_SHAPE = re.compile(
    rf"{PREFIX}_([0-9A-Za-z]{{{ID_CHARS}}})"
    rf"_([0-9A-Za-z]{{{SECRET_CHARS}}})([0-9A-Za-z]{{{CHECKSUM_CHARS}}})"
)
_VALUES = {character: value for value, character in enumerate(ALPHABET)}


@dataclass(frozen=True)
class ApiKey:
    """A whole key. `repr` and `str` show its id and nothing of its secret."""

    id: str
    secret: SecretBytes

    def reveal(self) -> str:
        """The text to give to its owner, once."""
        body = f"{PREFIX}_{self.id}_{_encode(self.secret.get_secret_value(), SECRET_CHARS)}"
        return body + _checksum(body)


@dataclass(frozen=True)
class Pepper:
    """The server-side key under which secrets are hashed, and the number it is known by.

    Every stored digest carries its pepper's version: a new pepper serves new keys while old keys
    keep working under the old one.
    """

    version: int
    value: SecretBytes

    @classmethod
    def parse(cls, text: str, version: int = 1) -> "Pepper":
        """The pepper in a credential's text: 32 bytes as hexadecimal. Raises InvalidPepper."""
        stripped = text.strip()
        if not re.fullmatch(rf"[0-9a-fA-F]{{{2 * PEPPER_BYTES}}}", stripped):
            raise InvalidPepper(f"a pepper is {2 * PEPPER_BYTES} hexadecimal digits")
        return cls(version, SecretBytes(bytes.fromhex(stripped)))


def new_pepper_text() -> str:
    """The text of a fresh pepper, for a credential file."""
    return secrets.token_hex(PEPPER_BYTES)


def new_key(random_bytes: bytes) -> ApiKey:
    """The key made of exactly 40 random bytes (id, then secret)."""
    if len(random_bytes) != RANDOM_BYTES:
        raise ValueError(f"a key is made of {RANDOM_BYTES} random bytes, not {len(random_bytes)}")
    identity = _encode(random_bytes[:ID_BYTES], ID_CHARS)
    return ApiKey(identity, SecretBytes(random_bytes[ID_BYTES:]))


def generate() -> ApiKey:
    """A new key from the system's randomness."""
    return new_key(secrets.token_bytes(RANDOM_BYTES))


def parse(text: str) -> ApiKey:
    """The key that `text` spells; raises InvalidApiKey, which never repeats the text.

    The length is checked before anything else: input of any size costs the same.
    """
    if len(text) != KEY_CHARS:
        raise InvalidApiKey(f"a key has {KEY_CHARS} characters")
    match = _SHAPE.fullmatch(text)
    if match is None:
        raise InvalidApiKey(f"a key looks like {PREFIX}_<id>_<secret>")
    identity, secret, checksum = match.groups()
    if not hmac.compare_digest(_checksum(text[:-CHECKSUM_CHARS]), checksum):
        raise InvalidApiKey("the checksum does not fit: misspelt or cut")
    _decode(identity, ID_BYTES)
    return ApiKey(identity, SecretBytes(_decode(secret, SECRET_BYTES)))


def digest(secret: SecretBytes, pepper: Pepper) -> bytes:
    """What the server keeps of a secret: 32 bytes, HMAC-SHA256 under the pepper."""
    key = pepper.value.get_secret_value()
    return hmac.digest(key, secret.get_secret_value(), hashlib.sha256)


def matches(key: ApiKey, stored: bytes, pepper: Pepper) -> bool:
    """Whether `stored` is this key's digest, in a time that does not depend on the answer."""
    return hmac.compare_digest(digest(key.secret, pepper), stored)


def _checksum(body: str) -> str:
    return _encode(crc32(body.encode("ascii")).to_bytes(4, "big"), CHECKSUM_CHARS)


def _encode(value: bytes, width: int) -> str:
    number, characters = int.from_bytes(value, "big"), []
    for _ in range(width):
        number, digit = divmod(number, len(ALPHABET))
        characters.append(ALPHABET[digit])
    return "".join(reversed(characters))


def _decode(text: str, size: int) -> bytes:
    number = 0
    for character in text:
        number = number * len(ALPHABET) + _VALUES[character]
    try:
        return number.to_bytes(size, "big")
    except OverflowError:
        # The second spelling of a number this long; refused, so that there is only one.
        raise InvalidApiKey("out of range: never a key of ours") from None
