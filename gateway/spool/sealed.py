"""Sealed prompts on their way to the ledger: one file each, beside the segments.

A file is the commitment (32 bytes) and the sealed object, named by its content's id. It is durable
before the `request.finished` that refers to it is written, and goes once the ledger has both. So
after a crash a file may lie there that no event will ever refer to; `forgotten` finds those.
"""

import os
from collections.abc import Iterator
from pathlib import Path
from uuid import UUID

from gateway.spool.segment import sync_folder
from ledger.content import Item
from trust.datakeys import split_header
from trust.sealing import MAGIC

FOLDER, SUFFIX = "prompts", ".sealed"
COMMITMENT_BYTES = 32
# What a file takes on a disk at least, its entry in the folder included.
BLOCK_BYTES = 4096


def path_of(spool: Path, content: UUID) -> Path:
    """Where the sealed prompt of this content id is."""
    return spool / FOLDER / f"{content}{SUFFIX}"


def write(spool: Path, item: Item) -> None:
    """Make `item` durable; raises OSError."""
    path = path_of(spool, item.id)
    path.parent.mkdir(mode=0o700, exist_ok=True)
    new = path.with_suffix(".tmp")
    file = os.open(new, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, 0o600)
    try:
        with os.fdopen(file, "wb") as opened:
            opened.write(item.commitment)
            opened.write(item.envelope)
            opened.flush()
            os.fsync(file)
        new.rename(path)
    except OSError:
        new.unlink(missing_ok=True)
        raise
    sync_folder(path.parent)


def read(spool: Path, content: UUID) -> Item | None:
    """The item, None when there is no such file; raises BlobUnreadable, OSError."""
    try:
        found = path_of(spool, content).read_bytes()
    except FileNotFoundError:
        return None
    commitment, blob = found[:COMMITMENT_BYTES], found[COMMITMENT_BYTES:]
    name, _ = split_header(MAGIC, blob)
    return Item(content, commitment, name, blob)


def size(spool: Path) -> int:
    """Bytes of disk that the files there take, in whole blocks."""
    return sum(cost(entry.stat().st_size) for entry in _entries(spool))


def cost(length: int) -> int:
    """What a file of this length counts for."""
    return -(-length // BLOCK_BYTES) * BLOCK_BYTES + BLOCK_BYTES


def forgotten(spool: Path, before: float) -> list[Path]:
    """Files last written before this time (seconds since 1970)."""
    return [Path(e.path) for e in _entries(spool) if e.stat().st_mtime < before]


def _entries(spool: Path) -> Iterator[os.DirEntry[str]]:
    try:
        with os.scandir(spool / FOLDER) as entries:
            yield from entries
    except FileNotFoundError:
        return
