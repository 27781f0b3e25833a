"""Files that must never be half written or readable by others.

The one place of this package that knows about descriptors; it leaves to callers what is in them.
"""

import fcntl
import os
import secrets
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from trust.errors import KeyExposed

EXPOSED = 0o077


def write(path: Path, content: bytes, mode: int) -> None:
    """Put `content` at `path` whole or not at all: temporary file, fsync, rename, fsync of folder.

    The temporary file is created with `mode`, so a secret is never readable by others, not even
    while it is being written.
    """
    temporary = path.with_name(f".{path.name}.{secrets.token_hex(8)}")
    descriptor = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW, mode)
    try:
        with os.fdopen(descriptor, "wb") as file:
            os.fchmod(file.fileno(), mode)
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        temporary.rename(path)
    except BaseException:
        temporary.unlink(missing_ok=True)
        raise
    sync_folder(path.parent)


def create(path: Path, content: bytes) -> bool:
    """Put `content` at `path`, mode 0600, unless something is there; whether this call put it.

    A complete file is linked to its name, so that of several processes the first one's stays and
    nobody ever sees half of one.
    """
    temporary = path.with_name(f".{path.name}.{secrets.token_hex(8)}")
    write(temporary, content, 0o600)
    try:
        path.hardlink_to(temporary)
    except FileExistsError:
        return False
    finally:
        temporary.unlink()
    sync_folder(path.parent)
    return True


def sync_folder(folder: Path) -> None:
    """Make the names in `folder` durable."""
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def read_secret(path: Path) -> bytes:
    """The content of a private file; KeyExposed when its group or others have any right to it.

    Mode and content come from one open descriptor, so the file cannot be swapped in between.
    """
    with path.open("rb") as file:
        mode = os.fstat(file.fileno()).st_mode
        if mode & EXPOSED:
            raise KeyExposed(
                f"{path} has mode {mode & 0o777:04o}: others may have read this private key; "
                f"close it with: chmod 600 {path} (and replace it if the machine is shared)"
            )
        return file.read()


@dataclass(frozen=True)
class PlainKey:
    """A private key in a file of mode 0600."""

    path: Path

    def __str__(self) -> str:
        return str(self.path)

    def read(self) -> bytes:
        """The key; raises FileNotFoundError, KeyExposed."""
        return read_secret(self.path)

    def write(self, content: bytes) -> None:
        """Keep the key, in place of any other."""
        write(self.path, content, 0o600)


@contextmanager
def locked(path: Path) -> Iterator[None]:
    """Hold an exclusive lock on `path` (created when missing) against other processes."""
    descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX)
        yield
    finally:
        os.close(descriptor)


def append_line(path: Path, line: bytes) -> None:
    """Add one line to a log shared by several processes, durably and never interleaved.

    A torn last line (a crash in the middle of an earlier append) is ended first, so it spoils
    itself and not its successor; a line that does not fit on the disk is taken back.
    """
    flags = os.O_RDWR | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC
    descriptor = os.open(path, flags, 0o600)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX)
        size = os.fstat(descriptor).st_size
        torn = size > 0 and os.pread(descriptor, 1, size - 1) != b"\n"
        record = (b"\n" if torn else b"") + line + b"\n"
        try:
            written = os.write(descriptor, record)
            if written != len(record):
                raise OSError(f"only {written} of {len(record)} bytes fitted into {path}")
            os.fsync(descriptor)
        except OSError:
            os.ftruncate(descriptor, size)
            raise
    finally:
        os.close(descriptor)
