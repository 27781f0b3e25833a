"""What nodes say: the program runs, its words are read, and nonsense is refused."""

import json
import subprocess
from datetime import UTC, datetime
from pathlib import Path

import pytest

from runbooks.errors import ObservationUnreadable
from runbooks.observe import UnitState, command, program, read
from trust.authority import Authority

SAID = {
    "time": 1767268800.0,
    "uptime_seconds": 5.5,
    "load": 0.25,
    "memory": {"total_kib": 100, "available_kib": 50},
    "disks": {"/": {"size": 10, "available": 5}, "/boot": None},
    "certificate": None,
    "release": "1.0.0",
    "reboot_required": False,
    "units": [
        {
            "Id": "a.service",
            "LoadState": "loaded",
            "ActiveState": "active",
            "SubState": "running",
            "UnitFileState": "enabled",
            "NRestarts": "2",
            "MemoryCurrent": "1024",
        },
        {"Id": "b.timer", "LoadState": "not-found", "MemoryCurrent": "18446744073709551615"},
    ],
}


def test_words_become_values(tmp_path: Path) -> None:
    now = datetime(2026, 1, 1, tzinfo=UTC)
    _, pem = Authority.create(tmp_path, "test authority", now).issue_client("n1", now)
    seen = read("n1", json.dumps({**SAID, "certificate": pem.decode()}))
    assert seen.clock == datetime(2026, 1, 1, 12, 0, tzinfo=UTC)
    assert seen.certificate_not_after is not None
    assert [path for path, disk in seen.disks if disk.free == 0.5] == ["/"]
    running = UnitState("a.service", "loaded", "active", "running", "enabled", 2, 1024)
    assert seen.unit("a.service") == running
    unknown = seen.unit("b.timer")
    assert unknown is not None
    assert unknown.memory_bytes is None
    assert seen.unit("c.service") is None


def test_a_certificate_nobody_can_read_is_unknown() -> None:
    assert read("n1", json.dumps({**SAID, "certificate": "x"})).certificate_not_after is None


@pytest.mark.parametrize("text", ["", "bash: python3: not found", "[]", "{}", '{"time": "x"}'])
def test_nonsense_is_refused(text: str) -> None:
    with pytest.raises(ObservationUnreadable, match="n1 answered nonsense"):
        read("n1", text)


def test_the_program_runs_and_prints_what_is_read_even_without_systemd() -> None:
    done = subprocess.run(
        command(["ssh.service"]), input=program(), capture_output=True, text=True, check=True
    )
    seen = read("here", done.stdout)
    assert seen.disks
    assert seen.memory_total_kib
    assert seen.problem == ""
