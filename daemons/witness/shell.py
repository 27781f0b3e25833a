"""Keep the witness's memory and evidence on disk: what is written is there after a power cut.

A state is written beside its place, synced, renamed, and the folder is synced, before anybody hears
of it. Evidence is written once, under the digest of what it is, and never removed; a flood of it
stops at a number, since the first ones are what matters.
"""

import hashlib
import json
import os
from datetime import datetime
from pathlib import Path

from daemons.witness.decide import Verdict
from daemons.witness.state import MAX_BYTES, Memory, StateInvalid
from ledger.add_checkpoint import Request
from ledger.note import Kind, SignerKey

STATE = "state.json"
EVIDENCE = "evidence"
MAX_EVIDENCE = 256


class Store:
    """The folder of one witness, for the log called `origin`."""

    def __init__(self, folder: Path, origin: str) -> None:
        self._folder = folder
        self._origin = origin

    def load(self) -> Memory:
        """What was remembered, or a fresh memory; raises StateInvalid for damage or another log.

        A damaged state stops the witness: starting over would let it sign a second history.
        """
        path = self._folder / STATE
        try:
            with path.open("rb") as file:
                content = file.read(MAX_BYTES + 1)
        except FileNotFoundError:
            return Memory.fresh(self._origin)
        try:
            memory = Memory.decode(content)
        except StateInvalid as error:
            raise StateInvalid(f"{path}: {error}") from error
        if memory.origin != self._origin:
            raise StateInvalid(f"{path} is of the log {memory.origin}, not of {self._origin}")
        return memory

    def save(self, memory: Memory) -> None:
        """Have `memory` on disk; raises OSError, and then the old one is still there."""
        _write(self._folder / STATE, memory.encode())

    def keep(self, verdict: Verdict, request: Request, memory: Memory, now: datetime) -> bool:
        """Keep what shows that the log misbehaved; whether it is new."""
        folder = self._folder / EVIDENCE
        folder.mkdir(mode=0o700, exist_ok=True)
        name = hashlib.sha256(request.note).hexdigest()[:32] + ".json"
        if (folder / name).exists() or self.evidence() >= MAX_EVIDENCE:
            return False
        found = {
            "found": verdict.kind.value,
            "reason": verdict.reason,
            "time": now.isoformat(),
            "shown": request.note.decode("utf-8", "replace"),
            "cosigned_before": memory.note,
            "old": request.old,
            "proof": [item.hex() for item in request.proof],
        }
        _write(folder / name, json.dumps(found, indent=1).encode() + b"\n")
        return True

    def evidence(self) -> int:
        """How many pieces of evidence there are."""
        try:
            return len(list((self._folder / EVIDENCE).glob("*.json")))
        except FileNotFoundError:
            return 0


def load_key(path: Path, name: str) -> SignerKey:
    """The key of the witness `name`; raises NoteInvalid, ValueError or OSError."""
    key = SignerKey.parse(path.read_text(encoding="ascii"))
    if key.kind is not Kind.COSIGNATURE_ED25519 or key.name != name:
        raise ValueError(f"{path} is the key of {key.name}, type {key.kind:#04x}, not of {name}")
    return key


def _write(path: Path, content: bytes) -> None:
    temporary = path.with_name(f".{path.name}.new")
    handle = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_NOFOLLOW, 0o600)
    with os.fdopen(handle, "wb") as file:
        file.write(content)
        file.flush()
        os.fsync(file.fileno())
    temporary.replace(path)
    folder = os.open(path.parent, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(folder)
    finally:
        os.close(folder)
