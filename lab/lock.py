"""One change at a time: an exclusive lock on a file, released by the kernel when its holder dies.

The file's text says who holds it; the lock, not the text, decides.
"""

import fcntl
import os
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from lab.errors import LabBusy

NAME = "lock"
POLL_SECONDS = 0.2
PATIENCE_SECONDS = 20.0  # for short changes, which may well wait for each other


@contextmanager
def held(path: Path, purpose: str, *, wait_seconds: float = 0.0) -> Iterator[None]:
    """Hold the lock at `path` while the block runs.

    Raises LabBusy, naming the holder, when it is not free within `wait_seconds`.
    """
    deadline = time.monotonic() + wait_seconds
    descriptor = _open(path)
    try:
        _acquire(descriptor, path, deadline)
        while not _still_there(descriptor, path):  # its folder was removed while we waited
            os.close(descriptor)
            descriptor = _open(path)
            _acquire(descriptor, path, deadline)
        os.ftruncate(descriptor, 0)
        os.pwrite(descriptor, f"process {os.getpid()}: {purpose}\n".encode(), 0)
        yield
    finally:
        os.close(descriptor)


def _open(path: Path) -> int:
    path.parent.mkdir(parents=True, exist_ok=True)
    return os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o644)


def _still_there(descriptor: int, path: Path) -> bool:
    try:
        return os.path.samestat(os.fstat(descriptor), path.stat())
    except FileNotFoundError:
        return False


def _acquire(descriptor: int, path: Path, deadline: float) -> None:
    while True:
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            if time.monotonic() >= deadline:
                holder = os.pread(descriptor, 200, 0).decode(errors="replace").strip()
                raise LabBusy(
                    f"{path} is held by {holder or 'another process'}: wait for it, or end it"
                ) from None
            time.sleep(POLL_SECONDS)
        else:
            return
