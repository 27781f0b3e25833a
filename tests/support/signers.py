"""Whoever signs requests in tests."""

import secrets
from datetime import UTC, datetime, timedelta

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from trust.callers import Signer


def signer_of(name: str, seed: int = 1, *, behind: timedelta = timedelta(0)) -> Signer:
    """A signer with the same key for the same seed, whose clock is `behind`."""
    key = Ed25519PrivateKey.from_private_bytes(bytes([seed]) * 32)
    return Signer(name, key, lambda: secrets.token_hex(16), lambda: datetime.now(UTC) - behind)
