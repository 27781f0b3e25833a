"""Signed notes as C2SP signed-note says, and cosignatures as C2SP tlog-cosignature says. Pure.

A note is text, an empty line, and signature lines `— NAME base64(key id || signature)`. A key is
known by name and id together, the id being SHA-256(name || LF || type || public key)[:4]. Lines of
keys nobody asked about are ignored, so that witnesses and later algorithms can add theirs; a line
of a known key that does not verify spoils the note.

Types kept here: 0x01 Ed25519 over the text (a log's own), 0x04 timestamped Ed25519 and 0x06
timestamped ML-DSA-44 (post-quantum) cosignatures of a checkpoint. Keys are exchanged as text:
`NAME+hex id+base64(type || public key)`, private ones as Go's sumdb/note writes them.
"""

import base64
import binascii
import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from enum import IntEnum
from hashlib import sha256
from typing import Self

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey
from cryptography.hazmat.primitives.asymmetric.mldsa import MLDSA44PrivateKey, MLDSA44PublicKey

from ledger.errors import NoteInvalid

MAX_BYTES = 64 * 1024
MAX_SIGNATURES = 64
DASH = "\N{EM DASH} "
_PRIVATE = "PRIVATE+KEY+"
_CONTROL = re.compile(r"[\x00-\x09\x0b-\x1f]")
_SEED_BYTES = 32


class Kind(IntEnum):
    """Signature types (C2SP's identifier bytes)."""

    ED25519 = 0x01
    COSIGNATURE_ED25519 = 0x04
    COSIGNATURE_ML_DSA_44 = 0x06


_KEY_BYTES = {Kind.ED25519: 32, Kind.COSIGNATURE_ED25519: 32, Kind.COSIGNATURE_ML_DSA_44: 1312}


@dataclass(frozen=True)
class Signature:
    """One signature line: whose, and the bytes after the key id."""

    name: str
    key_id: bytes
    signature: bytes

    def line(self) -> str:
        """The line with its newline."""
        return f"{DASH}{self.name} {_base64(self.key_id + self.signature)}\n"

    @classmethod
    def parse(cls, line: str) -> Self:
        """From a line without its newline; raises NoteInvalid."""
        name, _, encoded = line.removeprefix(DASH).partition(" ")
        if not line.startswith(DASH) or not _is_name(name):
            raise NoteInvalid(f"not a signature line: {line!r:.80}")
        raw = _bytes(encoded)
        if len(raw) < 5:
            raise NoteInvalid(f"a signature of {name} is too short")
        return cls(name, raw[:4], raw[4:])

    @property
    def timestamp(self) -> int:
        """Of a cosignature: when it was made, in seconds since 1970."""
        if len(self.signature) <= 8:
            raise NoteInvalid(f"the signature of {self.name} holds no timestamp")
        return int.from_bytes(self.signature[:8], "big")


@dataclass(frozen=True)
class Note:
    """Text (it ends in a newline) and its signatures, verified or not."""

    text: str
    signatures: tuple[Signature, ...] = ()

    def encode(self) -> str:
        """The note as it is published."""
        return self.text + "\n" + "".join(each.line() for each in self.signatures)

    @classmethod
    def parse(cls, encoded: str | bytes) -> Self:
        """Raises NoteInvalid for anything that is not exactly a signed note."""
        if len(encoded) > MAX_BYTES:
            raise NoteInvalid(f"a note of {len(encoded)} bytes, at most {MAX_BYTES}")
        try:
            whole = encoded.decode("utf-8") if isinstance(encoded, bytes) else encoded
            whole.encode("utf-8")
        except UnicodeError as error:
            raise NoteInvalid("not UTF-8") from error
        if _CONTROL.search(whole):
            raise NoteInvalid("a note holds no control characters")
        text, separator, lines = whole.rpartition("\n\n")
        if not separator or not text or not lines.endswith("\n"):
            raise NoteInvalid("no text, an empty line and signatures")
        found = lines[:-1].split("\n")
        if len(found) > MAX_SIGNATURES:
            raise NoteInvalid(f"{len(found)} signatures, at most {MAX_SIGNATURES}")
        return cls(text + "\n", tuple(Signature.parse(line) for line in found))

    def verified(self, keys: Iterable["VerifierKey"]) -> tuple["VerifierKey", ...]:
        """Those of `keys` that signed this text.

        Raises NoteInvalid when none did, or when a line claims to be of one of them and is not.
        """
        known = {(key.name, key.key_id): key for key in keys}
        good: dict[VerifierKey, None] = {}
        for signature in self.signatures:
            key = known.get((signature.name, signature.key_id))
            if key is None:
                continue
            if not key.verifies(self.text, signature.signature):
                raise NoteInvalid(f"the signature of {key.name} is not its own")
            good[key] = None
        if not good:
            raise NoteInvalid("nobody we know has signed this")
        return tuple(good)


@dataclass(frozen=True)
class VerifierKey:
    """A public key by name."""

    name: str
    kind: Kind
    public: bytes = field(repr=False)

    def __post_init__(self) -> None:
        if not _is_name(self.name):
            raise NoteInvalid(f"{self.name!r:.80} is no key name")
        if len(self.public) != _KEY_BYTES[self.kind]:
            raise NoteInvalid(f"the public key of {self.name} has {len(self.public)} bytes")

    @property
    def key_id(self) -> bytes:
        """Four bytes that, with the name, say which key signed."""
        hashed = self.name.encode() + b"\n" + bytes([self.kind]) + self.public
        return sha256(hashed).digest()[:4]

    def text(self) -> str:
        """The key as people exchange it (vkey)."""
        return f"{self.name}+{self.key_id.hex()}+{_base64(bytes([self.kind]) + self.public)}"

    @classmethod
    def parse(cls, text: str) -> Self:
        """From a vkey; raises NoteInvalid, also for a type not kept here."""
        name, key_id, kind, public = _parse_key(text.strip())
        key = cls(name, kind, public)
        if key.key_id.hex() != key_id:
            raise NoteInvalid(f"the key {name} does not have the id {key_id}")
        return key

    def verifies(self, text: str, signature: bytes) -> bool:
        """Whether `signature` (without the key id) is this key's over `text`."""
        timestamp, rest = 0, signature
        if self.kind is not Kind.ED25519:
            if len(signature) <= 8:
                return False
            timestamp, rest = int.from_bytes(signature[:8], "big"), signature[8:]
        try:
            message = _message(self.kind, self.name, text, timestamp)
            if self.kind is Kind.COSIGNATURE_ML_DSA_44:
                MLDSA44PublicKey.from_public_bytes(self.public).verify(rest, message)
            else:
                Ed25519PublicKey.from_public_bytes(self.public).verify(rest, message)
        except (InvalidSignature, ValueError, NoteInvalid):
            return False
        return True


@dataclass(frozen=True)
class SignerKey:
    """A private key by name; its text is a secret."""

    name: str
    kind: Kind
    seed: bytes = field(repr=False)

    def __post_init__(self) -> None:
        if not _is_name(self.name) or len(self.seed) != _SEED_BYTES:
            raise NoteInvalid("a private key has a name and 32 bytes")

    @property
    def verifier(self) -> VerifierKey:
        """Its public half."""
        private = self._private()
        return VerifierKey(self.name, self.kind, private.public_key().public_bytes_raw())

    def text(self) -> str:
        """The private key as text (skey)."""
        secret = _base64(bytes([self.kind]) + self.seed)
        return f"{_PRIVATE}{self.name}+{self.verifier.key_id.hex()}+{secret}"

    @classmethod
    def parse(cls, text: str) -> Self:
        """From an skey; raises NoteInvalid without repeating any of it."""
        if not text.startswith(_PRIVATE):
            raise NoteInvalid("this is no private key of a note")
        try:
            name, key_id, kind, seed = _parse_key(text.strip().removeprefix(_PRIVATE))
        except NoteInvalid as error:
            raise NoteInvalid("this is no private key of a note") from error.__cause__
        key = cls(name, kind, seed)
        if key.verifier.key_id.hex() != key_id:
            raise NoteInvalid(f"the private key {name} does not have the id {key_id}")
        return key

    def sign(self, text: str, timestamp: int | None = None) -> Signature:
        """Sign a note's text; cosignatures need the time, in seconds since 1970."""
        if (timestamp is None) != (self.kind is Kind.ED25519):
            raise ValueError("a cosignature has a time, a log's own signature has none")
        message = _message(self.kind, self.name, text, timestamp or 0)
        signature = self._private().sign(message)
        if timestamp is not None:
            signature = timestamp.to_bytes(8, "big") + signature
        return Signature(self.name, self.verifier.key_id, signature)

    def _private(self) -> Ed25519PrivateKey | MLDSA44PrivateKey:
        if self.kind is Kind.COSIGNATURE_ML_DSA_44:
            return MLDSA44PrivateKey.from_seed_bytes(self.seed)
        return Ed25519PrivateKey.from_private_bytes(self.seed)


def parse_signatures(lines: str) -> Sequence[Signature]:
    """Bare signature lines, as a witness answers; raises NoteInvalid."""
    if len(lines) > MAX_BYTES or not lines.endswith("\n"):
        raise NoteInvalid("no signature lines")
    return [Signature.parse(line) for line in lines[:-1].split("\n")[:MAX_SIGNATURES]]


def _message(kind: Kind, name: str, text: str, timestamp: int) -> bytes:
    """What is signed. ML-DSA covers origin, size and root, not a checkpoint's other lines."""
    if kind is Kind.ED25519:
        return text.encode()
    if timestamp >= 1 << 63:
        raise NoteInvalid("a timestamp beyond 2^63")
    if kind is Kind.COSIGNATURE_ED25519:
        return f"cosignature/v1\ntime {timestamp}\n{text}".encode()
    lines = text.split("\n")
    if len(lines) < 4 or not re.fullmatch(r"0|[1-9][0-9]{0,18}", lines[1]):
        raise NoteInvalid("a cosignature is over a checkpoint")
    parts = [b"subtree/v1\n\0", _opaque(name), timestamp.to_bytes(8, "big"), _opaque(lines[0])]
    parts += [(0).to_bytes(8, "big"), int(lines[1]).to_bytes(8, "big"), _bytes(lines[2])]
    return b"".join(parts)


def _opaque(value: str) -> bytes:
    raw = value.encode()
    if not 0 < len(raw) < 256:
        raise NoteInvalid("a name or origin has 1 to 255 bytes")
    return bytes([len(raw)]) + raw


def _parse_key(text: str) -> tuple[str, str, Kind, bytes]:
    name, _, rest = text.partition("+")
    key_id, _, encoded = rest.partition("+")
    raw = _bytes(encoded)
    if not re.fullmatch("[0-9a-f]{8}", key_id) or not raw:
        raise NoteInvalid(f"not a key: {name!r:.80}")
    if raw[0] not in set(Kind):
        raise NoteInvalid(f"the key {name!r:.80} is of a type we do not know, {raw[0]:#04x}")
    return name, key_id, Kind(raw[0]), raw[1:]


def _is_name(name: str) -> bool:
    return bool(name) and "+" not in name and not any(c.isspace() or c < " " for c in name)


def _base64(raw: bytes) -> str:
    return base64.b64encode(raw).decode()


def _bytes(encoded: str) -> bytes:
    """Standard base64, and only its canonical form."""
    try:
        raw = base64.b64decode(encoded, validate=True)
    except (binascii.Error, ValueError) as error:
        raise NoteInvalid("not base64") from error
    if _base64(raw) != encoded:
        raise NoteInvalid("not canonical base64")
    return raw
