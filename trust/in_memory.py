"""Private keys for libraries and programs that read them by path, without a file on a disk.

On Linux a key is in an anonymous file in memory (memfd_create(2), mode 0600). Its path,
`/proc/PID/fd/N`, works for this process and for programs it runs (libpq, OpenSSL and ssh take it),
and is gone with the process, however that ends. Like all memory it can be swapped out.

A system without such files (a Mac) has none until a person names a folder for them: a RAM disk, or
knowingly a disk. There each process has a folder of mode 0700, removed at its exit; what a killed
one left is removed by the next one, which sees that nobody holds its lock any more.
"""

import atexit
import fcntl
import hashlib
import os
import shutil
import tempfile
from functools import cache
from pathlib import Path

from trust import files
from trust.errors import NoMemoryFiles

PREFIX = "federation-keys-"
LOCK = ".lock"


def lend(name: str, content: bytes, folder: Path | None = None) -> Path:
    """The path of a file, mode 0600, that holds `content` for as long as this process lives.

    The same content has the same path, and a path keeps its content: what was opened by it can be
    opened again. `folder` is the person's choice of a place. Raises NoMemoryFiles.
    """
    digest = hashlib.sha256(content).hexdigest()
    key = (os.getpid(), name, digest, folder)
    if key not in _LENT:
        _LENT[key] = _in_folder(name, digest, content, folder) if folder else _anonymous(content)
    return _LENT[key]


_LENT: dict[tuple[int, str, str, Path | None], Path] = {}


def left_over(folder: Path) -> tuple[Path, ...]:
    """The folders of processes that are gone, below `folder`: killed ones, or of a lost machine."""
    return tuple(sorted(path for path in folder.glob(f"{PREFIX}*") if not _is_held(path)))


def _anonymous(content: bytes) -> Path:
    try:
        descriptor = os.memfd_create("federation-key")
    except (AttributeError, OSError) as error:
        raise NoMemoryFiles(
            "this system has no files in memory, and a private key is needed as one: make a RAM "
            "disk and name its folder with FEDERATION_KEY_FOLDER (docs/how-to/secrets.md)"
        ) from error
    os.fchmod(descriptor, 0o600)
    os.write(descriptor, content)
    # Not /proc/self: the programs this process runs are to read it too.
    return Path(f"/proc/{os.getpid()}/fd/{descriptor}")


def _in_folder(name: str, digest: str, content: bytes, folder: Path) -> Path:
    path = _own_folder(folder, os.getpid()) / f"{name}-{digest[:16]}"
    files.create(path, content)
    return path


@cache
def _own_folder(folder: Path, process: int) -> Path:
    """A new folder below `folder`, after those of processes that are gone were removed."""
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    with files.locked(folder / f".{PREFIX}lock"):
        for other in left_over(folder):
            shutil.rmtree(other)
        own = Path(tempfile.mkdtemp(prefix=PREFIX, dir=folder))
        # Held, on purpose without a close, until the process ends.
        held = os.open(own / LOCK, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        fcntl.flock(held, fcntl.LOCK_EX)
    atexit.register(_remove, own, process)
    return own


def _is_held(folder: Path) -> bool:
    try:
        descriptor = os.open(folder / LOCK, os.O_RDWR | os.O_CLOEXEC)
    except FileNotFoundError:
        return False  # killed between making the folder and its lock
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return True
    finally:
        os.close(descriptor)
    return False


def _remove(folder: Path, process: int) -> None:
    if os.getpid() == process:  # not a fork of it
        shutil.rmtree(folder, ignore_errors=True)
