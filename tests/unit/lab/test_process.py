"""Whose process is it: found by command line, signalled only while that still holds."""

import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from lab import process


@pytest.fixture
def sleeper() -> Iterator[subprocess.Popen[bytes]]:
    """A process that would stay for a minute."""
    with subprocess.Popen(["sleep", "60"]) as child:
        yield child
        child.kill()


def test_a_process_is_signalled_and_waited_for(sleeper: subprocess.Popen[bytes]) -> None:
    found = process.identify(sleeper.pid)
    assert found is not None
    assert not process.send(found, 0)
    assert process.send(found, signal.SIGKILL, 5.0)
    assert sleeper.wait() == -signal.SIGKILL


def test_a_recycled_pid_is_never_signalled(sleeper: subprocess.Popen[bytes]) -> None:
    found = process.identify(sleeper.pid)
    assert found is not None
    earlier = replace(found, started=found.started - 1)
    assert process.send(earlier, signal.SIGKILL)
    assert sleeper.poll() is None


def test_a_process_that_is_gone_has_ended(sleeper: subprocess.Popen[bytes]) -> None:
    found = process.identify(sleeper.pid)
    assert found is not None
    sleeper.kill()
    sleeper.wait()
    assert process.send(found, signal.SIGKILL)
    assert process.identify(sleeper.pid) is None
    assert process.argv_of(sleeper.pid) == ()
    assert process.parent_of(sleeper.pid) == 0


def test_only_nspawn_on_that_very_folder_counts(tmp_path: Path) -> None:
    directory = tmp_path / "root"
    argument = f"--directory={directory}"
    code = "import sys; sys.stdin.read()"
    argv = [sys.executable, "-c", code, "systemd-nspawn", argument]
    mentions = subprocess.Popen(argv, stdin=subprocess.PIPE)
    try:
        assert process.machine_processes(directory) == ()
        assert process.leader_of(directory) is None
    finally:
        mentions.communicate()


def test_a_starting_machine_counts_before_nspawn_is_there(tmp_path: Path) -> None:
    directory = tmp_path / "root"
    argv = ["sh", "-c", "read _", "sh", "--", "systemd-nspawn", f"--directory={directory}"]
    starting = subprocess.Popen(argv, stdin=subprocess.PIPE)
    try:
        deadline = time.monotonic() + 60  # its arguments appear a moment after it starts
        while not process.machine_processes(directory):
            assert time.monotonic() < deadline
        assert [found.pid for found in process.machine_processes(directory)] == [starting.pid]
        assert process.machine_processes(tmp_path / "other") == ()
    finally:
        starting.communicate()


def test_this_process_has_a_parent() -> None:
    assert process.parent_of(os.getpid()) == os.getppid()
