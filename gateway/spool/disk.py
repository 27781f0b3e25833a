"""How segments are written: past the page cache (O_DIRECT), where the file system takes that.

A commit then is one request to the disk, from memory of ours, with nothing to copy into the cache
and nothing to find there when it is synced (measured in docs/decisions/0026). It asks for whole
blocks of the disk, in memory and in the file. Where these are longer than a frame's (512 bytes), or
the file system does without O_DIRECT, the kernel says EINVAL, before it has written anything; from
then on all goes through the page cache, to the same places with the same promise.
"""

import errno
import fcntl
import logging
import mmap
import os
import time
from pathlib import Path

from gateway.spool import frame

logger = logging.getLogger("gateway.spool")

ZEROS_BYTES = 128 * 1024


class Disk:
    """Writes the segments of one folder. `put` is for one thread at a time; `put_zeros` may run
    beside it in another.
    """

    def __init__(self) -> None:
        self.is_direct = True  # until the kernel says that it cannot be
        self._told: bool | None = None
        # Maps begin at a page, and so at a block of every disk.
        self._buffer = memoryview(mmap.mmap(-1, frame.MAX_BYTES))
        self._zeros = memoryview(mmap.mmap(-1, ZEROS_BYTES))

    def open(self, path: Path, flags: int = 0) -> int:
        """A descriptor whose writes are on disk when they return; raises OSError."""
        file = os.open(path, os.O_RDWR | os.O_DSYNC | os.O_CLOEXEC | flags, 0o600)
        if self.is_direct:
            try:
                fcntl.fcntl(file, fcntl.F_SETFL, fcntl.fcntl(file, fcntl.F_GETFL) | os.O_DIRECT)
            except OSError as error:
                if error.errno != errno.EINVAL:
                    os.close(file)
                    raise
                self.is_direct = False
        return file

    def put(self, file: int, data: bytes, offset: int) -> None:
        """Write `data`, whole blocks at a block, and have it on disk; raises OSError."""
        size = len(data)
        self._buffer[:size] = data
        self._write(file, self._buffer[:size], offset)

    def put_zeros(self, file: int, size: int) -> None:
        """Write zeros over the first `size` bytes, whole blocks; raises OSError."""
        for offset in range(0, size, ZEROS_BYTES):
            # In pieces, and half of the time: other writes get their turn.
            begun = time.monotonic()
            self._write(file, self._zeros[: size - offset], offset)
            time.sleep(time.monotonic() - begun)

    def tell(self) -> None:
        """Say in the log how it is written, when that is news."""
        if self._told != self.is_direct:
            self._told = self.is_direct
            logger.info("spool is written", extra={"past_the_page_cache": self.is_direct})

    def _write(self, file: int, data: memoryview, offset: int) -> None:
        try:
            written = os.pwrite(file, data, offset)
        except OSError as error:
            if error.errno != errno.EINVAL or not self._undirected(file):
                raise
            written = os.pwrite(file, data, offset)
        if written != len(data):
            raise OSError(errno.EIO, "a short write")

    def _undirected(self, file: int) -> bool:
        """Have the page cache used from now on; False when it was already."""
        flags = fcntl.fcntl(file, fcntl.F_GETFL)
        if not flags & os.O_DIRECT:
            return False
        fcntl.fcntl(file, fcntl.F_SETFL, flags & ~os.O_DIRECT)
        self.is_direct = False
        return True
