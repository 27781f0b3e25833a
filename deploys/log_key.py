"""The log's key, which signs every checkpoint: made once, at the operator's, given to data nodes.

Its public half (a vkey, `ledger.vkey` in the operator's home) is what everybody else knows the log
by. The private one is in the operator's store, and sealed on each data node. Whoever has it can
sign a false history, which the witnesses then refuse; losing it means a new log.
"""

import os
import secrets
from pathlib import Path

from deploys.own_secrets import store_of
from inventory.home import Home
from inventory.model import Federation
from ledger.checkpoint import origin_of
from ledger.note import Kind, SignerKey

CREDENTIAL = "log-key"


def log_key_text(federation: Federation, home: Home) -> str:
    """The private key's text, made now if there is none; raises NoteInvalid, StoreError."""

    def make() -> str:
        origin = origin_of(federation.name, federation.domain)
        return SignerKey(origin, Kind.ED25519, secrets.token_bytes(32)).text()

    def check(text: str) -> None:
        SignerKey.parse(text.strip())

    return store_of(home).get(CREDENTIAL, make, check).strip()


def log_vkey(federation: Federation, home: Home) -> str:
    """The public key's text (vkey), also kept where people and programs find it."""
    text = SignerKey.parse(log_key_text(federation, home)).verifier.text()
    public = vkey_path(home)
    if not public.exists() or public.read_text().strip() != text:
        temporary = public.with_name(f".{public.name}.{os.getpid()}")
        temporary.write_text(text + "\n")
        temporary.replace(public)
    return text


def vkey_path(home: Home) -> Path:
    """Where the log's public key is at the operator's."""
    return home.root / "ledger.vkey"
