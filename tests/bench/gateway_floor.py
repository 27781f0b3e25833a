"""What durability alone costs a request: two synced writes on the disk that has the spool.

The audit's promise is an intent on disk before the engine is asked and an outcome before the last
byte. `tests.bench.gateway_bare` with a folder keeps that order and does nothing else: no gateway
that keeps the promise adds less at one connection.
"""

import os
from pathlib import Path

from gateway.spool import segment
from gateway.spool.disk import Disk

BLOCK_BYTES, SEGMENT_BYTES = 512, 16 * 1024 * 1024


class Commits:
    """Synced writes of one block each, as the spool makes them, round and round in one segment."""

    def __init__(self, folder: Path) -> None:
        """Allocate the segment in `folder`; raises OSError."""
        self._disk, self._at = Disk(), 0
        segment.allocate(folder, SEGMENT_BYTES, self._disk)
        self._file = segment.take(folder, 1, self._disk)

    def one(self) -> None:
        """Write one block; it is on disk when this returns. Raises OSError."""
        self._disk.put(self._file, b"\1" * BLOCK_BYTES, self._at)
        self._at = (self._at + BLOCK_BYTES) % SEGMENT_BYTES

    def close(self) -> None:
        """Let go of the file."""
        os.close(self._file)
