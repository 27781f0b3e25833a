"""One machine: its command line, its start, its end.

nspawn runs detached (a session of its own, its console in a file), so that a machine outlives the
command that booted it. Each machine gets a control group of its own: without one, several systemds
would share a group and mistake each other's services for their own.
"""

import os
import signal
import subprocess
import time
from pathlib import Path

from inventory.home import Home
from inventory.model import Federation, Node
from lab import archives
from lab.command import environment, run, succeeds
from lab.errors import CommandFailed, StillThere
from lab.names import Names, NodeFolder, folder_of, names_of
from lab.process import Process, leader_of, machine_processes, send

CGROUP = Path("/sys/fs/cgroup")
NSPAWN_RUNTIME = Path("/run/systemd/nspawn")
POWER_OFF = signal.SIGRTMIN + 4  # what systemd as process 1 takes as "power off now" (systemd(1))
POWER_OFF_SECONDS = 8.0
TERMINATE_SECONDS = 2.0
KILL_SECONDS = 5.0
START_SECONDS = 30.0
# Enters the control groups named before `--`, then leaves the command after it running alone.
ENTER_GROUPS = (
    'while [ "$1" != -- ]; do echo $$ >"$1/cgroup.procs" || exit 125; shift; done; shift; "$@" &'
)


def command_line(names: Names, node: Node, folder: NodeFolder, shared: Path) -> tuple[str, ...]:
    """nspawn's arguments for a node. Pure."""
    return (
        "systemd-nspawn",
        "--quiet",
        "--boot",
        "--register=no",
        "--keep-unit",
        f"--machine={names.machine(node)}",
        f"--hostname={node.name}",
        f"--directory={folder.mount}",
        f"--network-bridge={names.bridge}",
        "--resolv-conf=off",
        "--timezone=off",
        "--link-journal=no",
        "--console=read-only",
        f"--bind={shared}:{archives.INSIDE}",
    )


def start(federation: Federation, home: Home, node: Node) -> None:
    """Start the machine on its mounted root file system; returns at once.

    Raises CommandFailed when its control group cannot be entered; whether it boots is seen later.
    """
    names, folder = names_of(federation, home), folder_of(home, node)
    _remove_leftovers(names, node)
    groups = _make_groups(names.cgroup(node))
    argv = command_line(names, node, folder, archives.folder(home))
    with folder.console.open("wb") as console:
        done = subprocess.run(
            ("/bin/sh", "-c", ENTER_GROUPS, "sh", *groups, "--", *argv),
            stdin=subprocess.DEVNULL,
            stdout=console,
            stderr=subprocess.STDOUT,
            start_new_session=True,
            cwd="/",
            env={"PATH": environment()["PATH"], "LC_ALL": "C.UTF-8"},
            timeout=START_SECONDS,
            check=False,
        )
    if done.returncode != 0:
        raise CommandFailed(argv, done.returncode, folder.console.read_text(errors="replace"))


def running(home: Home, node: Node) -> bool:
    """Whether a process of this machine exists."""
    return bool(machine_processes(folder_of(home, node).mount))


def power_off(federation: Federation, home: Home, node: Node) -> bool:
    """Ask the machine to power off, then insist, then kill; True if it went by itself.

    Bounded: at most POWER_OFF_SECONDS + TERMINATE_SECONDS + KILL_SECONDS.
    """
    directory = folder_of(home, node).mount
    leader = leader_of(directory)
    if leader is not None:
        send(leader, POWER_OFF)
        deadline = time.monotonic() + POWER_OFF_SECONDS
        if all(_ended(p, deadline) for p in machine_processes(directory)):
            _remove_leftovers(names_of(federation, home), node)
            return True
    power_cut(federation, home, node)
    return False


def power_cut(federation: Federation, home: Home, node: Node) -> None:
    """End every process of the machine at once, as losing power would."""
    directory = folder_of(home, node).mount
    leader = leader_of(directory)
    if leader is not None:
        # The kernel takes the whole process namespace down with its process 1.
        send(leader, signal.SIGKILL, KILL_SECONDS)
    deadline = time.monotonic() + TERMINATE_SECONDS
    for process in machine_processes(directory):
        # nspawn, left alone, removes its interface and ends by itself.
        if not _ended(process, deadline):
            send(process, signal.SIGKILL, KILL_SECONDS)
    left = machine_processes(directory)
    if left:
        pids = ", ".join(str(process.pid) for process in left)
        raise StillThere(f"{node.name} did not end when killed (processes {pids})")
    _remove_leftovers(names_of(federation, home), node)


def _ended(process: Process, deadline: float) -> bool:
    return send(process, 0, max(0.0, deadline - time.monotonic()))


def _group_folders(name: str) -> list[Path]:
    """The machine's groups: in the unified tree, or (mixed) in systemd's own and the unified."""
    trees = (
        [CGROUP] if (CGROUP / "cgroup.procs").exists() else [CGROUP / "systemd", CGROUP / "unified"]
    )
    return [tree / name for tree in trees if (tree / "cgroup.procs").exists()]


def _make_groups(name: str) -> list[str]:
    groups = _group_folders(name)
    for group in groups:
        group.mkdir(exist_ok=True)
    return [str(group) for group in groups]


def _remove_leftovers(names: Names, node: Node) -> None:
    """What nspawn leaves when it is killed: an interface, empty groups, a runtime folder."""
    if succeeds(("ip", "link", "show", names.port(node))):
        run(("ip", "link", "delete", names.port(node)))
    for group in _group_folders(names.cgroup(node)):
        if group.exists():
            for folder, _, _ in os.walk(group, topdown=False):
                _remove_group(Path(folder))
    propagate = NSPAWN_RUNTIME / "propagate" / names.machine(node)
    if propagate.is_dir():
        propagate.rmdir()


def _remove_group(group: Path) -> None:
    for _ in range(20):  # the kernel may need a moment after the last process has ended
        try:
            group.rmdir()
        except OSError:
            time.sleep(0.05)
        else:
            return
