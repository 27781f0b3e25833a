"""How far the ledger has the spool, on disk: `shipped.json`, replaced as a whole after each batch.

When it is older than the truth (a crash between the ledger's commit and this file), the same events
are sent once more, and the ledger has them already. When it is gone, everything still in the folder
is.
"""

import os
from pathlib import Path
from uuid import UUID

import orjson

from gateway.spool.mark import Point
from gateway.spool.reader import Progress
from gateway.spool.segment import sync_folder

NAME = "shipped.json"


def load(folder: Path) -> Progress:
    """The progress on disk; the beginning when there is none, ValueError when it is unreadable."""
    try:
        value = orjson.loads((folder / NAME).read_bytes())
    except FileNotFoundError:
        return Progress()
    try:
        return Progress(
            Point(*(int(value[name]) for name in ("segment", "offset", "sequence"))),
            {UUID(request): str(key) for request, key in value["open"].items()},
            int(value["lost"]),
            int(value["damaged"]),
        )
    except (KeyError, TypeError, AttributeError) as error:
        raise ValueError(f"{folder / NAME} is not what a shipper writes") from error


def save(folder: Path, progress: Progress) -> None:
    """Make `progress` durable; raises OSError."""
    value = {
        "segment": progress.at.segment,
        "offset": progress.at.offset,
        "sequence": progress.at.sequence,
        "open": {str(request): key for request, key in progress.open.items()},
        "lost": progress.lost,
        "damaged": progress.damaged,
    }
    path = folder / (NAME + ".tmp")
    file = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, 0o600)
    try:
        os.write(file, orjson.dumps(value))
        os.fdatasync(file)
    finally:
        os.close(file)
    path.rename(folder / NAME)
    sync_folder(folder)
