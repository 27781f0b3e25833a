"""One change at a time."""

import subprocess
import sys
from pathlib import Path

import pytest

from lab import lock
from lab.errors import LabBusy


def test_the_second_is_told_who_holds_it(tmp_path: Path) -> None:
    path = tmp_path / "lab" / "lock"
    with (
        lock.held(path, "lab up"),
        pytest.raises(LabBusy, match=r"process \d+: lab up"),
        lock.held(path, "lab down"),
    ):
        pass
    with lock.held(path, "lab down"):
        pass


def test_a_dead_holder_holds_nothing(tmp_path: Path) -> None:
    path = tmp_path / "lock"
    code = "import sys, os; from pathlib import Path; from lab import lock\n"
    code += "with lock.held(Path(sys.argv[1]), 'dies'): os._exit(9)"
    done = subprocess.run([sys.executable, "-c", code, str(path)], check=False)
    assert done.returncode == 9
    with lock.held(path, "lab up"):
        assert "lab up" in path.read_text()


def test_a_lock_whose_folder_was_removed_is_taken_anew(tmp_path: Path) -> None:
    path = tmp_path / "lab" / "lock"
    with lock.held(path, "lab clean"):
        path.unlink()
        with lock.held(path, "lab up"):
            assert "lab up" in path.read_text()
