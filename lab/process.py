"""Finding and ending the lab's own processes, and nobody else's.

A machine's process is recognised by its command line, which names the node's folder: no file
records a pid, so none can be stale. A process is signalled through a pidfd, and only if the pid is
still that of the process that was recognised (same start time): a recycled pid is never hit.
"""

import os
import select
import signal
from dataclasses import dataclass
from pathlib import Path

PROC = Path("/proc")
NSPAWN = "systemd-nspawn"


@dataclass(frozen=True)
class Process:
    """A process: its id, and its start (clock ticks since this computer booted), which no other
    process with that id can share.
    """

    pid: int
    started: int


def argv_of(pid: int) -> tuple[str, ...]:
    """The arguments of a process; empty when it is gone (or a kernel thread)."""
    try:
        raw = (PROC / str(pid) / "cmdline").read_bytes()
    except OSError:
        return ()
    return tuple(part.decode(errors="replace") for part in raw.rstrip(b"\0").split(b"\0") if part)


def parent_of(pid: int) -> int:
    """The parent's pid; 0 when the process is gone."""
    fields = _stat(pid)
    return int(fields[1]) if fields else 0


def identify(pid: int) -> Process | None:
    """The process that has this id now; None when there is none, or only its remains."""
    fields = _stat(pid)
    return Process(pid, int(fields[19])) if fields and fields[0] != "Z" else None


def _stat(pid: int) -> list[str]:
    """The fields of proc(5)'s stat after the command's name: state, parent, ... start (20th)."""
    try:
        stat = (PROC / str(pid) / "stat").read_text()
    except OSError:
        return []
    return stat.rpartition(")")[2].split()


def machine_processes(directory: Path) -> tuple[Process, ...]:
    """The nspawn processes (parents first) of the machine whose root is `directory`."""
    found = {}
    for entry in PROC.iterdir():
        if entry.name.isdigit():
            process = identify(int(entry.name))
            if process is not None and _is_machine(argv_of(process.pid), directory):
                found[process.pid] = process
    ordered = sorted(found, key=lambda pid: (parent_of(pid) in found, pid))
    return tuple(found[pid] for pid in ordered)


def _is_machine(argv: tuple[str, ...], directory: Path) -> bool:
    if not argv or Path(argv[0]).name not in (NSPAWN, "sh"):
        return False
    return f"--directory={directory}" in argv and any(Path(a).name == NSPAWN for a in argv)


def leader_of(directory: Path) -> Process | None:
    """The machine's process 1; None while there is none."""
    for process in machine_processes(directory):
        try:
            children = (
                PROC / str(process.pid) / "task" / str(process.pid) / "children"
            ).read_text()
        except OSError:
            continue
        for child in map(int, children.split()):
            if _namespace_pid(child) == 1 and not _is_machine(argv_of(child), directory):
                return identify(child)
    return None


def _namespace_pid(pid: int) -> int | None:
    try:
        status = (PROC / str(pid) / "status").read_text()
    except OSError:
        return None
    for line in status.splitlines():
        if line.startswith("NSpid:"):
            pids = line.split()[1:]
            return int(pids[-1]) if len(pids) > 1 else None
    return None


def send(process: Process, number: int, wait_seconds: float = 0.0) -> bool:
    """Signal `process` if it still is the one that was identified; True once it has ended.

    Waits at most `wait_seconds` for the end. The number may be a real-time signal or 0 (none).
    """
    try:
        descriptor = os.pidfd_open(process.pid)
    except ProcessLookupError:
        return True
    try:
        if identify(process.pid) != process:
            return True
        if number:
            signal.pidfd_send_signal(descriptor, number)
        ready, _, _ = select.select([descriptor], [], [], wait_seconds)
        return bool(ready)
    except ProcessLookupError:
        return True
    finally:
        os.close(descriptor)
