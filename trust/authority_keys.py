"""The private keys of an authority: one, or two while one succeeds the other, the older first."""

import re
from collections.abc import Sequence
from typing import Protocol

from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec

from trust.errors import AuthorityBroken
from trust.signing import key_pem

PrivateKey = ec.EllipticCurvePrivateKey
_BLOCK = re.compile(rb"-----BEGIN [A-Z ]+-----.*?-----END [A-Z ]+-----\n?", re.DOTALL)


class Keeper(Protocol):
    """Where private keys are kept; `str` says it to people."""

    def read(self) -> bytes:
        """The keys (PEM); raises FileNotFoundError, or a TrustError when they cannot be used."""
        ...

    def write(self, content: bytes) -> None:
        """Keep these keys, in place of any others."""


def read_keys(keeper: Keeper) -> tuple[PrivateKey, ...]:
    """The keys; raises AuthorityBroken when they are lost or are none."""
    try:
        return parse_keys(keeper.read(), keeper)
    except FileNotFoundError as error:
        raise AuthorityBroken(
            f"{keeper} is lost: restore it from the operator's backup, or move the folder away "
            "and let a new authority be made (every certificate is then issued anew)"
        ) from error


def parse_keys(content: bytes, keeper: Keeper) -> tuple[PrivateKey, ...]:
    """The keys in `content`, which `keeper` gave; raises AuthorityBroken."""
    blocks = _BLOCK.findall(content) or [content]
    return tuple(_parse(block, keeper) for block in blocks)


def write_keys(keeper: Keeper, keys: Sequence[PrivateKey]) -> None:
    """Keep exactly these."""
    keeper.write(b"".join(key_pem(key) for key in keys))


def _parse(block: bytes, keeper: Keeper) -> PrivateKey:
    try:
        key = serialization.load_pem_private_key(block, password=None)
    except (ValueError, TypeError) as error:
        raise AuthorityBroken(f"{keeper} is no private key: {error}") from error
    if not isinstance(key, PrivateKey):
        raise AuthorityBroken(f"{keeper} is not an ECDSA key")
    return key
