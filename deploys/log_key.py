"""The log's key, which signs every checkpoint: made once, at the operator's, given to data nodes.

Its public half (a vkey, `ledger.vkey` in the operator's home) is what everybody else knows the log
by. The private one is in `secrets/log-key`, and sealed on each data node. Whoever has it can sign a
false history, which the witnesses then refuse; losing it means a new log, so it belongs in backups.
"""

import os
import secrets
import tempfile
from contextlib import suppress
from pathlib import Path

from inventory.home import Home
from inventory.model import Federation
from ledger.checkpoint import origin_of
from ledger.note import Kind, SignerKey

CREDENTIAL = "log-key"


def log_key_text(federation: Federation, home: Home) -> str:
    """The private key's text, made now if this federation has none; raises NoteInvalid.

    Processes that get here at once all end up with the same one: a complete file is linked to its
    name, which only the first can do.
    """
    path = home.secrets / CREDENTIAL
    if not path.exists():
        origin = origin_of(federation.name, federation.domain)
        _make(path, SignerKey(origin, Kind.ED25519, secrets.token_bytes(32)).text())
    text = path.read_text().strip()
    SignerKey.parse(text)
    return text


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


def _make(path: Path, text: str) -> None:
    path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    handle, name = tempfile.mkstemp(prefix=f".{CREDENTIAL}-", dir=path.parent)
    temporary = Path(name)
    try:
        with os.fdopen(handle, "w") as file:
            file.write(text + "\n")
            file.flush()
            os.fsync(file.fileno())
        with suppress(FileExistsError):
            path.hardlink_to(temporary)
    finally:
        temporary.unlink()
