"""The sequencer's two private keys: the log's, which all sequencers share, and its node's own.

With the log's it signs heads. With its own it signs requests to witnesses: that key was made on
this node and is loaded by nothing else there (decision 35).
"""

import secrets
from collections.abc import Mapping
from datetime import UTC, datetime

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from daemons.sequencer.settings import SequencerSettings
from inventory.config import resolve
from ledger.errors import NoteInvalid
from ledger.note import Kind, SignerKey
from trust.callers import Signer


def log_key(settings: SequencerSettings, environment: Mapping[str, str]) -> SignerKey:
    """The log's private key; raises OSError or NoteInvalid."""
    path = resolve(settings.log_key_path, environment)
    return SignerKey.parse(path.read_text(encoding="utf-8").strip())


def signer(settings: SequencerSettings, environment: Mapping[str, str]) -> Signer | None:
    """What requests to witnesses are signed with; None when no key is named.

    Raises OSError or NoteInvalid when a key is named that is not there or not one.
    """
    if settings.signing_key_path is None:
        return None
    path = resolve(settings.signing_key_path, environment)
    key = SignerKey.parse(path.read_text(encoding="utf-8").strip())
    if key.kind is not Kind.ED25519:
        raise NoteInvalid(f"{path} is a key of the type {key.kind:#04x}, not a signing key")
    private = Ed25519PrivateKey.from_private_bytes(key.seed)
    return Signer(settings.node, private, lambda: secrets.token_hex(16), lambda: datetime.now(UTC))
