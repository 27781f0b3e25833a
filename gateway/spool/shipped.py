"""How far the ledger has the spool, on disk: `shipped.json`, replaced as a whole after each batch.

When it is older than the truth (a crash between the ledger's commit and this file), the same events
are sent once more, and the ledger has them already. When it is gone, everything still in the folder
is.
"""

import os
from contextlib import suppress
from pathlib import Path
from uuid import UUID

import orjson

from gateway.spool.mark import Point
from gateway.spool.reader import Progress
from gateway.spool.segment import sync_folder

NAME = "shipped.json"
NEXT, LAST = NAME + ".tmp", NAME + ".last"
# A position with a hundred requests open; a longer one needs room of its own.
ROOM_BYTES = 8192


def load(folder: Path) -> Progress:
    """The progress on disk; the beginning when there is none, ValueError when it is unreadable."""
    try:
        value = orjson.loads((folder / NAME).read_bytes())
    except FileNotFoundError:
        return Progress()
    try:
        return Progress(
            Point(*(int(value[name]) for name in ("segment", "offset", "sequence"))),
            {str(UUID(request)): str(key) for request, key in value["open"].items()},
            int(value["lost"]),
            int(value["damaged"]),
        )
    except (KeyError, TypeError, AttributeError) as error:
        raise ValueError(f"{folder / NAME} is not what a shipper writes") from error


def save(folder: Path, progress: Progress) -> None:
    """Make `progress` durable; raises OSError, and then what was there is still there.

    It goes into blocks that are allocated already, and those of the position before are kept for
    the next one: on a full disk it has to be written before anything can be deleted.
    """
    value = {
        "segment": progress.at.segment,
        "offset": progress.at.offset,
        "sequence": progress.at.sequence,
        "open": progress.open,
        "lost": progress.lost,
        "damaged": progress.damaged,
    }
    text = orjson.dumps(value)
    size = _set_aside(folder, len(text))
    file = os.open(folder / NEXT, os.O_WRONLY | os.O_CLOEXEC)
    try:
        os.pwrite(file, text.ljust(size), 0)
        os.fdatasync(file)
    finally:
        os.close(file)
    (folder / LAST).unlink(missing_ok=True)
    with suppress(FileNotFoundError):
        os.link(folder / NAME, folder / LAST)
    (folder / NEXT).rename(folder / NAME)
    with suppress(FileNotFoundError):
        (folder / LAST).rename(folder / NEXT)
    sync_folder(folder)


def prepare(folder: Path) -> None:
    """Have a position and the blocks for the next one; raises OSError."""
    if not (folder / NAME).exists():
        save(folder, Progress())
    _set_aside(folder, 0)


def _set_aside(folder: Path, needed: int) -> int:
    """Have the blocks that a position of `needed` bytes takes; how many there are. OSError."""
    file = os.open(folder / NEXT, os.O_WRONLY | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        size = max(os.fstat(file).st_size, ROOM_BYTES, needed)
        os.posix_fallocate(file, 0, size)
        return size
    finally:
        os.close(file)
