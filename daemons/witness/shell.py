"""Keep the witness's memory and evidence on disk: what is written is there after a power cut.

A state is written beside its place, synced, renamed, and the folder is synced, before anybody hears
of it. Evidence is written once, under the digest of what it is, and never removed; a flood of it
stops at a number, since the first ones are what matters.
"""

import fcntl
import hashlib
import json
import os
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import datetime
from pathlib import Path

from daemons.witness.decide import Verdict
from daemons.witness.state import MAX_BYTES, Memory, StateInvalid
from ledger.add_checkpoint import Request
from ledger.note import Kind, SignerKey

STATE = "state.json"
EVIDENCE = "evidence"
RESTORES = "restores"
LOCK = ".lock"
MAX_EVIDENCE = 256


class InUse(Exception):
    """Another process is this witness."""


class Store:
    """The folder of one witness, for the log called `origin`."""

    def __init__(self, folder: Path, origin: str) -> None:
        self._folder = folder
        self._origin = origin

    @contextmanager
    def alone(self) -> Iterator[None]:
        """Be the only process that has this state; raises InUse at once, or OSError."""
        with (self._folder / LOCK).open("w") as lock:
            try:
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError as error:
                raise InUse(f"{self._folder} is in use: stop the witness first") from error
            yield

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
        write(self._folder / STATE, memory.encode())

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
        write(folder / name, json.dumps(found, indent=1).encode() + b"\n")
        return True

    def give_up(self, memory: Memory, proof: bytes) -> int:
        """Keep what is given up by accepting a restore: the state as it was, with the checkpoint
        it cosigned, the proof that the log says so, and what it held against the restored log.

        How many pieces of evidence that were. Raises OSError.
        """
        folder = self._folder / RESTORES / f"{memory.generation}"
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        write(folder / STATE, memory.encode())
        write(folder / "accepted.tlog-proof", proof)
        moved = 0
        for path in sorted((self._folder / EVIDENCE).glob("*.json")):
            # What it held while it stood where it stands now: all else stays evidence.
            if json.loads(path.read_bytes()).get("cosigned_before") == memory.note:
                path.replace(folder / path.name)
                moved += 1
        return moved

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


def write(path: Path, content: bytes) -> None:
    """Have `content` at `path`, whole and synced; raises OSError, and then the old one is there."""
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
