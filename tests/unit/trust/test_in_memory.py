"""Keys lent by path: readable by us and the programs we run, and gone with the process."""

import os
import signal
import stat
import subprocess
import sys
from pathlib import Path

import pytest

from trust import in_memory
from trust.errors import NoMemoryFiles
from trust.in_memory import lend

LENDER = """
import os, sys, time
from pathlib import Path
from trust.in_memory import lend
folder = Path(sys.argv[1]) if sys.argv[1] else None
print(lend("operator", b"a key of process %d" % os.getpid(), folder), flush=True)
sys.stdin.read()
"""


class Lender:
    """Another process that lends a key until it is told to end, or killed."""

    def __init__(self, folder: Path | None) -> None:
        self.process = subprocess.Popen(
            [sys.executable, "-c", LENDER, str(folder or "")],
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True,
        )  # fmt: skip
        assert self.process.stdout is not None
        self.path = Path(self.process.stdout.readline().strip())

    def end(self, number: signal.Signals | None = None) -> None:
        """By a signal, or at the end of its input."""
        if number is not None:
            self.process.send_signal(number)
        self.process.communicate(timeout=60)


def test_it_is_a_private_file_for_us_and_for_programs_we_run() -> None:
    path = lend("operator", b"one")
    found = path.stat()
    assert stat.S_ISREG(found.st_mode) and stat.S_IMODE(found.st_mode) == 0o600
    assert (found.st_uid, found.st_nlink) == (os.geteuid(), 0)
    assert subprocess.check_output(["cat", str(path)]) == b"one"
    other = lend("operator", b"two")
    assert other != path
    assert lend("operator", b"one") == path
    assert (path.read_bytes(), other.read_bytes()) == (b"one", b"two")


@pytest.mark.parametrize("number", [None, signal.SIGTERM, signal.SIGKILL])
def test_it_ends_with_the_process_however_that_ends(number: signal.Signals | None) -> None:
    lender = Lender(None)
    assert lender.path.read_bytes().startswith(b"a key of")
    lender.end(number)
    assert not lender.path.exists()


def test_without_files_in_memory_nothing_is_written_unasked(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.delattr(os, "memfd_create")  # as on a Mac
    with pytest.raises(NoMemoryFiles, match="FEDERATION_KEY_FOLDER"):
        lend("operator", b"three")
    path = lend("operator", b"three", tmp_path)
    assert tmp_path in path.parents and path.read_bytes() == b"three"
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert stat.S_IMODE(path.parent.stat().st_mode) == 0o700
    in_memory._remove(path.parent, os.getpid())
    in_memory._own_folder.cache_clear()


def test_in_a_named_folder_it_is_removed_at_the_end(tmp_path: Path) -> None:
    lender = Lender(tmp_path)
    assert lender.path.exists()
    lender.end()
    assert not lender.path.parent.exists()


def test_what_a_killed_process_left_is_removed_by_the_next(tmp_path: Path) -> None:
    killed, alive = Lender(tmp_path), Lender(tmp_path)
    killed.end(signal.SIGKILL)
    (tmp_path / f"{in_memory.PREFIX}cut").mkdir()  # killed before it had its lock
    assert killed.path.exists()
    assert in_memory.left_over(tmp_path) == tuple(
        sorted((killed.path.parent, tmp_path / f"{in_memory.PREFIX}cut"))
    )
    last = Lender(tmp_path)
    assert not killed.path.parent.exists() and not (tmp_path / f"{in_memory.PREFIX}cut").exists()
    assert alive.path.read_bytes() != last.path.read_bytes()
    alive.end()
    last.end()
    assert not list(tmp_path.glob(f"{in_memory.PREFIX}*"))
